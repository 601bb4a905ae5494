// Any bytes as a graph's text: an Error, or a graph whose text parses back to the same text.
#include "graph/text.h"
#include "graph/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::shared_ptr<outpost::Graph> graph;
  try {
    graph = outpost::parse_graph({reinterpret_cast<const char*>(data), size});
  } catch (const outpost::Error&) {
    return 0;
  }
  const auto text = outpost::to_text(*graph, {.full = true});
  if (outpost::to_text(*outpost::parse_graph(text), {.full = true}) != text) __builtin_trap();
  return 0;
}
