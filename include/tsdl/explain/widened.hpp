// A model's copy whose weights are doubles and which drops nothing: what gradients of outputs with
// respect to inputs are taken of.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/any_model.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Whether an option is a rate of dropout: dropout, head_dropout and what else ends so.
inline bool is_dropout(std::string_view name) noexcept { return name.ends_with("dropout"); }

/// Copies the weights of a model to one of the same kind and sizes. Throws: ShapeError when their
/// tensors are not the same.
template <class From, class To>
void copy_weights(const From& from, To& to) {
  std::vector<const Parameter<typename From::Scalar>*> all;
  from.visit([&](const Parameter<typename From::Scalar>& parameter) { all.push_back(&parameter); });
  std::size_t next = 0;
  update(to, [&](Parameter<typename To::Scalar>& parameter) {
    if (next == all.size() || all[next]->name != parameter.name ||
        all[next]->shape() != parameter.shape())
      throw ShapeError("widened: tensor '", parameter.name, "' is not in the model that is copied");
    const auto& value = all[next++]->value;
    for (Index i = 0; i < value.size(); ++i)
      parameter.value[i] = static_cast<typename To::Scalar>(value[i]);
  });
  if (next != all.size())
    throw ShapeError("widened: the copy has ", next, " tensors, the model ", all.size());
}

}  // namespace internal

/// A model of the same kind in double, with the same weights and task; every rate of dropout is 0,
/// so that its training pass gives the outputs of prediction. `List`: the kinds that are looked
/// through (nn/factory.hpp); a model in double that is made from (Config, seed) needs none.
/// Throws: OptionError when the model's kind is not in the list.
template <class List = Models<double>, Model M>
AnyModel<double> widened(const M& model) {
  Config config = model.describe();
  for (const auto& [name, value] : model.describe().options)
    if (internal::is_dropout(name) && value.type == ConfigValue::Type::number)
      config.options[name] = ConfigValue(0.0);
  const auto copy = [&](auto made) {
    internal::copy_weights(model, made);
    made.set_task(model.task());
    return AnyModel<double>(std::move(made));
  };
  if constexpr (std::is_same_v<typename M::Scalar, double> &&
                std::is_constructible_v<M, const Config&, std::uint64_t>) {
    return copy(M(config, 0));
  } else {
    if (config.kind != Ensemble<double>::kind() &&
        !internal::with_kind(List{}, config.kind, [](auto) {}))
      throw OptionError("widened: a model of kind '", config.kind,
                        "' is not known in double: expected one of ", model_kinds<double, List>());
    return copy(make_model<double, List>(config));
  }
}

}  // namespace TSDL_ABI
}  // namespace tsdl
