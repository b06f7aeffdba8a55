// Options of a Transformer encoder, and of a network with one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/nn/head_options.hpp"
#include "tsdl/nn/init.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The function between the two linear maps of a feed-forward block.
enum class FeedForwardActivation { relu, gelu };

inline std::string to_string(FeedForwardActivation activation) {
  return activation == FeedForwardActivation::gelu ? "gelu" : "relu";
}

/// Throws: OptionError when the name is not relu or gelu.
inline FeedForwardActivation activation_from(std::string_view name) {
  for (const FeedForwardActivation activation :
       {FeedForwardActivation::relu, FeedForwardActivation::gelu})
    if (name == to_string(activation)) return activation;
  throw OptionError("activation: expected relu or gelu, got '", name, "'");
}

/// Options of a network whose encoder is a Transformer.
struct TransformerOptions {
  Index input_size = 0;      ///< I
  Index hidden_size = 64;    ///< d
  Index heads = 4;           ///< H, of d / H values each
  Index feed_forward = 128;  ///< F
  Index num_layers = 2;      ///< L
  double dropout = 0.0;      ///< as torch.nn.TransformerEncoderLayer's, in training only
  FeedForwardActivation activation = FeedForwardActivation::relu;
  bool norm_first = false;  ///< layer norms before attention and feed-forward, not after
  /// Step t attends to steps 0 ... t. A step that is not finite spoils its whole window in forward,
  /// and only later ones in a TransformerStream.
  bool causal = false;
  /// A layer norm after the last layer, torch.nn.TransformerEncoder's `norm`. PyTorch has none
  /// unless asked, also where norm_first leaves the last layer's output without one.
  bool final_norm = false;
  double head_dropout = 0.0;  ///< before the linear layer, in training only
  Pooling pooling = Pooling::last;
  Index outputs = 1;  ///< K
  Init init = Init::pytorch;
  std::optional<Index> attention_size{};  ///< of pooling attention; without: half of d
  double attention_dropout = 0.0;         ///< of pooling attention: before tanh, in training only

  static constexpr Index max_size = 100'000;  ///< so that no product of sizes overflows
  static constexpr Index max_layers = 1'000;

  HeadOptions head() const noexcept {
    return {.outputs = outputs,
            .pooling = pooling,
            .head_dropout = head_dropout,
            .init = init,
            .attention_size = attention_size,
            .attention_dropout = attention_dropout};
  }

  /// Throws: ShapeError when a size is out of range; OptionError when the heads do not divide
  /// hidden_size, or dropout is outside [0, 1).
  void check() const {
    const auto check_size = [](const char* what, Index value, Index most) {
      if (value < 1 || value > most)
        throw ShapeError("Transformer: ", what, " must be 1 to ", most, ", not ", value);
    };
    check_size("input_size", input_size, max_size);
    check_size("hidden_size", hidden_size, max_size);
    check_size("heads", heads, max_size);
    check_size("feed_forward", feed_forward, max_size);
    check_size("num_layers", num_layers, max_layers);
    if (hidden_size % heads != 0)
      throw OptionError("Transformer: heads must divide hidden_size; ", heads,
                        " heads do not divide ", hidden_size);
    if (!(is_finite(dropout) && dropout >= 0.0 && dropout < 1.0))
      throw OptionError("Transformer: dropout must be at least 0 and below 1, not ", dropout);
  }

  /// Adds the encoder's options, without those of the head.
  void describe(Config& config) const {
    config.options["input_size"] = input_size;
    config.options["hidden_size"] = hidden_size;
    config.options["heads"] = heads;
    config.options["feed_forward"] = feed_forward;
    config.options["num_layers"] = num_layers;
    config.options["dropout"] = dropout;
    config.options["activation"] = to_string(activation);
    config.options["norm_first"] = norm_first;
    config.options["causal"] = causal;
    config.options["final_norm"] = final_norm;
  }
  /// The encoder's options, and init. Throws: OptionError when an option is missing or unknown.
  static TransformerOptions from(const Config& config) {
    return {.input_size = config.index("input_size"),
            .hidden_size = config.index("hidden_size"),
            .heads = config.index("heads"),
            .feed_forward = config.index("feed_forward"),
            .num_layers = config.index("num_layers"),
            .dropout = config.number("dropout"),
            .activation = activation_from(config.text("activation")),
            .norm_first = config.flag("norm_first"),
            .causal = config.flag("causal"),
            .final_norm = config.flag("final_norm"),
            .init = init_from(config.text("init"))};
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
