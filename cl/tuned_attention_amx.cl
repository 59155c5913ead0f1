/* Streaming attention on AMX tiles, for CPUs: tensors, arguments and results are those of attention_cpu.cl, in
 * bfloat16. Scores, softmax and sums are float32; weights (p) and their gradients (ds) are rounded to bfloat16 only as
 * operands of the second product.
 *
 *   A work-item owns up to ROWS rows of one head (queries; keys for dk and dv) and walks the other side in chunks of at
 *   most CHUNK rows of nearly equal length, which it packs into private memory: as B of the scores (its columns are the
 *   chunk's rows) and as B of the sums (its columns are the head's). For each SIDE of its own rows:
 *
 *     forward       s = q k^T for all the chunk     p = softmax's weights    out += p v
 *     backward_q    s = q k^T, dp = dout v^T        ds = p (dp - delta)      dq += ds k
 *     backward_kv   s = k q^T, dp = v dout^T        p, ds                    dv += p dout, dk += ds q
 *
 *   A row of the scores is a row of tiles, so weights are stored as A of the second product as they are computed. The
 *   backward passes take PART columns of a chunk at a time, so that s and dp stay in the first-level cache.
 *
 * A chunk's length depends on the other side's length alone, and an element is one chain of sums in the order of the
 * other side: how rows are divided among work-items changes no bit. AMX takes and gives subnormal numbers as 0. */
#include "attention_amx.h"

#ifdef UNIT_AMX

/* ---- the weights ---- */

/* Which columns a block's rows see: [0, count) or, under causality, up to `diagonal` for row 0, one more for each row;
 * backward_kv, whose rows are keys: from `diagonal` on. hide: NULL or the mask. */
typedef struct view {
  int count, diagonal, causal;
  const int *hide;
} view;

/* The number of columns that row r sees, but for the mask's. */
inline int seen(view at, int r) { return at.causal ? min(at.count, at.diagonal + r) : at.count; }

