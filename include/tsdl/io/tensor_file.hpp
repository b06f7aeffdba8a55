// Named tensors and text in memory, as a safetensors file holds them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

static_assert(std::endian::native == std::endian::little, "tensors are stored little-endian");

/// The type of a tensor's values, in the order by which a writer sorts. Only f32 and f64 can be
/// added and copied; the others are known so that messages can name them.
enum class DType : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};

/// A named, row-major array of values.
struct Tensor {
  DType dtype = DType::f32;
  std::vector<Index> shape;      ///< empty: one value
  std::vector<std::byte> bytes;  ///< little-endian
  bool used = false;             ///< whether copy_to has read it
};

namespace internal {

struct DTypeEntry {
  std::string_view name;
  Index bytes;
};

/// Indexed by DType.
inline constexpr std::array<DTypeEntry, 15> dtypes{{{"BOOL", 1},
                                                    {"U8", 1},
                                                    {"I8", 1},
                                                    {"F8_E5M2", 1},
                                                    {"F8_E4M3", 1},
                                                    {"I16", 2},
                                                    {"U16", 2},
                                                    {"F16", 2},
                                                    {"BF16", 2},
                                                    {"I32", 4},
                                                    {"U32", 4},
                                                    {"F32", 4},
                                                    {"F64", 8},
                                                    {"I64", 8},
                                                    {"U64", 8}}};

inline const DTypeEntry& dtype_entry(DType dtype) {
  return dtypes[static_cast<std::size_t>(dtype)];
}

inline constexpr std::string_view metadata_key = "__metadata__";

/// A name from a file, made safe for a one-line message: control characters replaced, cut to 100
/// bytes.
inline std::string printable(std::string_view name) {
  constexpr std::size_t limit = 100;
  std::string text;
  for (const char c : name.substr(0, limit))
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > limit ? "..." : "");
}

inline std::string quoted_name(std::string_view name) { return "'" + printable(name) + "'"; }

/// "tensor 'a'" or "tensors 'a', 'b'": up to `limit` names, and then the number of the others.
inline std::string tensor_list(const std::vector<std::string>& names, std::size_t limit = 20) {
  std::string text = names.size() > 1 ? "tensors " : "tensor ";
  for (std::size_t i = 0; i < std::min(names.size(), limit); ++i)
    text += (i ? ", " : "") + quoted_name(names[i]);
  return text +
         (names.size() > limit ? " and " + std::to_string(names.size() - limit) + " more" : "");
}

/// A shape as text, with at most sixteen dimensions.
inline std::string shape_text(std::span<const Index> shape) {
  constexpr std::size_t limit = 16;
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), limit); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > limit ? ", ...]" : "]");
}

/// The product of sizes; nothing when one is negative or Index cannot hold the product.
inline std::optional<Index> checked_product(std::span<const Index> sizes) {
  Index product = 1;
  for (const Index size : sizes) {
    if (size < 0) return std::nullopt;
    if (size != 0 && product > std::numeric_limits<Index>::max() / size) return std::nullopt;
    product *= size;
  }
  return product;
}

/// The number of bytes of a tensor; nothing when the number of values or of bytes overflows.
inline std::optional<Index> tensor_bytes(std::span<const Index> shape, DType dtype) {
  const std::optional<Index> count = checked_product(shape);
  if (!count) return std::nullopt;
  return checked_product(std::array{*count, dtype_entry(dtype).bytes});
}

/// Whether a double may become a float: it is not finite, or at most float's largest value. By its
/// bits, so that -ffast-math cannot delete the check.
inline bool fits_float(double value) {
  const std::uint64_t magnitude = std::bit_cast<std::uint64_t>(value) & ~(std::uint64_t{1} << 63);
  return magnitude <= std::bit_cast<std::uint64_t>(static_cast<double>(FLT_MAX)) ||
         magnitude >= std::bit_cast<std::uint64_t>(std::numeric_limits<double>::infinity());
}

template <class Stored>
Stored load_value(const std::byte* bytes) {
  Stored value;
  std::memcpy(&value, bytes, sizeof(Stored));
  return value;
}

}  // namespace internal

/// The contents of a safetensors file: tensors by name, and metadata. Sorted, so that equal
/// contents give equal bytes.
class TensorFile {
 public:
  /// `path` is used in messages only.
  explicit TensorFile(std::string path = "tensors") : path_(std::move(path)) {}

  std::map<std::string, std::string> metadata;

  const std::string& path() const noexcept { return path_; }
  const std::map<std::string, Tensor>& tensors() const noexcept { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }

