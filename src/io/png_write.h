/* Writing PNG files, and image grids for viewing. */
#ifndef GH_IO_PNG_WRITE_H
#define GH_IO_PNG_WRITE_H

#include "io/image.h"

/* 8-bit RGB, replaces path atomically. Deterministic: no time stamp, no text chunk. */
gh_status gh_png_write(gh_error *err, const char *path, const gh_image *image);

/* The same bytes in memory; the caller frees. */
gh_status gh_png_encode(gh_error *err, unsigned char **bytes, size_t *size, const gh_image *image);

/* rows x columns images of one size, row by row, `padding` white pixels around each; for reconstructions a row is
 * {original, reconstruction, ...}. */
gh_status gh_image_grid(gh_error *err, gh_image *out, const gh_image *cells, int rows, int columns, int padding);

#endif
