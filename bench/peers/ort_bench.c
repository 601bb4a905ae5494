// Times ONNX Runtime through its C API, without Python: the library of the Python wheel is opened with dlopen.
//
//   ort_bench LIBRARY MODEL THREADS RUNS [--soak SEED] NAME:DTYPE:1x128:FILE...
//
// FILE holds the input's bytes. Outputs of the first run are handed back as buffers for the later ones, the cheapest way
// to call. Prints the JSON object that `outpost bench --json` prints for one thread count. With --soak every dimension
// written as `S` takes a random length of 1 to 512 a run, inputs are truncated to it, and two lines come first: the resident
// memory after each twentieth of the runs, and one pair `length wall_ms` a run.
#define _GNU_SOURCE
#include "ort_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { max_inputs = 16, max_rank = 8, max_outputs = 64, max_length = 512, soak_marks = 20 };

typedef struct {
  char name[256];
  int type;
  size_t rank, element_bytes;
  int64_t shape[max_rank];
  int varies[max_rank];
  void* data;
} Input;

static OrtApi ort;

static void die(const char* what, const char* why) {
  fprintf(stderr, "ort_bench: %s: %s\n", what, why);
  exit(1);
}

static void check(OrtStatus* status) {
  if (status) die("ONNX Runtime", ort_error_message(status));
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
      {"float32", ort_float, 4}, {"int64", ort_int64, 8}, {"int32", ort_int32, 4}, {"uint8", ort_uint8, 1},
      {"int8", ort_int8, 1},     {"bool", ort_bool, 1},   {"float64", ort_double, 8}};
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
    input->shape[input->rank++] = *dimension == 'S' ? max_length : atoll(dimension);
  }
  size_t bytes = element_count(input) * input->element_bytes;
  input->data = aligned_alloc(64, (bytes + 63) / 64 * 64);
  FILE* file = fopen(path, "rb");
  if (!file || fread(input->data, 1, bytes, file) != bytes) die("cannot read the bytes of", path);
  fclose(file);
}

