/* Tests of the double of NVIDIA's libraries (tests/cuda_double) itself: it computes correctly, and it catches the
 * mistakes it is meant to catch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda/api.h"

static gh_error err;
static const gh_cuda_driver *cu;
static const gh_nvrtc *rtc;
static const gh_cublaslt *lt;
static CUcontext context;
static CUstream stream;

#define OK(call) assert_int_equal(call, 0)

static int open_double(void **state) {
  (void)state;
  cu = gh_cuda_driver_get(&err);
  rtc = cu ? gh_nvrtc_get(&err, 90) : NULL;
  lt = rtc ? gh_cublaslt_get(&err, 90) : NULL;
  if (!lt) fail_msg("%s", err.text);
  return 0;
}

/* Every test has its own context, so a failure stays in it. */
static int begin(void **state) {
  (void)state;
  OK(cu->cuDevicePrimaryCtxRetain(&context, 0));
  OK(cu->cuCtxSetCurrent(context));
  OK(cu->cuStreamCreate(&stream, GH_CU_STREAM_NON_BLOCKING));
  return 0;
}
static int end(void **state) {
  (void)state;
  cu->cuStreamDestroy_v2(stream);
  OK(cu->cuDevicePrimaryCtxRelease_v2(0));
  return 0;
}

/* ---- helpers ---- */

/* Returns the compiler's log (the caller frees); *code: its result. */
static char *compile(const char *source, const char *arch, unsigned *code, char **image) {
  nvrtcProgram program;
  const char *const options[] = {arch, "--fmad=false", "-DTWICE=2"};
  size_t size;
  *image = NULL;
  OK(rtc->nvrtcCreateProgram(&program, source, "a test", 0, NULL, NULL));
  *code = rtc->nvrtcCompileProgram(program, 3, options);
  OK(rtc->nvrtcGetProgramLogSize(program, &size));
  char *log = calloc(size + 1, 1);
  OK(rtc->nvrtcGetProgramLog(program, log));
  bool ptx = strstr(arch, "compute");
  if (!*code) {
    OK(ptx ? rtc->nvrtcGetPTXSize(program, &size) : rtc->nvrtcGetCUBINSize(program, &size));
    *image = malloc(size);
    OK(ptx ? rtc->nvrtcGetPTX(program, *image) : rtc->nvrtcGetCUBIN(program, *image));
  }
  OK(rtc->nvrtcDestroyProgram(&program));
  return log;
}

static CUfunction load(const char *source, const char *name, CUmodule *module) {
  char *image;
  unsigned code;
  char *log = compile(source, "--gpu-architecture=sm_90", &code, &image);
  if (code) fail_msg("%s", log);
  free(log);
  CUfunction function;
  OK(cu->cuModuleLoadDataEx(module, image, 0, NULL, NULL));
  free(image);
  OK(cu->cuModuleGetFunction(&function, *module, name));
  return function;
}

static CUdeviceptr device_floats(const float *from, size_t count) {
  CUdeviceptr memory;
  OK(cu->cuMemAlloc_v2(&memory, 4 * count));
  if (from) OK(cu->cuMemcpyHtoDAsync_v2(memory, from, 4 * count, stream));
  return memory;
}

/* ---- kernels ---- */

static const char reverse[] =
    "extern \"C\" __global__ void __launch_bounds__(256) reverse(float *to, const float *from,\n"
    "                                                            long long n, char unused) {\n"
    "  __shared__ float all[256];\n"
    "  for (int turn = 0; turn < 3; turn++) {\n" /* odd: reversed at the end */
    "    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    all[threadIdx.x] = turn ? to[i] : from[i];\n"
    "    __syncthreads();\n"
    "    if (i < n) to[i] = all[blockDim.x - 1 - threadIdx.x];\n"
    "    __syncthreads();\n"
    "  }\n"
    "}\n"
    "extern \"C\" __global__ void add(float *to, float x) { to[threadIdx.x] += x * TWICE; }\n";

