// What a training program shows on a terminal: a progress line for the epoch that runs and a table
// with a row for each epoch that is done. POSIX.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/task/metrics.hpp"

namespace examples {

/// The columns that text on `stream` may fill: COLUMNS when it is set to a positive number, else
/// what the terminal says, else 80.
inline std::size_t terminal_width(std::FILE* stream) {
  if (const char* columns = std::getenv("COLUMNS")) {
    const std::string_view text = columns;
    int width = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), width);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && width > 0)
      return static_cast<std::size_t>(width);
  }
  winsize size{};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

/// The columns that sentences on `stream` may fill: those of a terminal, or COLUMNS; in a pipe or a
/// file a sentence stays one line.
inline std::size_t sentence_width(std::FILE* stream) {
  const char* columns = std::getenv("COLUMNS");
  const bool limited = ::isatty(::fileno(stream)) == 1 || (columns && *columns);
  return limited ? terminal_width(stream) : std::numeric_limits<std::size_t>::max();
}

/// Whether `stream` is a terminal that understands escape sequences.
inline bool is_terminal(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return ::isatty(::fileno(stream)) == 1 && term && *term && std::string_view(term) != "dumb";
}

/// Whether to colour text on `stream`: a terminal, and NO_COLOR is not set (https://no-color.org).
inline bool use_colour(std::FILE* stream) {
  const char* off = std::getenv("NO_COLOR");
  return is_terminal(stream) && !(off && *off);
}

/// What a progress line tells.
struct ProgressState {
  tsdl::Index epoch = 1;  ///< the one that runs, from 1
  tsdl::Index epochs = 1;
  tsdl::Index done = 0;  ///< windows of this epoch so far
  tsdl::Index windows = 0;
  double rate = std::numeric_limits<double>::quiet_NaN();          ///< windows per second
  double seconds_left = std::numeric_limits<double>::quiet_NaN();  ///< of the whole run
  double loss = std::numeric_limits<double>::quiet_NaN();          ///< NaN: not known yet
};

namespace internal {

inline std::string progress_bar(double share, std::size_t inner) {
  const auto filled =
      static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(inner));
  std::string bar(filled, '=');
  if (filled < inner) bar += '>';
  return '[' + pad_right(bar, inner) + ']';
}

}  // namespace internal

/// The progress line, of at most `width` characters. What does not fit is left out: first the
/// count, then the rate, the time left, the bar, the loss.
inline std::string progress_line(const ProgressState& state, std::size_t width) {
  constexpr std::size_t bar_least = 8, bar_most = 30;
  const std::string total = std::to_string(state.epochs), count = format_count(state.windows);
  const bool timed = is_finite(state.rate) && state.rate > 0;

  enum { Epoch, Bar, Count, Rate, Left, Loss };  // as they stand in the line
  std::string parts[6];
  parts[Epoch] = "epoch " + pad_left(std::to_string(state.epoch), total.size()) + '/' + total;
  parts[Bar] = std::string(bar_least + 2, ' ');
  parts[Count] = pad_left(format_count(state.done), count.size()) + '/' + count + " windows";
  if (timed) {
    parts[Rate] =
        (state.rate < 100
             ? format_fixed(state.rate, 1)
             : format_count(static_cast<tsdl::Index>(std::llround(std::min(state.rate, 1e15))))) +
        "/s";
    parts[Left] = format_duration(state.seconds_left) + " left";
  }
  if (is_finite(state.loss)) parts[Loss] = "loss " + format_loss(state.loss);

  bool shown[6] = {};
  std::size_t used = 0;
  for (const int part : {Epoch, Loss, Bar, Left, Rate, Count}) {
    const std::size_t needed = parts[part].size() + (part == Epoch ? 0 : 2);
    if (parts[part].empty()) continue;
    if (used + needed > width) break;
    shown[part] = true;
    used += needed;
  }
  if (shown[Bar]) {
    const double done = state.windows > 0
                            ? static_cast<double>(state.done) / static_cast<double>(state.windows)
                            : 0;
    parts[Bar] = internal::progress_bar(done, std::min(bar_least + width - used, bar_most));
  }
  std::string line;
  for (const int part : {Epoch, Bar, Count, Rate, Left, Loss})
    if (shown[part]) line += (line.empty() ? "" : "  ") + parts[part];
  return line;
}

