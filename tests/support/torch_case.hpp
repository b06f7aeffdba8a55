// A case that PyTorch computed, from a file of tests/goldens/torch_cases.py or torch_lengths.py,
// and the comparison with it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "support/network.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/nn/pooling.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"
#include "tsdl/task/loss.hpp"

namespace test {

/// The largest error seen in units of its tolerance, and where.
struct Worst {
  double ratio = 0.0;
  std::string where = "nothing";
  int zero_tensors = 0;  ///< reference tensors that are identically zero
  void take(double error, double tolerance, const std::string& place) {
    INFO(place, ": error ", error, ", tolerance ", tolerance);
    CHECK(error <= tolerance);
    if (error / tolerance > ratio) {
      ratio = error / tolerance;
      where = place;
    }
  }
};

template <class Scalar>
class Case {
 public:
  Case(const std::filesystem::path& path, Worst& worst)
      : file_(tsdl::read_safetensors(path)), name_(path.stem().string()), worst_(&worst) {}

  const std::string& text(const std::string& key) const { return file_.metadata_at(key); }
  Index number(const std::string& key) const { return std::stoll(text(key)); }
  double real(const std::string& key) const { return std::stod(text(key)); }
  bool is_set(const std::string& key) const { return file_.metadata.contains(key); }
  bool has(const std::string& tensor) const { return file_.contains(tensor); }

  template <class As = Scalar>
  std::vector<As> tensor(const std::string& name) {
    REQUIRE_MESSAGE(file_.contains(name), name_, ": no tensor ", name);
    const std::vector<Index> shape = file_.tensors().at(name).shape;
    std::vector<As> values(static_cast<std::size_t>(*tsdl::internal::checked_product(shape)));
    file_.copy_to<As>(name, shape, values);
    return values;
  }

  template <class Model>
  void load(Model& model) {
    model.visit([&](tsdl::Parameter<Scalar>& parameter) {
      file_.copy_to<Scalar>(parameter.name, parameter.shape(), parameter.value.span());
    });
    model.repack();
  }

  /// Outputs: |e| <= tolerance * max(1, max|ref|).
  template <class Values>
  void compare_output(const std::string& name, const Values& values, double tolerance) {
    const std::vector<double> reference = tensor<double>(name);
    worst_->take(test::largest_difference(values, reference),
                 tolerance * std::max(1.0, test::largest(reference)), name_ + " " + name);
  }

  /// Gradients: |e| <= tolerance * max(max|ref|, 1e-2 max|ref| over all gradients); exactly zero
  /// where the reference is.
  template <class Values>
  void compare_gradient(const std::string& name, const Values& values, double tolerance) {
    if (largest_gradient_ < 0)
      for (const auto& entry : file_.tensors())
        if (entry.first.starts_with("grad."))
          largest_gradient_ =
              std::max(largest_gradient_, test::largest(tensor<double>(entry.first)));
    const std::vector<double> reference = tensor<double>(name);
    const double largest = test::largest(reference);
    worst_->take(test::largest_difference(values, reference),
                 tolerance * std::max(largest, 1e-2 * largest_gradient_), name_ + " " + name);
    if (largest == 0.0) {
      ++worst_->zero_tensors;
      CHECK_MESSAGE(test::largest(values) == 0.0, name_, " ", name, ": must be exactly zero");
    }
  }

  template <class Model>
  void compare_parameter_gradients(const Model& model, double tolerance) {
    model.visit([&](const tsdl::Parameter<Scalar>& parameter) {
      compare_gradient("grad." + parameter.name, parameter.gradient, tolerance);
    });
  }

  /// Every tensor of the file must have been compared or loaded.
  void finish() const { CHECK_NOTHROW(file_.refuse_unused()); }

 private:
  tsdl::TensorFile file_;
  std::string name_;
  Worst* worst_;
  double largest_gradient_ = -1.0;
};

template <class Scalar>
inline constexpr double output_tolerance = std::is_same_v<Scalar, float> ? 2e-6 : 1e-12;
template <class Scalar>
inline constexpr double gradient_tolerance = std::is_same_v<Scalar, float> ? 1e-5 : 1e-12;

template <class Scalar>
tsdl::Loss loss_of(Case<Scalar>& c) {
  if (c.text("loss") == "bce") return tsdl::BCEWithLogits{c.real("pos_weight")};
  if (c.text("loss") == "ce") return tsdl::CrossEntropy{c.template tensor<double>("class_weights")};
  return tsdl::MSE{};
}

template <class Scalar>
tsdl::ClassifierOptions options_of(const Case<Scalar>& c) {
  tsdl::ClassifierOptions options{.input_size = c.number("I"),
                                  .hidden_size = c.number("H"),
                                  .num_layers = c.number("L"),
                                  .pooling = tsdl::pooling_from(c.text("pooling")),
                                  .outputs = c.number("K")};
  if (options.pooling == tsdl::Pooling::attention) options.attention_size = c.number("A");
  options.input_projection = c.is_set("projection") && c.number("projection") == 1;
  return options;
}

}  // namespace test
