/* Streaming attention on a GPU's matrix units: tensors, arguments and results are those of attention_gpu.cl, in
 * bfloat16 or, with AB_F16, half precision. Scores, softmax and sums are float32; weights (p) and their gradients (ds)
 * are rounded to the narrow type only as operands of the second product (see LIFT in attention_matrix_tile.h).
 *
 *   A work-group of four waves owns ROWS rows of one head (queries; keys for dk and dv). Each wave owns 16 MI of them
 *   and keeps their fragments in registers throughout. It walks the other side in tiles of COLUMNS rows of two tensors:
 *   while the units work on one tile, the next is copied into local memory; one barrier per tile suffices. Scores
 *   are in registers in the layout of the second product's first operand. No two groups write the same place, and sums
 *   have a fixed order.
 *
 *   PART      0: forward, 1: backward_q, 2: backward_kv
 *   SIZE      the head's, a multiple of 8; products along it go in steps of 16, the last zero-padded
 *   MI        units per wave, stacked vertically: each fragment read from local memory is used in MI products
 *   COLUMNS   a multiple of 16, at most 32
 *   MASKED    1: `hidden` excludes keys. Otherwise it is not read, so that attention without a mask costs no more
 *
 * Rows in local memory are an odd number of 16 bytes apart: eight of them, which ldmatrix reads at once, lie in
 * different banks. Local memory: 4 COLUMNS PITCH pieces of 16 bytes, and for dk and dv 24 COLUMNS bytes of statistics.
 */
#define WAVE_ROWS (MI * UM)
#include "attention_matrix_tile.h"

#ifndef UNIT_MMA
#error "not a unit of this kernel: see attention_matrix_units.h"
#endif

#define TILE   (COLUMNS * PITCH) /* pieces */
#define ACROSS (COLUMNS / UN)    /* units across a tile's scores */
#define WIDE   (SIZE / UN)       /* units across a result */
#if COLUMNS > 32
#error "a tile's hidden keys do not fit into a word"
#endif

/* The hidden keys of the tile whose first key is `key`, a bit each. */
inline uint32 hidden_keys(key_mask m, int key, UNIT_SCRATCH scratch, int item) {
#if MASKED
  const int lane = item % WAVE;
  return unit_or(lane < COLUMNS && is_hidden(m, key + lane) ? 1u << lane : 0u, scratch, item);
#else
  (void)m, (void)key, (void)scratch, (void)item;
  return 0u;
#endif
}

/* Loads a wave's rows, from `row` on, as A. Zero beyond the last row. */
inline void load_rows(uint32 a[MI][STEPS][A_WORDS], GLOBAL const uint4 *x, side s, int row, int lane) {
  GLOBAL const uint32 *words = (GLOBAL const uint32 *)(x + s.base);
  FOR(i, MI) FOR(t, STEPS) FOR(q, A_WORDS) {
    const int n = row + i * UM + A_ROW(lane, q);
    const bool inside = 16 * t + q / 2 * 8 < SIZE && n < s.count; /* q / 2: which half of the 16 */
    a[i][t][q] = inside ? words[(int64)n * s.pitch * 4 + 8 * t + A_WORD(lane, q)] : 0u;
  }
}

/* Starts copying `rows` rows of x from `first` on. Zero beyond the last, and where `hidden` has the row's bit: what
 * such a row holds must not even be multiplied by 0. */
inline void begin_rows(unit_tile tile, int place, int rows, GLOBAL const uint4 *x, side s, int first, uint32 hidden,
                       int item) {
  const int left = s.count - first, pieces = rows * PIECES;
  GLOBAL const uint4 *from = x + s.base + (int64)first * s.pitch;
  FOR(turn, (pieces + ITEMS - 1) / ITEMS) {
    const int e = turn * ITEMS + item, row = e / PIECES, piece = e % PIECES;
    if (pieces % ITEMS && e >= pieces) continue;
    const bool inside = row < left && !(hidden && hidden >> row & 1);
    unit_copy16(tile, place + row * PITCH + piece, from + ((inside ? row * s.pitch : 0) + piece), inside);
  }
}

