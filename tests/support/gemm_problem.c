#include "support/gemm_problem.h"
#include "support/check.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static gh_error err;

gh_gemm_desc gemm_desc_of(int64_t m, int64_t n, int64_t k, int trans, int option) {
  gh_gemm_desc g = {.m = m, .n = n, .k = k, .trans_a = trans & 1, .trans_b = trans & 2, .batch = 1, .alpha = 1};
  int64_t gap = option == 1 || option == 4 ? 5 : 0, heads = option == 5 ? 3 : 1;
  int64_t ca = g.trans_a ? g.m : g.k, cb = g.trans_b ? g.k : g.n;
  g.lda = (ca + gap) * heads, g.ldb = (cb + 2 * gap) * heads, g.ldc = (g.n + 3 * gap) * heads;
  if (option == 2 || option == 4) g.offset_a = 3, g.offset_b = 17, g.offset_c = 11;
  if (option == 3 || option == 4) {
    g.batch = 3;
    g.stride_a = (g.trans_a ? g.k : g.m) * g.lda + 2;
    g.stride_b = option == 4 ? 0 : (g.trans_b ? g.n : g.k) * g.ldb;
    g.stride_c = g.m * g.ldc + 1;
  }
  if (option == 5) g.batch = heads, g.stride_a = ca, g.stride_b = cb, g.stride_c = g.n;
  if (option == 1 || option == 3) g.beta = 1;
  if (option == 4) g.alpha = 0.5, g.beta = 0.25;
  if (option == 2) g.alpha = 0.3;
  return g;
}

gh_gemm_desc gemm_desc_with(gh_gemm_desc g, int64_t k, double alpha, int64_t gap) {
  g.second.k = k;
  g.second.alpha = alpha;
  g.second.lda = (g.trans_a ? g.m : k) + gap;
  g.second.ldb = (g.trans_b ? k : g.n) + gap;
  return g;
}

/* ---- storage ---- */

static gh_dtype dtype_of(const gemm_problem *p, int which) { return which < 2 ? p->desc.dtype : p->desc.dtype_c; }

static float as_stored(gh_dtype dtype, float x) {
  return gh_dtype_is_narrow(dtype) ? gh_widen(dtype, gh_narrow(dtype, x)) : x;
}

