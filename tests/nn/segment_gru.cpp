// SegmentGRU against PyTorch, finite differences, itself in other batches and threads; its
// refusals, its files and what it allocates.
//
// tests/goldens/segment_gru.py wrote the cases.
#include "tsdl/nn/segment_gru.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <numeric>
#include <utility>

#include "support/files.hpp"
#include "support/network.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/nn/any_model.hpp"
#include "tsdl/optim/adamw.hpp"

namespace {

using test::Index;
using Values = std::vector<double>;
using Model = tsdl::SegmentGRU<double>;

static_assert(tsdl::Model<tsdl::SegmentGRU<float>>);
static_assert(tsdl::Model<tsdl::SegmentGRU<double>>);

/// A case of the golden set.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(tsdl::read_safetensors(std::filesystem::path(TSDL_SOURCE_DIR) /
                                     "tests/goldens/segment_gru" / (name + ".safetensors"))) {}
  Index number(const std::string& key) const { return std::stoll(file_.metadata_at(key)); }
  double real(const std::string& key) const { return std::stod(file_.metadata_at(key)); }
  tsdl::SegmentOptions options() const {
    return {.inputs = number("C"),
            .length = number("T"),
            .horizon = number("H"),
            .segment = number("w"),
            .hidden_size = number("d"),
            .outputs_per_step = number("Q"),
            .dropout = 0.0,
            .normalise = tsdl::window_norm_from(file_.metadata_at("normalise"))};
  }
  template <class Scalar>
  std::vector<Scalar> tensor(const std::string& name) {
    const std::vector<Index> shape = file_.tensors().at(name).shape;
    std::vector<Scalar> values(static_cast<std::size_t>(*tsdl::internal::checked_product(shape)));
    file_.copy_to<Scalar>(name, shape, values);
    return values;
  }
  template <class M>
  void load(M& model) {
    model.visit([&](auto& parameter) {
      file_.copy_to<typename M::Scalar>(parameter.name, parameter.shape(), parameter.value.span());
    });
    model.repack();
  }
  /// |e| <= tolerance times the largest of the reference.
  template <class Got>
  void compare(const std::string& name, const Got& values, double tolerance) {
    const Values reference = tensor<double>(name);
    INFO(name);
    CHECK(test::largest(reference) > 0);
    CHECK(test::largest_difference(values, reference) <= tolerance * test::largest(reference));
  }

 private:
  tsdl::TensorFile file_;
};

template <class Scalar>
void check_golden(const std::string& name, double tolerance) {
  INFO(name);
  Golden golden(name);
  tsdl::SegmentGRU<Scalar> model(golden.options(), 1);
  golden.load(model);
  const Index C = golden.number("C"), T = golden.number("T"), B = golden.number("B");
  const auto x = golden.tensor<Scalar>("x"), dy = golden.tensor<Scalar>("dy");
  typename tsdl::SegmentGRU<Scalar>::Cache cache;
  const auto y = model.forward(test::dense(x, C, T, B), cache, {.training = true});
  REQUIRE(y.rows() == model.outputs());
  REQUIRE(y.cols() == B);
  golden.compare("out.y", std::span<const Scalar>(y.data(), dy.size()), tolerance);
  model.backward(test::dense(x, C, T, B), cache, dy.data());
  Index parameters = 0;
  std::as_const(model).visit([&](const auto& parameter) {
    ++parameters;
    golden.compare("grad." + parameter.name, parameter.gradient, tolerance);
  });
  CHECK(parameters == 10);
  model.forward(test::dense(x, C, T, B), cache, {.training = true});
  model.backward(test::dense(x, C, T, B), cache, dy.data());
  std::as_const(model).visit([&](const auto& parameter) {  // gradients accumulate
    std::vector<Scalar> half(parameter.gradient.begin(), parameter.gradient.end());
    for (Scalar& value : half) value /= 2;
    golden.compare("grad." + parameter.name, half, tolerance);
  });
}

void check_training(const std::string& name) {
  INFO(name);
  constexpr double tolerance = 1e-10;
  Golden golden(name);
  Model model(golden.options(), 1);
  golden.load(model);
  tsdl::Optimizer optimizer(model, tsdl::AdamW{.weight_decay = 0.02});
  const Index C = golden.number("C"), T = golden.number("T"), B = golden.number("B"),
              outputs = B * model.outputs();
  const Values xs = golden.tensor<double>("xs"), targets = golden.tensor<double>("targets");
  Values dy(static_cast<std::size_t>(outputs)), losses;
  Model::Cache cache;
  for (Index step = 0; step < golden.number("steps"); ++step) {
    const auto x = tsdl::Sequence<const double>::dense(xs.data() + step * T * B * C, C, T, B);
    const auto y = model.forward(x, cache, {.training = true});
    double sum = 0;
    for (Index i = 0; i < outputs; ++i) {
      const double off = y.data()[i] - targets[static_cast<std::size_t>(step * outputs + i)];
      sum += off * off;
      dy[static_cast<std::size_t>(i)] = 2 * off / static_cast<double>(outputs);
    }
    losses.push_back(sum / static_cast<double>(outputs));
    model.zero_gradients();
    model.backward(x, cache, dy.data());
    optimizer.step(model, golden.real("rate"), 1.0);
  }
  golden.compare("out.losses", losses, tolerance);
  model.visit([&](const auto& parameter) {
    golden.compare("final." + parameter.name, parameter.value, tolerance);
  });
}

