// What every example program does around its work: parse options, and turn errors into one line.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <new>
#include <string>
#include <string_view>

#include "tsdl/core/error.hpp"

namespace examples {

/// Which two names gave one option, as "--hidden and --hidden-dim"; empty when none did.
inline std::string two_names(const CLI::App& app, int argc, char** argv) {
  std::map<const CLI::Option*, std::string> seen;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--")) continue;
    const std::string name(argument.substr(0, argument.find('=')));
    const CLI::Option* option = app.get_option_no_throw(name);
    if (!option) continue;
    const auto [before, is_new] = seen.emplace(option, name);
    if (!is_new && before->second != name) return before->second + " and " + name;
  }
  return {};
}

/// Parses the command line, runs work() and returns the exit status: work()'s own, or 2 after one
/// line on stderr when options or input cannot be used.
template <class Work>
int run_program(CLI::App& app, int argc, char** argv, const Work& work) {
  const auto refuse = [&](std::string what) {
    for (char& c : what)  // a name out of a file may hold anything; this is one line
      if (static_cast<unsigned char>(c) < ' ') c = ' ';
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), what.c_str());
    return 2;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ConfigError& error) {
    return refuse(error.what());
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string names = two_names(app, argc, argv);
    return refuse((names.empty() ? error.what() : names + " are one option: give one of them") +
                  " (--help lists the options)");
  } catch (const CLI::ParseError& error) {
    return refuse(std::string(error.what()) + " (--help lists the options)");
  }
  try {
    return work();
  } catch (const tsdl::Error& error) {
    return refuse(error.what());
  } catch (const std::bad_alloc&) {
    return refuse("out of memory");
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
}

}  // namespace examples
