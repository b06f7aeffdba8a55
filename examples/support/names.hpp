// The library's report floor and what else programs say of a run, by short names.
#pragma once

#include "tsdl/core/types.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/format.hpp"

namespace examples {

using namespace tsdl::report;

using tsdl::BaselineResult;
using tsdl::class_names;
using tsdl::Evaluation;
using tsdl::is_finite;
using tsdl::target_names;

}  // namespace examples
