// Printing. Floats are written with the fewest digits that read back to the same value.
#include "graph/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/base64.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/utf8.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int full_values = 16;  // in full text, larger constants are base64

bool is_plain(std::string_view s, std::string_view more) {
  return !s.empty() && std::all_of(s.begin(), s.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || more.find(c) != more.npos;
  });
}

void append_quoted(std::string& out, std::string_view s) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  while (!s.empty()) {
    const auto before = s;
    uint32_t c;
    const bool valid = take_code_point(s, c);
    if (!valid) s.remove_prefix(1);
    const auto byte = static_cast<unsigned char>(before[0]);
    if (c == '"' && valid) out += "\\\"";
    else if (c == '\\' && valid) out += "\\\\";
    else if (c == '\n' && valid) out += "\\n";
    else if (!valid || byte < 0x20 || byte == 0x7f) out.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
    else out.append(before.substr(0, before.size() - s.size()));
  }
  out += '"';
}

template <class T>
void append_float(std::string& out, T value, bool attribute) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  char buffer[40];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string_view digits(buffer, static_cast<size_t>(end - buffer));
  out.append(digits);
  if (attribute && digits.find_first_of(".en") == digits.npos) out += ".0";  // tells it from an integer
}

class Printer {
 public:
  Printer(std::string& out, const TextOptions& options) : out_(out), options_(options) {}

  void graph(const Graph& graph, int depth, bool top) {
    symbols_ = graph.symbols.get();
    out_ += "graph ";
    append_quoted(out_, graph.name);
    out_ += " {\n";
    if (top) header(graph);
    for (const Value* input : graph.inputs()) line(depth, "input ", *input), out_ += '\n';
    for (const auto& value : graph.values()) {
      if (!value->is_constant()) continue;
      line(depth, "const ", *value);
      const int64_t number = options_.elsewhere ? options_.elsewhere(value->stored()) : -1;
      out_ += number < 0 ? " " : text(" @", number);
      if (number < 0) data(value->stored());
      out_ += '\n';
    }
    for (const auto& item : graph.nodes()) {
      indent(depth);
      node(*item, depth);
      out_ += '\n';
    }
    for (size_t i = 0; i < graph.outputs.size(); ++i) output(graph, i, depth);
    for (const auto& item : graph.states) state(item, depth);
    out_.append(static_cast<size_t>(2 * depth - 2), ' ') += '}';
  }

