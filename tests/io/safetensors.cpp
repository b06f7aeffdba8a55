// What is written and read back. What is refused: safetensors_refusals.cpp.
#include "tsdl/io/safetensors.hpp"

#include <doctest/doctest.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/resource.h>
#endif

#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/files.hpp"

namespace {

using test::contains;
using test::message_of;
using test::read_bytes;
using test::TemporaryDirectory;
using test::write_bytes;
using tsdl::Index;
using tsdl::TensorFile;

/// A file's bytes from its parts; the length of the header is stated by the test, not computed.
std::string bytes_of(std::size_t header_length, const std::string& header,
                     const std::string& data) {
  std::string length(8, '\0');
  length[0] = static_cast<char>(header_length % 256);
  length[1] = static_cast<char>(header_length / 256);
  return length + header + data;
}

std::string written(const TensorFile& file) {
  const TemporaryDirectory directory;
  tsdl::write_safetensors(directory / "x", file);
  return read_bytes(directory / "x");
}

}  // namespace

TEST_CASE("bytes written are those of the reference implementation's own tests") {
  // safetensors/src/tensor.rs: test_serialization, test_serialization_forced_alignement,
  // test_empty.
  const std::array<float, 6> values{0, 1, 2, 3, 4, 5};
  const std::string data("\0\0\0\0\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\0\0\xa0@", 24);
  TensorFile plain;
  plain.add<float>("attn.0", {1, 2, 3}, values);
  CHECK(written(plain) ==
        bytes_of(64, R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})", data));

  TensorFile padded;
  padded.add<float>("attn0", {1, 1, 2, 3}, values);
  CHECK(written(padded) ==
        bytes_of(72, R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )",
                 data));

  TensorFile empty;
  CHECK(written(empty) == bytes_of(8, "{}      ", ""));
  empty.metadata["framework"] = "pt";
  CHECK(written(empty) == bytes_of(40, R"({"__metadata__":{"framework":"pt"}}     )", ""));
}

TEST_CASE("tensors are sorted by descending dtype, then name; metadata stands first, sorted") {
  TensorFile file;
  file.metadata["n"] = "1";
  file.metadata["k\n"] = "v\"\xc3\xa9";
  file.add<float>("b", {2}, std::array{1.0f, -2.0f});
  file.add<double>("z", {1, 2}, std::array{1.0, 2.0});
  file.add<float>("a", {}, std::array{0.5f});
  file.add<double>("none", {0, 7}, std::span<const double>());
  const std::string header = R"({"__metadata__":{"k\n":"v\")"
                             "\xc3\xa9"
                             R"(","n":"1"},)"
                             R"("none":{"dtype":"F64","shape":[0,7],"data_offsets":[0,0]},)"
                             R"("z":{"dtype":"F64","shape":[1,2],"data_offsets":[0,16]},)"
                             R"("a":{"dtype":"F32","shape":[],"data_offsets":[16,20]},)"
                             R"("b":{"dtype":"F32","shape":[2],"data_offsets":[20,28]}})";
  const std::string data(
      "\0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@"
      "\0\0\0?"
      "\0\0\x80?\0\0\0\xc0",
      28);
  const std::string bytes = written(file);
  CHECK(bytes == bytes_of(264, header + std::string(1, ' '), data));
  CHECK(written(file) == bytes);

  TensorFile reversed;
  reversed.add<double>("none", {0, 7}, std::span<const double>());
  reversed.add<float>("a", {}, std::array{0.5f});
  reversed.add<double>("z", {1, 2}, std::array{1.0, 2.0});
  reversed.add<float>("b", {2}, std::array{1.0f, -2.0f});
  reversed.metadata = file.metadata;
  CHECK(written(reversed) == bytes);
}

