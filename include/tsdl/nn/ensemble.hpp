// Ensemble: several models over the same windows, whose predictions are averaged.
//
//   x_m = member m's outputs          m = 1 ... M
//   y   = combine(x_1 ... x_M; w)     by the task: the outputs whose predictions are
//                                     sum_m w_m prediction(x_m)
//
// Probabilities of classes are averaged, not logits: the log-loss of the ensemble is then at most
// the weighted mean of its members' (Jensen's inequality). Equations: task/combine.hpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/nn/any_model.hpp"
#include "tsdl/nn/model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// "members.2." of the third member: before the names of its options and tensors.
inline std::string member_prefix(Index m) { return "members." + std::to_string(m) + '.'; }

}  // namespace internal

/// A Model of M models of any kinds, which read the same inputs and have the same task. Tensors and
/// options carry their member's number: members.0.head.weight. It is trained, explained, saved and
/// streamed like its members; backward goes through all of them.
template <class ScalarType>
class Ensemble {
  using Any = AnyModel<ScalarType>;

 public:
  using Scalar = ScalarType;

  /// What a pass computes. A reused cache stops allocating.
  struct Cache {
    std::vector<typename Any::Cache> members;
    std::vector<Outputs<Scalar>> outputs;  ///< of each member, views into its cache
    Buffer<Scalar> combined;               ///< [n][K]
    Buffer<Scalar> doutputs;               ///< [n][K] of a member
    Buffer<Scalar> dx;                     ///< of a member
    Buffer<double> column;                 ///< [M + 2][K], of one sample
    Buffer<double> weighted;               ///< [n][M][K]: gradients of the members' outputs
    bool ready = false;  ///< a training pass has run, and backward has not consumed it
  };

  /// Members of equal weight unless weights are given, which are divided by their sum. The task is
  /// that of the members. Throws: OptionError without a member, with more than most_members, with a
  /// weight that is negative or not finite, all of them 0, with an ensemble among the members,
  /// with tasks that differ, or with a temperature: calibrate the ensemble, not its members.
  /// ShapeError when members differ in inputs, outputs or steps with targets, or there is not one
  /// weight for each.
  explicit Ensemble(std::vector<Any> members, std::vector<double> weights = {})
      : members_(std::move(members)), task_(first_of(members_).task()) {
    for (std::size_t m = 0; m < members_.size(); ++m) {
      check(members_[m], m);
      const std::string prefix = internal::member_prefix(static_cast<Index>(m));
      update(members_[m],
             [&](Parameter<Scalar>& parameter) { parameter.name = prefix + parameter.name; });
    }
    if (weights.empty()) weights.assign(members_.size(), 1.0);
    set_weights(std::move(weights));
  }

  /// The name of this kind of model in files.
  static std::string kind() { return "ensemble"; }
  static constexpr Index most_members = 1000;

  Index size() const noexcept { return std::ssize(members_); }
  /// A copy of member m as a model of its own. Throws: OptionError when there is none.
  Any member(Index m) const {
    if (m < 0 || m >= size())
      throw OptionError("ensemble: expected a member from 0 to ", size() - 1, ", got ", m);
    Any copy = members_[static_cast<std::size_t>(m)];
    const std::size_t skip = internal::member_prefix(m).size();
    update(copy, [&](Parameter<Scalar>& parameter) { parameter.name.erase(0, skip); });
    copy.set_task(task_.uncalibrated());
    return copy;
  }

  const std::vector<double>& weights() const noexcept { return weights_; }
  /// Divides them by their sum. Throws: as the constructor; nothing has changed then.
  void set_weights(std::vector<double> weights) {
    if (std::ssize(weights) != size())
      throw ShapeError("ensemble: expected ", size(), " weights, got ", weights.size());
    double sum = 0;
    for (const double w : weights) {
      if (!(is_finite(w) && w >= 0))
        throw OptionError("ensemble: a weight must be finite and at least 0, not ", w);
      sum += w;
    }
    if (!(is_finite(sum) && sum > 0))
      throw OptionError("ensemble: the sum of the weights must be finite and above 0, not ", sum);
    if (std::abs(sum - 1) > 1e-12)  // weights that were read from a file stay as they are
      for (double& w : weights) w /= sum;
    weights_ = std::move(weights);
  }

