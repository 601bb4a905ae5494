// C interface: models and descriptions.
#include "api/c_handles.h"

namespace outpost::c {

InfoTable::InfoTable(const std::vector<ValueInfo>& infos) {
  for (const ValueInfo& info : infos) {
    Entry e{&info, {}, {}, to_string(info.type)};
    for (const Dimension& d : info.type.shape) {
      e.shape.push_back(d.size);
      e.symbols.push_back(d.symbol.c_str());
    }
    entries_.push_back(std::move(e));
  }
}

void InfoTable::get(size_t index, outpost_info* out) const {
  if (index >= entries_.size()) fail(ErrorCode::not_found, "position ", index, " was asked for; there are ", entries_.size());
  const Entry& e = entries_[index];
  const TypeInfo& type = e.info->type;
  write_struct({.struct_size = 0,
                .name = e.info->name.c_str(),
                .kind = static_cast<int32_t>(type.kind),
                .dtype = static_cast<int32_t>(type.dtype),
                .rank = type.ranked ? static_cast<int32_t>(e.shape.size()) : -1,
                .shape = e.shape.data(),
                .symbols = e.symbols.data(),
                .type = e.type.c_str()},
               out);
}

namespace {

LoadOptions load_options(const outpost_load_options* given) {
  const outpost_load_options o = read_struct(given);
  LoadOptions options;
  if (o.external_data_root) options.external_data_root = o.external_data_root;
  if (o.name) options.name = o.name;
  options.memory_limit_bytes = o.memory_limit_bytes;
  if (o.max_nodes > 0) options.max_nodes = o.max_nodes;
  if (o.max_depth > 0) options.max_depth = o.max_depth;
  options.keep_overridable_inputs = o.keep_overridable_inputs != 0;
  return options;
}

}  // namespace
}  // namespace outpost::c

using namespace outpost;
using namespace outpost::c;

extern "C" {

outpost_status outpost_model_load(const char* path, const outpost_load_options* options, outpost_model** model) {
  return guarded([&] {
    required(model, "model") = new outpost_model(Model::load(&required(path, "path"), load_options(options)));
  });
}

outpost_status outpost_model_load_memory(const void* bytes, size_t size, const outpost_load_options* options, outpost_model** model) {
  return guarded([&] {
    if (size) required(static_cast<const char*>(bytes), "bytes");
    const std::span span(static_cast<const std::byte*>(bytes), size);
    required(model, "model") = new outpost_model(Model::load(span, load_options(options)));
  });
}

void outpost_model_free(outpost_model* model) { delete model; }
size_t outpost_model_input_count(const outpost_model* model) { return model ? model->inputs.size() : 0; }
size_t outpost_model_output_count(const outpost_model* model) { return model ? model->outputs.size() : 0; }

outpost_status outpost_model_input(const outpost_model* model, size_t index, outpost_info* info) {
  return guarded([&] { required(model, "model").inputs.get(index, info); });
}

outpost_status outpost_model_output(const outpost_model* model, size_t index, outpost_info* info) {
  return guarded([&] { required(model, "model").outputs.get(index, info); });
}

const char* outpost_model_name(const outpost_model* model) { return model ? model->model.name().c_str() : ""; }
size_t outpost_model_metadata_count(const outpost_model* model) { return model ? model->model.metadata().size() : 0; }

outpost_status outpost_model_metadata(const outpost_model* model, size_t index, const char** key, const char** value) {
  return guarded([&] {
    const auto& all = required(model, "model").model.metadata();
    if (index >= all.size()) fail(ErrorCode::not_found, "metadata ", index, " was asked for; there are ", all.size());
    required(key, "key") = all[index].first.c_str();
    required(value, "value") = all[index].second.c_str();
  });
}

int32_t outpost_model_opset(const outpost_model* model, const char* domain) {
  int32_t version = 0;
  guarded([&] {
    for (const auto& [name, number] : required(model, "model").model.opsets())
      if (name == text_or_empty(domain)) version = number;
  });
  return version;
}

}  // extern "C"
