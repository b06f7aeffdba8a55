// Our library at the work of work.hpp: what bench/compare and bench_networks time.
#pragma once

#include <memory>

#include "work.hpp"

namespace peers {

/// A piece of work, set up for our library.
std::unique_ptr<Job> make_tsdl(const Work& work);

}  // namespace peers
