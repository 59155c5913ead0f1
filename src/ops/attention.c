/* Streaming attention (Dao et al. 2022: online softmax forward, recomputed scores backward), and its gradient in three
 * ops: delta, dq, and dk with dv, so that no two work-groups add to the same element and sums have a fixed order. */
#include "ops/ops.h"

enum { SCALE, CAUSAL };
enum { Q, K, V, MASK, INPUTS }; /* MASK may be absent */
enum { DOUT = V + 1, ROW_MAX, INV_SUM, DELTA, BACKWARD_MASK, BACKWARD_INPUTS };

#define MAX_SIZE 512 /* of a head, as cl/attention_cpu.cl expects */

static gh_status check_mask(gh_graph *g, const gh_node *node, int input) {
  const gh_tensor *hidden = node->in[input], *k = node->in[K];
  if (!hidden) return GH_OK;
  if (hidden->dtype == GH_I32 && hidden->rank == 2 && hidden->shape[0] == k->shape[0] &&
      hidden->shape[1] <= k->shape[1])
    return GH_OK;
  return gh_graph_fail(g, node, "input %d must be int32, one row per sample, at most one number per key", input);
}

static gh_status check_qkv(gh_graph *g, const gh_node *node, int mask) {
  gh_status status = gh_want_rank(g, node, Q, 4);
  if (!status) status = gh_want_rank(g, node, K, 4);
  if (!status) status = gh_want_same(g, node, V, K);
  if (status) return status;
  const int64_t *q = node->in[Q]->shape, *k = node->in[K]->shape;
  if (q[0] != k[0] || q[2] != k[2] || q[3] != k[3])
    return gh_graph_fail(g, node, "batch, heads and head size of queries and keys differ");
  if (q[3] > MAX_SIZE) return gh_graph_fail(g, node, "head sizes above %d are not supported", MAX_SIZE);
  return check_mask(g, node, mask);
}

/* Pairs of a query and a key that it sees, times batch, heads and head size. Keys of a mask count: the kernels compute
 * their scores, and what it hides is known on the device only. */
static double pair_elements(const gh_node *node) {
  const int64_t *q = node->in[Q]->shape, nq = q[1], nk = node->in[K]->shape[1], low = GH_MIN(nq, nk);
  double pairs = (double)nq * (double)nk;
  if (node->attr[CAUSAL] != 0) pairs = 0.5 * (double)low * (double)(low + 1) + (double)(nq - low) * (double)nk;
  return pairs * (double)q[0] * (double)q[2] * (double)q[3];
}

/* Records one of the three kernels: its own arguments, then the shared ones. hidden: NULL or the mask. */
static gh_status record(gh_recorder *r, const gh_node *node, gh_attention_part part, const gh_tensor *hidden,
                        const gh_arg *own, int owns) {
  const int64_t *q = node->in[Q]->shape;
  const gh_attention_desc desc = {.part = part,
                                  .dtype = node->storage,
                                  .batch = q[0],
                                  .nq = q[1],
                                  .nk = node->in[K]->shape[1],
                                  .heads = q[2],
                                  .size = q[3],
                                  .hidden = hidden ? hidden->shape[1] : 0,
                                  .causal = node->attr[CAUSAL] != 0};
  return gh_record_attention(r, node, &desc, own, owns, hidden, node->attr[SCALE]);
}

/* ---- backward: inputs q, k, v, dout, row_max, inv_sum, delta, hidden or NULL ---- */

static gh_status check_backward(gh_graph *g, const gh_node *node) {
  gh_status status = check_qkv(g, node, BACKWARD_MASK);
  if (!status) status = gh_want_same(g, node, DOUT, Q);
  if (status) return status;
  const int64_t *q = node->in[Q]->shape, rows[3] = {q[0], q[2], q[1]};
  status = gh_want_shape(g, node, ROW_MAX, 3, rows);
  if (!status) status = gh_want_shape(g, node, INV_SUM, 3, rows);
  return status ? status : gh_want_shape(g, node, DELTA, 3, rows);
}

static gh_status attention_backward_q_infer(gh_graph *g, gh_node *node) {
  gh_status status = check_backward(g, node);
  return status ? status : gh_declare_like(g, node, node->in[Q]);
}

static gh_status attention_backward_q_launch(gh_recorder *r, const gh_node *node) {
  gh_tensor *const *in = node->in;
  const gh_arg own[] = {gh_arg_tensor(node->out[0]), gh_arg_tensor(in[Q]),    gh_arg_tensor(in[K]),
                        gh_arg_tensor(in[V]),        gh_arg_tensor(in[DOUT]), gh_arg_tensor(in[ROW_MAX]),
                        gh_arg_tensor(in[INV_SUM]),  gh_arg_tensor(in[DELTA])};
  return record(r, node, GH_ATTENTION_BACKWARD_Q, in[BACKWARD_MASK], own, 8);
}

static double attention_backward_q_flops(const gh_node *node) { return 6 * pair_elements(node); }

const gh_op gh_op_attention_backward_q = {.name = "attention_backward_q",
                                          .wide = GH_WIDE(ROW_MAX) | GH_WIDE(INV_SUM) | GH_WIDE(DELTA),
                                          .attrs = {"scale", "causal"},
                                          .infer = attention_backward_q_infer,
                                          .launch = attention_backward_q_launch,
                                          .flops = attention_backward_q_flops};

static gh_status attention_backward_kv_infer(gh_graph *g, gh_node *node) {
  gh_status status = check_backward(g, node);
  if (!status) status = gh_declare_like(g, node, node->in[K]);
  return status ? status : gh_declare_like(g, node, node->in[V]);
}

