// Networks against PyTorch: outputs, losses, every gradient, ten steps of AdamW.
//
// tests/goldens/torch_cases.py wrote the cases. A small set is committed; TSDL_TORCH_CASES names a
// directory of more.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "support/loss.hpp"
#include "support/network.hpp"
#include "support/torch_case.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/optim/adamw.hpp"
#include "tsdl/optim/clip.hpp"

namespace {

using test::Index;

using test::Case, test::Worst, test::output_tolerance, test::gradient_tolerance;
using test::loss_of, test::options_of;

template <class Cell>
void run_layers(Case<typename Cell::Scalar>& c) {
  using Scalar = typename Cell::Scalar;
  constexpr bool has_c = Cell::cell_vectors > 0;
  const Index L = c.number("L"), D = c.number("D"), I = c.number("I"), H = c.number("H"),
              T = c.number("T"), B = c.number("B");
  tsdl::RecurrentStack<Cell> stack(
      {.input_size = I, .hidden_size = H, .num_layers = L, .bidirectional = D == 2}, 0,
      std::string(Cell::prefix) + ".");
  c.load(stack);
  const auto optional = [&](const char* name) {
    return has_c ? c.tensor(name) : std::vector<Scalar>();
  };
  const auto x = c.tensor("x"), h0 = c.tensor("h0"), c0 = optional("c0"), dy = c.tensor("dy"),
             dh_n = c.tensor("dh_n"), dc_n = optional("dc_n");
  std::vector<Scalar> h_n(h0.size()), c_n(c0.size()), dh0(h0.size()), dc0(c0.size()), dx(x.size());

  tsdl::StackCache<Scalar> cache;
  tsdl::ForwardOptions<Scalar> forward;
  forward.training = forward.want_h_n = true;
  forward.h0 = h0.data();
  if (has_c) forward.c0 = c0.data();
  stack.forward(test::dense(x, I, T, B), cache, forward);
  stack.final_state(cache, h_n.data(), has_c ? c_n.data() : nullptr);
  c.compare_output("out.y", test::outputs(stack, cache), output_tolerance<Scalar>);
  c.compare_output("out.h_n", h_n, output_tolerance<Scalar>);
  if (has_c) c.compare_output("out.c_n", c_n, output_tolerance<Scalar>);

  tsdl::BackwardOptions<Scalar> backward;
  backward.dy = test::dense(dy, D * H, T, B);
  backward.dh_n = dh_n.data();
  backward.dx = test::dense(dx, I, T, B);
  backward.dh0 = dh0.data();
  if (has_c) {
    backward.dc_n = dc_n.data();
    backward.dc0 = dc0.data();
  }
  stack.backward(test::dense(x, I, T, B), cache, backward);
  c.compare_parameter_gradients(stack, gradient_tolerance<Scalar>);
  c.compare_gradient("grad.x", dx, gradient_tolerance<Scalar>);
  c.compare_gradient("grad.h0", dh0, gradient_tolerance<Scalar>);
  if (has_c) c.compare_gradient("grad.c0", dc0, gradient_tolerance<Scalar>);
  c.finish();
}

template <class Model, class Scalar>
void run_classifier(Case<Scalar>& c) {
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B"), K = c.number("K"),
              stride = c.number("stride");
  Model model(options_of(c));
  c.load(model);
  const auto x = c.tensor("x");
  const auto labels = c.template tensor<double>("labels");
  const auto view =
      stride == 0 ? test::dense(x, I, T, B) : test::windows(x.data(), I, T, B, stride);
  std::vector<Scalar> dlogits(static_cast<std::size_t>(B * K)),
      dx(static_cast<std::size_t>(T * B * I));
  typename Model::Cache cache;
  const auto logits = model.forward(view, cache, {.training = true});
  c.compare_output("out.logits", std::span<const Scalar>(logits.data(), dlogits.size()),
                   output_tolerance<Scalar>);
  const tsdl::Task task = tsdl::task_of(loss_of(c), K);
  task.check_targets(labels, 1, B);
  const double value = test::mean_loss(task, logits, labels, dlogits.data());
  c.compare_output("out.loss", std::vector<double>{value}, output_tolerance<Scalar>);
  model.backward(view, cache, dlogits.data(), test::dense(dx, I, T, B));
  c.compare_parameter_gradients(model, gradient_tolerance<Scalar>);
  c.compare_gradient("grad.x", dx, gradient_tolerance<Scalar>);
  c.finish();
}

template <class Model>
void run_training(Case<double>& c) {
  constexpr double tolerance = 1e-10;
  const Index I = c.number("I"), T = c.number("T"), B = c.number("B"), K = c.number("K"),
              steps = c.number("steps");
  Model model(options_of(c));
  c.load(model);
  tsdl::AdamW options{.beta1 = c.real("beta1"),
                      .beta2 = c.real("beta2"),
                      .eps = c.real("eps"),
                      .weight_decay = c.real("weight_decay")};
  if (c.number("decay_biases") == 0) options.groups = {{.name = "bias", .weight_decay = 0.0}};
  tsdl::Optimizer optimizer(model, options);
  const auto x = c.tensor("x"), labels = c.tensor("labels"), rates = c.tensor("lr");
  const tsdl::Task task = tsdl::task_of(loss_of(c), K);
  std::vector<double> dlogits(static_cast<std::size_t>(B * K)), losses, norms;
  typename Model::Cache cache;
  for (Index step = 0; step < steps; ++step) {
    const auto view = tsdl::Sequence<const double>::dense(x.data() + step * T * B * I, I, T, B);
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
  model.visit([&](const tsdl::Parameter<double>& parameter) {
    c.compare_output("final." + parameter.name, parameter.value, tolerance);
  });
  c.finish();
}

template <class Cell, Index Directions>
void run_model(Case<typename Cell::Scalar>& c) {
  using Model = tsdl::RecurrentNetwork<Cell, Directions>;
  if (c.text("kind") == "classifier") {
    run_classifier<Model>(c);
  } else {
    REQUIRE(c.text("kind") == "training");
    if constexpr (std::is_same_v<typename Cell::Scalar, double>) run_training<Model>(c);
  }
}

template <class Cell>
void run_file(const std::filesystem::path& path, Worst& worst) {
  Case<typename Cell::Scalar> c(path, worst);
  REQUIRE(c.text("cell") == Cell::prefix);
  if (c.text("kind") == "layers")
    run_layers<Cell>(c);
  else if (c.number("D") == 2)
    run_model<Cell, 2>(c);
  else
    run_model<Cell, 1>(c);
}

/// Runs the cases of one kind and cell in a directory; returns how many there were.
template <class Cell>
int run_directory(const std::filesystem::path& directory, const std::string& kind, Worst& worst) {
  REQUIRE_MESSAGE(std::filesystem::is_directory(directory), directory.string());
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().starts_with(kind + "_" + Cell::prefix + "_") &&
        entry.path().extension() == ".safetensors")
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) run_file<Cell>(path, worst);
  return static_cast<int>(paths.size());
}

