// Shared by the parts of an ONNX export: the graph under construction, and the model's
// configuration and tensors by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/io/onnx_graph.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A parameter as float32, row-major.
struct OnnxTensor {
  Index rows = 0, cols = 1;
  std::vector<float> values;
};

class OnnxWriter {
 public:
  OnnxWriter(Config model, std::map<std::string, OnnxTensor> tensors)
      : graph(model.kind), model_(std::move(model)), tensors_(std::move(tensors)) {}

  OnnxGraph graph;

  const Config& model() const noexcept { return model_; }

  /// Appends `count` rows of a parameter. Throws: OptionError when the model has no parameter of
  /// this name.
  void append_rows(std::vector<float>& out, const std::string& name, Index first,
                   Index count) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      throw OptionError("save_onnx: a model of kind ", model_.kind, " without a tensor ", name);
    const OnnxTensor& tensor = found->second;
    const auto from = tensor.values.begin() + first * tensor.cols;
    out.insert(out.end(), from, from + count * tensor.cols);
  }

  /// The weight of a linear layer, [out, in], as the constant [in, out] that MatMul reads.
  std::string transposed(const std::string& layer, Index out, Index in) {
    std::vector<float> rows, columns;
    append_rows(rows, layer + ".weight", 0, out);
    for (Index k = 0; k < in; ++k)
      for (Index n = 0; n < out; ++n) columns.push_back(rows[static_cast<std::size_t>(n * in + k)]);
    return graph.constant(layer + "_weight", {in, out}, columns);
  }
  std::string constant(const std::string& name, const std::vector<Index>& shape,
                       const std::vector<double>& values) {
    return graph.constant(name, shape, values);
  }
  std::string integers(const std::string& name, const std::vector<std::int64_t>& values) {
    return graph.constant(name, {std::ssize(values)}, values);
  }
  std::string integer(const std::string& name, std::int64_t value) {
    return graph.constant(name, {}, std::vector<std::int64_t>{value});
  }
  std::string transpose(const std::string& x, std::vector<std::int64_t> order,
                        const std::string& name) {
    return graph.node("Transpose", {x}, name, {{"perm", std::move(order)}});
  }

 private:
  Config model_;
  std::map<std::string, OnnxTensor> tensors_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
