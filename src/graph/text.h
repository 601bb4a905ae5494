// A graph as text that people read and parse_graph() reads back:
//
//   graph "main" {
//     opset "" 28
//     input %x f32[N,3]
//     const %w f32[3,2] {1, 2, 3, 4, 5, 6}
//     const %big f32[1000,1000] (4000000 bytes, hash 1f3a…)       only in summaries
//     const %far f32[1000,1000] @3                                data that lies elsewhere (TextOptions::elsewhere)
//     %y f32[N,2] = MatMul(%x, %w) v13
//     %z f32[…], - = com.microsoft.Foo(%y, -; %x) v1 "node name" {axis = -1, body = graph "b" {…}}
//     output %z "z"
//     state "h" %x %z f32[2] {0, 0}
//   }
//
// `-` is an absent input or output, inputs after `;` are captures, `?` an unknown type or dim, [] rank 0, […] unknown
// rank. Attributes: 1 is an integer, 1.0 a float; empty lists name their kind (`ints []`). A name that is not plain is
// quoted: %"a b". Tensor data: {values} row by row, or base64 "…" of the bytes in memory.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace outpost {

struct TextOptions {
  bool full = false;  // every constant with its data: parses back to the same graph
  int values = 8;     // elements up to which a constant is printed otherwise
  // A number for a constant whose data is kept elsewhere, -1 for one that is to be printed.
  std::function<int64_t(const Tensor&)> elsewhere = nullptr;
};

std::string to_text(const Graph& graph, const TextOptions& options = {});
std::string to_text(const Node& node, const TextOptions& options = {});  // its line

// Data kept elsewhere, by its number; of that dtype and shape, or throws.
using FindData = std::function<Tensor(int64_t number, DType, const Shape&)>;

// Nodes are not resolved (ops/upgrade.h). Throws Error(invalid_model) with the line.
std::shared_ptr<Graph> parse_graph(std::string_view text, const FindData& elsewhere = nullptr);

}  // namespace outpost
