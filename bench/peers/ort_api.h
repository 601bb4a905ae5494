// ONNX Runtime's C API as far as the benchmark calls it. The library's table of functions only ever grows at its end,
// so an entry is known by its position; positions and signatures follow onnxruntime_c_api.h (MIT,
// microsoft/onnxruntime).
#ifndef ORT_API_H
#define ORT_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;  // null means success
typedef void* const* OrtApi;

typedef struct {
  OrtApi (*get_api)(uint32_t version);
  const char* (*get_version)(void);
} OrtApiBase;

#define ORT_CALL(position, result, ...) ((result(*)(__VA_ARGS__))ort[position])
#define ort_error_message ORT_CALL(2, const char*, const OrtStatus*)
#define ort_create_env ORT_CALL(3, OrtStatus*, int level, const char* name, void** env)
#define ort_create_session ORT_CALL(7, OrtStatus*, void* env, const char* path, void* options, void** session)
#define ort_run                                                                                        \
  ORT_CALL(9, OrtStatus*, void* session, void* options, const char* const* input_names, void** inputs, \
           size_t input_count, const char* const* output_names, size_t output_count, void** outputs)
#define ort_create_session_options ORT_CALL(10, OrtStatus*, void** options)
#define ort_set_intra_threads ORT_CALL(24, OrtStatus*, void* options, int threads)
#define ort_set_inter_threads ORT_CALL(25, OrtStatus*, void* options, int threads)
#define ort_output_count ORT_CALL(31, OrtStatus*, void* session, size_t* count)
#define ort_output_name ORT_CALL(37, OrtStatus*, void* session, size_t index, void* allocator, char** name)
#define ort_create_tensor                                                                                         \
  ORT_CALL(49, OrtStatus*, void* memory, void* data, size_t bytes, const int64_t* shape, size_t rank, int type, \
           void** value)
#define ort_create_cpu_memory ORT_CALL(69, OrtStatus*, int allocator, int memory, void** info)
#define ort_default_allocator ORT_CALL(78, OrtStatus*, void** allocator)
#define ort_release_session ORT_CALL(95, void, void* session)
#define ort_release_value ORT_CALL(96, void, void* value)

#endif
