// The table's entries of blocked convolution as one value. A family that adds an algorithm keeps the entries it finds
// and calls them for every other algorithm.
#pragma once

#include "kernels/table.h"

namespace outpost::kernels {
namespace {

struct BlockedEntries {
  decltype(Kernels::conv_blocked_algorithm) algorithm;
  decltype(Kernels::conv_blocked_pack_bytes) pack_bytes;
  decltype(Kernels::conv_blocked_pack) pack;
  decltype(Kernels::conv_blocked_tiles) tiles;
  decltype(Kernels::conv_blocked_scratch_bytes) scratch_bytes;
  decltype(Kernels::conv_blocked) run;

  static BlockedEntries of(const Kernels& t) {
    return {t.conv_blocked_algorithm, t.conv_blocked_pack_bytes,    t.conv_blocked_pack,
            t.conv_blocked_tiles,     t.conv_blocked_scratch_bytes, t.conv_blocked};
  }
  void set(Kernels& t) const {
    t.conv_blocked_algorithm = algorithm;
    t.conv_blocked_pack_bytes = pack_bytes;
    t.conv_blocked_pack = pack;
    t.conv_blocked_tiles = tiles;
    t.conv_blocked_scratch_bytes = scratch_bytes;
    t.conv_blocked = run;
  }
};

}  // namespace
}  // namespace outpost::kernels
