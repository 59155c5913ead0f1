/* The CUDA backend's use of NVIDIA's libraries: products, transforms, captured steps. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/cuda_children.h"

#include "backend/chooser/gemm.h"
#include "graph/graph.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

/* ---- no cuBLASLt ---- */

static void say_provider(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  gh_buffer *x = NULL;
  gh_launch *launch = NULL;
  gh_gemm_desc g = {.m = 24, .n = 24, .k = 24, .lda = 24, .ldb = 24, .ldc = 24, .batch = 1, .alpha = 1};
  const char *key, *provider = "none";
  if (getenv("BFLOAT16")) g.dtype = g.dtype_c = GH_BF16;
  gh_status status = d ? d->backend->buffer_create(&err, d, 1 << 16, &x) : err.status;
  if (!status) status = gh_gemm_bind(&err, d, &g, x, x, x, &launch);
  if (!status) gh_choice_at(d, &gh_gemm_kind, 0, &key, &provider);
  snprintf(out, size, "%s", status ? err.text : provider);
  if (d) d->backend->launch_free(launch);
  if (d) d->backend->buffer_free(x);
  gh_device_close(d);
}

static void test_without_cublaslt(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_provider), "cublaslt");
  withhold(LT);
  assert_string_equal(IN_CHILD(say_provider), "own-gpu work=4");
  assert_string_equal(IN_CHILD(say_target), "sm_90, none");
  copy_as(LT, LT, "cublasLtMatmul", "cublasLtMatmux");
  assert_string_equal(IN_CHILD(say_provider), "own-gpu work=4");
}

/* A descriptor that it rejects, or fails to run, is named. */
static void test_cublaslt_failures(void **state) {
  (void)state;
  contains(IN_CHILD(say_provider, "GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:0=15"), "own-gpu work=4");
  contains(IN_CHILD(say_provider, "GH_DOUBLE_FAIL=cublasLtMatmul:0=13"), "own-gpu work=4");
  contains(IN_CHILD(say_provider, "GH_GEMM=cublaslt", "GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:0=15"),
           "cuBLASLt, gemm 24x24x24: CUBLAS_STATUS_NOT_SUPPORTED (15)");
  contains(IN_CHILD(say_provider, "GH_GEMM=cublaslt", "GH_DOUBLE_FAIL=cublasLtMatrixLayoutCreate:2=3"),
           "CUBLAS_STATUS_ALLOC_FAILED (3)");
}

/* bfloat16 tensor cores came with 8.0: older devices use our own kernels, without a warning. */
static void test_bfloat16_of_older_devices(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_provider, "BFLOAT16=1", "GH_DOUBLE_CAPABILITY=8.0"), "cublaslt");
  assert_string_equal(IN_CHILD(say_provider, "BFLOAT16=1", "GH_DOUBLE_CAPABILITY=7.5"), "own-gpu work=4");
  contains(IN_CHILD(say_provider, "BFLOAT16=1", "GH_DOUBLE_CAPABILITY=7.5", "GH_GEMM=cublaslt"), "ARCH_MISMATCH (8)");
}

/* A product with a GELU, whose input is kept at BEFORE with row stride STRIDE, if those are set. */
static void say_fused(char *out, size_t size) {
  const char *before = getenv("BEFORE"), *stride = getenv("STRIDE");
  gh_device *d = open_cuda(&err);
  gh_buffer *x[5] = {NULL};
  gh_launch *launch = NULL;
  gh_status status = d ? GH_OK : err.status;
  for (int i = 0; i < 5 && !status; i++) status = d->backend->buffer_create(&err, d, 1 << 16, &x[i]);
  gh_gemm_desc g = {.m = 24, .n = 24, .k = 24, .lda = 24, .ldb = 24, .ldc = 24, .batch = 2, .alpha = 1};
  g.stride_a = g.stride_b = 24 * 24;
  g.stride_c = 24 * 24 + (stride ? atol(stride) : 0);
  g.offset_c = before ? atol(before) : 0;
  g.epilogue = getenv("PLAIN") ? GH_EPILOGUE_NONE : GH_EPILOGUE_BIAS_GELU;
  g.dtype = g.dtype_c = getenv("FLOAT32") ? GH_F32 : GH_BF16;
  g.bias = x[3];
  g.before = x[4];
  if (!status) status = d->backend->bind_library_gemm(&err, d, &g, x[0], x[1], x[2], &launch);
  if (!status) status = d->backend->enqueue(&err, d, launch);
  if (!status) status = d->backend->finish(&err, d);
  snprintf(out, size, "%d %s", (int)status, status ? err.text : "runs");
  if (d) d->backend->launch_free(launch);
  for (int i = 0; i < 5 && d; i++) d->backend->buffer_free(x[i]);
  gh_device_close(d);
}

