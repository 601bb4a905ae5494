// Datum: tensors, sequences and maps behind one handle; the items of a sequence are shared, never changed.
#include "base/text.h"
#include "outpost/tensor.h"

namespace outpost {

namespace {

std::string_view kind_name(Datum::Kind kind) noexcept {
  switch (kind) {
    case Datum::Kind::none: return "nothing";
    case Datum::Kind::tensor: return "a tensor";
    case Datum::Kind::sequence: return "a sequence";
    case Datum::Kind::map: return "a map";
  }
  return "?";
}

[[noreturn]] void wrong_kind(std::string_view wanted, Datum::Kind found) {
  fail(ErrorCode::invalid_argument, "expected ", wanted, ", found ", kind_name(found));
}

}  // namespace

Datum Datum::sequence(std::vector<Datum> items) {
  Datum d;
  d.kind_ = Kind::sequence;
  d.items_ = std::make_shared<const std::vector<Datum>>(std::move(items));
  return d;
}

Datum Datum::map(Tensor keys, std::vector<Datum> items) {
  if (keys.rank() != 1 || keys.count() != static_cast<int64_t>(items.size()))
    fail(ErrorCode::invalid_argument, "a map of ", items.size(), " items with keys of shape ", keys.shape(),
         "; one key an item is needed");
  Datum d;
  d.kind_ = Kind::map;
  d.tensor_ = std::move(keys);
  d.items_ = std::make_shared<const std::vector<Datum>>(std::move(items));
  return d;
}

const Tensor& Datum::tensor() const {
  if (kind_ != Kind::tensor) wrong_kind("a tensor", kind_);
  return tensor_;
}

const std::vector<Datum>& Datum::items() const {
  if (kind_ != Kind::sequence && kind_ != Kind::map) wrong_kind("a sequence or a map", kind_);
  return *items_;
}

const Tensor& Datum::keys() const {
  if (kind_ != Kind::map) wrong_kind("a map", kind_);
  return tensor_;
}

}  // namespace outpost
