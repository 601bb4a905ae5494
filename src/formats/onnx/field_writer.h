// The protobuf wire format, written field by field into one growing buffer.
//
// A nested message's length stands before it but is known after it: five bytes are left for it and filled in later.
// Small messages are then moved up to their shortest form, large ones (16 KiB) stay, so that tensor data once aligned
// to the buffer stays aligned: a file that is mapped later needs no copies.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace outpost::onnx {

class FieldWriter {
 public:
  void varint(int field, uint64_t value);
  void integer(int field, int64_t value) { varint(field, static_cast<uint64_t>(value)); }
  void real32(int field, float value);
  void bytes(int field, std::string_view value);
  // Large values begin at a multiple of 64 in the buffer; `filler` is a string field that readers ignore.
  void aligned_bytes(int field, std::string_view value, int filler);
  template <class F>
  void message(int field, F write) {
    const size_t begin = open(field);
    write();
    close(begin);
  }

  size_t size() const noexcept { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  void key(int field, int wire_type) { append_varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type)); }
  void append_varint(uint64_t value);
  size_t open(int field);
  void close(size_t begin);
  std::string out_;
};

}  // namespace outpost::onnx
