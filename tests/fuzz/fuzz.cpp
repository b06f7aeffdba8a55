// Reads files that were changed at random: model files, training states and snapshots. What comes
// out of each must be a use of it or a tsdl::Error, never another exception, a signal, a report of
// a sanitizer, or more memory than a file of this size may ask for.
//
// Usage: tsdl_fuzz [--count N] [--seed S] [--first NUMBER] [--kind model|state|snapshot]
//                  [--directory DIR]
// The files are numbered from --first on; seed and number make a file. After a failure,
// --first NUMBER --count 1 makes it again.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <typeinfo>

#include "fuzz/samples.hpp"

namespace {

std::uint64_t current = 0;  // the number of the file in use
std::string sample_name, settings;

/// Says which file it was; for signals and sanitizers.
void report() {
  std::fprintf(stderr, "file %llu (%s), %s\n", static_cast<unsigned long long>(current),
               sample_name.c_str(), settings.c_str());
}

extern "C" void on_signal(int signal) {
  std::fprintf(stderr, signal == SIGALRM ? "no end within 60 s\n" : "signal %d\n", signal);
  report();
  ::_exit(1);
}

int failed(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  report();
  return 1;
}

}  // namespace

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

int main(int argc, char** argv) {
  std::uint64_t count = 1000, seed = 1, first = 0;
  std::string kind;
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--count")
      count = std::stoull(argv[i + 1]);
    else if (option == "--seed")
      seed = std::stoull(argv[i + 1]);
    else if (option == "--first")
      first = std::stoull(argv[i + 1]);
    else if (option == "--kind")
      kind = argv[i + 1];
    else if (option == "--directory")
      directory = argv[i + 1];
    else
      return failed("unknown option " + std::string(option));
  }
  if (argc % 2 == 0) return failed("an option without a value");
  settings = "--seed " + std::to_string(seed) + (kind.empty() ? "" : " --kind " + kind);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM})
    if (signal == SIGALRM || !__sanitizer_set_death_callback) std::signal(signal, on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report);
  tsdl::set_thread_count(1);

  const auto path = directory / ("tsdl-fuzz-" + std::to_string(::getpid()));
  std::vector<fuzz::Sample> samples;
  for (fuzz::Sample& sample : fuzz::make_samples(path))
    if (sample.name.starts_with(kind)) samples.push_back(std::move(sample));
  if (samples.empty()) return failed("no such kind: " + kind);
  for (const fuzz::Sample& sample : samples) {  // as they are, all must be accepted
    sample_name = sample.name;
    sample.use(sample.bytes, path);
  }

  const auto start = std::chrono::steady_clock::now();
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> results;  // accepted, refused
  int status = 0;
  for (current = first; current < first + count && status == 0; ++current) {
    fuzz::Mutator mutator(seed, current);
    const fuzz::Sample& sample = mutator.any_of(samples);
    sample_name = sample.name;
    const std::string bytes = fuzz::changed(sample, mutator.any_of(samples), mutator);
    auto& [accepted, refused] = results[sample.name];
    ::alarm(60);
    try {
      sample.use(bytes, path);
      ++accepted;
    } catch (const tsdl::Error& error) {
      ++refused;
      const std::string_view message = error.what();
      if (count == 1) std::printf("refused: %s\n", error.what());
      if (message.empty() || message.find('\n') != message.npos)
        status = failed("a message that is not one line: " + std::string(message));
    } catch (const std::exception& error) {
      status =
          failed(std::string("not a tsdl::Error: ") + typeid(error).name() + ": " + error.what());
    } catch (...) {
      status = failed("not a tsdl::Error");
    }
    if (status != 0) break;
  }
  ::alarm(0);
  std::error_code ignored;
  if (status == 0) std::filesystem::remove(path, ignored);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::uint64_t all = 0;
  for (const auto& [name, result] : results) {
    std::printf("%-28s %8llu accepted %8llu refused\n", name.c_str(),
                static_cast<unsigned long long>(result.first),
                static_cast<unsigned long long>(result.second));
    all += result.first + result.second;
  }
  std::printf("%llu files, seed %llu, %.0f a second: %s\n", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(seed), static_cast<double>(all) / seconds.count(),
              status == 0 ? "only tsdl::Error" : "FAILED");
  return status;
}
