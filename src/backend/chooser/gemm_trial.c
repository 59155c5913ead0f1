/* The trial of a matrix product: compares sampled rows and columns with float64.
 *
 * It runs in scratch memory on the shape itself or, if that would take too long, on a smaller shape with the same
 * edges. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/chooser/internal.h"
#include "backend/core/libraries.h"
#include "base/log.h"

#define SAMPLES     64  /* rows, and columns, that are compared */
#define TRIAL_MADDS 4e9 /* most multiply-adds of one timed call */
#define TINY_MADDS  1e6 /* below this: the first correct provider, without timing */
#define SLOW_RATIO  2   /* a library slower than our kernels by this factor is skipped */
#define ROUNDS      3
#define PATTERN     262139 /* random floats per matrix, repeated; a prime, so that rows do not repeat each other */

typedef struct trial {
  gh_device *d;
  gh_gemm_desc desc;
  gh_buffer *a, *b, *c, *prepared;
  gh_buffer *a2, *b2;  /* of desc.second; NULL: it has none */
  gh_buffer *unfolded; /* by the provider that forms them in memory, and the launch that does so */
  gh_launch *unfold;
  int64_t elements_a, elements_b, elements_c;
  float *pattern;           /* a run of PATTERN numbers, as stored, for each of PATTERNS matrices */
  uint16_t *pattern_narrow; /* the same in two bytes each */
  float *row;               /* one row of C */
  uint16_t *row_narrow;     /* the row as read, if C is narrow */
  int64_t rows[SAMPLES], columns[SAMPLES];
  double *want, *most; /* (2, rows, columns): C of the first and the last matrix in float64, and the error allowed */
  int row_count, column_count;
} trial;

/* ---- scratch ---- */

static int64_t stored_elements(int64_t rows, int64_t columns, int64_t ld, int64_t batch, int64_t stride) {
  return (batch - 1) * stride + (rows - 1) * ld + columns;
}

double gh_gemm_madds(const void *desc) {
  const gh_gemm_desc *g = desc;
  return (double)g->m * (double)g->n * (double)g->k * (double)g->batch;
}

bool gh_gemm_is_timed(const void *desc) { return gh_gemm_madds(desc) >= TINY_MADDS; }

/* Halves a size but keeps its remainder modulo 512, so that the edges stay the same. */
static int64_t half_with_edge(int64_t n) { return n / 1024 * 512 + n % 512; }

/* The GPU's kernels on a CPU: only in tests, and a hundred times slower. */
static bool is_emulated(const gh_device *d) { return d->info.is_cpu && d->info.shape == GH_SHAPE_GPU; }

static gh_gemm_desc trial_desc(const gh_device *d, const gh_gemm_desc *desc) {
  const double most = is_emulated(d) ? TRIAL_MADDS / 64 : TRIAL_MADDS;
  gh_gemm_desc g = *desc;
  g.offset_a = g.offset_b = g.offset_c = 0;
  g.epilogue = GH_EPILOGUE_NONE; /* does not affect the choice */
  while (gh_gemm_madds(&g) > most && g.batch > 4) g.batch = GH_CEIL_DIV(g.batch, 2);
  if (g.image.channels) { /* fewer images, then fewer of their rows; the rows of B and C stay contiguous */
    while (gh_gemm_madds(&g) > most && g.batch > 1) g.batch = GH_CEIL_DIV(g.batch, 2);
    int64_t rows = gh_gemm_image_positions(&g) / g.image.out_width;
    while (gh_gemm_madds(&g) > most && rows > 4) {
      rows /= 2;
      gh_gemm_image_resize(&g, g.image.channels, GH_MAX(g.image.height / 2, 1), rows);
    }
    return g;
  }
  while (gh_gemm_madds(&g) > most) {
    int64_t *largest = g.m >= g.n ? &g.m : &g.n;
    if (g.k > 2 * *largest) largest = &g.k;
    if (*largest < 1024) break;
    *largest = half_with_edge(*largest);
  }
  return g;
}

enum {
  OF_A,
  OF_B,
  OF_C,
  OF_A2,
  OF_B2,
  PATTERNS
}; /* each has its own pattern: with equal ones, C would contain growing sums of squares */

static gh_dtype dtype_of(const trial *t, int which) { return which == OF_C ? t->desc.dtype_c : t->desc.dtype; }

