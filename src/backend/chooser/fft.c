#include "backend/chooser/fft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/core/libraries.h"

#define OWN         "own"
#define TRIAL_BYTES (INT64_C(64) << 20) /* the most for one side of a trial, unless a single transform is larger */
#define SAMPLES     16                  /* frequencies that are compared, in the first and the last transform */
/* |error| of a frequency relative to the norm of the input: 2^-24 log2(n) on average. A misplaced value is off by about
 * 1. */
#define TOLERANCE 1e-5

/* ---- the providers ---- */

static bool library_supports(const gh_provider *p, const gh_device *d) {
  const char *name = d->backend->fft_name(d);
  return name && !strcmp(name, p->name);
}

static const gh_provider providers[] = {
    {GH_CLFFT, GH_CLFFT},
    {GH_CUFFT, GH_CUFFT},
    {OWN, OWN},
};

static const gh_provider *provider_at(int index) { return index < (int)GH_COUNT(providers) ? &providers[index] : NULL; }

/* Whether the library supports the size shows when the transform is bound. */
static bool supports(const gh_provider *p, const void *desc, const gh_device *d) {
  (void)desc;
  return !strcmp(p->name, OWN) || library_supports(p, d);
}

static void key_of(const void *desc, char *key, size_t size) {
  const gh_fft_desc *f = desc;
  snprintf(key, size, "batch=%lld rows=%lld columns=%lld %s", (long long)f->batch, (long long)f->rows,
           (long long)f->columns, f->inverse ? "inverse" : "forward");
}

/* ---- the check ---- */

typedef struct trial {
  gh_device *d;
  gh_fft_desc desc;
  gh_buffer *from, *to;
  float *x, *y;  /* (rows, columns, 2): the input of every transform of the batch, and one result */
  double *turns; /* (longer side, 2): cosine and sine, of one sampled frequency along one side */
  double norm;   /* of x */
} trial;

static int64_t floats(const gh_fft_desc *f) { return 2 * f->rows * f->columns; }

static void trial_close(void *of) {
  trial *t = of;
  t->d->backend->buffer_free(t->from);
  t->d->backend->buffer_free(t->to);
  free(t->x);
  free(t->y);
  free(t->turns);
  free(t);
}

/* Fills x evenly from [-1, 1). */
static void draw(trial *t) {
  uint32_t state = 12345;
  for (int64_t i = 0; i < floats(&t->desc); i++) {
    state = state * 1664525u + 1013904223u;
    t->x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    t->norm += (double)t->x[i] * (double)t->x[i];
  }
  t->norm = sqrt(t->norm);
}

static gh_status trial_open(gh_error *err, gh_device *d, const void *desc, bool timed, void **out) {
  (void)timed;
  *out = NULL;
  trial *t = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  *t = (trial){.d = d, .desc = *(const gh_fft_desc *)desc};
  gh_fft_desc *f = &t->desc;
  const int64_t bytes = 4 * floats(f);
  while (f->batch > 2 && f->batch > TRIAL_BYTES / bytes) f->batch = GH_CEIL_DIV(f->batch, 2);
  t->x = gh_alloc(err, (size_t)floats(f), sizeof *t->x);
  t->y = gh_alloc(err, (size_t)floats(f), sizeof *t->y);
  t->turns = gh_alloc(err, (size_t)(2 * GH_MAX(f->rows, f->columns)), sizeof *t->turns);
  gh_status status = t->x && t->y && t->turns ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = d->backend->buffer_create(err, d, f->batch * bytes, &t->from);
  if (!status) status = d->backend->buffer_create(err, d, f->batch * bytes, &t->to);
  if (!status) draw(t);
  for (int64_t i = 0; i < f->batch && !status; i++) status = d->backend->write(err, d, t->from, i * bytes, t->x, bytes);
  if (status)
    trial_close(t);
  else
    *out = t;
  return status;
}