  Task task() const noexcept { return task_; }
  /// Throws: OptionError when it needs another number of outputs.
  void set_task(Task task) {
    task.check_outputs(outputs());
    task_ = std::move(task);
  }
  Index inputs() const { return members_.front().inputs(); }
  Index outputs() const { return members_.front().outputs(); }
  Index target_steps(Index T) const { return members_.front().target_steps(T); }
  Index parameter_count() const { return tsdl::parameter_count(*this); }

  /// Its weights and, each name behind its member's prefix, the kind and the options of the
  /// members.
  Config describe() const {
    Config config(kind(), {{"members", size()}, {"weights", weights_}});
    for (Index m = 0; m < size(); ++m) {
      const std::string prefix = internal::member_prefix(m);
      const Config its = members_[static_cast<std::size_t>(m)].describe();
      config.options[prefix + "kind"] = its.kind;
      for (const auto& [name, value] : its.options) config.options[prefix + name] = value;
    }
    return config;
  }

  template <class F>
  void visit(F&& f) {
    for (Any& member : members_) member.visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    for (const Any& member : members_) member.visit(f);
  }
  void repack() {
    for (Any& member : members_) member.repack();
  }
  void zero_gradients() {
    for (Any& member : members_) member.zero_gradients();
  }
  /// Whether backward takes a dx: every member's does.
  bool has_input_gradients() const {
    return std::all_of(members_.begin(), members_.end(),
                       [](const Any& member) { return member.has_input_gradients(); });
  }

  /// Shapes: batch.past I x T x B; the result K x B, or K x T B where every step has a target.
  /// Allocates: when the cache must grow. Safe to call concurrently with separate caches.
  /// Throws: what the members throw.
  Outputs<Scalar> forward(const Batch<Scalar>& batch, Cache& cache, const Pass& pass = {}) const {
    const FloatModeGuard guard;
    cache.ready = false;
    cache.members.resize(members_.size());
    cache.outputs.resize(members_.size());
    for (std::size_t m = 0; m < members_.size(); ++m)
      cache.outputs[m] = members_[m].forward(batch, cache.members[m], pass);
    const Index K = cache.outputs[0].rows(), n = cache.outputs[0].cols();
    cache.combined.resize(K * n);
    cache.column.resize((size() + 1) * K);
    for (Index i = 0; i < n; ++i)
      combine([&](std::size_t m) { return cache.outputs[m].data() + i * K; }, cache.column,
              cache.combined.data() + i * K);
    cache.ready = pass.training;
    return {cache.combined.data(), K, n};
  }

  /// Back-propagates the gradient of the outputs of the last training pass. Shapes: doutputs
  /// [n][K]; dx, if wanted, dense, I x T x B. Accumulates: parameter gradients; assigns dx. Throws:
  /// Error without a training pass; what the members throw.
  void backward(const Batch<Scalar>& batch, Cache& cache, const Scalar* doutputs,
                const Sequence<Scalar>& dx = {}) {
    if (!cache.ready || cache.members.size() != members_.size())
      throw Error("Ensemble::backward: no training pass is there to go back through");
    const FloatModeGuard guard;
    cache.ready = false;
    const Index K = cache.outputs[0].rows(), n = cache.outputs[0].cols(), values = size() * K;
    cache.weighted.resize(n * values);
    cache.column.resize(values + 2 * K);
    double *const column = cache.column.data(), *const out = column + values, *const dout = out + K;
    for (Index i = 0; i < n; ++i) {
      collect([&](std::size_t m) { return cache.outputs[m].data() + i * K; }, column);
      for (Index k = 0; k < K; ++k) dout[k] = static_cast<double>(doutputs[i * K + k]);
      const MemberOutputs members{column, weights_.data(), size()};
      task_->combine(members, out);
      task_->combine_backward(members, out, dout, cache.weighted.data() + i * values, nullptr);
    }
    cache.doutputs.resize(n * K);
    for (Index m = 0; m < size(); ++m) {
      for (Index i = 0; i < n; ++i)
        for (Index k = 0; k < K; ++k)
          cache.doutputs[i * K + k] = static_cast<Scalar>(cache.weighted[i * values + m * K + k]);
      back_through(m, batch, cache, dx);
    }
  }

