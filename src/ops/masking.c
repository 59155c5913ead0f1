/* Masks of tokens, (B, N) int32: where they are, and another row instead. */
#include "cl/launch.h"
#include "ops/ops.h"
#include "ops/reduce.h"

extern const gh_op gh_op_replace_rows_backward_row; /* below */

/* ---- masked_positions ---- */

static gh_status masked_positions_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *mask = node->in[0];
  double count = node->attr[0];
  if (gh_want_rank(g, node, 0, 2) || gh_want_integers(g, node, 0, mask->shape[0])) return GH_ERROR_ARGUMENT;
  if (!(count >= 1 && count <= INT32_MAX)) return gh_graph_fail(g, node, "room for %g positions", count);
  if (mask->shape[1] > INT32_MAX) return gh_graph_fail(g, node, "more positions than an int32 can number");
  gh_declare(g, node, GH_I32, 2, (int64_t[]){mask->shape[0], (int64_t)count});
  return GH_OK;
}

static gh_status masked_positions_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *mask = node->in[0], *y = node->out[0];
  int64_t samples = mask->shape[0], n = mask->shape[1];
  return GH_RECORD(r, node, "masked_positions_forward", gh_grid_rows(r, samples, n), gh_arg_tensor(y),
                   gh_arg_tensor(mask), gh_arg_long(samples), gh_arg_long(n), gh_arg_long(y->shape[1]));
}

const gh_op gh_op_masked_positions = {
    .name = "masked_positions", .attrs = {"count"}, .infer = masked_positions_infer, .launch = masked_positions_launch};

gh_tensor *gh_masked_positions(gh_graph *g, gh_tensor *mask, int64_t count) {
  const double attr = (double)count;
  return gh_apply(g, &gh_op_masked_positions, &mask, 1, &attr, 1);
}

/* ---- replace_rows: inputs (x, mask, row) ---- */

/* Inputs 0, (B, N, C), and 1, one integer for each of its rows. */
static gh_status want_masked_rows(gh_graph *g, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (gh_want_rank(g, node, 0, 3) || gh_want_integers(g, node, 1, x->shape[0])) return GH_ERROR_ARGUMENT;
  return gh_want_shape(g, node, 1, 2, x->shape);
}

static gh_status replace_rows_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (want_masked_rows(g, node)) return GH_ERROR_ARGUMENT;
  if (node->in[2] && gh_want_shape(g, node, 2, 1, x->shape + 2)) return GH_ERROR_ARGUMENT;
  return gh_declare_like(g, node, x);
}

static gh_status replace_rows_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = gh_tensor_rows(x), columns = gh_tensor_columns(x);
  return GH_RECORD_ROWS(r, node, node->storage, "replace_rows_forward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(x), gh_arg_tensor(node->in[1]),
                        gh_arg_tensor(node->in[2]), gh_arg_long(rows), gh_arg_long(columns));
}

static void replace_rows_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *mask = node->in[1];
  if (gh_wants_grad(node->in[0])) din[0] = gh_replace_rows(g, dout[0], mask, NULL);
  if (gh_wants_grad(node->in[2]))
    din[2] = gh_apply(g, &gh_op_replace_rows_backward_row, (gh_tensor *[]){dout[0], mask}, 2, NULL, 0);
}

const gh_op gh_op_replace_rows = {.name = "replace_rows",
                                  .flags = GH_OP_INPLACE,
                                  .wide = GH_WIDE(2),
                                  .infer = replace_rows_infer,
                                  .launch = replace_rows_launch,
                                  .gradient = replace_rows_gradient};

/* inputs (dy, mask) -> (C), float32: the sum over masked positions */
static gh_status replace_rows_backward_row_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  if (want_masked_rows(g, node)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 1, dy->shape + 2);
  return gh_declare_scratch(g, node, GH_F32, GH_CEIL_DIV(gh_tensor_rows(dy), COLUMN_CHUNK) * dy->shape[2]);
}

static gh_status replace_rows_backward_row_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0];
  int64_t rows = gh_tensor_rows(dy), columns = gh_tensor_columns(dy), chunks = GH_CEIL_DIV(rows, COLUMN_CHUNK);
  gh_status status =
      GH_RECORD(r, node, "replace_rows_partial", gh_grid_columns(r, chunks, columns), gh_arg_tensor(node->scratch),
                gh_arg_tensor(dy), gh_arg_tensor(node->in[1]), gh_arg_long(rows), gh_arg_long(columns));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, 1, chunks, columns, 1, node->accumulate);
}

static double replace_rows_backward_row_flops(const gh_node *node) { return (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_replace_rows_backward_row = {.name = "replace_rows_backward_row",
                                               .flags = GH_OP_ACCUMULATES,
                                               .infer = replace_rows_backward_row_infer,
                                               .launch = replace_rows_backward_row_launch,
                                               .flops = replace_rows_backward_row_flops};

gh_tensor *gh_replace_rows(gh_graph *g, gh_tensor *x, gh_tensor *mask, gh_tensor *row) {
  return gh_apply(g, &gh_op_replace_rows, (gh_tensor *[]){x, mask, row}, 3, NULL, 0);
}
