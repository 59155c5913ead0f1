/* GroupNorm (torch.nn.GroupNorm). The backward pass first sums dy and dy * xhat per (sample, channel): summed over the
 * batch, they are the gradients of weight and bias, and the gradient of x needs no other sums. */
#include "ops/ops.h"
#include "ops/reduce.h"

enum { GROUPS, EPS };

extern const gh_op gh_op_groupnorm_sums, gh_op_groupnorm_backward; /* below */

typedef struct sizes {
  int64_t batch, channels, groups, each, plane; /* each: channels per group */
} sizes;

static sizes sizes_of(const gh_tensor *x, const gh_node *node) {
  sizes s = {.batch = x->shape[0], .channels = x->shape[1], .groups = (int64_t)node->attr[GROUPS]};
  s.each = s.channels / s.groups;
  s.plane = x->shape[2] * x->shape[3];
  return s;
}

/* inputs (x, weight, bias) -> y, mean (B, groups), 1 / deviation (B, groups) */
static gh_status groupnorm_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (gh_want_rank(g, node, 0, 4)) return GH_ERROR_ARGUMENT;
  int64_t groups = (int64_t)node->attr[GROUPS];
  if (groups < 1 || x->shape[1] % groups)
    return gh_graph_fail(g, node, "cannot split %lld channels into %lld groups", (long long)x->shape[1],
                         (long long)groups);
  if (gh_want_shape(g, node, 1, 1, &x->shape[1]) || gh_want_shape(g, node, 2, 1, &x->shape[1]))
    return GH_ERROR_ARGUMENT;
  const int64_t shape[] = {x->shape[0], groups};
  if (gh_declare_like(g, node, x)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 2, shape);
  gh_declare(g, node, GH_F32, 2, shape);
  return GH_OK;
}

static gh_status groupnorm_launch(gh_recorder *r, const gh_node *node) {
  const sizes s = sizes_of(node->in[0], node);
  int64_t rows = s.batch * s.groups;
  return GH_RECORD_ROWS(r, node, node->storage, "groupnorm_forward", ((gh_rows){rows, s.each * s.plane, s.plane}),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(node->out[2]),
                        gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]),
                        gh_arg_float(node->attr[EPS]), gh_arg_long(rows), gh_arg_long(s.groups), gh_arg_long(s.each),
                        gh_arg_long(s.plane));
}

static void groupnorm_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *weight = node->in[1], *bias = node->in[2], *dy = dout[0];
  if (dout[1] || dout[2]) gh_graph_fail(g, node, "has no gradient through its statistics");
  if (!dy) return;
  gh_tensor *to_sum[] = {dy, x, node->out[1], node->out[2]};
  gh_node *sums = gh_apply_node(g, &gh_op_groupnorm_sums, to_sum, 4, node->attr, 1);
  if (!sums) return;
  gh_tensor *dweight = sums->out[0], *dbias = sums->out[1];
  gh_tensor *in[] = {dy, x, weight, node->out[1], node->out[2], dweight, dbias};
  if (gh_wants_grad(x)) din[0] = gh_apply(g, &gh_op_groupnorm_backward, in, 7, node->attr, 1);
  if (gh_wants_grad(weight)) din[1] = gh_column_sum(g, dweight, x->shape[0], x->shape[1], 1, weight);
  if (gh_wants_grad(bias)) din[2] = gh_column_sum(g, dbias, x->shape[0], x->shape[1], 1, bias);
}

static double groupnorm_flops(const gh_node *node) { return 7.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_groupnorm = {.name = "groupnorm",
                               .wide = GH_WIDE(1) | GH_WIDE(2),
                               .attrs = {"groups", "eps"},
                               .infer = groupnorm_infer,
                               .launch = groupnorm_launch,
                               .gradient = groupnorm_gradient,
                               .flops = groupnorm_flops};

/* inputs (dy, x, mean, 1 / deviation) -> sums per plane: dweight (B, C), dbias (B, C) */
static gh_status groupnorm_sums_infer(gh_graph *g, gh_node *node) {
  gh_declare(g, node, GH_F32, 2, node->in[1]->shape);
  gh_declare(g, node, GH_F32, 2, node->in[1]->shape);
  return GH_OK;
}

static gh_status groupnorm_sums_launch(gh_recorder *r, const gh_node *node) {
  const sizes s = sizes_of(node->in[1], node);
  int64_t rows = s.batch * s.channels;
  return GH_RECORD_ROWS(r, node, node->storage, "groupnorm_sums", gh_rows_of(rows, s.plane),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(node->in[0]),
                        gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]), gh_arg_tensor(node->in[3]),
                        gh_arg_long(rows), gh_arg_long(s.each), gh_arg_long(s.plane));
}

static double groupnorm_sums_flops(const gh_node *node) { return 4.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_groupnorm_sums = {.name = "groupnorm_sums",
                                    .wide = GH_WIDE(2) | GH_WIDE(3),
                                    .attrs = {"groups"},
                                    .infer = groupnorm_sums_infer,
                                    .launch = groupnorm_sums_launch,
                                    .flops = groupnorm_sums_flops};

/* inputs (dy, x, weight, mean, 1 / deviation, dweight, dbias) -> dx */
static gh_status groupnorm_backward_infer(gh_graph *g, gh_node *node) { return gh_declare_like(g, node, node->in[1]); }

static gh_status groupnorm_backward_launch(gh_recorder *r, const gh_node *node) {
  const sizes s = sizes_of(node->in[1], node);
  int64_t rows = s.batch * s.groups;
  return GH_RECORD_ROWS(r, node, node->storage, "groupnorm_backward", ((gh_rows){rows, s.each * s.plane, s.plane}),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]),
                        gh_arg_tensor(node->in[2]), gh_arg_tensor(node->in[3]), gh_arg_tensor(node->in[4]),
                        gh_arg_tensor(node->in[5]), gh_arg_tensor(node->in[6]), gh_arg_long(rows),
                        gh_arg_long(s.groups), gh_arg_long(s.each), gh_arg_long(s.plane));
}

static double groupnorm_backward_flops(const gh_node *node) { return 7.0 * (double)gh_tensor_elements(node->in[1]); }

const gh_op gh_op_groupnorm_backward = {.name = "groupnorm_backward",
                                        .wide = ~(GH_WIDE(0) | GH_WIDE(1)),
                                        .attrs = {"groups"},
                                        .flags = GH_OP_INPLACE,
                                        .infer = groupnorm_backward_infer,
                                        .launch = groupnorm_backward_launch,
                                        .flops = groupnorm_backward_flops};

gh_tensor *gh_groupnorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, int groups, double eps) {
  return gh_apply(g, &gh_op_groupnorm, (gh_tensor *[]){x, weight, bias}, 3, (double[]){groups, eps}, 2);
}
