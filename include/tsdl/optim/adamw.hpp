// AdamW: Adam with decoupled weight decay, with separate settings for groups of parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tsdl/core/archive.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/kernels/adamw.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Settings for the parameters whose name contains `name`, as in {.name = "bias", .weight_decay =
/// 0}.
struct ParameterGroup {
  std::string name;
  std::optional<double> weight_decay{};
  double lr_scale = 1.0;
};

/// Options of AdamW, with PyTorch's defaults. The first group whose name matches applies. An
/// Optimizer makes the updates.
struct AdamW {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  std::vector<ParameterGroup> groups{};

  /// Throws: OptionError when a setting is out of range.
  void check() const {
    const auto refuse = [](const char* what, double value, const char* range) {
      throw OptionError("AdamW: ", what, " must be ", range, ", not ", value);
    };
    if (!(is_finite(lr) && lr >= 0)) refuse("lr", lr, "finite and at least 0");
    if (!(is_finite(beta1) && beta1 >= 0 && beta1 < 1)) refuse("beta1", beta1, "in [0, 1)");
    if (!(is_finite(beta2) && beta2 >= 0 && beta2 < 1)) refuse("beta2", beta2, "in [0, 1)");
    if (!(is_finite(eps) && eps >= 0)) refuse("eps", eps, "finite and at least 0");
    const auto check_decay = [&](double decay) {
      if (!(is_finite(decay) && decay >= 0)) refuse("weight_decay", decay, "finite and at least 0");
    };
    check_decay(weight_decay);
    for (const ParameterGroup& group : groups) {
      check_decay(group.weight_decay.value_or(0.0));
      if (!(is_finite(group.lr_scale) && group.lr_scale >= 0))
        refuse("lr_scale", group.lr_scale, "finite and at least 0");
    }
  }
};

/// Updates a model's parameters by AdamW and keeps their moments.
///
///   tsdl::Optimizer optimizer(model, tsdl::AdamW{.lr = 1e-3});
///   model.zero_gradients();  ...forward, backward...  optimizer.step(model);
///
///   g = gradient_scale gradient
///   m = beta1 m + (1 - beta1) g
///   v = beta2 v + (1 - beta2) g^2
///   w = (1 - lr weight_decay) w - lr (m / (1 - beta1^n)) / (sqrt(v / (1 - beta2^n)) + eps)
///
/// Source: https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html
template <class Scalar>
class Optimizer {
 public:
  /// The moments and the settings of one parameter.
  struct Moments {
    Buffer<Scalar> m, v;
    double weight_decay, lr_scale;
  };

  /// Starts from zero moments. Allocates: the moments. Throws: OptionError when an option is out of
  /// range.
  template <Module M>
  explicit Optimizer(const M& model, const AdamW& options = {}) : options_(options) {
    options_.check();
    model.visit([&](const Parameter<Scalar>& parameter) {
      Moments moments{Buffer<Scalar>(parameter.size()), Buffer<Scalar>(parameter.size()),
                      options_.weight_decay, 1.0};
      for (const ParameterGroup& group : options_.groups) {
        if (parameter.name.find(group.name) == std::string::npos) continue;
        moments.weight_decay = group.weight_decay.value_or(options_.weight_decay);
        moments.lr_scale = group.lr_scale;
        break;
      }
      for (Index first = 0; first < parameter.size(); first += part_size)
        parts_.push_back({moments_.size(), first, std::min(part_size, parameter.size() - first)});
      moments_.push_back(std::move(moments));
    });
    tensors_.resize(moments_.size());
  }

  /// Makes one update at the learning rate of the options. Does not change gradients; ends with
  /// model.repack().
  /// Throws: ShapeError, before it changes anything, when the model's parameters are not those that
  /// the optimizer was made for.
  template <Module M>
  void step(M& model) {
    step(model, options_.lr);
  }

