/* Reshapes, splits, concatenations, repetitions and transposes: moving elements without arithmetic.
 *
 * Splitting and concatenating along an axis are copies between one matrix (outer, axis * inner) and narrower ones, so
 * both, and repetition, share the kernel copy_rows; each is the other's gradient. */
#include "cl/launch.h"
#include "ops/ops.h"
#include "ops/reduce.h"

/* Reshapes an adjoint, which has its tensor's elements but perhaps another shape. */
static gh_tensor *shaped_like(gh_graph *g, gh_tensor *t, const gh_tensor *like) {
  return gh_same_shape(t, like) ? t : gh_reshape(g, t, like->rank, like->shape);
}

/* Products of the dimensions before and after `axis`. */
static int64_t outer_size(const gh_tensor *t, int axis) {
  int64_t n = 1;
  for (int i = 0; i < axis; i++) n *= t->shape[i];
  return n;
}

static int64_t inner_size(const gh_tensor *t, int axis) {
  int64_t n = 1;
  for (int i = axis + 1; i < t->rank; i++) n *= t->shape[i];
  return n;
}

/* ---- the strided copy ---- */

typedef struct strided {
  const gh_tensor *tensor; /* NULL as a source: zeros */
  int64_t offset, stride;  /* elements */
} strided;

/* On GPUs, runs of whole pieces of 16 bytes are copied as such. */
static bool is_in_pieces(const gh_device_info *info, strided to, strided from, int64_t columns, int64_t piece) {
  return info->shape == GH_SHAPE_GPU && columns % piece == 0 && to.offset % piece == 0 && to.stride % piece == 0 &&
         (!from.tensor || (from.offset % piece == 0 && from.stride % piece == 0));
}

#define MOST_GROUPS 32768 /* of pieces of a row: CUDA has at most 65535 along that dimension */

static gh_status record_copy(gh_recorder *r, const gh_node *node, strided to, strided from, int64_t rows,
                             int64_t columns) {
  const gh_device_info *info = &gh_recorder_device(r)->info;
  const int64_t piece = 16 / (int64_t)gh_dtype_size(to.tensor->dtype);
  const bool pieces = is_in_pieces(info, to, from, columns, piece);
  if (pieces) {
    columns /= piece;
    to.offset /= piece, to.stride /= piece, from.offset /= piece, from.stride /= piece;
  }
  int64_t block_rows = GH_MAX(1, 4096 / columns), block_columns = 8192;
  size_t lanes = 1, teams = 1;
  if (info->shape == GH_SHAPE_GPU) {
    size_t limit = (size_t)GH_MIN(info->max_group, GROUP_ITEMS);
    for (lanes = GH_MIN(limit, pieces ? 8 : 32); (int64_t)lanes < columns && 2 * lanes <= limit;) lanes *= 2;
    teams = limit / lanes;
    block_rows = COPY_ROWS * (int64_t)teams;
    block_columns = (pieces ? GH_CEIL_DIV(columns, (int64_t)lanes * MOST_GROUPS) : 8) * (int64_t)lanes;
  }
  gh_grid grid = {.groups = {(size_t)GH_CEIL_DIV(rows, block_rows), (size_t)GH_CEIL_DIV(columns, block_columns), 1},
                  .local = {lanes, teams, 1}};
  return GH_RECORD(r, node, pieces ? "copy_pieces" : "copy_rows", grid, gh_arg_tensor(to.tensor),
                   gh_arg_tensor(from.tensor), gh_arg_long(rows), gh_arg_long(columns), gh_arg_long(to.offset),
                   gh_arg_long(to.stride), gh_arg_long(from.offset), gh_arg_long(from.stride), gh_arg_long(block_rows),
                   gh_arg_long(block_columns));
}

/* ---- views ---- */

static gh_status no_launch(gh_recorder *r, const gh_node *node) {
  (void)r;
  (void)node;
  return GH_OK;
}

/* ---- reshape ---- */

enum { RESHAPE_RANK, RESHAPE_DIMS };

