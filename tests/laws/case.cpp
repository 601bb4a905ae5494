#include "laws/case.h"

#include <cmath>
#include <cstring>

#include "ops/infer.h"
#include "tensor/convert.h"

namespace outpost::laws {
namespace {

[[noreturn]] void bad(const std::string& line, std::string_view what) { fail(ErrorCode::invalid_argument, "case '", line, "': ", what); }

std::string trim(std::string s) {
  while (!s.empty() && s.front() == ' ') s.erase(0, 1);
  while (!s.empty() && s.back() == ' ') s.pop_back();
  return s;
}

// Splits at `at` outside brackets and quotes.
std::vector<std::string> split(const std::string& s, char at) {
  std::vector<std::string> parts{""};
  int depth = 0;
  bool quoted = false;
  for (char ch : s) {
    if (ch == '"') quoted = !quoted;
    if (!quoted && std::strchr("[({", ch)) ++depth;
    if (!quoted && std::strchr("])}", ch)) --depth;
    if (ch == at && depth == 0 && !quoted) parts.emplace_back();
    else parts.back() += ch;
  }
  for (std::string& p : parts) p = trim(p);
  std::erase(parts, "");
  return parts;
}

bool is_real(const std::string& s) { return s.find_first_of(".einf") != std::string::npos; }

Attribute parse_attribute(const std::string& text) {
  if (text.front() == '"') return text.substr(1, text.size() - 2);
  if (text.front() != '[') {
    if (is_real(text)) return std::stof(text);
    return int64_t{std::stoll(text)};
  }
  std::vector<std::string> items = split(text.substr(1, text.size() - 2), ',');
  if (!items.empty() && items[0].front() == '"') {
    std::vector<std::string> strings;
    for (auto& i : items) strings.push_back(i.substr(1, i.size() - 2));
    return strings;
  }
  bool real = false;
  for (auto& i : items) real = real || is_real(i);
  if (real) {
    std::vector<float> reals;
    for (auto& i : items) reals.push_back(std::stof(i));
    return reals;
  }
  std::vector<int64_t> integers;
  for (auto& i : items) integers.push_back(std::stoll(i));
  return integers;
}

bool is_float(DType d) { return compute_type(d) == DType::f32 || compute_type(d) == DType::f64; }

// dtype[dims](low,high) or dtype[dims]={values}
Tensor parse_input(const std::string& line, const std::string& text, Random& random) {
  const size_t open = text.find('['), close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) bad(line, "an input needs [dims]: " + text);
  const DType dtype = dtype_from_name(text.substr(0, open));
  if (dtype == DType::undefined) bad(line, "unknown dtype in " + text);
  Shape shape;
  for (auto& d : split(text.substr(open + 1, close - open - 1), ',')) shape.push_back(std::stoll(d));
  Tensor t(dtype, shape);
  const std::string rest = text.substr(close + 1);
  if (!rest.empty() && rest[0] == '=') {
    auto items = split(rest.substr(2, rest.size() - 3), ',');
    if (static_cast<int64_t>(items.size()) != t.count()) bad(line, "wrong number of values: " + text);
    if (dtype == DType::string) {
      for (size_t i = 0; i < items.size(); ++i) t.data<std::string>()[i] = items[i].front() == '"' ? items[i].substr(1, items[i].size() - 2) : items[i];
      return t;
    }
    std::vector<double> values;
    for (auto& i : items) values.push_back(i == "true" ? 1 : i == "false" ? 0 : std::stod(i));
    convert(DType::f64, values.data(), dtype, t.raw(), t.count());
    return t;
  }
  if (dtype == DType::string) {
    for (int64_t i = 0; i < t.count(); ++i) t.data<std::string>()[i] = std::string(1 + random.next() % 5, static_cast<char>('a' + random.next() % 26));
    return t;
  }
  double low = is_float(dtype) ? -2 : 0, high = is_float(dtype) ? 2 : 4;
  if (!rest.empty()) {
    auto range = split(rest.substr(1, rest.size() - 2), ',');
    low = std::stod(range.at(0));
    high = std::stod(range.at(1));
  }
  if (dtype == DType::boolean) high = 2;
  const bool complex = dtype == DType::complex64 || dtype == DType::complex128;
  std::vector<double> values(static_cast<size_t>(t.count()) * (complex ? 2 : 1));
  for (double& v : values) {
    v = low + (high - low) * random.uniform();
    if (!is_float(dtype) && !complex) v = std::floor(v);
  }
  if (dtype == DType::complex128) std::memcpy(t.raw(), values.data(), t.bytes());
  else if (dtype == DType::complex64) convert(DType::f64, values.data(), DType::f32, t.raw(), t.count() * 2);
  else if (dtype == DType::boolean)
    for (int64_t i = 0; i < t.count(); ++i) static_cast<bool*>(t.raw())[i] = values[static_cast<size_t>(i)] >= 1;
  else convert(DType::f64, values.data(), dtype, t.raw(), t.count());
  return t;
}

DType as(const Tensor& t, DType real) { return t.dtype() == DType::f32 ? real : t.dtype(); }

Tensor converted(const Tensor& t, DType real) {
  if (as(t, real) == t.dtype()) return t.clone();
  Tensor x(real, t.shape());
  convert(t.dtype(), t.raw(), real, x.raw(), t.count());
  return x;
}

bool constant_like(const Case& c, size_t i) {
  const Tensor& t = c.inputs[i];
  return t.defined() && (c.given[i] || (t.dtype() == DType::i64 || t.dtype() == DType::i32 || t.dtype() == DType::boolean || t.dtype() == DType::string) && t.rank() <= 1);
}

}  // namespace

