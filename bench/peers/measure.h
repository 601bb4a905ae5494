// What the C and C++ benchmark programs share: inputs described as NAME:DTYPE:1x128:FILE (FILE holds the bytes; a
// dimension written `S` varies), clocks, this process's memory, and the record of a soak.
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { max_inputs = 16, max_rank = 8, max_length = 512, soak_marks = 20 };

typedef struct {
  char name[256];
  int type;  // ONNX's TensorProto.DataType, which both engines use
  size_t rank, element_bytes;
  int64_t shape[max_rank];
  int varies[max_rank];
  void* data;
} Input;

static void die(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static size_t status_bytes(const char* key) {
  char line[256];
  size_t kilobytes = 0;
  FILE* file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, key, strlen(key))) sscanf(line + strlen(key), ": %zu", &kilobytes);
  if (file) fclose(file);
  return kilobytes * 1024;
}

static void parse_type(Input* input, const char* type) {
  static const struct { const char* name; int type; size_t bytes; } types[] = {
      {"float32", 1, 4}, {"uint8", 2, 1}, {"int8", 3, 1}, {"int32", 6, 4}, {"int64", 7, 8}, {"bool", 9, 1},
      {"float64", 11, 8}};
  for (size_t i = 0; i < sizeof types / sizeof *types; ++i)
    if (!strcmp(type, types[i].name)) {
      input->type = types[i].type;
      input->element_bytes = types[i].bytes;
      return;
    }
  die("unknown dtype", type);
}

static size_t element_count(const Input* input) {
  size_t count = 1;
  for (size_t i = 0; i < input->rank; ++i) count *= (size_t)input->shape[i];
  return count;
}

static void parse_input(Input* input, char* text) {
  char* save = NULL;
  char* name = strtok_r(text, ":", &save);
  char* type = strtok_r(NULL, ":", &save);
  char* shape = strtok_r(NULL, ":", &save);
  char* path = strtok_r(NULL, "", &save);
  if (!path) die("bad input", text);
  snprintf(input->name, sizeof input->name, "%s", name);
  parse_type(input, type);
  for (char* dimension = strtok_r(shape, "x", &save); dimension; dimension = strtok_r(NULL, "x", &save)) {
    if (input->rank == max_rank) die("rank above 8", input->name);
    input->varies[input->rank] = *dimension == 'S';
    input->shape[input->rank++] = *dimension == 'S' ? (int64_t)max_length : atoll(dimension);
  }
  size_t bytes = element_count(input) * input->element_bytes;
  input->data = aligned_alloc(64, (bytes + 63) / 64 * 64);
  FILE* file = fopen(path, "rb");
  if (!file || fread(input->data, 1, bytes, file) != bytes) die("cannot read the bytes of", path);
  fclose(file);
}

// The length of the next run: `fixed` if positive, else random, the same sequence for the same seed in every engine.
static int64_t next_length(uint64_t* random, int64_t fixed) {
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return fixed > 0 ? fixed : 1 + (int64_t)((*random >> 33) % max_length);
}

static void set_dimensions(Input* input, int64_t length) {
  for (size_t d = 0; d < input->rank; ++d)
    if (input->varies[d]) input->shape[d] = length;
}

typedef struct {
  size_t resident[soak_marks + 1];  // bytes, before the first run and after each twentieth of them
  int64_t* lengths;
  double *wall, *cpu;  // ms
  int runs;
} Soak;

static void print_soak(const Soak* soak) {
  for (int i = 0; i <= soak_marks; ++i) printf("%zu%c", soak->resident[i], i == soak_marks ? '\n' : ' ');
  for (int i = 0; i < soak->runs; ++i)
    printf("%lld %.4f %.4f%c", (long long)soak->lengths[i], soak->wall[i], soak->cpu[i], i == soak->runs - 1 ? '\n' : ' ');
}

#endif