  /// The windows of the members, and what is combined of them (WindowOf in nn/window.hpp).
  class Window {
   public:
    Window(const Ensemble& ensemble, Index T) : Window(ensemble) {
      for (const Any& member : ensemble.members_) windows_.emplace_back(member, T);
    }
    void push(const Ensemble& ensemble, const Scalar* x) noexcept {
      for (std::size_t m = 0; m < windows_.size(); ++m) windows_[m].push(ensemble.members_[m], x);
    }
    std::span<const Scalar> run(const Ensemble& ensemble) noexcept {
      const FloatModeGuard guard;
      ensemble.combine([&](std::size_t m) { return windows_[m].run(ensemble.members_[m]).data(); },
                       column_, outputs_.data());
      return outputs_.span();
    }
    void reset() noexcept {
      for (auto& window : windows_) window.reset();
    }
    void state(StateBytes& bytes) {
      for (auto& window : windows_) window.state(bytes);
    }
    void restore(const Ensemble& ensemble) noexcept {
      for (std::size_t m = 0; m < windows_.size(); ++m) windows_[m].restore(ensemble.members_[m]);
    }

   private:
    explicit Window(const Ensemble& ensemble)
        : outputs_(ensemble.outputs()), column_((ensemble.size() + 1) * ensemble.outputs()) {}

    std::vector<typename Any::Window> windows_;
    Buffer<Scalar> outputs_;
    Buffer<double> column_;
  };

  /// Carries the state of every member. The template arguments must keep their defaults.
  template <class Weight = Scalar, Index Input = Eigen::Dynamic, Index Hidden = Eigen::Dynamic>
  class Carried {
    using Stream = typename Any::template Carried<Weight, Input, Hidden>;

   public:
    /// Throws: ShapeError, OptionError when a member cannot carry its state, or not max_steps rows.
    explicit Carried(const Ensemble& ensemble, Index max_steps = 0)
        : outputs_(ensemble.outputs()), column_((ensemble.size() + 1) * ensemble.outputs()) {
      for (const Any& member : ensemble.members_) streams_.emplace_back(member, max_steps);
    }
    std::span<const Scalar> push(const Ensemble& ensemble, const Scalar* x) noexcept {
      const FloatModeGuard guard;
      if (is_full()) return {};
      ensemble.combine(
          [&](std::size_t m) { return streams_[m].push(ensemble.members_[m], x).data(); }, column_,
          outputs_.data());
      return outputs_.span();
    }
    void prepare(const Ensemble& ensemble) noexcept {
      for (std::size_t m = 0; m < streams_.size(); ++m) streams_[m].prepare(ensemble.members_[m]);
    }
    bool is_full() const noexcept {
      return std::any_of(streams_.begin(), streams_.end(),
                         [](const Stream& stream) { return stream.is_full(); });
    }
    void reset() noexcept {
      for (auto& stream : streams_) stream.reset();
    }
    void state(StateBytes& bytes) {
      for (auto& stream : streams_) stream.state(bytes);
    }
    void restore(const Ensemble& ensemble) noexcept {
      for (std::size_t m = 0; m < streams_.size(); ++m) streams_[m].restore(ensemble.members_[m]);
    }

   private:
    std::vector<Stream> streams_;
    Buffer<Scalar> outputs_;
    Buffer<double> column_;
  };

 private:
  static const Any& first_of(const std::vector<Any>& members) {
    if (members.empty() || std::ssize(members) > most_members)
      throw OptionError("ensemble: expected 1 to ", most_members, " members, got ", members.size());
    return members.front();
  }

