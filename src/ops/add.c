/* a + scale * b with b broadcast over leading dimensions; accumulation into persistent tensors; constants. */
#include "ops/ops.h"
#include "ops/reduce.h"

enum { SCALE };

static gh_status add_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1];
  int skip = a->rank - b->rank;
  for (int i = 0; i < b->rank; i++)
    if (skip < 0 || b->shape[i] != a->shape[skip + i])
      return gh_graph_fail(g, node, "the second shape is no suffix of the first");
  return gh_declare_like(g, node, a);
}

static gh_status add_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1], *y = node->out[0];
  int64_t n = gh_tensor_elements(a), period = gh_tensor_elements(b);
  if (n == period)
    return GH_RECORD(r, node, "add_forward", gh_grid_elements(r, n), gh_t(y), gh_t(a), gh_t(b), gh_f(node->attr[SCALE]),
                     gh_l(n));
  return GH_RECORD(r, node, "add_rows_forward", gh_grid_rows(r, n / period, period), gh_t(y), gh_t(a), gh_t(b),
                   gh_f(node->attr[SCALE]), gh_l(n / period), gh_l(period));
}

static void add_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *dy = dout[0], *b = node->in[1];
  din[0] = dy;
  if (!gh_wants_grad(b)) return;
  int64_t period = gh_tensor_elements(b), rows = gh_tensor_elements(dy) / period;
  if (rows == 1 && node->attr[SCALE] == 1)
    din[1] = dy;
  else
    din[1] = gh_column_sum(g, dy, rows, period, node->attr[SCALE], b);
}

const gh_op gh_op_add = {.name = "add",
                         .attrs = {"scale"},
                         .flags = GH_OP_INPLACE,
                         .infer = add_infer,
                         .launch = add_launch,
                         .gradient = add_gradient};

gh_tensor *gh_add_scaled(gh_graph *g, gh_tensor *a, gh_tensor *b, double scale) {
  return gh_apply(g, &gh_op_add, (gh_tensor *[]){a, b}, 2, &scale, 1);
}

gh_tensor *gh_add(gh_graph *g, gh_tensor *a, gh_tensor *b) { return gh_add_scaled(g, a, b, 1); }

/* ---- accumulate ---- */

static gh_status accumulate_infer(gh_graph *g, gh_node *node) {
  (void)g;
  (void)node;
  return GH_OK; /* its output is an existing tensor that the caller sets */
}

static gh_status accumulate_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return GH_RECORD(r, node, "add_forward", gh_grid_elements(r, n), gh_t(node->out[0]), gh_t(node->out[0]),
                   gh_t(node->in[0]), gh_f(1), gh_l(n));
}

const gh_op gh_op_accumulate = {.name = "accumulate", .infer = accumulate_infer, .launch = accumulate_launch};

void gh_accumulate(gh_graph *g, gh_tensor *to, gh_tensor *value) {
  gh_node *node = gh_apply_node(g, &gh_op_accumulate, &value, 1, NULL, 0);
  if (!node) return;
  node->out[node->outputs++] = to;
  node->accumulate = true;
}

/* ---- constant ---- */

static gh_status constant_infer(gh_graph *g, gh_node *node) {
  gh_declare(g, node, GH_F32, 0, NULL);
  return GH_OK;
}

static gh_status constant_launch(gh_recorder *r, const gh_node *node) {
  return GH_RECORD(r, node, "constant_forward", gh_grid_elements(r, 1), gh_t(node->out[0]), gh_f(node->attr[0]));
}

const gh_op gh_op_constant = {
    .name = "constant", .attrs = {"value"}, .infer = constant_infer, .launch = constant_launch};
