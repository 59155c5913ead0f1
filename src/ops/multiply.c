/* The product of two tensors, element by element; its gradients are products, too. */
#include "ops/ops.h"

static gh_status multiply_infer(gh_graph *g, gh_node *node) {
  gh_status status = gh_want_same(g, node, 1, 0);
  return status ? status : gh_declare_like(g, node, node->in[0]);
}

static gh_status multiply_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return GH_RECORD(r, node, "multiply_forward", gh_grid_pieces(r, n, node->storage), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_long(n));
}

static void multiply_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  for (int i = 0; i < 2; i++)
    if (gh_wants_grad(node->in[i])) din[i] = gh_multiply(g, dout[0], node->in[1 - i]);
}

const gh_op gh_op_multiply = {.name = "multiply",
                              .flags = GH_OP_INPLACE,
                              .infer = multiply_infer,
                              .launch = multiply_launch,
                              .gradient = multiply_gradient};

gh_tensor *gh_multiply(gh_graph *g, gh_tensor *a, gh_tensor *b) {
  return gh_apply(g, &gh_op_multiply, (gh_tensor *[]){a, b}, 2, NULL, 0);
}
