// Files that must not be loaded, each made by hand.
#include <doctest/doctest.h>
#ifndef _WIN32
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/files.hpp"
#include "tsdl/io/safetensors.hpp"

namespace {

using test::contains;
using test::message_of;
using test::TemporaryDirectory;
using test::write_bytes;

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string file_bytes(const std::string& header, std::size_t data_bytes) {
  return little_endian(header.size()) + header + std::string(data_bytes, '\0');
}

/// The part of the FormatError's message after the path, which it must begin with.
std::string refusal(const std::string& bytes) {
  const TemporaryDirectory directory;
  const auto path = directory / "m.safetensors";
  write_bytes(path, bytes);
  const std::string message = message_of<tsdl::FormatError>([&] { tsdl::read_safetensors(path); });
  const std::string prefix = path.string() + ": ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : "no prefix: " + message;
}

std::string refusal(const std::string& header, std::size_t data_bytes) {
  return refusal(file_bytes(header, data_bytes));
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets +
         "]}";
}

/// A valid file with metadata, two dtypes and nine bytes of data.
std::string small_file() {
  return file_bytes(R"({"__metadata__":{"k":"v","l":""},"a":)" + tensor("F64", "1", "0,8") +
                        R"(,"bc":)" + tensor("U8", "1,1", "8,9") + "}",
                    9);
}

constexpr const char* misplaced = "a value of this type cannot stand in the header here";

}  // namespace

TEST_CASE("the hand-made file that the refusals vary is itself accepted") {
  CHECK(refusal(small_file()) == "no prefix: no exception");
  CHECK(refusal("{}   ", 0) == "no prefix: no exception");
}

TEST_CASE("a file that cannot be read is an Error, not a FormatError") {
  const TemporaryDirectory directory;
  const auto absent = directory / "absent";
  const std::string why = message_of<tsdl::Error>([&] { tsdl::read_safetensors(absent); });
#ifdef _WIN32
  CHECK(why.starts_with(absent.string() + ": cannot be read: "));
#else
  CHECK(why == absent.string() + ": cannot be read: No such file or directory");
#endif
  CHECK(message_of<tsdl::Error>([&] { tsdl::read_safetensors(directory.path()); }) ==
        directory.path().string() + ": not a regular file");
#ifndef _WIN32
  const auto pipe = directory / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(message_of<tsdl::Error>([&] { tsdl::read_safetensors(pipe); }) ==
        pipe.string() + ": not a regular file");
#endif
}

TEST_CASE("a header that is too short, too long or not there is refused") {
  CHECK(refusal("") == "at least 8 bytes expected, 0 found");
  CHECK(refusal("1234567") == "at least 8 bytes expected, 7 found");
  CHECK(refusal(little_endian(0)) == "header: does not start with '{'");
  CHECK(refusal(little_endian(3) + "{}") == "header: 3 bytes declared, 2 found");
  CHECK(refusal(little_endian(100'000'000) + "{}") == "header: 100000000 bytes declared, 2 found");
  CHECK(refusal(little_endian(100'000'001) + "{}") ==
        "header: at most 100000000 bytes expected, 100000001 declared");
  CHECK(refusal(little_endian(~std::uint64_t{0}) + "{}") ==
        "header: at most 100000000 bytes expected, 18446744073709551615 declared");
}

#ifndef _WIN32  // needs fork and limits of a process
TEST_CASE("sizes that a header claims are compared with the file before they are allocated") {
  const TemporaryDirectory directory;
  const auto large_header = directory / "large-header";
  write_bytes(large_header, little_endian(200'000'000) + "{");
  std::filesystem::resize_file(large_header, 200'000'008);  // a hole: takes no disk
  const auto large_data = directory / "large-data";
  write_bytes(large_data,
              file_bytes(R"({"a":)" + tensor("F32", "1000000000", "0,4000000000") + "}", 0));
  const int status = test::status_of_child([&] {
    // 64 MiB more than is mapped now: an allocation of either claim fails.
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    if (pages == 0) return 1;
    const rlim_t bytes =
        static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (64u << 20);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    if (!contains(message_of<tsdl::FormatError>([&] { tsdl::read_safetensors(large_header); }),
                  "200000000 declared"))
      return 3;
    if (!contains(message_of<tsdl::FormatError>([&] { tsdl::read_safetensors(large_data); }),
                  "4000000000 bytes of data expected, 0 found"))
      return 4;
    return 0;
  });
  CHECK(status == 0);
}
#endif

