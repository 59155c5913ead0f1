/* The gate of DoRA (Liu et al., 2024), as PEFT computes it: the norm of the adapted weight is a constant of the step.
 */
#include "ops/ops.h"

enum { WEIGHT, MAGNITUDE, DOWN, UP }; /* inputs */
enum { SCALE };

static gh_status magnitude_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *w = node->in[WEIGHT], *a = node->in[DOWN];
  if (gh_want_rank(g, node, WEIGHT, 2) || gh_want_rank(g, node, DOWN, 2)) return GH_ERROR_ARGUMENT;
  const int64_t rows = w->shape[0], rank = a->shape[0];
  if (gh_want_shape(g, node, MAGNITUDE, 1, &rows) || gh_want_shape(g, node, DOWN, 2, (int64_t[]){rank, w->shape[1]}) ||
      gh_want_shape(g, node, UP, 2, (int64_t[]){rows, rank}))
    return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 1, &rows);
  return gh_declare(g, node, GH_F32, 1, &rows) ? GH_OK : GH_ERROR_MEMORY; /* 1 / norm, needed by the gradient */
}

static gh_status magnitude_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *w = node->in[WEIGHT];
  int64_t rows = w->shape[0], columns = w->shape[1];
  return GH_RECORD(r, node, "magnitude_forward", gh_grid_rows(r, rows, columns), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->out[1]), gh_arg_tensor(w), gh_arg_tensor(node->in[MAGNITUDE]),
                   gh_arg_tensor(node->in[DOWN]), gh_arg_tensor(node->in[UP]), gh_arg_float(node->attr[SCALE]),
                   gh_arg_long(node->in[DOWN]->shape[0]), gh_arg_long(rows), gh_arg_long(columns));
}

static void magnitude_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  if (gh_wants_grad(node->in[MAGNITUDE])) din[MAGNITUDE] = gh_multiply(g, dout[0], node->out[1]);
}

static double magnitude_flops(const gh_node *node) {
  return (2.0 * (double)node->in[DOWN]->shape[0] + 4.0) * (double)gh_tensor_elements(node->in[WEIGHT]);
}

const gh_op gh_op_magnitude = {.name = "magnitude",
                               .wide = GH_WIDE(MAGNITUDE) | GH_WIDE(DOWN) | GH_WIDE(UP),
                               .constant = GH_CONSTANT(WEIGHT) | GH_CONSTANT(DOWN) | GH_CONSTANT(UP),
                               .attrs = {"scale"},
                               .infer = magnitude_infer,
                               .launch = magnitude_launch,
                               .gradient = magnitude_gradient,
                               .flops = magnitude_flops};

gh_tensor *gh_magnitude(gh_graph *g, gh_tensor *weight, gh_tensor *magnitude, gh_tensor *down, gh_tensor *up,
                        double scale) {
  return gh_apply(g, &gh_op_magnitude, (gh_tensor *[]){weight, magnitude, down, up}, 4, &scale, 1);
}
