// The decoder of a SegmentGRU: one GRU step for each output segment of a sample, all of them from
// the sample's encoded state, and a linear layer on each.
//
//   h_m = GRU([position_m ; channel_c], h)        y_m = W dropout(h_m) + b
//
// The segments of a sample share U h, and the samples of a channel share W_ih [position ; channel]:
// both are made once (kernels/gru_branch.hpp), and their gradients are summed before any product.
//
//   symbol        shape           meaning
//   n, M          B * C, H / w    samples of one channel each, [b][c]; output segments
//   P, W, G       d = P * W       panels and lanes of units, and the three gates
//   embedded      [M][C][d]       [position ; channel]
//   over_x        [M][C][P][G][W] bias + W_ih embedded, derived from the parameters
//   over_h        [n][P][G][W]    W_hh h + q's bias
//   dover_x, dover_h              their gradients
//   kept          [n][M][d]       the mask of dropout
//   dy            [M][n][w Q]     the gradient of the outputs, by segments
//
// Forward, a thread takes a tile of samples. Backward, it takes a run of units, for which it sums
// over all samples in their order: no sum depends on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/kernels/gru_branch.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/linear.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/recurrent/stack.hpp"
#include "tsdl/nn/segment_options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The embeddings and the last layer of a SegmentGRU. Its steps are those of the model's GRU.
template <class ScalarType>
class SegmentDecoder {
 public:
  using Scalar = ScalarType;
  using Cell = GRUCell<Scalar>;
  using Layer = RecurrentLayer<Cell>;

  /// What a pass keeps, and its scratch buffers.
  struct Cache {
    Buffer<Scalar> over_h, rows, outputs;
    Buffer<std::uint8_t> kept;
    Buffer<Scalar> dy, dh, dover_h, dover_x, dembedded, units, dpredict, dweights;
  };

  /// Draws initial values from random streams `stream` ... stream + 3.
  SegmentDecoder(const SegmentOptions& options, std::uint64_t seed, std::uint64_t stream)
      : options_(options),
        position_(Parameter<Scalar>::matrix("position", segments(), size() / 2)),
        channel_(Parameter<Scalar>::matrix("channel", channels(), size() / 2)),
        predict_(size(), options.segment * options.outputs_per_step, seed, "predict.", options.init,
                 stream) {
    RandomStream position(seed, stream + 2), channel(seed, stream + 3);
    for (Scalar& value : position_.value) value = static_cast<Scalar>(position.normal());
    for (Scalar& value : channel_.value) value = static_cast<Scalar>(channel.normal());
    embedded_.assign(segments() * channels() * size(), Scalar{0});
    over_x_.assign(segments() * channels() * sums_size(), Scalar{0});
    h_bias_.assign(sums_size(), Scalar{0});
  }

  template <class F>
  void visit(F&& f) {
    f(position_);
    f(channel_);
    predict_.visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    f(position_);
    f(channel_);
    predict_.visit(f);
  }
  void zero_gradients() noexcept {
    position_.zero_gradient();
    channel_.zero_gradient();
    predict_.zero_gradients();
  }
  void check_packed() const { predict_.check_packed(); }

  /// Derives over_x and the packs; the GRU must have been repacked.
  void repack(const GRU<Scalar>& gru) noexcept {
    if (embedded_.empty()) return;  // moved from
    const Layer& layer = gru.layer(0);
    predict_.repack();
    const Index half = size() / 2, kinds = segments() * channels();
    for (Index i = 0; i < kinds; ++i) {
      Scalar* column = embedded_.data() + i * size();
      std::copy_n(position_.value.data() + i / channels() * half, half, column);
      std::copy_n(channel_.value.data() + i % channels() * half, half, column + half);
    }
    const auto& pack = layer.packs().forward;
    for (Index p = 0; p < panels(); ++p)  // q alone has a bias of its own
      std::copy_n(pack.bias.data() + (p * Cell::slots + 3) * W, W,
                  h_bias_.data() + (p * Cell::gates + 2) * W);
    const Index tasks = (kinds + tile - 1) / tile;
    internal::parallel_for(tasks, product_operations(kinds), [&](Index task) noexcept {
      const FloatModeGuard guard;
      const Index first = task * tile;
      kernels::project<Cell::gates, Scalar>(
          {over_x_.data() + first * sums_size(), embedded_.data() + first * size(), size(),
           std::min(tile, kinds - first), size(), panels(), pack.weights.data(), 2 * size(),
           pack.bias.data(), Cell::slots});
    });
  }

