/* The trial of an attention tile: the launch itself on random numbers, with fewer samples and heads where it would take
 * too long. Sampled rows of the results are compared with float64. The backward parts get made-up statistics in the
 * place of a forward pass's: what they compute from them is defined all the same. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "backend/chooser/attention_internal.h"

#define TRIAL_MADDS 4e9    /* most multiply-adds of one timed call */
#define SAMPLES     12     /* rows of a head that are compared */
#define PATTERN     262139 /* random numbers, repeated; a prime, so that rows do not repeat each other */
#define TOLERANCE   5e-5   /* of the magnitude of a row: a misplaced element is off by its own size */
#define NARROW_MOST 0.04   /* the same where results, and a matrix unit's weights, are rounded */
#define TOP         3.0    /* made-up highest scores, above all real ones */

enum { Q, K, V, DOUT, ROW_MAX, INV_SUM, DELTA, HIDDEN, INPUTS };
enum { FIRST, SECOND, THIRD, FOURTH, RESULTS }; /* in the order of the part's arguments */

typedef struct trial {
  gh_device *d;
  gh_attention_work work;
  double scale;
  gh_buffer *in[INPUTS], *out[RESULTS];
  int outs;
  float *pattern, *got;
  uint16_t *narrow;
  double *row[3]; /* (size): what up to two results are in float64, and their inputs' sum */
  double *scores; /* of a query, or of a key */
} trial;

/* ---- numbers ---- */

static bool is_backward(const trial *t) { return t->work.desc.part != GH_ATTENTION_FORWARD; }
static bool is_of_keys(const trial *t) { return t->work.desc.part == GH_ATTENTION_BACKWARD_KV; }
static bool is_key_side(int input) { return input == K || input == V; }

static int64_t tensor_elements(const gh_attention_desc *g, bool keys) {
  return g->batch * (keys ? g->nk : g->nq) * g->heads * g->size;
}
static int64_t statistics(const gh_attention_desc *g) { return g->batch * g->heads * g->nq; }

/* Evenly spread in [-1, 1), as stored. Each input reads the pattern from another place. */
static double number(const trial *t, int input, int64_t i) {
  return (double)t->pattern[(i + 7919 * (int64_t)input) % PATTERN];
}

/* What the statistics of row i are: a forward pass's are of this magnitude. */
static double statistic(const trial *t, int which, int64_t i) {
  const double u = number(t, which, i);
  if (which == ROW_MAX) return (double)(float)(TOP + 0.5 * u);
  if (which == INV_SUM) return (double)(float)(exp(TOP) / (double)t->work.desc.nk * (1 + 0.5 * u));
  return (double)(float)(0.1 * u);
}

/* Two of three keys that a mask covers are visible, and so is the first. */
static bool is_hidden(const trial *t, int64_t key) { return key < t->work.desc.hidden && key % 3 == 2; }
static bool sees(const trial *t, int64_t query, int64_t key) {
  return !is_hidden(t, key) && !(t->work.desc.causal && key > query);
}

static void make_pattern(trial *t) {
  uint32_t state = 12345;
  for (int64_t i = 0; i < PATTERN; i++) {
    state = state * 1664525u + 1013904223u;
    t->pattern[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    const gh_dtype dtype = t->work.desc.dtype;
    if (gh_dtype_is_narrow(dtype)) t->pattern[i] = gh_widen(dtype, gh_narrow(dtype, t->pattern[i]));
  }
}

/* ---- buffers ---- */

static gh_status create_input(gh_error *err, trial *t, int input) {
  const gh_attention_desc *g = &t->work.desc;
  const bool narrow = input <= DOUT && gh_dtype_is_narrow(g->dtype);
  const int64_t n = input == HIDDEN ? g->batch * g->hidden
                    : input > DOUT  ? statistics(g)
                                    : tensor_elements(g, is_key_side(input)),
                size = narrow ? 2 : 4;
  char *bytes = gh_alloc(err, (size_t)n, (size_t)size);
  if (!bytes) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) {
    if (input == HIDDEN)
      ((int32_t *)(void *)bytes)[i] = is_hidden(t, i % g->hidden);
    else if (narrow)
      ((uint16_t *)(void *)bytes)[i] = gh_narrow(g->dtype, (float)number(t, input, i));
    else
      ((float *)(void *)bytes)[i] = (float)(input > DOUT ? statistic(t, input, i) : number(t, input, i));
  }
  gh_status status = t->d->backend->buffer_create(err, t->d, GH_CEIL_DIV(n * size, 16) * 16, &t->in[input]);
  if (!status) status = t->d->backend->write(err, t->d, t->in[input], 0, bytes, n * size);
  free(bytes);
  return status;
}