static void test_kernels_run(void **state) {
  (void)state;
  CUmodule module;
  CUfunction function = load(reverse, "reverse", &module), none;
  float from[300], to[300];
  for (int i = 0; i < 300; i++) from[i] = (float)i;
  CUdeviceptr a = device_floats(from, 300), b = device_floats(NULL, 300);
  long long n = 300;
  char unused = 0;
  void *params[] = {&b, &a, &n, &unused};
  OK(cu->cuLaunchKernel(function, 3, 1, 1, 100, 1, 1, 0, stream, params, NULL));
  OK(cu->cuMemcpyDtoHAsync_v2(to, b, sizeof to, stream));
  OK(cu->cuStreamSynchronize(stream));
  for (int i = 0; i < 300; i++) assert_true(to[i] == (float)(i / 100 * 100 + 99 - i % 100));

  size_t offset, bytes;
  static const size_t sizes[] = {8, 8, 8, 1};
  for (size_t i = 0; i < 4; i++) {
    OK(cu->cuFuncGetParamInfo(function, i, &offset, &bytes));
    assert_int_equal(bytes, sizes[i]);
  }
  assert_int_equal(cu->cuFuncGetParamInfo(function, 4, &offset, &bytes), 1);
  assert_int_equal(cu->cuModuleGetFunction(&none, module, "nothing"), 500);
  assert_int_equal(cu->cuLaunchKernel(function, 1, 65536, 1, 100, 1, 1, 0, stream, params, NULL), 1);
  assert_int_equal(cu->cuLaunchKernel(function, 1, 1, 1, 1025, 1, 1, 0, stream, params, NULL), 1);
  OK(cu->cuModuleUnload(module));
  OK(cu->cuMemFree_v2(a));
  OK(cu->cuMemFree_v2(b));
}

static void expect_failed_launch(const char *source, CUdeviceptr argument, unsigned want) {
  CUmodule module;
  CUfunction function = load(source, "f", &module);
  void *params[] = {&argument};
  OK(cu->cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL));
  assert_int_equal(cu->cuStreamSynchronize(stream), want);
  assert_int_equal(cu->cuStreamSynchronize(stream), want); /* the error persists */
  CUdeviceptr memory;
  assert_int_equal(cu->cuMemAlloc_v2(&memory, 4), want);
}

static void test_barrier_not_reached_by_all(void **state) {
  (void)state;
  expect_failed_launch("extern \"C\" __global__ void f(float *p) { if (threadIdx.x < 31) __syncthreads(); }\n", 0, 719);
}

static void test_foreign_memory(void **state) {
  (void)state;
  static float host[4];
  expect_failed_launch("extern \"C\" __global__ void f(float *p) { p[0] = 1; }\n", (CUdeviceptr)(size_t)host, 700);
}

static void test_compile_errors(void **state) {
  (void)state;
  static const struct {
    const char *source, *arch, *text;
    unsigned code;
  } bad[] = {
      {"\n#line 7 \"some.cl\"\n__device__ int f() { return nothing; }\n", "--gpu-architecture=sm_90", "some.cl:7", 6},
      {"__device__ void f() { asm volatile(\"bar.sync 0;\"); }\n", "--gpu-architecture=sm_90", "inline PTX", 6},
      {"\n", "--gpu-architecture=sm_70", "sm_70", 5},
      {"\n", "--use_fast_math", "--use_fast_math", 5},
  };
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    char *image;
    unsigned code;
    char *log = compile(bad[i].source, bad[i].arch, &code, &image);
    assert_int_equal(code, bad[i].code);
    if (!strstr(log, bad[i].text)) fail_msg("no \"%s\" in %s", bad[i].text, log);
    free(log);
  }
}

