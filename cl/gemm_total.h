/* The sums of a CPU's product over several blocks of k: kept in C itself or, if C is narrow, in private memory of
 * TOTAL_FLOATS (defined by the including kernel) and rounded once at the end. */
#ifndef GEMM_TOTAL_H
#define GEMM_TOTAL_H
#include "gemm_storage.h"

#ifdef C_NARROW
#define TOTAL
inline void read_total(float *total, int nb, GLOBAL const gemm_c *c, int64 ldc, int rows, int columns) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) total[i * nb + j] = C_LOAD(c, i * ldc + j);
}
inline void write_total(const float *total, int nb, GLOBAL gemm_c *c, int64 ldc, int rows, int columns) {
  for (int i = 0; i < rows; i++) {
    int j = 0;
    for (; j + 16 <= columns; j += 16) C_STORE16(c + i * ldc + j, vload16(0, total + i * nb + j));
    for (; j < columns; j++) C_STORE(c, i * ldc + j, total[i * nb + j]);
  }
}
/* For a kernel with beta, nb, c, ldc and its own rows and columns of C: declares total and its ld. */
#define TOTAL_BEGIN                                                                                                    \
  float total[TOTAL_FLOATS] __attribute__((aligned(64)));                                                              \
  const int64 ld = nb;                                                                                                 \
  if (beta != 0.0f) read_total(total, nb, c, ldc, rows, columns);
#define TOTAL_END write_total(total, nb, c, ldc, rows, columns);
#else
#define TOTAL GLOBAL
#define TOTAL_BEGIN                                                                                                    \
  GLOBAL float *total = c;                                                                                             \
  const int64 ld = ldc;
#define TOTAL_END
#endif

#endif
