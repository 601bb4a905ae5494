// Prepared models on disk: the second opening gives the same results from the file alone; whatever is wrong with a file
// is found and the model is prepared anew.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "formats/onnx/onnx.h"
#include "graph/text.h"
#include "ops/infer.h"
#include "ops/op.h"
#include "outpost/outpost.h"

namespace outpost {
namespace {

namespace fs = std::filesystem;

class Cache : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("outpost-cache-" + std::to_string(::getpid()) + "-" + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_model(0);
    set_log([](LogLevel level, std::string_view message, void* log) {
      if (level == LogLevel::warning) *static_cast<std::string*>(log) += std::string(message) + "\n";
    }, &log_);
  }
  void TearDown() override {
    set_log(nullptr, nullptr);
    fs::remove_all(folder_);
  }

  // A product with a large weight, a table that is only gathered from, and a small constant.
  void write_model(float shift) {
    auto graph = parse_graph("graph \"cached model\" {\n opset \"\" 21\n input %ids i64[n]\n}");
    Value* ids = graph->inputs()[0];
    auto filled = [&](Shape shape, float scale) {
      Tensor t(DType::f32, std::move(shape));
      for (int64_t i = 0; i < t.count(); ++i) t.data<float>()[i] = scale * static_cast<float>(i % 23) + shift;
      return t;
    };
    Value* table = graph->add_constant(filled({500, 96}, 0.25f), "table");
    Value* weight = graph->add_constant(filled({96, 80}, 0.125f), "weight");
    Value* bias = graph->add_constant(filled({80}, 1), "bias");
    Node* rows = graph->add_node("Gather", "", {table, ids});
    Node* product = graph->add_node("MatMul", "", {rows->output(0), weight});
    Node* sum = graph->add_node("Add", "", {product->output(0), bias});
    for (Node* n : {rows, product, sum}) n->version = 21, resolve(*n);
    graph->outputs = {sum->output(0)};
    infer_graph(*graph);
    save_onnx(*graph, model());
  }

