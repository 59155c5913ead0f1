/* The method's ops around the networks: image normalisation, the autoencoder's sample, flow interpolation. */
#include "ops/ops.h"
#include "ops/sample.h"

extern const gh_op gh_op_gaussian_sample_backward; /* below */

/* ---- normalize_image ---- */

enum { MEAN, STD = MEAN + 3, NORMALIZE_ATTRS = STD + 3 };

static gh_status normalize_image_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (gh_want_rank(g, node, 0, 4)) return GH_ERROR_ARGUMENT;
  if (x->shape[1] != 3) return gh_graph_fail(g, node, "an image has 3 channels");
  for (int c = 0; c < 3; c++)
    if (node->attr[STD + c] == 0) return gh_graph_fail(g, node, "the deviation of channel %d is 0", c);
  return gh_declare_like(g, node, x);
}

static gh_status normalize_image_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  const double *a = node->attr;
  int64_t columns = x->shape[2] * x->shape[3], rows = x->shape[0] * 3;
  return GH_RECORD_ROWS(r, node, node->storage, "normalize_image_forward", gh_rows_of(rows, columns),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(x), gh_arg_float(a[MEAN]), gh_arg_float(a[MEAN + 1]),
                        gh_arg_float(a[MEAN + 2]), gh_arg_float(a[STD]), gh_arg_float(a[STD + 1]),
                        gh_arg_float(a[STD + 2]), gh_arg_long(rows), gh_arg_long(columns));
}

/* dx = dy / std: the same op with mean 0 */
static void normalize_image_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  double attrs[NORMALIZE_ATTRS] = {0};
  for (int c = 0; c < 3; c++) attrs[STD + c] = node->attr[STD + c];
  if (gh_wants_grad(node->in[0])) din[0] = gh_apply(g, node->op, dout, 1, attrs, NORMALIZE_ATTRS);
}

const gh_op gh_op_normalize_image = {.name = "normalize_image",
                                     .wide = GH_WIDE_ALL,
                                     .attrs = {"mean0", "mean1", "mean2", "std0", "std1", "std2"},
                                     .flags = GH_OP_INPLACE,
                                     .infer = normalize_image_infer,
                                     .launch = normalize_image_launch,
                                     .gradient = normalize_image_gradient};

gh_tensor *gh_normalize_image(gh_graph *g, gh_tensor *x, const double mean[3], const double std[3]) {
  const double attrs[] = {mean[0], mean[1], mean[2], std[0], std[1], std[2]};
  return gh_apply(g, &gh_op_normalize_image, &x, 1, attrs, NORMALIZE_ATTRS);
}

/* ---- gaussian_sample ---- */

enum { SHIFT, SCALE };

/* Half of a sample's elements: its means. */
static int64_t half_size(const gh_tensor *moments) { return gh_sample_elements(moments) / 2; }

static gh_status want_moments(gh_graph *g, const gh_node *node, int input) {
  if (gh_want_rank(g, node, input, 4)) return GH_ERROR_ARGUMENT;
  if (node->in[input]->shape[1] % 2) return gh_graph_fail(g, node, "moments must be means and as many variances");
  return GH_OK;
}

static gh_status gaussian_sample_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *moments = node->in[0];
  if (want_moments(g, node, 0)) return GH_ERROR_ARGUMENT;
  const int64_t shape[] = {moments->shape[0], moments->shape[1] / 2, moments->shape[2], moments->shape[3]};
  gh_status status = gh_want_shape(g, node, 1, 4, shape);
  return status ? status : gh_declare_like(g, node, node->in[1]);
}

static gh_status gaussian_sample_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *moments = node->in[0];
  int64_t samples = moments->shape[0], half = half_size(moments);
  return GH_RECORD_ROWS(r, node, node->storage, "gaussian_sample_forward", gh_sample_rows(samples, half),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(moments), gh_arg_tensor(node->in[1]),
                        gh_arg_float(node->attr[SHIFT]), gh_arg_float(node->attr[SCALE]), gh_arg_long(samples),
                        gh_arg_long(half));
}