HELPER int16 lanes(void) { return (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

/* Replaces what a row does not see among the sixteen columns from j on. */
HELPER float16 hide_from(float16 x, float instead, int j, int end, const int *hide) {
  if (j + 16 > end) x = lanes() < (int16)(end - j) ? x : (float16)(instead);
  if (hide) x = *(const int16 *)(hide + j) != (int16)(0) ? (float16)(instead) : x;
  return x;
}

HELPER float16 larger(float16 x, float16 y) { return x > y ? x : y; }

/* Turns scores into weights; updates the rows' maxima and sums. sums: NULL or what to scale to a new maximum. */
VECTORS void soften(float *scores, uint *weights, float *row_max, float *total, float *sums, int rows, int columns,
                    int size, float scale, const view *at) {
  for (int r = 0; r < rows; r++) {
    float *s = scores + r * 16;
    const int end = seen(*at, r);
    float16 most = (float16)(row_max[r]), other = most, sum = (float16)(0.0f), more = sum;
    for (int j = 0; j < columns; j += 32) {
      float16 *x = (float16 *)(s + j / 16 * BAND), *y = (float16 *)(s + j / 16 * BAND + BAND);
      *x = hide_from(*x * scale, NEVER, j, end, at->hide);
      *y = hide_from(*y * scale, NEVER, j + 16, end, at->hide);
      most = larger(*x, most), other = larger(*y, other);
    }
    const float highest = vec_max(larger(most, other)), base = highest == NEVER ? 0.0f : highest * LOG2_E;
    for (int j = 0; j < columns; j += 32) {
      const float16 x = *(const float16 *)(s + j / 16 * BAND), y = *(const float16 *)(s + j / 16 * BAND + BAND);
      const float16 p = exp2_of(fma(x, (float16)(LOG2_E), (float16)(-base))),
                    q = exp2_of(fma(y, (float16)(LOG2_E), (float16)(-base)));
      sum += p, more += q;
      PUT(weights + j / 32 * STEP_WORDS + r * 16, narrowed_pair(p, q));
    }
    const float less = exp2_of((float16)(fma(row_max[r], LOG2_E, -base))).s0;
    const float factor = highest == row_max[r] ? 1.0f : less;
    total[r] = total[r] * factor + vec_sum(sum + more);
    row_max[r] = highest;
    if (sums && factor != 1.0f)
      for (int j = 0; j < size; j += 16) *(float16 *)(sums + j / 16 * BAND + r * 16) *= factor;
  }
}

typedef struct statistics { /* of queries: highest score in powers of 2, 1 / sum, delta */
  const float *row_max2, *inv_sum, *delta;
} statistics;

/* ds of queries: from scores and dp, as A of the next product */
VECTORS void weigh_queries(const float *scores, const float *dscores, uint *weights, const statistics *of, int rows,
                           int columns, float scale2, const view *at) {
  for (int r = 0; r < rows; r++) {
    const int end = seen(*at, r);
    const float16 shift = (float16)(-of->row_max2[r]), inv_sum = (float16)(of->inv_sum[r]);
    for (int j = 0; j < columns; j += 32) {
      float16 ds[2];
      for (int h = 0; h < 2; h++) {
        const int i = (j / 16 + h) * BAND + r * 16;
        const float16 x = *(const float16 *)(scores + i), dp = *(const float16 *)(dscores + i);
        ds[h] = exp2_of(fma(x, (float16)(scale2), shift)) * inv_sum * (dp - of->delta[r]);
        ds[h] = hide_from(ds[h], 0.0f, j + 16 * h, end, at->hide);
      }
      PUT(weights + j / 32 * STEP_WORDS + r * 16, narrowed_pair(ds[0], ds[1]));
    }
  }
}

/* p and ds of keys; dscores NULL: p alone */
VECTORS void weigh_keys(const float *scores, const float *dscores, uint *weights, uint *dweights, const statistics *of,
                        int rows, int columns, float scale2, const view *at) {
  for (int r = 0; r < rows; r++) {
    const int begin = at->causal ? at->diagonal + r : 0;
    for (int j = 0; j < columns; j += 32) {
      float16 p[2], ds[2];
      for (int h = 0; h < 2; h++) {
        const int column = j + 16 * h, i = column / 16 * BAND + r * 16;
        const float16 shift = -*(const float16 *)(of->row_max2 + column);
        p[h] = exp2_of(fma(*(const float16 *)(scores + i), (float16)(scale2), shift)) *
               *(const float16 *)(of->inv_sum + column);
        if (dscores) ds[h] = p[h] * (*(const float16 *)(dscores + i) - *(const float16 *)(of->delta + column));
        if (column + 16 > at->count || column < begin) {
          const int16 inside = (lanes() < (int16)(at->count - column)) & (lanes() >= (int16)(begin - column));
          p[h] = inside ? p[h] : (float16)(0.0f);
          if (dscores) ds[h] = inside ? ds[h] : (float16)(0.0f);
        }
      }
      PUT(weights + j / 32 * STEP_WORDS + r * 16, narrowed_pair(p[0], p[1]));
      if (dscores) PUT(dweights + j / 32 * STEP_WORDS + r * 16, narrowed_pair(ds[0], ds[1]));
    }
  }
}

/* ---- results ---- */

inline void put_row_part(GLOBAL gemm_c *to, ushort16 v, int left) {
  if (left >= 16) {
    *(GLOBAL loose_ushort16 *)to = v;
    return;
  }
  ushort part[16] ALIGNED;
  *(ushort16 *)part = v;
  for (int i = 0; i < left; i++) to[i] = part[i];
}

/* `left` numbers of a row, at most 32. */
inline void put_row_pair(GLOBAL gemm_c *to, uint16 v, int left) {
  if (left >= 32) {
    *(GLOBAL loose_uint16 *)to = v;
    return;
  }
  put_row_part(to, as_ushort16(v.lo), left);
  if (left > 16) put_row_part(to + 16, as_ushort16(v.hi), left - 16);
}

/* Rows [first, first + rows) of out = sums times factor; residual: NULL or gets the rounding error. Hidden keys' rows
 * become 0. */
VECTORS void store(GLOBAL gemm_c *out, GLOBAL gemm_c *residual, int64 pitch, int rows, int size, const float *sums,
                   const float *factor, const int *hide) {
  for (int r = 0; r < rows; r++, out += pitch, residual += residual ? pitch : 0) {
    const float *row = sums + r / SIDE * BLOCK_SUMS + r % SIDE * 16;
    const bool hidden = hide && hide[r];
    for (int j = 0; j < size; j += 32) {
      float16 x = *(const float16 *)(row + j / 16 * BAND) * factor[r],
              y = *(const float16 *)(row + j / 16 * BAND + BAND) * factor[r];
      if (hidden) x = y = (float16)(0.0f);
      const uint16 v = narrowed_pair(x, y);
      put_row_pair(out + j, v, size - j);
      if (!residual) continue;
      x -= gemm_widened16(as_ushort16(v.lo)), y -= gemm_widened16(as_ushort16(v.hi));
      put_row_pair(residual + j, narrowed_pair(x, y), size - j);
    }
  }
}

/* ---- the kernels: GROUP(0) block of rows, GROUP(1) head, GROUP(2) sample ---- */

KERNEL_SIZED(1, 1, 1)
void attention_matrix_forward(GLOBAL gemm_c *out, GLOBAL float *row_maxima, GLOBAL float *inv_sums,
                              GLOBAL gemm_c *residual, GLOBAL const gemm_ab *q, GLOBAL const gemm_ab *k,
                              GLOBAL const gemm_ab *v, GLOBAL const int32 *hidden, float scale, int32 causal,
                              int32 heads, int32 size, int64 nq, int64 nk, int64 masked, int32 own) {
  uint keys[PANEL_WORDS] ALIGNED, values[PANEL_WORDS] ALIGNED, block[BLOCK_WORDS] ALIGNED;
  uint weights[SIDE * CHUNK / 2] ALIGNED;
  float s[SIDE * CHUNK] ALIGNED, sums[ROWS * WIDEST] ALIGNED, row_max[ROWS], total[ROWS];
  int hide[CHUNK] ALIGNED;
  const side queries = side_of(nq, heads, size), others = side_of(nk, heads, size);
  const int first = GROUP(0) * own, rows = min(own, queries.count - first), chunk = chunk_of(others.count);
  const int end = causal ? min(others.count, first + rows) : others.count, steps = steps_of(size);
  const int64 ahead = next_head(others, heads, size), ahead_own = next_head(queries, heads, size);
  const int blocks = (rows + SIDE - 1) / SIDE;
  view at;
  at.causal = causal, at.hide = hidden ? hide : 0;
  for (int r = 0; r < rows; r++) row_max[r] = NEVER, total[r] = 0.0f;
  tiles_on();
  for (int key = 0; key < end; key += chunk) {
    at.count = min(chunk, others.count - key);
    pack_columns(keys, k, others, key, at.count, size);
    pack_rows(values, v, others, key, at.count, size);
    if (hidden) {
      load_mask(hide, hidden, masked, key, at.count);
      erase_columns(keys, hide, at.count, size);
      erase_rows(values, hide, at.count, size);
    }
    for (int r = 0; r < rows; r += SIDE) {
      at.diagonal = first + r + 1 - key;
      const int some = min(SIDE, rows - r), columns = seen(at, some - 1);
      if (columns <= 0) continue;
      float *to = sums + r / SIDE * BLOCK_SUMS;
      if (key + chunk >= others.count) {
        fetch_next(k, v, others, ahead, r / SIDE, blocks, size);
        fetch_next(q, q, queries, ahead_own, r / SIDE, blocks, size);
        fetch(out, residual ? residual : out, queries, first + r, first + r + some, size);
      }
      pack_own(block, q, queries, first + r, size);
      scores(s, block, keys, steps, 0, columns);
      soften(s, weights, row_max + r, total + r, key ? to : 0, some, columns, size, scale, &at);
      add_weighted(to, weights, values, steps_of(at.count), 0, steps_of(columns), size, !key);
    }
  }
  tiles_off();
  for (int r = 0; r < rows; r++) {
    const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + first + r;
    total[r] = 1.0f / total[r];
    if (row_maxima) row_maxima[place] = row_max[r];
    if (inv_sums) inv_sums[place] = total[r];
  }
  const int64 place = queries.base + first * queries.pitch;
  store(out + place, residual ? residual + place : 0, queries.pitch, rows, size, sums, total, 0);
}

/* The statistics of queries [first, first + count), 0 beyond. */
inline void load_statistics(float *row_max2, float *inv_sum, float *less, GLOBAL const float *row_maxima,
                            GLOBAL const float *inv_sums, GLOBAL const float *delta, int32 heads, int64 nq, int first,
                            int count) {
  const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + first;
  for (int i = 0; i < (count + SIDE - 1) / SIDE * SIDE; i++) {
    row_max2[i] = i < count ? row_maxima[place + i] * LOG2_E : 0.0f;
    inv_sum[i] = i < count ? inv_sums[place + i] : 0.0f;
    less[i] = i < count ? delta[place + i] : 0.0f;
  }
}

KERNEL_SIZED(1, 1, 1)
void attention_matrix_backward_q(GLOBAL gemm_c *dq, GLOBAL const gemm_ab *q, GLOBAL const gemm_ab *k,
                                 GLOBAL const gemm_ab *v, GLOBAL const gemm_ab *dout, GLOBAL const float *row_maxima,
                                 GLOBAL const float *inv_sums, GLOBAL const float *delta, GLOBAL const int32 *hidden,
                                 float scale, int32 causal, int32 heads, int32 size, int64 nq, int64 nk, int64 masked,
                                 int32 own) {
  uint keys[PANEL_WORDS] ALIGNED, values[PANEL_WORDS] ALIGNED, key_rows[PANEL_WORDS] ALIGNED;
  uint block[BLOCK_WORDS] ALIGNED, dblock[BLOCK_WORDS] ALIGNED, weights[SIDE * PART / 2] ALIGNED;
  float s[SIDE * PART] ALIGNED, dp[SIDE * PART] ALIGNED, sums[ROWS * WIDEST] ALIGNED;
  float row_max2[ROWS] ALIGNED, inv_sum[ROWS] ALIGNED, less[ROWS] ALIGNED, factor[ROWS];
  int hide[CHUNK] ALIGNED;
  const side queries = side_of(nq, heads, size), others = side_of(nk, heads, size);
  const int first = GROUP(0) * own, rows = min(own, queries.count - first), chunk = chunk_of(others.count);
  const int end = causal ? min(others.count, first + rows) : others.count, steps = steps_of(size);
  const int64 ahead = next_head(others, heads, size), ahead_own = next_head(queries, heads, size);
  const int blocks = (rows + SIDE - 1) / SIDE;
  load_statistics(row_max2, inv_sum, less, row_maxima, inv_sums, delta, heads, nq, first, rows);
  for (int r = 0; r < rows; r++) factor[r] = scale;
  tiles_on();
  for (int key = 0; key < end; key += chunk) {
    const int count = min(chunk, others.count - key);
    pack_columns(keys, k, others, key, count, size);
    pack_columns(values, v, others, key, count, size);
    pack_rows(key_rows, k, others, key, count, size);
    if (hidden) {
      load_mask(hide, hidden, masked, key, count);
      erase_columns(keys, hide, count, size);
      erase_columns(values, hide, count, size);
      erase_rows(key_rows, hide, count, size);
    }
    for (int r = 0; r < rows; r += SIDE) {
      statistics of;
      of.row_max2 = row_max2 + r, of.inv_sum = inv_sum + r, of.delta = less + r;
      const int some = min(SIDE, rows - r);
      if (key + chunk >= others.count) {
        fetch_next(k, v, others, ahead, r / SIDE, blocks, size);
        fetch_next(q, dout, queries, ahead_own, r / SIDE, blocks, size);
        fetch(dq, dq, queries, first + r, first + r + some, size);
      }
      pack_own(block, q, queries, first + r, size);
      pack_own(dblock, dout, queries, first + r, size);
      for (int j = 0; j < count; j += PART) {
        view at;
        at.causal = causal, at.hide = hidden ? hide + j : 0;
        at.count = min(PART, count - j), at.diagonal = first + r + 1 - key - j;
        const int columns = seen(at, some - 1);
        if (columns <= 0) break;
        scores(s, block, keys, steps, j, j + columns);
        scores(dp, dblock, values, steps, j, j + columns);
        weigh_queries(s, dp, weights, &of, some, columns, scale * LOG2_E, &at);
        add_weighted(sums + r / SIDE * BLOCK_SUMS, weights, key_rows, steps_of(count), j / STEP, steps_of(columns),
                     size, !key && !j);
      }
    }
  }
  tiles_off();
  store(dq + queries.base + first * queries.pitch, 0, queries.pitch, rows, size, sums, factor, 0);
}

/* dk and dv; either may be NULL */
KERNEL_SIZED(1, 1, 1)
void attention_matrix_backward_kv(GLOBAL gemm_c *dk, GLOBAL gemm_c *dv, GLOBAL const gemm_ab *q,
                                  GLOBAL const gemm_ab *k, GLOBAL const gemm_ab *v, GLOBAL const gemm_ab *dout,
                                  GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                                  GLOBAL const float *delta, GLOBAL const int32 *hidden, float scale, int32 causal,
                                  int32 heads, int32 size, int64 nq, int64 nk, int64 masked, int32 own) {
  uint columns[PANEL_WORDS] ALIGNED, dcolumns[PANEL_WORDS] ALIGNED; /* of q and dout */
  uint panel[PANEL_WORDS] ALIGNED, dpanel[PANEL_WORDS] ALIGNED;     /* their rows */
  uint block[BLOCK_WORDS] ALIGNED, vblock[BLOCK_WORDS] ALIGNED;
  uint weights[SIDE * PART / 2] ALIGNED, dweights[SIDE * PART / 2] ALIGNED;
  float s[SIDE * PART] ALIGNED, dp[SIDE * PART] ALIGNED;
  float dk_sums[ROWS * WIDEST] ALIGNED, dv_sums[ROWS * WIDEST] ALIGNED;
  float row_max2[CHUNK] ALIGNED, inv_sum[CHUNK] ALIGNED, less[CHUNK] ALIGNED, factor[ROWS];
  int hide[ROWS] ALIGNED;
  bool begun[ROWS / SIDE]; /* there may be keys that no query sees */
  const side keys = side_of(nk, heads, size), others = side_of(nq, heads, size);
  const int first = GROUP(0) * own, rows = min(own, keys.count - first), chunk = chunk_of(others.count);
  const int steps = steps_of(size);
  const int64 ahead = next_head(others, heads, size), ahead_own = next_head(keys, heads, size);
  const int blocks = (rows + SIDE - 1) / SIDE;
  for (int b = 0; b < ROWS / SIDE; b++) begun[b] = false;
  tiles_on();
  for (int query = causal ? first / chunk * chunk : 0; query < others.count; query += chunk) {
    const int count = min(chunk, others.count - query);
    load_statistics(row_max2, inv_sum, less, row_maxima, inv_sums, delta, heads, nq, query, count);
    pack_columns(columns, q, others, query, count, size);
    if (dk) {
      pack_columns(dcolumns, dout, others, query, count, size);
      pack_rows(panel, q, others, query, count, size);
    }
    if (dv) pack_rows(dpanel, dout, others, query, count, size);
    for (int r = 0; r < rows; r += SIDE) {
      const int some = min(SIDE, rows - r), start = causal ? max(0, first + r - query) / PART * PART : 0;
      if (query + chunk >= others.count) {
        fetch_next(q, dout, others, ahead, r / SIDE, blocks, size);
        fetch_next(k, v, keys, ahead_own, r / SIDE, blocks, size);
        fetch(dk ? dk : dv, dv ? dv : dk, keys, first + r, first + r + some, size);
      }
      pack_own(block, k, keys, first + r, size);
      if (dk) pack_own(vblock, v, keys, first + r, size);
      for (int j = start; j < count; j += PART) {
        view at;
        statistics of;
        at.causal = causal, at.count = min(PART, count - j), at.diagonal = first + r - query - j, at.hide = 0;
        of.row_max2 = row_max2 + j, of.inv_sum = inv_sum + j, of.delta = less + j;
        scores(s, block, columns, steps, j, j + at.count);
        if (dk) scores(dp, vblock, dcolumns, steps, j, j + at.count);
        weigh_keys(s, dk ? dp : 0, weights, dweights, &of, some, at.count, scale * LOG2_E, &at);
        const int b = r / SIDE, all = steps_of(count), now = steps_of(at.count);
        if (dv) add_weighted(dv_sums + b * BLOCK_SUMS, weights, dpanel, all, j / STEP, now, size, !begun[b]);
        if (dk) add_weighted(dk_sums + b * BLOCK_SUMS, dweights, panel, all, j / STEP, now, size, !begun[b]);
        begun[b] = true;
      }
    }
  }
  tiles_off();
  for (int b = 0; b * SIDE < rows; b++)
    for (int i = 0; i < BLOCK_SUMS && !begun[b]; i++) dk_sums[b * BLOCK_SUMS + i] = dv_sums[b * BLOCK_SUMS + i] = 0.0f;
  if (hidden) load_mask(hide, hidden, masked, first, rows);
  for (int r = 0; r < rows; r++) factor[r] = scale;
  const int64 place = keys.base + first * keys.pitch;
  if (dk) store(dk + place, 0, keys.pitch, rows, size, dk_sums, factor, hidden ? hide : 0);
  for (int r = 0; r < rows; r++) factor[r] = 1.0f;
  if (dv) store(dv + place, 0, keys.pitch, rows, size, dv_sums, factor, hidden ? hide : 0);
}

#endif
