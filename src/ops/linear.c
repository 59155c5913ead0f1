/* y = x Wᵀ + b (torch.nn.Linear), optionally plus a low-rank product, and the matrix product that its gradient
 * needs. */
#include "ops/ops.h"
#include "ops/reduce.h"

/* ---- matmul: C = op(A) op(B), dimensions folded into matrices ---- */

enum { TRANS_A, TRANS_B, TYPE, ALPHA, MATMUL_ATTRS };

static gh_gemm_desc matmul_desc(const gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1];
  bool ta = node->attr[TRANS_A] != 0, tb = node->attr[TRANS_B] != 0;
  int64_t ar = gh_tensor_rows(a), ac = gh_tensor_columns(a), br = gh_tensor_rows(b), bc = gh_tensor_columns(b);
  return (gh_gemm_desc){.m = ta ? ac : ar,
                        .n = tb ? br : bc,
                        .k = ta ? ar : ac,
                        .trans_a = ta,
                        .trans_b = tb,
                        .lda = ac,
                        .ldb = bc,
                        .ldc = tb ? br : bc,
                        .batch = 1,
                        .alpha = node->attr[ALPHA] != 0 ? node->attr[ALPHA] : 1,
                        .beta = node->accumulate ? 1 : 0,
                        .dtype = gh_operand_dtype(a),
                        .dtype_c = gh_result_dtype(node->attr[TYPE])};
}

/* A matrix product reads the working copies of parameters that have one. */
static gh_status check_operands(gh_graph *g, const gh_node *node) {
  gh_dtype a = gh_operand_dtype(node->in[0]), b = gh_operand_dtype(node->in[1]);
  return a == b ? GH_OK : gh_graph_fail(g, node, "cannot multiply %s by %s", gh_dtype_name(a), gh_dtype_name(b));
}

static gh_status matmul_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1];
  gh_gemm_desc d = matmul_desc(node);
  int64_t shape[GH_MAX_RANK], kb = d.trans_b ? gh_tensor_columns(b) : gh_tensor_rows(b);
  if (a->rank < 1 || b->rank < 1 || kb != d.k)
    return gh_graph_fail(g, node, "inner sizes %lld and %lld differ", (long long)d.k, (long long)kb);
  if (check_operands(g, node)) return GH_ERROR_ARGUMENT;
  int rank = d.trans_a ? 2 : a->rank;
  for (int i = 0; i + 1 < rank; i++) shape[i] = d.trans_a ? d.m : a->shape[i];
  shape[rank - 1] = d.n;
  gh_declare(g, node, d.dtype_c, rank, shape);
  return GH_OK;
}

static gh_status matmul_launch(gh_recorder *r, const gh_node *node) {
  gh_gemm_desc d = matmul_desc(node);
  return gh_record_gemm(r, &d, node->in[0], node->in[1], node->out[0]);
}

static double matmul_flops(const gh_node *node) {
  gh_gemm_desc d = matmul_desc(node);
  return 2.0 * (double)d.m * (double)d.n * (double)d.k;
}

static gh_tensor *matmul(gh_graph *g, gh_tensor *a, gh_tensor *b, bool trans_a, bool trans_b, double alpha,
                         gh_dtype result);

/* The gradient of a product's result, cast to the type of its operands. */
static gh_tensor *as_operand(gh_graph *g, gh_tensor *dc, const gh_tensor *like) {
  return gh_cast(g, dc, gh_operand_dtype(like));
}

/* dA = dC op(B)ᵀ and dB = op(A)ᵀ dC, each transposed if its matrix is stored transposed. */
static void matmul_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *a = node->in[0], *b = node->in[1], *dc = as_operand(g, dout[0], a);
  gh_dtype da = gh_gradient_dtype(a), db = gh_gradient_dtype(b);
  bool ta = node->attr[TRANS_A] != 0, tb = node->attr[TRANS_B] != 0;
  double alpha = node->attr[ALPHA];
  if (gh_wants_grad(a)) din[0] = ta ? matmul(g, b, dc, tb, true, alpha, da) : matmul(g, dc, b, false, !tb, alpha, da);
  if (gh_wants_grad(b)) din[1] = tb ? matmul(g, dc, a, true, ta, alpha, db) : matmul(g, a, dc, !ta, false, alpha, db);
}

