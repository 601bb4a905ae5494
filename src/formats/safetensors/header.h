// The JSON header of a safetensors file, strictly: one object of tensors, no nesting beyond what the format has.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outpost/tensor.h"

namespace outpost::safetensors {

struct Entry {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::vector<int64_t> offsets;  // begin, end within the data
};

struct Header {
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Throws Error(invalid_model); `name` is the file.
Header parse_header(std::string_view json, const std::string& name);
void append_json_string(std::string& out, std::string_view s);

}  // namespace outpost::safetensors
