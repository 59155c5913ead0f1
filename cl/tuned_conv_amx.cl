/* 3 x 3 convolution with stride 1 and zero padding of 1, on CPUs with AMX tiles, of bfloat16 images or, in three pieces
 * to a number as in tuned_gemm_amx.cl, of float32 images:
 * y (O, H, W) = w (O, C, 3, 3) * x (C, H, W) (+ bias).
 *
 *   work-item: a block of rows x columns of an image's positions, x `outs` output channels
 *   panel:     the block's pixels and a border of 1, zero outside the image:
 *              [group of 32 channels][pixel][piece][channel]. 16 pixels are a tile of A, wherever they begin. So
 *              each tap of the kernel reads the same panel at another place, and an image is packed once, not once
 *              per tap.
 *   weights:   made by conv2d_amx_weight: [32 outs][group of 32 channels][tap][piece] of two tiles of B, 16 pairs of
 *              channels x 16 outs each; zero past the last channels
 *
 *   for each `part` of the outs:     their weights stay in the second-level cache
 *     for each 32 positions:
 *       for each CHUNK groups:       the panel's part for 32 positions, about 26 KiB, stays in the first-level
 *                                    cache
 *         for each 32 outs:          add 32 x 32 sums
 *
 * Positions run over the rows of the panel, so those in the border are computed too, but not stored. A panel as wide as
 * the image has one column of border: what is right of a row is left of the next.
 *
 * A bfloat16 element is one chain of sums over groups, taps and channels. A float32 element adds one chain per group,
 * of the small products and then of the large ones. So results do not depend on blocks. AMX takes and gives subnormal
 * numbers as 0. Inf may become NaN. The host side is backend/chooser/gemm_conv_amx.c. */
#ifdef AB_BF16
#define GEMM_AMX_PIECES 1
#else
#define GEMM_AMX_PIECES 3
#endif
#include "gemm_amx_bf16.h"
#include "gemm_amx_f32.h"

#define GROUP_CHANNELS 32
#define PIXEL          (GEMM_AMX_PIECES * 16) /* words of a pixel of a group */
#define GROUP_WORDS    (9 * STEP_WORDS)       /* weights of 32 outs x a group */

/* ---- the weights ---- */

/* GROUP(0): 32 outs, GROUP(1): group of channels */
KERNEL_SIZED(1, 1, 1)
void conv2d_amx_weight(GLOBAL uint *weights, GLOBAL const gemm_ab *w, int64 offset, int32 channels,
                       int32 out_channels) {
  const int o0 = GROUP(0) * SIDE, c0 = GROUP(1) * GROUP_CHANNELS;
  const int64 groups = (channels + GROUP_CHANNELS - 1) / GROUP_CHANNELS;
  weights += offset + (GROUP(0) * groups + GROUP(1)) * GROUP_WORDS;
  for (int tap = 0; tap < 9; tap++, weights += STEP_WORDS) {
    uint step[STEP_WORDS] ALIGNED;
    for (int i = 0; i < 32; i++) { /* 16 pairs of channels, two halves of the outs */
      gemm_ab even[16] ALIGNED, odd[16] ALIGNED;
      const int high = i / 16, c = c0 + i % 16 * 2;
      for (int j = 0; j < 16; j++) {
        const int o = o0 + 16 * high + j;
        GLOBAL const gemm_ab *from = w + ((int64)o * channels + c) * 9 + tap;
        even[j] = o < out_channels && c < channels ? from[0] : (gemm_ab)0;
        odd[j] = o < out_channels && c + 1 < channels ? from[9] : (gemm_ab)0;
      }
      put_pairs(step + high * TILE + i % 16 * 16, vload16(0, even), vload16(0, odd));
    }
    for (int i = 0; i < STEP_WORDS; i++) weights[i] = step[i];
  }
}

/* ---- the panel ---- */

#if GEMM_AMX_PIECES == 1
inline void put_pixels(uint *to, run *channels) { put_rows(to, channels); }
#else
inline void put_pixels(uint *to, run *channels) {
  turn(channels);
  turn(channels + 16);
  for (int i = 0; i < 16; i++) put_along(to + i * PIXEL, 16, channels[i], channels[16 + i]);
}
#endif

/* 16 pixels of `channels` channels from x on, of which `readable` numbers are the buffer's. */
inline void pack_pixels(uint *to, GLOBAL const gemm_ab *x, int64 plane, int channels, int64 readable) {
  run v[GROUP_CHANNELS];
  if (channels >= GROUP_CHANNELS && readable >= (GROUP_CHANNELS - 1) * plane + 16)
    for (int c = 0; c < GROUP_CHANNELS; c++) v[c] = LOAD_RUN(x + c * plane);
  else
    for (int c = 0; c < GROUP_CHANNELS; c++)
      v[c] = c < channels ? load_run(x + c * plane, (int)min(readable - c * plane, (int64)16)) : (run)(0);
  put_pixels(to, v);
}

