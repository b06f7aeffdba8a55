// A tracker that sends to an MLflow server and never makes a training run wait for it.
//
// Log calls add to a queue in memory. One thread writes the queue to a spool on disk
// (track/mlflow/spool.hpp), another sends the spool (track/mlflow/upload.hpp) and retries for as
// long as the run lasts. When the server has everything the spool is removed; otherwise it stays,
// and examples/track_upload sends it. Needs what track/mlflow/client.hpp needs.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/track/mlflow/client.hpp"
#include "tsdl/track/mlflow/rules.hpp"
#include "tsdl/track/mlflow/spool.hpp"
#include "tsdl/track/mlflow/text.hpp"
#include "tsdl/track/mlflow/upload.hpp"
#include "tsdl/track/tracker.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The server of an MLflowServer, and its waiting times.
struct MLflowServerOptions {
  std::string uri;              ///< http://host:port, https://..., with a path if it has one
  std::filesystem::path spool;  ///< the folder of runs that are not sent yet
  MLflowAccess access = MLflowAccess::from_environment();
  MLflowTimeouts timeouts{};
  /// How long end() waits for unsent items. It does not wait for a server that failed to answer
  /// twice in a row.
  std::chrono::milliseconds flush_timeout{10000};
  std::chrono::milliseconds gather{100};       ///< items logged within this time are sent together
  std::chrono::milliseconds first_retry{500};  ///< doubled after each failure, up to:
  std::chrono::milliseconds longest_retry{30000};
  /// Called once when the server cannot be used, and once at the end if something is left in the
  /// spool. Called from the tracker's threads, one at a time, and not after end().
  std::function<void(const std::string&)> on_problem{};
  Clock clock = system_milliseconds;
  std::string user = internal::user_name();
};

namespace internal {

/// The part of a run that its two threads work on. They own it together with the tracker, so that a
/// thread which hangs in a name lookup or a connection can be left behind.
class MLflowWorker : public std::enable_shared_from_this<MLflowWorker> {
 public:
  MLflowWorker(const MLflowServerOptions& options, const SpooledRun& run)
      : options_(options),
        client_(options.uri, options.access, options.timeouts),
        spool_(MLflowSpool::create(options.spool, run)) {}

  const MLflowSpool& spool() const noexcept { return spool_; }
  std::string add_artifact(const std::filesystem::path& file) { return spool_.add_artifact(file); }

  void start() {
    writer_ = std::thread([self = shared_from_this()] { self->write_loop(); });
    sender_ = std::thread([self = shared_from_this()] { self->send_loop(); });
  }

  void push(std::string_view lines) {
    const std::lock_guard lock(mutex_);
    queue_ += lines;
    changed_.notify_all();
  }

  std::string location() const {
    const std::lock_guard lock(mutex_);
    return location_;
  }

