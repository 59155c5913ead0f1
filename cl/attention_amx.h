/* What attention on AMX tiles (tuned_attention_amx.cl) is made of: the instructions, or an emulation of them, the two
 * products, the rows of a head, packed as operands of either, and masks.
 *
 *   UNIT_AMX        the tiles of AMX, and the conversions of AVX512_BF16, which every CPU with AMX has
 *   UNIT_EMULATED   with UNIT_AMX: neither, for tests on other CPUs */
#ifndef ATTENTION_AMX_H
#define ATTENTION_AMX_H
#ifdef UNIT_AMX
#define GEMM_AMX_PIECES 1
#define AB_BF16
#define C_BF16
#endif
#include "functions.h"
#include "gemm_amx_bf16.h"
#include "gemm_amx_pack.h"

#ifdef UNIT_AMX

#define ROWS        ATTENTION_AMX_ROWS
#define CHUNK       ATTENTION_AMX_CHUNK
#define WIDEST      ATTENTION_AMX_SIZE
#define PART        128
#define BAND        (2 * TILE) /* floats: sixteen columns of SIDE rows, two tiles */
#define PANEL_WORDS (CHUNK * WIDEST / 2)
#define BLOCK_WORDS (SIDE * WIDEST / 2)
#define BLOCK_SUMS  (SIDE * WIDEST)
typedef uint16 loose_uint16 __attribute__((aligned(2)));

#define NEVER (-INFINITY) /* not finite: a row of only this gives NaN, as in PyTorch */

#if SIDE != ATTENTION_AMX_SIDE
#error "the host divides rows by another number"
#endif

/* ---- what AMX and AVX-512 do, and the same without them ---- */

#ifdef UNIT_EMULATED

#define VECTORS __attribute__((noinline))
#define HELPER  inline

HELPER float16 exp2_of(float16 x) { return vec_exp(x * LN2); }
HELPER uint16 narrowed_pair(float16 near, float16 far) { return row_of(gemm_narrowed16(near), gemm_narrowed16(far)); }

VECTORS void multiply(float *sum, const uint *a, const uint *b, int steps, bool begin, bool wide) {
  for (int tile = 0; tile < 4; tile++)
    for (int i = 0; i < 16 && (wide || tile < 2); i++) {
      float16 *to = (float16 *)(sum + tile * TILE + i * 16), v = begin ? (float16)(0.0f) : *to;
      for (int k = 0; k < steps * 16; k++) {
        const uint x = a[k / 16 * STEP_WORDS + tile % 2 * TILE + i * 16 + k % 16];
        const uint16 y = *(const uint16 *)(b + k / 16 * STEP_WORDS + tile / 2 * TILE + k % 16 * 16);
        v += as_float(x << 16) * as_float16(y << 16);
        v += as_float(x & 0xffff0000u) * as_float16(y & 0xffff0000u);
      }
      *to = v;
    }
}

#else

#define WITH_AVX512 target("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq")
#define VECTORS     __attribute__((WITH_AVX512, noinline))
#define HELPER      inline __attribute__((WITH_AVX512, always_inline))
#define ALL_LANES   ((ushort)0xffff)
#define AS_ROUNDED  4 /* in the current mode, as any operation */

/* 2^x: 2^floor(x), which the last instruction applies, times a polynomial of the rest with an error of 1e-7. 0 for
 * -infinity; NaN propagates. */
HELPER float16 exp2_of(float16 x) {
  const float16 r = __builtin_ia32_reduceps512_mask(x, 1, (float16)(0.0f), ALL_LANES, AS_ROUNDED);
  float16 p = fma(r, (float16)(1.86713057e-3f), (float16)(9.01702925e-3f));
  p = fma(p, r, (float16)(5.57999139e-2f));
  p = fma(p, r, (float16)(2.40164450e-1f));
  p = fma(p, r, (float16)(6.93151312e-1f));
  p = fma(p, r, (float16)(1.0f));
  return __builtin_ia32_scalefps512_mask(p, x, (float16)(0.0f), ALL_LANES, AS_ROUNDED);
}

