// A loopback server that holds its clients to MLflow's REST contract, where versions differ the
// strictest, keeps what a server with a database or with a folder store would keep, and can be told
// to fail: by request, before or after the effect.
#pragma once

// httplib.h comes through the client, which takes back a macro that it leaves behind.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tsdl/track/mlflow/client.hpp"

namespace test {

using Json = nlohmann::json;

enum class Fault {
  none,
  unavailable,   ///< 503, nothing done
  too_many,      ///< 429, nothing done
  drop_before,   ///< the connection breaks, nothing done; a file breaks off in the middle
  drop_after,    ///< done, but the connection breaks before the answer
  slow,          ///< done after a pause
  slow_to_tell,  ///< done at once, answered after the pause
  never          ///< nothing done, no answer
};

struct StoredMetric {
  std::string key, value;  ///< the value as JSON text
  std::int64_t timestamp = 0, step = 0;
  auto operator<=>(const StoredMetric&) const = default;
};

struct StoredRun {
  std::string id, experiment_id, name, status = "RUNNING";
  std::int64_t start_time = 0, end_time = 0;
  bool deleted = false;
  std::map<std::string, std::string> tags, params, artifacts;
  std::vector<StoredMetric> metrics;  ///< in order; in a database each once
};

struct StoredVersion {
  std::string source, run_id;
};

/// What the server holds.
struct Stored {
  std::map<std::string, std::string> experiments = {{"Default", "0"}};  ///< id by name
  std::set<std::string> deleted;                                        ///< names of experiments
  std::vector<StoredRun> runs;
  std::map<std::string, std::vector<StoredVersion>> models;
  std::set<std::string> closed;       ///< paths of artifacts that are refused
  std::vector<std::string> requests;  ///< "POST runs/create", in order of arrival
  std::vector<std::string> refusals;  ///< messages of 4xx answers
  std::size_t metrics_arrived = 0;    ///< also those that were there
  std::size_t largest_batch = 0, largest_request = 0;

  std::vector<StoredRun> active() const {
    std::vector<StoredRun> found;
    for (const StoredRun& run : runs)
      if (!run.deleted) found.push_back(run);
    return found;
  }
};

class MLflowLoopback {
 public:
  struct Options {
    std::string base{};           ///< path below which it answers
    std::string authorization{};  ///< the header that it demands; empty: none
    std::string artifacts = "mlflow-artifacts:/";
    bool folder_store = false;  ///< appends every metric, and stops where a batch fails
    std::size_t page = 1000;    ///< of a metric's history
    std::chrono::milliseconds pause{300};
    /// What goes wrong with the n-th request, from 0.
    std::function<Fault(int)> fault = [](int) { return Fault::none; };
  };