TEST_CASE("a header that is not JSON is refused with the place") {
  CHECK(refusal("[]", 0) == "header: does not start with '{'");
  CHECK(refusal(" {}", 0) == "header: does not start with '{'");
  CHECK(refusal("\xef\xbb\xbf{}", 0) == "header: does not start with '{'");
  CHECK(refusal("{", 0) == "header: not JSON at its byte 2");
  CHECK(refusal("{}x", 0) == "header: not JSON at its byte 3");
  CHECK(refusal("{}{}", 0) == "header: not JSON at its byte 3");
  CHECK(refusal("{,}", 0) == "header: not JSON at its byte 2");
  CHECK(refusal(R"({"a"})", 0) == "header: not JSON at its byte 5");
  CHECK(refusal(R"({"__metadata__":{},})", 0) == "header: not JSON at its byte 20");
  CHECK(refusal(std::string("{}\0 ", 4), 0) == "header: not JSON at its byte 3");
  CHECK(refusal(std::string("{\"\0\":1}", 7), 0) == "header: not JSON at its byte 3");
  CHECK(refusal("{}/**/", 0) == "header: not JSON at its byte 3");
}

TEST_CASE("a header that is not UTF-8 is refused") {
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"}) {
    const std::string message =
        refusal(R"({"__metadata__":{"k":")" + std::string(bad) + R"("}})", 0);
    CHECK(contains(message, "header: not JSON at its byte 2"));
  }
}

TEST_CASE("duplicate keys are refused at every level") {
  const std::string a = R"("a":)" + tensor("F32", "1", "0,4");
  CHECK(refusal("{" + a + "," + a + "}", 4) == "tensor 'a': appears twice");
  CHECK(refusal("{" + a + R"(,"\u0061":)" + tensor("F32", "1", "4,8") + "}", 8) ==
        "tensor 'a': appears twice");
  CHECK(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0) ==
        "header: '__metadata__': appears twice");
  CHECK(refusal(R"({"__metadata__":{"k":"1","k":"1"}})", 0) ==
        "header: 'k': appears twice in the metadata");
  CHECK(refusal(R"({"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4) ==
        "tensor 'a': dtype appears twice");
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[],"shape":[],"data_offsets":[0,4]}})", 4) ==
        "tensor 'a': shape appears twice");
  CHECK(refusal(R"({"a":{"data_offsets":[0,4],"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                4) == "tensor 'a': data_offsets appears twice");
}

TEST_CASE("a tensor's object holds its three keys, of their types, and no other") {
  for (const char* object :
       {"{}", R"({"dtype":"F32","shape":[]})", R"({"dtype":"F32","data_offsets":[0,4]})",
        R"({"shape":[],"data_offsets":[0,4]})"})
    CHECK(refusal(std::string(R"({"a":)") + object + "}", 4) ==
          "tensor 'a': dtype, shape and data_offsets expected, not all found");
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"extra":1}})", 4) ==
        "tensor 'a': key 'extra' is not known");
  for (const char* object : {"1",
                             "null",
                             "true",
                             R"("text")",
                             "[]",
                             R"({"dtype":1})",
                             R"({"dtype":null})",
                             R"({"dtype":["F32"]})",
                             R"({"dtype":{}})",
                             R"({"shape":1})",
                             R"({"shape":"1"})",
                             R"({"shape":{}})",
                             R"({"shape":[[1]]})",
                             R"({"shape":["1"]})",
                             R"({"shape":[1.0]})",
                             R"({"shape":[1e0]})",
                             R"({"shape":[-1]})",
                             R"({"shape":[-0]})",
                             R"({"shape":[null]})",
                             R"({"shape":[true]})",
                             R"({"shape":[{}]})",
                             R"({"shape":[18446744073709551616]})",
                             R"({"data_offsets":{"0":0}})",
                             R"({"data_offsets":[0.5,4]})",
                             R"({"data_offsets":[-4,0]})"}) {
    CAPTURE(object);
    CHECK(refusal(std::string(R"({"a":)") + object + "}", 4) ==
          std::string("tensor 'a': ") + misplaced);
  }
  for (const char* offsets : {"", "0", "0,4,4", "0,4,8,9"})
    CHECK(refusal(R"({"a":)" + tensor("F32", "1", offsets) + "}", 4) ==
          "tensor 'a': data_offsets must be two numbers");
}

