// Ridge and logistic regression against scikit-learn (tests/goldens/linear_models.py wrote the
// values), and what follows from the losses that they minimise.
#include "tsdl/select/linear_models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Index;
using tsdl::LinearModel;
using Matrix = tsdl::Matrix<double>;

struct Data {
  Matrix X, Y;
  std::vector<Index> classes;
  Index K;
};

/// The numbers after a line's name, column by column.
Matrix matrix(const std::vector<std::string>& line, Index rows) {
  Matrix result(rows, static_cast<Index>(line.size() - 1) / rows);
  for (std::size_t i = 1; i < line.size(); ++i) result.data()[i - 1] = test::golden_number(line[i]);
  return result;
}

/// Classes that the first features say something about; targets of two rows.
Data drawn(Index d, Index n, Index K, std::uint64_t seed, double signal = 1) {
  tsdl::RandomStream random(seed);
  Data data{Matrix(d, n), Matrix(2, n), {}, K};
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < d; ++j) data.X(j, i) = random.normal();
    const double score = signal * data.X(0, i) + random.normal();
    data.Y.col(i) << score, random.normal();
    const auto part = static_cast<Index>(std::floor(score + static_cast<double>(K) / 2));
    data.classes.push_back(std::clamp(part, Index{0}, K - 1));
  }
  return data;
}

double ridge_loss(const LinearModel& model, const Data& data, double penalty) {
  return (data.Y - model.outputs(data.X)).squaredNorm() + penalty * model.weights.squaredNorm();
}

/// By its definition, in long double.
double logistic_loss(const LinearModel& model, const Data& data, double penalty) {
  long double loss = penalty / 2 * model.weights.squaredNorm();
  const Matrix logits = model.outputs(data.X);
  for (Index i = 0; i < logits.cols(); ++i) {
    long double sum = logits.rows() == 1 ? 1 : 0;
    for (Index k = 0; k < logits.rows(); ++k)
      sum += std::exp(static_cast<long double>(logits(k, i)));
    const Index c = data.classes[test::at(i)];
    loss += std::log(sum) - (logits.rows() > 1 ? logits(c, i) : c == 1 ? logits(0, i) : 0.0);
  }
  return static_cast<double>(loss);
}

/// That the loss has no slope at the model: by central differences in every weight and bias.
template <class Loss>
double largest_slope(LinearModel model, const Loss& loss) {
  constexpr double step = 1e-4;
  double largest = 0;
  const auto look = [&](double& value) {
    const double kept = value;
    value = kept + step;
    const double above = loss(model);
    value = kept - step;
    const double below = loss(model);
    value = kept;
    largest = std::max(largest, std::abs(above - below) / (2 * step));
  };
  for (double& value : model.weights.reshaped()) look(value);
  for (double& value : model.bias) look(value);
  return largest;
}

bool same(const LinearModel& a, const LinearModel& b) {
  return a.weights == b.weights && a.bias == b.bias && a.penalty == b.penalty;
}

double largest_difference(const LinearModel& a, const LinearModel& b) {
  return std::max((a.weights - b.weights).cwiseAbs().maxCoeff(),
                  (a.bias - b.bias).cwiseAbs().maxCoeff());
}

}  // namespace

