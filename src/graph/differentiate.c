/* Reverse-mode differentiation: walks the recorded nodes backwards and records each op's gradient.
 *
 * Gradients of values overwrite (a second contribution is added by an `add` node); gradients of trainable parameters
 * add up in parameter->grad, which outlives the graph. If the node that produces a parameter's gradient can accumulate
 * and nothing else reads its result, it writes into parameter->grad directly; otherwise an `accumulate` node follows.
 * Gradients of values have the type of the values; those of parameters are float32. A bf16 buffer of a parameter's
 * gradient is added to by a node of its own, which rounds at random. */
#include "base/random.h"
#include "graph/internal.h"

static int adjoint_index(const gh_graph *g, const gh_tensor *t) {
  for (int i = g->adjoints_of.count - 1; i >= 0; i--)
    if (g->adjoints_of.items[i] == t) return i;
  return -1;
}

gh_tensor *gh_graph_gradient(const gh_graph *g, const gh_tensor *t) {
  if (t->trainable) return t->grad;
  int i = adjoint_index(g, t);
  return i < 0 ? NULL : g->adjoints.items[i];
}

static bool read_by_others(const gh_graph *g, const gh_tensor *t) {
  for (int i = 0; i < g->adjoints.count; i++)
    if (g->adjoints.items[i] == t) return true;
  for (int i = g->nodes.count - 1; i >= 0 && g->nodes.items[i] != t->producer; i--) {
    const gh_node *node = g->nodes.items[i];
    for (int k = 0; k < node->inputs; k++)
      if (node->in[k] == t) return true;
  }
  return false;
}

static void add_to_parameter(gh_graph *g, gh_tensor *parameter, gh_tensor *gradient) {
  gh_node *made_by = gradient->producer;
  const bool narrow = parameter->grad->dtype == GH_BF16;
  bool redirect = made_by && made_by->out[0] == gradient && !gradient->source && gradient->dtype == GH_F32 && !narrow &&
                  (made_by->op->flags & GH_OP_ACCUMULATES) && !read_by_others(g, gradient);
  if (redirect) {
    made_by->out[0] = parameter->grad;
    made_by->accumulate = true;
    return;
  }
  if (narrow && (!g->round_step || gradient->dtype != GH_F32)) {
    gh_graph_fail(g, NULL, "the gradient of %s is bf16, but its sums cannot be rounded", parameter->name);
    return;
  }
  const gh_stream stream = gh_stream_make(g->round_seed, g->round_stage, "gradient", parameter->name);
  gh_tensor *in[] = {gradient, g->round_step};
  gh_node *node =
      gh_apply_node(g, &gh_op_accumulate, in, narrow ? 2 : 1, (double[]){stream.key[0], stream.key[1]}, narrow ? 2 : 0);
  if (!node) return;
  node->out[0] = parameter->grad;
  node->outputs = 1;
  node->accumulate = true;
}

static void add_to_value(gh_graph *g, gh_tensor *t, gh_tensor *gradient) {
  int i = adjoint_index(g, t);
  const double type = gh_gradient_dtype(t);
  if (gradient->dtype != gh_gradient_dtype(t)) gradient = gh_apply(g, &gh_op_cast, &gradient, 1, &type, 1);
  if (i < 0) {
    gh_list_push(&g->error, &g->adjoints_of, t);
    gh_list_push(&g->error, &g->adjoints, gradient);
    return;
  }
  const double scale = 1;
  g->adjoints.items[i] = gh_apply(g, &gh_op_add, (gh_tensor *[]){g->adjoints.items[i], gradient}, 2, &scale, 1);
}

static void add_gradient(gh_graph *g, gh_tensor *t, gh_tensor *gradient) {
  if (gh_graph_failed(g)) return;
  if (gh_tensor_elements(t) != gh_tensor_elements(gradient)) {
    gh_graph_fail(g, NULL, "the gradient of %s has %lld elements instead of %lld", t->name,
                  (long long)gh_tensor_elements(gradient), (long long)gh_tensor_elements(t));
    return;
  }
  if (t->trainable)
    add_to_parameter(g, t, gradient);
  else
    add_to_value(g, t, gradient);
}

