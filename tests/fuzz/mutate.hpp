// Changes to files: bytes, the JSON in them, and the numbers of tensors, with what must agree with
// them (lengths, checksums) put right, so that the reader gets past its first checks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/io/safetensors.hpp"
#include "tsdl/io/training_state.hpp"

namespace fuzz {

using tsdl::Index;
using Json = nlohmann::json;

/// Numbers that readers are least ready for.
inline constexpr double extreme_numbers[] = {std::numeric_limits<double>::quiet_NaN(),
                                             std::numeric_limits<double>::infinity(),
                                             -std::numeric_limits<double>::infinity(),
                                             std::numeric_limits<double>::max(),
                                             1e300,
                                             -1e300,
                                             3.5e38,
                                             0x1p64,
                                             0x1p63,
                                             -0x1p63,
                                             0x1p62,
                                             0x1p53,
                                             0x1p53 + 2,
                                             0x1p32,
                                             0x1p31,
                                             1e6,
                                             1e6 + 1,
                                             255,
                                             100,
                                             7,
                                             5,
                                             4,
                                             3,
                                             2,
                                             1.7,
                                             1,
                                             0.5,
                                             1e-300,
                                             5e-324,
                                             0,
                                             -0.0,
                                             -1,
                                             -1.7,
                                             -7};
inline constexpr std::uint64_t extreme_integers[] = {0,
                                                     1,
                                                     2,
                                                     3,
                                                     4,
                                                     7,
                                                     99,
                                                     255,
                                                     1'000'000,
                                                     1'000'001,
                                                     std::uint64_t{1} << 31,
                                                     std::uint64_t{1} << 32,
                                                     std::uint64_t{1} << 40,
                                                     std::uint64_t{1} << 53,
                                                     std::uint64_t{1} << 62,
                                                     (std::uint64_t{1} << 63) - 1,
                                                     std::uint64_t{1} << 63,
                                                     ~std::uint64_t{0},
                                                     ~std::uint64_t{0} - 6};

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::uint64_t number) : random_(seed, number) {}

  /// One of 0 ... n - 1.
  std::size_t below(std::size_t n) {
    const auto drawn = static_cast<std::size_t>(random_.uniform() * static_cast<double>(n));
    return std::min(drawn, n - 1);
  }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class List>
  auto& any_of(List& list) {
    return list[below(std::size(list))];
  }

  /// Changes some bytes. `other`: bytes to splice from.
  void bytes(std::string& text, const std::string& other) {
    for (std::size_t times = 1 + below(3); times > 0 && !text.empty(); --times) {
      const std::size_t at = below(text.size());
      switch (below(10)) {
        case 0:
        case 1:
          text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
          break;
        case 2:
          text[at] = any_of("\0\1\7\x7f\x80\xff");
          break;
        case 3:
        case 4:
          overwrite(text, at / 8 * 8, any_of(extreme_integers));
          break;
        case 5:
          overwrite(text, at / 8 * 8, std::bit_cast<std::uint64_t>(any_of(extreme_numbers)));
          break;
        case 6:
          overwrite(text, at, any_of(extreme_integers));
          break;
        case 7:
          text.resize(one_in(2) ? at : text.size() + below(20));
          break;
        case 8:
          text.insert(at, text.substr(below(text.size()), below(40)));
          break;
        default: {
          const std::size_t from = below(other.size());
          const std::string part = other.substr(from, below(64));
          text.replace(one_in(2) ? at : std::min(from, text.size()), part.size(), part);
        }
      }
    }
  }

  /// Changes a safetensors file's header, whose length then is put right.
  void header(std::string& file) {
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof(length));
    std::string text = file.substr(8, length);
    const std::string data = file.substr(8 + length);
    json_text(text);
    length = text.size();
    file.assign(8, '\0');
    std::memcpy(file.data(), &length, sizeof(length));
    file += text + data;
  }

  /// Changes metadata and tensors. A checksum is put right, nearly always.
  void tensors(tsdl::TensorFile& file) {
    auto all = file.tensors();
    auto metadata = file.metadata;
    for (std::size_t times = 1 + below(2); times > 0; --times)
      if (!metadata.empty() && one_in(2))
        entry(metadata);
      else if (!all.empty())
        tensor(all);
    tsdl::TensorFile changed(file.path());
    changed.metadata = std::move(metadata);
    for (auto& [name, one] : all) changed.add(name, std::move(one));
    using tsdl::internal::checksum_key;
    if (changed.metadata.contains(checksum_key) && !one_in(20))
      changed.metadata[checksum_key] = tsdl::internal::checksum(changed);
    file = std::move(changed);
  }

 private:
  static void overwrite(std::string& text, std::size_t at, std::uint64_t value) {
    std::memcpy(text.data() + at, &value, std::min(sizeof(value), text.size() - at));
  }

  std::string number_text() {
    switch (below(4)) {
      case 0:
        return std::to_string(any_of(extreme_integers));
      case 1:
        return std::to_string(static_cast<std::int64_t>(any_of(extreme_integers)));
      case 2:
        return Json(any_of(extreme_numbers)).dump();
      default: {
        static constexpr const char* texts[] = {"1e300",  "1e999",
                                                "-1",     "1.7",
                                                "NaN",    "nan",
                                                "-0",     "4611686018427387904",
                                                "1e-400", "99999999999999999999",
                                                "true",   "null",
                                                "\"1\"",  "[]",
                                                "{}",     "[[[[]]]]"};
        return any_of(texts);
      }
    }
  }

  /// Replaces a number in JSON's text, or changes its characters.
  void json_text(std::string& text) {
    if (one_in(4)) return bytes(text, text);
    std::vector<std::pair<std::size_t, std::size_t>> numbers;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::size_t first = i;
      while (i < text.size() &&
             std::string_view("0123456789.-+e").find(text[i]) != std::string_view::npos)
        ++i;
      if (i > first && text[i - 1] != 'e') numbers.emplace_back(first, i - first);
    }
    if (numbers.empty()) return;
    const auto [at, size] = any_of(numbers);
    text.replace(at, size, number_text());
  }

  static void nodes(Json& json, std::vector<Json*>& found) {
    found.push_back(&json);
    if (json.is_structured())
      for (auto& part : json) nodes(part, found);
  }

  Json any_json() {
    switch (below(8)) {
      case 0:
        return any_of(extreme_integers);
      case 1:
        return static_cast<std::int64_t>(any_of(extreme_integers));
      case 2:
      case 3:
        return any_of(extreme_numbers);
      case 4:
        return one_in(2);
      case 5: {
        static constexpr const char* texts[] = {"",      "gru",  "bilstm", "mean",       "each",
                                                "ohlc",  "ta86", "custom", "regression", "zeros",
                                                "range", "\n",   "close"};
        return any_of(texts);
      }
      case 6:
        return Json::array({1, any_of(extreme_numbers)});
      default:
        return one_in(2) ? Json() : Json::object({{"kind", "column"}});
    }
  }

  /// Changes one entry of the metadata.
  void entry(std::map<std::string, std::string>& metadata) {
    auto place = metadata.begin();
    std::advance(place, below(metadata.size()));
    std::string& text = place->second;
    Json json(Json::value_t::discarded);
    if (text.size() < 50'000) json = Json::parse(text, nullptr, false);  // else made below
    if (one_in(40)) {
      metadata.erase(place);
      return;
    } else if (one_in(200)) {
      text = std::string(20'000, '[');
    } else if (one_in(200)) {  // deep enough to end a reader that recurses
      text = "{\"kind\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}";
    } else if (json.is_discarded() || one_in(4)) {
      json_text(text);
    } else {
      std::vector<Json*> all;
      nodes(json, all);
      Json& node = *any_of(all);
      if (node.is_array() && !node.empty() && !one_in(4)) {
        if (one_in(2))
          node.erase(below(node.size()));
        else
          node.push_back(node[below(node.size())]);
      } else if (node.is_object() && !node.empty() && !one_in(8)) {
        auto member = node.begin();
        std::advance(member, below(node.size()));
        if (one_in(2))
          node.erase(member);
        else
          member.value() = any_json();
      } else {
        node = any_json();
      }
      text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    // A control character is escaped by the writer; bytes that are not UTF-8 cannot be written.
    for (char& c : text)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }

  /// Changes one tensor.
  void tensor(std::map<std::string, tsdl::Tensor>& all) {
    auto place = all.begin();
    std::advance(place, below(all.size()));
    tsdl::Tensor& one = place->second;
    if (one_in(30)) {
      all.erase(place);
      return;
    }
    if (one_in(30)) {
      all["more"] = one;
      return;
    }
    if (one_in(20)) return reshape(one);
    const std::size_t size = one.dtype == tsdl::DType::f64 ? 8 : 4;
    if (one.bytes.size() < size) return;
    for (std::size_t times = 1 + below(2); times > 0; --times) {
      std::byte* at = one.bytes.data() + below(one.bytes.size() / size) * size;
      if (size == 8)
        replace<double>(at);
      else
        replace<float>(at);
    }
  }

  template <class Scalar>
  void replace(std::byte* at) {
    Scalar value;
    std::memcpy(&value, at, sizeof(value));
    switch (below(6)) {
      case 0:
        value += 1;
        break;
      case 1:
        value -= 1;
        break;
      case 2:
        value = -value;
        break;
      default: {
        const double extreme = any_of(extreme_numbers);
        const bool fits = tsdl::internal::fits_float(extreme);
        value = static_cast<Scalar>(sizeof(Scalar) == 8 || fits ? extreme : 3e38);
      }
    }
    std::memcpy(at, &value, sizeof(value));
  }

  void reshape(tsdl::Tensor& one) {
    switch (below(4)) {
      case 0:
        one.shape.push_back(1);
        break;
      case 1:
        if (!one.shape.empty()) one.shape.pop_back();
        break;
      case 2:
        if (!one.shape.empty()) ++any_of(one.shape);
        break;
      default:  // no values, and sizes as large as they can be
        one.shape = {0, static_cast<Index>(std::uint64_t{1} << 62)};
    }
    one.bytes.resize(
        static_cast<std::size_t>(tsdl::internal::tensor_bytes(one.shape, one.dtype).value_or(0)));
  }

  tsdl::RandomStream random_;
};

/// A safetensors file's bytes.
inline std::string bytes_of(const tsdl::TensorFile& file) {
  std::vector<const std::pair<const std::string, tsdl::Tensor>*> order;
  for (const auto& item : file.tensors()) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->second.dtype > b->second.dtype; });
  std::string text = tsdl::internal::safetensors_header(file, order, file.path());
  for (const auto* item : order)
    text.append(reinterpret_cast<const char*>(item->second.bytes.data()),
                item->second.bytes.size());
  return text;
}

}  // namespace fuzz
