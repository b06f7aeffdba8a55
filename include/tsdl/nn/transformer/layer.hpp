// One layer of a Transformer encoder for one sample, forward and backward: equal to
// torch.nn.TransformerEncoderLayer(d, heads, F, dropout, activation, batch_first=True, norm_first).
//
//   norm after (PyTorch's default)            norm_first
//   s = norm1(x + D1(attention(x)))           s = x + D1(attention(norm1(x)))
//   y = norm2(s + D2(feed_forward(s)))        y = s + D2(feed_forward(norm2(s)))
//
//   attention(u)    = W_o [A_1 ; ... ; A_H] + b_o, where A_h is head h of kernels/attention.hpp on
//                     the rows of q, k, v = W_q u + b_q, W_k u + b_k, W_v u + b_v; D drops weights
//   feed_forward(u) = W_2 D(f(W_1 u + b_1)) + b_2, f relu or gelu
//
// Backward, from dy (with norm after; norm_first puts the norm's backward before an addition):
//
//   dz  = norm2'(dy)         dm = D2'(dz)       dg = W_2^T dm     df = dg f' D'
//   ds  = dz + W_1^T df      dz' = norm1'(ds)   do = D1'(dz')     dA = W_o^T do
//   dq, dk, dv of every head (kernels/attention.hpp)
//   dx  = dz' + W_q^T dq + W_k^T dk + W_v^T dv
//
// Weight gradients are products of these rows over all samples: nn/transformer/weight_gradient.hpp.
//
// Where only the last m of n steps are read, all else than k, v and norm_first's norm1 is computed
// for those m.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/kernels/attention.hpp"
#include "tsdl/kernels/gelu.hpp"
#include "tsdl/kernels/normalisation.hpp"
#include "tsdl/nn/dropout.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/transformer/options.hpp"
#include "tsdl/nn/transformer/packs.hpp"
#include "tsdl/nn/transformer/rows.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The dropout of one sample in one layer. Its masks are those of nn/dropout.hpp, with a number of
/// their own for every place: the heads, after attention, between the feed-forward layers, after.
struct LayerDropout {
  Philox philox{0};
  double p = 0;
  Index place = 0;  ///< the number of the first head
  std::uint32_t key = 0;

  static constexpr Index places(Index heads) noexcept { return heads + 3; }
};

/// Parameters and packs of one layer.
template <class ScalarType>
class TransformerLayer {
 public:
  using Scalar = ScalarType;
  using Rows = LayerRows<Scalar>;
  using Scratch = LayerScratch<Scalar>;

  /// Names are those of TransformerEncoderLayer's state_dict, after `prefix`. Initial weights:
  /// init_weights().
  TransformerLayer(const TransformerOptions& o, const std::string& prefix)
      : in_weight(matrix(prefix, "self_attn.in_proj_weight", 3 * o.hidden_size, o.hidden_size)),
        in_bias(vector(prefix, "self_attn.in_proj_bias", 3 * o.hidden_size)),
        out_weight(matrix(prefix, "self_attn.out_proj.weight", o.hidden_size, o.hidden_size)),
        out_bias(vector(prefix, "self_attn.out_proj.bias", o.hidden_size)),
        weight1(matrix(prefix, "linear1.weight", o.feed_forward, o.hidden_size)),
        bias1(vector(prefix, "linear1.bias", o.feed_forward)),
        weight2(matrix(prefix, "linear2.weight", o.hidden_size, o.feed_forward)),
        bias2(vector(prefix, "linear2.bias", o.hidden_size)),
        norm1(prefix + "norm1.", o.hidden_size),
        norm2(prefix + "norm2.", o.hidden_size),
        q_(o.hidden_size, o.hidden_size),
        kv_(o.hidden_size, o.hidden_size, 2),
        out_(o.hidden_size, o.hidden_size),
        first_(o.hidden_size, o.feed_forward),
        second_(o.feed_forward, o.hidden_size) {}

  Parameter<Scalar> in_weight, in_bias, out_weight, out_bias, weight1, bias1, weight2, bias2;
  NormWeights<Scalar> norm1, norm2;

  /// In the order of PyTorch's state_dict.
  template <class F>
  void visit(F&& f) {
    visit_all(*this, f);
  }
  template <class F>
  void visit(F&& f) const {
    visit_all(*this, f);
  }