  /// Returns when everything is on disk, and sent unless that takes longer than `patience`.
  void finish(std::chrono::milliseconds patience) {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      changed_.notify_all();
    }
    writer_.join();
    std::thread breaker;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, patience, [&] { return sender_gone_ || unanswered_in_a_row_ >= 2; });
      giving_up_ = true;
      changed_.notify_all();
      if (!sender_gone_) {
        breaker = std::thread([self = shared_from_this()] { self->break_requests(); });
        changed_.wait_for(lock, std::chrono::seconds(1), [&] { return sender_gone_; });
      }
      if (!sender_gone_) {
        sender_.detach();
        breaker.detach();
      }
    }
    if (sender_.joinable()) sender_.join();
    if (breaker.joinable()) breaker.join();
    if (!complete_) tell_what_is_left();
    const std::lock_guard lock(telling_);
    options_.on_problem = nullptr;
  }

 private:
  void write_loop() {
    std::string lines;
    for (;;) {
      bool last = false;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !queue_.empty() || closing_; });
        lines += queue_;
        queue_.clear();
        last = closing_;
      }
      try {
        spool_.append(lines);
        if (last) spool_.sync();
        lines.clear();
      } catch (const Error& error) {  // retried with the next lines
        tell_once(error.what());
      }
      const std::lock_guard lock(mutex_);
      ++writes_;
      if (last) {
        all_written_ = true;
        unwritten_ = static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
      }
      changed_.notify_all();
      if (last) return;
    }
  }

  void send_loop() {
    try {
      send_all();
    } catch (const std::exception& error) {
      tell_once(error.what());
    }
    const std::lock_guard lock(mutex_);
    sender_gone_ = true;
    changed_.notify_all();
  }

  /// Aborts the sender's request. Waits while a connection is being made, which cannot be aborted.
  void break_requests() {
    std::unique_lock lock(mutex_);
    while (!sender_gone_) {
      lock.unlock();
      client_.stop();  // repeated: the sender may be between two requests
      lock.lock();
      changed_.wait_for(lock, std::chrono::milliseconds(10), [&] { return sender_gone_; });
    }
  }

  /// Throws when sending has become pointless.
  void send_all() {
    MLflowUpload upload(spool_, client_);
    auto pause = options_.first_retry;
    for (;;) {
      std::unique_lock lock(mutex_);
      const bool written = all_written_;
      const std::uint64_t seen = writes_;
      if (giving_up_) return;
      lock.unlock();
      try {
        const bool sent = upload.step();
        const auto& refused = spool_.progress().refused;
        if (!refused.empty()) tell_once(refused.begin()->second);
        pause = options_.first_retry;
        lock.lock();
        unanswered_in_a_row_ = 0;
        tell_place();
        if (sent) continue;
        if (written) break;
        changed_.wait(lock, [&] { return writes_ != seen || giving_up_; });
        changed_.wait_for(lock, options_.gather, [&] { return closing_ || giving_up_; });
      } catch (const MLflowError& error) {
        if (!error.is_transient()) throw;
        if (!lock.owns_lock()) lock.lock();
        if (giving_up_) return;  // finish() has aborted the request
        lock.unlock();
        tell_once(std::string(error.what()) + "; what is logged is kept, and sent later");
        lock.lock();
        unanswered_in_a_row_ = error.status() == 0 ? unanswered_in_a_row_ + 1 : 0;
        changed_.notify_all();
        changed_.wait_for(lock, pause, [&] { return giving_up_; });
        pause = std::min(2 * pause, options_.longest_retry);
      }
    }
    complete_ = upload.complete();
    if (complete_) spool_.remove();
  }

  void tell_place() {
    const MLflowRun& run = spool_.progress().run;
    if (!run.run_id.empty())  // another one, if the server lost the first
      location_ = client_.uri() + "/#/experiments/" + run.experiment_id + "/runs/" + run.run_id;
  }

  void tell_what_is_left() {
    std::string what;
    try {
      what = sender_gone_ ? concatenate(spool_.left(), " items are") : "what was not sent is";
    } catch (const Error&) {
      what = "what was not sent is";
    }
    what += " left in " + spool_.folder().string() + "; track_upload sends it";
    if (unwritten_ > 0) what += concatenate("; ", unwritten_, " items could not be written there");
    tell(what);
  }

  void tell_once(const std::string& what) {
    if (!told_.exchange(true)) tell(what);
  }
  void tell(const std::string& what) try {
    const std::lock_guard lock(telling_);
    if (options_.on_problem) options_.on_problem(what);
  } catch (...) {  // an exception from the callback must not end the program
  }

  MLflowServerOptions options_;
  MLflowClient client_;
  MLflowSpool spool_;
  std::thread writer_, sender_;

  mutable std::mutex mutex_;  ///< guards the members below; never held during input or output
  std::condition_variable changed_;
  std::string queue_, location_;
  bool closing_ = false, all_written_ = false, giving_up_ = false, sender_gone_ = false;
  std::uint64_t writes_ = 0;
  std::size_t unwritten_ = 0;
  int unanswered_in_a_row_ = 0;  ///< attempts in a row without an answer

  std::atomic<bool> complete_ = false, told_ = false;
  std::mutex telling_;
};

}  // namespace internal

/// Tracks one run on an MLflow server. No call waits for the network except end(), which waits at
/// most options.flush_timeout and a second; start() and log_artifact() write and copy files. A
/// server that cannot be reached, or that refuses something, is a problem to report and not an
/// error. A tracker that is destroyed before end() leaves its run in the spool.
class MLflowServer final : public Tracker {
 public:
  /// Throws: Error when the address is invalid, or is https in a build without OpenSSL.
  explicit MLflowServer(MLflowServerOptions options) : options_(std::move(options)) {
    options_.uri = MLflowClient(options_.uri, options_.access).uri();
    if (options_.spool.empty()) throw Error("MLflowServer: no spool folder was given");
    internal::check_text("MLflowServer: user", options_.user, 256);
  }
  MLflowServer(const MLflowServer&) = delete;
  MLflowServer& operator=(const MLflowServer&) = delete;
  ~MLflowServer() override {
    if (!worker_) return;
    try {
      worker_->finish(std::chrono::milliseconds(0));
    } catch (...) {  // a destructor cannot report it
    }
  }