/// The display of the epoch that runs: one line that overwrites itself, at most ten times a second.
/// Where `stream` is not a terminal it writes nothing at all. Call clear() before any other output.
///
/// The rate is smoothed over about two seconds. The time left is that of the whole run at this
/// rate, with the time that the last epoch spent outside its batches; early stopping shortens it.
class Progress {
 public:
  using Clock = double (*)();  ///< seconds since some moment

  explicit Progress(std::FILE* stream = stderr, Clock clock = &Progress::steady_seconds)
      : stream_(stream), clock_(clock), live_(is_terminal(stream)) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  /// Starts epoch `epoch` (from 1) of `epochs`, in which `windows` windows are trained on.
  void begin(tsdl::Index epoch, tsdl::Index epochs, tsdl::Index windows) {
    const double now = clock_();
    if (started_) between_epochs_ = std::max(0.0, now - updated_at_);
    state_ = {.epoch = epoch, .epochs = epochs, .windows = windows};
    started_ = true;
    began_at_ = updated_at_ = sampled_at_ = now;
    sampled_done_ = 0;
    paint(now);
  }

  /// `done` windows of the epoch are behind us, and `loss` is their mean so far.
  void update(tsdl::Index done, double loss) {
    const double now = clock_();
    state_.done = done;
    state_.loss = loss;
    updated_at_ = now;
    if (live_ && now - painted_at_ >= refresh_seconds) {
      measure(now);
      paint(now);
    }
  }

  /// Takes the line off the terminal; the next update draws it again.
  void clear() {
    if (!visible_) return;
    std::fputs("\r\x1b[K", stream_);
    std::fflush(stream_);
    visible_ = false;
  }

 private:
  static constexpr double refresh_seconds = 0.1, smoothing_seconds = 2;

  static double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  void measure(double now) {
    const double elapsed = now - sampled_at_;
    if (!(elapsed > 0)) return;
    const double latest = static_cast<double>(state_.done - sampled_done_) / elapsed;
    const double mean = static_cast<double>(state_.done) / (now - began_at_);
    // The mean of the epoch is the better estimate until the smoothing has seen enough.
    const bool young = now - began_at_ < smoothing_seconds || !is_finite(state_.rate);
    const double weight = 1 - std::exp(-elapsed / smoothing_seconds);
    state_.rate = young ? mean : state_.rate + weight * (latest - state_.rate);
    sampled_at_ = now;
    sampled_done_ = state_.done;

    const auto epochs_left = static_cast<double>(state_.epochs - state_.epoch);
    const double windows_left = static_cast<double>(state_.windows - state_.done) +
                                epochs_left * static_cast<double>(state_.windows);
    state_.seconds_left = windows_left / state_.rate + (epochs_left + 1) * between_epochs_;
  }

  void paint(double now) {
    if (!live_ || now - painted_at_ < refresh_seconds) return;
    // A character in the last column would make some terminals wrap.
    const std::size_t width = std::max<std::size_t>(terminal_width(stream_), 2) - 1;
    const std::string line = '\r' + progress_line(state_, width) + "\x1b[K";
    std::fputs(line.c_str(), stream_);
    std::fflush(stream_);
    painted_at_ = now;
    visible_ = true;
  }

  std::FILE* stream_;
  Clock clock_;
  bool live_;
  bool visible_ = false;
  bool started_ = false;
  ProgressState state_;
  double began_at_ = 0, updated_at_ = 0, sampled_at_ = 0, between_epochs_ = 0;
  double painted_at_ = -std::numeric_limits<double>::max();
  tsdl::Index sampled_done_ = 0;
};

/// A column of an EpochTable.
struct Column {
  enum class Kind { count, loss, percent, score, rate, seconds };

  std::string title;
  std::string short_title;  ///< below 60 columns
  Kind kind = Kind::loss;
  int priority = 0;       ///< columns with the smallest go first where all do not fit
  std::size_t least = 0;  ///< the column is at least this wide, and as wide as its title
};

