// A second object in every test program, which includes everything: a missing `inline` anywhere
// breaks the link.
#include <doctest/doctest.h>

#include <string>
#include <tsdl/io/onnx.hpp>
#include <tsdl/tsdl.hpp>

TEST_CASE("the version is the three numbers") {
  CHECK(std::string(tsdl::version) == std::to_string(TSDL_VERSION_MAJOR) + "." +
                                          std::to_string(TSDL_VERSION_MINOR) + "." +
                                          std::to_string(TSDL_VERSION_PATCH));
}
