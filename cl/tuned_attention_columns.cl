/* Streaming attention on matrix units whose C has columns where B has them: tensors, arguments and results are those of
 * tuned_attention_matrix.cl, and so is what is rounded.
 *
 *   Scores are computed transposed: A is a tile of the other side, B the wave's own rows (queries; keys for dk and dv).
 *   So a lane has scores of one row of its own, of which it takes the maximum and the sum itself, and they are where B
 *   of the second product needs them: result^T += tile^T weights^T. A work-group of WAVES waves owns ROWS rows of one
 *   head; each wave owns UN MI of them and keeps their fragments in registers throughout, or in local memory (KEPT).
 * The group walks the other side in tiles of COLUMNS rows: while the units work on one tile, each work-item loads its
 * blocks of the next, two rows of 8 numbers, into registers. It keeps them in local memory as they are, transposed, or
 * both, whichever the products read. No two groups write the same place, and sums have a fixed order.
 *
 *   PART      0: forward, 1: backward_q, 2: backward_kv
 *   SIZE      the head's, a multiple of 8; products along it go in steps of 16, the last zero-padded
 *   MI        units per wave, side by side: each fragment read from local memory is used in MI products
 *   COLUMNS   a multiple of 16
 *   MASKED    1: `hidden` excludes keys. Otherwise it is not read
 *   ALONE     1, backward_kv: a group computes dk or dv, one after the other along dimension 0, because registers do
 *             not suffice for the sums of both
 *
 * Banks of local memory: rows are an odd number of 16 bytes apart, transposed rows an odd number of words. A
 * work-item's blocks are chosen so that 32 of them lie in 32 banks when they are transposed. With UNIT_BLOCKS, A of a
 * step lies in 256 successive bytes; the next A is 8 (transposed: 4) banks further, so that the 4 pieces which
 * neighbours store lie in different banks, too. */
#define WAVE_ROWS (MI * UN)
#include "attention_matrix_tile.h"

#ifdef UNIT_MMA
#error "not a unit of this kernel: see attention_matrix_units.h"
#endif

#define HIGH  (COLUMNS / UM)    /* units across a tile's scores */
#define WIDE  (STEPS * C_UNITS) /* units across a result */
#define PAIRS (COLUMNS / 2)     /* pairs of a tile's rows */
#ifdef UNIT_BLOCKS              /* words of a transposed tile; from one number of a head to the next */
#define TURN                   8
#define TURNED_BLOCK           68 /* from one A to the next */
#define TURNED                 (COLUMNS / 16 * 2 * STEPS * TURNED_BLOCK)
#define TURNED_AT(piece, pair) (((pair) / 8 * 2 * STEPS + (piece)) * TURNED_BLOCK + (pair) % 8)
#else
#define TURN                   (PAIRS + 1)
#define TURNED                 (16 * STEPS * TURN)
#define TURNED_AT(piece, pair) (8 * (piece)*TURN + (pair))
#endif
#define SLOTS  (PAIRS * ((PIECES + 3) / 4) * 4) /* blocks of a tile, some of which lie beyond its rows' ends */
#define BLOCKS ((SLOTS + ITEMS - 1) / ITEMS)    /* of a work-item */
#ifndef ALONE
#define ALONE 0
#endif
/* Whether the wave's own rows are read from local memory: where a lane holds a whole column of B, and even of C,
 * registers do not suffice for the gradients of large heads, and even of all. */
#ifdef UNIT_BLOCKS
#define KEPT (SIZE > 80 || PART == 2)
#else
#define KEPT (B_WORDS == 8 && PART > 0 && SIZE > 80)
#endif

/* Whether the next tile is loaded ahead, while the units work. Otherwise it is loaded just before, for want of
 * registers; then other waves work meanwhile. */
#ifdef UNIT_BLOCKS
#define PREFETCH (SIZE <= 64)
#else
#define PREFETCH 1
#endif
#define BOTH            (PREFETCH || !MASKED) /* whether dq's kernel has blocks of both tensors in registers at once */

