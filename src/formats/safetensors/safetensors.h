// safetensors: an 8-byte header length, a JSON header (name → dtype, shape, data_offsets; "__metadata__"), then the data.
// Reading points into the file where alignment allows. The header is untrusted: sizes, nesting, overlaps and holes are
// checked as the reference implementation does.
// Source: github.com/huggingface/safetensors, README "Format".
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "outpost/tensor.h"

namespace outpost {

struct Safetensors {
  std::vector<std::pair<std::string, Tensor>> tensors;       // in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;
  const Tensor* find(std::string_view name) const noexcept;  // null: none
};

// Throws Error(invalid_model | unsupported | limit); with an owner, tensors share its memory.
Safetensors read_safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner = nullptr, const std::string& name = "safetensors");
Safetensors load_safetensors(const std::filesystem::path& path);
// Tensors must be numeric, of whole bytes, with distinct names. Data begins at multiples of 8 bytes.
void save_safetensors(const std::filesystem::path& path, const Safetensors& content);
std::string safetensors_bytes(const Safetensors& content);

}  // namespace outpost
