#include "bench/ops.h"
#include "cl/launch.h"
#include "cl/step.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

#define MAX_IN 6

/* ---- the cases ---- */

typedef struct gh_case_in {
  int rank;                   /* 0: no such input; -1: a scalar */
  int64_t shape[GH_MAX_RANK]; /* 0: the batch */
  bool wanted;                /* gets a gradient */
  int32_t below;              /* integers of [0, below); 0: numbers */
  gh_dtype dtype;             /* of numbers where the op does not say; GH_U32: zeros */
} gh_case_in;

/* in[]: the tensors of the case's table row; in[MAX_IN]: a step block. Returns the tensor from which to differentiate,
 * or NULL. */
typedef gh_tensor *gh_case_build(gh_graph *g, gh_tensor **in);

static gh_tensor *linear(gh_graph *g, gh_tensor **in) { return gh_linear(g, in[0], in[1], in[2]); }
static gh_tensor *attention(gh_graph *g, gh_tensor **in) {
  return gh_attention(g, in[0], in[1], in[2], NULL, 0.1, false);
}
static gh_tensor *conv(gh_graph *g, gh_tensor **in) {
  return gh_conv2d(g, in[0], in[1], in[2], (gh_conv_geometry){1, 1, 1, 1, 1});
}
static gh_tensor *conv_halve(gh_graph *g, gh_tensor **in) {
  return gh_conv2d(g, in[0], in[1], in[2], (gh_conv_geometry){.stride = 2, .pad_bottom = 1, .pad_right = 1});
}
static gh_tensor *groupnorm(gh_graph *g, gh_tensor **in) { return gh_groupnorm(g, in[0], in[1], in[2], 32, 1e-6); }
static gh_tensor *silu(gh_graph *g, gh_tensor **in) { return gh_activation(g, in[0], GH_SILU); }
static gh_tensor *gelu_tanh(gh_graph *g, gh_tensor **in) { return gh_activation(g, in[0], GH_GELU_TANH); }
static gh_tensor *quick_gelu(gh_graph *g, gh_tensor **in) { return gh_activation(g, in[0], GH_QUICK_GELU); }
static gh_tensor *gelu_erf(gh_graph *g, gh_tensor **in) { return gh_activation(g, in[0], GH_GELU_ERF); }
static gh_tensor *layernorm(gh_graph *g, gh_tensor **in) { return gh_layernorm(g, in[0], in[1], in[2], 1e-5, GH_F32); }
static gh_tensor *modulate(gh_graph *g, gh_tensor **in) { return gh_modulate(g, in[0], in[1], in[2], 1e-6, GH_F32); }
static gh_tensor *multiply(gh_graph *g, gh_tensor **in) { return gh_multiply(g, in[0], in[1]); }
static gh_tensor *gated_add(gh_graph *g, gh_tensor **in) { return gh_gated_add(g, in[0], in[1], in[2]); }
static gh_tensor *rmsnorm(gh_graph *g, gh_tensor **in) { return gh_rmsnorm(g, in[0], in[1], 1e-6); }
static gh_tensor *magnitude(gh_graph *g, gh_tensor **in) { return gh_magnitude(g, in[0], in[1], in[2], in[3], 1); }
static gh_tensor *rope(gh_graph *g, gh_tensor **in) { return gh_rope(g, in[0], in[1]); }
static gh_tensor *scores(gh_graph *g, gh_tensor **in) { return gh_exp_scale(g, in[0], in[1]); }
static gh_tensor *cast(gh_graph *g, gh_tensor **in) {
  return gh_cast(g, in[0], in[0]->dtype == GH_F32 ? GH_BF16 : GH_F32);
}
static gh_tensor *add(gh_graph *g, gh_tensor **in) { return gh_add_scaled(g, in[0], in[1], 0.5); }
static gh_tensor *dropout(gh_graph *g, gh_tensor **in) {
  return gh_dropout(g, in[0], in[MAX_IN], NULL, (uint32_t[]){1, 2}, 0.1);
}
static gh_tensor *concat(gh_graph *g, gh_tensor **in) { return gh_concat(g, in, 2, 2); }
static gh_tensor *split(gh_graph *g, gh_tensor **in) {
  gh_tensor *part[4];
  gh_split(g, in[0], 2, (int64_t[]){3072, 3072, 3072, 12288}, 4, part);
  for (int i = 0; i < 4 && !gh_graph_failed(g); i++) gh_graph_keep(g, part[i]);
  return part[3];
}
static gh_tensor *transpose(gh_graph *g, gh_tensor **in) { return gh_transpose(g, in[0]); }
static gh_tensor *patchify(gh_graph *g, gh_tensor **in) { return gh_patchify(g, in[0], 14); }
static gh_tensor *upsample(gh_graph *g, gh_tensor **in) { return gh_upsample2x(g, in[0]); }
static gh_tensor *normalize(gh_graph *g, gh_tensor **in) {
  static const double half[3] = {0.5, 0.5, 0.5};
  return gh_normalize_image(g, in[0], half, half);
}
static gh_tensor *gaussian_sample(gh_graph *g, gh_tensor **in) { return gh_gaussian_sample(g, in[0], in[1], 0.1, 0.4); }
static gh_tensor *interpolate(gh_graph *g, gh_tensor **in) {
  gh_tensor *x_t = NULL, *target = NULL;
  gh_flow_interpolate(g, in[0], in[1], in[2], true, &x_t, &target);
  gh_graph_keep(g, x_t);
  gh_graph_keep(g, target);
  return NULL;
}
static gh_tensor *mse(gh_graph *g, gh_tensor **in) { return gh_mse_loss(g, in[0], in[1], in[MAX_IN]); }
static gh_tensor *normal(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_random_normal(g, in[MAX_IN], (uint32_t[]){3, 4}, in[0]->rank, in[0]->shape));
  return NULL;
}
static gh_tensor *kl(gh_graph *g, gh_tensor **in) { return gh_gaussian_kl(g, in[0], in[MAX_IN]); }
static gh_tensor *repeat(gh_graph *g, gh_tensor **in) { return gh_repeat(g, in[0], 4); }
static gh_tensor *unpatchify(gh_graph *g, gh_tensor **in) { return gh_unpatchify(g, in[0], 2, 16, 28, 28); }
static gh_tensor *embed_time(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_timestep_embedding(g, in[0], 256, 1000));
  return NULL;
}
static gh_tensor *draw_time(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_random_timestep(g, in[MAX_IN], (uint32_t[]){5, 6}, in[0]->shape[0], false, 1));
  return NULL;
}
static gh_tensor *clip(gh_graph *g, gh_tensor **in) {
  gh_clip_control(g, in[0], in[1], in[MAX_IN + 1], NULL, 1);
  return NULL;
}
static gh_tensor *square_sum(gh_graph *g, gh_tensor **in) {
  gh_square_sum(g, in[0], in[1], 0);
  return NULL;
}
/* The control block is zeros: no flag, and a clip factor of 0, so that the gradient does not matter. */
static gh_tensor *adamw(gh_graph *g, gh_tensor **in) {
  gh_adamw(g, in[0], in[1], in[2], in[3], in[MAX_IN], in[MAX_IN + 1],
           (gh_adamw_options){0.9, 0.999, 1e-8, 0.01, {0}, false});
  return NULL;
}
/* Whose working copy is in[4]. */
static gh_tensor *adamw_copied(gh_graph *g, gh_tensor **in) {
  in[0]->working = in[4];
  return adamw(g, in);
}
static gh_tensor *zero(gh_graph *g, gh_tensor **in) {
  gh_zero(g, in[0]);
  return NULL;
}
static gh_tensor *nearest(gh_graph *g, gh_tensor **in) {
  const int64_t rows = gh_tensor_rows(in[0]), width = gh_tensor_columns(in[0]);
  gh_graph_keep(g, gh_nearest_row(g, gh_reshape(g, in[0], 2, (int64_t[]){rows, width}), in[1]));
  return NULL;
}
static gh_tensor *entropy(gh_graph *g, gh_tensor **in) {
  return gh_cross_entropy(g, in[0], in[1], in[2], in[MAX_IN], NULL);
}
static gh_tensor *gather(gh_graph *g, gh_tensor **in) { return gh_gather_rows(g, in[0], in[1]); }
static gh_tensor *positions(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_masked_positions(g, in[0], 176));
  return NULL;
}
static gh_tensor *replace(gh_graph *g, gh_tensor **in) { return gh_replace_rows(g, in[0], in[1], in[2]); }
static gh_tensor *draw_mask(gh_graph *g, gh_tensor **in) {
  const int64_t *shape = in[0]->shape;
  gh_graph_keep(g,
                gh_random_mask(g, in[MAX_IN], (uint32_t[]){7, 8}, (uint32_t[]){9, 10}, shape[0], shape[1], 0.5, 0.9));
  return NULL;
}
static gh_tensor *gumbel(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_random_gumbel(g, in[MAX_IN], (uint32_t[]){11, 12}, in[0]->rank, in[0]->shape));
  return NULL;
}
static gh_tensor *draw_codes(gh_graph *g, gh_tensor **in) {
  gh_tensor *code, *log_probability;
  gh_categorical(g, in[0], in[MAX_IN], (uint32_t[]){13, 14}, 1, &code, &log_probability);
  gh_graph_keep(g, code);
  gh_graph_keep(g, log_probability);
  return NULL;
}
static gh_tensor *draw_index(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_random_index(g, in[MAX_IN], (uint32_t[]){17, 18}, in[0]->shape[0], 784, 196));
  return NULL;
}
static gh_tensor *transform(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_fft2d(g, in[0], false));
  return NULL;
}
static gh_tensor *count(gh_graph *g, gh_tensor **in) {
  gh_graph_keep(g, gh_count_rows(g, in[0], in[MAX_IN], 16384));
  return NULL;
}
static gh_tensor *scale_loss(gh_graph *g, gh_tensor **in) {
  gh_loss_scale(g, in[MAX_IN + 1], in[0], in[1], 0.9, 0.999);
  return NULL;
}
static gh_tensor *halves(gh_graph *g, gh_tensor **in) { return gh_halves(g, in[0], false, 1, GH_BF16); }

