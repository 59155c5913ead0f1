/* The places of vectors of output positions, and which taps of a 3 x 3 kernel are inside the image there; for the
 * direct convolutions on CPUs. */
#ifndef CONV2D_PLACE_H
#define CONV2D_PLACE_H
#include "platform.h"

#ifdef CPU_SHAPE

typedef struct conv_place {
  veci y, x;
} conv_place;

/* Positions from p on in the flat plane; avoids vector divisions, which are slow. */
inline conv_place conv_locate(int p, int width) {
  const int y = p / width, x = p - y * width;
  conv_place at;
  at.y = (veci)(y);
  at.x = vec_index() + x;
  for (int last = x + VW - 1; last >= width; last -= width) {
    const veci over = at.x >= width; /* all bits set, which is -1 */
    at.y -= over;
    at.x -= width & over;
  }
  return at;
}

/* All bits set where a tap's row, or column, is inside the image: tap (ky, kx) is inside if both are. */
typedef struct conv_window {
  veci row[3], column[3];
} conv_window;

inline conv_window conv_window_of(conv_place at, int stride, int top, int left, int height, int width) {
  const veci y = at.y * stride - top, x = at.x * stride - left;
  conv_window w;
#pragma unroll
  for (int k = 0; k < 3; k++) {
    w.row[k] = y + k >= 0 && y + k < height;
    w.column[k] = x + k >= 0 && x + k < width;
  }
  return w;
}

inline veci conv_mask(conv_window w, int tap) { return w.row[tap / 3] & w.column[tap % 3]; }
inline vec conv_inside(conv_window w, int tap, vec v) { return INT_AS_VEC(conv_mask(w, tap) & VEC_AS_INT(v)); }

/* Elements [i, i + VW) of x, 0 outside [0, total): the borders of the first and last rows. */
inline vec conv_load(GLOBAL const float *x, int64 i, int64 total) {
  if (i >= 0 && i + VW <= total) return VEC_RAW_LOAD(x, i);
  float part[VW];
  for (int k = 0; k < VW; k++) part[k] = i + k >= 0 && i + k < total ? LD(x, i + k) : 0.0f;
  return VEC_FROM(part);
}

#endif
#endif
