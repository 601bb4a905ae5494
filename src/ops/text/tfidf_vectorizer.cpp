// TfIdfVectorizer: counts n-grams (with skips) of a pool in each row, as counts (TF), presence (IDF's weights) or both.
// https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
//
// The pool is one trie over all lengths; an n-gram with skip s takes items s + 1 apart. 1-grams have no skips, they count
// once. Walking the trie from every start costs O(items · skips · longest n-gram), whatever the size of the pool.
#include <algorithm>
#include <unordered_map>

#include "ops/dynamic.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum class Mode : uint8_t { tf, idf, tfidf };

struct Trie {
  std::unordered_map<std::string, int64_t> words;  // word -> id, for strings
  std::unordered_map<uint64_t, int64_t> numbers;   // integer -> id
  std::unordered_map<uint64_t, int32_t> edges;     // (node, id) -> node
  std::vector<int64_t> column{-1};                 // of each node: the output it counts, or -1

  int32_t step(int32_t node, int64_t id) const {
    const auto it = id < 0 ? edges.end() : edges.find(static_cast<uint64_t>(node) << 32 | static_cast<uint32_t>(id));
    return it == edges.end() ? -1 : it->second;
  }
  int32_t grow(int32_t node, int64_t id) {
    auto [it, fresh] = edges.try_emplace(static_cast<uint64_t>(node) << 32 | static_cast<uint32_t>(id), static_cast<int32_t>(column.size()));
    if (fresh) column.push_back(-1);
    return it->second;
  }
};

struct Vectorizer {
  Trie trie;
  Mode mode;
  int64_t shortest, longest, skips, width = 0;
  std::vector<float> weights;  // by column; may be empty
};

[[noreturn]] void refuse(const Node& node, const std::string& what) { fail(ErrorCode::invalid_model, node.label(), ": ", what); }

// The pool lists all 1-grams, then all 2-grams, …; ngram_counts says where each length begins.
void fill_trie(const Node& node, Vectorizer& v) {
  const Attributes& a = node.attributes;
  const std::vector<int64_t>& numbers = a.integers("pool_int64s");
  const std::vector<std::string>& words = a.strings("pool_strings");
  const std::vector<int64_t>&starts = a.integers("ngram_counts"), &columns = a.integers("ngram_indexes");
  const size_t size = words.empty() ? numbers.size() : words.size();
  if (size > (1u << 30)) refuse(node, "the pool is too large");
  auto id = [&](size_t i) {
    return words.empty() ? v.trie.numbers.try_emplace(static_cast<uint64_t>(numbers[i]), static_cast<int64_t>(v.trie.numbers.size())).first->second
                         : v.trie.words.try_emplace(words[i], static_cast<int64_t>(v.trie.words.size())).first->second;
  };
  size_t gram = 0;
  for (size_t k = 0; k < starts.size(); ++k) {
    const int64_t begin = starts[k], end = k + 1 < starts.size() ? starts[k + 1] : static_cast<int64_t>(size);
    const int64_t n = static_cast<int64_t>(k) + 1;
    if (begin < 0 || end < begin || end > static_cast<int64_t>(size) || (end - begin) % n != 0) refuse(node, text("ngram_counts does not fit a pool of ", size));
    for (int64_t i = begin; i < end; i += n, ++gram) {
      if (gram >= columns.size()) refuse(node, "ngram_indexes has fewer entries than there are n-grams");
      int32_t at = 0;
      for (int64_t j = 0; j < n; ++j) at = v.trie.grow(at, id(static_cast<size_t>(i + j)));
      if (n >= v.shortest && n <= v.longest) v.trie.column[static_cast<size_t>(at)] = columns[gram];
    }
  }
}

