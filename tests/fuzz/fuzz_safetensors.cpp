// Any bytes as a safetensors file: tensors or an Error; what was read is written and read back the same.
#include "formats/safetensors/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto content = outpost::read_safetensors(std::as_bytes(std::span(data, size)));
    const std::string written = outpost::safetensors_bytes(content);
    const auto again = outpost::read_safetensors(std::as_bytes(std::span(written)));
    if (again.tensors.size() != content.tensors.size()) __builtin_trap();
  } catch (const outpost::Error&) {
  }
  return 0;
}
