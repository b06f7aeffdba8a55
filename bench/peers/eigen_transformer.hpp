// A Transformer encoder between two linear layers in plain Eigen, forward and backward.
//
// A part of the batch goes through all layers while its columns are in a cache: there the linear
// maps are one product each, and attention is a product a head of a sample. The weight gradients
// are products over all columns. Threads take parts of the batch and, for the weight gradients,
// rows.
//
// Matrices are column-major with one column a (sample, step): a sample's steps stand together.
#pragma once

#include <Eigen/Dense>
#include <cmath>
#include <cstdint>
#include <vector>

#include "eigen_network.hpp"

namespace peers::plain_eigen {

/// A linear map inside the array of all parameters or of all gradients.
struct Linear {
  Linear(float*& data, Index out, Index in) : w(data, out, in), b(data + out * in, out) {
    data += out * (in + 1);
  }
  template <class Out, class In>
  void apply(Out&& y, const In& x) const {
    y.colwise() = b;
    y.noalias() += w * x;
  }

  Eigen::Map<MatrixXf> w;
  Eigen::Map<VectorXf> b;
};

/// The scale and shift of a layer norm.
struct Norm {
  Norm(float*& data, Index size) : w(data, size), b(data + size, size) { data += 2 * size; }
  Eigen::Map<VectorXf> w, b;
};

/// The tensors of one layer.
struct LayerTensors {
  LayerTensors(float*& data, const Network& n)
      : in(data, 3 * n.hidden, n.hidden),
        out(data, n.hidden, n.hidden),
        linear1(data, n.feed_forward, n.hidden),
        linear2(data, n.hidden, n.feed_forward),
        norm1(data, n.hidden),
        norm2(data, n.hidden) {}
  Linear in, out, linear1, linear2;
  Norm norm1, norm2;
};

/// All tensors, in the order of tensors().
struct TransformerTensors {
  TransformerTensors(float* data, const Network& n)
      : input(data, n.hidden, n.inputs),
        layers(make_layers(data, n)),
        fc(data, n.outputs, n.hidden) {}
  static Index size(const Network& n) {
    const Index d = n.hidden, F = n.feed_forward;
    return d * (n.inputs + 1) + n.layers * (4 * d * (d + 1) + F * (d + 1) + d * (F + 1) + 4 * d) +
           n.outputs * (d + 1);
  }
  static std::vector<LayerTensors> make_layers(float*& data, const Network& n) {
    std::vector<LayerTensors> layers;
    for (Index l = 0; l < n.layers; ++l) layers.emplace_back(data, n);
    return layers;
  }

  Linear input;
  std::vector<LayerTensors> layers;
  Linear fc;
};

/// What a layer computes, of all columns; the gradients of the maps' outputs; and in training the
/// factors of dropout, 0 or 1 / (1 - p).
struct LayerColumns {
  LayerColumns(const Network& n, Index B, bool training, bool drops) {
    const Index d = n.hidden, F = n.feed_forward, N = B * n.steps;
    for (MatrixXf* of : {&x, &a, &s}) of->resize(d, N);
    qkv.resize(3 * d, N);
    weights.resize(padded(n.steps), n.steps * n.heads * B);
    g.resize(F, N);
    if (!training) return;
    for (MatrixXf* of : {&normalised1, &normalised2, &da, &dm}) of->resize(d, N);
    for (VectorXf* of : {&rstd1, &rstd2}) of->resize(N);
    dqkv.resize(3 * d, N);
    dg.resize(F, N);
    if (!drops) return;
    dropped.resize(weights.rows(), weights.cols());
    factor_weights.resize(weights.rows(), weights.cols());
    for (MatrixXf* of : {&factor1, &factor2}) of->resize(d, N);
    factor_g.resize(F, N);
  }
  /// The rows of a head's weights: keys, so that each column starts at a whole vector.
  static Index padded(Index steps) { return (steps + 15) / 16 * 16; }

