/* LayerNorm, adaLN's modulation (the same kernels with one weight per sample) and the gated residual. */
#include "ops/ops.h"
#include "ops/reduce.h"

#define EPS             0
#define TYPE            1
#define BASE            0 /* of layernorm_backward: added to the weight */
#define ROWS_PER_WEIGHT 1

/* y, mean (rows), rstd (rows): only the gradient needs the statistics. */
static gh_status declare_normalized(gh_graph *g, gh_node *node) {
  const int64_t rows = gh_tensor_rows(node->in[0]);
  gh_declare(g, node, gh_result_dtype(node->attr[TYPE]), node->in[0]->rank, node->in[0]->shape);
  gh_declare(g, node, GH_F32, 1, &rows);
  return gh_declare(g, node, GH_F32, 1, &rows) ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status record_forward(gh_recorder *r, const gh_node *node, const gh_tensor *weight, const gh_tensor *bias,
                                double base, int64_t rows_per_weight) {
  const gh_tensor *x = node->in[0];
  int64_t rows = gh_tensor_rows(x), columns = gh_tensor_columns(x);
  return GH_RECORD_ROWS(r, node, node->storage, "layernorm_forward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(node->out[2]),
                        gh_arg_tensor(x), gh_arg_tensor(weight), gh_arg_tensor(bias), gh_arg_float(base),
                        gh_arg_float(node->attr[EPS]), gh_arg_long(rows), gh_arg_long(columns),
                        gh_arg_long(rows_per_weight));
}

/* ---- the gradient for x, for both ops ---- */

static gh_status layernorm_backward_infer(gh_graph *g, gh_node *node) { return gh_declare_like(g, node, node->in[1]); }

static gh_status layernorm_backward_launch(gh_recorder *r, const gh_node *node) {
  int64_t rows = gh_tensor_rows(node->in[1]), columns = gh_tensor_columns(node->in[1]);
  return GH_RECORD_ROWS(r, node, node->storage, "layernorm_backward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]),
                        gh_arg_tensor(node->in[2]), gh_arg_tensor(node->in[3]), gh_arg_tensor(node->in[4]),
                        gh_arg_float(node->attr[BASE]), gh_arg_long(rows), gh_arg_long(columns),
                        gh_arg_long((int64_t)node->attr[ROWS_PER_WEIGHT]));
}

static double layernorm_backward_flops(const gh_node *node) { return 11.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_layernorm_backward = {.name = "layernorm_backward",
                                        .attrs = {"base", "rows_per_weight"},
                                        .flags = GH_OP_INPLACE,
                                        .wide = ~GH_WIDE(0), /* all but dy */
                                        .infer = layernorm_backward_infer,
                                        .launch = layernorm_backward_launch,
                                        .flops = layernorm_backward_flops};

static gh_tensor *input_gradient(gh_graph *g, const gh_node *node, gh_tensor *dy, gh_tensor *weight, double base,
                                 int64_t rows_per_weight) {
  return gh_apply(g, &gh_op_layernorm_backward, (gh_tensor *[]){dy, node->in[0], weight, node->out[1], node->out[2]}, 5,
                  (double[]){base, (double)rows_per_weight}, 2);
}

/* ---- layernorm: inputs (x, weight, bias) ---- */

static gh_status layernorm_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  const int64_t columns = gh_tensor_columns(x);
  if (x->rank < 1) return gh_graph_fail(g, node, "a scalar has no row to normalise");
  if (!node->in[1] != !node->in[2]) return gh_graph_fail(g, node, "weight and bias: both or neither");
  for (int i = 1; i < 3; i++)
    if (node->in[i] && gh_want_shape(g, node, i, 1, &columns)) return GH_ERROR_ARGUMENT;
  return declare_normalized(g, node);
}

static gh_status layernorm_launch(gh_recorder *r, const gh_node *node) {
  return record_forward(r, node, node->in[1], node->in[2], 0, gh_tensor_rows(node->in[0]));
}

static void layernorm_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *weight = node->in[1], *bias = node->in[2], *dy = dout[0];
  int64_t rows = gh_tensor_rows(x), columns = gh_tensor_columns(x);
  if (gh_wants_grad(x)) din[0] = input_gradient(g, node, dy, weight, 0, rows);
  if (gh_wants_grad(weight)) din[1] = gh_segment_dot(g, dy, x, node->out[1], node->out[2], 1, rows, columns, weight);
  if (gh_wants_grad(bias)) din[2] = gh_column_sum(g, dy, rows, columns, 1, bias);
}

static double normalize_flops(const gh_node *node) { return 8.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_layernorm = {.name = "layernorm",
                               .attrs = {"eps", "type"},
                               .wide = GH_WIDE_ALL,
                               .infer = layernorm_infer,
                               .launch = layernorm_launch,
                               .gradient = layernorm_gradient,
                               .flops = normalize_flops};

gh_tensor *gh_layernorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, double eps, gh_dtype result) {
  return gh_apply(g, &gh_op_layernorm, (gh_tensor *[]){x, weight, bias}, 3, (double[]){eps, result}, 2);
}