static gh_status fill_random(gh_error *err, trial *t, int which, gh_buffer *buffer, int64_t elements) {
  const int64_t size = (int64_t)gh_dtype_size(dtype_of(t, which));
  const void *from =
      size == 2 ? (const void *)(t->pattern_narrow + which * PATTERN) : (const void *)(t->pattern + which * PATTERN);
  for (int64_t at = 0; at < elements; at += PATTERN) {
    int64_t count = GH_MIN(PATTERN, elements - at);
    gh_status status = t->d->backend->write(err, t->d, buffer, at * size, from, count * size);
    if (status) return status;
  }
  return GH_OK;
}

static double pattern_at(const trial *t, int which, int64_t i) {
  return (double)t->pattern[which * PATTERN + i % PATTERN];
}

/* Uniform in [-1, 1) with all 24 bits in use, so that a provider that computes with fewer bits is noticed; as a narrow
 * type, with all of its bits. Well mixed (splitmix64): rows whose length is a power of two must not resemble each
 * other, otherwise sums exceed what the tolerance assumes. */
static void make_pattern(trial *t) {
  for (int64_t i = 0; i < PATTERNS * PATTERN; i++) {
    uint64_t z = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    t->pattern[i] = (float)((int32_t)(z >> 40) - (1 << 23)) * 0x1p-23f;
    const gh_dtype dtype = dtype_of(t, (int)(i / PATTERN));
    if (!gh_dtype_is_narrow(dtype)) continue;
    t->pattern_narrow[i] = gh_narrow(dtype, t->pattern[i]);
    t->pattern[i] = gh_widen(dtype, t->pattern_narrow[i]);
  }
}

/* Sampled indices: both ends, and the rest spread evenly. */
static int sample(int64_t *at, int64_t n) {
  int count = (int)GH_MIN(n, SAMPLES);
  for (int i = 0; i < count; i++) at[i] = count == 1 ? 0 : i * (n - 1) / (count - 1);
  return count;
}

/* |error| of a float32 sum of k products in any order, as a multiple of sqrt(sum of the squared products). Rounding
 * errors add up like a random walk over partial sums, eps sqrt(k) / 2.8 on average. An error of 11 times that does not
 * occur by chance, and a product with 11 or fewer bits exceeds it up to k = 1e6. */
static double tolerance(int64_t k) { return (double)FLT_EPSILON * (8 + 4 * sqrt((double)k)); }

/* Products of narrow numbers are exact in float32, so the same holds for sums that are rounded. Matrix units truncate
 * instead: each of their steps, of 4 products or more, may lose a unit in the last place of the sum, always towards
 * zero. Sums kept in half or bfloat16, or in several parts rounded that way, exceed this bound 10 times up to k = 1e5;
 * one missing product does so up to 1e4. */
static double tolerance_narrow(int64_t k) { return tolerance(k) + (double)FLT_EPSILON * (double)k / 4; }

/* The error that rounding x to a narrow type may add. */
static double rounding_narrow(gh_dtype dtype, double x) {
  return gh_dtype_rounding(dtype) * fabs(x) + gh_dtype_smallest(dtype);
}

static int64_t matrix_of(const trial *t, int which) { return which ? t->desc.batch - 1 : 0; }
static int64_t sample_at(const trial *t, int which, int i, int j) {
  return (which * t->row_count + i) * (int64_t)t->column_count + j;
}

/* x, y: op(A)'s row and op(B)'s column, followed by those of the second product. */
static void reference_element(trial *t, int which, int i, int j, const double *x, const double *y) {
  const gh_gemm_desc *g = &t->desc;
  const int64_t depth = g->k + g->second.k;
  double sum = 0, squares = 0;
  for (int64_t k = 0; k < depth; k++) {
    double product = x[k] * y[k];
    sum += product;
    squares += product * product;
  }
  int64_t at = matrix_of(t, which) * g->stride_c + t->rows[i] * g->ldc + t->columns[j];
  double before = g->beta != 0 ? g->beta * pattern_at(t, OF_C, at) : 0;
  const double want = g->alpha * sum + before, scale = fabs(g->alpha) * sqrt(squares) + fabs(before);
  double most = (gh_dtype_is_narrow(g->dtype) ? tolerance_narrow(depth) : tolerance(depth)) * scale;
  if (gh_dtype_is_narrow(g->dtype_c)) most += rounding_narrow(g->dtype_c, fabs(want) + most);
  t->want[sample_at(t, which, i, j)] = want;
  t->most[sample_at(t, which, i, j)] = most;
}

