/* What the kernels of streaming attention on matrix units share (tuned_attention_matrix.cl,
 * tuned_attention_columns.cl): the rows of a head, its mask, and what is the same for every row of the scores. A kernel
 * defines WAVE_ROWS, the rows that one of its waves owns, and, as compilation options, what its head describes. */
#ifndef ATTENTION_MATRIX_TILE_H
#define ATTENTION_MATRIX_TILE_H
#include "launch.h"
#ifdef WAVE_ROWS /* every program includes this header, even without such a kernel */
#ifdef UNIT_DPAS8
#define WAVES ATTENTION_NARROW_WAVES
#else
#define WAVES ATTENTION_MATRIX_WAVES
#endif
#define ITEMS      (WAVES * WAVE)
#define UNIT_ITEMS ITEMS
#endif
#include "attention_matrix_units.h"

#ifdef WAVE_ROWS
#ifndef WAVE
#error "no matrix unit chosen: see gemm_matrix_units.h"
#endif

#define ROWS   (WAVES * WAVE_ROWS)
#define PIECES (SIZE / 8)         /* 16-byte pieces per row */
#define STEPS  ((SIZE + 15) / 16) /* steps per product along a row */
#define PITCH  (2 * STEPS + 1)    /* row stride in local memory, in pieces */
#ifdef UNIT_BLOCKS                /* where local memory holds a row's piece: A of a step at once, see below */
#define BLOCK                18   /* pieces from one A to the next */
#define PIECE_AT(row, piece) (((row) / UM * STEPS + (piece) / 2) * BLOCK + (row) % UM * 2 + (piece) % 2)
#define TILE_PIECES(rows)    ((rows) / UM * STEPS * BLOCK)
#else
#define PIECE_AT(row, piece) ((row)*PITCH + (piece))
#define TILE_PIECES(rows)    ((rows)*PITCH)
#endif
#define NEVER (-as_float(0x7f800000)) /* -infinity: a row of only this gives NaN, as in PyTorch */
#ifndef MASKED
#define MASKED 0
#endif

#ifdef UNIT_EMULATED /* its barriers must not be duplicated by unrolling */
#undef UNROLL
#define UNROLL
#endif
#define FOR(i, n) UNROLL for (int i = 0; i < (n); i++)

typedef struct side { /* the rows of one head of a (B, count, H, SIZE) tensor; offsets in pieces of 16 bytes */
  int64 base;
  int pitch, count;
} side;

inline side head_of(int64 count, int heads) {
  side s;
  s.pitch = heads * PIECES;
  s.base = GROUP(2) * count * s.pitch + (int64)GROUP(1) * PIECES;
  s.count = (int)count;
  return s;
}

typedef struct key_mask { /* of one sample */
  GLOBAL const int32 *hidden;
  int count;
} key_mask;

inline key_mask mask_of(GLOBAL const int32 *hidden, int64 masked) {
  key_mask m;
  m.hidden = hidden + GROUP(2) * masked;
  m.count = (int)masked;
  return m;
}

inline key_mask no_mask(void) {
  key_mask m;
  m.hidden = NULL;
  m.count = 0;
  return m;
}

inline bool is_hidden(key_mask m, int key) { return MASKED && m.hidden && key < m.count && m.hidden[key] != 0; }

/* Zeroes the end of each row, which no copy fills but products read. */
inline void clear_ends(LOCAL_PTR uint4 *tiles, int rows, int item) {
#if SIZE % 16
  for (int row = item; row < rows; row += ITEMS) FOR(i, 4)((LOCAL_PTR uint32 *)(tiles + PIECE_AT(row, PIECES)))[i] = 0u;
#endif
}

/* How many keys of a tile query n sees; the tile has `left` keys, the first is `key`. */
inline int seen(int n, int key, int left, int causal) { return causal ? min(n - key + 1, left) : left; }

/* Whether a wave with queries from `row` on can skip the tile whose first key is `key`. */
inline bool rests_now(int row, int nq, int key, int causal) {
  return UNIT_MAY_REST && (row >= nq || (causal && key >= row + WAVE_ROWS));
}

/* The weight of a score, backward: p = exp(s - row_max) inv_sum; then ds = p (dp - delta), dp = dout v^T. scale2: the
 * scale of the scores times log2 e. */
inline float weight(float s, float scale2, float row_max2, float inv_sum) {
  return unit_exp2(fma(s, scale2, -row_max2)) * inv_sum;
}

/* Weights are at most 1, and half precision is exact from 2^-14 on only. So it has weights times LIFT as operands,
 * which the results are divided by; both are exact. Gradients of scores have no such bound and stay: their range is
 * dout's, which the loss scale takes care of. */
#ifdef AB_F16
#define LIFT_LOG2                14.0f
#define LIFT                     0x1p14f
#define LIFTED_EXPONENT(base)    (LIFT_LOG2 - (base))
#define DOWN(x)                  ((x) * (1.0f / LIFT))
#define LIFTED(x)                ((x)*LIFT)
#define LESS_LIFTED(dp, lowered) fma(dp, 1.0f / LIFT, -(lowered)) /* (dp - delta) / LIFT; lowered: DOWN(delta) */
#else
#define LIFTED_EXPONENT(base)    (-(base))
#define DOWN(x)                  (x)
#define LIFTED(x)                (x)
#define LESS_LIFTED(dp, lowered) ((dp) - (lowered))
#endif

#endif
#endif
