// What tracking costs a training run: the same run without it and with it, in turn, for a folder, a
// server that answers and a server that never does. Prints medians, and the median of the ratios of
// neighbouring runs.
//
// bench_tracking [PAIRS]
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tsdl/lstm.hpp>
#include <tsdl/track/mlflow/folder.hpp>
#include <tsdl/track/mlflow/rest.hpp>
#include <tsdl/track/tracker.hpp>
#include <vector>

namespace {

using Seconds = std::chrono::duration<double>;
using MakeTracker = std::function<std::unique_ptr<tsdl::Tracker>()>;

constexpr tsdl::Index epochs = 20;

/// Says yes to everything: what a server does with it is its own affair.
class Answering {
 public:
  Answering() {
    server_.set_pre_routing_handler([](const auto& request, auto& response) {
      const bool search = request.path.ends_with("search");
      response.set_content(search ? "{}" : R"({"experiment": {"experiment_id": "1"}, "run": {"info":
          {"experiment_id": "1", "run_id": "r", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}}})",
                           "application/json");
      return httplib::Server::HandlerResponse::Handled;
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~Answering() {
    server_.stop();
    thread_.join();
  }
  std::string uri() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

/// Lets others connect, and says nothing.
class Silent {
 public:
  Silent() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const auto name = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.get(), name, size) != 0 || ::listen(socket_.get(), 1000) != 0 ||
        ::getsockname(socket_.get(), name, &size) != 0)
      throw std::runtime_error("no port is free");
    port_ = ntohs(address.sin_port);
  }
  std::string uri() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  tsdl::internal::FileDescriptor socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  int port_ = 0;
};

/// Sequences of noise, and whether the last value is above zero.
tsdl::Windows<float> make_windows(tsdl::Index count) {
  constexpr tsdl::Index length = 20, features = 8;
  std::vector<std::string> names;
  for (tsdl::Index i = 0; i < features; ++i) names.push_back(std::to_string(i));
  auto series =
      std::make_shared<tsdl::Series<float>>(tsdl::Series<float>::sized(names, count + length));
  tsdl::RandomStream random(1);
  for (float& value : series->values) value = static_cast<float>(random.normal());
  std::vector<tsdl::Index> ends;
  std::vector<float> labels;
  for (tsdl::Index i = 0; i < count; ++i) {
    ends.push_back(i + length - 1);
    labels.push_back(series->column(ends.back())[0] > 0 ? 1.f : 0.f);
  }
  return {series, length, 1, ends, labels};
}

/// Seconds of training itself; start() and end() of the tracker are before and after.
double time_run(const tsdl::Windows<float>& windows, tsdl::Tracker* tracker) {
  tsdl::LSTMClassifier<float> model({.input_size = 8, .hidden_size = 16, .num_layers = 1}, 1);
  tsdl::Trainer trainer(model, {.batch_size = 32, .max_epochs = epochs});
  if (tracker) trainer.add(tsdl::Tracking{tracker});
  if (tracker) tracker->start({.experiment = "bench", .params = {{"hidden_size", "16"}}});
  const auto start = std::chrono::steady_clock::now();
  trainer.fit(windows, windows);
  const double seconds = Seconds(std::chrono::steady_clock::now() - start).count();
  if (tracker) tracker->end(tsdl::RunStatus::finished);
  return seconds;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void compare(const char* name, int pairs, const tsdl::Windows<float>& windows,
             const MakeTracker& make) {
  std::vector<double> without, with, ratios;
  for (int pair = 0; pair < pairs; ++pair) {
    const auto tracker = make();
    double plain = 0, tracked = 0;
    if (pair % 2 == 0) plain = time_run(windows, nullptr);
    tracked = time_run(windows, tracker.get());
    if (pair % 2 == 1) plain = time_run(windows, nullptr);
    without.push_back(plain);
    with.push_back(tracked);
    ratios.push_back(tracked / plain);
  }
  std::printf("%-28s %11.2f %11.2f %9.3f %15.1f\n", name, 1e3 * median(without), 1e3 * median(with),
              median(ratios), 1e6 * (median(with) - median(without)) / static_cast<double>(epochs));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 31;
  const auto directory = std::filesystem::temp_directory_path() / "tsdl-bench-tracking";
  const tsdl::Windows<float> windows = make_windows(1000);
  const Answering answering;
  const Silent silent;
  const auto server = [&](const std::string& uri) {
    return [&directory, uri] {
      return std::make_unique<tsdl::MLflowServer>(
          tsdl::MLflowServerOptions{.uri = uri,
                                    .spool = directory / "spool",
                                    .access = {},
                                    .flush_timeout = std::chrono::milliseconds(100)});
    };
  };
  time_run(windows, nullptr);
  std::printf("%td epochs of 1000 windows, %d pairs\n%-28s %11s %11s %9s %15s\n", epochs, pairs,
              "tracking to", "without, ms", "with, ms", "ratio", "us per epoch");
  compare("nothing", pairs, windows, [] { return nullptr; });
  compare("a folder", pairs, windows, [&] {
    return std::make_unique<tsdl::MLflowFolder>(
        tsdl::MLflowFolderOptions{.directory = directory / "mlruns"});
  });
  compare("a server that answers", pairs, windows, server(answering.uri()));
  compare("a server that never answers", pairs, windows, server(silent.uri()));
  std::filesystem::remove_all(directory);
  return 0;
}
