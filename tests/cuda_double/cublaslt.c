/* cuBLASLt's double: products by plain loops with float64 sums, column-major as in the library. It rejects mistakes
 * that the real library punishes silently: an algorithm is only valid for the problem it was found for, with pointers
 * aligned as promised then and the workspace it requested; a kernel that never ran may load lazily, which a capture
 * does not allow; sums of unspecified order make two runs differ. */
#include "double.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "cl/bf16.h"

GH_CUDA_LT(DECLARE)

enum { NOT_INITIALIZED = 1, ALLOC_FAILED = 3, EXECUTION_FAILED = 13 };
enum { EPILOGUE_GELU = 32, EPILOGUE_AUX = 128 }; /* with GELU: keeps its input */

enum { AUX_STEP = 8, VECTOR_ALIGNMENT = 16, WORKSPACE_ALIGNMENT = 256, WORKSPACE = 65536 };

struct cublasLtContext {
  CUcontext context;
};

struct gh_lt_desc {
  unsigned trans_a, trans_b, epilogue, bias_type;
  bool has_bias_type;
  const void *bias;
  void *aux;
  int64_t aux_ld, aux_stride;
};

struct gh_lt_layout {
  unsigned type;
  uint64_t rows, columns;
  int64_t ld, stride;
  int32_t batch;
};

struct gh_lt_preference {
  uint64_t workspace;
  uint32_t reductions, alignments[4]; /* alignments of A, B, C and D */
};

size_t cublasLtGetVersion(void) { return (size_t)double_setting("GH_DOUBLE_CUBLASLT", 130000); }

unsigned cublasLtCreate(cublasLtHandle_t *handle) {
  unsigned code = double_fault(__func__, ALLOC_FAILED);
  if (code) return code;
  if (!gh_double_context()) return double_refuse(NOT_INITIALIZED, "cuBLASLt: the thread has no context");
  *handle = calloc(1, sizeof **handle);
  if (!*handle) return ALLOC_FAILED;
  (*handle)->context = gh_double_context();
  return GH_LT_SUCCESS;
}
static unsigned check_handle(cublasLtHandle_t handle) {
  if (handle && handle->context == gh_double_context()) return GH_LT_SUCCESS;
  return double_refuse(NOT_INITIALIZED, "cuBLASLt: a handle of a context other than the thread's");
}
unsigned cublasLtDestroy(cublasLtHandle_t handle) {
  free(handle);
  return GH_LT_SUCCESS;
}

/* ---- attributes: the offset of each in its object ---- */

typedef struct attribute {
  unsigned id;
  size_t offset, bytes;
} attribute;

#define AT(id, type, member)                                                                                           \
  { id, offsetof(type, member), sizeof(((type *)0)->member) }
static const attribute desc_attributes[] = {
    AT(GH_LT_DESC_TRANSA, struct gh_lt_desc, trans_a),        AT(GH_LT_DESC_TRANSB, struct gh_lt_desc, trans_b),
    AT(GH_LT_DESC_EPILOGUE, struct gh_lt_desc, epilogue),     AT(GH_LT_DESC_BIAS_POINTER, struct gh_lt_desc, bias),
    AT(GH_LT_DESC_AUX_POINTER, struct gh_lt_desc, aux),       AT(GH_LT_DESC_AUX_LD, struct gh_lt_desc, aux_ld),
    AT(GH_LT_DESC_AUX_STRIDE, struct gh_lt_desc, aux_stride), AT(GH_LT_DESC_BIAS_TYPE, struct gh_lt_desc, bias_type)};
static const attribute layout_attributes[] = {AT(GH_LT_LAYOUT_BATCH, struct gh_lt_layout, batch),
                                              AT(GH_LT_LAYOUT_STRIDE, struct gh_lt_layout, stride)};
static const attribute preference_attributes[] = {AT(GH_LT_PREF_WORKSPACE, struct gh_lt_preference, workspace),
                                                  AT(GH_LT_PREF_REDUCTIONS, struct gh_lt_preference, reductions),
                                                  AT(GH_LT_PREF_ALIGNMENT_A, struct gh_lt_preference, alignments[0]),
                                                  AT(GH_LT_PREF_ALIGNMENT_B, struct gh_lt_preference, alignments[1]),
                                                  AT(GH_LT_PREF_ALIGNMENT_C, struct gh_lt_preference, alignments[2]),
                                                  AT(GH_LT_PREF_ALIGNMENT_D, struct gh_lt_preference, alignments[3])};

