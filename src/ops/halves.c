/* A low-rank product's float32 factors for units that multiply a narrow type: see gh_halves in ops.h. */
#include "ops/ops.h"

extern const gh_op gh_op_halves_backward; /* below; input dy */

enum { UP, FACTOR, TYPE, HALVES_ATTRS }; /* factor 0 means 1 */
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

static double factor_of(const gh_node *node) { return node->attr[FACTOR] != 0 ? node->attr[FACTOR] : 1; }

static gh_status halves_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (gh_want_rank(g, node, 0, 2)) return GH_ERROR_ARGUMENT;
  bool up = node->attr[UP] != 0;
  if (!gh_dtype_is_narrow(gh_result_dtype(node->attr[TYPE])))
    return gh_graph_fail(g, node, "the parts must be of a narrow type");
  gh_declare(g, node, gh_result_dtype(node->attr[TYPE]), 2,
             (int64_t[]){up ? x->shape[0] : PARTS * x->shape[0], up ? PARTS * x->shape[1] : x->shape[1]});
  return GH_OK;
}

static gh_status halves_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  parts p = parts_of(node, x->shape[0], x->shape[1]);
  return GH_RECORD(r, node, "halves_forward", gh_grid_rows(r, p.rows, p.columns), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(x), gh_arg_long(p.rows), gh_arg_long(p.columns), gh_arg_long(p.row_stride),
                   gh_arg_long(p.part_stride), gh_arg_int(p.place_low), gh_arg_float(factor_of(node)));
}

static void halves_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = gh_apply(g, &gh_op_halves_backward, dout, 1, node->attr, HALVES_ATTRS);
}

const gh_op gh_op_halves = {.name = "halves",
                            .attrs = {"up", "factor", "type"},
                            .flags = GH_OP_WIDE_GRADIENT,
                            .wide = GH_WIDE_ALL,
                            .infer = halves_infer,
                            .launch = halves_launch,
                            .gradient = halves_gradient};

static gh_status halves_backward_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  if (gh_want_rank(g, node, 0, 2)) return GH_ERROR_ARGUMENT;
  bool up = node->attr[UP] != 0;
  if (dy->shape[up] % PARTS) return gh_graph_fail(g, node, "%lld is not divisible by 3", (long long)dy->shape[up]);
  gh_declare(g, node, GH_F32, 2,
             (int64_t[]){up ? dy->shape[0] : dy->shape[0] / PARTS, up ? dy->shape[1] / PARTS : dy->shape[1]});
  return GH_OK;
}

static gh_status halves_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dx = node->out[0];
  parts p = parts_of(node, dx->shape[0], dx->shape[1]);
  return GH_RECORD(r, node, "halves_backward", gh_grid_rows(r, p.rows, p.columns), gh_arg_tensor(dx),
                   gh_arg_tensor(node->in[0]), gh_arg_long(p.rows), gh_arg_long(p.columns), gh_arg_long(p.row_stride),
                   gh_arg_long(p.part_stride), gh_arg_int(p.place_low), gh_arg_float(factor_of(node)),
                   gh_arg_int(node->accumulate));
}

const gh_op gh_op_halves_backward = {.name = "halves_backward",
                                     .attrs = {"up", "factor", "type"},
                                     .flags = GH_OP_ACCUMULATES,
                                     .wide = GH_WIDE_ALL,
                                     .infer = halves_backward_infer,
                                     .launch = halves_backward_launch};

gh_tensor *gh_halves(gh_graph *g, gh_tensor *x, bool up, double factor, gh_dtype type) {
  const double attrs[HALVES_ATTRS] = {up, factor, type};
  return gh_apply(g, &gh_op_halves, &x, 1, attrs, HALVES_ATTRS);
}
