/* The ops: one builder each, which records one node. Shapes: B batch, N tokens, C width, H heads, D head size.
 *
 * Builders never fail visibly: errors stay in the graph (graph/graph.h). A NULL tensor is an absent optional input.
 *
 * Tensors are float32, bf16 or f16; unless stated otherwise, results have the type of the first input. Biases, scales,
 * shifts, gates, tables and masks are always float32, and so is everything accumulated over a network: the residual
 * stream (the x of the norms and of gh_gated_add), losses, statistics, gradients of parameters. Arithmetic is float32.
 * The op table (registry.c) lists them all; tests, self-test and benchmarks read it. */
#ifndef GH_OPS_OPS_H
#define GH_OPS_OPS_H

#include "graph/graph.h"

/* ---- elementwise ---- */

/* a + scale * b. b has a's shape, or is a float32 suffix of it, broadcast over the leading dimensions. With equal
 * shapes, b may be narrow while a is float32. */
gh_tensor *gh_add(gh_graph *g, gh_tensor *a, gh_tensor *b);
gh_tensor *gh_add_scaled(gh_graph *g, gh_tensor *a, gh_tensor *b, double scale);

/* a b, element by element; same shapes and types. */
gh_tensor *gh_multiply(gh_graph *g, gh_tensor *a, gh_tensor *b);

/* exp(scale) x; scale (), both float32. */
gh_tensor *gh_exp_scale(gh_graph *g, gh_tensor *x, gh_tensor *scale);

/* x cast to dtype, rounded to nearest even; x itself if it has that type. Gradients are cast back. */
gh_tensor *gh_cast(gh_graph *g, gh_tensor *x, gh_dtype dtype);

/* A float32 factor of a low-rank product, for units that multiply a narrow type. factor x = high + low, both of that
 * type, to 2^-16 relative (f16: 2^-22, but to 2^-25 at best); the parts are concatenated along the rank: down (R, K) ->
 * (3R, K), high, low, high; up (N, R) -> (N, 3R), high, high, low. So one narrow product gives high high + high low +
 * low high, in bf16 the float32 product to 2^-14 (oneMKL's "float_to_bf16x2"); the same holds for gradients. */
gh_tensor *gh_halves(gh_graph *g, gh_tensor *x, bool up, double factor, gh_dtype type);

typedef enum gh_activation_kind {
  GH_GELU_ERF,   /* x Phi(x) */
  GH_GELU_TANH,  /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
  GH_QUICK_GELU, /* x sigmoid(1.702 x) */
  GH_SILU        /* x sigmoid(x) */
} gh_activation_kind;
gh_tensor *gh_activation(gh_graph *g, gh_tensor *x, gh_activation_kind kind);
extern const gh_op gh_op_activation_backward; /* inputs (dy, x), attribute kind; for ops that end with an activation */

/* ---- linear algebra ---- */

/* y = x Wᵀ + b: x (..., K), weight (N, K), bias (N) or NULL -> (..., N). torch.nn.Linear. x is rounded if the weight
 * is bf16 or has a bf16 working copy; the result has the type of x. */
gh_tensor *gh_linear(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias);
/* The same with the result stored as `result`. */
gh_tensor *gh_linear_to(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_dtype result);
/* The same with scale low upᵀ added in float32 before the result is rounded (LoRA): low (..., R), up (N, R). */
gh_tensor *gh_linear_adapted(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_tensor *low,
                             gh_tensor *up, double scale, gh_dtype result);

/* DoRA's gate (Liu et al., 2024): weight W (N, K), magnitude m (N), down (R, K), up (N, R) -> (N), by rows
 * m / |W + scale up down| - 1. With y = W x + b + scale up down x, the layer's result is y + gate (y - b). All are
 * float32, W may be bf16. The norm is a constant: the magnitude alone has a gradient, as in PEFT. */
gh_tensor *gh_magnitude(gh_graph *g, gh_tensor *weight, gh_tensor *magnitude, gh_tensor *down, gh_tensor *up,
                        double scale);

/* gh_linear followed by GELU_TANH, in the product's own launch if its provider supports it (cuBLASLt): then the GELU's
 * input is not rounded first. The bias is required. */
