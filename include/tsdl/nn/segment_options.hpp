// Options of a SegmentGRU (nn/segment_gru.hpp), and their form in files.
#pragma once

#include <string>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/core/window_norm.hpp"
#include "tsdl/nn/init.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a SegmentGRU.
struct SegmentOptions {
  Index inputs = 0;                         ///< C: channels, each forecast from its own past
  Index length = 0;                         ///< T: steps of a window
  Index horizon = 0;                        ///< H: steps that are forecast
  Index segment = 24;                       ///< w: steps of a segment; divides T and H
  Index hidden_size = 512;                  ///< d: even
  Index outputs_per_step = 1;               ///< Q: for each channel and step of the forecast
  double dropout = 0.5;                     ///< before the last layer, in training only
  WindowNorm normalise = WindowNorm::last;  ///< of each window and channel
  Init init = Init::pytorch;                ///< embeddings start from N(0, 1) in any case

  Index input_segments() const noexcept { return length / segment; }
  Index output_segments() const noexcept { return horizon / segment; }
  Index outputs() const noexcept { return horizon * inputs * outputs_per_step; }

  /// Throws: ShapeError when a size is out of range, the segment divides length or horizon with a
  /// remainder, or hidden_size is odd; OptionError when dropout is outside [0, 1).
  void check() const {
    constexpr Index most = 1'000'000;  // so that no product of three overflows
    const auto check_size = [&](const char* what, Index value) {
      if (value < 1 || value > most)
        throw ShapeError("SegmentGRU: ", what, " must be 1 to ", most, ", not ", value);
    };
    check_size("inputs", inputs);
    check_size("length", length);
    check_size("horizon", horizon);
    check_size("segment", segment);
    check_size("hidden_size", hidden_size);
    check_size("outputs_per_step", outputs_per_step);
    for (const Index steps : {length, horizon})
      if (steps % segment != 0)
        throw ShapeError("SegmentGRU: segments of ", segment, " steps do not divide the ",
                         steps == length ? "length" : "horizon", " of ", steps);
    if (hidden_size % 2 != 0)
      throw ShapeError("SegmentGRU: hidden_size must be even, for two embeddings of half of it; ",
                       "got ", hidden_size);
    if (!(is_finite(dropout) && dropout >= 0.0 && dropout < 1.0))
      throw OptionError("SegmentGRU: dropout must be at least 0 and below 1, not ", dropout);
  }

  static const char* kind() noexcept { return "segment_gru"; }

  Config describe() const {
    return Config(kind(), {{"inputs", inputs},
                           {"length", length},
                           {"horizon", horizon},
                           {"segment", segment},
                           {"hidden_size", hidden_size},
                           {"outputs_per_step", outputs_per_step},
                           {"dropout", dropout},
                           {"normalise", std::string(to_string(normalise))},
                           {"init", to_string(init)}});
  }

  /// Throws: OptionError when the kind is another, or an option is missing, unknown or not of its
  /// type; what check() throws.
  static SegmentOptions from(const Config& config) {
    if (config.kind != kind())
      throw OptionError("expected a model of kind ", kind(), ", got ", config.kind);
    config.refuse_others({"inputs", "length", "horizon", "segment", "hidden_size",
                          "outputs_per_step", "dropout", "normalise", "init"});
    const SegmentOptions options{.inputs = config.index("inputs"),
                                 .length = config.index("length"),
                                 .horizon = config.index("horizon"),
                                 .segment = config.index("segment"),
                                 .hidden_size = config.index("hidden_size"),
                                 .outputs_per_step = config.index("outputs_per_step"),
                                 .dropout = config.number("dropout"),
                                 .normalise = window_norm_from(config.text("normalise")),
                                 .init = init_from(config.text("init"))};
    options.check();
    return options;
  }

  /// The tensors of a model with these options, in the order of its visit().
  std::vector<TensorShape> tensors() const {
    const Index d = hidden_size, w = segment;
    return {{"embed.weight", {d, w}},
            {"embed.bias", {d}},
            {"gru.weight_ih_l0", {3 * d, d}},
            {"gru.weight_hh_l0", {3 * d, d}},
            {"gru.bias_ih_l0", {3 * d}},
            {"gru.bias_hh_l0", {3 * d}},
            {"position", {output_segments(), d / 2}},
            {"channel", {inputs, d / 2}},
            {"predict.weight", {w * outputs_per_step, d}},
            {"predict.bias", {w * outputs_per_step}}};
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
