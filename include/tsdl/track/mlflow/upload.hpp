// Sends a spooled run to an MLflow server, so that in the end the server has each item once.
//
// Sending again is safe after any failure. The run is looked up by its key before it is created;
// parameters, tags, files and the end are set to their values; a model version is looked up by run
// and source. A metric of the same key, time, step and value is the same metric: a database drops
// the second, but a folder store appends it, so what may have been sent before is left out where
// the server's history has it. One case is left: a server that carries out a request only after its
// sender has given it up and has looked. A folder store then has a value twice, and any server a
// model version.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/track/mlflow/child.hpp"
#include "tsdl/track/mlflow/client.hpp"
#include "tsdl/track/mlflow/spool.hpp"
#include "tsdl/track/mlflow/text.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Sends one spool through one client, one request at a time. An item that the server refuses is
/// noted in the spool and skipped; a later upload tries it again. A model is not registered while
/// one of its files is refused. A run that the server has lost is sent again, as another run.
class MLflowUpload {
 public:
  using Json = nlohmann::json;

  MLflowUpload(MLflowSpool& spool, MLflowClient& client) : spool_(spool), client_(client) {
    for (const auto& [item, why] : spool.progress().refused) again_.push_back(item);
    std::reverse(again_.begin(), again_.end());  // the first comes first: a file before its model
    if (!spool.progress().run.run_id.empty()) unsure_until_ = everything;
  }

  /// Sends the next items. Returns false when there is nothing to send. Throws: MLflowError,
  /// transient or not, when no item can be sent; the next call tries the same step again. Error
  /// when the spool cannot be read.
  bool step() try { return next_step(); } catch (const MLflowError& error) {
    const bool lost = error.status() == 404 && error.code() == "RESOURCE_DOES_NOT_EXIST" &&
                      !spool_.progress().run.run_id.empty();
    if (!lost || just_lost_) throw;
    just_lost_ = true;
    spool_.lost_run();
    again_.clear();
    known_.clear();
    all_sent_ = false;
    return true;
  }

  /// Whether the server has all of a run that has ended.
  bool complete() const { return all_sent_ && spool_.progress().refused.empty(); }
  /// The number of items that the server has accepted from this upload.
  std::size_t taken() const noexcept { return taken_; }

 private:
  struct Item {
    std::int64_t begin, end;  ///< in items.jsonl
    std::string kind;
    Json body;
  };
  struct Artifact {
    std::int64_t item;  ///< where it was logged last
    std::string file;
  };
  static constexpr std::int64_t everything = std::numeric_limits<std::int64_t>::max();

  bool next_step() {
    if (spool_.progress().run.run_id.empty()) {
      find_run();
    } else if (!again_.empty()) {
      send_again();
    } else {
      const bool ended = spool_.ended();  // read first: more items may be added
      const std::vector<Item> items = next_items();
      if (!items.empty()) {
        send(items);
      } else {
        if (!ended || all_sent_) return false;
        delete_doubles();
        all_sent_ = true;
      }
    }
    return true;
  }

  void find_run() {
    const SpooledRun& run = spool_.run();
    const std::string experiment = client_.experiment_id(run.experiment);
    const auto found = client_.runs_with_tag(experiment, run_key_tag, run.key);
    unsure_until_ = found.empty() ? 0 : everything;
    if (!found.empty()) {
      const MLflowRun& first = found.front();
      if (internal::has_ended(first)) client_.end_run(first.run_id, "RUNNING", run.start_time);
      return spool_.found_run(first);
    }
    const Json tags = Json::array({Json{{"key", run_key_tag}, {"value", run.key}}});
    spool_.found_run(client_.create_run(experiment, run.name, run.start_time, tags));
  }

  void delete_doubles() {
    const MLflowRun& run = spool_.progress().run;
    internal::delete_doubles(client_, run.experiment_id, spool_.run().key, run.run_id);
  }

  static bool goes_into_batches(const Item& item) {
    return item.kind == "metric" || item.kind == "param" || item.kind == "tag";
  }