#define PLACE           (KEPT ? ROWS * PITCH : 1) /* pieces of a group's own rows */
#define OWN_PLACE(item) (KEPT ? unit_wave(item) * WAVE_ROWS * PITCH : 0)

/* At most 256 registers: with more, the compiler keeps sums in the matrix unit's own and moves them in every tile. */
#if defined(UNIT_MFMA) && !defined(UNIT_EMULATED)
#define RESIDENT __attribute__((amdgpu_waves_per_eu(2)))
#else
#define RESIDENT
#endif
#define ATTENTION_KERNEL RESIDENT UNIT_SUB_GROUP KERNEL_SIZED(ITEMS, 1, 1)

/* ---- tiles ---- */

typedef struct block { /* 8 numbers of two adjacent rows */
  uint4 row[2];
  bool inside[2];
} block;

/* Which block a work-item has: its pair of rows, and its 8 numbers of them. Four pieces of eight pairs are adjacent. */
inline int block_pair(int e) { return e / 4 % PAIRS; }
inline int block_piece(int e) { return e % 4 + e / (4 * PAIRS) * 4; }
inline bool is_block(int e) { return !(PIECES % 4 || SLOTS % ITEMS) || block_piece(e) < PIECES; }

/* Loads a work-item's blocks of the tile from row `first` on; those beyond the last row, and of hidden keys, as the
 * first. */
inline void fetch(block next[BLOCKS], GLOBAL const uint4 *x, side s, int first, key_mask mask, int item) {
  GLOBAL const char *from = (GLOBAL const char *)(x + s.base + (int64)first * s.pitch);
  FOR(b, BLOCKS) FOR(h, 2) {
    const int e = b * ITEMS + item, row = 2 * block_pair(e) + h;
    const bool inside = is_block(e) && row < s.count - first && !is_hidden(mask, first + row);
    next[b].row[h] = *(GLOBAL const uint4 *)(from + (inside ? 16u * (uint32)(row * s.pitch + block_piece(e)) : 0u));
    next[b].inside[h] = inside;
  }
}

/* Zeroes what is not there: what a hidden row holds must not even be multiplied by 0. Waits for the loads. */
inline void settle(block next[BLOCKS]) {
  FOR(b, BLOCKS) FOR(h, 2) {
    uint4 v = next[b].row[h];
    if (!next[b].inside[h]) v.x = v.y = v.z = v.w = 0u;
    next[b].row[h] = v;
  }
}

inline void keep(LOCAL_PTR uint4 *tile, const block next[BLOCKS], int item) {
  FOR(b, BLOCKS) {
    const int e = b * ITEMS + item;
    if (is_block(e)) FOR(h, 2) tile[PIECE_AT(2 * block_pair(e) + h, block_piece(e))] = next[b].row[h];
  }
}

inline void keep_turned(LOCAL_PTR uint32 *turned, const block next[BLOCKS], int item) {
  FOR(b, BLOCKS) {
    const int e = b * ITEMS + item;
    const uint4 x = next[b].row[0], y = next[b].row[1];
    const uint32 low[4] = {x.x, x.y, x.z, x.w}, high[4] = {y.x, y.y, y.z, y.w};
    LOCAL_PTR uint32 *to = turned + TURNED_AT(block_piece(e), block_pair(e));
    if (is_block(e)) FOR(i, 4) {
        to[2 * i * TURN] = (low[i] & 0xffffu) | high[i] << 16;
        to[(2 * i + 1) * TURN] = low[i] >> 16 | (high[i] & 0xffff0000u);
      }
  }
}

inline void clear_turned_ends(LOCAL_PTR uint32 *turned, int item) {
#if SIZE % 16
  for (int i = item; i < 8 * PAIRS; i += ITEMS) turned[TURNED_AT(PIECES, i % PAIRS) + i / PAIRS * TURN] = 0u;
#endif
}

/* ---- fragments ---- */

