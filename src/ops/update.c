/* The update graph's nodes: no outputs; they write persistent tensors among their inputs, in recorded order. */
#include "cl/launch.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "ops/sample.h"

static gh_status want_persistent(gh_graph *g, const gh_node *node, int input) {
  if (node->in[input] && node->in[input]->lifetime == GH_PERSISTENT) return GH_OK;
  return gh_graph_fail(g, node, "input %d is written, so it must be a persistent tensor", input);
}

/* ---- zero ---- */

static gh_status zero_infer(gh_graph *g, gh_node *node) { return want_persistent(g, node, 0); }

static gh_status zero_launch(gh_recorder *r, const gh_node *node) { return gh_record_zero(r, node->in[0]); }

const gh_op gh_op_zero = {.name = "zero", .flags = GH_OP_MIXED, .infer = zero_infer, .launch = zero_launch};

void gh_zero(gh_graph *g, gh_tensor *persistent) { gh_apply_node(g, &gh_op_zero, &persistent, 1, NULL, 0); }

/* ---- square_sum ---- */

/* inputs (x, squares, more of x...); attribute k is the index of the k-th x */
_Static_assert(SQUARE_TENSORS + 1 <= GH_MAX_INPUTS && SQUARE_TENSORS <= GH_MAX_ATTRS, "a node holds a whole list");

static int summed_count(const gh_node *node) { return node->inputs - 1; }
static const gh_tensor *summed(const gh_node *node, int k) { return node->in[k ? k + 1 : 0]; }
static int64_t chunks_of(const gh_tensor *t) { return GH_CEIL_DIV(gh_tensor_elements(t), SQUARE_CHUNK); }

static int64_t all_chunks(const gh_node *node) {
  int64_t chunks = 0;
  for (int k = 0; k < summed_count(node); k++) chunks += chunks_of(summed(node, k));
  return chunks;
}

static gh_status square_sum_infer(gh_graph *g, gh_node *node) {
  if (want_persistent(g, node, 1) || gh_want_rank(g, node, 1, 1)) return GH_ERROR_ARGUMENT;
  if (node->in[1]->dtype != GH_F32) return gh_graph_fail(g, node, "the squares must be float32");
  for (int k = 0; k < summed_count(node); k++) {
    const gh_tensor *x = summed(node, k);
    if (!x || x->dtype != node->in[0]->dtype)
      return gh_graph_fail(g, node, "tensor %d is missing or of another type than the first", k);
    if (!(node->attr[k] >= 0 && node->attr[k] < (double)node->in[1]->shape[0]))
      return gh_graph_fail(g, node, "there is no index %g in the squares", node->attr[k]);
  }
  return gh_declare_scratch(g, node, GH_F32, all_chunks(node));
}

static gh_status square_sum_launch(gh_recorder *r, const gh_node *node) {
  enum { LIST = 2 * SQUARE_TENSORS };
  gh_arg partial[1 + LIST] = {gh_arg_tensor(node->scratch)};
  gh_arg final[2 + LIST] = {gh_arg_tensor(node->in[1]), gh_arg_tensor(node->scratch)};
  for (int k = 0; k < SQUARE_TENSORS; k++) {
    const gh_tensor *x = k < summed_count(node) ? summed(node, k) : NULL;
    const int64_t n = x ? gh_tensor_elements(x) : 0;
    partial[1 + 2 * k] = gh_arg_tensor(x);
    final[2 + 2 * k] = gh_arg_int(x ? (int64_t)node->attr[k] : 0);
    partial[2 + 2 * k] = final[3 + 2 * k] = gh_arg_long(n);
  }
  /* Columns enough for the largest groups: each has one row. */
  gh_status status = gh_record_kernel_as(r, node, node->in[0]->dtype, "square_sum_partial",
                                         gh_grid_rows(r, all_chunks(node), SQUARE_CHUNK), partial, 1 + LIST);
  if (status) return status;
  return gh_record_kernel(r, node, "square_sum_final", gh_grid_rows(r, summed_count(node), SQUARE_CHUNK), final,
                          2 + LIST);
}