  void check(const Any& member, std::size_t m) const {
    const Any& first = members_.front();
    if (member.describe().kind == kind())
      throw OptionError("ensemble: member ", m, " is an ensemble: give its members instead");
    if (member.inputs() != first.inputs() || member.outputs() != first.outputs() ||
        member.target_steps(2) != first.target_steps(2))
      throw ShapeError("ensemble: member ", m, " has ", member.inputs(), " inputs and ",
                       member.outputs(), " outputs for ", member.target_steps(2),
                       " of 2 steps, member 0 has ", first.inputs(), ", ", first.outputs(), " and ",
                       first.target_steps(2));
    task_.check_outputs(member.outputs());
    if (!same_value(member.task()->temperature(), 1.0))
      throw OptionError("ensemble: member ", m,
                        " has a temperature; calibrate the ensemble, not its members");
    if (member.task()->describe() != task_->describe())
      throw OptionError("ensemble: member ", m, " has another task than member 0");
  }

  /// The outputs of all members for one sample, [M][K]. `of(m)`: the K of member m.
  template <class OutputsOf>
  void collect(const OutputsOf& of, double* column) const noexcept {
    const Index K = outputs();
    for (Index m = 0; m < size(); ++m) {
      const Scalar* x = of(static_cast<std::size_t>(m));
      for (Index k = 0; k < K; ++k) column[m * K + k] = static_cast<double>(x[k]);
    }
  }
  /// Combines one sample. `column` holds (M + 1) K values.
  template <class OutputsOf>
  void combine(const OutputsOf& of, Buffer<double>& column, Scalar* out) const noexcept {
    const Index K = outputs();
    collect(of, column.data());
    double* const combined = column.data() + size() * K;
    task_->combine({column.data(), weights_.data(), size()}, combined);
    for (Index k = 0; k < K; ++k) out[k] = static_cast<Scalar>(combined[k]);
  }

  /// Member m's part of backward: cache.doutputs are its own; dx adds up over the members.
  void back_through(Index m, const Batch<Scalar>& batch, Cache& cache, const Sequence<Scalar>& dx) {
    const auto at = static_cast<std::size_t>(m);
    if (!dx.data || m == 0) {
      members_[at].backward(batch, cache.members[at], cache.doutputs.data(), dx);
      return;
    }
    cache.dx.resize(dx.inputs * dx.steps * dx.batch);
    const auto its = Sequence<Scalar>::dense(cache.dx.data(), dx.inputs, dx.steps, dx.batch);
    members_[at].backward(batch, cache.members[at], cache.doutputs.data(), its);
    for (Index t = 0; t < dx.steps; ++t)
      for (Index b = 0; b < dx.batch; ++b)
        for (Index i = 0; i < dx.inputs; ++i) dx.column(t, b)[i] += its.column(t, b)[i];
  }

  std::vector<Any> members_;
  std::vector<double> weights_;
  Task task_;
};

namespace internal {

/// The configurations of an ensemble's members. Throws: OptionError when the configuration is not
/// one that Ensemble::describe() makes.
inline std::vector<Config> member_configs(const Config& config) {
  constexpr Index most = Ensemble<float>::most_members;
  const Index count = config.index("members");
  if (count < 1 || count > most)
    throw OptionError("ensemble: option 'members': expected 1 to ", most, ", got ", count);
  std::vector<Config> members(static_cast<std::size_t>(count));
  for (Index m = 0; m < count; ++m) {
    members[static_cast<std::size_t>(m)].kind = config.text(member_prefix(m) + "kind");
    if (members[static_cast<std::size_t>(m)].kind == Ensemble<float>::kind())
      throw OptionError("ensemble: member ", m, " is an ensemble");
  }
  for (const auto& [name, value] : config.options) {
    if (name == "members" || name == "weights") continue;
    // "members.2.hidden_size" is option hidden_size of member 2.
    constexpr std::size_t begin = 8;
    const std::size_t dot = name.find('.', begin);
    Index m = count;
    if (dot != name.npos) std::from_chars(name.data() + begin, name.data() + dot, m);
    if (m < 0 || m >= count || !name.starts_with(member_prefix(m)))
      throw OptionError("ensemble: option '", name, "' is not known");
    if (const std::string own = name.substr(dot + 1); own != "kind")
      members[static_cast<std::size_t>(m)].options[own] = value;
  }
  return members;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
