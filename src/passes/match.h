// Patterns: a small DAG of nodes, described by operators, and what to build in its place.
//
//   using namespace match;
//   Capture x;
//   changes += rewrite(graph, op("Mul", {x, op("Sigmoid", {x})}),
//                      [&](Builder& b, Node&) { return b.emit("Swish", {x}); });
//
// - A Capture is any value; named twice, it is the same value. A Number is a constant of one element.
// - Operators with commuting operands (Add, Mul, Max, Min, And, Or, Equal) match in both orders.
// - A pattern's inner nodes must be used by the pattern alone (not by others, not as graph outputs), unless shared():
//   then they stay for the others. So a rewrite never repeats work.
// - Inputs are listed in order; a node may have no others, unless more(). maybe(p) is an input that may be absent.
// - The root stands for its first output; the root's others must be unused.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "ops/op.h"

namespace outpost::match {

struct Capture {
  Value* value = nullptr;
  operator Value*() const noexcept { return value; }
  Value* operator->() const noexcept { return value; }
};

struct NodeCapture {
  Node* node = nullptr;
  operator Node*() const noexcept { return node; }
  Node* operator->() const noexcept { return node; }
};

// A constant of one element, as f64; `value` holds the constant itself.
struct Number {
  double number = 0;
  Value* value = nullptr;
  operator double() const noexcept { return number; }
};

class Pattern {
 public:
  Pattern(Capture& capture);
  Pattern(Number& number);
  Pattern(double value);  // a constant of one element with this value (to 1e-5; 1e-3 in f16, 1e-2 in bf16)

  // Of operators, chained:
  Pattern& domain(std::string_view domain);
  Pattern& as(NodeCapture& node);                            // the node, for its attributes
  Pattern& value(Capture& output);                           // the value it gives
  Pattern& output(int index);                                // this output of the node; default: the first
  Pattern& shared();                                         // others may use it too; it stays
  Pattern& more();                                           // further inputs are allowed
  Pattern& where(std::function<bool(const Node&)> accepts);  // checked before its inputs are
  Pattern& with(std::string attribute, int64_t value, int64_t fallback);  // an integer attribute, with its default

  struct Data;
  const std::shared_ptr<Data>& data() const noexcept { return data_; }

 private:
  friend Pattern make(Data);
  Pattern() = default;
  std::shared_ptr<Data> data_;
};

Pattern op(std::string_view name, std::vector<Pattern> inputs);
Pattern any();                                               // whatever it is
Pattern constant(Capture& capture);                          // any constant
Pattern constant(Capture& capture, std::function<bool(const Tensor&)> accepts);
Pattern one_of(std::vector<Pattern> choices);                // the first that matches
Pattern maybe(Pattern input);                                // this, or no input at all
// p itself, or p behind the operator (Cast, Identity, Reshape, …) with whatever else it takes.
Pattern through(std::string_view op, Pattern p);

// Replaces every occurrence of the pattern. `make` builds the replacement in front of the root from the captures, or
// returns null to leave this one alone. A replacement of another dtype, rank or known dim is refused.
// Returns how many were replaced.
int rewrite(Graph& graph, const Pattern& pattern, FunctionRef<Value*(Builder& build, Node& root)> make);

// The same for rules that read better without a pattern: `make` sees every node with one used output.
int rewrite_nodes(Graph& graph, const std::function<Value*(Builder& build, Node& node)>& make);

// Does the value match? Captures are set if so. For passes that walk by themselves.
bool matches(const Pattern& pattern, Value* value);

// ---- facts that rules ask for

bool is_floating(const Value*) noexcept;                     // f32, f64, f16 or bf16
bool used_once(const Value*) noexcept;                       // by one node, and not a graph output
std::optional<double> scalar_of(const Value*);               // of a constant of one element
std::optional<std::vector<int64_t>> integers_of(const Value*);  // of an integer constant of rank 0 or 1
bool same_shape(const Value*, const Value*) noexcept;        // for certain
bool same_shape(const Type&, const Type&) noexcept;
// The operator of the standard domain with this name?
bool is(const Node*, std::string_view op) noexcept;
// What computes the value, if that is this operator of the standard domain and nobody else uses the value; else null.
Node* producer_if(const Value*, std::string_view op, std::string_view domain = "") noexcept;

}  // namespace outpost::match
