/* Images to patches and back, and nearest upsampling. */

/* patches (B, gh * gw, C * p * p), a patch's elements in (c, ph, pw) order, against image (B, C, gh * p, gw * p):
 * forward writes patches, backward the image. A row is a patch, split into runs of p elements contiguous in both. */
#define FOR_PATCH_RUNS(patch_at, image_at)                                                                             \
  ROW(patches_total);                                                                                                  \
  if (!row_valid) return; /* no barrier below */                                                                       \
  const int64 sample = row / ((int64)gh * gw), cell = row % ((int64)gh * gw);                                          \
  const int64 width = (int64)gw * p, height = (int64)gh * p;                                                           \
  for (int run = LANE; run < channels * p; run += LANES)                                                               \
    for (int64 k = 0, patch_at = (row * channels * p + run) * p,                                                       \
               image_at = ((sample * channels + run / p) * height + cell / gw * p + run % p) * width + cell % gw * p;  \
         k < p; k++, patch_at++, image_at++)

KERNEL void patchify_forward(GLOBAL ELEM *patches, GLOBAL const ELEM *image, int64 patches_total, int32 channels,
                             int32 gh, int32 gw, int32 p) {
  FOR_PATCH_RUNS(to, from) ST(patches, to, LD(image, from));
}

KERNEL void unpatchify_forward(GLOBAL ELEM *image, GLOBAL const ELEM *patches, int64 patches_total, int32 channels,
                               int32 gh, int32 gw, int32 p) {
  FOR_PATCH_RUNS(from, to) ST(image, to, LD(patches, from));
}

/* x (rows, width) -> y (2 rows, 2 width): every element becomes a square of four */
KERNEL void upsample2x_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, int64 rows, int64 width) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  GLOBAL ELEM *top = y + 4 * row * width, *bottom = top + 2 * width;
  x += row * width;
  for (int64 i = LANE; i < width; i += LANES) {
    const float v = LD(x, i);
    ST(top, 2 * i, v);
    ST(top, 2 * i + 1, v);
    ST(bottom, 2 * i, v);
    ST(bottom, 2 * i + 1, v);
  }
}

KERNEL void upsample2x_backward(GLOBAL ELEM *dx, GLOBAL const ELEM *dy, int64 rows, int64 width) {
  ROW(rows);
  if (!row_valid) return; /* no barrier below */
  GLOBAL const ELEM *top = dy + 4 * row * width, *bottom = top + 2 * width;
  dx += row * width;
  for (int64 i = LANE; i < width; i += LANES)
    ST(dx, i, (LD(top, 2 * i) + LD(top, 2 * i + 1)) + (LD(bottom, 2 * i) + LD(bottom, 2 * i + 1)));
}
