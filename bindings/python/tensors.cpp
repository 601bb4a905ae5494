// Buffers and DLPack. DLPack's structures: github.com/dmlc/dlpack, include/dlpack/dlpack.h (ABI 0, unversioned capsule).
#include "tensors.h"

#include <pybind11/stl.h>

#include <cstring>

namespace outpost::python {
namespace {

extern "C" {
struct DLDevice {
  int32_t type, id;
};
struct DLType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};
}

constexpr int32_t dl_cpu = 1;
constexpr const char* capsule_name = "dltensor";

struct Kind {
  DType dtype;
  uint8_t dl_code, bits;
  const char* format;  // of the buffer protocol; null: seen as unsigned integers of that width
};

constexpr Kind kinds[] = {
    {DType::f32, 2, 32, "f"}, {DType::f64, 2, 64, "d"}, {DType::f16, 2, 16, "e"}, {DType::bf16, 4, 16, nullptr},
    {DType::i8, 0, 8, "b"}, {DType::i16, 0, 16, "h"}, {DType::i32, 0, 32, "i"}, {DType::i64, 0, 64, "q"},
    {DType::u8, 1, 8, "B"}, {DType::u16, 1, 16, "H"}, {DType::u32, 1, 32, "I"}, {DType::u64, 1, 64, "Q"},
    {DType::boolean, 6, 8, "?"}, {DType::complex64, 5, 64, "Zf"}, {DType::complex128, 5, 128, "Zd"},
    {DType::f8e4m3fn, 10, 8, nullptr}, {DType::f8e4m3fnuz, 11, 8, nullptr}, {DType::f8e5m2, 12, 8, nullptr},
    {DType::f8e5m2fnuz, 13, 8, nullptr}, {DType::f8e8m0, 14, 8, nullptr},
};

const Kind* kind_of(DType dtype) {
  for (const Kind& k : kinds)
    if (k.dtype == dtype) return &k;
  return nullptr;
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, what); }

// Runs when the engine lets go, on whichever thread that is.
template <class F>
void with_python(F f) {
  if (!Py_IsInitialized()) return;
  const py::gil_scoped_acquire lock;
  f();
}

py::buffer_info buffer_of(Array& array) {
  const Tensor& t = array.tensor;
  const Kind* k = kind_of(t.dtype());
  std::vector<py::ssize_t> shape(t.shape().begin(), t.shape().end());
  if (!k) {  // strings have no bytes to show; packed types are shown as such
    if (t.dtype() == DType::string) throw py::type_error("a tensor of strings has no buffer");
    shape = {static_cast<py::ssize_t>(t.bytes())};
  }
  const py::ssize_t size = k ? k->bits / 8 : 1;
  std::vector<py::ssize_t> strides(shape.size());
  py::ssize_t step = size;
  for (size_t i = shape.size(); i-- > 0; step *= std::max<py::ssize_t>(1, shape[i])) strides[i] = step;
  const char* format = k && k->format ? k->format : size == 2 ? "H" : "B";
  return {array.tensor.raw(), size, format, static_cast<py::ssize_t>(shape.size()), std::move(shape), std::move(strides)};
}

// A tensor handed to another library: the capsule's deleter frees this.
struct Handed {
  DLManagedTensor managed;
  Tensor tensor;
  std::vector<int64_t> shape, strides;
};

py::capsule to_dlpack(const Array& array) {
  const Kind* k = kind_of(array.tensor.dtype());
  if (!k) refuse("a tensor of " + std::string(name(array.tensor.dtype())) + " has no form in DLPack");
  auto* h = new Handed{{}, array.tensor.to_contiguous(), {}, {}};
  h->shape.assign(h->tensor.shape().begin(), h->tensor.shape().end());
  h->strides.resize(h->shape.size());
  int64_t step = 1;
  for (size_t i = h->shape.size(); i-- > 0; step *= h->shape[i]) h->strides[i] = step;
  h->managed.tensor = {h->tensor.raw(), {dl_cpu, 0}, h->tensor.rank(), {k->dl_code, k->bits, 1}, h->shape.data(), h->strides.data(), 0};
  h->managed.context = h;
  h->managed.deleter = [](DLManagedTensor* m) { delete static_cast<Handed*>(m->context); };
  return py::capsule(&h->managed, capsule_name, [](PyObject* capsule) {
    // A consumer that took the tensor renamed the capsule.
    if (!PyCapsule_IsValid(capsule, capsule_name)) return;
    auto* m = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, capsule_name));
    m->deleter(m);
  });
}

DType dtype_of(const DLType& type) {
  if (type.lanes == 1)
    for (const Kind& k : kinds)
      if (k.dl_code == type.code && k.bits == type.bits) return k.dtype;
  refuse("a DLPack tensor of type code " + std::to_string(type.code) + " and " + std::to_string(type.bits) + " bits is not understood");
}

}  // namespace

