// ONNX files as protobuf: the few messages and fields that a network needs, and a graph that is
// built from its inputs to its outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <protozero/pbf_builder.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/io/tensor_file.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The messages by their names in ONNX, with their field numbers.
/// Source: https://github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto
namespace onnx_proto {

using Tag = protozero::pbf_tag_type;

enum class ModelProto : Tag {
  ir_version = 1,
  producer_name = 2,
  producer_version = 3,
  doc_string = 6,
  graph = 7,
  opset_import = 8,
  metadata_props = 14
};
enum class OperatorSetIdProto : Tag { domain = 1, version = 2 };
enum class StringStringEntryProto : Tag { key = 1, value = 2 };
enum class GraphProto : Tag { node = 1, name = 2, initializer = 5, input = 11, output = 12 };
enum class NodeProto : Tag { input = 1, output = 2, name = 3, op_type = 4, attribute = 5 };
enum class AttributeProto : Tag { name = 1, f = 2, i = 3, s = 4, ints = 8, type = 20 };
enum class AttributeType : std::int32_t { number = 1, integer = 2, string = 3, integers = 7 };
enum class TensorProto : Tag { dims = 1, data_type = 2, name = 8, raw_data = 9 };
enum class ValueInfoProto : Tag { name = 1, type = 2, doc_string = 3 };
enum class TypeProto : Tag { tensor_type = 1 };
enum class TypeProtoTensor : Tag { elem_type = 1, shape = 2 };
enum class TensorShapeProto : Tag { dim = 1 };
enum class Dimension : Tag { dim_value = 1, dim_param = 2 };

template <class Message>
using Builder = protozero::pbf_builder<Message>;

}  // namespace onnx_proto

/// The type of a tensor's values, by ONNX's numbers.
enum class OnnxType : std::int32_t { f32 = 1, i64 = 7, f64 = 11 };

template <class Value>
constexpr OnnxType onnx_type() {
  static_assert(std::is_same_v<Value, float> || std::is_same_v<Value, double> ||
                std::is_same_v<Value, std::int64_t>);
  if (std::is_same_v<Value, double>) return OnnxType::f64;
  return std::is_same_v<Value, float> ? OnnxType::f32 : OnnxType::i64;
}

/// An input or output of a graph.
struct OnnxValue {
  std::string name;
  OnnxType type = OnnxType::f32;
  std::vector<std::variant<Index, std::string>> shape;  ///< a size, or the name of a varying one
  std::string doc;
};

/// An attribute of a node.
struct OnnxAttribute {
  std::string name;
  std::variant<std::int64_t, std::vector<std::int64_t>, std::string, float> value;
};

/// A graph under construction: each call appends a message. A node is added after the nodes that it
/// reads.
class OnnxGraph {
 public:
  explicit OnnxGraph(const std::string& name) {
    graph().add_string(onnx_proto::GraphProto::name, name);
  }

  /// The GraphProto so far.
  const std::string& bytes() const noexcept { return bytes_; }

  /// What is added from now on has this before its name: for parts that are alike.
  void set_scope(std::string scope) { scope_ = std::move(scope); }
  /// A name as it is added; "" stays "".
  std::string scoped(const std::string& name) const { return name.empty() ? name : scope_ + name; }

  void add_input(const OnnxValue& value) { add_value(onnx_proto::GraphProto::input, value); }
  void add_output(const OnnxValue& value) { add_value(onnx_proto::GraphProto::output, value); }

  /// Adds a constant tensor of row-major values. Returns its scoped name.
  template <class Value>
  std::string constant(const std::string& own_name, const std::vector<Index>& shape,
                       const std::vector<Value>& values) {
    using onnx_proto::TensorProto;
    const std::string name = scoped(own_name);
    auto parent = graph();
    onnx_proto::Builder<TensorProto> tensor(parent, onnx_proto::GraphProto::initializer);
    for (const Index size : shape) tensor.add_int64(TensorProto::dims, size);
    tensor.add_int32(TensorProto::data_type, static_cast<std::int32_t>(onnx_type<Value>()));
    tensor.add_string(TensorProto::name, name);
    const auto raw = std::as_bytes(std::span(values));  // little-endian, as tensor_file.hpp asserts
    tensor.add_bytes(TensorProto::raw_data, reinterpret_cast<const char*>(raw.data()), raw.size());
    return name;
  }

