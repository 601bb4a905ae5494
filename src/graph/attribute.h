// Attributes of a node: a name and one of ONNX's attribute kinds. Lookups are linear: nodes have few.
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "graph/type.h"

namespace outpost {

class Graph;

using Attribute = std::variant<int64_t, float, std::string, Tensor, std::shared_ptr<Graph>, Type, std::vector<int64_t>,
                               std::vector<float>, std::vector<std::string>, std::vector<Tensor>,
                               std::vector<std::shared_ptr<Graph>>>;

class Attributes {
 public:
  using Entry = std::pair<std::string, Attribute>;
  Attributes() = default;
  Attributes(std::initializer_list<Entry> entries) : entries_(entries) {}

  const Attribute* find(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return find(name) != nullptr; }
  void set(std::string name, Attribute value);
  void erase(std::string_view name) noexcept;

  // The value, or `fallback` when absent; throws Error(invalid_model) when the attribute is of another kind.
  int64_t integer(std::string_view name, int64_t fallback) const;
  float real(std::string_view name, float fallback) const;
  std::string_view string(std::string_view name, std::string_view fallback) const;
  const std::vector<int64_t>& integers(std::string_view name) const;  // empty when absent
  const std::vector<float>& reals(std::string_view name) const;
  const std::vector<std::string>& strings(std::string_view name) const;
  const Tensor* tensor(std::string_view name) const;                  // null when absent
  const std::shared_ptr<Graph>& graph(std::string_view name) const;   // throws when absent

  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  auto begin() noexcept { return entries_.begin(); }
  auto end() noexcept { return entries_.end(); }
  size_t size() const noexcept { return entries_.size(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace outpost