gh_tensor *gh_linear_gelu(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias);

/* softmax(scale q kᵀ) v per head, streaming: q (B, Nq, H, D), k and v (B, Nk, H, D) -> (B, Nq, H, D). causal: a query
 * sees keys up to its own position. hidden: (B, M) int32, M <= Nk, or NULL; no query of sample b sees a key n < M where
 * hidden[b, n] is not 0. Keys from M on are visible. What a hidden key's k and v hold does not matter, not even NaN;
 * its gradients are 0. A query that sees no key gives NaN, as in PyTorch. Keeps each row's highest score and
 * 1 / sum exp(score - highest), both (B, H, Nq), for its gradient; no N x N matrix. D <= 512. */
gh_tensor *gh_attention(gh_graph *g, gh_tensor *q, gh_tensor *k, gh_tensor *v, gh_tensor *hidden, double scale,
                        bool causal);

/* 2-D convolution, zero padding. x (B, C, H, W), weight (O, C, kh, kw), bias (O) or NULL -> (B, O, H', W').
 * torch.nn.Conv2d; the autoencoder's strided one pads bottom and right only. */
typedef struct gh_conv_geometry {
  int stride, pad_top, pad_left, pad_bottom, pad_right;
} gh_conv_geometry;
gh_tensor *gh_conv2d(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_conv_geometry geometry);

/* ---- normalisation ---- */

/* (x - mean) / sqrt(var + eps) * weight + bias over the last dimension; weight and bias (C), both or neither. x is
 * float32; the result is stored as `result`. */
gh_tensor *gh_layernorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, double eps, gh_dtype result);
/* adaLN: (1 + scale) * LN(x) + shift; x (B, N, C), shift and scale (B, C); LN without affine. x is float32; the result
 * is stored as `result`. */
gh_tensor *gh_modulate(gh_graph *g, gh_tensor *x, gh_tensor *shift, gh_tensor *scale, double eps, gh_dtype result);
/* x + gate * f; x and f (B, N, C), gate (B, C). x is float32, f may be narrow. */
gh_tensor *gh_gated_add(gh_graph *g, gh_tensor *x, gh_tensor *f, gh_tensor *gate);
/* x / sqrt(mean(x^2) + eps) * weight over the last dimension; weight (D). */
gh_tensor *gh_rmsnorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, double eps);
/* GroupNorm over (C/groups, H, W); x (B, C, H, W), weight and bias (C). */
gh_tensor *gh_groupnorm(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, int groups, double eps);

/* ---- layout ---- */

gh_tensor *gh_reshape(gh_graph *g, gh_tensor *x, int rank, const int64_t *shape); /* a view; launches nothing */
/* `value` as it is, a view, whose gradient goes to `through` instead (same shape): the straight-through estimator of a
 * quantiser (van den Oord et al., 2017). NULL: it goes nowhere, a stop-gradient. */
gh_tensor *gh_straight_through(gh_graph *g, gh_tensor *value, gh_tensor *through);
/* Splits x along `axis` into count pieces of sizes[]; fills out[]. Unread pieces cost nothing. */
void gh_split(gh_graph *g, gh_tensor *x, int axis, const int64_t *sizes, int count, gh_tensor **out);
gh_tensor *gh_concat(gh_graph *g, gh_tensor *const *in, int count, int axis); /* at most GH_MAX_INPUTS */
gh_tensor *gh_transpose(gh_graph *g, gh_tensor *x);                           /* (..., R, C) -> (..., C, R) */
gh_tensor *gh_repeat(gh_graph *g, gh_tensor *x, int64_t count);               /* shape s -> (count, s...), copies */
/* x (B, N, C), index (B, K) int32 in [0, N) or -1 -> (B, K, C): y[b, k] = x[b, index[b, k]], zeros where the index is
 * -1 (padding, which takes no gradient). An index may occur more than once. Any other index gives NaN. */
gh_tensor *gh_gather_rows(gh_graph *g, gh_tensor *x, gh_tensor *index);
/* index (B, N) int32, the step block -> (rows) float32: how often each number of [0, rows) occurs in the samples that
 * count (STEP_SAMPLES); exact below 2^20. Other numbers are ignored. No gradient. */