#ifndef UNIT_BLOCKS
/* A, of rows that are `pitch` words apart, from their words of this step on. */
inline void load_a(uint32 *a, LOCAL_PTR const uint32 *words, int pitch, int lane) {
  FOR(q, A_WORDS) a[q] = words[A_ROW(lane, q) * pitch + A_WORD(lane, q)];
}
#endif

/* A of a tile's rows from j UM on, of step t along them. */
inline void load_rows(uint32 *a, LOCAL_PTR const uint4 *tile, int j, int t, int lane) {
#ifdef UNIT_BLOCKS
  unit_read_block(a, (LOCAL_PTR const uint32 *)(tile + (j * STEPS + t) * BLOCK), lane);
#else
  load_a(a, (LOCAL_PTR const uint32 *)(tile + j * UM * PITCH) + 8 * t, 4 * PITCH, lane);
#endif
}

/* A of a head's numbers from j UM on, of step t along the transposed tile's rows. */
inline void load_turned(uint32 *a, LOCAL_PTR const uint32 *turned, int j, int t, int lane) {
#ifdef UNIT_BLOCKS
  unit_read_block(a, turned + (t * 2 * STEPS + j) * TURNED_BLOCK, lane);
#else
  load_a(a, turned + j * UM * TURN + 8 * t, TURN, lane);
#endif
}

typedef struct fragments { /* B: a wave's own rows */
#if KEPT
  LOCAL_PTR const uint32 *words;
#else
  uint32 words[MI][STEPS][B_WORDS];
#endif
} fragments;

/* Loads a wave's rows, from `row` on, as B. Zero beyond the last row. With KEPT they pass through `place`, which is the
 * wave's alone but for a barrier that the caller has before it reads them. */
inline void load_own(fragments *own, LOCAL_PTR uint4 *place, GLOBAL const uint4 *x, side s, int row, int lane) {
#if KEPT
  for (int e = lane; e < WAVE_ROWS * 2 * STEPS; e += WAVE) {
    const int n = e / (2 * STEPS), piece = e % (2 * STEPS);
    const bool inside = piece < PIECES && row + n < s.count;
    uint4 v = x[s.base + (inside ? (int64)(row + n) * s.pitch + piece : 0)];
    if (!inside) v.x = v.y = v.z = v.w = 0u;
    place[n * PITCH + piece] = v;
  }
  own->words = (LOCAL_PTR const uint32 *)place;
#else
  GLOBAL const uint32 *words = (GLOBAL const uint32 *)(x + s.base);
  (void)place;
  FOR(i, MI) FOR(t, STEPS) FOR(w, B_WORDS) {
    const int n = row + i * UN + B_COLUMN(lane, w), word = 8 * t + B_WORD(lane, w);
    const bool inside = 2 * word < SIZE && n < s.count;
    own->words[i][t][w] = inside ? words[(int64)n * s.pitch * 4 + word] : 0u;
  }
#endif
}

inline void own_step(uint32 b[MI][B_WORDS], const fragments *own, int t, int lane) {
#if KEPT
  FOR(i, MI) FOR(w, B_WORDS) b[i][w] = own->words[(i * UN + B_COLUMN(lane, w)) * 4 * PITCH + 8 * t + B_WORD(lane, w)];
#else
  FOR(i, MI) FOR(w, B_WORDS) b[i][w] = own->words[i][t][w];
#endif
}

/* ---- products ---- */

/* s = the tile times the wave's rows */
inline void scores(float s[MI][HIGH][C_FLOATS], const fragments *own, LOCAL_PTR const uint4 *tile, UNIT_SCRATCH scratch,
                   int item) {
  const int lane = item % WAVE;
  FOR(i, MI) FOR(j, HIGH) FOR(r, C_FLOATS) s[i][j][r] = 0.0f;
  FOR(t, STEPS) {
    uint32 b[MI][B_WORDS];
    own_step(b, own, t, lane);
    FOR(j, HIGH) {
      uint32 a[A_WORDS];
      load_rows(a, tile, j, t, lane);
      FOR(i, MI) unit_multiply(s[i][j], a, b[i], scratch, item);
    }
  }
}

