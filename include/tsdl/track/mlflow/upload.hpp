// Sends a spooled run to an MLflow server, so that in the end the server has each item once.
//
// Sending again is safe after any failure: the run is looked up by its key before it is created;
// parameters, tags, files and the end are set to their values; a metric of the same key, time, step
// and value is the same metric; a model version is looked up by run and source.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/track/mlflow/client.hpp"
#include "tsdl/track/mlflow/spool.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The tag by which a run is looked up.
inline constexpr const char* run_key_tag = "tsdl.run_key";

/// Sends one spool through one client, one request at a time. An item that the server refuses is
/// noted in the spool and skipped; a later upload tries it again.
class MLflowUpload {
 public:
  using Json = nlohmann::json;

  MLflowUpload(MLflowSpool& spool, MLflowClient& client) : spool_(spool), client_(client) {
    for (const auto& [item, why] : spool.progress().refused) again_.push_back(item);
  }

  /// Sends the next items. Returns false when there is nothing to send. Throws: MLflowError,
  /// transient or not, when no item can be sent; the next call tries the same step again. Error
  /// when the spool cannot be read.
  bool step() {
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

  void find_run() {
    const SpooledRun& run = spool_.run();
    const std::string experiment = client_.experiment_id(run.experiment);
    const auto found = client_.runs_with_tag(experiment, run_key_tag, run.key);
    if (!found.empty()) return spool_.found_run(found.front());
    const Json tags = Json::array({Json{{"key", run_key_tag}, {"value", run.key}}});
    spool_.found_run(client_.create_run(experiment, run.name, run.start_time, tags));
  }

  /// A server that was slow to create the run may have created it twice.
  void delete_doubles() {
    const MLflowRun& run = spool_.progress().run;
    for (const MLflowRun& found :
         client_.runs_with_tag(run.experiment_id, run_key_tag, spool_.run().key))
      if (found.run_id != run.run_id) client_.delete_run(found.run_id);
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
    try {
      request(one);
      ++taken_;
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
      Json metrics = Json::array(), params = Json::array(), tags = Json::array();
      for (const Item& item : items)
        (item.kind == "metric"  ? metrics
         : item.kind == "param" ? params
                                : tags)
            .push_back(item.body);
      client_.log_batch(run.run_id, metrics, params, tags);
    } else if (first.kind == "artifact") {
      client_.put_artifact(run, body.at("path"), spool_.artifact(body.at("file")));
    } else if (first.kind == "model") {
      client_.register_model(run, body.at("name"), body.at("artifact"));
    } else if (first.kind == "end") {
      client_.end_run(run.run_id, body.at("status"), body.at("end_time"));
    } else {
      throw unreadable(first);
    }
  } catch (const Json::exception&) {
    throw unreadable(items.front());
  }

  MLflowError unreadable(const Item& item) const {
    return {400,
            {},
            false,
            internal::concatenate(spool_.folder().string(), ": items.jsonl: the line at byte ",
                                  item.begin, " cannot be read")};
  }

  /// Whether other items may be accepted. The services for files and for models may each be closed
  /// to a user who may use the rest.
  static bool is_about_item(const MLflowError& error, const Item& item) {
    if (error.is_transient() || error.status() == 401) return false;
    if (item.kind == "artifact" || item.kind == "model") return true;
    return error.status() >= 400 && error.status() < 500 && error.status() != 403 &&
           error.status() != 404;
  }

  MLflowSpool& spool_;
  MLflowClient& client_;
  std::vector<std::int64_t> again_;
  std::size_t longest_batch_ = 1000;
  std::size_t taken_ = 0;
  int refused_in_a_row_ = 0;
  bool all_sent_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
