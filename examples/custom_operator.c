/* custom_operator MODEL.onnx: an operator of one's own, y = factor * x, runs inside a model (models/scale.onnx). */
#include <outpost/c.h>
#include <stdio.h>

/* While the model is opened: the output has the type of the input. */
static outpost_status infer(outpost_infer* context, void* user) { return (void)user, outpost_infer_output_like(context, 0, 0); }

static outpost_status run(outpost_run* context, void* user) {
  outpost_tensor x = OUTPOST_INIT(outpost_tensor), y = OUTPOST_INIT(outpost_tensor);
  float factor = 1;
  outpost_status status;
  (void)user;
  if ((status = outpost_run_input(context, 0, &x)) || (status = outpost_run_output(context, 0, &y))) return status;
  if ((status = outpost_node_real(outpost_run_node(context), "factor", &factor)) && status != OUTPOST_NOT_FOUND) return status;
  for (int64_t i = 0; i < x.count; ++i) ((float*)y.data)[i] = factor * ((const float*)x.data)[i];
  return OUTPOST_OK;
}

static int failed(void) { return fprintf(stderr, "%s\n", outpost_error_message()), 1; }

int main(int argc, char** argv) {
  outpost_operator scale = OUTPOST_INIT(outpost_operator);
  outpost_model* model = NULL;
  outpost_session* session = NULL;
  outpost_value *x = NULL, *y = NULL;
  outpost_tensor result = OUTPOST_INIT(outpost_tensor);
  float values[3] = {1, 2, 3};
  const int64_t shape[1] = {3};
  if (argc != 2) return fprintf(stderr, "usage: custom_operator MODEL.onnx\n"), 2;

  scale.domain = "example", scale.name = "Scale", scale.infer = infer, scale.run = run;
  scale.min_inputs = scale.max_inputs = scale.min_outputs = scale.max_outputs = 1;
  if (outpost_register_operator(&scale) || outpost_model_load(argv[1], NULL, &model)) return failed();
  if (outpost_session_new(model, NULL, &session)) return failed();
  if (outpost_value_borrow(OUTPOST_F32, shape, 1, values, sizeof values, NULL, NULL, &x)) return failed();
  if (outpost_session_run(session, NULL, NULL, (const outpost_value* const*)&x, 1, NULL, &y, 1)) return failed();
  if (outpost_value_tensor(y, &result)) return failed();
  printf("%g %g %g\n", ((float*)result.data)[0], ((float*)result.data)[1], ((float*)result.data)[2]);
  return 0; /* the process ends here; hello.c shows what gives handles back */
}
