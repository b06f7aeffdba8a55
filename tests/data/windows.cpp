// Windows: which rows end one, that batches are views, equal to naive copies, and cost no memory.
#include "tsdl/data/windows.hpp"

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

/// Value 100 t + i at row t, feature i.
std::shared_ptr<tsdl::Series<float>> numbered(Index features, Index rows) {
  std::vector<std::string> names;
  for (Index i = 0; i < features; ++i) names.push_back("f" + std::to_string(i));
  auto series =
      std::make_shared<tsdl::Series<float>>(tsdl::Series<float>::sized(std::move(names), rows));
  for (Index t = 0; t < rows; ++t)
    for (Index i = 0; i < features; ++i) series->column(t)[i] = static_cast<float>(100 * t + i);
  return series;
}

/// The definition: valid rows by looking at every value, then spaced from the first of each run.
std::vector<Index> naive_ends(const tsdl::Series<float>& series, const std::vector<double>& labels,
                              Index length, Index stride) {
  std::vector<Index> ends;
  for (Index r = length - 1; r < series.rows; ++r) {
    bool valid = labels.empty() || !std::isnan(labels[test::at(r)]);
    for (Index t = r - length + 1; t <= r; ++t)
      for (Index i = 0; i < series.features; ++i)
        valid = valid && std::isfinite(series.column(t)[i]);
    if (valid && (ends.empty() || r - ends.back() >= stride)) ends.push_back(r);
  }
  return ends;
}

/// Compares a batch with windows copied row by row from a numbered series.
bool is_copy_of(const tsdl::Sequence<const float>& batch, const std::vector<Index>& ends,
                Index length, Index features) {
  bool same = batch.inputs == features && batch.steps == length &&
              batch.batch == static_cast<Index>(ends.size());
  for (Index b = 0; same && b < batch.batch; ++b)
    for (Index t = 0; t < length; ++t)
      for (Index i = 0; i < features; ++i)
        same = same && batch.column(t, b)[i] ==
                           static_cast<float>(100 * (ends[test::at(b)] - length + 1 + t) + i);
  return same;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

#ifdef _WIN32
constexpr bool forks = false;
#else
constexpr bool forks = true;
#endif

/// A line of /proc/self/status in bytes, or -1.
long long process_memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  long long kilobytes = 0;
  while (status >> word)
    if (word == key && status >> kilobytes) return kilobytes * 1024;
  return -1;
}

}  // namespace

TEST_CASE("window_ends takes valid rows, stride apart, in runs") {
  const auto series = numbered(3, 60);
  std::vector<double> labels(60, 1.0);
  series->column(0)[1] = std::numeric_limits<float>::quiet_NaN();  // warming up
  series->column(20)[2] = std::numeric_limits<float>::infinity();  // a hole
  labels[40] = labels[41] = labels[59] = test::nan;                // no label
  for (const Index length : {1, 2, 5, 17}) {
    for (const Index stride : {1, 2, 3, 7, 100}) {
      CAPTURE(length);
      CAPTURE(stride);
      CHECK(tsdl::window_ends(*series, labels, length, stride) ==
            naive_ends(*series, labels, length, stride));
      CHECK(tsdl::window_ends(*series, {}, length, stride) ==
            naive_ends(*series, {}, length, stride));
    }
  }
  CHECK(tsdl::window_ends(*series, labels, 5, 8) == std::vector<Index>{5, 13, 25, 33, 42, 50, 58});
}