HELPER uint16 narrowed_pair(float16 near, float16 far) {
  return __builtin_astype(__builtin_ia32_cvtne2ps2bf16_512(far, near), uint16);
}

/* sum (SIDE x 32, sixteen columns after sixteen) = (begin ? 0 : sum) + A's block times B's strip over `steps` of 32 k.
 * Not wide: the first sixteen columns only. */
AMX void multiply(float *sum, const uint *a, const uint *b, int steps, bool begin, bool wide) {
  if (begin) {
    __builtin_ia32_tilezero(0);
    __builtin_ia32_tilezero(1);
    __builtin_ia32_tilezero(2);
    __builtin_ia32_tilezero(3);
  } else {
    __builtin_ia32_tileloadd64(0, sum, 64);
    __builtin_ia32_tileloadd64(2, sum + TILE, 64);
    if (wide) {
      __builtin_ia32_tileloadd64(1, sum + 2 * TILE, 64);
      __builtin_ia32_tileloadd64(3, sum + 3 * TILE, 64);
    }
  }
  if (!wide) {
    for (int s = 0; s < steps; s++, a += STEP_WORDS, b += STEP_WORDS) {
      __builtin_ia32_tileloadd64(4, a, 64);
      __builtin_ia32_tileloadd64(6, b, 64);
      __builtin_ia32_tileloadd64(5, a + TILE, 64);
      __builtin_ia32_tdpbf16ps(0, 4, 6);
      __builtin_ia32_tdpbf16ps(2, 5, 6);
    }
    __builtin_ia32_tilestored64(0, sum, 64);
    __builtin_ia32_tilestored64(2, sum + TILE, 64);
    return;
  }
  for (int s = 0; s < steps; s++, a += STEP_WORDS, b += STEP_WORDS) {
    __builtin_ia32_tileloadd64(4, a, 64);
    __builtin_ia32_tileloadd64(6, b, 64);
    __builtin_ia32_tileloadd64(7, b + TILE, 64);
    __builtin_ia32_tileloadd64(5, a + TILE, 64);
    MULTIPLY();
  }
  __builtin_ia32_tilestored64(0, sum, 64);
  __builtin_ia32_tilestored64(2, sum + TILE, 64);
  __builtin_ia32_tilestored64(1, sum + 2 * TILE, 64);
  __builtin_ia32_tilestored64(3, sum + 3 * TILE, 64);
}

#endif

/* ---- products ---- */

/* s = a block of rows times columns [first, end) of a panel of `steps` of 32 k; first is a multiple of 32. What follows
 * `end` in its strip is undefined. */
inline void scores(float *s, const uint *block, const uint *panel, int steps, int first, int end) {
  for (int j = first; j < end; j += SIDE)
    multiply(s + (j - first) / 16 * BAND, block, panel + j / SIDE * steps * STEP_WORDS, steps, true, j + 16 < end);
}

/* sums (SIDE, size) = (begin ? 0 : sums) + `steps` of 32 weights times a panel of `of` steps, from step `first` on */
inline void add_weighted(float *sums, const uint *weights, const uint *panel, int of, int first, int steps, int size,
                         bool begin) {
  for (int j = 0; j < size; j += SIDE)
    multiply(sums + j / 16 * BAND, weights, panel + (j / SIDE * of + first) * STEP_WORDS, steps, begin, j + 16 < size);
}

/* ---- the two sides ---- */

typedef struct side { /* the rows of one head of a (B, count, H, D) tensor */
  int64 base, pitch;
  int count;
} side;

inline side side_of(int64 count, int32 heads, int32 size) {
  side s;
  s.pitch = (int64)heads * size;
  s.base = GROUP(2) * count * s.pitch + (int64)GROUP(1) * size;
  s.count = (int)count;
  return s;
}