/* Machine code fits one generation, PTX also newer ones; images from another producer are rejected. */
static void test_images(void **state) {
  (void)state;
  static const struct {
    const char *arch, *capability;
    unsigned code;
  } cases[] = {{"--gpu-architecture=sm_80", "8.6", 0},
               {"--gpu-architecture=sm_86", "8.0", 209},
               {"--gpu-architecture=sm_80", "9.0", 209},
               {"--gpu-architecture=compute_80", "9.0", 0},
               {"--gpu-architecture=compute_90", "8.0", 218}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *image;
    unsigned code;
    CUmodule module;
    CUfunction function;
    free(compile(reverse, cases[i].arch, &code, &image));
    OK(code);
    setenv("GH_DOUBLE_CAPABILITY", cases[i].capability, 1);
    code = cu->cuModuleLoadDataEx(&module, image, 0, NULL, NULL);
    assert_int_equal(code, cases[i].code);
    free(image);
    if (code) continue;
    OK(cu->cuModuleGetFunction(&function, module, "add"));
    OK(cu->cuModuleUnload(module));
  }
  unsetenv("GH_DOUBLE_CAPABILITY");
  CUmodule module;
  assert_int_equal(cu->cuModuleLoadDataEx(&module, "nothing that runs", 0, NULL, NULL), 200);
}

/* ---- streams ---- */

/* Work runs as late as possible, to catch a host that changes pinned memory too early. */
static void test_copies_are_late(void **state) {
  (void)state;
  float *pinned, to[2];
  CUevent event;
  OK(cu->cuMemHostAlloc((void **)&pinned, 8, 0));
  OK(cu->cuEventCreate(&event, GH_CU_EVENT_NO_TIMING));
  CUdeviceptr memory = device_floats(NULL, 2);
  pinned[0] = pinned[1] = 1;
  OK(cu->cuMemcpyHtoDAsync_v2(memory, pinned, 4, stream));
  pinned[0] = 2;
  OK(cu->cuEventRecord(event, stream));
  assert_int_equal(cu->cuEventQuery(event), GH_CU_NOT_READY);
  OK(cu->cuEventQuery(event));
  pinned[0] = 3;
  float pageable = 5;
  OK(cu->cuMemcpyHtoDAsync_v2(memory + 4, &pageable, 4, stream));
  pageable = 6;
  OK(cu->cuMemcpyDtoHAsync_v2(to, memory, 8, stream));
  assert_true(to[0] == 2 && to[1] == 5);

  CUstream other;
  OK(cu->cuStreamCreate(&other, GH_CU_STREAM_NON_BLOCKING));
  OK(cu->cuMemsetD32Async(memory, 0, 2, other));
  OK(cu->cuEventRecord(event, other));
  OK(cu->cuStreamWaitEvent(stream, event, 0));
  OK(cu->cuMemcpyDtoHAsync_v2(to, memory, 8, stream));
  assert_true(to[0] == 0 && to[1] == 0);
  OK(cu->cuStreamDestroy_v2(other));
  OK(cu->cuEventDestroy_v2(event));
  OK(cu->cuMemFree_v2(memory));
  OK(cu->cuMemFreeHost(pinned));
}

static void test_graphs_replay(void **state) {
  (void)state;
  CUmodule module;
  CUfunction add = load(reverse, "add", &module);
  CUgraph graph;
  CUgraphExec exec;
  CUdeviceptr memory = device_floats((const float[]){1, 2}, 2), fresh;
  float by = 10, to[2];
  void *params[] = {&memory, &by};
  OK(cu->cuStreamBeginCapture_v2(stream, GH_CU_CAPTURE_THREAD_LOCAL));
  OK(cu->cuLaunchKernel(add, 1, 1, 1, 2, 1, 1, 0, stream, params, NULL));
  OK(cu->cuStreamEndCapture(stream, &graph));
  OK(cu->cuGraphInstantiateWithFlags(&exec, graph, 0));
  OK(cu->cuGraphDestroy(graph));
  by = 1000; /* the graph captured the 10 */
  for (int i = 0; i < 2; i++) OK(cu->cuGraphLaunch(exec, stream));
  OK(cu->cuMemcpyDtoHAsync_v2(to, memory, 8, stream));
  assert_true(to[0] == 41 && to[1] == 42);
  OK(cu->cuGraphExecDestroy(exec));

  OK(cu->cuStreamBeginCapture_v2(stream, GH_CU_CAPTURE_THREAD_LOCAL));
  assert_int_equal(cu->cuStreamSynchronize(stream), 900);
  assert_int_equal(cu->cuStreamEndCapture(stream, &graph), 901);
  OK(cu->cuStreamBeginCapture_v2(stream, GH_CU_CAPTURE_THREAD_LOCAL));
  assert_int_equal(cu->cuMemAlloc_v2(&fresh, 4), 900); /* and the capture is lost */
  assert_int_equal(cu->cuStreamEndCapture(stream, &graph), 901);
  OK(cu->cuModuleUnload(module));
  OK(cu->cuMemFree_v2(memory));
}

