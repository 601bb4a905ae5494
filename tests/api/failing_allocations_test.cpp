// Memory that runs out anywhere: the n-th allocation fails, for every n, while a model is loaded, made ready and run. Each
// ends in Error(limit) or std::bad_alloc, gives back everything, and leaves the process as good as new. (SQLite's way.)
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>

#include "allocation_hook.h"
#include "formats/onnx/onnx.h"
#include "outpost/c.h"
#include "outpost/outpost.h"

#if OUTPOST_ALLOCATION_HOOK

namespace outpost::test {
namespace {

// Every golden case: products, convolution, attention with caches, quantised weights, recurrences, trees, strings.
std::vector<std::string> models() {
  std::vector<std::string> list;
  const std::filesystem::path root = std::filesystem::path(OUTPOST_SOURCE_DIR) / "tests/golden";
  for (const char* family : {"microsoft", "ml", "old_opsets"})
    for (const auto& entry : std::filesystem::directory_iterator(root / family))
      if (exists(entry.path() / "model.onnx")) list.push_back(entry.path().lexically_relative(root).string());
  std::sort(list.begin(), list.end());
  return list;
}

Type::Kind kind_of(const TypeInfo& type) {
  if (type.kind == TypeInfo::Kind::sequence) return Type::Kind::sequence;
  return type.kind == TypeInfo::Kind::map ? Type::Kind::map : Type::Kind::tensor;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Once through: load, open, run. The inputs are read before, so that their memory does not count.
struct Attempt {
  std::string folder, model = bytes_of(folder + "/model.onnx");
  std::vector<std::string> names;
  std::vector<NamedDatum> inputs;

  explicit Attempt(const std::string& name) : folder(std::string(OUTPOST_SOURCE_DIR) + "/tests/golden/" + name) {
    const Model m = Model::load(std::as_bytes(std::span(model)));
    for (const ValueInfo& input : m.inputs()) names.push_back(input.name);
    for (size_t i = 0; i < names.size(); ++i)
      inputs.push_back({names[i], load_onnx_value(folder + "/test_data_set_0/input_" + std::to_string(i) + ".pb", kind_of(m.inputs()[i].type))});
  }
  void operator()() const {
    const Session session(Model::load(std::as_bytes(std::span(model))), {.threads = 2});
    session.run(inputs);
    session.run(inputs);
  }
};

class FailingAllocations : public testing::TestWithParam<std::string> {};

TEST_P(FailingAllocations, are_errors_and_leak_nothing) {
  const Attempt attempt(GetParam());
  const CountedTensors counted;
  attempt();  // what is made once for the whole process is there now
  const long start = allocations;
  attempt();
  const long count = allocations - start;
  const long step = 1 + count / 300;  // all of them, or a spread of them where there are many
  for (long n = 1; n <= count; n += step) {
    const long alive = blocks;
    bool ended_well = false;
    fails_in = n;
    try {
      attempt();
      ended_well = true;  // an allocation that was optional, or another number of them this time
    } catch (const std::bad_alloc&) {
      ended_well = true;
    } catch (const Error& error) {
      ended_well = error.code() == ErrorCode::limit;
      if (!ended_well) ADD_FAILURE() << "allocation " << n << ": " << error.what();
    }
    fails_in = 0;
    if (blocks != alive) ADD_FAILURE() << "allocation " << n << ": " << blocks - alive << " blocks are left";
    if (!ended_well || blocks != alive) break;
  }
  attempt();
}

INSTANTIATE_TEST_SUITE_P(Models, FailingAllocations, testing::ValuesIn(models()), [](const auto& info) {
  return info.param.substr(info.param.find("/test_") + 6);
});

TEST(FailingAllocationsInC, are_a_status) {
  const Attempt attempt("microsoft/test_gelu");
  const CountedTensors counted;
  const auto once = [&] {
    outpost_model* model = nullptr;
    outpost_session* session = nullptr;
    outpost_value* x = nullptr;
    outpost_value* y = nullptr;
    const Tensor& t = attempt.inputs[0].value.tensor();
    outpost_status status = outpost_model_load_memory(attempt.model.data(), attempt.model.size(), nullptr, &model);
    if (!status) status = outpost_session_new(model, nullptr, &session);
    if (!status) status = outpost_value_borrow(static_cast<int32_t>(t.dtype()), t.shape().data(), t.shape().size(), const_cast<void*>(t.raw()), t.bytes(), nullptr, nullptr, &x);
    const outpost_value* in = x;
    if (!status) status = outpost_session_run(session, nullptr, nullptr, &in, 1, nullptr, &y, 1);
    outpost_value_free(y);
    outpost_value_free(x);
    outpost_session_free(session);
    outpost_model_free(model);
    return status;
  };
  ASSERT_EQ(once(), OUTPOST_OK);
  const long start = allocations;
  once();
  for (long n = 1, count = allocations - start; n <= count; ++n) {
    fails_in = n;
    const outpost_status status = once();
    fails_in = 0;
    EXPECT_TRUE(status == OUTPOST_OK || status == OUTPOST_LIMIT) << "allocation " << n << ": " << outpost_error_message();
  }
  EXPECT_EQ(once(), OUTPOST_OK);
}

}  // namespace
}  // namespace outpost::test

#endif
