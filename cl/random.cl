/* Random numbers by the sample: sample b draws at the step block's ordinal + b, element by its index in the sample, so
 * that numbers depend neither on the micro-batch nor on the place in it. A lane takes a block of four. */
#include "sample.h"

KERNEL void random_normal_forward(GLOBAL ELEM *y, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples,
                                  int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return; /* no barrier below */
  const uint64 ordinal = step_ordinal(step) + (uint64)sample, block = (uint64)first >> 2;
  y += sample * n + first;
  const int blocks = (int)(count >> 2);
  for (int i = LANE; i < blocks; i += LANES) {
    const gh_floats v = gh_block_normals(key0, key1, ordinal, block + (uint64)i);
    ST(y, 4 * i, v.a);
    ST(y, 4 * i + 1, v.b);
    ST(y, 4 * i + 2, v.c);
    ST(y, 4 * i + 3, v.d);
  }
  for (int64 i = 4 * blocks + LANE; i < count; i += LANES)
    ST(y, i, gh_normal_at(key0, key1, ordinal, (uint64)(first + i)));
}

/* y[b] = sigmoid(scale * eps), eps normal; or uniform in (0, 1). One number a sample, its element 0. */
KERNEL void random_timestep_forward(GLOBAL ELEM *y, GLOBAL const uint32 *step, uint32 key0, uint32 key1, int64 samples,
                                    int32 uniform, float scale) {
  SAMPLE_ROW(samples, (int64)1);
  if (!row_valid || LANE != 0 || count != 1) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample;
  const float eps = gh_normal_at(key0, key1, ordinal, 0);
  ST(y, sample, uniform ? gh_uniform_at(key0, key1, ordinal, 0) : gh_sigmoid_exact(scale * eps));
}

/* y = x * (uniform >= p ? scale : 0): a product, so that a NaN stays one. y may be x. */
KERNEL void dropout_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const uint32 *step, uint32 key0, uint32 key1,
                            float p, float scale, int64 samples, int64 n) {
  SAMPLE_ROW(samples, n);
  if (!row_valid) return;
  const uint64 ordinal = step_ordinal(step) + (uint64)sample, block = (uint64)first >> 2;
  x += sample * n + first;
  y += sample * n + first;
  const int blocks = (int)(count >> 2);
  for (int i = LANE; i < blocks; i += LANES) {
    const gh_words w = gh_block_words(key0, key1, ordinal, block + (uint64)i);
    ST(y, 4 * i, LD(x, 4 * i) * (gh_uniform(w.a) >= p ? scale : 0.0f));
    ST(y, 4 * i + 1, LD(x, 4 * i + 1) * (gh_uniform(w.b) >= p ? scale : 0.0f));
    ST(y, 4 * i + 2, LD(x, 4 * i + 2) * (gh_uniform(w.c) >= p ? scale : 0.0f));
    ST(y, 4 * i + 3, LD(x, 4 * i + 3) * (gh_uniform(w.d) >= p ? scale : 0.0f));
  }
  for (int64 i = 4 * blocks + LANE; i < count; i += LANES)
    ST(y, i, LD(x, i) * (gh_uniform_at(key0, key1, ordinal, (uint64)(first + i)) >= p ? scale : 0.0f));
}

/* y = scale * mask * x; y may be x. */
KERNEL void dropout_masked_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, GLOBAL const ELEM *mask, float scale,
                                   int64 n) {
  FOR_ELEMENTS(i, n) vec_store(y, i, n, vec_load(x, i, n) * (vec_load(mask, i, n) * scale));
}
