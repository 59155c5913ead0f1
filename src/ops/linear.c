/* y = x Wᵀ + b (torch.nn.Linear) and the matrix product its gradient needs. */
#include "ops/ops.h"
#include "ops/reduce.h"

/* ---- matmul: C = op(A) op(B), the last two dimensions folded to matrices ---- */

enum { TRANS_A, TRANS_B };

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
                        .alpha = 1,
                        .beta = node->accumulate ? 1 : 0,
                        .dtype = a->dtype,
                        .dtype_c = node->outputs ? node->out[0]->dtype : GH_F32};
}

static gh_status matmul_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *a = node->in[0], *b = node->in[1];
  gh_gemm_desc d = matmul_desc(node);
  int64_t shape[GH_MAX_RANK], kb = d.trans_b ? gh_tensor_columns(b) : gh_tensor_rows(b);
  if (a->rank < 1 || b->rank < 1 || kb != d.k)
    return gh_graph_fail(g, node, "inner sizes %lld and %lld differ", (long long)d.k, (long long)kb);
  int rank = d.trans_a ? 2 : a->rank;
  for (int i = 0; i + 1 < rank; i++) shape[i] = d.trans_a ? d.m : a->shape[i];
  shape[rank - 1] = d.n;
  gh_declare(g, node, GH_F32, rank, shape);
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

static gh_tensor *matmul(gh_graph *g, gh_tensor *a, gh_tensor *b, bool trans_a, bool trans_b);

/* dA = dC op(B)ᵀ and dB = op(A)ᵀ dC, each transposed where its matrix is stored so. */
static void matmul_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *a = node->in[0], *b = node->in[1], *dc = dout[0];
  bool ta = node->attr[TRANS_A] != 0, tb = node->attr[TRANS_B] != 0;
  if (gh_wants_grad(a)) din[0] = ta ? matmul(g, b, dc, tb, true) : matmul(g, dc, b, false, !tb);
  if (gh_wants_grad(b)) din[1] = tb ? matmul(g, dc, a, true, ta) : matmul(g, a, dc, !ta, false);
}

const gh_op gh_op_matmul = {.name = "matmul",
                            .attrs = {"trans_a", "trans_b"},
                            .flags = GH_OP_ACCUMULATES,
                            .infer = matmul_infer,
                            .launch = matmul_launch,
                            .gradient = matmul_gradient,
                            .flops = matmul_flops};

static gh_tensor *matmul(gh_graph *g, gh_tensor *a, gh_tensor *b, bool trans_a, bool trans_b) {
  return gh_apply(g, &gh_op_matmul, (gh_tensor *[]){a, b}, 2, (double[]){trans_a, trans_b}, 2);
}

/* ---- linear ---- */

static gh_status linear_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
  if (x->rank < 1 || w->rank != 2 || gh_tensor_columns(x) != w->shape[1])
    return gh_graph_fail(g, node, "the weight must be (out, %lld)", (long long)gh_tensor_columns(x));
  if (bias && (bias->rank != 1 || bias->shape[0] != w->shape[0]))
    return gh_graph_fail(g, node, "the bias must have %lld elements", (long long)w->shape[0]);
  int64_t shape[GH_MAX_RANK];
  for (int i = 0; i + 1 < x->rank; i++) shape[i] = x->shape[i];
  shape[x->rank - 1] = w->shape[0];
  gh_declare(g, node, GH_F32, x->rank, shape);
  return GH_OK;
}

static gh_status linear_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
  gh_tensor *y = node->out[0];
  int64_t m = gh_tensor_rows(x), k = w->shape[1], n = w->shape[0];
  gh_gemm_desc d = {.m = m, .n = n, .k = k, .trans_b = true, .lda = k, .ldb = k, .ldc = n, .batch = 1, .alpha = 1};
  d.dtype = x->dtype;
  d.dtype_c = y->dtype;
  if (bias && bias->dtype == y->dtype) {
    d.epilogue = GH_EPILOGUE_BIAS;
    d.bias = gh_tensor_buffer(bias);
    gh_status fused = gh_record_gemm(r, &d, x, w, y);
    if (fused != GH_ERROR_UNSUPPORTED) return fused;
    d.epilogue = GH_EPILOGUE_NONE; /* what was chosen leaves the bias to us */
  }
  gh_status status = gh_record_gemm(r, &d, x, w, y);
  if (status || !bias) return status;
  return GH_RECORD(r, node, "add_rows_forward", gh_grid_rows(r, m, n), gh_t(y), gh_t(y), gh_t(bias), gh_f(1), gh_l(m),
                   gh_l(n));
}

/* dx = dy W; dW = dyᵀ x; db = column sum of dy */
static void linear_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *dy = dout[0];
  if (gh_wants_grad(x)) din[0] = matmul(g, dy, w, false, false);
  if (gh_wants_grad(w)) din[1] = matmul(g, dy, x, true, false);
  if (gh_wants_grad(bias)) din[2] = gh_column_sum(g, dy, gh_tensor_rows(dy), gh_tensor_columns(dy), 1, bias);
}

static double linear_flops(const gh_node *node) {
  const gh_tensor *x = node->in[0], *w = node->in[1];
  return 2.0 * (double)gh_tensor_rows(x) * (double)gh_tensor_elements(w);
}

const gh_op gh_op_linear = {.name = "linear",
                            .infer = linear_infer,
                            .launch = linear_launch,
                            .gradient = linear_gradient,
                            .flops = linear_flops};

gh_tensor *gh_linear(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias) {
  return gh_apply(g, &gh_op_linear, (gh_tensor *[]){x, weight, bias}, 3, NULL, 0);
}