template <class Cell>
void run_kind(const std::string& kind) {
  Worst worst;
  int cases = run_directory<Cell>(std::filesystem::path(TSDL_SOURCE_DIR) / "tests/goldens/torch",
                                  kind, worst);
  CHECK(cases >= 2);
  if (const char* more = std::getenv("TSDL_TORCH_CASES")) {
    const int found = run_directory<Cell>(more, kind, worst);
    CHECK(found >= 1);
    cases += found;
  }
  // Under last-step pooling the top reverse direction runs one step from a state of zero.
  if (kind == "classifier") CHECK(worst.zero_tensors >= 1);
  const std::string scalar = std::is_same_v<typename Cell::Scalar, float> ? "float" : "double";
  MESSAGE(std::string(Cell::name), " ", kind, ", ", scalar, ": ", cases, " cases, largest error ",
          worst.ratio, " of its tolerance, in ", worst.where);
}

}  // namespace

TEST_CASE_TEMPLATE("PyTorch agreement: a stack's outputs, states and every gradient", Cell,
                   tsdl::LSTMCell<double>, tsdl::LSTMCell<float>, tsdl::GRUCell<double>,
                   tsdl::GRUCell<float>) {
  run_kind<Cell>("layers");
}

TEST_CASE_TEMPLATE("PyTorch agreement: classifier logits, loss and every gradient", Cell,
                   tsdl::LSTMCell<double>, tsdl::LSTMCell<float>, tsdl::GRUCell<double>,
                   tsdl::GRUCell<float>) {
  run_kind<Cell>("classifier");
}

TEST_CASE_TEMPLATE("PyTorch agreement: ten AdamW steps with clipping and a changing rate", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  run_kind<Cell>("training");
}
