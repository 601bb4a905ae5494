// Parsing an Einsum equation, the implicit output, and the ellipsis.
#include "ops/einsum_equation.h"

#include <algorithm>

namespace outpost {
namespace {

[[noreturn]] void reject(const Node& node, std::string_view text, std::string_view why) {
  fail(ErrorCode::invalid_model, node.label(), ": equation '", text, "' ", why);
}

int label_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  return -2;
}

Equation::Labels parse_term(const Node& node, std::string_view text, std::string_view term) {
  Equation::Labels labels;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term[i] == ' ') continue;
    if (term.substr(i, 3) == "...") {
      if (std::count(labels.begin(), labels.end(), Equation::dots)) reject(node, text, "has two ellipses in one term");
      labels.push_back(Equation::dots);
      i += 2;
      continue;
    }
    const int label = label_of(term[i]);
    if (label < 0) reject(node, text, "holds a character that is no letter");
    labels.push_back(label);
  }
  if (labels.size() > Equation::first_dotted) reject(node, text, "has a term of more than 52 labels");
  return labels;
}

// Without "->": the dots, then every letter that appears once, in alphabetical order.
Equation::Labels implicit_output(const Equation& e) {
  int seen[Equation::first_dotted] = {};
  bool dotted = false;
  for (const auto& term : e.inputs)
    for (int label : term)
      if (label == Equation::dots) dotted = true;
      else ++seen[label];
  Equation::Labels out;
  if (dotted) out.push_back(Equation::dots);
  for (int i = 0; i < Equation::first_dotted; ++i)
    if (seen[i] == 1) out.push_back(i);
  return out;
}

}  // namespace

Equation Equation::parse(const Node& node, std::string_view text) {
  Equation e;
  const size_t arrow = text.find("->");
  std::string_view left = text.substr(0, arrow);
  for (;;) {
    const size_t comma = left.find(',');
    e.inputs.push_back(parse_term(node, text, left.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    left.remove_prefix(comma + 1);
  }
  if (arrow == std::string_view::npos) {
    e.output = implicit_output(e);
    return e;
  }
  e.output = parse_term(node, text, text.substr(arrow + 2));
  for (size_t i = 0; i < e.output.size(); ++i) {
    const int label = e.output[i];
    if (std::count(e.output.begin(), e.output.end(), label) > 1) reject(node, text, "repeats an output label");
    const bool known = label == dots || std::any_of(e.inputs.begin(), e.inputs.end(), [&](const Labels& term) {
      return std::count(term.begin(), term.end(), label) > 0;
    });
    if (!known) reject(node, text, "has an output label that no input has");
  }
  return e;
}

Equation Equation::with_ranks(const Node& node, std::span<const int> ranks) const {
  int widest = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool dotted = std::count(inputs[i].begin(), inputs[i].end(), dots) > 0;
    const int named = static_cast<int>(inputs[i].size()) - dotted;
    if (dotted ? ranks[i] < named : ranks[i] != named)
      fail(ErrorCode::invalid_model, node.label(), ": input ", i, " has rank ", ranks[i],
           " but its term names ", named);
    if (dotted) widest = std::max(widest, ranks[i] - named);
  }
  if (widest > most_labels - first_dotted)
    fail(ErrorCode::unsupported, node.label(), ": an ellipsis stands for ", widest, " axes; at most 12 are supported");
  auto replaced = [&](const Labels& term, int width) {
    Labels out;
    for (int label : term) {
      if (label != dots) out.push_back(label);
      else
        for (int i = widest - width; i < widest; ++i) out.push_back(first_dotted + i);
    }
    return out;
  };
  Equation e;
  for (size_t i = 0; i < inputs.size(); ++i)
    e.inputs.push_back(replaced(inputs[i], ranks[i] - static_cast<int>(inputs[i].size()) + 1));
  e.output = replaced(output, widest);
  return e;
}

std::string to_text(const Equation::Labels& labels) {
  std::string out;
  for (int label : labels) {
    if (label == Equation::dots) out += "...";
    else out += static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26);
  }
  return out;
}

}  // namespace outpost
