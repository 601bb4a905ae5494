// A small program of elementwise steps, as outpost.Elementwise carries it: which ONNX operators can be steps, and how a
// step is written.
//
//   steps = ["Mul x0 x1", "Sigmoid s0", "Add s1 x2"]     xI: input I, sK: what step K gave; the last step is the result
//   parameters = [a, b, a, b, …]                         two a step, for those that have some (LeakyRelu's slope, Clip's bounds)
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "ops/op.h"

namespace outpost {

struct ElementwiseStep {
  std::string op;
  int kernel = -1;              // kernels::Unary or kernels::Binary
  bool binary = false;
  int operands[2] = {-1, -1};   // inputs count from 0; steps follow the inputs
  float a = 0, b = 0;
};

constexpr int most_elementwise_steps = 16, most_elementwise_inputs = 8;

// The node as a step, its operands left open; nothing where it is none, or its bounds are not constants.
std::optional<ElementwiseStep> elementwise_step(const Node& node);
// The attributes of an operator with these steps and so many inputs; and back. Throws Error(invalid_model).
Attributes elementwise_attributes(const std::vector<ElementwiseStep>& steps, int inputs);
std::vector<ElementwiseStep> elementwise_steps(const Node& node);
// The step as an ordinary node.
Value* expand_step(Builder& build, const ElementwiseStep& step, const std::vector<Value*>& values);

}  // namespace outpost
