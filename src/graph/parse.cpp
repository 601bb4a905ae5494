// Parsing of the text form: one pass, one token of look-ahead, errors with their line.
#include <charconv>
#include <cstring>

#include "base/base64.h"
#include "base/text.h"
#include "base/utf8.h"
#include "graph/text.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int max_depth = 64;

bool is_word(char c, std::string_view more) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || more.find(c) != more.npos;
}

// Characters: what the grammar's rules are made of.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : all_(text), rest_(text) {}

  template <class... A>
  [[noreturn]] void refuse(const A&... what) const {
    int line = 1;
    for (char c : all_.substr(0, all_.size() - rest_.size())) line += c == '\n';
    fail(ErrorCode::invalid_model, "graph text, line ", line, ": ", what...);
  }
  void skip_space() {
    while (!rest_.empty() && std::strchr(" \t\r\n", rest_[0])) rest_.remove_prefix(1);
  }
  char peek() { return skip_space(), rest_.empty() ? '\0' : rest_[0]; }
  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    // A keyword is a whole word.
    if (is_word(token.back(), "") && rest_.size() > token.size() && is_word(rest_[token.size()], "")) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) refuse("'", token, "' expected before '", rest_.substr(0, std::min<size_t>(rest_.find('\n'), 30)), "'");
  }
  bool at_end() { return skip_space(), rest_.empty(); }

  std::string word(std::string_view more) {
    skip_space();
    size_t n = 0;
    while (n < rest_.size() && is_word(rest_[n], more)) ++n;
    if (n == 0) refuse("a name expected before '", rest_.substr(0, std::min<size_t>(rest_.find('\n'), 30)), "'");
    std::string result(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return result;
  }
  std::string word_or_quoted(std::string_view more) { return peek() == '"' ? quoted() : word(more); }

  std::string quoted() {
    expect("\"");
    std::string out;
    for (;;) {
      if (rest_.empty()) refuse("a string does not end");
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') return out;
      out += c == '\\' ? escape() : c;
    }
  }

  // The characters of a number, "inf" and "nan" among them.
  std::string_view number() {
    skip_space();
    size_t n = 0;
    while (n < rest_.size() && (is_word(rest_[n], ".+-"))) ++n;
    if (n == 0) refuse("a number expected");
    auto result = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return result;
  }
  template <class T>
  T parse_number(std::string_view digits) const {
    T value{};
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) refuse("'", digits, "' is no number of the expected kind");
    return value;
  }
  template <class T>
  T number_as() { return parse_number<T>(number()); }

 private:
  char escape() {
    if (rest_.empty()) refuse("a string ends within an escape");
    char c = rest_[0];
    rest_.remove_prefix(1);
    if (c == 'n') return '\n';
    if (c == '"' || c == '\\') return c;
    unsigned value = 0;
    if (c != 'x' || rest_.size() < 2 || std::from_chars(rest_.data(), rest_.data() + 2, value, 16).ptr != rest_.data() + 2) refuse("an unknown escape");
    rest_.remove_prefix(2);
    return static_cast<char>(value);
  }

  std::string_view all_, rest_;
};

class Parser : Scanner {
 public:
  Parser(std::string_view text, const FindData& elsewhere) : Scanner(text), elsewhere_(elsewhere) {}

  std::shared_ptr<Graph> parse() {
    auto result = graph(std::make_shared<Symbols>(), 1);
    if (!at_end()) refuse("something follows the graph");
    return result;
  }

 private:
  std::shared_ptr<Graph> graph(std::shared_ptr<Symbols> symbols, int depth) {
    if (depth > max_depth) fail(ErrorCode::limit, "graph text: subgraphs are nested more than ", max_depth, " deep");
    auto result = std::make_shared<Graph>();
    result->symbols = symbols_ = std::move(symbols);
    expect("graph");
    result->name = quoted();
    expect("{");
    while (!take("}")) statement(*result, depth);
    return result;
  }

  void statement(Graph& graph, int depth) {
    if (peek() == '%' || peek() == '-' || peek() == '=') return node(graph, depth);
    if (take("input")) {
      auto name = new_name(graph);
      graph.add_input(std::move(name), type(0));
    } else if (take("const")) {
      auto name = new_name(graph);
      graph.add_constant(tensor(), std::move(name));
    } else if (take("output")) {
      graph.outputs.push_back(old_value(graph));
      if (peek() == '"') graph.output_names.push_back(quoted());
    } else if (take("opset")) {
      auto domain = quoted();
      graph.opsets[std::move(domain)] = number_as<int>();
    } else if (take("meta")) {
      auto key = quoted();
      auto value = quoted();
      graph.metadata.emplace_back(std::move(key), std::move(value));
    } else if (take("state")) {
      StateVariable state{quoted(), nullptr, nullptr, {}};
      state.read = old_value(graph);
      state.write = old_value(graph);
      state.initial = tensor();
      graph.states.push_back(std::move(state));
    } else {
      refuse("opset, meta, input, const, a node, output or state expected, found '", word("%-"), "'");
    }
  }

