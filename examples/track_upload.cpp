// Sends runs that a training could not send to its MLflow server, from the spool that it left.
#include <cstdio>
#include <filesystem>
#include <string>
#include <tsdl/track/mlflow/upload.hpp>
#include <vector>

#include "support/program.hpp"

namespace {

struct Options {
  std::vector<std::string> spools;
  std::string uri;
};

/// Sends one run and says in a line what came of it. Returns whether all of it is on the server.
bool send(const std::filesystem::path& folder, const std::string& uri) {
  std::size_t taken = 0, left = 0;
  std::string why, place;
  bool known = false;
  try {
    tsdl::MLflowSpool spool = tsdl::MLflowSpool::open(folder);
    if (!uri.empty()) spool.set_uri(uri);
    known = true;
    tsdl::MLflowClient client(spool.progress().uri, tsdl::MLflowAccess::from_environment());
    tsdl::MLflowUpload upload(spool, client);
    try {
      while (upload.step()) {
      }
      if (!upload.complete()) why = spool.progress().refused.begin()->second;
    } catch (const tsdl::Error& error) {
      why = error.what();
    }
    taken = upload.taken();
    left = spool.left();
    place = client.uri();
    if (upload.complete()) spool.remove();
  } catch (const tsdl::Error& error) {
    why = error.what();
  }
  const std::string name = folder.string();
  if (!known)
    std::printf("%s: nothing sent: %s\n", name.c_str(), why.c_str());
  else if (why.empty())
    std::printf("%s: sent %zu items to %s\n", name.c_str(), taken, place.c_str());
  else
    std::printf("%s: sent %zu items, left %zu: %s\n", name.c_str(), taken, left, why.c_str());
  return why.empty();
}

int run(const Options& o) {
  bool all = true;
  for (const std::string& path : o.spools) {
    const auto runs = tsdl::spooled_runs(path);
    if (runs.empty()) std::printf("%s: no runs are left in it\n", path.c_str());
    for (const std::filesystem::path& folder : runs) all = send(folder, o.uri) && all;
  }
  return all ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Send runs that are left in a spool to their MLflow server. What was sent before is not "
      "there twice. User and password, or token, come from MLFLOW_TRACKING_USERNAME and "
      "_PASSWORD, or _TOKEN.",
      "track_upload");
  Options options;
  app.add_option("SPOOL", options.spools, "Spool folders, or folders of runs in them")->required();
  app.add_option("--uri", options.uri, "Another server than the run was meant for");
  return examples::run_program(app, argc, argv, [&] { return run(options); });
}
