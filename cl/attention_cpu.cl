/* Streaming attention, CPU shape: softmax(scale q k^T) v and its gradients, no N x N matrix.
 *
 * q, out, dout, dq (B, Nq, H, D); k, v, dk, dv (B, Nk, H, D); top, rest, delta (B, H, Nq). D <= 256. top is a row's
 * highest score and rest = 1 / sum exp(score - top): together they give the backward pass the same weights, while a
 * log-sum-exp alone would be rounded at the size of the scores.
 *
 * A work-item owns a block of one head: up to ATT_VECS vectors of queries (of keys for dk and dv), one a lane, so that
 * softmax's maxima and sums need no sum across lanes. Everything indexed by a lane is a panel, its transpose:
 *
 *       panel (D, vecs x 16)                 tile (ATT_ROWS, D)                    scores (ATT_ROWS, 2 x 16)
 *     Q^T, dO^T, O^T ... of the block      rows of K and V (Q and dO for         tile x panel; 2 vectors of the
 *                                          dk and dv), walked in order           panel at a time
 *
 * Both products have the shape C[i][lane] += A[i][k] B[k][lane], A one tile element broadcast: `tile_times_panel` makes
 * scores (i a tile row, k along D), `tile_into_panel` adds to a panel (i along D, k a tile row). Each keeps 8 rows x 2
 * vectors of C in registers. Tiles are packed into private memory because rows of a head are H * D apart: often a
 * multiple of 4096 bytes, which a cache's sets cannot hold. */
#ifdef CPU_SHAPE

#include "functions.h"

#define ATT_ROWS  64  /* rows of a tile */
#define ATT_PITCH 272 /* floats between a tile's rows: constant for the addressing, an odd number of cache lines */
#define ATT_VECS  6   /* most vectors of a block; ops/attention.c has the same numbers */
#define ATT_PANEL 768 /* vectors of a panel: vecs * D at most */
#define ATT_RUN   64
#define ATT_NEVER (-1e30f)

typedef struct att_block { /* where a work-item is */
  int64 batch, head, first; /* its first query or key */
  int64 pitch;              /* H * D */
  int size, vecs, valid;    /* D; vectors and lanes in use */
} att_block;

inline att_block att_here(int32 heads, int32 size, int64 count, int32 vecs) {
  att_block b;
  b.batch = GROUP(2);
  b.head = GROUP(1);
  b.first = (int64)GROUP(0) * vecs * VW;
  b.pitch = (int64)heads * size;
  b.size = size;
  b.valid = (int)min(count - b.first, (int64)vecs * VW);
  b.vecs = (b.valid + VW - 1) / VW;
  return b;
}

/* Offset of row n of the block's head in a (B, count, H, D) tensor. */
inline int64 att_row(att_block b, int64 count, int64 n) {
  return (b.batch * count + n) * b.pitch + b.head * b.size;
}

inline void att_transpose(vec *r) { /* 16 x 16, by four perfect shuffles */
  vec t[VW];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < VW / 2; i++) {
      t[2 * i] = vec_zip_low(r[i], r[i + VW / 2]);
      t[2 * i + 1] = vec_zip_high(r[i], r[i + VW / 2]);
    }
    for (int i = 0; i < VW / 2; i++) {
      r[2 * i] = vec_zip_low(t[i], t[i + VW / 2]);
      r[2 * i + 1] = vec_zip_high(t[i], t[i + VW / 2]);
    }
  }
}

/* panel = factor * the transpose of the block's rows of x; lanes past the end are 0 */
inline void att_load_panel(vec *panel, att_block b, GLOBAL const ELEM *x, int64 count, float factor) {
  x += att_row(b, count, b.first);
  for (int v = 0; v < b.vecs; v++)
    for (int d = 0; d < b.size; d += VW) {
      vec r[VW];
      for (int i = 0; i < VW; i++)
        r[i] = v * VW + i < b.valid ? factor * vec_load(x + (v * VW + i) * b.pitch, d, b.size) : VEC(0);
      att_transpose(r);
      for (int i = 0; i < VW && d + i < b.size; i++) panel[(d + i) * b.vecs + v] = r[i];
    }
}

/* The block's rows of x = the transpose of panel, vector v times factor[v]. */
inline void att_store_panel(GLOBAL ELEM *x, const vec *panel, att_block b, int64 count, const vec *factor) {
  x += att_row(b, count, b.first);
  for (int v = 0; v < b.vecs; v++)
    for (int d = 0; d < b.size; d += VW) {
      vec r[VW];
      for (int i = 0; i < VW; i++) r[i] = d + i < b.size ? panel[(d + i) * b.vecs + v] * factor[v] : VEC(0);
      att_transpose(r);
      for (int i = 0; i < VW && v * VW + i < b.valid; i++) vec_store(x + (v * VW + i) * b.pitch, d, b.size, r[i]);
    }
}

