/* Images to patches and back (each is the other's gradient), and nearest upsampling. */
#include "ops/ops.h"

/* The image's shape, checked to consist of whole patches. */
static gh_status check_image(gh_graph *g, const gh_node *node, const int64_t image[4], int64_t patch) {
  if (patch < 1 || image[2] % patch || image[3] % patch)
    return gh_graph_fail(g, node, "%lld x %lld is not a whole number of patches of %lld", (long long)image[2],
                         (long long)image[3], (long long)patch);
  return GH_OK;
}

static gh_status record_patches(gh_recorder *r, const gh_node *node, const char *kernel, const int64_t image[4],
                                int64_t patch) {
  int64_t gh = image[2] / patch, gw = image[3] / patch, patches = image[0] * gh * gw;
  return GH_RECORD(r, node, kernel, gh_grid_rows(r, patches, image[1] * patch), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), gh_arg_long(patches), gh_arg_int(image[1]), gh_arg_int(gh),
                   gh_arg_int(gw), gh_arg_int(patch));
}

/* ---- patchify ---- */

static gh_status patchify_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t p = (int64_t)node->attr[0];
  gh_status status = gh_want_rank(g, node, 0, 4);
  if (!status) status = check_image(g, node, x->shape, p);
  if (status) return status;
  gh_declare(g, node, x->dtype, 3, (int64_t[]){x->shape[0], x->shape[2] / p * (x->shape[3] / p), x->shape[1] * p * p});
  return GH_OK;
}

static gh_status patchify_launch(gh_recorder *r, const gh_node *node) {
  return record_patches(r, node, "patchify_forward", node->in[0]->shape, (int64_t)node->attr[0]);
}

static void patchify_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const gh_tensor *x = node->in[0], *y = node->out[0];
  gh_tensor *dy = gh_same_shape(dout[0], y) ? dout[0] : gh_reshape(g, dout[0], y->rank, y->shape);
  din[0] = gh_unpatchify(g, dy, (int)node->attr[0], x->shape[1], x->shape[2], x->shape[3]);
}

const gh_op gh_op_patchify = {.name = "patchify",
                              .attrs = {"patch"},
                              .infer = patchify_infer,
                              .launch = patchify_launch,
                              .gradient = patchify_gradient};

gh_tensor *gh_patchify(gh_graph *g, gh_tensor *x, int patch) {
  const double attr = patch;
  return gh_apply(g, &gh_op_patchify, &x, 1, &attr, 1);
}

/* ---- unpatchify ---- */

enum { PATCH, CHANNELS, HEIGHT, WIDTH, UNPATCHIFY_ATTRS };

static gh_status unpatchify_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t p = (int64_t)node->attr[PATCH];
  gh_status status = gh_want_rank(g, node, 0, 3);
  if (status) return status;
  const int64_t image[4] = {x->shape[0], (int64_t)node->attr[CHANNELS], (int64_t)node->attr[HEIGHT],
                            (int64_t)node->attr[WIDTH]};
  status = check_image(g, node, image, p);
  if (!status)
    status = gh_want_shape(g, node, 0, 3, (int64_t[]){image[0], image[2] / p * (image[3] / p), image[1] * p * p});
  if (!status) gh_declare(g, node, x->dtype, 4, image);
  return status;
}

static gh_status unpatchify_launch(gh_recorder *r, const gh_node *node) {
  return record_patches(r, node, "unpatchify_forward", node->out[0]->shape, (int64_t)node->attr[PATCH]);
}

static void unpatchify_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const gh_tensor *y = node->out[0];
  gh_tensor *dy = gh_same_shape(dout[0], y) ? dout[0] : gh_reshape(g, dout[0], y->rank, y->shape);
  din[0] = gh_patchify(g, dy, (int)node->attr[PATCH]);
}

const gh_op gh_op_unpatchify = {.name = "unpatchify",
                                .attrs = {"patch", "channels", "height", "width"},
                                .infer = unpatchify_infer,
                                .launch = unpatchify_launch,
                                .gradient = unpatchify_gradient};

gh_tensor *gh_unpatchify(gh_graph *g, gh_tensor *x, int patch, int64_t channels, int64_t height, int64_t width) {
  const double attrs[] = {patch, (double)channels, (double)height, (double)width};
  return gh_apply(g, &gh_op_unpatchify, &x, 1, attrs, UNPATCHIFY_ATTRS);
}

/* ---- upsample2x ---- */

static gh_status upsample2x_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  gh_status status = gh_want_rank(g, node, 0, 4);
  if (status) return status;
  gh_declare(g, node, x->dtype, 4, (int64_t[]){x->shape[0], x->shape[1], 2 * x->shape[2], 2 * x->shape[3]});
  return GH_OK;
}

static gh_status upsample2x_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = gh_tensor_rows(x), width = gh_tensor_columns(x);
  return GH_RECORD(r, node, "upsample2x_forward", gh_grid_rows(r, rows, width), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(x), gh_arg_long(rows), gh_arg_long(width));
}

/* in: dy (B, C, 2H, 2W) -> sums over its 2 x 2 squares (B, C, H, W) */
static gh_status upsample2x_backward_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  gh_status status = gh_want_rank(g, node, 0, 4);
  if (status) return status;
  if (dy->shape[2] % 2 || dy->shape[3] % 2) return gh_graph_fail(g, node, "the last two sizes must be even");
  gh_declare(g, node, dy->dtype, 4, (int64_t[]){dy->shape[0], dy->shape[1], dy->shape[2] / 2, dy->shape[3] / 2});
  return GH_OK;
}

static gh_status upsample2x_backward_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dx = node->out[0];
  int64_t rows = gh_tensor_rows(dx), width = gh_tensor_columns(dx);
  return GH_RECORD(r, node, "upsample2x_backward", gh_grid_rows(r, rows, width), gh_arg_tensor(dx),
                   gh_arg_tensor(node->in[0]), gh_arg_long(rows), gh_arg_long(width));
}

const gh_op gh_op_upsample2x_backward = {
    .name = "upsample2x_backward", .infer = upsample2x_backward_infer, .launch = upsample2x_backward_launch};

static void upsample2x_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  const gh_tensor *y = node->out[0];
  gh_tensor *dy = gh_same_shape(dout[0], y) ? dout[0] : gh_reshape(g, dout[0], y->rank, y->shape);
  din[0] = gh_apply(g, &gh_op_upsample2x_backward, &dy, 1, NULL, 0);
}

const gh_op gh_op_upsample2x = {
    .name = "upsample2x", .infer = upsample2x_infer, .launch = upsample2x_launch, .gradient = upsample2x_gradient};

gh_tensor *gh_upsample2x(gh_graph *g, gh_tensor *x) { return gh_apply(g, &gh_op_upsample2x, &x, 1, NULL, 0); }
