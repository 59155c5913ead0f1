/* 3 x 3 convolution with stride 1 and zero padding of 1, on CPUs, with 4 multiplications where the direct sum takes 9:
 * Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
 * CVPR 2016). A tile of 2 x 2 outputs reads d, 4 x 4 inputs:
 *
 *   tile = A^T [ sum over the input channels of (G w G^T) * (B^T d B) ] A,   * element by element
 *
 *   G = | 1   0   0  |   B^T = | 1  0 -1  0 |   A^T = | 1 1  1  0 |
 *       | 1/2 1/2 1/2|         | 0  1  1  0 |         | 0 1 -1 -1 |
 *       | 1/2-1/2 1/2|         | 0 -1  1  0 |
 *       | 0   0   1  |         | 0  1  0 -1 |
 *
 * so that each of the 16 elements is a matrix product over the channels. Only additions and halves are added, so the
 * error stays near that of the direct sum; larger tiles would save more and round much worse.
 *
 *   weights:   G w G^T, made by conv2d_winograd_weight: [chunk of input channels][group of output channels][element]
 *              [WINOGRAD_GROUP][WINOGRAD_CHANNELS], zero past the last channels
 *   work-item: WINOGRAD_BLOCK vectors of tiles of an image x WINOGRAD_OUT output channels; a vector is VW tiles side by
 *              side in one row of tiles
 *   panel:     B^T d B of a chunk, [vector][element][WINOGRAD_CHANNELS]
 *
 * A chunk's sums are transformed and added to y, in the order of the channels, so results do not depend on blocks. The
 * host side is backend/chooser/gemm_own.c. */
#include "conv2d_place.h"
#ifdef CPU_SHAPE

#ifdef __AVX512F__ /* 32 registers of a whole vec */
#define WINOGRAD_ROWS 12
#else
#define WINOGRAD_ROWS 6
#endif
#define WINOGRAD_PLANE (WINOGRAD_GROUP * WINOGRAD_CHANNELS) /* weights of a chunk, group and element */

typedef struct winograd_place {
  int y, x; /* the vector's first output */
} winograd_place;

inline winograd_place winograd_locate(int vector, int across) {
  winograd_place at;
  at.y = vector / across * 2;
  at.x = vector % across * 2 * VW;
  return at;
}

/* d: row r of the inputs of a vector of tiles, from element `from` on; zero outside the image. */
inline void winograd_inputs(vec *d, GLOBAL const float *x, int64 from, int64 total, const veci *inside) {
  const vec a = conv_load(x, from, total), b = conv_load(x, from + VW, total);
  const vec e = conv_load(x, from + 2, total), f = conv_load(x, from + 2 + VW, total);
  d[0] = INT_AS_VEC(inside[0] & VEC_AS_INT(vec_evens(a, b)));
  d[1] = INT_AS_VEC(inside[1] & VEC_AS_INT(vec_odds(a, b)));
  d[2] = INT_AS_VEC(inside[2] & VEC_AS_INT(vec_evens(e, f)));
  d[3] = INT_AS_VEC(inside[3] & VEC_AS_INT(vec_odds(e, f)));
}

/* Fills the panel of one vector of tiles: B^T d B of `channels` channels from x's element `first` on. */
inline void winograd_fill(vec *panel, GLOBAL const float *x, int64 first, int64 total, winograd_place at, int channels,
                          int height, int width) {
  const veci column = vec_index() * 2 + (at.x - 1);
  veci inside[4];
  for (int k = 0; k < 4; k++) inside[k] = column + k >= 0 && column + k < width;
  for (int c = 0; c < channels; c++) {
    const int64 corner = first + ((int64)c * height + at.y - 1) * width + at.x - 1;
    vec d[4][4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
      if (at.y - 1 + r >= 0 && at.y - 1 + r < height)
        winograd_inputs(d[r], x, corner + r * width, total, inside);
      else
        d[r][0] = d[r][1] = d[r][2] = d[r][3] = VEC(0);
    }
    vec t[4][4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      t[0][k] = d[0][k] - d[2][k];
      t[1][k] = d[1][k] + d[2][k];
      t[2][k] = d[2][k] - d[1][k];
      t[3][k] = d[1][k] - d[3][k];
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
      vec *to = panel + r * 4 * WINOGRAD_CHANNELS + c;
      to[0] = t[r][0] - t[r][2];
      to[WINOGRAD_CHANNELS] = t[r][1] + t[r][2];
      to[2 * WINOGRAD_CHANNELS] = t[r][2] - t[r][1];
      to[3 * WINOGRAD_CHANNELS] = t[r][1] - t[r][3];
    }
  }
}