static void gaussian_sample_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  if (gh_wants_grad(node->in[1])) gh_graph_fail(g, node, "has no gradient for its noise");
  gh_tensor *in[] = {dout[0], node->in[0], node->in[1]};
  if (gh_wants_grad(node->in[0])) din[0] = gh_apply(g, &gh_op_gaussian_sample_backward, in, 3, &node->attr[SCALE], 1);
}

const gh_op gh_op_gaussian_sample = {.name = "gaussian_sample",
                                     .wide = GH_WIDE_ALL,
                                     .attrs = {"shift", "scale"},
                                     .infer = gaussian_sample_infer,
                                     .launch = gaussian_sample_launch,
                                     .gradient = gaussian_sample_gradient};

/* inputs (dz, moments, eps) -> dmoments */
static gh_status gaussian_sample_backward_infer(gh_graph *g, gh_node *node) {
  return gh_declare_like(g, node, node->in[1]);
}

static gh_status gaussian_sample_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *moments = node->in[1];
  int64_t samples = moments->shape[0], half = half_size(moments);
  return GH_RECORD_ROWS(r, node, node->storage, "gaussian_sample_backward", gh_sample_rows(samples, half),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->in[0]), gh_arg_tensor(moments),
                        gh_arg_tensor(node->in[2]), gh_arg_float(node->attr[0]), gh_arg_long(samples),
                        gh_arg_long(half));
}

const gh_op gh_op_gaussian_sample_backward = {.name = "gaussian_sample_backward",
                                              .wide = GH_WIDE_ALL,
                                              .attrs = {"scale"},
                                              .infer = gaussian_sample_backward_infer,
                                              .launch = gaussian_sample_backward_launch};

gh_tensor *gh_gaussian_sample(gh_graph *g, gh_tensor *moments, gh_tensor *eps, double shift, double scale) {
  return gh_apply(g, &gh_op_gaussian_sample, (gh_tensor *[]){moments, eps}, 2, (double[]){shift, scale}, 2);
}

/* ---- flow_interpolate ---- */

static gh_status flow_interpolate_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x1 = node->in[0];
  if (x1->rank < 1) return gh_graph_fail(g, node, "input 0 must have a batch dimension");
  if (gh_want_same(g, node, 1, 0) || gh_want_shape(g, node, 2, 1, x1->shape)) return GH_ERROR_ARGUMENT;
  gh_status status = gh_declare_like(g, node, x1);
  return status ? status : gh_declare_like(g, node, x1);
}

static gh_status flow_interpolate_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x1 = node->in[0];
  int64_t samples = x1->shape[0], n = gh_sample_elements(x1);
  return GH_RECORD_ROWS(r, node, node->storage, "flow_interpolate_forward", gh_sample_rows(samples, n),
                        gh_arg_tensor(node->out[0]), gh_arg_tensor(node->out[1]), gh_arg_tensor(x1),
                        gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]), gh_arg_int(node->attr[0] != 0),
                        gh_arg_long(samples), gh_arg_long(n));
}

const gh_op gh_op_flow_interpolate = {.name = "flow_interpolate",
                                      .wide = GH_WIDE_ALL,
                                      .attrs = {"noise_at_one"},
                                      .infer = flow_interpolate_infer,
                                      .launch = flow_interpolate_launch};

void gh_flow_interpolate(gh_graph *g, gh_tensor *x1, gh_tensor *x0, gh_tensor *t, bool noise_at_one, gh_tensor **x_t,
                         gh_tensor **target) {
  const double attr = noise_at_one;
  gh_node *node = gh_apply_node(g, &gh_op_flow_interpolate, (gh_tensor *[]){x1, x0, t}, 3, &attr, 1);
  *x_t = node ? node->out[0] : NULL;
  *target = node ? node->out[1] : NULL;
}
