/* Packing of bfloat16 matrices for AMX tiles, one piece to a number: what gemm_amx_pack.h requires. Used by
 * tuned_gemm_amx_bf16.cl, tuned_conv_amx.cl and tuned_attention_amx.cl. */
#ifndef GEMM_AMX_BF16_H
#define GEMM_AMX_BF16_H
#include "gemm_amx.h"

#if defined(GEMM_AMX_PIECES) && GEMM_AMX_PIECES == 1

/* put_pairs: sixteen pairs adjacent along k, the even one in a word's lower half. put_row: 32 numbers along k.
 * put_square: 32 k of 16 rows, transposed into 16 rows of pairs of 16 columns. */
#define ZIP(even, odd, type)                                                                                           \
  __builtin_astype(__builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24,   \
                                           9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),                     \
                   type)
inline void put_pairs(uint *to, run even, run odd) { PUT(to, ZIP(even, odd, uint16)); }
inline uint16 row_of(run x, run y) { return (uint16)(as_uint8(x), as_uint8(y)); }
inline void put_row(uint *to, run x, run y) { PUT(to, row_of(x, y)); }
inline void put_square(uint *to, const run *near, const run *far) {
  float16 v[16];
  for (int i = 0; i < 16; i++) v[i] = as_float16(row_of(near[i], far[i]));
  turn(v);
  for (int i = 0; i < 16; i++) PUT(to + i * 16, as_uint16(v[i]));
}
/* From 32 k of 16 columns: 16 rows along k. */
inline void put_rows(uint *to, const run *columns) {
  float16 v[16];
  for (int i = 0; i < 16; i++) v[i] = ZIP(columns[2 * i], columns[2 * i + 1], float16);
  turn(v);
  for (int i = 0; i < 16; i++) PUT(to + i * 16, as_uint16(v[i]));
}

#endif
#endif
