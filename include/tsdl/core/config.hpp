// The description of a model or a task: plain data that files, factories and other formats read
// without knowing any concrete class.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The value of an option. A struct, since std::variant takes far longer to compile.
struct ConfigValue {
  enum class Type : std::uint8_t { flag, index, number, text, numbers };

  Type type = Type::flag;
  Index index = 0;  ///< of a flag: 0 or 1
  double number = 0;
  std::string text{};
  std::vector<double> numbers{};

  ConfigValue(bool value) : type(Type::flag), index(value) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) ConfigValue(T value)
      : type(Type::index), index(static_cast<Index>(value)) {}
  ConfigValue(double value) : type(Type::number), number(value) {}
  ConfigValue(const char* value) : type(Type::text), text(value) {}
  ConfigValue(std::string value) : type(Type::text), text(std::move(value)) {}
  ConfigValue(std::vector<double> value) : type(Type::numbers), numbers(std::move(value)) {}

  friend bool operator==(const ConfigValue& a, const ConfigValue& b) {
    return a.type == b.type && a.index == b.index && same_value(a.number, b.number) &&
           a.text == b.text && a.numbers == b.numbers;
  }
};

/// A kind and its options by name. Equal configurations make equal models.
///
///     Config config("gru", {{"input_size", 4}, {"pooling", "last"}});
///     config.index("input_size");  // 4
///
/// A template, so that a program which describes nothing does not compile it.
template <class = void>
class BasicConfig {
 public:
  using Value = ConfigValue;

  /// Options, ascending by name.
  class Options {
   public:
    using Option = std::pair<std::string, Value>;

    Options() = default;
    Options(std::initializer_list<Option> options) {
      for (const Option& option : options) (*this)[option.first] = option.second;
    }

    /// The value of this name, added when there is none.
    Value& operator[](const std::string& name) {
      const auto place = std::find_if(options_.begin(), options_.end(),
                                      [&](const Option& option) { return option.first >= name; });
      if (place != options_.end() && place->first == name) return place->second;
      return options_.insert(place, Option(name, Value(false)))->second;
    }
    /// Null when there is none.
    const Value* find(const std::string& name) const noexcept {
      for (const Option& option : options_)
        if (option.first == name) return &option.second;
      return nullptr;
    }
    void erase(const std::string& name) {
      std::erase_if(options_, [&](const Option& one) { return one.first == name; });
    }
    auto begin() const noexcept { return options_.begin(); }
    auto end() const noexcept { return options_.end(); }

    friend bool operator==(const Options&, const Options&) = default;

   private:
    std::vector<Option> options_;
  };

  std::string kind;
  Options options;

  BasicConfig() = default;
  explicit BasicConfig(std::string its_kind, Options its_options = {})
      : kind(std::move(its_kind)), options(std::move(its_options)) {}

  bool contains(const std::string& name) const noexcept { return options.find(name) != nullptr; }

  // Each returns the option of this name. Throws: OptionError when there is none, or its value is
  // of another type.

  Index index(const std::string& name) const {
    return of_type(name, Value::Type::index, "a whole number").index;
  }
  bool flag(const std::string& name) const {
    return of_type(name, Value::Type::flag, "true or false").index != 0;
  }
  const std::string& text(const std::string& name) const {
    return of_type(name, Value::Type::text, "a text").text;
  }
  const std::vector<double>& numbers(const std::string& name) const {
    return of_type(name, Value::Type::numbers, "a list of numbers").numbers;
  }
  /// A whole number is a number too.
  double number(const std::string& name) const {
    const Value* value = options.find(name);
    if (value && value->type == Value::Type::index) return static_cast<double>(value->index);
    return of_type(name, Value::Type::number, "a number").number;
  }
  /// The same, or `otherwise` where the option is missing.
  double number(const std::string& name, double otherwise) const {
    return contains(name) ? number(name) : otherwise;
  }

  /// Throws: OptionError naming the first option that is not among `names`.
  [[gnu::cold]] void refuse_others(std::initializer_list<const char*> names) const {
    for (const auto& option : options)
      if (std::find(names.begin(), names.end(), option.first) == names.end())
        throw OptionError(kind, ": option '", option.first, "' is not known");
  }

  friend bool operator==(const BasicConfig&, const BasicConfig&) = default;

 private:
  [[gnu::cold]] const Value& of_type(const std::string& name, Value::Type type,
                                     const char* expected) const {
    const Value* value = options.find(name);
    if (!value) throw OptionError(kind, ": option '", name, "' is missing");
    if (value->type != type) throw OptionError(kind, ": option '", name, "': expected ", expected);
    return *value;
  }
};

using Config = BasicConfig<>;

namespace internal {

/// Adds a configuration to a fingerprint: each name and text with its length, each list with its
/// size, so that no two configurations add the same bytes.
template <class Tag>
void add_to(Fingerprint& print, const BasicConfig<Tag>& config) {
  print.add_text(config.kind);
  for (const auto& [name, value] : config.options) {
    const double number =
        value.type == ConfigValue::Type::number ? value.number : static_cast<double>(value.index);
    const std::uint64_t size = value.numbers.size();
    print.add_text(name).add_text(value.text).add(&value.type, sizeof(value.type));
    print.add(std::span<const double>(&number, 1)).add(&size, sizeof(size));
    print.add(std::span<const double>(value.numbers));
  }
}

}  // namespace internal

/// The name and shape of a tensor of a model.
struct TensorShape {
  std::string name;
  std::vector<Index> shape;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
