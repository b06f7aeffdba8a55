// Options of a Network's head: the pooling and the linear layer above its encoder.
#pragma once

#include <optional>
#include <string>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/pooling.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of the pooling and the linear layer above an encoder.
struct HeadOptions {
  Index outputs = 1;                ///< K
  Pooling pooling = Pooling::last;  ///< unused by a network with your own pooling
  double head_dropout = 0.0;        ///< before the linear layer, in training only
  Init init = Init::pytorch;
  std::optional<Index> attention_size{};  ///< of Pooling::attention; without: E / 2, rounded up
  double attention_dropout = 0.0;         ///< of Pooling::attention: before tanh, in training only

  /// The options of Pooling::attention.
  AttentionOptions attention() const noexcept {
    return {.size = attention_size, .dropout = attention_dropout, .init = init};
  }

  /// Throws: OptionError when an option is out of range, or belongs to another pooling.
  void check() const {
    if (pooling == Pooling::attention)
      attention().check();
    else if (attention_size || !is_zero(attention_dropout))
      throw OptionError("Network: ", attention_size ? "attention_size" : "attention_dropout",
                        " needs pooling attention, and this is ", to_string(pooling));
    if (!(is_finite(head_dropout) && head_dropout >= 0.0 && head_dropout < 1.0))
      throw OptionError("Network: head_dropout must be at least 0 and below 1, not ", head_dropout);
  }

  void describe(Config& config) const {
    config.options["outputs"] = outputs;
    config.options["head_dropout"] = head_dropout;
    config.options["init"] = to_string(init);
  }
  /// Throws: OptionError when an option is missing or its value is unknown.
  static HeadOptions from(const Config& config) {
    return {.outputs = config.index("outputs"),
            .head_dropout = config.number("head_dropout", 0.0),  // absent from the oldest files
            .init = init_from(config.text("init"))};
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