static gh_status reshape_infer(gh_graph *g, gh_node *node) {
  int rank = (int)node->attr[RESHAPE_RANK];
  int64_t shape[GH_MAX_RANK], elements = 1;
  if (rank < 0 || rank > GH_MAX_RANK) return gh_graph_fail(g, node, "rank %d is not in 0..%d", rank, GH_MAX_RANK);
  for (int i = 0; i < rank; i++) {
    shape[i] = (int64_t)node->attr[RESHAPE_DIMS + i];
    elements *= shape[i];
  }
  if (elements != gh_tensor_elements(node->in[0]))
    return gh_graph_fail(g, node, "the new shape has %lld elements", (long long)elements);
  gh_declare(g, node, node->in[0]->dtype, rank, shape);
  return GH_OK;
}

static void reshape_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = shaped_like(g, dout[0], node->in[0]);
}

const gh_op gh_op_reshape = {.name = "reshape",
                             .attrs = {"rank", "d0", "d1", "d2", "d3", "d4"},
                             .flags = GH_OP_VIEW,
                             .infer = reshape_infer,
                             .launch = no_launch,
                             .gradient = reshape_gradient};

gh_tensor *gh_reshape(gh_graph *g, gh_tensor *x, int rank, const int64_t *shape) {
  double attrs[RESHAPE_DIMS + GH_MAX_RANK] = {rank};
  for (int i = 0; i < rank && i < GH_MAX_RANK; i++) attrs[RESHAPE_DIMS + i] = (double)shape[i];
  return gh_apply(g, &gh_op_reshape, &x, 1, attrs, RESHAPE_DIMS + GH_MAX_RANK);
}

/* ---- straight_through: inputs (value, through) ---- */

static gh_status straight_through_infer(gh_graph *g, gh_node *node) {
  if (node->in[1] && gh_want_same(g, node, 1, 0)) return GH_ERROR_ARGUMENT;
  return gh_declare_like(g, node, node->in[0]);
}

static void straight_through_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  (void)g;
  if (gh_wants_grad(node->in[1])) din[1] = dout[0];
}

const gh_op gh_op_straight_through = {.name = "straight_through",
                                      .flags = GH_OP_VIEW,
                                      .constant = GH_CONSTANT(0),
                                      .infer = straight_through_infer,
                                      .launch = no_launch,
                                      .gradient = straight_through_gradient};

gh_tensor *gh_straight_through(gh_graph *g, gh_tensor *value, gh_tensor *through) {
  return gh_apply(g, &gh_op_straight_through, (gh_tensor *[]){value, through}, 2, NULL, 0);
}

/* ---- split and concat ---- */

enum { AXIS, COUNT, SIZES, CUT_ATTRS = SIZES + GH_MAX_OUTPUTS };

#define CUT_ATTR_NAMES                                                                                                 \
  { "axis", "count", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7" }

static gh_status check_cut(gh_graph *g, const gh_node *node, const gh_tensor *x) {
  int axis = (int)node->attr[AXIS], count = (int)node->attr[COUNT];
  if (axis < 0 || axis >= x->rank) return gh_graph_fail(g, node, "there is no axis %d", axis);
  if (count < 1 || count > GH_MAX_OUTPUTS)
    return gh_graph_fail(g, node, "%d pieces, expected 1 to %d", count, GH_MAX_OUTPUTS);
  return GH_OK;
}

static gh_status split_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  gh_status status = check_cut(g, node, x);
  if (status) return status;
  int axis = (int)node->attr[AXIS], count = (int)node->attr[COUNT];
  int64_t shape[GH_MAX_RANK], total = 0;
  for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
  for (int i = 0; i < count; i++) total += (int64_t)node->attr[SIZES + i];
  if (total != x->shape[axis])
    return gh_graph_fail(g, node, "the pieces add up to %lld along axis %d", (long long)total, axis);
  for (int i = 0; i < count; i++) {
    shape[axis] = (int64_t)node->attr[SIZES + i];
    if (!gh_declare(g, node, x->dtype, x->rank, shape)) return GH_ERROR_ARGUMENT;
  }
  return GH_OK;
}

