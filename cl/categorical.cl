/* Draws a code per row by the Gumbel-max trick. */
#include "functions.h"
#include "sample.h"

/* code = the index of the largest logit * inverse + Gumbel noise, the first at a tie; NaN is never the largest.
 * log_probability = log softmax(logit * inverse) of it. NULL if nothing reads the result. */
KERNEL void categorical_forward(GLOBAL int32 *code, GLOBAL float *log_probability, GLOBAL const ELEM *logits,
                                GLOBAL const uint32 *step, uint32 key0, uint32 key1, float inverse, int64 rows,
                                int64 rows_per_sample, int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const float lowest = GH_AS_FLOAT(0xff800000u);
  const uint64 ordinal = step_ordinal(step) + (uint64)(row / rows_per_sample);
  const int64 first = row % rows_per_sample * columns; /* the row's first element in the sample's draws */
  float best = lowest, high = lowest;
  int64 at = 0;
  logits += row * columns;
  for (int64 block = (first >> 2) + LANE; 4 * block < first + columns; block += LANES) {
    const gh_floats noise = gh_block_gumbels(key0, key1, ordinal, (uint64)block);
    for (int k = 0; k < 4; k++) {
      const int64 i = 4 * block + k - first;
      if (i < 0 || i >= columns) continue;
      const float logit = LD(logits, i), added = k == 0 ? noise.a : k == 1 ? noise.b : k == 2 ? noise.c : noise.d;
      const float score = fma(logit, inverse, added);
      if (score > best) {
        best = score;
        at = i;
      }
      high = fmax(high, logit * inverse);
    }
  }
  const float winner = row_max(VEC(best), scratch);
  const int64 drawn = -(int64)(int32)row_max(VEC(best == winner ? -(float)at : lowest), scratch);
  const float top = row_max(VEC(high), scratch);
  vec sum = VEC(0);
  FOR_COLUMNS(i, columns) sum += vec_keep(vec_exp(vec_load(logits, i, columns) * inverse - top), i, columns, 0.0f);
  const float total = row_sum(sum, scratch);
  if (!row_valid || LANE != 0) return;
  if (code) code[row] = (int32)drawn;
  if (log_probability) log_probability[row] = (LD(logits, drawn) * inverse - top) - float_log(total);
}
