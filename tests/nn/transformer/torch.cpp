// The Transformer against PyTorch: columns, outputs, losses, every gradient, ten steps of AdamW.
//
// tests/goldens/torch_transformer.py wrote the cases. A small set is committed; TSDL_TORCH_CASES
// names a directory of more, whose files begin with "transformer_".
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "support/loss.hpp"
#include "support/network.hpp"
#include "support/torch_case.hpp"
#include "support/torch_transformer.hpp"
#include "tsdl/nn/transformer/encoder.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/optim/clip.hpp"

namespace {

using test::Case, test::Index, test::Worst;

template <class Scalar>
constexpr double output_tolerance = test::output_tolerance<Scalar>;
/// Of the largest gradient.
template <class Scalar>
constexpr double gradient_tolerance = std::is_same_v<Scalar, float> ? 1e-5 : 1e-11;

/// Whether a random case bounds float's errors. Layer norms of few values amplify roundings without
/// bound, in PyTorch's own float too, and a rounding may turn a relu off.
template <class Scalar>
bool is_conditioned(const Case<Scalar>& c) {
  return std::is_same_v<Scalar, double> || (c.number("d") >= 8 && c.text("activation") == "gelu");
}

template <class Scalar>
std::vector<Index> lengths_of(Case<Scalar>& c) {
  std::vector<Index> lengths;
  if (c.number("lengths") != 0)
    for (const double value : c.template tensor<double>("lengths"))
      lengths.push_back(static_cast<Index>(value));
  return lengths;
}

template <class Scalar>
void run_columns(Case<Scalar>& c) {
  const Index I = c.number("I"), d = c.number("d"), T = c.number("T"), B = c.number("B");
  tsdl::TransformerEncoder<Scalar> encoder(test::transformer_options(c));
  c.load(encoder);
  const auto x = c.tensor("x"), dy = c.tensor("dy");
  const std::vector<Index> lengths = lengths_of(c);
  std::vector<Scalar> dx(x.size(), Scalar{7}), y;
  typename tsdl::TransformerEncoder<Scalar>::Cache cache;
  const auto encoded = encoder.forward(test::dense(x, I, T, B), cache,
                                       {.pass = {.training = true}, .lengths = lengths});
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b)
      y.insert(y.end(), encoded.segment(t, b, 0), encoded.segment(t, b, 0) + d);
  c.compare_output("out.y", y, output_tolerance<Scalar>);
  encoder.backward(test::dense(x, I, T, B), cache, {test::dense(dy, d, T, B), tsdl::Steps::all},
                   test::dense(dx, I, T, B));
  c.compare_parameter_gradients(encoder, gradient_tolerance<Scalar>);
  c.compare_gradient("grad.x", dx, gradient_tolerance<Scalar>);
  c.finish();
}

template <class Scalar>
void run_classifier(Case<Scalar>& c) {
  using Model = tsdl::TransformerNetwork<Scalar>;
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B"), K = c.number("K");
  Model model(test::transformer_options(c));
  c.load(model);
  const auto x = c.tensor("x");
  const auto labels = c.template tensor<double>("labels");
  const std::vector<Index> lengths = lengths_of(c);
  tsdl::Batch<Scalar> batch(test::dense(x, I, T, B));
  batch.lengths = lengths;
  std::vector<Scalar> dlogits(static_cast<std::size_t>(B * K)), dx(x.size(), Scalar{7});
  typename Model::Cache cache;
  const auto logits = model.forward(batch, cache, {.training = true});
  c.compare_output("out.logits", std::span<const Scalar>(logits.data(), dlogits.size()),
                   output_tolerance<Scalar>);
  const tsdl::Task task = tsdl::task_of(test::loss_of(c), K);
  const double value = test::mean_loss(task, logits, labels, dlogits.data());
  c.compare_output("out.loss", std::vector<double>{value}, output_tolerance<Scalar>);
  model.backward(batch, cache, dlogits.data(), test::dense(dx, I, T, B));
  c.compare_parameter_gradients(model, gradient_tolerance<Scalar>);
  c.compare_gradient("grad.x", dx, gradient_tolerance<Scalar>);
  c.finish();
}