  MLflowLoopback() : MLflowLoopback(Options{}) {}
  explicit MLflowLoopback(Options options) : options_(std::move(options)) {
    const std::string api = options_.base + "/api/2.0/mlflow";
    server_.set_keep_alive_max_count(1);
    server_.Get(api + "/(.*)", [this](const auto& request, auto& response) {
      answer(request, response, request.matches[1], {});
    });
    server_.Post(api + "/(.*)", [this](const auto& request, auto& response) {
      answer(request, response, request.matches[1], request.body);
    });
    server_.Get(options_.base + "/api/2.0/mlflow-artifacts/artifacts",
                [this](const auto& request, auto& response) { list_files(request, response); });
    server_.Get(options_.base + "/api/2.0/mlflow-artifacts/artifacts/(.+)",
                [this](const auto& request, auto& response) { give_file(request, response); });
    server_.Put(options_.base + "/api/2.0/mlflow-artifacts/artifacts/(.*)",
                [this](const auto& request, auto& response, const auto& reader) {
                  take_file(request, response, reader);
                });
    port_ = server_.bind_to_any_port("127.0.0.1");
    if (port_ <= 0) throw std::runtime_error("no port is free");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  MLflowLoopback(const MLflowLoopback&) = delete;
  MLflowLoopback& operator=(const MLflowLoopback&) = delete;
  ~MLflowLoopback() {
    release();
    server_.stop();
    thread_.join();
  }

  std::string uri() const { return "http://127.0.0.1:" + std::to_string(port_) + options_.base; }
  void set_fault(std::function<Fault(int)> fault) {
    const std::lock_guard lock(mutex_);
    options_.fault = std::move(fault);
    arrived_ = 0;
  }
  /// Lets those go that wait for an answer which never comes.
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  Stored stored() const {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  template <class Change>
  void change(const Change& change) {
    const std::lock_guard lock(mutex_);
    change(stored_);
  }

 private:
  struct Refusal {
    int status;
    std::string code, message;
  };

  [[noreturn]] static void refuse(const std::string& message, int status = 400,
                                  const std::string& code = "INVALID_PARAMETER_VALUE") {
    throw Refusal{status, code, message};
  }

  static void give(httplib::Response& response, int status, const Json& body) {
    response.status = status;
    response.set_content(body.dump(), "application/json");
  }

  /// Breaks the connection that a request came through: it is the one whose other end has the
  /// client's port.
  void drop(const httplib::Request& request) const {
    for (int fd = 3; fd < 1024; ++fd) {
      sockaddr_in here{}, there{};
      socklen_t size = sizeof here, other = sizeof there;
      if (::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size) == 0 &&
          ::getpeername(fd, reinterpret_cast<sockaddr*>(&there), &other) == 0 &&
          ntohs(here.sin_port) == port_ && ntohs(there.sin_port) == request.remote_port)
        ::shutdown(fd, SHUT_RDWR);
    }
  }

  Fault arrival(const std::string& what) {
    std::unique_lock lock(mutex_);
    stored_.requests.push_back(what);
    const auto fault = options_.fault;
    const int number = arrived_++;
    lock.unlock();
    return fault(number);
  }

  /// Handles what happens before the effect; false: nothing more is to be done.
  bool before(Fault fault, const httplib::Request& request, httplib::Response& response) {
    std::unique_lock lock(mutex_);
    if (fault == Fault::slow) changed_.wait_for(lock, options_.pause, [&] { return released_; });
    if (fault == Fault::never) changed_.wait(lock, [&] { return released_; });
    lock.unlock();
    if (fault == Fault::drop_before || fault == Fault::never) drop(request);
    if (fault == Fault::unavailable)
      give(response, 503, {{"error_code", "TEMPORARILY_UNAVAILABLE"}, {"message", "later"}});
    if (fault == Fault::too_many)
      give(response, 429, {{"error_code", "REQUEST_LIMIT_EXCEEDED"}, {"message", "slower"}});
    return fault == Fault::none || fault == Fault::drop_after || fault == Fault::slow ||
           fault == Fault::slow_to_tell;
  }

  template <class Effect>
  void finish(Fault fault, const httplib::Request& request, httplib::Response& response,
              const Effect& effect) {
    try {
      std::unique_lock lock(mutex_);
      if (!options_.authorization.empty() &&
          request.get_header_value("Authorization") != options_.authorization)
        refuse("You are not authenticated", 401, "UNAUTHENTICATED");
      const Json result = effect();
      if (fault == Fault::slow_to_tell)
        changed_.wait_for(lock, options_.pause, [&] { return released_; });
      give(response, 200, result);
    } catch (const Refusal& refusal) {
      const std::lock_guard lock(mutex_);
      stored_.refusals.push_back(refusal.code + ": " + refusal.message);
      give(response, refusal.status, {{"error_code", refusal.code}, {"message", refusal.message}});
    }
    if (fault == Fault::drop_after) drop(request);
  }

  void answer(const httplib::Request& request, httplib::Response& response,
              const std::string& endpoint, const std::string& body) {
    const Fault fault = arrival(request.method + " " + endpoint);
    if (!before(fault, request, response)) return;
    finish(fault, request, response, [&]() -> Json {
      if (request.method == "GET") return get(endpoint, request);
      if (request.get_header_value("Content-Type") != "application/json")
        refuse("Bad Request. Content-Type must be 'application/json'");
      const Json json = Json::parse(body, nullptr, false);
      if (!json.is_object()) refuse("the body is not JSON", 400, "BAD_REQUEST");
      stored_.largest_request = std::max(stored_.largest_request, body.size());
      return post(endpoint, json, body.size());
    });
  }

  void take_file(const httplib::Request& request, httplib::Response& response,
                 const httplib::ContentReader& reader) {
    const std::string path = request.matches[1];
    const Fault fault = arrival("PUT " + path);
    std::string bytes;
    reader([&](const char* data, std::size_t size) {
      if (fault == Fault::drop_before) {
        drop(request);
        return false;
      }
      bytes.append(data, size);
      return true;
    });
    if (!before(fault, request, response)) return;
    finish(fault, request, response, [&]() -> Json {
      const auto [run, inner] = artifact_of(path);
      if (stored_.closed.contains(inner)) refuse("not permitted", 403, "PERMISSION_DENIED");
      run.artifacts[inner] = bytes;
      return Json::object();
    });
  }

  /// The run of a path below the artifact service, and the path among its artifacts.
  std::pair<StoredRun&, std::string> artifact_of(const std::string& path) {
    std::smatch parts;
    if (!std::regex_match(path, parts, std::regex("([^/]+)/([^/]+)/artifacts/?(.*)")))
      refuse("no such path: " + path, 404, "RESOURCE_DOES_NOT_EXIST");
    StoredRun& run = run_of(parts[2]);
    if (run.experiment_id != parts[1]) refuse("the run is of another experiment");
    return {run, parts[3]};
  }

  /// What is directly below a folder, by its name there; a file has nothing below it.
  void list_files(const httplib::Request& request, httplib::Response& response) {
    finish(Fault::none, request, response, [&]() -> Json {
      const auto [run, folder] = artifact_of(request.get_param_value("path"));
      const std::string prefix = folder.empty() ? "" : folder + "/";
      std::map<std::string, Json> found;
      for (const auto& [path, bytes] : run.artifacts) {
        if (!path.starts_with(prefix)) continue;
        const std::string rest = path.substr(prefix.size()), name = rest.substr(0, rest.find('/'));
        const bool inner = name != rest;
        found[name] = {{"path", name}, {"is_dir", inner}};
        if (!inner) found[name]["file_size"] = bytes.size();
      }
      Json files = Json::array();
      for (const auto& [name, file] : found) files.push_back(file);
      return found.empty() ? Json::object() : Json{{"files", files}};
    });
  }

  void give_file(const httplib::Request& request, httplib::Response& response) {
    std::string bytes;
    finish(Fault::none, request, response, [&]() -> Json {
      const auto [run, path] = artifact_of(request.matches[1]);
      const auto file = run.artifacts.find(path);
      if (file == run.artifacts.end()) refuse("no such file: " + path, 404, "NOT_FOUND");
      bytes = file->second;
      return {};
    });
    if (response.status == 200) response.set_content(bytes, "application/octet-stream");
  }

  // The contract. Source: https://mlflow.org/docs/latest/rest-api.html

  static std::string text(const Json& json, const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string() ||
        json[key].get<std::string>().empty())
      refuse(std::string("Missing value for required parameter '") + key + "'");
    return json[key];
  }
  static std::int64_t integer(const Json& json, const char* key) {
    if (!json.contains(key) || !json[key].is_number_integer() || json[key] < 0)
      refuse(std::string("Invalid value for parameter '") + key + "'");
    return json[key];
  }
  static Json list(const Json& json, const char* key) {
    const Json found = json.value(key, Json::array());
    if (!found.is_array()) refuse(std::string("'") + key + "' is not a list");
    return found;
  }
  static std::string key_of(const Json& json) {
    const std::string key = text(json, "key");
    if (key.size() > 250 || !std::regex_match(key, std::regex("[/\\w.\\- ]*")))
      refuse("Invalid name: '" + key + "'");
    return key;
  }