TEST_CASE_TEMPLATE("values come back bit for bit", Scalar, float, double) {
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  using Limits = std::numeric_limits<Scalar>;
  const std::vector<Scalar> values{0,
                                   -Scalar(0),
                                   Scalar(0.1),
                                   Limits::max(),
                                   Limits::lowest(),
                                   Limits::denorm_min(),
                                   Limits::infinity(),
                                   -Limits::infinity(),
                                   Limits::quiet_NaN(),
                                   -1,
                                   2,
                                   3};
  const TemporaryDirectory directory;
  const auto path = directory / "x.safetensors";
  TensorFile file;
  file.metadata["text"] = std::string("\0 zero, \x7f, \xe2\x82\xac", 14);
  file.add<Scalar>("lstm.weight_ih_l0", {3, 4}, values);
  file.add<Scalar>("one", {}, std::array{Scalar(7)});
  file.add<Scalar>("none", {2, 0, 3}, std::span<const Scalar>());
  file.add<Scalar>("", {1}, std::array{Scalar(8)});
  tsdl::write_safetensors(path, file);

  TensorFile back = tsdl::read_safetensors(path);
  CHECK(back.path() == path.string());
  CHECK(back.metadata == file.metadata);
  CHECK(back.tensors().size() == 4);
  CHECK(back.contains("one"));
  CHECK_FALSE(back.contains("two"));
  CHECK(back.tensors().at("lstm.weight_ih_l0").shape == std::vector<Index>{3, 4});
  CHECK(back.tensors().at("none").shape == std::vector<Index>{2, 0, 3});

  std::vector<Scalar> out(12);
  back.copy_to<Scalar>("lstm.weight_ih_l0", {3, 4}, out);
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::bit_cast<Bits>(out[i]) == std::bit_cast<Bits>(values[i]));
  std::array<Scalar, 1> one{};
  back.copy_to<Scalar>("one", {}, one);
  CHECK(one[0] == 7);
  back.copy_to<Scalar>("", {1}, one);
  CHECK(one[0] == 8);
  CHECK_THROWS_AS(back.refuse_unused(), tsdl::FormatError);
  back.copy_to<Scalar>("none", {2, 0, 3}, std::span<Scalar>());
  CHECK_NOTHROW(back.refuse_unused());
  CHECK(written(back) == read_bytes(path));
}

TEST_CASE("F32 and F64 convert into each other") {
  TensorFile file;
  const float tenth = 0.1f;
  file.add<float>("f", {3}, std::array{tenth, FLT_MAX, -INFINITY});
  file.add<double>("d", {4}, std::array{0.1, 1e-300, double{FLT_MAX}, double{INFINITY}});
  file.add<double>("nan", {1}, std::array{std::numeric_limits<double>::quiet_NaN()});

  std::array<double, 3> d{};
  file.copy_to<double>("f", {3}, d);
  CHECK(d == std::array{double{tenth}, double{FLT_MAX}, -double{INFINITY}});
  std::array<float, 4> f{};
  file.copy_to<float>("d", {4}, f);
  CHECK(f == std::array{0.1f, 0.0f, FLT_MAX, INFINITY});
  std::array<float, 1> nan{};
  file.copy_to<float>("nan", {1}, nan);
  CHECK(std::isnan(nan[0]));
}

TEST_CASE("a double beyond float's range is refused by name and nothing is written") {
  TensorFile file("model.safetensors");
  file.add<double>("fc.bias", {2}, std::array{1.0, -3.5e38});
  std::array<float, 2> out{5, 6};
  const std::string message =
      message_of<tsdl::FormatError>([&] { file.copy_to<float>("fc.bias", {2}, out); });
  CHECK(message == "model.safetensors: tensor 'fc.bias': value 1 is -3.5e+38, beyond F32's range");
  CHECK(out == std::array{5.0f, 6.0f});
  CHECK_THROWS_AS(file.refuse_unused(), tsdl::FormatError);
}

TEST_CASE("a missing, misshaped or unused tensor is refused by name") {
  TensorFile file("model.safetensors");
  file.add<float>("fc.weight", {2, 3}, std::array<float, 6>{});
  std::array<float, 6> out{};
  const auto copy = [&](const std::string& name, std::vector<Index> shape) {
    return message_of<tsdl::FormatError>(
        [&] { file.copy_to<float>(name, std::span<const Index>(shape), out); });
  };
  CHECK(copy("fc.bias", {6}) == "model.safetensors: tensor 'fc.bias': missing");
  CHECK(copy("fc.weight", {3, 2}) ==
        "model.safetensors: tensor 'fc.weight': shape [3, 2] expected, [2, 3] found");
  CHECK(copy("fc.weight", {6}) ==
        "model.safetensors: tensor 'fc.weight': shape [6] expected, [2, 3] found");
  CHECK(copy("fc.weight", {2, 3, 1}) ==
        "model.safetensors: tensor 'fc.weight': shape [2, 3, 1] expected, [2, 3] found");
  const auto unused = [&] { return message_of<tsdl::FormatError>([&] { file.refuse_unused(); }); };
  CHECK(unused() == "model.safetensors: tensor 'fc.weight': not expected");
  for (const char* name : {"a", "b", "c", "d\n", "e", "f"})
    file.add<float>(name, {1}, std::array{1.0f});
  CHECK(unused() == "model.safetensors: tensors 'a', 'b', 'c', 'd?', 'e' and 2 more: not expected");

  file.metadata["config"] = "{}";
  CHECK(file.metadata_at("config") == "{}");
  CHECK(message_of<tsdl::FormatError>([&] { (void)file.metadata_at("recipe"); }) ==
        "model.safetensors: metadata 'recipe': missing");
}