  /// PyTorch's initial weights, from random streams `stream`, stream + 1, ...
  [[gnu::cold]] void init_weights(Init init, std::uint64_t seed, std::uint64_t& stream) {
    const auto bound = [](const Parameter<Scalar>& weight) {
      return 1.0 / std::sqrt(static_cast<double>(weight.cols));
    };
    const auto draw = [&](Parameter<Scalar>& weight, Parameter<Scalar>& bias, bool draws_bias) {
      const RandomStream of_weight(seed, stream), of_bias(seed, stream + 1);
      stream += 2;
      if (init != Init::pytorch || &weight == &in_weight) {
        internal::fill_xavier(weight, of_weight);
      } else {
        internal::fill_uniform(weight, bound(weight), of_weight);
        if (draws_bias) internal::fill_uniform(bias, bound(weight), of_bias);
      }
    };
    draw(in_weight, in_bias, false);
    draw(out_weight, out_bias, false);
    draw(weight1, bias1, true);
    draw(weight2, bias2, true);
  }

  void repack() noexcept {
    const Index d = norm1.size();
    q_.derive(in_weight.value.data(), in_bias.value.data());
    kv_.derive(in_weight.value.data() + d * d, in_bias.value.data() + d);
    out_.derive(out_weight.value.data(), out_bias.value.data());
    first_.derive(weight1.value.data(), bias1.value.data());
    second_.derive(weight2.value.data(), bias2.value.data());
    norm1.repack();
    norm2.repack();
  }

  /// Creates gradients and transposed packs. Allocates: the first time.
  void need_gradients() {
    visit([](Parameter<Scalar>& parameter) { parameter.need_gradient(); });
    bool missing = false;
    for (LinearPack<Scalar>* pack : {&q_, &kv_, &out_, &first_, &second_})
      missing |= pack->need_transposed();
    if (missing) repack();
  }

  /// Computes y from rows.x. Shapes: x [n][dp], y [m][dp], 0 beyond d; y is not x.
  void forward(Scalar* y, Rows& rows, const LayerShape& s, Scratch& scratch,
               const LayerDropout& dropout) const noexcept {
    const Index before = (s.n - s.m) * s.dp;
    if (s.norm_first)
      kernels::layer_norm<Scalar>({rows.input, rows.normalised1, rows.rstd1, rows.x, nullptr,
                                   norm1.gamma.data(), norm1.beta.data()},
                                  s.n, s.d);
    const Scalar* u = rows.attended();
    kv_.apply(rows.kv, u, s.n);
    read_steps(y, rows.x + before, u + before, rows, s, scratch, dropout);
  }

  /// One step more of a causal layer, after n - 1 whose keys and values stand in rows.kv. Shapes: x
  /// [dp], y [dp]; s of m = 1.
  void step(Scalar* y, const Scalar* x, Rows& rows, const LayerShape& s,
            Scratch& scratch) const noexcept {
    if (s.norm_first)
      kernels::layer_norm<Scalar>(
          {rows.input, nullptr, nullptr, x, nullptr, norm1.gamma.data(), norm1.beta.data()},
          Index{1}, s.d);
    const Scalar* u = s.norm_first ? rows.input : x;
    kv_.apply(rows.kv + (s.n - 1) * 2 * s.dp, u, 1);
    read_steps(y, x, u, rows, s, scratch, {});
  }

  /// Computes dx from dy, and leaves the gradients of every linear map's output: of q, k and v in
  /// `rows`, of out_proj, linear1 and linear2 in scratch.da, dg and dm. Shapes:
  /// dy [m][dp], which is overwritten; dx [n][dp], not dy; dnorms [4][dp], the gradients of norm1's
  /// weight and bias and norm2's, to which it adds.
  void backward(Scalar* dx, Scalar* dy, Rows& rows, const LayerShape& s, Scratch& scratch,
                Scalar* dnorms, double p) const noexcept {
    const Index before = (s.n - s.m) * s.dp, count = s.m * s.dp;
    const auto norm = [&](Scalar* out, const Scalar* in, bool second, Index J) noexcept {
      const auto& weights = second ? norm2 : norm1;
      Scalar* gradients = dnorms + (second ? 2 * s.dp : 0);
      kernels::layer_norm_backward<Scalar>(
          {out, gradients, gradients + s.dp, in, second ? rows.normalised2 : rows.normalised1,
           second ? rows.rstd2 : rows.rstd1, weights.gamma.data()},
          J, s.d);
    };
    if (!s.norm_first) norm(dy, dy, true, s.m);  // dz
    if (s.drops)
      internal::dropout_gradient(scratch.dm, dy, rows.kept2, p, count);
    else
      std::copy_n(dy, count, scratch.dm);
    second_.apply_transposed(kernels::Start::zero, scratch.dg, scratch.dm, s.m);
    through_activation(scratch.dg, rows, s, p);  // df
    first_.apply_transposed(kernels::Start::zero, scratch.ds, scratch.dg, s.m);
    if (s.norm_first) norm(scratch.ds, scratch.ds, true, s.m);
    add(dy, dy, scratch.ds, count);  // ds
    if (!s.norm_first) norm(dy, dy, false, s.m);
    if (s.drops)
      internal::dropout_gradient(scratch.da, dy, rows.kept1, p, count);
    else
      std::copy_n(dy, count, scratch.da);
    out_.apply_transposed(kernels::Start::zero, scratch.ds, scratch.da, s.m);
    attend_backward(scratch.ds, rows, s, scratch, p);
    kv_.apply_transposed(kernels::Start::zero, dx, rows.kv, s.n);
    q_.apply_transposed(kernels::Start::previous, dx + before, rows.q, s.m);
    if (s.norm_first) norm(dx, dx, false, s.n);
    add(dx + before, dx + before, dy, count);
  }

