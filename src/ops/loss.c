/* Losses over samples, weighted by the step block: sums over fixed chunks of each sample, then one sum of those. */
#include "ops/ops.h"
#include "ops/sample.h"

extern const gh_op gh_op_mse_loss_backward, gh_op_gaussian_kl_backward; /* below */

/* Declares the scalar and the partial sums (samples, chunks). */
static gh_status declare_loss(gh_graph *g, gh_node *node, int64_t samples, int64_t n) {
  gh_declare(g, node, GH_F32, 0, NULL);
  return gh_declare_scratch(g, node, GH_F32, samples * gh_sample_chunks(n));
}

static gh_status record_final(gh_recorder *r, const gh_node *node, const gh_tensor *step, int64_t samples, int64_t n) {
  int64_t chunks = gh_sample_chunks(n);
  return GH_RECORD(r, node, "sample_loss_final", gh_grid_rows(r, 1, samples * chunks), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->scratch), gh_arg_tensor(step), gh_arg_long(samples), gh_arg_long(chunks),
                   gh_arg_long(n));
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
  gh_status status =
      GH_RECORD(r, node, "mse_loss_partial", gh_grid_samples(r, samples, n), gh_arg_tensor(node->scratch),
                gh_arg_tensor(pred), gh_arg_tensor(node->in[1]), gh_arg_long(samples), gh_arg_long(n));
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
  return GH_RECORD(r, node, "mse_loss_backward", gh_grid_samples(r, samples, n), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(pred), gh_arg_tensor(node->in[2]),
                   gh_arg_tensor(node->in[3]), gh_arg_long(samples), gh_arg_long(n));
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
      GH_RECORD(r, node, "gaussian_kl_partial", gh_grid_samples(r, samples, half), gh_arg_tensor(node->scratch),
                gh_arg_tensor(moments), gh_arg_long(samples), gh_arg_long(half));
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
  return GH_RECORD(r, node, "gaussian_kl_backward", gh_grid_samples(r, samples, half), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(moments), gh_arg_tensor(node->in[2]), gh_arg_long(samples),
                   gh_arg_long(half));
}

const gh_op gh_op_gaussian_kl_backward = {.name = "gaussian_kl_backward",
                                          .wide = GH_WIDE_ALL,
                                          .infer = gaussian_kl_backward_infer,
                                          .launch = gaussian_kl_backward_launch};

gh_tensor *gh_gaussian_kl(gh_graph *g, gh_tensor *moments, gh_tensor *step) {
  return gh_apply(g, &gh_op_gaussian_kl, (gh_tensor *[]){moments, step}, 2, NULL, 0);
}
