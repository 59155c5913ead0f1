/* The gradient of a convolution's weight on CPUs, for 3 x 3 kernels and plain 1 x 1 ones:
 *
 *   dweight[o][k] = sum over images and output positions of dy[o][position] * column[k][position],  k = (channel, ky,
 * kx)
 *
 * Both factors are read along the positions, so nothing is transposed: a vector holds the products of 16 positions and
 * is reduced once per chunk. The columns of a chunk are computed in private memory (the caches): the input shifted per
 * tap, and zeroed outside the image.
 *
 *   work-item: a share of the chunks x WEIGHT_K columns x WEIGHT_OUT output channels, into its own partial sum
 *   chunk:     up to WEIGHT_VECS vectors of positions; an image's last vector may be partial, none spans two images
 *   tile:      WEIGHT_ROWS output channels x 3 columns; WEIGHT_LIVE of the rows are in registers together
 *
 * The sizes alone fix the order of all sums. The host side is ops/conv2d.c. */
#include "conv2d_place.h"
#ifdef CPU_SHAPE

#define WEIGHT_ROWS 8
#ifdef __AVX512F__
#define WEIGHT_LIVE 8
#else
#define WEIGHT_LIVE 2
#endif
#define WEIGHT_TRIPLE (WEIGHT_VECS * 3) /* vectors of three columns: [vector][3] */
#define WEIGHT_TILE   (WEIGHT_ROWS * 3) /* sums: [3][row] */

typedef struct weight_sizes {
  int channels, out_channels, height, width, out_h, out_w, stride, top, left;
} weight_sizes;

/* The columns of one vector of positions from p on, for some channels with 9 taps each. */
inline void weight_fill_taps(vec *to, GLOBAL const float *x, int64 total, weight_sizes s, int64 first, int channels,
                             int p) {
  const int64 plane = (int64)s.height * s.width;
  const conv_place at = conv_locate(p, s.out_w);
  conv_window w = conv_window_of(at, s.stride, s.top, s.left, s.height, s.width);
  for (int k = 0; k < 3; k++) w.row[k] &= at.y < s.out_h; /* data past the plane's end times 0 may be NaN */
  const int corner = VEC_FIRST(at.y) * s.stride * s.width + VEC_FIRST(at.x) * s.stride - s.top * s.width - s.left;
  if (s.stride == 1 && s.out_w == s.width) {
    for (int c = 0; c < channels; c++, first += plane, to += 3 * WEIGHT_TRIPLE) {
      const int64 from = first + corner;
      if (from >= 0 && from + 2 * s.width + 2 + VW <= total) {
#pragma unroll
        for (int tap = 0; tap < 9; tap++)
          to[tap / 3 * WEIGHT_TRIPLE + tap % 3] =
              conv_inside(w, tap, VEC_RAW_LOAD(x, from + tap / 3 * s.width + tap % 3));
      } else {
        for (int tap = 0; tap < 9; tap++)
          to[tap / 3 * WEIGHT_TRIPLE + tap % 3] =
              conv_inside(w, tap, conv_load(x, from + tap / 3 * s.width + tap % 3, total));
      }
    }
    return;
  }
  int place[VW];
  vstore16((at.y * s.stride - s.top) * s.width + at.x * s.stride - s.left, 0, place);
  for (int tap = 0; tap < 9; tap++) {
    int inside[VW];
    vstore16(w.row[tap / 3] & w.column[tap % 3], 0, inside);
    for (int c = 0; c < channels; c++) {
      GLOBAL const float *from = x + first + c * plane;
      float part[VW];
      for (int i = 0; i < VW; i++) part[i] = inside[i] ? LD(from, place[i] + tap / 3 * s.width + tap % 3) : 0.0f;
      to[(c * 3 + tap / 3) * WEIGHT_TRIPLE + tap % 3] = VEC_FROM(part);
    }
  }
}

/* The same for 1 x 1: the columns are the channels, zero-padded to a multiple of three. */
inline void weight_fill_points(vec *to, GLOBAL const float *x, weight_sizes s, int64 first, int channels, int p) {
  const int64 plane = (int64)s.height * s.width;
  for (int c = 0; c < channels || c % 3; c++)
    to[c / 3 * WEIGHT_TRIPLE + c % 3] = c < channels ? vec_load(x + first + c * plane, p, plane) : VEC(0);
}

