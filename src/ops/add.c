/* a + scale * b with b broadcast over leading dimensions; accumulation into persistent tensors; constants; casts. */
#include "ops/ops.h"
#include "ops/reduce.h"
#include "ops/sample.h"

enum { SCALE };

static gh_status add_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1];
  int skip = a->rank - b->rank;
  for (int i = 0; i < b->rank; i++)
    if (skip < 0 || b->shape[i] != a->shape[skip + i])
      return gh_graph_fail(g, node, "the second shape is not a suffix of the first");
  if (b->dtype != GH_F32 && gh_tensor_elements(a) != gh_tensor_elements(b))
    return gh_graph_fail(g, node, "a broadcast input must be float32");
  return gh_declare_like(g, node, a);
}

/* y = a + scale * b, equal shapes, equal types or a in float32: a branch added to the residual stream. */
static gh_status record_add(gh_recorder *r, const gh_node *node, const gh_tensor *y, const gh_tensor *a,
                            const gh_tensor *b, double scale) {
  int64_t n = gh_tensor_elements(b);
  const char *kernel = a->dtype == b->dtype ? "add_forward" : "add_wide_forward";
  return GH_RECORD_AS(r, node, b->dtype, kernel, gh_grid_pieces(r, n, b->dtype), gh_arg_tensor(y), gh_arg_tensor(a),
                      gh_arg_tensor(b), gh_arg_float(scale), gh_arg_long(n));
}

static gh_status add_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1], *y = node->out[0];
  int64_t n = gh_tensor_elements(a), period = gh_tensor_elements(b);
  if (n == period && (a->dtype == b->dtype || gh_dtype_is_narrow(b->dtype)))
    return record_add(r, node, y, a, b, node->attr[SCALE]);
  return GH_RECORD_ROWS(r, node, node->storage, "add_rows_forward", gh_rows_of(n / period, period), gh_arg_tensor(y),
                        gh_arg_tensor(a), gh_arg_tensor(b), gh_arg_float(node->attr[SCALE]), gh_arg_long(n / period),
                        gh_arg_long(period));
}

static void add_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *dy = dout[0], *b = node->in[1];
  din[0] = dy;
  if (!gh_wants_grad(b)) return;
  int64_t period = gh_tensor_elements(b), rows = gh_tensor_elements(dy) / period;
  if (rows == 1 && node->attr[SCALE] == 1)
    din[1] = dy;
  else
    din[1] = gh_column_sum(g, dy, rows, period, node->attr[SCALE], b);
}

const gh_op gh_op_add = {.name = "add",
                         .attrs = {"scale"},
                         .flags = GH_OP_INPLACE | GH_OP_MIXED,
                         .infer = add_infer,
                         .launch = add_launch,
                         .gradient = add_gradient};

gh_tensor *gh_add_scaled(gh_graph *g, gh_tensor *a, gh_tensor *b, double scale) {
  return gh_apply(g, &gh_op_add, (gh_tensor *[]){a, b}, 2, &scale, 1);
}

gh_tensor *gh_add(gh_graph *g, gh_tensor *a, gh_tensor *b) { return gh_add_scaled(g, a, b, 1); }

/* ---- accumulate ---- */

/* inputs (value) or, for a bf16 output, (value, step). The caller sets the output, an existing tensor. */
static gh_status accumulate_infer(gh_graph *g, gh_node *node) {
  return node->inputs > 1 ? gh_want_block(g, node, 1) : GH_OK;
}

static gh_status accumulate_launch(gh_recorder *r, const gh_node *node) {
  gh_tensor *to = node->out[0];
  if (node->inputs == 1) return record_add(r, node, to, to, node->in[0], 1);
  const int64_t n = gh_tensor_elements(to);
  return GH_RECORD(r, node, "accumulate_bf16_update", gh_grid_elements(r, GH_CEIL_DIV(n, 4)), gh_arg_tensor(to),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_int((uint32_t)node->attr[0]),
                   gh_arg_int((uint32_t)node->attr[1]), gh_arg_long(n));
}

const gh_op gh_op_accumulate = {
    .name = "accumulate", .attrs = {"key0", "key1"}, .infer = accumulate_infer, .launch = accumulate_launch};

void gh_accumulate(gh_graph *g, gh_tensor *to, gh_tensor *value) {
  gh_node *node = gh_apply_node(g, &gh_op_accumulate, &value, 1, NULL, 0);
  if (!node) return;
  node->out[node->outputs++] = to;
  node->accumulate = true;
}

void gh_accumulate_rounded(gh_graph *g, gh_tensor *to, gh_tensor *value, gh_tensor *step, const uint32_t key[2]) {
  gh_node *node = gh_apply_node(g, &gh_op_accumulate, (gh_tensor *[]){value, step}, 2, (double[]){key[0], key[1]}, 2);
  if (!node) return;
  node->out[node->outputs++] = to;
  node->accumulate = true;
}

/* ---- constant ---- */

static gh_status constant_infer(gh_graph *g, gh_node *node) {
  gh_declare(g, node, GH_F32, 0, NULL);
  return GH_OK;
}

static gh_status constant_launch(gh_recorder *r, const gh_node *node) {
  return GH_RECORD(r, node, "constant_forward", gh_grid_elements(r, 1), gh_arg_tensor(node->out[0]),
                   gh_arg_float(node->attr[0]));
}

const gh_op gh_op_constant = {
    .name = "constant", .attrs = {"value"}, .infer = constant_infer, .launch = constant_launch};

/* ---- cast: to a narrow type, rounded to nearest even, or back to float32 ---- */

enum { TYPE };

static gh_status cast_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  gh_dtype to = gh_result_dtype(node->attr[TYPE]);
  if (x->dtype == to || !gh_dtype_is_float(x->dtype) || (x->dtype != GH_F32 && to != GH_F32))
    return gh_graph_fail(g, node, "cannot cast %s to %s", gh_dtype_name(x->dtype), gh_dtype_name(to));
  gh_declare(g, node, to, x->rank, x->shape);
  return GH_OK;
}

static gh_status cast_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  const char *kernel = node->attr[TYPE] != GH_F32 ? "cast_narrow" : "cast_widen";
  return GH_RECORD(r, node, kernel, gh_grid_pieces(r, n, node->storage), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_long(n));
}

static void cast_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = gh_cast(g, dout[0], node->in[0]->dtype);
}

const gh_op gh_op_cast = {.name = "cast",
                          .attrs = {"type"},
                          .flags = GH_OP_MIXED,
                          .infer = cast_infer,
                          .launch = cast_launch,
                          .gradient = cast_gradient};

gh_tensor *gh_cast(gh_graph *g, gh_tensor *x, gh_dtype dtype) {
  const double type = dtype;
  if (!x || x->dtype == dtype) return x;
  return gh_apply(g, &gh_op_cast, &x, 1, &type, 1);
}
