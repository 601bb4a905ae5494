// Any bytes as a model: loading, optimising and running it on small inputs ends in a result or an Error, within limits.
// What libFuzzer counts as a find: a crash, a sanitizer report, more than 10 s, more than 2 GB.
#include <outpost/outpost.h>

#include <chrono>
#include <cstring>
#include <vector>

namespace {

// Inputs as declared, open dimensions being 2; nothing for a model whose inputs are not small tensors of numbers.
std::vector<outpost::NamedDatum> small_inputs(const outpost::Session& session) {
  std::vector<outpost::NamedDatum> given;
  for (const outpost::ValueInfo& info : session.inputs()) {
    if (info.type.kind != outpost::TypeInfo::Kind::tensor || info.type.dtype == outpost::DType::string) return {};
    outpost::Shape shape;
    for (const outpost::Dimension& d : info.type.shape) shape.push_back(d.size < 0 ? 2 : d.size);
    if (outpost::checked_count(shape) > 10000) return {};
    outpost::Tensor tensor(info.type.dtype, shape);
    std::memset(tensor.raw(), 1, tensor.bytes());
    given.push_back({info.name, tensor});
  }
  return given;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto model = outpost::Model::load(bytes, {.memory_limit_bytes = 64 << 20, .max_nodes = 2000});
    const outpost::Session session(model, {.threads = 1, .memory_limit_bytes = 64 << 20});
    const auto given = small_inputs(session);
    if (given.size() == session.inputs().size())
      session.run(given, {.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1)});
  } catch (const outpost::Error&) {
  }
  return 0;
}
