/* The vendor library's GEMM: cuBLASLt. It is column-major. A row-major C is the transpose of a column-major one: C' =
 * B' A'. So A and B are exchanged, and no data moves.
 *
 * Float32 is not computed in TF32. The algorithm is the library's first suggestion for the shape when the product is
 * bound. It is kept, so that every replay computes the same sums. Of the ways to split a sum over work-groups, only the
 * one that adds in float32 in a fixed order is allowed. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/core/libraries.h"
#include "backend/cuda/internal.h"
#include "base/log.h"

#define WORKSPACE_BYTES (INT64_C(32) << 20) /* NVIDIA's advice for Hopper; never moved: launches hold its address */
#define MAX_ALIGNMENT   256
#define AUX_COLUMNS     8  /* the strides of `before` must be multiples of this, in elements */
#define AUX_ALIGNMENT   16 /* of the address of `before`, in bytes */

static const struct {
  unsigned code;
  const char *name;
} statuses[] = {{1, "NOT_INITIALIZED"}, {3, "ALLOC_FAILED"},   {7, "INVALID_VALUE"},
                {8, "ARCH_MISMATCH"},   {11, "MAPPING_ERROR"}, {13, "EXECUTION_FAILED"},
                {14, "INTERNAL_ERROR"}, {15, "NOT_SUPPORTED"}, {16, "LICENSE_ERROR"}};

static gh_status lt_fail(gh_error *err, unsigned code, const char *what) {
  const char *name = "status";
  for (size_t i = 0; i < GH_COUNT(statuses); i++)
    if (statuses[i].code == code) name = statuses[i].name;
  const bool unserved = code == GH_LT_NOT_SUPPORTED || code == GH_LT_ARCH_MISMATCH;
  gh_status status = unserved ? GH_ERROR_UNSUPPORTED : GH_ERROR_DEVICE;
  return gh_fail(err, status, "cuBLASLt, %s: CUBLAS_STATUS_%s (%u)", what, name, code);
}

/* Without cuBLASLt the project's own kernels are used; a warning says so once per device. */
void gh_cuda_blas_open(gh_cuda_device *device) {
  gh_error why = {0};
  device->lt = gh_cublaslt_get(&why, device->arch);
  if (device->lt) {
    unsigned code = device->lt->cublasLtCreate(&device->lt_handle);
    if (code) {
      lt_fail(&why, code, "opening");
      device->lt = NULL;
    }
  }
  if (!device->lt) {
    gh_warn("%s: %s: matrix products use the project's own kernels, which are slower", device->id, why.text);
    return;
  }
  size_t version = device->lt->cublasLtGetVersion();
  snprintf(device->library, sizeof device->library, "cuBLASLt %zu.%zu.%zu", version / 10000, version / 100 % 100,
           version % 100);
}

void gh_cuda_blas_close(gh_cuda_device *device) {
  if (device->workspace) device->cu->cuMemFree_v2(device->workspace);
  if (device->lt) device->lt->cublasLtDestroy(device->lt_handle);
  device->workspace = 0;
  device->lt = NULL;
}

const char *gh_cuda_gemm_name(const gh_device *d) { return gh_cuda(d)->lt ? GH_CUBLASLT : NULL; }
const char *gh_cuda_library_name(const gh_device *d) { return gh_cuda(d)->lt ? gh_cuda(d)->library : NULL; }

/* ---- binding ---- */

static const struct {
  bool supported;
  unsigned type;
} types[GH_DTYPES] = {[GH_F32] = {true, GH_LT_R_32F}, [GH_BF16] = {true, GH_LT_R_16BF}, [GH_F16] = {true, GH_LT_R_16F}};

/* Bytes that divide every address of the matrices, at most MAX_ALIGNMENT. */
static uint32_t alignment(CUdeviceptr at, int64_t stride_bytes) {
  uint64_t bits = (uint64_t)at | (uint64_t)stride_bytes | MAX_ALIGNMENT;
  return (uint32_t)(bits & -bits);
}

/* A stored row-major matrix as the library sees it. */
static unsigned make_layout(const gh_cublaslt *lt, cublasLtMatrixLayout_t *layout, gh_dtype dtype, int64_t rows,
                            int64_t columns, int64_t ld, int64_t batch, int64_t stride) {
  const int32_t count = (int32_t)batch;
  unsigned code = lt->cublasLtMatrixLayoutCreate(layout, types[dtype].type, (uint64_t)columns, (uint64_t)rows, ld);
  if (!code) code = lt->cublasLtMatrixLayoutSetAttribute(*layout, GH_LT_LAYOUT_BATCH, &count, sizeof count);
  if (!code) code = lt->cublasLtMatrixLayoutSetAttribute(*layout, GH_LT_LAYOUT_STRIDE, &stride, sizeof stride);
  return code;
}

static CUdeviceptr place(const gh_buffer *buffer, int64_t offset, gh_dtype dtype) {
  return gh_cuda_at(buffer) + (CUdeviceptr)(offset * (int64_t)gh_dtype_size(dtype));
}

#define SET(attribute, value)                                                                                          \
  if (!code) code = lt->cublasLtMatmulDescSetAttribute(desc, attribute, &(value), sizeof(value))

