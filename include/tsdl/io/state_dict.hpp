// State dicts: the weights of a model under PyTorch's names, in a safetensors file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/io/state_dict_hints.hpp"
#include "tsdl/io/tensor_file.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How the names in a file correspond to those of a model.
struct StateDictOptions {
  /// Prefixes of our names, and the prefix that the file has in place of each; the longest that
  /// matches a name counts. For a network with an nn.LSTM `encoder.rnn` and an nn.Linear `head.1`:
  ///   {{"lstm.", "encoder.rnn."}, {"fc.", "head.1."}}
  /// For a network in DataParallel {{"", "module."}}. To read a classifier's layers from an nn.LSTM
  /// alone {{"lstm.", ""}}, and a tsdl::LSTM from a network's file {{"", "lstm."}}, both not
  /// strict.
  std::vector<std::pair<std::string, std::string>> prefixes{};
  /// When reading: whether the file must hold all tensors of the model and no others. If not,
  /// tensors that are missing keep their values (biases too, when the file was made with
  /// bias=False).
  bool strict = true;
};

/// The tensors that a non-strict reading did not use, in the file's spelling.
struct IncompatibleKeys {
  std::vector<std::string> missing_keys;     ///< in the model but not in the file
  std::vector<std::string> unexpected_keys;  ///< in the file but not in the model
};

namespace internal {

/// A tensor of a model, under its own name and the file's.
struct WantedTensor {
  std::string name, in_file;
  std::vector<Index> shape;
};

/// The tensors of a model, in its order, under the file's names. Throws: Error when a prefix is
/// given twice or matches no name, or two tensors get one name.
template <class Model>
std::vector<WantedTensor> wanted_tensors(
    const Model& model, const std::vector<std::pair<std::string, std::string>>& prefixes) {
  std::vector<WantedTensor> wanted;
  std::vector<bool> needed(prefixes.size(), false);
  std::set<std::string> taken;
  model.visit([&](const auto& parameter) {
    const std::string& name = parameter.name;
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
      if (!name.starts_with(prefixes[i].first)) continue;
      needed[i] = true;
      if (!best || prefixes[i].first.size() > prefixes[*best].first.size()) best = i;
    }
    std::string in_file = name;
    if (best) in_file.replace(0, prefixes[*best].first.size(), prefixes[*best].second);
    if (!taken.insert(in_file).second)
      throw Error("state dict: prefixes give two tensors the name ", quoted_name(in_file));
    wanted.push_back({name, std::move(in_file), parameter.shape()});
  });
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    const std::string& prefix = prefixes[i].first;
    if (!needed[i])
      throw Error("state dict: prefix ", quoted_name(prefix), ": no tensor's name begins so; ",
                  "the first is ", quoted_name(wanted.empty() ? "" : wanted.front().name));
    for (std::size_t j = 0; j < i; ++j)
      if (prefixes[j].first == prefix)
        throw Error("state dict: prefix ", quoted_name(prefix), ": given twice");
  }
  return wanted;
}

/// Sentences for a message about a file that does not match: each starts with a full stop. May be
/// empty.
inline std::string state_dict_hints(const std::vector<WantedTensor>& wanted,
                                    const TensorFile& file) {
  Modules ours, asked_for;
  for (const WantedTensor& tensor : wanted) {
    add_tensor(ours, tensor.name, tensor.shape);
    add_tensor(asked_for, tensor.in_file, tensor.shape);
  }
  const Modules found = modules_of(file);
  std::string hints;
  const std::string asked_text = recurrent_texts(asked_for), found_text = recurrent_texts(found);
  if (asked_text != found_text && !asked_text.empty())
    hints += ". The model is " + asked_text + ", the file " +
             (found_text.empty() ? "has no recurrent layers" : "holds " + found_text);
  if (const auto text = prefixes_that_fit(ours, found)) hints += ". Would fit: prefixes " + *text;
  return hints;
}