const gh_op gh_op_square_sum = {.name = "square_sum",
                                .flags = GH_OP_MIXED,
                                .attrs = {"index"},
                                .infer = square_sum_infer,
                                .launch = square_sum_launch};

void gh_square_sums(gh_graph *g, gh_tensor *const *x, const int *indices, int count, gh_tensor *squares) {
  for (int first = 0; first < count; first += SQUARE_TENSORS) {
    const int some = GH_MIN(count - first, SQUARE_TENSORS);
    gh_tensor *in[SQUARE_TENSORS + 1] = {[1] = squares};
    double attrs[SQUARE_TENSORS];
    for (int k = 0; k < some; k++) {
      in[k ? k + 1 : 0] = x[first + k];
      attrs[k] = indices[first + k];
    }
    gh_apply_node(g, &gh_op_square_sum, in, some + 1, attrs, some);
  }
}

void gh_square_sum(gh_graph *g, gh_tensor *x, gh_tensor *squares, int index) {
  gh_square_sums(g, &x, &index, 1, squares);
}

/* ---- clip_control ---- */

/* inputs (squares, loss, control, scale or NULL) */
static gh_status clip_control_infer(gh_graph *g, gh_node *node) {
  if (gh_want_rank(g, node, 0, 1)) return GH_ERROR_ARGUMENT;
  if (gh_tensor_elements(node->in[1]) != 1) return gh_graph_fail(g, node, "the loss must be a scalar");
  if (node->in[3] && gh_tensor_elements(node->in[3]) != 1) return gh_graph_fail(g, node, "the scale must be a scalar");
  if (!(node->attr[0] >= 0)) return gh_graph_fail(g, node, "the largest norm %g is negative", node->attr[0]);
  gh_status status = gh_want_block(g, node, 2);
  return status ? status : want_persistent(g, node, 2);
}

static gh_status clip_control_launch(gh_recorder *r, const gh_node *node) {
  int64_t count = node->in[0]->shape[0];
  return GH_RECORD(r, node, "clip_control_update", gh_grid_rows(r, 1, count), gh_arg_tensor(node->in[2]),
                   gh_arg_tensor(node->in[0]), gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[3]),
                   gh_arg_long(count), gh_arg_float(node->attr[0]));
}

const gh_op gh_op_clip_control = {.name = "clip_control",
                                  .wide = GH_WIDE_ALL,
                                  .attrs = {"max_norm"},
                                  .infer = clip_control_infer,
                                  .launch = clip_control_launch};

void gh_clip_control(gh_graph *g, gh_tensor *squares, gh_tensor *loss, gh_tensor *control, gh_tensor *scale,
                     double max_norm) {
  gh_apply_node(g, &gh_op_clip_control, (gh_tensor *[]){squares, loss, control, scale}, 4, &max_norm, 1);
}

/* ---- loss_scale: inputs (control, scale, scaling) ---- */

enum { BETA1, BETA2, EPS, WEIGHT_DECAY, KEY0, KEY1, CLEAR }; /* the first two are loss_scale's, all of them adamw's */

static gh_status want_betas(gh_graph *g, const gh_node *node) {
  for (int i = BETA1; i <= BETA2; i++)
    if (!(node->attr[i] >= 0 && node->attr[i] < 1))
      return gh_graph_fail(g, node, "beta%d %g is not in [0, 1)", i - BETA1 + 1, node->attr[i]);
  return GH_OK;
}

static gh_status loss_scale_infer(gh_graph *g, gh_node *node) {
  const int64_t words = SCALING_WORDS;
  if (gh_want_block(g, node, 0) || gh_want_shape(g, node, 1, 0, NULL) || gh_want_shape(g, node, 2, 1, &words))
    return GH_ERROR_ARGUMENT;
  for (int i = 0; i < 3; i++)
    if (want_persistent(g, node, i)) return GH_ERROR_ARGUMENT;
  return want_betas(g, node);
}

