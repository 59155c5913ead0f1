/* Cross-entropy of codes. logits (samples, chosen, columns), codes (samples, positions); index (samples, chosen) gives
 * the position that a row is about, -1 for padding. */
#include "functions.h"
#include "sample.h"

#define CODE_NONE    (-1) /* padding */
#define CODE_INVALID (-2) /* an index or a code out of range is a bug in its producer: reads nothing, gives NaN */

inline int code_of_row(GLOBAL const int32 *codes, GLOBAL const int32 *index, int64 row, int64 chosen, int64 positions,
                       int64 columns) {
  const int64 at = index[row];
  if (at == -1) return CODE_NONE;
  if (at < 0 || at >= positions) return CODE_INVALID;
  const int code = codes[row / chosen * positions + at];
  return code >= 0 && code < columns ? code : CODE_INVALID;
}

/* How many of the sample's rows, those that this lane counts, are chosen. */
inline float chosen_of_lane(GLOBAL const int32 *index, int64 row, int64 chosen) {
  float mine = 0.0f;
  index += row / chosen * chosen;
  for (int64 m = LANE; m < chosen; m += LANES) mine += index[m] != -1 ? 1.0f : 0.0f;
  return mine;
}

/* partials (2, rows): a row's share of its sample's mean loss and of its mean of right answers. For the gradient, or
 * NULL: highest logit; 1 / sum exp(logit - highest); 1 / chosen rows of the sample, 0 for padding; all (rows). */
KERNEL void cross_entropy_rows(GLOBAL float *partials, GLOBAL float *highest, GLOBAL float *inverse,
                               GLOBAL float *share, GLOBAL const ELEM *logits, GLOBAL const int32 *codes,
                               GLOBAL const int32 *index, int64 rows, int64 chosen, int64 positions, int64 columns) {
  ROW_SCRATCH(scratch);
  ROW(rows);
  const int code = code_of_row(codes, index, row, chosen, positions, columns);
  const int64 read = code >= 0 ? columns : 0;
  const float none = GH_AS_FLOAT(0x7fc00000u), lowest = GH_AS_FLOAT(0xff800000u);
  /* a lane's count stands in every place of its vector */
  const float part = (float)VW / row_sum(VEC(chosen_of_lane(index, row, chosen)), scratch);
  logits += row * columns;
  vec high = VEC(lowest);
  FOR_ROW_PIECES(i, read) {
    vec v[PIECE];
    row_load(v, logits, i, columns);
    EACH_OF_PIECE(k) high = fmax(high, vec_keep(v[k], i, columns, lowest));
  }
  const float top = row_max(high, scratch), target = code >= 0 ? LD(logits, code) : none;
  vec sum = VEC(0), better = VEC(0);
  FOR_ROW_PIECES(i, read) {
    vec v[PIECE];
    row_load(v, logits, i, columns);
    EACH_OF_PIECE(k) {
      const vec tied = vec_index() + (int)i + k < code ? VEC(1) : VEC(0);
      sum += vec_keep(vec_exp(v[k] - top), i, columns, 0.0f);
      better += vec_keep(v[k] > target ? VEC(1) : (v[k] == target ? tied : VEC(0)), i, columns, 0.0f);
    }
  }
  const float total = row_sum(sum, scratch), others = row_sum(better, scratch);
  if (!row_valid || LANE != 0) return;
  const bool padding = code == CODE_NONE;
  const float loss = (top - target) + float_log(total); /* NaN if the code is invalid: target is */
  const float right = loss != loss ? loss : (others == 0.0f ? 1.0f : 0.0f);
  partials[row] = padding ? 0.0f : loss * part;
  partials[rows + row] = padding ? 0.0f : right * part;
  if (highest) highest[row] = padding ? 0.0f : (code >= 0 ? top : none);
  if (inverse) inverse[row] = padding ? 0.0f : 1.0f / total;
  if (share) share[row] = padding ? 0.0f : part;
}

/* dlogits = dloss weight_b share (softmax - the code's one). dlogits may be logits. */
KERNEL void cross_entropy_backward(GLOBAL ELEM *dlogits, GLOBAL const ELEM *logits, GLOBAL const float *dloss,
                                   GLOBAL const int32 *codes, GLOBAL const int32 *index, GLOBAL const uint32 *step,
                                   GLOBAL const float *highest, GLOBAL const float *inverse, GLOBAL const float *share,
                                   int64 rows, int64 chosen, int64 positions, int64 columns) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  const int code = code_of_row(codes, index, row, chosen, positions, columns);
  const float weight = step_weight(step, row / chosen), top = highest[row];
  logits += row * columns;
  dlogits += row * columns;
  if (code == CODE_NONE || weight == 0.0f) { /* padding and filler samples may have any logits */
    FOR_ROW_PIECES(i, columns) {
      vec none[PIECE];
      EACH_OF_PIECE(k) none[k] = VEC(0);
      row_store(dlogits, i, columns, none);
    }
    return;
  }
  const float factor = dloss[0] * weight * share[row], scale = inverse[row];
  FOR_ROW_PIECES(i, columns) {
    vec v[PIECE];
    row_load(v, logits, i, columns);
    EACH_OF_PIECE(k) {
      const vec p = vec_exp(v[k] - top) * scale;
      v[k] = factor * (vec_index() + (int)i + k == code ? p - 1.0f : p);
    }
    row_store(dlogits, i, columns, v);
  }
}
