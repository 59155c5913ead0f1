/* The update: gradient norm, clip factor and non-finite flag, AdamW. Nothing here waits for the host. */
#include "step.h"

/* partials[c] = sum of the squares of x's elements [c * SQUARE_CHUNK, (c + 1) * SQUARE_CHUNK) */
KERNEL void square_sum_partial(GLOBAL float *partials, GLOBAL const float *x, int64 n) {
  ROW((n + SQUARE_CHUNK - 1) / SQUARE_CHUNK);
  ROW_SCRATCH(scratch);
  const int64 first = row * SQUARE_CHUNK, count = min((int64)SQUARE_CHUNK, n - first);
  vec sum = VEC(0);
  FOR_COLUMNS(i, count) {
    const vec v = vec_load(x + first, i, count);
    sum += v * v;
  }
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) partials[row] = total;
}

KERNEL void square_sum_final(GLOBAL float *squares, GLOBAL const float *partials, int64 chunks, int64 index) {
  ONE_ROW;
  ROW_SCRATCH(scratch);
  vec sum = VEC(0);
  FOR_COLUMNS(i, chunks) sum += vec_load(partials, i, chunks);
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) squares[index] = total;
}

/* Tests the bits: a compiler's NaN optimisations, fmin or fmax could lose one. */
inline bool is_finite_bits(float v) { return (GH_AS_BITS(v) & 0x7F800000u) != 0x7F800000u; }

KERNEL void clip_control_update(GLOBAL uint32 *control, GLOBAL const float *squares, GLOBAL const float *loss,
                                int64 count, float max_norm) {
  ONE_ROW;
  ROW_SCRATCH(scratch);
  vec sum = VEC(0);
  FOR_COLUMNS(i, count) sum += vec_load(squares, i, count);
  const float total = row_sum(sum, scratch);
  if (!row_valid || LANE != 0) return;
  const float norm = sqrt(total);
  float clip = 1.0f;
  if (max_norm > 0.0f && max_norm < norm + 1e-6f) clip = max_norm / (norm + 1e-6f);
  control[CONTROL_LOSS] = GH_AS_BITS(loss[0]);
  control[CONTROL_NORM] = GH_AS_BITS(norm);
  control[CONTROL_CLIP] = GH_AS_BITS(clip);
  control[CONTROL_BAD] = is_finite_bits(total) && is_finite_bits(loss[0]) ? 0u : 1u;
}

/* torch.optim.AdamW, in its order of operations: decay first, then the step; eps outside the root. copy: w rounded to
 * bf16, read by matrix products; NULL: none. */
KERNEL void adamw_update(GLOBAL float *w, GLOBAL bf16 *copy, GLOBAL float *m, GLOBAL float *v,
                         GLOBAL const float *gradient, GLOBAL const uint32 *step, GLOBAL const uint32 *control,
                         float one_minus_beta1, float beta2, float one_minus_beta2, float eps, float weight_decay,
                         int64 n) {
  if (control[CONTROL_BAD]) return;
  const float rate = GH_AS_FLOAT(step[STEP_LEARNING_RATE]), clip = GH_AS_FLOAT(control[CONTROL_CLIP]);
  const float keep = 1.0f - rate * weight_decay, size = rate * GH_AS_FLOAT(step[STEP_BIAS1]);
  const float root = sqrt(GH_AS_FLOAT(step[STEP_BIAS2]));
  FOR_ELEMENTS(i, n) {
    const vec g = vec_load(gradient, i, n) * clip;
    vec m1 = vec_load(m, i, n), v1 = vec_load(v, i, n);
    const vec before = vec_load(w, i, n); /* in flight with the others: no compiler may move it past the stores */
    m1 += one_minus_beta1 * (g - m1);
    v1 = v1 * beta2 + one_minus_beta2 * g * g;
    vec_store(m, i, n, m1);
    vec_store(v, i, n, v1);
    const vec updated = before * keep - size * (m1 / (sqrt(v1) * root + eps));
    vec_store(w, i, n, updated);
    if (copy) vec_store(copy, i, n, updated);
  }
}
