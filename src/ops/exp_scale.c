/* A tensor times the exponential of a number: CLIP's learnt temperature. */
#include "ops/ops.h"
#include "ops/reduce.h"

static gh_status exp_scale_infer(gh_graph *g, gh_node *node) {
  if (gh_want_shape(g, node, 1, 0, NULL)) return GH_ERROR_ARGUMENT;
  return gh_declare_like(g, node, node->in[0]);
}

static gh_status exp_scale_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return GH_RECORD(r, node, "exp_scale_forward", gh_grid_pieces(r, n, node->storage), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_long(n));
}

/* dx = exp(scale) dy; dscale = sum of dy y */
static void exp_scale_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *scale = node->in[1], *y = node->out[0];
  if (gh_wants_grad(x)) din[0] = gh_exp_scale(g, dout[0], scale);
  if (gh_wants_grad(scale)) din[1] = gh_segment_dot(g, dout[0], y, NULL, NULL, 1, gh_tensor_elements(x), 1, scale);
}

static double exp_scale_flops(const gh_node *node) { return (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_exp_scale = {.name = "exp_scale",
                               .flags = GH_OP_INPLACE,
                               .wide = GH_WIDE_ALL,
                               .infer = exp_scale_infer,
                               .launch = exp_scale_launch,
                               .gradient = exp_scale_gradient,
                               .flops = exp_scale_flops};

gh_tensor *gh_exp_scale(gh_graph *g, gh_tensor *x, gh_tensor *scale) {
  return gh_apply(g, &gh_op_exp_scale, (gh_tensor *[]){x, scale}, 2, NULL, 0);
}
