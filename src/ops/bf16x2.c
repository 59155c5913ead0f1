/* A low-rank product's float32 factors for units that multiply bf16: see gh_bf16x2 in ops.h. */
#include "ops/ops.h"

extern const gh_op gh_op_bf16x2_backward; /* below; input dy, attribute up */

enum { UP, BF16X2_ATTRS };
enum { PARTS = 3 };

/* The layout of the parts: down (R, K) as (3R, K), high, low, high; up (N, R) as (N, 3R), high, high, low. */
typedef struct parts {
  int64_t rows, columns, row_stride, part_stride;
  int place_low;
} parts;

static parts parts_of(const gh_node *node, int64_t rows, int64_t columns) {
  if (node->attr[UP] != 0) return (parts){rows, columns, PARTS * columns, columns, 2};
  return (parts){rows, columns, columns, rows * columns, 1};
}

static gh_status bf16x2_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (gh_want_rank(g, node, 0, 2)) return GH_ERROR_ARGUMENT;
  bool up = node->attr[UP] != 0;
  gh_declare(g, node, GH_BF16, 2,
             (int64_t[]){up ? x->shape[0] : PARTS * x->shape[0], up ? PARTS * x->shape[1] : x->shape[1]});
  return GH_OK;
}

static gh_status bf16x2_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  parts p = parts_of(node, x->shape[0], x->shape[1]);
  return GH_RECORD(r, node, "bf16x2_forward", gh_grid_rows(r, p.rows, p.columns), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(x), gh_arg_long(p.rows), gh_arg_long(p.columns), gh_arg_long(p.row_stride),
                   gh_arg_long(p.part_stride), gh_arg_int(p.place_low));
}

static void bf16x2_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = gh_apply(g, &gh_op_bf16x2_backward, dout, 1, node->attr, BF16X2_ATTRS);
}

const gh_op gh_op_bf16x2 = {.name = "bf16x2",
                            .attrs = {"up"},
                            .flags = GH_OP_WIDE_GRADIENT,
                            .wide = GH_WIDE_ALL,
                            .infer = bf16x2_infer,
                            .launch = bf16x2_launch,
                            .gradient = bf16x2_gradient};

static gh_status bf16x2_backward_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  if (gh_want_rank(g, node, 0, 2)) return GH_ERROR_ARGUMENT;
  bool up = node->attr[UP] != 0;
  if (dy->shape[up] % PARTS) return gh_graph_fail(g, node, "%lld is not divisible by 3", (long long)dy->shape[up]);
  gh_declare(g, node, GH_F32, 2,
             (int64_t[]){up ? dy->shape[0] : dy->shape[0] / PARTS, up ? dy->shape[1] / PARTS : dy->shape[1]});
  return GH_OK;
}

static gh_status bf16x2_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dx = node->out[0];
  parts p = parts_of(node, dx->shape[0], dx->shape[1]);
  return GH_RECORD(r, node, "bf16x2_backward", gh_grid_rows(r, p.rows, p.columns), gh_arg_tensor(dx),
                   gh_arg_tensor(node->in[0]), gh_arg_long(p.rows), gh_arg_long(p.columns), gh_arg_long(p.row_stride),
                   gh_arg_long(p.part_stride), gh_arg_int(p.place_low), gh_arg_int(node->accumulate));
}

const gh_op gh_op_bf16x2_backward = {.name = "bf16x2_backward",
                                     .attrs = {"up"},
                                     .flags = GH_OP_ACCUMULATES,
                                     .wide = GH_WIDE_ALL,
                                     .infer = bf16x2_backward_infer,
                                     .launch = bf16x2_backward_launch};

gh_tensor *gh_bf16x2(gh_graph *g, gh_tensor *x, bool up) {
  const double attr = up;
  return gh_apply(g, &gh_op_bf16x2, &x, 1, &attr, BF16X2_ATTRS);
}
