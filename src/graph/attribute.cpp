// Typed look-ups with an error that names the attribute and both kinds.
#include "graph/attribute.h"

#include "base/text.h"

namespace outpost {
namespace {

constexpr std::string_view kind_names[] = {"integer", "float", "string", "tensor", "graph", "type", "integers", "floats", "strings", "tensors", "graphs"};

template <class T>
const T* get(const Attributes& attributes, std::string_view name) {
  const Attribute* a = attributes.find(name);
  if (!a) return nullptr;
  if (const T* value = std::get_if<T>(a)) return value;
  fail(ErrorCode::invalid_model, "attribute '", name, "' is of kind ", kind_names[a->index()], ", expected ",
       kind_names[Attribute(std::in_place_type<T>).index()]);
}

template <class T>
const T& get_or_empty(const Attributes& attributes, std::string_view name) {
  static const T empty{};
  const T* value = get<T>(attributes, name);
  return value ? *value : empty;
}

}  // namespace

const Attribute* Attributes::find(std::string_view name) const noexcept {
  for (const Entry& e : entries_)
    if (e.first == name) return &e.second;
  return nullptr;
}

void Attributes::set(std::string name, Attribute value) {
  for (Entry& e : entries_)
    if (e.first == name) {
      e.second = std::move(value);
      return;
    }
  entries_.emplace_back(std::move(name), std::move(value));
}

void Attributes::erase(std::string_view name) noexcept {
  std::erase_if(entries_, [&](const Entry& e) { return e.first == name; });
}

int64_t Attributes::integer(std::string_view name, int64_t fallback) const {
  const int64_t* v = get<int64_t>(*this, name);
  return v ? *v : fallback;
}

float Attributes::real(std::string_view name, float fallback) const {
  const float* v = get<float>(*this, name);
  return v ? *v : fallback;
}

std::string_view Attributes::string(std::string_view name, std::string_view fallback) const {
  const std::string* v = get<std::string>(*this, name);
  return v ? std::string_view(*v) : fallback;
}

const std::vector<int64_t>& Attributes::integers(std::string_view name) const { return get_or_empty<std::vector<int64_t>>(*this, name); }
const std::vector<float>& Attributes::reals(std::string_view name) const { return get_or_empty<std::vector<float>>(*this, name); }
const std::vector<std::string>& Attributes::strings(std::string_view name) const { return get_or_empty<std::vector<std::string>>(*this, name); }
const Tensor* Attributes::tensor(std::string_view name) const { return get<Tensor>(*this, name); }

const std::shared_ptr<Graph>& Attributes::graph(std::string_view name) const {
  const auto* g = get<std::shared_ptr<Graph>>(*this, name);
  if (!g || !*g) fail(ErrorCode::invalid_model, "attribute '", name, "' (a graph) is missing");
  return *g;
}

}  // namespace outpost