inline void att_clear_panel(vec *panel, att_block b) {
  const int n = (b.size + 7) / 8 * 8 * b.vecs; /* tile_into_panel works on 8 rows */
  for (int i = 0; i < n; i++) panel[i] = VEC(0);
}

/* tile = factor * rows [first, first + rows) of x, columns past D and rows up to a multiple of 8 zero */
inline void att_load_tile(float *tile, att_block b, GLOBAL const ELEM *x, int64 count, int64 first, int rows,
                          float factor) {
  x += att_row(b, count, first);
  for (int i = 0; i < (rows + 7) / 8 * 8; i++)
    for (int d = 0; d < b.size; d += VW)
      vstore16(i < rows ? factor * vec_load(x + i * b.pitch, d, b.size) : VEC(0), 0, tile + i * ATT_PITCH + d);
}

#define ATT_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* scores[i][0..1] = sum over d of tile[i][d] panel[d][v .. v+1]; `two` is whether there is a second vector. Summed in
 * runs of ATT_RUN, whose rounding errors stay smaller than those of one long chain. */
inline void tile_times_panel(vec *scores, const float *tile, const vec *panel, int rows, int size, int vecs, int v,
                             bool two) {
  for (int i = 0; i < rows; i += 8)
    for (int first = 0; first < size; first += ATT_RUN) {
      const float *a = tile + i * ATT_PITCH + first, *end = a + min(size - first, ATT_RUN);
      const vec *b = panel + first * vecs + v;
#define ATT_DECLARE(r) vec c##r = VEC(0), e##r = VEC(0);
      ATT_EACH_ROW(ATT_DECLARE)
      if (two)
        for (; a < end; a++, b += vecs) {
          const vec b0 = b[0], b1 = b[1];
#define ATT_STEP2(r)                                                                                                   \
  c##r = fma(VEC(a[r * ATT_PITCH]), b0, c##r);                                                                         \
  e##r = fma(VEC(a[r * ATT_PITCH]), b1, e##r);
          ATT_EACH_ROW(ATT_STEP2)
        }
      else
        for (; a < end; a++, b += vecs) {
          const vec b0 = b[0];
#define ATT_STEP1(r) c##r = fma(VEC(a[r * ATT_PITCH]), b0, c##r);
          ATT_EACH_ROW(ATT_STEP1)
        }
      vec *s = scores + 2 * i;
      if (first) {
#define ATT_MORE(r) c##r += s[2 * r], e##r += s[2 * r + 1];
        ATT_EACH_ROW(ATT_MORE)
      }
#define ATT_KEEP(r) s[2 * r] = c##r, s[2 * r + 1] = e##r;
      ATT_EACH_ROW(ATT_KEEP)
    }
}

/* panel[d][v .. v+1] = factor * panel + sum over rows i of tile[i][d] scores[i][0..1] */
inline void tile_into_panel(vec *panel, const float *tile, const vec *scores, int rows, int size, int vecs, int v,
                            bool two, vec factor0, vec factor1) {
  for (int d = 0; d < size; d += 8) {
    const float *a = tile + d;
    vec *p = panel + d * vecs + v;
#define ATT_LOAD(r) vec c##r = p[r * vecs] * factor0, e##r = VEC(0);
    ATT_EACH_ROW(ATT_LOAD)
    if (two) {
#define ATT_LOAD2(r) e##r = p[r * vecs + 1] * factor1;
      ATT_EACH_ROW(ATT_LOAD2)
      for (int i = 0; i < rows; i++, a += ATT_PITCH) {
        const vec b0 = scores[2 * i], b1 = scores[2 * i + 1];
#define ATT_ADD2(r)                                                                                                    \
  c##r = fma(VEC(a[r]), b0, c##r);                                                                                     \
  e##r = fma(VEC(a[r]), b1, e##r);
        ATT_EACH_ROW(ATT_ADD2)
      }
#define ATT_SAVE2(r) p[r * vecs + 1] = e##r;
      ATT_EACH_ROW(ATT_SAVE2)
    } else
      for (int i = 0; i < rows; i++, a += ATT_PITCH) {
        const vec b0 = scores[2 * i];
#define ATT_ADD1(r) c##r = fma(VEC(a[r]), b0, c##r);
        ATT_EACH_ROW(ATT_ADD1)
      }
#define ATT_SAVE(r) p[r * vecs] = c##r;
    ATT_EACH_ROW(ATT_SAVE)
  }
}

