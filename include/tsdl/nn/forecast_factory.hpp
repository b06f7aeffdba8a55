// The library's forecasters, for programs that make or read one at run time.
#pragma once

#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/forecast_network.hpp"
#include "tsdl/nn/segment_gru.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Models of several steps of a panel's series.
template <class Scalar>
using Forecasters = ModelList<ForecastNetwork<LSTMCell<Scalar>>, ForecastNetwork<GRUCell<Scalar>>,
                              SegmentGRU<Scalar>>;

}  // namespace TSDL_ABI
}  // namespace tsdl