// Ridge is exact but for rounding. The gradients of logistic fits are below 1e-7 in the goldens and
// 1e-8 n here; over the least curvature, the penalty of 0.01, that could be 7e-5. Measured: 7e-7.
TEST_CASE("linear models: scikit-learn's coefficients and losses") {
  const auto lines = test::golden_lines("linear_models.csv");
  int fits = 0;
  for (std::size_t at = 0; at < lines.size();) {
    REQUIRE(lines[at][0] == "data");
    CAPTURE(lines[at][1]);
    const Index d = std::stoll(lines[at][2]), n = std::stoll(lines[at][3]);
    const Index K = std::stoll(lines[at][4]);
    const Matrix X = matrix(lines[at + 1], d), Y = matrix(lines[at + 2], 2);
    REQUIRE(X.cols() == n);
    std::vector<Index> classes;
    for (std::size_t i = 1; i < lines[at + 3].size(); ++i)
      classes.push_back(std::stoll(lines[at + 3][i]));
    for (at += 4; at < lines.size() && lines[at][0] != "data"; at += 4) {
      const double penalty = test::golden_number(lines[at][1]);
      const bool ridge = lines[at][0] == "ridge";
      CAPTURE(lines[at][0]);
      CAPTURE(penalty);
      const LinearModel model =
          ridge ? tsdl::fit_ridge(X, Y, penalty) : tsdl::fit_logistic(X, classes, K, penalty);
      const double loss =
          ridge ? tsdl::mean_squared_error(model, X, Y) : tsdl::mean_log_loss(model, X, classes);
      const Matrix weights = matrix(lines[at + 1], d), bias = matrix(lines[at + 2], 1);
      REQUIRE(model.weights.rows() == weights.cols());
      REQUIRE(model.bias.size() == bias.cols());
      CHECK((model.weights - weights.transpose()).cwiseAbs().maxCoeff() < (ridge ? 1e-11 : 2e-6));
      CHECK((model.bias - bias.transpose()).cwiseAbs().maxCoeff() < (ridge ? 1e-11 : 2e-6));
      CHECK(test::close_to(loss, test::golden_number(lines[at + 3][1]), ridge ? 1e-12 : 1e-8));
      CHECK(model.converged);
      CHECK(model.penalty == penalty);
      ++fits;
    }
  }
  CHECK(fits == 9 * 6);
}

TEST_CASE("linear models: the loss has no slope at the result") {
  // d, n, K: up to 300 unknowns are Newton's, more are L-BFGS's; the last has more features than
  // samples. Central differences with steps of 1e-4 are good to about 1e-7 here.
  const std::array<Index, 3> sizes[] = {{5, 90, 2},   {7, 130, 4},  {1, 20, 3},
                                        {320, 90, 2}, {110, 80, 3}, {150, 40, 3}};
  for (const auto& size : sizes)
    for (const double penalty : {0.1, 10.0}) {
      const Index d = size[0], n = size[1], K = size[2];
      CAPTURE(d);
      CAPTURE(penalty);
      const Data data = drawn(d, n, K, 5);
      const LinearModel logistic = tsdl::fit_logistic(data.X, data.classes, K, penalty);
      CHECK(logistic.converged);
      CHECK(largest_slope(logistic, [&](const LinearModel& m) {
              return logistic_loss(m, data, penalty);
            }) < 2e-6);
      const LinearModel ridge = tsdl::fit_ridge(data.X, data.Y, penalty);
      CHECK(largest_slope(
                ridge, [&](const LinearModel& m) { return ridge_loss(m, data, penalty); }) < 2e-6);
    }
}

TEST_CASE("linear models: features that never vary change nothing, whichever solver they lead to") {
  for (const Index K : {2, 3}) {
    const Data data = drawn(4, 70, K, 8);
    Matrix padded(304, 70);  // more features than samples, more unknowns than Newton's method takes
    padded.topRows(4) = data.X;
    padded.bottomRows(300).setConstant(0.1);
    for (const double penalty : {0.01, 1.0, 1000.0}) {
      CAPTURE(penalty);
      LinearModel narrow = tsdl::fit_logistic(data.X, data.classes, K, penalty);
      LinearModel wide = tsdl::fit_logistic(padded, data.classes, K, penalty);
      CHECK(wide.converged);
      CHECK(wide.weights.rightCols(300).isZero(0));
      wide.weights.conservativeResize(Eigen::NoChange, 4);
      CHECK(largest_difference(narrow, wide) < 1e-6);
      narrow = tsdl::fit_ridge(data.X, data.Y, penalty);
      wide = tsdl::fit_ridge(padded, data.Y, penalty);
      CHECK(wide.weights.rightCols(300).isZero(0));
      wide.weights.conservativeResize(Eigen::NoChange, 4);
      CHECK(largest_difference(narrow, wide) < 1e-12);
    }
  }
}

