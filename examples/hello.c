/* hello MODEL.onnx: what a model takes and gives, and one run on zeros, in C. Open dimensions become 1. */
#include <outpost/c.h>
#include <stdio.h>

static int failed(void) { return fprintf(stderr, "%s\n", outpost_error_message()), 1; }

int main(int argc, char** argv) {
  outpost_model* model = NULL;
  outpost_session* session = NULL;
  outpost_value* inputs[8] = {NULL};
  outpost_value* output = NULL;
  outpost_info info = OUTPOST_INIT(outpost_info);
  outpost_tensor tensor = OUTPOST_INIT(outpost_tensor);
  if (argc != 2) return fprintf(stderr, "usage: hello MODEL.onnx\n"), 2;
  if (outpost_model_load(argv[1], NULL, &model) || outpost_session_new(model, NULL, &session)) return failed();

  const size_t count = outpost_model_input_count(model);
  if (count > 8) return fprintf(stderr, "more than 8 inputs\n"), 2;
  for (size_t i = 0; i < count; ++i) {
    int64_t shape[8];
    outpost_model_input(model, i, &info);
    printf("in  %s: %s\n", info.name, info.type);
    for (int k = 0; k < info.rank; ++k) shape[k] = info.shape[k] < 0 ? 1 : info.shape[k];
    if (info.rank > 8) return fprintf(stderr, "more than 8 axes\n"), 2;
    if (outpost_value_new(info.dtype, shape, (size_t)info.rank, &inputs[i])) return failed();
  }
  if (outpost_session_run(session, NULL, NULL, (const outpost_value* const*)inputs, count, NULL, &output, 1)) return failed();

  outpost_model_output(model, 0, &info);
  outpost_value_tensor(output, &tensor);
  printf("out %s: %s\n", info.name, info.type);
  if (tensor.dtype == OUTPOST_F32 && tensor.count > 0) printf("first value of %s: %g\n", info.name, *(float*)tensor.data);

  outpost_value_free(output);
  for (size_t i = 0; i < count; ++i) outpost_value_free(inputs[i]);
  outpost_session_free(session);
  outpost_model_free(model);
  return 0;
}