static unsigned set(const attribute *list, size_t count, void *object, unsigned id, const void *value, size_t bytes) {
  for (size_t i = 0; i < count; i++)
    if (list[i].id == id && list[i].bytes == bytes) {
      memcpy((char *)object + list[i].offset, value, bytes);
      return GH_LT_SUCCESS;
    }
  return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: no attribute %u of %zu bytes", id, bytes);
}

unsigned cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, unsigned compute_type, unsigned scale_type) {
  unsigned code = double_fault(__func__, ALLOC_FAILED);
  if (code) return code;
  if (compute_type != GH_LT_COMPUTE_32F || scale_type != GH_LT_R_32F)
    return double_refuse(GH_LT_NOT_SUPPORTED, "cuBLASLt: compute type %u, scale type %u", compute_type, scale_type);
  *desc = calloc(1, sizeof **desc);
  if (!*desc) return ALLOC_FAILED;
  (*desc)->epilogue = GH_LT_EPILOGUE_DEFAULT;
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  free(desc);
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, unsigned id, const void *value, size_t bytes) {
  if (id == GH_LT_DESC_BIAS_TYPE) desc->has_bias_type = true;
  return set(desc_attributes, GH_COUNT(desc_attributes), desc, id, value, bytes);
}

unsigned cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, unsigned type, uint64_t rows, uint64_t columns,
                                    int64_t ld) {
  unsigned code = double_fault(__func__, ALLOC_FAILED);
  if (code) return code;
  if (type != GH_LT_R_32F && type != GH_LT_R_16BF && type != GH_LT_R_16F) return GH_LT_NOT_SUPPORTED;
  if (ld < (int64_t)rows) return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: a leading dimension below the rows");
  *layout = malloc(sizeof **layout);
  if (!*layout) return ALLOC_FAILED;
  **layout = (struct gh_lt_layout){.type = type, .rows = rows, .columns = columns, .ld = ld, .batch = 1};
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  free(layout);
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, unsigned id, const void *value, size_t bytes) {
  return set(layout_attributes, GH_COUNT(layout_attributes), layout, id, value, bytes);
}

/* The library's documented defaults: no workspace, every reduction, 256 bytes. */
unsigned cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  *preference = malloc(sizeof **preference);
  if (!*preference) return ALLOC_FAILED;
  **preference = (struct gh_lt_preference){.reductions = 7, .alignments = {256, 256, 256, 256}};
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  free(preference);
  return GH_LT_SUCCESS;
}
unsigned cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, unsigned id, const void *value,
                                              size_t bytes) {
  return set(preference_attributes, GH_COUNT(preference_attributes), preference, id, value, bytes);
}

/* ---- products ---- */

typedef struct product {
  struct gh_lt_desc desc;
  struct gh_lt_layout a, b, c, d;
  const void *from_a, *from_b, *from_c;
  void *to, *workspace;
  size_t workspace_bytes;
  float alpha, beta;
} product;

static size_t size_of(unsigned type) { return type == GH_LT_R_32F ? 4 : 2; }

static double load(const void *from, unsigned type, int64_t i) {
  float value;
  if (type == GH_LT_R_32F) return (double)((const float *)from)[i];
  if (type == GH_LT_R_16F) return (double)gh_f16_to_f32(((const uint16_t *)from)[i]);
  memcpy(&value, &(uint32_t){(uint32_t)((const uint16_t *)from)[i] << 16}, 4);
  return (double)value;
}
static void store(void *to, unsigned type, int64_t i, double number) {
  const float value = (float)number;
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (type == GH_LT_R_32F)
    ((float *)to)[i] = value;
  else if (type == GH_LT_R_16F)
    ((uint16_t *)to)[i] = gh_f32_to_f16(value);
  else if (isnan(value))
    ((uint16_t *)to)[i] = 0x7fc0;
  else
    ((uint16_t *)to)[i] = (uint16_t)BF16_NEAREST(bits);
}

/* Element (i, j) of op(matrix), for one matrix of the batch. */
static double element(const void *from, const struct gh_lt_layout *l, unsigned trans, int64_t batch, int64_t i,
                      int64_t j) {
  return load(from, l->type, batch * l->stride + (trans == GH_LT_OP_T ? j + i * l->ld : i + j * l->ld));
}

