// Tensors between Python and the engine: memory stays where it is, each side keeping the other's object alive.
#pragma once
#include <pybind11/pybind11.h>

#include "outpost/outpost.h"

namespace outpost::python {

namespace py = pybind11;

// A tensor as Python sees it: a buffer, a DLPack producer.
struct Array {
  Tensor tensor;
};

// The memory of an object with the buffer protocol, C-contiguous, seen as `dtype` and `shape`. The object is kept (and its
// buffer locked) until the engine lets go.
Array from_buffer(const py::object& object, const std::string& dtype, const std::vector<int64_t>& shape, bool writable);
// The memory of an object with __dlpack__ on the CPU.
Array from_dlpack(const py::object& object);
Array from_strings(const py::sequence& strings, const std::vector<int64_t>& shape);
void define_array(py::module_& module);

// Arrays, lists and dicts of them, None; and back.
Datum to_datum(const py::handle& value);
py::object from_datum(const Datum& datum);

}  // namespace outpost::python
