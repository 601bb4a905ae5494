// Binding: the arguments of a run, kept in the form that the executor takes them.
#include "api/session_data.h"
#include "base/text.h"

namespace outpost {

struct Binding::Data {
  std::shared_ptr<Session::Data> session;
  std::vector<Datum> inputs, results;
  std::vector<const Datum*> pointers;  // into `inputs`
  std::unique_ptr<bool[]> bound;
  std::vector<bool> given;
  bool complete = false;               // every input has been given

  void check_complete() {
    if (complete) return;
    const std::vector<ValueInfo>& declared = session->model.inputs();
    for (size_t i = 0; i < given.size(); ++i)
      if (!given[i]) fail(ErrorCode::invalid_argument, "input '", declared[i].name, "' is missing; the model expects ", to_string(declared[i].type));
    complete = true;
  }
  void check(size_t index, size_t count, std::string_view kind) const {
    if (index >= count) fail(ErrorCode::not_found, kind, " ", index, " was asked for; the model has ", count);
  }
};

Binding::Binding(const Session& session) : data_(std::make_unique<Data>()) {
  data_->session = session.data_;
  const size_t inputs = session.inputs().size(), outputs = session.outputs().size();
  data_->inputs.resize(inputs);
  data_->results.resize(outputs);
  data_->given.resize(inputs);
  for (const Datum& d : data_->inputs) data_->pointers.push_back(&d);
  data_->bound = std::make_unique<bool[]>(outputs);
}

Binding::Binding(Binding&&) noexcept = default;
Binding& Binding::operator=(Binding&&) noexcept = default;
Binding::~Binding() = default;

Binding& Binding::input(size_t index, Datum value) {
  data_->check(index, data_->inputs.size(), "input");
  data_->inputs[index] = std::move(value);
  data_->given[index] = true;
  return *this;
}

Binding& Binding::input(std::string_view name, Datum value) {
  return input(position(data_->session->model.inputs(), name, "input"), std::move(value));
}

Binding& Binding::output(size_t index, Tensor memory) {
  data_->check(index, data_->results.size(), "output");
  data_->results[index] = Datum(std::move(memory));
  data_->bound[index] = true;
  return *this;
}

Binding& Binding::output(std::string_view name, Tensor memory) {
  return output(position(data_->session->model.outputs(), name, "output"), std::move(memory));
}

Binding& Binding::release_output(size_t index) {
  data_->check(index, data_->results.size(), "output");
  data_->results[index] = Datum();
  data_->bound[index] = false;
  return *this;
}

void Binding::run(const RunOptions& options) {
  Data& d = *data_;
  d.check_complete();
  for (size_t i = 0; i < d.results.size(); ++i)
    if (!d.bound[i] && d.results[i].has_value()) d.results[i] = Datum();  // so that its memory can serve again
  d.session->run(d.pointers, d.results, {d.bound.get(), d.results.size()}, options);
}

const Datum& Binding::result(size_t index) const {
  data_->check(index, data_->results.size(), "output");
  return data_->results[index];
}

const Datum& Binding::result(std::string_view name) const {
  return result(position(data_->session->model.outputs(), name, "output"));
}

}  // namespace outpost
