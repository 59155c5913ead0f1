/* RGB images: decoding, orientation, conversion to and from planar floats. PNG, JPEG and BMP always; WebP and AVIF in
 * builds that have the library.
 *
 * A file decodes to the same image as in transformers' load_image: PIL.Image.open, ImageOps.exif_transpose,
 * convert("RGB"); or without exif_transpose, as the authors' training opens it. Bit-equal for PNG, BMP and lossless
 * files, within a grey level for JPEG and lossy WebP (in practice equal: both are libjpeg-turbo's accurate DCT with
 * smooth upsampling, or libwebp). In particular
 *  - transparency (alpha channel, tRNS) is dropped, not blended;
 *  - 16-bit colour and 16-bit grey with alpha keep the high byte, but 16-bit grey without alpha is clipped: values
 *    above 255 become 255 (PIL's "I;16" to "L"). This is odd, but published scores depend on it; `clipped` says so;
 *  - an index beyond the palette is black;
 *  - CMYK and YCCK JPEGs are assumed to be inverted (Adobe's convention) and multiplied out without a colour profile;
 *  - the orientation comes from EXIF, or from XMP if EXIF has none; AVIF's from the format itself;
 *  - of an animation, the first picture is taken.
 *
 * Input is hostile: a side beyond GH_IMAGE_MAX_SIDE or more than GH_IMAGE_MAX_PIXELS is rejected before anything is
 * allocated for it; an empty, truncated or corrupt file is GH_ERROR_FORMAT; any other format is
 * GH_ERROR_UNSUPPORTED, with its name. Nothing is printed. All functions are safe from any thread. */
#ifndef GH_IO_IMAGE_H
#define GH_IO_IMAGE_H

#include "base/status.h"

#define GH_IMAGE_MAX_PIXELS (INT64_C(1) << 28)
#define GH_IMAGE_MAX_SIDE   1000000
#define GH_IMAGE_MAX_BYTES  ((size_t)1 << 30) /* of an encoded file */

typedef struct gh_image {
  int width, height;
  uint8_t *pixels; /* (height, width, 3), RGB */
  bool clipped;    /* decoded from 16-bit grey with values above 255, which are 255 here */
} gh_image;

/* A black image. On failure *out is empty. */
gh_status gh_image_new(gh_error *err, gh_image *out, int64_t width, int64_t height);
void gh_image_free(gh_image *image); /* leaves an empty image; an empty one is fine */

/* Decodes a file's content; `name` begins the error text. On failure *out is empty. GH_ERROR_MEMORY and GH_ERROR_FILE
 * are faults of the machine (base/retry.h), not of the content: also where memory runs out inside a library. */
gh_status gh_image_decode(gh_error *err, gh_image *out, const char *name, const void *bytes, size_t size);
/* The same, turned upright by the orientation or left as it is stored. */
gh_status gh_image_decode_as(gh_error *err, gh_image *out, const char *name, const void *bytes, size_t size,
                             bool upright);
gh_status gh_image_read(gh_error *err, gh_image *out, const char *path);
/* The formats that this build decodes: "PNG, JPEG, BMP, WebP". */
const char *gh_image_formats(void);

/* Cuts out width x height pixels at (left, top), which must lie inside. */
gh_status gh_image_crop(gh_error *err, gh_image *out, const gh_image *image, int left, int top, int width, int height);

/* out: (3, height, width) in [0, 1], byte / 255. */
void gh_image_to_floats(float *out, const gh_image *image);
/* planes: (3, height, width); clamped to [0, 1], rounded to the nearest byte, NaN becomes 0. */
gh_status gh_image_from_floats(gh_error *err, gh_image *out, const float *planes, int width, int height);

#endif
