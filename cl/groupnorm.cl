/* GroupNorm: x (B, C, H, W); a group's elements are contiguous in a sample, so a (sample, group) is a row of
 * channels_each * plane elements. Sums use two levels (blocks of GROUPNORM_BLOCK), which keeps float32 accurate enough
 * over 200 000 elements. */
#define GROUPNORM_BLOCK                      4096
#define FOR_GROUPNORM_BLOCKS(start, columns) for (int64 start = 0; start < (columns); start += GROUPNORM_BLOCK)

KERNEL void groupnorm_forward(GLOBAL ELEM *y, GLOBAL float *mean, GLOBAL float *rstd, GLOBAL const ELEM *x,
                              GLOBAL const float *weight, GLOBAL const float *bias, float eps, int64 rows, int64 groups,
                              int64 channels_each, int64 plane) {
  ROW(rows);
  ROW_SCRATCH(scratch);
  const int64 columns = channels_each * plane, channel = row % groups * channels_each;
  x += row * columns;
  y += row * columns;
  vec sum = VEC(0);
  FOR_GROUPNORM_BLOCKS(start, columns) {
    const int64 count = min((int64)GROUPNORM_BLOCK, columns - start);
    vec part = VEC(0);
    FOR_ROW_PIECES(i, count) {
      vec v[PIECE];
      row_load(v, x + start, i, count);
      EACH_OF_PIECE(k) part += v[k];
    }
    sum += part;
  }
  const float m = row_sum(sum, scratch) / (float)columns;
  sum = VEC(0);
  FOR_GROUPNORM_BLOCKS(start, columns) {
    const int64 count = min((int64)GROUPNORM_BLOCK, columns - start);
    vec part = VEC(0);
    FOR_ROW_PIECES(i, count) {
      vec v[PIECE];
      row_load(v, x + start, i, count);
      EACH_OF_PIECE(k) {
        const vec d = vec_keep(v[k] - m, i, count, 0.0f);
        part += d * d;
      }
    }
    sum += part;
  }
  const float r = 1.0f / sqrt(row_sum(sum, scratch) / (float)columns + eps);
  if (!row_valid) return; /* no barrier below */
  if (mean && LANE == 0) mean[row] = m;
  if (rstd && LANE == 0) rstd[row] = r;
  for (int64 c = 0; c < channels_each; c++) {
    const float scale = LD(weight, channel + c) * r, shift = LD(bias, channel + c);
    FOR_ROW_PIECES(i, plane) {
      vec v[PIECE];
      row_load(v, x + c * plane, i, plane);
      EACH_OF_PIECE(k) v[k] = (v[k] - m) * scale + shift;
      row_store(y + c * plane, i, plane, v);
    }
  }
}

/* Rows are (sample, channel) planes: dbias[row] = sum of dy, dweight[row] = sum of dy * (x - mean) * rstd; NULL
 * if nothing reads the result. */
KERNEL void groupnorm_sums(GLOBAL float *dweight, GLOBAL float *dbias, GLOBAL const ELEM *dy, GLOBAL const ELEM *x,
                           GLOBAL const float *mean, GLOBAL const float *rstd, int64 rows, int64 channels_each,
                           int64 plane) {
  ROW(rows);
  ROW_SCRATCH(scratch);
  const int64 group = row / channels_each; /* of the whole batch */
  const float m = mean[group];
  x += row * plane;
  dy += row * plane;
  vec sum = VEC(0), product = VEC(0);
  FOR_GROUPNORM_BLOCKS(start, plane) {
    const int64 count = min((int64)GROUPNORM_BLOCK, plane - start);
    vec part = VEC(0), part_product = VEC(0);
    FOR_ROW_PIECES(i, count) {
      vec d[PIECE], v[PIECE];
      row_load(d, dy + start, i, count);
      row_load(v, x + start, i, count);
      EACH_OF_PIECE(k) {
        part += d[k];
        part_product += d[k] * (v[k] - m); /* d is 0 past the end */
      }
    }
    sum += part;
    product += part_product;
  }
  const float total = row_sum(sum, scratch), total_product = row_sum(product, scratch) * rstd[group];
  if (!row_valid || LANE != 0) return;
  if (dbias) dbias[row] = total;
  if (dweight) dweight[row] = total_product;
}

/* dx = rstd (w dy - (s + xhat p) / n), s = sum of w dy and p = sum of w dy xhat over the group */
KERNEL void groupnorm_backward(GLOBAL ELEM *dx, GLOBAL const ELEM *dy, GLOBAL const ELEM *x, GLOBAL const float *weight,
                               GLOBAL const float *mean, GLOBAL const float *rstd, GLOBAL const float *dweight,
                               GLOBAL const float *dbias, int64 rows, int64 groups, int64 channels_each, int64 plane) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  const int64 columns = channels_each * plane, channel = row % groups * channels_each;
  const float m = mean[row], r = rstd[row];
  x += row * columns;
  dy += row * columns;
  dx += row * columns;
  float s = 0.0f, p = 0.0f;
  for (int64 c = 0; c < channels_each; c++) {
    const float w = LD(weight, channel + c);
    s += w * dbias[row * channels_each + c];
    p += w * dweight[row * channels_each + c];
  }
  s /= (float)columns;
  p /= (float)columns;
  for (int64 c = 0; c < channels_each; c++) {
    const float w = LD(weight, channel + c);
    FOR_ROW_PIECES(i, plane) {
      vec v[PIECE], d[PIECE];
      row_load(v, x + c * plane, i, plane);
      row_load(d, dy + c * plane, i, plane);
      EACH_OF_PIECE(k) d[k] = r * (w * d[k] - s - (v[k] - m) * r * p);
      row_store(dx + c * plane, i, plane, d);
    }
  }
}