  MatrixXf x, qkv, weights, a, s, g;  ///< weights: a column a (sample, head, query)
  MatrixXf normalised1, normalised2, da, dm, dqkv, dg;
  VectorXf rstd1, rstd2;
  MatrixXf dropped, factor_weights, factor1, factor2, factor_g;
};

class Transformer {
 public:
  explicit Transformer(const Work& work)
      : n_(work.network),
        B_(work.batch),
        keep_(static_cast<float>(1.0 - work.dropout())),
        positions_(MatrixXf::Map(peers::positions(n_).data(), n_.hidden, n_.steps)) {
    parameters.allocate(TransformerTensors::size(n_));
    float* data = parameters.values.data();
    for (const Tensor& tensor : tensors(n_)) {
      MatrixXf::Map(data, tensor.rows, tensor.cols) =
          Eigen::Map<const RowMajor>(tensor.values.data(), tensor.rows, tensor.cols);
      data += tensor.rows * tensor.cols;
    }
    const bool training = work.kind == Kind::train;
    for (Index l = 0; l < n_.layers; ++l) layers_.emplace_back(n_, B_, training, drops());
    y_.resize(n_.hidden, B_ * n_.steps);
    pooled_.resize(n_.hidden, B_);
    dpooled_.resize(n_.hidden, B_);
    logits.resize(n_.outputs, B_);
    dlogits.resize(n_.outputs, B_);
  }
  static std::vector<float> input(const Work& work) { return samples(work.network, work.batch); }

  void forward(const ConstMap& x, bool training) {
    const TransformerTensors t(parameters.values.data(), n_);
    if (training) ++update_;
    parallel(parts(), [&](Index part) {
      const Range of(B_, part, parts());
      const Index from = of.first * n_.steps, count = of.count * n_.steps;
      auto h = layers_[0].x.middleCols(from, count);
      for (Index b = 0; b < of.count; ++b)
        h.middleCols(b * n_.steps, n_.steps) = positions_.colwise() + t.input.b;
      h.noalias() += t.input.w * x.middleCols(from, count);
      for (Index l = 0; l < n_.layers; ++l) {
        MatrixXf& out = l + 1 < n_.layers ? layers_[static_cast<std::size_t>(l + 1)].x : y_;
        layer_forward(t.layers[static_cast<std::size_t>(l)], l, of, out, training);
      }
      for (Index b = of.first; b < of.first + of.count; ++b)
        if (n_.mean)
          pooled_.col(b) = y_.middleCols(b * n_.steps, n_.steps).rowwise().mean();
        else
          pooled_.col(b) = y_.col((b + 1) * n_.steps - 1);
    });
    t.fc.apply(logits, pooled_);
  }

  void backward(const ConstMap& x) {
    const TransformerTensors t(parameters.values.data(), n_);
    TransformerTensors gradient(parameters.gradients.data(), n_);
    gradient.fc.w.noalias() = dlogits * pooled_.transpose();
    gradient.fc.b = dlogits.rowwise().sum();
    dpooled_.noalias() = t.fc.w.transpose() * dlogits;
    if (n_.mean) dpooled_ /= static_cast<float>(n_.steps);
    for (LayerTensors& layer : gradient.layers)
      for (Norm* norm : {&layer.norm1, &layer.norm2}) norm->w.setZero(), norm->b.setZero();
    parallel(parts(), [&](Index part) { backward_part(t, gradient, Range(B_, part, parts())); });
    const Index rows = thread_count;
    parallel(rows, [&](Index part) {
      const auto add = [&](Linear& to, const MatrixXf& dy, const auto& in) {
        const Range of(dy.rows(), part, rows);
        const auto its = dy.middleRows(of.first, of.count);
        to.w.middleRows(of.first, of.count).noalias() = its * in.transpose();
        to.b.segment(of.first, of.count).noalias() = its * VectorXf::Ones(its.cols());
      };
      for (Index l = 0; l < n_.layers; ++l) {
        LayerTensors& to = gradient.layers[static_cast<std::size_t>(l)];
        const LayerColumns& c = layers_[static_cast<std::size_t>(l)];
        add(to.in, c.dqkv, c.x);
        add(to.out, c.da, c.a);
        add(to.linear1, c.dg, c.s);
        add(to.linear2, c.dm, c.g);
      }
      add(gradient.input, y_, x);
    });
  }

  Parameters parameters;
  MatrixXf logits, dlogits;

 private:
  bool drops() const { return keep_ < 1.0f; }
  /// Of four samples, whose columns in a layer stay in the second-level cache.
  Index parts() const { return (B_ + 3) / 4; }

  /// In place: the rows of each column are normalised.
  template <class Columns>
  static void normalise(Columns&& y, const Norm& norm, float* normalised, float* rstd) {
    const Index d = y.rows();
    const auto w = norm.w.array(), b = norm.b.array();
    for (Index j = 0; j < y.cols(); ++j) {
      auto column = y.col(j).array();
      const float mean = column.mean();
      const float factor =
          1.0f / std::sqrt((column - mean).square().sum() / static_cast<float>(d) + 1e-5f);
      if (!normalised) {
        column = (column - mean) * factor * w + b;
        continue;
      }
      auto kept = Eigen::Map<Eigen::ArrayXf, Eigen::AlignedMax>(normalised + j * d, d);
      kept = (column - mean) * factor;
      column = kept * w + b;
      rstd[j] = factor;
    }
  }

