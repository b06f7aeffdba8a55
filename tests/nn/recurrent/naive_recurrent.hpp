// LSTM and GRU written once more, as plainly as possible: one sample, one number at a time, in
// double.
//
// The oracle of the tests. It shares no code with the library: other loops, other layout, std::exp
// and std::tanh, and gradients derived on paper. With x' = W x + b_ih and h' = U h_prev + b_hh,
//
//   LSTM   i = s(x'_i + h'_i)  f = s(x'_f + h'_f)  g = u(x'_g + h'_g)  o = s(x'_o + h'_o)
//          c = f c_prev + i g                      h = o u(c)
//   GRU    r = s(x'_r + h'_r)  z = s(x'_z + h'_z)  n = u(x'_n + r h'_n)
//          h = (1 - z) n + z h_prev
//
// with s, u the logistic function and tanh, or both the identity ("linear gates").
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "tsdl/nn/recurrent/stack.hpp"

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

/// One unit of a cell at one step: what goes in, what comes out, and the gradients of both.
struct NaiveUnit {
  double x[4], h[4];  // x' and h' of each gate; after backward their gradients
  double h_prev, c_prev;
  double h_out, c_out;
};

/// i f g o
struct NaiveLSTMUnit {
  static constexpr std::size_t gates = 4;
  static constexpr bool has_c = true;

  static void forward(NaiveUnit& v, const NaiveActivation& act) {
    const double i = act.s(v.x[0] + v.h[0]), f = act.s(v.x[1] + v.h[1]), g = act.u(v.x[2] + v.h[2]),
                 o = act.s(v.x[3] + v.h[3]);
    v.c_out = f * v.c_prev + i * g;
    v.h_out = o * act.u(v.c_out);
  }

  /// dh and dc: in of h_out and c_out, out of h_prev (beside the products) and c_prev.
  static void backward(NaiveUnit& v, const NaiveActivation& act, double& dh, double& dc) {
    const double i = act.s(v.x[0] + v.h[0]), f = act.s(v.x[1] + v.h[1]), g = act.u(v.x[2] + v.h[2]),
                 o = act.s(v.x[3] + v.h[3]);
    const double u_c = act.u(v.c_out), dc_t = dc + dh * o * act.u_slope(u_c);
    v.x[0] = v.h[0] = dc_t * g * act.s_slope(i);
    v.x[1] = v.h[1] = dc_t * v.c_prev * act.s_slope(f);
    v.x[2] = v.h[2] = dc_t * i * act.u_slope(g);
    v.x[3] = v.h[3] = dh * u_c * act.s_slope(o);
    dh = 0.0;
    dc = dc_t * f;
  }
};

/// r z n
struct NaiveGRUUnit {
  static constexpr std::size_t gates = 3;
  static constexpr bool has_c = false;

  static void forward(NaiveUnit& v, const NaiveActivation& act) {
    const double r = act.s(v.x[0] + v.h[0]), z = act.s(v.x[1] + v.h[1]),
                 n = act.u(v.x[2] + r * v.h[2]);
    v.h_out = (1.0 - z) * n + z * v.h_prev;
  }

  static void backward(NaiveUnit& v, const NaiveActivation& act, double& dh, double&) {
    const double r = act.s(v.x[0] + v.h[0]), z = act.s(v.x[1] + v.h[1]),
                 n = act.u(v.x[2] + r * v.h[2]);
    const double dn = dh * (1.0 - z) * act.u_slope(n), dr = dn * v.h[2] * act.s_slope(r);
    v.x[0] = v.h[0] = dr;
    v.x[1] = v.h[1] = dh * (v.h_prev - n) * act.s_slope(z);
    v.x[2] = dn;
    v.h[2] = dn * r;
    dh = dh * z;
  }
};

/// One layer in one direction. Matrices are PyTorch's: blocks of H rows, one a gate.
template <class Unit>
struct NaiveDirection {
  static constexpr std::size_t G = Unit::gates;
  std::size_t I, H;
  bool reverse;
  NaiveActivation act;
  Rows W, U, dW, dU;
  Row b_ih, b_hh, db_ih, db_hh;
  std::vector<std::vector<NaiveUnit>> steps;  // of the last forward pass, in the order of time
  Rows h;
  Row h0, c_n;

