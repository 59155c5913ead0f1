/* Streaming attention, GPU shape (the tensors are those of attention_cpu.cl).
 *
 * A work-group of 16 x 16 owns ATG_ROWS rows of one head (queries; keys for dk and dv) and walks the other side in
 * tiles of ATG_COLUMNS. A work-item holds rows ATG_HIGH ty + i and columns tx + 16 j of the scores, and of the same
 * rows up to ATG_WIDE columns of the result; wider heads take two work-groups, which both compute the scores. Products
 * are split into chunks that pass through 8.5 KiB of local memory at most; the weights of a tile take another 16.3.
 *
 *   ATG_ROWS, ATG_COLUMNS   64, or 32 in a variant (tuned_attention.cl), which defines all three
 *   ATG_WIDE                128, or 96 or 64 in a variant for smaller heads
 *
 * Only ATG_COLUMNS changes bits, and only those of the forward pass.
 *
 * All loops over a work-item's own numbers are unrolled explicitly: otherwise some compilers keep them in memory. Loops
 * over other work-items' numbers are unrolled only by 4, so that the registers of two groups fit an NVIDIA device. */
#ifndef CPU_SHAPE

#include "functions.h"

#ifndef ATG_ROWS
#define ATG_ROWS    ATTENTION_GPU_TILE
#define ATG_COLUMNS ATTENTION_GPU_TILE
#define ATG_WIDE    ATTENTION_GPU_WIDE
#endif
#define ATG_SIDE         ATTENTION_GPU_SIDE
#define ATG_HIGH         (ATG_ROWS / ATG_SIDE)    /* rows of a work-item */
#define ATG_ACROSS       (ATG_COLUMNS / ATG_SIDE) /* columns of its scores */
#define ATG_PARTS        (ATG_WIDE / ATG_SIDE)    /* columns of its result */
#define ATG_CHUNK        16                /* depth of a chunk of scores; rows of a chunk of the second product */
#define ATG_PITCH(tile)  ((tile) + 2)      /* chunk (depth, rows), transposed */
#define ATG_ROW          (ATG_COLUMNS + 1) /* weights (ATG_ROWS, ATG_COLUMNS) */
#define ATG_LARGER(a, b) ((a) > (b) ? (a) : (b))
#define ATG_BOTH         (ATG_CHUNK * (ATG_PITCH(ATG_ROWS) + ATG_PITCH(ATG_COLUMNS))) /* chunks of both sides */
#define ATG_SECOND       (ATG_CHUNK * ATG_WIDE) /* a chunk of the second product; and below, a number per row and item */
#define ATG_LOCAL        ATG_LARGER(ATG_BOTH, ATG_LARGER(ATG_SECOND, ATG_ROWS *(ATG_SIDE + 1)))
#define ATG_NEVER        (-as_float(0x7f800000)) /* -infinity: a row of only this gives NaN, as in PyTorch */

typedef struct atg_side { /* the rows of one head of a (B, count, H, D) tensor */
  int64 base, pitch, count;
  int size;
  GLOBAL const int32 *hidden; /* of the sample's keys; NULL: queries, or every key is visible */
  int64 masked;
} atg_side;

inline atg_side atg_head(int64 count, int32 heads, int32 size) {
  atg_side s;
  s.pitch = (int64)heads * size;
  s.base = GROUP(2) * count * s.pitch + (int64)GROUP(1) * size;
  s.count = count;
  s.size = size;
  s.hidden = NULL;
  s.masked = 0;
  return s;
}

inline atg_side atg_keys(int64 count, int32 heads, int32 size, GLOBAL const int32 *hidden, int64 masked) {
  atg_side s = atg_head(count, heads, size);
  s.hidden = hidden + (hidden ? GROUP(2) * masked : 0);
  s.masked = masked;
  return s;
}

inline bool atg_hidden(atg_side s, int64 n) { return s.hidden && n < s.masked && s.hidden[n] != 0; }

inline void atg_load_chunk(LOCAL_PTR float *chunk, int tile, GLOBAL const ELEM *x, atg_side side, int64 first, int d) {
  for (int e = LOCAL_ID(1) * 16 + LOCAL_ID(0); e < tile * ATG_CHUNK; e += 256) {
    const int at = d + e % ATG_CHUNK;
    const int64 n = first + e / ATG_CHUNK;
    const bool inside = at < side.size && n < side.count;
    chunk[e % ATG_CHUNK * ATG_PITCH(tile) + e / ATG_CHUNK] = inside ? LD(x, side.base + n * side.pitch + at) : 0.0f;
  }
}

