// A law of packed weights: an operator made ready from bytes that an earlier opening packed, without the weights it says
// it has consumed, gives the same bits (ops/packed_store.h). All inputs but the first are constants here.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "laws/case.h"
#include "ops/infer.h"

namespace outpost::laws {
namespace {

class Store final : public PackedStore {
 public:
  bool replay = false;
  Tensor packed(std::string_view key, size_t bytes, FunctionRef<void(void*)> fill) override {
    auto known = blocks_.find(std::string(key));
    if (replay) {
      if (known == blocks_.end() || known->second.bytes() != bytes) throw Error(ErrorCode::internal, "asks for other packed weights: " + std::string(key));
      return known->second;
    }
    EXPECT_TRUE(known == blocks_.end()) << "two blocks with the key " << key;
    Tensor memory(DType::u8, {static_cast<int64_t>(bytes)});
    std::memset(memory.raw(), 0xa5, bytes);  // what is not written differs from a fresh page
    fill(memory.raw());
    blocks_[std::string(key)] = memory;
    return memory;
  }
  bool empty() const { return blocks_.empty(); }

 private:
  std::map<std::string, Tensor> blocks_;
};

Built with_constants(const Case& c, std::vector<Tensor>& rest) {
  Built b = build(c);
  const std::vector<Tensor> given = graph_inputs(c);
  const std::vector<Value*> inputs = b.graph->inputs();
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (i == 0) rest.push_back(given[i]);
    else b.graph->make_constant(inputs[i], given[i]);
  }
  return b;
}

std::vector<Datum> run(const Built& b, const std::vector<Tensor>& inputs, PackedStore& store) {
  auto program = Program::compile(b.graph, {.threads = 1, .debug_fill = true}, {.store = &store});
  RunState state = program->new_state(7);
  std::vector<Datum> data(inputs.begin(), inputs.end()), outputs(b.graph->outputs.size());
  std::vector<const Datum*> pointers;
  for (const Datum& d : data) pointers.push_back(&d);
  program->run(pointers, outputs, {}, state, {});
  return outputs;
}

// Lets go of what the operator says it has consumed.
void let_go_consumed(const Built& b) {
  const size_t count = b.node->inputs().size();
  std::vector<const Tensor*> constants(count, nullptr);
  for (size_t i = 0; i < count; ++i)
    if (const Value* v = b.node->input(static_cast<int>(i)); v && v->is_constant()) constants[i] = &v->constant();
  const std::unique_ptr<bool[]> unread(new bool[count]());
  Store aside;
  b.node->def->prepare(PrepareContext{*b.node, constants, 1, &aside, "", {unread.get(), count}});
  for (size_t i = 0; i < count; ++i)
    if (unread[i] && constants[i]) b.graph->let_go(b.node->input(static_cast<int>(i)));
}

TEST(PreparedLaw, PackedBeforeIsPackedNow) {
  int packing = 0;
  for (const OpDef* def : all_ops()) {
    if (!def->prepare || !def->run || def->random) continue;
    for (const std::string& line : case_lines(*def)) {
      SCOPED_TRACE(std::string(def->name) + ": " + line);
      const Case c = parse_case(*def, line);
      try {
        std::vector<Tensor> inputs, again;
        const Built first = with_constants(c, inputs), second = with_constants(c, again);
        Store store;
        const std::vector<Datum> fresh = run(first, inputs, store);
        if (store.empty()) continue;
        ++packing;
        store.replay = true;
        let_go_consumed(second);
        const std::vector<Datum> replayed = run(second, again, store);
        for (size_t i = 0; i < fresh.size(); ++i) {
          if (fresh[i].kind() != Datum::Kind::tensor || fresh[i].tensor().dtype() == DType::string) continue;
          const Tensor &x = fresh[i].tensor(), &y = replayed[i].tensor();
          ASSERT_EQ(x.shape(), y.shape());
          EXPECT_TRUE(x.bytes() == 0 || std::memcmp(x.raw(), y.raw(), x.bytes()) == 0) << "output " << i;
        }
      } catch (const Error& e) {
        ADD_FAILURE() << e.what();
      }
    }
  }
  EXPECT_GT(packing, 20);
}

}  // namespace
}  // namespace outpost::laws
