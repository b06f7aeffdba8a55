// Recurrent layers and a linear layer in plain Eigen, forward and backward.
//
// Of each layer the input projection is one product over all T * B columns, and so are the weight
// gradients; a step is one product and array expressions. Threads take directions, and where there
// are more threads than directions, parts of the batch, of the columns or of the rows: that is
// faster than Eigen's own threads inside a product.
//
// Matrices are column-major with one column a (step, sample), as the windows come.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <vector>

#include "training.hpp"

namespace peers::plain_eigen {

using Eigen::MatrixXf, Eigen::VectorXf;

using ConstMap = Eigen::Map<const MatrixXf>;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline int thread_count = 1;

/// The part `i` of `parts` of 0 ... size - 1.
struct Range {
  Range(Index size, Index i, Index parts)
      : first(size * i / parts), count(size * (i + 1) / parts - first) {}
  Index first, count;
};

template <class Task>
void parallel(Index tasks, const Task& task) {
  const int threads = static_cast<int>(std::min<Index>(tasks, thread_count));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (Index i = 0; i < tasks; ++i) task(i);
}

/// The tensors of one layer and direction inside the array of all parameters, or of all gradients.
struct Tensors {
  Tensors(float* data, Index I, Index H, Index rows)
      : w(data, rows, I),
        u(w.data() + w.size(), rows, H),
        bi(u.data() + u.size(), rows),
        bh(bi.data() + rows, rows) {}
  static Index size(Index I, Index H, Index rows) { return rows * (I + H + 2); }

  Eigen::Map<MatrixXf> w, u;
  Eigen::Map<VectorXf> bi, bh;
};

struct Direction {
  Direction(Tensors value_, Tensors gradient_) : value(value_), gradient(gradient_) {}
  Tensors value, gradient;
  MatrixXf gates;            ///< G x TB: pre-activations, then gates, then their gradients
  MatrixXf recurrent;        ///< GRU, G x TB: U h, then the gradients that enter it
  MatrixXf c, tanh_c;        ///< LSTM, H x TB, or H x B when nothing is kept
  MatrixXf dh, dc, scratch;  ///< H x B
  VectorXf bias;
};

class Recurrent {
 public:
  explicit Recurrent(const Work& work) : n_(work.network), B_(work.batch), TB_(n_.steps * B_) {
    const Network& n = n_;
    const Index B = B_, H = n.hidden, D = n.directions, rows = n.gates() * H, K = n.outputs;
    Index size = K * (D * H + 1);
    for (Index l = 0; l < n.layers; ++l) size += D * Tensors::size(n.layer_inputs(l), H, rows);
    parameters.allocate(size);
    const auto given = tensors(n);
    auto tensor = given.begin();
    const auto take = [&](auto&& map) {
      map = Eigen::Map<const RowMajor>(tensor->values.data(), tensor->rows, tensor->cols);
      ++tensor;
    };
    Index at = 0;
    for (Index l = 0; l < n.layers; ++l) {
      for (Index d = 0; d < D; ++d) {
        const Index I = n.layer_inputs(l);
        Direction& direction =
            directions_.emplace_back(Tensors(parameters.values.data() + at, I, H, rows),
                                     Tensors(parameters.gradients.data() + at, I, H, rows));
        at += Tensors::size(I, H, rows);
        take(direction.value.w);
        take(direction.value.u);
        take(direction.value.bi);
        take(direction.value.bh);
        direction.gates.resize(rows, TB_);
        if (n.gru) direction.recurrent.resize(rows, TB_);
      }
      outputs_.emplace_back(D * H, TB_);
      gradients_.push_back(MatrixXf::Zero(D * H, TB_));
    }
    fc_ = at;
    take(Eigen::Map<MatrixXf>(parameters.values.data() + fc_, K, D * H));
    take(Eigen::Map<VectorXf>(parameters.values.data() + fc_ + K * D * H, K));
    logits.resize(K, B);
    dlogits.resize(K, B);
  }

