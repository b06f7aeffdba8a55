// Makes models from a configuration at run time. A new kind of model is added to the list here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/any_model.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/nn/transformer/encoder.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A list of model types for make_model, and the list with more of them.
template <class... Models>
struct ModelList {
  template <class... More>
  using And = ModelList<Models..., More...>;
};

/// The library's recurrent networks, and all its models.
template <class Scalar>
using RecurrentModels = ModelList<LSTMClassifier<Scalar>, GRUClassifier<Scalar>,
                                  BiLSTMClassifier<Scalar>, BiGRUClassifier<Scalar>>;
template <class Scalar>
using Models = typename RecurrentModels<Scalar>::template And<TransformerNetwork<Scalar>>;

namespace internal {

template <class M>
struct ModelType {
  using type = M;
};

/// Calls use(ModelType<M>) for the model of the list whose kind() is `kind`. Returns whether there
/// is such a model.
template <class... Models, class Use>
bool with_kind(ModelList<Models...>, std::string_view kind, const Use& use) {
  const auto one = [&]<class M>(ModelType<M> type) {
    if (kind != M::kind()) return false;
    use(type);
    return true;
  };
  return (one(ModelType<Models>{}) || ...);
}

template <class... Models>
std::string kinds_of(ModelList<Models...>) {
  std::string names;
  ((names += (names.empty() ? "" : ", ") + Models::kind()), ...);
  return names;
}

}  // namespace internal

/// The names that make_model accepts: "lstm, gru, bilstm, bigru, transformer".
template <class Scalar>
std::string model_kinds() {
  return internal::kinds_of(Models<Scalar>{});
}

/// Makes the model that a configuration describes, with initial weights drawn from the seed.
/// Throws: OptionError when its kind is not in the list, or an option is missing, unknown or out of
/// range; ShapeError when a size is out of range.
template <class Scalar, class List = Models<Scalar>>
AnyModel<Scalar> make_model(const Config& config, std::uint64_t seed = 0) {
  std::optional<AnyModel<Scalar>> made;
  if (!internal::with_kind(List{}, config.kind,
                           [&]<class M>(internal::ModelType<M>) { made.emplace(M(config, seed)); }))
    throw OptionError("make_model: expected one of ", internal::kinds_of(List{}), ", got '",
                      config.kind, "'");
  return *std::move(made);
}

/// Makes a recurrent network by its name: lstm, gru, bilstm or bigru.
/// Throws: OptionError when the name is none of these; what the model's constructor throws.
template <class Scalar>
AnyModel<Scalar> make_classifier(std::string_view kind, const ClassifierOptions& options,
                                 std::uint64_t seed = 0) {
  std::optional<AnyModel<Scalar>> made;
  if (!internal::with_kind(RecurrentModels<Scalar>{}, kind, [&]<class M>(internal::ModelType<M>) {
        made.emplace(M(options, seed));
      }))
    throw OptionError("make_classifier: expected one of ",
                      internal::kinds_of(RecurrentModels<Scalar>{}), ", got '", kind, "'");
  return *std::move(made);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
