#include "graph/compare.h"
#include "graph/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Moving the inputs by one rounding changes a result as much as one rounding in the best possible algorithm may. Sums
 * of many terms and longer chains of operations round more often. */
#define ROUNDINGS 32

/* ---- elements of any type ---- */

static float to_number(gh_dtype dtype, const void *data, int64_t i) {
  float f;
  switch (dtype) {
  case GH_F32:
  case GH_U32:
    memcpy(&f, (const char *)data + 4 * i, sizeof f);
    return f;
  case GH_BF16:
  case GH_F16:
    return gh_widen(dtype, ((const uint16_t *)data)[i]);
  default:
    return (float)((const int32_t *)data)[i];
  }
}

static void from_number(gh_dtype dtype, void *data, int64_t i, float f) {
  switch (dtype) {
  case GH_F32:
    ((float *)data)[i] = f;
    return;
  case GH_BF16:
  case GH_F16:
    ((uint16_t *)data)[i] = gh_narrow(dtype, f);
    return;
  default:
    return; /* integers are left unchanged */
  }
}

/* Integers are compared as float32. */
static double unit_of(gh_dtype dtype) { return gh_dtype_rounding(gh_dtype_is_float(dtype) ? dtype : GH_F32); }

static gh_status read_raw(gh_error *err, gh_device *d, const gh_tensor *t, void **out) {
  *out = gh_alloc(err, (size_t)gh_tensor_bytes(t), 1);
  return *out ? gh_tensor_read(err, d, t, *out) : GH_ERROR_MEMORY;
}

gh_status gh_tensor_read_numbers(gh_error *err, gh_device *device, const gh_tensor *t, float *values) {
  void *raw = NULL;
  gh_status status = read_raw(err, device, t, &raw);
  for (int64_t i = 0; !status && i < gh_tensor_elements(t); i++) values[i] = to_number(t->dtype, raw, i);
  free(raw);
  return status;
}

/* Floats: relative difference in norm. Integers: the fraction that differs; the words of a block may be floats, so
 * there a difference in the last bit is ignored. */
static double difference_of(const gh_tensor *t, const void *a, const void *b) {
  int64_t n = gh_tensor_elements(t), unequal = 0;
  double apart = 0, norm_a = 0, norm_b = 0;
  for (int64_t i = 0; i < n; i++) {
    double x = (double)to_number(t->dtype, a, i), y = (double)to_number(t->dtype, b, i);
    if (t->dtype == GH_U32 || t->dtype == GH_I32) {
      bool equal = !memcmp((const char *)a + 4 * i, (const char *)b + 4 * i, 4);
      unequal += !equal && !(t->dtype == GH_U32 && fabs(x - y) <= 1e-5 * fabs(x));
      continue;
    }
    if (isnan(x) && isnan(y)) continue;
    if (x == y) continue; /* infinities too */
    apart += (x - y) * (x - y);
  }
  if (unequal) return (double)unequal / (double)n;
  if (apart == 0) return 0;
  for (int64_t i = 0; i < n; i++) {
    double x = (double)to_number(t->dtype, a, i), y = (double)to_number(t->dtype, b, i);
    norm_a += x * x;
    norm_b += y * y;
  }
  return sqrt(apart / (norm_a > 0 ? norm_a : norm_b));
}

/* ---- a node ---- */

typedef struct gh_pair {
  gh_tensor *a, *b;
  void *raw; /* a's elements */
} gh_pair;

#define MAX_PAIRS (GH_MAX_INPUTS + GH_MAX_OUTPUTS)

typedef struct gh_walk {
  const gh_graph_compare_options *options;
  gh_graph *a, *b;
  const gh_node *node_a, *node_b;
  int first_a, count_a, first_b, count_b; /* launches */
  gh_pair in[MAX_PAIRS], out[MAX_PAIRS];
  int ins, outs;
} gh_walk;

static void forget(gh_walk *w) {
  for (int i = 0; i < w->ins; i++) free(w->in[i].raw);
  for (int i = 0; i < w->outs; i++) free(w->out[i].raw);
  w->ins = w->outs = 0;
}

static void add_pair(gh_pair *pairs, int *count, gh_tensor *a, gh_tensor *b) {
  for (int i = 0; i < *count; i++)
    if (pairs[i].a == a) return;
  pairs[(*count)++] = (gh_pair){.a = a, .b = b};
}

