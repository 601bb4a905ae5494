// Chooses the kernel table: asks the processor, and the operating system for the registers it saves, which instruction
// sets may be used, and fills one table for each at first use.
#include "kernels/table.h"

#include <atomic>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

// Arm's integer dot products: one source, *.dotprod.cpp, compiled with and without i8mm.
#define OUTPOST_DOTPROD_FAMILIES(FAMILY) FAMILY(conv_int8)
OUTPOST_DECLARE_ISA(dotprod, OUTPOST_DOTPROD_FAMILIES)
OUTPOST_DECLARE_ISA(i8mm, OUTPOST_DOTPROD_FAMILIES)
#endif

namespace outpost::kernels {
namespace {

#define OUTPOST_CALL_FILL(name) fill_##name(table);
#define OUTPOST_MAKE_TABLE(isa_name, bytes, FAMILIES)         \
  [[maybe_unused]] Kernels make_##isa_name(Kernels table) {   \
    using namespace isa_name;                                 \
    table.isa = #isa_name;                                    \
    table.vector_bytes = bytes;                               \
    FAMILIES(OUTPOST_CALL_FILL)                               \
    return table;                                             \
  }

OUTPOST_MAKE_TABLE(generic, 16, OUTPOST_KERNEL_FAMILIES)
#if defined(__x86_64__)
OUTPOST_MAKE_TABLE(avx2, 32, OUTPOST_KERNEL_FAMILIES)
OUTPOST_MAKE_TABLE(avx512, 64, OUTPOST_KERNEL_FAMILIES)
OUTPOST_MAKE_TABLE(avx512vnni, 64, OUTPOST_VNNI_FAMILIES)
OUTPOST_MAKE_TABLE(avx512bf16, 64, OUTPOST_BF16_FAMILIES)

constexpr bool all(unsigned value, unsigned bits) { return (value & bits) == bits; }

// 0: neither, 1: AVX2 with FMA, F16C and BMI2, 2: AVX-512 F, BW, DQ and VL besides, 3: VNNI, 4: BF16. Intel SDM vol. 1,
// 14.3 and 15.2.
int x86_level() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return 0;
  unsigned saved, saved_high;
  __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
  if (!all(saved, 0x06)) return 0;  // xmm, ymm
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, bit_AVX2 | bit_BMI2)) return 0;
  const bool wide = all(saved, 0xe6) && all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
  if (!wide) return 1;
  if (!all(c, bit_AVX512VNNI)) return 2;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && all(a, bit_AVX512BF16) ? 4 : 3;
}
#endif

#if defined(OUTPOST_DOTPROD_FAMILIES)
OUTPOST_MAKE_TABLE(dotprod, 16, OUTPOST_DOTPROD_FAMILIES)
OUTPOST_MAKE_TABLE(i8mm, 16, OUTPOST_DOTPROD_FAMILIES)

// 0: neither, 1: sdot and udot, 2: usdot too (Linux: asm/hwcap.h).
int arm_level() {
  if (!(getauxval(AT_HWCAP) & 1UL << 20)) return 0;
  return getauxval(AT_HWCAP2) & 1UL << 13 ? 2 : 1;
}
#endif

struct Tables {
  Kernels entries[5];
  int count = 0;

  Tables() {
    std::memset(entries, 0, sizeof entries);
    entries[count++] = make_generic({});
#if defined(__x86_64__)
    const int level = x86_level();
    if (level >= 1) entries[count++] = make_avx2({});
#if !defined(OUTPOST_WITHOUT_AVX512)
    if (level >= 2) entries[count++] = make_avx512({});
    if (level >= 3) extend(make_avx512vnni);
    if (level >= 4) extend(make_avx512bf16);
#endif
#elif defined(OUTPOST_DOTPROD_FAMILIES)
    const int level = arm_level();
    if (level >= 1) extend(make_dotprod);
    if (level >= 2) extend(make_i8mm);
#endif
  }

  // A table like the best so far, with the entries that an extension replaces.
  [[maybe_unused]] void extend(Kernels (*make)(Kernels)) {
    entries[count] = make(entries[count - 1]);
    ++count;
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

std::atomic<const Kernels*> active{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* table = active.load(std::memory_order_acquire);
  if (!table) {
    table = &tables().entries[tables().count - 1];
    active.store(table, std::memory_order_release);
  }
  return *table;
}

bool select_kernels(std::string_view isa) {
  for (int i = 0; i < tables().count; ++i) {
    if (isa != tables().entries[i].isa) continue;
    active.store(&tables().entries[i], std::memory_order_release);
    return true;
  }
  return false;
}

const Kernels* available_kernels(int index) {
  return index >= 0 && index < tables().count ? &tables().entries[index] : nullptr;
}

}  // namespace outpost::kernels