inline void clear(uint *to, int pixels) {
  for (int i = 0; i < pixels * PIXEL; i += 16) PUT(to + i, (uint16)(0));
}

typedef struct block {
  int y, x, rows, columns; /* of positions */
  int pitch;               /* pixels from one row of the panel to the next */
  int pixels;              /* of the panel's groups */
} block;

inline block block_of(int index, int across, int rows, int columns, int height, int width) {
  block b;
  b.y = index / across * rows, b.x = index % across * columns;
  b.rows = min(rows, height - b.y), b.columns = min(columns, width - b.x);
  b.pitch = CONV_AMX_PITCH(b.columns, width);
  b.pixels = CONV_AMX_PIXELS(b.rows, b.columns, b.pitch);
  return b;
}

/* A group of the panel; x: the image from the group's first channel on. Sixteen pixels at a time, so a row is packed
 * past its end, into the next row, which is packed afterwards. */
inline void pack_group(uint *panel, GLOBAL const gemm_ab *x, block b, int channels, int64 readable, int height,
                       int width) {
  const int64 plane = (int64)height * width;
  const int first = max(b.x - 1, 0), end = min(b.x - 1 + b.pitch, width);
  uint *to = panel;
  for (int y = b.y - 1; y <= b.y + b.rows; y++, to += b.pitch * PIXEL) {
    if (y < 0 || y >= height) {
      clear(to, b.pitch);
      continue;
    }
    if (b.x == 0) clear(to, 1);
    for (int i = first; i < end; i += 16) {
      const int64 at = (int64)y * width + i;
      pack_pixels(to + (i - b.x + 1) * PIXEL, x + at, plane, channels, readable - at);
    }
    clear(to + (end - b.x + 1) * PIXEL, b.pitch - (end - b.x + 1));
  }
  clear(to, b.pixels - (b.rows + 2) * b.pitch);
}

/* ---- sums ---- */

/* sum (32 positions x 32 outs) = (begin ? 0 : sum) + the panel from `a` on times the weights b, over `groups`: at most
 * CHUNK. */
#if GEMM_AMX_PIECES == 1
#define CHUNK 4

AMX void multiply(float *sum, const uint *a, const uint *b, int groups, int pixels, int pitch, bool begin) {
  SUMS_LOAD(sum, begin)
  for (int g = 0; g < groups; g++, a += pixels * PIXEL)
    for (int tap = 0; tap < 9; tap++, b += STEP_WORDS) {
      const uint *at = a + (tap / 3 * pitch + tap % 3) * PIXEL;
      __builtin_ia32_tileloadd64(4, at, 64);
      __builtin_ia32_tileloadd64(6, b, 64);
      __builtin_ia32_tileloadd64(7, b + TILE, 64);
      __builtin_ia32_tileloadd64(5, at + TILE, 64);
      MULTIPLY();
    }
  SUMS_STORE(sum);
}
#else
#define CHUNK            1
#define LOAD_A(x, piece) TILES_LOAD(4, 5, (x) + ((piece)-1) * 16, 16 * PIXEL, 4 * PIXEL)
#define LOAD_B(y, piece) TILES_LOAD(6, 7, (y) + 2 * ((piece)-1) * TILE, TILE, 64)

AMX void sum_group(float *sum, const uint *a, const uint *b, int pitch) {
  SUMS_BEGIN();
  for (int tap = 0; tap < 9; tap++) {
    const uint *x = a + (tap / 3 * pitch + tap % 3) * PIXEL, *y = b + tap * STEP_WORDS;
    MULTIPLY_SMALL(x, y);
  }
  for (int tap = 0; tap < 9; tap++) {
    const uint *x = a + (tap / 3 * pitch + tap % 3) * PIXEL, *y = b + tap * STEP_WORDS;
    MULTIPLY_LARGE(x, y);
  }
  SUMS_STORE(sum);
}

inline void multiply(float *sum, const uint *a, const uint *b, int groups, int pixels, int pitch, bool begin) {
  float part[SIDE * SIDE] ALIGNED;
  sum_group(begin ? sum : part, a, b, pitch);
  for (int i = 0; !begin && i < SIDE * SIDE / 16; i++) vstore16(vload16(i, sum) + vload16(i, part), i, sum);
}
#endif

/* ---- the result ---- */

/* v: `AT_ONCE` positions of 16 outs, from their sums. PUT_SOME stores the numbers whose bits are set. */
#if GEMM_AMX_PIECES == 1
#define AT_ONCE 32 /* rounded by the instruction that every CPU with AMX has */
#define MASKED  __attribute__((target("avx512bw,avx512bf16"), noinline))
typedef short short32 __attribute__((ext_vector_type(32)));
/* Sixteen words of 32 numbers, the first sixteen in the lower halves. */
#define ZIP_HALVES(v)                                                                                                  \
  __builtin_astype(__builtin_shufflevector(v, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, \
                                           10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),                            \
                   float16)
