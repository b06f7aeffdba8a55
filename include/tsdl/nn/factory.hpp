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
#include "tsdl/nn/ensemble.hpp"
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

/// The names that make_model accepts: "lstm, gru, bilstm, bigru, transformer, ensemble".
template <class Scalar, class List = Models<Scalar>>
std::string model_kinds() {
  return internal::kinds_of(List{}) + ", " + Ensemble<Scalar>::kind();
}

/// Makes the model that a configuration describes, with initial weights drawn from the seed: one of
/// the list, or an ensemble of models of the list.
/// Throws: OptionError when its kind is not in the list, or an option is missing, unknown or out of
/// range; ShapeError when a size is out of range.
template <class Scalar, class List = Models<Scalar>>
AnyModel<Scalar> make_model(const Config& config, std::uint64_t seed = 0) {
  if (config.kind == Ensemble<Scalar>::kind()) {
    std::vector<AnyModel<Scalar>> members;
    for (const Config& member : internal::member_configs(config))
      members.push_back(make_model<Scalar, List>(member, seed));
    return Ensemble<Scalar>(std::move(members), config.numbers("weights"));
  }
  std::optional<AnyModel<Scalar>> made;
  if (!internal::with_kind(List{}, config.kind,
                           [&]<class M>(internal::ModelType<M>) { made.emplace(M(config, seed)); }))
    throw OptionError("make_model: expected one of ", model_kinds<Scalar, List>(), ", got '",
                      config.kind, "'");
  return *std::move(made);
}

/// The tensors of the model that a configuration describes, as far as its kind is in the list and
/// tells them. Throws: as make_model, without allocating what the sizes ask for.
template <class Scalar, class List = Models<Scalar>>
std::vector<TensorShape> model_tensors(const Config& config) {
  std::vector<TensorShape> all;
  if (config.kind == Ensemble<Scalar>::kind()) {
    const std::vector<Config> members = internal::member_configs(config);
    for (std::size_t m = 0; m < members.size(); ++m)
      for (TensorShape tensor : model_tensors<Scalar, List>(members[m])) {
        tensor.name = internal::member_prefix(static_cast<Index>(m)) + tensor.name;
        all.push_back(std::move(tensor));
      }
    return all;
  }
  internal::with_kind(List{}, config.kind, [&]<class M>(internal::ModelType<M>) {
    if constexpr (requires { M::tensors(config); }) all = M::tensors(config);
  });
  return all;
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