  void start(const RunInfo& run) override {
    if (worker_ || ended_) throw Error("MLflowServer: a run has been started already");
    internal::RunRules rules(run);
    std::string lines;
    for (const auto& [key, value] : internal::first_tags(run, options_.user))
      lines += MLflowSpool::text_line("tag", key, value);
    lines += param_lines(rules, run.params);
    const auto folder = std::filesystem::absolute(options_.spool).lexically_normal();
    options_.spool = folder.has_filename() ? folder : folder.parent_path();
    key_ = run.key.empty() ? new_run_key() : run.key;
    worker_ = std::make_shared<internal::MLflowWorker>(
        options_, SpooledRun{options_.uri, run.experiment, run.name, options_.clock(), key_});
    rules_ = std::move(rules);
    worker_->push(lines);
    worker_->start();
  }

  void log_params(std::span<const TrackedText> params) override {
    internal::MLflowWorker& worker = running();
    rules_.check(params, {});
    worker.push(param_lines(rules_, params));
  }
  void set_tags(std::span<const TrackedText> tags) override {
    internal::MLflowWorker& worker = running();
    rules_.check({}, tags);
    std::string lines;
    for (const TrackedText& tag : tags) lines += MLflowSpool::text_line("tag", tag.key, tag.value);
    worker.push(lines);
  }

  void log_metrics(std::span<const TrackedMetric> metrics) override {
    internal::RunRules::check(metrics);
    const std::int64_t now = options_.clock();
    std::string lines;
    for (const TrackedMetric& metric : metrics)
      lines += MLflowSpool::metric_line(metric.key, metric.value, now, metric.step);
    running().push(lines);
  }

  void log_artifact(const std::filesystem::path& file, const std::string& directory = {}) override {
    const std::string path = internal::RunRules::artifact_path(file, directory);
    internal::MLflowWorker& worker = running();
    worker.push(MLflowSpool::artifact_line(path, worker.add_artifact(file)));
    rules_.logged_artifact(path);
  }

  void register_model(const std::string& model, const std::string& artifact) override {
    internal::MLflowWorker& worker = running();
    rules_.registered(rules_.model_folder(model, artifact));
    worker.push(MLflowSpool::model_line(model, artifact, options_.clock()));
  }

  void log_child(const ChildRun& child) override {
    internal::MLflowWorker& worker = running();
    const ChildRun one = internal::checked_child(child, options_.clock());
    worker.push(MLflowSpool::child_line(
        one, internal::child_key(key_, one.id),
        internal::first_tags({.name = one.name, .tags = one.tags}, options_.user)));
  }

  void end(RunStatus status) override {
    running().push(MLflowSpool::end_line(internal::status_name(status), options_.clock()));
    ended_ = true;
    worker_->finish(options_.flush_timeout);
    location_ = worker_->location();
    worker_.reset();  // releases the spool, so that another process can send it
  }

  /// The run's page, once the server has given it an id.
  std::string location() const override { return worker_ ? worker_->location() : location_; }

 private:
  internal::MLflowWorker& running() const {
    if (ended_) throw Error("MLflowServer: the run has ended");
    if (!worker_) throw Error("MLflowServer: no run has been started");
    return *worker_;
  }

  /// The lines of the parameters that are new.
  static std::string param_lines(internal::RunRules& rules, std::span<const TrackedText> params) {
    std::string lines;
    for (const TrackedText& param : params) {
      if (rules.has(param)) continue;
      rules.logged(param);
      lines += MLflowSpool::text_line("param", param.key, param.value);
    }
    return lines;
  }

  MLflowServerOptions options_;
  std::shared_ptr<internal::MLflowWorker> worker_;  ///< from start() to end()
  internal::RunRules rules_;
  std::string key_, location_;
  bool ended_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
