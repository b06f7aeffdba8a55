// Hints in messages about a state dict that does not match: the recurrent layers that were expected
// and found, and the prefixes with which the names would match.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/io/tensor_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// The shapes of one module's tensors by the rest of their names: `weight_ih_l0`, `bias`.
using ModuleShapes = std::map<std::string, std::vector<Index>, std::less<>>;
/// Modules by name, with the dot: `encoder.rnn.`.
using Modules = std::map<std::string, ModuleShapes, std::less<>>;

/// The length of the module's name in a tensor's name: up to and with the last dot.
inline std::size_t module_end(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? 0 : dot + 1;
}

inline void add_tensor(Modules& modules, const std::string& name, std::vector<Index> shape) {
  const std::size_t end = module_end(name);
  modules[name.substr(0, end)].emplace(name.substr(end), std::move(shape));
}

inline Modules modules_of(const TensorFile& file) {
  Modules modules;
  for (const auto& [name, tensor] : file.tensors()) add_tensor(modules, name, tensor.shape);
  return modules;
}

/// The layer of nn.LSTM's `weight_ih_l1_reverse` and similar names; nothing for another tensor.
inline std::optional<Index> recurrent_layer(std::string_view tail) {
  for (const std::string_view kind :
       {"weight_ih_l", "weight_hh_l", "weight_hr_l", "bias_ih_l", "bias_hh_l"}) {
    if (!tail.starts_with(kind)) continue;
    const char* const end = tail.data() + tail.size();
    Index layer = 0;
    const auto [rest, error] = std::from_chars(tail.data() + kind.size(), end, layer);
    if (error == std::errc::invalid_argument || layer < 0) return std::nullopt;
    if (rest != end && std::string_view(rest, end) != "_reverse") return std::nullopt;
    return std::min<Index>(layer, 999'999);
  }
  return std::nullopt;
}

/// A recurrent module as PyTorch prints it, "LSTM(86, 128, num_layers=2, bidirectional=True)";
/// nothing for another module.
inline std::optional<std::string> recurrent_text(const ModuleShapes& module) {
  const auto shape = [&](std::string_view tail) -> const std::vector<Index>* {
    const auto found = module.find(tail);
    return found != module.end() && found->second.size() == 2 ? &found->second : nullptr;
  };
  const auto *ih = shape("weight_ih_l0"), *hh = shape("weight_hh_l0"), *hr = shape("weight_hr_l0");
  if (!ih || !hh) return std::nullopt;
  const Index hidden = (hr ? *hr : *hh)[1], rows = (*hh)[0];
  const Index gates = hidden > 0 && rows % hidden == 0 ? rows / hidden : 0;
  Index layers = 1;
  for (const auto& tensor : module)
    layers = std::max(layers, recurrent_layer(tensor.first).value_or(0) + 1);
  std::string text = gates == 4 ? "LSTM(" : gates == 3 ? "GRU(" : gates == 1 ? "RNN(" : "layers(";
  text += std::to_string((*ih)[1]) + ", " + std::to_string(hidden);
  if (layers > 1) text += ", num_layers=" + std::to_string(layers);
  if (!module.contains("bias_ih_l0")) text += ", bias=False";
  if (module.contains("weight_ih_l0_reverse")) text += ", bidirectional=True";
  if (hr) text += ", proj_size=" + std::to_string((*hr)[0]);
  return text + ")";
}

/// The recurrent modules, "LSTM(3, 5) at 'lstm.'", up to three of them.
inline std::string recurrent_texts(const Modules& modules) {
  std::string texts;
  Index count = 0;
  for (const auto& [name, module] : modules)
    if (const auto text = recurrent_text(module); text && ++count <= 3)
      texts += (count > 1 ? ", " : "") + *text + " at " + quoted_name(name);
  return texts + (count > 3 ? " and " + std::to_string(count - 3) + " more" : "");
}

/// Whether `found` has the tensors of `wanted`, with their shapes or at all.
inline bool holds(const ModuleShapes& found, const ModuleShapes& wanted, bool with_shapes) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& tensor) {
    const auto same = found.find(tensor.first);
    return same != found.end() && (!with_shapes || same->second == tensor.second);
  });
}

/// The only module of the file that can be `wanted`: by names and shapes or, when none matches and
/// the module is not recurrent, by names. Modules in `taken` are ignored.
inline const std::string* only_match(const ModuleShapes& wanted, const Modules& file,
                                     const std::vector<std::string>& taken) {
  const bool recurrent = recurrent_text(wanted).has_value();
  for (const bool with_shapes : {true, false}) {
    if (!with_shapes && recurrent) break;
    const std::string* match = nullptr;
    Index matches = 0;
    for (const auto& [name, module] : file) {
      if (std::find(taken.begin(), taken.end(), name) != taken.end()) continue;
      if (!holds(module, wanted, with_shapes)) continue;
      match = &name;
      ++matches;
    }
    if (matches > 0) return matches == 1 ? match : nullptr;
  }
  return nullptr;
}

/// Options that would make other module names match, such as "{{\"lstm.\", \"rnn.\"}}", when each
/// module that is not found under its own name can be only one of the file's; else nothing.
inline std::optional<std::string> prefixes_that_fit(const Modules& ours, const Modules& file) {
  std::vector<std::string> taken;
  for (const auto& [name, module] : ours)
    if (const auto same = file.find(name); same != file.end() && holds(same->second, module, false))
      taken.push_back(name);
  std::string text;
  const std::vector<std::string> found = taken;
  for (const auto& [name, module] : ours) {
    if (std::find(found.begin(), found.end(), name) != found.end()) continue;
    const std::string* const match = only_match(module, file, taken);
    if (!match) return std::nullopt;
    taken.push_back(*match);
    text += (text.empty() ? "{\"" : ", {\"") + name + "\", \"" + printable(*match) + "\"}";
  }
  if (text.empty()) return std::nullopt;
  return "{" + text + "}";
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