/* The same rows of two tensors, one tile after the other. */
inline void begin_tiles(unit_tile tile, int place, GLOBAL const uint4 *x, GLOBAL const uint4 *y, side s, int first,
                        uint32 hidden, int item) {
  begin_rows(tile, place, COLUMNS, x, s, first, hidden, item);
  begin_rows(tile, place + TILE, COLUMNS, y, s, first, hidden, item);
}

/* One step of the walk over the keys: waits for the tiles in flight and starts copying the next, with these hidden
 * keys, at `place`. Returns the offset of the finished tiles. */
inline int next_tiles(unit_tile tile, int place, GLOBAL const uint4 *k, GLOBAL const uint4 *v, side keys, int next,
                      int end, uint32 hidden, int item) {
  unit_copies_wait();
  BARRIER();
  if (next < end) {
    begin_tiles(tile, place, k, v, keys, next, hidden, item);
    unit_copies_end();
  }
  return 2 * TILE - place;
}

/* s += the rows' step t times that of the tile's rows */
inline void add_scores(float s[MI][ACROSS][C_FLOATS], uint32 rows[MI][A_WORDS], unit_tile tile, int place, int t,
                       UNIT_SCRATCH scratch, int item) {
  const int lane = item % WAVE, at = place + (lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2 + 2 * t;
  FOR(j, ACROSS / 2) {
    uint32 b[4];
    unit_load4(b, tile, at + 16 * j * PITCH, false, scratch, item);
    FOR(i, MI) FOR(h, 2) unit_multiply(s[i][2 * j + h], rows[i], b + 2 * h, scratch, item);
  }
}

/* s = rows times the tile's rows */
inline void scores(float s[MI][ACROSS][C_FLOATS], uint32 rows[MI][STEPS][A_WORDS], unit_tile tile, int place,
                   UNIT_SCRATCH scratch, int item) {
  FOR(i, MI) FOR(j, ACROSS) FOR(r, C_FLOATS) s[i][j][r] = 0.0f;
  FOR(t, STEPS) {
    uint32 a[MI][A_WORDS];
    FOR(i, MI) FOR(q, A_WORDS) a[i][q] = rows[i][t][q];
    add_scores(s, a, tile, place, t, scratch, item);
  }
}

/* The same with the rows in local memory. */
inline void scores_of_local(float s[MI][ACROSS][C_FLOATS], unit_tile own, int row, unit_tile tile, int place,
                            UNIT_SCRATCH scratch, int item) {
  const int lane = item % WAVE, at = (row + lane / 8 % 2 * 8 + lane % 8) * PITCH + lane / 16;
  FOR(i, MI) FOR(j, ACROSS) FOR(r, C_FLOATS) s[i][j][r] = 0.0f;
  FOR(t, STEPS) {
    uint32 a[MI][A_WORDS];
    FOR(i, MI) unit_load4(a[i], own, at + i * UM * PITCH + 2 * t, false, scratch, item);
    add_scores(s, a, tile, place, t, scratch, item);
  }
}

/* sums += weights (rows, COLUMNS) times the tile */
inline void add_weighted(float sums[MI][WIDE][C_FLOATS], uint32 weights[MI][ACROSS / 2][A_WORDS], unit_tile tile,
                         int place, UNIT_SCRATCH scratch, int item) {
  const int lane = item % WAVE, at = place + (lane / 8 % 2 * 8 + lane % 8) * PITCH + lane / 16;
  FOR(t, ACROSS / 2) FOR(j, (WIDE + 1) / 2) {
    uint32 b[4];
    unit_load4(b, tile, at + 16 * t * PITCH + 2 * j, true, scratch, item);
    FOR(i, MI) FOR(h, 2) {
      if (2 * j + h < WIDE) unit_multiply(sums[i][2 * j + h], weights[i][t], b + 2 * h, scratch, item);
    }
  }
}

inline void clear_sums(float sums[MI][WIDE][C_FLOATS]) {
  FOR(i, MI) FOR(j, WIDE) FOR(r, C_FLOATS) sums[i][j][r] = 0.0f;
}

/* residual: the rounding error of out; NULL: not wanted. factor: for row q of unit i. Hidden keys' rows become 0. */
inline void store(GLOBAL uint32 *out, GLOBAL uint32 *residual, side s, key_mask mask, int row,
                  float sums[MI][WIDE][C_FLOATS], float factor[MI][2], int lane) {
  FOR(i, MI) FOR(q, 2) {
    const int n = row + i * UM + C_ROW(lane, 2 * q);
    if (n >= s.count) continue;
    const int64 place = 4 * (s.base + (int64)n * s.pitch) + C_COLUMN(lane, 0) / 2;
    const bool hidden = is_hidden(mask, n);
    FOR(j, WIDE) {
      const float x = sums[i][j][2 * q] * factor[i][q], y = sums[i][j][2 * q + 1] * factor[i][q];
      const uint32 pair = hidden ? 0u : unit_pair(x, y);
      out[place + 4 * j] = pair;
      if (residual) residual[place + 4 * j] = unit_pair(x - gemm_half(pair, 0), y - gemm_half(pair, 1));
    }
  }
}

/* Sets one row's scores of hidden keys to x. */
inline void hide(float s[ACROSS][C_FLOATS], int q, uint32 hidden, float x, int lane) {
  if (hidden) FOR(j, ACROSS) FOR(r, 2) {
      if (hidden >> (j * UN + C_COLUMN(lane, r)) & 1) s[j][2 * q + r] = x;
    }
}

#if PART == 0

/* ---- forward ---- */

/* Turns one row's scores of a tile into weights; updates its maximum and returns the factor for the sums so far. */
inline float weigh(float s[ACROSS][C_FLOATS], int q, float *row_max, float *total, float scale, int visible,
                   uint32 hidden, int lane, UNIT_SCRATCH scratch, int item) {
  float highest = *row_max;
  FOR(j, ACROSS) FOR(r, 2) s[j][2 * q + r] *= scale;
  if (visible < COLUMNS) FOR(j, ACROSS) FOR(r, 2) {
      if (j * UN + C_COLUMN(lane, r) >= visible) s[j][2 * q + r] = NEVER;
    }
  hide(s, q, hidden, NEVER, lane);
  FOR(j, ACROSS) FOR(r, 2) highest = fmax(highest, s[j][2 * q + r]);
  highest = unit_row_max(highest, scratch, item);
  const float base = highest == NEVER ? 0.0f : highest * LOG2E, lifted = LIFTED_EXPONENT(base);
  const float factor = highest == *row_max ? 1.0f : unit_exp2(fma(*row_max, LOG2E, -base));
  float sum = *total * factor; /* over this lane's columns */
  FOR(j, ACROSS) FOR(r, 2) {
    const float p = unit_exp2(fma(s[j][2 * q + r], LOG2E, lifted));
    s[j][2 * q + r] = p;
    sum += p;
  }
  *row_max = highest;
  *total = sum;
  return factor;
}

KERNEL_DENSE(ITEMS, 1, 1, 2)
void attention_matrix_forward(GLOBAL uint32 *out, GLOBAL float *row_maxima, GLOBAL float *inv_sums,
                              GLOBAL uint32 *residual, GLOBAL const uint4 *q, GLOBAL const uint4 *k,
                              GLOBAL const uint4 *v, GLOBAL const int32 *hidden, float scale, int32 causal, int32 heads,
                              int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tiles[4 * TILE];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) * ROWS, row = first + item / WAVE * (MI * UM);
  const int end = causal ? min(keys.count, first + ROWS) : keys.count;
  const unit_tile tile = unit_tile_of(tiles);
  uint32 rows[MI][STEPS][A_WORDS];
  float sums[MI][WIDE][C_FLOATS], row_max[MI][2], total[MI][2];
  const key_mask mask = mask_of(hidden, masked);
  uint32 hidden_next = hidden_keys(mask, 0, UNIT_PLACE, item);
  clear_ends(tiles, 4 * COLUMNS, item);
  begin_tiles(tile, 0, k, v, keys, 0, hidden_next, item);
  unit_copies_end();
  load_rows(rows, q, queries, row, lane);
  clear_sums(sums);
  FOR(i, MI) FOR(h, 2) row_max[i][h] = NEVER, total[i][h] = 0.0f;
  int at = 2 * TILE;
  for (int key = 0; key < end; key += COLUMNS) {
    const uint32 hidden_now = hidden_next;
    hidden_next = hidden_keys(mask, key + COLUMNS, UNIT_PLACE, item);
    at = next_tiles(tile, at, k, v, keys, key + COLUMNS, end, hidden_next, item);
    if (rests_now(row, queries.count, key, causal)) continue;
    float s[MI][ACROSS][C_FLOATS];
    uint32 weights[MI][ACROSS / 2][A_WORDS];
    scores(s, rows, tile, at, UNIT_PLACE, item);
    const int left = keys.count - key;
    FOR(i, MI) FOR(h, 2) {
      const int visible = seen(row + i * UM + C_ROW(lane, 2 * h), key, left, causal);
      const float factor =
          weigh(s[i], h, &row_max[i][h], &total[i][h], scale, visible, hidden_now, lane, UNIT_PLACE, item);
      if (factor != 1.0f) FOR(j, WIDE) FOR(r, 2) sums[i][j][2 * h + r] *= factor;
    }
    FOR(i, MI) FOR(t, ACROSS / 2) unit_as_a(weights[i][t], s[i][2 * t], s[i][2 * t + 1]);
    add_weighted(sums, weights, tile, at + TILE, UNIT_PLACE, item);
  }
  float factor[MI][2];
  FOR(i, MI) FOR(h, 2) {
    const int n = row + i * UM + C_ROW(lane, 2 * h);
    const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + n;
    factor[i][h] = 1.0f / unit_row_sum(total[i][h], UNIT_PLACE, item);
    if (C_COLUMN(lane, 0) == 0 && n < nq) {
      if (row_maxima) row_maxima[place] = row_max[i][h];
      if (inv_sums) inv_sums[place] = LIFTED(factor[i][h]);
    }
  }
  store(out, residual, queries, no_mask(), row, sums, factor, lane);
}

