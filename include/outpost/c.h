/* The C interface of Outpost: what every language binding stands on. It only grows: functions and fields are added, never
 * changed or removed, within one major version.
 *
 * Functions return a status; OUTPOST_OK is 0. After anything else outpost_error_message() says what was wrong, where and
 * what to do. No C++ exception leaves a function and none may enter through a callback.
 * Structs that begin with `struct_size` must have it set (OUTPOST_INIT(type) does): a newer library then knows which
 * fields an older program has. Fields left zero mean their default.
 * Handles that a function gives through a pointer belong to the caller until the matching outpost_…_free, which accepts
 * NULL. They keep alive what they were made from. Names and paths are NUL-terminated UTF-8; strings given back are
 * NUL-terminated too, and carry their length where they may hold NULs.
 * Threads: everything may be called from any thread. One binding or state serves one run at a time; models, sessions and
 * values are shared freely (a value that a run writes to is not read meanwhile). */
#ifndef OUTPOST_C_H
#define OUTPOST_C_H

#include <stddef.h>
#include <stdint.h>

#if !defined(OUTPOST_API)
#if defined(_WIN32)
#define OUTPOST_API
#else
#define OUTPOST_API __attribute__((visibility("default")))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#define OUTPOST_INIT(type) type{sizeof(type)}
#else
#define OUTPOST_INIT(type) (type){.struct_size = sizeof(type)}
#endif

/* ---- status ---- */

typedef int32_t outpost_status;
enum {
  OUTPOST_OK = 0,
  OUTPOST_INVALID_ARGUMENT = 1, /* the caller's mistake: an unknown name, a wrong dtype or shape */
  OUTPOST_INVALID_MODEL = 2,    /* a file that breaks its format or its operators' rules */
  OUTPOST_INVALID_DATA = 3,     /* a value met at run time that an operator cannot accept */
  OUTPOST_UNSUPPORTED = 4,
  OUTPOST_NOT_FOUND = 5,
  OUTPOST_IO = 6,
  OUTPOST_LIMIT = 7,            /* memory, depth, count or size */
  OUTPOST_CANCELLED = 8,
  OUTPOST_DEADLINE = 9,
  OUTPOST_INTERNAL = 10
};

/* The message of the last call on this thread that did not return OUTPOST_OK; good until the next such call. */
OUTPOST_API const char* outpost_error_message(void);
/* For callbacks: the message that goes with the status they return. */
OUTPOST_API void outpost_set_error_message(const char* message);
OUTPOST_API const char* outpost_version(void);

/* ---- values: tensors, sequences, maps ---- */

/* The numbers of ONNX's TensorProto.DataType. 4- and 2-bit types are packed, low bits first. */
enum {
  OUTPOST_F32 = 1, OUTPOST_U8 = 2, OUTPOST_I8 = 3, OUTPOST_U16 = 4, OUTPOST_I16 = 5, OUTPOST_I32 = 6, OUTPOST_I64 = 7,
  OUTPOST_STRING = 8, OUTPOST_BOOL = 9, OUTPOST_F16 = 10, OUTPOST_F64 = 11, OUTPOST_U32 = 12, OUTPOST_U64 = 13,
  OUTPOST_COMPLEX64 = 14, OUTPOST_COMPLEX128 = 15, OUTPOST_BF16 = 16, OUTPOST_F8E4M3FN = 17, OUTPOST_F8E4M3FNUZ = 18,
  OUTPOST_F8E5M2 = 19, OUTPOST_F8E5M2FNUZ = 20, OUTPOST_U4 = 21, OUTPOST_I4 = 22, OUTPOST_F4E2M1 = 23,
  OUTPOST_F8E8M0 = 24, OUTPOST_U2 = 25, OUTPOST_I2 = 26
};
/* "f32", "i64", …; "undefined" for a number that is none of these. */
OUTPOST_API const char* outpost_dtype_name(int32_t dtype);

typedef struct outpost_value outpost_value;
/* What a value is; also the kind of a declared input or output (where 0 means that the model does not say). */
enum { OUTPOST_NONE = 0, OUTPOST_TENSOR = 1, OUTPOST_SPARSE_TENSOR = 2, OUTPOST_SEQUENCE = 3, OUTPOST_OPTIONAL = 4, OUTPOST_MAP = 5 };

/* A tensor as it lies in memory: dense, row-major. Pointers are good as long as the value (in callbacks: the call). */
typedef struct outpost_tensor {
  size_t struct_size;
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  void* data;      /* NULL for strings: see outpost_value_string */
  size_t bytes;
  int64_t count;   /* elements */
} outpost_tensor;