TEST_CASE("metadata maps strings to strings") {
  for (const char* value : {"1", "null", "[]", R"("text")", "false"})
    CHECK(refusal(std::string(R"({"__metadata__":)") + value + "}", 0) ==
          std::string("header: '__metadata__': ") + misplaced);
  for (const char* value : {"1", "null", "[]", "{}", "1.5", "true"})
    CHECK(refusal(std::string(R"({"__metadata__":{"k":)") + value + "}}", 0) ==
          std::string("header: 'k': ") + misplaced);
}

TEST_CASE("an unknown dtype is refused by name") {
  for (const char* dtype : {"F128", "f32", "", "F32 ", "F4"})
    CHECK(refusal(R"({"fc.bias":)" + tensor(dtype, "1", "0,4") + "}", 4) ==
          std::string("tensor 'fc.bias': dtype '") + dtype + "' is not known");
}

TEST_CASE("nesting of any depth is refused at its second level") {
  const std::string depth(1'000'000, '[');
  CHECK(refusal(R"({"a":)" + depth, 0) == std::string("tensor 'a': ") + misplaced);
  CHECK(refusal(R"({"a":{"shape":)" + depth, 0) == std::string("tensor 'a': ") + misplaced);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"shape":)";
  CHECK(refusal(R"({"a":)" + objects, 0) == std::string("tensor 'a': ") + misplaced);
  CHECK(refusal(R"({"__metadata__":{"k":)" + depth, 0) == std::string("header: 'k': ") + misplaced);
}

TEST_CASE("offsets leave no hole, do not overlap and start at 0") {
  const auto two = [](const std::string& first, const std::string& second, std::size_t bytes) {
    return refusal(
        R"({"a":)" + tensor("F32", "1", first) + R"(,"b":)" + tensor("F32", "1", second) + "}",
        bytes);
  };
  CHECK(two("0,4", "4,8", 8) == "no prefix: no exception");
  CHECK(two("4,8", "0,4", 8) == "no prefix: no exception");
  CHECK(two("4,8", "8,12", 12) == "tensor 'a': data begins at 4, 0 expected (hole)");
  CHECK(two("0,4", "5,9", 9) == "tensor 'b': data begins at 5, 4 expected (hole)");
  CHECK(two("0,4", "3,7", 8) == "tensor 'b': data begins at 3, 4 expected (overlap)");
  CHECK(two("0,4", "0,4", 4) == "tensor 'b': data begins at 0, 4 expected (overlap)");
}

TEST_CASE("a tensor's bytes are those of its shape and dtype") {
  const auto one = [](const std::string& shape, const std::string& offsets, std::size_t bytes) {
    return refusal(R"({"w":)" + tensor("F64", shape, offsets) + "}", bytes);
  };
  CHECK(one("3", "0,24", 24) == "no prefix: no exception");
  CHECK(one("3", "0,12", 12) ==
        "tensor 'w': data_offsets [0, 12] do not span the 24 bytes of F64 [3]");
  CHECK(one("2,0", "0,8", 8) ==
        "tensor 'w': data_offsets [0, 8] do not span the 0 bytes of F64 [2, 0]");
  CHECK(one("", "0,0", 0) == "tensor 'w': data_offsets [0, 0] do not span the 8 bytes of F64 []");
  CHECK(refusal(R"({"v":)" + tensor("U8", "8", "0,8") + R"(,"w":)" + tensor("U8", "0", "8,0") + "}",
                8) == "tensor 'w': data_offsets [8, 0] do not span the 0 bytes of U8 [0]");
}