static gh_tensor *accumulate(gh_graph *g, gh_tensor **in) {
  gh_accumulate(g, in[0], in[1]);
  return NULL;
}

static gh_tensor *accumulate_rounded(gh_graph *g, gh_tensor **in) {
  gh_accumulate_rounded(g, in[0], in[1], in[MAX_IN], (uint32_t[]){15, 16});
  return NULL;
}

struct gh_op_case {
  const char *op, *label;
  gh_case_build *build;
  gh_case_in in[MAX_IN];
};

#define IN(rank, ...)                                                                                                  \
  { rank, {__VA_ARGS__}, true, 0, GH_F32 }
#define GIVEN(rank, ...)                                                                                               \
  { rank, {__VA_ARGS__}, false, 0, GH_F32 }
#define SCALAR(wanted)                                                                                                 \
  { -1, {0}, wanted, 0, GH_F32 }
#define INTEGERS(below, rank, ...)                                                                                     \
  { rank, {__VA_ARGS__}, false, below, GH_F32 }
#define NARROW(rank, ...)                                                                                              \
  { rank, {__VA_ARGS__}, false, 0, GH_BF16 }
/* 8-bit moments, all zero. */
#define MOMENTS(words)                                                                                                 \
  { 1, {words}, false, 0, GH_U32 }

