// The progress line and the table of epochs.
#include "../../examples/support/terminal.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <limits>
#include <string>
#include <vector>

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// Sets an environment variable, or removes it for a null value, and puts back what was there.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = ::getenv(name)) old_ = old, had_ = true;
    if (value)
      ::setenv(name, value, 1);
    else
      ::unsetenv(name);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    if (had_)
      ::setenv(name_, old_.c_str(), 1);
    else
      ::unsetenv(name_);
  }

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};

/// A terminal of `columns` columns, of which the test holds the other end.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0) return;
    const char* name = ::ptsname(master_);
    stream = name ? std::fopen(name, "w") : nullptr;
    if (!stream) return;
    winsize size{};
    size.ws_col = columns;
    size.ws_row = 25;
    ::ioctl(::fileno(stream), TIOCSWINSZ, &size);
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (stream) std::fclose(stream);
    if (master_ >= 0) ::close(master_);
  }

  /// What was written since the last call.
  std::string written() {
    std::string text;
    char part[4096];
    for (ssize_t n = 0; (n = ::read(master_, part, sizeof part)) > 0;)
      text.append(part, static_cast<std::size_t>(n));
    return text;
  }

  std::FILE* stream = nullptr;

 private:
  int master_;
};

/// Whether the system gives no terminal; says then what is not tested.
bool is_missing(const Terminal& terminal, const std::string& what) {
  if (!terminal.stream) MESSAGE("skipped: ", what, ": no pseudo-terminal can be opened here");
  return !terminal.stream;
}

std::string contents(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c = 0; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  return text;
}

double fake_time = 0;
double fake_clock() { return fake_time; }

std::vector<examples::Column> columns_of_classes() {
  return examples::epoch_columns({"accuracy", "roc_auc", "balanced_accuracy"});
}

const std::vector<double> row{12, 0.66123, 0.67987, 0.5432, 0.5611, 2.5e-4, 12.34};

}  // namespace

TEST_CASE("the terminal's width comes from COLUMNS, then the terminal, then is 80") {
  std::FILE* file = std::tmpfile();
  REQUIRE(file);
  for (const char* columns : {"", "0", "-5", "wide", "40x", "99999999999"}) {
    const Environment environment("COLUMNS", columns);
    CHECK(examples::terminal_width(file) == 80);
  }
  const Environment none("COLUMNS", nullptr);
  CHECK(examples::terminal_width(file) == 80);
  std::fclose(file);
  const Terminal terminal(47);
  if (is_missing(terminal, "the width of a terminal")) return;
  CHECK(examples::terminal_width(terminal.stream) == 47);
  const Environment environment("COLUMNS", "123");
  CHECK(examples::terminal_width(terminal.stream) == 123);
}

TEST_CASE("a progress line fits and drops the least important first") {
  const examples::ProgressState state{.epoch = 3,
                                      .epochs = 100,
                                      .done = 1824,
                                      .windows = 3412,
                                      .rate = 4310,
                                      .seconds_left = 12,
                                      .loss = 0.6712};
  using examples::progress_line;
  CHECK(progress_line(state, 200) ==
        "epoch   3/100  [================>             ]  1,824/3,412 windows  4,310/s  0:12 left  "
        "loss 0.6712");
  CHECK(progress_line(state, 79) ==
        "epoch   3/100  [====>   ]  1,824/3,412 windows  4,310/s  0:12 left  loss 0.6712");
  CHECK(progress_line(state, 40) == "epoch   3/100  [=====>    ]  loss 0.6712");
  CHECK(progress_line(state, 20) == "epoch   3/100");

  const std::vector<const char*> by_priority{"epoch", "loss", "[", "left", "/s", "windows"};
  std::size_t before = 0;
  for (std::size_t width = 20; width <= 200; ++width) {
    CAPTURE(width);
    const std::string line = progress_line(state, width);
    CHECK(line.size() <= width);
    std::size_t shown = 0;
    while (shown < 6 && line.find(by_priority[shown]) != line.npos) ++shown;
    for (std::size_t i = shown; i < 6; ++i) CHECK(line.find(by_priority[i]) == line.npos);
    CHECK(shown >= before);
    before = shown;
  }
  CHECK(before == 6);
}

TEST_CASE("a progress line copes with any state") {
  const double huge = std::numeric_limits<double>::max();
  for (const examples::ProgressState& state : {examples::ProgressState{},
                                               {.epoch = 1, .epochs = 1, .done = 5, .windows = 0},
                                               {.epoch = 1,
                                               .epochs = 1,
                                               .done = 50,
                                               .windows = 10,
                                               .rate = huge,
                                               .seconds_left = huge,
                                               .loss = huge},
                                               {.epoch = 99999,
                                               .epochs = 1000000,
                                               .done = 1,
                                               .windows = 1000000000,
                                               .rate = -1,
                                               .seconds_left = missing,
                                               .loss = -huge}})
    for (std::size_t width = 1; width <= 200; ++width) {
      const std::string line = examples::progress_line(state, width);
      CHECK(line.size() <= width);
      CHECK(line.find("nan") == line.npos);
    }
}