#define PUT_SOME(to, v, bits)                                                                                          \
  __builtin_ia32_storedquhi512_mask((short32 *)(size_t)(to), __builtin_astype(v, short32), bits)
#define TAKE(i)                                                                                                        \
  ZIP_HALVES(__builtin_ia32_cvtne2ps2bf16_512(vload16(4 * (i) + 2, sum) + added, vload16(4 * (i), sum) + added))
#else
#define AT_ONCE               16
#define MASKED                __attribute__((target("avx512f"), noinline))
#define PUT_SOME(to, v, bits) __builtin_ia32_storeups512_mask((float *)(size_t)(to), v, (ushort)(bits))
#define TAKE(i)               (vload16(2 * (i), sum) + added)
#endif

/* 16 outs of AT_ONCE positions from `at` on, of the panel's numbering. */
MASKED void finish(GLOBAL gemm_c *y, int64 plane, int width, const float *sum, GLOBAL const gemm_c *bias, int outs,
                   int at, const block *b) {
  gemm_c part[16] ALIGNED;
  float16 v[16];
  for (int o = 0; o < 16; o++) part[o] = bias && o < outs ? bias[o] : (gemm_c)0;
  const float16 added = C_LOAD16(part);
#pragma unroll
  for (int i = 0; i < 16; i++) v[i] = TAKE(i);
  turn(v);
  int row = at / b->pitch, column = at % b->pitch;
  for (int i = 0; i < AT_ONCE && row < b->rows;) {
    const int n = min(b->columns - column, AT_ONCE - i);
    if (n > 0) {
      GLOBAL gemm_c *to = y + (int64)(b->y + row) * width + b->x + column - i;
      const uint bits = (n < 32 ? (1u << n) - 1u : 0xffffffffu) << i;
      for (int o = 0; o < 16 && o < outs; o++) PUT_SOME(to + o * plane, v[o], bits);
    }
    i += b->pitch - column;
    row++, column = 0;
  }
}

/* GROUP(0): image and block; GROUP(1): outs. weights: from `offset` on; `part`: a multiple of 32. */
KERNEL_SIZED(1, 1, 1)
void conv2d_amx(GLOBAL gemm_c *y, GLOBAL const gemm_ab *x, GLOBAL const uint *weights, int64 offset,
                GLOBAL const gemm_c *bias, int64 batch, int32 channels, int32 out_channels, int32 height, int32 width,
                int32 rows, int32 columns, int32 outs, int32 part) {
  uint panel[CONV_AMX_PANEL / 2] ALIGNED;
  float sums[CONV_AMX_PART / SIDE * SIDE * SIDE] ALIGNED;
  const int across = (width + columns - 1) / columns, blocks = (height + rows - 1) / rows * across;
  const int groups = (channels + GROUP_CHANNELS - 1) / GROUP_CHANNELS;
  const int64 plane = (int64)height * width, image = GROUP(0) / blocks;
  const block b = block_of(GROUP(0) % blocks, across, rows, columns, height, width);
  const int first = GROUP(1) * outs, end = min(first + outs, out_channels);
  const int positions = (b.rows - 1) * b.pitch + b.columns;
  const int64 readable = (batch - image) * channels * plane;
  x += image * channels * plane;
  y += image * out_channels * plane;
  for (int g = 0; g < groups; g++) {
    const int64 before = g * GROUP_CHANNELS * plane;
    pack_group(panel + g * b.pixels * PIXEL, x + before, b, channels - g * GROUP_CHANNELS, readable - before, height,
               width);
  }
  tiles_on();
  for (int o0 = first; o0 < end; o0 += part)
    for (int p = 0; p < positions; p += SIDE)
      for (int g = 0; g < groups; g += CHUNK)
        for (int o = o0; o < min(o0 + part, end); o += SIDE) {
          float *sum = sums + (o - o0) / SIDE * (SIDE * SIDE);
          multiply(sum, panel + (g * b.pixels + p) * PIXEL,
                   (const uint *)(size_t)(weights + offset + ((int64)(o / SIDE) * groups + g) * GROUP_WORDS),
                   min(CHUNK, groups - g), b.pixels, b.pitch, g == 0);
          if (g + CHUNK < groups) continue;
          for (int q = o; q < min(o + SIDE, end); q += 16)
            for (int at = 0; at < SIDE; at += AT_ONCE)
              finish(y + q * plane, plane, width, sum + at * SIDE + q - o, bias ? bias + q : 0, end - q, p + at, &b);
        }
  tiles_off();
}