/* Lists the tensors that the node reads and writes; a node without outputs writes some of its inputs. */
static void list_tensors(gh_walk *w) {
  const gh_node *a = w->node_a, *b = w->node_b;
  for (int i = 0; i < a->inputs; i++)
    if (a->in[i]) add_pair(w->in, &w->ins, a->in[i], b->in[i]);
  if (a->accumulate) add_pair(w->in, &w->ins, a->out[0], b->out[0]);
  for (int i = 0; i < a->outputs; i++)
    if (gh_tensor_buffer(a->out[i]) && gh_tensor_buffer(b->out[i])) /* otherwise nothing reads it */
      add_pair(w->out, &w->outs, a->out[i], b->out[i]);
  for (int i = 0; !a->outputs && i < a->inputs; i++)
    if (a->in[i]) add_pair(w->out, &w->outs, a->in[i], b->in[i]);
}

static gh_status feed(gh_error *err, gh_walk *w) {
  gh_status status = GH_OK;
  for (int i = 0; i < w->ins && !status; i++) {
    status = read_raw(err, w->a->device, w->in[i].a, &w->in[i].raw);
    if (!status) status = gh_tensor_write(err, w->b->device, w->in[i].b, w->in[i].raw);
  }
  return status;
}

/* Changes the element of largest magnitude by 1 %. */
static gh_status sabotage(gh_error *err, gh_device *d, const gh_node *node) {
  gh_tensor *t = node->outputs ? node->out[0] : node->in[0];
  void *raw = NULL;
  gh_status status = read_raw(err, d, t, &raw);
  int64_t at = 0;
  for (int64_t i = 1; !status && i < gh_tensor_elements(t); i++)
    if (fabsf(to_number(t->dtype, raw, i)) > fabsf(to_number(t->dtype, raw, at))) at = i;
  if (!status) from_number(t->dtype, raw, at, 1.01f * to_number(t->dtype, raw, at));
  if (!status) status = gh_tensor_write(err, d, t, raw);
  free(raw);
  return status;
}

static gh_status run_both(gh_error *err, gh_walk *w) {
  gh_status status = gh_graph_run_part(err, w->a, w->first_a, w->count_a);
  if (!status) status = gh_graph_run_part(err, w->b, w->first_b, w->count_b);
  if (!status && w->options->sabotage && !strcmp(w->options->sabotage, w->node_a->op->name))
    status = sabotage(err, w->b->device, w->node_b);
  return status;
}

static gh_status compare_outputs(gh_error *err, gh_walk *w, gh_node_difference *result) {
  gh_status status = GH_OK;
  for (int i = 0; i < w->outs && !status; i++) {
    void *other = NULL;
    status = read_raw(err, w->a->device, w->out[i].a, &w->out[i].raw);
    if (!status) status = read_raw(err, w->b->device, w->out[i].b, &other);
    double difference = status ? 0 : difference_of(w->out[i].a, w->out[i].raw, other);
    free(other);
    if (!result->tensor || !(difference <= result->difference)) {
      result->difference = difference;
      result->tensor = w->out[i].a;
    }
  }
  return status;
}

static gh_status write_moved(gh_error *err, gh_device *d, const gh_pair *pair, uint32_t *state) {
  gh_tensor *t = pair->a;
  void *moved = gh_alloc(err, (size_t)gh_tensor_bytes(t), 1);
  if (!moved) return GH_ERROR_MEMORY;
  memcpy(moved, pair->raw, (size_t)gh_tensor_bytes(t));
  const double step = 2 * unit_of(t->dtype);
  for (int64_t i = 0; i < gh_tensor_elements(t); i++) {
    *state = *state * 1664525 + 1013904223;
    from_number(t->dtype, moved, i,
                (float)((double)to_number(t->dtype, moved, i) * (*state >> 31 ? 1 + step : 1 - step)));
  }
  gh_status status = gh_tensor_write(err, d, t, moved);
  free(moved);
  return status;
}

/* Runs a's node again with every input moved by one rounding, then restores everything: inputs first, since a result
 * may share an input's memory. */
