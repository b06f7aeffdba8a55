// One ensemble from the files of its members.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/io/checkpoint.hpp"
#include "tsdl/nn/ensemble.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Throws: OptionError naming the first part in which two recipes differ.
inline void check_same_recipe(const std::filesystem::path& path, const Recipe& recipe,
                              const std::filesystem::path& first, const Recipe& expected) {
  const Json its = recipe_to_json(recipe), other = recipe_to_json(expected);
  if (its == other) return;
  std::string part = "a part";
  for (const auto& [key, value] : other.items())
    if (!its.contains(key) || its.at(key) != value) {
      part = "'" + key + "'";
      break;
    }
  throw OptionError("ensemble: the recipe of ", path_text(path), " is another than that of ",
                    path_text(first), ": ", part,
                    " differs; members read the same columns, scaled alike, in windows of one "
                    "length, and have the same targets");
}

}  // namespace internal

/// Reads model files of any kinds in the list (nn/factory.hpp) that were trained with one recipe,
/// and makes an ensemble of them, of equal weights unless weights are given; its seed is that of
/// the first. Throws: as load_any_model and Ensemble; OptionError without a file, or when recipes
/// differ.
template <class Scalar, class List = Models<Scalar>>
LoadedModel<Ensemble<Scalar>> load_ensemble(const std::vector<std::filesystem::path>& paths,
                                            std::vector<double> weights = {}) {
  if (paths.empty()) throw OptionError("ensemble: expected 1 or more model files, got none");
  std::vector<AnyModel<Scalar>> members;
  Recipe recipe;
  std::uint64_t seed = 0;
  for (const std::filesystem::path& path : paths) {
    LoadedModel<AnyModel<Scalar>> loaded = load_any_model<Scalar, List>(path);
    if (members.empty()) {
      recipe = std::move(loaded.recipe);
      seed = loaded.seed;
    } else {
      internal::check_same_recipe(path, loaded.recipe, paths.front(), recipe);
    }
    members.push_back(std::move(loaded.model));
  }
  return {Ensemble<Scalar>(std::move(members), std::move(weights)), std::move(recipe), seed};
}

}  // namespace TSDL_ABI
}  // namespace tsdl