#define WORDS (12288 * 3072 / MOMENT_BLOCK * (MOMENT_BLOCK / 4 + 1)) /* gh_moment_words */

// clang-format off
static const struct gh_op_case cases[] = {
    {"accumulate", "12288x3072", accumulate, {GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072)}},
    {"accumulate", "12288x3072, bf16", accumulate_rounded, {NARROW(2, 12288, 3072), GIVEN(2, 12288, 3072)}},
    {"activation", "gelu tanh, 196x12288", gelu_tanh, {IN(3, 0, 196, 12288)}},
    {"activation", "gelu erf, 4096", gelu_erf, {IN(2, 0, 4096)}},
    {"activation", "quick gelu, 257x4096", quick_gelu, {IN(3, 0, 257, 4096)}},
    {"activation", "silu, 128x224x224", silu, {IN(4, 0, 128, 224, 224)}},
    {"adamw", "12288x3072", adamw, {GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072)}},
    {"adamw", "12288x3072, bf16 copy", adamw_copied, {GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), NARROW(2, 12288, 3072)}},
    {"adamw", "12288x3072, bf16 gradient and copy", adamw_copied, {GIVEN(2, 12288, 3072), NARROW(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), NARROW(2, 12288, 3072)}},
    {"adamw", "12288x3072, bf16 weights", adamw, {NARROW(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072)}},
    {"adamw", "12288x3072, 8-bit moments, bf16 copy", adamw_copied, {GIVEN(2, 12288, 3072), GIVEN(2, 12288, 3072), MOMENTS(WORDS), MOMENTS(WORDS), NARROW(2, 12288, 3072)}},
    {"adamw", "12288x3072, 8-bit moments, bf16 weights", adamw, {NARROW(2, 12288, 3072), GIVEN(2, 12288, 3072), MOMENTS(WORDS), MOMENTS(WORDS)}},
    {"adamw", "12288x3072, 8-bit moments, bf16 weights and gradient", adamw, {NARROW(2, 12288, 3072), NARROW(2, 12288, 3072), MOMENTS(WORDS), MOMENTS(WORDS)}},
    {"add", "257x1024", add, {IN(3, 0, 257, 1024), IN(3, 0, 257, 1024)}},
    {"attention", "257 tokens, 16 heads of 64", attention, {IN(4, 0, 257, 16, 64), IN(4, 0, 257, 16, 64), IN(4, 0, 257, 16, 64)}},
    {"attention", "197 tokens, 24 heads of 128", attention, {IN(4, 0, 197, 24, 128), IN(4, 0, 197, 24, 128), IN(4, 0, 197, 24, 128)}},
    {"attention", "784 tokens, a head of 512", attention, {IN(4, 0, 784, 1, 512), IN(4, 0, 784, 1, 512), IN(4, 0, 784, 1, 512)}},
    {"halves", "down, 16x4096", halves, {IN(2, 16, 4096)}},
    {"cast", "257x1024", cast, {IN(3, 0, 257, 1024)}},
    {"categorical", "196x16384", draw_codes, {GIVEN(3, 0, 196, 16384)}},
    {"clip_control", "434 tensors", clip, {GIVEN(1, 434), GIVEN(1, 1)}},
    {"concat", "197x3072 and 197x12288", concat, {IN(3, 0, 197, 3072), IN(3, 0, 197, 12288)}},
    {"conv2d", "3x3, 128x224x224", conv, {IN(4, 0, 128, 224, 224), IN(4, 128, 128, 3, 3), IN(1, 128)}},
    {"conv2d", "3x3, 256x112x112", conv, {IN(4, 0, 256, 112, 112), IN(4, 256, 256, 3, 3), IN(1, 256)}},
    {"conv2d", "3x3, 512x28x28", conv, {IN(4, 0, 512, 28, 28), IN(4, 512, 512, 3, 3), IN(1, 512)}},
    {"conv2d", "3x3 by 2, 128x224x224", conv_halve, {IN(4, 0, 128, 224, 224), IN(4, 128, 128, 3, 3), IN(1, 128)}},
    {"count_rows", "196 of 16384", count, {INTEGERS(16384, 2, 0, 196)}},
    {"cross_entropy", "176x16384", entropy, {IN(3, 0, 176, 16384), INTEGERS(16384, 2, 0, 196), INTEGERS(196, 2, 0, 176)}},
    {"dropout", "257x1024", dropout, {IN(3, 0, 257, 1024)}},
    {"exp_scale", "1024x1024", scores, {IN(2, 1024, 1024), SCALAR(true)}},
    {"fft2d", "224x224", transform, {GIVEN(4, 0, 224, 224, 2)}},
    {"flow_interpolate", "196x64", interpolate, {GIVEN(3, 0, 196, 64), GIVEN(3, 0, 196, 64), GIVEN(1, 0)}},
    {"multiply", "257x2730", multiply, {IN(3, 0, 257, 2730), IN(3, 0, 257, 2730)}},
    {"gated_add", "197x3072", gated_add, {IN(3, 0, 197, 3072), IN(3, 0, 197, 3072), IN(2, 0, 3072)}},
    {"gather_rows", "176 of 196x1024", gather, {IN(3, 0, 196, 1024), INTEGERS(196, 2, 0, 176)}},
    {"gaussian_kl", "32x28x28", kl, {IN(4, 0, 32, 28, 28)}},
    {"gaussian_sample", "32x28x28", gaussian_sample, {IN(4, 0, 32, 28, 28), GIVEN(4, 0, 16, 28, 28)}},
    {"groupnorm", "128x224x224", groupnorm, {IN(4, 0, 128, 224, 224), IN(1, 128), IN(1, 128)}},
    {"groupnorm", "512x28x28", groupnorm, {IN(4, 0, 512, 28, 28), IN(1, 512), IN(1, 512)}},
    {"layernorm", "257x1024", layernorm, {IN(3, 0, 257, 1024), IN(1, 1024), IN(1, 1024)}},
    {"linear", "257x1024 -> 4096", linear, {IN(3, 0, 257, 1024), IN(2, 4096, 1024), IN(1, 4096)}},
    {"linear", "257x4096 -> 1024, frozen", linear, {IN(3, 0, 257, 4096), GIVEN(2, 1024, 4096), GIVEN(1, 1024)}},
    {"linear", "257x1024 -> 16, an adapter's", linear, {IN(3, 0, 257, 1024), IN(2, 16, 1024)}},
    {"linear", "196x3072 -> 12288", linear, {IN(3, 0, 196, 3072), IN(2, 12288, 3072), IN(1, 12288)}},
    {"linear", "197x15360 -> 3072, frozen", linear, {IN(3, 0, 197, 15360), GIVEN(2, 3072, 15360), GIVEN(1, 3072)}},
    {"linear", "3072 -> 18432, a modulation's", linear, {IN(2, 0, 3072), IN(2, 18432, 3072), IN(1, 18432)}},
    {"loss_scale", "one number", scale_loss, {SCALAR(false), GIVEN(1, SCALING_WORDS)}},
    {"magnitude", "4096x1024", magnitude, {GIVEN(2, 4096, 1024), IN(1, 4096), GIVEN(2, 16, 1024), GIVEN(2, 4096, 16)}},
    {"masked_positions", "196", positions, {INTEGERS(2, 2, 0, 196)}},
    {"modulate", "197x3072", modulate, {IN(3, 0, 197, 3072), IN(2, 0, 3072), IN(2, 0, 3072)}},
    {"mse_loss", "196x64", mse, {IN(3, 0, 196, 64), GIVEN(3, 0, 196, 64)}},
    {"nearest_row", "196 of 256 among 16384", nearest, {GIVEN(3, 0, 196, 256), GIVEN(2, 16384, 256)}},
    {"normalize_image", "224 pixels", normalize, {GIVEN(4, 0, 3, 224, 224)}},
    {"patchify", "224 pixels by 14", patchify, {GIVEN(4, 0, 3, 224, 224)}},
    {"random_gumbel", "196x16384", gumbel, {GIVEN(3, 0, 196, 16384)}},
    {"random_index", "196 of 784", draw_index, {GIVEN(1, 0)}},
    {"random_mask", "196", draw_mask, {GIVEN(2, 0, 196)}},
    {"random_normal", "196x3072", normal, {GIVEN(3, 0, 196, 3072)}},
    {"random_timestep", "one number per sample", draw_time, {GIVEN(1, 0)}},
    {"repeat", "1024, 4 times", repeat, {IN(2, 1, 1024)}},
    {"replace_rows", "196x1024", replace, {IN(3, 0, 196, 1024), INTEGERS(2, 2, 0, 196), IN(1, 1024)}},
    {"rmsnorm", "197x24x128", rmsnorm, {IN(4, 0, 197, 24, 128), IN(1, 128)}},
    {"rope", "197x24x128", rope, {IN(4, 0, 197, 24, 128), GIVEN(3, 197, 64, 2)}},
    {"split", "197x21504 into 4", split, {IN(3, 0, 197, 21504)}},
    {"square_sum", "12288x3072", square_sum, {GIVEN(2, 12288, 3072), GIVEN(1, 1)}},
    {"timestep_embedding", "256", embed_time, {GIVEN(1, 0)}},
    {"transpose", "512x784", transpose, {IN(3, 0, 512, 784)}},
    {"unpatchify", "196x64", unpatchify, {IN(3, 0, 196, 64)}},
    {"upsample2x", "512x28x28", upsample, {IN(4, 0, 512, 28, 28)}},
    {"zero", "12288x3072", zero, {GIVEN(2, 12288, 3072)}},
};
// clang-format on