/* The place of B's element (k, column) in the matrix that begins at b; -1: a 0 of the border. */
static int64_t place_in_b(const gh_gemm_desc *g, int64_t b, int64_t k, int64_t column) {
  if (!g->image.channels) return b + (g->trans_b ? column * g->ldb + k : k * g->ldb + column);
  const int64_t row = g->trans_b ? column : k, position = g->trans_b ? k : column, side = g->image.side;
  const int64_t y = position / g->image.out_width * g->image.stride + row % (side * side) / side - g->image.top;
  const int64_t x = position % g->image.out_width * g->image.stride + row % side - g->image.left;
  if (y < 0 || y >= g->image.height || x < 0 || x >= g->image.width) return -1;
  return b + (row / (side * side) * g->image.height + y) * g->image.width + x;
}

/* The second product's part of op(A)'s row, in units of alpha, and of op(B)'s column. */
static void extend_row(const trial *t, int64_t row, double *x) {
  const gh_gemm_desc *g = &t->desc;
  for (int64_t k = 0; k < g->second.k; k++)
    x[g->k + k] = g->second.alpha / g->alpha *
                  pattern_at(t, OF_A2, g->trans_a ? k * g->second.lda + row : row * g->second.lda + k);
}

static void extend_column(const trial *t, int64_t column, double *y) {
  const gh_gemm_desc *g = &t->desc;
  for (int64_t k = 0; k < g->second.k; k++)
    y[g->k + k] = pattern_at(t, OF_B2, g->trans_b ? column * g->second.ldb + k : k * g->second.ldb + column);
}

static gh_status make_reference(gh_error *err, trial *t) {
  const gh_gemm_desc *g = &t->desc;
  const int64_t depth = g->k + g->second.k;
  double *x = gh_alloc(err, (size_t)depth, sizeof *x);
  double *y = gh_alloc(err, (size_t)(t->column_count * depth), sizeof *y); /* (columns, depth) */
  gh_status status = x && y ? GH_OK : GH_ERROR_MEMORY;
  for (int which = 0; which < (g->batch > 1 ? 2 : 1) && !status; which++) {
    int64_t a = matrix_of(t, which) * g->stride_a, b = matrix_of(t, which) * g->stride_b;
    for (int64_t k = 0; k < g->k; k++)
      for (int j = 0; j < t->column_count; j++) {
        const int64_t place = place_in_b(g, b, k, t->columns[j]);
        y[j * depth + k] = place < 0 ? 0 : pattern_at(t, OF_B, place);
      }
    for (int j = 0; j < t->column_count; j++) extend_column(t, t->columns[j], y + j * depth);
    for (int i = 0; i < t->row_count; i++) {
      for (int64_t k = 0; k < g->k; k++)
        x[k] = pattern_at(t, OF_A, a + (g->trans_a ? k * g->lda + t->rows[i] : t->rows[i] * g->lda + k));
      extend_row(t, t->rows[i], x);
      for (int j = 0; j < t->column_count; j++) reference_element(t, which, i, j, x, y + j * depth);
    }
  }
  free(x);
  free(y);
  return status;
}

static void trial_free(trial *t) {
  const gh_backend *backend = t->d->backend;
  backend->buffer_free(t->a);
  backend->buffer_free(t->b);
  backend->buffer_free(t->c);
  backend->buffer_free(t->a2);
  backend->buffer_free(t->b2);
  backend->buffer_free(t->prepared);
  backend->launch_free(t->unfold);
  backend->buffer_free(t->unfolded);
  free(t->pattern);
  free(t->pattern_narrow);
  free(t->row);
  free(t->row_narrow);
  free(t->want);
  free(t->most);
}

/* Rounded up to whole words, which a fill writes. */
static int64_t trial_bytes(int64_t elements, gh_dtype dtype) {
  return GH_CEIL_DIV(elements * (int64_t)gh_dtype_size(dtype), 4) * 4;
}

/* The matrices of the second product, if there is one. */
static gh_status create_second(gh_error *err, trial *t) {
  gh_gemm_desc *g = &t->desc;
  const int64_t rows_a = g->trans_a ? g->second.k : g->m, rows_b = g->trans_b ? g->n : g->second.k;
  const int64_t of_a = rows_a * g->second.lda, of_b = rows_b * g->second.ldb;
  if (!g->second.k) return GH_OK;
  gh_status status = t->d->backend->buffer_create(err, t->d, trial_bytes(of_a, g->dtype), &t->a2);
  if (!status) status = t->d->backend->buffer_create(err, t->d, trial_bytes(of_b, g->dtype), &t->b2);
  if (!status) status = fill_random(err, t, OF_A2, t->a2, of_a);
  if (!status) status = fill_random(err, t, OF_B2, t->b2, of_b);
  g->second.a = t->a2;
  g->second.b = t->b2;
  return status;
}