/* ---- modulate: inputs (x, shift, scale) ---- */

/* Checks that inputs first..last are (B, C) for an x of (B, N, C). */
static gh_status want_rows_per_sample(gh_graph *g, gh_node *node, int first, int last) {
  const gh_tensor *x = node->in[0];
  gh_status status = gh_want_rank(g, node, 0, 3);
  if (status) return status;
  const int64_t shape[] = {x->shape[0], x->shape[2]};
  for (int i = first; i <= last && !status; i++) status = gh_want_shape(g, node, i, 2, shape);
  return status;
}

static gh_status modulate_infer(gh_graph *g, gh_node *node) {
  gh_status status = want_rows_per_sample(g, node, 1, 2);
  return status ? status : declare_normalized(g, node);
}

static gh_status modulate_launch(gh_recorder *r, const gh_node *node) {
  return record_forward(r, node, node->in[2], node->in[1], 1, node->in[0]->shape[1]);
}

static void modulate_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *shift = node->in[1], *scale = node->in[2], *dy = dout[0];
  int64_t b = x->shape[0], n = x->shape[1], c = x->shape[2];
  if (gh_wants_grad(x)) din[0] = input_gradient(g, node, dy, scale, 1, n);
  if (gh_wants_grad(shift)) din[1] = gh_segment_sum(g, dy, b, n, c, 1, shift);
  if (gh_wants_grad(scale)) din[2] = gh_segment_dot(g, dy, x, node->out[1], node->out[2], b, n, c, scale);
}

const gh_op gh_op_modulate = {.name = "modulate",
                              .attrs = {"eps", "type"},
                              .wide = GH_WIDE_ALL,
                              .infer = modulate_infer,
                              .launch = modulate_launch,
                              .gradient = modulate_gradient,
                              .flops = normalize_flops};

gh_tensor *gh_modulate(gh_graph *g, gh_tensor *x, gh_tensor *shift, gh_tensor *scale, double eps, gh_dtype result) {
  return gh_apply(g, &gh_op_modulate, (gh_tensor *[]){x, shift, scale}, 3, (double[]){eps, result}, 2);
}

/* ---- gated_add: inputs (x, f, gate); its gradient for f has inputs (dy, gate) ---- */

static gh_status gated_add_backward_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  gh_declare(g, node, gh_result_dtype(node->attr[0]), dy->rank, dy->shape);
  return GH_OK;
}

static gh_status gated_add_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0];
  int64_t rows = gh_tensor_rows(dy), columns = gh_tensor_columns(dy), tokens = rows / node->in[1]->shape[0];
  return GH_RECORD_ROWS(r, node, node->storage, "gated_add_backward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(dy), gh_arg_tensor(node->in[1]), gh_arg_long(rows),
                        gh_arg_long(columns), gh_arg_long(tokens));
}

const gh_op gh_op_gated_add_backward = {.name = "gated_add_backward",
                                        .attrs = {"type"},
                                        .wide = GH_WIDE_ALL,
                                        .infer = gated_add_backward_infer,
                                        .launch = gated_add_backward_launch};

static gh_status gated_add_infer(gh_graph *g, gh_node *node) {
  gh_status status = want_rows_per_sample(g, node, 2, 2);
  if (!status) status = gh_want_same(g, node, 1, 0);
  return status ? status : gh_declare_like(g, node, node->in[0]);
}

static gh_status gated_add_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *f = node->in[1];
  int64_t rows = gh_tensor_rows(f), columns = gh_tensor_columns(f);
  return GH_RECORD_ROWS(r, node, node->storage, "gated_add_forward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(f),
                        gh_arg_tensor(node->in[2]), gh_arg_long(rows), gh_arg_long(columns), gh_arg_long(f->shape[1]));
}

static void gated_add_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *f = node->in[1], *gate = node->in[2], *dy = dout[0];
  const double type = f->dtype;
  if (gh_wants_grad(node->in[0])) din[0] = dy;
  if (gh_wants_grad(f)) din[1] = gh_apply(g, &gh_op_gated_add_backward, (gh_tensor *[]){dy, gate}, 2, &type, 1);
  if (gh_wants_grad(gate)) din[2] = gh_segment_dot(g, f, dy, NULL, NULL, f->shape[0], f->shape[1], f->shape[2], gate);
}

static double gated_add_flops(const gh_node *node) { return 2.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_gated_add = {.name = "gated_add",
                               .flags = GH_OP_INPLACE,
                               .wide = GH_WIDE(0) | GH_WIDE(2), /* x and gate */
                               .infer = gated_add_infer,
                               .launch = gated_add_launch,
                               .gradient = gated_add_gradient,
                               .flops = gated_add_flops};

gh_tensor *gh_gated_add(gh_graph *g, gh_tensor *x, gh_tensor *f, gh_tensor *gate) {
  return gh_apply(g, &gh_op_gated_add, (gh_tensor *[]){x, f, gate}, 3, NULL, 0);
}
