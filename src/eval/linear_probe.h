/* A linear classifier on frozen embeddings, by ridge regression: exact and deterministic.
 *
 * Rows are divided by their Euclidean length, then every element is standardised with the mean and the standard
 * deviation of the training rows. The weights minimise the mean over the rows of |z W + b - y|^2, y one-hot, plus
 * `ridge` |W|^2; b, the classes' frequencies, is not penalised. A row belongs to the class of the greatest score, the
 * first at a tie. Everything is float64. */
#ifndef GH_EVAL_LINEAR_PROBE_H
#define GH_EVAL_LINEAR_PROBE_H

#include "base/status.h"

typedef struct gh_linear_probe {
  int64_t width, classes;
  double *mean, *scale; /* (width); an element that never varies has scale 0 */
  double *weights;      /* (width, classes) */
  double *bias;         /* (classes) */
} gh_linear_probe;

/* rows (n, width), labels (n) in [0, classes); n >= 1, ridge above 0. Free the probe, even after failure. */
gh_status gh_linear_probe_fit(gh_error *err, gh_linear_probe *out, const float *rows, const int64_t *labels, int64_t n,
                              int64_t width, int64_t classes, double ridge);
void gh_linear_probe_free(gh_linear_probe *probe); /* an empty one is fine */

/* row (width) -> scores (classes). Returns the class. z (width) is scratch. */
int64_t gh_linear_probe_classify(const gh_linear_probe *probe, double *scores, double *z, const float *row);

#endif