int gh_op_case_count(void) { return (int)GH_COUNT(cases); }

const char *gh_op_case_name(int index, const char **label) {
  *label = cases[index].label;
  return cases[index].op;
}

/* ---- running one ---- */

bool gh_op_case_has(int index, gh_dtype dtype) {
  const gh_op *op = gh_op_named(cases[index].op);
  for (int i = 0; i < MAX_IN && dtype != GH_F32; i++)
    if (cases[index].in[i].dtype != GH_F32) return false; /* the case says itself what is bf16 */
  return dtype == GH_F32 || (op && op->wide != GH_WIDE_ALL && !(op->flags & GH_OP_MIXED));
}

static gh_dtype dtype_of(const struct gh_op_case *c, int i, gh_dtype storage) {
  const gh_op *op = gh_op_named(c->op);
  if (c->in[i].below) return GH_I32;
  if (c->in[i].dtype != GH_F32) return c->in[i].dtype;
  return op && (op->wide & GH_WIDE(i)) ? GH_F32 : storage;
}

static gh_status add_inputs(gh_error *err, gh_case *run, const struct gh_op_case *c, int64_t batch, gh_dtype storage,
                            gh_tensor **in) {
  gh_status status = GH_OK;
  for (int i = 0; i < MAX_IN && c->in[i].rank && !status; i++) {
    const gh_case_in *given = &c->in[i];
    const int rank = GH_MAX(given->rank, 0);
    char name[16];
    int64_t shape[GH_MAX_RANK];
    snprintf(name, sizeof name, "in%d", i);
    for (int k = 0; k < rank; k++) shape[k] = given->shape[k] ? given->shape[k] : batch;
    status = gh_case_tensor(err, run, name, dtype_of(c, i, storage), rank, shape, given->below, &in[i]);
    if (!status) in[i]->needs_grad = given->wanted;
  }
  return status;
}

