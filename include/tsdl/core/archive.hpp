// State with names, written to a file and read back: what training resumes from. State without
// names, of streams and indicators: core/state.hpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Reads or writes named values: one function of a class names its state once, for both ways.
class StateArchive {
 public:
  virtual ~StateArchive() = default;

  virtual void number(const std::string& name, double& value) = 0;
  /// Shapes: values as `shape` says, row-major.
  virtual void tensor(const std::string& name, const std::vector<Index>& shape,
                      Buffer<float>& values) = 0;
  virtual void tensor(const std::string& name, const std::vector<Index>& shape,
                      Buffer<double>& values) = 0;
  /// As many rows as there are. Shapes: values n x columns.
  virtual void rows(const std::string& name, Index columns, std::vector<double>& values) = 0;
  /// Whether values are replaced by what was written: not while they are written or only checked.
  virtual bool restores() const noexcept = 0;

  /// Integers and flags, which a double holds exactly up to 2^53.
  template <class Integer>
  void integer(const std::string& name, Integer& value) {
    auto as_number = static_cast<double>(value);
    number(name, as_number);
    value = static_cast<Integer>(as_number);
  }
};

/// Puts a key before the names that one part of a whole gives its values.
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
