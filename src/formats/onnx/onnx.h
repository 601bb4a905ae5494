// ONNX files: graphs in and out, and the .pb files of single values that ONNX's test data consists of.
//
// Reading accepts every IR version up to the newest, treats the file as hostile (lengths, counts, nesting and memory are
// limited; external data is confined to one folder) and gives a graph as graph/graph.h describes it: model-local
// functions inlined, Constant nodes turned into constants, subgraphs closed, nodes sorted. Nodes keep the opset version
// that they were written in (Node::version); ops/upgrade.h brings them to the newest.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "graph/graph.h"
#include "outpost/model.h"  // LoadOptions

namespace outpost {

// Throws Error(invalid_model | unsupported | limit | not_found | io).
std::shared_ptr<Graph> load_onnx(const std::filesystem::path& path, const LoadOptions& options = {});
// From memory: with an owner, tensors point into `bytes` and keep it; without, they are copied.
std::shared_ptr<Graph> load_onnx(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr,
                                 const LoadOptions& options = {});

// A TensorProto, SequenceProto, OptionalProto or MapProto, by the kind of the graph input or output that it is for.
Datum load_onnx_value(const std::filesystem::path& path, Type::Kind kind);
Datum read_onnx_value(std::span<const std::byte> bytes, Type::Kind kind, const std::string& name = "value");

enum class ExternalDataUse : uint8_t { automatic, always, never };

struct SaveOptions {
  // Constants of 1 KiB and more in a file beside the model, named like it with ".data" added. Automatic: only when
  // together they pass 1.9 GiB (protobuf, which others read the model with, ends at 2 GiB).
  ExternalDataUse external_data = ExternalDataUse::automatic;
};

// Writes the graph as one model: nodes in the form they have (their versions must fit one opset per domain: resolved
// graphs do), captures as references to outer names, state variables as inputs with an initial value and outputs.
// Loading the file gives the same graph back. Throws Error(invalid_argument | io | limit).
void save_onnx(const Graph& graph, const std::filesystem::path& path, const SaveOptions& options = {});
std::string onnx_bytes(const Graph& graph);  // without external data
// A TensorProto, SequenceProto, OptionalProto or MapProto, by kind.
std::string onnx_value_bytes(const Datum& value, Type::Kind kind = Type::Kind::tensor);

}  // namespace outpost
