// Activation functions that exporters wrote out in parts become the operator they are:
//   Swish (SiLU, QuickGelu), HardSigmoid, HardSwish, Mish, Softplus, Relu, LeakyRelu, Clip.
// Where the rewritten form rounds differently it is the more accurate one (one rounding for several).
#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

int swishes(Graph& graph) {
  Capture x;
  Number alpha;
  int changes = rewrite(graph, op("Mul", {x, op("Sigmoid", {x})}),
                        [&](Builder& b, Node&) { return b.emit("Swish", {x}); });
  changes += rewrite(graph, op("Mul", {x, op("Sigmoid", {op("Mul", {x, alpha})})}), [&](Builder& b, Node&) -> Value* {
    return alpha.value->type.rank() > x->type.rank() ? nullptr : b.emit("Swish", {x}, {{"alpha", static_cast<float>(alpha)}});
  });
  changes += rewrite(graph, op("Mul", {x, op("HardSigmoid", {x}).where([](const Node& n) {
                       return std::abs(n.attributes.real("alpha", 0.2f) - 1 / 6.f) < 1e-6f && n.attributes.real("beta", 0.5f) == 0.5f;
                     })}),
                     [&](Builder& b, Node&) { return b.emit("HardSwish", {x}); });
  changes += rewrite(graph, op("Mul", {x, op("Tanh", {op("Softplus", {x})})}),
                     [&](Builder& b, Node&) { return b.emit("Mish", {x}); });
  return changes;
}

// Clip(x + 3, 0, 6) / 6 = HardSigmoid(x; 1/6, 1/2), with the division before or after a product with x.
int hard_sigmoids(Graph& graph) {
  Capture x;
  const Pattern clipped = one_of({op("Clip", {op("Add", {x, 3.0}), 0.0, 6.0}), op("Min", {op("Relu", {op("Add", {x, 3.0})}), 6.0})});
  auto swish = [&](Builder& b, Node&) { return is_floating(x) ? b.emit("HardSwish", {x}) : nullptr; };
  int changes = 0;
  for (const char* scale : {"Div", "Mul"}) {
    const Pattern factor = scale[0] == 'D' ? Pattern(6.0) : Pattern(1 / 6.0);
    changes += rewrite(graph, op(scale, {op("Mul", {x, clipped}), factor}), swish);
    changes += rewrite(graph, op("Mul", {x, op(scale, {clipped, factor})}), swish);
    changes += rewrite(graph, op("Mul", {op(scale, {x, factor}), clipped}), swish);
    changes += rewrite(graph, op(scale, {clipped, factor}), [&](Builder& b, Node&) -> Value* {
      return is_floating(x) ? b.emit("HardSigmoid", {x}, {{"alpha", 1 / 6.f}, {"beta", 0.5f}}) : nullptr;
    });
  }
  return changes;
}

// log(1 + e^x), which overflows where Softplus does not: only the parts' infinities become finite.
int softpluses(Graph& graph) {
  Capture x;
  return rewrite(graph, op("Log", {op("Add", {op("Exp", {x}), 1.0})}), [&](Builder& b, Node&) { return b.emit("Softplus", {x}); });
}

// Max(x, 0) and Clip(x, 0, -) are Relu; Max(x, slope x) with 0 < slope < 1 is LeakyRelu; Min(Max(x, low), high) is Clip.
int clips(Graph& graph) {
  Capture x;
  Number low, high, slope;
  auto fits = [&](const Number& n) { return n.value->type.rank() <= x->type.rank(); };
  auto scalar = [](Builder& b, const Number& n) { return n.value->type.rank() == 0 ? n.value : b.constant(n.value->constant().reshaped(Shape{})); };
  int changes = rewrite(graph, op("Min", {op("Max", {x, low}), high}), [&](Builder& b, Node&) -> Value* {
    return fits(low) && fits(high) ? b.emit("Clip", {x, scalar(b, low), scalar(b, high)}) : nullptr;
  });
  changes += rewrite(graph, op("Max", {op("Min", {x, high}), low}), [&](Builder& b, Node&) -> Value* {
    return fits(low) && fits(high) && low <= high ? b.emit("Clip", {x, scalar(b, low), scalar(b, high)}) : nullptr;
  });
  changes += rewrite(graph, op("Max", {x, 0.0}), [&](Builder& b, Node& n) -> Value* {
    return is_floating(x) && x->type.ranked && same_shape(x->type, n.output(0)->type) ? b.emit("Relu", {x}) : nullptr;
  });
  changes += rewrite(graph, op("Clip", {x, 0.0, maybe(high)}), [&](Builder& b, Node&) -> Value* {
    return is_floating(x) && !high.value ? b.emit("Relu", {x}) : nullptr;
  });
  changes += rewrite(graph, op("Max", {x, op("Mul", {x, slope})}), [&](Builder& b, Node&) -> Value* {
    const bool leaky = is_floating(x) && fits(slope) && slope > 0 && slope < 1;
    return leaky ? b.emit("LeakyRelu", {x}, {{"alpha", static_cast<float>(slope)}}) : nullptr;
  });
  return changes;
}

// A Clip or Relu behind another: the bounds of both. (min(max(min(max(x, a), b), c), d) with a <= b, c <= d.)
int clips_of_clips(Graph& graph) {
  Capture x;
  NodeCapture inner;
  const double infinity = std::numeric_limits<double>::infinity();
  auto bounds = [&](const Node& n, double& low, double& high) {
    low = is(&n, "Relu") ? 0 : -infinity, high = infinity;
    if (is(&n, "Relu")) return true;
    for (int i = 1; i < 3; ++i)
      if (n.input(i)) {
        const std::optional<double> v = scalar_of(n.input(i));
        if (!v) return false;
        (i == 1 ? low : high) = *v;
      }
    return low <= high;
  };
  const Pattern first = one_of({op("Clip", {x}).more().as(inner), op("Relu", {x}).as(inner)});
  return rewrite(graph, one_of({op("Clip", {first}).more(), op("Relu", {first})}), [&](Builder& b, Node& outer) -> Value* {
    double a, b0, c, d;
    if (!is_floating(x) || !bounds(*inner, a, b0) || !bounds(outer, c, d)) return nullptr;
    const double low = std::clamp(a, c, d), high = std::clamp(b0, c, d);
    if (low == 0 && high == infinity) return b.emit("Relu", {x});
    return b.emit("Clip", {x, low == -infinity ? nullptr : b.like(x, low), high == infinity ? nullptr : b.like(x, high)});
  });
}

}  // namespace

int recognise_activations(Graph& graph) {
  int changes = clips(graph);
  changes += clips_of_clips(graph);
  changes += hard_sigmoids(graph);
  changes += softpluses(graph);
  return changes + swishes(graph);
}

}  // namespace outpost
