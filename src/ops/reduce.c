#include "ops/reduce.h"
#include "ops/ops.h"

enum { ROWS, COLUMNS, FACTOR, RANK, DIMS };

static gh_status column_sum_infer(gh_graph *g, gh_node *node) {
  int64_t rows = (int64_t)node->attr[ROWS], columns = (int64_t)node->attr[COLUMNS], shape[GH_MAX_RANK];
  int rank = (int)node->attr[RANK];
  if (rows * columns != gh_tensor_elements(node->in[0]))
    return gh_graph_fail(g, node, "rows x columns is not its size");
  for (int i = 0; i < rank; i++) shape[i] = (int64_t)node->attr[DIMS + i];
  gh_declare(g, node, GH_F32, rank, shape);
  return gh_declare_scratch(g, node, GH_F32, gh_column_chunks(rows) * columns);
}

static gh_status column_sum_launch(gh_recorder *r, const gh_node *node) {
  int64_t rows = (int64_t)node->attr[ROWS], columns = (int64_t)node->attr[COLUMNS], chunks = gh_column_chunks(rows);
  gh_status status = GH_RECORD(r, node, "column_sum_partial", gh_grid_columns(r, chunks, columns), gh_t(node->scratch),
                               gh_t(node->in[0]), gh_l(rows), gh_l(columns));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, 1, chunks, columns, node->attr[FACTOR],
                            node->accumulate);
}

gh_status gh_record_partials(gh_recorder *r, const gh_node *node, const gh_tensor *out, const gh_tensor *partials,
                             int64_t segments, int64_t chunks, int64_t columns, double scale, bool accumulate) {
  return GH_RECORD(r, node, "column_sum_final", gh_grid_columns(r, segments, columns), gh_t(out), gh_t(partials),
                   gh_l(chunks), gh_l(columns), gh_f(scale), gh_i(accumulate));
}

static void column_sum_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  (void)dout;
  (void)din;
  gh_graph_fail(g, node, "is used in gradients only and has none of its own");
}

const gh_op gh_op_column_sum = {.name = "column_sum",
                                .attrs = {"rows", "columns", "scale", "rank", "d0", "d1", "d2", "d3", "d4"},
                                .flags = GH_OP_ACCUMULATES,
                                .infer = column_sum_infer,
                                .launch = column_sum_launch,
                                .gradient = column_sum_gradient};

gh_tensor *gh_column_sum(gh_graph *g, gh_tensor *x, int64_t rows, int64_t columns, double scale,
                         const gh_tensor *like) {
  double attrs[GH_MAX_ATTRS] = {(double)rows, (double)columns, scale, like->rank};
  for (int i = 0; i < like->rank; i++) attrs[DIMS + i] = (double)like->shape[i];
  return gh_apply(g, &gh_op_column_sum, &x, 1, attrs, GH_MAX_ATTRS);
}