  /// Adds a node. The caller names its outputs, in the operator's order, without their scope; ""
  /// marks an unwanted one. Inputs are names as they were returned.
  void add_node(const std::string& op, const std::vector<std::string>& inputs,
                const std::vector<std::string>& outputs,
                const std::vector<OnnxAttribute>& attributes = {}) {
    using onnx_proto::NodeProto;
    auto parent = graph();
    onnx_proto::Builder<NodeProto> node(parent, onnx_proto::GraphProto::node);
    for (const std::string& input : inputs) node.add_string(NodeProto::input, input);
    for (const std::string& output : outputs) node.add_string(NodeProto::output, scoped(output));
    node.add_string(NodeProto::name, op + "_" + scoped(outputs.back()));
    node.add_string(NodeProto::op_type, op);
    for (const OnnxAttribute& attribute : attributes) add_attribute(node, attribute);
  }

  /// The same for a single output. Returns its scoped name.
  std::string node(const std::string& op, const std::vector<std::string>& inputs,
                   const std::string& output, const std::vector<OnnxAttribute>& attributes = {}) {
    add_node(op, inputs, {output}, attributes);
    return scoped(output);
  }

 private:
  onnx_proto::Builder<onnx_proto::GraphProto> graph() {
    return onnx_proto::Builder<onnx_proto::GraphProto>(bytes_);
  }

  void add_value(onnx_proto::GraphProto field, const OnnxValue& value) {
    using namespace onnx_proto;
    auto parent = graph();
    Builder<ValueInfoProto> info(parent, field);
    info.add_string(ValueInfoProto::name, value.name);
    info.add_string(ValueInfoProto::doc_string, value.doc);
    Builder<TypeProto> type(info, ValueInfoProto::type);
    Builder<TypeProtoTensor> tensor(type, TypeProto::tensor_type);
    tensor.add_int32(TypeProtoTensor::elem_type, static_cast<std::int32_t>(value.type));
    Builder<TensorShapeProto> shape(tensor, TypeProtoTensor::shape);
    for (const auto& size : value.shape) {
      Builder<Dimension> dimension(shape, TensorShapeProto::dim);
      if (const Index* fixed = std::get_if<Index>(&size))
        dimension.add_int64(Dimension::dim_value, *fixed);
      else
        dimension.add_string(Dimension::dim_param, std::get<std::string>(size));
    }
  }

  static void add_attribute(onnx_proto::Builder<onnx_proto::NodeProto>& node,
                            const OnnxAttribute& attribute) {
    using namespace onnx_proto;
    Builder<AttributeProto> message(node, NodeProto::attribute);
    const auto add_type = [&](AttributeType type) {
      message.add_int32(AttributeProto::type, static_cast<std::int32_t>(type));
    };
    message.add_string(AttributeProto::name, attribute.name);
    if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
      message.add_int64(AttributeProto::i, *integer);
      add_type(AttributeType::integer);
    } else if (const auto* number = std::get_if<float>(&attribute.value)) {
      message.add_float(AttributeProto::f, *number);
      add_type(AttributeType::number);
    } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
      message.add_bytes(AttributeProto::s, *text);
      add_type(AttributeType::string);
    } else {
      for (const std::int64_t value : std::get<std::vector<std::int64_t>>(attribute.value))
        message.add_int64(AttributeProto::ints, value);
      add_type(AttributeType::integers);
    }
  }

  std::string bytes_, scope_;
};

/// The properties of a model beside its graph.
struct OnnxHeader {
  std::string producer, version, doc;
  std::map<std::string, std::string> metadata;
};

/// The ModelProto of a graph: operator set 17 of ONNX's own domain, from ONNX 1.12.
inline std::string onnx_model(const OnnxGraph& graph, const OnnxHeader& header) {
  using namespace onnx_proto;
  std::string bytes;
  Builder<ModelProto> model(bytes);
  model.add_int64(ModelProto::ir_version, 8);
  model.add_string(ModelProto::producer_name, header.producer);
  model.add_string(ModelProto::producer_version, header.version);
  model.add_string(ModelProto::doc_string, header.doc);
  {
    Builder<OperatorSetIdProto> operators(model, ModelProto::opset_import);
    operators.add_string(OperatorSetIdProto::domain, "");
    operators.add_int64(OperatorSetIdProto::version, 17);
  }
  for (const auto& [key, value] : header.metadata) {
    Builder<StringStringEntryProto> entry(model, ModelProto::metadata_props);
    entry.add_string(StringStringEntryProto::key, key);
    entry.add_string(StringStringEntryProto::value, value);
  }
  model.add_message(ModelProto::graph, graph.bytes());
  return bytes;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
