// A StateArchive in memory: what one object wrote, another reads.
#pragma once

#include <map>
#include <string>
#include <tsdl/core/archive.hpp>
#include <vector>

namespace test {

class MemoryArchive final : public tsdl::StateArchive {
 public:
  std::map<std::string, double> numbers;
  std::map<std::string, std::vector<double>> rows_of;

  void start_reading() { pass_ = Pass::restore; }

  Pass pass() const noexcept override { return pass_; }
  double exchange(const std::string& name, double value) override {
    return exchange_in(numbers, name, value);
  }
  std::vector<double> exchange(const std::string& name, tsdl::Index,
                               const std::vector<double>& values) override {
    return exchange_in(rows_of, name, values);
  }
  void exchange(const std::string& name, const std::vector<tsdl::Index>&,
                tsdl::Buffer<float>& values, const tsdl::NumberRange&) override {
    values = exchange_in(floats_, name, values);
  }
  void exchange(const std::string& name, const std::vector<tsdl::Index>&,
                tsdl::Buffer<double>& values, const tsdl::NumberRange&) override {
    values = exchange_in(doubles_, name, values);
  }

 private:
  template <class Value>
  Value exchange_in(std::map<std::string, Value>& all, const std::string& name,
                    const Value& value) {
    if (pass_ == Pass::restore) return all.at(name);
    all[name] = value;
    return value;
  }

  Pass pass_ = Pass::write;
  std::map<std::string, tsdl::Buffer<float>> floats_;
  std::map<std::string, tsdl::Buffer<double>> doubles_;
};

}  // namespace test
