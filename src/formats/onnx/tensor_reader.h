// TensorProto, SparseTensorProto and the values of onnx-data.proto as Tensors and Datums.
//
// Raw and external data of the right alignment is not copied: the tensor points into the mapped file and keeps it.
// Every count is checked against the shape before memory is taken, and memory is charged to the budget first.
#pragma once
#include "formats/onnx/external_data.h"
#include "formats/onnx/wire.h"
#include "graph/type.h"

namespace outpost::onnx {

class TensorReader {
 public:
  // `external` null: external data is refused.
  TensorReader(const Source& source, Budget& budget, ExternalData* external)
      : source_(source), budget_(budget), external_(external) {}

  Tensor tensor(std::string_view bytes) { return tensor(bytes, false); }
  // A graph's constant: large weights stay in the file even where it has them at an odd address (Value::stored).
  Tensor constant(std::string_view bytes) { return tensor(bytes, true); }
  Tensor sparse_tensor(std::string_view bytes);  // in dense form
  // A TensorProto, SparseTensorProto, SequenceProto, OptionalProto or MapProto.
  Datum datum(std::string_view bytes, Type::Kind kind) { return datum(bytes, kind, 0); }

 private:
  struct Header;
  Tensor tensor(std::string_view bytes, bool anywhere);
  Header header(std::string_view bytes);
  Tensor raw(const Header& h, std::string_view raw, const std::shared_ptr<const void>& owner, bool anywhere);
  Tensor external(const Header& h, bool anywhere);
  Tensor typed(const Header& h, std::string_view bytes);
  Tensor strings(const Header& h, std::string_view bytes);
  Tensor allocate(const Header& h);
  void scatter(const Tensor& values, const Tensor& indices, Tensor& dense);
  Datum datum(std::string_view bytes, Type::Kind kind, int depth);
  std::vector<Datum> sequence(std::string_view bytes, int depth);
  Datum optional(std::string_view bytes, int depth);
  Datum map(std::string_view bytes, int depth);

  const Source& source_;
  Budget& budget_;
  ExternalData* external_;
};

}  // namespace outpost::onnx
