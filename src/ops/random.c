/* Random numbers on the device: normals, time steps, indices, dropout. They depend only on the stream's key, the
 * sample's ordinal and the element (base/random.h), so a recomputed or repeated node draws the same ones. */
#include "cl/step.h"
#include "ops/ops.h"
#include "ops/sample.h"

enum { KEY0, KEY1 };

gh_status gh_want_block(gh_graph *g, const gh_node *node, int input) {
  const gh_tensor *t = node->in[input];
  if (t && t->rank == 1 && t->shape[0] == STEP_WORDS && t->dtype == GH_U32) return GH_OK;
  return gh_graph_fail(g, node, "input %d must be a block of %d words", input, STEP_WORDS);
}

static gh_arg key_word(const gh_node *node, int attr) { return gh_arg_int((uint32_t)node->attr[attr]); }

/* ---- random_normal ---- */

enum { NORMAL_RANK = KEY1 + 1, NORMAL_DIMS };

static gh_status random_normal_infer(gh_graph *g, gh_node *node) {
  int rank = (int)node->attr[NORMAL_RANK];
  int64_t shape[GH_MAX_RANK];
  if (gh_want_block(g, node, 0)) return GH_ERROR_ARGUMENT;
  if (rank < 1 || rank > GH_MAX_RANK) return gh_graph_fail(g, node, "rank %d is not in 1..%d", rank, GH_MAX_RANK);
  for (int i = 0; i < rank; i++) shape[i] = (int64_t)node->attr[NORMAL_DIMS + i];
  gh_declare(g, node, GH_F32, rank, shape);
  return GH_OK;
}

static gh_status random_normal_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *y = node->out[0];
  int64_t samples = y->shape[0], n = gh_sample_elements(y);
  return GH_RECORD(r, node, "random_normal_forward", gh_grid_samples(r, samples, n), gh_arg_tensor(y),
                   gh_arg_tensor(node->in[0]), key_word(node, KEY0), key_word(node, KEY1), gh_arg_long(samples),
                   gh_arg_long(n));
}

const gh_op gh_op_random_normal = {.name = "random_normal",
                                   .attrs = {"key0", "key1", "rank", "d0", "d1", "d2", "d3", "d4"},
                                   .infer = random_normal_infer,
                                   .launch = random_normal_launch};

gh_tensor *gh_random_normal(gh_graph *g, gh_tensor *step, const uint32_t key[2], int rank, const int64_t *shape) {
  double attrs[NORMAL_DIMS + GH_MAX_RANK] = {key[0], key[1], rank};
  for (int i = 0; i < rank && i < GH_MAX_RANK; i++) attrs[NORMAL_DIMS + i] = (double)shape[i];
  return gh_apply(g, &gh_op_random_normal, &step, 1, attrs, GH_COUNT(attrs));
}

/* ---- random_timestep ---- */

enum { TIME_BATCH = KEY1 + 1, TIME_UNIFORM, TIME_SCALE };

static gh_status random_timestep_infer(gh_graph *g, gh_node *node) {
  int64_t batch = (int64_t)node->attr[TIME_BATCH];
  if (gh_want_block(g, node, 0)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 1, &batch);
  return GH_OK;
}

static gh_status random_timestep_launch(gh_recorder *r, const gh_node *node) {
  int64_t batch = node->out[0]->shape[0];
  return GH_RECORD(r, node, "random_timestep_forward", gh_grid_samples(r, batch, 1), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), key_word(node, KEY0), key_word(node, KEY1), gh_arg_long(batch),
                   gh_arg_int(node->attr[TIME_UNIFORM] != 0), gh_arg_float(node->attr[TIME_SCALE]));
}

const gh_op gh_op_random_timestep = {.name = "random_timestep",
                                     .attrs = {"key0", "key1", "batch", "uniform", "scale"},
                                     .infer = random_timestep_infer,
                                     .launch = random_timestep_launch};

gh_tensor *gh_random_timestep(gh_graph *g, gh_tensor *step, const uint32_t key[2], int64_t batch, bool uniform,
                              double scale) {
  const double attrs[] = {key[0], key[1], (double)batch, uniform, scale};
  return gh_apply(g, &gh_op_random_timestep, &step, 1, attrs, GH_COUNT(attrs));
}

/* ---- random_index ---- */

