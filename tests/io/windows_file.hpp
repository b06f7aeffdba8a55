// What PyTorch computed of windows, as tests/goldens/state_dict.py writes it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "support/network.hpp"
#include "tsdl/io/safetensors.hpp"

namespace test {

/// Windows N x T x I as a view.
template <class Scalar>
tsdl::Sequence<const Scalar> windows_of(const std::vector<Scalar>& x, Index I, Index T, Index N) {
  return {x.data(), I, T, N, I, T * I};
}

template <class Model, class Scalar>
std::vector<Scalar> logits(const Model& model, const tsdl::Sequence<const Scalar>& x) {
  typename Model::Cache cache;
  const auto values = model.forward(x, cache);
  return {values.data(), values.data() + values.size()};
}

/// A windows.safetensors.
class WindowsFile {
 public:
  explicit WindowsFile(const std::filesystem::path& directory)
      : file_(tsdl::read_safetensors(directory / "windows.safetensors")) {}

  const std::string& text(const char* name) const { return file_.metadata_at(name); }
  const std::string& cell() const { return text("cell"); }
  Index size(const char* name) const { return std::stoll(text(name)); }
  template <class Scalar>
  std::vector<Scalar> tensor(const std::string& name) {
    const std::vector<Index> shape = file_.tensors().at(name).shape;
    std::vector<Scalar> values(static_cast<std::size_t>(*tsdl::internal::checked_product(shape)));
    file_.copy_to(name, std::span<const Index>(shape), std::span<Scalar>(values));
    return values;
  }
  /// |e| <= tolerance * max(1, max|ref|), of values that differ among themselves.
  template <class Scalar>
  void compare(const std::string& name, const std::vector<Scalar>& values,
               double tolerance = 2e-6) {
    const auto expected = tensor<double>(name);
    CHECK(largest_difference(values, expected) <= tolerance * std::max(1.0, largest(expected)));
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    CHECK((*high - *low > 0.05 || expected.size() < 4));  // else any weights would do
  }

 private:
  tsdl::TensorFile file_;
};

}  // namespace test