/* sums += the transposed tile times weights, which are the wave's scores of it */
inline void add_weighted(float sums[MI][WIDE][C_FLOATS], float weights[MI][HIGH][C_FLOATS],
                         LOCAL_PTR const uint32 *turned, UNIT_SCRATCH scratch, int item) {
  FOR(t, COLUMNS / 16) {
    uint32 b[MI][B_WORDS];
    FOR(i, MI) {
      uint32 words[C_WORDS];
      const float *of = weights[i][C_UNITS * t];
      FOR(w, C_WORDS) words[w] = unit_weights(of[2 * w], of[2 * w + 1]);
      unit_as_b(b[i], words, scratch, item);
    }
    FOR(j, WIDE) {
      uint32 a[A_WORDS];
      load_turned(a, turned, j, t, item % WAVE);
      FOR(i, MI) unit_multiply(sums[i][j], a, b[i], scratch, item);
    }
  }
}

inline void clear_sums(float sums[MI][WIDE][C_FLOATS]) {
  FOR(i, MI) FOR(j, WIDE) FOR(r, C_FLOATS) sums[i][j][r] = 0.0f;
}

/* residual: the rounding error of out; NULL: not wanted. Hidden keys' rows become 0. Where two lanes have the same
 * words, the first stores them. */
inline void store(GLOBAL uint32 *out, GLOBAL uint32 *residual, side s, key_mask mask, int row,
                  float sums[MI][WIDE][C_FLOATS], const float factor[MI], UNIT_SCRATCH scratch, int item) {
  const int lane = item % WAVE;
  FOR(i, MI) {
    const int n = row + i * UN + C_COLUMN(lane, 0);
    const bool mine = n < s.count && (B_WORDS < 8 || lane < UN), hidden = mine && is_hidden(mask, n);
    const int64 place = 4 * (s.base + (int64)n * s.pitch);
#define RESULT(r) (sums[i][C_UNITS * t + (r) / C_FLOATS][(r) % C_FLOATS] * factor[i])
    FOR(t, STEPS) {
      uint32 own[C_WORDS], words[B_WORDS], rest[B_WORDS];
      FOR(w, C_WORDS) own[w] = unit_pair(RESULT(2 * w), RESULT(2 * w + 1));
      unit_as_b(words, own, scratch, item);
      FOR(w, C_WORDS)
      own[w] = unit_pair(RESULT(2 * w) - gemm_half(own[w], 0), RESULT(2 * w + 1) - gemm_half(own[w], 1));
      if (residual) unit_as_b(rest, own, scratch, item);
      FOR(w, B_WORDS) {
        const int word = 8 * t + B_WORD(lane, w);
        if (!mine || 2 * word >= SIZE) continue;
        out[place + word] = hidden ? 0u : words[w];
        if (residual) residual[place + word] = rest[w];
      }
    }
  }
}

/* Whether a work-item keeps the mask's number of a key of the tile. */
#define KEEPS_FLAG(item) (MASKED && (item) < COLUMNS)

#define EACH_SCORE(j, r) FOR(j, HIGH) FOR(r, C_FLOATS)
#define ROW_OF(j, r)     ((j)*UM + C_ROW(lane, r)) /* of the tile */

/* Sets one row's scores of hidden keys to x. */
inline void hide(float s[HIGH][C_FLOATS], LOCAL_PTR const int32 *flags, float x, int lane) {
#if MASKED
  EACH_SCORE(j, r) {
    if (flags[ROW_OF(j, r)]) s[j][r] = x;
  }
#else
  (void)s, (void)flags, (void)x, (void)lane;
#endif
}

#if PART == 0

/* ---- forward ---- */

/* Turns one row's scores of a tile into weights; updates its maximum and returns the factor for the sums so far. whole:
 * every row of the wave sees the whole tile. */