template <class Scalar>
void run_training(Case<Scalar>& c) {
  using Model = tsdl::TransformerNetwork<Scalar>;
  constexpr double tolerance = 1e-9;
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B"), K = c.number("K"),
              steps = c.number("steps");
  Model model(test::transformer_options(c));
  c.load(model);
  tsdl::AdamW options{.beta1 = c.real("beta1"),
                      .beta2 = c.real("beta2"),
                      .eps = c.real("eps"),
                      .weight_decay = c.real("weight_decay")};
  if (c.number("decay_biases") == 0) options.groups = {{.name = "bias", .weight_decay = 0.0}};
  tsdl::Optimizer optimizer(model, options);
  const auto x = c.tensor("x"), labels = c.tensor("labels"), rates = c.tensor("lr");
  const tsdl::Task task = tsdl::task_of(test::loss_of(c), K);
  std::vector<Scalar> dlogits(static_cast<std::size_t>(B * K));
  std::vector<double> losses, norms;
  typename Model::Cache cache;
  for (Index step = 0; step < steps; ++step) {
    const auto view = tsdl::Sequence<const Scalar>::dense(x.data() + step * T * B * I, I, T, B);
    const std::vector<double> y(labels.begin() + step * B, labels.begin() + (step + 1) * B);
    model.zero_gradients();
    const auto logits = model.forward(view, cache, {.training = true});
    losses.push_back(test::mean_loss(task, logits, y, dlogits.data()));
    model.backward(view, cache, dlogits.data());
    norms.push_back(tsdl::gradient_norm(model));
    optimizer.step(model, rates[static_cast<std::size_t>(step)],
                   tsdl::clip_coefficient(norms.back(), c.real("max_norm")));
  }
  c.compare_output("out.loss", losses, tolerance);
  c.compare_output("out.norm", norms, tolerance);
  model.visit([&](const tsdl::Parameter<Scalar>& parameter) {
    c.compare_output("final." + parameter.name, parameter.value, tolerance);
  });
  c.finish();
}

/// Runs the cases of one kind in a directory; returns how many ran.
template <class Scalar>
int run_directory(const std::filesystem::path& directory, const std::string& prefix, Worst& worst) {
  REQUIRE_MESSAGE(std::filesystem::is_directory(directory), directory.string());
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().starts_with(prefix) &&
        entry.path().extension() == ".safetensors")
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  int cases = 0;
  for (const auto& path : paths) {
    Case<Scalar> c(path, worst);
    if (prefix.starts_with("transformer_") && !is_conditioned(c)) continue;
    ++cases;
    if (c.text("kind") == "columns")
      run_columns(c);
    else if (c.text("kind") == "classifier")
      run_classifier(c);
    else if constexpr (std::is_same_v<Scalar, double>)
      run_training(c);
  }
  return cases;
}

template <class Scalar>
void run_kind(const std::string& kind) {
  Worst worst;
  int cases = run_directory<Scalar>(
      std::filesystem::path(TSDL_SOURCE_DIR) / "tests/goldens/torch_transformer", kind + "_",
      worst);
  CHECK(cases >= 2);
  if (const char* more = std::getenv("TSDL_TORCH_CASES")) {
    const int found = run_directory<Scalar>(more, "transformer_" + kind + "_", worst);
    CHECK(found >= 1);
    cases += found;
  }
  MESSAGE("Transformer ", kind, ", ",
          std::string(std::is_same_v<Scalar, float> ? "float" : "double"), ": ", cases,
          " cases, largest error ", worst.ratio, " of its tolerance, in ", worst.where);
}

}  // namespace

TEST_CASE_TEMPLATE("Transformer, PyTorch agreement: columns and every gradient", Scalar, double,
                   float) {
  run_kind<Scalar>("columns");
}

TEST_CASE_TEMPLATE("Transformer, PyTorch agreement: logits, loss and every gradient", Scalar,
                   double, float) {
  run_kind<Scalar>("classifier");
}

TEST_CASE("Transformer, PyTorch agreement: ten steps of AdamW") { run_kind<double>("training"); }