static float *random_numbers(int64_t n, gh_dtype dtype) {
  static uint32_t seed = 1;
  float *x = gh_alloc(&err, (size_t)n, sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = as_stored(dtype, (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-23f);
  }
  return x;
}

static void write_numbers(gemm_problem *p, gh_buffer *to, gh_dtype dtype, const float *x, int64_t n) {
  const gh_backend *backend = p->device->backend;
  if (dtype == GH_F32) {
    check_ok(backend->write(&err, p->device, to, 0, x, n * 4));
    return;
  }
  uint16_t *half = gh_alloc(&err, (size_t)n, sizeof *half);
  assert_non_null(half);
  for (int64_t i = 0; i < n; i++) half[i] = gh_narrow(dtype, x[i]);
  check_ok(backend->write(&err, p->device, to, 0, half, n * 2));
  free(half);
}

static void read_numbers(gemm_problem *p, const gh_buffer *from, gh_dtype dtype, float *x, int64_t n) {
  const gh_backend *backend = p->device->backend;
  if (dtype == GH_F32) {
    check_ok(backend->read(&err, p->device, from, 0, x, n * 4));
    return;
  }
  uint16_t *half = gh_alloc(&err, (size_t)n, sizeof *half);
  assert_non_null(half);
  check_ok(backend->read(&err, p->device, from, 0, half, n * 2));
  for (int64_t i = 0; i < n; i++) x[i] = gh_widen(dtype, half[i]);
  free(half);
}

static bool is_element(const gh_gemm_desc *g, int64_t at) {
  for (int64_t p = 0; p < g->batch; p++) {
    int64_t in = at - g->offset_c - p * g->stride_c;
    if (in >= 0 && in / g->ldc < g->m && in % g->ldc < g->n) return true;
  }
  return false;
}

void gemm_problem_write(gemm_problem *p, int which) {
  write_numbers(p, p->buffers[which], dtype_of(p, which), ((float *[]){p->a, p->b, p->c})[which], p->elements[which]);
}

static float *make_matrix(gemm_problem *p, int64_t elements, gh_buffer **buffer) {
  const int64_t bytes = elements * (int64_t)gh_dtype_size(p->desc.dtype);
  float *x = random_numbers(elements, p->desc.dtype);
  check_ok(p->device->backend->buffer_create(&err, p->device, bytes, buffer));
  write_numbers(p, *buffer, p->desc.dtype, x, elements);
  return x;
}

static void make_second(gemm_problem *p) {
  gh_gemm_desc *g = &p->desc;
  if (!g->second.k) return;
  p->a2 = make_matrix(p, (g->trans_a ? g->second.k : g->m) * g->second.lda, &p->buffers[4]);
  p->b2 = make_matrix(p, (g->trans_b ? g->n : g->second.k) * g->second.ldb, &p->buffers[5]);
  g->second.a = p->buffers[4];
  g->second.b = p->buffers[5];
}

void gemm_problem_make(gemm_problem *p, gh_device *device, const gh_gemm_desc *desc) {
  *p = (gemm_problem){.device = device, .desc = *desc};
  gh_gemm_desc *g = &p->desc;
  const gh_backend *backend = device->backend;
  const int64_t tail = 37;
  p->elements[0] = g->offset_a + (g->batch - 1) * g->stride_a + (g->trans_a ? g->k : g->m) * g->lda + tail;
  p->elements[1] = g->offset_b + (g->batch - 1) * g->stride_b + (g->trans_b ? g->n : g->k) * g->ldb + tail;
  p->elements[2] = g->offset_c + (g->batch - 1) * g->stride_c + g->m * g->ldc + tail;
  p->a = random_numbers(p->elements[0], g->dtype);
  p->b = random_numbers(p->elements[1], g->dtype);
  p->c = random_numbers(p->elements[2], g->dtype_c);
  p->got = gh_alloc(&err, (size_t)p->elements[2], sizeof *p->got);
  assert_non_null(p->got);
  if (g->beta == 0)
    for (int64_t i = 0; i < p->elements[2]; i++)
      if (is_element(g, i)) p->c[i] = NAN;
  for (int i = 0; i < 3; i++) {
    check_ok(
        backend->buffer_create(&err, device, p->elements[i] * (int64_t)gh_dtype_size(dtype_of(p, i)), &p->buffers[i]));
    gemm_problem_write(p, i);
  }
  make_second(p);
  if (g->epilogue == GH_EPILOGUE_NONE) return;
  p->bias = random_numbers(g->n, g->dtype_c);
  check_ok(backend->buffer_create(&err, device, g->n * (int64_t)gh_dtype_size(g->dtype_c), &p->buffers[3]));
  write_numbers(p, p->buffers[3], g->dtype_c, p->bias, g->n);
  g->bias = p->buffers[3];
}

void gemm_problem_free(gemm_problem *p) {
  for (size_t i = 0; i < GH_COUNT(p->buffers); i++) p->device->backend->buffer_free(p->buffers[i]);
  free(p->a);
  free(p->b);
  free(p->c);
  free(p->bias);
  free(p->a2);
  free(p->b2);
  free(p->got);
}

void gemm_problem_compute(gemm_problem *p) {
  const gh_backend *backend = p->device->backend;
  gh_launch *launch;
  gemm_problem_write(p, 2);
  check_ok(gh_gemm_bind(&err, p->device, &p->desc, p->buffers[0], p->buffers[1], p->buffers[2], &launch));
  check_ok(backend->enqueue(&err, p->device, launch));
  read_numbers(p, p->buffers[2], p->desc.dtype_c, p->got, p->elements[2]);
  backend->launch_free(launch);
}

/* ---- the check ---- */

static void describe(const gemm_problem *p, char *text, size_t size) {
  char key[160];
  gh_gemm_key(&p->desc, key, sizeof key);
  snprintf(text, size, "%s alpha %g beta %g lda %lld ldb %lld ldc %lld offset %lld epilogue %d", key, p->desc.alpha,
           p->desc.beta, (long long)p->desc.lda, (long long)p->desc.ldb, (long long)p->desc.ldc,
           (long long)p->desc.offset_c, (int)p->desc.epilogue);
}

typedef struct expected {
  double want, most; /* in float64, and the provider's tolerance */
  float promised;    /* by our own kernels' arithmetic: chains of 256, one rounding at the end */
} expected;

/* What the second product adds to the sum and to the squares, in units of alpha. Returns the last chain of the first
 * one, which the own kernels continue, A2 in units of alpha. */
static float expect_second(const gemm_problem *p, int64_t i, int64_t j, float chain, double *sum, double *squares) {
  const gh_gemm_desc *g = &p->desc;
  const double factor = g->second.alpha / g->alpha;
  for (int64_t k = 0; k < g->second.k; k++) {
    const float x = p->a2[g->trans_a ? k * g->second.lda + i : i * g->second.lda + k];
    const float y = p->b2[g->trans_b ? j * g->second.ldb + k : k * g->second.ldb + j];
    const double product = factor * (double)x * (double)y;
    *sum += product;
    *squares += product * product;
    chain = fmaf((float)factor * x, y, chain);
  }
  return chain;
}

static expected expect(const gemm_problem *p, int64_t batch, int64_t i, int64_t j, bool own) {
  const gh_gemm_desc *g = &p->desc;
  const float *a = p->a + g->offset_a + batch * g->stride_a, *b = p->b + g->offset_b + batch * g->stride_b;
  const float before = g->beta != 0 ? p->c[g->offset_c + batch * g->stride_c + i * g->ldc + j] : 0;
  const float bias = p->bias ? p->bias[j] : 0;
  float total = 0, chain = 0;
  double sum = 0, squares = 0;
  for (int64_t k = 0; k < g->k; k++) {
    float x = g->trans_a ? a[k * g->lda + i] : a[i * g->lda + k];
    float y = g->trans_b ? b[j * g->ldb + k] : b[k * g->ldb + j];
    double product = (double)x * (double)y;
    sum += product;
    squares += product * product;
    chain = fmaf(x, y, chain);
    const bool joined = g->second.k && k + 1 == g->k;
    const float alpha = (float)g->alpha;
    if (joined) chain = expect_second(p, i, j, chain, &sum, &squares);
    if (!own || ((k + 1) % 256 && k + 1 < g->k)) continue;
    if (k >= 256)
      total = total + alpha * chain;
    else
      total = g->beta != 0 ? alpha * chain + (float)g->beta * before : alpha * chain;
    chain = 0;
  }
  const double scale = fabs(g->alpha) * sqrt(squares) + fabs(g->beta * (double)before) + fabs((double)bias);
  expected e = {.want = g->alpha * sum + g->beta * (double)before + (double)bias};
  const double depth = (double)(g->k + g->second.k), narrow = gh_dtype_is_narrow(g->dtype) ? depth / 4 : 0;
  e.most = (double)FLT_EPSILON * (8 + 4 * sqrt(depth) + narrow) * scale;
  if (gh_dtype_is_narrow(g->dtype_c))
    e.most += gh_dtype_rounding(g->dtype_c) * (fabs(e.want) + e.most) + gh_dtype_smallest(g->dtype_c);
  e.promised = as_stored(g->dtype_c, p->bias ? total + bias : total);
  return e;
}

static void check_element(const gemm_problem *p, int64_t batch, int64_t i, int64_t j, bool own, const char *provider) {
  const gh_gemm_desc *g = &p->desc;
  const float got = p->got[g->offset_c + batch * g->stride_c + i * g->ldc + j];
  const expected e = expect(p, batch, i, j, own);
  char text[300];
  if (!(fabs((double)got - e.want) <= e.most)) {
    describe(p, text, sizeof text);
    fail_msg("%s, %s: C[%lld][%lld][%lld] is %.9g, expected %.9g", provider, text, (long long)batch, (long long)i,
             (long long)j, (double)got, e.want);
  }
  if (own && memcmp(&got, &e.promised, 4)) {
    describe(p, text, sizeof text);
    fail_msg("%s, %s: C[%lld][%lld][%lld] is %.9g, in the guaranteed order %.9g", provider, text, (long long)batch,
             (long long)i, (long long)j, (double)got, (double)e.promised);
  }
}

void gemm_problem_check(const gemm_problem *p, const char *provider) {
  const gh_gemm_desc *g = &p->desc;
  bool own = !strncmp(provider, "own-cpu ", 8) || !strncmp(provider, "own-gpu ", 8);
  for (int64_t batch = 0; batch < g->batch; batch++)
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t j = 0; j < g->n; j++) check_element(p, batch, i, j, own, provider);
  for (int64_t at = 0; at < p->elements[2]; at++)
    if (memcmp(&p->got[at], &p->c[at], 4) && !is_element(g, at)) {
      char text[300];
      describe(p, text, sizeof text);
      fail_msg("%s, %s: element %lld of the buffer, outside C, was written", provider, text, (long long)at);
    }
}
