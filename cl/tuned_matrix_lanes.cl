/* One instruction of a matrix unit, for the test of what each lane holds (tests/test_matrix_lanes.c). */
#define UNIT_ITEMS WAVE /* a work-group is one wave */
#include "gemm_matrix_units.h"

#ifndef WAVE
#error "no matrix unit chosen: see gemm_matrix_units.h"
#endif

/* c += a b. The words of lane i are side by side, and lanes after one another. places: where the kernels that use the
 * unit expect each word and float of each lane: A_ROW and A_WORD, B_COLUMN and B_WORD, C_ROW and C_COLUMN. */
UNIT_SUB_GROUP KERNEL_SIZED(WAVE, 1, 1) void matrix_lanes(GLOBAL float *c, GLOBAL int32 *places, GLOBAL const uint32 *a,
                                                          GLOBAL const uint32 *b) {
  UNIT_DECLARE
  const int item = LOCAL_ID(0), lane = item % WAVE;
  uint32 own_a[A_WORDS], own_b[B_WORDS];
  float own_c[C_FLOATS];
  GLOBAL int32 *place = places + 2 * lane * (A_WORDS + B_WORDS + C_FLOATS);
  for (int i = 0; i < A_WORDS; i++) {
    own_a[i] = a[lane * A_WORDS + i];
    place[2 * i] = A_ROW(lane, i), place[2 * i + 1] = A_WORD(lane, i);
  }
  place += 2 * A_WORDS;
  for (int i = 0; i < B_WORDS; i++) {
    own_b[i] = b[lane * B_WORDS + i];
    place[2 * i] = B_COLUMN(lane, i), place[2 * i + 1] = B_WORD(lane, i);
  }
  place += 2 * B_WORDS;
  for (int i = 0; i < C_FLOATS; i++) {
    own_c[i] = c[lane * C_FLOATS + i];
    place[2 * i] = C_ROW(lane, i), place[2 * i + 1] = C_COLUMN(lane, i);
  }
  unit_multiply(own_c, own_a, own_b, UNIT_PLACE, item);
  for (int i = 0; i < C_FLOATS; i++) c[lane * C_FLOATS + i] = own_c[i];
}