  StoredRun& run_of(const std::string& id) {
    for (StoredRun& run : stored_.runs) {
      if (run.id != id) continue;
      if (run.deleted) refuse("The run " + id + " must be in the 'active' state");
      return run;
    }
    refuse("Run with id=" + id + " not found", 404, "RESOURCE_DOES_NOT_EXIST");
  }

  std::string artifact_uri(const StoredRun& run) const {
    return options_.artifacts + run.experiment_id + "/" + run.id + "/artifacts";
  }
  Json json_of(const StoredRun& run) const {
    return {{"info",
             {{"run_id", run.id},
              {"experiment_id", run.experiment_id},
              {"status", run.status},
              {"artifact_uri", artifact_uri(run)}}}};
  }

  Json get(const std::string& endpoint, const httplib::Request& request) {
    if (endpoint == "experiments/get-by-name") {
      const std::string name = request.get_param_value("experiment_name");
      if (name.empty()) refuse("Missing value for required parameter 'experiment_name'");
      const bool deleted = stored_.deleted.contains(name);
      if (!stored_.experiments.contains(name) || (deleted && options_.folder_store))
        refuse("Could not find experiment with name '" + name + "'", 404,
               "RESOURCE_DOES_NOT_EXIST");
      return {{"experiment",
               {{"experiment_id", stored_.experiments[name]},
                {"name", name},
                {"lifecycle_stage", deleted ? "deleted" : "active"}}}};
    }
    if (endpoint == "metrics/get-history") return history(request);
    if (endpoint == "model-versions/get-download-uri") {
      const auto model = stored_.models.find(request.get_param_value("name"));
      const auto version = std::stoul(request.get_param_value("version"));
      if (model == stored_.models.end() || version < 1 || version > model->second.size())
        refuse("Model Version not found", 404, "RESOURCE_DOES_NOT_EXIST");
      return {{"artifact_uri", model->second[version - 1].source}};
    }
    if (endpoint == "model-versions/search") {
      const std::string filter = request.get_param_value("filter");
      std::smatch parts;
      if (!std::regex_match(filter, parts, std::regex("run_id='(\\w+)'")))
        refuse("Invalid filter: " + filter);
      Json found = Json::array();
      for (const auto& [name, versions] : stored_.models)
        for (const StoredVersion& one : versions)
          if (one.run_id == parts[1])
            found.push_back({{"name", name}, {"source", one.source}, {"run_id", one.run_id}});
      return found.empty() ? Json::object() : Json{{"model_versions", found}};
    }
    refuse("no such endpoint: GET " + endpoint, 404, "ENDPOINT_NOT_FOUND");
  }