constexpr const char* goldens[] = {"last", "numbers", "one", "wide"};

/// Three channels, a width that no vector divides.
tsdl::SegmentOptions small(Index d = 10) {
  return {.inputs = 3,
          .length = 12,
          .horizon = 8,
          .segment = 4,
          .hidden_size = d,
          .outputs_per_step = 2,
          .dropout = 0.5};
}

/// The outputs and every gradient of one training pass.
template <class M>
auto pass_of(M& model, const tsdl::Batch<typename M::Scalar>& batch,
             const std::vector<typename M::Scalar>& dy, const tsdl::DropoutKey& key = {7, 3}) {
  typename M::Cache cache;
  model.zero_gradients();
  const auto y = model.forward(batch, cache, {.training = true, .dropout = key});
  std::vector<std::vector<typename M::Scalar>> all{{y.data(), y.data() + y.size()}};
  model.backward(batch, cache, dy.data());
  for (auto& gradient : test::gradients(model)) all.push_back(std::move(gradient));
  return all;
}

}  // namespace

TEST_CASE("PyTorch agreement: a SegmentGRU's outputs and every gradient") {
  for (const char* name : goldens) {
    check_golden<double>(name, 1e-12);
    check_golden<float>(name, 2e-5);
  }
}

TEST_CASE("PyTorch agreement: a SegmentGRU's steps of AdamW") {
  for (const char* name : goldens) check_training(name);
}

TEST_CASE("a SegmentGRU's gradients are its finite differences, with dropout") {
  const tsdl::SegmentOptions options = small();
  Model model(options, 3);
  tsdl::RandomStream random(5);
  test::draw_parameters(model, random, 0.7);
  const Index B = 3;
  const Values x = test::draw<double>(random, 12 * B * 3);
  const Values dy = test::draw<double>(random, B * options.outputs());
  const auto batch = test::dense(x, 3, 12, B);
  const auto gradients = pass_of(model, batch, dy);
  Model::Cache cache;
  const auto loss = [&] {
    const auto y = model.forward(batch, cache, {.training = true, .dropout = {7, 3}});
    return std::inner_product(dy.begin(), dy.end(), y.data(), 0.0);
  };
  std::size_t tensor = 1;
  std::vector<std::pair<double*, Index>> values;
  model.visit(
      [&](auto& parameter) { values.emplace_back(parameter.value.data(), parameter.size()); });
  for (const auto& [start_of, size] : values) {
    double* const data = start_of;
    Values numeric;
    for (Index i = 0; i < size; ++i) {
      constexpr double step = 1e-5;
      const double start = data[i];
      const auto at = [&](double offset) {
        data[i] = start + offset;
        model.repack();
        return loss();
      };
      numeric.push_back((at(step) - at(-step)) / (2 * step));
      data[i] = start;
    }
    INFO("tensor ", tensor);
    CHECK(test::largest_difference(gradients[tensor], numeric) <= 1e-7 * test::largest(numeric));
    ++tensor;
  }
}

TEST_CASE_TEMPLATE("a SegmentGRU has the same bits for any number of threads", Scalar, float,
                   double) {
  tsdl::SegmentOptions options = small(70);
  options.inputs = 7;
  tsdl::SegmentGRU<Scalar> model(options, 3);
  tsdl::RandomStream random(5);
  const Index B = 41;
  const auto x = test::draw<Scalar>(random, 12 * B * 7);
  const auto dy = test::draw<Scalar>(random, B * options.outputs());
  const int threads = tsdl::thread_count();
  tsdl::set_thread_count(1);
  const auto one = pass_of(model, test::dense(x, 7, 12, B), dy);
  for (const int count : {2, 3}) {
    tsdl::set_thread_count(count);
    CHECK(pass_of(model, test::dense(x, 7, 12, B), dy) == one);
  }
  tsdl::set_thread_count(threads);
}