/* ---- forward ---- */

/* One vector of a tile's scores (column `v` of 2) becomes probabilities relative to the running maximum `top`; the
 * running sum follows; returns the factor for what was added up before. */
inline vec att_soften(vec *scores, int rows, vec *top, vec *sum) {
  vec highest = *top, total = VEC(0);
  for (int i = 0; i < rows; i++) highest = fmax(highest, scores[2 * i]);
  for (int i = 0; i < rows; i++) {
    scores[2 * i] = vec_exp(scores[2 * i] - highest);
    total += scores[2 * i];
  }
  const vec factor = vec_exp(*top - highest);
  *sum = *sum * factor + total;
  *top = highest;
  return factor;
}

/* lane's query sees tile row's key only if it is not later */
inline void att_hide_later_keys(vec *scores, int rows, int64 key, int64 query) {
  for (int i = 0; i < rows; i++)
    scores[2 * i] = vec_index() < (veci)((int)(key + i - query)) ? VEC(ATT_NEVER) : scores[2 * i];
}

KERNEL void attention_forward(GLOBAL ELEM *out, GLOBAL float *tops, GLOBAL float *rests, GLOBAL const ELEM *q,
                              GLOBAL const ELEM *k, GLOBAL const ELEM *v, float scale, int32 causal, int32 heads,
                              int32 size, int64 nq, int64 nk, int32 vecs) {
  const att_block b = att_here(heads, size, nq, vecs);
  vec queries[ATT_PANEL], sums[ATT_PANEL], scores[2 * ATT_ROWS], top[ATT_VECS], total[ATT_VECS];
  float keys[ATT_ROWS * ATT_PITCH], values[ATT_ROWS * ATT_PITCH];
  att_load_panel(queries, b, q, nq, scale);
  att_clear_panel(sums, b);
  for (int i = 0; i < b.vecs; i++) top[i] = VEC(ATT_NEVER), total[i] = VEC(0);
  const int64 end = causal ? min(nk, b.first + b.valid) : nk;
  for (int64 key = 0; key < end; key += ATT_ROWS) {
    const int rows = (int)min((int64)ATT_ROWS, end - key);
    att_load_tile(keys, b, k, nk, key, rows, 1);
    att_load_tile(values, b, v, nk, key, rows, 1);
    for (int i = 0; i < b.vecs; i += 2) {
      const bool two = i + 1 < b.vecs;
      vec factor[2] = {VEC(1), VEC(1)};
      tile_times_panel(scores, keys, queries, rows, size, b.vecs, i, two);
      for (int c = 0; c < 1 + two; c++) {
        const int64 query = b.first + (i + c) * VW;
        if (causal && key + rows > query) att_hide_later_keys(scores + c, rows, key, query);
        factor[c] = att_soften(scores + c, rows, &top[i + c], &total[i + c]);
      }
      tile_into_panel(sums, values, scores, rows, size, b.vecs, i, two, factor[0], factor[1]);
    }
  }
  const int64 at = (b.batch * heads + b.head) * nq;
  for (int i = 0; i < b.vecs; i++) {
    total[i] = VEC(1) / total[i];
    if (tops) vec_store(tops + at, b.first + i * VW, nq, top[i]);
    if (rests) vec_store(rests + at, b.first + i * VW, nq, total[i]);
  }
  att_store_panel(out, sums, b, nq, total);
}

/* ---- backward ---- p = exp(s - top) rest, ds = p (dp - delta), dp = dout v^T */

