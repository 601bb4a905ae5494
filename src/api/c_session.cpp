// C interface: sessions, states, bindings.
#include <cmath>

#include "api/c_handles.h"
#include "api/model_data.h"

using namespace outpost;
using namespace outpost::c;

namespace {

SessionOptions session_options(const outpost_session_options* given) {
  const outpost_session_options o = read_struct(given);
  if (o.precision < 0 || o.precision > 1) fail(ErrorCode::invalid_argument, "precision ", o.precision, " is none");
  SessionOptions options;
  options.threads = o.threads;
  options.precision = static_cast<Precision>(o.precision);
  options.memory_limit_bytes = o.memory_limit_bytes;
  options.seed = o.seed;
  if (o.cached_plans > 0) options.cached_plans = o.cached_plans;
  options.debug_fill = o.debug_fill != 0;
  for (std::string_view rest = text_or_empty(o.passes_off); !rest.empty();) {
    const size_t comma = rest.find(',');
    options.passes_off.emplace_back(rest.substr(0, comma));
    rest = comma == rest.npos ? "" : rest.substr(comma + 1);
  }
  return options;
}

std::chrono::steady_clock::time_point deadline_after(double seconds) {
  constexpr double a_year = 3e7;
  if (!(seconds > 0) || seconds > a_year) return std::chrono::steady_clock::time_point::max();
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

// Calls `run` with the options in C++'s form and hands out the profile afterwards.
template <class F>
void with_options(const outpost_run_options* given, F run) {
  if (!given) return run(RunOptions{});
  const outpost_run_options o = read_struct(given);
  std::vector<ProfileEntry> profile;
  RunOptions options;
  options.state = o.state ? &o.state->state : nullptr;
  options.cancel = o.cancel ? &o.cancel->flag : nullptr;
  options.deadline = deadline_after(o.timeout_seconds);
  options.memory_limit_bytes = o.memory_limit_bytes;
  options.threads = o.threads;
  if (o.profile) options.profile = &profile;
  run(options);
  for (const ProfileEntry& e : profile) {
    const outpost_profile_entry entry{sizeof(entry), e.op.c_str(), e.node.c_str(), e.start_ns, e.duration_ns, e.flops, e.bytes};
    o.profile(&entry, o.profile_context);
  }
}

size_t index_of(const std::vector<ValueInfo>& infos, const char* const* names, size_t i, const char* kind) {
  return names ? position(infos, &required(names[i], "a name"), kind) : i;
}

}  // namespace

extern "C" {

outpost_status outpost_session_new(const outpost_model* model, const outpost_session_options* options, outpost_session** session) {
  return guarded([&] {
    required(session, "session") = new outpost_session(required(model, "model").model, session_options(options));
  });
}

void outpost_session_free(outpost_session* session) { delete session; }
size_t outpost_session_input_count(const outpost_session* session) { return session ? session->inputs.size() : 0; }
size_t outpost_session_output_count(const outpost_session* session) { return session ? session->outputs.size() : 0; }

outpost_status outpost_session_input(const outpost_session* session, size_t index, outpost_info* info) {
  return guarded([&] { required(session, "session").inputs.get(index, info); });
}

outpost_status outpost_session_output(const outpost_session* session, size_t index, outpost_info* info) {
  return guarded([&] { required(session, "session").outputs.get(index, info); });
}

outpost_status outpost_session_input_index(const outpost_session* session, const char* name, size_t* index) {
  return guarded([&] { required(index, "index") = position(required(session, "session").session.inputs(), text_or_empty(name), "input"); });
}

outpost_status outpost_session_output_index(const outpost_session* session, const char* name, size_t* index) {
  return guarded([&] { required(index, "index") = position(required(session, "session").session.outputs(), text_or_empty(name), "output"); });
}

outpost_status outpost_session_run(const outpost_session* session, const outpost_run_options* options, const char* const* input_names,
                                   const outpost_value* const* inputs, size_t input_count, const char* const* output_names,
                                   outpost_value** outputs, size_t output_count) {
  return guarded([&] {
    const Session& s = required(session, "session").session;
    if (input_count) required(inputs, "inputs");
    if (output_count) required(outputs, "outputs");
    Binding binding(s);
    for (size_t i = 0; i < input_count; ++i)
      binding.input(index_of(s.inputs(), input_names, i, "input"), required(inputs[i], "an input").datum);
    std::vector<size_t> wanted;
    for (size_t i = 0; i < output_count; ++i) {
      wanted.push_back(index_of(s.outputs(), output_names, i, "output"));
      if (outputs[i]) binding.output(wanted.back(), outputs[i]->datum.tensor());
      else binding.result(wanted.back());  // refuses a position that there is not
    }
    with_options(options, [&](const RunOptions& o) { binding.run(o); });
    std::vector<std::unique_ptr<outpost_value>> made(output_count);
    for (size_t i = 0; i < output_count; ++i)
      if (!outputs[i]) made[i].reset(new outpost_value{binding.result(wanted[i])});
    for (size_t i = 0; i < output_count; ++i)
      if (made[i]) outputs[i] = made[i].release();
  });
}

outpost_status outpost_session_plan(const outpost_session* session, const int64_t* const* shapes, const size_t* ranks, size_t count,
                                    outpost_plan* plan) {
  return guarded([&] {
    if (count) required(ranks, "ranks"), required(shapes, "shapes");
    std::vector<Shape> all;
    for (size_t i = 0; i < count; ++i) all.push_back(shape_from(shapes[i], ranks[i]));
    const PlanInfo p = required(session, "session").session.plan(all);
    write_struct({0, p.arena_bytes, p.live_bytes, p.scratch_bytes, p.weights_bytes, p.flops, p.bytes, p.steps.size(), p.complete}, plan);
  });
}

outpost_status outpost_state_new(const outpost_session* session, uint64_t seed, outpost_state** state) {
  return guarded([&] { required(state, "state") = new outpost_state{required(session, "session").session.new_state(seed)}; });
}

void outpost_state_free(outpost_state* state) { delete state; }

outpost_status outpost_cancel_new(outpost_cancel** cancel) {
  return guarded([&] { required(cancel, "cancel") = new outpost_cancel; });
}

void outpost_cancel_set(outpost_cancel* cancel, int32_t cancelled) {
  if (cancel) cancel->flag = cancelled != 0;
}

void outpost_cancel_free(outpost_cancel* cancel) { delete cancel; }

outpost_status outpost_binding_new(const outpost_session* session, outpost_binding** binding) {
  return guarded([&] { required(binding, "binding") = new outpost_binding(required(session, "session").session); });
}

void outpost_binding_free(outpost_binding* binding) { delete binding; }

outpost_status outpost_binding_input(outpost_binding* binding, size_t index, const outpost_value* value) {
  return guarded([&] { required(binding, "binding").binding.input(index, required(value, "value").datum); });
}

outpost_status outpost_binding_output(outpost_binding* binding, size_t index, const outpost_value* value) {
  return guarded([&] {
    Binding& b = required(binding, "binding").binding;
    if (value) b.output(index, value->datum.tensor());
    else b.release_output(index);
  });
}

outpost_status outpost_binding_run(outpost_binding* binding, const outpost_run_options* options) {
  return guarded([&] {
    Binding& b = required(binding, "binding").binding;
    with_options(options, [&](const RunOptions& o) { b.run(o); });
  });
}

outpost_status outpost_binding_result(const outpost_binding* binding, size_t index, outpost_value** value) {
  return guarded([&] {
    const Datum& result = required(binding, "binding").binding.result(index);
    required(value, "value") = new outpost_value{result};
  });
}

}  // extern "C"