  static std::vector<float> input(const Work& work) { return windows(work.network, work.batch); }

  void forward(const ConstMap& x, bool training) {
    const Index D = n_.directions, H = n_.hidden, K = n_.outputs;
    for (Index l = 0; l < n_.layers; ++l) {
      const ConstMap input = layer_input(x, l);
      const Index parts = parts_of(D, TB_);
      for (Index d = 0; d < D; ++d) prepare(at(l, d), training);
      parallel(D * parts, [&](Index task) {
        Direction& direction = at(l, task % D);
        const Range columns(TB_, task / D, parts);
        auto a = direction.gates.middleCols(columns.first, columns.count);
        a.colwise() = direction.bias;
        a.noalias() += direction.value.w * input.middleCols(columns.first, columns.count);
      });
      const Index sample_parts = parts_of(D, B_);
      parallel(D * sample_parts, [&](Index task) {
        const Range samples(B_, task / D, sample_parts);
        for (Index s = 0; s < n_.steps; ++s)
          n_.gru ? gru_step(l, task % D, s, samples) : lstm_step(l, task % D, s, samples, training);
      });
    }
    const ConstMap fc(parameters.values.data() + fc_, K, D * H), bias(fc.data() + fc.size(), K, 1);
    logits.noalias() = fc * outputs_.back().rightCols(B_);
    logits.colwise() += bias.col(0);
  }

  void backward(const ConstMap& x) {
    const Index D = n_.directions, H = n_.hidden, K = n_.outputs;
    const ConstMap fc(parameters.values.data() + fc_, K, D * H);
    Eigen::Map<MatrixXf> dfc(parameters.gradients.data() + fc_, K, D * H);
    dfc.noalias() = dlogits * outputs_.back().rightCols(B_).transpose();
    Eigen::Map<VectorXf>(dfc.data() + dfc.size(), K) = dlogits.rowwise().sum();
    gradients_.back().rightCols(B_).noalias() = fc.transpose() * dlogits;
    for (Index l = n_.layers; l-- > 0;) {
      const Index sample_parts = parts_of(D, B_);
      parallel(D * sample_parts, [&](Index task) {
        Direction& direction = at(l, task % D);
        const Range samples(B_, task / D, sample_parts);
        direction.dh.middleCols(samples.first, samples.count).setZero();
        if (!n_.gru) direction.dc.middleCols(samples.first, samples.count).setZero();
        for (Index s = n_.steps; s-- > 0;)
          n_.gru ? gru_step_back(l, task % D, s, samples) : lstm_step_back(l, task % D, s, samples);
      });
      const ConstMap input = layer_input(x, l);
      const Index parts = parts_of(D, n_.gates() * H);
      parallel(D * parts, [&](Index task) {
        weight_gradients(l, task % D, input, Range(n_.gates() * H, task / D, parts));
      });
      if (l == 0) continue;
      parallel(thread_count, [&](Index task) {
        const Range columns(TB_, task, thread_count);
        auto dx =
            gradients_[static_cast<std::size_t>(l - 1)].middleCols(columns.first, columns.count);
        for (Index d = 0; d < D; ++d) {
          const auto da = at(l, d).gates.middleCols(columns.first, columns.count);
          if (d == 0)
            dx.noalias() = at(l, d).value.w.transpose() * da;
          else
            dx.noalias() += at(l, d).value.w.transpose() * da;
        }
      });
    }
  }

  Parameters parameters;
  MatrixXf logits, dlogits;

