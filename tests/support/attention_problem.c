#include "support/attention_problem.h"

#include <math.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "support/check.h"

const int attention_result_side[] = {ATTENTION_Q, ATTENTION_Q, ATTENTION_K, ATTENTION_K};
const char *const attention_input_names[] = {"q", "k", "v", "dout"};
const char *const attention_result_names[] = {"out", "dq", "dk", "dv"};

static bool is_key(int input) { return input == ATTENTION_K || input == ATTENTION_V; }

void attention_shape(const attention_sizes *s, int input, int64_t dims[4]) {
  dims[0] = s->batch;
  dims[1] = is_key(input) ? s->nk : s->nq;
  dims[2] = s->heads;
  dims[3] = s->size;
}

int64_t attention_elements(const attention_sizes *s, int input) {
  return s->batch * (is_key(input) ? s->nk : s->nq) * s->heads * s->size;
}

void attention_fill(const attention_sizes *s, float **x) {
  uint32_t state = 12345;
  for (int i = 0; i < ATTENTION_INPUTS; i++) {
    x[i] = malloc((size_t)attention_elements(s, i) * sizeof(float));
    for (int64_t k = 0; k < attention_elements(s, i); k++) {
      state = state * 1664525u + 1013904223u;
      x[i][k] = (float)(state >> 8) / (float)(1 << 23) - 1;
    }
  }
}

bool attention_hides(const attention_sizes *s, int64_t sample, int64_t key) {
  if (s->percent == ATTENTION_HIDES_LAST) return key < s->masked && sample == s->batch - 1;
  const int64_t left = s->causal ? 0 : (7 * sample + 3) % s->nk;
  const uint32_t random = ((uint32_t)(sample * s->nk + key) * 2654435761u) >> 8;
  return key < s->masked && key != left && random % 100 < (uint32_t)s->percent;
}

/* Calls `visit` for each hidden row of k and v, at this offset. */
static void each_hidden(const attention_sizes *s, float *const *pair,
                        void (*visit)(float *row, int64_t n, int64_t key)) {
  const int64_t n = s->heads * s->size;
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t key = 0; key < s->masked; key++)
      for (int i = 0; i < 2 && attention_hides(s, b, key); i++)
        if (pair[i]) visit(pair[i] + (b * s->nk + key) * n, n, key);
}

static void spoil_row(float *row, int64_t n, int64_t key) {
  static const float with[] = {NAN, INFINITY, -INFINITY, 3e38f};
  for (int64_t i = 0; i < n; i++) row[i] = with[key % 4];
}

void attention_spoil(const attention_sizes *s, float **x) { each_hidden(s, x + ATTENTION_K, spoil_row); }

static void check_row(float *row, int64_t n, int64_t key) {
  for (int64_t i = 0; i < n; i++)
    if (row[i] != 0) fail_msg("hidden key %lld has the gradient %g", (long long)key, (double)row[i]);
}

void attention_check_hidden(const attention_sizes *s, float *const *result) {
  each_hidden(s, result + ATTENTION_DK, check_row);
}

gh_tensor *attention_mask(gh_store *store, gh_device *device, const attention_sizes *s) {
  gh_error err;
  gh_tensor *t;
  if (!s->masked) return NULL;
  int32_t *hidden = malloc((size_t)(s->batch * s->masked) * sizeof *hidden);
  for (int64_t i = 0; i < s->batch * s->masked; i++)
    hidden[i] = attention_hides(s, i / s->masked, i % s->masked) ? (int32_t)(i % 3 - 1) * 256 - 1 : 0;
  check_ok(gh_store_add(&err, store, "hidden", GH_I32, 2, (int64_t[]){s->batch, s->masked}, &t));
  check_ok(gh_tensor_write(&err, device, t, hidden));
  free(hidden);
  return t;
}

