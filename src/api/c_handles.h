// What stands behind the C interface: its handles, and the two things every function does: turn exceptions into a status,
// and read structs that may be older or newer than this library.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "base/text.h"
#include "outpost/c.h"
#include "outpost/outpost.h"

struct outpost_value {
  outpost::Datum datum;
};

struct outpost_state {
  outpost::State state;
};

struct outpost_cancel {
  std::atomic<bool> flag{false};
};

namespace outpost::c {

void set_message(const char* message) noexcept;

template <class F>
outpost_status guarded(F&& body) noexcept {
  try {
    body();
    return OUTPOST_OK;
  } catch (const Error& e) {
    set_message(e.what());
    return static_cast<outpost_status>(e.code());
  } catch (const std::bad_alloc&) {
    set_message("no memory");
    return OUTPOST_LIMIT;
  } catch (const std::exception& e) {
    set_message(e.what());
    return OUTPOST_INTERNAL;
  } catch (...) {
    set_message("an unknown exception");
    return OUTPOST_INTERNAL;
  }
}

template <class T>
T& required(T* pointer, const char* what) {
  if (!pointer) fail(ErrorCode::invalid_argument, what, " is NULL");
  return *pointer;
}

// The caller's struct as this library knows it: fields that the caller does not have are zero.
template <class T>
T read_struct(const T* given) {
  T whole{};
  if (!given) return whole;
  if (given->struct_size < sizeof(size_t)) fail(ErrorCode::invalid_argument, "struct_size is ", given->struct_size, "; set it with OUTPOST_INIT");
  std::memcpy(static_cast<void*>(&whole), given, std::min(given->struct_size, sizeof(T)));
  return whole;
}

// As many fields as the caller has.
template <class T>
void write_struct(T whole, T* out) {
  const size_t size = required(out, "the struct to fill").struct_size;
  if (size < sizeof(size_t)) fail(ErrorCode::invalid_argument, "struct_size is ", size, "; set it with OUTPOST_INIT");
  whole.struct_size = size;
  std::memcpy(static_cast<void*>(out), &whole, std::min(size, sizeof(T)));
}

inline std::string_view text_or_empty(const char* s) { return s ? std::string_view(s) : std::string_view(); }

DType dtype_from(int32_t number);
Shape shape_from(const int64_t* dims, size_t rank);
outpost_tensor describe(const Tensor& tensor);

// Infos in C's form. The strings are those of `infos`, which must outlive this.
class InfoTable {
 public:
  explicit InfoTable(const std::vector<ValueInfo>& infos);
  void get(size_t index, outpost_info* info) const;
  size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    const ValueInfo* info;
    std::vector<int64_t> shape;
    std::vector<const char*> symbols;
    std::string type;
  };
  std::vector<Entry> entries_;
};

}  // namespace outpost::c

struct outpost_model {
  explicit outpost_model(outpost::Model m) : model(std::move(m)), inputs(model.inputs()), outputs(model.outputs()) {}
  outpost::Model model;
  outpost::c::InfoTable inputs, outputs;
};

struct outpost_session {
  outpost_session(const outpost::Model& model, const outpost::SessionOptions& options)
      : session(model, options), inputs(session.inputs()), outputs(session.outputs()) {}
  outpost::Session session;
  outpost::c::InfoTable inputs, outputs;
};

struct outpost_binding {
  explicit outpost_binding(const outpost::Session& session) : binding(session) {}
  outpost::Binding binding;
};