TEST_CASE("window_ends says why there is no window") {
  const auto series = numbered(2, 10);
  const auto refused = [&](const std::vector<double>& labels, Index length) {
    return message_of<tsdl::DataError>([&] { tsdl::window_ends(*series, labels, length, 1); });
  };
  CHECK(contains(refused({}, 11), "10 rows are fewer than one window of 11"));
  CHECK(contains(refused(std::vector<double>(10, test::nan), 3), "0 a label"));
  for (Index t = 0; t < 7; ++t) series->column(t)[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(refused({}, 4), "the first at row 7, at most 3 in a run"));
  for (Index t = 7; t < 10; ++t) series->column(t)[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(refused({}, 1), "no row of 10 has every feature"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::window_ends(*series, {}, 0, 1); }),
                 "length of 1 or more, found 0"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::window_ends(*series, {}, 1, 0); }),
                 "stride of 1 or more, found 0"));
  const std::vector<double> nine(9, 1.0);
  CHECK(contains(message_of<tsdl::ShapeError>([&] { tsdl::window_ends(*series, nine, 1, 1); }),
                 "9 labels"));
}

TEST_CASE("covered_rows is the union of the windows") {
  const std::vector<Index> ends = {4, 5, 9, 20, 26};
  const std::vector<tsdl::RowRange> ranges = tsdl::covered_rows(ends, 5);
  std::vector<int> times(30, 0);
  for (const tsdl::RowRange& range : ranges)
    for (Index t = range.first; t < range.last; ++t) ++times[test::at(t)];
  for (Index t = 0; t < 30; ++t) {
    bool covered = false;
    for (const Index end : ends) covered = covered || (t > end - 5 && t <= end);
    CHECK(times[test::at(t)] == (covered ? 1 : 0));
  }
  CHECK(tsdl::covered_rows({}, 5).empty());
}

TEST_CASE("batches of evenly spaced windows are views of the series") {
  const auto series = numbered(3, 50);
  for (const Index stride : {1, 2, 7}) {
    const std::vector<Index> ends = tsdl::window_ends(*series, {}, 6, stride);
    const tsdl::Windows<float> windows(series, 6, stride, ends, {});
    tsdl::Buffer<float> scratch;
    for (const Index count : {Index{1}, Index{2}, Index{5}, windows.size()}) {
      const auto batch = windows.batch(windows.size() - count, count, scratch);
      const std::vector<Index> expected(ends.end() - count, ends.end());
      CHECK(is_copy_of(batch, expected, 6, 3));
      CHECK(batch.data == series->column(expected.front() - 5));
      if (count > 1) {
        CHECK(batch.step_stride == 3);
        CHECK(batch.sample_stride == 3 * stride);
      }
    }
    CHECK(scratch.size() == 0);
  }
}

TEST_CASE("batches that cross a hole, and shuffled ones, are gathered") {
  const auto series = numbered(4, 50);
  const std::vector<Index> ends = {5, 6, 7, 20, 21, 40};
  const std::vector<float> labels = {0, 1, 0, 1, 0, 1};
  const tsdl::Windows<float> windows(series, 6, 1, ends, labels);
  CHECK(windows.size() == 6);
  CHECK(windows.length() == 6);
  CHECK(windows.inputs() == 4);
  CHECK(windows.end_row(3) == 20);
  CHECK(windows.label(3) == 1);
  CHECK(windows.targets() == std::vector<double>(labels.begin(), labels.end()));
  tsdl::Buffer<float> scratch;
  CHECK(is_copy_of(windows.batch(0, 3, scratch), {5, 6, 7}, 6, 4));
  CHECK(scratch.size() == 0);
  const auto crossing = windows.batch(1, 4, scratch);
  CHECK(crossing.data == scratch.data());
  CHECK(crossing.is_dense());
  CHECK(is_copy_of(crossing, {6, 7, 20, 21}, 6, 4));
  const float* memory = scratch.data();
  const std::vector<Index> samples = {4, 0, 0, 5};
  const auto gathered = windows.gather(samples, scratch);
  CHECK(gathered.is_dense());
  CHECK(is_copy_of(gathered, {21, 5, 5, 40}, 6, 4));
  CHECK(scratch.data() == memory);  // grown once
}