TEST_CASE("linear models: the intercept takes any offset of features and targets") {
  const Data data = drawn(3, 60, 3, 4);
  Matrix moved = data.X;
  moved.row(0).array() += 1e6;
  moved.row(2).array() -= 1e3;
  const LinearModel a = tsdl::fit_logistic(data.X, data.classes, 3, 0.5);
  const LinearModel b = tsdl::fit_logistic(moved, data.classes, 3, 0.5);
  CHECK((a.weights - b.weights).cwiseAbs().maxCoeff() < 1e-8);
  CHECK((a.outputs(data.X) - b.outputs(moved)).cwiseAbs().maxCoeff() < 1e-8);
  const LinearModel c = tsdl::fit_ridge(data.X, data.Y, 0.5);
  const LinearModel e = tsdl::fit_ridge(moved, data.Y.array() + 1e4, 0.5);
  CHECK((c.weights - e.weights).cwiseAbs().maxCoeff() < 1e-9);
  CHECK((c.outputs(data.X).array() + 1e4 - e.outputs(moved).array()).abs().maxCoeff() < 1e-8);
}

TEST_CASE("linear models: equal columns share a weight, also where rounding hides the penalty") {
  Data data = drawn(2, 50, 2, 6);
  data.X.row(1) = data.X.row(0);
  for (const double scale : {1.0, 1e9}) {
    CAPTURE(scale);
    const Matrix X = scale * data.X, one = X.topRows(1);
    const LinearModel ridge = tsdl::fit_ridge(X, data.Y, 0.01);
    CHECK(ridge.weights(0, 0) == doctest::Approx(ridge.weights(0, 1)).epsilon(1e-5));
    // Both halves of a weight w cost half of penalty w^2.
    const Matrix expected = tsdl::fit_ridge(one, data.Y, 0.005).outputs(one);
    CHECK((ridge.outputs(X) - expected).cwiseAbs().maxCoeff() < 1e-5);
    const LinearModel logistic = tsdl::fit_logistic(X, data.classes, 2, 0.01);
    const Matrix logits = tsdl::fit_logistic(one, data.classes, 2, 0.005).outputs(one);
    CHECK((logistic.outputs(X) - logits).cwiseAbs().maxCoeff() < 1e-4);
  }
}

TEST_CASE("linear models: systems with the Gram matrix, of few features and of many") {
  for (const Index d : {4, 15}) {
    const Data data = drawn(d, 9, 2, 20);
    const tsdl::internal::Design design(data.X.array() + 5.0);
    tsdl::internal::GramSystem system(design);
    for (const double shift : {0.5, 20.0}) {
      system.set_shift(shift);
      const Matrix C = data.X.colwise() - data.X.rowwise().mean();
      const Matrix A = C * C.transpose() + shift * Matrix::Identity(d, d);
      const tsdl::Vector<double> b = data.X.col(3), of_samples = data.Y.row(0).transpose();
      CHECK((A * system.solve(b) - b).norm() < 1e-11);
      CHECK((A * system.solve_product(of_samples) - C * of_samples).norm() < 1e-11);
    }
    const tsdl::internal::Design large(1e9 * data.X);
    tsdl::internal::GramSystem accurate(large);
    CHECK((accurate.least_shift() > 0) == (d > 9));
    const double shift = std::max(accurate.least_shift(), 1.0);
    accurate.set_shift(shift);
    const tsdl::Vector<double> b = large.centred() * data.Y.row(0).transpose();
    const tsdl::Vector<double> x = accurate.solve(b);
    CHECK((large.centred() * (large.centred().transpose() * x) + shift * x - b).norm() <
          1e-3 * b.norm());
  }
}