  void node(const Node& node, int depth) {
    if (node.graph()) symbols_ = node.graph()->symbols.get();
    list(node.outputs(), [&](const Value* v) { v ? typed(*v) : void(out_ += '-'); });
    out_ += node.outputs().empty() ? "= " : " = ";
    operation(node);
    out_ += '(';
    const auto& inputs = node.inputs();
    for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
      if (i > 0 || i == node.arity()) out_ += i == node.arity() ? "; " : ", ";
      if (inputs[i]) name(*inputs[i]);
      else out_ += '-';
    }
    out_ += ')';
    if (node.version > 0) out_ += text(" v", node.version);
    if (!node.name.empty()) out_ += ' ', append_quoted(out_, node.name);
    if (node.attributes.size() > 0) attributes(node.attributes, depth);
  }

 private:
  void indent(int depth) { out_.append(static_cast<size_t>(2 * depth), ' '); }

  void line(int depth, std::string_view keyword, const Value& value) {
    indent(depth);
    out_ += keyword;
    typed(value);
  }

  void header(const Graph& graph) {
    std::vector<std::pair<std::string, int>> opsets(graph.opsets.begin(), graph.opsets.end());
    std::sort(opsets.begin(), opsets.end());
    for (const auto& [domain, version] : opsets) {
      out_ += "  opset ";
      append_quoted(out_, domain);
      out_ += text(" ", version, "\n");
    }
    for (const auto& [key, value] : graph.metadata) {
      out_ += "  meta ";
      append_quoted(out_, key);
      out_ += ' ';
      append_quoted(out_, value);
      out_ += '\n';
    }
  }

  void output(const Graph& graph, size_t i, int depth) {
    indent(depth);
    out_ += "output ";
    name(*graph.outputs[i]);
    if (i < graph.output_names.size()) out_ += ' ', append_quoted(out_, graph.output_names[i]);
    out_ += '\n';
  }

  void state(const StateVariable& item, int depth) {
    indent(depth);
    out_ += "state ";
    append_quoted(out_, item.name);
    out_ += ' ';
    name(*item.read);
    out_ += ' ';
    name(*item.write);
    out_ += ' ';
    tensor(item.initial);
    out_ += '\n';
  }

  template <class List, class F>
  void list(const List& items, F print) {
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += ", ";
      first = false;
      print(item);
    }
  }

  void name(const Value& value) {
    out_ += '%';
    is_plain(value.name, "./:-") ? void(out_ += value.name) : append_quoted(out_, value.name);
  }

  void typed(const Value& value) {
    name(value);
    out_ += ' ';
    type(value.type);
  }

  void operation(const Node& node) {
    if (is_plain(node.op, "") && (node.domain.empty() || is_plain(node.domain, "."))) {
      if (!node.domain.empty()) out_.append(node.domain) += '.';
      out_ += node.op;
      return;
    }
    append_quoted(out_, node.domain);
    out_ += '.';
    append_quoted(out_, node.op);
  }

  void type(const Type& t) {
    switch (t.kind) {
      case Type::Kind::none: out_ += '?'; return;
      case Type::Kind::sequence: out_ += "sequence("; break;
      case Type::Kind::optional: out_ += "optional("; break;
      case Type::Kind::map: out_ += text("map(", t.dtype, ", "); break;
      case Type::Kind::sparse_tensor: out_ += "sparse "; [[fallthrough]];
      case Type::Kind::tensor:
        out_ += outpost::name(t.dtype);
        return dims(t);
    }
    type(t.element ? *t.element : Type());
    out_ += ')';
  }

  void dims(const Type& t) {
    if (!t.ranked) {
      out_ += "[…]";
      return;
    }
    out_ += '[';
    bool first = true;
    for (const Dim& dim : t.dims) {
      if (!first) out_ += ',';
      first = false;
      if (dim.known()) append_integer(out_, dim.size);
      else if (dim.symbol == 0) out_ += '?';
      else symbol(symbols_->name(dim.symbol));
    }
    out_ += ']';
  }

  void symbol(const std::string& s) {
    const bool digit = !s.empty() && s[0] >= '0' && s[0] <= '9';
    is_plain(s, "") && !digit ? void(out_ += s) : append_quoted(out_, s);
  }

  void tensor(const Tensor& t) {
    type(Type::of(t));
    out_ += ' ';
    data(t);
  }

  void data(const Tensor& strided) {
    const Tensor t = strided.to_contiguous();
    if (t.dtype() == DType::string) return strings(t);
    const bool complex = t.dtype() == DType::complex64 || t.dtype() == DType::complex128;
    const std::string_view bytes(static_cast<const char*>(t.raw()), t.bytes());
    if (t.count() <= (options_.full ? full_values : options_.values) && !complex && values(t)) return;
    if (options_.full || (complex && t.count() <= options_.values)) out_.append("base64 \"").append(to_base64(bytes)) += '"';
    else out_ += text("(", bytes.size(), " bytes, hash ", hash64(bytes), ")");
  }

  void strings(const Tensor& t) {
    if (!options_.full && t.count() > options_.values) {
      out_ += text("(", t.count(), " strings)");
      return;
    }
    out_ += '{';
    list(t.values<std::string>(), [&](const std::string& s) { append_quoted(out_, s); });
    out_ += '}';
  }

  // False, with nothing printed, where values would not read back to the same bits (NaNs).
  bool values(const Tensor& t) {
    const DType type = compute_type(t.dtype());
    const size_t count = static_cast<size_t>(t.count());
    auto print = [&](auto zero, auto append) {
      std::vector<decltype(zero)> v(count);
      load(t.dtype(), t.raw(), 0, t.count(), type, v.data());
      if (options_.full && std::any_of(v.begin(), v.end(), [](auto x) { return x != x; })) return false;
      out_ += '{';
      list(v, append);
      out_ += '}';
      return true;
    };
    if (type == DType::f32) return print(0.0f, [&](float x) { append_float(out_, x, false); });
    if (type == DType::f64) return print(0.0, [&](double x) { append_float(out_, x, false); });
    if (type == DType::u64) return print(uint64_t{0}, [&](uint64_t x) { append_unsigned(out_, x); });
    return print(int64_t{0}, [&](int64_t x) { append_integer(out_, x); });
  }

  void attributes(const Attributes& attributes, int depth) {
    out_ += " {";
    list(attributes, [&](const Attributes::Entry& entry) {
      is_plain(entry.first, "") ? void(out_ += entry.first) : append_quoted(out_, entry.first);
      out_ += " = ";
      std::visit([&](const auto& value) { attribute(value, depth); }, entry.second);
    });
    out_ += '}';
  }

  void attribute(int64_t value, int) { append_integer(out_, value); }
  void attribute(float value, int) { append_float(out_, value, true); }
  void attribute(const std::string& value, int) { append_quoted(out_, value); }
  void attribute(const Tensor& value, int) { tensor(value); }
  void attribute(const Type& value, int) { out_ += "type ", type(value); }
  void attribute(const std::shared_ptr<Graph>& value, int depth) {
    auto* symbols = symbols_;
    graph(*value, depth + 1, false);
    symbols_ = symbols;
  }
  template <class T>
  void attribute(const std::vector<T>& values, int depth) {
    if (values.empty()) {
      out_ += std::is_same_v<T, int64_t> ? "ints " : std::is_same_v<T, float> ? "floats " : std::is_same_v<T, std::string> ? "strings "
              : std::is_same_v<T, Tensor> ? "tensors " : "graphs ";
    }
    out_ += '[';
    list(values, [&](const T& value) { attribute(value, depth); });
    out_ += ']';
  }

  std::string& out_;
  const TextOptions& options_;
  const Symbols* symbols_ = nullptr;
};

}  // namespace

std::string to_text(const Graph& graph, const TextOptions& options) {
  std::string out;
  Printer(out, options).graph(graph, 1, true);
  return out += '\n';
}

std::string to_text(const Node& node, const TextOptions& options) {
  std::string out;
  Printer(out, options).node(node, 1);
  return out;
}

}  // namespace outpost