/* The caller handles everything the library does not fuse (GH_ERROR_UNSUPPORTED), without asking the library if that is
 * known in advance. */
static void test_unfused_products(void **state) {
  (void)state;
  static const struct {
    const char *setting, *other, *text;
    gh_status status;
  } cases[] = {
      {"A=B", "A=B", "runs", GH_OK},
      {"FLOAT32=1", "A=B", "C is f32", GH_ERROR_UNSUPPORTED},
      {"FLOAT32=1", "PLAIN=1", "runs", GH_OK},
      {"STRIDE=8", "BEFORE=8", "runs", GH_OK},
      {"STRIDE=4", "A=B", "the input of GELU", GH_ERROR_UNSUPPORTED},
      {"BEFORE=4", "A=B", "the input of GELU", GH_ERROR_UNSUPPORTED},
      {"STRIDE=3", "PLAIN=1", "runs", GH_OK},
      {"GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:1=7", "A=B", "INVALID_VALUE", GH_ERROR_UNSUPPORTED},
      {"GH_DOUBLE_FAIL=cublasLtMatmulAlgoGetHeuristic:1=7", "PLAIN=1", "INVALID_VALUE", GH_ERROR_DEVICE},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    const char *said = IN_CHILD(say_fused, cases[i].setting, cases[i].other);
    if (atoi(said) != (int)cases[i].status || !strstr(said, cases[i].text))
      fail_msg("%s, %s: %s", cases[i].setting, cases[i].other, said);
  }
}

/* ---- captured steps ---- */

/* x += 1 per run, in two launches; reports the result after five runs and how many launches were enqueued. */
static void say_replay(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  gh_store *store = NULL;
  gh_graph *g = NULL;
  gh_tensor *x = NULL;
  float one[3] = {1, 1, 1}, got[3] = {0};
  gh_status status = d ? gh_store_create(&err, d, &store) : err.status;
  if (!status) status = gh_store_add(&err, store, "x", GH_F32, 1, (int64_t[]){3}, &x);
  if (!status) status = gh_tensor_write(&err, d, x, one);
  if (!status) status = gh_graph_create(&err, d, &g);
  gh_tensor *twice = status ? NULL : gh_add(g, x, x), *thrice = twice ? gh_add(g, twice, x) : NULL;
  if (thrice) gh_graph_keep(g, thrice);
  if (!status) status = gh_graph_plan(&err, g);
  int64_t launches = 0;
  for (int i = 0; i < 5 && !status; i++) {
    one[1] = (float)i; /* the varying value is sent, and the captured step sees it */
    status = gh_tensor_send(&err, d, x, one);
    launches = d->counters.launches;
    if (!status) status = gh_graph_run(&err, g);
    launches = d->counters.launches - launches;
    if (!status) status = gh_tensor_read(&err, d, thrice, got);
    if (!status && !(got[1] == 3 * one[1] && got[0] == 3)) status = gh_fail(&err, GH_ERROR_NUMERIC, "run %d", i);
  }
  snprintf(out, size, "%s, %lld at last", status ? err.text : "right", (long long)launches);
  gh_graph_free(g);
  gh_store_free(store);
  gh_device_close(d);
}