static gh_status measure_rounding(gh_error *err, gh_walk *w, gh_node_difference *result) {
  gh_device *d = w->a->device;
  gh_status status = GH_OK;
  uint32_t state = 1;
  for (int i = 0; i < w->ins && !status; i++) status = write_moved(err, d, &w->in[i], &state);
  if (!status) status = gh_graph_run_part(err, w->a, w->first_a, w->count_a);
  for (int i = 0; i < w->outs && !status; i++) {
    void *moved = NULL;
    if (w->out[i].a != result->tensor) continue;
    status = read_raw(err, d, w->out[i].a, &moved);
    if (!status) result->rounding = difference_of(w->out[i].a, w->out[i].raw, moved);
    free(moved);
  }
  for (int i = 0; i < w->ins && !status; i++) status = gh_tensor_write(err, d, w->in[i].a, w->in[i].raw);
  for (int i = 0; i < w->outs && !status; i++) status = gh_tensor_write(err, d, w->out[i].a, w->out[i].raw);
  return status;
}

static gh_status visit(gh_error *err, gh_walk *w, gh_node_difference *result) {
  list_tensors(w);
  gh_status status = feed(err, w);
  if (!status) status = run_both(err, w);
  if (!status) status = compare_outputs(err, w, result);
  double bound = w->options->bound;
  if (result->tensor) bound = fmax(bound, 2 * unit_of(result->tensor->dtype));
  if (!status && !(result->difference <= bound)) {
    status = measure_rounding(err, w, result);
    result->wrong = !(result->difference <= ROUNDINGS * result->rounding);
  }
  forget(w);
  return status;
}

/* ---- the graph ---- */

/* The launches from `first` on that the node recorded. */
static int launches_of(const gh_graph *g, const gh_node *node, int first) {
  int count = 0;
  while (first + count < gh_graph_launch_count(g) && gh_graph_launch_note(g, first + count).node == node) count++;
  return count;
}

static gh_status same_nodes(gh_error *err, const gh_graph *a, const gh_graph *b) {
  if (gh_graph_node_count(a) != gh_graph_node_count(b))
    return gh_fail(err, GH_ERROR_ARGUMENT, "the graphs have %d and %d nodes", gh_graph_node_count(a),
                   gh_graph_node_count(b));
  for (int i = 0; i < gh_graph_node_count(a); i++) {
    const gh_node *x = gh_graph_node(a, i), *y = gh_graph_node(b, i);
    bool same = x->op == y->op && x->dead == y->dead && x->inputs == y->inputs && x->outputs == y->outputs;
    for (int k = 0; same && k < x->inputs; k++)
      same = !x->in[k] == !y->in[k] &&
             (!x->in[k] || (x->in[k]->dtype == y->in[k]->dtype && gh_same_shape(x->in[k], y->in[k])));
    for (int k = 0; same && k < x->outputs; k++)
      same = x->out[k]->dtype == y->out[k]->dtype && gh_same_shape(x->out[k], y->out[k]);
    if (!same)
      return gh_fail(err, GH_ERROR_ARGUMENT, "node %d is %s in one graph and %s in the other", i, x->op->name,
                     y->op->name);
  }
  return GH_OK;
}

gh_status gh_graph_compare(gh_error *err, gh_graph *a, gh_graph *b, const gh_graph_compare_options *options,
                           gh_node_difference *first) {
  gh_walk w = {.options = options, .a = a, .b = b};
  *first = (gh_node_difference){.index = -1, .rounding = -1};
  gh_status status = same_nodes(err, a, b);
  for (int i = 0; i < gh_graph_node_count(a) && !status && !first->node; i++) {
    w.node_a = gh_graph_node(a, i);
    w.node_b = gh_graph_node(b, i);
    w.first_a += w.count_a;
    w.first_b += w.count_b;
    w.count_a = launches_of(a, w.node_a, w.first_a);
    w.count_b = launches_of(b, w.node_b, w.first_b);
    if (!w.count_a && !w.count_b) continue;
    gh_node_difference result = {.index = i, .node = w.node_a, .rounding = -1};
    status = visit(err, &w, &result);
    if (!status && options->node) options->node(options->context, &result);
    if (!status && result.wrong) *first = result;
  }
  return status;
}

gh_status gh_graph_run_sabotaged(gh_error *err, gh_graph *g, const char *op) {
  gh_status status = GH_OK;
  int first = 0;
  for (int i = 0; i < gh_graph_node_count(g) && !status; i++) {
    const gh_node *node = gh_graph_node(g, i);
    int count = launches_of(g, node, first);
    status = gh_graph_run_part(err, g, first, count);
    first += count;
    if (!status && count && !strcmp(node->op->name, op)) status = sabotage(err, g->device, node);
  }
  return status;
}
