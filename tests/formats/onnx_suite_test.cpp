// Every ONNX file that the test data holds (1,951 conformance models, real networks, exporters' patterns) can be read,
// keeps the graph's invariants, and comes back from its text form.
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/onnx/onnx.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "test_data.h"

namespace outpost::test {
namespace {

std::vector<std::filesystem::path> models_beneath(const std::filesystem::path& root) {
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.path().extension() == ".onnx") models.push_back(entry.path());
  std::sort(models.begin(), models.end());
  return models;
}

void load_all(const std::filesystem::path& root, size_t least) {
  auto models = models_beneath(root);
  EXPECT_GE(models.size(), least);
  for (const auto& path : models) {
    try {
      auto graph = load_onnx(path);
      verify_graph(*graph);
      const auto text = to_text(*graph, {.full = true});
      auto back = parse_graph(text);
      verify_graph(*back);
      EXPECT_TRUE(to_text(*back, {.full = true}) == text) << path << ": the text form changed";
      EXPECT_EQ(graph->outputs.size(), graph->output_names.size()) << path;
    } catch (const std::exception& error) {
      ADD_FAILURE() << path << ": " << error.what();
    }
  }
}

TEST(OnnxSuite, conformance_models_load) {
  const auto data = OUTPOST_REQUIRE_TEST_DATA("onnx-backend");
  load_all(data, 1951);
}

TEST(OnnxSuite, real_models_load) {
  const auto data = OUTPOST_REQUIRE_TEST_DATA("models");
  load_all(data, 203);
}

}  // namespace
}  // namespace outpost::test