TEST_CASE("logistic loss: its Hessian is the slope of its gradient, and its curvature") {
  for (const Index R : {1, 2, 3}) {
    CAPTURE(R);
    const Data data = drawn(2, 70, std::max(R, Index{2}), 21);
    const tsdl::internal::Design design(data.X);
    tsdl::internal::LogisticLoss loss(design, data.classes, R);
    loss.set_penalty(0.7);
    Matrix theta = Matrix::Zero(3, R), above, below;
    loss.evaluate(theta, above);
    CHECK(loss.curvature() == doctest::Approx(R == 1 ? 0.25 : 1 / static_cast<double>(R)));
    for (Index i = 0; i < theta.size(); ++i) theta.data()[i] = std::sin(static_cast<double>(i + 1));
    loss.evaluate(theta, above);
    const Matrix H = loss.hessian();
    for (Index i = 0; i < theta.size(); ++i) {
      Matrix moved = theta;
      moved.data()[i] += 1e-5;
      loss.evaluate(moved, above);
      moved.data()[i] -= 2e-5;
      loss.evaluate(moved, below);
      Matrix slope = (above - below) / 2e-5;
      // of n / 2 (the intercepts' mean)^2, which makes H definite
      if (R > 1 && i % 3 == 2) slope.row(2).array() += 70.0 / static_cast<double>(R * R);
      const Index rest = theta.size() - i;  // the lower half
      CHECK((slope.reshaped() - H.col(i)).tail(rest).cwiseAbs().maxCoeff() < 1e-6);
    }
  }
}

TEST_CASE("L-BFGS: the inverse takes the last change of the gradient to the last step") {
  tsdl::RandomStream random(22);
  const auto any = [&] {
    return Matrix(Matrix::NullaryExpr(4, 2, [&] { return random.normal(); }));
  };
  const auto half = [](const Matrix& G) { return Matrix(G / 2); };
  tsdl::internal::InverseHessian inverse;
  const Matrix G = any();
  CHECK((inverse.times(G, half) - G / 2).norm() < 1e-15);
  for (int i = 0; i < 25; ++i) {  // more pairs than it keeps
    const Matrix step = any();
    Matrix change = any();
    if (step.cwiseProduct(change).sum() < 0) change = -change;
    inverse.update(step, change, half);
    CHECK((inverse.times(change, half) - step).norm() < 1e-9 * (1 + step.norm()));
  }
  const Matrix before = inverse.times(G, half);
  inverse.update(G, -G, half);  // not of a convex loss
  CHECK(inverse.times(G, half) == before);
  CHECK_FALSE(inverse.empty());
  inverse.clear();
  CHECK(inverse.empty());
  inverse.update(G, 4 * G, half);  // of 2 |theta|^2, whose Hessian is 4
  const Matrix other = any();
  CHECK((inverse.times(other, half) - other / 4).norm() < 1e-12);
}

TEST_CASE("linear models: a matrix that rounding made indefinite is factorised nevertheless") {
  Matrix A(2, 2);
  A << 1, 1, 1, 1 - 1e-12;
  Eigen::LLT<Matrix> cholesky;
  REQUIRE(cholesky.compute(A).info() != Eigen::Success);
  const Matrix before = A;
  tsdl::internal::factorise(cholesky, A);
  CHECK(cholesky.info() == Eigen::Success);
  CHECK((cholesky.reconstructedMatrix() - before).cwiseAbs().maxCoeff() < 1e-11);
  // The same beside an entry that is far smaller.
  Matrix uneven = Matrix::Identity(3, 3);
  uneven.topLeftCorner(2, 2) = 1e20 * before;
  REQUIRE(cholesky.compute(uneven).info() != Eigen::Success);
  tsdl::internal::factorise(cholesky, uneven);
  CHECK(std::abs(cholesky.reconstructedMatrix()(2, 2) - 1) < 1e-11);
}

