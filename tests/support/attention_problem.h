/* Attention with random inputs, with or without a mask, and its float64 results on the host. */
#ifndef GH_TESTS_SUPPORT_ATTENTION_PROBLEM_H
#define GH_TESTS_SUPPORT_ATTENTION_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/graph.h"

typedef struct attention_sizes {
  int64_t batch, nq, nk, heads, size;
  bool causal;
  double scale;
  int64_t masked; /* keys that the mask covers; 0: no mask */
  int percent;    /* of them hidden; one of each sample is left at least, the first if causal */
} attention_sizes;

#define ATTENTION_HIDES_LAST 101 /* a percent: all keys of the last sample, none of the others */

enum { ATTENTION_Q, ATTENTION_K, ATTENTION_V, ATTENTION_DOUT, ATTENTION_INPUTS };    /* inputs */
enum { ATTENTION_OUT, ATTENTION_DQ, ATTENTION_DK, ATTENTION_DV, ATTENTION_RESULTS }; /* results */

extern const int attention_result_side[]; /* the input whose shape a result has */
extern const char *const attention_input_names[], *const attention_result_names[];

int64_t attention_elements(const attention_sizes *s, int input);
void attention_shape(const attention_sizes *s, int input, int64_t dims[4]);
void attention_fill(const attention_sizes *s, float **x); /* uniform in [-1, 1); the caller frees each */
bool attention_hides(const attention_sizes *s, int64_t sample, int64_t key);
/* Replaces hidden keys' k and v by NaN, infinity and large numbers, which no result may show. */
void attention_spoil(const attention_sizes *s, float **x);
gh_tensor *attention_mask(gh_store *store, gh_device *device, const attention_sizes *s); /* NULL: there is none */
/* Fails unless hidden keys' dk and dv are exactly 0. dk or dv may be NULL. */
void attention_check_hidden(const attention_sizes *s, float *const *result);
void attention_reference(const attention_sizes *s, float *const *x, double **want); /* the caller frees each */

/* Runs the op and its gradient in float32 on the device; the caller frees each result. */
void attention_run(gh_device *device, const attention_sizes *s, float *const *x, float **result);

/* || got - want || / || want ||, or || got || if want is 0; *worst: the largest |got - want| over |want| + the root
 * mean square of want. Propagates NaN. */
double attention_error(const attention_sizes *s, int result, const float *got, const double *want, double *worst);

#endif
