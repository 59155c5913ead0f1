#include "bench/case.h"
#include "backend/chooser/gemm.h"
#include "base/text.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const gh_op *gh_op_named(const char *name) {
  for (int i = 0; gh_ops[i]; i++)
    if (!strcmp(gh_ops[i]->name, name)) return gh_ops[i];
  return NULL;
}

gh_status gh_case_open(gh_error *err, gh_case *c, gh_device *device) {
  *c = (gh_case){.device = device};
  gh_status status = gh_store_create(err, device, &c->store);
  return status ? status : gh_graph_create(err, device, &c->graph);
}

void gh_case_close(gh_case *c) {
  gh_graph_free(c->graph);
  gh_store_free(c->store);
  *c = (gh_case){0};
}

/* ---- recording ---- */

gh_status gh_case_fill(gh_error *err, gh_case *c, gh_tensor *t) {
  const int64_t n = gh_tensor_elements(t);
  float *values = gh_alloc(err, (size_t)n, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) values[i] = (float)(int32_t)((uint32_t)i * 2654435761u) * 0x1p-31f;
  gh_status status = gh_tensor_write_f32(err, c->device, t, values);
  free(values);
  return status;
}

static gh_status fill_integers(gh_error *err, gh_device *device, gh_tensor *t, int32_t below) {
  const int64_t n = gh_tensor_elements(t);
  int32_t *values = gh_alloc(err, (size_t)n, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) values[i] = (int32_t)((uint64_t)((uint32_t)i * 2654435761u) * (uint32_t)below >> 32);
  gh_status status = gh_tensor_write(err, device, t, values);
  free(values);
  return status;
}

gh_status gh_case_tensor(gh_error *err, gh_case *c, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                         int32_t below, gh_tensor **out) {
  gh_status status = gh_store_add(err, c->store, name, dtype, rank, shape, out);
  if (status || dtype == GH_U32) return status; /* words are zeros, as a new tensor is */
  return below ? fill_integers(err, c->device, *out, below) : gh_case_fill(err, c, *out);
}

gh_status gh_case_plan(gh_error *err, gh_case *c, gh_tensor *out, gh_tensor *const *in, int inputs) {
  gh_graph *g = c->graph;
  gh_tensor *seed = NULL;
  if (out && !gh_graph_failed(g)) {
    gh_graph_keep(g, out);
    gh_status status = gh_case_tensor(err, c, "seed", gh_gradient_dtype(out), out->rank, out->shape, 0, &seed);
    if (status) return status;
    if (out->needs_grad) gh_graph_differentiate_from(g, &out, &seed, 1);
    for (int i = 0; i < inputs && !gh_graph_failed(g); i++) {
      gh_tensor *gradient = gh_wants_grad(in[i]) ? gh_graph_gradient(g, in[i]) : NULL;
      if (gradient) gh_graph_keep(g, gradient);
    }
  }
  return gh_graph_plan(err, g);
}

/* ---- timing ---- */

static bool in_backward(const gh_node *node) { return node->phase && !strcmp(node->phase, "backward"); }

typedef struct gh_case_part {
  gh_case *c;
  int first, count; /* launches */
} gh_case_part;

static gh_status run_part(gh_error *err, void *user, int times) {
  const gh_case_part *p = user;
  gh_status status = GH_OK;
  for (int i = 0; i < times && !status; i++) status = gh_graph_run_part(err, p->c->graph, p->first, p->count);
  return status;
}

/* The provider behind a launch's name "gemm KEY"; of any other kernel, its own name. */
static void name_provider(const gh_device *d, const char *launch, char *out, size_t size) {
  snprintf(out, size, "%s", launch);
  if (!gh_starts_with(launch, "gemm ")) return;
  for (int i = gh_choice_count(d, &gh_gemm_kind) - 1; i >= 0; i--) {
    const char *key, *provider;
    gh_choice_at(d, &gh_gemm_kind, i, &key, &provider);
    if (!strcmp(key, launch + strlen("gemm "))) snprintf(out, size, "%s", provider);
  }
}

static void describe_launches(const gh_case *c, int first, int end, gh_op_time *out) {
  double most = -1;
  for (int i = first; i < end; i++) {
    const gh_launch_note note = gh_graph_launch_note(c->graph, i);
    char provider[sizeof out->provider];
    name_provider(c->device, note.name, provider, sizeof provider);
    out->flops += note.flops;
    out->nominal = out->nominal || gh_gemm_saves(provider);
    if (note.flops <= most) continue;
    most = note.flops;
    memcpy(out->provider, provider, sizeof provider);
  }
}

#define MOST_TENSORS 256

typedef struct gh_touched {
  const gh_tensor *list[MOST_TENSORS];
  int count;
} gh_touched;

static void touch(gh_touched *seen, gh_op_time *out, const gh_tensor *t) {
  while (t->source) t = t->source;
  const double bytes = (double)gh_tensor_bytes(t);
  out->bytes += bytes;
  for (int i = 0; i < seen->count; i++)
    if (seen->list[i] == t) return;
  if (seen->count < MOST_TENSORS) seen->list[seen->count++] = t;
  out->working_set += bytes;
}

static void count_traffic(const gh_graph *g, bool backward, gh_op_time *out) {
  gh_touched seen = {.count = 0};
  for (int i = 0; i < gh_graph_node_count(g); i++) {
    const gh_node *node = gh_graph_node(g, i);
    if (node->dead || (node->op->flags & GH_OP_VIEW) || in_backward(node) != backward) continue;
    for (int k = 0; k < node->inputs; k++)
      if (node->in[k]) touch(&seen, out, node->in[k]);
    for (int k = 0; k < node->outputs; k++)
      if (node->out[k]->plan.last >= 0 || node->out[k]->lifetime == GH_PERSISTENT) touch(&seen, out, node->out[k]);
  }
}

gh_status gh_case_time(gh_error *err, gh_case *c, const gh_bench_repeats *how, gh_op_bench *out) {
  const int total = gh_graph_launch_count(c->graph);
  int forward = 0;
  while (forward < total && !in_backward(gh_graph_launch_note(c->graph, forward).node)) forward++;
  *out = (gh_op_bench){0};
  const gh_case_part parts[] = {{c, 0, forward}, {c, forward, total - forward}};
  gh_op_time *times[] = {&out->forward, &out->backward};
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    gh_case_part part = parts[i];
    if (!part.count) continue;
    describe_launches(c, part.first, part.first + part.count, times[i]);
    count_traffic(c->graph, i == 1, times[i]);
    status = gh_bench_repeat_on(err, c->device, how, run_part, &part, &times[i]->sample);
  }
  return status;
}