/* ---- products ---- */

enum { M = 8, N = 2, K = 4, BATCH = 2, WORKSPACE = 1 << 20 };
enum { OF_A, OF_B, OF_C, OF_BIAS, OF_AUX, OF_WORKSPACE, PLACES };

/* Mistakes that the real library punishes, one at a time. */
typedef enum mistake {
  NONE,
  FREE_REDUCTIONS,
  PROMISED_ALIGNMENT,
  AUX_LD,
  AUX_STRIDE,
  AUX_PLACE,
  BIAS_PLACE,
  SMALL_WORKSPACE,
  OTHER_PRODUCT,
  OWN_OPERAND,
  NO_CONTEXT,
  FIRST_RUN_CAPTURED,
  MISTAKES
} mistake;

typedef struct product {
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t layouts[3];
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t result;
  CUdeviceptr memory[PLACES], at[PLACES];
} product;

static void create_product(product *p, mistake m) {
  const unsigned transposed = GH_LT_OP_T, epilogue = GH_LT_EPILOGUE_GELU_AUX_BIAS;
  const int64_t strides[3] = {M * K, N * K, M * N}, aux_ld = m == AUX_LD ? M + 4 : M,
                aux_stride = m == AUX_STRIDE ? M * N + 4 : M * N;
  const uint64_t rows[3] = {K, K, M}, columns[3] = {M, N, N}, workspace = WORKSPACE; /* A is stored transposed */
  const uint32_t fixed = GH_LT_REDUCTION_COMPUTE_TYPE, alignment = 16;
  const int32_t batch = BATCH;
  OK(lt->cublasLtCreate(&p->handle));
  OK(lt->cublasLtMatmulDescCreate(&p->desc, GH_LT_COMPUTE_32F, GH_LT_R_32F));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_TRANSA, &transposed, 4));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_EPILOGUE, &epilogue, 4));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_BIAS_POINTER, &p->at[OF_BIAS], 8));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_AUX_POINTER, &p->at[OF_AUX], 8));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_AUX_LD, &aux_ld, 8));
  OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_AUX_STRIDE, &aux_stride, 8));
  for (int i = 0; i < 3; i++) {
    OK(lt->cublasLtMatrixLayoutCreate(&p->layouts[i], GH_LT_R_32F, rows[i], columns[i], (int64_t)rows[i]));
    OK(lt->cublasLtMatrixLayoutSetAttribute(p->layouts[i], GH_LT_LAYOUT_BATCH, &batch, 4));
    OK(lt->cublasLtMatrixLayoutSetAttribute(p->layouts[i], GH_LT_LAYOUT_STRIDE, &strides[i], 8));
  }
  OK(lt->cublasLtMatmulPreferenceCreate(&p->preference));
  OK(lt->cublasLtMatmulPreferenceSetAttribute(p->preference, GH_LT_PREF_WORKSPACE, &workspace, 8));
  if (m != FREE_REDUCTIONS)
    OK(lt->cublasLtMatmulPreferenceSetAttribute(p->preference, GH_LT_PREF_REDUCTIONS, &fixed, 4));
  for (unsigned i = m == PROMISED_ALIGNMENT; i < 4; i++) /* A's alignment stays 256 bytes */
    OK(lt->cublasLtMatmulPreferenceSetAttribute(p->preference, GH_LT_PREF_ALIGNMENT_A + i, &alignment, 4));
}

