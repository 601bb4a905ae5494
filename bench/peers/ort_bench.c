// Times ONNX Runtime through its C API, without Python: the library of the Python wheel is opened with dlopen.
//
//   ort_bench LIBRARY MODEL THREADS RUNS [--soak SEED | --soak =LENGTH] NAME:DTYPE:1x128:FILE...
//
// Outputs of the first run are handed back as buffers for the later ones, the cheapest way to call. Prints the JSON
// object that `outpost bench --json` prints for one thread count. With --soak every dimension written as `S` takes a
// random length of 1 to 512 a run (or LENGTH), inputs are truncated to it, and two lines come first: the resident
// memory after each twentieth of the runs, and three numbers a run, `length wall_ms cpu_ms`.
#define _GNU_SOURCE
#include "measure.h"
#include "ort_api.h"

#include <dlfcn.h>
#include <unistd.h>

enum { max_outputs = 64 };

static OrtApi ort;

static void check(OrtStatus* status) {
  if (status) die("ONNX Runtime", ort_error_message(status));
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

static void set_length(Bench* bench, int64_t length) {
  for (size_t i = 0; i < bench->input_count; ++i) {
    set_dimensions(&bench->inputs[i], length);
    ort_release_value(bench->values[i]);
    bench->values[i] = make_tensor(&bench->inputs[i]);
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

// `text` is the seed, or =LENGTH.
static void soak(Bench* bench, const char* text, Soak* record) {
  const int64_t fixed = *text == '=' ? atoll(text + 1) : 0;
  uint64_t random = fixed ? 0 : strtoull(text, NULL, 10);
  record->resident[0] = status_bytes("VmRSS");
  for (int run = 0; run < record->runs; ++run) {
    set_length(bench, record->lengths[run] = next_length(&random, fixed));
    run_once(bench, &record->wall[run], &record->cpu[run]);
    record->resident[(run + 1) * soak_marks / record->runs] = status_bytes("VmRSS");
  }
  print_soak(record);
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

  const size_t bytes = sizeof(double) * (size_t)runs;
  Soak record = {.lengths = malloc(bytes), .wall = malloc(bytes), .cpu = malloc(bytes), .runs = runs};
  run_once(&bench, &first_ms, &first_cpu_ms);
  if (soaking) soak(&bench, argv[6], &record);
  else for (int run = 0; run < runs; ++run) run_once(&bench, &record.wall[run], &record.cpu[run]);

  printf("{\"engine\":\"onnxruntime %s\",\"model\":\"%s\",\"threads\":%d,\"runs\":%d,\"open_ms\":%.3f,\"first_ms\":%.3f",
         base()->get_version(), argv[2], threads, runs, open_ms, first_ms);
  print_distribution("wall_ms", record.wall, runs);
  print_distribution("cpu_ms", record.cpu, runs);
  printf(",\"peak_memory_bytes\":%zu}\n", status_bytes("VmHWM"));
  fflush(stdout);
  _exit(0);  // the library's own exit order is not what is measured
}
