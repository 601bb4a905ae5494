// Which nodes can run on channel blocks, and what they become there: for the layout pass.
#pragma once
#include "base/function_ref.h"
#include "ops/op.h"

namespace outpost::layout {

enum class Kind : uint8_t { none, convolution, pool, global_average, unary, binary, concat, split, resize };

// Constants of one element are the same in every layout.
bool is_scalar(const Value*);
// A convolution whose x is better left as it is: one group of fewer channels than a block.
bool reads_planar(const Node& convolution, int64_t block);

// What the node can be if `blocked` says which of its inputs are blocked already; only convolutions begin a chain.
Kind kind_of(const Node& node, int64_t block, FunctionRef<bool(const Value*)> blocked);

// A constant (C, 1, 1) as (1, C, 1, 1); others as they are.
Value* with_batch_axis(Builder& build, Value* v);

struct Rewritten {
  std::string op, domain;
  Attributes attributes;
  std::vector<Value*> replaced_inputs;  // by position; null: the operand itself
};
Rewritten blocked_form(const Node& node, Kind kind, int64_t block, Builder& build);

}  // namespace outpost::layout
