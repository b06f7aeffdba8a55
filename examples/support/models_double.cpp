// The models in double, in which they are explained.
#include "models.hpp"

template tsdl::AnyModel<double> tsdl::make_model<double, tsdl::Models<double>>(const tsdl::Config&,
                                                                               std::uint64_t);
