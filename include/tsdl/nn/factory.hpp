// Models by a configuration, at run time: the list to which a new kind is added.
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

namespace tsdl {
inline namespace TSDL_ABI {

/// Types that make_model knows.
template <class... Models>
struct ModelList {};

/// The library's own.
template <class Scalar>
using Models = ModelList<LSTMClassifier<Scalar>, GRUClassifier<Scalar>, BiLSTMClassifier<Scalar>,
                         BiGRUClassifier<Scalar>>;

namespace internal {

template <class M>
struct ModelType {
  using type = M;
};

/// Calls use(ModelType<M>) for the model of the list whose kind() is `kind`; returns whether there
/// is one.
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

/// The names that make_model knows, "lstm, gru, bilstm, bigru".
template <class Scalar>
std::string model_kinds() {
  return internal::kinds_of(Models<Scalar>{});
}

/// Makes the model that a configuration describes. Initial weights follow from the seed.
/// Throws: OptionError when its kind is none of model_kinds(), or an option is missing, not known
/// or out of range; ShapeError when a size is.
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
/// Throws: OptionError when the name is none of these; as its constructor.
template <class Scalar>
AnyModel<Scalar> make_classifier(std::string_view kind, const ClassifierOptions& options,
                                 std::uint64_t seed = 0) {
  std::optional<AnyModel<Scalar>> made;
  if (!internal::with_kind(
          Models<Scalar>{}, kind,
          [&]<class M>(internal::ModelType<M>) {
            if constexpr (std::is_constructible_v<M, const ClassifierOptions&, std::uint64_t>)
              made.emplace(M(options, seed));
          }) ||
      !made)
    throw OptionError("make_classifier: expected one of ", model_kinds<Scalar>(), ", got '", kind,
                      "'");
  return *std::move(made);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