enum { INDEX_BATCH = KEY1 + 1, INDEX_N, INDEX_COUNT };

static gh_status random_index_infer(gh_graph *g, gh_node *node) {
  double n = node->attr[INDEX_N], count = node->attr[INDEX_COUNT];
  if (gh_want_block(g, node, 0)) return GH_ERROR_ARGUMENT;
  if (!(count >= 1 && count <= n && n <= INT32_MAX))
    return gh_graph_fail(g, node, "cannot draw %g of %g numbers", count, n);
  gh_declare(g, node, GH_I32, 2, (int64_t[]){(int64_t)node->attr[INDEX_BATCH], (int64_t)count});
  return GH_OK;
}

static gh_status random_index_launch(gh_recorder *r, const gh_node *node) {
  int64_t samples = node->out[0]->shape[0], count = node->out[0]->shape[1];
  return GH_RECORD(r, node, "random_index_forward", gh_grid_samples(r, samples, count), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->in[0]), key_word(node, KEY0), key_word(node, KEY1), gh_arg_long(samples),
                   gh_arg_long((int64_t)node->attr[INDEX_N]), gh_arg_long(count));
}

const gh_op gh_op_random_index = {.name = "random_index",
                                  .attrs = {"key0", "key1", "batch", "n", "count"},
                                  .infer = random_index_infer,
                                  .launch = random_index_launch};

gh_tensor *gh_random_index(gh_graph *g, gh_tensor *step, const uint32_t key[2], int64_t batch, int64_t n,
                           int64_t count) {
  const double attrs[] = {key[0], key[1], (double)batch, (double)n, (double)count};
  return gh_apply(g, &gh_op_random_index, &step, 1, attrs, GH_COUNT(attrs));
}

/* ---- dropout ---- */

enum { DROP_P = KEY1 + 1 };

static gh_status dropout_infer(gh_graph *g, gh_node *node) {
  double p = node->attr[DROP_P];
  if (!(p >= 0 && p < 1)) return gh_graph_fail(g, node, "the probability %g is not in [0, 1)", p);
  if (node->in[0]->rank < 1) return gh_graph_fail(g, node, "input 0 must have a batch dimension");
  gh_status status = node->in[2] ? gh_want_same(g, node, 2, 0) : gh_want_block(g, node, 1);
  return status ? status : gh_declare_like(g, node, node->in[0]);
}

static gh_status dropout_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0], *y = node->out[0], *mask = node->in[2];
  double p = node->attr[DROP_P], scale = 1 / (1 - p);
  int64_t all = gh_tensor_elements(x), samples = x->shape[0], n = gh_sample_elements(x);
  if (mask)
    return GH_RECORD(r, node, "dropout_masked_forward", gh_grid_elements(r, all), gh_arg_tensor(y), gh_arg_tensor(x),
                     gh_arg_tensor(mask), gh_arg_float(scale), gh_arg_long(all));
  return GH_RECORD(r, node, "dropout_forward", gh_grid_samples(r, samples, n), gh_arg_tensor(y), gh_arg_tensor(x),
                   gh_arg_tensor(node->in[1]), key_word(node, KEY0), key_word(node, KEY1), gh_arg_float(p),
                   gh_arg_float(scale), gh_arg_long(samples), gh_arg_long(n));
}

/* The same op, applied to dy: it draws the same numbers, so no mask is kept. */
static void dropout_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  if (!gh_wants_grad(node->in[0])) return;
  gh_tensor *in[] = {dout[0], node->in[1], node->in[2]};
  din[0] = gh_apply(g, node->op, in, 3, node->attr, GH_MAX_ATTRS);
}

const gh_op gh_op_dropout = {.name = "dropout",
                             .wide = GH_WIDE(2),
                             .attrs = {"key0", "key1", "p"},
                             .flags = GH_OP_INPLACE,
                             .infer = dropout_infer,
                             .launch = dropout_launch,
                             .gradient = dropout_gradient};

gh_tensor *gh_dropout(gh_graph *g, gh_tensor *x, gh_tensor *step, gh_tensor *mask, const uint32_t key[2], double p) {
  const double attrs[] = {key[0], key[1], p};
  return gh_apply(g, &gh_op_dropout, (gh_tensor *[]){x, step, mask}, 3, attrs, GH_COUNT(attrs));
}
