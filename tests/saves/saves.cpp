// saves DIRECTORY COUNT: replaces a file there COUNT times from each of four threads, reads it
// meanwhile, and removes stale temporaries all the time. For namespaces.sh.
#include "support/saves.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::filesystem::path directory = argv[1];
  const int count = std::atoi(argv[2]);
  std::atomic<bool> done{false};
  std::thread cleaner([&] {
    while (!done) tsdl::remove_stale_temporaries(directory);
  });
  std::vector<std::string> faults(4);
  std::vector<std::thread> threads;
  for (std::string& fault : faults)
    threads.emplace_back([&] { fault = test::save_and_read(directory, count); });
  for (std::thread& thread : threads) thread.join();
  done = true;
  cleaner.join();
  int status = 0;
  for (const std::string& fault : faults) {
    if (fault.empty()) continue;
    std::fprintf(stderr, "process %d: %s\n", static_cast<int>(tsdl::internal::process_id()),
                 fault.c_str());
    status = 1;
  }
  return status;
}
