// Integrated gradients: which inputs of one window moved an output away from what it is at a
// baseline, in numbers that add up.
//
//   a_ti = (x_ti - x'_ti) * integral over s from 0 to 1 of df_k / dx_ti at x' + s (x - x')
//   sum over t and i of a_ti = f_k(x) - f_k(x')                               (completeness)
//
//   x, x'    I x T    the window and its baseline, as the model reads them
//   f_k               output k before decode: a logit, or a number on the scale of the outputs
//   a        I x T    the attributions
//
// Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks" (ICML 2017), eq. 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/explain/quadrature.hpp"
#include "tsdl/explain/widened.hpp"
#include "tsdl/nn/any_model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How integrated gradients are computed.
struct IntegratedGradientsOptions {
  Index steps = 50;  ///< nodes of the Gauss-Legendre rule
  Index output = 0;  ///< k
  /// While a window's relative_delta() is above `tolerance`, it is explained again with twice the
  /// nodes, up to this many. Where a network has learnt to switch, f_k is steep somewhere between
  /// baseline and window, and 50 nodes may miss it. 0: never; else at least 2 * steps.
  Index most_steps = 0;
  double tolerance = 1e-6;
};

/// What each input of one window contributed.
struct Attribution {
  Index inputs = 0, steps = 0;   ///< I, T
  std::vector<double> values{};  ///< [T][I]
  double output = 0;             ///< f_k(x)
  double baseline_output = 0;    ///< f_k(x')
  /// By how much the attributions miss completeness: their sum - (output - baseline_output).
  double delta = 0;
  Index nodes = 0;  ///< of the rule that made it

  double at(Index t, Index i) const { return values[static_cast<std::size_t>(t * inputs + i)]; }
  /// |delta| by the larger of 1 and |output - baseline_output|.
  double relative_delta() const noexcept {
    return std::abs(delta) / std::max(1.0, std::abs(output - baseline_output));
  }
};

/// Explains windows, one after the other; it keeps its memory from window to window. Not for
/// concurrent calls: each thread needs one of its own. Results do not depend on the number of
/// threads, bit for bit.
class IntegratedGradients {
 public:
  /// `model`: what widened() makes of a model.
  /// Throws: OptionError when the model has no gradients of its inputs or still drops, or an option
  /// is out of range.
  explicit IntegratedGradients(AnyModel<double> model,
                               const IntegratedGradientsOptions& options = {})
      : model_(std::move(model)), options_(options), rules_{gauss_legendre(options.steps)} {
    const Config config = model_.describe();
    if (!model_.has_input_gradients())
      throw OptionError("integrated gradients: a model of kind ", config.kind,
                        " has no gradients of its inputs");
    for (const auto& [name, value] : config.options)
      if (internal::is_dropout(name) && value.number > 0)
        throw OptionError("integrated gradients: option ", name, " of the model is ", value.number,
                          ": expected the model that widened() makes, which drops nothing");
    if (options.most_steps < 0 || options.most_steps > internal::most_nodes)
      throw OptionError("integrated gradients: most_steps: expected 0 to ", internal::most_nodes,
                        ", got ", options.most_steps);
    if (options.most_steps > 0 && options.most_steps < 2 * options.steps)
      throw OptionError("integrated gradients: most_steps: expected 0, or at least twice the ",
                        options.steps, " steps, got ", options.most_steps);
    if (!(options.tolerance > 0))
      throw OptionError("integrated gradients: tolerance: expected more than 0, got ",
                        options.tolerance);
    if (options.output < 0 || options.output >= model_.outputs())
      throw OptionError("integrated gradients: output ", options.output, " of a model that has ",
                        model_.outputs(), ", counted from 0");
  }

  const AnyModel<double>& model() const noexcept { return model_; }
  const IntegratedGradientsOptions& options() const noexcept { return options_; }