static gh_status attention_backward_kv_launch(gh_recorder *r, const gh_node *node) {
  gh_tensor *const *in = node->in;
  const gh_arg own[] = {gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(in[Q]),
                        gh_arg_tensor(in[K]),        gh_arg_tensor(in[V]),        gh_arg_tensor(in[DOUT]),
                        gh_arg_tensor(in[ROW_MAX]),  gh_arg_tensor(in[INV_SUM]),  gh_arg_tensor(in[DELTA])};
  return record(r, node, GH_ATTENTION_BACKWARD_KV, in[BACKWARD_MASK], own, 9);
}

static double attention_backward_kv_flops(const gh_node *node) { return 8 * pair_elements(node); }

const gh_op gh_op_attention_backward_kv = {.name = "attention_backward_kv",
                                           .wide = GH_WIDE(ROW_MAX) | GH_WIDE(INV_SUM) | GH_WIDE(DELTA),
                                           .attrs = {"scale", "causal"},
                                           .infer = attention_backward_kv_infer,
                                           .launch = attention_backward_kv_launch,
                                           .flops = attention_backward_kv_flops};

/* dout, out, out's rounding error or NULL (B, N, H, D) -> the sums of their products over D (B, H, N) */
static gh_status attention_delta_infer(gh_graph *g, gh_node *node) {
  gh_status status = gh_want_rank(g, node, 0, 4);
  if (!status) status = gh_want_same(g, node, 1, 0);
  if (!status && node->in[2]) status = gh_want_same(g, node, 2, 0);
  if (status) return status;
  const int64_t *s = node->in[0]->shape;
  gh_declare(g, node, GH_F32, 3, (int64_t[]){s[0], s[2], s[1]});
  return GH_OK;
}

static gh_status attention_delta_launch(gh_recorder *r, const gh_node *node) {
  const int64_t *s = node->in[0]->shape, rows = s[0] * s[1] * s[2];
  return GH_RECORD_ROWS(r, node, node->storage, "attention_delta", gh_rows_of(rows, s[3]), gh_arg_tensor(node->out[0]),
                        gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]),
                        gh_arg_long(rows), gh_arg_long(s[1]), gh_arg_int(s[2]), gh_arg_int(s[3]));
}

const gh_op gh_op_attention_delta = {
    .name = "attention_delta", .infer = attention_delta_infer, .launch = attention_delta_launch};

/* ---- forward: inputs q, k, v, hidden or NULL; outputs out (B, Nq, H, D), row_max and inv_sum (B, H, Nq): a row's
 * highest score, 1 / sum exp(score - row_max); in narrow types also residual (B, Nq, H, D): the rounding error of out
 * ---- */

static gh_status attention_infer(gh_graph *g, gh_node *node) {
  gh_status status = check_qkv(g, node, MASK);
  if (!status) status = gh_declare_like(g, node, node->in[Q]);
  if (status) return status;
  const int64_t *q = node->in[Q]->shape;
  for (int i = 0; i < 2; i++) gh_declare(g, node, GH_F32, 3, (int64_t[]){q[0], q[2], q[1]});
  return gh_dtype_is_narrow(node->in[Q]->dtype) ? gh_declare_like(g, node, node->in[Q]) : GH_OK;
}

static gh_tensor *low_of(const gh_node *node) { return node->outputs > 3 ? node->out[3] : NULL; }

static gh_status attention_launch(gh_recorder *r, const gh_node *node) {
  const gh_arg own[] = {gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(node->out[2]),
                        gh_arg_tensor(low_of(node)), gh_arg_tensor(node->in[Q]),  gh_arg_tensor(node->in[K]),
                        gh_arg_tensor(node->in[V])};
  return record(r, node, GH_ATTENTION_FORWARD, node->in[MASK], own, 7);
}

static double attention_flops(const gh_node *node) { return 4 * pair_elements(node); }

static void attention_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const gh_tensor *out = node->out[0];
  if (dout[1] || dout[2]) {
    gh_graph_fail(g, node, "has no gradient through its row statistics, but one is needed");
    return;
  }
  gh_tensor *dy = gh_same_shape(dout[0], out) ? dout[0] : gh_reshape(g, dout[0], out->rank, out->shape);
  gh_tensor *delta = gh_apply(g, &gh_op_attention_delta, (gh_tensor *[]){dy, node->out[0], low_of(node)}, 3, NULL, 0);
  gh_tensor *in[BACKWARD_INPUTS] = {node->in[Q],  node->in[K],  node->in[V], dy,
                                    node->out[1], node->out[2], delta,       node->in[MASK]};
  if (gh_wants_grad(node->in[Q])) din[Q] = gh_apply(g, &gh_op_attention_backward_q, in, BACKWARD_INPUTS, node->attr, 2);
  if (!gh_wants_grad(node->in[K]) && !gh_wants_grad(node->in[V])) return;
  gh_node *kv = gh_apply_node(g, &gh_op_attention_backward_kv, in, BACKWARD_INPUTS, node->attr, 2);
  for (int i = 0; kv && i < 2; i++)
    if (gh_wants_grad(node->in[K + i])) din[K + i] = kv->out[i];
}

const gh_op gh_op_attention = {.name = "attention",
                               .attrs = {"scale", "causal"},
                               .infer = attention_infer,
                               .launch = attention_launch,
                               .gradient = attention_gradient,
                               .flops = attention_flops};

gh_tensor *gh_attention(gh_graph *g, gh_tensor *q, gh_tensor *k, gh_tensor *v, gh_tensor *hidden, double scale,
                        bool causal) {
  return gh_apply(g, &gh_op_attention, (gh_tensor *[]){q, k, v, hidden}, INPUTS, (double[]){scale, causal}, 2);
}
