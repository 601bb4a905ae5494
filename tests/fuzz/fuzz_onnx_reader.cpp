// Any bytes as a model, read only (fuzz_onnx runs it too): a graph that keeps its invariants and comes back from its
// text form and, where ONNX can say it, from a file that we write, or an Error.
#include "formats/onnx/onnx.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace {

const outpost::LoadOptions limits{.memory_limit_bytes = 64 << 20, .max_nodes = 5000};

std::string full_text(const outpost::Graph& graph) { return outpost::to_text(graph, {.full = true}); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    for (auto kind : {outpost::Type::Kind::tensor, outpost::Type::Kind::sequence, outpost::Type::Kind::optional, outpost::Type::Kind::map}) {
      try {
        outpost::read_onnx_value(bytes, kind);
      } catch (const outpost::Error&) {
      }
    }
    const auto graph = outpost::load_onnx(bytes, nullptr, limits);
    outpost::verify_graph(*graph);
    const auto text = full_text(*graph);
    if (full_text(*outpost::parse_graph(text)) != text) __builtin_trap();
    const auto file = outpost::onnx_bytes(*graph);
    outpost::verify_graph(*outpost::load_onnx(std::as_bytes(std::span(file)), nullptr, limits));
  } catch (const outpost::Error& error) {
    if (error.code() == outpost::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
