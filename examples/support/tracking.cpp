// The trackers that --tracking can name. Compiled once a program, as the client takes its time.
#include "tracking.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tsdl/track/mlflow/folder.hpp"
#include "tsdl/track/mlflow/rest.hpp"

namespace examples {

std::unique_ptr<tsdl::Tracker> make_tracker(const TrackingOptions& o,
                                            const std::filesystem::path& spool,
                                            std::function<void(const std::string&)> on_problem) {
  const auto is = [&](std::string_view scheme) { return o.target.starts_with(scheme); };
  if (is("http://") || is("https://"))
    return std::make_unique<tsdl::MLflowServer>(tsdl::MLflowServerOptions{
        .uri = o.target, .spool = spool, .on_problem = std::move(on_problem)});
  if (!is("file://") && o.target.find("://") != std::string::npos)
    throw tsdl::Error("--tracking: expected a folder or http(s)://..., got '", o.target, "'");
  const std::string folder = is("file://") ? o.target.substr(7) : o.target;
  return std::make_unique<tsdl::MLflowFolder>(tsdl::MLflowFolderOptions{.directory = folder});
}

}  // namespace examples
