/* Gathers rows of one matrix per sample by index, and counts how often each is chosen. */
#include "ops/ops.h"
#include "ops/sample.h"

extern const gh_op gh_op_gather_rows_backward; /* below */

static gh_status gather_rows_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0], *index = node->in[1];
  if (gh_want_rank(g, node, 0, 3) || gh_want_integers(g, node, 1, x->shape[0])) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, x->dtype, 3, (int64_t[]){x->shape[0], index->shape[1], x->shape[2]});
  return GH_OK;
}

static gh_status gather_rows_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0], *y = node->out[0];
  int64_t samples = y->shape[0], chosen = y->shape[1], columns = y->shape[2];
  return GH_RECORD(r, node, "gather_rows_forward", gh_grid_rows(r, samples * chosen, columns), gh_arg_tensor(y),
                   gh_arg_tensor(x), gh_arg_tensor(node->in[1]), gh_arg_long(samples), gh_arg_long(chosen),
                   gh_arg_long(x->shape[1]), gh_arg_long(columns));
}

static void gather_rows_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const double rows = (double)node->in[0]->shape[1];
  gh_tensor *in[] = {dout[0], node->in[1]};
  if (gh_wants_grad(node->in[0])) din[0] = gh_apply(g, &gh_op_gather_rows_backward, in, 2, &rows, 1);
}

const gh_op gh_op_gather_rows = {
    .name = "gather_rows", .infer = gather_rows_infer, .launch = gather_rows_launch, .gradient = gather_rows_gradient};

/* inputs (dy (B, K, C), index (B, K)) -> dx (B, rows, C) */
static gh_status gather_rows_backward_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  int64_t rows = (int64_t)node->attr[0];
  if (gh_want_rank(g, node, 0, 3) || gh_want_integers(g, node, 1, dy->shape[0])) return GH_ERROR_ARGUMENT;
  if (node->in[1]->shape[1] != dy->shape[1]) return gh_graph_fail(g, node, "there must be one index per row");
  if (rows < 1) return gh_graph_fail(g, node, "%lld rows", (long long)rows);
  gh_declare(g, node, dy->dtype, 3, (int64_t[]){dy->shape[0], rows, dy->shape[2]});
  return GH_OK;
}

static gh_status gather_rows_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0], *dx = node->out[0];
  int64_t samples = dx->shape[0], rows = dx->shape[1], columns = dx->shape[2];
  return GH_RECORD(r, node, "gather_rows_backward", gh_grid_rows(r, samples * rows, columns), gh_arg_tensor(dx),
                   gh_arg_tensor(dy), gh_arg_tensor(node->in[1]), gh_arg_long(samples), gh_arg_long(dy->shape[1]),
                   gh_arg_long(rows), gh_arg_long(columns));
}

const gh_op gh_op_gather_rows_backward = {.name = "gather_rows_backward",
                                          .attrs = {"rows"},
                                          .infer = gather_rows_backward_infer,
                                          .launch = gather_rows_backward_launch};

gh_tensor *gh_gather_rows(gh_graph *g, gh_tensor *x, gh_tensor *index) {
  return gh_apply(g, &gh_op_gather_rows, (gh_tensor *[]){x, index}, 2, NULL, 0);
}

/* ---- count_rows: inputs (index, step) ---- */

static gh_status count_rows_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *index = node->in[0];
  double rows = node->attr[0];
  if (gh_want_rank(g, node, 0, 2) || gh_want_integers(g, node, 0, index->shape[0]) || gh_want_block(g, node, 1))
    return GH_ERROR_ARGUMENT;
  if (!(rows >= 1 && rows <= INT32_MAX)) return gh_graph_fail(g, node, "%g rows", rows);
  gh_declare(g, node, GH_F32, 1, (int64_t[]){(int64_t)rows});
  return GH_OK;
}

static gh_status count_rows_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *index = node->in[0], *y = node->out[0];
  int64_t samples = index->shape[0], chosen = index->shape[1], rows = y->shape[0];
  return GH_RECORD(r, node, "count_rows_forward", gh_grid_rows(r, rows, samples * chosen), gh_arg_tensor(y),
                   gh_arg_tensor(index), gh_arg_tensor(node->in[1]), gh_arg_long(samples), gh_arg_long(chosen),
                   gh_arg_long(rows));
}

const gh_op gh_op_count_rows = {
    .name = "count_rows", .attrs = {"rows"}, .infer = count_rows_infer, .launch = count_rows_launch};

gh_tensor *gh_count_rows(gh_graph *g, gh_tensor *index, gh_tensor *step, int64_t rows) {
  const double attr = (double)rows;
  return gh_apply(g, &gh_op_count_rows, (gh_tensor *[]){index, step}, 2, &attr, 1);
}
