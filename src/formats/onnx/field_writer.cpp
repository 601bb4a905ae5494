// Varints by protozero; a length of five bytes whose last ones are empty is legal, only not the shortest.
#include "formats/onnx/field_writer.h"

#include <cstring>
#include <iterator>
#include <protozero/varint.hpp>

#include "base/text.h"

namespace outpost::onnx {
namespace {

constexpr size_t length_bytes = 5, small_message = 16 << 10, alignment = 64;
constexpr uint64_t max_message = (uint64_t{1} << 31) - 1;  // what other readers accept
enum { wire_varint = 0, wire_bytes = 2, wire_fixed32 = 5 };

size_t varint_bytes(uint64_t value) {
  size_t n = 1;
  while (value >>= 7) ++n;
  return n;
}

}  // namespace

void FieldWriter::append_varint(uint64_t value) { protozero::write_varint(std::back_inserter(out_), value); }

void FieldWriter::varint(int field, uint64_t value) {
  key(field, wire_varint);
  append_varint(value);
}

void FieldWriter::real32(int field, float value) {
  key(field, wire_fixed32);
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void FieldWriter::bytes(int field, std::string_view value) {
  key(field, wire_bytes);
  append_varint(value.size());
  out_.append(value);
}

void FieldWriter::aligned_bytes(int field, std::string_view value, int filler) {
  if (value.size() < small_message) return bytes(field, value);
  const size_t head = varint_bytes(static_cast<uint64_t>(field) << 3) + varint_bytes(value.size());
  const size_t filler_head = varint_bytes(static_cast<uint64_t>(filler) << 3) + 1;  // at most 63 bytes: a length of one byte
  const size_t misplaced = (out_.size() + head) % alignment;
  if (misplaced != 0) bytes(filler, std::string((2 * alignment - misplaced - filler_head) % alignment, ' '));
  bytes(field, value);
}

size_t FieldWriter::open(int field) {
  key(field, wire_bytes);
  out_.append(length_bytes, '\0');
  return out_.size();
}

void FieldWriter::close(size_t begin) {
  const uint64_t length = out_.size() - begin;
  if (length > max_message) fail(ErrorCode::limit, "a message of ", length, " bytes; other readers end at 2 GiB: use external data");
  char* at = out_.data() + begin - length_bytes;
  if (length >= small_message) {
    for (size_t i = 0; i < length_bytes; ++i) at[i] = static_cast<char>((length >> (7 * i) & 0x7f) | (i + 1 < length_bytes ? 0x80 : 0));
    return;
  }
  const int used = protozero::add_varint_to_buffer(at, length);
  std::memmove(at + used, out_.data() + begin, length);
  out_.resize(out_.size() - (length_bytes - static_cast<size_t>(used)));
}

}  // namespace outpost::onnx
