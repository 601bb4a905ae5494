// Dynamically quantised layers: MatMulInteger, its cast to f32, both scales and a bias become one operator.
//   Cast(MatMulInteger(a, w, a_zero, w_zero)) * (a_scale * w_scale) [+ bias] → com.microsoft.MatMulIntegerToFloat
// The product of scales is rounded once less or more: results differ by a rounding of f32.
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

bool is_scale(const Tensor& t) { return t.dtype() == DType::f32 && t.rank() <= 1; }

}  // namespace

int fuse_dynamic_quantised(Graph& graph) {
  Capture a, w, a_zero, w_zero, a_scale, w_scale, bias;
  NodeCapture cast;
  auto single = [&] { return a_scale->type.ranked && a_scale->type.rank() <= 1 && a_scale->type.dtype == DType::f32 &&
                             (a_scale->type.rank() == 0 || a_scale->type.dims[0].size == 1); };
  int changes = rewrite(
      graph,
      op("Mul", {op("Cast", {op("MatMulInteger", {a, constant(w), maybe(a_zero), maybe(w_zero)})}).with("to", int64_t(DType::f32), 0),
                 op("Mul", {a_scale, constant(w_scale, is_scale)})}),
      [&](Builder& b, Node&) -> Value* {
        const int64_t scales = w_scale->constant().count(), columns = w->constant().shape()[w->constant().rank() - 1];
        if (!single() || w->constant().rank() != 2 || (scales != 1 && scales != columns)) return nullptr;
        return b.emit("MatMulIntegerToFloat", {a, w, a_scale, w_scale, a_zero, w_zero}, {}, "com.microsoft");
      });
  NodeCapture product;
  changes += rewrite(graph, op("Add", {op("MatMulIntegerToFloat", {any()}).domain("com.microsoft").more().as(product), constant(bias, is_scale)}),
                     [&](Builder& b, Node&) -> Value* {
                       std::vector<Value*> inputs = product->inputs();
                       if (inputs.size() < 2 || inputs.size() > 6 || !inputs[1] || !inputs[1]->is_constant()) return nullptr;
                       const Tensor& codes = inputs[1]->constant();
                       if (codes.rank() != 2 || bias->constant().count() != codes.shape()[1]) return nullptr;
                       inputs.resize(6);
                       inputs.push_back(bias);
                       return b.emit("MatMulIntegerToFloat", inputs, {}, "com.microsoft");
                     });
  return changes;
}

}  // namespace outpost
