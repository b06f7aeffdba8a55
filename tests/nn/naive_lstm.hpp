// The LSTM written once more, as plainly as possible: one sample, one number at a time, in double.
//
// The oracle of the tests. It shares no code with the library: other loops, other layout, std::exp
// and std::tanh, and gradients derived on paper from
//
//   i = s(a_i)  f = s(a_f)  g = u(a_g)  o = s(a_o)     a = W x + b_ih + U h_prev + b_hh
//   c = f c_prev + i g                                 h = o u(c)
//
// with s, u the logistic function and tanh, or both the identity ("linear gates").
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace test {

using Row = std::vector<double>;  // one value a unit
using Rows = std::vector<Row>;    // one row a step, or a matrix

struct NaiveActivation {
  bool linear = false;
  double s(double a) const { return linear ? a : 1.0 / (1.0 + std::exp(-a)); }
  double u(double a) const { return linear ? a : std::tanh(a); }
  double s_slope(double y) const { return linear ? 1.0 : y * (1.0 - y); }
  double u_slope(double y) const { return linear ? 1.0 : 1.0 - y * y; }
};

/// One layer in one direction. Matrices are PyTorch's: 4H rows in blocks i f g o.
struct NaiveDirection {
  std::size_t I, H;
  bool reverse;
  NaiveActivation act;
  Rows W, U, dW, dU;
  Row b_ih, b_hh, db;
  // Of the last forward pass, one row a step in time order.
  Rows i, f, g, o, c, u_c, h;
  Row h0, c0;

  NaiveDirection(std::size_t inputs, std::size_t hidden, bool backwards, bool linear)
      : I(inputs), H(hidden), reverse(backwards), act{linear} {
    W = dW = Rows(4 * H, Row(I, 0.0));
    U = dU = Rows(4 * H, Row(H, 0.0));
    b_ih = b_hh = db = Row(4 * H, 0.0);
  }

  void forward(const Rows& x, const Row& h_start, const Row& c_start) {
    const std::size_t T = x.size();
    i = f = g = o = c = u_c = h = Rows(T, Row(H, 0.0));
    h0 = h_start;
    c0 = c_start;
    Row h_prev = h0, c_prev = c0;
    for (std::size_t s = 0; s < T; ++s) {
      const std::size_t t = reverse ? T - 1 - s : s;
      Row a(4 * H);
      for (std::size_t row = 0; row < 4 * H; ++row) {
        a[row] = b_ih[row] + b_hh[row];
        for (std::size_t k = 0; k < I; ++k) a[row] += W[row][k] * x[t][k];
        for (std::size_t k = 0; k < H; ++k) a[row] += U[row][k] * h_prev[k];
      }
      for (std::size_t j = 0; j < H; ++j) {
        i[t][j] = act.s(a[j]);
        f[t][j] = act.s(a[H + j]);
        g[t][j] = act.u(a[2 * H + j]);
        o[t][j] = act.s(a[3 * H + j]);
        c[t][j] = f[t][j] * c_prev[j] + i[t][j] * g[t][j];
        u_c[t][j] = act.u(c[t][j]);
        h[t][j] = o[t][j] * u_c[t][j];
      }
      h_prev = h[t];
      c_prev = c[t];
    }
  }

  const Row& h_n() const { return reverse ? h.front() : h.back(); }
  const Row& c_n() const { return reverse ? c.front() : c.back(); }

  /// Adds to dW, dU, db and dx; turns dh and dc from gradients of h_n, c_n into those of h0, c0.
  void backward(const Rows& x, const Rows& dy, Row& dh, Row& dc, Rows& dx) {
    const std::size_t T = x.size();
    for (std::size_t s = T; s-- > 0;) {
      const std::size_t t = reverse ? T - 1 - s : s;
      const Row& h_prev = s == 0 ? h0 : h[reverse ? t + 1 : t - 1];
      const Row& c_prev = s == 0 ? c0 : c[reverse ? t + 1 : t - 1];
      Row da(4 * H);
      for (std::size_t j = 0; j < H; ++j) {
        const double dh_t = dh[j] + dy[t][j];
        const double dc_t = dc[j] + dh_t * o[t][j] * act.u_slope(u_c[t][j]);
        da[j] = dc_t * g[t][j] * act.s_slope(i[t][j]);
        da[H + j] = dc_t * c_prev[j] * act.s_slope(f[t][j]);
        da[2 * H + j] = dc_t * i[t][j] * act.u_slope(g[t][j]);
        da[3 * H + j] = dh_t * u_c[t][j] * act.s_slope(o[t][j]);
        dc[j] = dc_t * f[t][j];
      }
      dh.assign(H, 0.0);
      for (std::size_t row = 0; row < 4 * H; ++row) {
        db[row] += da[row];
        for (std::size_t k = 0; k < I; ++k) {
          dW[row][k] += da[row] * x[t][k];
          dx[t][k] += da[row] * W[row][k];
        }
        for (std::size_t k = 0; k < H; ++k) {
          dU[row][k] += da[row] * h_prev[k];
          dh[k] += da[row] * U[row][k];
        }
      }
    }
  }
};

/// Layers times directions, for one sample: layers[l * D + d].
struct NaiveLSTM {
  std::size_t I, H, L, D;
  std::vector<NaiveDirection> layers;
  std::vector<Rows> input;  // what layer l read in the last forward pass

  NaiveLSTM(std::size_t inputs, std::size_t hidden, std::size_t count, std::size_t directions,
            bool linear = false)
      : I(inputs), H(hidden), L(count), D(directions) {
    for (std::size_t l = 0; l < L; ++l)
      for (std::size_t d = 0; d < D; ++d)
        layers.emplace_back(l == 0 ? I : D * H, H, d == 1, linear);
  }

  /// Returns the top layer's output, T rows of D * H. States are one row per layer and direction.
  Rows forward(const Rows& x, const Rows& h0, const Rows& c0) {
    input.assign(1, x);
    for (std::size_t l = 0; l < L; ++l) {
      Rows y(x.size());
      for (std::size_t d = 0; d < D; ++d) {
        NaiveDirection& layer = layers[l * D + d];
        layer.forward(input[l], h0[l * D + d], c0[l * D + d]);
        for (std::size_t t = 0; t < y.size(); ++t)
          y[t].insert(y[t].end(), layer.h[t].begin(), layer.h[t].end());
      }
      input.push_back(y);
    }
    return input.back();
  }

  /// Returns dx. dh and dc hold the gradients of the last states, and then of the first.
  Rows backward(const Rows& dy, Rows& dh, Rows& dc) {
    Rows upstream = dy;
    for (std::size_t l = L; l-- > 0;) {
      Rows dx(dy.size(), Row(layers[l * D].I, 0.0));
      for (std::size_t d = 0; d < D; ++d) {
        Rows part;
        for (const Row& row : upstream)
          part.emplace_back(row.begin() + static_cast<std::ptrdiff_t>(d * H),
                            row.begin() + static_cast<std::ptrdiff_t>((d + 1) * H));
        layers[l * D + d].backward(input[l], part, dh[l * D + d], dc[l * D + d], dx);
      }
      upstream = dx;
    }
    return upstream;
  }
};

}  // namespace test
