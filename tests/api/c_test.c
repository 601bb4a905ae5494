/* The C interface from C, through the shared library: what it exports is what this needs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outpost/c.h"

static int failures;

#define EXPECT(condition)                                                                                     \
  do {                                                                                                        \
    if (!(condition)) {                                                                                       \
      ++failures;                                                                                             \
      printf("%s:%d: not so: %s (last message: %s)\n", __FILE__, __LINE__, #condition, outpost_error_message()); \
    }                                                                                                         \
  } while (0)
#define EXPECT_OK(call) EXPECT((call) == OUTPOST_OK)

/* y = x + (1, 2, 3) over f32[n,3]; opset 14; metadata author = "a test". */
static const uint8_t add_model[] = {
    8,8,58,95,10,17,10,1,120,10,4,98,105,97,115,18,1,121,34,3,65,100,100,18,4,98,105,97,115,42,24,8,3,16,1,34,12,0,0,128,63,0,
    0,0,64,0,0,64,64,66,4,98,105,97,115,90,20,10,1,120,18,15,10,13,8,1,18,9,10,3,18,1,110,10,2,8,3,98,20,10,1,121,18,15,10,
    13,8,1,18,9,10,3,18,1,110,10,2,8,3,66,4,10,0,16,14,114,16,10,6,97,117,116,104,111,114,18,6,97,32,116,101,115,116};
/* y = example.Scale(x, factor = 2.5) over f32[n,3]. */
static const uint8_t scale_model[] = {
    8,8,58,94,10,40,10,1,120,18,1,121,34,5,83,99,97,108,101,42,16,10,6,102,97,99,116,111,114,21,0,0,32,64,160,1,1,58,7,101,
    120,97,109,112,108,101,18,6,99,117,115,116,111,109,90,20,10,1,120,18,15,10,13,8,1,18,9,10,3,18,1,110,10,2,8,3,98,20,10,1,
    121,18,15,10,13,8,1,18,9,10,3,18,1,110,10,2,8,3,66,4,10,0,16,14,66,11,10,7,101,120,97,109,112,108,101,16,1};

static outpost_session* open_session(const uint8_t* bytes, size_t size) {
  outpost_model* model = NULL;
  outpost_session* session = NULL;
  outpost_session_options options = OUTPOST_INIT(outpost_session_options);
  options.threads = 1;
  EXPECT_OK(outpost_model_load_memory(bytes, size, NULL, &model));
  if (model) EXPECT_OK(outpost_session_new(model, &options, &session));
  outpost_model_free(model); /* the session keeps what it needs */
  return session;
}

static void released(void* context) { ++*(int*)context; }

static void describes_models(void) {
  outpost_model* model = NULL;
  outpost_info info = OUTPOST_INIT(outpost_info);
  const char *key, *value;
  EXPECT_OK(outpost_model_load_memory(add_model, sizeof add_model, NULL, &model));
  EXPECT(outpost_model_input_count(model) == 1 && outpost_model_output_count(model) == 1);
  EXPECT_OK(outpost_model_input(model, 0, &info));
  EXPECT(strcmp(info.name, "x") == 0 && info.kind == OUTPOST_TENSOR && info.dtype == OUTPOST_F32 && info.rank == 2);
  EXPECT(info.shape[0] == -1 && strcmp(info.symbols[0], "n") == 0 && info.shape[1] == 3 && strcmp(info.type, "f32[n,3]") == 0);
  EXPECT(outpost_model_input(model, 1, &info) == OUTPOST_NOT_FOUND);
  EXPECT_OK(outpost_model_metadata(model, 0, &key, &value));
  EXPECT(strcmp(key, "author") == 0 && strcmp(value, "a test") == 0);
  EXPECT(outpost_model_opset(model, NULL) == 14 && outpost_model_opset(model, "nowhere") == 0);
  outpost_model_free(model);
  EXPECT(outpost_model_load("/nonexistent/model.onnx", NULL, &model) == OUTPOST_NOT_FOUND);
  EXPECT(strstr(outpost_error_message(), "/nonexistent/model.onnx") != NULL);
  EXPECT(outpost_model_load_memory("nonsense", 8, NULL, &model) == OUTPOST_INVALID_MODEL);
  EXPECT(outpost_model_load(NULL, NULL, &model) == OUTPOST_INVALID_ARGUMENT);
}