static unsigned find_algorithm(product *p) {
  int found = 0;
  unsigned code = lt->cublasLtMatmulAlgoGetHeuristic(p->handle, p->desc, p->layouts[0], p->layouts[1], p->layouts[2],
                                                     p->layouts[2], p->preference, 1, &p->result, &found);
  assert_int_equal(found, !code);
  return code;
}

static unsigned multiply(product *p, mistake m) {
  const float alpha = 0.5f, beta = 2;
  const size_t bytes = m == SMALL_WORKSPACE ? p->result.workspaceSize - 1 : p->result.workspaceSize;
  void *c = (void *)(size_t)p->at[m == OWN_OPERAND ? OF_A : OF_C];
  return lt->cublasLtMatmul(p->handle, p->desc, &alpha, (void *)(size_t)p->at[OF_A], p->layouts[0],
                            (void *)(size_t)p->at[OF_B], p->layouts[1], &beta, c, p->layouts[2], c, p->layouts[2],
                            &p->result.algo, (void *)(size_t)p->at[OF_WORKSPACE], bytes, stream);
}

/* The first result other than success. */
static unsigned run_product(product *p, mistake m) {
  CUgraph graph;
  const unsigned none = GH_LT_EPILOGUE_DEFAULT;
  unsigned code = find_algorithm(p);
  if (code) return code;
  assert_true(p->result.workspaceSize > 0 && p->result.workspaceSize <= WORKSPACE);
  if (m == OTHER_PRODUCT) OK(lt->cublasLtMatmulDescSetAttribute(p->desc, GH_LT_DESC_EPILOGUE, &none, 4));
  if (m == NO_CONTEXT) OK(cu->cuCtxSetCurrent(NULL));
  if (m == FIRST_RUN_CAPTURED) OK(cu->cuStreamBeginCapture_v2(stream, GH_CU_CAPTURE_THREAD_LOCAL));
  code = multiply(p, m);
  if (m == FIRST_RUN_CAPTURED) {
    OK(cu->cuStreamEndCapture(stream, &graph));
    OK(cu->cuGraphDestroy(graph));
  }
  OK(cu->cuCtxSetCurrent(context));
  return code;
}

static void destroy_product(product *p) {
  for (int i = 0; i < 3; i++) OK(lt->cublasLtMatrixLayoutDestroy(p->layouts[i]));
  OK(lt->cublasLtMatmulPreferenceDestroy(p->preference));
  OK(lt->cublasLtMatmulDescDestroy(p->desc));
  OK(lt->cublasLtDestroy(p->handle));
  for (int i = 0; i < PLACES; i++) OK(cu->cuMemFree_v2(p->memory[i]));
}