/* (G w)'s row r, or with w's columns as `w` the same of G's transpose. */
inline vec winograd_g(int r, vec a, vec b, vec c) {
  if (r == 0) return a;
  if (r == 3) return c;
  return (a + c + (r == 1 ? b : -b)) * 0.5f;
}

/* weights: of w (O, C, 3, 3); a row is an output channel, up to a multiple of WINOGRAD_GROUP. */
KERNEL void conv2d_winograd_weight(GLOBAL float *weights, int64 offset, GLOBAL const float *w, int64 rows,
                                   int32 channels, int32 out_channels) {
  ROW(rows);
  if (!row_valid) return;
  weights +=
      offset + row / WINOGRAD_GROUP * WINOGRAD_ELEMENTS * WINOGRAD_PLANE + row % WINOGRAD_GROUP * WINOGRAD_CHANNELS;
  w += row * channels * 9;
  const int valid = row < out_channels ? channels : 0;
  for (int first = 0; first < channels;
       first += WINOGRAD_CHANNELS, weights += rows * WINOGRAD_ELEMENTS * WINOGRAD_CHANNELS) {
    for (int c = 0; c < WINOGRAD_CHANNELS; c += VW) {
      vec g[9], u[4][3];
      for (int tap = 0; tap < 9; tap++) {
        float part[VW];
        for (int i = 0; i < VW; i++) part[i] = first + c + i < valid ? LD(w, (first + c + i) * 9 + tap) : 0.0f;
        g[tap] = VEC_FROM(part);
      }
      for (int r = 0; r < 4; r++)
        for (int k = 0; k < 3; k++) u[r][k] = winograd_g(r, g[k], g[3 + k], g[6 + k]);
      for (int e = 0; e < WINOGRAD_ELEMENTS; e++)
        VEC_RAW_STORE(weights, e * WINOGRAD_PLANE + c, winograd_g(e % 4, u[e / 4][0], u[e / 4][1], u[e / 4][2]));
    }
  }
}

/* sums [element][WINOGRAD_ROWS] = weights x panel */
inline void winograd_products(vec *sums, GLOBAL const float *weights, const vec *panel, int channels) {
  for (int e = 0; e < WINOGRAD_ELEMENTS; e++) {
    GLOBAL const float *a = weights + e * WINOGRAD_PLANE;
    const vec *b = panel + e * WINOGRAD_CHANNELS;
    vec sum[WINOGRAD_ROWS];
#pragma unroll
    for (int i = 0; i < WINOGRAD_ROWS; i++) sum[i] = VEC(0);
    for (int k = 0; k < channels; k++) {
      const vec v = b[k];
#pragma unroll
      for (int i = 0; i < WINOGRAD_ROWS; i++) sum[i] = fma(VEC(LD(a, i * WINOGRAD_CHANNELS + k)), v, sum[i]);
    }
#pragma unroll
    for (int i = 0; i < WINOGRAD_ROWS; i++) sums[e * WINOGRAD_ROWS + i] = sum[i];
  }
}

