/* Recording: nodes in execution order, each with its outputs declared by the op. */
#include "graph/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gh_status gh_graph_create(gh_error *err, gh_device *device, gh_graph **out) {
  gh_graph *g = gh_alloc(err, 1, sizeof *g);
  if (!g) return GH_ERROR_MEMORY;
  g->device = device;
  *out = g;
  return GH_OK;
}

static void free_list(gh_list *list) {
  free(list->items);
  *list = (gh_list){0};
}

void gh_graph_free(gh_graph *g) {
  if (!g) return;
  const gh_backend *b = g->device->backend;
  b->launch_free(g->captured);
  for (int i = 0; i < g->launches.count; i++) {
    gh_recorded *recorded = g->launches.items[i];
    b->launch_free(recorded->launch);
    free(recorded);
  }
  for (int i = 0; i < g->views.count; i++) b->buffer_free(g->views.items[i]);
  for (int i = 0; i < g->arenas.count; i++) b->buffer_free(g->arenas.items[i]);
  for (int i = 0; i < g->tensors.count; i++) gh_tensor_free(g->tensors.items[i]);
  for (int i = 0; i < g->nodes.count; i++) free(g->nodes.items[i]);
  free_list(&g->launches);
  free_list(&g->views);
  free_list(&g->arenas);
  free_list(&g->tensors);
  free_list(&g->nodes);
  free_list(&g->adjoints);
  free_list(&g->adjoints_of);
  free(g);
}

gh_device *gh_graph_device(const gh_graph *g) { return g->device; }
gh_error *gh_graph_error(gh_graph *g) { return &g->error; }
bool gh_graph_failed(const gh_graph *g) { return g->error.status != GH_OK; }
int gh_graph_node_count(const gh_graph *g) { return g->nodes.count; }
const gh_node *gh_graph_node(const gh_graph *g, int index) { return g->nodes.items[index]; }

static void describe_inputs(const gh_node *node, char *text, size_t size) {
  size_t used = 0;
  text[0] = 0;
  for (int i = 0; node && i < node->inputs && used + 1 < size; i++) {
    const gh_tensor *t = node->in[i];
    used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " x " : "", t ? "(" : "-");
    for (int d = 0; t && d < t->rank && used + 1 < size; d++)
      used += (size_t)snprintf(text + used, size - used, "%s%lld", d ? "," : "", (long long)t->shape[d]);
    if (t && used + 1 < size) used += (size_t)snprintf(text + used, size - used, ")");
  }
}

gh_status gh_graph_fail(gh_graph *g, const gh_node *node, const char *format, ...) {
  if (g->error.status) return g->error.status;
  char text[512], shapes[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (!node) return gh_fail(&g->error, GH_ERROR_CONFIG, "%s", text);
  describe_inputs(node, shapes, sizeof shapes);
  return gh_fail(&g->error, GH_ERROR_CONFIG, "%s %s: %s", node->op->name, shapes, text);
}

gh_tensor *gh_declare(gh_graph *g, gh_node *node, gh_dtype dtype, int rank, const int64_t *shape) {
  if (gh_graph_failed(g)) return NULL;
  char name[160];
  snprintf(name, sizeof name, "%s.%d", node->op->name, g->nodes.count);
  gh_tensor *t = gh_tensor_create(&g->error, name, GH_VALUE, dtype, rank, shape);
  if (!t || gh_list_push(&g->error, &g->tensors, t)) {
    gh_tensor_free(t);
    return NULL;
  }
  t->producer = node;
  if (node->outputs == GH_MAX_OUTPUTS) {
    gh_graph_fail(g, node, "more than %d outputs", GH_MAX_OUTPUTS);
    return NULL;
  }
  node->out[node->outputs++] = t;
  return t;
}

gh_status gh_declare_like(gh_graph *g, gh_node *node, const gh_tensor *like) {
  gh_declare(g, node, like->dtype, like->rank, like->shape);
  return g->error.status;
}

gh_status gh_declare_scratch(gh_graph *g, gh_node *node, gh_dtype dtype, int64_t elements) {
  node->scratch = gh_declare(g, node, dtype, 1, &elements);
  if (node->scratch) node->outputs--; /* it is not an output: no other node reads it */
  return g->error.status;
}

void gh_shrink_scratch(gh_node *node, int64_t elements) {
  gh_tensor *t = node->scratch;
  if (!t) return;
  t->shape[0] = elements;
  if (elements) return;
  t->plan.last = -1;
  node->scratch = NULL;
}

static bool is_float(const gh_tensor *t) { return t && gh_dtype_is_float(t->dtype); }

/* All inputs except the op's wide ones have the same type. */
static gh_status check_storage(gh_graph *g, const gh_node *node) {
  const gh_tensor *first = NULL;
  for (int i = 0; i < node->inputs; i++) {
    const gh_tensor *t = node->in[i];
    if (!is_float(t)) continue;
    bool wide = node->op->wide >> i & 1;
    if (wide && t->dtype != GH_F32)
      return gh_graph_fail(g, node, "input %d must be float32, not %s", i, gh_dtype_name(t->dtype));
    if (wide) continue;
    if (first && t->dtype != first->dtype)
      return gh_graph_fail(g, node, "input %d is %s, another is %s", i, gh_dtype_name(t->dtype),
                           gh_dtype_name(first->dtype));
    first = t;
  }
  return GH_OK;
}

static gh_dtype storage_of(const gh_node *node) {
  for (int i = 0; i < node->inputs; i++)
    if (node->in[i] && gh_dtype_is_narrow(node->in[i]->dtype)) return node->in[i]->dtype;
  for (int i = 0; i < node->outputs; i++)
    if (gh_dtype_is_narrow(node->out[i]->dtype)) return node->out[i]->dtype;
  return GH_F32;
}

gh_node *gh_apply_node(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, const double *attrs,
                       int attr_count) {
  if (gh_graph_failed(g)) return NULL;
  gh_node *node = gh_alloc(&g->error, 1, sizeof *node);
  if (!node) return NULL;
  node->op = op;
  node->inputs = inputs;
  node->segment = g->segment;
  node->phase = g->phase;
  bool needs_grad = false;
  for (int i = 0; i < inputs; i++) {
    node->in[i] = in[i];
    needs_grad |= gh_wants_grad(in[i]) && !(op->constant >> i & 1);
  }
  if (attr_count) memcpy(node->attr, attrs, (size_t)attr_count * sizeof *attrs);
  if ((!(op->flags & GH_OP_MIXED) && check_storage(g, node)) || op->infer(g, node) ||
      gh_graph_failed(g) || /* an output that could not be declared */
      gh_list_push(&g->error, &g->nodes, node)) {
    free(node); /* declared tensors stay in the graph's list and are freed with it */
    return NULL;
  }
  node->storage = storage_of(node);
  for (int i = 0; i < node->outputs; i++) node->out[i]->needs_grad = needs_grad;
  if (op->flags & GH_OP_VIEW) node->out[0]->source = node->in[0];
  return node;
}

void gh_graph_segment(gh_graph *g) { g->segment++; }
void gh_graph_phase(gh_graph *g, const char *phase) { g->phase = phase; }
void gh_graph_recompute(gh_graph *g, bool on) { g->recompute = on; }

void gh_graph_round(gh_graph *g, gh_tensor *step, uint64_t seed, int stage) {
  g->round_step = step;
  g->round_seed = seed;
  g->round_stage = stage;
}

gh_tensor *gh_apply(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, const double *attrs,
                    int attr_count) {
  gh_node *node = gh_apply_node(g, op, in, inputs, attrs, attr_count);
  return node ? node->out[0] : NULL;
}
