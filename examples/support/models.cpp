// The models in float, and what training programs make them by.
#include "models.hpp"

#include "model.hpp"

template tsdl::AnyModel<float> tsdl::make_model<float, tsdl::Models<float>>(const tsdl::Config&,
                                                                            std::uint64_t);

namespace examples {

Model make_model(const TrainOptions& o, const tsdl::Prepared<float>& data, const tsdl::Task& task) {
  if (o.is_transformer())
    return tsdl::TransformerNetwork<float>({.input_size = data.inputs(),
                                            .hidden_size = o.hidden,
                                            .heads = o.heads,
                                            .feed_forward = o.feed_forward,
                                            .num_layers = o.layers,
                                            .dropout = o.dropout,
                                            .activation = tsdl::activation_from(o.activation),
                                            .norm_first = o.norm_first,
                                            .causal = o.causal,
                                            .final_norm = o.final_norm,
                                            .head_dropout = o.head_dropout.value_or(o.dropout),
                                            .pooling = tsdl::pooling_from(o.data.pooling),
                                            .outputs = task->outputs(),
                                            .init = tsdl::init_from(o.init),
                                            .attention_size = o.attention_size,
                                            .attention_dropout = o.attention_dropout},
                                           o.seed);
  return tsdl::make_classifier<float>(o.model,
                                      {.input_size = data.inputs(),
                                       .hidden_size = o.hidden,
                                       .num_layers = o.layers,
                                       .dropout = o.dropout,
                                       .head_dropout = o.head_dropout.value_or(o.dropout),
                                       .pooling = tsdl::pooling_from(o.data.pooling),
                                       .outputs = task->outputs(),
                                       .init = tsdl::init_from(o.init),
                                       .attention_size = o.attention_size,
                                       .attention_dropout = o.attention_dropout,
                                       .input_projection = o.input_projection},
                                      o.seed);
}

}  // namespace examples