  Json post(const std::string& endpoint, const Json& body, std::size_t bytes) {
    if (endpoint == "experiments/create") return create_experiment(body);
    if (endpoint == "runs/create") return create_run(body);
    if (endpoint == "runs/search") return search_runs(body);
    if (endpoint == "runs/log-batch") return log_batch(body, bytes);
    if (endpoint == "runs/update") return update_run(body);
    if (endpoint == "runs/delete") {
      run_of(text(body, "run_id")).deleted = true;
      return Json::object();
    }
    if (endpoint == "registered-models/create") {
      const std::string name = text(body, "name");
      if (name.find_first_of("/:") != name.npos)
        refuse("Registered model name cannot contain '/' or ':'");
      if (!stored_.models.try_emplace(name).second)
        refuse("Registered Model (name=" + name + ") already exists.", 400,
               "RESOURCE_ALREADY_EXISTS");
      return {{"registered_model", {{"name", name}}}};
    }
    if (endpoint == "model-versions/create") return create_version(body);
    refuse("no such endpoint: POST " + endpoint, 404, "ENDPOINT_NOT_FOUND");
  }

  Json create_experiment(const Json& body) {
    const std::string name = text(body, "name"), id = std::to_string(stored_.experiments.size());
    if (!stored_.experiments.try_emplace(name, id).second)
      refuse("Experiment(name=" + name + ") already exists" +
                 (stored_.deleted.contains(name) ? " in deleted state." : "."),
             400, "RESOURCE_ALREADY_EXISTS");
    return {{"experiment_id", id}};
  }