  /// Explains window x. Shapes: x I x T x 1; baseline [T][I], or empty for zeros, which are the
  /// training means where inputs were standardised.
  /// Throws: ShapeError when x is not one window of the model's inputs, or the baseline has another
  /// size; DataError when a value of either, or a result, is not finite.
  template <class Scalar>
  Attribution operator()(const Sequence<const Scalar>& x, std::span<const double> baseline = {}) {
    const FloatModeGuard guard;
    if (x.batch != 1 || x.steps < 1 || x.inputs != model_.inputs())
      throw ShapeError("integrated gradients: expected one window of ", model_.inputs(),
                       " inputs, got B = ", x.batch, ", T = ", x.steps, ", I = ", x.inputs);
    const Index size = x.steps * x.inputs;
    if (!baseline.empty() && std::ssize(baseline) != size)
      throw ShapeError("integrated gradients: a baseline of ", baseline.size(),
                       " values for a window of ", size);
    ends_.resize(2 * size);
    const auto ends = Sequence<double>::dense(ends_.data(), x.inputs, x.steps, 2);
    for (Index t = 0; t < x.steps; ++t)
      for (Index i = 0; i < x.inputs; ++i) {
        ends.column(t, 0)[i] = static_cast<double>(x.column(t, 0)[i]);
        ends.column(t, 1)[i] =
            baseline.empty() ? 0.0 : baseline[static_cast<std::size_t>(t * x.inputs + i)];
      }
    if (!std::all_of(ends_.begin(), ends_.end(), [](double value) { return is_finite(value); }))
      throw DataError("integrated gradients: a value of the window or its baseline is not finite");
    return explain(ends);
  }

  /// Explains sample i of a set. Throws: also ShapeError when there is no such sample; OptionError
  /// when the samples have inputs besides their windows.
  template <SampleSet Set>
  Attribution operator()(const Set& set, Index i, std::span<const double> baseline = {}) {
    BatchScratch<typename Set::Scalar> scratch;
    const auto batch = set.inputs_of(Samples{i, 1, {}}, scratch);
    if (batch.future.data || batch.statics.data || batch.categories.data)
      throw OptionError("integrated gradients: the samples have inputs besides their windows");
    Sequence<const typename Set::Scalar> x = batch.past;
    x.steps = sample_length(batch.lengths, 0, x.steps);
    return (*this)(x, baseline);
  }

 private:
  /// Windows of a batch of nodes.
  static constexpr Index most_batch = 64;

  /// The outputs k of a batch, one a sample: of the last step, where every step has outputs.
  std::span<const double> outputs_of(const Batch<double>& batch, const Pass& pass) {
    const auto y = model_.forward(batch, cache_, pass);
    check_outputs(model_, y, batch.past.steps, batch.size());
    outputs_.resize(batch.size());
    for (Index b = 0; b < batch.size(); ++b)
      outputs_[b] = y(options_.output, y.cols() - batch.size() + b);
    return std::as_const(outputs_).span();
  }

  /// Of ends, I x T x 2: the window, and its baseline.
  Attribution explain(const Sequence<double>& ends) {
    Attribution result{ends.inputs, ends.steps};
    const std::span<const double> y = outputs_of(Batch<double>(ends), Pass{});
    result.output = y[0];
    result.baseline_output = y[1];
    model_.zero_gradients();
    for (std::size_t r = 0;; ++r) {
      if (r == rules_.size()) rules_.push_back(gauss_legendre(2 * result.nodes));
      integrate(ends, rules_[r], result);
      if (!is_finite(result.delta))
        throw DataError("integrated gradients: the model gives outputs or gradients that are not ",
                        "finite for this window or its baseline");
      if (2 * result.nodes > options_.most_steps || result.relative_delta() <= options_.tolerance)
        return result;
    }
  }