void attention_run(gh_device *device, const attention_sizes *s, float *const *x, float **result) {
  gh_error err;
  gh_store *store = NULL;
  gh_graph *g = NULL;
  gh_tensor *t[ATTENTION_INPUTS];
  check_ok(gh_store_create(&err, device, &store));
  for (int i = 0; i < ATTENTION_INPUTS; i++) {
    int64_t dims[4];
    attention_shape(s, i, dims);
    check_ok(gh_store_add(&err, store, attention_input_names[i], GH_F32, 4, dims, &t[i]));
    if (i != ATTENTION_DOUT) check_ok(gh_store_make_trainable(&err, store, t[i]));
    check_ok(gh_tensor_write(&err, device, t[i], x[i]));
  }
  check_ok(gh_graph_create(&err, device, &g));
  gh_tensor *out = gh_attention(g, t[ATTENTION_Q], t[ATTENTION_K], t[ATTENTION_V], attention_mask(store, device, s),
                                s->scale, s->causal);
  gh_graph_keep(g, out);
  check_ok(gh_graph_differentiate_from(g, &out, &t[ATTENTION_DOUT], 1));
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  check_ok(device->backend->finish(&err, device));
  gh_tensor *from[ATTENTION_RESULTS] = {out, t[ATTENTION_Q]->grad, t[ATTENTION_K]->grad, t[ATTENTION_V]->grad};
  for (int i = 0; i < ATTENTION_RESULTS; i++) {
    result[i] = malloc((size_t)attention_elements(s, attention_result_side[i]) * sizeof(float));
    check_ok(gh_tensor_read(&err, device, from[i], result[i]));
  }
  gh_graph_free(g);
  gh_store_free(store);
}

static double dot(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

static void add(double *to, double factor, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += factor * (double)x[i];
}

/* Computes one query of one head; at_q, at_k: offsets of its row of q and of the head's first key. Hidden keys are left
 * out. */
static void reference_row(const attention_sizes *s, float *const *x, int64_t sample, int64_t query, int64_t at_q,
                          int64_t at_k, double *p, double **want) {
  const float *q = x[ATTENTION_Q] + at_q, *k = x[ATTENTION_K] + at_k, *v = x[ATTENTION_V] + at_k;
  const float *dout = x[ATTENTION_DOUT] + at_q;
  int64_t pitch = s->heads * s->size, seen = s->causal && query + 1 < s->nk ? query + 1 : s->nk;
  double top = -INFINITY, total = 0, delta = 0;
  for (int64_t j = 0; j < seen; j++) {
    p[j] = attention_hides(s, sample, j) ? -INFINITY : s->scale * dot(q, k + j * pitch, s->size);
    top = fmax(top, p[j]);
  }
  for (int64_t j = 0; j < seen; j++) total += p[j] = exp(p[j] - top);
  for (int64_t j = 0; j < seen; j++) {
    p[j] /= total;
    if (attention_hides(s, sample, j)) continue;
    add(want[ATTENTION_OUT] + at_q, p[j], v + j * pitch, s->size);
    add(want[ATTENTION_DV] + at_k + j * pitch, p[j], dout, s->size);
  }
  for (int64_t d = 0; d < s->size; d++) delta += want[ATTENTION_OUT][at_q + d] * (double)dout[d];
  for (int64_t j = 0; j < seen; j++) {
    if (attention_hides(s, sample, j)) continue;
    double ds = s->scale * p[j] * (dot(dout, v + j * pitch, s->size) - delta);
    add(want[ATTENTION_DQ] + at_q, ds, k + j * pitch, s->size);
    add(want[ATTENTION_DK] + at_k + j * pitch, ds, q, s->size);
  }
}

void attention_reference(const attention_sizes *s, float *const *x, double **want) {
  double *p = malloc((size_t)s->nk * sizeof *p);
  for (int i = 0; i < ATTENTION_RESULTS; i++)
    want[i] = calloc((size_t)attention_elements(s, attention_result_side[i]), sizeof(double));
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t h = 0; h < s->heads; h++)
      for (int64_t i = 0; i < s->nq; i++)
        reference_row(s, x, b, i, ((b * s->nq + i) * s->heads + h) * s->size, (b * s->nk * s->heads + h) * s->size, p,
                      want);
  free(p);
}

double attention_error(const attention_sizes *s, int result, const float *got, const double *want, double *worst) {
  const int64_t n = attention_elements(s, attention_result_side[result]);
  double error = 0, norm = 0;
  for (int64_t k = 0; k < n; k++) {
    error += ((double)got[k] - want[k]) * ((double)got[k] - want[k]);
    norm += want[k] * want[k];
  }
  if (!(norm > 0)) norm = (double)n; /* the absolute error if the exact values are 0 */
  *worst = 0;
  for (int64_t k = 0; k < n; k++) {
    const double one = fabs((double)got[k] - want[k]) / (fabs(want[k]) + sqrt(norm / (double)n));
    if (!(one <= *worst)) *worst = one;
  }
  return sqrt(error / norm);
}