gh_tensor *gh_count_rows(gh_graph *g, gh_tensor *index, gh_tensor *step, int64_t rows);
/* x (R, C), table (K, C), both float32 -> (R) int32: the row of table at the least squared distance, the lowest one at
 * a tie; |e|^2 - 2 x.e in float32. A row whose distances are all NaN or infinite gets 0, so an index is always in
 * range. K <= GH_NEAREST_ROWS. No gradient. */
#define GH_NEAREST_ROWS (1 << 24)
gh_tensor *gh_nearest_row(gh_graph *g, gh_tensor *x, gh_tensor *table);
/* mask (B, N) int32 in {0, 1} -> (B, count) int32: the positions of each sample's ones, ascending, then -1. Positions
 * beyond `count` are left out. No gradient. */
gh_tensor *gh_masked_positions(gh_graph *g, gh_tensor *mask, int64_t count);
/* y[b, n] = mask[b, n] ? row : x[b, n]. x (B, N, C), mask (B, N) int32, row (C), or NULL for zeros. What x holds where
 * it is masked does not matter. */
gh_tensor *gh_replace_rows(gh_graph *g, gh_tensor *x, gh_tensor *mask, gh_tensor *row);
/* (B, C, H, W) -> (B, H/p * W/p, C*p*p), a patch's elements in (c, ph, pw) order; and its inverse. */
gh_tensor *gh_patchify(gh_graph *g, gh_tensor *x, int patch);
gh_tensor *gh_unpatchify(gh_graph *g, gh_tensor *x, int patch, int64_t channels, int64_t height, int64_t width);
gh_tensor *gh_upsample2x(gh_graph *g, gh_tensor *x); /* nearest: (B, C, H, W) -> (B, C, 2H, 2W) */

/* ---- positions and time ---- */

/* Rotates adjacent pairs: x (B, N, H, D), table (N, D/2, 2) of (cos, sin), no gradient for table. FLUX's rope. */
gh_tensor *gh_rope(gh_graph *g, gh_tensor *x, gh_tensor *table);
/* t (B) -> (B, width): [cos(half), sin(half)] of factor * t * 10000^(-i/half); no gradient. FLUX: factor 1000, width
 * 256. */
gh_tensor *gh_timestep_embedding(gh_graph *g, gh_tensor *t, int width, double factor);

/* ---- the method ---- */

/* (x - mean[c]) / std[c]; x (B, 3, H, W). */
gh_tensor *gh_normalize_image(gh_graph *g, gh_tensor *x, const double mean[3], const double std[3]);
/* moments (B, 2C, h, w), eps (B, C, h, w): z = mean + exp(0.5 clamp(logvar, -30, 20)) eps, then (z - shift) * scale. */
gh_tensor *gh_gaussian_sample(gh_graph *g, gh_tensor *moments, gh_tensor *eps, double shift, double scale);
/* Interpolation and target of rectified flow (Eq. 3). x1, x0 (B, ...), t (B). noise_at_one (FLUX): x_t = (1-t) x1 + t
 * x0, target x0 - x1; otherwise x_t = t x1 + (1-t) x0, target x1 - x0. Fills x_t and target; no gradient. */
void gh_flow_interpolate(gh_graph *g, gh_tensor *x1, gh_tensor *x0, gh_tensor *t, bool noise_at_one, gh_tensor **x_t,
                         gh_tensor **target);
/* Sum over samples of weight_b * mean over the sample of (pred - target)^2, in float32 -> (). pred, target (B, ...);
 * step (16) uint32, the step block: weight_b is STEP_WEIGHT for b < STEP_SAMPLES and 0 past it. */
gh_tensor *gh_mse_loss(gh_graph *g, gh_tensor *pred, gh_tensor *target, gh_tensor *step);
/* KL to N(0, 1) of a diagonal Gaussian, weighted over samples as in gh_mse_loss: sum_b weight_b * mean over the
 * sample's (C, h, w) of 0.5 (mean^2 + exp(logvar) - 1 - logvar), logvar clamped as in gh_gaussian_sample. moments (B,
 * 2C, h, w). */