static gh_status split_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int axis = (int)node->attr[AXIS];
  int64_t inner = inner_size(x, axis), outer = outer_size(x, axis), at = 0;
  for (int i = 0; i < node->outputs; i++) {
    int64_t columns = node->out[i]->shape[axis] * inner;
    strided to = {node->out[i], 0, columns}, from = {x, at, x->shape[axis] * inner};
    at += columns;
    gh_status status = gh_tensor_buffer(to.tensor) ? record_copy(r, node, to, from, outer, columns) : GH_OK;
    if (status) return status;
  }
  return GH_OK;
}

static gh_tensor *cut(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, int axis, const int64_t *sizes,
                      int count) {
  double attrs[CUT_ATTRS] = {axis, count};
  for (int i = 0; i < count && i < GH_MAX_OUTPUTS; i++) attrs[SIZES + i] = (double)sizes[i];
  return gh_apply(g, op, in, inputs, attrs, CUT_ATTRS);
}

/* The gradient of the whole: those of the pieces concatenated, zeros where none arrives. */
static void split_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  extern const gh_op gh_op_concat;
  gh_tensor *pieces[GH_MAX_OUTPUTS];
  int64_t sizes[GH_MAX_OUTPUTS] = {0};
  int axis = (int)node->attr[AXIS];
  for (int i = 0; i < node->outputs; i++) {
    pieces[i] = dout[i] ? shaped_like(g, dout[i], node->out[i]) : NULL;
    sizes[i] = node->out[i]->shape[axis];
  }
  din[0] = cut(g, &gh_op_concat, pieces, node->outputs, axis, sizes, node->outputs);
}

const gh_op gh_op_split = {
    .name = "split", .attrs = CUT_ATTR_NAMES, .infer = split_infer, .launch = split_launch, .gradient = split_gradient};

void gh_split(gh_graph *g, gh_tensor *x, int axis, const int64_t *sizes, int count, gh_tensor **out) {
  gh_tensor *first = cut(g, &gh_op_split, &x, 1, axis, sizes, count);
  for (int i = 0; i < count; i++) out[i] = first ? first->producer->out[i] : NULL;
}

/* Sizes along the axis are attributes, so that an absent input (zeros) has a size too. */
static gh_status concat_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *like = NULL;
  for (int i = 0; i < node->inputs && !like; i++) like = node->in[i];
  if (!like) return gh_graph_fail(g, node, "every input is absent");
  gh_status status = check_cut(g, node, like);
  if (status) return status;
  int axis = (int)node->attr[AXIS];
  int64_t shape[GH_MAX_RANK], total = 0;
  if ((int)node->attr[COUNT] != node->inputs) return gh_graph_fail(g, node, "the count does not match the inputs");
  for (int i = 0; i < like->rank; i++) shape[i] = like->shape[i];
  for (int i = 0; i < node->inputs; i++) {
    shape[axis] = (int64_t)node->attr[SIZES + i];
    total += shape[axis];
    if (shape[axis] < 1) return gh_graph_fail(g, node, "input %d has no size", i);
    if (node->in[i] && (status = gh_want_shape(g, node, i, like->rank, shape))) return status;
  }
  shape[axis] = total;
  gh_declare(g, node, like->dtype, like->rank, shape);
  return GH_OK;
}

static gh_status concat_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *y = node->out[0];
  int axis = (int)node->attr[AXIS];
  int64_t inner = inner_size(y, axis), outer = outer_size(y, axis), at = 0;
  for (int i = 0; i < node->inputs; i++) {
    int64_t columns = (int64_t)node->attr[SIZES + i] * inner;
    strided to = {y, at, y->shape[axis] * inner}, from = {node->in[i], 0, columns};
    at += columns;
    gh_status status = record_copy(r, node, to, from, outer, columns);
    if (status) return status;
  }
  return GH_OK;
}

