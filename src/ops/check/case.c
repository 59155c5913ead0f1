/* Runs one case: the three graphs that check.h describes. */
#include "ops/check/case.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum form {
  DIRECT, /* the inputs are persistent tensors */
  VALUES, /* the inputs are values, and every value is kept */
  FORWARD /* the inputs are values that may be overwritten; no gradient */
} form;

typedef struct built {
  gh_graph *graph;
  gh_tensor *out[GH_MAX_OUTPUTS];
} built;

static bool has_gradient(const gh_check *c, int input) {
  return c->din[input].values && !(c->options.narrow != GH_F32 && c->op->flags & GH_OP_WIDE_BACKWARD);
}

static bool any_gradient(const gh_check *c) {
  for (int i = 0; i < c->inputs; i++)
    if (has_gradient(c, i)) return true;
  return false;
}

static void differentiate(gh_check *c, built *b) {
  gh_tensor *out[GH_MAX_OUTPUTS], *dout[GH_MAX_OUTPUTS];
  int count = 0;
  for (int i = 0; i < c->outputs; i++) {
    if (!c->dout[i].view) continue;
    out[count] = b->out[i];
    dout[count++] = &c->dout[i].tensor;
  }
  gh_graph_differentiate_from(b->graph, out, dout, count);
}

static void keep_all(gh_graph *g) {
  for (int i = 0; i < gh_graph_node_count(g); i++) {
    const gh_node *node = gh_graph_node(g, i);
    for (int k = 0; k < node->outputs; k++) gh_graph_keep(g, node->out[k]);
  }
}

static gh_status build(gh_error *err, gh_check *c, form how, built *b) {
  gh_tensor *in[GH_MAX_INPUTS] = {0};
  gh_status status = gh_graph_create(err, c->device, &b->graph);
  if (status) return status;
  for (int i = 0; i < c->inputs; i++) {
    if (!c->in[i].view) continue;
    gh_tensor *t = &c->in[i].tensor;
    t->plan.last = -1;
    t->plan.keep = false;
    bool integer = t->dtype == GH_I32 || t->dtype == GH_U32;
    in[i] = how == DIRECT || integer ? t : gh_add(b->graph, t, &c->zero.tensor);
  }
  gh_node *node = gh_apply_node(b->graph, c->op, in, c->inputs, c->attr, GH_MAX_ATTRS);
  if (node && node->outputs < c->outputs)
    return gh_fail(err, GH_ERROR_FORMAT, "%d outputs, expected %d", node->outputs, c->outputs);
  for (int i = 0; node && i < c->outputs; i++) gh_graph_keep(b->graph, b->out[i] = node->out[i]);
  if (node && how != FORWARD && any_gradient(c)) differentiate(c, b);
  if (how == VALUES) keep_all(b->graph);
  status = gh_graph_plan(err, b->graph);
  if (!status) status = gh_graph_poison(err, b->graph);
  for (int i = 0; !status && c->listener->used && i < gh_graph_node_count(b->graph); i++) {
    const gh_node *used = gh_graph_node(b->graph, i);
    if (!used->dead && (c->options.narrow == GH_F32 || used->storage == c->options.narrow))
      c->listener->used(c->listener->context, used->op);
  }
  return status;
}

static gh_status run(gh_error *err, gh_check *c, built *b) {
  gh_status status = gh_graph_run(err, b->graph);
  return status ? status : c->device->backend->finish(err, c->device);
}

static gh_status judge_outputs(gh_error *err, gh_check *c, const built *b, const char *suffix, bool plant) {
  gh_status status = GH_OK;
  for (int i = 0; !status && i < c->outputs; i++) {
    char what[64];
    snprintf(what, sizeof what, "out%d%s", i, suffix);
    status = gh_check_judge(err, c, what, b->out[i], &c->out[i], 1, plant);
  }
  return status;
}

static gh_status judge_gradients(gh_error *err, gh_check *c, const char *suffix, double factor, bool plant) {
  gh_status status = GH_OK;
  for (int i = 0; !status && i < c->inputs; i++) {
    char what[64];
    snprintf(what, sizeof what, "din%d%s", i, suffix);
    if (has_gradient(c, i)) status = gh_check_judge(err, c, what, &c->grad[i].tensor, &c->din[i], factor, plant);
  }
  return status;
}

