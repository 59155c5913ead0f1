/* Random numbers on the device: normals, Gumbel noise, time steps, indices, masks, codes, dropout. They depend only on
 * the stream's key, the sample's ordinal and the element (base/random.h), so a recomputed or repeated node draws the
 * same ones. */
#include "cl/philox.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "ops/sample.h"

enum { KEY0, KEY1 };

extern const gh_op gh_op_random_gumbel; /* below */

gh_status gh_want_block(gh_graph *g, const gh_node *node, int input) {
  const gh_tensor *t = node->in[input];
  if (t && t->rank == 1 && t->shape[0] == STEP_WORDS && t->dtype == GH_U32) return GH_OK;
  return gh_graph_fail(g, node, "input %d must be a block of %d words", input, STEP_WORDS);
}

static gh_arg key_word(const gh_node *node, int attr) { return gh_arg_int((uint32_t)node->attr[attr]); }

/* ---- random_normal, random_gumbel ---- */

enum { FLOATS_RANK = KEY1 + 1, FLOATS_DIMS };

#define FLOATS_ATTRS                                                                                                   \
  { "key0", "key1", "rank", "d0", "d1", "d2", "d3", "d4" }

static gh_status random_floats_infer(gh_graph *g, gh_node *node) {
  int rank = (int)node->attr[FLOATS_RANK];
  int64_t shape[GH_MAX_RANK];
  if (gh_want_block(g, node, 0)) return GH_ERROR_ARGUMENT;
  if (rank < 1 || rank > GH_MAX_RANK) return gh_graph_fail(g, node, "rank %d is not in 1..%d", rank, GH_MAX_RANK);
  for (int i = 0; i < rank; i++) shape[i] = (int64_t)node->attr[FLOATS_DIMS + i];
  gh_declare(g, node, GH_F32, rank, shape);
  return GH_OK;
}

static gh_status random_floats_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *y = node->out[0];
  const char *kernel = node->op == &gh_op_random_gumbel ? "random_gumbel_forward" : "random_normal_forward";
  int64_t samples = y->shape[0], n = gh_sample_elements(y);
  return GH_RECORD(r, node, kernel, gh_grid_samples(r, samples, n), gh_arg_tensor(y), gh_arg_tensor(node->in[0]),
                   key_word(node, KEY0), key_word(node, KEY1), gh_arg_long(samples), gh_arg_long(n));
}

const gh_op gh_op_random_normal = {
    .name = "random_normal", .attrs = FLOATS_ATTRS, .infer = random_floats_infer, .launch = random_floats_launch};

const gh_op gh_op_random_gumbel = {
    .name = "random_gumbel", .attrs = FLOATS_ATTRS, .infer = random_floats_infer, .launch = random_floats_launch};

static gh_tensor *random_floats(gh_graph *g, const gh_op *op, gh_tensor *step, const uint32_t key[2], int rank,
                                const int64_t *shape) {
  double attrs[FLOATS_DIMS + GH_MAX_RANK] = {key[0], key[1], rank};
  for (int i = 0; i < rank && i < GH_MAX_RANK; i++) attrs[FLOATS_DIMS + i] = (double)shape[i];
  return gh_apply(g, op, &step, 1, attrs, GH_COUNT(attrs));
}

gh_tensor *gh_random_normal(gh_graph *g, gh_tensor *step, const uint32_t key[2], int rank, const int64_t *shape) {
  return random_floats(g, &gh_op_random_normal, step, key, rank, shape);
}

gh_tensor *gh_random_gumbel(gh_graph *g, gh_tensor *step, const uint32_t key[2], int rank, const int64_t *shape) {
  return random_floats(g, &gh_op_random_gumbel, step, key, rank, shape);
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

/* ---- random_mask: keys of the ratio; of the order ---- */

enum { MASK_ORDER0 = KEY1 + 1, MASK_ORDER1, MASK_BATCH, MASK_N, MASK_LOW, MASK_HIGH };

static gh_status random_mask_infer(gh_graph *g, gh_node *node) {
  double n = node->attr[MASK_N], low = node->attr[MASK_LOW], high = node->attr[MASK_HIGH];
  int64_t batch = (int64_t)node->attr[MASK_BATCH];
  if (gh_want_block(g, node, 0)) return GH_ERROR_ARGUMENT;
  if (!(n >= 2 && n <= GH_MASK_LIMIT)) return gh_graph_fail(g, node, "cannot mask a part of %g positions", n);
  if (!(low >= 0 && low <= high && high <= 1))
    return gh_graph_fail(g, node, "ratios from %g to %g are not in [0, 1]", low, high);
  gh_declare(g, node, GH_I32, 2, (int64_t[]){batch, (int64_t)n});
  return gh_declare_scratch(g, node, GH_U32, batch * (int64_t)n);
}

static gh_status random_mask_launch(gh_recorder *r, const gh_node *node) {
  int64_t samples = node->out[0]->shape[0], n = node->out[0]->shape[1];
  gh_status status = GH_RECORD(r, node, "random_mask_draw", gh_grid_samples(r, samples, n),
                               gh_arg_tensor(node->scratch), gh_arg_tensor(node->in[0]), key_word(node, MASK_ORDER0),
                               key_word(node, MASK_ORDER1), gh_arg_long(samples), gh_arg_long(n));
  if (status) return status;
  return GH_RECORD(r, node, "random_mask_forward", gh_grid_samples(r, samples, n), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->scratch), gh_arg_tensor(node->in[0]), key_word(node, KEY0), key_word(node, KEY1),
                   gh_arg_float(node->attr[MASK_LOW]), gh_arg_float(node->attr[MASK_HIGH]), gh_arg_long(samples),
                   gh_arg_long(n));
}

