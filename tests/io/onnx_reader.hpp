// An ONNX file read back, as tests look at it. Written from onnx.proto, apart from the library.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/files.hpp"

namespace test {

struct OnnxConstant {
  std::int64_t type = 0;  ///< 1 float, 7 int64, 11 double
  std::vector<std::int64_t> shape;
  std::string raw;

  template <class Value>
  std::vector<Value> values() const {
    std::vector<Value> all(raw.size() / sizeof(Value));
    std::memcpy(all.data(), raw.data(), all.size() * sizeof(Value));
    return all;
  }
};

struct OnnxNode {
  std::string op, name;
  std::vector<std::string> inputs, outputs;
  /// "2", "[1, 0, 2]", text, or a float in millionths.
  std::map<std::string, std::string> attributes;
};

struct OnnxPort {
  std::string name, doc;
  std::int64_t type = 0;
  std::vector<std::string> shape;
};

struct OnnxFile {
  std::int64_t ir_version = 0;
  std::string producer, producer_version, doc, graph;
  std::vector<std::pair<std::string, std::int64_t>> operators;
  std::map<std::string, std::string> metadata;
  std::vector<OnnxNode> nodes;
  std::map<std::string, OnnxConstant> constants;
  std::vector<OnnxPort> inputs, outputs;

  const OnnxNode& node(const std::string& op) const {
    for (const OnnxNode& node : nodes)
      if (node.op == op) return node;
    throw std::runtime_error("no node " + op);
  }
  std::string ops() const {
    std::string all;
    for (const OnnxNode& node : nodes) all += (all.empty() ? "" : " ") + node.op;
    return all;
  }
};

namespace onnx {

using Reader = protozero::pbf_reader;

/// Calls use(message, field number) for each field; use must read it.
template <class Use>
void fields(Reader message, const Use& use) {
  while (message.next()) use(message, message.tag());
}

inline std::pair<std::string, std::string> attribute(Reader message) {
  std::string name, value, list, number;  // the last in millionths
  std::int64_t type = 0;
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1) {
      name = m.get_string();
    } else if (tag == 2) {
      number = std::to_string(1e6 * static_cast<double>(m.get_float()));
    } else if (tag == 3) {
      value = std::to_string(m.get_int64());
    } else if (tag == 4) {
      value = m.get_bytes();
    } else if (tag == 8) {
      list += (list.empty() ? "" : ", ") + std::to_string(m.get_int64());
    } else if (tag == 20) {
      type = m.get_int32();
    } else {
      throw std::runtime_error("attribute: field " + std::to_string(tag));
    }
  });
  const std::int64_t expected = !number.empty()                                               ? 1
                                : !list.empty()                                               ? 7
                                : value.find_first_not_of("-0123456789") == std::string::npos ? 2
                                                                                              : 3;
  if (type != expected)
    throw std::runtime_error("attribute " + name + ": type " + std::to_string(type));
  if (!number.empty()) return {name, number};
  return {name, list.empty() ? value : "[" + list + "]"};
}

inline OnnxNode node(Reader message) {
  OnnxNode node;
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1)
      node.inputs.push_back(m.get_string());
    else if (tag == 2)
      node.outputs.push_back(m.get_string());
    else if (tag == 3)
      node.name = m.get_string();
    else if (tag == 4)
      node.op = m.get_string();
    else if (tag == 5)
      node.attributes.insert(attribute(m.get_message()));
    else
      throw std::runtime_error("node: field " + std::to_string(tag));
  });
  return node;
}

inline std::pair<std::string, OnnxConstant> constant(Reader message) {
  std::string name;
  OnnxConstant constant;
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1)
      constant.shape.push_back(m.get_int64());
    else if (tag == 2)
      constant.type = m.get_int32();
    else if (tag == 8)
      name = m.get_string();
    else if (tag == 9)
      constant.raw = m.get_bytes();
    else
      throw std::runtime_error("tensor: field " + std::to_string(tag));
  });
  return {name, constant};
}

inline OnnxPort port(Reader message) {
  OnnxPort port;
  const auto dimension = [&](Reader& m, auto tag) {
    port.shape.push_back(tag == 1 ? std::to_string(m.get_int64()) : m.get_string());
  };
  const auto tensor = [&](Reader& m, auto tag) {
    if (tag == 1)
      port.type = m.get_int32();
    else
      fields(m.get_message(), [&](Reader& shape, auto) { fields(shape.get_message(), dimension); });
  };
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1)
      port.name = m.get_string();
    else if (tag == 3)
      port.doc = m.get_string();
    else
      fields(m.get_message(), [&](Reader& type, auto) { fields(type.get_message(), tensor); });
  });
  return port;
}

/// A name that stands twice would hide a tensor.
inline void add_once(std::map<std::string, OnnxConstant>& constants,
                     std::pair<std::string, OnnxConstant> one) {
  const std::string name = one.first;
  if (!constants.insert(std::move(one)).second) throw std::runtime_error("two constants " + name);
}

inline void graph(Reader message, OnnxFile& file) {
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1)
      file.nodes.push_back(node(m.get_message()));
    else if (tag == 2)
      file.graph = m.get_string();
    else if (tag == 5)
      add_once(file.constants, constant(m.get_message()));
    else if (tag == 11)
      file.inputs.push_back(port(m.get_message()));
    else if (tag == 12)
      file.outputs.push_back(port(m.get_message()));
    else
      throw std::runtime_error("graph: field " + std::to_string(tag));
  });
}

/// Two strings, or a string and a number, under 1 and 2.
template <class Second>
std::pair<std::string, Second> pair(Reader message, Second second) {
  std::string first;
  fields(message, [&](Reader& m, auto tag) {
    if (tag == 1)
      first = m.get_string();
    else if constexpr (std::is_same_v<Second, std::string>)
      second = m.get_string();
    else
      second = m.get_int64();
  });
  return {first, second};
}

}  // namespace onnx

inline OnnxFile read_onnx(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path);
  OnnxFile file;
  onnx::fields(onnx::Reader(bytes), [&](onnx::Reader& m, auto tag) {
    if (tag == 1)
      file.ir_version = m.get_int64();
    else if (tag == 2)
      file.producer = m.get_string();
    else if (tag == 3)
      file.producer_version = m.get_string();
    else if (tag == 6)
      file.doc = m.get_string();
    else if (tag == 7)
      onnx::graph(m.get_message(), file);
    else if (tag == 8)
      file.operators.push_back(onnx::pair(m.get_message(), std::int64_t{0}));
    else if (tag == 14)
      file.metadata.insert(onnx::pair(m.get_message(), std::string()));
    else
      throw std::runtime_error("model: field " + std::to_string(tag));
  });
  return file;
}

}  // namespace test
