// Every ONNX file that the test data holds (1,951 conformance models, real networks, exporters' patterns) can be read,
// keeps the graph's invariants, and comes back the same from its text form and from an ONNX file that we write.
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

// The first line in which two texts differ.
std::string difference(std::string_view a, std::string_view b) {
  const size_t at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const size_t line = a.rfind('\n', at) + 1;
  auto cut = [&](std::string_view s) { return std::string(s.substr(std::min(line, s.size()), 300)); };
  return a == b ? "" : cut(a) + "\n  became\n" + cut(b);
}

std::string full_text(const Graph& graph) { return to_text(graph, {.full = true}); }

void check_model(const std::filesystem::path& path) {
  auto graph = load_onnx(path);
  verify_graph(*graph);
  EXPECT_EQ(graph->outputs.size(), graph->output_names.size());
  const auto text = full_text(*graph);

  auto parsed = parse_graph(text);
  verify_graph(*parsed);
  EXPECT_EQ(difference(text, full_text(*parsed)), "") << "the text form changed";

  const auto file = onnx_bytes(*graph);
  auto loaded = load_onnx(std::as_bytes(std::span(file)));
  verify_graph(*loaded);
  EXPECT_EQ(difference(text, full_text(*loaded)), "") << "export and import changed the graph";
}

void check_all(const std::filesystem::path& root, size_t least) {
  auto models = models_beneath(root);
  EXPECT_GE(models.size(), least);
  for (const auto& path : models) {
    SCOPED_TRACE(path.string());
    try {
      check_model(path);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(OnnxSuite, conformance_models) {
  const auto data = OUTPOST_REQUIRE_TEST_DATA("onnx-backend");
  check_all(data, 1951);
}

TEST(OnnxSuite, real_models) {
  const auto data = OUTPOST_REQUIRE_TEST_DATA("models");
  check_all(data, 203);
}

}  // namespace
}  // namespace outpost::test