  /// Adds a tensor. Throws: ShapeError when the number of bytes does not match its shape and dtype;
  /// Error when the name is taken.
  void add(const std::string& name, Tensor tensor) {
    if (name == internal::metadata_key || tensors_.contains(name))
      throw Error("TensorFile: the name ", internal::quoted_name(name), " is taken");
    if (internal::tensor_bytes(tensor.shape, tensor.dtype) != std::ssize(tensor.bytes))
      throw ShapeError("TensorFile: tensor ", internal::quoted_name(name), ": ",
                       internal::dtype_entry(tensor.dtype).name, " ",
                       internal::shape_text(tensor.shape), " cannot be held by ",
                       tensor.bytes.size(), " bytes");
    tensors_.emplace(name, std::move(tensor));
  }

  /// Adds a tensor of row-major values. Throws: as above.
  template <class Scalar>
  void add(const std::string& name, std::vector<Index> shape, std::span<const Scalar> values) {
    static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>);
    const auto bytes = std::as_bytes(values);
    add(name, Tensor{sizeof(Scalar) == 4 ? DType::f32 : DType::f64, std::move(shape),
                     std::vector<std::byte>(bytes.begin(), bytes.end())});
  }

  /// Copies a tensor's values, row-major, and marks it as used; F32 and F64 convert. `out` is
  /// written completely or not at all. Throws: FormatError when the tensor is missing, has another
  /// shape, is neither F32 nor F64, or has a finite value beyond Scalar's range; ShapeError when
  /// `out` does not have the size of `shape`.
  template <class Scalar>
  void copy_to(const std::string& name, std::span<const Index> shape, std::span<Scalar> out) {
    if (internal::checked_product(shape) != std::ssize(out))
      throw ShapeError("TensorFile: shape ", internal::shape_text(shape), " of tensor ",
                       internal::quoted_name(name), " does not fit ", out.size(), " values");
    if (const std::optional<std::string> why = refusal(name, shape))
      throw FormatError(path_, ": ", *why);
    Tensor& tensor = tensors_.find(name)->second;
    if (tensor.dtype == DType::f32)
      copy_values<float>(name, tensor, out);
    else
      copy_values<double>(name, tensor, out);
    tensor.used = true;
  }
  template <class Scalar>
  void copy_to(const std::string& name, std::initializer_list<Index> shape, std::span<Scalar> out) {
    copy_to(name, std::span<const Index>(shape.begin(), shape.size()), out);
  }

  /// The reason for which copy_to would refuse a tensor of this name and shape before looking at
  /// its values, if any.
  std::optional<std::string> refusal(const std::string& name, std::span<const Index> shape) const {
    const std::string tensor_name = "tensor " + internal::quoted_name(name);
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return tensor_name + ": missing";
    const Tensor& tensor = found->second;
    if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end()))
      return tensor_name + ": shape " + internal::shape_text(shape) + " expected, " +
             internal::shape_text(tensor.shape) + " found";
    if (tensor.dtype != DType::f32 && tensor.dtype != DType::f64)
      return tensor_name + ": dtype F32 or F64 expected, " +
             std::string(internal::dtype_entry(tensor.dtype).name) + " found";
    return std::nullopt;
  }

  /// The metadata under `key`. Throws: FormatError when there is none.
  const std::string& metadata_at(const std::string& key) const {
    const auto found = metadata.find(key);
    if (found == metadata.end())
      throw FormatError(path_, ": metadata ", internal::quoted_name(key), ": missing");
    return found->second;
  }

  /// Throws: FormatError naming the tensors that copy_to has not read, up to five of them.
  void refuse_unused() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_)
      if (!tensor.used) names.push_back(name);
    if (!names.empty())
      throw FormatError(path_, ": ", internal::tensor_list(names, 5), ": not expected");
  }

 private:
  std::string where(const std::string& name) const {
    return path_ + ": tensor " + internal::quoted_name(name) + ": ";
  }

  template <class Stored, class Scalar>
  void copy_values(const std::string& name, const Tensor& tensor, std::span<Scalar> out) const {
    const auto stored = [&](std::size_t i) {
      return internal::load_value<Stored>(tensor.bytes.data() + i * sizeof(Stored));
    };
    if constexpr (sizeof(Stored) > sizeof(Scalar)) {
      for (std::size_t i = 0; i < out.size(); ++i)
        if (!internal::fits_float(stored(i)))
          throw FormatError(where(name), "value ", i, " is ", stored(i), ", beyond F32's range");
    }
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Scalar>(stored(i));
  }

  std::string path_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
