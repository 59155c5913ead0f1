/* Losses over samples, weighted by the step block: sums over fixed chunks of each sample, then one sum of those. */
#include "ops/ops.h"
#include "ops/sample.h"

extern const gh_op gh_op_mse_loss_backward, gh_op_gaussian_kl_backward, gh_op_cross_entropy_backward; /* below */

/* Declares the scalar and the partial sums (samples, chunks). */
static gh_status declare_loss(gh_graph *g, gh_node *node, int64_t samples, int64_t n) {
  gh_declare(g, node, GH_F32, 0, NULL);
  return gh_declare_scratch(g, node, GH_F32, samples * gh_sample_chunks(n));
}

/* out[set] = weight / n * the sum of that set of partials, (samples, chunks) each. */
static gh_status record_set(gh_recorder *r, const gh_node *node, int set, const gh_tensor *step, int64_t samples,
                            int64_t chunks, int64_t n) {
  return GH_RECORD(r, node, "sample_loss_final", gh_grid_rows(r, 1, samples * chunks), gh_arg_tensor(node->out[set]),
                   gh_arg_tensor(node->scratch), gh_arg_tensor(step), gh_arg_long(set), gh_arg_long(samples),
                   gh_arg_long(chunks), gh_arg_long(n));
}

static gh_status record_final(gh_recorder *r, const gh_node *node, const gh_tensor *step, int64_t samples, int64_t n) {
  return record_set(r, node, 0, step, samples, gh_sample_chunks(n), n);
}

/* ---- mse_loss: inputs (pred, target, step) ---- */

static gh_status mse_loss_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *pred = node->in[0];
  if (pred->rank < 1) return gh_graph_fail(g, node, "input 0 must have a batch dimension");
  if (gh_want_same(g, node, 1, 0) || gh_want_block(g, node, 2)) return GH_ERROR_ARGUMENT;
  return declare_loss(g, node, pred->shape[0], gh_sample_elements(pred));
}

static gh_status mse_loss_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *pred = node->in[0];
  int64_t samples = pred->shape[0], n = gh_sample_elements(pred);
  gh_status status = GH_RECORD_ROWS(r, node, node->storage, "mse_loss_partial", gh_sample_rows(samples, n),
                                    gh_arg_tensor(node->scratch), gh_arg_tensor(pred), gh_arg_tensor(node->in[1]),
                                    gh_arg_long(samples), gh_arg_long(n));
  return status ? status : record_final(r, node, node->in[2], samples, n);
}

static void mse_loss_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  if (gh_wants_grad(node->in[1])) gh_graph_fail(g, node, "has no gradient for its target");
  gh_tensor *in[] = {dout[0], node->in[0], node->in[1], node->in[2]};
  if (gh_wants_grad(node->in[0])) din[0] = gh_apply(g, &gh_op_mse_loss_backward, in, 4, NULL, 0);
}

static double mse_loss_flops(const gh_node *node) { return 3.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_mse_loss = {.name = "mse_loss",
                              .wide = GH_WIDE_ALL,
                              .infer = mse_loss_infer,
                              .launch = mse_loss_launch,
                              .gradient = mse_loss_gradient,
                              .flops = mse_loss_flops};

/* inputs (dloss, pred, target, step) -> dpred */
static gh_status mse_loss_backward_infer(gh_graph *g, gh_node *node) { return gh_declare_like(g, node, node->in[1]); }

static gh_status mse_loss_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *pred = node->in[1];
  int64_t samples = pred->shape[0], n = gh_sample_elements(pred);
  return GH_RECORD_ROWS(r, node, node->storage, "mse_loss_backward", gh_sample_rows(samples, n),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(pred),
                        gh_arg_tensor(node->in[2]), gh_arg_tensor(node->in[3]), gh_arg_long(samples), gh_arg_long(n));
}

const gh_op gh_op_mse_loss_backward = {.name = "mse_loss_backward",
                                       .wide = GH_WIDE_ALL,
                                       .infer = mse_loss_backward_infer,
                                       .launch = mse_loss_backward_launch};