TEST_CASE_TEMPLATE("a SegmentGRU's outputs do not depend on batch, place or layout", Scalar, float,
                   double) {
  for (const auto norm : {tsdl::WindowNorm::last, tsdl::WindowNorm::instance}) {
    tsdl::SegmentOptions options = small(22);
    options.normalise = norm;
    tsdl::SegmentGRU<Scalar> model(options, 3);
    typename tsdl::SegmentGRU<Scalar>::Cache cache;
    tsdl::RandomStream random(5);
    const Index N = 23, K = options.outputs();
    const auto series = test::draw<Scalar>(random, (12 + N - 1) * 3);
    std::vector<std::uint32_t> keys;
    for (Index b = 0; b < N; ++b) keys.push_back(static_cast<std::uint32_t>(1000 + 17 * b));
    for (const bool training : {false, true}) {
      const auto outputs_of = [&](const tsdl::Sequence<const Scalar>& x, Index first) {
        tsdl::Batch<Scalar> batch(x);
        batch.keys = std::span<const std::uint32_t>(keys).subspan(
            static_cast<std::size_t>(first), static_cast<std::size_t>(x.batch));
        const auto y = model.forward(batch, cache, {.training = training, .dropout = {1, 2}});
        return std::vector<Scalar>(y.data(), y.data() + y.size());
      };
      std::vector<Scalar> alone;
      for (Index b = 0; b < N; ++b) {
        const auto one = outputs_of(test::windows(series.data() + b * 3, 3, 12, 1, 1), b);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      for (Index B = 1; B <= N; ++B)
        for (const Index first : {Index{0}, N - B}) {
          const auto view = test::windows(series.data() + first * 3, 3, 12, B, 1);
          const auto copy = test::gathered(view);
          const std::vector<Scalar> expected(alone.begin() + first * K,
                                             alone.begin() + (first + B) * K);
          CHECK(outputs_of(view, first) == expected);
          CHECK(outputs_of(test::dense(copy, 3, 12, B), first) == expected);
        }
    }
  }
}

TEST_CASE(
    "a SegmentGRU's dropout changes with the update, the sample, the channel and the segment") {
  tsdl::SegmentOptions options = small(64);
  options.normalise = tsdl::WindowNorm::none;
  Model model(options, 3);
  model.visit([](auto& parameter) {  // all channels and segments have one state
    if (parameter.name == "position" || parameter.name == "channel")
      for (auto& value : parameter.value) value = 0.5;
  });
  model.repack();
  const Values x(static_cast<std::size_t>(12 * 2 * 3), 0.25);
  Model::Cache cache;
  const auto outputs = [&](std::uint64_t update, bool training) {
    const auto y = model.forward(test::dense(x, 3, 12, 2), cache,
                                 {.training = training, .dropout = {1, update}});
    return Values(y.data(), y.data() + y.size());
  };
  const auto at = [&](const Values& y, Index b, Index m, Index c) {  // [B][H][C][Q]
    return y[static_cast<std::size_t>(((b * 8 + m * 4) * 3 + c) * 2)];
  };
  const Values plain = outputs(0, false), dropped = outputs(0, true), other = outputs(1, true);
  CHECK(dropped == outputs(0, true));
  std::vector<double> values;
  for (Index b = 0; b < 2; ++b)
    for (Index m = 0; m < 2; ++m)
      for (Index c = 0; c < 3; ++c) {
        CHECK(at(plain, b, m, c) == at(plain, 0, 0, 0));
        values.push_back(at(dropped, b, m, c));
        values.push_back(at(other, b, m, c));
      }
  std::sort(values.begin(), values.end());
  CHECK(std::adjacent_find(values.begin(), values.end()) == values.end());
}

TEST_CASE("a SegmentGRU starts as PyTorch's layers do") {
  tsdl::SegmentOptions options = small(40);
  options.inputs = 50;
  const Model model(options, 3);
  model.visit([&](const auto& parameter) {
    const auto n = static_cast<double>(parameter.size());
    double mean = 0, square = 0;
    for (const double value : parameter.value) mean += value / n, square += value * value / n;
    const double top = test::largest(parameter.value);
    INFO(parameter.name);
    if (parameter.name == "position" || parameter.name == "channel") {
      CHECK(std::abs(mean) < 5 / std::sqrt(n));
      CHECK(std::abs(square - 1) < 8 / std::sqrt(n));
    } else {  // uniform in +-1 / sqrt(in), of the GRU +-1 / sqrt(d)
      const double bound = 1 / std::sqrt(parameter.name.starts_with("embed") ? 4.0 : 40.0);
      CHECK(top <= bound);
      CHECK(top > (n < 20 ? 0.5 : 0.8) * bound);
      CHECK(square < bound * bound / 3 * (1 + 4 / std::sqrt(n)));
    }
  });
  CHECK(pass_of(*std::make_unique<Model>(options, 4), test::dense(Values(600, 1.0), 50, 12, 1),
                Values(800, 1.0)) != pass_of(*std::make_unique<Model>(options, 3),
                                             test::dense(Values(600, 1.0), 50, 12, 1),
                                             Values(800, 1.0)));
}

TEST_CASE("a SegmentGRU refuses what it cannot do") {
  const auto with = [](auto member, auto value) {
    tsdl::SegmentOptions options = small();
    options.*member = value;
    return Model(options);
  };
  using O = tsdl::SegmentOptions;
  CHECK_THROWS_AS(with(&O::segment, Index{5}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::segment, Index{3}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::segment, Index{0}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::hidden_size, Index{7}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::inputs, Index{0}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::length, Index{0}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::outputs_per_step, Index{0}), tsdl::ShapeError);
  CHECK_THROWS_AS(with(&O::dropout, 1.0), tsdl::OptionError);
  CHECK_THROWS_AS(with(&O::dropout, -0.1), tsdl::OptionError);

  Model model(small());
  Model::Cache cache;
  const Values x(12 * 2 * 4, 1.0), dy(static_cast<std::size_t>(2 * model.outputs()), 1.0);
  const auto forward = [&](Index C, Index T, const tsdl::Pass& pass = {}) {
    model.forward(test::dense(x, C, T, 2), cache, pass);
  };
  CHECK_THROWS_AS(forward(4, 12), tsdl::ShapeError);
  CHECK_THROWS_AS(forward(3, 11), tsdl::ShapeError);
  CHECK_THROWS_AS(forward(3, 12, {.training = true}), tsdl::OptionError);  // no key
  const auto backward = [&](Index B) {
    model.backward(test::dense(x, 3, 12, B), cache, dy.data());
  };
  forward(3, 12);
  CHECK_THROWS_AS(backward(2), tsdl::Error);
  forward(3, 12, {.training = true, .dropout = {1, 1}});
  CHECK_THROWS_AS(backward(1), tsdl::ShapeError);
  backward(2);
  CHECK_THROWS_AS(backward(2), tsdl::Error);
  model.visit([](auto&) {});
  CHECK_THROWS_AS(forward(3, 12), tsdl::Error);
  model.repack();
  forward(3, 12);

  tsdl::Config config = model.describe();
  CHECK(Model(config).describe() == config);
  config.options["more"] = 1;
  CHECK_THROWS_AS(Model{config}, tsdl::OptionError);
  config.options.erase("more");
  config.options.erase("segment");
  CHECK_THROWS_AS(Model{config}, tsdl::OptionError);
  config = model.describe();
  config.kind = "gru";
  CHECK_THROWS_AS(Model{config}, tsdl::OptionError);
}

TEST_CASE("a SegmentGRU declares its tensors, and AnyModel holds one") {
  const Model model(small(), 3);
  const std::vector<tsdl::TensorShape> declared = Model::tensors(model.describe());
  std::size_t i = 0;
  model.visit([&](const auto& parameter) {
    REQUIRE(i < declared.size());
    CHECK(parameter.name == declared[i].name);
    CHECK(parameter.shape() == declared[i].shape);
    ++i;
  });
  CHECK(i == declared.size());
  tsdl::AnyModel<double> any(model);
  CHECK(any.describe() == model.describe());
  CHECK(any.inputs() == 3);
  CHECK(any.outputs() == 8 * 3 * 2);
}

TEST_CASE("a SegmentGRU is saved, loaded and predicts the same") {
  const test::TemporaryDirectory directory;
  const auto file = directory.path() / "segments.safetensors";
  tsdl::SegmentOptions options = small(22);
  options.outputs_per_step = 1;
  tsdl::SegmentGRU<float> model(options, 3);
  model.set_task(tsdl::Regression{.targets = options.outputs()});
  tsdl::Recipe recipe;
  recipe.features = "";
  recipe.columns = {"a", "b", "c"};
  auto series = tsdl::Series<double>::sized(recipe.columns, 20);
  std::iota(series.values.begin(), series.values.end(), 1.0);
  recipe.scaler.fit(series);
  recipe.length = options.length;
  recipe.regression = true;
  tsdl::ColumnTargets targets;
  for (Index k = 0; k < options.outputs(); ++k) targets.columns.push_back(std::to_string(k));
  recipe.label = targets;
  tsdl::save_model(file, model, recipe, 3);
  const auto loaded = tsdl::load_model<tsdl::SegmentGRU<float>>(file);
  CHECK(loaded.model.describe() == model.describe());
  tsdl::RandomStream random(5);
  const auto x = test::draw<float>(random, 12 * 4 * 3);
  tsdl::SegmentGRU<float>::Cache one, other;
  CHECK(model.forward(test::dense(x, 3, 12, 4), one) ==
        loaded.model.forward(test::dense(x, 3, 12, 4), other));
}
