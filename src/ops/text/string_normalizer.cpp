// StringNormalizer: drops stop words, then changes case. [C] or [1, C]; if nothing is left, one empty string.
// https://onnx.ai/onnx/operators/onnx__StringNormalizer.html
//
// Case follows simple one-to-one mappings of ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic, whatever the locale.
#include <algorithm>
#include <unordered_set>

#include "base/utf8.h"
#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

enum class Case : uint8_t { keep, lower, upper };

uint32_t to_lower(uint32_t c) {
  if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) || (c >= 0x410 && c <= 0x42f)) return c + 32;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  const bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e), even_upper = (c >= 0x100 && c <= 0x177 && c != 0x130 && c != 0x131 && !odd_upper);
  if ((even_upper && c % 2 == 0) || (odd_upper && c % 2 == 1)) return c + 1;
  return c;
}

uint32_t to_upper(uint32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3cb && c != 0x3c2) || (c >= 0x430 && c <= 0x44f)) return c - 32;
  if (c >= 0x450 && c <= 0x45f) return c - 80;
  if (c >= 0x100 && c <= 0x17e && to_lower(c - 1) == c) return c - 1;
  return c;
}

std::string changed(const std::string& s, Case action) {
  if (action == Case::keep) return s;
  std::string out;
  for (std::string_view rest = s; !rest.empty();) {
    uint32_t c = 0;
    if (take_code_point(rest, c)) {
      append_utf8(out, action == Case::lower ? to_lower(c) : to_upper(c));
      continue;
    }
    out.push_back(rest.front());
    rest.remove_prefix(1);
  }
  return out;
}

struct Settings {
  std::unordered_set<std::string> stop_words;  // lower case unless they distinguish it
  bool case_sensitive;
  Case action;
};

std::shared_ptr<const void> prepare(const PrepareContext& p) {
  auto s = std::make_shared<Settings>();
  s->case_sensitive = p.attributes().integer("is_case_sensitive", 0) != 0;
  const std::string_view action = p.attributes().string("case_change_action", "NONE");
  s->action = action == "LOWER" ? Case::lower : action == "UPPER" ? Case::upper : Case::keep;
  for (const std::string& w : p.attributes().strings("stopwords")) s->stop_words.insert(s->case_sensitive ? w : changed(w, Case::lower));
  return s;
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::string});
  const std::string_view action = c.attributes().string("case_change_action", "NONE");
  c.require(action == "LOWER" || action == "UPPER" || action == "NONE", "case_change_action is '", action, "'; expected LOWER, UPPER or NONE");
  if (!c.ranked(0)) return c.output(0, DType::string);
  const bool row = c.rank(0) == 2 && (!c.dims(0)[0].known() || c.dims(0)[0].size == 1);
  c.require(c.rank(0) == 1 || row, "input is ", to_string(c.input(0)), "; expected [C] or [1,C]");
  c.output(0, DType::string, c.rank(0) == 1 ? Dims{Dim()} : Dims{Dim(1), Dim()});
}

void run(RunContext& ctx) {
  const View& x = ctx.in(0);
  const Settings& s = ctx.prepared<Settings>();
  ctx.require(x.rank() == 1 || (x.rank() == 2 && x.dim(0) == 1), "input is ", to_string(x.shape()), "; expected [C] or [1,C]");
  std::vector<std::string> kept;
  for (int64_t i = 0; i < x.count(); ++i) {
    const std::string& word = x.as<std::string>()[i];
    if (!s.stop_words.empty() && s.stop_words.count(s.case_sensitive ? word : changed(word, Case::lower))) continue;
    kept.push_back(changed(word, s.action));
  }
  if (kept.empty()) kept.emplace_back();
  Shape shape{static_cast<int64_t>(kept.size())};
  if (x.rank() == 2) shape.insert(0, 1);
  std::move(kept.begin(), kept.end(), produce(ctx, 0, shape).as<std::string>());
}

}  // namespace

OUTPOST_DEFINE_OP(StringNormalizer, .name = "StringNormalizer", .since = 10, .first = 10, .doc = "Drops stop words and changes case.",
                  .infer = infer, .run = run, .no_gradient = "strings", .prepare = prepare);

}  // namespace outpost