 private:
  Direction& at(Index l, Index d) {
    return directions_[static_cast<std::size_t>(l * n_.directions + d)];
  }
  ConstMap layer_input(const ConstMap& x, Index l) const {
    if (l == 0) return x;
    const MatrixXf& below = outputs_[static_cast<std::size_t>(l - 1)];
    return {below.data(), below.rows(), below.cols()};
  }
  /// Into how many parts a direction's work is divided.
  static Index parts_of(Index D, Index size) {
    return std::clamp<Index>(thread_count / D, 1, std::max<Index>(1, size / 8));
  }
  /// The first column of step s: steps count in the order in which the direction runs.
  Index column(Index d, Index s) const { return (d == 0 ? s : n_.steps - 1 - s) * B_; }

  void prepare(Direction& direction, bool training) {
    const Index H = n_.hidden;
    direction.bias = direction.value.bi + direction.value.bh;
    if (n_.gru) direction.bias.tail(H) = direction.value.bi.tail(H);
    if (!n_.gru) direction.c.resize(H, training ? TB_ : B_);
    if (!n_.gru) direction.tanh_c.resize(H, training ? TB_ : B_);
    direction.dh.resize(H, B_);
    direction.dc.resize(H, B_);
    direction.scratch.resize(H, B_);
  }

  auto hidden_state(Index l, Index d, Index s, const Range& samples) {
    return outputs_[static_cast<std::size_t>(l)].block(d * n_.hidden, column(d, s) + samples.first,
                                                       n_.hidden, samples.count);
  }
  auto output_gradient(Index l, Index d, Index s, const Range& samples) {
    return gradients_[static_cast<std::size_t>(l)].block(
        d * n_.hidden, column(d, s) + samples.first, n_.hidden, samples.count);
  }

  void lstm_step(Index l, Index d, Index s, const Range& samples, bool training) {
    Direction& direction = at(l, d);
    const Index H = n_.hidden, from = column(d, s) + samples.first, n = samples.count;
    const Index c_from = training ? from : samples.first;
    const Index c_before = training && s > 0 ? column(d, s - 1) + samples.first : c_from;
    auto a = direction.gates.middleCols(from, n);
    if (s > 0) a.noalias() += direction.value.u * hidden_state(l, d, s - 1, samples);
    auto i = a.topRows(H).array(), f = a.middleRows(H, H).array(),
         g = a.middleRows(2 * H, H).array(), o = a.bottomRows(H).array();
    a.topRows(2 * H) = a.topRows(2 * H).array().logistic();
    g = g.tanh();
    o = o.logistic();
    auto c = direction.c.middleCols(c_from, n);
    if (s > 0)
      c = f * direction.c.middleCols(c_before, n).array() + i * g;
    else
      c = i * g;
    auto tanh_c = direction.tanh_c.middleCols(c_from, n);
    tanh_c = c.array().tanh();
    hidden_state(l, d, s, samples) = o * tanh_c.array();
  }

  void lstm_step_back(Index l, Index d, Index s, const Range& samples) {
    Direction& direction = at(l, d);
    const Index H = n_.hidden, from = column(d, s) + samples.first, n = samples.count;
    auto dh = direction.dh.middleCols(samples.first, n);
    auto dc = direction.dc.middleCols(samples.first, n);
    dh += output_gradient(l, d, s, samples);
    auto a = direction.gates.middleCols(from, n);
    auto i = a.topRows(H).array(), f = a.middleRows(H, H).array(),
         g = a.middleRows(2 * H, H).array(), o = a.bottomRows(H).array();
    const auto tanh_c = direction.tanh_c.middleCols(from, n).array();
    dc.array() += dh.array() * o * (1.0f - tanh_c.square());
    o = dh.array() * tanh_c * o * (1.0f - o);
    auto next_dc = direction.scratch.middleCols(samples.first, n);
    next_dc = dc.array() * f;
    if (s > 0)
      f = dc.array() * direction.c.middleCols(column(d, s - 1) + samples.first, n).array() * f *
          (1.0f - f);
    else
      f.setZero();
    dh = i;  // dh has been read, and i is about to change
    i = dc.array() * g * i * (1.0f - i);
    g = dc.array() * dh.array() * (1.0f - g.square());
    dc = next_dc;
    if (s > 0) dh.noalias() = direction.value.u.transpose() * a;
  }

