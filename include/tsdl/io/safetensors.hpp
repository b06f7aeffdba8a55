// The safetensors format: reading and writing a TensorFile.
//
//   u64 N, little-endian | N bytes of JSON | data
//   JSON: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]},
//   ...}
//
// Files may be hostile: nothing in a header is trusted, and nothing is allocated for it, before it
// has been compared with the size of the file.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/system_file.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/io/tensor_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;

/// Receives a header's JSON token by token, so that duplicate keys are seen and nesting needs no
/// stack: a value that the format does not allow ends the parse at once.
class SafetensorsHeader {
 public:
  struct Entry {
    Tensor tensor;
    Index begin = 0, end = 0;
  };
  using Item = std::pair<const std::string, Entry>;

  std::map<std::string, std::string> metadata;
  std::map<std::string, Entry> entries;
  std::string error;

  bool start_object(std::size_t) {
    switch (place_) {
      case Place::start:
        place_ = Place::top;
        return true;
      case Place::top:
        place_ = entry_ ? Place::tensor : Place::metadata;
        return true;
      default:
        return misplaced();
    }
  }

  bool key(std::string& name) {
    if (place_ == Place::tensor) return tensor_key(name);
    if (place_ == Place::metadata) {
      name_ = name;
      if (metadata.contains(name)) return fail("appears twice in the metadata");
      return true;
    }
    name_ = name;
    entry_ = nullptr;
    if (name == metadata_key) {
      if (std::exchange(has_metadata_, true)) return fail("appears twice");
      return true;
    }
    const auto [position, is_new] = entries.try_emplace(name);
    entry_ = &position->second;
    if (!is_new) return fail("appears twice");
    seen_.fill(false);
    offsets_ = 0;
    return true;
  }

  bool string(std::string& text) {
    if (place_ == Place::metadata) {
      metadata.emplace(name_, std::move(text));
      return true;
    }
    if (place_ != Place::tensor || field_ != Field::dtype) return misplaced();
    for (std::size_t i = 0; i < dtypes.size(); ++i) {
      if (dtypes[i].name != text) continue;
      entry_->tensor.dtype = static_cast<DType>(i);
      return true;
    }
    return fail("dtype " + quoted_name(text) + " is not known");
  }

  bool start_array(std::size_t) {
    if (place_ != Place::tensor || field_ == Field::dtype) return misplaced();
    place_ = Place::array;
    return true;
  }

  bool number_unsigned(std::uint64_t value) {
    if (place_ != Place::array) return misplaced();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()))
      return fail("size " + std::to_string(value) + " is too large");
    if (field_ == Field::shape)
      entry_->tensor.shape.push_back(static_cast<Index>(value));
    else if (++offsets_ <= 2)
      (offsets_ == 1 ? entry_->begin : entry_->end) = static_cast<Index>(value);
    return true;
  }

  bool end_array() {
    place_ = Place::tensor;
    return field_ == Field::shape || offsets_ == 2 || fail("data_offsets must be two numbers");
  }

  bool end_object() {
    if (place_ == Place::tensor && !(seen_[0] && seen_[1] && seen_[2]))
      return fail("dtype, shape and data_offsets expected, not all found");
    place_ = Place::top;
    return true;
  }

  bool null() { return misplaced(); }
  bool boolean(bool) { return misplaced(); }
  bool number_integer(std::int64_t) { return misplaced(); }
  bool number_float(double, const std::string&) { return misplaced(); }
  bool binary(nlohmann::json::binary_t&) { return misplaced(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) {
    error = "header: not JSON at its byte " + std::to_string(position);
    return false;
  }

 private:
  enum class Place { start, top, metadata, tensor, array };
  enum class Field { dtype, shape, data_offsets };

  bool tensor_key(const std::string& name) {
    static constexpr std::array<std::string_view, 3> fields{"dtype", "shape", "data_offsets"};
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (fields[i] != name) continue;
      field_ = static_cast<Field>(i);
      return !std::exchange(seen_[i], true) || fail(name + " appears twice");
    }
    return fail("key " + quoted_name(name) + " is not known");
  }

  bool misplaced() { return fail("a value of this type cannot stand in the header here"); }

  bool fail(const std::string& what) {
    error = place_ == Place::start
                ? "header: " + what
                : (entry_ ? "tensor " : "header: ") + quoted_name(name_) + ": " + what;
    return false;
  }

  Place place_ = Place::start;
  Field field_ = Field::dtype;
  Entry* entry_ = nullptr;
  std::string name_;
  std::array<bool, 3> seen_{};
  Index offsets_ = 0;
  bool has_metadata_ = false;
};