static gh_status add_blocks(gh_error *err, gh_case *run, int64_t batch, gh_tensor **in) {
  const int64_t words = STEP_WORDS;
  const float weight = 1.0f / (float)batch;
  uint32_t step[STEP_WORDS] = {0};
  step[STEP_SAMPLES] = (uint32_t)batch;
  memcpy(&step[STEP_WEIGHT], &weight, sizeof weight);
  gh_status status = gh_store_add(err, run->store, "step", GH_U32, 1, &words, &in[MAX_IN]);
  if (!status) status = gh_tensor_write(err, run->device, in[MAX_IN], step);
  return status ? status : gh_store_add(err, run->store, "control", GH_U32, 1, &words, &in[MAX_IN + 1]);
}

gh_status gh_op_case_run(gh_error *err, gh_device *device, int index, int64_t batch, gh_dtype storage,
                         const gh_bench_repeats *how, gh_op_bench *out) {
  gh_case run;
  gh_tensor *in[MAX_IN + 2] = {NULL}; /* and the step and control blocks */
  gh_status status = gh_case_open(err, &run, device);
  if (!status) status = add_inputs(err, &run, &cases[index], batch, storage, in);
  if (!status) status = add_blocks(err, &run, batch, in);
  gh_tensor *result = status ? NULL : cases[index].build(run.graph, in);
  if (!status) status = gh_case_plan(err, &run, result, in, MAX_IN);
  if (!status) status = gh_case_time(err, &run, how, out);
  gh_case_close(&run);
  return status ? gh_fail_in(err, "%s, %s", cases[index].op, cases[index].label) : GH_OK;
}