  /// Computes the outputs of B windows from the encoded states. Shapes: h one column per sample;
  /// the result [B][H][C][Q], in the cache.
  const Scalar* forward(const Layer& layer, const Sequence<const Scalar>& h,
                        const Batch<Scalar>& of, Cache& cache, const Pass& pass) const {
    const Index n = h.batch, tasks = (n + tile - 1) / tile;
    const bool drops = pass.training && options_.dropout > 0;
    const Index row_values = padded() + size() + predict_.out();
    cache.over_h.resize(n * sums_size());
    cache.rows.resize(tasks * tile * row_values);
    cache.outputs.resize(of.size() * options_.outputs());
    if (drops) cache.kept.resize(n * segments() * size());
    const Philox philox(pass.dropout.seed, internal::dropout_stream + pass.dropout.update);
    const double work = product_operations(n) + step_operations(n);
    internal::parallel_for(tasks, work, [&](Index task) noexcept {
      const FloatModeGuard guard;
      const Index first = task * tile, count = std::min(tile, n - first);
      Scalar* states = cache.rows.data() + task * tile * row_values;
      Scalar *dropped = states + tile * padded(), *values = dropped + tile * size();
      project(layer, cache.over_h.data() + first * sums_size(), h.column(0, first), h.sample_stride,
              count);
      for (Index m = 0; m < segments(); ++m) {
        for (Index s = first; s < first + count; ++s) {
          Scalar *state = states + (s - first) * padded(), *row = dropped + (s - first) * size();
          kernels::gru_branch<Activation>(state, branch(cache, h, m, s), panels());
          if (drops)
            internal::dropout_column(row, cache.kept.data() + (s * segments() + m) * size(), state,
                                     philox, options_.dropout, mask_layer,
                                     m * channels() + s % channels(),
                                     sample_key(of.keys, s / channels()), Index{1}, size(), size());
          else
            std::copy_n(state, size(), row);
        }
        predict_.apply(values, dropped, count);
        for (Index s = first; s < first + count; ++s)
          scatter(cache.outputs.data(), values + (s - first) * predict_.out(), m, s);
      }
    });
    return cache.outputs.data();
  }

  /// Goes back through forward(), which must have been a training pass. Accumulates: the gradients
  /// of the decoder's parameters, and its part of the layer's. Returns dL/dh, a column of Hp values
  /// per sample, in the cache.
  Sequence<const Scalar> backward(Layer& layer, const Sequence<const Scalar>& h,
                                  const Scalar* doutputs, Cache& cache) {
    const Index n = h.batch, kinds = segments() * channels();
    position_.need_gradient();
    channel_.need_gradient();
    predict_.need_gradients();
    layer.need_gradients();
    cache.dy.resize(segments() * n * predict_.out());
    cache.dh.assign(n * padded(), Scalar{0});
    cache.dover_h.assign(n * sums_size(), Scalar{0});
    cache.dover_x.assign(kinds * sums_size(), Scalar{0});
    gather(cache.dy.data(), doutputs, n);
    back_through_steps(h, n, cache);
    back_to_state(layer, n, cache);
    add_weight_gradients(layer, h, n, cache);
    add_embedding_gradients(layer, cache);
    return Sequence<const Scalar>(cache.dh.data(), size(), 1, n, n * padded(), padded());
  }

 private:
  using Activation = Accurate;
  static constexpr Index W = Cell::W, gate_width = Cell::gates * W;
  static constexpr Index unit_run = kernels::panel_width<Scalar>;  ///< units of a backward task
  static constexpr Index tile = 64;       ///< samples that a thread takes through all segments
  static constexpr Index mask_layer = 1;  ///< one past the encoder's layers
  static constexpr Index group = kernels::outer_block;  ///< samples of one chain of a gradient

  Index channels() const noexcept { return options_.inputs; }
  Index segments() const noexcept { return options_.output_segments(); }
  Index size() const noexcept { return options_.hidden_size; }
  Index panels() const noexcept { return round_up(size(), W) / W; }
  Index padded() const noexcept { return panels() * W; }
  Index sums_size() const noexcept { return panels() * gate_width; }
  /// Operations of a product of `columns` columns with a layer's weights, and of all steps.
  double product_operations(Index columns) const noexcept {
    return 6.0 * static_cast<double>(columns) * static_cast<double>(size() * size());
  }
  double step_operations(Index n) const noexcept {
    return static_cast<double>(n * segments()) *
           static_cast<double>(size() * (2 * predict_.out() + 60));
  }

  kernels::GRUBranch<Scalar> branch(const Cache& cache, const Sequence<const Scalar>& h, Index m,
                                    Index s) const noexcept {
    return {over_x_.data() + (m * channels() + s % channels()) * sums_size(),
            cache.over_h.data() + s * sums_size(), h.column(0, s)};
  }

  /// over_h of `count` samples.
  void project(const Layer& layer, Scalar* over_h, const Scalar* h, Index stride,
               Index count) const noexcept {
    const auto& pack = layer.packs().forward;
    kernels::project<Cell::gates, Scalar>({over_h, h, stride, count, size(), panels(),
                                           pack.weights.data() + size() * gate_width, 2 * size(),
                                           h_bias_.data(), Cell::gates});
  }

