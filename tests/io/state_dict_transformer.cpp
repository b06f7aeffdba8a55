// The weights of a torch.nn.TransformerEncoder alone, whose names have no prefix, into the encoder
// of a network, and back.
#include <doctest/doctest.h>

#include "support/files.hpp"
#include "support/network.hpp"
#include "tsdl/io/state_dict.hpp"
#include "tsdl/nn/transformer/encoder.hpp"

TEST_CASE("state dict: the names of a bare torch.nn.TransformerEncoder") {
  const tsdl::TransformerOptions options{
      .input_size = 3, .hidden_size = 6, .heads = 2, .feed_forward = 5, .final_norm = true};
  tsdl::TransformerEncoder<double> from(options, 1), to(options, 2);
  const test::TemporaryDirectory temporary;
  const tsdl::StateDictOptions bare{.prefixes = {{"encoder.", ""}}, .strict = false};
  const auto path = temporary / "encoder.safetensors";
  tsdl::save_state_dict(path, from, bare);
  CHECK(tsdl::read_safetensors(path).contains("layers.1.self_attn.in_proj_weight"));
  CHECK(tsdl::read_safetensors(path).contains("norm.bias"));
  const auto left = tsdl::load_state_dict(to, path, bare);
  CHECK(left.missing_keys.empty());
  CHECK(left.unexpected_keys.empty());
  std::vector<tsdl::Buffer<double>> values;
  from.visit([&](const tsdl::Parameter<double>& parameter) { values.push_back(parameter.value); });
  auto next = values.begin();
  std::as_const(to).visit([&](const tsdl::Parameter<double>& parameter) {
    CHECK(std::equal(parameter.value.begin(), parameter.value.end(), (next++)->begin()));
  });
}