Array from_buffer(const py::object& object, const std::string& dtype, const std::vector<int64_t>& shape, bool writable) {
  const DType type = dtype_from_name(dtype);
  if (type == DType::undefined || type == DType::string) refuse("'" + dtype + "' is not a type of numbers");
  struct Held {
    Py_buffer view;
    ~Held() {
      with_python([this] { PyBuffer_Release(&view); });
    }
  };
  Py_buffer view;
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)) != 0) throw py::error_already_set();
  auto held = std::shared_ptr<Held>(new Held{view});
  const Shape dims{std::span<const int64_t>(shape)};
  if (bytes_for(type, checked_count(dims)) != static_cast<size_t>(view.len))
    refuse("a buffer of " + std::to_string(view.len) + " bytes for " + dtype + to_string(dims));
  return {Tensor::share(held, view.buf, type, dims)};
}

Array from_dlpack(const py::object& object) {
  if (py::hasattr(object, "__dlpack_device__") && object.attr("__dlpack_device__")().cast<py::tuple>()[0].cast<int32_t>() != dl_cpu)
    refuse("the tensor is not on the CPU");
  const py::object capsule = object.attr("__dlpack__")();
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), capsule_name));
  if (!managed) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  const std::shared_ptr<void> owner(managed, [](void* m) {
    with_python([m] {
      auto* tensor = static_cast<DLManagedTensor*>(m);
      if (tensor->deleter) tensor->deleter(tensor);
    });
  });
  const DLTensor& t = managed->tensor;
  if (t.ndim < 0 || t.ndim > Shape::max_rank) refuse("a DLPack tensor of rank " + std::to_string(t.ndim));
  const Shape shape(t.shape, static_cast<size_t>(t.ndim));
  void* data = static_cast<char*>(t.data) + t.byte_offset;
  if (!t.strides) return {Tensor::share(owner, data, dtype_of(t.dtype), shape)};
  return {Tensor::strided(owner, data, dtype_of(t.dtype), shape, Shape(t.strides, static_cast<size_t>(t.ndim)))};
}

Array from_strings(const py::sequence& strings, const std::vector<int64_t>& shape) {
  Tensor t(DType::string, Shape{std::span<const int64_t>(shape)});
  if (py::len(strings) != static_cast<size_t>(t.count())) refuse(std::to_string(py::len(strings)) + " strings for a shape of " + std::to_string(t.count()));
  size_t i = 0;
  for (const py::handle s : strings) t.data<std::string>()[i++] = s.cast<std::string>();  // str as UTF-8, bytes as they are
  return {std::move(t)};
}

Datum to_datum(const py::handle& value) {
  if (value.is_none()) return Datum();
  if (py::isinstance<Array>(value)) return value.cast<const Array&>().tensor;
  if (py::isinstance<py::tuple>(value)) {  // (keys, values): a map
    const auto pair = value.cast<py::tuple>();
    std::vector<Datum> items;
    for (const py::handle item : pair[1]) items.push_back(to_datum(item));
    return Datum::map(pair[0].cast<const Array&>().tensor, std::move(items));
  }
  std::vector<Datum> items;
  for (const py::handle item : value.cast<py::list>()) items.push_back(to_datum(item));
  return Datum::sequence(std::move(items));
}

py::object from_datum(const Datum& d) {
  if (d.kind() == Datum::Kind::tensor) return py::cast(Array{d.tensor()});
  if (!d.has_value()) return py::none();
  py::list items;
  for (const Datum& item : d.items()) items.append(from_datum(item));
  if (d.kind() == Datum::Kind::sequence) return std::move(items);
  return py::make_tuple(Array{d.keys()}, items);
}

void define_array(py::module_& module) {
  py::class_<Array>(module, "Tensor", py::buffer_protocol(), "Memory of the engine: a buffer and a DLPack producer.")
      .def_buffer(buffer_of)
      .def_property_readonly("dtype", [](const Array& a) { return std::string(name(a.tensor.dtype())); })
      .def_property_readonly("shape", [](const Array& a) {
        py::tuple shape(a.tensor.rank());
        for (int i = 0; i < a.tensor.rank(); ++i) shape[static_cast<size_t>(i)] = a.tensor.shape()[i];
        return shape;
      })
      .def("strings", [](const Array& a) {
        py::list out;
        for (const std::string& s : a.tensor.values<std::string>()) {
          PyObject* text = PyUnicode_DecodeUTF8(s.data(), static_cast<py::ssize_t>(s.size()), "surrogateescape");
          if (!text) throw py::error_already_set();
          out.append(py::reinterpret_steal<py::object>(text));
        }
        return out;
      })
      .def("__dlpack__", [](const Array& a, const py::args&, const py::kwargs&) { return to_dlpack(a); })
      .def("__dlpack_device__", [](const Array&) { return py::make_tuple(dl_cpu, 0); });
  module.def("from_buffer", &from_buffer, py::arg("object"), py::arg("dtype"), py::arg("shape"), py::arg("writable") = false);
  module.def("from_dlpack", &from_dlpack);
  module.def("from_strings", &from_strings);
}

}  // namespace outpost::python
