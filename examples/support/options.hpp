// The options of a training program, as plain data. A program's own defaults are a preset of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tsdl/core/types.hpp"

namespace examples {

/// Which data, what is asked of it, and what becomes of it. Each member is an option.
struct DataOptions {
  std::string file{}, test_file{}, features{}, label{}, label_column{}, task{}, loss{};
  std::vector<std::string> feature_columns{}, targets{};
  std::vector<double> quantiles{};
  std::optional<tsdl::Index> horizon{}, ahead{};
  tsdl::Index label_offset = 0, seq_len = 0, stride = 1;
  tsdl::Index folds = 0;  ///< of a cross-validation on whole series; 0: none
  double clip_features = 0, validation = 0, test = 0;
  bool refuse_missing_targets = false;
  std::string pooling{};
  std::vector<std::string> given{};  ///< the options that were given, not left at their defaults

  /// Whether the file is a table of one's own columns.
  bool uses_table() const { return !feature_columns.empty() || !label_column.empty(); }
  bool numbers() const { return !targets.empty(); }
  /// Whether the file holds whole series, one a sample.
  bool uses_cases() const {
    std::string end = file.size() < 3 ? std::string() : file.substr(file.size() - 3);
    for (char& c : end) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return end == ".ts";
  }
  bool is_given(const char* name) const {
    return std::find(given.begin(), given.end(), name) != given.end();
  }
};

struct TrackingOptions {
  std::string target{};  ///< a folder or an address; empty: no tracking
  std::string experiment = "Default", run_name{}, model_name{};
};

/// Every option of a training program.
struct TrainOptions {
  DataOptions data{};
  tsdl::Index synthetic = 0;  ///< windows of candles that are made; 0: the file's candles
  bool refuse_gaps = false;

  std::string model = "lstm", init = "pytorch";
  tsdl::Index hidden = 64, layers = 2;
  tsdl::Index heads = 4, feed_forward = 128;  ///< these and the next four: of a transformer
  std::string activation = "relu";
  bool causal = false, norm_first = false, final_norm = false;
  double dropout = 0.2;                         ///< between layers
  std::optional<double> head_dropout{};         ///< before the linear layer; without: as dropout
  std::optional<tsdl::Index> attention_size{};  ///< of attention pooling; without: the library's
  double attention_dropout = 0;
  bool input_projection = false;
  std::vector<std::string> ensemble{};      ///< kinds that are trained in place of `model`
  std::string ensemble_weights = "fitted";  ///< on the validation windows, or "equal"
  bool calibrate = false;                   ///< a temperature is fitted after training
  bool is_transformer() const noexcept { return model == "transformer"; }
  /// The kinds that are trained.
  std::vector<std::string> kinds() const {
    return ensemble.empty() ? std::vector<std::string>{model} : ensemble;
  }

  tsdl::Index max_epochs = 100, batch_size = 32;
  std::string optimizer = "adamw";
  double lr = 1e-3, clip_norm = 1;
  std::optional<double> weight_decay{};  ///< without: 0.01 of adamw
  std::string class_weights = "none";
  tsdl::Index patience = 10;           ///< of early stopping; 0: none
  tsdl::Index reduce_lr_patience = 5;  ///< of halving the learning rate; 0: never
  bool shuffle = false, shuffle_batches = false;
  std::uint64_t seed = 1;
  std::string seeds{};      ///< several, as in 1..5; empty: the one above
  tsdl::Index workers = 0;  ///< models that are trained at a time; 0: as many as there are cores
  tsdl::Index shards = 1;   ///< parts of a batch whose gradients are made one by one
  tsdl::Index threads = 0;  ///< 0: all cores
  std::string device = "cpu";

  std::string out = "out";
  bool resume = false;
  bool explain = false;           ///< a section of the report: what the outputs hang on
  std::string details = "short";  ///< what is printed: short or full
  std::string log_format = "text", log_level = "info";
  TrackingOptions tracking{};
};

}  // namespace examples
