/* Shared by image.c and the decoders; private to them. */
#ifndef GH_IO_IMAGE_CODECS_H
#define GH_IO_IMAGE_CODECS_H

#include "io/image.h"

/* Fills *out, not yet rotated upright, and *orientation (EXIF's 1 to 8). On failure *out may hold pixels: free it. A
 * decoder tells memory that runs out, inside its library too, from broken content: GH_ERROR_MEMORY. */
gh_status gh_png_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                        size_t size);
gh_status gh_jpeg_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size);

gh_status gh_bmp_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                        size_t size);
/* Only in builds that have the library. */
gh_status gh_webp_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size);
gh_status gh_avif_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                         size_t size);

/* The orientation tag of a TIFF structure (with or without "Exif\0\0" in front) or of an XMP packet; 0 when absent,
 * 1 when it is none of 1 to 8. Damaged metadata counts as absent: only the pixels matter. */
int gh_exif_orientation(const uint8_t *bytes, size_t size);
int gh_xmp_orientation(const uint8_t *bytes, size_t size);

/* Rejects sizes that are not positive or exceed the limits. */
gh_status gh_image_check_size(gh_error *err, const char *name, int64_t width, int64_t height);

#endif
