// Named state, written to a file and read back, from which training resumes. For the unnamed state
// of streams and indicators see core/state.hpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Reads or writes named values, so that one function of a class serves both directions.
class StateArchive {
 public:
  virtual ~StateArchive() = default;

  virtual void number(const std::string& name, double& value) = 0;
  /// A tensor. Shapes: values `shape`, row-major.
  virtual void tensor(const std::string& name, const std::vector<Index>& shape,
                      Buffer<float>& values) = 0;
  virtual void tensor(const std::string& name, const std::vector<Index>& shape,
                      Buffer<double>& values) = 0;
  /// A table of any number of rows. Shapes: values n x columns.
  virtual void rows(const std::string& name, Index columns, std::vector<double>& values) = 0;
  /// Whether values are being replaced by saved ones: false while they are written or only checked.
  virtual bool restores() const noexcept = 0;

  /// An integer or flag, which a double holds exactly up to 2^53.
  template <class Integer>
  void integer(const std::string& name, Integer& value) {
    auto as_number = static_cast<double>(value);
    number(name, as_number);
    value = static_cast<Integer>(as_number);
  }
};

/// Prefixes the names of one part's values with the part's key.
class KeyedArchive final : public StateArchive {
 public:
  KeyedArchive(StateArchive& archive, std::string key)
      : archive_(archive), key_(std::move(key) + '.') {}

  void number(const std::string& name, double& value) override {
    archive_.number(key_ + name, value);
  }
  void tensor(const std::string& name, const std::vector<Index>& shape,
              Buffer<float>& values) override {
    archive_.tensor(key_ + name, shape, values);
  }
  void tensor(const std::string& name, const std::vector<Index>& shape,
              Buffer<double>& values) override {
    archive_.tensor(key_ + name, shape, values);
  }
  void rows(const std::string& name, Index columns, std::vector<double>& values) override {
    archive_.rows(key_ + name, columns, values);
  }
  bool restores() const noexcept override { return archive_.restores(); }

 private:
  StateArchive& archive_;
  std::string key_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
