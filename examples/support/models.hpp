// Every kind of model, compiled once for all programs: a compiler takes longer for them than for
// all the rest of a program. models.cpp and models_double.cpp have what is declared here.
#pragma once

#include <cstdint>
#include <string_view>

#include "tsdl/nn/factory.hpp"

extern template tsdl::AnyModel<float> tsdl::make_model<float, tsdl::Models<float>>(
    const tsdl::Config&, std::uint64_t);
extern template tsdl::AnyModel<double> tsdl::make_model<double, tsdl::Models<double>>(
    const tsdl::Config&, std::uint64_t);