gh_tensor *gh_gaussian_kl(gh_graph *g, gh_tensor *moments, gh_tensor *step);

/* Sum over samples of weight_b * mean over that sample's chosen positions of -log softmax(logits)[code], in float32 ->
 * (). logits (B, M, K); codes (B, N) int32 in [0, K); index (B, M) int32 in [0, N): the position in codes that row m is
 * about; -1: none (padding: ignored, whatever its logits hold). Weights as in gh_mse_loss. A sample without any chosen
 * position counts 0. An index or a code out of range gives NaN, as does a NaN in a chosen row.
 * *correct, if correct is not NULL: (), the share of positions whose largest logit, the first at a tie, is the code's;
 * in the same weighting; no gradient. No copy of the logits is kept, and their gradient may overwrite them. */
gh_tensor *gh_cross_entropy(gh_graph *g, gh_tensor *logits, gh_tensor *codes, gh_tensor *index, gh_tensor *step,
                            gh_tensor **correct);

/* ---- spectra ---- */

/* The 2-D discrete Fourier transform of complex numbers as real and imaginary part: x (..., H, W, 2) -> the same shape.
 * Neither direction is scaled: torch.fft.fft2, and torch.fft.ifft2 with norm="forward". No gradient. Any H and W: our
 * own kernels handle sizes that the vendor's library does not support. */
gh_tensor *gh_fft2d(gh_graph *g, gh_tensor *x, bool inverse);

/* ---- randomness: from a stream's key (base/random.h) and the step block's ordinal of the micro-batch's first sample.
 * Shapes start with the batch: sample b draws at ordinal STEP_ORDINAL + b, each element by its index in the sample
 * ---- */

gh_tensor *gh_random_normal(gh_graph *g, gh_tensor *step, const uint32_t key[2], int rank, const int64_t *shape);
/* t (B): sigmoid(scale * eps) (Eq. 6); uniform: u in (0, 1) instead. */
gh_tensor *gh_random_timestep(gh_graph *g, gh_tensor *step, const uint32_t key[2], int64_t batch, bool uniform,
                              double scale);
/* (B, count) int32: `count` distinct numbers of [0, n) per sample, without replacement, in drawing order:
 * gh_permute_at of 0, 1, ... at the sample's ordinal. count <= n. */
gh_tensor *gh_random_index(gh_graph *g, gh_tensor *step, const uint32_t key[2], int64_t batch, int64_t n,
                           int64_t count);
/* Standard Gumbel noise, -log(-log u): gh_stream_gumbels. Never infinite. */
gh_tensor *gh_random_gumbel(gh_graph *g, gh_tensor *step, const uint32_t key[2], int rank, const int64_t *shape);
/* (B, n) int32, 1: masked; gh_mask_at of the streams `ratio` and `order` at the sample's ordinal. Per sample a ratio
 * r = low + (high - low) u; round(r n) positions are masked, half to even, at least 1, at most n - 1: those with the
 * smallest draws. 0 <= low <= high <= 1, n >= 2. gh_mask_most bounds how many. */
gh_tensor *gh_random_mask(gh_graph *g, gh_tensor *step, const uint32_t ratio_key[2], const uint32_t order_key[2],
                          int64_t batch, int64_t n, double low, double high);
/* Draws a code per row of logits (B, N, K): the largest of logits / temperature + Gumbel noise, element row * K + k of
 * the sample's draws; the first at a tie: gh_categorical_at. Fills *code (B, N) int32 and *log_probability (B, N)
 * float32, log softmax(logits / temperature)[code]. The codes are the same on every device. temperature > 0; its
 * float32 reciprocal multiplies. A NaN is never drawn from a row that has a number, but makes its log-probability NaN.
 * No gradient. */
void gh_categorical(gh_graph *g, gh_tensor *logits, gh_tensor *step, const uint32_t key[2], double temperature,
                    gh_tensor **code, gh_tensor **log_probability);
/* Zeroes elements with probability p and scales the rest by 1/(1-p). x (B, ...). A given mask (x's shape, 1 keeps) is
 * used instead of drawing, and step may be NULL. The backward pass draws the same numbers; no mask is stored. */