static void runs_by_name_and_position(void) {
  outpost_session* session = open_session(add_model, sizeof add_model);
  float x[6] = {0, 0, 0, 10, 20, 30};
  int64_t shape[2] = {2, 3};
  int release_count = 0;
  const char* names_in[] = {"x"};
  const char* names_out[] = {"y"};
  outpost_value *in = NULL, *out = NULL;
  outpost_tensor t = OUTPOST_INIT(outpost_tensor);
  EXPECT_OK(outpost_value_borrow(OUTPOST_F32, shape, 2, x, sizeof x, released, &release_count, &in));
  EXPECT_OK(outpost_session_run(session, NULL, names_in, (const outpost_value* const*)&in, 1, names_out, &out, 1));
  EXPECT_OK(outpost_value_tensor(out, &t));
  EXPECT(t.rank == 2 && t.shape[0] == 2 && t.count == 6 && t.bytes == 24 && ((float*)t.data)[5] == 33);
  x[5] = 100; /* the same output memory, bound; arguments by position */
  EXPECT_OK(outpost_session_run(session, NULL, NULL, (const outpost_value* const*)&in, 1, NULL, &out, 1));
  EXPECT(((float*)t.data)[5] == 103);
  names_in[0] = "z";
  EXPECT(outpost_session_run(session, NULL, names_in, (const outpost_value* const*)&in, 1, NULL, &out, 1) == OUTPOST_NOT_FOUND);
  EXPECT(outpost_session_run(session, NULL, NULL, NULL, 0, NULL, NULL, 0) == OUTPOST_INVALID_ARGUMENT);
  EXPECT(outpost_value_borrow(OUTPOST_F32, shape, 2, x, 20, NULL, NULL, &in) == OUTPOST_INVALID_ARGUMENT);
  EXPECT(release_count == 0);
  outpost_value_free(in);
  EXPECT(release_count == 1);
  outpost_value_free(out);
  outpost_session_free(session);
}

static void count_steps(const outpost_profile_entry* entry, void* context) {
  EXPECT(entry->duration_ns >= 0 && strcmp(entry->op, "Add") == 0);
  ++*(int*)context;
}

static void binds_plans_and_cancels(void) {
  outpost_session* session = open_session(add_model, sizeof add_model);
  outpost_binding* binding = NULL;
  outpost_value *x = NULL, *y = NULL, *result = NULL;
  outpost_cancel* cancel = NULL;
  outpost_run_options options = OUTPOST_INIT(outpost_run_options);
  outpost_plan plan = OUTPOST_INIT(outpost_plan);
  outpost_tensor tx = OUTPOST_INIT(outpost_tensor), ty = OUTPOST_INIT(outpost_tensor);
  int64_t shape[2] = {1, 3};
  const int64_t* shapes[1] = {shape};
  size_t rank = 2, index = 9;
  int steps = 0;
  EXPECT_OK(outpost_value_new(OUTPOST_F32, shape, 2, &x));
  EXPECT_OK(outpost_value_new(OUTPOST_F32, shape, 2, &y));
  EXPECT_OK(outpost_value_tensor(x, &tx));
  EXPECT_OK(outpost_value_tensor(y, &ty));
  EXPECT_OK(outpost_binding_new(session, &binding));
  EXPECT(outpost_binding_run(binding, NULL) == OUTPOST_INVALID_ARGUMENT);
  EXPECT_OK(outpost_session_input_index(session, "x", &index));
  EXPECT_OK(outpost_binding_input(binding, index, x));
  EXPECT_OK(outpost_binding_output(binding, 0, y));
  ((float*)tx.data)[2] = 4;
  EXPECT_OK(outpost_binding_run(binding, NULL));
  EXPECT(((float*)ty.data)[0] == 1 && ((float*)ty.data)[2] == 7);
  EXPECT_OK(outpost_binding_output(binding, 0, NULL));
  options.profile = count_steps;
  options.profile_context = &steps;
  options.timeout_seconds = 60;
  EXPECT_OK(outpost_binding_run(binding, &options));
  EXPECT_OK(outpost_binding_result(binding, 0, &result));
  EXPECT(steps == 1 && outpost_value_kind(result) == OUTPOST_TENSOR);
  EXPECT_OK(outpost_cancel_new(&cancel));
  outpost_cancel_set(cancel, 1);
  options.cancel = cancel;
  EXPECT(outpost_binding_run(binding, &options) == OUTPOST_CANCELLED);
  options.struct_size = 3;
  EXPECT(outpost_binding_run(binding, &options) == OUTPOST_INVALID_ARGUMENT);
  EXPECT_OK(outpost_session_plan(session, shapes, &rank, 1, &plan));
  EXPECT(plan.steps == 1 && plan.flops == 3 && plan.weights_bytes == 12 && plan.complete);
  outpost_cancel_free(cancel);
  outpost_value_free(result);
  outpost_value_free(y);
  outpost_value_free(x);
  outpost_binding_free(binding);
  outpost_session_free(session);
}

