// Decision trees, flattened: one array of nodes, leaves pointing at their votes. Built once from attributes that are
// checked (indices, cycles), then walked without checks.
#pragma once
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace outpost::ml {

class Forest {
 public:
  enum class Mode : uint8_t { leq, lt, gte, gt, eq, neq, member, leaf };
  enum class Aggregate : uint8_t { average, sum, min, max };
  // Branches on x[feature] ? threshold; a leaf's votes are [yes, yes + no).
  struct Branch {
    double threshold = 0;  // member: number of the set
    int32_t feature = 0, yes = 0, no = 0;
    Mode mode = Mode::leaf;
    bool missing_is_yes = false;
  };
  struct Vote {
    int32_t target;
    double weight;
  };

  // From the attributes of TreeEnsembleRegressor or TreeEnsembleClassifier ("target" or "class" votes), and of TreeEnsemble.
  static Forest from_nodes(const Node&, std::string_view votes, int64_t targets);
  static Forest from_branches(const Node&, int64_t targets);

  Aggregate aggregate = Aggregate::sum;
  int64_t targets() const noexcept { return targets_; }
  int64_t features() const noexcept { return features_; }  // columns that x must have
  const std::vector<Vote>& votes() const noexcept { return votes_; }

  // Sums (or extremes, or means) of votes for rows of x, `columns` apart: values and whether there was any vote, both
  // (rows, targets).
  template <class X>
  void predict(const X* x, int64_t columns, int64_t rows, double* values, bool* voted) const;

 private:
  template <Mode only, class X>
  void walk(const X* x, int64_t columns, int64_t rows, double* values, bool* voted) const;
  template <class X>
  bool answer(const Branch&, X value) const;
  void vote(const Branch& leaf, double* values, bool* voted) const;
  void finish(const Node&);  // bounds, cycles, what is common to all branches

  std::vector<Branch> branches_;
  std::vector<int32_t> roots_;
  std::vector<Vote> votes_;
  std::vector<std::vector<double>> sets_;  // sorted
  int64_t targets_ = 1, features_ = 0;
  bool all_leq_ = false;
};

}  // namespace outpost::ml
