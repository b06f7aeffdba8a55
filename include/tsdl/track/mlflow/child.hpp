// Sends one child of a run to an MLflow server, and what any repeated sending asks the server:
// which runs of a key and which points of a metric it has.
//
// A child is looked up by its key before it is created, and ended last: one that the server has and
// that has ended is complete. Its tag mlflow.parentRunId is set whenever it is sent, since a server
// that has lost the parent gets that one again under another id.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/track/mlflow/client.hpp"
#include "tsdl/track/mlflow/rules.hpp"
#include "tsdl/track/mlflow/text.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The tag by which a run is looked up.
inline constexpr const char* run_key_tag = "tsdl.run_key";

namespace internal {

/// Time, step and value of a metric as one text.
inline std::string point_of(const nlohmann::json& metric) {
  const auto number = [&](const char* key) {
    const nlohmann::json found = metric.value(key, nlohmann::json(0));
    return found.is_string() ? found.get<std::string>() : found.dump();
  };
  const nlohmann::json& value = metric.at("value");
  return number("timestamp") + " " + number("step") + " " +
         (value.is_string() ? value.get<std::string>() : metric_text(value.get<double>()));
}

/// The points of a metric that the server has. Empty where a server cannot tell: a repeat is then
/// sent. The requests that follow show whether it is about the key or the run.
inline std::set<std::string> points_of(MLflowClient& client, const std::string& run_id,
                                       const std::string& key) {
  std::set<std::string> points;
  try {
    for (const nlohmann::json& metric : client.metric_history(run_id, key))
      points.insert(point_of(metric));
  } catch (const MLflowError& error) {
    const int status = error.status();
    if (status != 400 && status != 404 && status != 405 && status != 501) throw;
  } catch (const nlohmann::json::exception&) {
    throw MLflowError(200, {}, false, client.uri() + ": its history of '" + key + "' is no list");
  }
  return points;
}

/// A server that was slow to create a run may have created it twice.
inline void delete_doubles(MLflowClient& client, const std::string& experiment_id,
                           const std::string& key, const std::string& keep) {
  for (const MLflowRun& found : client.runs_with_tag(experiment_id, run_key_tag, key)) {
    if (found.run_id == keep) continue;
    try {
      client.delete_run(found.run_id);
    } catch (const MLflowError& error) {
      if (error.status() != 404) throw;
    }
  }
}

inline bool has_ended(const MLflowRun& run) {
  return run.status == "FINISHED" || run.status == "FAILED" || run.status == "KILLED";
}

/// A JSON object of a tag or parameter.
inline nlohmann::json text_json(const std::string& key, const std::string& value) {
  return {{"key", key}, {"value", value}};
}

/// Takes up to `most` from the front of a list.
inline nlohmann::json take_front(nlohmann::json& list, std::size_t most) {
  nlohmann::json front = nlohmann::json::array();
  const std::size_t taken = std::min(most, list.size());
  for (std::size_t i = 0; i < taken; ++i) front.push_back(list[i]);
  list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(taken));
  return front;
}

/// Sends what a child has, in batches that a server accepts.
inline void log_child_items(MLflowClient& client, const std::string& run_id, nlohmann::json metrics,
                            nlohmann::json params, nlohmann::json tags) {
  while (!metrics.empty() || !params.empty() || !tags.empty()) {
    const nlohmann::json some_params = take_front(params, 100), some_tags = take_front(tags, 100);
    client.log_batch(run_id, take_front(metrics, 800), some_params, some_tags);
  }
}

/// Sends an item `child` of a spool (MLflowSpool::child_line) whose parent the server has. Throws:
/// MLflowError; sending again goes on.
inline void send_child(MLflowClient& client, const MLflowRun& parent, const nlohmann::json& child) {
  const std::string key = child.at("key");
  nlohmann::json tags = child.at("tags");
  tags.push_back(text_json(parent_tag, parent.run_id));
  std::vector<MLflowRun> found = client.runs_with_tag(parent.experiment_id, run_key_tag, key);
  std::stable_partition(found.begin(), found.end(), has_ended);
  const bool is_new = found.empty();
  const MLflowRun run =
      is_new ? client.create_run(parent.experiment_id, child.at("name"), child.at("start_time"),
                                 nlohmann::json::array({text_json(run_key_tag, key),
                                                        text_json(parent_tag, parent.run_id)}))
             : found.front();
  if (has_ended(run)) {
    client.log_batch(run.run_id, nlohmann::json::array(), nlohmann::json::array(),
                     nlohmann::json::array({tags.back()}));
  } else {
    nlohmann::json metrics = nlohmann::json::array();
    std::map<std::string, std::set<std::string>> known;  // points by key; of a new run none
    for (const nlohmann::json& metric : child.at("metrics")) {
      const std::string name = metric.at("key");
      const auto [points, is_first] = known.try_emplace(name);
      if (is_first && !is_new) points->second = points_of(client, run.run_id, name);
      if (points->second.insert(point_of(metric)).second) metrics.push_back(metric);
    }
    log_child_items(client, run.run_id, std::move(metrics), child.at("params"), std::move(tags));
    client.end_run(run.run_id, child.at("status"), child.at("end_time"));
  }
  delete_doubles(client, parent.experiment_id, key, run.run_id);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
