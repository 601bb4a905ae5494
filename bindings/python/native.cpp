// The native module: Session, State, Binding over the C++ interface. outpost/__init__.py gives them numpy and manners.
#include <pybind11/stl.h>

#include "tensors.h"

namespace outpost::python {
namespace {

using Clock = std::chrono::steady_clock;

struct RunArguments {
  State* state = nullptr;
  double timeout = 0;
  uint64_t memory_limit = 0;
  int threads = 0;
};

RunOptions run_options(const RunArguments& a) {
  RunOptions o;
  o.state = a.state;
  o.memory_limit_bytes = a.memory_limit;
  o.threads = a.threads;
  if (a.timeout > 0 && a.timeout < 1e9) o.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(a.timeout));
  return o;
}

SessionOptions session_options(int threads, const std::string& precision, uint64_t memory_limit, uint64_t seed, std::vector<std::string> passes_off) {
  if (precision != "f32" && precision != "bf16") throw Error(ErrorCode::invalid_argument, "precision is '" + precision + "'; it can be f32 or bf16");
  SessionOptions o;
  o.threads = threads;
  o.precision = precision == "bf16" ? Precision::bf16 : Precision::f32;
  o.memory_limit_bytes = memory_limit;
  o.seed = seed;
  o.passes_off = std::move(passes_off);
  return o;
}

// (name, kind, dtype, shape or None, text)
py::tuple describe(const ValueInfo& v) {
  py::object shape = py::none();
  if (v.type.ranked) {
    py::tuple dims(v.type.shape.size());
    for (size_t i = 0; i < v.type.shape.size(); ++i) {
      const Dimension& d = v.type.shape[i];
      if (d.size >= 0) dims[i] = d.size;
      else if (!d.symbol.empty()) dims[i] = d.symbol;
      else dims[i] = py::none();
    }
    shape = dims;
  }
  static constexpr const char* kinds[] = {"unknown", "tensor", "sparse_tensor", "sequence", "optional", "map"};
  const bool typed = v.type.dtype != DType::undefined;
  return py::make_tuple(v.name, kinds[static_cast<int>(v.type.kind)], typed ? py::object(py::str(std::string(name(v.type.dtype)))) : py::none(), shape,
                        to_string(v.type));
}

py::list describe(const std::vector<ValueInfo>& values) {
  py::list out;
  for (const ValueInfo& v : values) out.append(describe(v));
  return out;
}

// Arguments by name. The names are Python's; the list of strings keeps copies alive for the run.
struct Named {
  std::vector<std::string> names;
  std::vector<NamedDatum> values;
  explicit Named(const py::dict& dict) {
    names.reserve(dict.size());
    for (const auto& [key, value] : dict) {
      names.push_back(key.cast<std::string>());
      values.push_back({names.back(), to_datum(value)});
    }
  }
};

py::dict run(const Session& session, const py::dict& inputs, const py::dict& outputs, State* state, double timeout, uint64_t memory_limit, int threads) {
  const Named in(inputs), out(outputs);
  Outputs results;
  {
    const py::gil_scoped_release unlocked;
    results = session.run(in.values, out.values, run_options({state, timeout, memory_limit, threads}));
  }
  py::dict named;
  for (size_t i = 0; i < results.size(); ++i) named[py::str(results.name(i))] = from_datum(results.datum(i));
  return named;
}

py::dict plan(const Session& session, const std::vector<std::vector<int64_t>>& shapes) {
  std::vector<Shape> all;
  for (const auto& s : shapes) all.emplace_back(std::span<const int64_t>(s));
  const PlanInfo p = session.plan(all);
  py::dict d;
  d["arena_bytes"] = p.arena_bytes;
  d["live_bytes"] = p.live_bytes;
  d["scratch_bytes"] = p.scratch_bytes;
  d["weights_bytes"] = p.weights_bytes;
  d["flops"] = p.flops;
  d["bytes"] = p.bytes;
  d["complete"] = p.complete;
  d["steps"] = p.steps.size();
  return d;
}

void define_session(py::module_& module) {
  py::class_<State>(module, "State", "What a model keeps between runs; one run at a time uses it.")
      .def_property_readonly("names", &State::names)
      .def("_get", [](const State& s, const std::string& name) { return Array{s.get(name).clone()}; })
      .def("_set", [](State& s, const std::string& name, const Array& value) { s.set(name, value.tensor); })
      .def_property("random", &State::random, [](State& s, std::pair<uint64_t, uint64_t> r) { s.set_random(r.first, r.second); });

  py::class_<Model>(module, "Model")
      .def_static("load", [](const std::string& path, const std::string& root) { return Model::load(path, {.external_data_root = root}); },
                  py::arg("path"), py::arg("external_data_root") = "", py::call_guard<py::gil_scoped_release>())
      .def_static("from_bytes", [](const py::bytes& bytes) {
        const std::string_view view = bytes;
        const py::gil_scoped_release unlocked;
        return Model::load(std::as_bytes(std::span(view)));
      })
      .def_property_readonly("name", &Model::name)
      .def_property_readonly("metadata", [](const Model& m) {
        py::dict d;
        for (const auto& [key, value] : m.metadata()) d[py::str(key)] = value;
        return d;
      })
      .def_property_readonly("opsets", [](const Model& m) {
        py::dict d;
        for (const auto& [domain, version] : m.opsets()) d[py::str(domain)] = version;
        return d;
      })
      .def_property_readonly("parameters", &Model::parameter_count)
      .def_property_readonly("_inputs", [](const Model& m) { return describe(m.inputs()); })
      .def_property_readonly("_outputs", [](const Model& m) { return describe(m.outputs()); });

  py::class_<Session>(module, "Session")
      .def(py::init([](const Model& model, int threads, const std::string& precision, uint64_t memory_limit, uint64_t seed, std::vector<std::string> passes_off) {
             const SessionOptions options = session_options(threads, precision, memory_limit, seed, std::move(passes_off));
             const py::gil_scoped_release unlocked;
             return Session(model, options);
           }),
           py::arg("model"), py::arg("threads"), py::arg("precision"), py::arg("memory_limit"), py::arg("seed"), py::arg("passes_off"))
      .def_property_readonly("threads", [](const Session& s) { return s.options().threads; })
      .def("run", &run)
      .def("plan", &plan)
      .def("new_state", [](const Session& s, std::optional<uint64_t> seed) { return seed ? s.new_state(*seed) : s.new_state(); }, py::arg("seed") = py::none())
      .def("reset", &Session::reset);

  py::class_<Binding>(module, "Binding")
      .def(py::init<const Session&>())
      .def("input", [](Binding& b, const std::string& name, const py::object& value) { b.input(name, to_datum(value)); })
      .def("output", [](Binding& b, const std::string& name, const Array& value) { b.output(name, value.tensor); })
      .def("run", [](Binding& b, State* state) { b.run({.state = state}); }, py::arg("state") = nullptr, py::call_guard<py::gil_scoped_release>())
      .def("result", [](const Binding& b, const std::string& name) { return from_datum(b.result(name)); });
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  static py::object error = py::exception<Error>(module, "Error", PyExc_RuntimeError);
  static constexpr const char* codes[] = {"", "invalid_argument", "invalid_model", "invalid_data", "unsupported", "not_found", "io", "limit", "cancelled", "deadline", "internal"};
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      const int code = static_cast<int>(e.code());
      py::object instance = error(e.what());
      instance.attr("code") = code > 0 && code < 11 ? codes[code] : "internal";
      PyErr_SetObject(error.ptr(), instance.ptr());
    }
  });
  module.attr("version") = version();
  define_array(module);
  define_session(module);
}

}  // namespace outpost::python