static gh_status trial_create(gh_error *err, trial *t, gh_device *d, const gh_gemm_desc *desc) {
  *t = (trial){.d = d, .desc = *desc};
  const gh_gemm_desc *g = &t->desc;
  const gh_backend *backend = d->backend;
  int64_t rows_a = g->trans_a ? g->k : g->m, rows_b = g->trans_b ? g->n : g->k;
  t->elements_a = stored_elements(rows_a, g->trans_a ? g->m : g->k, g->lda, g->batch, g->stride_a);
  t->elements_b = stored_elements(rows_b, g->trans_b ? g->k : g->n, g->ldb, g->batch, g->stride_b);
  if (g->image.channels)
    t->elements_b = (g->batch - 1) * g->stride_b + g->image.channels * g->image.height * g->image.width;
  t->elements_c = stored_elements(g->m, g->n, g->ldc, g->batch, g->stride_c);
  t->row_count = sample(t->rows, g->m);
  t->column_count = sample(t->columns, g->n);
  t->pattern = gh_alloc(err, PATTERNS * PATTERN, sizeof *t->pattern);
  t->pattern_narrow = gh_alloc(err, PATTERNS * PATTERN, sizeof *t->pattern_narrow);
  t->row = gh_alloc(err, (size_t)g->n, sizeof *t->row);
  t->row_narrow = gh_alloc(err, (size_t)g->n, sizeof *t->row_narrow);
  t->want = gh_alloc(err, 2 * SAMPLES * SAMPLES, sizeof *t->want);
  t->most = gh_alloc(err, 2 * SAMPLES * SAMPLES, sizeof *t->most);
  gh_status status =
      t->pattern && t->pattern_narrow && t->row && t->row_narrow && t->want && t->most ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = backend->buffer_create(err, d, trial_bytes(t->elements_a, g->dtype), &t->a);
  if (!status) status = backend->buffer_create(err, d, trial_bytes(t->elements_b, g->dtype), &t->b);
  if (!status) status = backend->buffer_create(err, d, trial_bytes(t->elements_c, g->dtype_c), &t->c);
  if (!status && g->image.channels && gh_gemm_prepared_elements(d, g))
    status = backend->buffer_create(err, d, trial_bytes(gh_gemm_prepared_elements(d, g), GH_F32), &t->prepared);
  if (status) goto fail;
  t->desc.image.prepared = t->prepared;
  t->desc.image.prepared_offset = 0;
  make_pattern(t);
  if ((status = make_reference(err, t))) goto fail;
  if ((status = fill_random(err, t, OF_A, t->a, t->elements_a))) goto fail;
  if ((status = fill_random(err, t, OF_B, t->b, t->elements_b))) goto fail;
  if ((status = create_second(err, t))) goto fail;
  return GH_OK;
fail:
  trial_free(t);
  return status;
}

/* ---- the check ---- */

static bool row_is_right(const trial *t, int which, int i) {
  for (int j = 0; j < t->column_count; j++) {
    int64_t at = sample_at(t, which, i, j);
    if (!(fabs((double)t->row[t->columns[j]] - t->want[at]) <= t->most[at])) return false;
  }
  return true;
}

/* Sets C before a call: random numbers if it is read, NaN if not. */
static gh_status reset_c(gh_error *err, trial *t) {
  if (t->desc.beta != 0) return fill_random(err, t, OF_C, t->c, t->elements_c);
  gh_launch *fill;
  gh_status status = t->d->backend->bind_fill(err, t->d, t->c, 0, trial_bytes(t->elements_c, t->desc.dtype_c),
                                              0x7fc07fc0u, &fill); /* NaN in any type */
  if (status) return status;
  status = t->d->backend->enqueue(err, t->d, fill);
  if (!status) status = t->d->backend->finish(err, t->d);
  t->d->backend->launch_free(fill);
  return status;
}

/* Reads n elements of C, from element `at` on, into t->row. */
static gh_status read_row(gh_error *err, trial *t, int64_t at, int64_t n) {
  const gh_backend *backend = t->d->backend;
  if (t->desc.dtype_c == GH_F32) return backend->read(err, t->d, t->c, at * 4, t->row, n * 4);
  gh_status status = backend->read(err, t->d, t->c, at * 2, t->row_narrow, n * 2);
  for (int64_t i = 0; i < n && !status; i++) t->row[i] = gh_widen(t->desc.dtype_c, t->row_narrow[i]);
  return status;
}