/// The entries of a header in the order of their bytes. Checks that each is as long as its shape
/// says, and that together they fill `data_bytes` without gap or overlap. Throws: FormatError.
inline std::vector<SafetensorsHeader::Item*> entries_in_file_order(SafetensorsHeader& header,
                                                                   const std::string& path,
                                                                   Index data_bytes) {
  std::vector<SafetensorsHeader::Item*> order;
  for (auto& item : header.entries) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  Index next = 0;
  for (const auto* item : order) {
    const auto& [name, entry] = *item;
    const std::string where = path + ": tensor " + quoted_name(name) + ": ";
    const std::optional<Index> bytes = tensor_bytes(entry.tensor.shape, entry.tensor.dtype);
    if (!bytes) throw FormatError(where, "shape ", shape_text(entry.tensor.shape), " is too large");
    if (entry.begin != next)
      throw FormatError(where, "data begins at ", entry.begin, ", ", next, " expected",
                        entry.begin < next ? " (overlap)" : " (hole)");
    if (entry.end < entry.begin || entry.end - entry.begin != *bytes)
      throw FormatError(where, "data_offsets [", entry.begin, ", ", entry.end, "] do not span the ",
                        *bytes, " bytes of ", dtype_entry(entry.tensor.dtype).name, " ",
                        shape_text(entry.tensor.shape));
    next = entry.end;
  }
  if (next != data_bytes)
    throw FormatError(path, ": ", next, " bytes of data expected, ", data_bytes, " found");
  return order;
}

/// A regular file that is read from front to back.
class InputFile {
 public:
  /// Throws: Error if it cannot be opened or is not a regular file.
  explicit InputFile(const std::filesystem::path& path)
      : path_(path_text(path)), file_(path, OpenFor::reading_regular) {
    if (!file_.is_open()) fail();
    const std::optional<FileState> state = file_.state();
    if (!state) fail();
    if (!state->is_regular) throw Error(path_, ": not a regular file");
    remaining_ = static_cast<Index>(state->size);
  }

  /// The number of bytes not read yet, by the size of the file when it was opened.
  Index remaining() const noexcept { return remaining_; }

  /// Reads exactly `bytes`. Throws: Error.
  void read(void* out, std::size_t bytes) {
    char* next = static_cast<char*>(out);
    while (bytes > 0) {
      const std::ptrdiff_t got = file_.read(next, bytes);
      if (got < 0) fail();
      if (got == 0) throw FormatError(path_, ": became shorter while it was read");
      next += got;
      remaining_ -= static_cast<Index>(got);
      bytes -= static_cast<std::size_t>(got);
    }
  }

 private:
  [[noreturn]] void fail() const {
    const std::string why = last_error_text();
    throw Error(path_, ": cannot be read: ", why);
  }

  std::string path_;
  SystemFile file_;
  Index remaining_ = 0;
};

/// Whether a file begins like one of torch.save: with a zip archive or, before PyTorch 1.6, a
/// pickle of the number 0x1950a86a20f9469cfc6c.
inline bool begins_like_torch_save(std::uint64_t first_bytes) {
  const std::uint64_t four = first_bytes & 0xffffffffu;
  return four == 0x04034b50 || (four & 0xffff00ffu) == 0x0a8a0080;
}

