/* The C interface from C99: a model from memory is run, and an error is a status with a message. */
#include <outpost/c.h>

#include <stdio.h>

#include "model.h"

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, outpost_error_message());
  return 1;
}

int main(void) {
  outpost_model* model = NULL;
  outpost_session* session = NULL;
  outpost_value *x = NULL, *y = NULL;
  outpost_session_options options = OUTPOST_INIT(outpost_session_options);
  outpost_tensor tensor = OUTPOST_INIT(outpost_tensor);
  float values[3] = {1.0f, 2.0f, 3.0f};
  const int64_t shape[1] = {3};

  if (outpost_model_load_memory("not a model", 11, NULL, &model) == OUTPOST_OK || !*outpost_error_message()) {
    fprintf(stderr, "bytes that are no model were accepted\n");
    return 1;
  }
  options.threads = 1;
  if (outpost_model_load_memory(model_bytes, sizeof model_bytes, NULL, &model)) return failed("load");
  if (outpost_session_new(model, &options, &session)) return failed("session");
  if (outpost_value_borrow(OUTPOST_F32, shape, 1, values, sizeof values, NULL, NULL, &x)) return failed("input");
  if (outpost_session_run(session, NULL, NULL, (const outpost_value* const*)&x, 1, NULL, &y, 1)) return failed("run");
  if (outpost_value_tensor(y, &tensor)) return failed("output");
  if (tensor.count != 3 || ((const float*)tensor.data)[2] != 6.0f) {
    fprintf(stderr, "a wrong result\n");
    return 1;
  }
  printf("outpost %s: %lld values, the last %g\n", outpost_version(), (long long)tensor.count,
         (double)((const float*)tensor.data)[2]);
  outpost_value_free(y);
  outpost_value_free(x);
  outpost_session_free(session);
  outpost_model_free(model);
  return 0;
}
