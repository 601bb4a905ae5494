// The header of a .npy file: a Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
#pragma once
#include <string>
#include <string_view>

#include "outpost/tensor.h"

namespace outpost::npy {

enum class Text : uint8_t { none, bytes, unicode };  // strings are stored in cells of `width` characters

struct Header {
  DType dtype = DType::undefined;
  Text text = Text::none;
  int64_t width = 0;        // characters of a string cell
  bool big_endian = false, fortran_order = false;
  Shape shape;
  size_t data_offset = 0;   // in the file
  // Bytes of one element in the file.
  size_t item_bytes() const;
};

// Throws Error(invalid_model | unsupported); `name` is the file.
Header parse_header(std::string_view file, const std::string& name);
// Magic, version and header for little-endian C-order data, padded to 64 bytes.
std::string header_bytes(std::string_view descr, const Shape& shape);

}  // namespace outpost::npy
