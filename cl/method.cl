/* The method's small kernels: image normalisation, the autoencoder's Gaussian, flow interpolation, losses. */
#include "functions.h"
#include "sample.h"

/* y = (x - mean[c]) / std[c]: rows are the (sample, channel) planes of an RGB batch. */
KERNEL void normalize_image_forward(GLOBAL float *y, GLOBAL const float *x, float mean0, float mean1, float mean2,
                                    float std0, float std1, float std2, int64 rows, int64 columns) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  const int channel = (int)(row % 3);
  const float mean = channel == 0 ? mean0 : channel == 1 ? mean1 : mean2;
  const float std = channel == 0 ? std0 : channel == 1 ? std1 : std2;
  x += row * columns;
  y += row * columns;
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE];
    row_load(v, x, i, columns);
    EACH_OF_PIECE(k) v[k] = (v[k] - mean) / std;
    row_store(y, i, columns, v);
  }
}

/* ---- the Gaussian of an autoencoder: moments (samples, 2, half), mean first, then the logarithm of the variance ----
 */

#define LOGVAR_MIN -30.0f
#define LOGVAR_MAX 20.0f
/* by comparison, so that NaN propagates */
inline vec clamp_logvar(vec v) {
  v = v < VEC(LOGVAR_MIN) ? VEC(LOGVAR_MIN) : v;
  return v > VEC(LOGVAR_MAX) ? VEC(LOGVAR_MAX) : v;
}
/* v where logvar is inside the clamp (ends included), else 0: the clamp's gradient. */
inline vec inside_logvar(vec v, vec logvar) {
  v = logvar < VEC(LOGVAR_MIN) ? VEC(0) : v;
  return logvar > VEC(LOGVAR_MAX) ? VEC(0) : v;
}

KERNEL void gaussian_sample_forward(GLOBAL float *z, GLOBAL const float *moments, GLOBAL const float *eps, float shift,
                                    float scale, int64 samples, int64 half_size) {
  SAMPLE_ROW(samples, half_size);
  if (!row_valid) return;
  GLOBAL const float *mean = moments + sample * 2 * half_size + first, *logvar = mean + half_size;
  eps += sample * half_size + first;
  z += sample * half_size + first;
  FOR_ROW_PIECES(i, count) {
    vec v[PIECE], m[PIECE], e[PIECE];
    row_load(v, logvar, i, count);
    row_load(m, mean, i, count);
    row_load(e, eps, i, count);
    EACH_OF_PIECE(k) {
      const vec deviation = vec_exp(0.5f * clamp_logvar(v[k]));
      m[k] = (m[k] + deviation * e[k] - shift) * scale;
    }
    row_store(z, i, count, m);
  }
}

KERNEL void gaussian_sample_backward(GLOBAL float *dmoments, GLOBAL const float *dz, GLOBAL const float *moments,
                                     GLOBAL const float *eps, float scale, int64 samples, int64 half_size) {
  SAMPLE_ROW(samples, half_size);
  if (!row_valid) return;
  GLOBAL const float *logvar = moments + sample * 2 * half_size + half_size + first;
  GLOBAL float *dmean = dmoments + sample * 2 * half_size + first, *dlogvar = dmean + half_size;
  eps += sample * half_size + first;
  dz += sample * half_size + first;
  FOR_ROW_PIECES(i, count) {
    vec v[PIECE], d[PIECE], e[PIECE];
    row_load(v, logvar, i, count);
    row_load(d, dz, i, count);
    row_load(e, eps, i, count);
    EACH_OF_PIECE(k) {
      d[k] *= scale;
      const vec deviation = vec_exp(0.5f * clamp_logvar(v[k]));
      e[k] = inside_logvar(d[k] * e[k] * 0.5f * deviation, v[k]);
    }
    row_store(dmean, i, count, d);
    row_store(dlogvar, i, count, e);
  }
}

/* partials[sample, chunk] = sum over the chunk of 0.5 (mean^2 + e^logvar - 1 - logvar) */
KERNEL void gaussian_kl_partial(GLOBAL float *partials, GLOBAL const float *moments, int64 samples, int64 half_size) {
  SAMPLE_ROW(samples, half_size);
  ROW_SCRATCH(scratch);
  GLOBAL const float *mean = moments + sample * 2 * half_size + first, *logvar = mean + half_size;
  vec sum = VEC(0);
  FOR_ROW_PIECES(i, count) {
    vec m[PIECE], v[PIECE];
    row_load(m, mean, i, count);
    row_load(v, logvar, i, count);
    EACH_OF_PIECE(k) {
      const vec clamped = clamp_logvar(v[k]);
      sum += vec_keep(m[k] * m[k] + (vec_exp(clamped) - 1.0f - clamped), i, count, 0.0f);
    }
  }
  const float total = 0.5f * row_sum(sum, scratch);
  if (row_valid && LANE == 0) partials[row] = total;
}

