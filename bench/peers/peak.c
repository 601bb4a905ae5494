// This machine's f32 multiply-add peak on one core, in GFLOP/s: independent chains in registers, the best of many
// tries. Compile with -O3 -march=native -ffp-contract=fast.
#include <stdio.h>
#include <time.h>

#if defined(__AVX512F__)
enum { vector_bytes = 64, chains = 24 };
#elif defined(__AVX__)
enum { vector_bytes = 32, chains = 12 };
#else
enum { vector_bytes = 16, chains = 12 };
#endif
typedef float Vector __attribute__((vector_size(vector_bytes)));
enum { lanes = vector_bytes / 4, rounds = 400000, tries = 100 };

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
  double best = 0;
  for (int attempt = 0; attempt < tries; ++attempt) {
    Vector sum[chains], scale, shift;
    for (int i = 0; i < lanes; ++i) scale[i] = 0.999f, shift[i] = 1e-4f;
    for (int i = 0; i < chains; ++i) sum[i] = shift * (float)i;
    double start = seconds();
    for (int round = 0; round < rounds; ++round)
#pragma GCC unroll 24
      for (int i = 0; i < chains; ++i) sum[i] = sum[i] * scale + shift;
    double elapsed = seconds() - start;
    float kept = 0;
    for (int i = 0; i < chains; ++i) kept += sum[i][0];
    volatile float sink = kept;
    (void)sink;
    double rate = 2.0 * lanes * chains * rounds / elapsed / 1e9;
    if (rate > best) best = rate;
  }
  printf("%.1f\n", best);
}