  NaiveDirection(std::size_t inputs, std::size_t hidden, bool backwards, bool linear)
      : I(inputs), H(hidden), reverse(backwards), act{linear} {
    W = dW = Rows(G * H, Row(I, 0.0));
    U = dU = Rows(G * H, Row(H, 0.0));
    b_ih = b_hh = db_ih = db_hh = Row(G * H, 0.0);
  }

  void forward(const Rows& x, const Row& h_start, const Row& c_start) {
    const std::size_t T = x.size();
    steps.assign(T, std::vector<NaiveUnit>(H));
    h = Rows(T, Row(H, 0.0));
    h0 = h_start;
    Row h_prev = h0, c_prev = c_start;
    for (std::size_t s = 0; s < T; ++s) {
      const std::size_t t = reverse ? T - 1 - s : s;
      for (std::size_t j = 0; j < H; ++j) {
        NaiveUnit& unit = steps[t][j];
        for (std::size_t gate = 0; gate < G; ++gate) {
          const std::size_t row = gate * H + j;
          unit.x[gate] = b_ih[row];
          unit.h[gate] = b_hh[row];
          for (std::size_t k = 0; k < I; ++k) unit.x[gate] += W[row][k] * x[t][k];
          for (std::size_t k = 0; k < H; ++k) unit.h[gate] += U[row][k] * h_prev[k];
        }
        unit.h_prev = h_prev[j];
        unit.c_prev = c_prev[j];
        Unit::forward(unit, act);
        h[t][j] = unit.h_out;
      }
      h_prev = h[t];
      for (std::size_t j = 0; j < H; ++j) c_prev[j] = steps[t][j].c_out;
    }
    c_n = c_prev;
  }

  const Row& h_n() const { return reverse ? h.front() : h.back(); }

  /// Adds to dW, dU, db_ih, db_hh and dx; turns dh and dc from gradients of h_n, c_n into those of
  /// h0, c0.
  void backward(const Rows& x, const Rows& dy, Row& dh, Row& dc, Rows& dx) {
    const std::size_t T = x.size();
    for (std::size_t s = T; s-- > 0;) {
      const std::size_t t = reverse ? T - 1 - s : s;
      const Row& h_prev = s == 0 ? h0 : h[reverse ? t + 1 : t - 1];
      for (std::size_t j = 0; j < H; ++j) {
        dh[j] += dy[t][j];
        Unit::backward(steps[t][j], act, dh[j], dc[j]);
      }
      for (std::size_t j = 0; j < H; ++j)
        for (std::size_t gate = 0; gate < G; ++gate) {
          const std::size_t row = gate * H + j;
          const double da_x = steps[t][j].x[gate], da_h = steps[t][j].h[gate];
          db_ih[row] += da_x;
          db_hh[row] += da_h;
          for (std::size_t k = 0; k < I; ++k) {
            dW[row][k] += da_x * x[t][k];
            dx[t][k] += da_x * W[row][k];
          }
          for (std::size_t k = 0; k < H; ++k) {
            dU[row][k] += da_h * h_prev[k];
            dh[k] += da_h * U[row][k];
          }
        }
    }
  }
};

/// Layers times directions, for one sample: layers[l * D + d].
template <class Unit>
struct NaiveStack {
  std::size_t I, H, L, D;
  std::vector<NaiveDirection<Unit>> layers;
  std::vector<Rows> input;  // what layer l read in the last forward pass

  NaiveStack(std::size_t inputs, std::size_t hidden, std::size_t count, std::size_t directions,
             bool linear)
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
        NaiveDirection<Unit>& layer = layers[l * D + d];
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

/// The oracle of a library cell.
template <class Cell>
struct NaiveOf;
template <class Scalar, class Activation>
struct NaiveOf<tsdl::LSTMCell<Scalar, Activation>> {
  using Unit = NaiveLSTMUnit;
};
template <class Scalar, class Activation>
struct NaiveOf<tsdl::GRUCell<Scalar, Activation>> {
  using Unit = NaiveGRUUnit;
};

}  // namespace test
