// More laws on every operator's own cases: a graph written as ONNX and read back gives the same bits, outputs that a file
// leaves out change nothing, and an axis of length 0 is an answer of the inferred type or an error, never a crash.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "formats/onnx/onnx.h"
#include "laws/case.h"
#include "ops/infer.h"
#include "ops/upgrade.h"

namespace outpost::laws {
namespace {

struct Named {
  const OpDef* def;
};

void PrintTo(const Named& n, std::ostream* out) { *out << n.def->name; }

class FileLaws : public testing::TestWithParam<Named> {
 protected:
  const OpDef& def() const { return *GetParam().def; }
};

// What a reader of the file needs: names, which the cases do not give.
void name_all(Graph& graph) {
  int next = 0;
  for (Value* v : graph.outputs) graph.rename(v, text("y", next++));
}

std::vector<uint8_t> bits_of(const std::vector<Datum>& data) {
  std::vector<uint8_t> bytes;
  for (const Datum& d : data) {
    const std::string written = d.has_value() ? onnx_value_bytes(d, d.kind() == Datum::Kind::tensor ? Type::Kind::tensor : Type::Kind::sequence) : "";
    bytes.insert(bytes.end(), written.begin(), written.end());
  }
  return bytes;
}

TEST_P(FileLaws, ExportThenImportIsTheIdentity) {
  for (const std::string& line : case_lines(def())) {
    SCOPED_TRACE(line);
    const Case c = parse_case(def(), line);
    Built b = build(c);
    name_all(*b.graph);
    const std::string file = onnx_bytes(*b.graph);
    auto back = load_onnx(std::as_bytes(std::span(file)));
    upgrade_graph(*back);
    if (def().name != "Constant") {  // import makes constants of these nodes
      EXPECT_EQ(onnx_bytes(*back), file);
      ASSERT_EQ(back->nodes().size(), b.graph->nodes().size());
    }
    if (!def().run || def().random) continue;
    EXPECT_EQ(bits_of(run(b, graph_inputs(c))), bits_of(run({back, nullptr}, graph_inputs(c))));
  }
}

// A file may leave out any output by an empty name, a required one too: the others stay as they are.
TEST_P(FileLaws, OmittedOutputsChangeNothing) {
  if (!def().run || def().random) GTEST_SKIP() << "composite or random";
  if (def().max_outputs < 0) GTEST_SKIP() << "a list of outputs, where a place has a meaning";
  for (const std::string& line : case_lines(def())) {
    SCOPED_TRACE(line);
    const Case c = parse_case(def(), line);
    if (c.outputs < 2) continue;
    const std::vector<Datum> all = run(build(c), graph_inputs(c));
    for (int kept = 0; kept < c.outputs; ++kept) {
      Built b = build(c);
      b.graph->outputs = {b.node->output(kept)};
      for (int i = 0; i < c.outputs; ++i)
        if (i != kept) b.graph->drop_output(b.node, i);
      name_all(*b.graph);
      const std::string file = onnx_bytes(*b.graph);
      auto back = load_onnx(std::as_bytes(std::span(file)));
      upgrade_graph(*back);
      const auto& one = all[static_cast<size_t>(kept)];
      EXPECT_EQ(bits_of(run({back, nullptr}, graph_inputs(c))), bits_of({one})) << "output " << kept << " alone";
    }
  }
}

TEST_P(FileLaws, EmptyAxesAreAnswersOrErrors) {
  if (!def().run) GTEST_SKIP() << "composite";
  for (const std::string& line : case_lines(def())) {
    SCOPED_TRACE(line);
    const Case c = parse_case(def(), line);
    std::set<int64_t> extents;
    for (size_t i = 0; i < c.inputs.size(); ++i)
      if (c.inputs[i].defined() && !c.given[i]) extents.insert(c.inputs[i].shape().begin(), c.inputs[i].shape().end());
    for (int64_t extent : extents) {  // equal extents are one axis most of the time: all of them go
      Case empty = c;
      for (size_t i = 0; i < c.inputs.size(); ++i) {
        if (!c.inputs[i].defined() || c.given[i]) continue;
        Shape shape = c.inputs[i].shape();
        std::replace(shape.begin(), shape.end(), extent, int64_t{0});
        if (shape.count() != c.inputs[i].count()) empty.inputs[i] = Tensor(c.inputs[i].dtype(), shape);
      }
      try {
        Built b = build(empty);
        const std::vector<Datum> out = run(b, graph_inputs(empty));
        for (size_t i = 0; i < out.size(); ++i) {
          if (out[i].kind() != Datum::Kind::tensor) continue;
          EXPECT_TRUE(compatible(b.node->outputs()[i]->type, Type::of(out[i].tensor()))) << "extent " << extent << " became 0";
        }
      } catch (const Error& e) {
        EXPECT_NE(e.code(), ErrorCode::internal) << e.what();
      }
    }
  }
}

std::vector<Named> named() {
  std::vector<Named> list;
  for (const OpDef* def : all_ops()) list.push_back({def});
  return list;
}

INSTANTIATE_TEST_SUITE_P(Operators, FileLaws, testing::ValuesIn(named()), [](const testing::TestParamInfo<Named>& info) {
  std::string name = std::string(info.param.def->domain) + (info.param.def->domain.empty() ? "" : "_") + std::string(info.param.def->name);
  for (char& ch : name)
    if (!std::isalnum(static_cast<unsigned char>(ch))) ch = '_';
  return name;
});

}  // namespace
}  // namespace outpost::laws
