// Recipes and model options as JSON, for the metadata of model files.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/nn/classifier.hpp"

namespace tsdl::inline TSDL_ABI {

inline std::string to_string(Init init) {
  return init == Init::orthogonal ? "orthogonal" : "pytorch";
}

/// Throws: Error when the name is not pytorch or orthogonal.
inline Init init_from(std::string_view name) {
  for (const Init init : {Init::pytorch, Init::orthogonal})
    if (name == to_string(init)) return init;
  throw Error("init: expected pytorch or orthogonal, got '", name, "'");
}

namespace internal {

using Json = nlohmann::json;

/// The whole number under `key`; a fraction, or one that Index cannot hold, is not cut to fit.
inline Index index_at(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())))
    throw Error("'", key, "': expected a whole number, got ", value.dump());
  return value.get<Index>();
}

inline std::uint64_t seed_from_json(const Json& json) {
  if (!json.is_number_unsigned())
    throw Error("expected a whole number that is not negative, got ", json.dump());
  return json.get<std::uint64_t>();
}

inline Json label_to_json(const Label& label) {
  if (const auto* range = std::get_if<RangeLabel>(&label))
    return {{"kind", "range"}, {"lookback", range->lookback}};
  if (const auto* direction = std::get_if<DirectionLabel>(&label))
    return {{"kind", "direction"}, {"horizon", direction->horizon}};
  const auto& column = std::get<ColumnLabel>(label);
  return {{"kind", "column"}, {"column", column.column}, {"offset", column.offset}};
}

inline Label label_from_json(const Json& json) {
  const auto kind = json.at("kind").get<std::string>();
  if (kind == "range") return RangeLabel{.lookback = index_at(json, "lookback")};
  if (kind == "direction") return DirectionLabel{.horizon = index_at(json, "horizon")};
  if (kind == "column")
    return ColumnLabel{.column = json.at("column").get<std::string>(),
                       .offset = index_at(json, "offset")};
  throw Error("label: unknown kind '", kind, "'");
}

inline Json scaler_to_json(const StandardScaler& scaler) {
  return {{"mean", scaler.mean()},
          {"variance", scaler.variance()},
          {"scale", scaler.scale()},
          {"count", scaler.count()}};
}

inline Json recipe_to_json(const Recipe& recipe) {
  return {{"features", recipe.features},      {"columns", recipe.columns},
          {"length", recipe.length},          {"stride", recipe.stride},
          {"classes", recipe.classes},        {"label", label_to_json(recipe.label)},
          {"horizon", horizon(recipe.label)}, {"scaler", scaler_to_json(recipe.scaler)}};
}

inline Recipe recipe_from_json(const Json& json) {
  Recipe recipe;
  recipe.features = json.at("features").get<std::string>();
  recipe.columns = json.at("columns").get<std::vector<std::string>>();
  recipe.length = index_at(json, "length");
  recipe.stride = index_at(json, "stride");
  recipe.classes = index_at(json, "classes");
  recipe.label = label_from_json(json.at("label"));
  const Json& scaler = json.at("scaler");
  recipe.scaler = StandardScaler(recipe.columns, scaler.at("mean").get<std::vector<double>>(),
                                 scaler.at("variance").get<std::vector<double>>(),
                                 scaler.at("scale").get<std::vector<double>>(),
                                 scaler.at("count").get<std::vector<Index>>());
  return recipe;
}

inline Json options_to_json(const std::string& kind, const ClassifierOptions& options) {
  return {{"kind", kind},
          {"input_size", options.input_size},
          {"hidden_size", options.hidden_size},
          {"num_layers", options.num_layers},
          {"dropout", options.dropout},
          {"pooling", to_string(options.pooling)},
          {"outputs", options.outputs},
          {"init", to_string(options.init)}};
}

inline ClassifierOptions options_from_json(const Json& json) {
  return {.input_size = index_at(json, "input_size"),
          .hidden_size = index_at(json, "hidden_size"),
          .num_layers = index_at(json, "num_layers"),
          .dropout = json.at("dropout").get<double>(),
          .pooling = pooling_from(json.at("pooling").get<std::string>()),
          .outputs = index_at(json, "outputs"),
          .init = init_from(json.at("init").get<std::string>())};
}

/// JSON as text. Throws: Error when a name in it is not UTF-8.
inline std::string to_text(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {
    throw Error("metadata: ", error.what());
  }
}

/// Runs read(json) on the text of a metadata entry; whatever is wrong becomes one FormatError.
template <class Read>
auto parse_metadata(const std::string& path, const std::string& key, const std::string& text,
                    const Read& read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& error) {
    throw FormatError(path, ": metadata '", key, "': ", error.what());
  } catch (const Error& error) {
    throw FormatError(path, ": metadata '", key, "': ", error.what());
  }
}

}  // namespace internal

}  // namespace tsdl::inline TSDL_ABI
