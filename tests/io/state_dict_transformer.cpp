// State dicts of a torch.nn.TransformerEncoder: those that PyTorch wrote, by
// tests/goldens/state_dict.py, and the names of one alone, which have no prefix.
#include <doctest/doctest.h>

#include "io/windows_file.hpp"
#include "support/files.hpp"
#include "support/network.hpp"
#include "tsdl/io/state_dict.hpp"
#include "tsdl/nn/transformer/encoder.hpp"

namespace {

using Names = std::vector<std::string>;

tsdl::TransformerOptions options_of(const test::WindowsFile& windows) {
  return {.input_size = windows.size("I"),
          .hidden_size = windows.size("H"),
          .heads = windows.size("heads"),
          .feed_forward = windows.size("F"),
          .num_layers = windows.size("L"),
          .activation = tsdl::activation_from(windows.text("activation")),
          .norm_first = windows.size("norm_first") == 1,
          .causal = windows.size("causal") == 1,
          .final_norm = windows.size("final_norm") == 1,
          .outputs = windows.size("K")};
}

/// Columns of all steps, N x T x H as PyTorch's with batch_first.
template <class Scalar>
std::vector<Scalar> columns(const tsdl::TransformerEncoder<Scalar>& encoder,
                            const tsdl::Sequence<const Scalar>& x) {
  typename tsdl::TransformerEncoder<Scalar>::Cache cache;
  const auto encoded = encoder.forward(x, cache);
  std::vector<Scalar> values;
  for (test::Index n = 0; n < x.batch; ++n)
    for (test::Index t = 0; t < x.steps; ++t) {
      const Scalar* column = encoded.segment(t, n, 0);
      values.insert(values.end(), column, column + encoder.output_size());
    }
  return values;
}

}  // namespace

TEST_CASE_TEMPLATE("state dict: what PyTorch wrote of a TransformerEncoder computes the same",
                   Scalar, double, float) {
  constexpr double tolerance = std::is_same_v<Scalar, double> ? 1e-12 : 4e-6;
  for (const std::string name : {"transformer_after", "transformer_first"}) {
    CAPTURE(name);
    const auto directory =
        std::filesystem::path(TSDL_SOURCE_DIR) / "tests/goldens/state_dict" / name;
    test::WindowsFile windows(directory);
    REQUIRE(windows.cell() == "transformer");
    const tsdl::TransformerOptions options = options_of(windows);
    const auto path = directory / "weights.safetensors";
    const auto x = windows.tensor<Scalar>("x");
    const auto view = test::windows_of(x, options.input_size, windows.size("T"), windows.size("N"));

    tsdl::TransformerNetwork<Scalar> model(options, 17);
    const auto keys = tsdl::load_state_dict(
        model, path,
        {.prefixes = {{"input.", "embed."}, {"encoder.", "blocks."}, {"fc.", "head.1."}}});
    CHECK(keys.missing_keys.empty());
    CHECK(keys.unexpected_keys.empty());
    windows.compare("logits", test::logits(model, view), tolerance);

    tsdl::TransformerEncoder<Scalar> encoder(options, 17);
    const auto rest = tsdl::load_state_dict(
        encoder, path,
        {.prefixes = {{"input.", "embed."}, {"encoder.", "blocks."}}, .strict = false});
    CHECK(rest.missing_keys.empty());
    CHECK((rest.unexpected_keys == Names{"head.1.bias", "head.1.weight"}));
    windows.compare("outputs", columns(encoder, view), tolerance);
  }
}

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
