// The options of a training program that say which network is trained.
#pragma once

#include <CLI/CLI.hpp>

#include "names.hpp"
#include "options.hpp"
#include "validators.hpp"

namespace examples {

/// The units of attention pooling where none are given: as the library's.
inline tsdl::Index default_attention_size(const std::string& model, tsdl::Index hidden) {
  const tsdl::Index width = (model.starts_with("bi") ? 2 : 1) * hidden;
  return (width + 1) / 2;
}

namespace internal {

inline void add_model(CLI::App& app, TrainOptions& o) {
  app.add_option("--model,--model-type", o.model,
                 "lstm, gru, or both ways: bilstm, bigru;\n"
                 "or transformer")
      ->check(one_of({"lstm", "gru", "bilstm", "bigru", "transformer"}));
  app.add_option("--ensemble", o.ensemble,
                 "Train one of each of these kinds instead, with\n"
                 "--seeds of each seed, and average what they\n"
                 "predict: lstm,gru,transformer")
      ->delimiter(',')
      ->check(one_of({"lstm", "gru", "bilstm", "bigru", "transformer"}))
      ->type_name("KINDS")
      ->default_str("");
  app.add_option("--ensemble-weights", o.ensemble_weights,
                 "fitted on the validation windows, or equal")
      ->check(one_of({"fitted", "equal"}));
  app.add_option("--hidden,--hidden-dim", o.hidden,
                 "Hidden units per direction; of a transformer,\n"
                 "the values of a step")
      ->check(whole_number(1, 1000000));
  app.add_option("--layers,--num-layers", o.layers, "Stacked layers")->check(whole_number(1, 1000));
  app.add_option("--heads", o.heads, "Of a transformer: attention heads, which divide\n--hidden")
      ->check(whole_number(1, 100000));
  app.add_option("--feed-forward", o.feed_forward,
                 "Of a transformer: units between the two linear\nmaps of a layer")
      ->check(whole_number(1, 100000));
  app.add_option("--activation", o.activation,
                 "Of a transformer's feed-forward layers: relu or\ngelu")
      ->check(one_of({"relu", "gelu"}));
  app.add_flag("--causal", o.causal, "Of a transformer: a row attends to no later row");
  app.add_flag("--norm-first", o.norm_first,
               "Of a transformer: norms before attention and\nfeed-forward layers, not after");
  app.add_flag("--final-norm", o.final_norm, "Of a transformer: a norm after the last layer");
  app.add_option("--dropout", o.dropout, "Dropout between layers")->check(number(share));
  app.add_option("--head-dropout", o.head_dropout,
                 o.head_dropout ? "Dropout before the linear layer"
                                : "Dropout before the linear layer:\n"
                                  "as --dropout unless given")
      ->check(number(share))
      ->default_str(o.head_dropout ? format_exact(*o.head_dropout) : "");
  app.add_option("--pooling", o.data.pooling,
                 "What the linear layer reads: last, final, mean;\n"
                 "attention, last and a sum over the rows by\n"
                 "learnt weights; or each, a target for every row\n"
                 "of a window: of lstm, gru and, with --causal, a\n"
                 "transformer")
      ->check(one_of({"last", "final", "mean", "attention", "each"}));
  app.add_option("--attention-size", o.attention_size,
                 "Units of attention pooling: half of what it reads\n"
                 "unless given")
      ->check(whole_number(1, 1000000))
      ->default_str("");
  app.add_option("--attention-dropout", o.attention_dropout,
                 "Dropout of the units of attention pooling")
      ->check(number(share));
  app.add_flag("--input-projection", o.input_projection,
               "The layers read tanh of a linear layer of the\n"
               "input; with attention pooling this is ALSTM");
  app.add_option("--init", o.init, "Initial weights: pytorch or orthogonal")
      ->check(one_of({"pytorch", "orthogonal"}));
}

}  // namespace internal

}  // namespace examples