/* Zeroed memory of the library's own, 64-byte aligned. */
OUTPOST_API outpost_status outpost_value_new(int32_t dtype, const int64_t* shape, size_t rank, outpost_value** value);
/* The caller's memory, used where it lies; `bytes` must be what dtype and shape need. `release` (may be NULL) is called
 * with `context` when nothing uses the memory any more, on whichever thread that happens. */
OUTPOST_API outpost_status outpost_value_borrow(int32_t dtype, const int64_t* shape, size_t rank, void* data, size_t bytes,
                                                void (*release)(void* context), void* context, outpost_value** value);
/* A tensor of strings, copied; lengths may be NULL when all are NUL-terminated. */
OUTPOST_API outpost_status outpost_value_strings(const int64_t* shape, size_t rank, const char* const* strings,
                                                 const size_t* lengths, outpost_value** value);
OUTPOST_API outpost_status outpost_value_sequence(const outpost_value* const* items, size_t count, outpost_value** value);
/* `keys`: a 1-D tensor of integers or strings, one an item. */
OUTPOST_API outpost_status outpost_value_map(const outpost_value* keys, const outpost_value* const* items, size_t count,
                                             outpost_value** value);
/* Another handle on the same memory. */
OUTPOST_API outpost_status outpost_value_share(const outpost_value* value, outpost_value** copy);
OUTPOST_API void outpost_value_free(outpost_value* value);

OUTPOST_API int32_t outpost_value_kind(const outpost_value* value);
OUTPOST_API outpost_status outpost_value_tensor(const outpost_value* value, outpost_tensor* tensor);
/* Element `index` of a tensor of strings. */
OUTPOST_API outpost_status outpost_value_string(const outpost_value* value, size_t index, const char** data, size_t* length);
/* Items of a sequence, or a map's values: 0 for other kinds. */
OUTPOST_API size_t outpost_value_count(const outpost_value* value);
OUTPOST_API outpost_status outpost_value_item(const outpost_value* value, size_t index, outpost_value** item);
OUTPOST_API outpost_status outpost_value_keys(const outpost_value* value, outpost_value** keys);

/* ---- models ---- */

typedef struct outpost_model outpost_model;

typedef struct outpost_load_options {
  size_t struct_size;
  const char* external_data_root; /* NULL: the real folder of the model; a model from memory has none */
  const char* name;               /* stands for a model from memory in messages */
  uint64_t memory_limit_bytes;
  int64_t max_nodes;
  int32_t max_depth;
  int32_t keep_overridable_inputs;
} outpost_load_options;

/* An input or output as declared. Pointers are good as long as the model or session they come from. */
typedef struct outpost_info {
  size_t struct_size;
  const char* name;
  int32_t kind;
  int32_t dtype;               /* of a tensor's elements; of a map's keys */
  int32_t rank;                /* -1: not declared */
  const int64_t* shape;        /* -1: open */
  const char* const* symbols;  /* one a dimension: its symbol, or "" */
  const char* type;            /* all of it as text: "f32[batch,3,224,224]" */
} outpost_info;

/* Options may be NULL. The file is mapped and must not change while anything made from it lives. */
OUTPOST_API outpost_status outpost_model_load(const char* path, const outpost_load_options* options, outpost_model** model);
/* Copies what it needs. */
OUTPOST_API outpost_status outpost_model_load_memory(const void* bytes, size_t size, const outpost_load_options* options,
                                                     outpost_model** model);
OUTPOST_API void outpost_model_free(outpost_model* model);
OUTPOST_API size_t outpost_model_input_count(const outpost_model* model);
OUTPOST_API size_t outpost_model_output_count(const outpost_model* model);
OUTPOST_API outpost_status outpost_model_input(const outpost_model* model, size_t index, outpost_info* info);
OUTPOST_API outpost_status outpost_model_output(const outpost_model* model, size_t index, outpost_info* info);
OUTPOST_API const char* outpost_model_name(const outpost_model* model);
OUTPOST_API size_t outpost_model_metadata_count(const outpost_model* model);
OUTPOST_API outpost_status outpost_model_metadata(const outpost_model* model, size_t index, const char** key, const char** value);
/* The version of a domain ("" or NULL is ai.onnx) that the file declares; 0: none. */
OUTPOST_API int32_t outpost_model_opset(const outpost_model* model, const char* domain);

/* ---- sessions ---- */

typedef struct outpost_session outpost_session;
typedef struct outpost_state outpost_state;
typedef struct outpost_cancel outpost_cancel;

enum { OUTPOST_PRECISION_F32 = 0, OUTPOST_PRECISION_BF16 = 1 };