#else

/* ---- backward ---- */

#if PART == 1

KERNEL_DENSE(ITEMS, 1, 1, 2)
void attention_matrix_backward_q(GLOBAL uint32 *dq, GLOBAL const uint4 *q, GLOBAL const uint4 *k, GLOBAL const uint4 *v,
                                 GLOBAL const uint4 *dout, GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                                 GLOBAL const float *delta, GLOBAL const int32 *hidden, float scale, int32 causal,
                                 int32 heads, int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tiles[4 * TILE];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) * ROWS, row = first + item / WAVE * (MI * UM);
  const int end = causal ? min(keys.count, first + ROWS) : keys.count;
  const unit_tile tile = unit_tile_of(tiles);
  uint32 rows[MI][STEPS][A_WORDS], drows[MI][STEPS][A_WORDS];
  float sums[MI][WIDE][C_FLOATS], row_max2[MI][2], inv_sum[MI][2], less[MI][2], factor[MI][2];
  const key_mask mask = mask_of(hidden, masked);
  uint32 hidden_next = hidden_keys(mask, 0, UNIT_PLACE, item);
  clear_ends(tiles, 4 * COLUMNS, item);
  begin_tiles(tile, 0, k, v, keys, 0, hidden_next, item);
  unit_copies_end();
  load_rows(rows, q, queries, row, lane);
  load_rows(drows, dout, queries, row, lane);
  clear_sums(sums);
  FOR(i, MI) FOR(h, 2) {
    const int n = row + i * UM + C_ROW(lane, 2 * h);
    const int64 place = ((int64)GROUP(2) * heads + GROUP(1)) * nq + n;
    row_max2[i][h] = n < nq ? row_maxima[place] * LOG2E : 0.0f;
    inv_sum[i][h] = n < nq ? inv_sums[place] : 0.0f;
    less[i][h] = n < nq ? delta[place] : 0.0f;
    factor[i][h] = scale;
  }
  int at = 2 * TILE;
  for (int key = 0; key < end; key += COLUMNS) {
    const uint32 hidden_now = hidden_next;
    hidden_next = hidden_keys(mask, key + COLUMNS, UNIT_PLACE, item);
    at = next_tiles(tile, at, k, v, keys, key + COLUMNS, end, hidden_next, item);
    if (rests_now(row, queries.count, key, causal)) continue;
    float s[MI][ACROSS][C_FLOATS], dp[MI][ACROSS][C_FLOATS];
    uint32 weights[MI][ACROSS / 2][A_WORDS];
    scores(s, rows, tile, at, UNIT_PLACE, item);
    scores(dp, drows, tile, at + TILE, UNIT_PLACE, item);
    const int left = keys.count - key;
    FOR(i, MI) FOR(h, 2) {
      const int visible = seen(row + i * UM + C_ROW(lane, 2 * h), key, left, causal);
      FOR(j, ACROSS) FOR(r, 2) {
        const float p = weight(s[i][j][2 * h + r], scale * LOG2E, row_max2[i][h], inv_sum[i][h]);
        s[i][j][2 * h + r] = p * (dp[i][j][2 * h + r] - less[i][h]);
      }
      if (visible < COLUMNS) FOR(j, ACROSS) FOR(r, 2) {
          if (j * UN + C_COLUMN(lane, r) >= visible) s[i][j][2 * h + r] = 0.0f;
        }
      hide(s[i], h, hidden_now, 0.0f, lane);
    }
    FOR(i, MI) FOR(t, ACROSS / 2) unit_as_a(weights[i][t], s[i][2 * t], s[i][2 * t + 1]);
    add_weighted(sums, weights, tile, at, UNIT_PLACE, item);
  }
  store(dq, NULL, queries, no_mask(), row, sums, factor, lane);
}

