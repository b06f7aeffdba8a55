// Feature sets: named features, in order, made of indicators, and the stream that computes them
// candle by candle.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/indicators/indicator.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// An indicator of any type.
class AnyIndicator {
 public:
  virtual ~AnyIndicator() = default;
  /// Writes the wanted numbers from `row` on. Returns one past the last.
  virtual double* push(const Candle& candle, double* row) noexcept = 0;
  virtual std::unique_ptr<AnyIndicator> clone() const = 0;
  /// Writes or reads its state. Returns false for an indicator whose state is not known.
  virtual bool state(StateBytes& bytes) = 0;
};

template <Indicator I>
class HeldIndicator final : public AnyIndicator {
 public:
  static constexpr std::size_t count = I::names.size();

  HeldIndicator(I indicator, std::array<bool, count> wanted)
      : indicator_(std::move(indicator)), wanted_(wanted) {}

  double* push(const Candle& candle, double* row) noexcept override {
    const auto values = as_array(indicator_.push(candle));
    for (std::size_t i = 0; i < count; ++i)
      if (wanted_[i]) *row++ = values[i];
    return row;
  }
  // Not make_unique, nor make_shared below: with a hundred indicators they take seconds to compile.
  std::unique_ptr<AnyIndicator> clone() const override {
    return std::unique_ptr<AnyIndicator>(new HeldIndicator(*this));
  }
  bool state(StateBytes& bytes) override {
    if constexpr (requires { indicator_.state(bytes); } || std::is_trivially_copyable_v<I>) {
      bytes(indicator_);
      return true;
    } else {
      return false;
    }
  }

 private:
  I indicator_;
  std::array<bool, count> wanted_;
};

}  // namespace internal

/// Named features in order: a description from which streams are made, without state of its own.
/// One expression makes a set:
///
///     auto set = FeatureSet("mine")
///                    .add(RSI(21))
///                    .add(MACD(), {"macd", "", "macd_hist"})      // renamed, one left out
///                    .add(over_atr(AwesomeOscillator()), {"ao_over_atr"});
class FeatureSet {
 public:
  explicit FeatureSet(std::string name) : name_(std::move(name)) {}

  /// Adds an indicator's numbers under these names, without those whose name is "". Throws:
  /// ShapeError when names and numbers differ in number, DataError when a name is taken.
  template <Indicator I>
  FeatureSet& add(I indicator, std::initializer_list<std::string_view> names) {
    return add_as(std::move(indicator), {names.begin(), names.size()});
  }

  /// The same under the indicator's own names.
  template <Indicator I>
  FeatureSet& add(I indicator) {
    return add_as(std::move(indicator), I::names);
  }

  /// Adds all features of another set. Throws: DataError when a name is taken.
  FeatureSet& add(const FeatureSet& other) {
    std::vector<Column> all = columns_;
    for (const Column& column : other.columns_) append(all, column);
    columns_ = std::move(all);
    indicators_.insert(indicators_.end(), other.indicators_.begin(), other.indicators_.end());
    return *this;
  }

  const std::string& name() const noexcept { return name_; }
  Index features() const noexcept { return static_cast<Index>(columns_.size()); }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Column& column : columns_) names.push_back(column.name);
    return names;
  }

  /// The names of the features that need volume.
  std::vector<std::string> volume_names() const {
    std::vector<std::string> names;
    for (const Column& column : columns_)
      if (column.needs_volume) names.push_back(column.name);
    return names;
  }

 private:
  friend class FeatureStream;

  struct Column {
    std::string name;
    bool needs_volume;
  };

  template <Indicator I>
  FeatureSet& add_as(I indicator, std::span<const std::string_view> names) {
    add_columns(names, I::names, internal::needs_volume<I>());
    std::array<bool, I::names.size()> wanted{};
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = !names[i].empty();
    indicators_.push_back(std::unique_ptr<const internal::AnyIndicator>(
        new internal::HeldIndicator<I>(std::move(indicator), wanted)));
    return *this;
  }

  void add_columns(std::span<const std::string_view> names,
                   std::span<const std::string_view> numbers, bool needs_volume) {
    if (names.size() != numbers.size())
      throw ShapeError("FeatureSet ", name_, ": ", numbers.front(), " gives ", numbers.size(),
                       " numbers, found ", names.size(), " names");
    std::vector<Column> all = columns_;
    for (const std::string_view name : names)
      if (!name.empty()) append(all, {std::string(name), needs_volume});
    columns_ = std::move(all);
  }

  void append(std::vector<Column>& columns, Column column) const {
    for (const Column& other : columns)
      if (other.name == column.name)
        throw DataError("FeatureSet ", name_, ": the name ", column.name, " is taken");
    columns.push_back(std::move(column));
  }

  std::string name_;
  std::vector<std::shared_ptr<const internal::AnyIndicator>> indicators_;  ///< never pushed
  std::vector<Column> columns_;
};