static int ascending(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void print_distribution(const char* name, double* ms, int count) {
  qsort(ms, (size_t)count, sizeof *ms, ascending);
  printf(",\"%s\":{\"min\":%.6f,\"median\":%.6f,\"p90\":%.6f,\"max\":%.6f}", name, ms[0], ms[count / 2],
         ms[(int)(0.9 * (count - 1))], ms[count - 1]);
}

static void* make_tensor(const Input* input) {
  static void* memory;
  void* value = NULL;
  if (!memory) check(ort_create_cpu_memory(1, 0, &memory));
  check(ort_create_tensor(memory, input->data, element_count(input) * input->element_bytes, input->shape, input->rank,
                          input->type, &value));
  return value;
}

typedef struct {
  void* session;
  size_t input_count, output_count;
  Input inputs[max_inputs];
  const char *input_names[max_inputs], *output_names[max_outputs];
  void *values[max_inputs], *outputs[max_outputs];
} Bench;

static void open_session(Bench* bench, const char* model, int threads) {
  void *env = NULL, *options = NULL, *allocator = NULL;
  check(ort_create_env(3, "bench", &env));
  check(ort_create_session_options(&options));
  check(ort_set_intra_threads(options, threads));
  check(ort_set_inter_threads(options, 1));
  check(ort_create_session(env, model, options, &bench->session));
  check(ort_default_allocator(&allocator));
  check(ort_output_count(bench->session, &bench->output_count));
  if (bench->output_count > max_outputs) die(model, "more than 64 outputs");
  for (size_t i = 0; i < bench->output_count; ++i)
    check(ort_output_name(bench->session, i, allocator, (char**)&bench->output_names[i]));
}

// The next random length: the same sequence for the same seed in every engine's soak.
static int64_t next_length(uint64_t* random) {
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return 1 + (int64_t)((*random >> 33) % max_length);
}

static void set_length(Bench* bench, int64_t length) {
  for (size_t i = 0; i < bench->input_count; ++i) {
    Input* input = &bench->inputs[i];
    for (size_t d = 0; d < input->rank; ++d)
      if (input->varies[d]) input->shape[d] = length;
    ort_release_value(bench->values[i]);
    bench->values[i] = make_tensor(input);
  }
  for (size_t i = 0; i < bench->output_count; ++i) {
    ort_release_value(bench->outputs[i]);
    bench->outputs[i] = NULL;
  }
}

static void run_once(Bench* bench, double* wall_ms, double* cpu_ms) {
  double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  check(ort_run(bench->session, NULL, bench->input_names, bench->values, bench->input_count, bench->output_names,
                bench->output_count, bench->outputs));
  *cpu_ms = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  *wall_ms = now(CLOCK_MONOTONIC) - wall;
}

static void soak(Bench* bench, uint64_t random, int runs, double* wall, double* cpu) {
  size_t resident[soak_marks + 1] = {status_bytes("VmRSS")};
  int64_t* lengths = calloc((size_t)runs, sizeof(int64_t));
  for (int run = 0; run < runs; ++run) {
    set_length(bench, lengths[run] = next_length(&random));
    run_once(bench, &wall[run], &cpu[run]);
    resident[(run + 1) * soak_marks / runs] = status_bytes("VmRSS");
  }
  for (int i = 0; i <= soak_marks; ++i) printf("%zu%c", resident[i], i == soak_marks ? '\n' : ' ');
  for (int i = 0; i < runs; ++i) printf("%lld %.4f%c", (long long)lengths[i], wall[i], i == runs - 1 ? '\n' : ' ');
}

int main(int argc, char** argv) {
  if (argc < 6) die("usage", "ort_bench LIBRARY MODEL THREADS RUNS [--soak SEED] NAME:DTYPE:SHAPE:FILE...");
  void* library = dlopen(argv[1], RTLD_NOW);
  if (!library) die("dlopen", dlerror());
  const OrtApiBase* (*base)(void) = (const OrtApiBase* (*)(void))dlsym(library, "OrtGetApiBase");
  ort = base()->get_api(16);
  int threads = atoi(argv[3]), runs = atoi(argv[4]), soaking = !strcmp(argv[5], "--soak"), first = soaking ? 7 : 5;
  static Bench bench;
  if (runs < 1 || argc - first < 1 || argc - first > max_inputs) die("usage", "at least one run, 1 to 16 inputs");

  double start = now(CLOCK_MONOTONIC), first_ms, first_cpu_ms;
  open_session(&bench, argv[2], threads);
  double open_ms = now(CLOCK_MONOTONIC) - start;
  bench.input_count = (size_t)(argc - first);
  for (size_t i = 0; i < bench.input_count; ++i) {
    parse_input(&bench.inputs[i], argv[first + (int)i]);
    bench.input_names[i] = bench.inputs[i].name;
    bench.values[i] = make_tensor(&bench.inputs[i]);
  }

  double *wall = malloc(sizeof(double) * (size_t)runs), *cpu = malloc(sizeof(double) * (size_t)runs);
  run_once(&bench, &first_ms, &first_cpu_ms);
  if (soaking) soak(&bench, strtoull(argv[6], NULL, 10), runs, wall, cpu);
  else for (int run = 0; run < runs; ++run) run_once(&bench, &wall[run], &cpu[run]);

  printf("{\"engine\":\"onnxruntime %s\",\"model\":\"%s\",\"threads\":%d,\"runs\":%d,\"open_ms\":%.3f,\"first_ms\":%.3f",
         base()->get_version(), argv[2], threads, runs, open_ms, first_ms);
  print_distribution("wall_ms", wall, runs);
  print_distribution("cpu_ms", cpu, runs);
  printf(",\"peak_memory_bytes\":%zu}\n", status_bytes("VmHWM"));
  fflush(stdout);
  _exit(0);  // the library's own exit order is not what is measured
}