/// The tensors that only the file or only the model has. Throws: FormatError naming every reason to
/// refuse the file.
inline IncompatibleKeys compare(const std::vector<WantedTensor>& wanted, const TensorFile& file,
                                bool strict) {
  IncompatibleKeys keys;
  std::set<std::string> names, recurrent_modules;
  std::string unfit;
  for (const auto& [name, in_file, shape] : wanted) {
    names.insert(in_file);
    const std::size_t end = module_end(in_file);
    if (recurrent_layer(std::string_view(in_file).substr(end)))
      recurrent_modules.insert(in_file.substr(0, end));
    if (!file.contains(in_file))
      keys.missing_keys.push_back(in_file);
    else if (const auto why = file.refusal(in_file, shape))
      unfit += "; " + *why;
  }
  std::vector<std::string> left_out;
  for (const auto& [name, tensor] : file.tensors()) {
    if (names.contains(name)) continue;
    keys.unexpected_keys.push_back(name);
    const std::size_t end = module_end(name);
    if (recurrent_layer(std::string_view(name).substr(end)) &&
        recurrent_modules.contains(name.substr(0, end)))
      left_out.push_back(name);
  }
  std::string text;
  const bool nothing = keys.missing_keys.size() == wanted.size();
  if (!keys.missing_keys.empty() && (strict || nothing))
    text += "; " + tensor_list(keys.missing_keys) + ": missing";
  if (const auto& surplus = strict ? keys.unexpected_keys : left_out; !surplus.empty())
    text += "; " + tensor_list(surplus) + ": not expected";
  text += unfit;
  if (!text.empty())
    throw FormatError(file.path(), ": ", text.substr(2), state_dict_hints(wanted, file));
  return keys;
}

}  // namespace internal

/// Copies a state dict into a model or into layers, tsdl::LSTM or tsdl::GRU; F32 and F64 convert.
/// The model changes completely or not at all. Returns the tensors that were not used: none when
/// strict. Throws: Error when `prefixes` cannot be used; FormatError naming all tensors of a wrong
/// shape or type and, when strict, all that are missing or not expected, or one with a value that
/// is not finite or beyond Scalar's range. Also when not strict: when the file has no tensor of the
/// model, or has layers or a direction that the model lacks. Source:
/// torch.nn.Module.load_state_dict
template <Module M>
IncompatibleKeys load_state_dict(M& model, TensorFile& file, const StateDictOptions& options = {}) {
  using Scalar = typename M::Scalar;
  const auto wanted = internal::wanted_tensors(std::as_const(model), options.prefixes);
  IncompatibleKeys keys = internal::compare(wanted, file, options.strict);
  std::vector<Buffer<Scalar>> values(wanted.size());  // empty: missing
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string& name = wanted[i].in_file;
    if (!file.contains(name)) continue;
    values[i].resize(*internal::checked_product(wanted[i].shape));
    file.copy_to(name, std::span<const Index>(wanted[i].shape), values[i].span());
    for (Index n = 0; n < values[i].size(); ++n)
      if (!is_finite(static_cast<double>(values[i][n])))
        throw FormatError(file.path(), ": tensor ", internal::quoted_name(name), ": value ", n,
                          " is not finite");
  }
  auto next = values.begin();
  update(model, [&](Parameter<Scalar>& parameter) {
    if (!next->empty()) parameter.value.swap(*next);
    ++next;
  });
  return keys;
}

/// The same from a file, for example one that PyTorch wrote.
template <class M>
IncompatibleKeys load_state_dict(M& model, const std::filesystem::path& path,
                                 const StateDictOptions& options = {}) {
  static_assert(Module<M>,
                "load_state_dict: this type does not keep the contract of a module, tsdl::Module "
                "in nn/module.hpp; the compiler's notes name what it lacks");
  if constexpr (Module<M>) {
    TensorFile file = read_safetensors(path);
    return load_state_dict(model, file, options);
  } else {
    return {};
  }
}

/// Writes the weights of a model or of layers, completely or not at all; `prefixes` as in reading.
/// Throws: Error when it cannot be written, or `prefixes` cannot be used.
template <Module M>
void save_state_dict(const std::filesystem::path& path, const M& model,
                     const StateDictOptions& options = {}) {
  using Scalar = typename M::Scalar;
  const auto wanted = internal::wanted_tensors(model, options.prefixes);
  TensorFile file(internal::path_text(path));
  file.metadata["format"] = "pt";
  auto next = wanted.begin();
  model.visit([&](const Parameter<Scalar>& parameter) {
    file.add((next++)->in_file, parameter.shape(), parameter.value.span());
  });
  write_safetensors(path, file);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
