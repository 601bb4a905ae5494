// A line of OpDef::cases: attributes | inputs [| number of outputs].
//   "axis=1 | f32[2,3,4] f32[3](0.5,2) i64[2]={0,1} -"
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/program.h"

namespace outpost::laws {

struct Case {
  const OpDef* def;
  std::string line;
  Attributes attributes;
  std::vector<Tensor> inputs;   // undefined where absent
  std::vector<bool> given;      // written out as ={…}: constants of the operation, no gradient is asked for
  int outputs = 1;
};

// Throws Error(invalid_argument) quoting the line when it does not parse.
Case parse_case(const OpDef& def, const std::string& line);
std::vector<std::string> case_lines(const OpDef& def);

// A graph of one node. Inputs that are i64/i32/bool vectors given by value (={…}) are constants when `fold` is set, so
// that shape rules can read them.
struct Built {
  std::shared_ptr<Graph> graph;
  Node* node;
};
struct BuildOptions {
  DType real = DType::f32;      // f32 inputs become this type
  bool copy_inputs = false;     // every input passes through a Concat of one, so that the node may work in place
  bool constants = true;        // integer inputs, and those written out, become constants
};
Built build(const Case& c, const BuildOptions& options = {});
// The case's inputs for that graph.
std::vector<Tensor> graph_inputs(const Case& c, const BuildOptions& options = {});

std::vector<Datum> run(const Built& built, const std::vector<Tensor>& inputs, const ProgramOptions& options = {.threads = 1, .debug_fill = true});

}  // namespace outpost::laws