  static Item item_of(std::string_view line, std::int64_t begin) {
    Item item{begin, begin + static_cast<std::int64_t>(line.size()), "", {}};
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.size() == 1 && json.begin().value().is_object()) {
      item.kind = json.begin().key();
      item.body = json.begin().value();
    }
    return item;
  }

  /// One item, or as many as fit into a batch that the server accepts.
  std::vector<Item> next_items() const {
    std::vector<Item> items;
    std::set<std::string> keys;  // a key twice in a batch is refused, or its order is lost
    std::size_t params = 0, tags = 0;
    std::int64_t at = spool_.progress().sent, bytes = 0;
    const std::string text = spool_.items(at);
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n') + 1);
      Item item = item_of(line, at);
      rest.remove_prefix(line.size());
      at = item.end;
      bytes += item.end - item.begin;
      if (!goes_into_batches(item)) {
        if (items.empty()) items.push_back(std::move(item));
        break;
      }
      const bool metric = item.kind == "metric";
      params += item.kind == "param";
      tags += item.kind == "tag";
      const bool again =
          !metric && !keys.insert(item.kind + item.body.value("key", Json()).dump()).second;
      if (!items.empty() &&
          (again || items.size() >= longest_batch_ || bytes > 900000 || params > 100 || tags > 100))
        break;
      items.push_back(std::move(item));
    }
    return items;
  }

  void send(const std::vector<Item>& items) {
    try {
      request(items);
      taken_ += items.size();
      just_lost_ = false;
      refused_in_a_row_ = 0;
      longest_batch_ = std::min<std::size_t>(2 * longest_batch_, 1000);
    } catch (const MLflowError& error) {
      if (!is_about_item(error, items.front())) throw;
      if (items.size() > 1) {  // a smaller batch will show which item it is
        longest_batch_ = items.size() / 2;
        return;
      }
      if (++refused_in_a_row_ > 10) throw;
      spool_.refuse(items.front().begin, error.what());
    }
    spool_.confirm(items.back().end);
  }

  void send_again() {
    const std::int64_t at = again_.back();
    const std::string text = spool_.items(at);
    const std::vector<Item> one = {
        item_of(std::string_view(text).substr(0, text.find('\n') + 1), at)};
    unsure_until_ = std::max(unsure_until_, one.front().end);
    try {
      request(one);
      ++taken_;
      just_lost_ = false;
      spool_.accept(at);
    } catch (const MLflowError& error) {
      if (!is_about_item(error, one.front())) throw;
      spool_.refuse(at, error.what());
    }
    again_.pop_back();
  }

  void request(const std::vector<Item>& items) try {
    const MLflowRun& run = spool_.progress().run;
    const Item& first = items.front();
    const Json& body = first.body;
    if (goes_into_batches(first)) {
      log(items);
    } else if (first.kind == "artifact") {
      client_.put_artifact(run, body.at("path"), spool_.artifact(body.at("file")));
    } else if (first.kind == "model") {
      register_model(first);
    } else if (first.kind == "child") {
      internal::send_child(client_, run, body);
    } else if (first.kind == "end") {
      client_.end_run(run.run_id, body.at("status"), body.at("end_time"));
    } else {
      throw unreadable(first);
    }
  } catch (const Json::exception&) {
    throw unreadable(items.front());
  }

  void log(const std::vector<Item>& items) {
    Json metrics = Json::array(), params = Json::array(), tags = Json::array();
    std::set<std::string> here;
    for (const Item& item : items) {
      if (item.kind != "metric") {
        (item.kind == "param" ? params : tags).push_back(item.body);
        continue;
      }
      const std::string key = item.body.at("key"), point = internal::point_of(item.body);
      const bool sent = item.begin < unsure_until_ && history(key).contains(point);
      if (!sent && here.insert(key + "\n" + point).second) metrics.push_back(item.body);
    }
    if (metrics.empty() && params.empty() && tags.empty()) return;
    try {
      client_.log_batch(spool_.progress().run.run_id, metrics, params, tags);
    } catch (const MLflowError&) {  // whatever it says: a folder store may have begun
      unsure_until_ = std::max(unsure_until_, items.back().end);
      for (const Json& metric : metrics) known_.erase(metric.at("key").get<std::string>());
      throw;
    }
  }

  const std::set<std::string>& history(const std::string& key) {
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    return known_[key] = internal::points_of(client_, spool_.progress().run.run_id, key);
  }

  /// Registers the folder of a file, or a folder, once all that was logged there has arrived.
  void register_model(const Item& item) {
    const MLflowRun& run = spool_.progress().run;
    const std::string model = item.body.at("name"), artifact = item.body.at("artifact");
    const std::map<std::string, Artifact> artifacts = artifacts_before(item.begin);
    std::string folder = artifact, data = ".";
    if (const auto file = artifacts.find(artifact); file != artifacts.end()) {
      const std::size_t slash = artifact.rfind('/');
      data = artifact.substr(slash + 1);  // npos + 1 is 0
      // Spools of tsdl 0.2 and before may have a model in no folder, which none can download.
      folder = slash == std::string::npos ? "model" : artifact.substr(0, slash);
      need_sent(model, *file);
      if (slash == std::string::npos)
        client_.put_artifact(run, folder + "/" + data, spool_.artifact(file->second.file));
    }
    bool any = data != ".", described = false;
    for (auto file = artifacts.lower_bound(folder + "/");
         file != artifacts.end() && file->first.starts_with(folder + "/"); ++file) {
      need_sent(model, *file);
      any = true;
      described = described || file->first == folder + "/MLmodel";
    }
    if (!any) throw refusal("model '", model, "': '", artifact, "' was not logged");
    const std::int64_t time = item.body.value("timestamp", spool_.run().start_time);
    if (!described)
      client_.put_text(run, folder + "/MLmodel",
                       internal::mlmodel_text(folder, data, run.run_id, time));
    client_.register_model(run, model, folder);
  }

  void need_sent(const std::string& model,
                 const std::pair<const std::string, Artifact>& artifact) const {
    const auto refused = spool_.progress().refused.find(artifact.second.item);
    if (refused != spool_.progress().refused.end())
      throw refusal("model '", model, "': '", artifact.first, "' is not there: ", refused->second);
  }

  /// The artifacts that were logged before an item, by path.
  std::map<std::string, Artifact> artifacts_before(std::int64_t end) const {
    std::map<std::string, Artifact> artifacts;
    std::int64_t at = 0;
    for (std::string text = spool_.items(at); !text.empty() && at < end; text = spool_.items(at))
      for (std::string_view rest = text; !rest.empty() && at < end;) {
        const std::string_view line = rest.substr(0, rest.find('\n') + 1);
        if (line.starts_with("{\"artifact\"")) {
          const Item item = item_of(line, at);
          artifacts[item.body.value("path", "")] = {at, item.body.value("file", "")};
        }
        at += static_cast<std::int64_t>(line.size());
        rest.remove_prefix(line.size());
      }
    return artifacts;
  }

  template <class... Parts>
  static MLflowError refusal(const Parts&... why) {
    return {400, {}, false, internal::concatenate(why...)};
  }

  MLflowError unreadable(const Item& item) const {
    return refusal(spool_.folder().string(), ": items.jsonl: the line at byte ", item.begin,
                   " cannot be read");
  }

  /// Whether other items may be accepted. The services for files and for models may each be closed
  /// to a user who may use the rest. A folder store refuses with 500.
  static bool is_about_item(const MLflowError& error, const Item& item) {
    if (error.is_transient() || error.status() == 401) return false;
    if (item.kind == "artifact" || item.kind == "model") return true;
    return error.status() >= 400 && error.status() <= 500 && error.status() != 403 &&
           error.status() != 404;
  }

  MLflowSpool& spool_;
  MLflowClient& client_;
  std::vector<std::int64_t> again_;  ///< refused before, the first at the back
  std::int64_t unsure_until_ = 0;    ///< items that begin before it may have been sent
  std::map<std::string, std::set<std::string>> known_;  ///< the server's points by key
  std::size_t longest_batch_ = 1000;
  std::size_t taken_ = 0;
  int refused_in_a_row_ = 0;
  bool all_sent_ = false;
  bool just_lost_ = false;  ///< the server has accepted nothing since it lost the run
};

}  // namespace TSDL_ABI
}  // namespace tsdl