/* The bias is per column of C, which is a row for the library, as the library requires. The input of GELU is stored if
 * g->before is set. */
static unsigned set_epilogue(const gh_cublaslt *lt, const gh_gemm_desc *g, cublasLtMatmulDesc_t desc) {
  static const uint32_t names[] = {[GH_EPILOGUE_NONE] = GH_LT_EPILOGUE_DEFAULT,
                                   [GH_EPILOGUE_BIAS] = GH_LT_EPILOGUE_BIAS,
                                   [GH_EPILOGUE_BIAS_GELU] = GH_LT_EPILOGUE_GELU_BIAS};
  unsigned code = 0;
  const bool keeps = g->epilogue == GH_EPILOGUE_BIAS_GELU && g->before;
  const uint32_t name = keeps ? GH_LT_EPILOGUE_GELU_AUX_BIAS : names[g->epilogue];
  SET(GH_LT_DESC_EPILOGUE, name);
  if (g->epilogue == GH_EPILOGUE_NONE) return code;
  const CUdeviceptr bias = gh_cuda_at(g->bias);
  SET(GH_LT_DESC_BIAS_POINTER, bias);
  if (!keeps) return code;
  const CUdeviceptr before = place(g->before, g->offset_c, g->dtype_c);
  SET(GH_LT_DESC_AUX_POINTER, before);
  SET(GH_LT_DESC_AUX_LD, g->ldc);
  SET(GH_LT_DESC_AUX_STRIDE, g->stride_c);
  return code;
}

/* After a failure, the objects created so far are freed with the launch. */
static unsigned make_desc(const gh_cublaslt *lt, const gh_gemm_desc *g, cublasLtMatmulDesc_t *out) {
  const int32_t first = g->trans_b ? GH_LT_OP_T : GH_LT_OP_N, second = g->trans_a ? GH_LT_OP_T : GH_LT_OP_N;
  unsigned code = lt->cublasLtMatmulDescCreate(out, GH_LT_COMPUTE_32F, GH_LT_R_32F);
  if (code) return code;
  cublasLtMatmulDesc_t desc = *out;
  SET(GH_LT_DESC_TRANSA, first);
  SET(GH_LT_DESC_TRANSB, second);
  return code ? code : set_epilogue(lt, g, desc);
}

static unsigned make_layouts(const gh_cublaslt *lt, const gh_gemm_desc *g, gh_cuda_gemm_launch *gemm) {
  int64_t rows_a = g->trans_a ? g->k : g->m, columns_a = g->trans_a ? g->m : g->k;
  int64_t rows_b = g->trans_b ? g->n : g->k, columns_b = g->trans_b ? g->k : g->n;
  unsigned code = make_layout(lt, &gemm->a, g->dtype, rows_a, columns_a, g->lda, g->batch, g->stride_a);
  if (!code) code = make_layout(lt, &gemm->b, g->dtype, rows_b, columns_b, g->ldb, g->batch, g->stride_b);
  if (!code) code = make_layout(lt, &gemm->c, g->dtype_c, g->m, g->n, g->ldc, g->batch, g->stride_c);
  return code;
}

#undef SET
#define SET(attribute, value)                                                                                          \
  if (!code) code = lt->cublasLtMatmulPreferenceSetAttribute(preference, attribute, &(value), sizeof(value))

/* The library's first suggestion; `found` 0: it has none. */
static unsigned choose_algorithm(gh_cuda_device *device, const gh_gemm_desc *g, gh_cuda_gemm_launch *gemm, int *found) {
  const gh_cublaslt *lt = device->lt;
  const int64_t size = (int64_t)gh_dtype_size(g->dtype), size_c = (int64_t)gh_dtype_size(g->dtype_c);
  const uint64_t workspace = WORKSPACE_BYTES;
  const uint32_t reductions = GH_LT_REDUCTION_COMPUTE_TYPE;
  const uint32_t of_a = alignment(gemm->at_a, g->stride_a * size), of_b = alignment(gemm->at_b, g->stride_b * size),
                 of_c = alignment(gemm->at_c, g->stride_c * size_c);
  cublasLtMatmulPreference_t preference = NULL;
  cublasLtMatmulHeuristicResult_t result = {0};
  *found = 0;
  unsigned code = lt->cublasLtMatmulPreferenceCreate(&preference);
  SET(GH_LT_PREF_WORKSPACE, workspace);
  SET(GH_LT_PREF_REDUCTIONS, reductions);
  SET(GH_LT_PREF_ALIGNMENT_A, of_b);
  SET(GH_LT_PREF_ALIGNMENT_B, of_a);
  SET(GH_LT_PREF_ALIGNMENT_C, of_c);
  SET(GH_LT_PREF_ALIGNMENT_D, of_c);
  if (!code)
    code = lt->cublasLtMatmulAlgoGetHeuristic(device->lt_handle, gemm->desc, gemm->b, gemm->a, gemm->c, gemm->c,
                                              preference, 1, &result, found);
  if (preference) lt->cublasLtMatmulPreferenceDestroy(preference);
  if (!code && *found) code = result.state;
  gemm->algo = result.algo;
  gemm->workspace_bytes = result.workspaceSize;
  return code;
}