/// Reads and parses the header; afterwards `file` is at the first byte of the data. Throws: Error,
/// FormatError.
inline SafetensorsHeader read_safetensors_header(InputFile& file, const std::string& path) {
  if (file.remaining() < 8)
    throw FormatError(path, ": at least 8 bytes expected, ", file.remaining(), " found");
  std::uint64_t length = 0;
  file.read(&length, sizeof(length));
  if (begins_like_torch_save(length))
    throw FormatError(path, ": written by torch.save, not safetensors; ",
                      "examples/pth_to_safetensors.py converts it");
  if (length > max_header_bytes)
    throw FormatError(path, ": header: at most ", max_header_bytes, " bytes expected, ", length,
                      " declared");
  if (static_cast<Index>(length) > file.remaining())
    throw FormatError(path, ": header: ", length, " bytes declared, ", file.remaining(), " found");
  std::string text(length, '\0');
  file.read(text.data(), text.size());
  if (!text.starts_with('{')) throw FormatError(path, ": header: does not start with '{'");
  // The JSON parser takes a zero byte for the end of its input.
  if (const std::size_t zero = text.find('\0'); zero != std::string::npos)
    throw FormatError(path, ": header: not JSON at its byte ", zero + 1);
  SafetensorsHeader header;
  if (!nlohmann::json::sax_parse(text, &header)) throw FormatError(path, ": ", header.error);
  return header;
}

/// The bytes before the data. Throws: Error when a text is not UTF-8, or there are too many bytes.
inline std::string safetensors_header(
    const TensorFile& file, std::span<const std::pair<const std::string, Tensor>* const> order,
    const std::string& path) {
  std::string text(8, '\0');
  const auto quote = [&](const std::string& name) {
    try {
      return nlohmann::json(name).dump();
    } catch (const nlohmann::json::exception&) {
      throw Error(path, ": ", quoted_name(name), ": not UTF-8");
    }
  };
  char separator = '{';
  const auto next_key = [&](const std::string& name) {
    text += std::exchange(separator, ',') + quote(name) + ':';
  };
  if (!file.metadata.empty()) {
    next_key(std::string(metadata_key));
    for (const auto& [key, value] : file.metadata)
      text += (text.back() == ':' ? '{' : ',') + quote(key) + ':' + quote(value);
    text += '}';
  }
  Index offset = 0;
  for (const auto* item : order) {
    const auto& [name, tensor] = *item;
    next_key(name);
    text.append("{\"dtype\":\"").append(dtype_entry(tensor.dtype).name).append("\",\"shape\":[");
    for (std::size_t i = 0; i < tensor.shape.size(); ++i)
      text.append(i ? "," : "").append(std::to_string(tensor.shape[i]));
    text += "],\"data_offsets\":[" + std::to_string(offset) + ',';
    offset += std::ssize(tensor.bytes);
    text += std::to_string(offset) + "]}";
  }
  text += order.empty() && file.metadata.empty() ? "{}" : "}";
  text.resize(static_cast<std::size_t>(round_up(std::ssize(text), 8)), ' ');
  const std::uint64_t length = text.size() - 8;
  if (length > max_header_bytes)
    throw Error(path, ": header: at most ", max_header_bytes, " bytes expected, ", length,
                " to be written");
  std::memcpy(text.data(), &length, sizeof(length));
  return text;
}

}  // namespace internal

/// Writes `file` to `path`, completely or not at all. Equal contents give equal bytes. Throws:
/// Error; an older file of that name then stays as it was.
inline void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::vector<const std::pair<const std::string, Tensor>*> order;
  for (const auto& item : file.tensors()) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->second.dtype > b->second.dtype; });
  const std::string header = internal::safetensors_header(file, order, internal::path_text(path));
  AtomicFile out(path);
  out.write(header);
  for (const auto* item : order) out.write(item->second.bytes.data(), item->second.bytes.size());
  out.commit();
}

/// Reads all tensors and the metadata of a file.
/// Throws: Error when it cannot be read; FormatError when it violates the format.
/// Source: https://github.com/huggingface/safetensors#format
inline TensorFile read_safetensors(const std::filesystem::path& path) {
  return internal::with_memory(internal::path_text(path), [&] {
    TensorFile result(internal::path_text(path));
    internal::InputFile file(path);
    internal::SafetensorsHeader header = internal::read_safetensors_header(file, result.path());
    const auto order = internal::entries_in_file_order(header, result.path(), file.remaining());
    result.metadata = std::move(header.metadata);
    for (auto* item : order) {
      auto& [name, entry] = *item;
      entry.tensor.bytes.resize(static_cast<std::size_t>(entry.end - entry.begin));
      file.read(entry.tensor.bytes.data(), entry.tensor.bytes.size());
      result.add(name, std::move(entry.tensor));
    }
    return result;
  });
}

}  // namespace TSDL_ABI
}  // namespace tsdl
