/* Packing of float32 matrices for AMX tiles, three bfloat16 pieces to a number, and the order of the products of
 * pieces: tuned_gemm_amx.cl says why. Used by that and by tuned_conv_amx.cl. */
#ifndef GEMM_AMX_F32_H
#define GEMM_AMX_F32_H
#include "gemm_amx.h"

#if defined(GEMM_AMX_PIECES) && GEMM_AMX_PIECES == 3

/* Three pieces of 16 numbers, each in the upper halves of 16 words. */

#define HIGH 0xffff0000u

typedef struct pieces {
  uint16 p1, p2, p3;
} pieces;

/* The integer addition, which rounds half away from 0, would carry a NaN of all ones to 0 and the largest numbers to
 * Inf: those are truncated instead. The first piece's remainder has 16 bits, the second's 8. */
inline pieces split(float16 x) {
  const uint16 u = as_uint16(x), magnitude = u & 0x7fffffffu;
  pieces s;
  s.p1 = (magnitude < 0x7f7f8000u ? u + 0x8000u : u) & HIGH;
  const float16 r = x - as_float16(s.p1);
  s.p2 = (as_uint16(r) + 0x8000u) & HIGH;
  s.p3 = as_uint16(r - as_float16(s.p2));
  return s;
}

/* Sixteen pairs adjacent along k, the even one in a word's lower half; `apart`: words from a piece to the next. */
inline void put_pieces(uint *to, int apart, run even, run odd) {
  const pieces e = split(even), o = split(odd);
  PUT(to, e.p1 >> 16 | o.p1);
  PUT(to + apart, e.p2 >> 16 | o.p2);
  PUT(to + 2 * apart, e.p3 >> 16 | (o.p3 & HIGH));
}
/* 32 numbers along k. */
inline void put_along(uint *to, int apart, run x, run y) {
  put_pieces(to, apart, (float16)(x.even, y.even), (float16)(x.odd, y.odd));
}

/* What gemm_amx_pack.h requires. put_square: 32 k of 16 rows, transposed into 16 rows of pairs of 16 columns. put_rows:
 * from 32 k of 16 columns, 16 rows along k. */
inline void put_pairs(uint *to, run even, run odd) { put_pieces(to, 2 * TILE, even, odd); }
inline void put_row(uint *to, run x, run y) { put_along(to, 2 * TILE, x, y); }
inline void put_square(uint *to, run *near, run *far) {
  turn(near);
  turn(far);
  for (int i = 0; i < 8; i++) put_pairs(to + i * 16, near[2 * i], near[2 * i + 1]);
  for (int i = 0; i < 8; i++) put_pairs(to + (8 + i) * 16, far[2 * i], far[2 * i + 1]);
}
inline void put_rows(uint *to, run *columns) {
  turn(columns);
  turn(columns + 16);
  for (int i = 0; i < 16; i++) put_row(to + i * 16, columns[i], columns[16 + i]);
}
/* C's tiles += 32 k of A times those of B: the five small products of pieces, and the large one. The kernel defines
 * LOAD_A(x, piece) and LOAD_B(y, piece), which load a piece's two tiles. */
#define MULTIPLY_SMALL(x, y)                                                                                           \
  LOAD_A(x, 3);                                                                                                        \
  LOAD_B(y, 1);                                                                                                        \
  MULTIPLY();                                                                                                          \
  LOAD_A(x, 2);                                                                                                        \
  MULTIPLY();                                                                                                          \
  LOAD_B(y, 2);                                                                                                        \
  MULTIPLY();                                                                                                          \
  LOAD_A(x, 1);                                                                                                        \
  MULTIPLY();                                                                                                          \
  LOAD_B(y, 3);                                                                                                        \
  MULTIPLY()
#define MULTIPLY_LARGE(x, y)                                                                                           \
  LOAD_A(x, 1);                                                                                                        \
  LOAD_B(y, 1);                                                                                                        \
  MULTIPLY()

#endif
#endif