/* s[i][j] = row ATG_HIGH ty + i of x (from `row`) times row tx + 16 j of y (from `column`) */
inline void atg_scores(float s[ATG_HIGH][ATG_ACROSS], LOCAL_PTR float *chunks, GLOBAL const ELEM *x, atg_side rows,
                       int64 row, GLOBAL const ELEM *y, atg_side columns, int64 column) {
  LOCAL_PTR float *left = chunks, *right = chunks + ATG_CHUNK * ATG_PITCH(ATG_ROWS);
  UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_ACROSS; j++) s[i][j] = 0;
  for (int d = 0; d < rows.size; d += ATG_CHUNK) {
    BARRIER();
    atg_load_chunk(left, ATG_ROWS, x, rows, row, d);
    atg_load_chunk(right, ATG_COLUMNS, y, columns, column, d);
    BARRIER();
    float run[ATG_HIGH][ATG_ACROSS]; /* a chunk's sum: short chains, small rounding errors */
    UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_ACROSS; j++) run[i][j] = 0;
    for (int c = 0; c < ATG_CHUNK; c++) {
      float a[ATG_HIGH], b[ATG_ACROSS];
      UNROLL for (int i = 0; i < ATG_HIGH; i++) a[i] = left[c * ATG_PITCH(ATG_ROWS) + ATG_HIGH * LOCAL_ID(1) + i];
      UNROLL for (int j = 0; j < ATG_ACROSS; j++) b[j] = right[c * ATG_PITCH(ATG_COLUMNS) + LOCAL_ID(0) + 16 * j];
      UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_ACROSS; j++) run[i][j] =
          fma(a[i], b[j], run[i][j]);
    }
    UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_ACROSS; j++) s[i][j] += run[i][j];
  }
}

/* sums[i][j] += weights (ATG_ROWS, ATG_COLUMNS) times the tile of y from `column`, its columns
 * [from, from + ATG_WIDE). Hidden rows count as 0, whatever they hold. */
inline void atg_add_weighted(float sums[ATG_HIGH][ATG_PARTS], LOCAL_PTR const float *weights, LOCAL_PTR float *chunk,
                             GLOBAL const ELEM *y, atg_side columns, int64 column, int from) {
  const int wide = min(columns.size - from, ATG_WIDE);
  const int tile = (int)min((int64)ATG_COLUMNS, columns.count - column);
  for (int first = 0; first < tile; first += ATG_CHUNK) {
    BARRIER();
    for (int e = LOCAL_ID(1) * 16 + LOCAL_ID(0); e < ATG_CHUNK * ATG_WIDE; e += 256) {
      const int64 n = column + first + e / ATG_WIDE;
      const int at = e % ATG_WIDE;
      const bool inside = at < wide && n < columns.count && !atg_hidden(columns, n);
      chunk[e] = inside ? LD(y, columns.base + n * columns.pitch + from + at) : 0.0f;
    }
    BARRIER();
    for (int c = 0; c < ATG_CHUNK; c++) {
      float a[ATG_HIGH];
      UNROLL for (int i = 0; i < ATG_HIGH; i++) a[i] = weights[(ATG_HIGH * LOCAL_ID(1) + i) * ATG_ROW + first + c];
      UNROLL for (int j = 0; j < ATG_PARTS; j++) if (16 * j < wide) { /* uniform across the work-items */
        const float b = chunk[c * ATG_WIDE + LOCAL_ID(0) + 16 * j];
        UNROLL for (int i = 0; i < ATG_HIGH; i++) sums[i][j] = fma(a[i], b, sums[i][j]);
      }
    }
  }
}

/* Hidden rows of out become 0. residual: the rounding error of out; NULL: not wanted */
inline void atg_store(GLOBAL ELEM *out, GLOBAL ELEM *residual, atg_side rows, int64 row, int from,
                      const float sums[ATG_HIGH][ATG_PARTS], const float factor[ATG_HIGH]) {
  UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_PARTS; j++) {
    const int at = from + LOCAL_ID(0) + 16 * j;
    const int64 n = row + ATG_HIGH * LOCAL_ID(1) + i;
    if (at >= rows.size || n >= rows.count) continue;
    const int64 place = rows.base + n * rows.pitch + at;
    const float v = atg_hidden(rows, n) ? 0.0f : sums[i][j] * factor[i];
    ST(out, place, v);
    if (residual) ST(residual, place, v - LD(out, place));
  }
}

/* ---- forward ---- */

