// Graphs as PyTorch, ONNX Runtime's tools and others export them: what is recognised in each, and that it still computes
// the same.
#include "formats/onnx/onnx.h"
#include "passes/pass_check.h"
#include "test_data.h"

namespace outpost::test {
namespace {

struct Case {
  const char* file;
  const char* made;  // an operator that must be there
  const char* gone;  // one that must not
};

const Case cases[] = {
    {"layer_norm.onnx", "LayerNormalization", "ReduceMean"},
    {"layer_norm_t5.onnx", "RMSNormalization", "ReduceMean"},
    {"layer_norm_with_cast_3.onnx", "LayerNormalization", "ReduceMean"},
    {"gelu.onnx", "Gelu", "Erf"},
    {"gelu_format2_0.onnx", "Gelu", "Erf"},
    {"gelu_format2_1.onnx", "Gelu", "Erf"},
    {"bias_gelu_fusion.onnx", "Gelu", "Erf"},
    {"fast_gelu.onnx", "Gelu", "Tanh"},
    {"fast_gelu2.onnx", "Gelu", "Tanh"},
    {"fast_gelu_with_bias.onnx", "Gelu", "Tanh"},
    {"attention_symbolic_batch.onnx", "Attention", "Softmax"},
    {"attention_int32_mask.onnx", "Attention", "Softmax"},
    {"attention_mask_no_cast.onnx", "Attention", "Softmax"},
};

TEST(ExportedTransformers, are_recognised_and_compute_the_same) {
  const auto folder = OUTPOST_REQUIRE_TEST_DATA("models/ort-fusion");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file);
    const auto graph = load_onnx(folder / c.file);
    upgrade_graph(*graph);
    const std::string found = " " + operators(*optimised(graph, Stage::recognise)) + " ";
    EXPECT_NE(found.find(std::string(" ") + c.made + " "), std::string::npos) << found;
    EXPECT_EQ(found.find(std::string(" ") + c.gone + " "), std::string::npos) << found;
  }
}

}  // namespace
}  // namespace outpost::test
