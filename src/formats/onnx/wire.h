// The protobuf wire format, read field by field from untrusted bytes.
//
// Every length is checked against what is left of its message before it is used, lengths are 64 bits wide (a message may
// pass 4 GiB), and a field read as the wrong wire type is an error that names file, byte, message and field.
// Source: protobuf.dev/programming-guides/encoding. Groups (wire types 3, 4) do not occur in ONNX and are refused.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace outpost::onnx {

// The bytes being read: their name for messages, where they begin, and what keeps them in memory.
struct Source {
  std::string label;
  std::string_view bytes;
  std::shared_ptr<const void> owner;  // empty: borrowed, so nothing may point into them after the reading
};

// Memory that reading may take beyond the source's own bytes. A file can ask for far more than its size (a million
// two-byte nodes, a sparse tensor's dense form); charging first turns that into an error.
class Budget {
 public:
  Budget(const std::string& label, uint64_t limit) : label_(label), limit_(limit) {}
  void charge(uint64_t bytes, std::string_view what);
  void allow(uint64_t bytes) noexcept { limit_ += std::min(bytes, ~uint64_t{0} - limit_); }

 private:
  const std::string& label_;
  uint64_t limit_, used_ = 0;
};

// The fields of one message, in file order: while (r.next()) switch (r.field()) { case 1: … r.string(); default: r.skip(); }
class FieldReader {
 public:
  FieldReader(const Source& source, std::string_view message, const char* name)
      : source_(&source), name_(name), at_(message.data()), end_(message.data() + message.size()) {}

  bool next();
  int field() const noexcept { return field_; }
  void skip();

  uint64_t varint();
  int64_t integer() { return static_cast<int64_t>(varint()); }
  int32_t enumeration();  // a varint that must fit 32 bits
  float real32();
  double real64();
  std::string_view bytes();
  std::string string() { return std::string(bytes()); }

  // Repeated scalars, packed or not: appends what this occurrence holds, to a list of at most `most`.
  void append(std::vector<int64_t>& out, uint64_t most);
  void append(std::vector<float>& out, uint64_t most);
  // How many elements of `width` bytes (0: varints) this occurrence of a repeated scalar holds; leaves the field read.
  uint64_t count_elements(int width);
  // The occurrence's elements as bytes: packed content, or the one scalar's own encoding.
  std::string_view elements(int width);

  template <class... A>
  [[noreturn]] void fail(const A&... what) const { fail_text(text(what...)); }
  const Source& source() const noexcept { return *source_; }

 private:
  enum WireType : uint8_t { wire_varint = 0, wire_fixed64 = 1, wire_bytes = 2, wire_fixed32 = 5 };
  void require(WireType expected) const;
  template <class T>
  void make_room(std::vector<T>& out, uint64_t count, uint64_t most) const;
  std::string_view take(uint64_t bytes);
  uint64_t decode();
  [[noreturn]] void fail_text(const std::string& what) const;

  const Source* source_;
  const char* name_;
  const char* at_;
  const char* end_;
  int field_ = 0;
  WireType wire_type_ = wire_varint;
};

// Decodes one varint of a packed run; the run was counted before, so it cannot be cut short.
uint64_t next_varint(std::string_view& run);

}  // namespace outpost::onnx
