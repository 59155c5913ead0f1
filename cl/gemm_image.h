/* A product's B that is formed from an image (channels, height, width) while it is loaded, so that a convolution needs
 * no columns in memory. A row of B is (channel, tap) of a kernel of IMAGE x IMAGE, a column is a position of the
 * result; `along`: B is stored transposed, and k runs along the positions.
 *
 *   number of B = pixel at offset(k) + offset(column), or 0 if the bit of its tap is not set in the position's mask
 *
 * One part of the offset, and the mask or the tap, stay the same over the whole loop, the other advances with k. So a
 * number takes a shift to its bit, a shift that makes a mask of it, an addition and two "and": without a branch,
 * because a load of a number outside the image goes to the image's first pixel instead. Offsets are in bytes and have
 * 32 bits, which bounds the size of an image (gemm_conv.c). */
#ifndef GEMM_IMAGE_H
#define GEMM_IMAGE_H
#include "gemm_layout.h"
#include "gemm_storage.h"

#ifdef IMAGE
#define IMAGE_GROUP GEMM_IMAGE_GROUP
#define TAPS        (IMAGE * IMAGE) /* at most GEMM_IMAGE_TAPS */
#define PIXEL_BYTES ((uint32)sizeof(gemm_ab))

typedef struct image {
  int height, width, stride, top, left, out_width;
  int channels;   /* for window16 */
  uint32 inverse; /* 2^32 / out_width, rounded up; gemm_conv.c checks that it divides every position right */
} image;

/* What the kernel gets of it. */
#define IMAGE_PARAMETERS int32 height, int32 width, int32 stride, int32 top, int32 left, int32 out_width, uint32 inverse

inline image image_of(IMAGE_PARAMETERS) {
  image s;
  s.height = height, s.width = width, s.stride = stride, s.top = top, s.left = left;
  s.out_width = out_width, s.inverse = inverse, s.channels = 0;
  return s;
}

inline image image_of_channels(IMAGE_PARAMETERS, int32 channels) {
  image s = image_of(height, width, stride, top, left, out_width, inverse);
  s.channels = channels;
  return s;
}

/* A position's first tap: the offset of its pixel, which may be outside, and the taps that are inside. */
typedef struct spot {
  uint32 offset, inside;
} spot;

inline spot spot_of(image s, int position) {
  const int row = s.out_width == 1 ? position : (int)mul_hi((uint32)position, s.inverse);
  const int y = row * s.stride - s.top, x = (position - row * s.out_width) * s.stride - s.left;
  uint32 columns = 0u;
  spot at;
  at.offset = (uint32)(y * s.width + x) * PIXEL_BYTES;
  at.inside = 0u;
  UNROLL for (int k = 0; k < IMAGE; k++) columns |= (uint32)((uint32)(x + k) < (uint32)s.width) << k;
  UNROLL for (int k = 0; k < IMAGE; k++) at.inside |= (uint32)(y + k) < (uint32)s.height ? columns << k * IMAGE : 0u;
  return at;
}

inline uint32 tap_offset(image s, int channel, int tap) {
  return (uint32)((channel * s.height + tap / IMAGE) * s.width + tap % IMAGE) * PIXEL_BYTES;
}

/* All bits set if the tap's bit is. */
inline uint32 tap_mask(uint32 inside, int tap) { return (uint32)((int)(inside << (31 - tap)) >> 31); }

/* What a work-item brings of B: in every step four numbers of one k. */
typedef struct window {
  GLOBAL const char *from;
  image s;
  uint32 own[4];    /* the part of the offsets that stays */
  uint32 inside[4]; /* masks of the positions; `along`: the taps */
  int channel, tap; /* of the k that is loaded next; `along`: the position, and nothing */
  uint32 masks[4];  /* of what was loaded */
  int place;        /* in a part of local memory */
} window;