TEST_CASE("linear models: a class without samples has half a sample's odds, and no say") {
  const Data data = drawn(3, 40, 2, 9);
  std::vector<Index> apart = data.classes;  // of 4 classes, 1 and 3
  for (Index& c : apart) c = 2 * c + 1;
  const LinearModel model = tsdl::fit_logistic(data.X, apart, 4, 0.5);
  CHECK(model.converged);
  // Two logits +-z / 2 are one, z; their weights' squares add to half of its own.
  const LinearModel binary = tsdl::fit_logistic(data.X, data.classes, 2, 0.25);
  CHECK((model.weights.row(3) - model.weights.row(1) - binary.weights).cwiseAbs().maxCoeff() <
        1e-6);
  CHECK(model.bias[3] - model.bias[1] == doctest::Approx(binary.bias[0]).epsilon(1e-6));
  CHECK((model.weights.row(3) + model.weights.row(1)).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(model.weights.row(0).isZero(0));
  CHECK(model.weights.row(2).isZero(0));
  CHECK(model.bias[0] == model.bias[2]);
  const Matrix odds = model.outputs(data.X.rowwise().mean()).array().exp();
  CHECK(odds(0, 0) / (odds(1, 0) + odds(3, 0)) == doctest::Approx(0.5 / 40));
}

TEST_CASE("linear models: one class alone, one sample alone") {
  const Data data = drawn(2, 8, 2, 3);
  for (const Index c : {0, 1, 2}) {
    CAPTURE(c);
    const std::vector<Index> all(8, c);
    const LinearModel three = tsdl::fit_logistic(data.X, all, 3, 1);
    CHECK(three.weights.isZero(0));
    for (Index k = 0; k < 3; ++k)
      CHECK(three.bias[k] - three.bias[c] == doctest::Approx(k == c ? 0 : std::log(0.5 / 8)));
    if (c == 2) continue;
    const LinearModel two = tsdl::fit_logistic(data.X, all, 2, 1);
    CHECK(two.weights.isZero(0));
    CHECK(two.bias[0] == doctest::Approx((c == 1 ? 1 : -1) * std::log(16)));
  }
  const LinearModel one = tsdl::fit_ridge(data.X.leftCols(1), data.Y.leftCols(1), 1);
  CHECK(one.weights.isZero(0));
  CHECK(one.bias == data.Y.col(0));
}

TEST_CASE("linear models: classes that a line parts, and features of wild size, end in numbers") {
  Data data = drawn(3, 60, 3, 2);
  for (Index i = 0; i < 60; ++i) {
    data.classes[test::at(i)] = data.X(0, i) > 0.5 ? 2 : data.X(0, i) > -0.5 ? 1 : 0;
    data.X(1, i) = std::exp(8 * data.X(1, i));
  }
  const LinearModel model = tsdl::fit_logistic(data.X, data.classes, 3, 1e-6);
  CHECK(tsdl::mean_log_loss(model, data.X, data.classes) < 1e-3);
  Matrix padded = Matrix::Zero(304, 60);
  padded.topRows(3) = data.X;
  const LinearModel wide = tsdl::fit_logistic(padded, data.classes, 3, 1e-6);
  CHECK(tsdl::mean_log_loss(wide, padded, data.classes) < 1e-3);
  // All features but the one that parts the classes, with both solvers.
  for (const Index d : {20, 150}) {
    CAPTURE(d);
    Data wild = drawn(d, 300, 3, 2);
    for (Index i = 0; i < 300; ++i) {
      wild.classes[test::at(i)] = wild.X(0, i) > 0.5 ? 2 : wild.X(0, i) > -0.5 ? 1 : 0;
      wild.X.col(i).tail(d - 1) = (8 * wild.X.col(i).tail(d - 1)).array().exp();
    }
    const LinearModel fitted = tsdl::fit_logistic(wild.X, wild.classes, 3, 0.01);
    CHECK(tsdl::mean_log_loss(fitted, wild.X, wild.classes) < 0.05);
  }
}

TEST_CASE("linear models: the losses of a model by hand") {
  LinearModel model;
  model.weights = Matrix::Constant(1, 1, 2.0);
  model.bias = tsdl::Vector<double>::Constant(1, -1.0);
  Matrix X(1, 3), Y(1, 3);
  X << 0, 1, 1000;
  Y << 1, 1, 1999;
  CHECK(tsdl::mean_squared_error(model, X, Y) == doctest::Approx(4.0 / 3));
  const double e = std::exp(-1.0);
  CHECK(tsdl::mean_log_loss(model, X, std::vector<Index>{1, 0, 1}) ==
        doctest::Approx((std::log(1 + 1 / e) + std::log(1 + 1 / e)) / 3));
  CHECK(tsdl::mean_log_loss(model, X, std::vector<Index>{0, 1, 0}) ==
        doctest::Approx((2 * std::log(1 + e) + 1999) / 3));
  model.weights = Matrix::Zero(3, 1);
  model.weights(2, 0) = 1;
  model.bias = tsdl::Vector<double>::Zero(3);
  CHECK(tsdl::mean_log_loss(model, X, std::vector<Index>{0, 2, 1}) ==
        doctest::Approx((std::log(3.0) + std::log(1 + 2 * e) + 1000) / 3));
}

TEST_CASE("choose_penalty: the model of the grid that does best on validation data") {
  for (const Index K : {2, 3}) {
    CAPTURE(K);
    // Little signal in many features, so that the best penalty is inside the grid.
    const Data train = drawn(30, 80, K, 12, 0.6), valid = drawn(30, 200, K, 13, 0.6);
    const tsdl::PenaltyChoice choice =
        tsdl::choose_penalty(train.X, train.classes, K, valid.X, valid.classes);
    const tsdl::PenaltyChoice ridge = tsdl::choose_penalty(train.X, train.Y, valid.X, valid.Y);
    std::size_t best = 0, best_ridge = 0;
    double penalty = 1e-2;
    for (std::size_t i = 0; i < 9; ++i, penalty *= 10) {
      CHECK(tsdl::penalty_grid[i] == doctest::Approx(penalty).epsilon(1e-15));
      const LinearModel alone =
          tsdl::fit_logistic(train.X, train.classes, K, tsdl::penalty_grid[i]);
      CHECK(choice.losses[i] ==
            doctest::Approx(tsdl::mean_log_loss(alone, valid.X, valid.classes)).epsilon(1e-6));
      const LinearModel ridge_alone = tsdl::fit_ridge(train.X, train.Y, tsdl::penalty_grid[i]);
      CHECK(ridge.losses[i] == tsdl::mean_squared_error(ridge_alone, valid.X, valid.Y));
      if (choice.losses[i] < choice.losses[best]) best = i;
      if (ridge.losses[i] < ridge.losses[best_ridge]) best_ridge = i;
    }
    CHECK(best > 0);
    CHECK(best < 8);
    CHECK(choice.model.penalty == tsdl::penalty_grid[best]);
    CHECK(choice.loss == choice.losses[best]);
    CHECK(choice.loss == tsdl::mean_log_loss(choice.model, valid.X, valid.classes));
    CHECK(ridge.loss == ridge.losses[best_ridge]);
    CHECK(same(ridge.model, tsdl::fit_ridge(train.X, train.Y, tsdl::penalty_grid[best_ridge])));
  }
}

TEST_CASE("choose_penalty: the largest of penalties that do equally well") {
  Data data = drawn(2, 30, 3, 7);
  data.X.setConstant(0.3);
  CHECK(tsdl::choose_penalty(data.X, data.classes, 3, data.X, data.classes).model.penalty == 1e6);
  CHECK(tsdl::choose_penalty(data.X, data.Y, data.X, data.Y).model.penalty == 1e6);
  // A weight that is right without any penalty: the smallest, whose loss is by far the least.
  const Data exact = drawn(2, 30, 2, 7);
  CHECK(tsdl::choose_penalty(exact.X, exact.X, exact.X, exact.X).model.penalty == 1e-2);
}

TEST_CASE("linear models: the number of Eigen's threads changes no bit") {
  const Data data = drawn(210, 500, 3, 14);
  const auto fit = [&](int threads) {
    Eigen::setNbThreads(threads);
    const LinearModel logistic = tsdl::fit_logistic(data.X, data.classes, 3, 3.0);
    return std::pair{logistic, tsdl::fit_ridge(data.X, data.Y, 3.0)};
  };
  const auto [logistic, ridge] = fit(1);
  const auto [logistic_again, ridge_again] = fit(4);
  Eigen::setNbThreads(0);  // as many as there are
  CHECK(same(logistic, logistic_again));
  CHECK(same(ridge, ridge_again));
}

TEST_CASE("linear models: what cannot be fitted is refused") {
  const Data good = drawn(2, 6, 2, 1);
  const double infinity = HUGE_VAL;
  for (const double penalty : {0.0, -1.0, std::nan(""), infinity}) {
    CAPTURE(penalty);
    CHECK_THROWS_AS(tsdl::fit_ridge(good.X, good.Y, penalty), tsdl::OptionError);
    CHECK_THROWS_AS(tsdl::fit_logistic(good.X, good.classes, 2, penalty), tsdl::OptionError);
    const std::vector<Index> one(6, 0);  // of which nothing is to be solved
    CHECK_THROWS_AS(tsdl::fit_logistic(good.X, one, 2, penalty), tsdl::OptionError);
  }
  CHECK_THROWS_AS(tsdl::fit_logistic(good.X, std::vector<Index>(6, 0), 1, 1), tsdl::OptionError);
  for (const double value : {std::nan(""), infinity, -infinity}) {
    CAPTURE(value);
    Data wrong = good;
    wrong.X(1, 4) = value;
    CHECK_THROWS_AS(tsdl::fit_ridge(wrong.X, wrong.Y, 1), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::fit_logistic(wrong.X, wrong.classes, 2, 1), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::choose_penalty(good.X, good.Y, wrong.X, good.Y), tsdl::DataError);
    wrong.Y(1, 5) = value;
    CHECK_THROWS_AS(tsdl::fit_ridge(good.X, wrong.Y, 1), tsdl::DataError);
  }
  Data bad = good;
  bad.X(1, 4) = infinity;
  CHECK_THROWS_WITH(tsdl::fit_ridge(bad.X, bad.Y, 1), "fit_ridge: feature 1 of sample 4 is inf");
  for (const Index c : {Index{-1}, Index{2}}) {
    CAPTURE(c);
    std::vector<Index> classes = good.classes;
    classes[3] = c;
    CHECK_THROWS_AS(tsdl::fit_logistic(good.X, classes, 2, 1), tsdl::DataError);
    CHECK_THROWS_AS(tsdl::choose_penalty(good.X, good.classes, 2, good.X, classes),
                    tsdl::DataError);
  }
  const std::span<const Index> classes(good.classes);
  CHECK_THROWS_AS(tsdl::fit_logistic(good.X, classes.first(5), 2, 1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::fit_logistic(Matrix(2, 0), {}, 2, 1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::fit_logistic(Matrix(0, 6), classes, 2, 1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::fit_ridge(Matrix(2, 0), Matrix(1, 0), 1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::fit_ridge(good.X, good.Y.leftCols(5), 1), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::fit_ridge(good.X, Matrix(0, 6), 1), tsdl::ShapeError);
  const LinearModel model = tsdl::fit_logistic(good.X, classes, 2, 1);
  CHECK_THROWS_AS(model.outputs(good.X.topRows(1)), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::mean_log_loss(model, good.X, classes.first(5)), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::mean_squared_error(model, good.X, good.Y), tsdl::ShapeError);
  const Matrix huge = 1e200 * good.X;
  CHECK_THROWS_AS(tsdl::fit_ridge(huge, good.Y, 1), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::fit_ridge(huge / 1e100, 1e250 * good.Y, 1), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::fit_logistic(huge, good.classes, 2, 1), tsdl::DataError);
}