gh_tensor *gh_dropout(gh_graph *g, gh_tensor *x, gh_tensor *step, gh_tensor *mask, const uint32_t key[2], double p);

/* ---- the update: nodes without outputs, which write persistent tensors in recorded order ---- */

/* Adds a value into a persistent tensor: to += value. */
void gh_accumulate(gh_graph *g, gh_tensor *to, gh_tensor *value);
/* The same into a bf16 tensor, float32 value: element i is rounded at random by the lower 16 bits of word i of the
 * stream `key` at the step block's ordinal. */
void gh_accumulate_rounded(gh_graph *g, gh_tensor *to, gh_tensor *value, gh_tensor *step, const uint32_t key[2]);
void gh_zero(gh_graph *g, gh_tensor *persistent);
/* squares[index] = sum of x^2, in a fixed order. squares (P). */
void gh_square_sum(gh_graph *g, gh_tensor *x, gh_tensor *squares, int index);
/* The same of several tensors of one type, in few launches: squares[indices[k]] is that of x[k]. */
void gh_square_sums(gh_graph *g, gh_tensor *const *x, const int *indices, int count, gh_tensor *squares);
/* control (16) of cl/step.h from squares (P) and the accumulated loss (): norm, min(1, max_norm / (norm + 1e-6)) (1 if
 * max_norm is 0) as in torch.nn.utils.clip_grad_norm_, and the non-finite flag. scale (), or NULL for 1: the squares
 * are of gradients times this; the norm is the gradients' own, and the factor divides by it. */
void gh_clip_control(gh_graph *g, gh_tensor *squares, gh_tensor *loss, gh_tensor *control, gh_tensor *scale,
                     double max_norm);
/* Once per update, after gh_clip_control: the scale of the next update's loss, as torch.amp.GradScaler sets it, from
 * control's flag; says in control whether the update is skipped for that, and Adam's bias corrections. scale (),
 * scaling (4) of cl/step.h. */
void gh_loss_scale(gh_graph *g, gh_tensor *control, gh_tensor *scale, gh_tensor *scaling, double beta1, double beta2);
typedef struct gh_adamw_options {
  double beta1, beta2, eps, weight_decay;
  uint32_t key[2]; /* of a bf16 parameter's random rounding */
  bool clear;      /* the gradient, a persistent tensor, becomes 0, even if the flag is set */
} gh_adamw_options;
/* Decoupled AdamW as in torch.optim.AdamW; learning rate and bias corrections from the step block (with gh_loss_scale
 * these are control's), clip factor from control; does nothing if control's flag is set. parameter, gradient, m, v: one
 * shape. A working copy of the parameter is written too. A bf16 parameter is rounded to one of the two numbers beside
 * its new value, at random and so that the average is the value: element i by the lower 16 bits of word i of the stream
 * `key` at the step block's update (base/random.h).
 *
 * m and v may also be 8-bit moments (cl/moments.h): uint32 (gh_moment_words(elements)). */
int64_t gh_moment_words(int64_t elements);
void gh_adamw(gh_graph *g, gh_tensor *parameter, gh_tensor *gradient, gh_tensor *m, gh_tensor *v, gh_tensor *step,
              gh_tensor *control, gh_adamw_options options);

/* ---- the op table ---- */

extern const gh_op *const gh_ops[]; /* sorted by name, ends with NULL */
const gh_op *gh_op_find(const char *name);

/* The result's type from an attribute named "type", whose 0 is float32. */
static inline gh_dtype gh_result_dtype(double attr) { return (gh_dtype)attr; }

/* The infer functions' common checks: record the failure and return its status. */
gh_status gh_want_rank(gh_graph *g, const gh_node *node, int input, int rank);
gh_status gh_want_shape(gh_graph *g, const gh_node *node, int input, int rank, const int64_t *shape);
gh_status gh_want_same(gh_graph *g, const gh_node *node, int input, int other);
/* int32, (samples, any number) */
gh_status gh_want_integers(gh_graph *g, const gh_node *node, int input, int64_t samples);

#endif