  fs::path model() const { return folder_ / "model.onnx"; }
  fs::path cache() const { return folder_ / "cache"; }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    if (fs::exists(cache()))
      for (const auto& entry : fs::directory_iterator(cache())) found.push_back(entry.path());
    return found;
  }
  std::vector<float> run(bool verify = false, bool* cached = nullptr) {
    const Session session(Model::load(model().string()), {.threads = 2, .cache_directory = cache().string(), .verify_cache = verify});
    if (cached) *cached = session.passes()[0].name == "cached";
    const Outputs outputs = session.run({{"ids", Tensor::of({int64_t{3}, int64_t{499}})}});
    const auto values = outputs[0].values<float>();
    return {values.begin(), values.end()};
  }
  bool is_cached(bool verify = false) {
    bool cached = false;
    EXPECT_EQ(run(verify, &cached), truth_);
    return cached;
  }
  void prepare() {
    const Session session(Model::load(model().string()), {.threads = 1});
    const Outputs outputs = session.run({{"ids", Tensor::of({int64_t{3}, int64_t{499}})}});
    truth_.assign(outputs[0].values<float>().begin(), outputs[0].values<float>().end());
    EXPECT_FALSE(is_cached());
    ASSERT_EQ(files().size(), 1u);
    EXPECT_TRUE(is_cached());
    EXPECT_EQ(log_, "");
  }
  void overwrite(size_t offset, char byte) {
    std::fstream file(files().at(0), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }

  fs::path folder_;
  std::string log_;
  std::vector<float> truth_;
};

TEST_F(Cache, SecondOpeningMaps) { prepare(); }

TEST_F(Cache, VerifiedOpeningComparesContents) {
  prepare();
  EXPECT_TRUE(is_cached(true));
  overwrite(4096, 0x55);  // within the packed weights
  EXPECT_TRUE([&] { bool cached; run(false, &cached); return cached; }());
  EXPECT_FALSE(is_cached(true));
  EXPECT_NE(log_.find("damaged"), std::string::npos) << log_;
  EXPECT_TRUE(is_cached(true));  // made anew
}

TEST_F(Cache, AnotherModelInItsPlaceIsAnotherKey) {
  prepare();
  write_model(1);
  const std::vector<float> before = truth_;
  const Session session(Model::load(model().string()), {.threads = 1});
  const Outputs outputs = session.run({{"ids", Tensor::of({int64_t{3}, int64_t{499}})}});
  truth_.assign(outputs[0].values<float>().begin(), outputs[0].values<float>().end());
  EXPECT_NE(before, truth_);
  EXPECT_FALSE(is_cached());
  EXPECT_TRUE(is_cached());
}

TEST_F(Cache, EveryDamagedHeaderOrIndexIsFound) {
  prepare();
  const auto size = static_cast<size_t>(fs::file_size(files()[0]));
  std::ifstream in(files()[0], std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  for (size_t at = 0; at < size; at += at < 256 || at > size - 2000 ? 7 : 4096) {
    const bool block = at >= 136 && at < size - 1400;  // contents (and the padding of the header) are looked at on request only
    { std::ofstream(files()[0], std::ios::binary) << good; }
    fs::permissions(files()[0], fs::perms::owner_read | fs::perms::owner_write);
    overwrite(at, static_cast<char>(good[at] ^ 0x41));
    bool cached = false;
    const auto result = run(!block ? false : true, &cached);
    EXPECT_EQ(result, truth_) << at;
  }
}

TEST_F(Cache, CutOffEmptyOrForeignFilesAreIgnored) {
  prepare();
  for (const uintmax_t keep : {uintmax_t{0}, uintmax_t{100}, uintmax_t{5000}, fs::file_size(files()[0]) - 1}) {
    fs::resize_file(files()[0], keep);
    EXPECT_FALSE(is_cached()) << keep;
    EXPECT_TRUE(is_cached()) << keep;
  }
  fs::permissions(files()[0], fs::perms::others_write, fs::perm_options::add);
  EXPECT_FALSE(is_cached());
  EXPECT_NE(log_.find("others may write it"), std::string::npos) << log_;
  EXPECT_TRUE(is_cached());
}

TEST_F(Cache, AFolderThatCannotBeWrittenIsNoError) {
  prepare();
  fs::remove_all(cache());
  std::ofstream(cache()) << "a file where the folder should be";
  bool cached = true;
  EXPECT_EQ(run(false, &cached), truth_);
  EXPECT_FALSE(cached);
  EXPECT_NE(log_.find("cannot be written"), std::string::npos) << log_;
}

TEST_F(Cache, SeveralOpeningsAtOnce) {
  prepare();
  fs::remove_all(cache());
  std::vector<std::vector<float>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& r : results) threads.emplace_back([&] { r = run(); });
  }
  for (const auto& r : results) EXPECT_EQ(r, truth_);
  EXPECT_TRUE(is_cached(true));
}

// Exporters do not align the data of their files: weights are used where they lie, or through a copy.
TEST_F(Cache, WeightsAtOddAddresses) {
  prepare();
  std::ifstream in(model(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (size_t shift : {0, 1, 2, 3}) {
    auto memory = std::make_shared<std::vector<std::byte>>(bytes.size() + shift);
    std::memcpy(memory->data() + shift, bytes.data(), bytes.size());
    const Model loaded = Model::load(std::span(*memory).subspan(shift), {}, memory);
    for (const char* off : {"", "all"}) {
      SessionOptions options{.threads = 2};
      if (*off) options.passes_off = {off};
      const Session session(loaded, options);
      const Outputs outputs = session.run({{"ids", Tensor::of({int64_t{3}, int64_t{499}})}});
      const auto values = outputs[0].values<float>();
      ASSERT_EQ(values.size(), truth_.size());
      for (size_t i = 0; i < values.size(); ++i)
        ASSERT_NEAR(values[i], truth_[i], 1e-5f * std::abs(truth_[i])) << "shift " << shift << ", passes off: " << off;
    }
  }
}

TEST_F(Cache, ModelsFromMemoryAreKnownByContent) {
  std::ifstream in(model(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (const bool expected : {false, true}) {
    const Model loaded = Model::load(std::as_bytes(std::span(bytes)));
    const Session session(loaded, {.threads = 1, .cache_directory = cache().string()});
    EXPECT_EQ(session.passes()[0].name == "cached", expected);
  }
}

}  // namespace
}  // namespace outpost
