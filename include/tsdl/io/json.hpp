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
#include "tsdl/core/types.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/io/tensor_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

using Json = nlohmann::json;

/// A value as a message shows it: lists and objects by their type, which may be nested without end.
inline std::string found_text(const Json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return printable(value.dump());
}

/// The whole number under `key`. A fraction, or a number outside the range, is refused and not
/// truncated.
inline Index index_of(const Json& value, const char* key,
                      Index least = std::numeric_limits<Index>::lowest(),
                      Index most = std::numeric_limits<Index>::max()) {
  constexpr auto highest = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<std::uint64_t>() > highest))
    throw Error("'", key, "': expected a whole number, got ", found_text(value));
  const auto index = value.get<Index>();
  if (index < least || index > most)
    throw Error("'", key, "': expected ", least, " to ", most, ", got ", index);
  return index;
}
inline Index index_at(const Json& json, const char* key,
                      Index least = std::numeric_limits<Index>::lowest(),
                      Index most = std::numeric_limits<Index>::max()) {
  return index_of(json.at(key), key, least, most);
}

inline double number_of(const Json& value, const char* key) {
  if (!value.is_number()) throw Error("'", key, "': expected a number, got ", found_text(value));
  return value.get<double>();
}
inline double number_at(const Json& json, const char* key) { return number_of(json.at(key), key); }

/// Any number as JSON, which has none for NaN and infinity: they become "NaN", "Infinity" and
/// "-Infinity". Finite numbers are read back with the same bits.
inline Json number_to_json(double value) {
  if (is_nan(value)) return "NaN";
  if (!is_finite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// The number that number_to_json() was given. Throws: Error for anything else.
inline double number_from_json(const Json& value, const char* key) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "NaN") return nan_of<double>;
    if (text == "Infinity") return infinity_of<double>;
    if (text == "-Infinity") return -infinity_of<double>;
  }
  return number_of(value, key);
}

inline bool flag_at(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_boolean())
    throw Error("'", key, "': expected true or false, got ", found_text(value));
  return value.get<bool>();
}

/// A list whose values are each read by read(value, key).
template <class Read>
auto list_of(const Json& values, const char* key, const Read& read) {
  if (!values.is_array()) throw Error("'", key, "': expected a list, got ", found_text(values));
  std::vector<decltype(read(values, key))> list;
  for (const Json& value : values) list.push_back(read(value, key));
  return list;
}
inline std::vector<double> numbers_at(const Json& json, const char* key) {
  return list_of(json.at(key), key, number_of);
}

inline std::uint64_t seed_from_json(const Json& json) {
  if (!json.is_number_unsigned())
    throw Error("expected a whole number that is not negative, got ", found_text(json));
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

/// A number of rows that a label reads; check(label) knows the least.
inline Index rows_at(const Json& json, const char* key) {
  return index_at(json, key, 0, most_rows);
}

inline Label label_of_kind(const std::string& kind, const Json& json) {
  if (kind == "range") return RangeLabel{.lookback = rows_at(json, "lookback")};
  if (kind == "direction") return DirectionLabel{.horizon = rows_at(json, "horizon")};
  if (kind == "threshold")
    return ThresholdLabel{.horizon = rows_at(json, "horizon"),
                          .width = number_at(json, "width"),
                          .lookback = rows_at(json, "lookback")};
  if (kind == "triple_barrier")
    return TripleBarrierLabel{.horizon = rows_at(json, "horizon"),
                              .take_profit = number_at(json, "take_profit"),
                              .stop_loss = number_at(json, "stop_loss"),
                              .lookback = rows_at(json, "lookback")};
  if (kind == "column")
    return ColumnLabel{.column = json.at("column").get<std::string>(),
                       .offset = rows_at(json, "offset")};
  if (kind == "targets")
    return ColumnTargets{.columns = json.at("columns").get<std::vector<std::string>>(),
                         .ahead = rows_at(json, "ahead")};
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
  const auto count = [](const Json& value, const char* key) { return index_of(value, key); };
  return StandardScaler(names, numbers_at(json, "mean"), numbers_at(json, "variance"),
                        numbers_at(json, "scale"), list_of(json.at("count"), "count", count),
                        {.clip = json.contains("clip") ? number_at(json, "clip") : 0.0});
}

/// Files that are older than class_values hold the number of classes instead, which are 0, 1, ...;
/// a number of 0 stands for a regression.
inline void classes_from_json(const Json& json, Recipe& recipe) {
  if (json.contains("class_values") || !json.contains("classes")) {
    recipe.class_values = numbers_at(json, "class_values");
    recipe.regression = flag_at(json, "regression");
  } else {
    const Index classes = index_at(json, "classes", 0, 1'000'000);
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
  if (!recipe.probe.empty()) json["probe"] = recipe.probe;
  if (!recipe.class_texts.empty()) json["class_texts"] = recipe.class_texts;
  if (recipe.whole_series) json["whole_series"] = true;
  return json;
}

inline Recipe recipe_from_json(const Json& json) {
  Recipe recipe;
  recipe.features = json.at("features").get<std::string>();
  recipe.columns = json.at("columns").get<std::vector<std::string>>();
  recipe.length = index_at(json, "length", 1, most_rows);
  recipe.stride = index_at(json, "stride", 1, most_rows);
  classes_from_json(json, recipe);
  if (json.contains("every_step")) recipe.every_step = flag_at(json, "every_step");
  if (json.contains("whole_series")) recipe.whole_series = flag_at(json, "whole_series");
  if (json.contains("class_texts")) {
    recipe.class_texts = json.at("class_texts").get<std::vector<std::string>>();
    if (recipe.class_texts.size() != recipe.class_values.size())
      throw Error("'class_texts': expected one for each of ", recipe.class_values.size(),
                  " classes, got ", recipe.class_texts.size());
  }
  recipe.label = label_from_json(json.at("label"));
  recipe.scaler = scaler_from_json(json.at("scaler"), recipe.columns);
  if (json.contains("probe")) recipe.probe = numbers_at(json, "probe");
  if (!recipe.probe.empty() && recipe.probe.size() != 3 * recipe.columns.size())
    throw Error("'probe': expected 3 numbers for each of ", recipe.columns.size(), " columns, got ",
                recipe.probe.size());
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
  if (json.is_number_integer()) return index_of(json, name.c_str());
  if (json.is_number()) return json.get<double>();
  if (json.is_array()) return list_of(json, name.c_str(), number_of);
  throw Error("'", printable(name),
              "': expected a number, a text, true, false or a list of numbers, got ",
              found_text(json));
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
    return with_memory(path, [&] { return read(Json::parse(text)); });
  } catch (const Json::exception& error) {
    throw FormatError(path, ": metadata '", key, "': ", error.what());
  } catch (const Error& error) {
    throw FormatError(path, ": metadata '", key, "': ", error.what());
  }
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