/* ---- recomputation ---- */

/* The recomputed copy of a tensor of this segment; a tensor from elsewhere was kept and is returned as is. */
static gh_tensor *again_of(const gh_tensor *t, int segment) {
  const gh_node *node = t ? t->producer : NULL;
  if (!node || node->segment != segment || !node->recomputed) return (gh_tensor *)t;
  for (int i = 0; i < node->outputs; i++)
    if (node->out[i] == t) return node->recomputed->out[i];
  return (gh_tensor *)t;
}

/* Records every node of the segment again; the plan removes those that are not needed. The last segment is still in
 * memory when the backward pass begins. */
static void recompute(gh_graph *g, int segment) {
  for (int i = 0; i < g->forward_nodes && !gh_graph_failed(g); i++) {
    gh_node *node = g->nodes.items[i];
    if (node->segment != segment || !node->outputs || node->accumulate) continue;
    gh_tensor *in[GH_MAX_INPUTS];
    for (int k = 0; k < node->inputs; k++) in[k] = again_of(node->in[k], segment);
    node->recomputed = gh_apply_node(g, node->op, in, node->inputs, node->attr, GH_MAX_ATTRS);
  }
}

static const gh_node *node_for_gradient(gh_graph *g, gh_node *node) {
  if (!g->recompute || node->segment == g->last_segment) return node;
  if (!node->recomputed) recompute(g, node->segment);
  return node->recomputed ? node->recomputed : node;
}

static void differentiate_node(gh_graph *g, gh_node *node) {
  gh_tensor *dout[GH_MAX_OUTPUTS] = {0}, *din[GH_MAX_INPUTS] = {0};
  bool arrives = false, wanted = false;
  for (int i = 0; i < node->outputs; i++) {
    int at = adjoint_index(g, node->out[i]);
    if (at >= 0) dout[i] = g->adjoints.items[at];
    arrives |= dout[i] != NULL;
  }
  for (int i = 0; i < node->inputs; i++) wanted |= gh_wants_grad(node->in[i]);
  if (!arrives || !wanted) return;
  if (!node->op->gradient) {
    gh_graph_fail(g, node, "has no gradient, but one is needed");
    return;
  }
  if (node->op->flags & GH_OP_WIDE_BACKWARD && node->storage != GH_F32) {
    gh_graph_fail(g, node, "has no gradient in %s, but one is needed", gh_dtype_name(node->storage));
    return;
  }
  const gh_node *from = node_for_gradient(g, node);
  if (gh_graph_failed(g)) return;
  node->op->gradient(g, from, dout, din);
  for (int i = 0; i < node->inputs && !gh_graph_failed(g); i++)
    if (din[i] && gh_wants_grad(node->in[i])) add_gradient(g, node->in[i], din[i]);
}

gh_status gh_graph_differentiate_from(gh_graph *g, gh_tensor *out[], gh_tensor *dout[], int count) {
  if (gh_graph_failed(g)) return g->error.status;
  g->forward_nodes = g->nodes.count;
  g->last_segment = g->segment++;
  gh_graph_phase(g, "backward");
  for (int i = 0; i < count; i++) add_gradient(g, out[i], dout[i]);
  for (int i = g->forward_nodes - 1; i >= 0 && !gh_graph_failed(g); i--) differentiate_node(g, g->nodes.items[i]);
  return g->error.status;
}

gh_status gh_graph_differentiate(gh_graph *g, gh_tensor *loss) {
  if (gh_graph_failed(g)) return g->error.status;
  if (gh_tensor_elements(loss) != 1) return gh_graph_fail(g, NULL, "only a scalar loss can be differentiated");
  const double one = 1;
  gh_tensor *seed = gh_apply(g, &gh_op_constant, NULL, 0, &one, 1);
  return gh_graph_differentiate_from(g, &loss, &seed, 1);
}