/* The results: out, row_max, inv_sum and in a narrow type the rounding error of out; dq; dk and dv. */
static int64_t result_bytes(const trial *t, int result) {
  const gh_attention_desc *g = &t->work.desc;
  const bool wide = !is_backward(t) && (result == SECOND || result == THIRD);
  const int64_t n = wide ? 4 * statistics(g) : (int64_t)gh_dtype_size(g->dtype) * tensor_elements(g, is_of_keys(t));
  return GH_CEIL_DIV(n, 16) * 16;
}

static gh_status create(gh_error *err, trial *t) {
  const gh_attention_desc *g = &t->work.desc;
  const int last = is_backward(t) ? DELTA : V;
  gh_status status = GH_OK;
  t->pattern = gh_alloc(err, PATTERN, sizeof *t->pattern);
  t->got = gh_alloc(err, (size_t)g->size, sizeof *t->got);
  t->narrow = gh_alloc(err, (size_t)g->size, sizeof *t->narrow);
  t->scores = gh_alloc(err, (size_t)GH_MAX(g->nk, g->nq), sizeof *t->scores);
  for (size_t i = 0; i < GH_COUNT(t->row); i++)
    if (!(t->row[i] = gh_alloc(err, (size_t)g->size, sizeof *t->row[i]))) return GH_ERROR_MEMORY;
  if (!t->pattern || !t->got || !t->narrow || !t->scores) return GH_ERROR_MEMORY;
  make_pattern(t);
  for (int i = 0; i <= last && !status; i++) status = create_input(err, t, i);
  if (g->hidden && !status) status = create_input(err, t, HIDDEN);
  t->outs = is_of_keys(t) ? 2 : is_backward(t) ? 1 : gh_dtype_is_narrow(g->dtype) ? 4 : 3;
  for (int i = 0; i < t->outs && !status; i++)
    status = t->d->backend->buffer_create(err, t->d, result_bytes(t, i), &t->out[i]);
  return status;
}

void gh_attention_trial_close(void *of) {
  trial *t = of;
  for (int i = 0; i < INPUTS; i++) t->d->backend->buffer_free(t->in[i]);
  for (int i = 0; i < RESULTS; i++) t->d->backend->buffer_free(t->out[i]);
  for (size_t i = 0; i < GH_COUNT(t->row); i++) free(t->row[i]);
  free(t->pattern);
  free(t->got);
  free(t->narrow);
  free(t->scores);
  free(t);
}

double gh_attention_madds(const void *work) {
  const gh_attention_desc *g = &((const gh_attention_work *)work)->desc;
  static const int products[] = {2, 3, 4};
  const double pairs = (double)g->nq * (double)g->nk * (g->causal ? 0.5 : 1);
  return products[g->part] * pairs * (double)g->size * (double)g->heads * (double)g->batch;
}

double gh_attention_trial_madds(const void *of) { return gh_attention_madds(&((const trial *)of)->work); }

gh_status gh_attention_trial_open(gh_error *err, gh_device *d, const void *work, bool timed, void **out) {
  const bool emulated = d->info.is_cpu && d->info.shape == GH_SHAPE_GPU; /* only in tests, and much slower */
  const double most = emulated || !timed ? TRIAL_MADDS / 64 : TRIAL_MADDS;
  trial *t = *out = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  *t = (trial){.d = d, .work = *(const gh_attention_work *)work};
  gh_attention_desc *g = &t->work.desc;
  while (gh_attention_madds(&t->work) > most && g->batch > 1) g->batch = GH_CEIL_DIV(g->batch, 2);
  while (gh_attention_madds(&t->work) > most && g->heads > 1) g->heads = GH_CEIL_DIV(g->heads, 2);
  t->scale = 1 / sqrt((double)g->size); /* scores are below TOP */
  gh_status status = create(err, t);
  if (status) {
    gh_attention_trial_close(t);
    *out = NULL;
  }
  return status;
}

