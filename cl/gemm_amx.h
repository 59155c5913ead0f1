/* What the matrix products on AMX tiles share: tiles of 16 rows of 64 bytes, sixteen elements at a time, squares turned
 * in registers. A tile of A is 16 rows of 32 bfloat16 along k, a tile of B 16 pairs of k of 16 columns. */
#ifndef GEMM_AMX_H
#define GEMM_AMX_H
#include "gemm_storage.h"

#ifdef GEMM_AMX_PIECES /* bfloat16 parts of a number; every program includes this header, even without such a kernel   \
                        */

#define SIDE       GEMM_AMX_ROWS
#define STEP       32                           /* k of a tile */
#define TILE       256                          /* words of a tile: 16 x 16 pairs of bfloat16 */
#define STEP_WORDS (GEMM_AMX_PIECES * 2 * TILE) /* for 32 k of 32 rows of A or columns of B */

#define ALIGNED    __attribute__((aligned(64)))
#define AMX        __attribute__((target("amx-bf16,amx-tile"), noinline))

/* ---- runs: 16 adjacent elements of A or B ---- */

/* Loads and stores go through pointers: PoCL's vload16 and vstore16 work element by element, or by quarters, for some
 * types. */
#ifdef AB_BF16
typedef ushort16 run;
#define LOAD_RUN(p) *(GLOBAL const loose_ushort16 *)(p)
#else
typedef float16 run;
#define LOAD_RUN(p) vload16(0, p)
#endif
#define PUT(to, v) *(uint16 *)(to) = (v)

/* Elements from n on are 0. */
inline run load_run(GLOBAL const gemm_ab *p, int n) {
  if (n >= 16) return LOAD_RUN(p);
  gemm_ab part[16] ALIGNED;
  for (int i = 0; i < 16; i++) part[i] = i < n ? p[i] : (gemm_ab)0;
  return vload16(0, part);
}

/* Transposes a 16 x 16 square, rows in v: four rounds that exchange halves of ever smaller blocks. */
#define TURN(v, far, LOW, UP)                                                                                          \
  for (int i = 0; i < 16; i++)                                                                                         \
    if (!(i & far)) {                                                                                                  \
      const float16 x = v[i], y = v[i + far];                                                                          \
      v[i] = LOW(x, y);                                                                                                \
      v[i + far] = UP(x, y);                                                                                           \
    }
#define LOW8(x, y) (float16)(x.s01234567, y.s01234567)
#define UP8(x, y)  (float16)(x.s89abcdef, y.s89abcdef)
#define LOW4(x, y) (float16)(x.s0123, y.s0123, x.s89ab, y.s89ab)
#define UP4(x, y)  (float16)(x.s4567, y.s4567, x.scdef, y.scdef)
#define LOW2(x, y) (float16)(x.s01, y.s01, x.s45, y.s45, x.s89, y.s89, x.scd, y.scd)
#define UP2(x, y)  (float16)(x.s23, y.s23, x.s67, y.s67, x.sab, y.sab, x.sef, y.sef)
#define LOW1(x, y)                                                                                                     \
  (float16)(x.s0, y.s0, x.s2, y.s2, x.s4, y.s4, x.s6, y.s6, x.s8, y.s8, x.sa, y.sa, x.sc, y.sc, x.se, y.se)
#define UP1(x, y)                                                                                                      \
  (float16)(x.s1, y.s1, x.s3, y.s3, x.s5, y.s5, x.s7, y.s7, x.s9, y.s9, x.sb, y.sb, x.sd, y.sd, x.sf, y.sf)

inline void turn(float16 *v) {
  TURN(v, 8, LOW8, UP8)
  TURN(v, 4, LOW4, UP4)
  TURN(v, 2, LOW2, UP2)
  TURN(v, 1, LOW1, UP1)
}

/* ---- tiles ---- */

#ifdef UNIT_EMULATED /* without AMX: a kernel that supports it computes the products itself */
inline void tiles_on(void) {}
inline void tiles_off(void) {}
#else
/* C's four tiles 0 to 3 += A's two halves 4 and 5 times B's 6 and 7. */
#define MULTIPLY()                                                                                                     \
  __builtin_ia32_tdpbf16ps(0, 4, 6);                                                                                   \
  __builtin_ia32_tdpbf16ps(1, 4, 7);                                                                                   \
  __builtin_ia32_tdpbf16ps(2, 5, 6);                                                                                   \
  __builtin_ia32_tdpbf16ps(3, 5, 7)

/* Two tiles, `apart` words from one to the other, whose rows are `stride` bytes apart. */
#define TILES_LOAD(first, second, from, apart, stride)                                                                 \
  __builtin_ia32_tileloadd64(first, from, stride);                                                                     \
  __builtin_ia32_tileloadd64(second, (from) + (apart), stride)

/* C's four tiles are 32 x 32 sums, row by row in memory. */
#define SUMS_BEGIN()                                                                                                   \
  __builtin_ia32_tilezero(0);                                                                                          \
  __builtin_ia32_tilezero(1);                                                                                          \
  __builtin_ia32_tilezero(2);                                                                                          \
  __builtin_ia32_tilezero(3)
#define SUMS_LOAD(sum, begin)                                                                                          \
  if (begin) {                                                                                                         \
    SUMS_BEGIN();                                                                                                      \
  } else {                                                                                                             \
    __builtin_ia32_tileloadd64(0, sum, 4 * SIDE);                                                                      \
    __builtin_ia32_tileloadd64(1, sum + 16, 4 * SIDE);                                                                 \
    __builtin_ia32_tileloadd64(2, sum + 16 * SIDE, 4 * SIDE);                                                          \
    __builtin_ia32_tileloadd64(3, sum + 16 * SIDE + 16, 4 * SIDE);                                                     \
  }
#define SUMS_STORE(sum)                                                                                                \
  __builtin_ia32_tilestored64(0, sum, 4 * SIDE);                                                                       \
  __builtin_ia32_tilestored64(1, sum + 16, 4 * SIDE);                                                                  \
  __builtin_ia32_tilestored64(2, sum + 16 * SIDE, 4 * SIDE);                                                           \
  __builtin_ia32_tilestored64(3, sum + 16 * SIDE + 16, 4 * SIDE)

/* Palette 1, eight tiles of 16 rows of 64 bytes: the 64 bytes that LDTILECFG reads. */
AMX void tiles_on(void) {
  uint words[16] ALIGNED;
  for (int i = 0; i < 16; i++) words[i] = 0;
  words[0] = 1;
  for (int i = 4; i < 8; i++) words[i] = 64u << 16 | 64u;
  for (int i = 12; i < 14; i++) words[i] = 0x10101010u;
  __builtin_ia32_tile_loadconfig(words);
}
AMX void tiles_off(void) { __builtin_ia32_tilerelease(); }
#endif

#endif
#endif
