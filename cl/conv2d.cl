/* 2-D convolution by a matrix product. Columns hold, for some images and `out_rows` rows of output positions,
 *
 *   columns (images, K, out_rows * out_w),  K = (channel, ky, kx)
 *
 * so that y = weight (O, K) x columns. Output position (oy, ox) reads x at (oy * stride + ky - top, ox * stride + kx -
 * left), zero outside. The first output row is first_row. */
#include "conv2d_place.h"

/* A row is one (image, k). */
KERNEL void conv2d_columns(GLOBAL ELEM *columns, GLOBAL const ELEM *x, int64 x_offset, int64 rows, int32 channels,
                           int32 height, int32 width, int32 kernel_h, int32 kernel_w, int32 stride, int32 top,
                           int32 left, int32 first_row, int32 out_rows, int32 out_w) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  const int64 each = (int64)channels * kernel_h * kernel_w, image = row / each;
  const int k = (int)(row % each), kx = k % kernel_w, ky = k / kernel_w % kernel_h, channel = k / (kernel_w * kernel_h);
  x += x_offset + (image * channels + channel) * height * width;
  columns += row * out_rows * out_w;
  for (int r = 0; r < out_rows; r++) {
    const int y = (first_row + r) * stride + ky - top;
    const bool inside = y >= 0 && y < height;
    GLOBAL const ELEM *from = x + (int64)(inside ? y : 0) * width;
    GLOBAL ELEM *to = columns + (int64)r * out_w;
    FOR_COLUMNS(i, out_w) {
      const int ox = (int)i, first = ox * stride + kx - left;
      if (!inside) {
        vec_store(to, i, out_w, VEC(0));
#ifdef CPU_SHAPE
      } else if (stride == 1 && first >= 0 && first + VW <= width && ox + VW <= out_w) {
        VEC_RAW_STORE(to, i, VEC_RAW_LOAD(from, first));
      } else if (stride == 2 && first >= 0 && first + 2 * VW <= width && ox + VW <= out_w) {
        VEC_RAW_STORE(to, i, vec_evens(VEC_RAW_LOAD(from, first), VEC_RAW_LOAD(from, first + VW)));
#endif
      } else {
        for (int j = 0; j < VW && ox + j < out_w; j++) {
          const int at = first + j * stride;
          ST(to, i + j, at >= 0 && at < width ? LD(from, at) : 0.0f);
        }
      }
    }
  }
}

#ifdef CPU_SHAPE
/* A row of the next kernel, for a stride of 2: even and odd positions read different columns, each a contiguous run.
 * columns: of the row's channel; scaled: y + top. */
inline void gather_row_halved(GLOBAL float *dx, GLOBAL const float *columns, int64 positions, int width, int kernel_h,
                              int kernel_w, int scaled, int left, int first_row, int out_rows, int out_w,
                              bool accumulate) {
  for (int i = 0; i < width; i += 2 * VW) {
    vec parity[2] = {VEC(0), VEC(0)};
    for (int ky = scaled % 2; ky < kernel_h && ky <= scaled; ky += 2) {
      const int oy = (scaled - ky) / 2 - first_row;
      if (oy < 0 || oy >= out_rows) continue;
      for (int kx = 0; kx < kernel_w; kx++) {
        const int odd = (left + kx) % 2, twice = i + odd + left - kx; /* even, perhaps negative */
        parity[odd] += conv_load(columns + (ky * kernel_w + kx) * positions + (int64)oy * out_w, twice / 2, out_w);
      }
    }
    const vec low = vec_zip_low(parity[0], parity[1]), high = vec_zip_high(parity[0], parity[1]);
    vec_store(dx, i, width, accumulate ? vec_load(dx, i, width) + low : low);
    if (i + VW < width) vec_store(dx, i + VW, width, accumulate ? vec_load(dx, i + VW, width) + high : high);
  }
}
#endif

/* The transpose: dx at a position is the sum of the columns that were read from it. A row is one (image, channel, y), y
 * one of rows_y from first_y on. accumulate: dx +=, for columns that cover only part of the output rows. */
