/* 3 x 3 convolution with stride 1 and zero padding of 1 of bfloat16 images, on CPUs with AMX tiles:
 * y (O, H, W) = w (O, C, 3, 3) * x (C, H, W) (+ bias).
 *
 *   work-item: a block of rows x columns of an image's positions, x `outs` output channels
 *   panel:     the block's pixels and a border of 1, zero outside the image: [group of 32 channels][pixel][channel].
 *              16 pixels of a group are a tile of A, 1 KiB, wherever they begin. So each tap of the kernel reads the
 *              same panel at another place, and an image is packed once, not once per tap.
 *   weights:   made by conv2d_amx_weight: [32 outs][group of 32 channels][tap] of two tiles of B, 16 pairs of channels
 *              x 16 outs each; zero past the last channels
 *
 *   for each `part` of the outs:     their weights stay in the second-level cache
 *     for each 32 positions:
 *       for each CHUNK groups:       the panel's part for 32 positions, 26 KiB, stays in the first-level cache
 *         for each 32 outs:          add 32 x 32 sums, begun from what the chunks before have left
 *
 * Positions run over the rows of the panel, so those in the border are computed too, but not stored. A panel as wide as
 * the image has one column of border: what is right of a row is left of the next.
 *
 * An element is one chain of sums over groups, taps and channels, so results do not depend on blocks. AMX takes and
 * gives subnormal numbers as 0. Inf may become NaN. The host side is backend/chooser/gemm_conv_amx.c. */
#define GEMM_AMX_PIECES 1
#include "gemm_amx_bf16.h"

#define GROUP_CHANNELS 32
#define PIXEL          (GROUP_CHANNELS / 2) /* words of a pixel of a group */
#define GROUP_WORDS    (9 * STEP_WORDS)     /* weights of 32 outs x a group */
#define CHUNK          4                    /* groups */

#define MASKED         __attribute__((target("avx512bw,avx512bf16"), noinline))
typedef short short32 __attribute__((ext_vector_type(32)));
/* Sixteen words of 32 numbers, the first sixteen in the lower halves. */
#define ZIP_HALVES(v)                                                                                                  \
  __builtin_astype(__builtin_shufflevector(v, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, \
                                           10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),                            \
                   float16)
/* Stores the numbers whose bits are set. */
#define PUT_SOME(to, v, bits)                                                                                          \
  __builtin_ia32_storedquhi512_mask((short32 *)(size_t)(to), __builtin_astype(v, short32), bits)

/* ---- the weights ---- */

/* GROUP(0): 32 outs, GROUP(1): group of channels */
KERNEL_SIZED(1, 1, 1)
void conv2d_amx_weight(GLOBAL uint *weights, GLOBAL const gemm_ab *w, int64 offset, int32 channels,
                       int32 out_channels) {
  const int o0 = GROUP(0) * SIDE, c0 = GROUP(1) * GROUP_CHANNELS;
  const int64 groups = (channels + GROUP_CHANNELS - 1) / GROUP_CHANNELS;
  weights += offset + (GROUP(0) * groups + GROUP(1)) * GROUP_WORDS;
  for (int o = 0; o < SIDE; o++) {
    GLOBAL uint *to = weights + o / 16 * TILE + o % 16;
    for (int c = 0; c < GROUP_CHANNELS; c += 2, to += 16) {
      GLOBAL const gemm_ab *from = w + ((int64)(o0 + o) * channels + c0 + c) * 9;
      const int left = o0 + o < out_channels ? channels - c0 - c : 0;
      for (int tap = 0; tap < 9; tap++)
        to[tap * STEP_WORDS] = (left > 0 ? (uint)from[tap] : 0u) | (left > 1 ? (uint)from[9 + tap] << 16 : 0u);
    }
  }
}

/* ---- the panel ---- */

/* 16 pixels of `channels` channels from x on, of which `readable` numbers are the buffer's. */
inline void pack_pixels(uint *to, GLOBAL const gemm_ab *x, int64 plane, int channels, int64 readable) {
  run v[GROUP_CHANNELS];
  if (channels >= GROUP_CHANNELS && readable >= (GROUP_CHANNELS - 1) * plane + 16)
    for (int c = 0; c < GROUP_CHANNELS; c++) v[c] = LOAD_RUN(x + c * plane);
  else
    for (int c = 0; c < GROUP_CHANNELS; c++)
      v[c] = c < channels ? load_run(x + c * plane, (int)min(readable - c * plane, (int64)16)) : (run)(0);
  put_rows(to, v);
}

inline void clear(uint *to, int pixels) {
  for (int i = 0; i < pixels; i++) PUT(to + i * PIXEL, (uint16)(0));
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

/* sum (32 positions x 32 outs) = (begin ? 0 : sum) + the panel from `a` on times the weights b, over `groups`. */
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

/* ---- the result ---- */

/* 16 outs of 32 positions from `at` on, of the panel's numbering. Rounded by the instruction that every CPU with AMX
 * has. */
MASKED void finish(GLOBAL gemm_c *y, int64 plane, int width, const float *sum, GLOBAL const gemm_c *bias, int outs,
                   int at, const block *b) {
  gemm_c part[16] ALIGNED;
  float16 v[16];
  for (int o = 0; o < 16; o++) part[o] = bias && o < outs ? bias[o] : (gemm_c)0;
  const float16 added = gemm_widened16(vload16(0, part));
#pragma unroll
  for (int i = 0; i < 16; i++, sum += 2 * SIDE) {
    const float16 even = vload16(0, sum) + added, odd = vload16(0, sum + SIDE) + added;
    v[i] = ZIP_HALVES(__builtin_ia32_cvtne2ps2bf16_512(odd, even));
  }
  turn(v);
  int row = at / b->pitch, column = at % b->pitch;
  for (int i = 0; i < SIDE && row < b->rows;) {
    const int n = min(b->columns - column, SIDE - i);
    if (n > 0) {
      GLOBAL gemm_c *to = y + (int64)(b->y + row) * width + b->x + column - i;
      const uint bits = (n < SIDE ? (1u << n) - 1u : 0xffffffffu) << i;
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
            finish(y + q * plane, plane, width, sum + q - o, bias ? bias + q : 0, end - q, p, &b);
        }
  tiles_off();
}
