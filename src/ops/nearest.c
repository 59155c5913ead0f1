/* The nearest row of a table: a vector quantiser's codes. |x - e|^2 = |x|^2 + |e|^2 - 2 x.e, of which the first term is
 * the same for every row. The products fill a workspace of bounded size, some rows of x at a time. */
#include "ops/ops.h"

#define PRODUCTS_BYTES (INT64_C(64) << 20)

typedef struct extent {
  int64_t rows, entries, columns; /* R, K, C */
  int64_t part;                   /* rows of x at a time, as even as possible */
} extent;

static extent extent_of(const gh_node *node, const gh_device *device) {
  extent e = {.rows = node->in[0]->shape[0], .entries = node->in[1]->shape[0], .columns = node->in[0]->shape[1]};
  int64_t limit = GH_MIN(PRODUCTS_BYTES, device->info.max_buffer_bytes) / 4;
  int64_t fits = GH_MAX(1, limit / e.entries - 1); /* one row for the squares */
  e.part = GH_CEIL_DIV(e.rows, GH_CEIL_DIV(e.rows, fits));
  return e;
}

static gh_status nearest_row_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0], *table = node->in[1];
  if (gh_want_rank(g, node, 0, 2) || gh_want_rank(g, node, 1, 2)) return GH_ERROR_ARGUMENT;
  if (table->shape[1] != x->shape[1])
    return gh_graph_fail(g, node, "rows of %lld and of %lld numbers", (long long)x->shape[1],
                         (long long)table->shape[1]);
  if (table->shape[0] > GH_NEAREST_ROWS)
    return gh_graph_fail(g, node, "a table of more than %d rows is not supported", GH_NEAREST_ROWS);
  extent e = extent_of(node, gh_graph_device(g));
  gh_declare(g, node, GH_I32, 1, &e.rows);
  return gh_declare_scratch(g, node, GH_F32, (e.part + 1) * e.entries);
}

/* The workspace: -2 x.e (part, K), then |e|^2 (K). */
static gh_status nearest_row_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0], *table = node->in[1];
  const extent e = extent_of(node, gh_recorder_device(r));
  const int64_t squares = e.part * e.entries;
  gh_status status =
      GH_RECORD(r, node, "nearest_row_squares", gh_grid_rows(r, e.entries, e.columns), gh_arg_tensor(node->scratch),
                gh_arg_tensor(table), gh_arg_long(squares), gh_arg_long(e.entries), gh_arg_long(e.columns));
  for (int64_t first = 0; !status && first < e.rows; first += e.part) {
    const int64_t rows = GH_MIN(e.part, e.rows - first);
    gh_gemm_desc d = {.m = rows, .n = e.entries, .k = e.columns, .trans_b = true, .batch = 1, .alpha = -2};
    d.lda = d.ldb = e.columns;
    d.ldc = e.entries;
    d.offset_a = first * e.columns;
    status = gh_record_gemm(r, &d, x, table, node->scratch);
    if (!status)
      status = GH_RECORD(r, node, "nearest_row_forward", gh_grid_rows(r, rows, e.entries), gh_arg_tensor(node->out[0]),
                         gh_arg_tensor(node->scratch), gh_arg_long(first), gh_arg_long(squares), gh_arg_long(rows),
                         gh_arg_long(e.entries));
  }
  return status;
}

static double nearest_row_flops(const gh_node *node) {
  const gh_tensor *x = node->in[0], *table = node->in[1];
  return 2.0 * (double)gh_tensor_elements(x) * (double)table->shape[0];
}

const gh_op gh_op_nearest_row = {.name = "nearest_row",
                                 .wide = GH_WIDE_ALL,
                                 .infer = nearest_row_infer,
                                 .launch = nearest_row_launch,
                                 .flops = nearest_row_flops};

gh_tensor *gh_nearest_row(gh_graph *g, gh_tensor *x, gh_tensor *table) {
  return gh_apply(g, &gh_op_nearest_row, (gh_tensor *[]){x, table}, 2, NULL, 0);
}