inline float weigh(float s[HIGH][C_FLOATS], float *row_max, float *total, float scale, bool whole, int visible,
                   LOCAL_PTR const int32 *flags, UNIT_SCRATCH scratch, int item) {
  const int lane = item % WAVE;
  float highest = *row_max;
  EACH_SCORE(j, r) s[j][r] *= scale;
  if (!whole) EACH_SCORE(j, r) {
      if (ROW_OF(j, r) >= visible) s[j][r] = NEVER;
    }
  hide(s, flags, NEVER, lane);
  EACH_SCORE(j, r) highest = fmax(highest, s[j][r]);
  highest = unit_column_max(highest, scratch, item);
  const float base = highest == NEVER ? 0.0f : highest * LOG2E, lifted = LIFTED_EXPONENT(base);
  const float factor = highest == *row_max ? 1.0f : unit_exp2(fma(*row_max, LOG2E, -base));
  float sum = *total * factor; /* over this lane's rows of the tile */
  EACH_SCORE(j, r) {
    const float p = unit_exp2(fma(s[j][r], LOG2E, lifted));
    s[j][r] = p;
    sum += p;
  }
  *row_max = highest;
  *total = sum;
  return factor;
}

ATTENTION_KERNEL void attention_matrix_forward(GLOBAL uint32 *out, GLOBAL float *row_maxima, GLOBAL float *inv_sums,
                                               GLOBAL uint32 *residual, GLOBAL const uint4 *q, GLOBAL const uint4 *k,
                                               GLOBAL const uint4 *v, GLOBAL const int32 *hidden, float scale,
                                               int32 causal, int32 heads, int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tile_k[TILE_PIECES(COLUMNS)], place_q[PLACE];
  LOCAL uint32 turned_v[TURNED] UNIT_ALIGNED;
  LOCAL int32 flags[COLUMNS];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) * ROWS, row = first + unit_wave(item) * WAVE_ROWS;
  const int end = causal ? min(keys.count, first + ROWS) : keys.count;
  const key_mask mask = mask_of(hidden, masked);
  fragments own;
  block next_k[BLOCKS], next_v[BLOCKS];
  float sums[MI][WIDE][C_FLOATS], row_max[MI], total[MI];
  int32 flag = KEEPS_FLAG(item) && is_hidden(mask, item);
  clear_ends(tile_k, COLUMNS, item);
  clear_turned_ends(turned_v, item);
  if (PREFETCH) fetch(next_k, k, keys, 0, mask, item);
  if (PREFETCH) fetch(next_v, v, keys, 0, mask, item);
  load_own(&own, place_q + OWN_PLACE(item), q, queries, row, lane);
  clear_sums(sums);
  FOR(i, MI) row_max[i] = NEVER, total[i] = 0.0f;
  for (int key = 0; key < end; key += COLUMNS) {
    if (!PREFETCH) fetch(next_k, k, keys, key, mask, item);
    if (!PREFETCH) fetch(next_v, v, keys, key, mask, item);
    settle(next_k);
    settle(next_v);
    BARRIER();
    keep(tile_k, next_k, item);
    keep_turned(turned_v, next_v, item);
    if (KEEPS_FLAG(item)) flags[item] = flag;
    BARRIER();
    if (key + COLUMNS < end) {
      flag = KEEPS_FLAG(item) && is_hidden(mask, key + COLUMNS + item);
      if (PREFETCH) fetch(next_k, k, keys, key + COLUMNS, mask, item);
      if (PREFETCH) fetch(next_v, v, keys, key + COLUMNS, mask, item);
    }
    if (rests_now(row, queries.count, key, causal)) continue;
    const bool whole = seen(row, key, keys.count - key, causal) >= COLUMNS;
    float s[MI][HIGH][C_FLOATS];
    scores(s, &own, tile_k, UNIT_PLACE, item);
    FOR(i, MI) {
      const int visible = seen(row + i * UN + C_COLUMN(lane, 0), key, keys.count - key, causal);
      const float factor = weigh(s[i], &row_max[i], &total[i], scale, whole, visible, flags, UNIT_PLACE, item);
      if (unit_any(factor != 1.0f)) FOR(j, WIDE) FOR(r, C_FLOATS) sums[i][j][r] *= factor;
    }
    add_weighted(sums, s, turned_v, UNIT_PLACE, item);
  }
  float factor[MI];
  FOR(i, MI) {
    const int n = row + i * UN + C_COLUMN(lane, 0);
    const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + n;
    factor[i] = 1.0f / unit_column_sum(total[i], UNIT_PLACE, item);
    if (lane < UN && n < nq) {
      if (row_maxima) row_maxima[place] = row_max[i];
      if (inv_sums) inv_sums[place] = LIFTED(factor[i]);
    }
  }
  store(out, residual, queries, no_mask(), row, sums, factor, UNIT_PLACE, item);
}