  /// Makes one update at rate `lr`, with gradients multiplied by `gradient_scale` (for clipping).
  /// Threads share the parameters. Throws: as step(model).
  template <Module M>
  void step(M& model, double lr, double gradient_scale = 1.0) {
    check(model);
    const FloatModeGuard guard;
    ++steps_;
    const auto t = static_cast<double>(steps_);
    const double correction1 = 1.0 - std::pow(options_.beta1, t);
    const double correction2 = 1.0 - std::pow(options_.beta2, t);
    double size = 0;
    auto tensor = tensors_.begin();
    model.visit([&](Parameter<Scalar>& parameter) {
      parameter.need_gradient();
      *tensor++ = &parameter;
      size += static_cast<double>(parameter.size());
    });
    internal::parallel_for(std::ssize(parts_), operations_each * size, [&](Index i) noexcept {
      const FloatModeGuard task_guard(denormals());
      const Part& part = parts_[static_cast<std::size_t>(i)];
      Parameter<Scalar>& parameter = *tensors_[part.tensor];
      Moments& moments = moments_[part.tensor];
      const double rate = lr * moments.lr_scale;
      kernels::adamw(parameter.value.data() + part.first, moments.m.data() + part.first,
                     moments.v.data() + part.first, parameter.gradient.data() + part.first,
                     part.size,
                     {.gradient_scale = gradient_scale,
                      .keep = 1.0 - rate * moments.weight_decay,
                      .beta1 = options_.beta1,
                      .beta2 = options_.beta2,
                      .step_size = rate / correction1,
                      .inverse_v_correction = 1.0 / std::sqrt(correction2),
                      .eps = options_.eps});
    });
    model.repack();
  }

  const AdamW& options() const noexcept { return options_; }
  std::uint64_t steps() const noexcept { return steps_; }

  /// The moments, in the order of the model's parameters.
  const std::vector<Moments>& moments() const noexcept { return moments_; }

  /// Reads or writes the number of updates and the moments, named after the model's parameters.
  /// Throws: ShapeError when the optimizer was made for another model.
  template <Module M>
  void archive(StateArchive& archive, const M& model) {
    check(model);
    std::size_t i = 0;
    model.visit([&](const Parameter<Scalar>& parameter) {
      archive.tensor("m." + parameter.name, parameter.shape(), moments_[i].m, NumberRange{});
      archive.tensor("v." + parameter.name, parameter.shape(), moments_[i++].v,
                     {.least = 0, .may_be_infinite = true});
    });
    archive.integer("state.optimizer.steps", steps_);
  }

 private:
  template <class M>
  void check(const M& model) const {
    std::size_t i = 0;
    model.visit([&](const Parameter<Scalar>& parameter) {
      const Index expected = i < moments_.size() ? moments_[i].m.size() : 0;
      if (parameter.size() != expected)
        throw ShapeError("Optimizer: it was made for another model: parameter ", i, " (",
                         parameter.name, ") has ", parameter.size(), " values, expected ",
                         expected);
      ++i;
    });
    if (i != moments_.size())
      throw ShapeError("Optimizer: it was made for another model: ", i, " parameters, expected ",
                       moments_.size());
  }

  /// Flushed, a v of small gradients would be 0, and the step m / eps instead of m / sqrt(v). An
  /// eps far above the root of the least normal number hides it, and spares the cost of denormals.
  Denormals denormals() const noexcept {
    using Limits = std::numeric_limits<Scalar>;
    const double least = std::sqrt(static_cast<double>(Limits::min()));
    return options_.eps * static_cast<double>(Limits::epsilon()) < least ? Denormals::keep
                                                                         : Denormals::flush;
  }

  /// What a thread updates at a time: values `first` ... of a tensor.
  struct Part {
    std::size_t tensor;
    Index first, size;
  };
  static constexpr Index part_size = 8192;  ///< whole cache lines

  /// Cost per parameter, in operations of a product: the update is memory-bound.
  static constexpr double operations_each = 50;

  AdamW options_;
  std::vector<Moments> moments_;
  std::vector<Part> parts_;
  std::vector<Parameter<Scalar>*> tensors_;  ///< of the model, while a step runs
  std::uint64_t steps_ = 0;
};

template <class M>
explicit Optimizer(const M&, const AdamW& = {}) -> Optimizer<typename M::Scalar>;

}  // namespace TSDL_ABI
}  // namespace tsdl
