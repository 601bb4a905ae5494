// The structure of an ONNX file as read: names and attributes still point into the file's bytes, nothing is resolved.
// A short-lived stage between the wire and the Graph, which function inlining and subgraph closing need to look ahead.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/onnx/schema.h"
#include "formats/onnx/wire.h"
#include "graph/attribute.h"

namespace outpost::onnx {

struct GraphProto;

struct AttributeProto {
  std::string_view name, reference;  // reference: the attribute of the enclosing function that this one repeats
  AttributeType type = AttributeType::undefined;
  std::string_view bytes;            // the whole message; read into an Attribute when its node is made
  std::vector<std::shared_ptr<const GraphProto>> graphs;
};

struct NodeProto {
  std::string_view name, op, domain, overload;
  std::vector<std::string_view> inputs, outputs;  // "" where absent
  std::vector<AttributeProto> attributes;
  // "Conv 'c1'"
  std::string label() const;
};

struct NamedBytes {
  std::string_view name, bytes;
};

struct GraphProto {
  std::string_view name;
  std::vector<NodeProto> nodes;        // in topological order
  std::vector<NamedBytes> initializers, sparse_initializers;
  std::vector<NamedBytes> inputs, outputs;  // bytes: TypeProto
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
  std::vector<std::string_view> free_names;  // taken from outside, in order of first use
};

using Opsets = std::unordered_map<std::string, int>;  // domain -> version

struct FunctionProto {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> defaults;
  std::vector<NodeProto> nodes;        // in topological order
  Opsets opsets;
};

struct ModelProto {
  int64_t ir_version = 0;
  Opsets opsets;
  GraphProto graph;
  std::vector<FunctionProto> functions;
  std::vector<std::pair<std::string, std::string>> metadata;
};

struct ParseLimits {
  int64_t max_nodes;
  int max_depth;
};

// Throws Error(invalid_model | limit).
ModelProto parse_model(const Source& source, const ParseLimits& limits, Budget& budget);

// "ai.onnx" is another spelling of "".
inline std::string_view canonical_domain(std::string_view domain) { return domain == "ai.onnx" ? std::string_view() : domain; }

}  // namespace outpost::onnx