  /// Sets values, delta and nodes by one rule.
  void integrate(const Sequence<double>& ends, const Quadrature& rule, Attribution& result) {
    const Index I = ends.inputs, T = ends.steps;
    result.nodes = std::ssize(rule.nodes);
    result.values.assign(static_cast<std::size_t>(T * I), 0.0);
    for (Index first = 0; first < result.nodes; first += most_batch)
      add_nodes(ends, rule, first, std::min(most_batch, result.nodes - first), result.values);
    double sum = 0;
    for (Index t = 0; t < T; ++t)
      for (Index i = 0; i < I; ++i) {
        double& value = result.values[static_cast<std::size_t>(t * I + i)];
        value *= ends.column(t, 0)[i] - ends.column(t, 1)[i];
        sum += value;
      }
    result.delta = sum - (result.output - result.baseline_output);
  }

  /// Adds the gradients at nodes first, ..., first + count - 1, weighed, to `sums`, [T][I].
  void add_nodes(const Sequence<double>& ends, const Quadrature& rule, Index first, Index count,
                 std::vector<double>& sums) {
    const Index I = ends.inputs, T = ends.steps;
    nodes_.resize(T * count * I);
    gradients_.resize(T * count * I);
    const auto x = Sequence<double>::dense(nodes_.data(), I, T, count);
    const auto dx = Sequence<double>::dense(gradients_.data(), I, T, count);
    for (Index t = 0; t < T; ++t)
      for (Index b = 0; b < count; ++b) {
        const double s = rule.nodes[static_cast<std::size_t>(first + b)];
        const double *window = ends.column(t, 0), *baseline = ends.column(t, 1);
        for (Index i = 0; i < I; ++i)
          x.column(t, b)[i] = baseline[i] + s * (window[i] - baseline[i]);
      }
    const Batch<double> batch(x);
    outputs_of(batch, {.training = true});
    const Index K = model_.outputs(), rows = target_steps(model_, T) * count;
    doutputs_.assign(rows * K, 0.0);
    for (Index b = 0; b < count; ++b) doutputs_[(rows - count + b) * K + options_.output] = 1.0;
    model_.backward(batch, cache_, doutputs_.data(), dx);
    for (Index t = 0; t < T; ++t)
      for (Index b = 0; b < count; ++b) {
        const double weight = rule.weights[static_cast<std::size_t>(first + b)];
        for (Index i = 0; i < I; ++i)
          sums[static_cast<std::size_t>(t * I + i)] += weight * dx.column(t, b)[i];
      }
  }

  AnyModel<double> model_;
  IntegratedGradientsOptions options_;
  std::vector<Quadrature> rules_;  ///< each of twice the nodes of the one before
  AnyModel<double>::Cache cache_;
  Buffer<double> ends_, nodes_, gradients_, outputs_, doutputs_;
};

/// The mean window of a set, [T][I]: a baseline. A column that is constant in the set is that
/// constant exactly.
/// Throws: DataError when the set is empty; OptionError when its windows have their own lengths.
template <SampleSet Set>
std::vector<double> mean_window(const Set& set) {
  const FloatModeGuard guard;
  if (set.empty()) throw DataError("mean_window: there are no windows");
  const Index T = set.length(), I = set.inputs(), n = set.size();
  std::vector<double> first(static_cast<std::size_t>(T * I)), sums(first.size(), 0.0);
  BatchScratch<typename Set::Scalar> scratch;
  for (Index w = 0; w < n; ++w) {
    const auto batch = set.inputs_of(Samples{w, 1, {}}, scratch);
    if (!batch.lengths.empty())
      throw OptionError("mean_window: windows of their own lengths have no mean window: use zeros");
    for (Index t = 0; t < T; ++t)
      for (Index i = 0; i < I; ++i) {
        const auto at = static_cast<std::size_t>(t * I + i);
        const auto value = static_cast<double>(batch.past.column(t, 0)[i]);
        if (w == 0) first[at] = value;
        sums[at] += value - first[at];
      }
  }
  for (std::size_t at = 0; at < sums.size(); ++at) first[at] += sums[at] / static_cast<double>(n);
  return first;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
