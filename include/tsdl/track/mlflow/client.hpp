// A client of MLflow's REST API: one request at a time, every answer checked, typed errors.
//
// Needs threads and cpp-httplib 0.11 or later, header-only as its authors publish it, or with a
// library to link where a distribution splits it (Debian and Ubuntu: -lcpp-httplib and the macros
// of its pkg-config file). https needs CPPHTTPLIB_OPENSSL_SUPPORT and OpenSSL.
#pragma once

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/track/mlflow/address.hpp"

#undef _res  // a macro of <resolv.h>, which httplib.h includes; Eigen has variables of that name

namespace tsdl {
inline namespace TSDL_ABI {

/// A request that failed. The message names server, request, and the server's own error_code and
/// message; never a credential.
class MLflowError : public Error {
 public:
  MLflowError(int status, std::string code, bool transient, const std::string& message)
      : Error(message), status_(status), code_(std::move(code)), transient_(transient) {}
  /// The HTTP status; 0: there was no answer, or the request could not be made.
  int status() const noexcept { return status_; }
  /// MLflow's error_code, such as RESOURCE_DOES_NOT_EXIST; empty when the answer had none.
  const std::string& code() const noexcept { return code_; }
  /// Whether the same request may succeed later: after no answer, 5xx or 429.
  bool is_transient() const noexcept { return transient_; }

 private:
  int status_;
  std::string code_;
  bool transient_;
};

/// Credentials: a token, or else a user and a password, or none.
struct MLflowAccess {
  std::string username{};
  std::string password{};
  std::string token{};
  std::string certificates{};  ///< PEM file of authorities to trust; empty: the system's

  /// Reads MLFLOW_TRACKING_USERNAME, _PASSWORD, _TOKEN and _SERVER_CERT_PATH. Source:
  /// https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth.html
  static MLflowAccess from_environment() {
    const auto read = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value ? value : "");
    };
    return {read("MLFLOW_TRACKING_USERNAME"), read("MLFLOW_TRACKING_PASSWORD"),
            read("MLFLOW_TRACKING_TOKEN"), read("MLFLOW_TRACKING_SERVER_CERT_PATH")};
  }
};

/// The timeouts of a request.
struct MLflowTimeouts {
  std::chrono::milliseconds connect{3000};
  std::chrono::milliseconds read{10000};  ///< and write: between two parts of an answer or request
  std::chrono::milliseconds artifact{60000};  ///< for the answer to a file, which is stored first
};

/// A run's identifiers on the server.
struct MLflowRun {
  std::string experiment_id;
  std::string run_id;
  std::string artifact_uri;
  std::string status{};  ///< when it was found or created: RUNNING, FINISHED, ...
};

/// Talks to one tracking server. Used from one thread, except for stop(). Every call throws
/// MLflowError; nothing is retried here. Source: https://mlflow.org/docs/latest/rest-api.html
class MLflowClient {
 public:
  using Json = nlohmann::json;

  /// Does not connect yet. Throws: Error when `uri` is not http:// or https:// and a host, or is
  /// https:// in a build without OpenSSL.
  explicit MLflowClient(const std::string& uri, const MLflowAccess& access = {},
                        const MLflowTimeouts& timeouts = {})
      : address_(internal::parse_mlflow_uri(uri)), timeouts_(timeouts), http_(address_.server) {
    if (!http_.is_valid()) throw Error("MLflow: ", uri, " cannot be used as an address");
    http_.set_connection_timeout(timeouts.connect);
    http_.set_write_timeout(timeouts.read);
#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
    if (!access.certificates.empty()) http_.set_ca_cert_path(access.certificates.c_str());
#endif
    for (const std::string* text : {&access.username, &access.password, &access.token})
      if (text->find_first_of("\r\n") != std::string::npos)
        throw Error("MLflow: user, password or token has a line break");
    if (!access.token.empty())
      http_.set_bearer_token_auth(access.token);
    else if (!access.username.empty())
      http_.set_basic_auth(access.username, access.password);
  }

  /// The address, without a slash at its end.
  std::string uri() const { return address_.server + address_.base; }

  /// Aborts the request under way in another thread; that request and every later one throws.
  void stop() {
    stopped_ = true;
    http_.stop();
  }

  /// The id of the experiment of that name, which is created if it does not exist. Throws: also
  /// when it is deleted, as it keeps its name.
  std::string experiment_id(const std::string& name) {
    try {
      return experiment_by_name(name);
    } catch (const MLflowError& error) {
      if (error.code() != "RESOURCE_DOES_NOT_EXIST") throw;
    }
    try {
      return needed(post("experiments/create", {{"name", name}}), "experiment_id");
    } catch (const MLflowError& error) {
      if (error.code() != "RESOURCE_ALREADY_EXISTS") throw;
      try {
        return experiment_by_name(name);  // another process has created it meanwhile
      } catch (const MLflowError& missing) {
        if (missing.code() != "RESOURCE_DOES_NOT_EXIST") throw;
      }
      throw;  // it is deleted
    }
  }