  /// Where the w runs of Q outputs of segment m of sample s begin, and from run to run.
  Index output_at(Index m, Index s) const noexcept {
    const Index b = s / channels(), c = s % channels();
    return ((b * options_.horizon + m * options_.segment) * channels() + c) *
           options_.outputs_per_step;
  }
  void scatter(Scalar* outputs, const Scalar* values, Index m, Index s) const noexcept {
    const Index Q = options_.outputs_per_step;
    Scalar* to = outputs + output_at(m, s);
    for (Index j = 0; j < options_.segment; ++j, values += Q, to += channels() * Q)
      std::copy_n(values, Q, to);
  }

  /// dy, and the gradient of the last layer's bias.
  void gather(Scalar* dy, const Scalar* doutputs, Index n) noexcept {
    const Index Q = options_.outputs_per_step, K = predict_.out();
    internal::parallel_for(
        segments(), 20.0 * static_cast<double>(n * segments() * K), [&](Index m) noexcept {
          Scalar* to = dy + m * n * K;
          for (Index s = 0; s < n; ++s) {
            const Scalar* from = doutputs + output_at(m, s);
            for (Index j = 0; j < options_.segment; ++j, from += channels() * Q, to += Q)
              std::copy_n(from, Q, to);
          }
        });
    for (Index k = 0; k < K; ++k) {
      Scalar total{0};
      for (Index first = 0; first < segments() * n; first += group) {
        Scalar sum{0};
        for (Index i = first; i < std::min(first + group, segments() * n); ++i)
          sum += dy[i * K + k];
        total += sum;
      }
      predict_.bias_gradient()[k] += total;
    }
  }

  /// Through the last layer, dropout and the gates: dh, dover_h, dover_x and the gradient of the
  /// last layer's weight.
  void back_through_steps(const Sequence<const Scalar>& h, Index n, Cache& cache) {
    const Index K = predict_.out(), tasks = (size() + unit_run - 1) / unit_run;
    const Index scratch = 2 * group * unit_run;
    cache.units.assign(tasks * scratch, Scalar{0});
    cache.dpredict.assign(tasks * K * unit_run, Scalar{0});
    const double work = 2 * step_operations(n);
    internal::parallel_for(tasks, work, [&](Index task) noexcept {
      const FloatModeGuard guard;
      const Index unit = task * unit_run, units = std::min(unit_run, size() - unit);
      Scalar *states = cache.units.data() + task * scratch, *dstates = states + group * unit_run;
      Scalar* dweight = cache.dpredict.data() + task * K * unit_run;
      for (Index first = 0; first < n; first += group)
        for (Index m = 0; m < segments(); ++m) {
          const Index count = std::min(group, n - first);
          const Scalar* dy = cache.dy.data() + (m * n + first) * K;
          kernels::multiply(kernels::Start::zero, dstates, unit_run, {dy, K, 1, K, 0},
                            predict_.transposed_pack() + K * unit,
                            static_cast<const Scalar*>(nullptr), count, units);
          for (Index s = first; s < first + count; ++s)
            step_back(cache, h, m, s, unit, states + (s - first) * unit_run,
                      dstates + (s - first) * unit_run);
          const kernels::Columns<Scalar> right{states, 0, unit_run};
          kernels::add_outer<kernels::panel_vectors, Scalar>({1, dweight, 0, right, 0}, {dy, 0, K},
                                                             Index{1}, count, K);
        }
      for (Index k = 0; k < K; ++k)
        for (Index u = 0; u < units; ++u)
          predict_.weight_gradient()[k * size() + unit + u] += dweight[k * unit_run + u];
    });
  }

  /// One step of one sample, for the units of a task: computes its state again, after dropout.
  void step_back(Cache& cache, const Sequence<const Scalar>& h, Index m, Index s, Index unit,
                 Scalar* state, Scalar* dstate) const noexcept {
    const Index units = std::min(unit_run, size() - unit), p = unit / W;
    const std::uint8_t* kept = cache.kept.data() + (s * segments() + m) * size() + unit;
    const bool drops = options_.dropout > 0;
    if (drops) internal::dropout_gradient(dstate, kept, options_.dropout, units);
    auto step = branch(cache, h, m, s);
    step.over_x += p * gate_width;
    step.over_h += p * gate_width;
    step.h_prev += unit;
    const Index kind = m * channels() + s % channels();
    kernels::gru_branch_backward<Activation>(
        state, step,
        kernels::GRUBranchGradient<Scalar>{
            dstate, cache.dover_x.data() + kind * sums_size() + p * gate_width,
            cache.dover_h.data() + s * sums_size() + p * gate_width,
            cache.dh.data() + s * padded() + unit},
        round_up(units, W) / W);
    if (drops) internal::dropout_gradient(state, kept, options_.dropout, units);
  }