  Json create_run(const Json& body) {
    StoredRun run;
    run.experiment_id = text(body, "experiment_id");
    const bool known =
        std::any_of(stored_.experiments.begin(), stored_.experiments.end(),
                    [&](const auto& experiment) { return experiment.second == run.experiment_id; });
    if (!known)
      refuse("No Experiment with id=" + run.experiment_id, 404, "RESOURCE_DOES_NOT_EXIST");
    run.id = "run" + std::to_string(1000 + stored_.runs.size());
    run.name = body.value("run_name", "made-up-name");
    run.start_time = integer(body, "start_time");
    for (const Json& tag : list(body, "tags")) run.tags[key_of(tag)] = text(tag, "value");
    stored_.runs.push_back(run);
    return {{"run", json_of(run)}};
  }

  Json search_runs(const Json& body) {
    const Json experiments = list(body, "experiment_ids");
    if (experiments.empty()) refuse("experiment_ids must not be empty");
    const std::string filter = text(body, "filter");
    std::smatch parts;
    if (!std::regex_match(filter, parts, std::regex("tags\\.`([\\w.]+)` = '(\\w+)'")))
      refuse("Invalid filter: " + filter);
    Json found = Json::array();
    for (const StoredRun& run : stored_.runs) {
      const auto tag = run.tags.find(parts[1]);
      if (!run.deleted && tag != run.tags.end() && tag->second == parts[2] &&
          std::find(experiments.begin(), experiments.end(), Json(run.experiment_id)) !=
              experiments.end())
        found.push_back(json_of(run));
    }
    return found.empty() ? Json::object() : Json{{"runs", found}};
  }

  static StoredMetric metric_of(const Json& json) {
    const Json value = json.value("value", Json());
    if (!value.is_number() && value != "NaN" && value != "Infinity" && value != "-Infinity")
      refuse("Got invalid value " + value.dump() + " for metric");
    return {key_of(json), value.dump(), integer(json, "timestamp"), integer(json, "step")};
  }

  /// A database keeps all or nothing, which MLflow does not promise: tests of less are tests of
  /// repeats. A folder store keeps what came before the item that failed.
  Json log_batch(const Json& body, std::size_t bytes) {
    if (bytes > 1000000) refuse("Batched logging API requests must be at most 1000000 bytes");
    StoredRun changed = run_of(text(body, "run_id"));
    const Json metrics = list(body, "metrics"), params = list(body, "params"),
               tags = list(body, "tags");
    const std::size_t all = metrics.size() + params.size() + tags.size();
    if (metrics.size() > 1000 || params.size() > 100 || tags.size() > 100 || all > 1000)
      refuse("A batch logging request can contain at most 1000 metrics");
    for (const Json& metric : metrics) metric_of(metric);
    for (const Json& tag : tags) key_of(tag);
    std::set<std::string> keys;
    for (const Json& param : params) {
      if (!keys.insert(key_of(param)).second)
        refuse("Duplicate parameter keys have been submitted: " + key_of(param));
      if (const auto size = param.value("value", "").size(); size > 500)
        refuse("Param value had length " + std::to_string(size));
    }
    try {
      keep(changed, metrics, params, tags);
    } catch (const Refusal& refusal) {
      if (!options_.folder_store) throw;
      run_of(changed.id) = changed;
      refuse(refusal.message, 500, "INTERNAL_ERROR");
    }
    run_of(changed.id) = changed;
    stored_.metrics_arrived += metrics.size();
    stored_.largest_batch = std::max(stored_.largest_batch, all);
    return Json::object();
  }

