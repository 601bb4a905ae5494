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
  FAMILY(recurrent)                     \
  FAMILY(blocks4)                       \
  FAMILY(gemm_int8)                     \
  FAMILY(reduce)                        \
  FAMILY(normalize)                     \
  FAMILY(attention)                     \
  FAMILY(mix)                           \
  FAMILY(move)                          \
  FAMILY(pool)                          \
  FAMILY(conv)                          \
  FAMILY(conv_transpose)                \
  FAMILY(conv_blocked)                  \
  FAMILY(winograd)                      \
  FAMILY(pool_blocked)                  \
  FAMILY(conv_int8)                     \
  FAMILY(depthwise_int8)

// Families of one extension, which replace entries of the table they extend: <name>.vnni.cpp and <name>.bf16.cpp.
#define OUTPOST_VNNI_FAMILIES(FAMILY) \
  FAMILY(gemm_int8)                   \
  FAMILY(conv_int8)                   \
  FAMILY(depthwise_int8)
#define OUTPOST_BF16_FAMILIES(FAMILY) \
  FAMILY(gemm)                        \
  FAMILY(conv_blocked)

#define OUTPOST_DECLARE_FILL(name) void fill_##name(Kernels& table);
#define OUTPOST_DECLARE_ISA(isa, FAMILIES) \
  namespace outpost::kernels::isa { FAMILIES(OUTPOST_DECLARE_FILL) }

OUTPOST_DECLARE_ISA(generic, OUTPOST_KERNEL_FAMILIES)
#if defined(__x86_64__)
OUTPOST_DECLARE_ISA(avx2, OUTPOST_KERNEL_FAMILIES)
OUTPOST_DECLARE_ISA(avx512, OUTPOST_KERNEL_FAMILIES)
OUTPOST_DECLARE_ISA(avx512vnni, OUTPOST_VNNI_FAMILIES)
OUTPOST_DECLARE_ISA(avx512bf16, OUTPOST_BF16_FAMILIES)
#endif