#elif PART == 1

/* ---- backward ---- */

ATTENTION_KERNEL void attention_matrix_backward_q(GLOBAL uint32 *dq, GLOBAL const uint4 *q, GLOBAL const uint4 *k,
                                                  GLOBAL const uint4 *v, GLOBAL const uint4 *dout,
                                                  GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                                                  GLOBAL const float *delta, GLOBAL const int32 *hidden, float scale,
                                                  int32 causal, int32 heads, int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tile_k[TILE_PIECES(COLUMNS)], tile_v[TILE_PIECES(COLUMNS)], place_q[PLACE], place_dout[PLACE];
  LOCAL uint32 turned_k[TURNED] UNIT_ALIGNED;
  LOCAL int32 flags[COLUMNS];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) * ROWS, row = first + unit_wave(item) * WAVE_ROWS;
  const int end = causal ? min(keys.count, first + ROWS) : keys.count;
  const key_mask mask = mask_of(hidden, masked);
  fragments own, down;
  block next_k[BLOCKS], next_v[BLOCKS];
  float sums[MI][WIDE][C_FLOATS], row_max2[MI], inv_sum[MI], less[MI], factor[MI];
  int32 flag = KEEPS_FLAG(item) && is_hidden(mask, item);
  clear_ends(tile_k, COLUMNS, item);
  clear_ends(tile_v, COLUMNS, item);
  clear_turned_ends(turned_k, item);
  if (PREFETCH) fetch(next_k, k, keys, 0, mask, item);
  if (PREFETCH) fetch(next_v, v, keys, 0, mask, item);
  load_own(&own, place_q + OWN_PLACE(item), q, queries, row, lane);
  load_own(&down, place_dout + OWN_PLACE(item), dout, queries, row, lane);
  clear_sums(sums);
  FOR(i, MI) {
    const int n = row + i * UN + C_COLUMN(lane, 0);
    const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + n;
    row_max2[i] = n < nq ? row_maxima[place] * LOG2E : 0.0f;
    inv_sum[i] = n < nq ? inv_sums[place] : 0.0f;
    less[i] = n < nq ? delta[place] : 0.0f;
    factor[i] = scale;
  }
  for (int key = 0; key < end; key += COLUMNS) {
    if (!PREFETCH) fetch(next_k, k, keys, key, mask, item);
    if (!PREFETCH && BOTH) fetch(next_v, v, keys, key, mask, item);
    settle(next_k);
    if (BOTH) settle(next_v);
    BARRIER();
    keep(tile_k, next_k, item);
    keep_turned(turned_k, next_k, item);
    if (!BOTH) {
      fetch(next_v, v, keys, key, mask, item);
      settle(next_v);
    }
    keep(tile_v, next_v, item);
    if (KEEPS_FLAG(item)) flags[item] = flag;
    BARRIER();
    if (key + COLUMNS < end) {
      flag = KEEPS_FLAG(item) && is_hidden(mask, key + COLUMNS + item);
      if (PREFETCH) fetch(next_k, k, keys, key + COLUMNS, mask, item);
      if (PREFETCH) fetch(next_v, v, keys, key + COLUMNS, mask, item);
    }
    if (rests_now(row, queries.count, key, causal)) continue;
    const bool whole = seen(row, key, keys.count - key, causal) >= COLUMNS;
    float s[MI][HIGH][C_FLOATS], dp[MI][HIGH][C_FLOATS];
    scores(s, &own, tile_k, UNIT_PLACE, item);
    scores(dp, &down, tile_v, UNIT_PLACE, item);
    FOR(i, MI) {
      const int visible = seen(row + i * UN + C_COLUMN(lane, 0), key, keys.count - key, causal);
      EACH_SCORE(j, r) {
        const float p = weight(s[i][j][r], scale * LOG2E, row_max2[i], inv_sum[i]);
        s[i][j][r] = p * (dp[i][j][r] - less[i]);
      }
      if (!whole) EACH_SCORE(j, r) {
          if (ROW_OF(j, r) >= visible) s[i][j][r] = 0.0f;
        }
      hide(s[i], flags, 0.0f, lane);
    }
    add_weighted(sums, s, turned_k, UNIT_PLACE, item);
  }
  store(dq, NULL, queries, no_mask(), row, sums, factor, UNIT_PLACE, item);
}

