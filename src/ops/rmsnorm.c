/* RMS norm with a learned scale, for the queries and keys of every head. */
#include "ops/ops.h"
#include "ops/reduce.h"

enum { EPS };

static gh_status rmsnorm_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  const int64_t columns = gh_tensor_columns(x), rows = gh_tensor_rows(x);
  if (x->rank < 1) return gh_graph_fail(g, node, "a scalar has no row to normalise");
  gh_status status = gh_want_shape(g, node, 1, 1, &columns);
  if (status) return status;
  gh_declare_like(g, node, x);
  return gh_declare(g, node, GH_F32, 1, &rows) ? GH_OK : GH_ERROR_MEMORY; /* rstd, needed by the gradient */
}

static gh_status rmsnorm_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = gh_tensor_rows(x), columns = gh_tensor_columns(x);
  return GH_RECORD_ROWS(r, node, node->storage, "rmsnorm_forward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(x),
                        gh_arg_tensor(node->in[1]), gh_arg_float(node->attr[EPS]), gh_arg_long(rows),
                        gh_arg_long(columns));
}

/* inputs (dy, x, weight, rstd) */
static gh_status rmsnorm_backward_infer(gh_graph *g, gh_node *node) { return gh_declare_like(g, node, node->in[1]); }

static gh_status rmsnorm_backward_launch(gh_recorder *r, const gh_node *node) {
  int64_t rows = gh_tensor_rows(node->in[1]), columns = gh_tensor_columns(node->in[1]);
  return GH_RECORD_ROWS(r, node, node->storage, "rmsnorm_backward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]),
                        gh_arg_tensor(node->in[2]), gh_arg_tensor(node->in[3]), gh_arg_long(rows),
                        gh_arg_long(columns));
}

static double rmsnorm_flops(const gh_node *node) {
  return (node->inputs == 2 ? 4.0 : 9.0) * (double)gh_tensor_elements(node->in[0]);
}

const gh_op gh_op_rmsnorm_backward = {.name = "rmsnorm_backward",
                                      .wide = GH_WIDE(2) | GH_WIDE(3),
                                      .flags = GH_OP_INPLACE,
                                      .infer = rmsnorm_backward_infer,
                                      .launch = rmsnorm_backward_launch,
                                      .flops = rmsnorm_flops};

static void rmsnorm_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *weight = node->in[1], *rstd = node->out[1], *dy = dout[0];
  if (gh_wants_grad(x)) din[0] = gh_apply(g, &gh_op_rmsnorm_backward, (gh_tensor *[]){dy, x, weight, rstd}, 4, NULL, 0);
  if (gh_wants_grad(weight))
    din[1] = gh_segment_dot(g, dy, x, NULL, rstd, 1, gh_tensor_rows(x), gh_tensor_columns(x), weight);
}

const gh_op gh_op_rmsnorm = {.name = "rmsnorm",
                             .wide = GH_WIDE(1),
                             .attrs = {"eps"},
                             .infer = rmsnorm_infer,
                             .launch = rmsnorm_launch,
                             .gradient = rmsnorm_gradient,
                             .flops = rmsnorm_flops};

gh_tensor *gh_rmsnorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, double eps) {
  return gh_apply(g, &gh_op_rmsnorm, (gh_tensor *[]){x, weight}, 2, &eps, 1);
}