static void test_products(void **state) {
  (void)state;
  static const unsigned codes[MISTAKES] = {
      [FREE_REDUCTIONS] = 7,    [PROMISED_ALIGNMENT] = 7, [AUX_LD] = 7,        [AUX_STRIDE] = 7,  [AUX_PLACE] = 7,
      [BIAS_PLACE] = 15,        [SMALL_WORKSPACE] = 7,    [OTHER_PRODUCT] = 7, [OWN_OPERAND] = 7, [NO_CONTEXT] = 1,
      [FIRST_RUN_CAPTURED] = 13};
  float a[BATCH * M * K], b[BATCH * N * K], bias[M] = {1, -2, 3, 0.5f}, c[BATCH * M * N], got[BATCH * M * N],
                                            aux[BATCH * M * N];
  for (int i = 0; i < BATCH * M * K; i++) a[i] = (float)((i * 7) % 5 - 2);
  for (int i = 0; i < BATCH * N * K; i++) b[i] = (float)((i * 5) % 7 - 3) / 4;
  for (int i = 0; i < BATCH * M * N; i++) c[i] = (float)i;
  for (mistake m = MISTAKES; m-- > NONE;) { /* the correct one last: its shape has run by then */
    product p = {0};
    const float *const from[PLACES] = {a, b, c, bias};
    static const size_t counts[PLACES] = {BATCH * M * K, BATCH * N * K, BATCH * M * N, M, BATCH * M * N, WORKSPACE / 4};
    static const mistake displaced[PLACES] = {PROMISED_ALIGNMENT, MISTAKES, MISTAKES, BIAS_PLACE, AUX_PLACE, MISTAKES};
    for (int i = 0; i < PLACES; i++) {
      p.memory[i] = p.at[i] = device_floats(NULL, counts[i] + 4);
      if (displaced[i] == m) p.at[i] += i == OF_A ? 16 : 4;
      if (from[i]) OK(cu->cuMemcpyHtoDAsync_v2(p.at[i], from[i], 4 * counts[i], stream));
    }
    create_product(&p, m);
    assert_int_equal(run_product(&p, m), codes[m]);
    if (m == NONE) {
      OK(cu->cuMemcpyDtoHAsync_v2(got, p.at[OF_C], sizeof got, stream));
      OK(cu->cuMemcpyDtoHAsync_v2(aux, p.at[OF_AUX], sizeof aux, stream));
    }
    destroy_product(&p);
  }
  for (int p = 0; p < BATCH; p++)
    for (int j = 0; j < N; j++)
      for (int i = 0; i < M; i++) {
        double x = 2 * (double)c[p * M * N + j * M + i] + (double)bias[i];
        for (int k = 0; k < K; k++) x += 0.5 * (double)a[p * M * K + i * K + k] * (double)b[p * N * K + j * K + k];
        assert_true(fabs((double)aux[p * M * N + j * M + i] - x) <= 1e-6 * (1 + fabs(x)));
        x *= 0.5 * (1 + tanh(0.79788456080286541 * (x + 0.044715 * x * x * x)));
        assert_true(fabs((double)got[p * M * N + j * M + i] - x) <= 1e-6 * (1 + fabs(x)));
      }
}

/* ---- faults ---- */

static void test_faults_on_demand(void **state) {
  (void)state;
  CUdeviceptr memory[3];
  char *image;
  unsigned code;
  setenv("GH_DOUBLE_FAIL", "nvrtcCompileProgram:0=6,cuMemHostAlloc:0", 1);
  free(compile(reverse, "--gpu-architecture=sm_90", &code, &image));
  assert_int_equal(code, 6);
  void *pinned;
  assert_int_equal(cu->cuMemHostAlloc(&pinned, 4, 0), GH_CU_OUT_OF_MEMORY);
  unsetenv("GH_DOUBLE_FAIL");

  setenv("GH_DOUBLE_MEMORY_MIB", "3", 1);
  OK(cu->cuMemAlloc_v2(&memory[0], 2 << 20));
  assert_int_equal(cu->cuMemAlloc_v2(&memory[1], 2 << 20), GH_CU_OUT_OF_MEMORY);
  OK(cu->cuMemFree_v2(memory[0]));
  unsetenv("GH_DOUBLE_MEMORY_MIB");

  CUmodule module;
  CUfunction add = load(reverse, "add", &module);
  memory[0] = device_floats(NULL, 1);
  float x = 1;
  void *params[] = {&memory[0], &x};
  setenv("GH_DOUBLE_FAIL_KERNEL", "add", 1);
  OK(cu->cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL));
  assert_int_equal(cu->cuStreamSynchronize(stream), 719);
  unsetenv("GH_DOUBLE_FAIL_KERNEL");
}

int main(void) {
  setenv("GH_CUDA_LIBRARIES", GH_CUDA_DOUBLE, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_kernels_run, begin, end),
      cmocka_unit_test_setup_teardown(test_barrier_not_reached_by_all, begin, end),
      cmocka_unit_test_setup_teardown(test_foreign_memory, begin, end),
      cmocka_unit_test_setup_teardown(test_compile_errors, begin, end),
      cmocka_unit_test_setup_teardown(test_images, begin, end),
      cmocka_unit_test_setup_teardown(test_copies_are_late, begin, end),
      cmocka_unit_test_setup_teardown(test_graphs_replay, begin, end),
      cmocka_unit_test_setup_teardown(test_products, begin, end),
      cmocka_unit_test_setup_teardown(test_faults_on_demand, begin, end),
  };
  return cmocka_run_group_tests(tests, open_double, NULL);
}
