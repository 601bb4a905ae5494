// Any bytes as a .npy and as a .npz file: a tensor or an Error; what was read is written and read back the same.
#include <cstring>

#include "formats/npy/npy.h"

namespace {

void expect_round_trip(const outpost::Tensor& tensor) {
  if (tensor.dtype() == outpost::DType::string) return;
  const std::string written = outpost::npy_bytes(tensor);
  const auto again = outpost::read_npy(std::as_bytes(std::span(written)));
  if (again.count() != tensor.count()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    expect_round_trip(outpost::read_npy(bytes));
  } catch (const outpost::Error&) {
  }
  try {
    for (const auto& [name, tensor] : outpost::read_npz(bytes, nullptr, "npz", {.memory_limit_bytes = 64 << 20}))
      expect_round_trip(tensor);
  } catch (const outpost::Error&) {
  }
  return 0;
}
