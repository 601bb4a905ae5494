// The attributes of a Scan, with their defaults.
#pragma once
#include "ops/op.h"

namespace outpost {

struct ScanForm {
  int states, inputs, outputs;  // loop states, scanned inputs, stacked outputs
  const std::vector<int64_t>&input_axes, &output_axes, &input_directions, &output_directions;

  // Fails where the attributes contradict the node or its body.
  static ScanForm of(const Node& node);
  int input_axis(int i, int rank) const { return axis(input_axes, i, rank); }
  int output_axis(int i, int rank) const { return axis(output_axes, i, rank); }
  bool input_reversed(int i) const { return !input_directions.empty() && input_directions[static_cast<size_t>(i)] != 0; }
  bool output_reversed(int i) const { return !output_directions.empty() && output_directions[static_cast<size_t>(i)] != 0; }

 private:
  static int axis(const std::vector<int64_t>& axes, int i, int rank) {
    const int64_t a = axes.empty() ? 0 : axes[static_cast<size_t>(i)];
    return a < -rank || a >= rank ? -1 : static_cast<int>(a < 0 ? a + rank : a);
  }
};

// Opset 8 scanned every entry of a batch on its own, with its own length.
void upgrade_scan_8(UpgradeContext&);

}  // namespace outpost
