/* Compares the matrix units' attention with the shared kernels, on the device and on the same random numbers. Correct
 * results differ only by the rounding of the attention weights; a misplaced element is off by its own size. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"

/* More than two work-groups of rows and four tiles of columns, the last ones incomplete. */
enum { BATCH = 2, HEADS = 2, NQ = 131, NK = 77 };
/* Keys that the mask covers; the one that it leaves to the first sample, so that the first tiles hide every key. Under
 * causality the first key is left, too, or the first queries would see none. */
enum { MASKED = 75, LEFT = 70 };

#define MOST       10 /* largest difference relative to |element| + root mean square of all, in roundings of the type */
#define MOST_EXACT 2e-3 /* the same for results that are not rounded */

enum { Q, K, V, DOUT, DELTA, INPUTS };
enum { OUT, RESIDUAL, ROW_MAXIMA, INV_SUMS, DQ, DK, DV, RESULTS };
enum { SHARED, MATRIX, BOTH };

static const struct {
  const char *name;
  bool keys, rows, wide; /* nk instead of nq rows; one number per row; float32 */
} inputs[] = {{"q", 0, 0, 0}, {"k", 1, 0, 0}, {"v", 1, 0, 0}, {"dout", 0, 0, 0}, {"delta", 0, 1, 1}},
  results[] = {{"out", 0, 0, 0},
               {"rounding error of out", 0, 0, 0},
               {"highest scores", 0, 1, 1},
               {"sums of weights", 0, 1, 1},
               {"dq", 0, 0, 0},
               {"dk", 1, 0, 0},
               {"dv", 1, 0, 0}};

typedef struct work {
  gh_device *d;
  gh_dtype dtype;
  int64_t size;
  bool masked;
  double scale;
  gh_buffer *in[INPUTS], *hidden, *out[BOTH][RESULTS];
  float *a, *b; /* two buffers of the size of the largest result */
  uint16_t *narrow;
} work;

static int64_t elements(const work *w, bool keys, bool rows) {
  return (int64_t)BATCH * HEADS * (keys ? NK : NQ) * (rows ? 1 : w->size);
}

static int64_t bytes(const work *w, bool keys, bool rows, bool wide) {
  return GH_CEIL_DIV(elements(w, keys, rows) * (wide ? 4 : 2), 16) * 16;
}

static bool is_hidden(int64_t sample, int64_t key, bool causal) {
  if (key >= MASKED || (causal && key == 0)) return false;
  return sample ? key % 3 != 0 : key != LEFT;
}

/* A row of k or v that no kernel may use, not even times 0. */
static bool is_unused(const work *w, int input, int64_t element) {
  const int64_t key = element / (HEADS * w->size);
  return w->masked && (input == K || input == V) && key % NK && is_hidden(key / NK, key % NK, false);
}

static gh_status write_mask(gh_error *err, work *w, bool causal) {
  int32_t hidden[BATCH * MASKED];
  for (int i = 0; i < BATCH * MASKED; i++) hidden[i] = is_hidden(i / MASKED, i % MASKED, causal);
  return w->masked ? w->d->backend->write(err, w->d, w->hidden, 0, hidden, sizeof hidden) : GH_OK;
}

/* Fills evenly from [-1, 1), unused rows with NaN. */
static gh_status fill(gh_error *err, work *w, int input) {
  const int64_t n = elements(w, inputs[input].keys, inputs[input].rows);
  uint32_t state = 12345u + 77u * (uint32_t)input;
  for (int64_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    w->a[i] = is_unused(w, input, i) ? NAN : (float)(state >> 8) * 0x1p-23f - 1.0f;
    w->narrow[i] = gh_narrow(w->dtype, w->a[i]);
  }
  const bool wide = inputs[input].wide;
  const void *from = wide ? (const void *)w->a : w->narrow;
  return w->d->backend->write(err, w->d, w->in[input], 0, from, n * (wide ? 4 : 2));
}

static gh_status create(gh_error *err, work *w) {
  const gh_backend *backend = w->d->backend;
  gh_status status = GH_OK;
  w->a = gh_alloc(err, (size_t)elements(w, false, false), sizeof *w->a);
  w->b = gh_alloc(err, (size_t)elements(w, false, false), sizeof *w->b);
  w->narrow = gh_alloc(err, (size_t)elements(w, false, false), sizeof *w->narrow);
  if (!w->a || !w->b || !w->narrow) return GH_ERROR_MEMORY;
  for (int i = 0; i < INPUTS && !status; i++) {
    status = backend->buffer_create(err, w->d, bytes(w, inputs[i].keys, inputs[i].rows, inputs[i].wide), &w->in[i]);
    if (!status) status = fill(err, w, i);
  }
  if (w->masked && !status) status = backend->buffer_create(err, w->d, BATCH * MASKED * 4, &w->hidden);
  /* NaN, so that an element that is not written is noticed */
  memset(w->narrow, 0xff, (size_t)elements(w, false, false) * sizeof *w->narrow);
  for (int i = 0; i < BOTH * RESULTS && !status; i++) {
    const int r = i % RESULTS;
    const int64_t n = elements(w, results[r].keys, results[r].rows) * (results[r].wide ? 4 : 2);
    status = backend->buffer_create(err, w->d, bytes(w, results[r].keys, results[r].rows, results[r].wide),
                                    &w->out[i / RESULTS][r]);
    if (!status) status = backend->write(err, w->d, w->out[i / RESULTS][r], 0, w->narrow, n);
  }
  return status;
}