TEST_CASE("windows without labels have NaN") {
  const tsdl::Windows<float> windows(numbered(1, 9), 3, 1, {4, 5}, {});
  CHECK(std::isnan(windows.label(0)));
  CHECK(std::isnan(windows.label(1)));
  const tsdl::Windows<float> none;
  CHECK(none.size() == 0);
  CHECK(none.inputs() == 0);
}

TEST_CASE("targets have several values, of a window's last row or of its last steps") {
  const auto series = numbered(2, 30);
  tsdl::Targets targets{.count = 3, .values = {}, .last = {}};
  for (Index row = 0; row < 30; ++row)
    for (Index k = 0; k < 3; ++k) {
      targets.values.push_back(static_cast<double>(1000 * row + k) + 1.0 / 3);
      targets.last.push_back(-targets.values.back());
    }
  const auto shared = std::make_shared<const tsdl::Targets>(targets);
  const std::vector<Index> ends = {5, 6, 7, 12, 13};
  const tsdl::Windows<float> windows(series, 4, 1, ends, shared);
  const auto value = [&](Index row, Index k) { return targets.values[test::at(row * 3 + k)]; };
  const auto is_copy = [&](const tsdl::Sequence<const double>& batch, const std::vector<Index>& of,
                           Index steps) {
    bool same = batch.inputs == 3 && batch.steps == steps && batch.batch == std::ssize(of);
    for (Index b = 0; same && b < batch.batch; ++b)
      for (Index t = 0; t < steps; ++t)
        for (Index k = 0; k < 3; ++k)
          same = same && batch.column(t, b)[k] == value(of[test::at(b)] - steps + 1 + t, k);
    return same;
  };
  CHECK(windows.target_count() == 3);
  CHECK(windows.label(3) == value(12, 0));
  CHECK(windows.target(3).size() == 3);
  CHECK(windows.target(3)[2] == value(12, 2));
  std::vector<double> all, last;
  for (const Index end : ends)
    for (Index k = 0; k < 3; ++k) {
      all.push_back(value(end, k));
      last.push_back(-value(end, k));
    }
  CHECK(windows.targets() == all);
  CHECK(windows.last_known() == last);
  tsdl::Buffer<double> scratch;
  for (const Index steps : {1, 3, 4}) {
    CAPTURE(steps);
    const auto view = windows.batch_targets(0, 3, steps, scratch);
    CHECK(is_copy(view, {5, 6, 7}, steps));
    CHECK(view.data == shared->values.data() + (6 - steps) * 3);
    CHECK(is_copy(windows.batch_targets(1, 3, steps, scratch), {6, 7, 12}, steps));
    const std::vector<Index> order = {4, 0, 0};
    CHECK(is_copy(windows.gather_targets(order, steps, scratch), {13, 5, 5}, steps));
  }
  const auto refused = [&](const auto& action) { return message_of<tsdl::ShapeError>(action); };
  CHECK(refused([&] { windows.batch_targets(0, 1, 5, scratch); }) ==
        "Windows: targets of 5 steps of windows of 4");
  CHECK(refused([&] { windows.batch_targets(0, 1, 0, scratch); }) ==
        "Windows: targets of 0 steps of windows of 4");
  CHECK(contains(refused([&] { windows.batch_targets(3, 3, 1, scratch); }),
                 "batch of 3 from window 3 in a set of 5"));
  CHECK(contains(refused([&] { windows.target(5); }), "window 5"));
  const tsdl::Windows<float> unknown(series, 4, 1, ends, std::shared_ptr<const tsdl::Targets>());
  CHECK(unknown.target(0).empty());
  CHECK(unknown.last_known().empty());
  CHECK(refused([&] { unknown.batch_targets(0, 1, 1, scratch); }) ==
        "Windows: no targets are known");
  targets.values.pop_back();
  CHECK(refused([&] {
          tsdl::Windows<float>(series, 4, 1, ends, std::make_shared<const tsdl::Targets>(targets));
        }) == "Windows: 30 rows with 89 target values, 3 a row");
}

