// Wire decoding on protozero's varints; the one place that sees its headers for reading.
#include "formats/onnx/wire.h"

#include <cstring>
#include <protozero/varint.hpp>

namespace outpost::onnx {

void Budget::charge(uint64_t bytes, std::string_view what) {
  if (bytes > limit_ - used_)
    fail(ErrorCode::limit, label_, ": ", what, " needs ", bytes, " bytes more, but only ", limit_ - used_,
         " are left of the ", limit_, " that loading may use; raise memory_limit_bytes if the file is trusted");
  used_ += bytes;
}

uint64_t FieldReader::decode() {
  try {
    return protozero::decode_varint(&at_, end_);
  } catch (const protozero::varint_too_long_exception&) {
    fail("a varint is longer than 10 bytes");
  } catch (const protozero::exception&) {
    fail("the message ends within a varint");
  }
}

bool FieldReader::next() {
  if (at_ == end_) return false;
  uint64_t key = decode();
  if (key >> 3 == 0 || key >> 3 > 0x1fffffff) fail("a field number is ", key >> 3, ", expected 1..536870911");
  field_ = static_cast<int>(key >> 3);
  uint8_t type = key & 7;
  if (type != wire_varint && type != wire_fixed64 && type != wire_bytes && type != wire_fixed32)
    fail("wire type ", int(type), " is not used by ONNX, expected 0, 1, 2 or 5");
  wire_type_ = static_cast<WireType>(type);
  return true;
}

void FieldReader::require(WireType expected) const {
  if (wire_type_ != expected) fail("wire type ", int(wire_type_), " found, ", int(expected), " expected");
}

std::string_view FieldReader::take(uint64_t bytes) {
  uint64_t left = static_cast<uint64_t>(end_ - at_);
  if (bytes > left) fail("a length is ", bytes, " bytes, but the message has only ", left, " left");
  std::string_view taken(at_, static_cast<size_t>(bytes));
  at_ += bytes;
  return taken;
}

void FieldReader::skip() {
  switch (wire_type_) {
    case wire_varint: decode(); break;
    case wire_fixed64: take(8); break;
    case wire_bytes: take(decode()); break;
    case wire_fixed32: take(4); break;
  }
}

uint64_t FieldReader::varint() {
  require(wire_varint);
  return decode();
}

int32_t FieldReader::enumeration() {
  int64_t value = integer();
  if (value != static_cast<int32_t>(value)) fail("the value ", value, " does not fit 32 bits");
  return static_cast<int32_t>(value);
}

float FieldReader::real32() {
  require(wire_fixed32);
  float value;
  std::memcpy(&value, take(4).data(), 4);
  return value;
}

double FieldReader::real64() {
  require(wire_fixed64);
  double value;
  std::memcpy(&value, take(8).data(), 8);
  return value;
}

std::string_view FieldReader::bytes() {
  require(wire_bytes);
  return take(decode());
}

std::string_view FieldReader::elements(int width) {
  if (wire_type_ == wire_bytes) return bytes();
  if (width == 4) return require(wire_fixed32), take(4);
  if (width == 8) return require(wire_fixed64), take(8);
  require(wire_varint);
  const char* begin = at_;
  decode();
  return {begin, static_cast<size_t>(at_ - begin)};
}

uint64_t FieldReader::count_elements(int width) {
  auto run = elements(width);
  if (width != 0) {
    if (run.size() % width != 0) fail("a packed run of ", run.size(), " bytes is not a multiple of ", width);
    return run.size() / width;
  }
  if (!run.empty() && (run.back() & 0x80)) fail("a packed run ends within a varint");
  uint64_t count = 0;
  int length = 0;  // of the varint being passed
  for (char c : run) {
    if (++length > 10) fail("a varint is longer than 10 bytes");
    if (!(c & 0x80)) ++count, length = 0;
  }
  return count;
}

template <class T>
void FieldReader::make_room(std::vector<T>& out, uint64_t count, uint64_t most) const {
  if (count > most - out.size()) fail("more than ", most, " elements");
  if (out.size() + count > out.capacity()) out.reserve(std::max<size_t>(2 * out.capacity(), out.size() + count));
}

void FieldReader::append(std::vector<int64_t>& out, uint64_t most) {
  auto ahead = *this;
  make_room(out, ahead.count_elements(0), most);
  auto run = elements(0);
  while (!run.empty()) out.push_back(static_cast<int64_t>(next_varint(run)));
}

void FieldReader::append(std::vector<float>& out, uint64_t most) {
  auto ahead = *this;
  size_t count = ahead.count_elements(4), old = out.size();
  make_room(out, count, most);
  auto run = elements(4);
  if (count == 0) return;
  out.resize(old + count);
  std::memcpy(out.data() + old, run.data(), count * 4);
}

uint64_t next_varint(std::string_view& run) {
  const char* at = run.data();
  uint64_t value = protozero::decode_varint(&at, run.data() + run.size());
  run.remove_prefix(static_cast<size_t>(at - run.data()));
  return value;
}

void FieldReader::fail_text(const std::string& what) const {
  auto offset = at_ - source_->bytes.data();
  outpost::fail(ErrorCode::invalid_model, source_->label, ": byte ", static_cast<int64_t>(offset), ", ", name_,
                field_ ? text(" field ", field_) : std::string(), ": ", what);
}

}  // namespace outpost::onnx
