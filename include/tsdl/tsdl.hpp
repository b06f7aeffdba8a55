// Everything but track/mlflow/rest.hpp, which needs cpp-httplib, spread/mpi.hpp, which needs MPI,
// and io/onnx.hpp, which needs protozero. Needs nlohmann-json beside Eigen and xsimd;
// <tsdl/bilstm.hpp> does not.
#pragma once

#include "tsdl/bilstm.hpp"
#include "tsdl/data/panel_apply.hpp"
#include "tsdl/data/panel_reader.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/data/whole_series.hpp"
#include "tsdl/explain/attribution_means.hpp"
#include "tsdl/explain/permutation.hpp"
#include "tsdl/gru.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/io/forecaster.hpp"
#include "tsdl/lstm.hpp"
#include "tsdl/report/forecast_sections.hpp"
#include "tsdl/report/report.hpp"
#include "tsdl/report/small_multiples.hpp"
#include "tsdl/select/overfitting.hpp"
#include "tsdl/select/panel_baselines.hpp"
#include "tsdl/serve/forecast_stream.hpp"
#include "tsdl/serve/streaming.hpp"
#include "tsdl/spread/sharded_stepper.hpp"
#include "tsdl/task/adaptive_conformal.hpp"
#include "tsdl/track/mlflow/folder.hpp"
#include "tsdl/train/curves.hpp"
#include "tsdl/version.hpp"
