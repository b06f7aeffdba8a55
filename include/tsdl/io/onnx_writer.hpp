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

  /// From now on writes a part of the model, by its own configuration: its tensors have `prefix`
  /// before their names, and what is added to the graph has `scope`.
  void enter(Config part, std::string prefix, std::string scope) {
    model_ = std::move(part);
    prefix_ = std::move(prefix);
    graph.set_scope(std::move(scope));
  }

  /// Appends `count` rows of a parameter. Throws: OptionError when the model has no parameter of
  /// this name.
  void append_rows(std::vector<float>& out, const std::string& name, Index first,
                   Index count) const {
    const OnnxTensor& tensor = tensor_of(name);
    const auto from = tensor.values.begin() + first * tensor.cols;
    out.insert(out.end(), from, from + count * tensor.cols);
  }

  /// A parameter of one column as the constant `name`. Throws: as append_rows.
  std::string vector(const std::string& parameter, const std::string& name) {
    const OnnxTensor& tensor = tensor_of(parameter);
    return graph.constant(name, {tensor.rows}, tensor.values);
  }
  /// The weight of a linear layer, [out, in], as the constant [in, out] that MatMul reads. Throws:
  /// as append_rows.
  std::string transposed(const std::string& parameter, const std::string& name) {
    const OnnxTensor& tensor = tensor_of(parameter);
    const Index out = tensor.rows, in = tensor.cols;
    std::vector<float> columns;
    for (Index k = 0; k < in; ++k)
      for (Index n = 0; n < out; ++n)
        columns.push_back(tensor.values[static_cast<std::size_t>(n * in + k)]);
    return graph.constant(name, {in, out}, columns);
  }
  /// A linear layer on the last axis of x, by the names of its two parameters without their last
  /// word: "fc." or, packed, "self_attn.in_proj_". Throws: as append_rows.
  std::string linear(const std::string& x, const std::string& prefix, const std::string& name) {
    const std::string product = graph.node(
        "MatMul", {x, transposed(prefix + "weight", name + "_weight")}, name + "_product");
    return graph.node("Add", {product, vector(prefix + "bias", name + "_bias")}, name + "_sum");
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
  const OnnxTensor& tensor_of(const std::string& name) const {
    const auto found = tensors_.find(prefix_ + name);
    if (found == tensors_.end())
      throw OptionError("save_onnx: a model of kind ", model_.kind, " without a tensor ",
                        prefix_ + name);
    return found->second;
  }

  Config model_;
  std::string prefix_;
  std::map<std::string, OnnxTensor> tensors_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
