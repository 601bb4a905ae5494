// How a table is filled: every kernel family (one *.isa.cpp) compiled for an instruction set defines its fill function
// in that set's namespace and writes its entries. table.cpp calls them in this order, so that a family listed later may
// replace an entry of an earlier one.
#pragma once

#include "kernels/kernels.h"

// FAMILY(name): fill_<name> lives in <name>.isa.cpp.
#define OUTPOST_KERNEL_FAMILIES(FAMILY) \
  FAMILY(unary)                         \
  FAMILY(binary)                        \
  FAMILY(convert)                       \
  FAMILY(gemm)                          \
  FAMILY(gemm_int8)                     \
  FAMILY(reduce)                        \
  FAMILY(normalize)                     \
  FAMILY(mix)                           \
  FAMILY(move)                          \
  FAMILY(pool)                          \
  FAMILY(conv)                          \
  FAMILY(conv_transpose)

#define OUTPOST_DECLARE_FILL(name) void fill_##name(Kernels& table);
#define OUTPOST_DECLARE_ISA(isa) \
  namespace outpost::kernels::isa { OUTPOST_KERNEL_FAMILIES(OUTPOST_DECLARE_FILL) }

#if defined(OUTPOST_ISA)
OUTPOST_DECLARE_ISA(OUTPOST_ISA)
#else
OUTPOST_DECLARE_ISA(generic)
#if defined(__x86_64__)
OUTPOST_DECLARE_ISA(avx2)
OUTPOST_DECLARE_ISA(avx512)
#endif
#endif