static void concat_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  int64_t sizes[GH_MAX_INPUTS] = {0};
  for (int i = 0; i < node->inputs; i++) sizes[i] = (int64_t)node->attr[SIZES + i];
  gh_split(g, shaped_like(g, dout[0], node->out[0]), (int)node->attr[AXIS], sizes, node->inputs, din);
}

const gh_op gh_op_concat = {.name = "concat",
                            .attrs = CUT_ATTR_NAMES,
                            .infer = concat_infer,
                            .launch = concat_launch,
                            .gradient = concat_gradient};

gh_tensor *gh_concat(gh_graph *g, gh_tensor *const *in, int count, int axis) {
  int64_t sizes[GH_MAX_INPUTS] = {0};
  if (gh_graph_failed(g)) return NULL;
  if (count < 1 || count > GH_MAX_INPUTS) {
    gh_graph_fail(g, NULL, "concat: %d inputs, expected 1 to %d", count, GH_MAX_INPUTS);
    return NULL;
  }
  for (int i = 0; i < count; i++)
    if (axis >= 0 && axis < in[i]->rank) sizes[i] = in[i]->shape[axis];
  return cut(g, &gh_op_concat, in, count, axis, sizes, count);
}

/* ---- repeat ---- */

static gh_status repeat_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (x->rank == GH_MAX_RANK) return gh_graph_fail(g, node, "no room for another dimension");
  int64_t shape[GH_MAX_RANK] = {(int64_t)node->attr[0]};
  for (int i = 0; i < x->rank; i++) shape[i + 1] = x->shape[i];
  gh_declare(g, node, x->dtype, x->rank + 1, shape);
  return GH_OK;
}

static gh_status repeat_launch(gh_recorder *r, const gh_node *node) {
  int64_t n = gh_tensor_elements(node->in[0]);
  return record_copy(r, node, (strided){node->out[0], 0, n}, (strided){node->in[0], 0, 0}, node->out[0]->shape[0], n);
}

static void repeat_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0];
  din[0] = gh_column_sum(g, dout[0], node->out[0]->shape[0], gh_tensor_elements(x), 1, x);
}

const gh_op gh_op_repeat = {
    .name = "repeat", .attrs = {"count"}, .infer = repeat_infer, .launch = repeat_launch, .gradient = repeat_gradient};

gh_tensor *gh_repeat(gh_graph *g, gh_tensor *x, int64_t count) {
  const double attr = (double)count;
  return gh_apply(g, &gh_op_repeat, &x, 1, &attr, 1);
}

/* ---- transpose ---- */

static gh_status transpose_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0];
  if (x->rank < 2) return gh_graph_fail(g, node, "needs at least two dimensions");
  int64_t shape[GH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
  shape[x->rank - 2] = x->shape[x->rank - 1];
  shape[x->rank - 1] = x->shape[x->rank - 2];
  gh_declare(g, node, x->dtype, x->rank, shape);
  return GH_OK;
}

static gh_status transpose_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0];
  int64_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
  int64_t batch = gh_tensor_elements(x) / (rows * columns);
  size_t side = gh_recorder_device(r)->info.shape == GH_SHAPE_CPU ? 1 : TRANSPOSE_TILE;
  gh_grid grid = {
      .groups = {(size_t)(batch * GH_CEIL_DIV(rows, TRANSPOSE_TILE)), (size_t)GH_CEIL_DIV(columns, TRANSPOSE_TILE), 1},
      .local = {side, side, 1}};
  return GH_RECORD(r, node, "transpose_forward", grid, gh_arg_tensor(node->out[0]), gh_arg_tensor(x), gh_arg_long(rows),
                   gh_arg_long(columns));
}

static void transpose_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  din[0] = gh_transpose(g, shaped_like(g, dout[0], node->out[0]));
}

const gh_op gh_op_transpose = {
    .name = "transpose", .infer = transpose_infer, .launch = transpose_launch, .gradient = transpose_gradient};

gh_tensor *gh_transpose(gh_graph *g, gh_tensor *x) { return gh_apply(g, &gh_op_transpose, &x, 1, NULL, 0); }