typedef struct outpost_session_options {
  size_t struct_size;
  int32_t threads;               /* 0: every hardware thread */
  int32_t precision;
  uint64_t memory_limit_bytes;   /* of a run; 0: three quarters of the machine's */
  uint64_t seed;
  int32_t cached_plans;          /* 0: 32 */
  int32_t debug_fill;
  const char* passes_off;        /* names with commas between; "all"; NULL: none */
} outpost_session_options;

typedef struct outpost_profile_entry {
  size_t struct_size;
  const char* op;
  const char* node;
  int64_t start_ns, duration_ns;
  double flops, bytes;
} outpost_profile_entry;

typedef struct outpost_run_options {
  size_t struct_size;
  outpost_state* state;            /* NULL: the session's own */
  const outpost_cancel* cancel;
  double timeout_seconds;          /* 0: none */
  uint64_t memory_limit_bytes;     /* 0: the session's */
  int32_t threads;                 /* fewer than the session's; 0: the session's */
  void (*profile)(const outpost_profile_entry* entry, void* context); /* called for every step when the run is over */
  void* profile_context;
} outpost_run_options;

OUTPOST_API outpost_status outpost_session_new(const outpost_model* model, const outpost_session_options* options,
                                               outpost_session** session);
OUTPOST_API void outpost_session_free(outpost_session* session);
OUTPOST_API size_t outpost_session_input_count(const outpost_session* session);
OUTPOST_API size_t outpost_session_output_count(const outpost_session* session);
OUTPOST_API outpost_status outpost_session_input(const outpost_session* session, size_t index, outpost_info* info);
OUTPOST_API outpost_status outpost_session_output(const outpost_session* session, size_t index, outpost_info* info);
/* Positions of names, for bindings. */
OUTPOST_API outpost_status outpost_session_input_index(const outpost_session* session, const char* name, size_t* index);
OUTPOST_API outpost_status outpost_session_output_index(const outpost_session* session, const char* name, size_t* index);

/* Runs once. `input_names` NULL: `inputs` are all inputs in order. `output_names` NULL: `outputs` are the model's first
 * `output_count` outputs. An entry of `outputs` that is not NULL on entry is written to (dtype and shape must fit);
 * one that is NULL receives a new value. On failure nothing is given. Options may be NULL. */
OUTPOST_API outpost_status outpost_session_run(const outpost_session* session, const outpost_run_options* options,
                                               const char* const* input_names, const outpost_value* const* inputs,
                                               size_t input_count, const char* const* output_names,
                                               outpost_value** outputs, size_t output_count);

/* What a model keeps between runs. A new state starts from the beginning, its random stream from `seed`. */
OUTPOST_API outpost_status outpost_state_new(const outpost_session* session, uint64_t seed, outpost_state** state);
OUTPOST_API void outpost_state_free(outpost_state* state);

/* Set from any thread, it ends the runs that were given it. */
OUTPOST_API outpost_status outpost_cancel_new(outpost_cancel** cancel);
OUTPOST_API void outpost_cancel_set(outpost_cancel* cancel, int32_t cancelled);
OUTPOST_API void outpost_cancel_free(outpost_cancel* cancel);

/* What a run of given shapes takes. `shapes` and `ranks` hold one entry an input. */
typedef struct outpost_plan {
  size_t struct_size;
  uint64_t arena_bytes, live_bytes, scratch_bytes, weights_bytes;
  double flops, bytes;
  size_t steps;
  int32_t complete; /* 0: some shapes depend on data; the numbers are those of what is known */
} outpost_plan;
OUTPOST_API outpost_status outpost_session_plan(const outpost_session* session, const int64_t* const* shapes,
                                                const size_t* ranks, size_t count, outpost_plan* plan);

/* ---- bindings: arguments laid ready once, for many runs at the least cost ---- */

typedef struct outpost_binding outpost_binding;

OUTPOST_API outpost_status outpost_binding_new(const outpost_session* session, outpost_binding** binding);
OUTPOST_API void outpost_binding_free(outpost_binding* binding);
/* The binding keeps the value; what its memory holds when run is called counts. */
OUTPOST_API outpost_status outpost_binding_input(outpost_binding* binding, size_t index, const outpost_value* value);
/* The run writes into this value's memory; NULL: into new memory again. */
OUTPOST_API outpost_status outpost_binding_output(outpost_binding* binding, size_t index, const outpost_value* value);
/* With every output bound, allocates nothing. Options may be NULL. */
OUTPOST_API outpost_status outpost_binding_run(outpost_binding* binding, const outpost_run_options* options);
/* The result of the last run, to be freed by the caller. */
OUTPOST_API outpost_status outpost_binding_result(const outpost_binding* binding, size_t index, outpost_value** value);

/* ---- operators of your own ---- */