/* turns[i] = exp(-+ 2 pi i k / n), with whole turns removed first, so that the angle stays exact. */
static void fill_turns(trial *t, int64_t k, int64_t n) {
  const double step = (t->desc.inverse ? 2 : -2) * M_PI / (double)n;
  for (int64_t i = 0; i < n; i++) {
    const double angle = step * (double)(i * k % n);
    t->turns[2 * i] = cos(angle);
    t->turns[2 * i + 1] = sin(angle);
  }
}

/* The frequency (row, column) of x, computed directly: sums along each row, then over the rows. */
static gh_status frequency(gh_error *err, trial *t, int64_t row, int64_t column, double out[2]) {
  const int64_t rows = t->desc.rows, columns = t->desc.columns;
  double *sums = gh_alloc(err, (size_t)(2 * rows), sizeof *sums); /* (rows, 2) */
  if (!sums) return GH_ERROR_MEMORY;
  fill_turns(t, column, columns);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) {
      const double re = (double)t->x[2 * (r * columns + c)], im = (double)t->x[2 * (r * columns + c) + 1];
      sums[2 * r] += re * t->turns[2 * c] - im * t->turns[2 * c + 1];
      sums[2 * r + 1] += re * t->turns[2 * c + 1] + im * t->turns[2 * c];
    }
  fill_turns(t, row, rows);
  out[0] = out[1] = 0;
  for (int64_t r = 0; r < rows; r++) {
    out[0] += sums[2 * r] * t->turns[2 * r] - sums[2 * r + 1] * t->turns[2 * r + 1];
    out[1] += sums[2 * r] * t->turns[2 * r + 1] + sums[2 * r + 1] * t->turns[2 * r];
  }
  free(sums);
  return GH_OK;
}

/* Compares sampled frequencies: both ends, and others spread evenly, with different rows and columns. */
static gh_status compare(gh_error *err, trial *t, int64_t which) {
  const int64_t rows = t->desc.rows, columns = t->desc.columns, bytes = 4 * floats(&t->desc);
  gh_status status = t->d->backend->read(err, t->d, t->to, which * bytes, t->y, bytes);
  for (int i = 0; i < SAMPLES && !status; i++) {
    const int64_t row = i * 5 % SAMPLES * (rows - 1) / (SAMPLES - 1), column = i * (columns - 1) / (SAMPLES - 1);
    double want[2];
    status = frequency(err, t, row, column, want);
    const float *got = t->y + 2 * (row * columns + column);
    if (!status && !(hypot((double)got[0] - want[0], (double)got[1] - want[1]) <= TOLERANCE * t->norm))
      status = gh_fail(err, GH_ERROR_DEVICE, "it gives wrong numbers");
  }
  return status;
}

static gh_status trial_run(gh_error *err, void *of, const gh_provider *p, gh_launch **launch) {
  trial *t = of;
  const gh_backend *backend = t->d->backend;
  (void)p; /* a device has one library */
  gh_status status = backend->bind_fft(err, t->d, &t->desc, t->from, t->to, launch);
  if (!status) status = backend->enqueue(err, t->d, *launch);
  if (!status) status = compare(err, t, 0);
  if (!status && t->desc.batch > 1) status = compare(err, t, t->desc.batch - 1);
  return status;
}

const gh_choice_kind gh_fft_kind = {.name = "fft",
                                    .title = "FFT",
                                    .variable = "GH_FFT",
                                    .provider = provider_at,
                                    .fallback = OWN,
                                    .key = key_of,
                                    .supports = supports,
                                    .suits = supports,
                                    .trial_open = trial_open,
                                    .trial_run = trial_run,
                                    .trial_close = trial_close};

gh_status gh_fft_choose(gh_error *err, gh_device *d, const gh_fft_desc *desc, bool *library) {
  const gh_provider *chosen;
  gh_status status = gh_choose(err, d, &gh_fft_kind, desc, &chosen);
  *library = !status && strcmp(chosen->name, OWN);
  return status;
}