KERNEL void attention_backward_q(GLOBAL ELEM *dq, GLOBAL const ELEM *q, GLOBAL const ELEM *k, GLOBAL const ELEM *v,
                                 GLOBAL const ELEM *dout, GLOBAL const float *tops, GLOBAL const float *rests,
                                 GLOBAL const float *delta, float scale, int32 causal, int32 heads, int32 size,
                                 int64 nq, int64 nk, int32 vecs) {
  const att_block b = att_here(heads, size, nq, vecs);
  vec queries[ATT_PANEL], douts[ATT_PANEL], dqueries[ATT_PANEL], scores[2 * ATT_ROWS], dscores[2 * ATT_ROWS];
  vec top[ATT_VECS], rest[ATT_VECS], deltas[ATT_VECS], factor[ATT_VECS];
  float keys[ATT_ROWS * ATT_PITCH], values[ATT_ROWS * ATT_PITCH];
  att_load_panel(queries, b, q, nq, scale);
  att_load_panel(douts, b, dout, nq, 1);
  att_clear_panel(dqueries, b);
  const int64 at = (b.batch * heads + b.head) * nq;
  for (int i = 0; i < b.vecs; i++) {
    top[i] = vec_load(tops + at, b.first + i * VW, nq);
    rest[i] = vec_load(rests + at, b.first + i * VW, nq);
    deltas[i] = vec_load(delta + at, b.first + i * VW, nq);
    factor[i] = VEC(scale);
  }
  const int64 end = causal ? min(nk, b.first + b.valid) : nk;
  for (int64 key = 0; key < end; key += ATT_ROWS) {
    const int rows = (int)min((int64)ATT_ROWS, end - key);
    att_load_tile(keys, b, k, nk, key, rows, 1);
    att_load_tile(values, b, v, nk, key, rows, 1);
    for (int i = 0; i < b.vecs; i += 2) {
      const bool two = i + 1 < b.vecs;
      tile_times_panel(scores, keys, queries, rows, size, b.vecs, i, two);
      tile_times_panel(dscores, values, douts, rows, size, b.vecs, i, two);
      for (int c = 0; c < 1 + two; c++) {
        const int64 query = b.first + (i + c) * VW;
        if (causal && key + rows > query) att_hide_later_keys(scores + c, rows, key, query);
        for (int j = c; j < 2 * rows; j += 2)
          scores[j] = vec_exp(scores[j] - top[i + c]) * rest[i + c] * (dscores[j] - deltas[i + c]);
      }
      tile_into_panel(dqueries, keys, scores, rows, size, b.vecs, i, two, VEC(1), VEC(1));
    }
  }
  att_store_panel(dq, dqueries, b, nq, factor);
}

/* dk and dv; either may be NULL */
KERNEL void attention_backward_kv(GLOBAL ELEM *dk, GLOBAL ELEM *dv, GLOBAL const ELEM *q, GLOBAL const ELEM *k,
                                  GLOBAL const ELEM *v, GLOBAL const ELEM *dout, GLOBAL const float *tops,
                                  GLOBAL const float *rests, GLOBAL const float *delta, float scale, int32 causal,
                                  int32 heads, int32 size, int64 nq, int64 nk, int32 vecs) {
  const att_block b = att_here(heads, size, nk, vecs);
  vec keys[ATT_PANEL], values[ATT_PANEL], dkeys[ATT_PANEL], dvalues[ATT_PANEL];
  vec scores[2 * ATT_ROWS], dscores[2 * ATT_ROWS], factor[ATT_VECS];
  float queries[ATT_ROWS * ATT_PITCH], douts[ATT_ROWS * ATT_PITCH];
  att_load_panel(keys, b, k, nk, 1);
  att_load_panel(values, b, v, nk, 1);
  att_clear_panel(dkeys, b);
  att_clear_panel(dvalues, b);
  const int64 at = (b.batch * heads + b.head) * nq;
  tops += at;
  rests += at;
  delta += at;
  for (int64 query = causal ? b.first / ATT_ROWS * ATT_ROWS : 0; query < nq; query += ATT_ROWS) {
    const int rows = (int)min((int64)ATT_ROWS, nq - query);
    att_load_tile(queries, b, q, nq, query, rows, scale); /* the scores' bits are the forward pass's */
    att_load_tile(douts, b, dout, nq, query, rows, 1);
    for (int i = 0; i < b.vecs; i += 2) {
      const bool two = i + 1 < b.vecs;
      tile_times_panel(scores, queries, keys, rows, size, b.vecs, i, two);
      for (int c = 0; c < 1 + two; c++)
        for (int j = 0; j < rows; j++) {
          const int64 hidden = query + j - (b.first + (i + c) * VW); /* lanes past it hold later keys */
          vec p = vec_exp(scores[2 * j + c] - VEC(tops[query + j])) * VEC(rests[query + j]);
          if (causal && hidden < VW) p = vec_index() > (veci)((int)hidden) ? VEC(0) : p;
          scores[2 * j + c] = p;
        }
      if (dv) tile_into_panel(dvalues, douts, scores, rows, size, b.vecs, i, two, VEC(1), VEC(1));
      if (!dk) continue;
      tile_times_panel(dscores, douts, values, rows, size, b.vecs, i, two);
      for (int j = 0; j < 2 * rows; j++) scores[j] *= dscores[j] - VEC(delta[query + j / 2]);
      tile_into_panel(dkeys, queries, scores, rows, size, b.vecs, i, two, VEC(1), VEC(1));
    }
  }
  for (int i = 0; i < b.vecs; i++) factor[i] = VEC(1);
  if (dk) att_store_panel(dk, dkeys, b, nk, factor);
  if (dv) att_store_panel(dv, dvalues, b, nk, factor);
}

#endif
