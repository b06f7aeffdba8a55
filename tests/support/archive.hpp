// A StateArchive in memory: what one object wrote, another reads.
#pragma once

#include <map>
#include <string>
#include <tsdl/core/archive.hpp>
#include <vector>

namespace test {

class MemoryArchive final : public tsdl::StateArchive {
 public:
  void start_reading() { reads_ = true; }

  void number(const std::string& name, double& value) override { exchange(numbers_, name, value); }
  void tensor(const std::string& name, const std::vector<tsdl::Index>&,
              tsdl::Buffer<float>& values) override {
    exchange(floats_, name, values);
  }
  void tensor(const std::string& name, const std::vector<tsdl::Index>&,
              tsdl::Buffer<double>& values) override {
    exchange(doubles_, name, values);
  }
  void rows(const std::string& name, tsdl::Index, std::vector<double>& values) override {
    exchange(rows_, name, values);
  }
  bool restores() const noexcept override { return reads_; }

 private:
  template <class Value>
  void exchange(std::map<std::string, Value>& all, const std::string& name, Value& value) {
    if (reads_)
      value = all.at(name);
    else
      all[name] = value;
  }

  bool reads_ = false;
  std::map<std::string, double> numbers_;
  std::map<std::string, tsdl::Buffer<float>> floats_;
  std::map<std::string, tsdl::Buffer<double>> doubles_;
  std::map<std::string, std::vector<double>> rows_;
};

}  // namespace test