/* y += A^T sums A for one output channel. y: its plane; bias: in place of y, if this is the first chunk. */
inline void winograd_store(GLOBAL float *y, const vec *sums, winograd_place at, int height, int width, bool first,
                           float bias) {
  vec t[2][4];
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const vec a = sums[k * WINOGRAD_ROWS], b = sums[(4 + k) * WINOGRAD_ROWS];
    const vec c = sums[(8 + k) * WINOGRAD_ROWS], d = sums[(12 + k) * WINOGRAD_ROWS];
    t[0][k] = a + b + c;
    t[1][k] = b - c - d;
  }
  for (int r = 0; r < 2 && at.y + r < height; r++) {
    const vec even = t[r][0] + t[r][1] + t[r][2], odd = t[r][1] - t[r][2] - t[r][3];
    GLOBAL float *row = y + (int64)(at.y + r) * width;
    const vec low = vec_zip_low(even, odd), high = vec_zip_high(even, odd);
    vec_store(row, at.x, width, low + (first ? VEC(bias) : vec_load(row, at.x, width)));
    if (at.x + VW < width)
      vec_store(row, at.x + VW, width, high + (first ? VEC(bias) : vec_load(row, at.x + VW, width)));
  }
}

/* The next rows of weights are prefetched between the products: a row of a group has the others in between, which the
 * hardware's prefetcher does not skip. share: one of WINOGRAD_BLOCK. */
inline void winograd_fetch(GLOBAL const float *rows, int share) {
  for (int e = share; e < WINOGRAD_ELEMENTS; e += WINOGRAD_BLOCK)
    for (int i = 0; i < WINOGRAD_ROWS * WINOGRAD_CHANNELS; i += VW) PREFETCH(rows + e * WINOGRAD_PLANE + i);
}

inline GLOBAL const float *winograd_rows(GLOBAL const float *weights, int o) {
  return weights + (int64)(o / WINOGRAD_GROUP) * WINOGRAD_ELEMENTS * WINOGRAD_PLANE +
         o % WINOGRAD_GROUP * WINOGRAD_CHANNELS;
}

/* y (B, O, H, W) = x (B, C, H, W) * w + bias; weights: of w, from `offset` on; GROUP(0): image and block, GROUP(1):
 * output channels. */
KERNEL void conv2d_winograd(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *weights, int64 offset,
                            GLOBAL const float *bias, int64 batch, int32 channels, int32 out_channels, int32 height,
                            int32 width) {
  const int across = (width + 2 * VW - 1) / (2 * VW), vectors = (height + 1) / 2 * across;
  const int64 plane = (int64)height * width, blocks = (vectors + WINOGRAD_BLOCK - 1) / WINOGRAD_BLOCK;
  const int64 image = GROUP(0) / blocks, groups = (out_channels + WINOGRAD_GROUP - 1) / WINOGRAD_GROUP;
  const int start = (int)(GROUP(0) % blocks) * WINOGRAD_BLOCK, count = min(WINOGRAD_BLOCK, vectors - start);
  const int out_first = GROUP(1) * WINOGRAD_OUT, out_end = min(out_first + WINOGRAD_OUT, out_channels);
  vec panel[WINOGRAD_BLOCK * WINOGRAD_ELEMENTS * WINOGRAD_CHANNELS], sums[WINOGRAD_ELEMENTS * WINOGRAD_ROWS];
  weights += offset;
  for (int c = 0; c < channels; c += WINOGRAD_CHANNELS, weights += groups * WINOGRAD_ELEMENTS * WINOGRAD_PLANE) {
    const int chunk = min(WINOGRAD_CHANNELS, channels - c);
    for (int v = 0; v < count; v++)
      winograd_fill(panel + v * WINOGRAD_ELEMENTS * WINOGRAD_CHANNELS, x, (image * channels + c) * plane,
                    batch * channels * plane, winograd_locate(start + v, across), chunk, height, width);
    for (int o = out_first; o < out_end; o += WINOGRAD_ROWS) {
      for (int v = 0; v < count; v++) {
        if (o + WINOGRAD_ROWS < out_end) winograd_fetch(winograd_rows(weights, o + WINOGRAD_ROWS), v);
        winograd_products(sums, winograd_rows(weights, o), panel + v * WINOGRAD_ELEMENTS * WINOGRAD_CHANNELS, chunk);
        for (int i = 0; i < min(WINOGRAD_ROWS, out_end - o); i++)
          winograd_store(y + (image * out_channels + o + i) * plane, sums + i, winograd_locate(start + v, across),
                         height, width, c == 0, bias ? LD(bias, o + i) : 0.0f);
      }
    }
  }
}

#endif