#undef SET

static gh_status enqueue_gemm(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  gh_cuda_gemm_launch *g = &launch->of.gemm;
  unsigned code = device->lt->cublasLtMatmul(device->lt_handle, g->desc, &g->alpha, (void *)(uintptr_t)g->at_b, g->b,
                                             (void *)(uintptr_t)g->at_a, g->a, &g->beta, (void *)(uintptr_t)g->at_c,
                                             g->c, (void *)(uintptr_t)g->at_c, g->c, &g->algo,
                                             (void *)(uintptr_t)device->workspace, g->workspace_bytes, device->stream);
  return code ? lt_fail(err, code, launch->name) : GH_OK;
}

static void release_gemm(gh_launch *launch) {
  const gh_cublaslt *lt = launch->device->lt;
  gh_cuda_gemm_launch *g = &launch->of.gemm;
  if (!lt) return;
  if (g->desc) lt->cublasLtMatmulDescDestroy(g->desc);
  cublasLtMatrixLayout_t layouts[] = {g->a, g->b, g->c};
  for (size_t i = 0; i < GH_COUNT(layouts); i++)
    if (layouts[i]) lt->cublasLtMatrixLayoutDestroy(layouts[i]);
}

/* Whether the library can store the input of GELU in g->before. */
static bool can_keep(const gh_gemm_desc *g) {
  return g->ldc % AUX_COLUMNS == 0 && (g->batch == 1 || g->stride_c % AUX_COLUMNS == 0) &&
         place(g->before, g->offset_c, g->dtype_c) % AUX_ALIGNMENT == 0;
}

static gh_status check(gh_error *err, const gh_device *d, const gh_gemm_desc *g) {
  if (!gh_cuda(d)->lt) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: there is no cuBLASLt", d->info.id);
  if (!types[g->dtype].supported || !types[g->dtype_c].supported)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "cuBLASLt GEMM of %s to %s is not supported", gh_dtype_name(g->dtype),
                   gh_dtype_name(g->dtype_c));
  if (g->batch > INT32_MAX)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "cuBLASLt GEMM: a batch of %lld", (long long)g->batch);
  if (g->epilogue == GH_EPILOGUE_BIAS_GELU && g->dtype_c != GH_BF16) /* the accuracy of its tanh is not documented */
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "cuBLASLt GEMM: its GELU is accurate to bfloat16 only, but C is %s",
                   gh_dtype_name(g->dtype_c));
  if (g->epilogue == GH_EPILOGUE_BIAS_GELU && g->before && !can_keep(g))
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "cuBLASLt GEMM: the input of GELU, in rows of %lld elements from element %lld on, needs strides "
                   "that are multiples "
                   "of %d and an address that is a multiple of %d bytes",
                   (long long)g->ldc, (long long)g->offset_c, AUX_COLUMNS, AUX_ALIGNMENT);
  return GH_OK;
}

gh_status gh_cuda_bind_gemm(gh_error *err, gh_device *d, const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b,
                            gh_buffer *c, gh_launch **out) {
  *out = NULL;
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = check(err, d, g);
  if (!status) status = gh_cuda_enter(err, device);
  if (!status && !device->workspace) {
    status = gh_cuda_allocate(err, device, WORKSPACE_BYTES, "cuBLASLt's workspace", &device->workspace);
    d->counters.allocations++;
  }
  if (status) return status;
  char name[64];
  snprintf(name, sizeof name, "gemm %lldx%lldx%lld", (long long)g->m, (long long)g->n, (long long)g->k);
  gh_launch *launch = gh_cuda_launch_new(err, d, name);
  if (!launch) return GH_ERROR_MEMORY;
  launch->enqueue = enqueue_gemm;
  launch->release = release_gemm;
  launch->of.gemm = (gh_cuda_gemm_launch){.at_a = place(a, g->offset_a, g->dtype),
                                          .at_b = place(b, g->offset_b, g->dtype),
                                          .at_c = place(c, g->offset_c, g->dtype_c),
                                          .alpha = (float)g->alpha,
                                          .beta = (float)g->beta};
  int found = 0;
  unsigned code = make_desc(device->lt, g, &launch->of.gemm.desc);
  if (!code) code = make_layouts(device->lt, g, &launch->of.gemm);
  if (!code) code = choose_algorithm(device, g, &launch->of.gemm, &found);
  if (code) status = lt_fail(err, code, name);
  if (code == GH_LT_INVALID_VALUE &&
      g->epilogue != GH_EPILOGUE_NONE) /* some versions report an unsupported epilogue this way; the caller then records
                                          it separately */
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "cuBLASLt, %s, with an epilogue: CUBLAS_STATUS_INVALID_VALUE (%u)",
                     name, code);
  if (!code && !found) status = gh_fail(err, GH_ERROR_UNSUPPORTED, "cuBLASLt, %s: it has no algorithm", name);
  if (status) {
    gh_cuda_launch_free(launch);
    return status;
  }
  d->counters.binds++;
  *out = launch;
  return GH_OK;
}