static gh_status check(gh_error *err, trial *t, gh_launch *launch) {
  const gh_backend *backend = t->d->backend;
  const gh_gemm_desc *g = &t->desc;
  gh_status status = reset_c(err, t);
  if (!status) status = backend->enqueue(err, t->d, launch);
  for (int last = 0; last < (g->batch > 1 ? 2 : 1) && !status; last++) {
    for (int i = 0; i < t->row_count && !status; i++) {
      int64_t at = matrix_of(t, last) * g->stride_c + t->rows[i] * g->ldc;
      status = read_row(err, t, at, g->n);
      if (!status && !row_is_right(t, last, i)) status = gh_fail(err, GH_ERROR_DEVICE, "it gives wrong numbers");
    }
  }
  return status;
}

/* ---- the kind's members ---- */

static gh_status prepare(gh_error *err, trial *t, const gh_gemm_provider *provider) {
  gh_launch *launch;
  if (!provider->prepare) return GH_OK;
  gh_status status = provider->prepare(err, t->d, &t->desc, t->a, &launch);
  if (status) return status;
  status = t->d->backend->enqueue(err, t->d, launch);
  if (!status) status = t->d->backend->finish(err, t->d);
  t->d->backend->launch_free(launch);
  return status;
}

static bool is_columns(const gh_provider *p) { return !strcmp(p->name, GH_GEMM_COLUMNS); }

/* Binds the fastest product of the columns, by one call of each provider. A wrong one is noticed by the check of the
 * result. */
static gh_status bind_product(gh_error *err, trial *t, gh_launch **out) {
  const gh_gemm_desc g = gh_columns_product(&t->desc);
  gh_error why = {0};
  double best = HUGE_VAL;
  *out = NULL;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    gh_launch *launch = NULL;
    if (!gh_gemm_suits(p, &g, t->d)) continue;
    if (p->bind(&why, t->d, p, &g, t->a, t->unfolded, t->c, &launch)) continue;
    gh_trial_time(t->d, launch); /* compiles, touches memory */
    const double seconds = gh_trial_time(t->d, launch);
    gh_launch *slower = seconds < best ? *out : launch;
    if (seconds < best) *out = launch, best = seconds;
    t->d->backend->launch_free(slower);
  }
  return *out ? GH_OK : gh_fail(err, GH_ERROR_UNSUPPORTED, "no provider multiplies the columns: %s", why.text);
}

static gh_status run_columns(gh_error *err, trial *t, gh_launch **launch) {
  const gh_backend *backend = t->d->backend;
  const gh_gemm_desc g = gh_columns_product(&t->desc);
  gh_status status =
      t->unfolded ? GH_OK : backend->buffer_create(err, t->d, trial_bytes(g.batch * g.stride_b, g.dtype), &t->unfolded);
  if (!status && !t->unfold) status = gh_columns_write(err, t->d, &t->desc, t->b, t->unfolded, &t->unfold);
  if (!status) status = backend->enqueue(err, t->d, t->unfold);
  if (!status) status = bind_product(err, t, launch);
  return status ? status : check(err, t, *launch);
}

double gh_gemm_trial_time(gh_device *d, void *of, const gh_provider *p, gh_launch *launch) {
  const trial *t = of;
  gh_error err;
  const double start = gh_now();
  if (!is_columns(p)) return gh_trial_time(d, launch);
  if (d->backend->enqueue(&err, d, t->unfold) || d->backend->enqueue(&err, d, launch) || d->backend->finish(&err, d))
    return HUGE_VAL;
  return gh_now() - start;
}

gh_status gh_gemm_trial_run(gh_error *err, void *of, const gh_provider *p, gh_launch **launch) {
  trial *t = of;
  const gh_gemm_provider *provider = (const gh_gemm_provider *)p;
  *launch = NULL;
  if (is_columns(p)) return run_columns(err, t, launch);
  gh_status status = prepare(err, t, provider);
  if (!status) status = provider->bind(err, t->d, provider, &t->desc, t->a, t->b, t->c, launch);
  return status ? status : check(err, t, *launch);
}

