// One operator run on given tensors, through its own shape rule and run function: for tests of values and of errors.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/evaluate.h"

namespace outpost::test {

// `inputs` may hold undefined tensors for absent ones. Fails like a run would; outputs may take at most 1 GiB.
inline std::vector<Tensor> run_node(std::string_view op, const std::vector<Tensor>& inputs, Attributes attributes = {}, int outputs = 1,
                                    std::string_view domain = "") {
  Graph graph;
  std::vector<Value*> values;
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) {
    values.push_back(t.defined() ? graph.add_input(text("x", values.size()), Type::of(t)) : nullptr);
    pointers.push_back(t.defined() ? &t : nullptr);
  }
  Node* node = graph.add_node(std::string(op), std::string(domain), values, std::move(attributes), outputs);
  resolve(*node);
  return evaluate(*node, pointers, size_t{1} << 30);
}

// The error's message, or "" if the node runs.
inline std::string error_of(std::string_view op, const std::vector<Tensor>& inputs, Attributes attributes = {}, int outputs = 1,
                            std::string_view domain = "") {
  try {
    run_node(op, inputs, std::move(attributes), outputs, domain);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

inline Tensor i64(std::vector<int64_t> values) {
  const int64_t n = static_cast<int64_t>(values.size());
  return Tensor::of(values, Shape{n});
}

// 0, 1, 2, … as f32.
inline Tensor iota(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  float next = 0;
  for (float& v : t.values<float>()) v = next++;
  return t;
}

template <class T>
std::vector<T> list(const Tensor& t) {
  return std::vector<T>(t.values<T>().begin(), t.values<T>().end());
}

}  // namespace outpost::test