static gh_status loss_scale_launch(gh_recorder *r, const gh_node *node) {
  const double *a = node->attr;
  return GH_RECORD(r, node, "loss_scale_update", gh_grid_rows(r, 1, 1), gh_arg_tensor(node->in[0]),
                   gh_arg_tensor(node->in[1]), gh_arg_tensor(node->in[2]), gh_arg_float(a[BETA1]),
                   gh_arg_float(1 - a[BETA1]), gh_arg_float(a[BETA2]), gh_arg_float(1 - a[BETA2]));
}

const gh_op gh_op_loss_scale = {.name = "loss_scale",
                                .wide = GH_WIDE_ALL,
                                .attrs = {"beta1", "beta2"},
                                .infer = loss_scale_infer,
                                .launch = loss_scale_launch};

void gh_loss_scale(gh_graph *g, gh_tensor *control, gh_tensor *scale, gh_tensor *scaling, double beta1, double beta2) {
  gh_apply_node(g, &gh_op_loss_scale, (gh_tensor *[]){control, scale, scaling}, 3, (double[]){beta1, beta2}, 2);
}

/* ---- adamw ---- */

enum { IN_PARAMETER, IN_GRADIENT, IN_M, IN_V, IN_STEP, IN_CONTROL, IN_WORKING, ADAMW_INPUTS };

int64_t gh_moment_words(int64_t elements) { return GH_CEIL_DIV(elements, MOMENT_BLOCK) * (MOMENT_BLOCK / 4 + 1); }

/* Whether the moments have eight bits. */
static bool is_short(const gh_node *node) { return node->in[IN_M]->dtype == GH_U32; }

static gh_status want_moment(gh_graph *g, const gh_node *node, int input) {
  const gh_tensor *t = node->in[input];
  if (!t || want_persistent(g, node, input)) return GH_ERROR_ARGUMENT;
  if (!is_short(node)) return gh_want_same(g, node, input, IN_PARAMETER);
  const int64_t words = gh_moment_words(gh_tensor_elements(node->in[IN_PARAMETER]));
  if (t->dtype == GH_U32 && t->rank == 1 && t->shape[0] == words) return GH_OK;
  return gh_graph_fail(g, node, "input %d must have %lld words of 8-bit moments", input, (long long)words);
}

static gh_status adamw_infer(gh_graph *g, gh_node *node) {
  if (want_persistent(g, node, IN_PARAMETER) || gh_want_same(g, node, IN_GRADIENT, IN_PARAMETER) ||
      want_persistent(g, node, IN_M) || want_moment(g, node, IN_M) || want_moment(g, node, IN_V))
    return GH_ERROR_ARGUMENT;
  if (node->attr[CLEAR] != 0 && want_persistent(g, node, IN_GRADIENT)) return GH_ERROR_ARGUMENT;
  if (want_betas(g, node)) return GH_ERROR_ARGUMENT;
  for (int i = IN_PARAMETER; i <= (is_short(node) ? IN_GRADIENT : IN_V); i++)
    if (node->in[i]->dtype != GH_F32 && !(i <= IN_GRADIENT && node->in[i]->dtype == GH_BF16))
      return gh_graph_fail(g, node, "input %d is not float32", i);
  const gh_tensor *working = node->inputs > IN_WORKING ? node->in[IN_WORKING] : NULL;
  if (working && node->in[IN_PARAMETER]->dtype == GH_BF16)
    return gh_graph_fail(g, node, "a bf16 parameter has no working copy");
  if (working && gh_want_same(g, node, IN_WORKING, IN_PARAMETER)) return GH_ERROR_ARGUMENT;
  if (working && !gh_dtype_is_narrow(working->dtype)) return gh_graph_fail(g, node, "the working copy is not narrow");
  if (working && working->dtype == GH_F16 && node->in[IN_GRADIENT]->dtype != GH_F32)
    return gh_graph_fail(g, node, "beside a working copy in f16 the gradient must be float32");
  gh_status status = gh_want_block(g, node, IN_STEP);
  return status ? status : gh_want_block(g, node, IN_CONTROL);
}