/* The one shape that represents all tiny shapes with the same storage, transposition and width of a GPU's loads. */
static gh_gemm_desc small_desc(const gh_device *d, const gh_gemm_desc *desc) {
  const int width = gh_gemm_load_width(desc, 8);
  gh_gemm_desc g = *desc;
  g.m = 67, g.n = 70, g.k = 65, g.batch = 2, g.lda = g.ldb = g.ldc = 71;
  if (width > 1 && !g.image.channels) g.m = g.n = g.lda = g.ldb = g.ldc = 72 + width % 8;
  g.stride_a = g.stride_b = g.stride_c = g.lda * g.lda;
  if (g.second.k) g.batch = 1, g.second.k = 35, g.second.lda = g.second.ldb = g.lda, g.second.alpha = 0.75 * g.alpha;
  if (desc->image.channels) {
    const bool wide = width > 1; /* then rows of A are whole loads */
    g.stride_a = 0;
    g.image.out_width = wide ? 12 : 10, g.image.width = g.image.out_width * g.image.stride;
    gh_gemm_image_resize(&g, wide ? 16 : 7, (wide ? 6 : 7) * g.image.stride, wide ? 6 : 7);
    g.lda = g.k;
  }
  return trial_desc(d, &g);
}

gh_status gh_gemm_trial_open(gh_error *err, gh_device *d, const void *desc, bool timed, void **out) {
  const gh_gemm_desc g = timed ? trial_desc(d, desc) : small_desc(d, desc);
  trial *t = gh_alloc(err, 1, sizeof *t);
  gh_status status = t ? trial_create(err, t, d, &g) : GH_ERROR_MEMORY;
  if (status) free(t);
  *out = status ? NULL : t;
  return status;
}

void gh_gemm_trial_close(void *of) {
  trial_free(of);
  free(of);
}

int gh_gemm_verdict(const void *desc) {
  const gh_gemm_desc *g = desc;
  enum { TYPES = GH_F16 + 1 };
  const int storage = TYPES * (int)g->dtype + (int)g->dtype_c, width = gh_gemm_load_width(g, 8);
  if (g->image.channels && !gh_gemm_is_usual_image(g)) return -1;
  enum { SLOTS = 4 * 3 * TYPES * TYPES };
  const int slot = 4 * (TYPES * TYPES * (width / 4) + storage) + 2 * g->trans_a + g->trans_b;
  _Static_assert(2 * SLOTS <= GH_VERDICTS,
                 "a slot for each width, storage and transposition, with a second product too");
  return slot + (g->second.k ? SLOTS : 0);
}

/* ---- skipping a slow library ---- */

static bool is_library(const gh_provider *p) { return !strcmp(p->family, GH_CLBLAST); }

/* Times our own kernels and the library on one small product: the best of a few calls. */
static void time_small_product(gh_device *d, const gh_choice_state *state, double best[2]) {
  const gh_gemm_desc g = {.m = 256,
                          .n = 256,
                          .k = 256,
                          .trans_b = true,
                          .lda = 256,
                          .ldb = 256,
                          .ldc = 256,
                          .batch = 1,
                          .alpha = 1,
                          .dtype = GH_F32};
  void *t;
  gh_error err;
  best[0] = best[1] = HUGE_VAL;
  if (gh_gemm_trial_open(&err, d, &g, true, &t)) return;
  for (int i = 0; state->providers[i]; i++) {
    const gh_provider *p = state->providers[i];
    const int which = is_library(p);
    gh_launch *launch;
    if (!state->kind->supports(p, &g, d) || best[which] < HUGE_VAL) continue;
    if (!gh_trial_admit(d, state->kind, t, p, "the first trial", &launch)) continue;
    for (int round = 0; round < ROUNDS; round++) best[which] = fmin(best[which], gh_trial_time(d, launch));
    d->backend->launch_free(launch);
  }
  gh_gemm_trial_close(t);
}

/* On a CPU the library runs at a tenth of our speed, and trying it on every shape would take longer than all other
 * trials. So it is tried once, on a small product. Emulated kernels are as slow as the library, whose kernels take a
 * minute to compile: it is left out. */
bool gh_gemm_skips_library(gh_device *d, gh_choice_state *state, const gh_provider *provider) {
  if (!is_library(provider) || !d->info.is_cpu || state->aside < 0) return false;
  if (is_emulated(d)) return true;
  if (!state->aside) {
    double best[2]; /* own, the library's */
    time_small_product(d, state, best);
    state->aside = best[1] > SLOW_RATIO * best[0] ? 1 : -1;
    if (state->aside > 0)
      gh_debug("GEMM: the library takes %.1f times as long as the own kernels and is skipped", best[1] / best[0]);
  }
  return state->aside > 0;
}