 private:
  static constexpr Index W = kernels::lanes<Scalar>;

  /// All after the keys and values, for the m steps that are read: x and u = x or its norm,
  /// [m][dp].
  void read_steps(Scalar* y, const Scalar* x, const Scalar* u, Rows& rows, const LayerShape& s,
                  Scratch& scratch, const LayerDropout& dropout) const noexcept {
    q_.apply(rows.q, u, s.m);
    attend(rows, s, scratch, dropout);
    out_.apply(scratch.added, rows.a, s.m);
    if (s.drops) drop(scratch.added, rows.kept1, scratch.added, s, dropout, s.heads, s.d, s.dp);
    if (s.norm_first) {
      add(y, x, scratch.added, s.m * s.dp);
      kernels::layer_norm<Scalar>({rows.input2, rows.normalised2, rows.rstd2, y, nullptr,
                                   norm2.gamma.data(), norm2.beta.data()},
                                  s.m, s.d);
    } else {
      kernels::layer_norm<Scalar>({rows.input2, rows.normalised1, rows.rstd1, x, scratch.added,
                                   norm1.gamma.data(), norm1.beta.data()},
                                  s.m, s.d);
    }
    first_.apply(rows.g, rows.input2, s.m);
    (s.gelu ? kernels::gelu<Scalar> : kernels::relu<Scalar>)(rows.g, rows.slope, rows.g,
                                                             s.m * s.Fp);
    if (s.drops) drop_between(rows, s, scratch, dropout);
    second_.apply(scratch.added, rows.g, s.m);
    if (s.drops) drop(scratch.added, rows.kept2, scratch.added, s, dropout, s.heads + 2, s.d, s.dp);
    if (s.norm_first)
      add(y, y, scratch.added, s.m * s.dp);
    else
      kernels::layer_norm<Scalar>({y, rows.normalised2, rows.rstd2, rows.input2, scratch.added,
                                   norm2.gamma.data(), norm2.beta.data()},
                                  s.m, s.d);
  }

  static Parameter<Scalar> matrix(const std::string& prefix, const char* name, Index rows,
                                  Index cols) {
    return Parameter<Scalar>::matrix(internal::concatenate(prefix, name), rows, cols);
  }
  static Parameter<Scalar> vector(const std::string& prefix, const char* name, Index rows) {
    return Parameter<Scalar>::vector(internal::concatenate(prefix, name), rows);
  }

  template <class Self, class F>
  static void visit_all(Self& self, F& f) {
    f(self.in_weight);
    f(self.in_bias);
    f(self.out_weight);
    f(self.out_bias);
    f(self.weight1);
    f(self.bias1);
    f(self.weight2);
    f(self.bias2);
    for (auto* norm : {&self.norm1, &self.norm2}) {
      f(norm->weight);
      f(norm->bias);
    }
  }

  static void add(Scalar* out, const Scalar* a, const Scalar* b, Index count) noexcept {
    for (Index i = 0; i < count; i += W)
      kernels::store(out + i, kernels::Vec<Scalar>(kernels::load(a + i) + kernels::load(b + i)));
  }
  /// dg becomes df. Where relu or dropout gave 0, so does its gradient.
  static void through_activation(Scalar* dg, const Rows& rows, const LayerShape& s,
                                 double p) noexcept {
    using V = kernels::Vec<Scalar>;
    const V zero(Scalar{0}),
        scale(s.drops ? static_cast<Scalar>(internal::DropoutRate(p).scale) : Scalar{1});
    for (Index i = 0; i < s.m * s.Fp; i += W) {
      const V gradient = kernels::load(dg + i);
      if (rows.slope)
        kernels::store(dg + i, V(gradient * kernels::load(rows.slope + i)));
      else
        kernels::store(
            dg + i, V(xsimd::select(kernels::load(rows.g + i) > zero, V(gradient * scale), zero)));
    }
  }