/* residual: the rounding error of out; NULL: not wanted, e.g. because nothing is rounded */
KERNEL_DENSE(16, 16, 1, 2)
void attention_forward(GLOBAL ELEM *out, GLOBAL float *row_maxima, GLOBAL float *inv_sums, GLOBAL ELEM *residual,
                       GLOBAL const ELEM *q, GLOBAL const ELEM *k, GLOBAL const ELEM *v, GLOBAL const int32 *hidden,
                       float scale, int32 causal, int32 heads, int32 size, int64 nq, int64 nk, int64 masked,
                       int32 parts) {
  LOCAL float weights[ATG_ROWS * ATG_ROW], chunks[ATG_LOCAL];
  const atg_side queries = atg_head(nq, heads, size), keys = atg_keys(nk, heads, size, hidden, masked);
  const int64 row = GROUP(0) / parts * ATG_ROWS;
  const int from = GROUP(0) % parts * ATG_WIDE, tx = LOCAL_ID(0), ty = LOCAL_ID(1);
  float sums[ATG_HIGH][ATG_PARTS], s[ATG_HIGH][ATG_ACROSS], row_max[ATG_HIGH], total[ATG_HIGH], factor[ATG_HIGH];
  UNROLL for (int i = 0; i < ATG_HIGH; i++) {
    row_max[i] = ATG_NEVER, total[i] = 0;
    UNROLL for (int j = 0; j < ATG_PARTS; j++) sums[i][j] = 0;
  }
  const int64 end = causal ? min(nk, row + ATG_ROWS) : nk;
  for (int64 key = 0; key < end; key += ATG_COLUMNS) {
    atg_scores(s, chunks, q, queries, row, k, keys, key);
    BARRIER();
    UNROLL for (int i = 0; i < ATG_HIGH; i++) { /* the maximum of each row, over 16 work-items */
      float highest = ATG_NEVER;
      UNROLL for (int j = 0; j < ATG_ACROSS; j++) {
        const int64 column = key + tx + 16 * j;
        const bool later = causal && column > row + ATG_HIGH * ty + i;
        s[i][j] = column >= nk || later || atg_hidden(keys, column) ? ATG_NEVER : scale * s[i][j];
        highest = fmax(highest, s[i][j]);
      }
      chunks[(ATG_HIGH * ty + i) * 17 + tx] = highest;
    }
    BARRIER();
    UNROLL for (int i = 0; i < ATG_HIGH; i++) {
      float highest = row_max[i];
      UNROLL_BY(4) for (int c = 0; c < 16; c++) highest = fmax(highest, chunks[(ATG_HIGH * ty + i) * 17 + c]);
      factor[i] = highest == row_max[i] ? 1.0f : float_exp(row_max[i] - highest); /* both -infinity: nothing so far */
      row_max[i] = highest;
    }
    BARRIER();
    UNROLL for (int i = 0; i < ATG_HIGH; i++) {
      float sum = 0;
      UNROLL for (int j = 0; j < ATG_ACROSS; j++) {
        const float p = s[i][j] == ATG_NEVER ? 0.0f : float_exp(s[i][j] - row_max[i]);
        weights[(ATG_HIGH * ty + i) * ATG_ROW + tx + 16 * j] = p;
        sum += p;
      }
      chunks[(ATG_HIGH * ty + i) * 17 + tx] = sum;
      UNROLL for (int j = 0; j < ATG_PARTS; j++) sums[i][j] *= factor[i];
    }
    BARRIER();
    UNROLL for (int i = 0; i < ATG_HIGH; i++) {
      float sum = 0;
      UNROLL_BY(4) for (int c = 0; c < 16; c++) sum += chunks[(ATG_HIGH * ty + i) * 17 + c];
      total[i] = total[i] * factor[i] + sum;
    }
    atg_add_weighted(sums, weights, chunks, v, keys, key, from);
  }
  UNROLL for (int i = 0; i < ATG_HIGH; i++) {
    const int64 n = row + ATG_HIGH * ty + i, at = ((int64)GROUP(2) * heads + GROUP(1)) * nq + n;
    factor[i] = 1.0f / total[i];
    if (from == 0 && tx == 0 && n < nq) {
      if (row_maxima) row_maxima[at] = row_max[i];
      if (inv_sums) inv_sums[at] = factor[i];
    }
  }
  atg_store(out, residual, queries, row, from, sums, factor);
}

/* ---- backward ---- p = exp(s - row_max) inv_sum, ds = p (dp - delta), dp = dout v^T
 *
 *   dq  rows are queries: s = q k, dp = dout v;  dq += ds  k      dv  rows are keys: s = k q;  dv += p^T dout
 *   dk  rows are keys:    s = k q, dp = v dout;  dk += ds^T q                                                        */

enum { ATG_DQ, ATG_DK, ATG_DV };

