// C interface: status messages and values.
#include <cstdio>

#include "api/c_handles.h"

namespace outpost::c {
namespace {

// Fixed, so that reporting an error never needs memory.
thread_local char last_message[2048];

std::vector<Datum> data_of(const outpost_value* const* items, size_t count) {
  if (count) required(items, "items");
  std::vector<Datum> data;
  for (size_t i = 0; i < count; ++i) data.push_back(required(items[i], "an item").datum);
  return data;
}

void give(Datum datum, outpost_value** out) { required(out, "value") = new outpost_value{std::move(datum)}; }

}  // namespace

void set_message(const char* message) noexcept { std::snprintf(last_message, sizeof last_message, "%s", message ? message : ""); }

DType dtype_from(int32_t number) {
  if (number < 1 || number > 26) fail(ErrorCode::invalid_argument, "dtype ", number, " is none; see OUTPOST_F32 and its kin");
  return static_cast<DType>(number);
}

Shape shape_from(const int64_t* dims, size_t rank) {
  if (rank > Shape::max_rank) fail(ErrorCode::limit, "rank ", rank, " is more than ", Shape::max_rank);
  if (rank) required(dims, "shape");
  Shape shape(dims, rank);
  checked_count(shape);
  return shape;
}

outpost_tensor describe(const Tensor& t) {
  return {.struct_size = sizeof(outpost_tensor),
          .dtype = static_cast<int32_t>(t.dtype()),
          .rank = t.rank(),
          .shape = t.shape().data(),
          .data = t.dtype() == DType::string ? nullptr : const_cast<void*>(t.raw()),
          .bytes = t.dtype() == DType::string ? 0 : t.bytes(),
          .count = t.count()};
}

}  // namespace outpost::c

using namespace outpost;
using namespace outpost::c;

extern "C" {

const char* outpost_error_message(void) { return last_message; }
void outpost_set_error_message(const char* message) { set_message(message); }
const char* outpost_version(void) { return version(); }
const char* outpost_dtype_name(int32_t dtype) { return dtype < 1 || dtype > 26 ? "undefined" : name(static_cast<DType>(dtype)).data(); }

outpost_status outpost_value_new(int32_t dtype, const int64_t* shape, size_t rank, outpost_value** value) {
  return guarded([&] {
    Tensor t(dtype_from(dtype), shape_from(shape, rank));
    if (t.dtype() != DType::string) std::memset(t.raw(), 0, t.bytes());
    give(Datum(std::move(t)), value);
  });
}

outpost_status outpost_value_borrow(int32_t dtype, const int64_t* shape, size_t rank, void* data, size_t bytes,
                                    void (*release)(void*), void* context, outpost_value** value) {
  return guarded([&] {
    const DType type = dtype_from(dtype);
    if (type == DType::string) fail(ErrorCode::invalid_argument, "strings cannot be borrowed; use outpost_value_strings");
    const Shape dims = shape_from(shape, rank);
    const size_t needed = bytes_for(type, dims.count());
    if (bytes != needed) fail(ErrorCode::invalid_argument, bytes, " bytes were given for ", type, dims, ", which takes ", needed);
    if (needed) required(static_cast<char*>(data), "data");
    required(value, "value");
    std::shared_ptr<void> owner;
    if (release) owner.reset(data, [release, context](void*) { release(context); });
    give(Datum(Tensor::share(std::move(owner), data, type, dims)), value);
  });
}

outpost_status outpost_value_strings(const int64_t* shape, size_t rank, const char* const* strings, const size_t* lengths,
                                     outpost_value** value) {
  return guarded([&] {
    Tensor t(DType::string, shape_from(shape, rank));
    if (t.count()) required(strings, "strings");
    auto* out = t.data<std::string>();
    for (int64_t i = 0, n = t.count(); i < n; ++i) {
      const char* s = &required(strings[i], "a string");
      if (lengths) out[i].assign(s, lengths[i]);
      else out[i] = s;
    }
    give(Datum(std::move(t)), value);
  });
}

outpost_status outpost_value_sequence(const outpost_value* const* items, size_t count, outpost_value** value) {
  return guarded([&] { give(Datum::sequence(data_of(items, count)), value); });
}

outpost_status outpost_value_map(const outpost_value* keys, const outpost_value* const* items, size_t count, outpost_value** value) {
  return guarded([&] { give(Datum::map(required(keys, "keys").datum.tensor(), data_of(items, count)), value); });
}

outpost_status outpost_value_share(const outpost_value* value, outpost_value** copy) {
  return guarded([&] { give(required(value, "value").datum, copy); });
}

void outpost_value_free(outpost_value* value) { delete value; }

int32_t outpost_value_kind(const outpost_value* value) {
  if (!value) return OUTPOST_NONE;
  switch (value->datum.kind()) {
    case Datum::Kind::tensor: return OUTPOST_TENSOR;
    case Datum::Kind::sequence: return OUTPOST_SEQUENCE;
    case Datum::Kind::map: return OUTPOST_MAP;
    case Datum::Kind::none: break;
  }
  return OUTPOST_NONE;
}

outpost_status outpost_value_tensor(const outpost_value* value, outpost_tensor* tensor) {
  return guarded([&] { write_struct(describe(required(value, "value").datum.tensor()), tensor); });
}

outpost_status outpost_value_string(const outpost_value* value, size_t index, const char** data, size_t* length) {
  return guarded([&] {
    const auto strings = required(value, "value").datum.tensor().values<std::string>();
    if (index >= strings.size()) fail(ErrorCode::invalid_argument, "string ", index, " was asked for; there are ", strings.size());
    required(data, "data") = strings[index].c_str();
    if (length) *length = strings[index].size();
  });
}

size_t outpost_value_count(const outpost_value* value) {
  const int32_t kind = outpost_value_kind(value);
  return kind == OUTPOST_SEQUENCE || kind == OUTPOST_MAP ? value->datum.items().size() : 0;
}

outpost_status outpost_value_item(const outpost_value* value, size_t index, outpost_value** item) {
  return guarded([&] {
    const auto& items = required(value, "value").datum.items();
    if (index >= items.size()) fail(ErrorCode::invalid_argument, "item ", index, " was asked for; there are ", items.size());
    give(items[index], item);
  });
}

outpost_status outpost_value_keys(const outpost_value* value, outpost_value** keys) {
  return guarded([&] { give(Datum(required(value, "value").datum.keys()), keys); });
}

}  // extern "C"