/// Computes a set's features: takes candles one at a time and gives a row of features for each. A
/// copy continues from the original's state.
class FeatureStream {
 public:
  /// Throws: DataError when the set has no features.
  explicit FeatureStream(const FeatureSet& set) : features_(set.features()) {
    if (features_ == 0) throw DataError("FeatureSet ", set.name(), ": it has no features");
    for (const auto& indicator : set.indicators_) indicators_.push_back(indicator->clone());
  }
  FeatureStream(const FeatureStream& other) : features_(other.features_) {
    for (const auto& indicator : other.indicators_) indicators_.push_back(indicator->clone());
  }
  FeatureStream(FeatureStream&&) noexcept = default;
  FeatureStream& operator=(FeatureStream other) noexcept {
    std::swap(features_, other.features_);
    indicators_.swap(other.indicators_);
    return *this;
  }
  ~FeatureStream() = default;

  /// Writes the features of the next candle, NaN where a feature is not warm yet; `row` has
  /// features() places. The candle must be valid (see validate) and later than the one before, and
  /// have volume when set.volume_names is not empty. Allocates: nothing.
  void push(const Candle& candle, std::span<double> row) noexcept {
    const FloatModeGuard guard;
    TSDL_ASSERT(static_cast<Index>(row.size()) == features_);
    double* next = row.data();
    for (const auto& indicator : indicators_) next = indicator->push(candle, next);
    std::fill(next, row.data() + row.size(), internal::undefined);  // nothing, unless moved from
  }

  Index features() const noexcept { return features_; }

  /// Reads or writes its state; see StateBytes. Throws: Error when an indicator is neither
  /// trivially copyable nor has a state().
  void state(StateBytes& bytes) {
    for (const auto& indicator : indicators_)
      if (!indicator->state(bytes))
        throw Error("FeatureStream: indicator ", &indicator - indicators_.data() + 1, " of ",
                    indicators_.size(), " has no state(StateBytes&), and is no plain data");
  }

 private:
  Index features_;
  std::vector<std::unique_ptr<internal::AnyIndicator>> indicators_;
};

namespace internal {

/// What a set computes for made-up candles, always the same: so that two sets whose names and
/// columns are equal are told apart by their periods, without any indicator's help. The candles go
/// on until 64 rows are complete, but no further than 4096.
/// Shapes: three numbers per feature: of its finite values the number, the mean and the mean
/// magnitude.
template <class Set = FeatureSet>
std::vector<double> probe(const Set& set) {
  constexpr int most = 4096, complete = 64;
  FeatureStream stream(set);
  const auto features = static_cast<std::size_t>(set.features());
  std::vector<double> row(features), found(3 * features);
  std::uint64_t random = 1;
  const auto draw = [&] {  // from 0 to 1
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(random >> 40) * 0x1p-24;
  };
  Candle candle{.time = 946857600000, .close = 100};  // a Monday
  for (int rows = 0, warm = 0; rows < most && warm < complete; ++rows) {
    candle.time += 86'400'000;
    candle.open = candle.close;
    candle.close *= 0.98 + 0.04 * draw();
    candle.high = std::max(candle.open, candle.close) * (1 + 0.01 * draw());
    candle.low = std::min(candle.open, candle.close) * (1 - 0.01 * draw());
    candle.volume = 500 + 1000 * draw();
    stream.push(candle, row);
    bool all = true;
    for (std::size_t i = 0; i < features; ++i) {
      if (!is_finite(row[i])) {
        all = false;
        continue;
      }
      const double n = ++found[3 * i];
      found[3 * i + 1] += (row[i] - found[3 * i + 1]) / n;
      found[3 * i + 2] += (std::abs(row[i]) - found[3 * i + 2]) / n;
    }
    warm += all;
  }
  return found;
}

/// Whether two probes are of the same set. Numbers may differ by what compilers and mathematical
/// libraries differ.
inline bool same_probe(std::span<const double> a, std::span<const double> b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i + 2 < a.size(); i += 3) {
    const double tolerance = 1e-6 * (a[i + 2] + b[i + 2]);
    const bool same = same_value(a[i], b[i]) && std::abs(a[i + 1] - b[i + 1]) <= tolerance &&
                      std::abs(a[i + 2] - b[i + 2]) <= tolerance;
    if (!same) return false;
  }
  return true;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
