// Recipes and configurations as JSON, for the metadata of model files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/data/recipe.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

using Json = nlohmann::json;

/// The whole number under `key`. A fraction, or a number beyond Index's range, is refused and not
/// truncated.
inline Index index_at(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())))
    throw Error("'", key, "': expected a whole number, got ", value.dump());
  return value.get<Index>();
}

inline double number_at(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number()) throw Error("'", key, "': expected a number, got ", value.dump());
  return value.get<double>();
}

inline std::uint64_t seed_from_json(const Json& json) {
  if (!json.is_number_unsigned())
    throw Error("expected a whole number that is not negative, got ", json.dump());
  return json.get<std::uint64_t>();
}

inline Json options_of(const RangeLabel& label) {
  return {{"kind", "range"}, {"lookback", label.lookback}};
}
inline Json options_of(const DirectionLabel& label) {
  return {{"kind", "direction"}, {"horizon", label.horizon}};
}
inline Json options_of(const ThresholdLabel& label) {
  return {{"kind", "threshold"},
          {"horizon", label.horizon},
          {"width", label.width},
          {"lookback", label.lookback}};
}
inline Json options_of(const TripleBarrierLabel& label) {
  return {{"kind", "triple_barrier"},
          {"horizon", label.horizon},
          {"take_profit", label.take_profit},
          {"stop_loss", label.stop_loss},
          {"lookback", label.lookback}};
}
inline Json options_of(const ColumnLabel& label) {
  return {{"kind", "column"}, {"column", label.column}, {"offset", label.offset}};
}

inline Json options_of(const ColumnTargets& label) {
  return {{"kind", "targets"}, {"columns", label.columns}, {"ahead", label.ahead}};
}

inline Json label_to_json(const Label& label) {
  return std::visit([](const auto& one) { return options_of(one); }, label);
}

inline Label label_of_kind(const std::string& kind, const Json& json) {
  if (kind == "range") return RangeLabel{.lookback = index_at(json, "lookback")};
  if (kind == "direction") return DirectionLabel{.horizon = index_at(json, "horizon")};
  if (kind == "threshold")
    return ThresholdLabel{.horizon = index_at(json, "horizon"),
                          .width = number_at(json, "width"),
                          .lookback = index_at(json, "lookback")};
  if (kind == "triple_barrier")
    return TripleBarrierLabel{.horizon = index_at(json, "horizon"),
                              .take_profit = number_at(json, "take_profit"),
                              .stop_loss = number_at(json, "stop_loss"),
                              .lookback = index_at(json, "lookback")};
  if (kind == "column")
    return ColumnLabel{.column = json.at("column").get<std::string>(),
                       .offset = index_at(json, "offset")};
  if (kind == "targets")
    return ColumnTargets{.columns = json.at("columns").get<std::vector<std::string>>(),
                         .ahead = index_at(json, "ahead")};
  throw Error("label: unknown kind '", kind, "'");
}

inline Label label_from_json(const Json& json) {
  const Label label = label_of_kind(json.at("kind").get<std::string>(), json);
  check(label);
  return label;
}

inline Json scaler_to_json(const StandardScaler& scaler) {
  return {{"mean", scaler.mean()},
          {"variance", scaler.variance()},
          {"scale", scaler.scale()},
          {"count", scaler.count()},
          {"clip", scaler.options().clip}};
}

/// Files that are older than clipping have no clip, and are scaled without.
inline StandardScaler scaler_from_json(const Json& json, const std::vector<std::string>& names) {
  return StandardScaler(names, json.at("mean").get<std::vector<double>>(),
                        json.at("variance").get<std::vector<double>>(),
                        json.at("scale").get<std::vector<double>>(),
                        json.at("count").get<std::vector<Index>>(),
                        {.clip = json.contains("clip") ? number_at(json, "clip") : 0.0});
}

/// Files that are older than class_values hold the number of classes instead, which are 0, 1, ...;
/// a number of 0 stands for a regression.
inline void classes_from_json(const Json& json, Recipe& recipe) {
  if (json.contains("class_values") || !json.contains("classes")) {
    recipe.class_values = json.at("class_values").get<std::vector<double>>();
    recipe.regression = json.at("regression").get<bool>();
  } else {
    const Index classes = index_at(json, "classes");
    if (classes < 0 || classes > 1'000'000)
      throw Error("'classes': expected 0 to 1000000, got ", classes);
    recipe.class_values.resize(static_cast<std::size_t>(classes));
    std::iota(recipe.class_values.begin(), recipe.class_values.end(), 0.0);
    recipe.regression = classes == 0;
  }
  check_class_values(recipe.class_values, recipe.regression);
}

/// Keys that are newer than the format are written only where they differ from the default.
inline Json recipe_to_json(const Recipe& recipe) {
  Json json = {{"features", recipe.features},
               {"columns", recipe.columns},
               {"length", recipe.length},
               {"stride", recipe.stride},
               {"class_values", recipe.class_values},
               {"regression", recipe.regression},
               {"label", label_to_json(recipe.label)},
               {"horizon", horizon(recipe.label)},
               {"scaler", scaler_to_json(recipe.scaler)}};
  if (recipe.every_step) json["every_step"] = true;
  return json;
}

inline Recipe recipe_from_json(const Json& json) {
  Recipe recipe;
  recipe.features = json.at("features").get<std::string>();
  recipe.columns = json.at("columns").get<std::vector<std::string>>();
  recipe.length = index_at(json, "length");
  recipe.stride = index_at(json, "stride");
  classes_from_json(json, recipe);
  recipe.every_step = json.value("every_step", false);
  recipe.label = label_from_json(json.at("label"));
  recipe.scaler = scaler_from_json(json.at("scaler"), recipe.columns);
  return recipe;
}

/// A configuration as one object: its kind beside its options.
inline Json config_to_json(const Config& config) {
  Json json = {{"kind", config.kind}};
  for (const auto& [name, value] : config.options) switch (value.type) {
      case ConfigValue::Type::flag:
        json[name] = value.index != 0;
        break;
      case ConfigValue::Type::index:
        json[name] = value.index;
        break;
      case ConfigValue::Type::number:
        json[name] = value.number;
        break;
      case ConfigValue::Type::text:
        json[name] = value.text;
        break;
      case ConfigValue::Type::numbers:
        json[name] = value.numbers;
        break;
    }
  return json;
}

inline Config::Value option_from_json(const std::string& name, const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number_integer()) return index_at(Json{{name, json}}, name.c_str());
  if (json.is_number()) return json.get<double>();
  if (json.is_array()) return json.get<std::vector<double>>();
  throw Error("'", name, "': expected a number, a text, true, false or a list of numbers, got ",
              json.dump());
}

inline Config config_from_json(const Json& json) {
  Config config(json.at("kind").get<std::string>());
  for (const auto& [name, value] : json.items())
    if (name != "kind") config.options[name] = option_from_json(name, value);
  return config;
}

/// JSON as text. Throws: Error when a name in it is not UTF-8.
inline std::string to_text(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {
    throw Error("metadata: ", error.what());
  }
}

/// Runs read(json) on the text of a metadata entry. Any error becomes one FormatError.
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

}  // namespace TSDL_ABI
}  // namespace tsdl
