// Exports of small models, and what holds of every ONNX file.
#pragma once

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "io/onnx_reader.hpp"
#include "support/files.hpp"
#include "support/network.hpp"
#include "tsdl/io/onnx.hpp"

namespace test {

inline tsdl::Recipe small_recipe(Index inputs, double clip = 0) {
  tsdl::Recipe recipe{.length = 6, .class_values = {-1, 1}};
  std::vector<double> mean, variance, scale;
  for (Index i = 0; i < inputs; ++i) {
    recipe.columns.push_back("column " + std::to_string(i));
    mean.push_back(1e9 + static_cast<double>(i) / 3);
    scale.push_back(0.7 + static_cast<double>(i));
    variance.push_back(scale.back() * scale.back());
  }
  const std::vector<Index> count(mean.size(), 100);
  recipe.scaler =
      tsdl::StandardScaler(recipe.columns, mean, variance, scale, count, {.clip = clip});
  return recipe;
}

/// Exports and reads back.
template <class Model>
OnnxFile exported(const Model& model, const tsdl::Recipe& recipe,
                  const tsdl::OnnxOptions& options = {}) {
  const TemporaryDirectory directory;
  tsdl::save_onnx(directory / "model.onnx", model, recipe, options);
  CHECK(directory.count() == 1);
  return test::read_onnx(directory / "model.onnx");
}

template <class Model>
const tsdl::Parameter<typename Model::Scalar>& parameter(const Model& model,
                                                         const std::string& name) {
  const tsdl::Parameter<typename Model::Scalar>* found = nullptr;
  model.visit([&](const auto& one) {
    if (one.name == name) found = &one;
  });
  REQUIRE(found);
  return *found;
}

/// Whether each node reads only what is there before it, and no name is given twice.
inline void check_order(const OnnxFile& file) {
  std::set<std::string> known{""}, names;
  for (const auto& port : file.inputs) known.insert(port.name);
  for (const auto& [name, constant] : file.constants) CHECK(known.insert(name).second);
  for (const auto& node : file.nodes) {
    INFO(node.name);
    CHECK(names.insert(node.name).second);
    for (const std::string& input : node.inputs) CHECK(known.contains(input));
    for (const std::string& output : node.outputs)
      if (!output.empty()) CHECK(known.insert(output).second);
  }
  for (const auto& port : file.outputs) CHECK(known.contains(port.name));
}

}  // namespace test