TEST_CASE("progress writes nothing where there is no terminal") {
  const Environment term("TERM", "xterm");
  std::FILE* file = std::tmpfile();
  REQUIRE(file);
  {
    examples::Progress progress(file, &fake_clock);
    for (tsdl::Index epoch = 1; epoch <= 3; ++epoch) {
      progress.begin(epoch, 3, 100);
      for (tsdl::Index done = 0; done <= 100; done += 10) {
        fake_time += 1;
        progress.update(done, 0.7);
      }
    }
    progress.clear();
  }
  CHECK(contents(file).empty());
  std::fclose(file);

  const Environment dumb("TERM", "dumb");
  Terminal terminal(80);
  if (is_missing(terminal, "progress on a terminal that is dumb")) return;
  {
    examples::Progress progress(terminal.stream, &fake_clock);
    progress.begin(1, 1, 100);
  }
  CHECK(terminal.written().empty());
}

TEST_CASE("progress on a terminal: one line, ten times a second, cleared, with the time left") {
  const Environment term("TERM", "xterm"), columns("COLUMNS", nullptr);
  Terminal terminal(100);
  if (is_missing(terminal, "progress on a terminal")) return;
  examples::Progress progress(terminal.stream, &fake_clock);
  fake_time = 1000;
  progress.begin(1, 3, 1000);
  CHECK(terminal.written().find("epoch 1/3") != std::string::npos);
  for (tsdl::Index done = 1; done <= 400; ++done) {  // 100 a second for 4 seconds
    fake_time = 1000 + static_cast<double>(done) * 0.01;
    progress.update(done, 0.5);
  }
  const std::string text = terminal.written();
  std::size_t paints = 0;
  for (const char c : text) paints += c == '\r' ? 1 : 0;
  CHECK(paints >= 35);
  CHECK(paints <= 40);
  CHECK(text.find('\n') == std::string::npos);
  const std::string last = text.substr(text.rfind('\r'));
  CHECK(last.find("100/s") != std::string::npos);
  // 600 windows of this epoch and 2000 of the others, give or take one paint.
  CHECK(
      (last.find("0:26 left") != std::string::npos || last.find("0:27 left") != std::string::npos));
  CHECK(last.find("loss 0.5000") != std::string::npos);
  CHECK(last.size() <= 1 + 99 + 3);

  progress.clear();
  CHECK(terminal.written() == "\r\x1b[K");
  progress.clear();
  CHECK(terminal.written().empty());

  // The epoch's end came 10 seconds before the next begins: two more such pauses are counted.
  fake_time = 1014;
  progress.begin(2, 3, 1000);
  terminal.written();
  fake_time = 1015;
  progress.update(100, 0.5);
  CHECK(terminal.written().find("0:39 left") != std::string::npos);  // 1900 / 100 + 2 * 10
}

TEST_CASE("the table fits from 20 to 200 columns and stays aligned") {
  const std::vector<std::vector<double>> rows{
      row,
      {1, missing, missing, missing, missing, 1e-3, 0.01},
      {99999, 12345.678, -0.000123456, 1, 1, 1.2345e-10, 123456},
      {2, -1e-300, 1e300, 0, 0, 0, 0},
      {3}};
  std::size_t before = 0;
  for (std::size_t width = 20; width <= 200; ++width) {
    CAPTURE(width);
    const examples::EpochTable table(columns_of_classes(), nullptr, width, false);
    const std::string header = table.header();
    CHECK(header.size() + 2 <= width);
    CHECK(header.size() >= before * (width == 60 ? 0 : 1));
    before = header.size();
    CHECK(header.find("valid") != header.npos);
    CHECK((header.find("learning rate") != header.npos) == (width >= 68));
    CHECK((header.find("seconds") != header.npos) == (width >= 77));
    for (const auto& values : rows) {
      CHECK(table.line(values, false).size() == header.size());
      CHECK(table.line(values, true) == table.line(values, false) + " *");
    }
  }
  const examples::EpochTable wide(columns_of_classes(), nullptr, 100, false);
  CHECK(wide.header() ==
        "epoch  train loss  valid loss  valid acc  valid AUC  learning rate  seconds");
  CHECK(wide.line(row, true) ==
        "   12      0.6612      0.6799      54.3%     0.5611         2.5e-4     12.3 *");
  CHECK(wide.line(rows[1], false) ==
        "    1         n/a         n/a        n/a        n/a           1e-3      0.0");
}

TEST_CASE("the table prints its titles once, and colours only where they are wanted") {
  const Environment term("TERM", "xterm"), columns("COLUMNS", "100");
  const auto print = [](std::FILE* stream) {
    examples::EpochTable table(columns_of_classes(), stream);
    table.row(row, true);
    table.row(row, false);
  };
  const examples::EpochTable plain(columns_of_classes(), nullptr, 100, false);
  const std::string expected =
      plain.header() + '\n' + plain.line(row, true) + '\n' + plain.line(row, false) + '\n';
  {
    const Environment no_color("NO_COLOR", nullptr);
    std::FILE* file = std::tmpfile();
    REQUIRE(file);
    print(file);
    CHECK(contents(file) == expected);
    std::fclose(file);
    Terminal terminal(100);
    if (is_missing(terminal, "colours on a terminal")) return;
    print(terminal.stream);
    CHECK(terminal.written().find("\x1b[") != std::string::npos);
  }
  const Environment no_color("NO_COLOR", "1");
  Terminal terminal(100);
  REQUIRE(terminal.stream);
  print(terminal.stream);
  CHECK(terminal.written().find('\x1b') == std::string::npos);
}