  /// The runs that have a tag, ordered by id, without deleted runs.
  std::vector<MLflowRun> runs_with_tag(const std::string& experiment_id, const std::string& key,
                                       const std::string& value) {
    const Json answer = post("runs/search", {{"experiment_ids", Json::array({experiment_id})},
                                             {"filter", "tags.`" + key + "` = '" + value + "'"},
                                             {"max_results", 100}});
    std::vector<MLflowRun> runs;
    for (const Json& run : member(answer, "runs")) runs.push_back(run_of(run));
    std::sort(runs.begin(), runs.end(),
              [](const MLflowRun& a, const MLflowRun& b) { return a.run_id < b.run_id; });
    return runs;
  }

  MLflowRun create_run(const std::string& experiment_id, const std::string& name,
                       std::int64_t start_time, const Json& tags) {
    Json body = {{"experiment_id", experiment_id}, {"start_time", start_time}, {"tags", tags}};
    if (!name.empty()) body["run_name"] = name;  // without it the server makes one up
    const Json answer = post("runs/create", body);
    return run_of(member(answer, "run"));
  }

  void delete_run(const std::string& run_id) { post("runs/delete", {{"run_id", run_id}}); }

  /// At most 1000 metrics, 100 params, 100 tags, 1000 together, 1 MB.
  void log_batch(const std::string& run_id, const Json& metrics, const Json& params,
                 const Json& tags) {
    post("runs/log-batch",
         {{"run_id", run_id}, {"metrics", metrics}, {"params", params}, {"tags", tags}});
  }

  /// Every value of a metric that the server has, in its order, each with value, timestamp and
  /// step.
  std::vector<Json> metric_history(const std::string& run_id, const std::string& key) {
    std::vector<Json> points;
    std::string page;
    while (true) {
      Query query = {{"run_id", run_id}, {"metric_key", key}, {"max_results", "25000"}};
      if (!page.empty()) query.emplace_back("page_token", page);
      const Json answer = get("metrics/get-history", query);
      const Json found = member(answer, "metrics");
      points.insert(points.end(), found.begin(), found.end());
      std::string next = text(answer, "next_page_token");
      if (next.empty() || next == page || found.empty()) return points;
      page = std::move(next);
    }
  }

  /// `status`: FINISHED, FAILED or KILLED; or RUNNING, of a run that goes on after its end, also
  /// with a time, as MLflow's own client sends it.
  void end_run(const std::string& run_id, const std::string& status, std::int64_t end_time) {
    post("runs/update", {{"run_id", run_id}, {"status", status}, {"end_time", end_time}});
  }

  /// Sends a file through the server's artifact service, in chunks, to `path` below the run's
  /// artifacts. Throws: also when the server keeps artifacts in a storage to which only the
  /// storage's own client can write, or when the file cannot be read.
  void put_artifact(const MLflowRun& run, const std::string& path,
                    const std::filesystem::path& file) {
    const std::string target = proxied(run) + internal::url_encoded("/" + path, "/");
    std::error_code code;
    const auto bytes = std::filesystem::file_size(file, code);
    std::ifstream in(file, std::ios::binary);
    if (code || !in) throw refused(file.string() + ": cannot be read");
    std::string piece(std::size_t{1} << 16, '\0');
    const auto provide = [&](std::size_t, std::size_t left, httplib::DataSink& sink) {
      in.read(piece.data(), static_cast<std::streamsize>(std::min(left, piece.size())));
      const auto got = static_cast<std::size_t>(in.gcount());
      return got > 0 && sink.write(piece.data(), got);
    };
    const std::string type = "application/octet-stream";
    send("PUT " + path, timeouts_.artifact, [&] {
      return bytes == 0 ? http_.Put(target, std::string(), type)
                        : http_.Put(target, static_cast<std::size_t>(bytes), provide, type);
    });
  }

  /// Writes a small file to `path` below the run's artifacts, as put_artifact does.
  void put_text(const MLflowRun& run, const std::string& path, const std::string& bytes) {
    const std::string target = proxied(run) + internal::url_encoded("/" + path, "/");
    send("PUT " + path, timeouts_.artifact,
         [&] { return http_.Put(target, bytes, "application/octet-stream"); });
  }

  /// Registers a directory of the run's artifacts as a version of `model`, which is created if it
  /// does not exist. Does nothing when a version of this run and directory exists.
  void register_model(const MLflowRun& run, const std::string& model,
                      const std::string& directory) {
    try {
      post("registered-models/create", {{"name", model}});
    } catch (const MLflowError& error) {
      if (error.code() != "RESOURCE_ALREADY_EXISTS") throw;
    }
    const std::string source = run.artifact_uri + "/" + directory;
    const Json found = get("model-versions/search", {{"filter", "run_id='" + run.run_id + "'"}});
    for (const Json& known : member(found, "model_versions"))
      if (text(known, "name") == model && text(known, "source") == source) return;
    post("model-versions/create", {{"name", model}, {"source", source}, {"run_id", run.run_id}});
  }

