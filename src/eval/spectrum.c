#include "eval/spectrum.h"
#include "base/log.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>

#define CHANNELS 3
#define PLANES   (2 * CHANNELS) /* an image's and its reconstruction's */
#define Z95      1.959963984540054
#define PI       3.14159265358979323846

/* One image's sums over each ring. */
typedef struct gh_rings {
  double *original, *reconstruction, *cross; /* (rings) */
  int64_t *count;                            /* (rings) frequencies in each, all channels */
} gh_rings;

typedef struct gh_spectrum_job {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *x, *f; /* (6, S, S, 2) */
  int64_t side;
  float *values;        /* of one such tensor */
  double *window;       /* (S) */
  gh_rings rings;       /* of the current image */
  double *sums, *total; /* (rings) of the correlations and their squares */
} gh_spectrum_job;

static gh_status plan(gh_error *err, gh_spectrum_job *j) {
  const int64_t shape[4] = {PLANES, j->side, j->side, 2};
  gh_status status = gh_store_create(err, j->device, &j->store);
  if (!status) status = gh_store_add(err, j->store, "planes", GH_F32, 4, shape, &j->x);
  if (!status) status = gh_graph_create(err, j->device, &j->graph);
  if (status) return status;
  j->f = gh_fft2d(j->graph, j->x, false);
  if (gh_graph_failed(j->graph)) {
    *err = *gh_graph_error(j->graph);
    return err->status;
  }
  gh_graph_keep(j->graph, j->f);
  return gh_graph_plan(err, j->graph);
}

/* Converts a channel (S, S) to windowed complex numbers. */
static void fill(const gh_spectrum_job *j, float *to, const float *from) {
  int64_t s = j->side;
  double mean = 0;
  for (int64_t i = 0; i < s * s; i++) mean += (double)from[i];
  mean /= (double)(s * s);
  for (int64_t i = 0; i < s * s; i++) {
    to[2 * i] = (float)(((double)from[i] - mean) * j->window[i / s] * j->window[i % s]);
    to[2 * i + 1] = 0;
  }
}

static int64_t ring_of(int64_t row, int64_t column, int64_t side) {
  int64_t y = row <= side / 2 ? row : row - side, x = column <= side / 2 ? column : column - side;
  return lround(sqrt((double)(x * x + y * y)));
}

static void collect(gh_spectrum_job *j, int64_t rings) {
  int64_t plane = 2 * j->side * j->side;
  for (int64_t r = 0; r < rings; r++) {
    j->rings.original[r] = j->rings.reconstruction[r] = j->rings.cross[r] = 0;
    j->rings.count[r] = 0;
  }
  for (int64_t i = 0; i < j->side * j->side; i++) {
    int64_t r = ring_of(i / j->side, i % j->side, j->side) - 1;
    if (r < 0 || r >= rings) continue;
    for (int c = 0; c < CHANNELS; c++) {
      const float *f = j->values + c * plane + 2 * i, *g = f + CHANNELS * plane;
      j->rings.original[r] += (double)f[0] * (double)f[0] + (double)f[1] * (double)f[1];
      j->rings.reconstruction[r] += (double)g[0] * (double)g[0] + (double)g[1] * (double)g[1];
      j->rings.cross[r] += (double)f[0] * (double)g[0] + (double)f[1] * (double)g[1];
    }
    j->rings.count[r] += CHANNELS;
  }
}

static gh_status add_picture(gh_error *err, gh_spectrum_job *j, gh_spectrum *out, const float *original,
                             const float *image) {
  int64_t size = j->side * j->side;
  for (int c = 0; c < CHANNELS; c++) {
    fill(j, j->values + c * 2 * size, original + c * size);
    fill(j, j->values + (CHANNELS + c) * 2 * size, image + c * size);
  }
  gh_status status = gh_tensor_write(err, j->device, j->x, j->values);
  if (!status) status = gh_graph_run(err, j->graph);
  if (!status) status = gh_tensor_read(err, j->device, j->f, j->values);
  if (status) return status;
  collect(j, out->rings);
  double scale = 1 / ((double)size * (double)size);
  for (int64_t r = 0; r < out->rings; r++) {
    double f = j->rings.original[r], g = j->rings.reconstruction[r], n = (double)j->rings.count[r];
    double correlation = f > 0 && g > 0 ? j->rings.cross[r] / sqrt(f * g) : 0; /* zero power: a constant plane */
    out->original[r] += f / n * scale;
    out->reconstruction[r] += g / n * scale;
    j->sums[r] += correlation;
    j->total[r] += correlation * correlation;
  }
  return GH_OK;
}

static void conclude(const gh_spectrum_job *j, gh_spectrum *out) {
  double n = (double)out->images;
  for (int64_t r = 0; r < out->rings; r++) {
    double mean = j->sums[r] / n, variance = n > 1 ? fmax(j->total[r] - n * mean * mean, 0) / (n - 1) : 0;
    double half = Z95 * sqrt(variance / n);
    out->original[r] /= n;
    out->reconstruction[r] /= n;
    out->ratio[r] = out->original[r] > 0 ? out->reconstruction[r] / out->original[r] : 0;
    out->correlation[r] = mean;
    out->low[r] = mean - half;
    out->high[r] = mean + half;
  }
}

static gh_status prepare(gh_error *err, gh_spectrum_job *j, gh_spectrum *out) {
  size_t n = (size_t)out->rings;
  double **lists[] = {
      &out->original,     &out->reconstruction,     &out->ratio,     &out->correlation, &out->low, &out->high,
      &j->rings.original, &j->rings.reconstruction, &j->rings.cross, &j->sums,          &j->total};
  for (size_t i = 0; i < GH_COUNT(lists); i++)
    if (!(*lists[i] = gh_alloc(err, n, sizeof(double)))) return GH_ERROR_MEMORY;
  j->rings.count = gh_alloc(err, n, sizeof *j->rings.count);
  j->values = gh_alloc(err, (size_t)(PLANES * j->side * j->side * 2), sizeof *j->values);
  j->window = gh_alloc(err, (size_t)j->side, sizeof *j->window);
  if (!j->rings.count || !j->values || !j->window) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < j->side; i++) j->window[i] = 0.5 - 0.5 * cos(2 * PI * ((double)i + 0.5) / (double)j->side);
  return plan(err, j);
}

gh_status gh_spectrum_compute(gh_error *err, gh_spectrum *out, gh_device *device, const float *originals,
                              const float *images, int64_t n, int64_t side) {
  gh_spectrum_job j = {.device = device, .side = side};
  int64_t picture = CHANNELS * side * side;
  *out = (gh_spectrum){.images = n, .rings = side / 2};
  gh_progress progress;
  gh_progress_start(&progress, "spectrum", "images", (uint64_t)n, 0);
  gh_status status = prepare(err, &j, out);
  for (int64_t i = 0; i < n && !status; i++) {
    status = add_picture(err, &j, out, originals + i * picture, images + i * picture);
    gh_progress_update(&progress, (uint64_t)i + 1, NULL);
  }
  if (progress.terminal) gh_progress_end(&progress);
  if (!status) conclude(&j, out);
  gh_graph_free(j.graph);
  gh_store_free(j.store);
  double *lists[] = {j.rings.original, j.rings.reconstruction, j.rings.cross, j.sums, j.total, j.window};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  free(j.rings.count);
  free(j.values);
  if (status) gh_spectrum_free(out);
  return status;
}

void gh_spectrum_free(gh_spectrum *s) {
  double *lists[] = {s->original, s->reconstruction, s->ratio, s->correlation, s->low, s->high};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  *s = (gh_spectrum){0};
}