TEST_CASE("shapes whose values or bytes cannot be counted are refused") {
  const auto shaped = [](const std::string& shape) {
    return refusal(R"({"w":)" + tensor("F64", shape, "0,8") + "}", 8);
  };
  // Modulo 2^64 these hold 1, 0 and 0 values, and 8 bytes.
  CHECK(shaped("4294967297,4294967297,4294967297") ==
        "tensor 'w': shape [4294967297, 4294967297, 4294967297] is too large");
  CHECK(shaped("4294967296,4294967296") ==
        "tensor 'w': shape [4294967296, 4294967296] is too large");
  CHECK(shaped("4611686018427387904,4") ==
        "tensor 'w': shape [4611686018427387904, 4] is too large");
  CHECK(shaped("2305843009213693953") == "tensor 'w': shape [2305843009213693953] is too large");
  CHECK(shaped("9223372036854775808") == "tensor 'w': size 9223372036854775808 is too large");
  CHECK(refusal(R"({"w":)" + tensor("U8", "1", "0,18446744073709551615") + "}", 1) ==
        "tensor 'w': size 18446744073709551615 is too large");
}

TEST_CASE("the last offset is the end of the file") {
  const std::string header = R"({"a":)" + tensor("F32", "2", "0,8") + "}";
  CHECK(refusal(header, 7) == "8 bytes of data expected, 7 found");
  CHECK(refusal(header, 9) == "8 bytes of data expected, 9 found");
  CHECK(refusal("{}", 1) == "0 bytes of data expected, 1 found");
}

TEST_CASE("a message stays one short line whatever a file calls its tensors") {
  std::string name;
  for (int i = 0; i < 1000; ++i) name += "\\nx";
  const std::string message = refusal(R"({")" + name + R"(":1})", 0);
  CHECK(contains(message, "tensor '?x?x"));
  CHECK_FALSE(contains(message, "\n"));
  CHECK(message.size() < 250);
  std::string shape = "9";
  for (int i = 0; i < 10000; ++i) shape += ",1";
  CHECK(refusal(R"({"a":)" + tensor("U8", shape, "0,8") + "}", 8).size() < 250);
}

TEST_CASE("a file cut off after any of its bytes is refused") {
  const std::string whole = small_file();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(contains(refusal(whole.substr(0, size)), "no prefix"));
  }
}

TEST_CASE("no changed byte of a header does more than load or throw an Error") {
  const TemporaryDirectory directory;
  const auto path = directory / "m.safetensors";
  const std::string whole = small_file();
  int loaded = 0, refused = 0;
  for (std::size_t at = 0; at < whole.size() - 9; ++at) {
    std::string values = std::string("\0\"{}[],:-9 \\\xff", 13);
    for (int bit = 0; bit < 8; ++bit) values += static_cast<char>(whole[at] ^ (1 << bit));
    for (const char value : values) {
      std::string bytes = whole;
      if (bytes[at] == value) continue;
      bytes[at] = value;
      write_bytes(path, bytes);
      try {
        const tsdl::TensorFile file = tsdl::read_safetensors(path);
        ++loaded;  // as after a change in a name or in metadata
        std::size_t data = 0;
        for (const auto& [name, tensor] : file.tensors()) data += tensor.bytes.size();
        REQUIRE(data == 9);
      } catch (const tsdl::FormatError& error) {
        ++refused;
        REQUIRE(std::string(error.what()).starts_with(path.string() + ": "));
      }
    }
  }
  CHECK(loaded > 0);
  CHECK(refused > loaded);
}