#else

/* Starts copying row_max, inv_sum and delta of a tile's queries. Zero beyond the last. */
inline void begin_statistics(unit_tile tile, int place, GLOBAL const float *row_maxima, GLOBAL const float *inv_sums,
                             GLOBAL const float *delta, int first, int count, int item) {
  for (int e = item; e < 3 * COLUMNS; e += ITEMS) {
    GLOBAL const float *from = e < COLUMNS ? row_maxima : e < 2 * COLUMNS ? inv_sums : delta;
    const int n = first + e % COLUMNS;
    unit_copy4(tile, place + e, from + (n < count ? n : 0), n < count);
  }
}

/* The statistics (row_max, inv_sum or delta) of the query in `column`. */
inline float statistic(LOCAL_PTR const uint4 *all, int place, int which, int column) {
  return as_float(((LOCAL_PTR const uint32 *)all)[place + which * COLUMNS + column]);
}

/* Rows are keys, columns queries. Either result may be NULL. */
KERNEL_DENSE(ITEMS, 1, 1, 2)
void attention_matrix_backward_kv(GLOBAL uint32 *dk, GLOBAL uint32 *dv, GLOBAL const uint4 *q, GLOBAL const uint4 *k,
                                  GLOBAL const uint4 *v, GLOBAL const uint4 *dout, GLOBAL const float *row_maxima,
                                  GLOBAL const float *inv_sums, GLOBAL const float *delta, GLOBAL const int32 *hidden,
                                  float scale, int32 causal, int32 heads, int64 nq, int64 nk, int64 masked) {
  LOCAL uint4 tiles[4 * TILE], statistics[2 * 3 * COLUMNS / 4], own[ROWS * PITCH];
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  const side queries = head_of(nq, heads), keys = head_of(nk, heads);
  const int first = GROUP(0) * ROWS, row = first + item / WAVE * (MI * UM), begin = causal ? first : 0;
  const int64 head = ((int64)GROUP(2) * heads + GROUP(1)) * nq;
  const unit_tile tile = unit_tile_of(tiles), numbers = unit_tile_of(statistics), values = unit_tile_of(own);
  uint32 rows[MI][STEPS][A_WORDS];
  float sums_k[MI][WIDE][C_FLOATS], sums_v[MI][WIDE][C_FLOATS], factor[MI][2];
  clear_ends(tiles, 4 * COLUMNS, item);
  clear_ends(own, ROWS, item);
  if (begin < queries.count) {
    begin_rows(values, 0, ROWS, v, keys, first, 0u, item);
    begin_tiles(tile, 0, q, dout, queries, begin, 0u, item);
    begin_statistics(numbers, 0, row_maxima + head, inv_sums + head, delta + head, begin, queries.count, item);
    unit_copies_end();
  }
  load_rows(rows, k, keys, row, lane);
  clear_sums(sums_k);
  clear_sums(sums_v);
  int at = 2 * TILE, at_numbers = 3 * COLUMNS;
  for (int query = begin; query < queries.count; query += COLUMNS) {
    unit_copies_wait();
    BARRIER();
    if (query + COLUMNS < queries.count) {
      begin_tiles(tile, at, q, dout, queries, query + COLUMNS, 0u, item);
      begin_statistics(numbers, at_numbers, row_maxima + head, inv_sums + head, delta + head, query + COLUMNS,
                       queries.count, item);
      unit_copies_end();
    }
    at = 2 * TILE - at; /* offset of this tile */
    at_numbers = 3 * COLUMNS - at_numbers;
    if (UNIT_MAY_REST && (row >= keys.count || (causal && query + COLUMNS <= row))) continue;
    float s[MI][ACROSS][C_FLOATS], dp[MI][ACROSS][C_FLOATS];
    uint32 weights[MI][ACROSS / 2][A_WORDS];
    scores(s, rows, tile, at, UNIT_PLACE, item);
    FOR(j, ACROSS) FOR(r, 2) {
      const int column = j * UN + C_COLUMN(lane, r);
      const float row_max2 = statistic(statistics, at_numbers, 0, column) * LOG2E,
                  inv_sum = LIFTED(statistic(statistics, at_numbers, 1, column));
      FOR(i, MI) FOR(h, 2) s[i][j][2 * h + r] = weight(s[i][j][2 * h + r], scale * LOG2E, row_max2, inv_sum);
    }
    const int left = queries.count - query;
    if (left < COLUMNS || (causal && query < row + MI * UM)) FOR(i, MI) FOR(j, ACROSS) FOR(r, C_FLOATS) {
        const int column = j * UN + C_COLUMN(lane, r);
        if (column >= left || (causal && row + i * UM + C_ROW(lane, r) > query + column)) s[i][j][r] = 0.0f;
      }
    FOR(i, MI) FOR(t, ACROSS / 2) unit_as_a(weights[i][t], s[i][2 * t], s[i][2 * t + 1]);
    add_weighted(sums_v, weights, tile, at + TILE, UNIT_PLACE, item);
    scores_of_local(dp, values, row - first, tile, at + TILE, UNIT_PLACE, item);
    FOR(j, ACROSS) FOR(r, 2) {
      const float less = DOWN(statistic(statistics, at_numbers, 2, j * UN + C_COLUMN(lane, r)));
      FOR(i, MI) FOR(h, 2) s[i][j][2 * h + r] *= LESS_LIFTED(dp[i][j][2 * h + r], less);
    }
    FOR(i, MI) FOR(t, ACROSS / 2) unit_as_a(weights[i][t], s[i][2 * t], s[i][2 * t + 1]);
    add_weighted(sums_k, weights, tile, at, UNIT_PLACE, item);
  }
  const key_mask mask = mask_of(hidden, masked); /* rows of products are independent: only hidden ones can be NaN */
  FOR(i, MI) FOR(h, 2) factor[i][h] = scale;
  if (dk) store(dk, NULL, keys, mask, row, sums_k, factor, lane);
  FOR(i, MI) FOR(h, 2) factor[i][h] = DOWN(1.0f);
  if (dv) store(dv, NULL, keys, mask, row, sums_v, factor, lane);
}

#endif
#endif