  /// dh += W_hh^T dover_h.
  void back_to_state(const Layer& layer, Index n, Cache& cache) const noexcept {
    internal::parallel_for((n + tile - 1) / tile, product_operations(n), [&](Index task) noexcept {
      const FloatModeGuard guard;
      const Index first = task * tile;
      kernels::multiply(
          kernels::Start::previous, cache.dh.data() + first * padded(), padded(),
          {cache.dover_h.data() + first * sums_size(), sums_size(), 1, sums_size(), 0},
          layer.packs().weights_hh_transposed.data(), static_cast<const Scalar*>(nullptr),
          std::min(tile, n - first), padded());
    });
  }

  /// dW_ih += dover_x embedded^T, dW_hh += dover_h h^T, and the biases.
  void add_weight_gradients(Layer& layer, const Sequence<const Scalar>& h, Index n, Cache& cache) {
    constexpr Index run = 128, some = 4;  // rows and panels of a task
    const Index kinds = segments() * channels(), runs = (size() + run - 1) / run;
    cache.dweights.resize(panels() * (size() + 1) * gate_width);
    for (const bool over_h : {false, true}) {
      const Index columns = over_h ? n : kinds;
      const Scalar* sums = (over_h ? cache.dover_h : cache.dover_x).data();
      const kernels::Columns<Scalar> left =
          over_h ? kernels::Columns<Scalar>{h.data, h.sample_stride, 0}
                 : kernels::Columns<Scalar>{embedded_.data(), size(), 0};
      Parameter<Scalar>&weight = over_h ? layer.weight_hh : layer.weight_ih,
      &bias = over_h ? layer.bias_hh : layer.bias_ih;
      const auto& slots = over_h ? Cell::h_slot : Cell::x_slot;
      const Index first_slot = over_h ? Cell::slots - Cell::gates : 0;
      internal::parallel_for(
          (panels() + some - 1) / some * runs, product_operations(columns),
          [&](Index task) noexcept {
            const FloatModeGuard guard;
            const Index first = task / runs * some, end = std::min(first + some, panels());
            const Index k = task % runs * run, count = std::min(run, size() - k);
            const auto row = [&](Index p, Index r) {
              return cache.dweights.data() + (p * (size() + 1) + r) * gate_width;
            };
            kernels::Columns<Scalar> from = left;
            from.data += k;
            const kernels::Columns<Scalar> right{sums + first * gate_width, sums_size(), 0};
            for (Index p = first; p < end; ++p)
              std::fill_n(row(p, k), count * gate_width, Scalar{0});
            kernels::add_outer<Cell::gates, Scalar>(
                {end - first, row(first, k), row(1, 0) - row(0, 0), right, gate_width}, from,
                columns, Index{1}, count);
            for (Index p = first; p < end; ++p)
              layer.packs().add_gradient(weight, k, row(p, k), count, p, slots, first_slot);
            for (Index p = first; p < end && k == 0; ++p) {
              Scalar* total = row(p, size());
              std::fill_n(total, gate_width, Scalar{0});
              for (Index c = 0; c < columns; c += group)
                kernels::add_rows<Cell::gates>(total, sums + p * gate_width + c * sums_size(),
                                               sums_size(), std::min(group, columns - c));
              layer.packs().add_gradient(bias, 0, total, 1, p, slots, first_slot);
            }
          });
    }
  }

  /// Through W_ih to the embeddings.
  void add_embedding_gradients(const Layer& layer, Cache& cache) {
    const Index kinds = segments() * channels(), half = size() / 2;
    cache.dembedded.resize(kinds * size());
    internal::parallel_for(
        (kinds + tile - 1) / tile, product_operations(kinds), [&](Index task) noexcept {
          const FloatModeGuard guard;
          const Index first = task * tile;
          kernels::multiply(
              kernels::Start::zero, cache.dembedded.data() + first * size(), size(),
              {cache.dover_x.data() + first * sums_size(), sums_size(), 1, sums_size(), 0},
              layer.packs().weights_ih_transposed.data(), static_cast<const Scalar*>(nullptr),
              std::min(tile, kinds - first), size());
        });
    for (Index i = 0; i < kinds; ++i) {
      const Scalar* column = cache.dembedded.data() + i * size();
      Scalar* position = position_.gradient.data() + i / channels() * half;
      Scalar* channel = channel_.gradient.data() + i % channels() * half;
      for (Index u = 0; u < half; ++u) {
        position[u] += column[u];
        channel[u] += column[half + u];
      }
    }
  }

  SegmentOptions options_;
  Parameter<Scalar> position_, channel_;
  Linear<Scalar> predict_;
  Buffer<Scalar> embedded_, over_x_, h_bias_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
