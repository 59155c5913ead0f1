/* Antialiased resampling of 8-bit images, bit-equal to PIL's Image.resize(size, filter, box).
 *
 * Output pixel i of n over the box [b0, b1) lies at c = b0 + (i + 1/2) s, s = (b1 - b0) / n, and is the mean of the
 * input pixels weighted by f((x + 1/2 - c) / max(s, 1)), cut at the image's edges (not the box's) and normalised.
 * Weights are rounded to 22 fractional bits; rows first, then columns, rounded and clamped to bytes in between. Columns
 * come first if the height shrinks by more than twice as many pixels as the width (Pillow 13; earlier versions: always
 * rows first). */
#ifndef GH_IO_RESIZE_H
#define GH_IO_RESIZE_H

#include "io/image.h"

/* PIL's numbers, which preprocessor_config.json uses. */
typedef enum gh_filter { GH_FILTER_BILINEAR = 2, GH_FILTER_BICUBIC = 3 } gh_filter;

/* The filter with PIL's number; others are GH_ERROR_UNSUPPORTED, with the name. `what` begins the text. */
gh_status gh_filter_from_number(gh_error *err, gh_filter *out, const char *what, int64_t number);

/* A rectangle of an image's pixels. */
typedef struct gh_image_part {
  int64_t left, top, width, height;
} gh_image_part;

/* out: (height, width, 3). box: {left, top, right, bottom} in input pixels, inside the image; NULL: all of it. */
gh_status gh_image_resize(gh_error *err, gh_image *out, const gh_image *image, int64_t width, int64_t height,
                          gh_filter filter, const float box[4]);
/* The same, of which only `part` is computed: out is (part->height, part->width, 3). A long strip that is cropped
 * afterwards may be resized to millions of columns. */
gh_status gh_image_resize_part(gh_error *err, gh_image *out, const gh_image *image, int64_t width, int64_t height,
                               gh_filter filter, const float box[4], const gh_image_part *part);

#endif