static void holds_strings_and_sequences(void) {
  const char* words[2] = {"edge", "box"};
  int64_t two = 2;
  outpost_value *strings = NULL, *sequence = NULL, *item = NULL, *map = NULL, *keys = NULL;
  const outpost_value* items[2];
  const char* text = NULL;
  size_t length = 0;
  EXPECT_OK(outpost_value_strings(&two, 1, words, NULL, &strings));
  EXPECT_OK(outpost_value_string(strings, 1, &text, &length));
  EXPECT(length == 3 && strcmp(text, "box") == 0);
  EXPECT(outpost_value_string(strings, 2, &text, &length) == OUTPOST_INVALID_ARGUMENT);
  items[0] = items[1] = strings;
  EXPECT_OK(outpost_value_sequence(items, 2, &sequence));
  EXPECT(outpost_value_kind(sequence) == OUTPOST_SEQUENCE && outpost_value_count(sequence) == 2);
  EXPECT_OK(outpost_value_item(sequence, 1, &item));
  EXPECT(outpost_value_kind(item) == OUTPOST_TENSOR);
  EXPECT_OK(outpost_value_map(strings, items, 2, &map));
  EXPECT_OK(outpost_value_keys(map, &keys));
  outpost_value_free(keys);
  outpost_value_free(map);
  outpost_value_free(item);
  outpost_value_free(sequence);
  outpost_value_free(strings);
  EXPECT(outpost_value_new(99, NULL, 0, &item) == OUTPOST_INVALID_ARGUMENT);
  two = -1;
  EXPECT(outpost_value_new(OUTPOST_F32, &two, 1, &item) != OUTPOST_OK);
  two = (int64_t)1 << 62;
  EXPECT(outpost_value_new(OUTPOST_F32, &two, 1, &item) == OUTPOST_LIMIT);
}

/* An operator: y = factor * x, in tiles. */

typedef struct scale_tile {
  const float* x;
  float *y, factor;
} scale_tile;

static void scale_one(int64_t i, void* user) {
  const scale_tile* t = user;
  t->y[i] = t->x[i] * t->factor;
}

static outpost_status scale_infer(outpost_infer* context, void* user) {
  int32_t dtype = 0;
  (void)user;
  outpost_status status = outpost_infer_input(context, 0, &dtype, NULL, NULL, 0);
  if (status) return status;
  if (dtype != OUTPOST_F32) {
    outpost_set_error_message("x must be f32");
    return OUTPOST_INVALID_MODEL;
  }
  return outpost_infer_output_like(context, 0, 0);
}