typedef struct outpost_node outpost_node;   /* the occurrence: attributes */
typedef struct outpost_infer outpost_infer; /* while a model is opened or planned: types in, types out */
typedef struct outpost_run outpost_run;     /* while it runs: tensors in, tensors out */

typedef struct outpost_operator {
  size_t struct_size;
  const char* domain;
  const char* name;
  int32_t since;                        /* the opset version of the domain in which it appeared; 0: 1 */
  int32_t min_inputs, max_inputs;       /* max -1: any number */
  int32_t min_outputs, max_outputs;
  /* Sets the type of every output. Returns a status; message by outpost_set_error_message. Called from any thread. */
  outpost_status (*infer)(outpost_infer* context, void* user);
  /* Computes. Called from any thread, several at once. */
  outpost_status (*run)(outpost_run* context, void* user);
  void* user;
  int32_t random;                       /* not 0: equal inputs may give different outputs; never computed ahead */
} outpost_operator;

/* For the whole process, for good, before models that use it are loaded. */
OUTPOST_API outpost_status outpost_register_operator(const outpost_operator* definition);

OUTPOST_API const outpost_node* outpost_infer_node(const outpost_infer* context);
OUTPOST_API size_t outpost_infer_input_count(const outpost_infer* context);
/* rank -1: not known. Up to `capacity` dimensions are written to shape, -1 for what is open. */
OUTPOST_API outpost_status outpost_infer_input(const outpost_infer* context, size_t index, int32_t* dtype, int32_t* rank,
                                               int64_t* shape, size_t capacity);
/* The value of an input that is known already (a constant); OUTPOST_NOT_FOUND when it is not. */
OUTPOST_API outpost_status outpost_infer_value(const outpost_infer* context, size_t index, outpost_tensor* tensor);
/* rank -1: only the run will know; dimensions of -1 likewise. */
OUTPOST_API outpost_status outpost_infer_output(outpost_infer* context, size_t index, int32_t dtype, int32_t rank,
                                                const int64_t* shape);
/* The type of an input, with what is known of open dimensions. */
OUTPOST_API outpost_status outpost_infer_output_like(outpost_infer* context, size_t index, size_t input);

OUTPOST_API const outpost_node* outpost_run_node(const outpost_run* context);
OUTPOST_API size_t outpost_run_input_count(const outpost_run* context);
/* OUTPOST_NOT_FOUND: an optional input that is absent. */
OUTPOST_API outpost_status outpost_run_input(const outpost_run* context, size_t index, outpost_tensor* tensor);
/* An output whose shape was inferred. */
OUTPOST_API outpost_status outpost_run_output(outpost_run* context, size_t index, outpost_tensor* tensor);
/* Any output, now that the run knows its shape. */
OUTPOST_API outpost_status outpost_run_allocate(outpost_run* context, size_t index, const int64_t* shape, size_t rank,
                                                outpost_tensor* tensor);
/* Calls body for every tile of [0, tiles) on the run's threads. */
OUTPOST_API outpost_status outpost_run_parallel(outpost_run* context, int64_t tiles, void (*body)(int64_t tile, void* user),
                                                void* user);

/* Attributes. OUTPOST_NOT_FOUND: absent; OUTPOST_INVALID_MODEL: of another kind. Pointers are good for the call. */
OUTPOST_API outpost_status outpost_node_integer(const outpost_node* node, const char* name, int64_t* value);
OUTPOST_API outpost_status outpost_node_real(const outpost_node* node, const char* name, float* value);
OUTPOST_API outpost_status outpost_node_string(const outpost_node* node, const char* name, const char** value, size_t* length);
OUTPOST_API outpost_status outpost_node_integers(const outpost_node* node, const char* name, const int64_t** values, size_t* count);
OUTPOST_API outpost_status outpost_node_reals(const outpost_node* node, const char* name, const float** values, size_t* count);
OUTPOST_API const char* outpost_node_name(const outpost_node* node);

/* ---- the process ---- */

enum { OUTPOST_LOG_DEBUG = 0, OUTPOST_LOG_INFO = 1, OUTPOST_LOG_WARNING = 2, OUTPOST_LOG_ERROR = 3 };
/* NULL: silence, the default. Called from any thread. */
OUTPOST_API void outpost_set_log(void (*log)(int32_t level, const char* message, size_t length, void* context), void* context,
                                 int32_t least);

typedef struct outpost_allocator {
  size_t struct_size;
  void* (*allocate)(size_t bytes, size_t alignment, void* context);
  void (*free)(void* data, size_t bytes, void* context);
  void* context;
} outpost_allocator;
/* Where tensors and working memory come from; NULL: the C library. Memory taken before is returned where it came from. */
OUTPOST_API outpost_status outpost_set_allocator(const outpost_allocator* allocator);

#ifdef __cplusplus
}
#endif
#endif
