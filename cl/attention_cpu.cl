/* Streaming attention, CPU shape: softmax(scale q k^T) v and its gradients, no N x N matrix.
 *
 * q, out, dout, dq (B, Nq, H, D); k, v, dk, dv (B, Nk, H, D); row_max, inv_sum, delta (B, H, Nq). D <= 512. row_max is
 * a row's highest score and inv_sum = 1 / sum exp(score - row_max): together they give the backward pass the same
 * weights, whereas a log-sum-exp alone would be rounded at the magnitude of the scores.
 *
 * hidden (B, masked), or NULL: no query sees a key where it is not 0; keys at and past `masked` are visible. A hidden
 * key's k and v may be anything, NaN included: they are replaced by 0, not multiplied by it.
 *
 * A work-item owns a block of one head: up to ATT_VECS vectors of queries (of keys for dk and dv), one per lane, so
 * that softmax's maxima and sums need no reduction across lanes. Data indexed by lane is stored transposed, as a panel:
 *
 *       panel (D, vecs x 16)                 tile (ATT_ROWS, D)                    scores (ATT_ROWS, 3 x 16)
 *     Q^T, dO^T, O^T ... of the block      rows of K and V (Q and dO for         tile x panel; up to 3 vectors of
 *                                          dk and dv), walked in order           the panel at a time
 *
 * Both products have the shape C[i][lane] += A[i][k] B[k][lane], A one tile element broadcast: `tile_times_panel` makes
 * scores (i a tile row, k along D), `tile_into_panel` adds to a panel (i along D, k a tile row). Each keeps 8 rows x 3
 * vectors of C in registers, or 4 rows x 1 vector if a vector is two of AVX2's 16 registers. Tiles are packed into
 * private memory because the row stride of a head is H * D: often a multiple of 4096 bytes, which causes cache set
 * conflicts. */
#ifdef CPU_SHAPE

#include "functions.h"

#ifndef ATT_ROWS
#define ATT_ROWS 64 /* rows of a tile, a multiple of 16; a variant (tuned_attention.cl) defines another number */
#endif
#define ATT_PITCH 272 /* row stride of a tile in floats: constant for the addressing, an odd number of cache lines */
#define ATT_WIDE  256 /* columns of a tile; wider heads: tiles of half the rows, the other half for the rest */
#define ATT_TILE  (ATT_ROWS * ATT_PITCH / VW)
#define ATT_FETCH (ATT_HIGH / 4) /* rows of the next tile prefetched per ATT_HIGH rows of this one */
#define ATT_VECS  ATTENTION_CPU_VECS
#define ATT_PANEL ATTENTION_CPU_PANEL
#define ATT_RUN   64
#define ATT_NEVER (-INFINITY) /* not finite: a row of -infinity only gives NaN, as in PyTorch */

