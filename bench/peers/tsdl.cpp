// Our library as a contestant.
#include <tsdl/core/parallel.hpp>

#include "contest.hpp"
#include "tsdl_work.hpp"

int main(int argc, char** argv) {
  return peers::serve(argc, argv,
                      {.about = std::string("tsdl ") + tsdl::version + ", " + tsdl::instruction_set,
                       .set_threads = [](int threads) { tsdl::set_thread_count(threads); },
                       .make = peers::make_tsdl,
                       .fewer_threads_allowed = false});
}
