// Building and walking. Rows are taken in blocks and trees in the outer loop, so that a tree stays in cache for a block.
#include "ops/ml/forest.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "tensor/convert.h"

namespace outpost::ml {
namespace {

using Mode = Forest::Mode;

constexpr int64_t most_branches = int64_t{1} << 30;

// Numbers from `name` (floats, or a tensor) or `name`_as_tensor.
std::vector<double> reals(const Attributes& a, const std::string& name) {
  const Attribute* value = a.find(name + "_as_tensor");
  if (!value) value = a.find(name);
  if (!value) return {};
  if (const auto* floats = std::get_if<std::vector<float>>(value)) return {floats->begin(), floats->end()};
  const Tensor& t = *a.tensor(a.has(name + "_as_tensor") ? name + "_as_tensor" : name);
  std::vector<double> out(static_cast<size_t>(t.count()));
  convert(t.dtype(), t.raw(), DType::f64, out.data(), t.count());
  return out;
}

class Checked {
 public:
  explicit Checked(const Node& node) : node_(node) {}
  template <class... A>
  void require(bool holds, const A&... what) const {
    if (!holds) fail(ErrorCode::invalid_model, node_.label(), ": ", what...);
  }
  const std::vector<int64_t>& integers(const std::string& name, size_t count, bool optional = false) const {
    const auto& v = node_.attributes.integers(name);
    require(v.size() == count || (optional && v.empty()), name, " has ", v.size(), " values; expected ", count);
    return v;
  }
  std::vector<double> reals(const std::string& name, size_t count) const {
    auto v = ml::reals(node_.attributes, name);
    require(v.size() == count, name, " has ", v.size(), " values; expected ", count);
    return v;
  }
  int32_t index(int64_t value, int64_t limit, const char* what) const {
    require(value >= 0 && value < limit, what, " ", value, " is outside 0..", limit - 1);
    return static_cast<int32_t>(value);
  }
  const Node& node_;
};

Mode parse_mode(const Checked& check, std::string_view name) {
  static constexpr std::pair<std::string_view, Mode> names[] = {{"BRANCH_LEQ", Mode::leq}, {"BRANCH_LT", Mode::lt}, {"BRANCH_GTE", Mode::gte},
                                                                {"BRANCH_GT", Mode::gt},   {"BRANCH_EQ", Mode::eq}, {"BRANCH_NEQ", Mode::neq},
                                                                {"LEAF", Mode::leaf}};
  for (const auto& [text, mode] : names)
    if (text == name) return mode;
  check.require(false, "node mode '", name, "' is not known");
  return Mode::leaf;
}

struct NodeKey {
  int64_t tree, node;
  bool operator==(const NodeKey&) const = default;
};
struct NodeHash {
  size_t operator()(const NodeKey& k) const noexcept {
    return static_cast<size_t>(static_cast<uint64_t>(k.tree) * 0x9E3779B97F4A7C15u ^ static_cast<uint64_t>(k.node) * 0xC2B2AE3D27D4EB4Fu);
  }
};

}  // namespace

Forest Forest::from_nodes(const Node& node, std::string_view votes, int64_t targets) {
  const Checked check(node);
  const Attributes& a = node.attributes;
  const auto& modes = a.strings("nodes_modes");
  const size_t n = modes.size();
  check.require(static_cast<int64_t>(n) < most_branches, "has ", n, " nodes; at most ", most_branches, " are allowed");
  const auto &ids = check.integers("nodes_nodeids", n), &trees = check.integers("nodes_treeids", n), &features = check.integers("nodes_featureids", n),
             &yes = check.integers("nodes_truenodeids", n), &no = check.integers("nodes_falsenodeids", n),
             &missing = check.integers("nodes_missing_value_tracks_true", n, true);
  const auto values = check.reals("nodes_values", n);
  Forest forest;
  forest.targets_ = targets;
  forest.branches_.resize(n);
  std::unordered_map<NodeKey, int32_t, NodeHash> index;
  std::unordered_map<int64_t, bool> seen;
  for (size_t i = 0; i < n; ++i) {
    check.require(index.try_emplace({trees[i], ids[i]}, static_cast<int32_t>(i)).second, "node ", ids[i], " of tree ", trees[i], " is there twice");
    if (seen.try_emplace(trees[i], true).second) forest.roots_.push_back(static_cast<int32_t>(i));  // a tree's first node
  }
  auto find = [&](int64_t tree, int64_t id) {
    auto at = index.find({tree, id});
    check.require(at != index.end(), "node ", id, " of tree ", tree, " does not exist");
    return at->second;
  };
  for (size_t i = 0; i < n; ++i) {
    Branch& b = forest.branches_[i];
    b.mode = parse_mode(check, modes[i]);
    if (b.mode == Mode::leaf) continue;
    b.threshold = values[i];
    b.feature = check.index(features[i], most_branches, "feature");
    b.yes = find(trees[i], yes[i]);
    b.no = find(trees[i], no[i]);
    b.missing_is_yes = !missing.empty() && missing[i] != 0;
  }

  const std::string prefix(votes);
  const auto& vote_trees = a.integers(prefix + "_treeids");
  const size_t m = vote_trees.size();
  const auto &vote_nodes = check.integers(prefix + "_nodeids", m), &vote_targets = check.integers(prefix + "_ids", m);
  const auto weights = check.reals(prefix + "_weights", m);
  std::vector<std::pair<int32_t, size_t>> order;  // by leaf
  for (size_t i = 0; i < m; ++i) order.emplace_back(find(vote_trees[i], vote_nodes[i]), i);
  std::stable_sort(order.begin(), order.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  for (const auto& [leaf, i] : order) {
    Branch& b = forest.branches_[static_cast<size_t>(leaf)];
    if (b.mode != Mode::leaf) continue;  // a vote that nothing reaches
    if (b.no == 0) b.yes = static_cast<int32_t>(forest.votes_.size());
    ++b.no;
    forest.votes_.push_back({check.index(vote_targets[i], targets, "vote for"), weights[i]});
  }
  const auto text = a.string("aggregate_function", "SUM");
  static constexpr std::string_view names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  const auto at = std::find(std::begin(names), std::end(names), text);
  check.require(at != std::end(names), "aggregate_function is '", text, "'; expected AVERAGE, SUM, MIN or MAX");
  forest.aggregate = static_cast<Aggregate>(at - std::begin(names));
  forest.finish(node);
  return forest;
}

Forest Forest::from_branches(const Node& node, int64_t targets) {
  const Checked check(node);
  const Attributes& a = node.attributes;
  const auto& features = a.integers("nodes_featureids");
  const size_t n = features.size();
  const auto &yes = check.integers("nodes_truenodeids", n), &no = check.integers("nodes_falsenodeids", n), &yes_leaf = check.integers("nodes_trueleafs", n),
             &no_leaf = check.integers("nodes_falseleafs", n), &missing = check.integers("nodes_missing_value_tracks_true", n, true);
  const auto splits = check.reals("nodes_splits", n), modes = check.reals("nodes_modes", n);
  const auto& leaf_targets = a.integers("leaf_targetids");
  const size_t leaves = leaf_targets.size();
  const auto weights = check.reals("leaf_weights", leaves);
  check.require(static_cast<int64_t>(n + leaves) < most_branches, "has ", n + leaves, " nodes and leaves; at most ", most_branches, " are allowed");
  Forest forest;
  forest.targets_ = targets;
  forest.branches_.resize(n + leaves);
  const auto members = reals(a, "membership_values");
  size_t next_member = 0;
  for (size_t i = 0; i < n; ++i) {
    Branch& b = forest.branches_[i];
    check.require(modes[i] >= 0 && modes[i] <= 6, "node mode ", modes[i], " is outside 0..6");
    b.mode = static_cast<Mode>(static_cast<int>(modes[i]));
    b.threshold = splits[i];
    b.feature = check.index(features[i], most_branches, "feature");
    auto child = [&](int64_t id, bool leaf) {
      return leaf ? static_cast<int32_t>(n) + check.index(id, static_cast<int64_t>(leaves), "leaf") : check.index(id, static_cast<int64_t>(n), "node");
    };
    b.yes = child(yes[i], yes_leaf[i] != 0);
    b.no = child(no[i], no_leaf[i] != 0);
    b.missing_is_yes = !missing.empty() && missing[i] != 0;
    if (b.mode != Mode::member) continue;
    std::vector<double> set;
    while (next_member < members.size() && !std::isnan(members[next_member])) set.push_back(members[next_member++]);
    check.require(next_member < members.size(), "membership_values ends before node ", i, "'s set does");
    ++next_member;
    std::sort(set.begin(), set.end());
    b.threshold = static_cast<double>(forest.sets_.size());
    forest.sets_.push_back(std::move(set));
  }
  for (size_t i = 0; i < leaves; ++i) {
    forest.branches_[n + i] = {0, 0, static_cast<int32_t>(i), 1, Mode::leaf, false};
    forest.votes_.push_back({check.index(leaf_targets[i], targets, "target"), weights[i]});
  }
  for (int64_t root : a.integers("tree_roots")) forest.roots_.push_back(check.index(root, static_cast<int64_t>(n), "root"));
  const int64_t aggregate = a.integer("aggregate_function", 1);
  check.require(aggregate >= 0 && aggregate <= 3, "aggregate_function is ", aggregate, "; expected 0..3");
  forest.aggregate = static_cast<Aggregate>(aggregate);
  forest.finish(node);
  return forest;
}

// Depth-first from every root: a branch met again on the way down to itself is a cycle.
void Forest::finish(const Node& node) {
  enum : uint8_t { fresh, open, done };
  std::vector<uint8_t> state(branches_.size(), fresh);
  std::vector<int32_t> path;
  auto enter = [&](int32_t i) {
    auto& s = state[static_cast<size_t>(i)];
    if (s == open) fail(ErrorCode::invalid_model, node.label(), ": tree node ", i, " is its own descendant");
    if (s == done) return;
    s = open;
    path.push_back(i);
  };
  all_leq_ = true;
  for (int32_t root : roots_) {
    enter(root);
    while (!path.empty()) {
      const int32_t i = path.back();
      const Branch& b = branches_[static_cast<size_t>(i)];
      const size_t before = path.size();
      if (b.mode != Mode::leaf) {
        if (state[static_cast<size_t>(b.yes)] != done) enter(b.yes);
        else if (state[static_cast<size_t>(b.no)] != done) enter(b.no);
      }
      if (path.size() > before) continue;
      state[static_cast<size_t>(i)] = done;
      path.pop_back();
    }
  }
  for (const Branch& b : branches_) {
    if (b.mode == Mode::leaf) continue;
    features_ = std::max<int64_t>(features_, b.feature + 1);
    all_leq_ = all_leq_ && b.mode == Mode::leq && !b.missing_is_yes;
  }
}

template <class X>
bool Forest::answer(const Branch& b, X x) const {
  if (b.missing_is_yes && x != x) return true;
  const double value = static_cast<double>(x);
  switch (b.mode) {
    case Mode::leq: return value <= b.threshold;
    case Mode::lt: return value < b.threshold;
    case Mode::gte: return value >= b.threshold;
    case Mode::gt: return value > b.threshold;
    case Mode::eq: return value == b.threshold;
    case Mode::neq: return value != b.threshold;
    case Mode::member: {
      const auto& set = sets_[static_cast<size_t>(b.threshold)];
      return std::binary_search(set.begin(), set.end(), value);
    }
    case Mode::leaf: break;
  }
  return false;
}

void Forest::vote(const Branch& leaf, double* values, bool* voted) const {
  for (int32_t v = leaf.yes; v < leaf.yes + leaf.no; ++v) {
    const Vote& vote = votes_[static_cast<size_t>(v)];
    double& value = values[vote.target];
    bool& any = voted[vote.target];
    if (aggregate == Aggregate::min) value = any ? std::min(value, vote.weight) : vote.weight;
    else if (aggregate == Aggregate::max) value = any ? std::max(value, vote.weight) : vote.weight;
    else value += vote.weight;
    any = true;
  }
}

template <Forest::Mode only, class X>
void Forest::walk(const X* x, int64_t columns, int64_t rows, double* values, bool* voted) const {
  for (int32_t root : roots_)
    for (int64_t r = 0; r < rows; ++r) {
      const X* row = x + r * columns;
      const Branch* b = &branches_[static_cast<size_t>(root)];
      while (b->mode != Mode::leaf) {
        bool yes;
        if constexpr (only == Mode::leq) yes = static_cast<double>(row[b->feature]) <= b->threshold;
        else yes = answer(*b, row[b->feature]);
        b = &branches_[static_cast<size_t>(yes ? b->yes : b->no)];
      }
      vote(*b, values + r * targets_, voted + r * targets_);
    }
}

template <class X>
void Forest::predict(const X* x, int64_t columns, int64_t rows, double* values, bool* voted) const {
  std::fill_n(values, rows * targets_, 0.0);
  std::fill_n(voted, rows * targets_, false);
  if (all_leq_) walk<Mode::leq>(x, columns, rows, values, voted);
  else walk<Mode::member>(x, columns, rows, values, voted);
  if (aggregate == Aggregate::average && !roots_.empty())
    for (int64_t i = 0; i < rows * targets_; ++i) values[i] /= static_cast<double>(roots_.size());
}

template void Forest::predict(const float*, int64_t, int64_t, double*, bool*) const;
template void Forest::predict(const double*, int64_t, int64_t, double*, bool*) const;

}  // namespace outpost::ml