static gh_status judge_updates(gh_error *err, gh_check *c) {
  gh_status status = GH_OK;
  for (int i = 0; !status && i < c->inputs; i++) {
    char what[64];
    snprintf(what, sizeof what, "after%d", i);
    if (c->after[i].values) status = gh_check_judge(err, c, what, &c->in[i].tensor, &c->after[i], 1, true);
  }
  return status;
}

static gh_status clear_gradients(gh_error *err, gh_check *c) {
  gh_status status = GH_OK;
  for (int i = 0; !status && i < c->inputs; i++) {
    if (!c->grad[i].view) continue;
    void *zeros = gh_alloc(err, (size_t)c->din[i].elements, 4);
    if (!zeros) return GH_ERROR_MEMORY;
    status = gh_tensor_write(err, c->device, &c->grad[i].tensor, zeros);
    free(zeros);
  }
  return status;
}

/* Inputs are unchanged unless the case writes them, and nothing was written next to any tensor. */
static gh_status check_surroundings(gh_error *err, gh_check *c) {
  gh_status status = gh_guarded_intact(err, c->device, &c->zero);
  for (int i = 0; !status && i < c->inputs; i++) {
    status = gh_guarded_intact(err, c->device, &c->in[i]);
    if (!status) status = gh_guarded_intact(err, c->device, &c->grad[i]);
    if (status || !c->in[i].view || c->after[i].values) continue;
    int64_t bytes = gh_tensor_bytes(&c->in[i].tensor);
    void *now = gh_alloc(err, (size_t)bytes, 1);
    if (!now) return GH_ERROR_MEMORY;
    status = gh_tensor_read(err, c->device, &c->in[i].tensor, now);
    if (!status && memcmp(now, c->in_data[i], (size_t)bytes))
      status = gh_fail(err, GH_ERROR_DEVICE, "input %d was overwritten", i);
    free(now);
  }
  for (int i = 0; !status && i < c->outputs; i++) status = gh_guarded_intact(err, c->device, &c->dout[i]);
  return status;
}

static gh_status check_direct(gh_error *err, gh_check *c) {
  built b = {0};
  gh_status status = build(err, c, DIRECT, &b);
  if (!status) status = run(err, c, &b);
  if (!status) status = judge_outputs(err, c, &b, "", true);
  if (!status) status = judge_gradients(err, c, "", 1, true);
  if (!status) status = judge_updates(err, c);
  if (!status && !c->options.brief && c->outputs) {
    status = run(err, c, &b);
    if (!status) status = judge_gradients(err, c, " twice", 2, false);
  }
  if (!status) status = check_surroundings(err, c);
  gh_graph_free(b.graph);
  return status;
}

static gh_status check_values(gh_error *err, gh_check *c) {
  built b = {0};
  gh_status status = clear_gradients(err, c);
  if (!status) status = build(err, c, VALUES, &b);
  if (!status) status = run(err, c, &b);
  if (!status) status = judge_outputs(err, c, &b, " through values", false);
  if (!status) status = judge_gradients(err, c, " through values", 1, false);
  if (!status) status = gh_graph_check_poison(err, b.graph);
  if (!status) status = check_surroundings(err, c);
  gh_graph_free(b.graph);
  return status;
}

/* ---- finite differences ---- */

static double norm_of(const double *v, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += v[i] * v[i];
  return sqrt(sum);
}

static double random_unit(uint64_t *state) { /* any sequence works: splitmix64 to (-1, 1) */
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
}

/* The case's loss, sum of <dout, out>, with the inputs moved by `step` along direction. */
static gh_status loss_at(gh_error *err, gh_check *c, built *b, double *const *direction, double step, double *loss) {
  gh_status status = GH_OK;
  for (int i = 0; !status && i < c->inputs; i++) {
    if (!direction[i]) continue;
    int64_t n = c->din[i].elements;
    float *moved = gh_alloc(err, (size_t)n, sizeof *moved);
    if (!moved) return GH_ERROR_MEMORY;
    for (int64_t k = 0; k < n; k++) moved[k] = (float)((double)c->in_data[i][k] + step * direction[i][k]);
    status = gh_tensor_write(err, c->device, &c->in[i].tensor, moved);
    free(moved);
  }
  if (!status) status = run(err, c, b);
  *loss = 0;
  for (int i = 0; !status && i < c->outputs; i++) {
    if (!c->dout_data[i]) continue;
    int64_t n = c->out[i].elements;
    float *out = gh_alloc(err, (size_t)n, sizeof *out);
    if (!out) return GH_ERROR_MEMORY;
    status = gh_tensor_read(err, c->device, b->out[i], out);
    for (int64_t k = 0; k < n; k++) *loss += (double)c->dout_data[i][k] * (double)out[k];
    free(out);
  }
  return status;
}