const gh_op gh_op_random_mask = {.name = "random_mask",
                                 .attrs = {"key0", "key1", "order0", "order1", "batch", "n", "low", "high"},
                                 .infer = random_mask_infer,
                                 .launch = random_mask_launch};

gh_tensor *gh_random_mask(gh_graph *g, gh_tensor *step, const uint32_t ratio_key[2], const uint32_t order_key[2],
                          int64_t batch, int64_t n, double low, double high) {
  const double attrs[] = {ratio_key[0], ratio_key[1], order_key[0], order_key[1], (double)batch, (double)n, low, high};
  return gh_apply(g, &gh_op_random_mask, &step, 1, attrs, GH_COUNT(attrs));
}

/* ---- categorical: inputs (logits, step) -> (code, log_probability) ---- */

enum { DRAW_TEMPERATURE = KEY1 + 1 };

#define MAX_CODES 16777216 /* 2^24: float32 numbers them exactly */

static gh_status categorical_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *logits = node->in[0];
  double temperature = node->attr[DRAW_TEMPERATURE];
  if (gh_want_rank(g, node, 0, 3) || gh_want_block(g, node, 1)) return GH_ERROR_ARGUMENT;
  if (!(temperature >= 0x1p-100 && temperature <= 0x1p100)) /* so that its reciprocal is a normal float32 number */
    return gh_graph_fail(g, node, "the temperature %g is not in 1e-30..1e30", temperature);
  if (logits->shape[2] > MAX_CODES) return gh_graph_fail(g, node, "more than %d codes", MAX_CODES);
  gh_declare(g, node, GH_I32, 2, logits->shape);
  gh_declare(g, node, GH_F32, 2, logits->shape);
  return GH_OK;
}

static gh_status categorical_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *logits = node->in[0];
  int64_t rows = gh_tensor_rows(logits), columns = gh_tensor_columns(logits);
  return GH_RECORD(r, node, "categorical_forward", gh_grid_rows(r, rows, columns), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->out[1]), gh_arg_tensor(logits), gh_arg_tensor(node->in[1]), key_word(node, KEY0),
                   key_word(node, KEY1), gh_arg_float(1 / node->attr[DRAW_TEMPERATURE]), gh_arg_long(rows),
                   gh_arg_long(logits->shape[1]), gh_arg_long(columns));
}

/* Philox, two logarithms, an exponential. */
static double categorical_flops(const gh_node *node) { return 50.0 * (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_categorical = {.name = "categorical",
                                 .attrs = {"key0", "key1", "temperature"},
                                 .infer = categorical_infer,
                                 .launch = categorical_launch,
                                 .flops = categorical_flops};

void gh_categorical(gh_graph *g, gh_tensor *logits, gh_tensor *step, const uint32_t key[2], double temperature,
                    gh_tensor **code, gh_tensor **log_probability) {
  const double attrs[] = {key[0], key[1], temperature};
  gh_node *node = gh_apply_node(g, &gh_op_categorical, (gh_tensor *[]){logits, step}, 2, attrs, GH_COUNT(attrs));
  *code = node ? node->out[0] : NULL;
  *log_probability = node ? node->out[1] : NULL;
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
    return GH_RECORD(r, node, "dropout_masked_forward", gh_grid_pieces(r, all, node->storage), gh_arg_tensor(y),
                     gh_arg_tensor(x), gh_arg_tensor(mask), gh_arg_float(scale), gh_arg_long(all));
  return GH_RECORD_ROWS(r, node, node->storage, "dropout_forward", gh_sample_rows(samples, n), gh_arg_tensor(y),
                        gh_arg_tensor(x), gh_arg_tensor(node->in[1]), key_word(node, KEY0), key_word(node, KEY1),
                        gh_arg_float(p), gh_arg_float(scale), gh_arg_long(samples), gh_arg_long(n));
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