static double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

static void finish(const product *p, int64_t batch, int64_t i, int64_t j, double sum) {
  const struct gh_lt_desc *d = &p->desc;
  double x = (double)p->alpha * sum;
  if (p->beta != 0) x += (double)p->beta * element(p->from_c, &p->c, GH_LT_OP_N, batch, i, j);
  if (d->epilogue & GH_LT_EPILOGUE_BIAS) x += load(d->bias, d->has_bias_type ? d->bias_type : p->d.type, i);
  if (d->epilogue & EPILOGUE_AUX) store(d->aux, p->d.type, batch * d->aux_stride + i + j * d->aux_ld, x);
  if (d->epilogue & EPILOGUE_GELU) x = gelu(x);
  store(p->to, p->d.type, batch * p->d.stride + i + j * p->d.ld, x);
}

static size_t bytes_of(const struct gh_lt_layout *l) {
  const int64_t elements = (l->batch - 1) * l->stride + ((int64_t)l->columns - 1) * l->ld + (int64_t)l->rows;
  return (size_t)elements * size_of(l->type);
}

static bool is_matrix(const void *at, const struct gh_lt_layout *l) { return gh_double_is_device(at, bytes_of(l)); }

enum { AT_ONCE = 8 }; /* result columns at a time */
typedef double lanes __attribute__((vector_size(8 * AT_ONCE)));

static void add_products(lanes *restrict sums, const double *left, const lanes *right, int64_t m) {
  for (int64_t i = 0; i < m; i++) sums[i] += left[i] * *right;
}

static unsigned run_product(const void *data) {
  const product *p = data;
  const int64_t m = (int64_t)p->d.rows, n = (int64_t)p->d.columns;
  const int64_t k = (int64_t)(p->desc.trans_a == GH_LT_OP_T ? p->a.rows : p->a.columns);
  if (!is_matrix(p->from_a, &p->a) || !is_matrix(p->from_b, &p->b) || !is_matrix(p->to, &p->d) ||
      (p->beta != 0 && !is_matrix(p->from_c, &p->c)) ||
      ((p->desc.epilogue & GH_LT_EPILOGUE_BIAS) && !gh_double_is_device(p->desc.bias, (size_t)m * 2)) ||
      ((p->desc.epilogue & EPILOGUE_AUX) && !gh_double_is_device(p->desc.aux, (size_t)m * 2)) ||
      (p->workspace_bytes && !gh_double_is_device(p->workspace, p->workspace_bytes)))
    return double_refuse(CODE_ILLEGAL_ADDRESS, "cuBLASLt: a matrix is not device memory");
  if (p->workspace_bytes) memset(p->workspace, 0xff, p->workspace_bytes); /* exposes others that keep data there */
  double *left = malloc((size_t)(m * k) * sizeof *left);
  lanes *sums = aligned_alloc(sizeof *sums, (size_t)m * sizeof *sums);
  unsigned code = left && sums ? GH_CU_SUCCESS : GH_CU_OUT_OF_MEMORY;
  for (int64_t batch = 0; batch < p->d.batch && !code; batch++) {
    for (int64_t l = 0; l < k; l++)
      for (int64_t i = 0; i < m; i++) left[l * m + i] = element(p->from_a, &p->a, p->desc.trans_a, batch, i, l);
    for (int64_t j = 0; j < n; j += AT_ONCE) {
      const int64_t columns = GH_MIN(AT_ONCE, n - j);
      memset(sums, 0, (size_t)m * sizeof *sums);
      for (int64_t l = 0; l < k; l++) {
        lanes right = {0};
        for (int64_t c = 0; c < columns; c++) right[c] = element(p->from_b, &p->b, p->desc.trans_b, batch, l, j + c);
        add_products(sums, left + l * m, &right, m);
      }
      for (int64_t c = 0; c < columns; c++)
        for (int64_t i = 0; i < m; i++) finish(p, batch, i, j + c, sums[i][c]);
    }
  }
  free(left);
  free(sums);
  return code;
}

static bool is_known_epilogue(unsigned epilogue) {
  return epilogue == GH_LT_EPILOGUE_DEFAULT ||
         !(epilogue & ~(unsigned)(GH_LT_EPILOGUE_BIAS | EPILOGUE_GELU | EPILOGUE_AUX));
}

