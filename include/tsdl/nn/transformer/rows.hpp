// Where a Transformer's layer keeps what it computes for one sample.
//
//   n, m     steps of the sample, and those of them that are read: n, or 1 under Steps::last
//   dp, Fp   hidden_size and feed_forward, padded to whole vectors; np: n, padded
//   H        heads
#pragma once

#include <cstdint>
#include <utility>

#include "tsdl/core/types.hpp"
#include "tsdl/kernels/attention.hpp"
#include "tsdl/kernels/simd.hpp"
#include "tsdl/nn/transformer/options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The sizes of a pass of one layer over one sample.
struct LayerShape {
  Index d, dp, F, Fp, heads;
  Index n, m, np;
  bool norm_first, causal, gelu;
  bool training;  ///< all is kept for the backward pass
  bool drops;
  bool carried = false;  ///< x is row n - 1 alone: the caller keeps the keys and values

  template <class Scalar>
  static LayerShape of(const TransformerOptions& o, Index n, Index m, bool training) noexcept {
    constexpr Index W = kernels::lanes<Scalar>;
    return {.d = o.hidden_size,
            .dp = round_up(o.hidden_size, W),
            .F = o.feed_forward,
            .Fp = round_up(o.feed_forward, W),
            .heads = o.heads,
            .n = n,
            .m = m,
            .np = round_up(n, W),
            .norm_first = o.norm_first,
            .causal = o.causal,
            .gelu = o.activation == FeedForwardActivation::gelu,
            .training = training,
            .drops = training && o.dropout > 0};
  }
  /// The rows of the layer's input.
  Index inputs() const noexcept { return carried ? 1 : n; }
  kernels::AttentionShape head() const noexcept { return {n, m, d / heads, causal}; }
};

namespace internal {

/// Hands out aligned parts of a buffer; of null, it only counts.
template <class T>
class Parts {
 public:
  explicit Parts(T* data) noexcept : data_(data) {}
  T* take(Index count) noexcept {
    T* part = data_ ? data_ + used_ : nullptr;
    used_ += round_up(count, static_cast<Index>(64 / sizeof(T)));
    return part;
  }
  Index used() const noexcept { return used_; }

 private:
  T* data_;
  Index used_ = 0;
};

}  // namespace internal

/// One sample's rows in one layer. Without training only what the layer itself reads: the others
/// are null, and all heads share their weights' place.
template <class Scalar>
struct LayerRows {
  Scalar* x;                    ///< [n][dp] the layer's input; without training the caller's
  Scalar* input;                ///< [n][dp] what attention reads: x, or with norm_first its norm
  Scalar *normalised1, *rstd1;  ///< of norm1: n rows with norm_first, else m
  Scalar *q, *kv;               ///< [m][dp]; [n][2][dp]. Backward: their gradients
  Scalar* weights;              ///< [H][m][np] attention weights, before dropout
  Scalar* a;                    ///< [m][dp] the heads' outputs side by side
  Scalar* input2;               ///< [m][dp] what the feed-forward block reads
  Scalar *normalised2, *rstd2;  ///< of norm2: m rows
  Scalar* slope;                ///< [m][Fp] gelu' and dropout; null for relu, where g > 0 says it
  Scalar* g;                    ///< [m][Fp] what linear2 reads
  std::uint8_t *kept_weights, *kept1, *kept2;  ///< masks: [H][m][np], [m][dp], [m][dp]
  Index weights_stride = 0;                    ///< from head to head

  /// Lays the rows out. Returns the values of both kinds that they take.
  static std::pair<Index, Index> lay_out(LayerRows& rows, Scalar* data, std::uint8_t* masks,
                                         const LayerShape& s) noexcept {
    internal::Parts<Scalar> values(data);
    internal::Parts<std::uint8_t> bytes(masks);
    const auto kept = [&](Index count) { return s.training ? values.take(count) : nullptr; };
    const auto mask = [&](Index count) { return s.drops ? bytes.take(count) : nullptr; };
    const Index first = s.norm_first ? s.n : s.m, head = s.m * s.np;
    rows.x = kept(s.n * s.dp);
    rows.input = s.norm_first ? values.take(s.inputs() * s.dp) : nullptr;
    rows.normalised1 = kept(first * s.dp);
    rows.rstd1 = kept(first);
    rows.q = values.take(s.m * s.dp);
    rows.kv = s.carried ? nullptr : values.take(s.n * 2 * s.dp);
    rows.weights = values.take(s.training ? s.heads * head : head);
    rows.weights_stride = s.training ? head : 0;
    rows.a = values.take(s.m * s.dp);
    rows.input2 = values.take(s.m * s.dp);
    rows.normalised2 = kept(s.m * s.dp);
    rows.rstd2 = kept(s.m);
    rows.slope = s.gelu ? kept(s.m * s.Fp) : nullptr;
    rows.g = values.take(s.m * s.Fp);
    rows.kept_weights = mask(s.heads * head);
    rows.kept1 = mask(s.m * s.dp);
    rows.kept2 = mask(s.m * s.dp);
    return {values.used(), bytes.used()};
  }
  static std::pair<Index, Index> size(const LayerShape& shape) noexcept {
    LayerRows counted;
    return lay_out(counted, nullptr, nullptr, shape);
  }

  const Scalar* attended() const noexcept { return input ? input : x; }
};

/// What a thread works in while it takes one sample through a layer.
template <class Scalar>
struct LayerScratch {
  Scalar* added;       ///< [m][dp] a block's output, before it is added
  Scalar* dropped;     ///< [m][np] attention weights after dropout
  Scalar* packs;       ///< of attention.hpp
  Scalar* columns[2];  ///< [n][dp] from layer to layer: x and y, or dy and dx
  Scalar* ds;          ///< [m][dp] backward
  Scalar *da, *dm;     ///< [m][dp] the gradients of the outputs of out_proj and linear2
  Scalar *dg, *dP;     ///< [m][Fp], [m][np] backward
  std::uint8_t* kept;  ///< [Fp]

  static std::pair<Index, Index> lay_out(LayerScratch& scratch, Scalar* data, std::uint8_t* bytes,
                                         const LayerShape& s, bool backward) noexcept {
    internal::Parts<Scalar> values(data);
    internal::Parts<std::uint8_t> masks(bytes);
    const auto back = [&](Index count) { return backward ? values.take(count) : nullptr; };
    scratch.added = values.take(s.m * s.dp);
    scratch.dropped = s.drops ? values.take(s.m * s.np) : nullptr;
    scratch.packs = values.take(backward ? kernels::attention_backward_scratch<Scalar>(s.head())
                                         : kernels::attention_scratch<Scalar>(s.head()));
    for (Scalar*& column : scratch.columns) column = values.take(s.inputs() * s.dp);
    scratch.ds = back(s.m * s.dp);
    scratch.da = back(s.m * s.dp);
    scratch.dm = back(s.m * s.dp);
    scratch.dg = back(s.m * s.Fp);
    scratch.dP = back(s.m * s.np);
    scratch.kept = s.drops ? masks.take(s.Fp) : nullptr;
    return {values.used(), masks.used()};
  }
  static std::pair<Index, Index> size(const LayerShape& shape, bool backward) noexcept {
    LayerScratch counted;
    return lay_out(counted, nullptr, nullptr, shape, backward);
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