const gh_op gh_op_matmul = {.name = "matmul",
                            .attrs = {"trans_a", "trans_b", "type", "alpha"}, /* alpha 0 means 1 */
                            .flags = GH_OP_ACCUMULATES | GH_OP_MIXED,
                            .infer = matmul_infer,
                            .launch = matmul_launch,
                            .gradient = matmul_gradient,
                            .flops = matmul_flops};

static gh_tensor *matmul(gh_graph *g, gh_tensor *a, gh_tensor *b, bool trans_a, bool trans_b, double alpha,
                         gh_dtype result) {
  const double attrs[MATMUL_ATTRS] = {trans_a, trans_b, result, alpha};
  return gh_apply(g, &gh_op_matmul, (gh_tensor *[]){a, b}, 2, attrs, MATMUL_ATTRS);
}

/* ---- linear: inputs (x, weight, bias, low, up), y = x weightᵀ + bias + scale low upᵀ; the last three may be absent.
 * gelu: outputs y = gelu(h) and h; h is stored only if the gradient needs it. One launch if the product's provider
 * supports it ---- */

enum { RESULT, SCALE, GELU };
enum { X, WEIGHT, BIAS, LOW, UP, LINEAR_INPUTS };

static const gh_tensor *input_of(const gh_node *node, int i) { return i < node->inputs ? node->in[i] : NULL; }

static gh_status check_low_rank(gh_graph *g, const gh_node *node) {
  const gh_tensor *x = node->in[X], *low = input_of(node, LOW), *up = input_of(node, UP);
  if (!low && !up) return GH_OK;
  if (!low || !up) return gh_graph_fail(g, node, "low and up: both or neither");
  if (up->rank != 2 || up->shape[0] != node->in[WEIGHT]->shape[0] || up->shape[1] != gh_tensor_columns(low) ||
      gh_tensor_rows(low) != gh_tensor_rows(x))
    return gh_graph_fail(g, node, "the shapes of low and up do not match");
  if (gh_operand_dtype(low) != gh_operand_dtype(x) || gh_operand_dtype(up) != gh_operand_dtype(x))
    return gh_graph_fail(g, node, "low and up must have the type of x");
  return GH_OK;
}

static gh_status linear_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[X], *w = node->in[WEIGHT], *bias = node->in[BIAS];
  if (x->rank < 1 || w->rank != 2 || gh_tensor_columns(x) != w->shape[1])
    return gh_graph_fail(g, node, "the weight must be (out, %lld)", (long long)gh_tensor_columns(x));
  if (bias && (bias->rank != 1 || bias->shape[0] != w->shape[0]))
    return gh_graph_fail(g, node, "the bias must have %lld elements", (long long)w->shape[0]);
  if (bias && bias->dtype != GH_F32) return gh_graph_fail(g, node, "the bias must be float32");
  if (check_operands(g, node) || check_low_rank(g, node)) return GH_ERROR_ARGUMENT;
  int64_t shape[GH_MAX_RANK];
  for (int i = 0; i + 1 < x->rank; i++) shape[i] = x->shape[i];
  shape[x->rank - 1] = w->shape[0];
  gh_dtype result = gh_result_dtype(node->attr[RESULT]);
  gh_declare(g, node, result, x->rank, shape);
  if (node->attr[GELU] != 0) {
    if (!bias || input_of(node, LOW)) return gh_graph_fail(g, node, "a GELU needs a bias and no low-rank factors");
    gh_declare(g, node, result, x->rank, shape);
  }
  bool sums = result != GH_F32 && input_of(node, LOW); /* adds both products before rounding */
  return sums ? gh_declare_scratch(g, node, GH_F32, gh_tensor_rows(x) * w->shape[0]) : GH_OK;
}

static gh_gemm_desc product_desc(const gh_node *node, const gh_tensor *y, gh_epilogue epilogue) {
  const gh_tensor *x = node->in[X], *w = node->in[WEIGHT];
  int64_t k = w->shape[1], n = w->shape[0];
  gh_gemm_desc d = {.m = gh_tensor_rows(x), .n = n, .k = k, .trans_b = true, .lda = k, .ldb = k, .ldc = n, .batch = 1};
  d.alpha = 1;
  d.dtype = gh_operand_dtype(x);
  d.dtype_c = y->dtype;
  d.epilogue = epilogue;
  return d;
}