static unsigned check_epilogue(const struct gh_lt_desc *desc, const struct gh_lt_layout *d) {
  if (!is_known_epilogue(desc->epilogue)) return GH_LT_NOT_SUPPORTED;
  if ((desc->epilogue & GH_LT_EPILOGUE_BIAS) && (!desc->bias || (uintptr_t)desc->bias % VECTOR_ALIGNMENT))
    return double_refuse(GH_LT_NOT_SUPPORTED, "cuBLASLt: no bias, or one not at a multiple of 16 bytes");
  if (!(desc->epilogue & EPILOGUE_AUX)) return GH_LT_SUCCESS;
  if (!desc->aux || (uintptr_t)desc->aux % VECTOR_ALIGNMENT || desc->aux_ld % AUX_STEP ||
      desc->aux_ld < (int64_t)d->rows || (d->batch > 1 && desc->aux_stride % AUX_STEP))
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: cannot keep GELU's input: ld %lld, stride %lld at %p",
                         (long long)desc->aux_ld, (long long)desc->aux_stride, desc->aux);
  return GH_LT_SUCCESS;
}

static unsigned check(const struct gh_lt_desc *desc, const struct gh_lt_layout *a, const struct gh_lt_layout *b,
                      const struct gh_lt_layout *c, const struct gh_lt_layout *d) {
  bool ta = desc->trans_a == GH_LT_OP_T, tb = desc->trans_b == GH_LT_OP_T;
  if ((ta ? a->columns : a->rows) != d->rows || (tb ? b->rows : b->columns) != d->columns ||
      (ta ? a->rows : a->columns) != (tb ? b->columns : b->rows) || c->rows != d->rows || c->columns != d->columns)
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: the sizes do not match");
  if (a->batch != d->batch || b->batch != d->batch || c->batch != d->batch) return GH_LT_INVALID_VALUE;
  if (a->type != b->type || c->type != d->type) return GH_LT_NOT_SUPPORTED;
  if (a->type != d->type && d->type != GH_LT_R_32F) return GH_LT_NOT_SUPPORTED;
  if (a->type == GH_LT_R_16BF && gh_double_capability() < 80) return GH_LT_ARCH_MISMATCH;
  return check_epilogue(desc, d);
}

/* ---- algorithms ---- */

/* The problem that an algorithm was found for. */
typedef struct found_algorithm {
  uint64_t problem; /* a hash */
  uint32_t alignments[4];
  uint64_t workspace;
} found_algorithm;
_Static_assert(sizeof(found_algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm's room");

static uint64_t hash_of(uint64_t hash, uint64_t value) { return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) >> 7; }

static uint64_t hash_layout(uint64_t hash, const struct gh_lt_layout *l) {
  const uint64_t values[] = {l->type, l->rows, l->columns, (uint64_t)l->ld, (uint64_t)l->stride, (uint64_t)l->batch};
  for (size_t i = 0; i < GH_COUNT(values); i++) hash = hash_of(hash, values[i] + i);
  return hash;
}

static uint64_t problem_of(const struct gh_lt_desc *desc, const struct gh_lt_layout *a, const struct gh_lt_layout *b,
                           const struct gh_lt_layout *c, const struct gh_lt_layout *d) {
  uint64_t hash = hash_of(1, desc->trans_a + 2 * desc->trans_b + 4 * (uint64_t)desc->epilogue);
  hash = hash_layout(hash_layout(hash_layout(hash_layout(hash, a), b), c), d);
  return hash | 1;
}

/* Problems that ran outside a capture: their kernels are loaded. */
static bool has_run(uint64_t problem, bool now) {
  static uint64_t all[4096];
  static size_t count;
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  size_t i = 0;
  while (i < count && all[i] != problem) i++;
  const bool found = i < count;
  if (now && !found && count < GH_COUNT(all)) all[count++] = problem;
  pthread_mutex_unlock(&lock);
  return found;
}

unsigned cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                        cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                        cublasLtMatmulPreference_t preference, int wanted,
                                        cublasLtMatmulHeuristicResult_t *results, int *found) {
  *found = 0;
  unsigned code = double_fault(__func__, GH_LT_NOT_SUPPORTED);
  if (!code) code = check_handle(handle);
  if (!code) code = wanted > 0 ? check(desc, a, b, c, d) : GH_LT_INVALID_VALUE;
  if (code) return code;
  if (preference->reductions & ~(uint32_t)GH_LT_REDUCTION_COMPUTE_TYPE)
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: unordered or rounded sums are allowed");
  const struct gh_lt_layout *const layouts[] = {a, b, c, d};
  found_algorithm algorithm = {problem_of(desc, a, b, c, d), {0}, GH_MIN(preference->workspace, WORKSPACE)};
  for (int i = 0; i < 4; i++) {
    const uint32_t claimed = preference->alignments[i];
    if (claimed < size_of(layouts[i]->type) || claimed & (claimed - 1))
      return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: claims an alignment of %u bytes", claimed);
    algorithm.alignments[i] = claimed;
  }
  results[0] = (cublasLtMatmulHeuristicResult_t){.wavesCount = 1, .workspaceSize = algorithm.workspace};
  memcpy(&results[0].algo, &algorithm, sizeof algorithm);
  *found = 1;
  return GH_LT_SUCCESS;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  return (const char *)a < (const char *)b + b_bytes && (const char *)b < (const char *)a + a_bytes;
}