#define ADAMW_NUMBERS(a, n)                                                                                            \
  gh_arg_float(1 - (a)[BETA1]), gh_arg_float((a)[BETA2]), gh_arg_float(1 - (a)[BETA2]), gh_arg_float((a)[EPS]),        \
      gh_arg_float((a)[WEIGHT_DECAY]), gh_arg_long(n)

static gh_status adamw_launch(gh_recorder *r, const gh_node *node) {
  const double *a = node->attr;
  const gh_tensor *working = node->inputs > IN_WORKING ? node->in[IN_WORKING] : NULL;
  int64_t n = gh_tensor_elements(node->in[IN_GRADIENT]);
  const bool narrow = node->in[IN_PARAMETER]->dtype == GH_BF16;
  /* The program: that of the gradient's type, whose copies are bf16, or of f16, whose gradients are float32. */
  const gh_dtype type = working && working->dtype == GH_F16 ? GH_F16 : node->in[IN_GRADIENT]->dtype;
  const gh_arg w = gh_arg_tensor(node->in[IN_PARAMETER]), none = gh_arg_tensor(NULL), m = gh_arg_tensor(node->in[IN_M]),
               v = gh_arg_tensor(node->in[IN_V]), gradient = gh_arg_tensor(node->in[IN_GRADIENT]),
               step = gh_arg_tensor(node->in[IN_STEP]), control = gh_arg_tensor(node->in[IN_CONTROL]);
  const gh_arg key0 = gh_arg_int((uint32_t)a[KEY0]), key1 = gh_arg_int((uint32_t)a[KEY1]),
               clear = gh_arg_int(a[CLEAR] != 0);
  if (is_short(node))
    return GH_RECORD_AS(r, node, type, "adamw_8bit_update",
                        gh_grid_rows(r, GH_CEIL_DIV(n, MOMENT_BLOCK), MOMENT_BLOCK / 4), narrow ? none : w,
                        gh_arg_tensor(working), narrow ? w : none, m, v, gradient, step, control, clear, key0, key1,
                        ADAMW_NUMBERS(a, n));
  if (narrow)
    return GH_RECORD_AS(r, node, type, "adamw_bf16_update", gh_grid_elements(r, GH_CEIL_DIV(n, 4)), w, m, v, gradient,
                        step, control, clear, key0, key1, ADAMW_NUMBERS(a, n));
  return GH_RECORD_AS(r, node, type, "adamw_update", gh_grid_elements(r, n), w, gh_arg_tensor(working), m, v, gradient,
                      step, control, clear, ADAMW_NUMBERS(a, n));
}

static double adamw_flops(const gh_node *node) { return 14.0 * (double)gh_tensor_elements(node->in[IN_GRADIENT]); }

const gh_op gh_op_adamw = {.name = "adamw",
                           .attrs = {"beta1", "beta2", "eps", "weight_decay", "key0", "key1", "clear"},
                           .flags = GH_OP_MIXED,
                           .infer = adamw_infer,
                           .launch = adamw_launch,
                           .flops = adamw_flops};

void gh_adamw(gh_graph *g, gh_tensor *parameter, gh_tensor *gradient, gh_tensor *m, gh_tensor *v, gh_tensor *step,
              gh_tensor *control, gh_adamw_options options) {
  const double attrs[] = {options.beta1,  options.beta2,  options.eps,  options.weight_decay,
                          options.key[0], options.key[1], options.clear};
  gh_tensor *in[ADAMW_INPUTS] = {parameter, gradient, m, v, step, control, parameter ? parameter->working : NULL};
  gh_apply_node(g, &gh_op_adamw, in, ADAMW_INPUTS, attrs, GH_COUNT(attrs));
}