/* ---- in float64 ---- */

typedef struct place { /* a sampled head */
  int64_t batch, head;
} place;

static int64_t offset(const trial *t, place p, bool keys, int64_t n) {
  const gh_attention_desc *g = &t->work.desc;
  return ((p.batch * (keys ? g->nk : g->nq) + n) * g->heads + p.head) * g->size;
}

static int64_t statistic_at(const trial *t, place p, int64_t query) {
  const gh_attention_desc *g = &t->work.desc;
  return (p.batch * g->heads + p.head) * g->nq + query;
}

static double dot(const trial *t, int a, int64_t at_a, int b, int64_t at_b) {
  double sum = 0;
  for (int64_t i = 0; i < t->work.desc.size; i++) sum += number(t, a, at_a + i) * number(t, b, at_b + i);
  return sum;
}

static void add_row(const trial *t, double *to, double factor, int input, int64_t at) {
  for (int64_t i = 0; i < t->work.desc.size; i++) to[i] += factor * number(t, input, at + i);
}

static void clear(const trial *t) {
  for (size_t r = 0; r < GH_COUNT(t->row); r++)
    for (int64_t i = 0; i < t->work.desc.size; i++) t->row[r][i] = 0;
}

/* row[0] = out of a query; its statistics */
static void forward(const trial *t, place p, int64_t query, double *highest, double *inv_sum) {
  const int64_t nk = t->work.desc.nk, at = offset(t, p, false, query);
  double sum = 0;
  *highest = -INFINITY;
  for (int64_t k = 0; k < nk; k++) {
    if (!sees(t, query, k)) continue;
    t->scores[k] = t->scale * dot(t, Q, at, K, offset(t, p, true, k));
    *highest = fmax(*highest, t->scores[k]);
  }
  clear(t);
  for (int64_t k = 0; k < nk; k++) {
    if (!sees(t, query, k)) continue;
    const double weight = exp(t->scores[k] - *highest);
    sum += weight;
    add_row(t, t->row[0], weight, V, offset(t, p, true, k));
  }
  *inv_sum = 1 / sum;
  for (int64_t i = 0; i < t->work.desc.size; i++) t->row[0][i] /= sum;
}

/* What a query and a key add: the weight, and the gradient of the score. */
static void pair(const trial *t, place p, int64_t query, int64_t key, double *weight, double *gradient) {
  const int64_t at_q = offset(t, p, false, query), at_k = offset(t, p, true, key), at = statistic_at(t, p, query);
  const double score = t->scale * dot(t, Q, at_q, K, at_k), dp = dot(t, DOUT, at_q, V, at_k);
  *weight = exp(score - statistic(t, ROW_MAX, at)) * statistic(t, INV_SUM, at);
  *gradient = *weight * (dp - statistic(t, DELTA, at)) * t->scale;
}

/* row[0] = dq of a query, or dk of a key and row[1] its dv */
static void backward(const trial *t, place p, int64_t n) {
  const bool keys = is_of_keys(t);
  const int64_t others = keys ? t->work.desc.nq : t->work.desc.nk;
  double weight, gradient;
  clear(t);
  for (int64_t k = 0; k < others; k++) {
    const int64_t query = keys ? k : n, key = keys ? n : k;
    if (!sees(t, query, key)) continue;
    pair(t, p, query, key, &weight, &gradient);
    add_row(t, t->row[0], gradient, keys ? Q : K, offset(t, p, !keys, k));
    if (keys) add_row(t, t->row[1], weight, DOUT, offset(t, p, false, k));
  }
}

/* ---- the check ---- */

static gh_status wrong(gh_error *err) { return gh_fail(err, GH_ERROR_DEVICE, "it gives wrong numbers"); }

static gh_status read_row(gh_error *err, const trial *t, int result, int64_t at) {
  const int64_t n = t->work.desc.size;
  if (t->work.desc.dtype == GH_F32) return t->d->backend->read(err, t->d, t->out[result], 4 * at, t->got, 4 * n);
  gh_status status = t->d->backend->read(err, t->d, t->out[result], 2 * at, t->narrow, 2 * n);
  for (int64_t i = 0; i < n && !status; i++) t->got[i] = gh_widen(t->work.desc.dtype, t->narrow[i]);
  return status;
}