TEST_CASE("misuse of a TensorFile is refused") {
  TensorFile file;
  file.add<float>("a", {2}, std::array{1.0f, 2.0f});
  const std::array<float, 2> two{};
  CHECK_THROWS_AS(file.add<float>("b", {3}, two), tsdl::ShapeError);
  CHECK_THROWS_AS(file.add<float>("b", {}, two), tsdl::ShapeError);
  CHECK_THROWS_AS(file.add<float>("b", {-1, -2}, two), tsdl::ShapeError);
  constexpr Index half = Index{1} << 32;
  CHECK_THROWS_AS(file.add<float>("b", {half, half}, std::span<const float>()), tsdl::ShapeError);
  CHECK_FALSE(file.contains("b"));
  CHECK(contains(message_of<tsdl::Error>([&] { file.add<float>("a", {2}, two); }), "'a' is taken"));
  CHECK_THROWS_AS(file.add<float>("__metadata__", {2}, two), tsdl::Error);
  std::array<float, 3> three{};
  CHECK_THROWS_AS(file.copy_to<float>("a", {2}, three), tsdl::ShapeError);
}

TEST_CASE("tensors of other dtypes are read and kept, and refused when they are asked for") {
  const TemporaryDirectory directory;
  const auto path = directory / "x.safetensors";
  const std::string header = R"({"steps":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                             R"("half":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
                             R"("mask":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  const std::string bytes = bytes_of(header.size() + padding.size(), header + padding,
                                     std::string("\5\0\0\0\0\0\0\0\0\0\x80?wxyzmno", 19));
  write_bytes(path, bytes);
  TensorFile file = tsdl::read_safetensors(path);
  CHECK(file.tensors().at("steps").dtype == tsdl::DType::i64);
  CHECK(file.tensors().at("half").dtype == tsdl::DType::bf16);
  CHECK(file.tensors().at("mask").dtype == tsdl::DType::boolean);
  std::array<float, 1> one{};
  const std::string message =
      message_of<tsdl::FormatError>([&] { file.copy_to<float>("steps", {1}, one); });
  CHECK(message == path.string() + ": tensor 'steps': dtype F32 or F64 expected, I64 found");
  file.copy_to<float>("a", {1}, one);
  CHECK(one[0] == 1.0f);
  CHECK(contains(message_of<tsdl::FormatError>([&] { file.refuse_unused(); }),
                 "'half', 'mask', 'steps'"));
  CHECK(written(file) == bytes);
}

TEST_CASE("data need not be aligned, nor named in the order of their offsets") {
  const TemporaryDirectory directory;
  const auto path = directory / "x.safetensors";
  const std::string header = R"({"a":{"data_offsets":[3,7],"shape":[1],"dtype":"F32"}, )"
                             R"("b":{"shape":[3],"dtype":"U8","data_offsets":[0,3]}})";
  write_bytes(path, bytes_of(header.size(), header, std::string("\1\2\3\0\0\x80?", 7)));
  TensorFile file = tsdl::read_safetensors(path);
  std::array<double, 1> one{};
  file.copy_to<double>("a", {1}, one);
  CHECK(one[0] == 1.0);
}

TEST_CASE("a name or metadata that is not UTF-8 is not written") {
  const TemporaryDirectory directory;
  const auto path = directory / "x.safetensors";
  write_bytes(path, "old");
  TensorFile file;
  file.add<float>("\xff", {1}, std::array{1.0f});
  std::string message = message_of<tsdl::Error>([&] { tsdl::write_safetensors(path, file); });
  CHECK(contains(message, path.string()));
  CHECK(contains(message, "not UTF-8"));
  TensorFile other;
  other.metadata["key"] = "\xc3";
  message = message_of<tsdl::Error>([&] { tsdl::write_safetensors(path, other); });
  CHECK(contains(message, "not UTF-8"));
  CHECK(read_bytes(path) == "old");
  CHECK(directory.count() == 1);
}

#ifndef _WIN32  // needs fork and limits of a process
TEST_CASE("an old model survives a disk that fills anywhere while a new one is written") {
  const TemporaryDirectory directory;
  const auto path = directory / "best.safetensors";
  TensorFile old;
  old.metadata["which"] = "old";
  tsdl::write_safetensors(path, old);
  const std::string before = read_bytes(path);
  TensorFile file;
  file.add<double>("a", {1000}, std::vector<double>(1000, 1.0));
  file.add<float>("b", {1000}, std::vector<float>(1000, 1.0f));
  const int status = test::status_of_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    for (const rlim_t bytes : {0u, 4u, 100u, 5000u, 8200u, 12000u}) {
      const rlimit limit{bytes, RLIM_INFINITY};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
      const std::string message =
          message_of<tsdl::Error>([&] { tsdl::write_safetensors(path, file); });
      if (!contains(message, path.string() + ": cannot be written")) return 2;
    }
    return 0;
  });
  CHECK(status == 0);
  CHECK(read_bytes(path) == before);
  CHECK(directory.count() == 1);
  tsdl::write_safetensors(path, file);
  CHECK(read_bytes(path).size() > 12000);
}
#endif
