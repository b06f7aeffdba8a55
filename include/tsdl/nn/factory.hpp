// A model from a configuration: the architecture by its name, at run time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "tsdl/core/error.hpp"
#include "tsdl/nn/classifier.hpp"

namespace tsdl::inline TSDL_ABI {

/// One classifier of any kind. What is done with it is said once, for all kinds:
///   std::visit([&](auto& model) { Trainer(model).fit(windows); }, any);
template <class Scalar>
using AnyClassifier = std::variant<LSTMClassifier<Scalar>, GRUClassifier<Scalar>,
                                   BiLSTMClassifier<Scalar>, BiGRUClassifier<Scalar>>;

namespace internal {

template <class Model>
struct ModelType {};

/// Calls use(ModelType<Model>) for the alternative of AnyClassifier whose kind() is `kind`; returns
/// whether there is one.
template <class Scalar, class Use>
bool with_kind(std::string_view kind, const Use& use) {
  const auto try_all = [&]<class... Models>(std::type_identity<std::variant<Models...>>) {
    const auto one = [&]<class Model>(ModelType<Model> type) {
      if (kind != Model::kind()) return false;
      use(type);
      return true;
    };
    return (one(ModelType<Models>{}) || ...);
  };
  return try_all(std::type_identity<AnyClassifier<Scalar>>{});
}

}  // namespace internal

/// The names that make_classifier knows, "lstm, gru, bilstm, bigru".
template <class Scalar>
std::string classifier_kinds() {
  std::string names;
  const auto join = [&]<class... Models>(std::type_identity<std::variant<Models...>>) {
    ((names += (names.empty() ? "" : ", ") + Models::kind()), ...);
  };
  join(std::type_identity<AnyClassifier<Scalar>>{});
  return names;
}

/// Makes the classifier of this kind: lstm, gru, bilstm or bigru. Initial weights follow from the
/// seed. Throws: Error when the name is none of these; ShapeError when an option is out of range.
template <class Scalar>
AnyClassifier<Scalar> make_classifier(std::string_view kind, const ClassifierOptions& options,
                                      std::uint64_t seed = 0) {
  std::optional<AnyClassifier<Scalar>> made;
  if (!internal::with_kind<Scalar>(kind, [&]<class Model>(internal::ModelType<Model>) {
        made.emplace(std::in_place_type<Model>, options, seed);
      }))
    throw Error("make_classifier: expected one of ", classifier_kinds<Scalar>(), ", got '", kind,
                "'");
  return *std::move(made);
}

}  // namespace tsdl::inline TSDL_ABI