/* The bias in the type that a product adds to y; NULL: there is none of that type. */
static const gh_tensor *bias_for(const gh_node *node, const gh_tensor *y) {
  const gh_tensor *bias = node->in[BIAS], *added = bias && bias->dtype != y->dtype ? bias->working : bias;
  return added && added->dtype == y->dtype ? added : NULL;
}

/* The product with an epilogue; GH_ERROR_UNSUPPORTED if its provider, or the bias's type, does not support it. */
static gh_status record_fused(gh_recorder *r, const gh_node *node, gh_epilogue epilogue, gh_tensor *y,
                              const gh_tensor *before) {
  gh_gemm_desc d = product_desc(node, y, epilogue);
  if (epilogue != GH_EPILOGUE_NONE) {
    const gh_tensor *added = bias_for(node, y);
    if (!added) return GH_ERROR_UNSUPPORTED;
    d.bias = gh_tensor_buffer(added);
    if (before) d.before = gh_tensor_buffer(before);
  }
  return gh_record_gemm(r, &d, node->in[X], node->in[WEIGHT], y);
}

/* y with its bias and the low-rank product in one launch; *possible: whether the product's provider does that. */
static gh_status joined_desc(gh_recorder *r, const gh_node *node, gh_gemm_desc *d, bool *possible) {
  const gh_tensor *y = node->out[0], *low = input_of(node, LOW), *up = input_of(node, UP);
  const gh_tensor *bias = bias_for(node, y);
  *possible = low && (bias || !node->in[BIAS]);
  if (!*possible) return GH_OK;
  *d = product_desc(node, y, bias ? GH_EPILOGUE_BIAS : GH_EPILOGUE_NONE);
  if (bias) d->bias = gh_tensor_buffer(bias);
  d->second.k = d->second.lda = d->second.ldb = up->shape[1];
  d->second.alpha = node->attr[SCALE];
  d->second.a = gh_operand_buffer(low);
  d->second.b = gh_operand_buffer(up);
  return gh_record_joins(r, d, possible);
}

/* In one launch the sums need no memory of their own. */
static gh_status linear_settle(gh_recorder *r, gh_node *node) {
  gh_gemm_desc d;
  bool joined;
  gh_status status = joined_desc(r, node, &d, &joined);
  if (!status && joined) gh_shrink_scratch(node, 0);
  return status;
}

static gh_status record_biased(gh_recorder *r, const gh_node *node, gh_tensor *y) {
  const gh_tensor *bias = node->in[BIAS];
  gh_status status = record_fused(r, node, GH_EPILOGUE_BIAS, y, NULL);
  if (status != GH_ERROR_UNSUPPORTED) return status;
  status = record_fused(r, node, GH_EPILOGUE_NONE, y, NULL);
  if (status || !bias) return status;
  int64_t m = gh_tensor_rows(y), n = gh_tensor_columns(y);
  return GH_RECORD_ROWS(r, node, y->dtype, "add_rows_forward", gh_rows_of(m, n), gh_arg_tensor(y), gh_arg_tensor(y),
                        gh_arg_tensor(bias), gh_arg_float(1), gh_arg_long(m), gh_arg_long(n));
}

static gh_status record_gelu(gh_recorder *r, const gh_node *node) {
  gh_tensor *y = node->out[0], *before = node->out[1], *h = gh_tensor_buffer(before) ? before : y;
  gh_status status = record_fused(r, node, GH_EPILOGUE_BIAS_GELU, y, before);
  if (status != GH_ERROR_UNSUPPORTED) return status;
  status = record_biased(r, node, h);
  if (status) return status;
  int64_t n = gh_tensor_elements(y);
  return GH_RECORD_AS(r, node, y->dtype, "activation_forward", gh_grid_pieces(r, n, y->dtype), gh_arg_tensor(y),
                      gh_arg_tensor(h), gh_arg_int(GH_GELU_TANH), gh_arg_long(n));
}

