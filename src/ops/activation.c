/* Elementwise activations; the gradient rereads the input instead of storing more. */
#include "ops/ops.h"

enum { KIND };

static gh_status activation_infer(gh_graph *g, gh_node *node) {
  double kind = node->attr[KIND];
  if (!(kind >= (double)GH_GELU_ERF && kind <= (double)GH_SILU))
    return gh_graph_fail(g, node, "there is no kind %g", kind);
  return gh_declare_like(g, node, node->in[0]);
}

static gh_status activation_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return GH_RECORD(r, node, "activation_forward", gh_grid_pieces(r, n, node->storage), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_int((int64_t)node->attr[KIND]), gh_arg_long(n));
}

static gh_status activation_backward_infer(gh_graph *g, gh_node *node) { return gh_declare_like(g, node, node->in[1]); }

static gh_status activation_backward_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return GH_RECORD(r, node, "activation_backward", gh_grid_pieces(r, n, node->storage), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_int((int64_t)node->attr[KIND]),
                   gh_arg_long(n));
}

const gh_op gh_op_activation_backward = {.name = "activation_backward",
                                         .attrs = {"kind"},
                                         .flags = GH_OP_INPLACE,
                                         .infer = activation_backward_infer,
                                         .launch = activation_backward_launch};

static void activation_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = gh_apply(g, &gh_op_activation_backward, (gh_tensor *[]){dout[0], node->in[0]}, 2, &node->attr[KIND], 1);
}

const gh_op gh_op_activation = {.name = "activation",
                                .attrs = {"kind"},
                                .flags = GH_OP_INPLACE,
                                .infer = activation_infer,
                                .launch = activation_launch,
                                .gradient = activation_gradient};

gh_tensor *gh_activation(gh_graph *g, gh_tensor *x, gh_activation_kind kind) {
  const double attr = kind;
  return gh_apply(g, &gh_op_activation, &x, 1, &attr, 1);
}