/* Directions as long as the inputs, half along the gradient. Returns the expected slope and its scale. */
static gh_status choose_directions(gh_error *err, gh_check *c, double **direction, double *slope, double *scale) {
  uint64_t state = 1;
  for (int i = 0; i < c->inputs; i++) {
    const gh_expected *g = &c->din[i];
    if (!g->values) continue;
    int64_t n = g->elements;
    double *d = direction[i] = gh_alloc(err, (size_t)n, sizeof *d), length = 0;
    if (!d) return GH_ERROR_MEMORY;
    for (int64_t k = 0; k < n; k++) d[k] = random_unit(&state);
    for (int64_t k = 0; k < n; k++) length += (double)c->in_data[i][k] * (double)c->in_data[i][k];
    length = length > 0 ? sqrt(length) : 1;
    double random = norm_of(d, n), gradient = norm_of(g->values, n);
    for (int64_t k = 0; k < n; k++) {
      d[k] = 0.5 * length * (d[k] / random + (gradient > 0 ? g->values[k] / gradient : 0));
      *slope += d[k] * g->values[k];
    }
    *scale += length * gradient;
  }
  return GH_OK;
}

static gh_status check_differences(gh_error *err, gh_check *c, built *b) {
  const double step = 1e-2;
  double *direction[GH_MAX_INPUTS] = {0}, slope = 0, scale = 0, up = 0, down = 0, terms = 0;
  gh_status status = choose_directions(err, c, direction, &slope, &scale);
  if (!status) status = loss_at(err, c, b, direction, step, &up);
  if (!status) status = loss_at(err, c, b, direction, -step, &down);
  for (int i = 0; !status && i < c->outputs; i++)
    for (int64_t k = 0; c->dout_data[i] && k < c->out[i].elements; k++)
      terms += fabs((double)c->dout_data[i][k] * c->out[i].values[k]);
  if (!status) {
    double error = fabs((up - down) / (2 * step) - slope), tolerance = 2e-2 * scale + 4e-7 / step * terms;
    gh_check_report(c, "finite differences", error, tolerance, error <= tolerance, "");
  }
  for (int i = 0; i < c->inputs; i++) free(direction[i]);
  return status;
}

static gh_status check_forward(gh_error *err, gh_check *c) {
  built b = {0};
  gh_status status = build(err, c, FORWARD, &b);
  if (!status) status = run(err, c, &b);
  if (!status) status = judge_outputs(err, c, &b, " in place", false);
  if (!status && c->finite && any_gradient(c)) status = check_differences(err, c, &b);
  gh_graph_free(b.graph);
  return status;
}

/* ---- the expected values from a run ---- */

static gh_status take(gh_error *err, gh_check *c, const gh_tensor *t, gh_expected *expected) {
  int64_t n = expected->elements;
  float *values = gh_alloc(err, (size_t)n, sizeof *values);
  gh_status status = values ? gh_tensor_read(err, c->device, t, values) : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n && !status; i++) expected->values[i] = (double)values[i];
  free(values);
  return status;
}

gh_status gh_check_take(gh_error *err, gh_check *c) {
  built b = {0};
  gh_status status = build(err, c, DIRECT, &b);
  if (!status) status = run(err, c, &b);
  for (int i = 0; i < c->outputs && !status; i++)
    if (b.out[i]->dtype == GH_F32) status = take(err, c, b.out[i], &c->out[i]);
  for (int i = 0; i < c->inputs && !status; i++)
    if (c->din[i].values) status = take(err, c, &c->grad[i].tensor, &c->din[i]);
  if (!status) status = clear_gradients(err, c);
  gh_graph_free(b.graph);
  return status;
}

gh_status gh_check_run(gh_error *err, gh_check *c) {
  gh_status status = check_direct(err, c);
  if (status || c->options.brief || !c->outputs) return status;
  status = check_values(err, c);
  return status ? status : check_forward(err, c);
}
