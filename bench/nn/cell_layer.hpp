// One layer in one direction, as a stack runs it on one thread, piece by piece: the only place of
// bench/cells that knows the library's layers from inside.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tsdl/core/buffer.hpp>
#include <tsdl/core/random.hpp>
#include <tsdl/nn/recurrent/stack.hpp>

namespace bench {

using tsdl::Buffer, tsdl::Index, tsdl::Sequence;

/// With the input product, x is a dense batch, all of whose columns differ. Without it, x is
/// overlapping windows, and start() computes their product with W_ih, as a stack does once for all
/// windows. The pieces are to be called in the order in which they stand here.
template <class Cell>
class CellLayer {
 public:
  CellLayer(Index I, Index H, Index B, Index T, bool with_inputs)
      : with_inputs_(with_inputs),
        layer_("layer", 0, false, {1, I, I}, H),
        x_values_(random_values(with_inputs ? T * B * I : (T + B - 1) * I)),
        y_values_(T * B * layer_.padded_hidden()),
        dy_values_(random_values(y_values_.size())),
        dx_values_(T * B * I),
        extent_{T, B, T} {
    const Index Hp = layer_.padded_hidden();
    x_ = with_inputs ? Sequence<const float>::dense(x_values_.data(), I, T, B)
                     : Sequence<const float>(x_values_.data(), I, T, B, I, I);
    y_ = Sequence<float>::dense(y_values_.data(), Hp, T, B);
    dy_ = Sequence<const float>::dense(dy_values_.data(), Hp, T, B);
    dx_ = Sequence<float>::dense(dx_values_.data(), I, T, B);
    std::uint64_t stream = 0;
    layer_.initialise(tsdl::Init::pytorch, 1, stream);
    layer_.need_gradients();
    for (Index p = 0; p < layer_.panels(); ++p) layer_.repack(p);
  }

  /// Makes the cache ready for forward().
  void start(bool training) {
    layer_.prepare(cache_, x_, extent_, {}, training);
    // Without one, the first step would have no part in dW_hh.
    layer_.set_initial_state(cache_, y_values_.data(), nullptr);
    if (!with_inputs_) project();
  }

  /// All steps: the gates of every step, and of x's columns the product with W_ih.
  void forward() {
    if (with_inputs_) project();
    for (Index tile = 0; tile < extent_.tiles(); ++tile) layer_.forward_tile(cache_, x_, y_, tile);
  }

  void start_backward() { layer_.start_backward(cache_, nullptr, nullptr); }

  /// All steps back: the gates' gradients, dh of the step before, and dx.
  void backward() {
    for (Index tile = 0; tile < extent_.tiles(); ++tile)
      layer_.backward_tile(cache_, y_, dy_, 0, extent_.T, tile, true);
    if (!with_inputs_) return;
    for (Index tile = 0; tile < extent_.tiles(); ++tile)
      for (Index t = 0; t < extent_.T; ++t) layer_.input_gradient(cache_, dx_, t, tile, false);
  }

  /// dW_hh and the biases' gradients; and dW_ih.
  void weight_gradient() {
    const Gradient gradient(layer_, cache_, x_, y_);
    const typename Gradient::Split split;
    const Index chunks = split.chunks(layer_);
    if (!with_inputs_)
      for (Index p = 0; p < layer_.panels(); ++p) gradient.sum_columns(p);
    for (Index task = 0; task < split.tasks(layer_); ++task)  // chunks begin with those of W_ih
      if (with_inputs_ || task % chunks >= split.input_chunks(layer_)) gradient.add(split, task);
  }

  /// Operations of the products of a step in each piece, two a multiply-add.
  double operations() const {
    const Index columns = layer_.hidden() + (with_inputs_ ? x_.inputs : 0);
    return 2.0 * static_cast<double>(Cell::gates * layer_.hidden() * columns * extent_.B);
  }

 private:
  using Gradient = tsdl::WeightGradient<Cell>;

  static Buffer<float> random_values(Index size) {
    Buffer<float> values(size);
    tsdl::RandomStream random(static_cast<std::uint64_t>(size), 1);
    for (float& value : values) value = static_cast<float>(random.uniform(-0.1, 0.1));
    return values;
  }

  /// Where the layer computes products with W_ih ahead of the steps: they may be few samples'.
  void project() {
    for (Index task = 0; task < layer_.projection_tasks(cache_); ++task)
      layer_.project(cache_, x_, task);
  }

  bool with_inputs_;
  tsdl::RecurrentLayer<Cell> layer_;
  typename tsdl::RecurrentLayer<Cell>::Cache cache_;
  Buffer<float> x_values_, y_values_, dy_values_, dx_values_;
  tsdl::Extent extent_;
  Sequence<const float> x_, dy_;
  Sequence<float> y_, dx_;
};

}  // namespace bench