  void gru_step(Index l, Index d, Index s, const Range& samples) {
    Direction& direction = at(l, d);
    const Index H = n_.hidden, from = column(d, s) + samples.first, n = samples.count;
    auto a = direction.gates.middleCols(from, n);
    auto uh = direction.recurrent.middleCols(from, n);
    if (s > 0)
      uh.noalias() = direction.value.u * hidden_state(l, d, s - 1, samples);
    else
      uh.setZero();
    uh.bottomRows(H).colwise() += direction.value.bh.tail(H);
    const auto um = uh.bottomRows(H).array();
    auto r = a.topRows(H).array(), z = a.middleRows(H, H).array(), m = a.bottomRows(H).array();
    a.topRows(2 * H) = (a.topRows(2 * H) + uh.topRows(2 * H)).array().logistic();
    m = (m + r * um).tanh();
    auto h = hidden_state(l, d, s, samples);
    if (s > 0)
      h = m + z * (hidden_state(l, d, s - 1, samples).array() - m);
    else
      h = m - z * m;
  }

  void gru_step_back(Index l, Index d, Index s, const Range& samples) {
    Direction& direction = at(l, d);
    const Index H = n_.hidden, from = column(d, s) + samples.first, n = samples.count;
    auto dh = direction.dh.middleCols(samples.first, n).array();
    dh += output_gradient(l, d, s, samples).array();
    auto a = direction.gates.middleCols(from, n);
    auto uh = direction.recurrent.middleCols(from, n);
    auto r = a.topRows(H).array(), z = a.middleRows(H, H).array(), m = a.bottomRows(H).array();
    auto um = uh.bottomRows(H).array();
    auto dh_before = direction.scratch.middleCols(samples.first, n).array();
    dh_before = dh * z;
    // z last of what reads z: m = tanh(...) needs 1 - z, and so does its gradient.
    if (s > 0)
      uh.middleRows(H, H) =
          (dh * (hidden_state(l, d, s - 1, samples).array() - m) * z * (1.0f - z)).matrix();
    else
      uh.middleRows(H, H) = (-dh * m * z * (1.0f - z)).matrix();
    m = dh * (1.0f - z) * (1.0f - m.square());
    z = uh.middleRows(H, H).array();
    const auto dr = m * um * r * (1.0f - r);
    uh.topRows(H) = dr.matrix();
    um = m * r;
    r = uh.topRows(H).array();
    dh = dh_before;
    if (s > 0) dh.matrix().noalias() += direction.value.u.transpose() * uh;
  }

  /// Of some rows of W, U and the biases.
  void weight_gradients(Index l, Index d, const ConstMap& input, const Range& rows) {
    Direction& direction = at(l, d);
    const Index steps = TB_ - B_, H = n_.hidden, from = d == 0 ? B_ : 0, h_from = B_ - from;
    const MatrixXf& entering = n_.gru ? direction.recurrent : direction.gates;
    const auto dx = direction.gates.middleRows(rows.first, rows.count);
    const auto dh = entering.middleRows(rows.first, rows.count);
    direction.gradient.w.middleRows(rows.first, rows.count).noalias() = dx * input.transpose();
    direction.gradient.u.middleRows(rows.first, rows.count).noalias() =
        dh.middleCols(from, steps) *
        outputs_[static_cast<std::size_t>(l)].block(d * H, h_from, H, steps).transpose();
    const auto ones = VectorXf::Ones(TB_);
    direction.gradient.bi.segment(rows.first, rows.count).noalias() = dx * ones;
    direction.gradient.bh.segment(rows.first, rows.count).noalias() = dh * ones;
  }

  Network n_;
  Index B_, TB_, fc_ = 0;
  std::vector<Direction> directions_;
  std::vector<MatrixXf> outputs_, gradients_;
};

}  // namespace peers::plain_eigen