  std::string value_name() {
    expect("%");
    return word_or_quoted("./:-");
  }
  std::string new_name(const Graph& graph) {
    auto name = value_name();
    if (graph.find(name)) refuse("the name '", name, "' is given twice");
    return name;
  }
  Value* old_value(const Graph& graph) {
    auto name = value_name();
    auto* value = graph.find(name);
    if (!value) refuse("'", name, "' is not made above");
    return value;
  }

  struct Output {
    std::string name;  // empty: absent
    Type type;
  };

  void node(Graph& graph, int depth) {
    std::vector<Output> outputs;
    if (peek() != '=') {
      do {
        if (take("-")) {
          outputs.push_back({});
          continue;
        }
        auto name = new_name(graph);
        outputs.push_back({std::move(name), type(0)});
      } while (take(","));
    }
    expect("=");
    auto [domain, op] = operation();
    std::vector<Value*> inputs;
    const int arity = arguments(graph, inputs);
    auto* made = graph.add_node(std::move(op), std::move(domain), std::move(inputs), {}, static_cast<int>(outputs.size()));
    if (arity >= 0) made->set_arity(arity);
    if (take_version(made->version) && peek() == '"') made->name = quoted();
    if (peek() == '{') attributes(made->attributes, depth);
    for (size_t i = 0; i < outputs.size(); ++i)  // out of the way of the names to come
      graph.rename(made->output(static_cast<int>(i)), text("\1", i));
    for (size_t i = 0; i < outputs.size(); ++i) {
      auto* value = made->output(static_cast<int>(i));
      if (outputs[i].name.empty()) {
        graph.drop_output(made, static_cast<int>(i));
        continue;
      }
      if (graph.find(outputs[i].name)) refuse("the name '", outputs[i].name, "' is given twice");
      graph.rename(value, outputs[i].name);
      value->type = std::move(outputs[i].type);
    }
  }

  bool take_version(int& version) {
    if (peek() != 'v') return true;
    auto written = word("");
    version = parse_number<int>(std::string_view(written).substr(1));
    return true;
  }

  std::pair<std::string, std::string> operation() {
    if (peek() == '"') {
      auto domain = quoted();
      expect(".");
      auto op = quoted();
      return {std::move(domain), std::move(op)};
    }
    auto name = word(".");
    auto dot = name.rfind('.');
    if (dot == name.npos) return {"", std::move(name)};
    return {name.substr(0, dot), name.substr(dot + 1)};
  }

  // Returns the arity when captures were written, else -1.
  int arguments(const Graph& graph, std::vector<Value*>& inputs) {
    int arity = -1;
    expect("(");
    if (take(")")) return arity;
    if (take(";")) arity = 0;
    for (;;) {
      inputs.push_back(take("-") ? nullptr : old_value(graph));
      if (take(")")) return arity;
      if (arity < 0 && take(";")) arity = static_cast<int>(inputs.size());
      else expect(",");
    }
  }

  Type type(int depth) {
    if (depth > max_depth) refuse("a type is nested more than ", max_depth, " deep");
    if (take("?")) return {};
    auto wrapped = [&](auto make) {
      expect("(");
      auto element = type(depth + 1);
      expect(")");
      return make(std::move(element));
    };
    if (take("sequence")) return wrapped([](Type t) { return Type::sequence(std::move(t)); });
    if (take("optional")) return wrapped([](Type t) { return Type::optional(std::move(t)); });
    if (take("map")) {
      expect("(");
      DType key = dtype();
      expect(",");
      auto value = type(depth + 1);
      expect(")");
      return Type::map(key, std::move(value));
    }
    const bool sparse = take("sparse");
    Type result = Type::tensor(dtype());
    if (sparse) result.kind = Type::Kind::sparse_tensor;
    expect("[");
    if (take("…]") || take("...]")) return result;
    result.ranked = true;
    if (take("]")) return result;
    do {
      result.dims.push_back(dim());
      if (result.dims.size() > Shape::max_rank) refuse("more than ", Shape::max_rank, " dims");
    } while (take(","));
    expect("]");
    return result;
  }

  DType dtype() {
    auto written = word("");
    auto result = dtype_from_name(written);
    if (result == DType::undefined && written != name(DType::undefined)) refuse("'", written, "' is no dtype");
    return result;
  }