/* Checks that the algorithm was found for this problem. */
static unsigned check_algorithm(const product *p, const cublasLtMatmulAlgo_t *algo) {
  const void *const pointers[] = {p->from_a, p->from_b, p->from_c, p->to};
  const struct gh_lt_layout *const layouts[] = {&p->a, &p->b, &p->c, &p->d};
  found_algorithm algorithm;
  if (!algo) return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: no algorithm");
  memcpy(&algorithm, algo, sizeof algorithm);
  if (algorithm.problem != problem_of(&p->desc, &p->a, &p->b, &p->c, &p->d))
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: the algorithm was found for another product");
  for (int i = 0; i < 4; i++) {
    const uint64_t step = layouts[i]->batch > 1 ? (uint64_t)layouts[i]->stride * size_of(layouts[i]->type) : 0;
    if (((uintptr_t)pointers[i] | step) % algorithm.alignments[i])
      return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: matrix %c is not aligned to the %u bytes that were promised",
                           'A' + i, algorithm.alignments[i]);
  }
  if (p->workspace_bytes < algorithm.workspace || (uintptr_t)p->workspace % WORKSPACE_ALIGNMENT)
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: a workspace of %zu bytes at %p; %llu are needed",
                         p->workspace_bytes, p->workspace, (unsigned long long)algorithm.workspace);
  if (overlap(p->to, bytes_of(&p->d), p->from_a, bytes_of(&p->a)) ||
      overlap(p->to, bytes_of(&p->d), p->from_b, bytes_of(&p->b)))
    return double_refuse(GH_LT_INVALID_VALUE, "cuBLASLt: a product onto its own operand");
  return GH_LT_SUCCESS;
}

unsigned cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                        cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b,
                        const void *beta, const void *c, cublasLtMatrixLayout_t layout_c, void *d,
                        cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t *algo, void *workspace,
                        size_t workspace_bytes, CUstream stream) {
  unsigned code = double_fault(__func__, EXECUTION_FAILED);
  if (!code) code = check_handle(handle);
  if (!code) code = check(desc, layout_a, layout_b, layout_c, layout_d);
  if (code) return code;
  product p = {.desc = *desc,
               .a = *layout_a,
               .b = *layout_b,
               .c = *layout_c,
               .d = *layout_d,
               .from_a = a,
               .from_b = b,
               .from_c = c,
               .to = d,
               .workspace = workspace,
               .workspace_bytes = workspace_bytes};
  memcpy(&p.alpha, alpha, sizeof p.alpha);
  memcpy(&p.beta, beta, sizeof p.beta);
  code = check_algorithm(&p, algo);
  if (code) return code;
  const bool captured = gh_double_is_captured(stream);
  if (!has_run(problem_of(desc, layout_a, layout_b, layout_c, layout_d), !captured) && captured)
    return double_refuse(EXECUTION_FAILED, "cuBLASLt: a product's first run is captured");
  return gh_double_submit(stream, run_product, &p, sizeof p) ? EXECUTION_FAILED : GH_LT_SUCCESS;
}