/* dmoments = dloss weight_b / n (mean; 0.5 (e^logvar - 1)) */
KERNEL void gaussian_kl_backward(GLOBAL float *dmoments, GLOBAL const float *dloss, GLOBAL const float *moments,
                                 GLOBAL const uint32 *step, int64 samples, int64 half_size) {
  SAMPLE_ROW(samples, half_size);
  if (!row_valid) return;
  GLOBAL const float *mean = moments + sample * 2 * half_size + first, *logvar = mean + half_size;
  GLOBAL float *dmean = dmoments + sample * 2 * half_size + first, *dlogvar = dmean + half_size;
  const float weight = step_weight(step, sample) / (float)half_size;
  const bool counts = weight != 0.0f; /* filler samples may have any moments */
  const float factor = counts ? dloss[0] * weight : 0.0f;
  FOR_ROW_PIECES(i, count) {
    vec m[PIECE], v[PIECE];
    row_load(m, mean, i, count);
    row_load(v, logvar, i, count);
    EACH_OF_PIECE(k) {
      const vec dm = factor * m[k], dv = factor * 0.5f * (vec_exp(clamp_logvar(v[k])) - 1.0f);
      m[k] = counts ? dm : VEC(0);
      v[k] = counts ? inside_logvar(dv, v[k]) : VEC(0);
    }
    row_store(dmean, i, count, m);
    row_store(dlogvar, i, count, v);
  }
}

/* ---- rectified flow ---- */

/* x_t = (1-s) a + s b, target b - a; NULL if nothing reads the result */
KERNEL void flow_interpolate_forward(GLOBAL float *x_t, GLOBAL float *target, GLOBAL const float *x1,
                                     GLOBAL const float *x0, GLOBAL const float *t, int32 noise_at_one, int64 samples,
                                     int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const int64 offset = sample * n + first;
  const float s = LD(t, sample);
  GLOBAL const float *a = (noise_at_one ? x1 : x0) + offset, *b = (noise_at_one ? x0 : x1) + offset;
  FOR_ROW_PIECES(i, count) {
    vec va[PIECE], vb[PIECE], v[PIECE];
    row_load(va, a, i, count);
    row_load(vb, b, i, count);
    if (x_t) {
      EACH_OF_PIECE(k) v[k] = (1.0f - s) * va[k] + s * vb[k];
      row_store(x_t + offset, i, count, v);
    }
    if (target) {
      EACH_OF_PIECE(k) v[k] = vb[k] - va[k];
      row_store(target + offset, i, count, v);
    }
  }
}

/* ---- losses ---- */

/* partials[sample, chunk] = sum over the chunk of (pred - target)^2 */
KERNEL void mse_loss_partial(GLOBAL float *partials, GLOBAL const float *pred, GLOBAL const float *target,
                             int64 samples, int64 n) {
  SAMPLE_ROW(samples, n);
  ROW_SCRATCH(scratch);
  pred += sample * n + first;
  target += sample * n + first;
  vec sum = VEC(0);
  FOR_ROW_PIECES(i, count) {
    vec u[PIECE], v[PIECE];
    row_load(u, pred, i, count);
    row_load(v, target, i, count);
    EACH_OF_PIECE(k) {
      const vec d = u[k] - v[k];
      sum += d * d;
    }
  }
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) partials[row] = total;
}

/* loss = weight / n * the sum of the partials of the samples that count, which come first; partials (sets, samples,
 * chunks), of which one set is summed */
KERNEL void sample_loss_final(GLOBAL float *loss, GLOBAL const float *partials, GLOBAL const uint32 *step, int64 set,
                              int64 samples, int64 chunks, int64 n) {
  ONE_ROW;
  ROW_SCRATCH(scratch);
  partials += set * samples * chunks;
  const int64 counting = min(samples, (int64)step[STEP_SAMPLES]) * chunks;
  vec sum = VEC(0);
  FOR_COLUMNS(i, counting) sum += vec_load(partials, i, counting);
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) loss[0] = total * (step_float(step, STEP_WEIGHT) / (float)n);
}

/* dpred = dloss 2 weight_b / n (pred - target) */
KERNEL void mse_loss_backward(GLOBAL float *dpred, GLOBAL const float *dloss, GLOBAL const float *pred,
                              GLOBAL const float *target, GLOBAL const uint32 *step, int64 samples, int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const int64 offset = sample * n + first;
  const float weight = step_weight(step, sample);
  const bool counts = weight != 0.0f; /* filler samples may have any prediction */
  const float factor = counts ? dloss[0] * (2.0f * weight / (float)n) : 0.0f;
  FOR_ROW_PIECES(i, count) {
    vec u[PIECE], v[PIECE];
    row_load(u, pred + offset, i, count);
    row_load(v, target + offset, i, count);
    EACH_OF_PIECE(k) u[k] = counts ? factor * (u[k] - v[k]) : VEC(0);
    row_store(dpred + offset, i, count, u);
  }
}