TEST_CASE("windows check their bounds") {
  const auto series = numbered(2, 10);
  const auto make = [&](Index length, Index stride, std::vector<Index> ends,
                        std::vector<float> labels) {
    return message_of<tsdl::ShapeError>(
        [&] { tsdl::Windows<float>(series, length, stride, ends, labels); });
  };
  CHECK(contains(make(3, 1, {1}, {}), "cannot end at row 1"));
  CHECK(contains(make(3, 1, {10}, {}), "cannot end at row 10"));
  CHECK(contains(make(3, 2, {4, 5}, {}), "nearer than the stride"));
  CHECK(contains(make(3, 1, {5, 4}, {}), "nearer than the stride"));
  CHECK(contains(make(3, 1, {4, 5}, {1}), "2 windows with 1 labels"));
  CHECK(contains(make(0, 1, {4}, {}), "length"));
  CHECK(contains(make(1, 0, {4}, {}), "stride"));
  CHECK(contains(message_of<tsdl::ShapeError>([] { tsdl::Windows<float>(nullptr, 1, 1, {}, {}); }),
                 "no series"));
  const tsdl::Windows<float> windows(series, 3, 1, {4, 5, 6}, {});
  tsdl::Buffer<float> scratch;
  const auto batch = [&](Index first, Index count) {
    return message_of<tsdl::ShapeError>([&] { windows.batch(first, count, scratch); });
  };
  constexpr Index huge = std::numeric_limits<Index>::max();
  CHECK(contains(batch(0, 4), "batch of 4 from window 0 in a set of 3"));
  CHECK(contains(batch(3, 1), "in a set of 3"));
  CHECK(contains(batch(-1, 1), "in a set of 3"));
  CHECK(contains(batch(0, 0), "batch of 0"));
  CHECK(contains(batch(2, huge), "in a set of 3"));
  const std::vector<Index> outside = {0, 3};
  CHECK(contains(message_of<tsdl::ShapeError>([&] { windows.gather(outside, scratch); }),
                 "window 3 in a set of 3"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { windows.gather({}, scratch); }), "no windows"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { windows.label(3); }), "window 3"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { windows.end_row(-1); }), "window -1"));
}

TEST_CASE("a million windows of 60 x 86 cost less memory than the series once more") {
  if (sanitized || !forks || process_memory("VmHWM:") < 0) {
    MESSAGE("skipped: needs fork, /proc/self/status and a build without sanitizers");
    return;
  }
  // In a child process, whose peak is its own.
  const int status = test::status_of_child([] {
    constexpr Index windows_wanted = 1'000'000;
    constexpr Index rows = windows_wanted + 59;
    const long long before = process_memory("VmRSS:");
    std::vector<std::string> names(86, "f");
    auto series =
        std::make_shared<tsdl::Series<float>>(tsdl::Series<float>::sized(std::move(names), rows));
    std::fill(series->values.begin(), series->values.end(), 0.5f);
    const std::vector<double> labels(test::at(rows), 1.0);
    const tsdl::Windows<float> windows(series, 60, 1, tsdl::window_ends(*series, labels, 60, 1),
                                       std::vector<float>(test::at(windows_wanted), 1.0f));
    if (windows.size() != windows_wanted) return 1;
    tsdl::Buffer<float> scratch;
    float sum = 0;
    for (Index first = 0; first < windows.size(); first += 32)
      sum +=
          *windows.batch(first, std::min<Index>(32, windows.size() - first), scratch).column(59, 0);
    if (sum != 0.5f * 31250) return 2;
    const long long series_bytes = 4LL * 86 * rows;
    const long long peak = process_memory("VmHWM:") - before;
    if (peak < series_bytes) return 3;  // the measurement sees at least the series itself
    return peak < 2 * series_bytes ? 0 : 4;
  });
  CHECK(status == 0);
}
