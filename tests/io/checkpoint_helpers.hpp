// What tests of model files share: a small trained-looking model with its recipe, and altered
// files.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "data/helpers.hpp"
#include "support/training.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/io/checkpoint.hpp"

namespace test {

using BiLSTM = tsdl::BiLSTMClassifier<float>;

inline tsdl::Prepared<float> small_data(tsdl::Label label = tsdl::RangeLabel{}) {
  return tsdl::prepare<float>(random_candles(260, 3), {.length = 8, .label = label});
}

inline tsdl::ClassifierOptions small_options() {
  return {.input_size = 5, .hidden_size = 4, .num_layers = 2, .dropout = 0.25};
}

/// Writes `path` again with what `edit` makes of its tensors and metadata, and the checksum of
/// that.
inline void edit_file(const std::filesystem::path& path,
                      const std::function<void(std::map<std::string, tsdl::Tensor>&,
                                               std::map<std::string, std::string>&)>& edit) {
  tsdl::TensorFile file = tsdl::read_safetensors(path);
  auto tensors = file.tensors();
  edit(tensors, file.metadata);
  tsdl::TensorFile edited(path.string());
  edited.metadata = file.metadata;
  for (auto& [name, tensor] : tensors) edited.add(name, tensor);
  if (file.metadata.contains(tsdl::internal::checksum_key))
    edited.metadata[tsdl::internal::checksum_key] = tsdl::internal::checksum(edited);
  tsdl::write_safetensors(path, edited);
}

/// A tensor of zeros.
inline tsdl::Tensor zeros(std::vector<Index> shape, tsdl::DType dtype = tsdl::DType::f32) {
  const Index bytes = *tsdl::internal::tensor_bytes(shape, dtype);
  return {dtype, std::move(shape), std::vector<std::byte>(static_cast<std::size_t>(bytes))};
}

}  // namespace test