  /// In place: dy becomes dx.
  template <class Columns, class Normalised>
  static void normalise_back(Columns&& dy, const Norm& norm, const Normalised& normalised,
                             const float* rstd, VectorXf& dw, VectorXf& db) {
    const float scale = 1.0f / static_cast<float>(dy.rows());
    const auto w = norm.w.array();
    for (Index j = 0; j < dy.cols(); ++j) {
      auto column = dy.col(j).array();
      const auto its = normalised.col(j).array();
      dw.array() += column * its;
      db.array() += column;
      column *= w;
      const float mean = column.sum() * scale, slope = (column * its).sum() * scale;
      column = (column - mean - its * slope) * rstd[j];
    }
  }

  /// In place: drops values, and keeps the factors from column `first` on. Bits: a hash of the
  /// place, as number() has.
  template <class Columns>
  void drop(Columns&& y, MatrixXf& factors, Index first, std::uint32_t place) const {
    const auto most = static_cast<std::uint32_t>((1.0 - static_cast<double>(keep_)) * 0x1p32);
    const float scale = 1.0f / keep_;
    const Index size = y.size(), at = first * factors.rows();
    float *value = y.data(), *factor = factors.data() + at;
    const std::uint32_t from =
        (update_ * 16 + place) * 0x9e3779b9u + static_cast<std::uint32_t>(at);
#pragma omp simd
    for (Index i = 0; i < size; ++i) {
      std::uint32_t x = from + static_cast<std::uint32_t>(i);
      x = (x ^ (x >> 16)) * 0x7feb352du;
      x = (x ^ (x >> 15)) * 0x846ca68bu;
      factor[i] = x >= most ? scale : 0.0f;
      value[i] *= factor[i];
    }
  }

  /// In place: the gradient of g = dropout(relu(f)) becomes that of f. g is 0 where either gave 0.
  template <class Columns, class Values>
  void through_relu(Columns&& dg, const Values& g) const {
    const float scale = 1.0f / keep_;
    float* gradient = dg.data();
    const float* value = g.data();
    const Index size = dg.size();
#pragma omp simd
    for (Index i = 0; i < size; ++i) gradient[i] = value[i] > 0.0f ? gradient[i] * scale : 0.0f;
  }

  void layer_forward(const LayerTensors& t, Index l, const Range& of, MatrixXf& out,
                     bool training) {
    LayerColumns& c = layers_[static_cast<std::size_t>(l)];
    const bool drops = training && this->drops();
    const auto place = static_cast<std::uint32_t>(4 * l);
    const Index from = of.first * n_.steps, count = of.count * n_.steps;
    const auto columns = [&](MatrixXf& matrix) { return matrix.middleCols(from, count); };
    t.in.apply(columns(c.qkv), columns(c.x));
    for (Index b = of.first; b < of.first + of.count; ++b) attend(c, b, drops, place);
    auto s = columns(c.s), g = columns(c.g), y = columns(out);
    t.out.apply(s, columns(c.a));
    if (drops) drop(s, c.factor1, from, place + 1);
    s += columns(c.x);
    normalise(s, t.norm1, training ? c.normalised1.col(from).data() : nullptr,
              training ? c.rstd1.data() + from : nullptr);
    t.linear1.apply(g, s);
    g = g.cwiseMax(0.0f);
    if (drops) drop(g, c.factor_g, from, place + 2);
    t.linear2.apply(y, g);
    if (drops) drop(y, c.factor2, from, place + 3);
    y += s;
    normalise(y, t.norm2, training ? c.normalised2.col(from).data() : nullptr,
              training ? c.rstd2.data() + from : nullptr);
  }

  /// The columns of a head's weights; rows of keys, which the matrix pads.
  auto head_weights(MatrixXf& weights, Index b, Index head) const {
    return weights.block(0, (b * n_.heads + head) * n_.steps, n_.steps, n_.steps);
  }
  /// The rows of a head in sample b, of what stands at row `first`.
  auto head_rows(MatrixXf& matrix, Index b, Index first, Index head) const {
    const Index size = n_.hidden / n_.heads;
    return matrix.block(first + head * size, b * n_.steps, size, n_.steps);
  }
  float score_factor() const { return 1.0f / std::sqrt(static_cast<float>(n_.hidden / n_.heads)); }