typedef struct att_block {  /* a work-item's block */
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

/* Rows per tile for n rows in total: tiles of nearly equal size, multiples of eight. */
inline int att_tile_rows(int64 n, int size) {
  const int64 most = size > ATT_WIDE ? ATT_ROWS / 2 : ATT_ROWS, tiles = (n + most - 1) / most;
  return (int)((n + 8 * tiles - 1) / (8 * tiles) * 8);
}

/* Offset of column d in a tile's first row. */
inline int att_column(int d) { return d < ATT_WIDE ? d : ATT_ROWS / 2 * ATT_PITCH + d - ATT_WIDE; }

/* Offset of row n of the block's head in a (B, count, H, D) tensor. */
inline int64 att_row(att_block b, int64 count, int64 n) { return (b.batch * count + n) * b.pitch + b.head * b.size; }

typedef struct att_mask { /* of one sample */
  GLOBAL const int32 *hidden;
  int64 count; /* 0: every key is visible */
} att_mask;

inline att_mask att_mask_of(att_block b, GLOBAL const int32 *hidden, int64 masked) {
  att_mask m;
  m.hidden = hidden + (hidden ? b.batch * masked : 0);
  m.count = hidden ? masked : 0;
  return m;
}

/* For rows that are queries. */
inline att_mask att_no_mask(void) {
  att_mask m;
  m.hidden = NULL;
  m.count = 0;
  return m;
}

inline bool att_hidden(att_mask m, int64 key) { return key < m.count && m.hidden[key] != 0; }

/* Rows of up to four tensors that will be needed soon: prefetched a few at a time between the products, so that memory
 * access overlaps with arithmetic. The row stride of a head is too large for the hardware prefetcher. */
typedef struct att_ahead {
  GLOBAL const ELEM *a, *b, *c, *d; /* c and d NULL: none */
  int64 pitch;
  int size, rows;
} att_ahead;

inline void att_fetch(att_ahead *ahead, int rows) {
  for (; rows > 0 && ahead->rows > 0; rows--, ahead->rows--) {
    for (int i = 0; i < ahead->size; i += VW) {
      PREFETCH(ahead->a + i);
      PREFETCH(ahead->b + i);
    }
    ahead->a += ahead->pitch;
    ahead->b += ahead->pitch;
    if (!ahead->c) continue;
    for (int i = 0; i < ahead->size; i += VW) {
      PREFETCH(ahead->c + i);
      PREFETCH(ahead->d + i);
    }
    ahead->c += ahead->pitch;
    ahead->d += ahead->pitch;
  }
}

/* Rows [first, first + rows) of the block's head in x and y (B, count, H, D). */
inline att_ahead att_rows_ahead(att_block b, GLOBAL const ELEM *x, GLOBAL const ELEM *y, int64 count, int64 first,
                                int64 rows) {
  att_ahead ahead;
  ahead.a = x + att_row(b, count, first);
  ahead.b = y + att_row(b, count, first);
  ahead.c = ahead.d = NULL;
  ahead.pitch = b.pitch;
  ahead.size = b.size;
  ahead.rows = (int)min(rows, count - first);
  return ahead;
}

/* The block's results x and y, and the next work-item's first input: the next block's rows of z and w. */
inline att_ahead att_end_ahead(att_block b, GLOBAL const ELEM *x, GLOBAL const ELEM *y, GLOBAL const ELEM *z,
                               GLOBAL const ELEM *w, int64 count) {
  att_ahead ahead = att_rows_ahead(b, x, y, count, b.first, b.valid);
  const bool another = b.first + b.valid < count;
  if (!another && (b.head + 1) * b.size >= b.pitch) return ahead;
  const int64 next = another ? att_row(b, count, b.first + b.valid) : att_row(b, count, 0) + b.size;
  ahead.c = z + next;
  ahead.d = w + next;
  return ahead;
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

/* The block's rows of x = the transpose of panel, vector v times factor[v], 0 if hidden; residual gets the rounding
 * error of x. residual NULL: not wanted. */
inline void att_store_panel(GLOBAL ELEM *x, GLOBAL ELEM *residual, const vec *panel, att_block b, int64 count,
                            const vec *factor, att_mask mask) {
  x += att_row(b, count, b.first);
  if (residual) residual += att_row(b, count, b.first);
  for (int v = 0; v < b.vecs; v++)
    for (int d = 0; d < b.size; d += VW) {
      vec r[VW];
      for (int i = 0; i < VW; i++) r[i] = d + i < b.size ? panel[(d + i) * b.vecs + v] * factor[v] : VEC(0);
      att_transpose(r);
      for (int i = 0; i < VW && v * VW + i < b.valid; i++) {
        const int64 at = (v * VW + i) * b.pitch;
        if (att_hidden(mask, b.first + v * VW + i)) r[i] = VEC(0);
        vec_store(x + at, d, b.size, r[i]);
        if (residual) vec_store(residual + at, d, b.size, r[i] - vec_load(x + at, d, b.size));
      }
    }
}

inline void att_clear_panel(vec *panel, att_block b) {
  const int n = (b.size + 7) / 8 * 8 * b.vecs; /* tile_into_panel works on 8 rows */
  for (int i = 0; i < n; i++) panel[i] = VEC(0);
}

/* tile = factor * rows [first, first + rows) of x; zero: hidden rows, columns past D and rows up to a multiple of 8 */
inline void att_load_tile(vec *tile, att_block b, GLOBAL const ELEM *x, int64 count, int64 first, int rows,
                          float factor, att_mask mask) {
  x += att_row(b, count, first);
  for (int i = 0; i < (rows + 7) / 8 * 8; i++) {
    const bool filled = i < rows && !att_hidden(mask, first + i);
    for (int d = 0; d < b.size; d += VW)
      tile[(i * ATT_PITCH + att_column(d)) / VW] = filled ? factor * vec_load(x + i * b.pitch, d, b.size) : VEC(0);
  }
}

/* How many vectors, from v on, the products process together. */
inline int att_width(int vecs, int v) {
  const int left = vecs - v;
  return left == 4 ? 2 : min(left, 3);
}

/* rows of C that are kept in registers */
#ifdef NARROW_VECTORS
#define ATT_HIGH        4
#define ATT_EACH_ROW(X) X(0) X(1) X(2) X(3)
#else
#define ATT_HIGH        8
#define ATT_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#endif
#define ATT_SUM(r)  vec c##r = VEC(0);
#define ATT_SUMS(r) vec c##r = VEC(0), e##r = VEC(0), f##r = VEC(0);
/* row r of C += its tile element, A(r), times one, two or three vectors */
#define ATT_ADD1(r, A) c##r = fma(VEC(A(r)), b0, c##r);
#define ATT_ADD2(r, A)                                                                                                 \
  {                                                                                                                    \
    const vec x = VEC(A(r));                                                                                           \
    c##r = fma(x, b0, c##r);                                                                                           \
    e##r = fma(x, b1, e##r);                                                                                           \
  }
#define ATT_ADD3(r, A)                                                                                                 \
  {                                                                                                                    \
    const vec x = VEC(A(r));                                                                                           \
    c##r = fma(x, b0, c##r);                                                                                           \
    e##r = fma(x, b1, e##r);                                                                                           \
    f##r = fma(x, b2, f##r);                                                                                           \
  }

#define ATT_DOWN(r)   a[r * ATT_PITCH]
#define ATT_DOWN1(r)  ATT_ADD1(r, ATT_DOWN)
#define ATT_DOWN2(r)  ATT_ADD2(r, ATT_DOWN)
#define ATT_DOWN3(r)  ATT_ADD3(r, ATT_DOWN)
#define ATT_ALONG(r)  a[r]
#define ATT_ALONG1(r) ATT_ADD1(r, ATT_ALONG)
#define ATT_ALONG2(r) ATT_ADD2(r, ATT_ALONG)
#define ATT_ALONG3(r) ATT_ADD3(r, ATT_ALONG)

#ifdef NARROW_VECTORS
/* ATT_HIGH rows of scores from `depth` columns of a and rows of b, added to what is there if `more` */
inline void att_scores(vec *scores, const float *rows, const vec *panel, int depth, int vecs, int width, bool more) {
  for (int w = 0; w < width; w++) {
    const float *a = rows, *end = a + depth;
    vec *s = scores + w;
    ATT_EACH_ROW(ATT_SUM)
    for (const vec *b = panel + w; a < end; a++, b += vecs) {
      const vec b0 = b[0];
      ATT_EACH_ROW(ATT_DOWN1)
    }
    if (more) {
#define ATT_MORE(r) c##r += s[3 * r];
      ATT_EACH_ROW(ATT_MORE)
    }
#define ATT_KEEP(r) s[3 * r] = c##r;
    ATT_EACH_ROW(ATT_KEEP)
  }
}

/* ATT_HIGH rows of a panel: times their factor, plus `rows` rows of a tile times scores */
inline void att_sums(vec *panel, const float *tile, const vec *scores, int rows, int vecs, int width,
                     const vec *factor) {
  for (int w = 0; w < width; w++) {
    const float *a = tile;
    const vec *s = scores + w, *end = s + 3 * rows;
    vec *p = panel + w;
    ATT_EACH_ROW(ATT_SUM)
#define ATT_LOAD(r) c##r = p[r * vecs] * factor[w];
    ATT_EACH_ROW(ATT_LOAD)
    for (; s < end; s += 3, a += ATT_PITCH) {
      const vec b0 = s[0];
      ATT_EACH_ROW(ATT_ALONG1)
    }
#define ATT_SAVE(r) p[r * vecs] = c##r;
    ATT_EACH_ROW(ATT_SAVE)
  }
}
#else
/* The same with all vectors at a time. */
inline void att_scores(vec *s, const float *a, const vec *b, int depth, int vecs, int width, bool more) {
  const float *end = a + depth;
  ATT_EACH_ROW(ATT_SUMS)
  if (width == 3)
    for (; a < end; a++, b += vecs) {
      const vec b0 = b[0], b1 = b[1], b2 = b[2];
      ATT_EACH_ROW(ATT_DOWN3)
    }
  else if (width == 2)
    for (; a < end; a++, b += vecs) {
      const vec b0 = b[0], b1 = b[1];
      ATT_EACH_ROW(ATT_DOWN2)
    }
  else
    for (; a < end; a++, b += vecs) {
      const vec b0 = b[0];
      ATT_EACH_ROW(ATT_DOWN1)
    }
  if (more) {
#define ATT_MORE(r)  c##r += s[3 * r], e##r += s[3 * r + 1], f##r += s[3 * r + 2];
    ATT_EACH_ROW(ATT_MORE)
  }
#define ATT_KEEP(r)  s[3 * r] = c##r, s[3 * r + 1] = e##r, s[3 * r + 2] = f##r;
  ATT_EACH_ROW(ATT_KEEP)
}

inline void att_sums(vec *p, const float *a, const vec *s, int rows, int vecs, int width, const vec *factor) {
  const vec *end = s + 3 * rows;
  ATT_EACH_ROW(ATT_SUMS)
#define ATT_LOAD1(r) c##r = p[r * vecs] * factor[0];
#define ATT_LOAD2(r) e##r = p[r * vecs + 1] * factor[1];
#define ATT_LOAD3(r) f##r = p[r * vecs + 2] * factor[2];
  ATT_EACH_ROW(ATT_LOAD1)
  if (width == 3) {
    ATT_EACH_ROW(ATT_LOAD2)
    ATT_EACH_ROW(ATT_LOAD3)
    for (; s < end; s += 3, a += ATT_PITCH) {
      const vec b0 = s[0], b1 = s[1], b2 = s[2];
      ATT_EACH_ROW(ATT_ALONG3)
    }
  } else if (width == 2) {
    ATT_EACH_ROW(ATT_LOAD2)
    for (; s < end; s += 3, a += ATT_PITCH) {
      const vec b0 = s[0], b1 = s[1];
      ATT_EACH_ROW(ATT_ALONG2)
    }
  } else
    for (; s < end; s += 3, a += ATT_PITCH) {
      const vec b0 = s[0];
      ATT_EACH_ROW(ATT_ALONG1)
    }
#define ATT_SAVE1(r) p[r * vecs] = c##r;
#define ATT_SAVE2(r) p[r * vecs + 1] = e##r;
#define ATT_SAVE3(r) p[r * vecs + 2] = f##r;
  ATT_EACH_ROW(ATT_SAVE1)
  if (width > 1) {
    ATT_EACH_ROW(ATT_SAVE2)
  }
  if (width > 2) {
    ATT_EACH_ROW(ATT_SAVE3)
  }
}
#endif

/* scores[i][0 .. width) = sum over d of tile[i][d] panel[d][v .. v + width). Summed in runs of ATT_RUN, whose rounding
 * errors are smaller than those of one long chain. */
inline void tile_times_panel(vec *scores, const vec *tile, const vec *panel, int rows, int size, int vecs, int v,
                             int width, att_ahead *ahead) {
  for (int i = 0; i < rows; i += ATT_HIGH) {
    att_fetch(ahead, ATT_FETCH);
    for (int first = 0; first < size; first += ATT_RUN)
      att_scores(scores + 3 * i, (const float *)tile + i * ATT_PITCH + att_column(first), panel + first * vecs + v,
                 min(size - first, ATT_RUN), vecs, width, first != 0);
  }
}

/* panel[d][v .. v + width) = factor * panel + sum over rows i of tile[i][d] scores[i][0 .. width) */
inline void tile_into_panel(vec *panel, const vec *tile, const vec *scores, int rows, int size, int vecs, int v,
                            int width, const vec *factor, att_ahead *ahead) {
  for (int d = 0; d < size; d += ATT_HIGH) {
    att_fetch(ahead, ATT_FETCH);
    att_sums(panel + d * vecs + v, (const float *)tile + att_column(d), scores, rows, vecs, width, factor);
  }
}

/* exp(x) for x <= 0 (or slightly above): one scaling instead of vec_exp's two, because smaller results may be replaced
 * by exp(-87). NaN propagates. */
inline vec att_exp(vec x) {
  veci n;
  x = VEC(-87.0f) > x ? VEC(-87.0f) : x;
  const vec p = vec_reduced_expm1(x, &n) + 1.0f;
  return p * vec_power_of_two(n);
}

/* 0 instead of a subnormal number: processors take a hundred times as long to multiply one. A hidden key's ds is one:
 * its weight is exp(-87). */
inline vec att_normal(vec x) { return fabs(x) < VEC(0x1p-126f) ? VEC(0) : x; }

/* ---- forward ---- */

/* Turns one vector of a tile's scores (column of 3) into probabilities relative to the running maximum `row_max` and
 * updates the running sum; returns the factor for the sums so far. */
inline vec att_soften(vec *scores, int rows, vec *row_max, vec *sum) {
  vec highest = *row_max, total = VEC(0);
  for (int i = 0; i < rows; i++) highest = fmax(highest, scores[3 * i]);
  const vec shift = highest == VEC(ATT_NEVER) ? VEC(0) : highest; /* a lane with only -infinity so far */
  for (int i = 0; i < rows; i++) {
    scores[3 * i] = att_exp(scores[3 * i] - shift);
    total += scores[3 * i];
  }
  const vec factor = att_exp(*row_max - shift);
  *sum = *sum * factor + total;
  *row_max = highest;
  return factor;
}

/* a lane's query sees a tile row's key only if the key is not later */
inline void att_hide_later_keys(vec *scores, int rows, int64 key, int64 query) {
  for (int i = 0; i < rows; i++)
    scores[3 * i] = vec_index() < (veci)((int)(key + i - query)) ? VEC(ATT_NEVER) : scores[3 * i];
}

/* no lane's query sees a tile row's key that the mask hides */
inline void att_hide_masked_keys(vec *scores, int rows, int64 key, att_mask mask) {
  for (int i = 0; i < rows && key + i < mask.count; i++)
    if (att_hidden(mask, key + i)) scores[3 * i] = VEC(ATT_NEVER);
}

/* residual: the rounding error of out; NULL: not wanted, e.g. because nothing is rounded */
KERNEL void attention_forward(GLOBAL ELEM *out, GLOBAL float *row_maxima, GLOBAL float *inv_sums, GLOBAL ELEM *residual,
                              GLOBAL const ELEM *q, GLOBAL const ELEM *k, GLOBAL const ELEM *v,
                              GLOBAL const int32 *hidden, float scale, int32 causal, int32 heads, int32 size, int64 nq,
                              int64 nk, int64 masked, int32 vecs) {
  const att_block b = att_here(heads, size, nq, vecs);
  const att_mask mask = att_mask_of(b, hidden, masked);
  vec queries[ATT_PANEL], sums[ATT_PANEL], scores[3 * ATT_ROWS], row_max[ATT_VECS], total[ATT_VECS];
  vec keys[ATT_TILE], values[ATT_TILE];
  const int64 end = causal ? min(nk, b.first + b.valid) : nk;
  const int tile = att_tile_rows(end, size);
  att_ahead ahead = att_rows_ahead(b, q, q, nq, b.first, b.valid);
  att_fetch(&ahead, b.valid);
  ahead = att_rows_ahead(b, k, v, nk, 0, tile);
  att_fetch(&ahead, tile);
  att_load_panel(queries, b, q, nq, scale);
  att_clear_panel(sums, b);
  for (int i = 0; i < b.vecs; i++) row_max[i] = VEC(ATT_NEVER), total[i] = VEC(0);
  for (int64 key = 0; key < end; key += tile) {
    const int rows = (int)min((int64)tile, end - key);
    att_load_tile(keys, b, k, nk, key, rows, 1, mask);
    att_load_tile(values, b, v, nk, key, rows, 1, mask);
    ahead = key + tile < end ? att_rows_ahead(b, k, v, nk, key + tile, tile) : att_end_ahead(b, out, out, q, q, nq);
    for (int i = 0, width; i < b.vecs; i += width) {
      width = att_width(b.vecs, i);
      vec factor[3];
      tile_times_panel(scores, keys, queries, rows, size, b.vecs, i, width, &ahead);
      for (int c = 0; c < width; c++) {
        const int64 query = b.first + (i + c) * VW;
        if (causal && key + rows > query) att_hide_later_keys(scores + c, rows, key, query);
        att_hide_masked_keys(scores + c, rows, key, mask);
        factor[c] = att_soften(scores + c, rows, &row_max[i + c], &total[i + c]);
      }
      tile_into_panel(sums, values, scores, rows, size, b.vecs, i, width, factor, &ahead);
    }
  }
  const int64 at = (b.batch * heads + b.head) * nq;
  for (int i = 0; i < b.vecs; i++) {
    total[i] = (row_max[i] == VEC(ATT_NEVER) ? VEC(NAN) : VEC(1)) / total[i];
    if (row_maxima) vec_store(row_maxima + at, b.first + i * VW, nq, row_max[i]);
    if (inv_sums) vec_store(inv_sums + at, b.first + i * VW, nq, total[i]);
  }
  att_store_panel(out, residual, sums, b, nq, total, att_no_mask());
}

/* ---- backward ---- p = exp(s - row_max) inv_sum, ds = p (dp - delta), dp = dout v^T */

KERNEL void attention_backward_q(GLOBAL ELEM *dq, GLOBAL const ELEM *q, GLOBAL const ELEM *k, GLOBAL const ELEM *v,
                                 GLOBAL const ELEM *dout, GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                                 GLOBAL const float *delta, GLOBAL const int32 *hidden, float scale, int32 causal,
                                 int32 heads, int32 size, int64 nq, int64 nk, int64 masked, int32 vecs) {
  const att_block b = att_here(heads, size, nq, vecs);
  const att_mask mask = att_mask_of(b, hidden, masked);
  vec queries[ATT_PANEL], douts[ATT_PANEL], dqueries[ATT_PANEL], scores[3 * ATT_ROWS], dscores[3 * ATT_ROWS];
  vec row_max[ATT_VECS], inv_sum[ATT_VECS], deltas[ATT_VECS], factor[ATT_VECS], one[3];
  vec keys[ATT_TILE], values[ATT_TILE];
  const int64 end = causal ? min(nk, b.first + b.valid) : nk;
  const int tile = att_tile_rows(end, size);
  att_ahead ahead = att_rows_ahead(b, q, dout, nq, b.first, b.valid);
  att_fetch(&ahead, b.valid);
  ahead = att_rows_ahead(b, k, v, nk, 0, tile);
  att_fetch(&ahead, tile);
  att_load_panel(queries, b, q, nq, scale);
  att_load_panel(douts, b, dout, nq, 1);
  att_clear_panel(dqueries, b);
  const int64 at = (b.batch * heads + b.head) * nq;
  for (int i = 0; i < b.vecs; i++) {
    row_max[i] = vec_load(row_maxima + at, b.first + i * VW, nq);
    inv_sum[i] = vec_load(inv_sums + at, b.first + i * VW, nq);
    deltas[i] = vec_load(delta + at, b.first + i * VW, nq);
    factor[i] = VEC(scale);
  }
  for (int i = 0; i < 3; i++) one[i] = VEC(1);
  for (int64 key = 0; key < end; key += tile) {
    const int rows = (int)min((int64)tile, end - key);
    att_load_tile(keys, b, k, nk, key, rows, 1, mask);
    att_load_tile(values, b, v, nk, key, rows, 1, mask);
    ahead = key + tile < end ? att_rows_ahead(b, k, v, nk, key + tile, tile) : att_end_ahead(b, dq, dq, q, dout, nq);
    for (int i = 0, width; i < b.vecs; i += width) {
      width = att_width(b.vecs, i);
      tile_times_panel(scores, keys, queries, rows, size, b.vecs, i, width, &ahead);
      tile_times_panel(dscores, values, douts, rows, size, b.vecs, i, width, &ahead);
      for (int c = 0; c < width; c++) {
        const int64 query = b.first + (i + c) * VW;
        if (causal && key + rows > query) att_hide_later_keys(scores + c, rows, key, query);
        att_hide_masked_keys(scores + c, rows, key, mask);
        for (int j = c; j < 3 * rows; j += 3)
          scores[j] = att_normal(att_exp(scores[j] - row_max[i + c]) * inv_sum[i + c] * (dscores[j] - deltas[i + c]));
      }
      tile_into_panel(dqueries, keys, scores, rows, size, b.vecs, i, width, one, &ahead);
    }
  }
  att_store_panel(dq, NULL, dqueries, b, nq, factor, att_no_mask());
}

/* dk and dv; either may be NULL */
KERNEL void attention_backward_kv(GLOBAL ELEM *dk, GLOBAL ELEM *dv, GLOBAL const ELEM *q, GLOBAL const ELEM *k,
                                  GLOBAL const ELEM *v, GLOBAL const ELEM *dout, GLOBAL const float *row_maxima,
                                  GLOBAL const float *inv_sums, GLOBAL const float *delta, GLOBAL const int32 *hidden,
                                  float scale, int32 causal, int32 heads, int32 size, int64 nq, int64 nk, int64 masked,
                                  int32 vecs) {
  const att_block b = att_here(heads, size, nk, vecs);
  const att_mask mask = att_mask_of(b, hidden, masked);
  vec keys[ATT_PANEL], values[ATT_PANEL], dkeys[ATT_PANEL], dvalues[ATT_PANEL];
  vec scores[3 * ATT_ROWS], dscores[3 * ATT_ROWS], one[ATT_VECS];
  vec queries[ATT_TILE], douts[ATT_TILE];
  const int tile = att_tile_rows(nq, size);
  const int64 start = causal ? b.first / tile * tile : 0; /* earlier queries see none of the block's keys */
  att_ahead ahead = att_rows_ahead(b, k, v, nk, b.first, b.valid);
  att_fetch(&ahead, b.valid);
  ahead = att_rows_ahead(b, q, dout, nq, start, tile);
  att_fetch(&ahead, tile);
  att_load_panel(keys, b, k, nk, 1);
  att_load_panel(values, b, v, nk, 1);
  for (int i = 0; i < ATT_VECS; i++) one[i] = VEC(1);
  att_clear_panel(dkeys, b);
  att_clear_panel(dvalues, b);
  const int64 at = (b.batch * heads + b.head) * nq;
  row_maxima += at;
  inv_sums += at;
  delta += at;
  for (int64 query = start; query < nq; query += tile) {
    const int rows = (int)min((int64)tile, nq - query);
    att_load_tile(queries, b, q, nq, query, rows, scale, att_no_mask()); /* the scores have the forward pass's bits */
    att_load_tile(douts, b, dout, nq, query, rows, 1, att_no_mask());
    ahead = query + tile < nq ? att_rows_ahead(b, q, dout, nq, query + tile, tile)
                              : att_end_ahead(b, dk ? dk : dv, dv ? dv : dk, k, v, nk);
    for (int i = 0, width; i < b.vecs; i += width) {
      width = att_width(b.vecs, i);
      tile_times_panel(scores, queries, keys, rows, size, b.vecs, i, width, &ahead);
      for (int c = 0; c < width; c++)
        for (int j = 0; j < rows; j++) {
          const int64 hidden = query + j - (b.first + (i + c) * VW); /* lanes beyond it hold later keys */
          vec p = att_exp(scores[3 * j + c] - VEC(row_maxima[query + j])) * VEC(inv_sums[query + j]);
          if (causal && hidden < VW) p = vec_index() > (veci)((int)hidden) ? VEC(0) : p;
          scores[3 * j + c] = p;
        }
      if (dv) tile_into_panel(dvalues, douts, scores, rows, size, b.vecs, i, width, one, &ahead);
      if (!dk) continue;
      tile_times_panel(dscores, douts, values, rows, size, b.vecs, i, width, &ahead);
      for (int j = 0; j < rows; j++)
        for (int c = 0; c < width; c++)
          scores[3 * j + c] = att_normal(scores[3 * j + c] * (dscores[3 * j + c] - VEC(delta[query + j])));
      tile_into_panel(dkeys, queries, scores, rows, size, b.vecs, i, width, one, &ahead);
    }
  }
  if (dk) att_store_panel(dk, NULL, dkeys, b, nk, one, mask); /* lanes are independent: only hidden ones can be NaN */
  if (dv) att_store_panel(dv, NULL, dvalues, b, nk, one, mask);
}

#endif
