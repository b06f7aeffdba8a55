// ReduceLROnPlateau: PyTorch's trace, and refusals.
#include "tsdl/optim/schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace {

using tsdl::ReduceLROnPlateau;

std::vector<double> trace(const ReduceLROnPlateau& options, const std::vector<double>& metrics,
                          double lr) {
  options.check();
  tsdl::PlateauState state;
  std::vector<double> rates;
  for (const double metric : metrics) {
    lr = state.next(options, metric, lr);
    rates.push_back(lr);
  }
  return rates;
}

}  // namespace

TEST_CASE("ReduceLROnPlateau follows PyTorch's trace exactly") {
  // torch.optim.lr_scheduler.ReduceLROnPlateau(patience=1, factor=.5, cooldown=1, min_lr=.1) of
  // PyTorch 1.13 from a rate of 1.
  const std::vector<double> metrics = {1, 1, .99995, .9998, 1, 1, 1, 1, 1, 1, std::nan(""), 1};
  const std::vector<double> rates = {1, 1, .5, .5, .5, .25, .25, .25, .125, .125, .125, .1};
  CHECK(trace({.factor = 0.5, .patience = 1, .cooldown = 1, .min_lr = 0.1}, metrics, 1.0) == rates);
}

TEST_CASE("an improvement must exceed the threshold") {
  const ReduceLROnPlateau options{.factor = 0.5, .patience = 0, .threshold = 0.1};
  CHECK(trace(options, {1.0, 0.9, 0.89}, 1.0) == std::vector<double>{1.0, 0.5, 0.5});
}

TEST_CASE("a change below eps is not made, and the least rate is kept") {
  CHECK(trace({.factor = 0.5, .patience = 0, .eps = 0.3}, {1, 1, 1}, 1.0) ==
        std::vector<double>{1.0, 0.5, 0.5});
  CHECK(trace({.factor = 0.5, .patience = 0, .min_lr = 2.0}, {1, 1}, 1.0) ==
        std::vector<double>{1.0, 1.0});
}

TEST_CASE("infinite and NaN metrics never count as better") {
  const double nan = std::nan("");
  CHECK(trace({.factor = 0.5, .patience = 1}, {nan, nan, HUGE_VAL, 1.0, 1.0, 1.0}, 1.0) ==
        std::vector<double>{1.0, 0.5, 0.5, 0.5, 0.5, 0.25});
}

TEST_CASE("ReduceLROnPlateau refuses settings out of range") {
  const double nan = std::nan("");
  CHECK_NOTHROW(ReduceLROnPlateau{}.check());
  for (const double factor : {0.0, 1.0, -0.5, 2.0, nan})
    CHECK_THROWS_AS((ReduceLROnPlateau{.factor = factor}.check()), tsdl::OptionError);
  CHECK_THROWS_AS((ReduceLROnPlateau{.patience = -1}.check()), tsdl::OptionError);
  CHECK_THROWS_AS((ReduceLROnPlateau{.cooldown = -1}.check()), tsdl::OptionError);
  for (const double bad : {-1e-9, nan}) {
    CHECK_THROWS_AS((ReduceLROnPlateau{.threshold = bad}.check()), tsdl::OptionError);
    CHECK_THROWS_AS((ReduceLROnPlateau{.min_lr = bad}.check()), tsdl::OptionError);
    CHECK_THROWS_AS((ReduceLROnPlateau{.eps = bad}.check()), tsdl::OptionError);
  }
}

TEST_CASE("a decaying rate: constant for four epochs, then times 0.8 after each") {
  const tsdl::ExponentialDecay decay{.factor = 0.8, .constant_epochs = 4};
  double lr = 1e-3;
  std::vector<double> rates;
  for (tsdl::Index epoch = 1; epoch <= 7; ++epoch) {
    rates.push_back(lr);
    lr = decay.next(epoch, lr);
  }
  const double expected[] = {1e-3, 1e-3, 1e-3, 1e-3, 8e-4, 6.4e-4, 5.12e-4};
  for (std::size_t i = 0; i < 7; ++i)
    CHECK(rates[i] == doctest::Approx(expected[i]).epsilon(1e-14));
  CHECK_THROWS_AS(tsdl::ExponentialDecay{.factor = 0}.check(), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::ExponentialDecay{.constant_epochs = -1}.check(), tsdl::OptionError);
}