/* sums [3][WEIGHT_ROWS] += the products of `rows` [vector][WEIGHT_ROWS] and `columns` [vector][3] */
inline void weight_tile(float *sums, const vec *rows, const vec *columns, int count) {
  vec total[3][WEIGHT_ROWS];
  for (int r = 0; r < WEIGHT_ROWS; r += WEIGHT_LIVE) {
    vec sum[3][WEIGHT_LIVE];
#pragma unroll
    for (int i = 0; i < WEIGHT_LIVE; i++) sum[0][i] = sum[1][i] = sum[2][i] = VEC(0);
    for (int v = 0; v < count; v++) {
      const vec a = columns[v * 3], b = columns[v * 3 + 1], c = columns[v * 3 + 2];
#pragma unroll
      for (int i = 0; i < WEIGHT_LIVE; i++) {
        const vec d = rows[v * WEIGHT_ROWS + r + i];
        sum[0][i] = fma(d, a, sum[0][i]);
        sum[1][i] = fma(d, b, sum[1][i]);
        sum[2][i] = fma(d, c, sum[2][i]);
      }
    }
#pragma unroll
    for (int i = 0; i < WEIGHT_LIVE; i++) {
      total[0][r + i] = sum[0][i];
      total[1][r + i] = sum[1][i];
      total[2][r + i] = sum[2][i];
    }
  }
#pragma unroll
  for (int k = 0; k < 3; k++) vec_add_sums8(sums + k * WEIGHT_ROWS, total[k]);
}

/* partials (GROUPS(0), O, K) of dy (B, O, out_h, out_w) and x (B, C, H, W); side: 3, or 1 for a plain 1 x 1.
 * GROUP(0): share of the `chunks` chunks of chunk_vecs vectors; GROUP(1): columns; GROUP(2): output channels. */
KERNEL void conv2d_weight(GLOBAL float *partials, GLOBAL const float *dy, GLOBAL const float *x, int64 batch,
                          int32 channels, int32 out_channels, int32 height, int32 width, int32 out_h, int32 out_w,
                          int32 side, int32 stride, int32 top, int32 left, int64 chunks, int32 chunk_vecs) {
  const weight_sizes s = {channels, out_channels, height, width, out_h, out_w, stride, top, left};
  const int64 plane = (int64)height * width, out_plane = (int64)out_h * out_w, each = (out_plane + VW - 1) / VW;
  const int64 k_all = (int64)channels * side * side, k_first = (int64)GROUP(1) * WEIGHT_K;
  const int o_first = GROUP(2) * WEIGHT_OUT, outs = min(WEIGHT_OUT, out_channels - o_first);
  const int columns = (int)min((int64)WEIGHT_K, k_all - k_first), triples = (columns + 2) / 3;
  const int64 first_channel = k_first / (side * side);
  vec panel[WEIGHT_K / 3 * WEIGHT_TRIPLE], rows[WEIGHT_VECS * WEIGHT_ROWS];
  float sums[WEIGHT_OUT / WEIGHT_ROWS * (WEIGHT_K / 3) * WEIGHT_TILE];
  for (int i = 0; i < (outs + WEIGHT_ROWS - 1) / WEIGHT_ROWS * triples * WEIGHT_TILE; i++) sums[i] = 0.0f;
  const int64 shares = GROUPS(0), end = (GROUP(0) + 1) * chunks / shares;
  for (int64 chunk = GROUP(0) * chunks / shares; chunk < end; chunk++) {
    const int64 first = chunk * chunk_vecs;
    const int count = (int)min((int64)chunk_vecs, batch * each - first);
    for (int v = 0; v < count; v++) {
      const int64 image = (first + v) / each, from = (image * channels + first_channel) * plane;
      const int p = (int)((first + v) % each) * VW;
      if (side == 1)
        weight_fill_points(panel + v * 3, x, s, from, columns, p);
      else
        weight_fill_taps(panel + v * 3, x, batch * channels * plane, s, from, columns / 9, p);
    }
    for (int o = 0; o < outs; o += WEIGHT_ROWS) {
      for (int v = 0; v < count; v++) {
        const int64 image = (first + v) / each, p = (first + v) % each * VW;
        GLOBAL const float *from = dy + (image * out_channels + o_first + o) * out_plane;
        for (int i = 0; i < WEIGHT_ROWS; i++)
          rows[v * WEIGHT_ROWS + i] = o + i < outs ? vec_load(from + i * out_plane, p, out_plane) : VEC(0);
      }
      for (int t = 0; t < triples; t++)
        weight_tile(sums + (o / WEIGHT_ROWS * triples + t) * WEIGHT_TILE, rows, panel + t * WEIGHT_TRIPLE, count);
    }
  }
  partials += (GROUP(0) * (int64)out_channels + o_first) * k_all + k_first;
  for (int o = 0; o < outs; o++)
    for (int k = 0; k < columns; k++)
      partials[o * k_all + k] =
          sums[(o / WEIGHT_ROWS * triples + k / 3) * WEIGHT_TILE + k % 3 * WEIGHT_ROWS + o % WEIGHT_ROWS];
}

#endif
