// The laws (docs/adding_an_operator.md): what must hold of every operator, checked on its own list of cases with no code
// per operator. They test consistency and rounding; meaning is tested by the conformance suite.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/kernels.h"
#include "laws/case.h"
#include "ops/infer.h"
#include "passes/differentiate.h"
#include "passes/passes.h"
#include "tensor/convert.h"

namespace outpost::laws {
namespace {

struct Named {
  const OpDef* def;
};

void PrintTo(const Named& n, std::ostream* out) { *out << n.def->name; }

class Laws : public testing::TestWithParam<Named> {
 protected:
  const OpDef& def() const { return *GetParam().def; }
  bool comparable() const { return def().run && !def().random; }
  template <class F>
  void each_case(F&& body) {
    for (const std::string& line : case_lines(def())) {
      SCOPED_TRACE(line);
      Case c = parse_case(def(), line);
      try {
        body(c);
      } catch (const Error& e) {
        ADD_FAILURE() << line << ": " << e.what();
      }
    }
  }
};

bool same_bits(const Datum& a, const Datum& b) {
  if (a.kind() != b.kind()) return false;
  if (a.kind() == Datum::Kind::none) return true;
  if (a.kind() != Datum::Kind::tensor) {
    if (a.items().size() != b.items().size()) return false;
    for (size_t i = 0; i < a.items().size(); ++i)
      if (!same_bits(a.items()[i], b.items()[i])) return false;
    return true;
  }
  const Tensor &x = a.tensor(), &y = b.tensor();
  if (x.dtype() != y.dtype() || !(x.shape() == y.shape())) return false;
  if (x.dtype() == DType::string) return std::equal(x.values<std::string>().begin(), x.values<std::string>().end(), y.values<std::string>().begin());
  return x.bytes() == 0 || std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

void expect_same(const std::vector<Datum>& a, const std::vector<Datum>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << what << ": output " << i << " differs";
}

std::vector<double> as_f64(const Tensor& t) {
  std::vector<double> v(static_cast<size_t>(t.count()));
  convert(t.dtype(), t.raw(), DType::f64, v.data(), t.count());
  return v;
}

bool has_f32(const Case& c) {
  for (const Tensor& t : c.inputs)
    if (t.defined() && t.dtype() == DType::f32) return true;
  return false;
}

TEST_P(Laws, InferredTypeIsProducedType) {
  if (!def().run) GTEST_SKIP() << "composite";
  each_case([&](const Case& c) {
    Built b = build(c);
    std::vector<Datum> out = run(b, graph_inputs(c));
    for (size_t i = 0; i < out.size(); ++i) {
      const Type& type = b.node->outputs()[i]->type;
      if (out[i].kind() != Datum::Kind::tensor) continue;
      EXPECT_TRUE(compatible(type, Type::of(out[i].tensor()))) << to_string(type) << " inferred, " << to_string(Type::of(out[i].tensor())) << " produced";
    }
  });
}

// Without constants the shape rule knows less, the plan is cut into segments, and the answer is the same.
TEST_P(Laws, SegmentedPlanIsTheSame) {
  if (!comparable()) GTEST_SKIP() << "composite or random";
  each_case([&](const Case& c) {
    const BuildOptions open{.constants = false};
    Built constant = build(c);
    try {
      Built dynamic = build(c, open);
      expect_same(run(constant, graph_inputs(c)), run(dynamic, graph_inputs(c, open)), "inputs as constants and as data");
    } catch (const Error& e) {
      if (e.code() != ErrorCode::unsupported && e.code() != ErrorCode::invalid_model) throw;  // the specification asks for a constant
    }
  });
}

TEST_P(Laws, InPlaceIsOutOfPlace) {
  if (!comparable()) GTEST_SKIP() << "composite or random";
  each_case([&](const Case& c) {
    expect_same(run(build(c), graph_inputs(c)), run(build(c, {.copy_inputs = true}), graph_inputs(c)), "in place");
  });
}

TEST_P(Laws, StridedInputsAreTheSame) {
  if (!comparable()) GTEST_SKIP() << "composite or random";
  each_case([&](const Case& c) {
    std::vector<Tensor> inputs = graph_inputs(c), strided;
    for (const Tensor& t : inputs) {
      if (t.rank() == 0 || bits(t.dtype()) < 8 || t.dtype() == DType::string) {
        strided.push_back(t);
        continue;
      }
      Shape wide = t.shape(), strides = t.shape();  // every second element along the last axis of a wider tensor
      wide[t.rank() - 1] *= 2;
      Tensor memory(t.dtype(), wide);
      int64_t step = 1;
      for (int i = t.rank() - 1; i >= 0; --i) {
        strides[i] = i == t.rank() - 1 ? 2 : step;
        step *= wide[i];
      }
      const size_t size = static_cast<size_t>(bits(t.dtype()) / 8);
      for (int64_t i = 0; i < t.count(); ++i)
        std::memcpy(static_cast<char*>(memory.raw()) + 2 * static_cast<size_t>(i) * size, static_cast<const char*>(t.raw()) + static_cast<size_t>(i) * size, size);
      strided.push_back(Tensor::strided(memory.buffer().owner, memory.raw(), t.dtype(), t.shape(), strides));
    }
    Built b = build(c);
    expect_same(run(b, inputs), run(b, strided), "strided inputs");
  });
}

TEST_P(Laws, ThreadsDoNotChangeABit) {
  if (!comparable()) GTEST_SKIP() << "composite or random";
  each_case([&](const Case& c) {
    std::vector<Datum> one = run(build(c), graph_inputs(c), {.threads = 1});
    for (int threads : {2, 3, 16}) expect_same(one, run(build(c), graph_inputs(c), {.threads = threads, .debug_fill = true}), text(threads, " threads"));
  });
}

// f32 against the operator's own f64 run: the error stays within a few roundings plus the effect of changing every input
// by an ulp.
TEST_P(Laws, SinglePrecisionFollowsDouble) {
  if (!comparable()) GTEST_SKIP() << "composite or random";
  each_case([&](const Case& c) {
    if (!has_f32(c)) return;
    const BuildOptions f64{.real = DType::f64};
    std::vector<Datum> exact;
    Built wide;
    try {
      wide = build(c, f64);
      exact = run(wide, graph_inputs(c, f64));
    } catch (const Error&) {
      return;  // no f64 form
    }
    std::vector<Tensor> inputs = graph_inputs(c, f64);
    std::vector<std::vector<double>> spread(exact.size());
    Random random(11);
    for (int trial = 0; trial < 6; ++trial) {
      std::vector<Tensor> moved;
      for (const Tensor& t : inputs) {
        Tensor m = t.clone();
        if (m.dtype() == DType::f64)
          for (double& x : m.values<double>()) x *= 1 + (random.next() & 1 ? 1.2e-7 : -1.2e-7);
        moved.push_back(std::move(m));
      }
      std::vector<Datum> out = run(wide, moved);
      for (size_t i = 0; i < out.size(); ++i) {
        if (out[i].kind() != Datum::Kind::tensor || out[i].tensor().dtype() != DType::f64) continue;
        std::vector<double> a = as_f64(exact[i].tensor()), b = as_f64(out[i].tensor());
        spread[i].resize(a.size(), 0);
        if (a.size() == b.size())
          for (size_t j = 0; j < a.size(); ++j) spread[i][j] = std::max(spread[i][j], std::abs(a[j] - b[j]));
      }
    }
    const char* best = kernels::kernels().isa;
    for (int k = 0; const kernels::Kernels* table = kernels::available_kernels(k); ++k) {
      const char* isa = table->isa;
      kernels::select_kernels(isa);
      std::vector<Datum> single = run(build(c), graph_inputs(c));
      for (size_t i = 0; i < single.size(); ++i) {
        if (spread[i].empty() || single[i].kind() != Datum::Kind::tensor) continue;
        std::vector<double> a = as_f64(exact[i].tensor()), b = as_f64(single[i].tensor());
        ASSERT_EQ(a.size(), b.size());
        double largest = 0;
        for (double s : spread[i]) largest = std::max(largest, std::isfinite(s) ? s : 0);
        for (size_t j = 0; j < a.size(); ++j) {
          if (std::isnan(a[j]) && std::isnan(b[j])) continue;
          if (a[j] == b[j] || (std::abs(a[j]) > 3.4e38 && std::isinf(b[j]))) continue;
          EXPECT_LE(std::abs(a[j] - b[j]), 12 * (1.2e-7 * std::abs(a[j]) + spread[i][j]) + 2 * largest + 1e-38) << isa << ", output " << i << ", element " << j << ": " << b[j] << ", in f64 " << a[j];
        }
      }
    }
    kernels::select_kernels(best);
  });
}

TEST_P(Laws, GradientIsFiniteDifference) {
  if (!def().gradient) GTEST_SKIP() << (def().no_gradient.empty() ? "none yet" : def().no_gradient);
  each_case([&](const Case& c) {
    if (!has_f32(c)) return;
    const BuildOptions f64{.real = DType::f64};
    Built b;
    std::vector<Tensor> inputs;
    try {
      b = build(c, f64);
      inputs = graph_inputs(c, f64);
      run(b, inputs);
    } catch (const Error&) {
      return;
    }
    Graph& g = *b.graph;
    Value* y = g.outputs[0];
    if (y->type.dtype != DType::f64 || !y->type.is_static() || y->type.shape().count() == 0) return;
    g.outputs = {y};
    Random random(3);
    Tensor weights(DType::f64, y->type.shape());
    for (double& w : weights.values<double>()) w = 0.5 + random.uniform();
    std::vector<Value*> xs;
    std::vector<size_t> which;
    for (size_t i = 0; i < g.inputs().size(); ++i)
      if (g.inputs()[i]->type.dtype == DType::f64) {
        xs.push_back(g.inputs()[i]);
        which.push_back(i);
      }
    Built derived{g.clone(), nullptr};
    {
      Graph& d = *derived.graph;
      std::vector<Value*> dx;
      for (size_t i : which) dx.push_back(d.inputs()[i]);
      std::vector<Value*> gradients = differentiate(d, d.outputs[0], dx, d.add_constant(weights));
      d.outputs = gradients;
      d.output_names.clear();
      optimise(d);
    }
    std::vector<Datum> analytic = run(derived, inputs);
    auto loss = [&](const std::vector<Tensor>& at) {
      std::vector<double> out = as_f64(run(b, at)[0].tensor());
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += out[i] * weights.values<double>()[i];
      return sum;
    };
    for (size_t k = 0; k < which.size(); ++k) {
      const std::vector<double> got = as_f64(analytic[k].tensor());
      ASSERT_EQ(static_cast<int64_t>(got.size()), inputs[which[k]].count());
      double scale = 1e-3;
      for (double v : got) scale = std::max(scale, std::abs(v));
      for (size_t j = 0; j < got.size(); j += std::max<size_t>(1, got.size() / 12)) {
        std::vector<Tensor> at = inputs;
        at[which[k]] = inputs[which[k]].clone();
        double& x = at[which[k]].values<double>()[j];
        const double original = x, h = 1e-6 * std::max(1.0, std::abs(original));
        x = original + h;
        const double up = loss(at);
        x = original - h;
        const double down = loss(at);
        EXPECT_NEAR(got[j], (up - down) / (2 * h), 1e-6 * scale + 1e-8) << "input " << which[k] << ", element " << j;
      }
    }
  });
}

// The expansion of an operator that also has an implementation is its reference.
TEST_P(Laws, ExpansionAgrees) {
  if (!def().expand || !comparable()) GTEST_SKIP() << "no expansion beside an implementation";
  each_case([&](const Case& c) {
    if (!has_f32(c)) return;
    Built whole = build(c), parts = build(c);
    {
      ExpandContext e(*parts.graph, *parts.node);
      def().expand(e);
      parts.graph->erase(parts.node);
      optimise(*parts.graph);
    }
    std::vector<Datum> a = run(whole, graph_inputs(c)), b = run(parts, graph_inputs(c));
    for (size_t i = 0; i < a.size(); ++i) {
      std::vector<double> x = as_f64(a[i].tensor()), y = as_f64(b[i].tensor());
      ASSERT_EQ(x.size(), y.size());
      double scale = 0;
      for (double v : y) scale = std::max(scale, std::abs(v));
      for (size_t j = 0; j < x.size(); ++j) EXPECT_NEAR(x[j], y[j], 1e-5 * scale + 1e-7) << "output " << i << ", element " << j;
    }
  });
}

// An attribute far outside its range is an error or a sane answer, never a crash.
TEST_P(Laws, WildAttributesAreErrors) {
  if (!def().run) GTEST_SKIP() << "composite";
  each_case([&](const Case& c) {
    auto attempt = [&](Case changed) {
      try {
        run(build(changed), graph_inputs(changed));
      } catch (const Error& e) {
        EXPECT_NE(e.code(), ErrorCode::internal) << e.what();
      }
    };
    for (const auto& [name, value] : c.attributes) {
      std::vector<Attribute> wild;
      if (std::holds_alternative<int64_t>(value)) wild = {int64_t{-1000000007}, int64_t{1000000007}, INT64_MAX, INT64_MIN, int64_t{0}, int64_t{-1}};
      if (std::holds_alternative<std::string>(value)) wild = {std::string(), std::string("no_such_mode")};
      if (auto* list = std::get_if<std::vector<int64_t>>(&value)) {
        std::vector<int64_t> far(list->size(), 1000000007), low(list->size(), -1000000007), longer(*list), zero(list->size(), 0);
        longer.push_back(1);
        wild = {far, low, longer, zero, std::vector<int64_t>{}};
      }
      if (std::holds_alternative<float>(value)) wild = {std::nanf(""), 1e38f, -1e38f, 0.f};
      for (Attribute& w : wild) {
        Case changed = c;
        changed.attributes.set(name, w);
        attempt(changed);
      }
    }
    for (size_t i = 0; i < c.inputs.size(); ++i) {  // and integers given as data
      if (!c.inputs[i].defined() || (c.inputs[i].dtype() != DType::i64 && c.inputs[i].dtype() != DType::i32)) continue;
      for (int64_t far : {int64_t{1000000007}, int64_t{-1000000007}, INT64_MAX, INT64_MIN}) {
        Case changed = c;
        changed.inputs[i] = c.inputs[i].clone();
        std::vector<int64_t> values(static_cast<size_t>(c.inputs[i].count()), far);
        convert(DType::i64, values.data(), c.inputs[i].dtype(), changed.inputs[i].raw(), changed.inputs[i].count());
        attempt(changed);
      }
    }
  });
}

std::vector<Named> named() {
  std::vector<Named> list;
  for (const OpDef* def : all_ops()) list.push_back({def});
  return list;
}

INSTANTIATE_TEST_SUITE_P(Operators, Laws, testing::ValuesIn(named()), [](const testing::TestParamInfo<Named>& info) {
  std::string name(info.param.def->domain);
  name += name.empty() ? "" : "_";
  name += info.param.def->name;
  for (char& ch : name)
    if (!std::isalnum(static_cast<unsigned char>(ch))) ch = '_';
  return name;
});

}  // namespace
}  // namespace outpost::laws