 private:
  using Query = std::vector<std::pair<const char*, std::string>>;

  /// The value under `key`; null when there is none.
  static Json member(const Json& json, const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() ? *found : Json();
  }
  static std::string text(const Json& json, const char* key) {
    const Json found = member(json, key);
    return found.is_string() ? found.get<std::string>() : std::string();
  }
  std::string needed(const Json& json, const char* key) const {
    std::string found = text(json, key);
    if (found.empty())
      throw refused(std::string("the answer has no '") + key + "': is this an MLflow server?");
    return found;
  }

  std::string experiment_by_name(const std::string& name) {
    const Json answer = get("experiments/get-by-name", {{"experiment_name", name}});
    const Json experiment = member(answer, "experiment");
    if (text(experiment, "lifecycle_stage") == "deleted")
      throw refused("the experiment '" + name + "' is deleted there: restore it, or take another");
    return needed(experiment, "experiment_id");
  }

  MLflowRun run_of(const Json& run) const {
    const Json info = member(run, "info");
    return {needed(info, "experiment_id"), needed(info, "run_id"), needed(info, "artifact_uri"),
            text(info, "status")};
  }

  /// The path of the artifact service for the run's artifacts.
  std::string proxied(const MLflowRun& run) const {
    std::string_view path = run.artifact_uri;
    const std::string_view scheme = "mlflow-artifacts:";
    if (!path.starts_with(scheme))
      throw refused("the server keeps artifacts at " + run.artifact_uri +
                    ", where it does not take files: it needs --serve-artifacts");
    path.remove_prefix(scheme.size());
    if (path.starts_with("//")) path.remove_prefix(std::min(path.find('/', 2), path.size()));
    return address_.base + "/api/2.0/mlflow-artifacts/artifacts" + internal::url_encoded(path, "/");
  }

  Json get(const std::string& endpoint, const Query& query) {
    std::string path = api(endpoint);
    for (const auto& [key, value] : query) {
      path += path.find('?') == std::string::npos ? '?' : '&';
      path.append(key).append("=") += internal::url_encoded(value);
    }
    return send("GET " + endpoint, timeouts_.read, [&] { return http_.Get(path); });
  }

  Json post(const std::string& endpoint, const Json& body) {
    const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    return send("POST " + endpoint, timeouts_.read,
                [&] { return http_.Post(api(endpoint), text, "application/json"); });
  }

  std::string api(const std::string& endpoint) const {
    return address_.base + "/api/2.0/mlflow/" + endpoint;
  }

  /// Sends the request and returns its answer as JSON.
  template <class Request>
  Json send(const std::string& what, std::chrono::milliseconds timeout, const Request& request) {
    const internal::WithoutPipeSignal guard;
    const std::string where = uri() + ": " + what + ": ";
    if (stopped_) throw MLflowError(0, {}, true, where + "stopped");
    http_.set_read_timeout(timeout);
    const httplib::Result result = request();
    if (!result)
      throw MLflowError(0, {}, true, where + "no answer (" + to_string(result.error()) + ")");
    const bool good = result->status / 100 == 2;
    if (good && result->body.empty()) return Json::object();
    Json answer = Json::parse(result->body, nullptr, /*allow_exceptions=*/false);
    const bool readable = answer.is_object();
    if (good && readable) return answer;
    if (good)
      throw MLflowError(200, {}, false,
                        where + "the answer is not JSON: is this an MLflow server?");
    throw failure(where, result->status, readable ? answer : Json::object(), result->body);
  }

  /// Whether an answer of 5xx will stay the same: of a server that does not serve artifacts, or of
  /// one with a folder store, which answers 500 when a batch changes a parameter, or has a key that
  /// would be a file and a folder at once.
  static bool is_refusal(const std::string& body) {
    const auto says = [&](const char* what) { return body.find(what) != std::string::npos; };
    return says("--serve-artifacts") || says("Changing param values is not allowed") ||
           says("Is a directory") || says("Not a directory");
  }

  static MLflowError failure(const std::string& where, int status, const Json& answer,
                             const std::string& body) {
    const std::string code = text(answer, "error_code"), message = text(answer, "message");
    const bool transient =
        (status >= 500 && status != 501 && !is_refusal(body)) || status == 429 || status == 408;
    std::string what = where + std::to_string(status);
    if (!code.empty()) what += " " + internal::as_one_line(code);
    if (const std::string& said = message.empty() ? body : message; !said.empty())
      what += ": " + internal::as_one_line(said);
    return {status, code, transient, what};
  }

  MLflowError refused(const std::string& what) const { return {0, {}, false, uri() + ": " + what}; }

  internal::MLflowAddress address_;
  MLflowTimeouts timeouts_;
  httplib::Client http_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
