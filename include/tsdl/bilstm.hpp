// The face for bidirectional LSTMs: layers, training, data. Needs Eigen and xsimd only.
#pragma once

#include "tsdl/data/gaps.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/recurrent/stream.hpp"
#include "tsdl/track/tracker.hpp"
#include "tsdl/train/trainer.hpp"