gh_tensor *gh_mse_loss(gh_graph *g, gh_tensor *pred, gh_tensor *target, gh_tensor *step) {
  return gh_apply(g, &gh_op_mse_loss, (gh_tensor *[]){pred, target, step}, 3, NULL, 0);
}

/* ---- gaussian_kl: inputs (moments, step) ---- */

static gh_status gaussian_kl_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *moments = node->in[0];
  if (gh_want_rank(g, node, 0, 4) || gh_want_block(g, node, 1)) return GH_ERROR_ARGUMENT;
  if (moments->shape[1] % 2) return gh_graph_fail(g, node, "moments must be means and as many variances");
  return declare_loss(g, node, moments->shape[0], gh_sample_elements(moments) / 2);
}

static gh_status gaussian_kl_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *moments = node->in[0];
  int64_t samples = moments->shape[0], half = gh_sample_elements(moments) / 2;
  gh_status status =
      GH_RECORD_ROWS(r, node, node->storage, "gaussian_kl_partial", gh_sample_rows(samples, half),
                     gh_arg_tensor(node->scratch), gh_arg_tensor(moments), gh_arg_long(samples), gh_arg_long(half));
  return status ? status : record_final(r, node, node->in[1], samples, half);
}

static void gaussian_kl_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *in[] = {dout[0], node->in[0], node->in[1]};
  if (gh_wants_grad(node->in[0])) din[0] = gh_apply(g, &gh_op_gaussian_kl_backward, in, 3, NULL, 0);
}

static double gaussian_kl_flops(const gh_node *node) { return 10.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_gaussian_kl = {.name = "gaussian_kl",
                                 .wide = GH_WIDE_ALL,
                                 .infer = gaussian_kl_infer,
                                 .launch = gaussian_kl_launch,
                                 .gradient = gaussian_kl_gradient,
                                 .flops = gaussian_kl_flops};

/* inputs (dloss, moments, step) -> dmoments */
static gh_status gaussian_kl_backward_infer(gh_graph *g, gh_node *node) {
  return gh_declare_like(g, node, node->in[1]);
}

static gh_status gaussian_kl_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *moments = node->in[1];
  int64_t samples = moments->shape[0], half = gh_sample_elements(moments) / 2;
  return GH_RECORD_ROWS(r, node, node->storage, "gaussian_kl_backward", gh_sample_rows(samples, half),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(moments),
                        gh_arg_tensor(node->in[2]), gh_arg_long(samples), gh_arg_long(half));
}

const gh_op gh_op_gaussian_kl_backward = {.name = "gaussian_kl_backward",
                                          .wide = GH_WIDE_ALL,
                                          .infer = gaussian_kl_backward_infer,
                                          .launch = gaussian_kl_backward_launch};

gh_tensor *gh_gaussian_kl(gh_graph *g, gh_tensor *moments, gh_tensor *step) {
  return gh_apply(g, &gh_op_gaussian_kl, (gh_tensor *[]){moments, step}, 2, NULL, 0);
}

/* ---- cross_entropy: inputs (logits, codes, index, step) -> (loss, correct, highest, inverse, share), the last three
 * (B, M), for the gradient ---- */

static gh_status cross_entropy_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *logits = node->in[0], *index = node->in[2];
  if (gh_want_rank(g, node, 0, 3)) return GH_ERROR_ARGUMENT;
  for (int i = 1; i <= 2; i++)
    if (gh_want_integers(g, node, i, logits->shape[0])) return GH_ERROR_ARGUMENT;
  if (gh_want_block(g, node, 3)) return GH_ERROR_ARGUMENT;
  if (index->shape[1] != logits->shape[1]) return gh_graph_fail(g, node, "there must be one index per row of logits");
  if (logits->shape[2] > INT32_MAX) return gh_graph_fail(g, node, "more codes than an int32 can number");
  for (int i = 0; i < 2; i++) gh_declare(g, node, GH_F32, 0, NULL);
  for (int i = 0; i < 3; i++) gh_declare(g, node, GH_F32, 2, logits->shape);
  return gh_declare_scratch(g, node, GH_F32, 2 * gh_tensor_rows(logits));
}

