// Named state, written to a file and read back, from which training resumes. For the unnamed state
// of streams and indicators see core/state.hpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The shortest text that is read as this number.
inline std::string exact_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace internal

/// What a number in a file may be: as it stands, any finite number.
struct NumberRange {
  static constexpr double lowest = std::numeric_limits<double>::lowest();
  static constexpr double highest = std::numeric_limits<double>::max();

  double least = lowest;
  double most = highest;
  bool is_whole = false;
  bool may_be_infinite = false;  ///< on a side that has no bound
  bool may_be_nan = false;

  static constexpr NumberRange any() noexcept {
    return {.may_be_infinite = true, .may_be_nan = true};
  }
  static constexpr NumberRange whole(double least, double most) noexcept {
    return {.least = least, .most = most, .is_whole = true};
  }

  bool contains(double value) const noexcept {
    if (is_nan(value)) return may_be_nan;
    if (!is_finite(value))
      return may_be_infinite && same_value(value > 0 ? most : least, value > 0 ? highest : lowest);
    return value >= least && value <= most && (!is_whole || same_value(value, std::floor(value)));
  }

  /// "a whole number from 0 to 4", "a finite number of 0 or more".
  std::string text() const {
    const std::string what = is_whole          ? "a whole number"
                             : may_be_infinite ? "a number"
                                               : "a finite number";
    const bool has_least = least > lowest, has_most = most < highest;
    return internal::concatenate(what,
                                 has_least && has_most ? " from "
                                 : has_least           ? " of "
                                                       : "",
                                 has_least ? internal::exact_text(least) : "",
                                 has_least && has_most ? " to "
                                 : has_least           ? " or more"
                                 : has_most            ? " of at most "
                                                       : "",
                                 has_most ? internal::exact_text(most) : "",
                                 may_be_nan ? ", or NaN" : "");
  }
};

namespace internal {

inline std::string outside(const NumberRange& range, double found) {
  return concatenate("expected ", range.text(), ", found ", exact_text(found));
}

}  // namespace internal

/// Reads or writes named values, so that one function of a class serves both directions. Each value
/// states what it may be; a reader refuses any other. Readers make two passes: one that checks
/// everything and changes nothing, and one that restores. Both return what stands in the file, so
/// that the range of a value can follow from another value:
///
///     const Index epoch = archive.integer("epoch", epoch_, 0, most);
///     archive.integer("best_epoch", best_epoch_, 0, epoch);
///
/// Each throws, while reading, FormatError when the value is missing or is not what it may be.
class StateArchive {
 public:
  enum class Pass { write, check, restore };

  virtual ~StateArchive() = default;

  virtual Pass pass() const noexcept = 0;
  /// Whether values are being replaced by saved ones: false while they are written or only checked.
  bool restores() const noexcept { return pass() == Pass::restore; }

  /// A number. Returns what the file has.
  double number(const std::string& name, double& value,
                const NumberRange& range = NumberRange::any()) {
    const double stored = exchange(name, value);
    if (pass() == Pass::write) return value;
    if (!range.contains(stored)) refuse(name, internal::outside(range, stored));
    if (restores()) value = stored;
    return stored;
  }

  /// A whole number, flag or enumerator from `least` to `most`, by default any of its type; of 2^53
  /// at most, up to which a double holds each exactly. Returns what the file has.
  template <class Integer>
  Integer integer(const std::string& name, Integer& value,
                  std::type_identity_t<Integer> least = limit<Integer>(false),
                  std::type_identity_t<Integer> most = limit<Integer>(true)) {
    const double stored = exchange(name, static_cast<double>(value));
    if (pass() == Pass::write) return value;
    const NumberRange range = NumberRange::whole(std::max(static_cast<double>(least), -exact),
                                                 std::min(static_cast<double>(most), exact));
    if (!range.contains(stored)) refuse(name, internal::outside(range, stored));
    const auto result = static_cast<Integer>(stored);
    if (restores()) value = result;
    return result;
  }

  /// A tensor whose values are all in `range`. Shapes: values `shape`, row-major.
  template <class Scalar>
  void tensor(const std::string& name, const std::vector<Index>& shape, Buffer<Scalar>& values,
              const NumberRange& range = NumberRange::any()) {
    exchange(name, shape, values, range);
  }

  /// A table of any number of rows, with a range for each column. Returns what the file has.
  /// Shapes: values n x columns.
  std::vector<double> rows(const std::string& name, std::span<const NumberRange> columns,
                           std::vector<double>& values) {
    std::vector<double> stored = exchange(name, std::ssize(columns), values);
    if (pass() == Pass::write) return stored;
    for (std::size_t i = 0; i < stored.size(); ++i)
      if (const std::size_t column = i % columns.size(); !columns[column].contains(stored[i]))
        refuse(name, internal::concatenate("row ", i / columns.size(), ", column ", column, ": ",
                                           internal::outside(columns[column], stored[i])));
    if (restores()) values = stored;
    return stored;
  }

  /// A condition on several values, which holds in every file that was written. Throws, while
  /// reading: FormatError with `why` when it does not hold.
  void require(bool holds, const std::string& name, std::string_view why) const {
    if (pass() != Pass::write && !holds) refuse(name, std::string(why));
  }

  // For those who derive from this class. Each writes the value or reads it, and changes nothing
  // else but, in the pass that restores, a tensor's values.

  virtual double exchange(const std::string& name, double value) = 0;
  virtual std::vector<double> exchange(const std::string& name, Index columns,
                                       const std::vector<double>& values) = 0;
  virtual void exchange(const std::string& name, const std::vector<Index>& shape,
                        Buffer<float>& values, const NumberRange& range) = 0;
  virtual void exchange(const std::string& name, const std::vector<Index>& shape,
                        Buffer<double>& values, const NumberRange& range) = 0;
  /// What a message about a value begins with: the file, and the value's name.
  virtual std::string where(const std::string& name) const {
    return "state: tensor '" + name + "'";
  }

 protected:
  [[noreturn]] void refuse(const std::string& name, const std::string& why) const {
    throw FormatError(where(name), ": ", why);
  }

 private:
  static constexpr double exact = 9007199254740992.0;  // 2^53

  template <class Integer>
  static constexpr Integer limit(bool upper) noexcept {
    if constexpr (std::is_enum_v<Integer>) {
      using Number = std::underlying_type_t<Integer>;
      return static_cast<Integer>(limit<Number>(upper));
    } else {
      return upper ? std::numeric_limits<Integer>::max() : std::numeric_limits<Integer>::lowest();
    }
  }
};

/// Prefixes the names of one part's values with the part's key.
class KeyedArchive final : public StateArchive {
 public:
  KeyedArchive(StateArchive& archive, std::string key)
      : archive_(archive), key_(std::move(key) + '.') {}

  Pass pass() const noexcept override { return archive_.pass(); }
  double exchange(const std::string& name, double value) override {
    return archive_.exchange(key_ + name, value);
  }
  std::vector<double> exchange(const std::string& name, Index columns,
                               const std::vector<double>& values) override {
    return archive_.exchange(key_ + name, columns, values);
  }
  void exchange(const std::string& name, const std::vector<Index>& shape, Buffer<float>& values,
                const NumberRange& range) override {
    archive_.exchange(key_ + name, shape, values, range);
  }
  void exchange(const std::string& name, const std::vector<Index>& shape, Buffer<double>& values,
                const NumberRange& range) override {
    archive_.exchange(key_ + name, shape, values, range);
  }
  std::string where(const std::string& name) const override { return archive_.where(key_ + name); }

 private:
  StateArchive& archive_;
  std::string key_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
