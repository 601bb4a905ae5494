// A run in steady state allocates nothing: operator new of the whole program and the tensor allocator are counted.
#include <gtest/gtest.h>

#include "allocation_hook.h"
#include "api/test_model.h"
#include "graph/text.h"
#include "ops/infer.h"
#include "outpost/outpost.h"

#if OUTPOST_ALLOCATION_HOOK

namespace outpost {
namespace {

TEST(Allocations, none_with_bound_outputs) {
  const test::CountedTensors counted;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  binding.output(0, Tensor(DType::f32, {2})).output(1, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_outputs_let_go) {
  const test::CountedTensors counted;
  const Session session(test::sum_model(), {.threads = 2});
  Binding binding(session);
  binding.input("a", Tensor::of({1.f, 2.f})).input("b", Tensor::of({3.f, 4.f}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_state) {
  const test::CountedTensors counted;
  const Session session(test::counting_model(), {.threads = 1});
  State state = session.new_state();
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, 2.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run({.state = &state});
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run({.state = &state});
  EXPECT_EQ(test::allocations, before);
}

TEST(Allocations, none_with_shapes_that_data_decide) {
  const test::CountedTensors counted;
  const Session session(test::positive_model(), {.threads = 1});
  Binding binding(session);
  binding.input("x", Tensor::of({1.f, -2.f, 3.f})).output(0, Tensor(DType::f32, {2}));
  for (int i = 0; i < 3; ++i) binding.run();
  const long before = test::allocations;
  for (int i = 0; i < 100; ++i) binding.run();
  EXPECT_EQ(test::allocations, before);
}

// The text's inputs but the first `inputs` become constants of made-up values.
Model model_of(const char* text, size_t inputs) {
  auto graph = parse_graph(text);
  const std::vector<Value*> all = graph->inputs();
  for (size_t i = inputs; i < all.size(); ++i) {
    Tensor t(DType::f32, all[i]->type.shape());
    for (int64_t k = 0; k < t.count(); ++k) t.data<float>()[k] = 0.01f * static_cast<float>((k * 37 + 11) % 41) + 0.01f;
    graph->make_constant(all[i], std::move(t));
  }
  for (const auto& node : graph->nodes()) {
    node->version = 21;
    resolve(*node);
    node->version = node->def->since;
  }
  infer_graph(*graph);
  graph->opsets[""] = 21;
  return Model(std::move(graph));
}

// Runs of every one of these shapes in turn, after one round of each: the plans are cached, the memory is that of the largest.
void expect_no_allocations(const Model& model, std::initializer_list<Shape> shapes, int threads) {
  const test::CountedTensors counted;
  const Session session(model, {.threads = threads});
  std::vector<Binding> bindings;
  for (const Shape& shape : shapes) {
    Tensor x(DType::f32, shape);
    for (int64_t i = 0; i < x.count(); ++i) x.data<float>()[i] = 0.1f * static_cast<float>(i % 19);
    bindings.emplace_back(session).input(0, x);
    bindings.back().run();
    for (size_t i = 0; i < session.outputs().size(); ++i) {
      const Tensor& y = bindings.back().result(i).tensor();
      bindings.back().output(i, Tensor(y.dtype(), y.shape()));
    }
  }
  for (Binding& b : bindings) {
    for (int i = 0; i < 3; ++i) b.run();
    const long before = test::allocations;
    for (int i = 0; i < 20; ++i) b.run();
    EXPECT_EQ(test::allocations, before) << threads << " threads";
  }
}

TEST(Allocations, none_in_a_convolutional_network) {
  const Model model = model_of(R"(graph "cnn" {
    input %x f32[n,3,h,32]
    input %w1 f32[32,3,3,3]
    input %scale f32[32]
    input %shift f32[32]
    input %mean f32[32]
    input %variance f32[32]
    input %w2 f32[32,1,3,3]
    input %w3 f32[48,32,1,1]
    input %b3 f32[48]
    input %w4 f32[32,48,3,3]
    input %w5 f32[10,64]
    input %b5 f32[10]
    %c1 ? = Conv(%x, %w1) {pads = [1, 1, 1, 1], strides = [2, 2]}
    %n1 ? = BatchNormalization(%c1, %scale, %shift, %mean, %variance)
    %r1 ? = Relu(%n1)
    %c2 ? = Conv(%r1, %w2) {group = 32, pads = [1, 1, 1, 1]}
    %s2 ? = Sigmoid(%c2)
    %m2 ? = Mul(%c2, %s2)
    %c3 ? = Conv(%m2, %w3, %b3)
    %r3 ? = Relu(%c3)
    %c4 ? = Conv(%r3, %w4) {pads = [1, 1, 1, 1]}
    %a4 ? = Add(%c4, %r1)
    %p4 ? = MaxPool(%a4) {kernel_shape = [2, 2], strides = [2, 2]}
    %q4 ? = AveragePool(%p4) {kernel_shape = [3, 3], pads = [1, 1, 1, 1]}
    %j4 ? = Concat(%p4, %q4) {axis = 1}
    %g ? = GlobalAveragePool(%j4)
    %f ? = Flatten(%g)
    %y ? = Gemm(%f, %w5, %b5) {transB = 1}
    %z ? = Softmax(%y)
    output %z
  })", 1);
  for (int threads : {1, 2}) expect_no_allocations(model, {Shape{1, 3, 32, 32}, Shape{2, 3, 48, 32}}, threads);
}

TEST(Allocations, none_in_a_transformer) {
  const Model model = model_of(R"(graph "transformer" {
    input %x f32[1,s,64]
    input %wq f32[64,64]
    input %wk f32[64,64]
    input %wv f32[64,64]
    input %bq f32[64]
    input %w1 f32[64,128]
    input %w2 f32[128,64]
    input %gamma f32[64]
    input %beta f32[64]
    const %heads i64[4] {0, 0, 4, 16}
    const %flat i64[3] {0, 0, 64}
    const %eighth f32[] {0.25}
    %q0 ? = MatMul(%x, %wq)
    %q1 ? = Add(%q0, %bq)
    %k0 ? = MatMul(%x, %wk)
    %v0 ? = MatMul(%x, %wv)
    %q2 ? = Reshape(%q1, %heads)
    %k2 ? = Reshape(%k0, %heads)
    %v2 ? = Reshape(%v0, %heads)
    %q ? = Transpose(%q2) {perm = [0, 2, 1, 3]}
    %k ? = Transpose(%k2) {perm = [0, 2, 3, 1]}
    %v ? = Transpose(%v2) {perm = [0, 2, 1, 3]}
    %s0 ? = MatMul(%q, %k)
    %s1 ? = Mul(%s0, %eighth)
    %s ? = Softmax(%s1) {axis = -1}
    %o0 ? = MatMul(%s, %v)
    %o1 ? = Transpose(%o0) {perm = [0, 2, 1, 3]}
    %o ? = Reshape(%o1, %flat)
    %a ? = Add(%o, %x)
    %l ? = LayerNormalization(%a, %gamma, %beta)
    %h0 ? = MatMul(%l, %w1)
    %h ? = Gelu(%h0)
    %h2 ? = MatMul(%h, %w2)
    %y ? = Add(%h2, %l)
    output %y
  })", 1);
  for (int threads : {1, 2}) expect_no_allocations(model, {Shape{1, 7, 64}, Shape{1, 100, 64}}, threads);
}

TEST(Allocations, none_in_recurrent_networks) {
  const Model model = model_of(R"(graph "recurrent" {
    input %x f32[s,1,24]
    input %w f32[1,128,24]
    input %r f32[1,128,32]
    input %w2 f32[1,96,32]
    input %r2 f32[1,96,32]
    const %one i64[1] {1}
    %y0 ?, -, - = LSTM(%x, %w, %r) {hidden_size = 32}
    %y1 ? = Squeeze(%y0, %one)
    %z0 ?, - = GRU(%y1, %w2, %r2) {hidden_size = 32}
    output %z0
  })", 1);
  for (int threads : {1, 2}) expect_no_allocations(model, {Shape{5, 1, 24}, Shape{40, 1, 24}}, threads);
}

}  // namespace
}  // namespace outpost

#endif