static gh_status cross_entropy_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *logits = node->in[0], *codes = node->in[1], *step = node->in[3];
  int64_t samples = logits->shape[0], chosen = logits->shape[1], columns = logits->shape[2], rows = samples * chosen;
  gh_status status = GH_RECORD_ROWS(r, node, node->storage, "cross_entropy_rows", gh_rows_of(rows, columns),
                                    gh_arg_tensor(node->scratch), gh_arg_tensor(node->out[2]),
                                    gh_arg_tensor(node->out[3]), gh_arg_tensor(node->out[4]), gh_arg_tensor(logits),
                                    gh_arg_tensor(codes), gh_arg_tensor(node->in[2]), gh_arg_long(rows),
                                    gh_arg_long(chosen), gh_arg_long(codes->shape[1]), gh_arg_long(columns));
  for (int set = 0; set < 2 && !status; set++) /* a row's partial is divided by its sample's count already */
    if (gh_tensor_buffer(node->out[set])) status = record_set(r, node, set, step, samples, chosen, 1);
  return status;
}

static void cross_entropy_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  if (dout[1]) gh_graph_fail(g, node, "the share of right answers has no gradient");
  if (!dout[0] || !gh_wants_grad(node->in[0])) return;
  gh_tensor *in[] = {node->in[0], dout[0],      node->in[1],  node->in[2],
                     node->in[3], node->out[2], node->out[3], node->out[4]};
  din[0] = gh_apply(g, &gh_op_cross_entropy_backward, in, 8, NULL, 0);
}

static double cross_entropy_flops(const gh_node *node) { return 4.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_cross_entropy = {.name = "cross_entropy",
                                   .wide = ~GH_WIDE(0), /* all but logits */
                                   .infer = cross_entropy_infer,
                                   .launch = cross_entropy_launch,
                                   .gradient = cross_entropy_gradient,
                                   .flops = cross_entropy_flops};

/* inputs (logits, dloss, codes, index, step, highest, inverse, share) -> dlogits, which may overwrite logits */
static gh_status cross_entropy_backward_infer(gh_graph *g, gh_node *node) {
  return gh_declare_like(g, node, node->in[0]);
}

static gh_status cross_entropy_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *logits = node->in[0], *codes = node->in[2];
  int64_t chosen = logits->shape[1], columns = logits->shape[2], rows = gh_tensor_rows(logits);
  return GH_RECORD_ROWS(r, node, node->storage, "cross_entropy_backward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(logits), gh_arg_tensor(node->in[1]),
                        gh_arg_tensor(codes), gh_arg_tensor(node->in[3]), gh_arg_tensor(node->in[4]),
                        gh_arg_tensor(node->in[5]), gh_arg_tensor(node->in[6]), gh_arg_tensor(node->in[7]),
                        gh_arg_long(rows), gh_arg_long(chosen), gh_arg_long(codes->shape[1]), gh_arg_long(columns));
}

const gh_op gh_op_cross_entropy_backward = {.name = "cross_entropy_backward",
                                            .flags = GH_OP_INPLACE,
                                            .wide = ~GH_WIDE(0),
                                            .infer = cross_entropy_backward_infer,
                                            .launch = cross_entropy_backward_launch,
                                            .flops = cross_entropy_flops};

gh_tensor *gh_cross_entropy(gh_graph *g, gh_tensor *logits, gh_tensor *codes, gh_tensor *index, gh_tensor *step,
                            gh_tensor **correct) {
  gh_node *node = gh_apply_node(g, &gh_op_cross_entropy, (gh_tensor *[]){logits, codes, index, step}, 4, NULL, 0);
  if (correct) *correct = node ? node->out[1] : NULL;
  return node ? node->out[0] : NULL;
}
