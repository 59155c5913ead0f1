/* 3 x 3 convolution with stride 1 and zero padding of 1, on CPUs: the columns of a matrix product, but computed in
 * private memory (the caches) for a block of positions and used there by all output channels of the work-item.
 *
 *   work-item: DIRECT_BLOCK positions (of the flat H * W) of an image x DIRECT_OUT output channels
 *   panel:     [tile][DIRECT_CHANNELS * 9][DIRECT_VECS], a chunk of input channels, zero where outside the image
 *   tile:      DIRECT_ROWS output channels x DIRECT_VECS vectors of positions, in registers over the whole chunk
 *
 * Sums run over the input channels in order, so results do not depend on tiles. The host side is ops/conv2d.c. */
#include "conv2d_place.h"
#ifdef CPU_SHAPE

#define DIRECT_CHANNELS 32
#ifdef __AVX512F__ /* 32 registers of a whole vec */
#define DIRECT_ROWS 8
#define DIRECT_VECS 2
#else
#define DIRECT_ROWS 6
#define DIRECT_VECS 1
#endif
#define DIRECT_DEPTH (DIRECT_CHANNELS * 9)
#define DIRECT_SPAN  (DIRECT_VECS * VW)
#define DIRECT_TILES (DIRECT_BLOCK / DIRECT_SPAN)

/* Fills the panel's vector v, positions from p on, with `channels` channels from x's element `first` on. */
inline void direct_fill(vec *panel, int v, GLOBAL const float *x, int64 first, int64 total, int p, conv_window w,
                        int channels, int height, int width) {
  const int64 plane = (int64)height * width;
  vec *to = panel + v / DIRECT_VECS * (DIRECT_DEPTH * DIRECT_VECS) + v % DIRECT_VECS;
  int64 from = first + p - width - 1;
  for (int c = 0; c < channels; c++, from += plane, to += 9 * DIRECT_VECS) {
    if (from >= 0 && from + 2 * width + 2 + VW <= total) {
#pragma unroll
      for (int tap = 0; tap < 9; tap++)
        to[tap * DIRECT_VECS] = conv_inside(w, tap, VEC_RAW_LOAD(x, from + tap / 3 * width + tap % 3));
    } else {
      for (int tap = 0; tap < 9; tap++)
        to[tap * DIRECT_VECS] = conv_inside(w, tap, conv_load(x, from + tap / 3 * width + tap % 3, total));
    }
  }
}

/* One tile over a chunk: y (+)= weights x panel. a: the tile's weights, K elements per channel; y: its first
 * position. */
inline void direct_tile(GLOBAL float *y, GLOBAL const float *a, GLOBAL const float *bias, const vec *panel, int depth,
                        int rows, int64 k_all, int64 plane, int64 left, bool first) {
  GLOBAL const float *row[DIRECT_ROWS];
  vec sum[DIRECT_ROWS][DIRECT_VECS];
#pragma unroll
  for (int i = 0; i < DIRECT_ROWS; i++) {
    const int o = min(i, rows - 1); /* past the last channel: repeats it, not stored */
    row[i] = a + o * k_all;
#pragma unroll
    for (int v = 0; v < DIRECT_VECS; v++)
      sum[i][v] = first ? VEC(bias ? LD(bias, o) : 0.0f) : vec_load(y + o * plane, v * VW, left);
  }
  for (int k = 0; k < depth; k++) {
#pragma unroll
    for (int i = 0; i < DIRECT_ROWS; i++) {
      const vec weight = VEC(LD(row[i], k));
#pragma unroll
      for (int v = 0; v < DIRECT_VECS; v++) sum[i][v] = fma(weight, panel[k * DIRECT_VECS + v], sum[i][v]);
    }
  }
#pragma unroll
  for (int i = 0; i < DIRECT_ROWS; i++) {
    if (i >= rows) continue;
#pragma unroll
    for (int v = 0; v < DIRECT_VECS; v++)
      if (v * VW < left) vec_store(y + i * plane, v * VW, left, sum[i][v]);
  }
}

/* y (B, O, H, W) = x (B, C, H, W) * weight (O, C, 3, 3) + bias; GROUP(0): image and block, GROUP(1): output channels */
KERNEL void conv2d_direct(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *weight, GLOBAL const float *bias,
                          int64 batch, int32 channels, int32 out_channels, int32 height, int32 width) {
  const int64 plane = (int64)height * width, blocks = (plane + DIRECT_BLOCK - 1) / DIRECT_BLOCK;
  const int64 image = GROUP(0) / blocks, k_all = (int64)channels * 9;
  const int start = (int)(GROUP(0) % blocks) * DIRECT_BLOCK, out_first = GROUP(1) * DIRECT_OUT;
  const int out_end = min(out_first + DIRECT_OUT, out_channels), tiles = DIRECT_TILES;
  conv_window at[DIRECT_TILES * DIRECT_VECS];
  for (int v = 0; v < tiles * DIRECT_VECS; v++)
    at[v] = conv_window_of(conv_locate(start + v * VW, width), 1, 1, 1, height, width);
  vec panel[DIRECT_TILES * DIRECT_DEPTH * DIRECT_VECS];
  for (int c = 0; c < channels; c += DIRECT_CHANNELS) {
    const int chunk = min(DIRECT_CHANNELS, channels - c);
    for (int v = 0; v < tiles * DIRECT_VECS; v++)
      direct_fill(panel, v, x, (image * channels + c) * plane, batch * channels * plane, start + v * VW, at[v], chunk,
                  height, width);
    for (int t = 0; t < tiles; t++) {
      const int64 p = start + t * DIRECT_SPAN;
      if (p >= plane) break;
      for (int o = out_first; o < out_end; o += DIRECT_ROWS)
        direct_tile(y + (image * out_channels + o) * plane + p, weight + o * k_all + c * 9, bias ? bias + o : bias,
                    panel + t * (DIRECT_DEPTH * DIRECT_VECS), chunk * 9, out_end - o, k_all, plane, plane - p, c == 0);
    }
  }
}

#endif