/* The length of chunks: a multiple of 32. */
inline int chunk_of(int count) {
  const int chunks = (count + CHUNK - 1) / CHUNK;
  return ((count + chunks - 1) / chunks + SIDE - 1) / SIDE * SIDE;
}
inline int steps_of(int count) { return (count + STEP - 1) / STEP; }

/* Rows of x from `first` on: as columns of B, as rows of B, as rows of A. Zero beyond the last. */
inline void pack_columns(uint *panel, GLOBAL const gemm_ab *x, side s, int first, int count, int size) {
  pack_b_columns(panel, x + s.base + first * s.pitch, s.pitch, size, count);
}
inline void pack_rows(uint *panel, GLOBAL const gemm_ab *x, side s, int first, int count, int size) {
  pack_b_rows(panel, x + s.base + first * s.pitch, s.pitch, count, size);
}
inline void pack_own(uint *block, GLOBAL const gemm_ab *x, side s, int first, int size) {
  pack_a_rows(block, x + s.base + first * s.pitch, s.pitch, size, min(SIDE, s.count - first));
}

/* The distance from this head's rows to those of the next work-item, if that has another head; 0: it has not. */
inline int64 next_head(side s, int32 heads, int32 size) {
  if (GROUP(0) + 1 < GROUPS(0)) return 0;
  if (GROUP(1) + 1 < heads) return size;
  return GROUP(2) + 1 < GROUPS(2) ? (s.count - 1) * s.pitch + size : 0;
}

/* Prefetches rows [first, end) of x and y. A head's rows are too far apart for the hardware's prefetcher. */
inline void fetch(GLOBAL const gemm_ab *x, GLOBAL const gemm_ab *y, side s, int first, int end, int size) {
  for (int n = first; n < end; n++)
    for (int i = 0; i < size; i += 32) {
      PREFETCH(x + s.base + n * s.pitch + i);
      PREFETCH(y + s.base + n * s.pitch + i);
    }
}

/* The same for a part of the next head's rows, the share of block `block` of `blocks`. */
inline void fetch_next(GLOBAL const gemm_ab *x, GLOBAL const gemm_ab *y, side s, int64 ahead, int block, int blocks,
                       int size) {
  s.base += ahead;
  if (ahead) fetch(x, y, s, block * s.count / blocks, (block + 1) * s.count / blocks, size);
}

/* ---- masks ---- */

/* hide[j] = -1: no query sees key first + j. */
inline void load_mask(int *hide, GLOBAL const int32 *hidden, int64 masked, int first, int count) {
  hidden += GROUP(2) * masked;
  for (int j = 0; j < (count + SIDE - 1) / SIDE * SIDE; j++)
    hide[j] = j < count && first + j < masked && hidden[first + j] ? -1 : 0;
}

/* Zeroes the hidden keys of a panel: what they hold must not even be multiplied by 0. */
inline void erase_columns(uint *panel, const int *hide, int count, int size) {
  const int steps = steps_of(size);
  for (int j = 0; j < count; j += 16) {
    const uint16 keep = ~as_uint16(*(const int16 *)(hide + j));
    uint *to = panel + j / SIDE * steps * STEP_WORDS + j % SIDE / 16 * TILE;
    for (int i = 0; i < steps * 16; i++) {
      uint *pairs = to + i / 16 * STEP_WORDS + i % 16 * 16;
      PUT(pairs, keep & *(const uint16 *)pairs);
    }
  }
}
inline void erase_rows(uint *panel, const int *hide, int count, int size) {
  const int steps = steps_of(count);
  for (int i = 0; i < count; i += 2) {
    const uint keep = ~(((uint)hide[i] & 0xffffu) | (uint)hide[i + 1] << 16);
    for (int j = 0; j < size && keep != ~0u; j += 16) {
      uint *pairs = panel + (j / SIDE * steps + i / STEP) * STEP_WORDS + j % SIDE / 16 * TILE + i % STEP / 2 * 16;
      PUT(pairs, keep & *(const uint16 *)pairs);
    }
  }
}

#endif
#endif