/// The columns of a training whose task gives these figures, in the order in which EpochTable::row
/// takes the values: epoch, training loss, validation loss, the two most telling figures on the
/// validation windows, learning rate, seconds.
inline std::vector<Column> epoch_columns(const std::vector<std::string_view>& figures) {
  using Kind = Column::Kind;
  std::vector<Column> columns = {{"epoch", "epoch", Kind::count, 6, 5},
                                 {"train loss", "train", Kind::loss, 4, 8},
                                 {"valid loss", "valid", Kind::loss, 5, 8}};
  int priority = 3;
  for (const std::string_view name : figures) {
    if (priority < 2) break;
    const tsdl::Figure& figure = tsdl::figure_of(name);
    const Kind kind = figure.format == tsdl::Figure::Format::percent  ? Kind::percent
                      : figure.format == tsdl::Figure::Format::number ? Kind::loss
                                                                      : Kind::score;
    const std::string short_title(figure.short_title);
    columns.push_back({"valid " + short_title, short_title, kind, priority--,
                       kind == Kind::loss ? std::size_t{8} : std::size_t{6}});
  }
  columns.push_back({"learning rate", "rate", Kind::rate, 1, 7});
  columns.push_back({"seconds", "sec", Kind::seconds, 0, 6});
  return columns;
}

/// The text of a table's cell. A value too long for `width` is rounded to one digit, a count never.
inline std::string format_cell(Column::Kind kind, double value, std::size_t width) {
  const auto text = [&]() -> std::string {
    switch (kind) {
      case Column::Kind::count:
        return format_fixed(value, 0);
      case Column::Kind::loss:
        return format_loss(value);
      case Column::Kind::percent:
        return format_percent(value);
      case Column::Kind::score:
        return format_fixed(value, 4);
      case Column::Kind::rate:
        return format_rate(value);
      case Column::Kind::seconds:
        return format_fixed(value, value < 1000 ? 1 : 0);
    }
    return {};
  }();
  return text.size() > width && kind != Column::Kind::count ? format_scientific(value, 1) : text;
}

/// A table that grows by a row per epoch, with its titles above the first. Aligned, plain text;
/// colours only on a terminal. Below 60 columns the titles are short, and columns that do not fit
/// are left out by their priority. A `*` marks a row that is the best so far.
class EpochTable {
 public:
  explicit EpochTable(std::vector<Column> columns, std::FILE* stream = stdout)
      : EpochTable(std::move(columns), stream, terminal_width(stream), use_colour(stream)) {}

  EpochTable(std::vector<Column> columns, std::FILE* stream, std::size_t width, bool colour)
      : columns_(std::move(columns)), stream_(stream), colour_(colour) {
    lay_out(width);
  }

  /// The line of titles, without colour or line end.
  std::string header() const {
    std::string line;
    for (const Shown& column : shown_) append(line, column.title, column.width);
    return line;
  }

  /// The line of a row, without colour or line end. One value for each column that the table was
  /// made with; what is NaN, or missing at the end, reads n/a.
  std::string line(std::span<const double> values, bool best) const {
    std::string text;
    for (const Shown& column : shown_) {
      const bool known = column.index < values.size();
      append(text,
             known ? format_cell(columns_[column.index].kind, values[column.index], column.width)
                   : "n/a",
             column.width);
    }
    return best ? text + " *" : text;
  }

  /// Writes a row, before the first one the titles.
  void row(std::span<const double> values, bool best) {
    const auto put = [&](std::string text, const char* colour) {
      if (colour_ && colour) text = colour + text + "\x1b[0m";
      text += '\n';
      std::fputs(text.c_str(), stream_);
    };
    if (!std::exchange(titled_, true)) put(header(), "\x1b[2m");
    put(line(values, best), best ? "\x1b[32m" : nullptr);
    std::fflush(stream_);
  }

 private:
  struct Shown {
    std::size_t index;
    std::string title;
    std::size_t width;
  };

  static void append(std::string& line, std::string_view cell, std::size_t width) {
    line += (line.empty() ? "" : "  ") + pad_left(cell, width);
  }

  void lay_out(std::size_t width) {
    const bool narrow = width < 60;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& title = narrow ? columns_[i].short_title : columns_[i].title;
      shown_.push_back({i, title, std::max(columns_[i].least, title.size())});
    }
    const auto needed = [&] {
      std::size_t sum = 2;  // the mark
      for (const Shown& column : shown_) sum += column.width + (&column == &shown_[0] ? 0 : 2);
      return sum;
    };
    while (shown_.size() > 1 && needed() > width)
      shown_.erase(
          std::min_element(shown_.begin(), shown_.end(), [&](const Shown& a, const Shown& b) {
            return columns_[a.index].priority < columns_[b.index].priority;
          }));
  }

  std::vector<Column> columns_;
  std::FILE* stream_;
  bool colour_;
  bool titled_ = false;
  std::vector<Shown> shown_;
};

}  // namespace examples