  /// Drops values of m rows; out may be in. `place` counts from the layer's first.
  static void drop(Scalar* out, std::uint8_t* kept, const Scalar* in, const LayerShape& s,
                   const LayerDropout& dropout, Index place, Index size, Index padded) noexcept {
    const internal::DropoutRate rate(dropout.p);
    for (Index r = 0; r < s.m; ++r)
      internal::dropout_column(out + r * padded, kept + r * padded, in + r * padded, dropout.philox,
                               rate, dropout.place + place, s.n - s.m + r, dropout.key, Index{1},
                               size, padded);
  }

  /// Drops values of g, and the slopes of those.
  static void drop_between(Rows& rows, const LayerShape& s, Scratch& scratch,
                           const LayerDropout& dropout) noexcept {
    const internal::DropoutRate rate(dropout.p);
    for (Index r = 0; r < s.m; ++r) {
      Scalar* g = rows.g + r * s.Fp;
      internal::dropout_column(g, scratch.kept, g, dropout.philox, rate,
                               dropout.place + s.heads + 1, s.n - s.m + r, dropout.key, Index{1},
                               s.F, s.Fp);
      if (rows.slope)
        internal::dropout_gradient(rows.slope + r * s.Fp, scratch.kept, dropout.p, s.Fp);
    }
  }

  kernels::HeadRows<Scalar> head(Scalar* rows, Index h, Index stride,
                                 const LayerShape& s) const noexcept {
    return {rows + h * (s.d / s.heads), stride};
  }
  static kernels::HeadRows<const Scalar> fixed(const kernels::HeadRows<Scalar>& rows) noexcept {
    return {rows.data, rows.stride};
  }

  void attend(Rows& rows, const LayerShape& s, Scratch& scratch,
              const LayerDropout& dropout) const noexcept {
    for (Index h = 0; h < s.heads; ++h) {
      Scalar* P = rows.weights + h * rows.weights_stride;
      const auto k = head(rows.kv, h, 2 * s.dp, s), v = head(rows.kv + s.dp, h, 2 * s.dp, s);
      kernels::attention_weights(P, fixed(head(rows.q, h, s.dp, s)), fixed(k), s.head(),
                                 scratch.packs);
      if (s.drops) {
        drop(scratch.dropped, rows.kept_weights + h * s.m * s.np, P, s, dropout, h, s.n, s.np);
        P = scratch.dropped;
      }
      kernels::attention_values(head(rows.a, h, s.dp, s), P, fixed(v), s.head(), scratch.packs);
    }
    for (Index r = 0; s.d < s.dp && r < s.m; ++r)
      std::fill_n(rows.a + r * s.dp + s.d, s.dp - s.d, Scalar{0});
  }

  /// q and kv become their gradients.
  void attend_backward(Scalar* dA, Rows& rows, const LayerShape& s, Scratch& scratch,
                       double p) const noexcept {
    for (Index h = 0; h < s.heads; ++h) {
      const Scalar *P = rows.weights + h * rows.weights_stride, *after = P;
      const std::uint8_t* kept = s.drops ? rows.kept_weights + h * s.m * s.np : nullptr;
      const auto q = head(rows.q, h, s.dp, s);
      const auto k = head(rows.kv, h, 2 * s.dp, s), v = head(rows.kv + s.dp, h, 2 * s.dp, s);
      if (s.drops) {
        internal::dropout_gradient(scratch.dropped, P, kept, p, s.m * s.np);
        after = scratch.dropped;
      }
      kernels::attention_values_backward(scratch.dP, v, fixed(head(dA, h, s.dp, s)), after,
                                         fixed(v), s.head(), scratch.packs);
      if (s.drops) internal::dropout_gradient(scratch.dP, kept, p, s.m * s.np);
      kernels::attention_weights_backward(q, k, scratch.dP, P, fixed(q), fixed(k), s.head(),
                                          scratch.packs);
    }
  }

  LinearPack<Scalar> q_, kv_, out_, first_, second_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
