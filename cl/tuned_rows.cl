/* The sums and maxima of rows by the tree alone and by the device's sub-groups, for the test that their bits are the
 * same (tests/test_rows.c). */
#include "platform.h"

#ifndef CPU_SHAPE
/* A row is LANES numbers; all four results are those of each lane. */
KERNEL void row_reductions(GLOBAL float *sum, GLOBAL float *sum_tree, GLOBAL float *max, GLOBAL float *max_tree,
                           GLOBAL const float *x) {
  ROW_SCRATCH(scratch);
  const int64 i = ((int64)GROUP(0) * LOCAL_SIZE(1) + LOCAL_ID(1)) * LANES + LANE;
  const float v = x[i];
  sum[i] = row_sum(v, scratch);
  max[i] = row_max(v, scratch);
  sum_tree[i] = row_sum_tree(v, scratch, 1);
  max_tree[i] = row_max_tree(v, scratch, 1);
}
#endif
