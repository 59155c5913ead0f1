/* The random resized crop of training (torchvision's RandomResizedCrop), drawn from our own counter-based stream. */
#ifndef GH_DATA_AUGMENT_H
#define GH_DATA_AUGMENT_H

#include "base/random.h"
#include "io/image.h"

typedef struct gh_crop_rule {
  double scale[2]; /* share of the image's area, [least, most] */
  double ratio[2]; /* width / height, [least, most], log-uniform */
} gh_crop_rule;

typedef struct gh_crop_box {
  int left, top, width, height; /* pixels, inside the image */
} gh_crop_box;

enum { GH_CROP_TRIES = 10, GH_CROP_UNIFORMS = 4 * GH_CROP_TRIES };

/* GH_ERROR_CONFIG unless 0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]. */
gh_status gh_crop_rule_check(gh_error *err, const gh_crop_rule *rule);

/* Ten tries, then a central crop of the nearest allowed aspect. Try k reads u[4k .. 4k+3], each in (0, 1): area,
 * aspect, top, left. Source: torchvision's RandomResizedCrop.get_params, its rounding (half to even) included. */
gh_crop_box gh_crop_choose(const gh_crop_rule *rule, const float u[GH_CROP_UNIFORMS], int width, int height);

/* Crops for sample `ordinal` and resizes to size x size, bicubic. Like torchvision's resized_crop, cuts the crop out
 * first: pixels outside it have no influence. */
gh_status gh_augment(gh_error *err, gh_image *out, const gh_image *image, const gh_crop_rule *rule, gh_stream stream,
                     uint64_t ordinal, int size);

#endif