std::shared_ptr<const Vectorizer> vectorizer(const Node& node) {
  const Attributes& a = node.attributes;
  auto v = std::make_shared<Vectorizer>();
  const std::string_view mode = a.string("mode", "");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") refuse(node, text("mode is '", mode, "'; expected TF, IDF or TFIDF"));
  v->mode = mode == "TF" ? Mode::tf : mode == "IDF" ? Mode::idf : Mode::tfidf;
  v->shortest = a.integer("min_gram_length", 1);
  v->longest = a.integer("max_gram_length", 1);
  v->skips = a.integer("max_skip_count", 0);
  if (v->shortest < 1 || v->longest < v->shortest || v->skips < 0) refuse(node, "gram lengths and skips must satisfy 1 <= min <= max, 0 <= skips");
  for (int64_t c : a.integers("ngram_indexes")) {
    if (c < 0 || c >= (int64_t{1} << 31)) refuse(node, text("ngram_indexes holds ", c));
    v->width = std::max(v->width, c + 1);
  }
  fill_trie(node, *v);
  v->weights = a.reals("weights");
  if (!v->weights.empty() && static_cast<int64_t>(v->weights.size()) < v->width) refuse(node, text("weights has ", v->weights.size(), " entries for ", v->width, " columns"));
  return v;
}

std::shared_ptr<const void> prepare(const PrepareContext& p) { return vectorizer(p.node); }

void infer(InferContext& c) {
  c.require_dtype(0, {DType::string, DType::i32, DType::i64});
  int64_t width = 0;
  for (int64_t column : c.attributes().integers("ngram_indexes")) {
    c.require(column >= 0 && column < (int64_t{1} << 31), "ngram_indexes holds ", column);
    width = std::max(width, column + 1);
  }
  if (!c.ranked(0)) return c.output(0, DType::f32);
  c.require(c.rank(0) <= 2, "input has rank ", c.rank(0), "; expected 0, 1 or 2");
  c.output(0, DType::f32, c.rank(0) < 2 ? Dims{Dim(width)} : Dims{c.dims(0)[0], Dim(width)});
}

// Adds the row's counts to `counts`, by column.
void count_row(RunContext& ctx, const Vectorizer& v, const int64_t* ids, int64_t n, float* counts) {
  for (int64_t skip = 0; skip <= v.skips && skip < std::max<int64_t>(1, n); ++skip) {
    for (int64_t start = 0; start < n; ++start) {
      int32_t at = 0;
      for (int64_t i = start, length = 1; i < n && length <= v.longest; i += skip + 1, ++length) {
        at = v.trie.step(at, ids[i]);
        if (at < 0) break;
        const int64_t column = v.trie.column[static_cast<size_t>(at)];
        if (column >= 0 && (length > 1 || skip == 0)) ++counts[column];
      }
    }
    ctx.check_interrupt();
  }
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &x = ctx.in(0), &y = ctx.out(0);
  const Vectorizer& v = ctx.prepared<Vectorizer>();
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1, n = x.rank() == 0 ? 1 : x.shape().back();
  auto* ids = static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(n) * sizeof(int64_t)));
  std::fill_n(y.as<float>(), y.count(), 0.f);
  const Integers numbers(x);
  const auto find = [](const auto& map, const auto& key) {
    const auto it = map.find(key);
    return it == map.end() ? int64_t{-1} : it->second;
  };
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = row * n; i < (row + 1) * n; ++i)
      ids[i - row * n] = x.dtype == DType::string ? find(v.trie.words, x.as<std::string>()[i]) : find(v.trie.numbers, static_cast<uint64_t>(numbers[i]));
    float* out = y.as<float>() + row * v.width;
    count_row(ctx, v, ids, n, out);
    for (int64_t c = 0; c < v.width; ++c) {
      if (v.mode == Mode::idf) out[c] = out[c] > 0 ? 1.f : 0.f;
      if (v.mode != Mode::tf && !v.weights.empty()) out[c] *= v.weights[static_cast<size_t>(c)];
    }
  }
}

}  // namespace

OUTPOST_DEFINE_OP(TfIdfVectorizer, .name = "TfIdfVectorizer", .since = 9, .first = 9, .doc = "Counts of n-grams of a pool.",
                  .infer = infer, .run = run, .no_gradient = "counts are piecewise constant", .prepare = prepare);

}  // namespace outpost