static outpost_status scale_run(outpost_run* context, void* user) {
  outpost_tensor x = OUTPOST_INIT(outpost_tensor), y = OUTPOST_INIT(outpost_tensor);
  scale_tile tile;
  outpost_status status;
  ++*(int*)user;
  tile.factor = 1;
  if ((status = outpost_run_input(context, 0, &x)) || (status = outpost_run_output(context, 0, &y))) return status;
  if ((status = outpost_node_real(outpost_run_node(context), "factor", &tile.factor)) && status != OUTPOST_NOT_FOUND) return status;
  tile.x = x.data;
  tile.y = y.data;
  if (isnan(tile.x[0])) {
    outpost_set_error_message("x is not a number");
    return OUTPOST_INVALID_DATA;
  }
  return outpost_run_parallel(context, x.count, scale_one, &tile);
}

static void runs_operators_of_the_program(void) {
  static int calls;
  outpost_operator scale = OUTPOST_INIT(outpost_operator);
  outpost_model* model = NULL;
  outpost_session* session = NULL;
  outpost_value *x = NULL, *y = NULL;
  outpost_tensor t = OUTPOST_INIT(outpost_tensor);
  int64_t shape[2] = {1, 3};
  float values[3] = {1, 2, 3};
  EXPECT(outpost_model_load_memory(scale_model, sizeof scale_model, NULL, &model) == OUTPOST_UNSUPPORTED);
  scale.domain = "example";
  scale.name = "Scale";
  scale.min_inputs = scale.max_inputs = scale.min_outputs = scale.max_outputs = 1;
  scale.infer = scale_infer;
  scale.run = scale_run;
  scale.user = &calls;
  EXPECT_OK(outpost_register_operator(&scale));
  EXPECT(outpost_register_operator(&scale) == OUTPOST_INVALID_ARGUMENT);
  session = open_session(scale_model, sizeof scale_model);
  EXPECT_OK(outpost_value_borrow(OUTPOST_F32, shape, 2, values, sizeof values, NULL, NULL, &x));
  EXPECT_OK(outpost_session_run(session, NULL, NULL, (const outpost_value* const*)&x, 1, NULL, &y, 1));
  EXPECT_OK(outpost_value_tensor(y, &t));
  EXPECT(calls == 1 && ((float*)t.data)[2] == 7.5f);
  values[0] = NAN;
  EXPECT(outpost_session_run(session, NULL, NULL, (const outpost_value* const*)&x, 1, NULL, &y, 1) == OUTPOST_INVALID_DATA);
  EXPECT(strstr(outpost_error_message(), "x is not a number") != NULL);
  outpost_value_free(y);
  outpost_value_free(x);
  outpost_session_free(session);
}

static void keep_line(int32_t level, const char* message, size_t length, void* context) {
  EXPECT(level == OUTPOST_LOG_INFO && strlen(message) == length);
  ++*(int*)context;
}

static int allocations;
static void* allocate(size_t bytes, size_t alignment, void* context) {
  (void)context;
  ++allocations;
  return aligned_alloc(alignment, bytes);
}
static void give_back(void* data, size_t bytes, void* context) {
  (void)bytes;
  (void)context;
  --allocations;
  free(data);
}

static void uses_the_programs_log_and_memory(void) {
  int lines = 0;
  outpost_allocator allocator = OUTPOST_INIT(outpost_allocator);
  outpost_value* value = NULL;
  int64_t shape = 4;
  outpost_set_log(keep_line, &lines, OUTPOST_LOG_INFO);
  outpost_session_free(open_session(add_model, sizeof add_model));
  outpost_set_log(NULL, NULL, 0);
  EXPECT(lines == 1);
  allocator.allocate = allocate;
  EXPECT(outpost_set_allocator(&allocator) == OUTPOST_INVALID_ARGUMENT);
  allocator.free = give_back;
  EXPECT_OK(outpost_set_allocator(&allocator));
  EXPECT_OK(outpost_value_new(OUTPOST_F32, &shape, 1, &value));
  EXPECT_OK(outpost_set_allocator(NULL));
  EXPECT(allocations == 1);
  outpost_value_free(value);
  EXPECT(allocations == 0);
}

int main(void) {
  describes_models();
  runs_by_name_and_position();
  binds_plans_and_cancels();
  holds_strings_and_sequences();
  runs_operators_of_the_program();
  uses_the_programs_log_and_memory();
  if (!failures) printf("the C interface of outpost %s holds\n", outpost_version());
  return failures ? 1 : 0;
}