  void attend(LayerColumns& c, Index b, bool drops, std::uint32_t place) {
    const Index T = n_.steps, d = n_.hidden;
    c.qkv.block(0, b * T, d, T) *= score_factor();
    for (Index head = 0; head < n_.heads; ++head) {
      auto P = head_weights(c.weights, b, head);
      P.noalias() = head_rows(c.qkv, b, d, head).transpose() * head_rows(c.qkv, b, 0, head);
      for (Index j = 0; j < T; ++j) {
        auto p = P.col(j).array();
        p = (p - p.maxCoeff()).exp();
        p *= 1.0f / p.sum();
      }
      if (drops) {
        const Index first = (b * n_.heads + head) * T;
        auto dropped = c.dropped.middleCols(first, T);
        dropped = c.weights.middleCols(first, T);
        drop(dropped, c.factor_weights, first, place);
      }
      head_rows(c.a, b, 0, head).noalias() =
          head_rows(c.qkv, b, 2 * d, head) * head_weights(drops ? c.dropped : c.weights, b, head);
    }
  }

  void attend_back(LayerColumns& c, MatrixXf& dA, MatrixXf& dP, Index first, Index b) {
    const Index T = n_.steps, d = n_.hidden;
    for (Index head = 0; head < n_.heads; ++head) {
      const auto da = head_rows(dA, b - first, 0, head);
      auto weights = head_weights(drops() ? c.dropped : c.weights, b, head);
      dP.noalias() = head_rows(c.qkv, b, 2 * d, head).transpose() * da;
      head_rows(c.dqkv, b, 2 * d, head).noalias() = da * weights.transpose();
      if (drops()) dP.array() *= head_weights(c.factor_weights, b, head).array();
      const auto P = head_weights(c.weights, b, head);
      for (Index j = 0; j < T; ++j) {
        auto dp = dP.col(j).array();
        dp = P.col(j).array() * (dp - P.col(j).dot(dP.col(j)));
      }
      head_rows(c.dqkv, b, 0, head).noalias() = head_rows(c.qkv, b, d, head) * dP;
      head_rows(c.dqkv, b, d, head).noalias() = head_rows(c.qkv, b, 0, head) * dP.transpose();
    }
    c.dqkv.block(0, b * T, d, T) *= score_factor();  // the scores are of scaled q
  }

  /// Leaves in y_ the gradients of the first layer's input.
  void backward_part(const TransformerTensors& t, TransformerTensors& gradient, const Range& of) {
    const Index T = n_.steps, d = n_.hidden, from = of.first * T, count = of.count * T;
    const auto columns = [&](MatrixXf& matrix) { return matrix.middleCols(from, count); };
    auto dy = columns(y_);
    if (!n_.mean) dy.setZero();
    for (Index b = 0; b < of.count; ++b) {
      if (n_.mean)
        dy.middleCols(b * T, T).colwise() = dpooled_.col(of.first + b);
      else
        dy.col((b + 1) * T - 1) = dpooled_.col(of.first + b);
    }
    MatrixXf ds(d, count), dP(T, T);
    VectorXf dw1(d), db1(d), dw2(d), db2(d);
    for (Index l = n_.layers; l-- > 0;) {
      LayerColumns& c = layers_[static_cast<std::size_t>(l)];
      const LayerTensors& its = t.layers[static_cast<std::size_t>(l)];
      for (VectorXf* sum : {&dw1, &db1, &dw2, &db2}) sum->setZero();
      normalise_back(dy, its.norm2, columns(c.normalised2), c.rstd2.data() + from, dw2, db2);
      auto dm = columns(c.dm), dg = columns(c.dg), da = columns(c.da);
      if (drops())
        dm = dy.cwiseProduct(columns(c.factor2));
      else
        dm = dy;
      dg.noalias() = its.linear2.w.transpose() * dm;
      through_relu(dg, columns(c.g));
      dy.noalias() += its.linear1.w.transpose() * dg;
      normalise_back(dy, its.norm1, columns(c.normalised1), c.rstd1.data() + from, dw1, db1);
      if (drops())
        da = dy.cwiseProduct(columns(c.factor1));
      else
        da = dy;
      ds.noalias() = its.out.w.transpose() * da;
      for (Index b = of.first; b < of.first + of.count; ++b) attend_back(c, ds, dP, of.first, b);
      dy.noalias() += its.in.w.transpose() * columns(c.dqkv);
      LayerTensors& to = gradient.layers[static_cast<std::size_t>(l)];
#pragma omp critical
      {
        to.norm1.w += dw1;
        to.norm1.b += db1;
        to.norm2.w += dw2;
        to.norm2.b += db2;
      }
    }
  }

  Network n_;
  Index B_;
  float keep_;
  MatrixXf positions_;
  std::vector<LayerColumns> layers_;
  MatrixXf y_, pooled_, dpooled_;
  std::uint32_t update_ = 0;
};

}  // namespace peers::plain_eigen