static gh_status linear_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *low = input_of(node, LOW), *up = input_of(node, UP);
  gh_gemm_desc joint;
  bool joined;
  if (node->attr[GELU] != 0) return record_gelu(r, node);
  gh_tensor *y = node->out[0], *sums = node->scratch ? node->scratch : y;
  gh_status status = joined_desc(r, node, &joint, &joined);
  if (status) return status;
  if (joined) return gh_record_gemm(r, &joint, node->in[X], node->in[WEIGHT], y);
  status = record_biased(r, node, sums);
  if (status || !low) return status;
  int64_t m = gh_tensor_rows(low), n = up->shape[0], k = up->shape[1];
  gh_gemm_desc d = {.m = m, .n = n, .k = k, .trans_b = true, .lda = k, .ldb = k, .ldc = n, .batch = 1, .beta = 1};
  d.alpha = node->attr[SCALE];
  d.dtype = gh_operand_dtype(low);
  status = gh_record_gemm(r, &d, low, up, sums);
  if (status || sums == y) return status;
  return GH_RECORD(r, node, "cast_narrow", gh_grid_pieces(r, m * n, node->storage), gh_arg_tensor(y),
                   gh_arg_tensor(sums), gh_arg_long(m * n));
}

/* dx = dy W; dW = dyᵀ x; db = column sum of dy; dlow = scale dy up; dup = scale dyᵀ low */
static void linear_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[X], *w = node->in[WEIGHT], *bias = node->in[BIAS], *dy = dout[0];
  gh_tensor *low = (gh_tensor *)input_of(node, LOW), *up = (gh_tensor *)input_of(node, UP);
  double scale = node->attr[SCALE];
  if (node->attr[GELU] != 0) {
    const double kind = GH_GELU_TANH;
    if (!dy || dout[1]) {
      gh_graph_fail(g, node, "has no gradient through its GELU's input, but one is needed");
      return;
    }
    dy = gh_apply(g, &gh_op_activation_backward, (gh_tensor *[]){dy, node->out[1]}, 2, &kind, 1);
    if (gh_graph_failed(g)) return;
  }
  bool product = gh_wants_grad(x) || gh_wants_grad(w) || gh_wants_grad(low) || gh_wants_grad(up);
  gh_tensor *dc = product ? as_operand(g, dy, x) : NULL;
  if (gh_wants_grad(x)) din[X] = matmul(g, dc, w, false, false, 1, gh_gradient_dtype(x));
  if (gh_wants_grad(w)) din[WEIGHT] = matmul(g, dc, x, true, false, 1, gh_gradient_dtype(w));
  if (gh_wants_grad(bias)) din[BIAS] = gh_column_sum(g, dy, gh_tensor_rows(dy), gh_tensor_columns(dy), 1, bias);
  if (gh_wants_grad(low)) din[LOW] = matmul(g, dc, up, false, false, scale, gh_gradient_dtype(low));
  if (gh_wants_grad(up)) din[UP] = matmul(g, dc, low, true, false, scale, gh_gradient_dtype(up));
}

static double linear_flops(const gh_node *node) {
  const gh_tensor *x = node->in[X], *w = node->in[WEIGHT], *up = input_of(node, UP);
  int64_t columns = w->shape[1] + (up ? up->shape[1] : 0);
  return 2.0 * (double)gh_tensor_rows(x) * (double)w->shape[0] * (double)columns;
}

const gh_op gh_op_linear = {.name = "linear",
                            .attrs = {"type", "scale", "gelu"},
                            .flags = GH_OP_MIXED,
                            .infer = linear_infer,
                            .settle = linear_settle,
                            .launch = linear_launch,
                            .gradient = linear_gradient,
                            .flops = linear_flops};

gh_tensor *gh_linear_adapted(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_tensor *low,
                             gh_tensor *up, double scale, gh_dtype result) {
  if (gh_graph_failed(g)) return NULL;
  gh_dtype operand = gh_operand_dtype(weight);
  gh_tensor *in[LINEAR_INPUTS] = {gh_cast(g, x, operand), weight, bias, gh_cast(g, low, operand), up};
  return gh_apply(g, &gh_op_linear, in, low ? LINEAR_INPUTS : LOW, (double[]){result, scale}, 2);
}

gh_tensor *gh_linear_to(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_dtype result) {
  return gh_linear_adapted(g, x, weight, bias, NULL, NULL, 0, result);
}

gh_tensor *gh_linear_gelu(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias) {
  if (gh_graph_failed(g)) return NULL;
  const double attrs[] = {x->dtype, 0, 1};
  gh_tensor *in[] = {gh_cast(g, x, gh_operand_dtype(weight)), weight, bias};
  return gh_apply(g, &gh_op_linear, in, LOW, attrs, 3);
}

gh_tensor *gh_linear(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias) {
  return gh_graph_failed(g) ? NULL : gh_linear_to(g, x, weight, bias, x->dtype);
}