static gh_status compare_row(gh_error *err, const trial *t, int result, int64_t at, const double *want) {
  const double most = gh_dtype_is_narrow(t->work.desc.dtype) ? NARROW_MOST : TOLERANCE;
  double squares = 0;
  gh_status status = read_row(err, t, result, at);
  if (status) return status;
  for (int64_t i = 0; i < t->work.desc.size; i++) squares += want[i] * want[i];
  const double room = sqrt(squares / (double)t->work.desc.size);
  for (int64_t i = 0; i < t->work.desc.size; i++)
    if (!(fabs((double)t->got[i] - want[i]) <= most * (fabs(want[i]) + room))) return wrong(err);
  return GH_OK;
}

static gh_status compare_statistic(gh_error *err, const trial *t, int result, int64_t at, double want) {
  const double most = t->work.unit ? 2e-3 : TOLERANCE; /* a unit's sums of products lose bits */
  float got;
  gh_status status = t->d->backend->read(err, t->d, t->out[result], 4 * at, &got, sizeof got);
  return status || fabs((double)got - want) <= most * (fabs(want) + 1e-3) ? status : wrong(err);
}

static gh_status check_row(gh_error *err, const trial *t, place p, int64_t n) {
  const int64_t at = offset(t, p, is_of_keys(t), n);
  gh_status status = GH_OK;
  if (is_backward(t)) {
    backward(t, p, n);
    for (int i = 0; i < t->outs && !status; i++) status = compare_row(err, t, i, at, t->row[i]);
    return status;
  }
  double highest, inv_sum;
  forward(t, p, n, &highest, &inv_sum);
  status = compare_row(err, t, FIRST, at, t->row[0]);
  if (!status) status = compare_statistic(err, t, SECOND, statistic_at(t, p, n), highest);
  return status ? status : compare_statistic(err, t, THIRD, statistic_at(t, p, n), inv_sum);
}

/* The first and the last head; rows at both ends, the rest spread evenly. */
static gh_status check(gh_error *err, const trial *t) {
  const gh_attention_desc *g = &t->work.desc;
  const place places[] = {{0, 0}, {g->batch - 1, g->heads - 1}};
  const int64_t rows = is_of_keys(t) ? g->nk : g->nq, count = GH_MIN(rows, SAMPLES);
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(places); i++)
    for (int64_t k = 0; k < count && !status; k++)
      status = check_row(err, t, places[i], count == 1 ? 0 : k * (rows - 1) / (count - 1));
  return status;
}

/* NaN in either type, so that what is not written is noticed. */
static gh_status spoil(gh_error *err, trial *t, int result) {
  gh_launch *fill;
  gh_status status =
      t->d->backend->bind_fill(err, t->d, t->out[result], 0, result_bytes(t, result), 0x7fc07fc0u, &fill);
  if (status) return status;
  status = t->d->backend->enqueue(err, t->d, fill);
  if (!status) status = t->d->backend->finish(err, t->d);
  t->d->backend->launch_free(fill);
  return status;
}

gh_status gh_attention_trial_run(gh_error *err, void *of, const gh_provider *provider, gh_launch **launch) {
  trial *t = of;
  gh_attention_kernel kernel;
  gh_arg args[9 + GH_ATTENTION_SHARED_ARGS];
  gh_status status = GH_OK;
  int n = 0;
  *launch = NULL;
  for (int i = 0; i < t->outs && !status; i++) status = spoil(err, t, i);
  if (status) return status;
  for (int i = 0; i < t->outs; i++) args[n++] = gh_arg_buffer(t->out[i]);
  if (!is_backward(t) && t->outs == 3) args[n++] = gh_arg_buffer(NULL); /* nothing is rounded */
  for (int i = Q; i <= (is_backward(t) ? DELTA : V); i++) args[n++] = gh_arg_buffer(t->in[i]);
  gh_attention_kernel_of(&t->work, (const gh_attention_tile *)provider, &t->d->info, &kernel);
  n = gh_attention_args(args, n, &t->work.desc, t->in[HIDDEN], t->scale, &kernel);
  status = t->d->backend->bind_kernel(err, t->d, &kernel.id, &kernel.grid, args, n, launch);
  if (!status) status = t->d->backend->enqueue(err, t->d, *launch);
  if (!status) status = t->d->backend->finish(err, t->d);
  return status ? status : check(err, t);
}