KERNEL void conv2d_gather(GLOBAL float *dx, GLOBAL const float *columns, int64 dx_offset, int64 rows, int32 channels,
                          int32 height, int32 width, int32 kernel_h, int32 kernel_w, int32 stride, int32 top,
                          int32 left, int32 first_row, int32 out_rows, int32 out_w, int32 first_y, int32 rows_y,
                          int32 accumulate) {
  ROW(rows);
  if (!row_valid) return;
  const int64 plane = row / rows_y, positions = (int64)out_rows * out_w;
  const int y = first_y + (int)(row % rows_y);
  columns += plane * kernel_h * kernel_w * positions; /* planes are (image, channel), as K begins with the channel */
  dx += dx_offset + (plane * height + y) * width;
#ifdef CPU_SHAPE
  if (stride == 2) {
    gather_row_halved(dx, columns, positions, width, kernel_h, kernel_w, y + top, left, first_row, out_rows, out_w,
                      accumulate);
    return;
  }
#endif
  FOR_COLUMNS(i, width) {
    vec sum = accumulate ? vec_load(dx, i, width) : VEC(0);
    for (int ky = 0; ky < kernel_h; ky++) {
      const int scaled_y = y + top - ky, oy = scaled_y / stride - first_row;
      if (scaled_y < 0 || scaled_y % stride || oy < 0 || oy >= out_rows) continue;
      for (int kx = 0; kx < kernel_w; kx++) {
        GLOBAL const float *from = columns + (ky * kernel_w + kx) * positions + (int64)oy * out_w;
        const int first = (int)i + left - kx;
        if (stride == 1 && first >= 0 && first + VW <= out_w) {
          sum += VEC_RAW_LOAD(from, first);
        } else {
          float part[VW];
          for (int j = 0; j < VW; j++) {
            const int scaled_x = first + j, ox = scaled_x / stride;
            part[j] = scaled_x >= 0 && scaled_x % stride == 0 && ox < out_w ? LD(from, ox) : 0.0f;
          }
          sum += VEC_FROM(part);
        }
      }
    }
    vec_store(dx, i, width, sum);
  }
}

/* flipped (C, O, taps) of weight (O, C, taps), each kernel rotated by 180 degrees: with it, the gradient of the input
 * is a convolution of the output's gradient, if the stride is 1. A row is one (o, c). */
KERNEL void conv2d_flip_weight(GLOBAL float *flipped, GLOBAL const float *weight, int64 rows, int64 channels,
                               int32 taps) {
  ROW(rows);
  if (!row_valid) return;
  const int64 o = row / channels, c = row % channels, out_channels = rows / channels;
  for (int tap = LANE; tap < taps; tap += LANES)
    ST(flipped, (c * out_channels + o) * taps + taps - 1 - tap, LD(weight, row * taps + tap));
}

/* to (O, k) of weight (O, C, taps), for a product on matrix units: k runs over groups of channels, taps, the channels
 * of a group; zero beyond the last. A row is one o. */
KERNEL void conv2d_image_weight(GLOBAL ELEM *to, GLOBAL const ELEM *weight, int64 to_offset, int64 rows, int32 channels,
                                int32 taps, int32 k) {
  ROW(rows);
  if (!row_valid) return;
  to += to_offset + row * k;
  weight += row * channels * taps;
  for (int i = LANE; i < k; i += LANES) {
    const int tap = i / GEMM_IMAGE_GROUP % taps;
    const int channel = i / (GEMM_IMAGE_GROUP * taps) * GEMM_IMAGE_GROUP + i % GEMM_IMAGE_GROUP;
    ST(to, i, channel < channels ? LD(weight, channel * taps + tap) : 0.0f);
  }
}

/* y += bias; rows are (image, channel) planes. */
KERNEL void conv2d_add_bias(GLOBAL ELEM *y, GLOBAL const float *bias, int64 rows, int64 channels, int64 plane) {
  ROW(rows);
  if (!row_valid) return;
  const float b = LD(bias, row % channels);
  y += row * plane;
  FOR_ROW_PIECES(i, plane) {
    vec v[PIECE];
    row_load(v, y, i, plane);
    EACH_OF_PIECE(k) v[k] += b;
    row_store(y, i, plane, v);
  }
}

/* sums[row] = the sum of a plane, in two levels as in GroupNorm */
#define PLANE_BLOCK 4096
KERNEL void conv2d_plane_sums(GLOBAL float *sums, GLOBAL const float *dy, int64 rows, int64 plane) {
  ROW(rows);
  ROW_SCRATCH(scratch);
  dy += row * plane;
  vec sum = VEC(0);
  for (int64 start = 0; start < plane; start += PLANE_BLOCK) {
    const int64 count = min((int64)PLANE_BLOCK, plane - start);
    vec part = VEC(0);
    FOR_ROW_PIECES(i, count) {
      vec v[PIECE];
      row_load(v, dy + start, i, count);
      EACH_OF_PIECE(k) part += v[k];
    }
    sum += part;
  }
  const float total = row_sum(sum, scratch);
  if (row_valid && LANE == 0) sums[row] = total;
}
