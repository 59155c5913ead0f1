#include "ops/reduce.h"
#include "cl/launch.h"
#include "ops/ops.h"

/* ---- column_sum and column_dot: inputs viewed as (segments, rows, columns), summed over rows ---- */

enum { SEGMENTS, ROWS, COLUMNS, FACTOR, RANK, DIMS, ATTRS = DIMS + GH_MAX_RANK };

typedef struct extent {
  int64_t segments, rows, columns, chunks; /* chunks per segment */
} extent;

static extent extent_of(const gh_node *node) {
  int64_t rows = (int64_t)node->attr[ROWS];
  return (extent){.segments = (int64_t)node->attr[SEGMENTS],
                  .rows = rows,
                  .columns = (int64_t)node->attr[COLUMNS],
                  .chunks = GH_CEIL_DIV(rows, COLUMN_CHUNK)};
}

static gh_status column_infer(gh_graph *g, gh_node *node) {
  extent e = extent_of(node);
  int64_t shape[GH_MAX_RANK], elements = 1;
  int rank = (int)node->attr[RANK];
  if (e.segments * e.rows * e.columns != gh_tensor_elements(node->in[0]))
    return gh_graph_fail(g, node, "segments x rows x columns does not match its size");
  if (rank < 0 || rank > GH_MAX_RANK) return gh_graph_fail(g, node, "invalid rank %d", rank);
  for (int i = 0; i < rank; i++) elements *= shape[i] = (int64_t)node->attr[DIMS + i];
  if (elements != e.segments * e.columns) return gh_graph_fail(g, node, "the result is not (segments, columns)");
  gh_declare(g, node, GH_F32, rank, shape);
  return gh_declare_scratch(g, node, GH_F32, e.segments * e.chunks * e.columns);
}

static gh_status column_sum_launch(gh_recorder *r, const gh_node *node) {
  extent e = extent_of(node);
  gh_status status = GH_RECORD(r, node, "column_sum_partial", gh_grid_columns(r, e.segments * e.chunks, e.columns),
                               gh_arg_tensor(node->scratch), gh_arg_tensor(node->in[0]), gh_arg_long(e.rows),
                               gh_arg_long(e.chunks), gh_arg_long(e.columns));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, e.segments, e.chunks, e.columns, node->attr[FACTOR],
                            node->accumulate);
}

/* a and x have the same type, or x is float32 and a is not. */
static gh_status column_dot_infer(gh_graph *g, gh_node *node) {
  gh_status status = gh_want_same(g, node, 1, 0);
  if (!status && node->in[1]->dtype != node->in[0]->dtype && node->in[1]->dtype != GH_F32)
    status = gh_graph_fail(g, node, "a float32 tensor and a narrow one");
  return status ? status : column_infer(g, node);
}

static gh_status column_dot_launch(gh_recorder *r, const gh_node *node) {
  extent e = extent_of(node);
  const char *kernel = node->in[0]->dtype == node->in[1]->dtype ? "column_dot_partial" : "column_dot_wide_partial";
  gh_status status =
      GH_RECORD(r, node, kernel, gh_grid_columns(r, e.segments * e.chunks, e.columns), gh_arg_tensor(node->scratch),
                gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]),
                gh_arg_tensor(node->in[3]), gh_arg_long(e.rows), gh_arg_long(e.chunks), gh_arg_long(e.columns));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, e.segments, e.chunks, e.columns, node->attr[FACTOR],
                            node->accumulate);
}

gh_status gh_record_partials(gh_recorder *r, const gh_node *node, const gh_tensor *out, const gh_tensor *partials,
                             int64_t segments, int64_t chunks, int64_t columns, double scale, bool accumulate) {
  return GH_RECORD(r, node, "column_sum_final", gh_grid_columns(r, segments, columns), gh_arg_tensor(out),
                   gh_arg_tensor(partials), gh_arg_long(chunks), gh_arg_long(columns), gh_arg_float(scale),
                   gh_arg_int(accumulate));
}

static double column_flops(const gh_node *node) {
  return (node->inputs > 1 ? 2.0 : 1.0) * (double)gh_tensor_elements(node->in[0]);
}

static void column_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  (void)dout;
  (void)din;
  gh_graph_fail(g, node, "is only used in gradients and has no gradient itself");
}

#define COLUMN_ATTRS                                                                                                   \
  { "segments", "rows", "columns", "scale", "rank", "d0", "d1", "d2", "d3", "d4" }

const gh_op gh_op_column_sum = {.name = "column_sum",
                                .attrs = COLUMN_ATTRS,
                                .flags = GH_OP_ACCUMULATES,
                                .infer = column_infer,
                                .launch = column_sum_launch,
                                .gradient = column_gradient,
                                .flops = column_flops};

const gh_op gh_op_column_dot = {.name = "column_dot",
                                .attrs = COLUMN_ATTRS,
                                .flags = GH_OP_ACCUMULATES | GH_OP_MIXED,
                                .infer = column_dot_infer,
                                .launch = column_dot_launch,
                                .gradient = column_gradient,
                                .flops = column_flops};

static gh_tensor *apply(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, extent e, double scale,
                        const gh_tensor *like) {
  double attrs[ATTRS] = {(double)e.segments, (double)e.rows, (double)e.columns, scale, like->rank};
  for (int i = 0; i < like->rank; i++) attrs[DIMS + i] = (double)like->shape[i];
  return gh_apply(g, op, in, inputs, attrs, ATTRS);
}

gh_tensor *gh_segment_sum(gh_graph *g, gh_tensor *x, int64_t segments, int64_t rows, int64_t columns, double scale,
                          const gh_tensor *like) {
  extent e = {.segments = segments, .rows = rows, .columns = columns};
  return apply(g, &gh_op_column_sum, &x, 1, e, scale, like);
}

gh_tensor *gh_column_sum(gh_graph *g, gh_tensor *x, int64_t rows, int64_t columns, double scale,
                         const gh_tensor *like) {
  return gh_segment_sum(g, x, 1, rows, columns, scale, like);
}

gh_tensor *gh_segment_dot(gh_graph *g, gh_tensor *a, gh_tensor *x, gh_tensor *mean, gh_tensor *rstd, int64_t segments,
                          int64_t rows, int64_t columns, const gh_tensor *like) {
  extent e = {.segments = segments, .rows = rows, .columns = columns};
  return apply(g, &gh_op_column_dot, (gh_tensor *[]){a, x, mean, rstd}, 4, e, 1, like);
}