#else

/* ---- backward ---- rows are keys, columns of a tile's rows queries */

#define STATISTICS (3 * COLUMNS) /* row_max, inv_sum and delta of a tile's queries */
#define NUMBERS    ((STATISTICS + ITEMS - 1) / ITEMS)

/* Loads a work-item's statistics of the tile from query `first` on. Zero beyond the last. */
inline void fetch_statistics(float next[NUMBERS], GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                             GLOBAL const float *delta, int first, int count, int item) {
  FOR(b, NUMBERS) {
    const int e = b * ITEMS + item, n = first + e % COLUMNS;
    GLOBAL const float *from = e < COLUMNS ? row_maxima : e < 2 * COLUMNS ? inv_sums : delta;
    next[b] = n < count ? from[n] : 0.0f;
  }
}

inline void keep_statistics(LOCAL_PTR float *to, const float next[NUMBERS], int item) {
  FOR(b, NUMBERS) {
    const int e = b * ITEMS + item;
    if (e < STATISTICS) to[e] = next[b];
  }
}

/* Which of the sums are a result's. */
#define OF_K       0
#define OF_V       (ALONE ? 0 : 1)

/* Either result may be NULL. */
ATTENTION_KERNEL void attention_matrix_backward_kv(GLOBAL uint32 *dk, GLOBAL uint32 *dv, GLOBAL const uint4 *q,
                                                   GLOBAL const uint4 *k, GLOBAL const uint4 *v,
                                                   GLOBAL const uint4 *dout, GLOBAL const float *row_maxima,
                                                   GLOBAL const float *inv_sums, GLOBAL const float *delta,
                                                   GLOBAL const int32 *hidden, float scale, int32 causal, int32 heads,
                                                   int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tile_q[TILE_PIECES(COLUMNS)], tile_dout[TILE_PIECES(COLUMNS)], place_k[PLACE], place_v[PLACE];
  LOCAL uint32 turned_q[TURNED] UNIT_ALIGNED, turned_dout[TURNED] UNIT_ALIGNED;
  LOCAL float statistics[STATISTICS];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) / (1 + ALONE) * ROWS, row = first + unit_wave(item) * WAVE_ROWS,
            begin = causal ? first : 0;
  const bool gives_k = !ALONE || GROUP(0) % 2 == 0, gives_v = !ALONE || !gives_k;
  const int64 head = ((int64)GROUP(2) * heads + GROUP(1)) * nq;
  fragments own_k, own_v;
  block next_q[BLOCKS], next_dout[BLOCKS];
  float next[NUMBERS], sums[2 - ALONE][MI][WIDE][C_FLOATS], factor[MI];
  clear_ends(tile_q, COLUMNS, item);
  clear_ends(tile_dout, COLUMNS, item);
  clear_turned_ends(turned_q, item);
  clear_turned_ends(turned_dout, item);
  if (begin < queries.count) {
    if (PREFETCH) fetch(next_q, q, queries, begin, no_mask(), item);
    if (PREFETCH) fetch(next_dout, dout, queries, begin, no_mask(), item);
    fetch_statistics(next, row_maxima + head, inv_sums + head, delta + head, begin, queries.count, item);
  }
  load_own(&own_k, place_k + OWN_PLACE(item), k, keys, row, lane);
  load_own(&own_v, place_v + OWN_PLACE(item), v, keys, row, lane);
  FOR(of, 2 - ALONE) clear_sums(sums[of]);
  for (int query = begin; query < queries.count; query += COLUMNS) {
    if (!PREFETCH) fetch(next_q, q, queries, query, no_mask(), item);
    if (!PREFETCH) fetch(next_dout, dout, queries, query, no_mask(), item);
    settle(next_q);
    settle(next_dout);
    BARRIER();
    keep(tile_q, next_q, item);
    if (gives_k) keep(tile_dout, next_dout, item);
    if (gives_k) keep_turned(turned_q, next_q, item);
    if (gives_v) keep_turned(turned_dout, next_dout, item);
    keep_statistics(statistics, next, item);
    BARRIER();
    if (query + COLUMNS < queries.count) {
      if (PREFETCH) fetch(next_q, q, queries, query + COLUMNS, no_mask(), item);
      if (PREFETCH) fetch(next_dout, dout, queries, query + COLUMNS, no_mask(), item);
      fetch_statistics(next, row_maxima + head, inv_sums + head, delta + head, query + COLUMNS, queries.count, item);
    }
    if (UNIT_MAY_REST && (row >= keys.count || (causal && query + COLUMNS <= row))) continue;
    float s[MI][HIGH][C_FLOATS];
    scores(s, &own_k, tile_q, UNIT_PLACE, item);
    EACH_SCORE(j, r) {
      const float row_max2 = statistics[ROW_OF(j, r)] * LOG2E, inv_sum = LIFTED(statistics[COLUMNS + ROW_OF(j, r)]);
      FOR(i, MI) s[i][j][r] = weight(s[i][j][r], scale * LOG2E, row_max2, inv_sum);
    }
    const int left = queries.count - query;
    if (left < COLUMNS || (causal && query < row + WAVE_ROWS)) FOR(i, MI) EACH_SCORE(j, r) {
        const int key = row + i * UN + C_COLUMN(lane, r);
        if (ROW_OF(j, r) >= left || (causal && key > query + ROW_OF(j, r))) s[i][j][r] = 0.0f;
      }
    if (gives_v) {
      add_weighted(sums[OF_V], s, turned_dout, UNIT_PLACE, item);
      if (ALONE) continue;
    }
    float dp[MI][HIGH][C_FLOATS];
    scores(dp, &own_v, tile_dout, UNIT_PLACE, item);
    EACH_SCORE(j, r) {
      const float less = DOWN(statistics[2 * COLUMNS + ROW_OF(j, r)]);
      FOR(i, MI) s[i][j][r] *= LESS_LIFTED(dp[i][j][r], less);
    }
    add_weighted(sums[OF_K], s, turned_q, UNIT_PLACE, item);
  }
  const key_mask mask = mask_of(hidden, masked); /* rows of products are independent: only hidden ones can be NaN */
  FOR(i, MI) factor[i] = scale;
  if (dk && gives_k) store(dk, NULL, keys, mask, row, sums[OF_K], factor, UNIT_PLACE, item);
  FOR(i, MI) factor[i] = DOWN(1.0f);
  if (dv && gives_v) store(dv, NULL, keys, mask, row, sums[OF_V], factor, UNIT_PLACE, item);
}

#endif
