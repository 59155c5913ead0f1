#include "eval/linear_probe.h"

#include <math.h>
#include <stdlib.h>

#define LEAST_DEVIATION 1e-9 /* of an element of a row of length 1: below it, only rounding varies */

static double length_of(const float *row, int64_t width) {
  double squares = 0;
  for (int64_t i = 0; i < width; i++) squares += (double)row[i] * (double)row[i];
  return sqrt(squares);
}

/* z = row / length, standardised. */
static void standardise(const gh_linear_probe *p, double *z, const float *row) {
  double length = length_of(row, p->width), inverse = length > 0 ? 1 / length : 0;
  for (int64_t i = 0; i < p->width; i++) z[i] = ((double)row[i] * inverse - p->mean[i]) * p->scale[i];
}

static void measure(gh_linear_probe *p, const float *rows, int64_t n) {
  for (int64_t r = 0; r < n; r++) {
    double length = length_of(rows + r * p->width, p->width), inverse = length > 0 ? 1 / length : 0;
    for (int64_t i = 0; i < p->width; i++) p->mean[i] += (double)rows[r * p->width + i] * inverse / (double)n;
  }
  for (int64_t r = 0; r < n; r++) {
    double length = length_of(rows + r * p->width, p->width), inverse = length > 0 ? 1 / length : 0;
    for (int64_t i = 0; i < p->width; i++) {
      double d = (double)rows[r * p->width + i] * inverse - p->mean[i];
      p->scale[i] += d * d / (double)n;
    }
  }
  for (int64_t i = 0; i < p->width; i++) {
    double deviation = sqrt(p->scale[i]);
    p->scale[i] = deviation > LEAST_DEVIATION ? 1 / deviation : 0;
  }
}

/* Adds the row's part of the normal equations: the lower half of a (width, width), b (width, classes). */
static void accumulate(const gh_linear_probe *p, double *a, double *b, const double *z, int64_t label, double share) {
  const int64_t w = p->width;
  for (int64_t i = 0; i < w; i++) {
    const double zi = z[i] * share;
    for (int64_t k = 0; k <= i; k++) a[i * w + k] += zi * z[k];
    for (int64_t c = 0; c < p->classes; c++) b[i * p->classes + c] += zi * ((c == label) - p->bias[c]);
  }
}

/* a = L L^T in its lower half; false if it is not positive definite (an embedding is not finite). */
static bool factor(double *a, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k <= i; k++) {
      double sum = a[i * n + k];
      for (int64_t m = 0; m < k; m++) sum -= a[i * n + m] * a[k * n + m];
      if (k < i)
        a[i * n + k] = sum / a[k * n + k];
      else if (sum > 0)
        a[i * n + i] = sqrt(sum);
      else
        return false;
    }
  return true;
}

/* Replaces b (n, columns) by the solution of L L^T x = b. */
static void solve(const double *l, double *b, int64_t n, int64_t columns) {
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < i; k++)
      for (int64_t c = 0; c < columns; c++) b[i * columns + c] -= l[i * n + k] * b[k * columns + c];
    for (int64_t c = 0; c < columns; c++) b[i * columns + c] /= l[i * n + i];
  }
  for (int64_t i = n; i-- > 0;) {
    for (int64_t k = i + 1; k < n; k++)
      for (int64_t c = 0; c < columns; c++) b[i * columns + c] -= l[k * n + i] * b[k * columns + c];
    for (int64_t c = 0; c < columns; c++) b[i * columns + c] /= l[i * n + i];
  }
}

gh_status gh_linear_probe_fit(gh_error *err, gh_linear_probe *out, const float *rows, const int64_t *labels, int64_t n,
                              int64_t width, int64_t classes, double ridge) {
  *out = (gh_linear_probe){.width = width, .classes = classes};
  double *a = gh_alloc(err, (size_t)width, (size_t)width * sizeof *a), *z = gh_alloc(err, (size_t)width, sizeof *z);
  out->mean = gh_alloc(err, (size_t)width, sizeof(double));
  out->scale = gh_alloc(err, (size_t)width, sizeof(double));
  out->weights = gh_alloc(err, (size_t)width, (size_t)classes * sizeof(double));
  out->bias = gh_alloc(err, (size_t)classes, sizeof(double));
  gh_status status = a && z && out->mean && out->scale && out->weights && out->bias ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    measure(out, rows, n);
    for (int64_t r = 0; r < n; r++) out->bias[labels[r]] += 1 / (double)n;
    for (int64_t i = 0; i < width; i++) a[i * width + i] = ridge;
  }
  for (int64_t r = 0; r < n && !status; r++) {
    standardise(out, z, rows + r * width);
    accumulate(out, a, out->weights, z, labels[r], 1 / (double)n);
  }
  if (!status && !factor(a, width))
    status = gh_fail(err, GH_ERROR_NUMERIC, "a linear probe has no solution: an embedding is not finite");
  if (!status) solve(a, out->weights, width, classes);
  free(a);
  free(z);
  return status;
}

void gh_linear_probe_free(gh_linear_probe *p) {
  free(p->mean);
  free(p->scale);
  free(p->weights);
  free(p->bias);
  *p = (gh_linear_probe){0};
}

int64_t gh_linear_probe_classify(const gh_linear_probe *p, double *scores, double *z, const float *row) {
  int64_t best = 0;
  standardise(p, z, row);
  for (int64_t c = 0; c < p->classes; c++) scores[c] = p->bias[c];
  for (int64_t i = 0; i < p->width; i++)
    for (int64_t c = 0; c < p->classes; c++) scores[c] += z[i] * p->weights[i * p->classes + c];
  for (int64_t c = 1; c < p->classes; c++)
    if (scores[c] > scores[best]) best = c;
  return best;
}