inline window window_of(int at, GLOBAL const gemm_ab *x, image s, int64 n0, int64 n, bool along, int tile) {
  window w;
  const int k = GEMM_IMAGE_K(at, along, tile);
  w.from = (GLOBAL const char *)x;
  w.s = s;
  w.channel = along ? k : k / TAPS;
  w.tap = along ? 0 : k % TAPS;
  UNROLL for (int e = 0; e < 4; e++) {
    const int column = (int)min(n0 + GEMM_IMAGE_ROW(at, e, along, tile), n - 1);
    if (along) {
      w.own[e] = tap_offset(s, column / TAPS, column % TAPS);
      w.inside[e] = (uint32)(column % TAPS);
    } else {
      const spot here = spot_of(s, column);
      w.own[e] = here.offset;
      w.inside[e] = here.inside;
    }
  }
  w.place = k * GEMM_GPU_PITCH(tile) + GEMM_IMAGE_ROW(at, 0, along, tile);
  return w;
}

/* To the next step of `depth`, or nowhere. */
inline void window_advance(window *w, bool on, int depth, bool along) {
  if (along) {
    w->channel += on ? depth : 0;
  } else {
    w->tap += on ? depth % TAPS : 0;
    w->channel += on ? depth / TAPS : 0;
    const int over = (TAPS - 1 - w->tap) >> 31; /* -1: beyond the last tap */
    w->tap -= TAPS & over;
    w->channel -= over;
  }
}

/* Loads the window's four numbers; masks say later which of them count. */
inline void window_fetch(gemm_ab next[4], window *w, bool along) {
  const spot here = spot_of(w->s, along ? w->channel : 0);
  const uint32 offset = along ? here.offset : tap_offset(w->s, w->channel, w->tap);
  UNROLL for (int e = 0; e < 4; e++) {
    w->masks[e] = along ? tap_mask(here.inside, (int)w->inside[e]) : tap_mask(w->inside[e], w->tap);
    next[e] = *(GLOBAL const gemm_ab *)(w->from + ((offset + w->own[e]) & w->masks[e]));
  }
}

inline float masked(gemm_ab v, uint32 mask) {
#ifdef AB_NARROW
  return gemm_widened((gemm_narrow)(v & mask));
#else
  return as_float(as_uint(v) & mask);
#endif
}

/* One number, anywhere. */
inline float image_number(GLOBAL const gemm_ab *x, image s, int k, int column, bool along) {
  const int row = along ? column : k, tap = row % TAPS;
  const spot here = spot_of(s, along ? k : column);
  const uint32 mask = tap_mask(here.inside, tap), offset = tap_offset(s, row / TAPS, tap) + here.offset;
  return masked(*(GLOBAL const gemm_ab *)((GLOBAL const char *)x + (offset & mask)), mask);
}

/* ---- 16 channels of one tap of one position; k runs over groups of channels, taps, channels ---- */

typedef struct window16 {
  GLOBAL const char *from;
  image s;
  uint32 own, inside; /* of the position */
  int group, tap;     /* that are loaded next */
  uint32 mask;        /* of what was loaded */
} window16;

inline window16 window16_of(int item, GLOBAL const gemm_ab *x, image s, int64 n0, int64 n, int tile) {
  window16 w;
  const spot here = spot_of(s, (int)min(n0 + item % tile, n - 1));
  w.from = (GLOBAL const char *)x;
  w.s = s;
  w.own = here.offset, w.inside = here.inside;
  w.group = item / tile / TAPS, w.tap = item / tile % TAPS;
  w.mask = 0u;
  return w;
}

inline void window16_advance(window16 *w, int depth) {
  w->tap += depth / IMAGE_GROUP % TAPS;
  w->group += depth / IMAGE_GROUP / TAPS;
  const int over = (TAPS - 1 - w->tap) >> 31; /* -1: beyond the last tap */
  w->tap -= TAPS & over;
  w->group -= over;
}

/* Beyond the last channel there is nothing: k is rounded up to whole steps. */
inline void window16_fetch(uint32 next[16], window16 *w) {
  const int channel = w->group * IMAGE_GROUP;
  const uint32 there = (uint32)((channel - w->s.channels) >> 31);
  w->mask = tap_mask(w->inside, w->tap) & there;
  uint32 at = (tap_offset(w->s, channel, w->tap) + w->own) & w->mask;
  const uint32 plane = (uint32)(w->s.height * w->s.width) * PIXEL_BYTES & w->mask;
  UNROLL for (int e = 0; e < 16; e++, at += plane) next[e] = (uint32) * (GLOBAL const gemm_ab *)(w->from + at);
}

#endif
#endif