std::vector<std::string> case_lines(const OpDef& def) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin < def.cases.size()) {
    size_t end = std::min(def.cases.find('\n', begin), def.cases.size());
    std::string line = trim(std::string(def.cases.substr(begin, end - begin)));
    if (!line.empty()) lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

Case parse_case(const OpDef& def, const std::string& line) {
  Case c;
  c.def = &def;
  c.line = line;
  std::vector<std::string> sections{""};
  int depth = 0;
  bool quoted = false;
  for (char ch : line) {
    if (ch == '"') quoted = !quoted;
    if (!quoted && (ch == '[' || ch == '{')) ++depth;
    if (!quoted && (ch == ']' || ch == '}')) --depth;
    if (ch == '|' && depth == 0 && !quoted) sections.emplace_back();
    else sections.back() += ch;
  }
  if (sections.size() < 2) bad(line, "expected 'attributes | inputs'");
  try {
    for (const std::string& a : split(sections[0], ' ')) {
      const size_t eq = a.find('=');
      if (eq == std::string::npos) bad(line, "attribute without '=': " + a);
      c.attributes.set(a.substr(0, eq), parse_attribute(a.substr(eq + 1)));
    }
    uint64_t seed = 1469598103934665603u;
    for (char ch : line) seed = (seed ^ static_cast<unsigned char>(ch)) * 1099511628211u;
    Random random(seed);
    for (const std::string& i : split(sections[1], ' ')) {
      c.inputs.push_back(i == "-" ? Tensor() : parse_input(line, i, random));
      c.given.push_back(i.find("={") != std::string::npos);
    }
    c.outputs = sections.size() > 2 ? std::stoi(trim(sections[2])) : std::max(1, def.min_outputs);
  } catch (const std::logic_error& e) {
    bad(line, e.what());
  }
  return c;
}

Built build(const Case& c, const BuildOptions& o) {
  Built b;
  b.graph = std::make_shared<Graph>();
  Graph& g = *b.graph;
  std::vector<Value*> values;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Tensor& t = c.inputs[i];
    if (!t.defined()) {
      values.push_back(nullptr);
    } else if (o.constants && constant_like(c, i)) {
      values.push_back(g.add_constant(converted(t, o.real)));
    } else {
      Value* v = g.add_input(text("x", values.size()), Type::tensor(as(t, o.real), t.shape()));
      if (o.copy_inputs && t.rank() > 0) v = Builder(g, nullptr).emit("Concat", {v}, {{"axis", int64_t{0}}});
      values.push_back(v);
    }
  }
  b.node = Builder(g, nullptr).emit_node(c.def->name, values, c.attributes, c.outputs, c.def->domain);
  for (Value* v : b.node->outputs()) g.outputs.push_back(v);
  return b;
}

std::vector<Tensor> graph_inputs(const Case& c, const BuildOptions& o) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Tensor& t = c.inputs[i];
    if (!t.defined() || (o.constants && constant_like(c, i))) continue;
    inputs.push_back(converted(t, o.real));
  }
  return inputs;
}

std::vector<Datum> run(const Built& b, const std::vector<Tensor>& inputs, const ProgramOptions& options) {
  auto program = Program::compile(b.graph, options);
  auto state = program->new_state(7);
  std::vector<Datum> data(inputs.begin(), inputs.end()), outputs(b.graph->outputs.size());
  std::vector<const Datum*> pointers;
  for (const Datum& d : data) pointers.push_back(&d);
  ExecuteOptions limits;
  limits.memory_limit_bytes = size_t{64} << 20;  // a wild attribute must not take the machine
  program->run(pointers, outputs, {}, state, limits);
  return outputs;
}

}  // namespace outpost::laws