static void test_captured_replay(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_replay), "right, 1 at last");
  assert_string_equal(IN_CHILD(say_replay, "GH_CAPTURE=0"), "right, 2 at last");
  /* A capture that fails at any step only costs speed. */
  static const char *const failures[] = {"GH_DOUBLE_FAIL=cuStreamBeginCapture_v2:1=900",
                                         "GH_DOUBLE_FAIL=cuLaunchKernel:4=901",
                                         "GH_DOUBLE_FAIL=cuGraphInstantiateWithFlags:1=2"};
  for (size_t i = 0; i < GH_COUNT(failures); i++) {
    const char *said = IN_CHILD(say_replay, failures[i]);
    if (strcmp(said, "right, 2 at last")) fail_msg("%s: %s", failures[i], said);
  }
  contains(IN_CHILD(say_replay, "GH_DOUBLE_FAIL=cuGraphLaunch:2=719"),
           "a captured step: CUDA_ERROR_LAUNCH_FAILED (719)");
}

/* Only commands are allowed in a capture. */
static void say_misuse(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  const gh_backend *backend = &gh_backends[0][0];
  gh_buffer *x = NULL, *none = NULL;
  gh_launch *captured = NULL;
  uint32_t word = 0;
  size_t used = 0;
  if (!d || backend->buffer_create(&err, d, 4096, &x) || backend->capture_begin(&err, d)) return;
  for (int i = 0; i < 6; i++) {
    err = (gh_error){0};
    const gh_status status = i == 0   ? backend->send(&err, d, x, 0, &word, 4)
                             : i == 1 ? backend->read(&err, d, x, 0, &word, 4)
                             : i == 2 ? backend->write(&err, d, x, 0, &word, 4)
                             : i == 3 ? backend->finish(&err, d)
                             : i == 4 ? backend->buffer_create(&err, d, 64, &none)
                                      : backend->capture_begin(&err, d);
    used += (size_t)snprintf(out + used, size - used, "%d %s\n", (int)status, err.text);
  }
  gh_status ended = backend->capture_end(&err, d, NULL);
  gh_status again = backend->capture_end(&err, d, &captured);
  snprintf(out + used, size - used, "%d %d %s", (int)ended, (int)again, err.text);
  backend->buffer_free(x);
  gh_device_close(d);
}

static void test_capture_misuse(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_misuse), "1 cuda:0: a send while commands are being captured\n"
                                            "1 cuda:0: a read while commands are being captured\n"
                                            "1 cuda:0: a write while commands are being captured\n"
                                            "1 cuda:0: a wait while commands are being captured\n"
                                            "1 cuda:0: memory is allocated while commands are being captured\n"
                                            "1 cuda:0: a capture begins while commands are being captured\n"
                                            "0 1 cuda:0: no capture has begun");
}

/* ---- transforms ---- */

static void say_transform(char *out, size_t size) {
  gh_device *d = open_cuda(&err);
  gh_buffer *x = NULL;
  gh_launch *launch = NULL;
  const gh_fft_desc desc = {.batch = 2, .rows = 4, .columns = 6};
  gh_status status = d ? d->backend->buffer_create(&err, d, 4096, &x) : err.status;
  if (!status) status = d->backend->bind_fft(&err, d, &desc, x, x, &launch);
  if (!status) status = d->backend->enqueue(&err, d, launch);
  if (!status) status = d->backend->finish(&err, d);
  snprintf(out, size, "%s", status ? err.text : "right");
  if (d) d->backend->launch_free(launch);
  if (d) d->backend->buffer_free(x);
  gh_device_close(d);
}

static void test_without_cufft(void **state) {
  (void)state;
  assert_string_equal(IN_CHILD(say_transform), "right");
  contains(IN_CHILD(say_transform, "GH_DOUBLE_FAIL=cufftMakePlanMany64:1=8"),
           "cuFFT, fft 2x4x6: CUFFT_INVALID_SIZE (8)");
  withhold("libcufft.so.12");
  contains(IN_CHILD(say_transform), "cuda:0: fft: cuFFT was not found: no libcufft.so.12");
}

int main(void) {
  use_doubles(GH_CUDA_DOUBLE);
  const struct CMUnitTest tests[] = {
      WHOLE_CASE(test_without_cublaslt), WHOLE_CASE(test_cublaslt_failures), WHOLE_CASE(test_bfloat16_of_older_devices),
      WHOLE_CASE(test_unfused_products), WHOLE_CASE(test_captured_replay),   WHOLE_CASE(test_capture_misuse),
      WHOLE_CASE(test_without_cufft),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