  void keep(StoredRun& run, const Json& metrics, const Json& params, const Json& tags) const {
    for (const Json& param : params) {
      const auto [at, is_new] = run.params.try_emplace(key_of(param), param.value("value", ""));
      if (!is_new && at->second != param.value("value", ""))
        refuse("Changing param values is not allowed. Param with key='" + at->first + "'");
    }
    std::set<StoredMetric> there(run.metrics.begin(), run.metrics.end());
    std::set<std::string> names;
    for (const StoredMetric& metric : run.metrics) names.insert(metric.key);
    for (const Json& metric : metrics) {
      const StoredMetric one = metric_of(metric);
      if (names.insert(one.key).second && options_.folder_store)
        for (const std::string& name : names) {
          if (one.key.starts_with(name + "/")) refuse("[Errno 20] Not a directory: " + one.key);
          if (name.starts_with(one.key + "/")) refuse("[Errno 21] Is a directory: " + one.key);
        }
      if (there.insert(one).second || options_.folder_store) run.metrics.push_back(one);
    }
    for (const Json& tag : tags) run.tags[key_of(tag)] = tag.value("value", "");
  }

  /// As 3.11 wants it: with max_results. A folder store knows no pages.
  Json history(const httplib::Request& request) {
    const StoredRun& run = run_of(request.get_param_value("run_id"));
    const std::string key = request.get_param_value("metric_key"),
                      token = request.get_param_value("page_token");
    if (request.get_param_value("max_results").empty()) refuse("max_results is missing");
    if (!token.empty() && options_.folder_store) refuse("page_token must be None");
    std::size_t skip = token.empty() ? 0 : std::stoul(token), left = options_.page;
    if (options_.folder_store) left = run.metrics.size();
    Json found = Json::array();
    bool more = false;
    for (const StoredMetric& metric : run.metrics) {
      if (metric.key != key) continue;
      if (skip > 0) {
        --skip;
      } else if (left-- > 0) {
        found.push_back({{"key", key},
                         {"value", Json::parse(metric.value)},
                         {"timestamp", metric.timestamp},
                         {"step", metric.step}});
      } else {
        more = true;
        break;
      }
    }
    if (found.empty()) return Json::object();
    Json answer = {{"metrics", found}};
    if (more)
      answer["next_page_token"] =
          std::to_string((token.empty() ? 0 : std::stoul(token)) + options_.page);
    return answer;
  }

  Json update_run(const Json& body) {
    StoredRun& run = run_of(text(body, "run_id"));
    const std::string status = text(body, "status");
    if (status != "RUNNING" && status != "FINISHED" && status != "FAILED" && status != "KILLED")
      refuse("Invalid status " + status);
    run.end_time = integer(body, "end_time");
    run.status = status;
    return {{"run_info", json_of(run)["info"]}};
  }

  Json create_version(const Json& body) {
    const std::string name = text(body, "name"), source = text(body, "source");
    const StoredRun& run = run_of(text(body, "run_id"));
    const auto model = stored_.models.find(name);
    if (model == stored_.models.end())
      refuse("Registered Model with name=" + name + " not found", 404, "RESOURCE_DOES_NOT_EXIST");
    if (!source.starts_with(artifact_uri(run) + "/"))
      refuse("Invalid model version source: '" + source + "'");
    model->second.push_back({source, run.id});
    return {{"model_version", {{"name", name}, {"version", model->second.size()}}}};
  }

  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  int arrived_ = 0;
  Stored stored_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace test
