// Rows stacked along a new first axis while their number is not known: memory that doubles, charged to the run.
#pragma once
#include <string>
#include <vector>

#include "ops/run_context.h"

namespace outpost {

class RowStack {
 public:
  // Every row has the dtype and shape of the first; another is an error.
  void push(RunContext&, const Tensor& row);
  // Allocates the output (rows, row's shape…) and moves the rows there. Without a row its shape is what the graph
  // declares for the output, unknown dimensions counting 0.
  void finish(RunContext&, int output) const;

 private:
  DType dtype_ = DType::undefined;
  Shape row_;
  int64_t count_ = 0;
  size_t capacity_ = 0, used_ = 0;
  char* bytes_ = nullptr;
  std::vector<std::string> strings_;
};

// The shape of an output of which no row was made: `count` on `axis`, what the graph knows elsewhere, else 0.
Shape empty_stack_shape(const Node& node, int output, int axis, int64_t count);

}  // namespace outpost