  Dim dim() {
    if (take("?")) return {};
    char c = peek();
    if (c >= '0' && c <= '9') return number_as<int64_t>();
    return Dim::symbolic(symbols_->intern(word_or_quoted("")));
  }

  Tensor tensor() {
    Type t = type(0);
    if (t.kind != Type::Kind::tensor || !t.is_static()) refuse("a tensor's type with known dims expected, found ", t);
    const Shape shape = t.shape();
    const int64_t count = checked_count(shape);
    if (take("base64")) {
      std::string bytes;
      if (!from_base64(quoted(), bytes)) refuse("no base64");
      if (t.dtype == DType::string || bytes.size() != bytes_for(t.dtype, count)) refuse(bytes.size(), " bytes for ", t);
      Tensor result(t.dtype, shape);
      if (!bytes.empty()) std::memcpy(result.raw(), bytes.data(), bytes.size());
      return result;
    }
    if (take("@")) {
      if (!elsewhere_) refuse("the constant's data lies elsewhere");
      return elsewhere_(number_as<int64_t>(), t.dtype, shape);
    }
    if (peek() == '(') refuse("the constant is summarised; print the graph with TextOptions::full to parse it back");
    expect("{");
    switch (compute_type(t.dtype)) {
      case DType::string: return values<std::string>(t.dtype, shape, count);
      case DType::f32: return values<float>(t.dtype, shape, count);
      case DType::f64: return values<double>(t.dtype, shape, count);
      case DType::u64: return values<uint64_t>(t.dtype, shape, count);
      case DType::i64: return values<int64_t>(t.dtype, shape, count);
      default: refuse("values of ", t.dtype, " are written as base64");
    }
  }

  template <class T>
  Tensor values(DType dtype, const Shape& shape, int64_t count) {
    std::vector<T> list;
    if (!take("}")) {
      do {
        if constexpr (std::is_same_v<T, std::string>) list.push_back(quoted());
        else list.push_back(number_as<T>());
      } while (take(","));
      expect("}");
    }
    if (static_cast<int64_t>(list.size()) != count) refuse(list.size(), " values for ", dtype, shape);
    Tensor result(dtype, shape);
    if constexpr (std::is_same_v<T, std::string>) std::move(list.begin(), list.end(), result.values<std::string>().begin());
    else convert(dtype_of<T>(), list.data(), dtype, result.raw(), count);
    return result;
  }

  void attributes(Attributes& attributes, int depth) {
    expect("{");
    if (take("}")) return;
    do {
      auto name = word_or_quoted("");
      expect("=");
      attributes.set(std::move(name), attribute(depth));
    } while (take(","));
    expect("}");
  }

  template <class T>
  Attribute empty_list() {
    expect("[");
    expect("]");
    return std::vector<T>();
  }

  Attribute attribute(int depth) {
    if (take("ints")) return empty_list<int64_t>();
    if (take("floats")) return empty_list<float>();
    if (take("strings")) return empty_list<std::string>();
    if (take("tensors")) return empty_list<Tensor>();
    if (take("graphs")) return empty_list<std::shared_ptr<Graph>>();
    if (!take("[")) return scalar(depth);
    Attribute first = scalar(depth);
    return std::visit([&](auto& value) -> Attribute {
      using T = std::decay_t<decltype(value)>;
      if constexpr (std::is_constructible_v<Attribute, std::vector<T>> && !std::is_same_v<T, Type>) {
        std::vector<T> list{std::move(value)};
        while (take(",")) {
          Attribute next = scalar(depth);
          if (!std::holds_alternative<T>(next)) refuse("a list holds values of different kinds");
          list.push_back(std::move(std::get<T>(next)));
        }
        expect("]");
        return list;
      } else {
        refuse("a list of these is no attribute");
      }
    }, first);
  }

  Attribute scalar(int depth) {
    const char c = peek();
    if (c == '"') return quoted();
    if (take("type")) return type(0);
    if (c == 'g') {
      auto symbols = symbols_;
      return graph(symbols, depth + 1);
    }
    if ((c >= '0' && c <= '9') || c == '-' || take_ahead("inf") || take_ahead("nan")) {
      auto digits = number();
      if (digits.find_first_of(".en") == digits.npos) return parse_number<int64_t>(digits);
      return parse_number<float>(digits);
    }
    return tensor();
  }

  bool take_ahead(std::string_view token) { return Scanner(*this).take(token); }

  const FindData& elsewhere_;
  std::shared_ptr<Symbols> symbols_;
};

}  // namespace

std::shared_ptr<Graph> parse_graph(std::string_view text, const FindData& elsewhere) { return Parser(text, elsewhere).parse(); }

}  // namespace outpost
