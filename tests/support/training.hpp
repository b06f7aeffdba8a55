// What tests of training share: small series with labels that can be learnt, weights as bytes.
#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tsdl/core/parallel.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/nn/parameter.hpp"

namespace test {

using tsdl::Index;

/// A series that stays writable, and a label for each of its rows.
template <class Scalar>
struct Toy {
  std::shared_ptr<tsdl::Series<Scalar>> series;
  std::vector<Scalar> labels;
  Index length = 6;

  /// `count` windows from the one that ends at row first_end on, `stride` rows apart.
  tsdl::Windows<Scalar> windows(Index first_end, Index count, Index stride = 1) const {
    std::vector<Index> ends;
    std::vector<Scalar> chosen;
    for (Index i = 0; i < count; ++i) {
      ends.push_back(first_end + i * stride);
      chosen.push_back(labels[static_cast<std::size_t>(ends.back())]);
    }
    return {series, length, stride, std::move(ends), std::move(chosen)};
  }
};

/// Normal draws, and at each row the label that `of` makes of the sum of feature 0 over the last
/// three rows.
template <class Scalar>
Toy<Scalar> make_toy(Index rows, Index features, std::uint64_t seed,
                     const std::function<double(double)>& of) {
  std::vector<std::string> names;
  for (Index i = 0; i < features; ++i) names.push_back(std::to_string(i));
  Toy<Scalar> toy;
  toy.series =
      std::make_shared<tsdl::Series<Scalar>>(tsdl::Series<Scalar>::sized(std::move(names), rows));
  tsdl::RandomStream random(seed);
  for (Scalar& value : toy.series->values) value = static_cast<Scalar>(random.normal());
  for (Index row = 0; row < rows; ++row) {
    double sum = 0;
    for (Index t = std::max<Index>(0, row - 2); t <= row; ++t)
      sum += static_cast<double>(toy.series->column(t)[0]);
    toy.labels.push_back(static_cast<Scalar>(of(sum)));
  }
  return toy;
}

/// Label 1 where the sum is positive.
template <class Scalar>
Toy<Scalar> two_classes(Index rows, Index features = 2, std::uint64_t seed = 1) {
  return make_toy<Scalar>(rows, features, seed, [](double sum) { return sum > 0 ? 1.0 : 0.0; });
}

/// The labels of windows as Trainer::step takes them.
template <class Scalar>
std::vector<Scalar> labels_of(const tsdl::Windows<Scalar>& windows) {
  std::vector<Scalar> labels;
  for (const double label : windows.targets()) labels.push_back(static_cast<Scalar>(label));
  return labels;
}

template <class Value>
std::string bytes_of(std::span<const Value> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// Every parameter's values: equal exactly when the weights are, bit for bit.
template <class Model>
std::string weight_bytes(const Model& model) {
  std::string bytes;
  model.visit([&](const tsdl::Parameter<typename Model::Scalar>& parameter) {
    bytes += bytes_of(parameter.value.span());
  });
  return bytes;
}

template <class Scalar>
std::string bytes_of(const std::vector<tsdl::Buffer<Scalar>>& buffers) {
  std::string bytes;
  for (const tsdl::Buffer<Scalar>& buffer : buffers) bytes += bytes_of(buffer.span());
  return bytes;
}

template <class Model>
bool has_finite_weights(const Model& model) {
  bool finite = true;
  model.visit([&](const tsdl::Parameter<typename Model::Scalar>& parameter) {
    for (const auto value : parameter.value) finite &= std::isfinite(value);
  });
  return finite;
}

/// While it lives, regions ask all helpers even on a busy machine, so that a test sees threads.
class AllHelpersGuard {
 public:
#ifndef TSDL_NO_THREADS
  AllHelpersGuard() : before_(tsdl::internal::thread_pool.ask_always(true)) {}
  ~AllHelpersGuard() { tsdl::internal::thread_pool.ask_always(before_); }
#else
  AllHelpersGuard() {}
#endif
  AllHelpersGuard(const AllHelpersGuard&) = delete;
  AllHelpersGuard& operator=(const AllHelpersGuard&) = delete;

#ifndef TSDL_NO_THREADS
 private:
  bool before_;
#endif
};

/// Puts the number of threads back when the scope ends; until then regions ask all helpers.
class ThreadCountGuard {
 public:
  ThreadCountGuard() : before_(tsdl::thread_count()) {}
  ThreadCountGuard(const ThreadCountGuard&) = delete;
  ThreadCountGuard& operator=(const ThreadCountGuard&) = delete;
  ~ThreadCountGuard() { tsdl::set_thread_count(before_); }

 private:
  AllHelpersGuard helpers_;
  int before_;
};

/// Waits for a condition. Returns false when it does not come true.
template <class Condition>
bool comes_true(const Condition& condition) {
  const auto begin = std::chrono::steady_clock::now();
  while (!condition()) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(20)) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

}  // namespace test