static void destroy(work *w) {
  const gh_backend *backend = w->d->backend;
  for (int i = 0; i < INPUTS; i++) backend->buffer_free(w->in[i]);
  backend->buffer_free(w->hidden);
  for (int i = 0; i < BOTH * RESULTS; i++) backend->buffer_free(w->out[i / RESULTS][i % RESULTS]);
  free(w->a);
  free(w->b);
  free(w->narrow);
}

/* ---- running ---- */

/* The arguments of a part; both backward parts get the statistics of the shared kernel. */
static int own_args(const work *w, gh_attention_part part, int which, gh_arg *args) {
  gh_buffer *const *out = w->out[which], *const *in = w->in;
  int n = 0;
  if (part == GH_ATTENTION_FORWARD) {
    static const int order[] = {OUT, ROW_MAXIMA, INV_SUMS, RESIDUAL};
    for (int i = 0; i < 4; i++) args[n++] = gh_arg_buffer(out[order[i]]);
    for (int i = Q; i <= V; i++) args[n++] = gh_arg_buffer(in[i]);
    return n;
  }
  for (int i = part == GH_ATTENTION_BACKWARD_Q ? DQ : DK; i <= (part == GH_ATTENTION_BACKWARD_Q ? DQ : DV); i++)
    args[n++] = gh_arg_buffer(out[i]);
  for (int i = Q; i <= DOUT; i++) args[n++] = gh_arg_buffer(in[i]);
  args[n++] = gh_arg_buffer(w->out[SHARED][ROW_MAXIMA]);
  args[n++] = gh_arg_buffer(w->out[SHARED][INV_SUMS]);
  args[n++] = gh_arg_buffer(in[DELTA]);
  return n;
}

static gh_status run(gh_error *err, work *w, gh_attention_part part, int which, bool causal, const char *unit) {
  const gh_attention_work launched = {{part, w->dtype, BATCH, NQ, NK, HEADS, w->size, w->masked ? MASKED : 0, causal},
                                      which == SHARED ? NULL : unit};
  gh_attention_kernel kernel;
  gh_arg args[9 + GH_ATTENTION_SHARED_ARGS];
  gh_attention_kernel_of(&launched, NULL, &w->d->info, &kernel);
  const int n = gh_attention_args(args, own_args(w, part, which, args), &launched.desc, w->hidden, w->scale, &kernel);
  gh_launch *launch = NULL;
  gh_status status = w->d->backend->bind_kernel(err, w->d, &kernel.id, &kernel.grid, args, n, &launch);
  if (!status) status = w->d->backend->enqueue(err, w->d, launch);
  if (!status) status = w->d->backend->finish(err, w->d);
  w->d->backend->launch_free(launch);
  return status;
}

/* ---- comparing ---- */

/* Adds a narrow result to `to`; a float32 result replaces the content. */
static gh_status add_result(gh_error *err, work *w, int which, int result, float *to) {
  const int64_t n = elements(w, results[result].keys, results[result].rows);
  if (results[result].wide) return w->d->backend->read(err, w->d, w->out[which][result], 0, to, n * 4);
  gh_status status = w->d->backend->read(err, w->d, w->out[which][result], 0, w->narrow, n * 2);
  for (int64_t i = 0; i < n && !status; i++) to[i] += gh_widen(w->dtype, w->narrow[i]);
  return status;
}

/* Reads a result. RESIDUAL is read as the sum of OUT and its rounding error. */
static gh_status read_floats(gh_error *err, work *w, int which, int result, float *to) {
  memset(to, 0, (size_t)elements(w, false, false) * sizeof *to);
  gh_status status = add_result(err, w, which, result, to);
  return !status && result == RESIDUAL ? add_result(err, w, which, OUT, to) : status;
}

static gh_status compare(gh_error *err, work *w, int result, bool causal) {
  const int64_t n = elements(w, results[result].keys, results[result].rows);
  const double most = results[result].wide ? MOST_EXACT : MOST * gh_dtype_rounding(w->dtype);
  double squares = 0;
  gh_status status = read_floats(err, w, SHARED, result, w->a);
  if (!status) status = read_floats(err, w, MATRIX, result, w->b);
  if (status) return status;
  for (int64_t i = 0; i < n; i++) squares += (double)w->a[i] * (double)w->a[i];
  const double room = sqrt(squares / (double)n);
  for (int64_t i = 0; i < n; i++) {
    const double want = (double)w->a[i], got = (double)w->b[i];
    if (!(fabs(got - want) <= most * (fabs(want) + room)))
      return gh_fail(err, GH_ERROR_DEVICE, "%s: element %lld%s is %g, but %g with the shared kernel",
                     results[result].name, (long long)i, causal ? ", causal," : "", got, want);
  }
  return GH_OK;
}

gh_status gh_attention_check(gh_error *err, gh_device *d, gh_dtype dtype, int64_t size, bool masked, const char *unit) {
  work w = {.d = d, .dtype = dtype, .size = size, .masked = masked, .scale = 2 / sqrt((double)size)};
  gh_status status = create(err, &w);
  for (int causal = 0; causal < 2 && !status; causal++) {
    status = write_mask(err, &w, causal);
    for (int i = 0; i < BOTH * GH_ATTENTION_PARTS && !status; i++)
      status = run(err, &w, (gh_attention_part)(i % GH_ATTENTION_PARTS), i / GH_ATTENTION_PARTS, causal, unit);
    for (int i = 0; i < RESULTS && !status; i++) status = compare(err, &w, i, causal);
  }
  destroy(&w);
  return status;
}
