// All steps of one layer in all directions, shared between threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/nn/recurrent/cache.hpp"
#include "tsdl/nn/recurrent/layer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Runs all steps of one layer, `layers` by direction, over x. A thread takes a direction and a
/// tile of samples; if there is only one such task, the threads share the units of each step.
/// `work`: operations, 0 for this thread alone. output(d) is the view of direction d's outputs.
template <class Cell, class Output>
void run_layer(std::span<const RecurrentLayer<Cell>> layers,
               typename StackCache<typename Cell::Scalar>::Layer& saved,
               const Sequence<const typename Cell::Scalar>& x, double work, const Output& output) {
  const Index D = std::ssize(layers), T = x.steps, panels = layers.front().panels();
  const auto layer = [&](Index d) noexcept -> const RecurrentLayer<Cell>& {
    return layers[static_cast<std::size_t>(d)];
  };
  const Index tiles = saved.direction[0].extent.tiles();
  const bool one = tiles == 1 && (D == 1 || saved.direction[1].extent.steps < T);
  if (!one || work < parallel_threshold ||
      work < shared_step_threshold * static_cast<double>(D * T)) {
    parallel_for(D * tiles, work, [&](Index task) noexcept {
      const FloatModeGuard guard;
      const Index d = task % D;
      layer(d).forward_tile(saved.direction[d], x, output(d), task / D);
    });
  } else {
    const Index units = std::clamp(panels / 2, Index{1}, SharedSteps::most_units);
    SharedSteps steps[2] = {{saved.direction[0].extent.steps, units},
                            {saved.direction[1].extent.steps, units}};
    parallel_team(units, [&](Index thread, Index threads) noexcept {
      const FloatModeGuard guard;
      for (Index d = 0; d < D; ++d) {
        auto step = layer(d).steps_of(saved.direction[d], x, output(d), 0);
        steps[d].run(thread, threads, [&](Index s, Index unit) noexcept {
          step.first_panel = panels * unit / units;
          step.panels = panels * (unit + 1) / units;
          layer(d).forward_step(step, saved.direction[d], x, output(d), 0, s);
        });
      }
    });
  }
  for (Index d = 0; d < D; ++d) layer(d).set_padding(saved.direction[d], output(d), false);
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