inline void atg_gradient(int what, GLOBAL ELEM *out, GLOBAL const ELEM *left, GLOBAL const ELEM *dleft,
                         GLOBAL const ELEM *right, GLOBAL const ELEM *dright, GLOBAL const float *row_maxima,
                         GLOBAL const float *inv_sums, GLOBAL const float *delta, float scale, int causal,
                         atg_side rows, atg_side columns, int64 row, int from, LOCAL_PTR float *weights,
                         LOCAL_PTR float *chunks) {
  const int tx = LOCAL_ID(0), ty = LOCAL_ID(1);
  float sums[ATG_HIGH][ATG_PARTS], s[ATG_HIGH][ATG_ACROSS], dp[ATG_HIGH][ATG_ACROSS], factor[ATG_HIGH];
  UNROLL for (int i = 0; i < ATG_HIGH; i++) {
    factor[i] = what == ATG_DV ? 1.0f : scale;
    UNROLL for (int j = 0; j < ATG_PARTS; j++) sums[i][j] = 0;
    UNROLL for (int j = 0; j < ATG_ACROSS; j++) dp[i][j] = 0;
  }
  const int64 first = causal && what != ATG_DQ ? row : 0;
  const int64 end = causal && what == ATG_DQ ? min(columns.count, row + ATG_ROWS) : columns.count;
  for (int64 column = first; column < end; column += ATG_COLUMNS) {
    atg_scores(s, chunks, left, rows, row, right, columns, column);
    if (what != ATG_DV) atg_scores(dp, chunks, dleft, rows, row, dright, columns, column);
    UNROLL for (int i = 0; i < ATG_HIGH; i++) UNROLL for (int j = 0; j < ATG_ACROSS; j++) {
      const int64 r = row + ATG_HIGH * ty + i, c = column + tx + 16 * j;
      const int64 query = what == ATG_DQ ? r : c, key = what == ATG_DQ ? c : r;
      float w = 0;
      if (r < rows.count && c < columns.count && !(causal && key > query) && !atg_hidden(columns, c)) {
        w = float_exp(scale * s[i][j] - row_maxima[query]) * inv_sums[query];
        if (what != ATG_DV) w *= dp[i][j] - delta[query];
      }
      weights[(ATG_HIGH * ty + i) * ATG_ROW + tx + 16 * j] = w; /* read after the barriers of atg_add_weighted */
    }
    atg_add_weighted(sums, weights, chunks, what == ATG_DV ? dright : right, columns, column, from);
  }
  atg_store(out, NULL, rows, row, from, sums, factor);
}

KERNEL_DENSE(16, 16, 1, 2)
void attention_backward_q(GLOBAL ELEM *dq, GLOBAL const ELEM *q, GLOBAL const ELEM *k, GLOBAL const ELEM *v,
                          GLOBAL const ELEM *dout, GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                          GLOBAL const float *delta, GLOBAL const int32 *hidden, float scale, int32 causal, int32 heads,
                          int32 size, int64 nq, int64 nk, int64 masked, int32 parts) {
  LOCAL float weights[ATG_ROWS * ATG_ROW], chunks[ATG_LOCAL];
  const int64 at = ((int64)GROUP(2) * heads + GROUP(1)) * nq, row = GROUP(0) / parts * ATG_ROWS;
  atg_gradient(ATG_DQ, dq, q, dout, k, v, row_maxima + at, inv_sums + at, delta + at, scale, causal,
               atg_head(nq, heads, size), atg_keys(nk, heads, size, hidden, masked), row, GROUP(0) % parts * ATG_WIDE,
               weights, chunks);
}

/* Even groups compute dk, odd ones dv; either may be NULL. */
KERNEL_DENSE(16, 16, 1, 2)
void attention_backward_kv(GLOBAL ELEM *dk, GLOBAL ELEM *dv, GLOBAL const ELEM *q, GLOBAL const ELEM *k,
                           GLOBAL const ELEM *v, GLOBAL const ELEM *dout, GLOBAL const float *row_maxima,
                           GLOBAL const float *inv_sums, GLOBAL const float *delta, GLOBAL const int32 *hidden,
                           float scale, int32 causal, int32 heads, int32 size, int64 nq, int64 nk, int64 masked,
                           int32 parts) {
  LOCAL float weights[ATG_ROWS * ATG_ROW], chunks[ATG_LOCAL];
  const int what = GROUP(0) % 2 ? ATG_DV : ATG_DK, part = GROUP(0) / 2;
  const int64 at = ((int64)GROUP(2) * heads + GROUP(1)) * nq, row = part / parts * ATG_ROWS;
  GLOBAL ELEM *out = what == ATG_DV ? dv : dk;
  if (!out) return; /* the whole group */
  atg_gradient(what, out, k, v, q, dout, row_maxima + at, inv_sums + at, delta + at, scale, causal,
               atg_keys(nk, heads, size, hidden, masked), atg_head(nq, heads, size), row, part % parts * ATG_WIDE,
               weights, chunks);
}

#endif
