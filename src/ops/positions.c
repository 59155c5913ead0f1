/* Positions and times: FLUX's rotary embedding and its sinusoids. */
#include "ops/ops.h"

extern const gh_op gh_op_rope;

/* ---- rope ---- */

enum { BACK }; /* rotate backwards: rope's own gradient */

static gh_status rope_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  gh_status status = gh_want_rank(g, node, 0, 4);
  if (status) return status;
  if (x->shape[3] % 2) return gh_graph_fail(g, node, "the head size must be even");
  status = gh_want_shape(g, node, 1, 3, (int64_t[]){x->shape[1], x->shape[3] / 2, 2});
  return status ? status : gh_declare_like(g, node, x);
}

static gh_status rope_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = x->shape[0] * x->shape[1], heads = x->shape[2], size = x->shape[3];
  return GH_RECORD_ROWS(r, node, node->storage, "rope_forward", ((gh_rows){rows, heads * size, size}),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(x), gh_arg_tensor(node->in[1]), gh_arg_long(rows),
                        gh_arg_long(x->shape[1]), gh_arg_int(heads), gh_arg_int(size),
                        gh_arg_float(node->attr[BACK] != 0 ? -1 : 1));
}

static gh_tensor *rope(gh_graph *g, gh_tensor *x, gh_tensor *table, bool back) {
  const double attr = back;
  return gh_apply(g, &gh_op_rope, (gh_tensor *[]){x, table}, 2, &attr, 1);
}

static void rope_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const gh_tensor *y = node->out[0];
  if (gh_wants_grad(node->in[1])) gh_graph_fail(g, node, "has no gradient for its table, but one is needed");
  gh_tensor *dy = gh_same_shape(dout[0], y) ? dout[0] : gh_reshape(g, dout[0], y->rank, y->shape);
  din[0] = rope(g, dy, node->in[1], node->attr[BACK] == 0);
}

const gh_op gh_op_rope = {.name = "rope",
                          .wide = GH_WIDE(1),
                          .attrs = {"back"},
                          .infer = rope_infer,
                          .launch = rope_launch,
                          .gradient = rope_gradient};

gh_tensor *gh_rope(gh_graph *g, gh_tensor *x, gh_tensor *table) { return rope(g, x, table, false); }

/* ---- timestep_embedding ---- */

enum { WIDTH, FACTOR, EMBEDDING_ATTRS };

static gh_status timestep_embedding_infer(gh_graph *g, gh_node *node) {
  int64_t width = (int64_t)node->attr[WIDTH];
  gh_status status = gh_want_rank(g, node, 0, 1);
  if (status) return status;
  if (width < 2 || width % 2) return gh_graph_fail(g, node, "the width %lld is not even", (long long)width);
  gh_declare(g, node, GH_F32, 2, (int64_t[]){node->in[0]->shape[0], width});
  return GH_OK;
}

static gh_status timestep_embedding_launch(gh_recorder *r, const gh_node *node) {
  int64_t half = (int64_t)node->attr[WIDTH] / 2, n = node->in[0]->shape[0] * half;
  return GH_RECORD(r, node, "timestep_embedding_forward", gh_grid_elements(r, n), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_float(node->attr[FACTOR]), gh_arg_int(half), gh_arg_long(n));
}

const gh_op gh_op_timestep_embedding = {.name = "timestep_embedding",
                                        .wide = GH_WIDE_ALL,
                                        .attrs = {"width", "factor"},
                                        .infer = timestep_embedding_infer,
                                        .launch = timestep_embedding_launch};

gh_tensor *gh_timestep_embedding(gh_graph *g, gh_tensor *t, int width, double factor) {
  return gh_apply(g, &gh_op_timestep_embedding, &t, 1, (double[]){width, factor}, EMBEDDING_ATTRS);
}
