/* Decoding: finds the format by the first bytes, and turns what the decoder gives upright. */
#include "base/file.h"
#include "base/incomplete.h"
#include "io/image_codecs.h"

#include <stdlib.h>
#include <string.h>

/* EXIF's eight orientations: whether rows become columns, and which way the source is read. */
static const struct {
  bool swap, flip_x, flip_y;
} turns[9] = {
    [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true}, [5] = {true, false, false},
    [6] = {true, false, true},  [7] = {true, true, true},  [8] = {true, true, false},
};

static gh_status turn_upright(gh_error *err, gh_image *image, int orientation) {
  if (orientation <= 1 || orientation > 8) return GH_OK;
  bool swap = turns[orientation].swap;
  gh_image turned;
  gh_status status =
      gh_image_new(err, &turned, swap ? image->height : image->width, swap ? image->width : image->height);
  if (status) return status;
  for (int y = 0; y < turned.height; y++)
    for (int x = 0; x < turned.width; x++) {
      int sx = swap ? y : x, sy = swap ? x : y;
      if (turns[orientation].flip_x) sx = image->width - 1 - sx;
      if (turns[orientation].flip_y) sy = image->height - 1 - sy;
      memcpy(turned.pixels + 3 * ((size_t)y * turned.width + x), image->pixels + 3 * ((size_t)sy * image->width + sx),
             3);
    }
  turned.clipped = image->clipped;
  gh_image_free(image);
  *image = turned;
  return GH_OK;
}

/* ---- formats ---- */

typedef gh_status decoder(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                          size_t size);

#if GH_WITH_WEBP
#define WEBP      gh_webp_decode
#define WEBP_TEXT ", WebP"
#else
#define WEBP      NULL
#define WEBP_TEXT ""
#endif
#if GH_WITH_AVIF
#define AVIF      gh_avif_decode
#define AVIF_TEXT ", AVIF"
#else
#define AVIF      NULL
#define AVIF_TEXT ""
#endif
#define FORMATS "PNG, JPEG, BMP" WEBP_TEXT AVIF_TEXT

const char *gh_image_formats(void) { return FORMATS; }

/* Recognised by content; a format without a decoder is rejected, and the error names it. */
static const struct {
  size_t offset;
  const char *magic;
  size_t magic_size;
  const char *format;
  decoder *decode;
  const char *library; /* that a build may lack; NULL: none */
} formats[] = {
    {0, "\x89PNG\r\n\x1a\n", 8, "PNG", gh_png_decode, NULL},
    {0, "\xff\xd8\xff", 3, "JPEG", gh_jpeg_decode, NULL},
    {0, "GIF8", 4, "GIF", NULL, NULL},
    {8, "WEBP", 4, "WebP", WEBP, "libwebp"},
    {0, "BM", 2, "BMP", gh_bmp_decode, NULL},
    {0, "II*\0", 4, "TIFF", NULL, NULL},
    {0, "MM\0*", 4, "TIFF", NULL, NULL},
    {4, "ftypavif", 8, "AVIF", AVIF, "libavif"},
    {4, "ftypavis", 8, "AVIF", AVIF, "libavif"},
    {4, "ftypheic", 8, "HEIC", NULL, NULL},
    {4, "ftypmif1", 8, "HEIF", NULL, NULL},
    {4, "ftypmsf1", 8, "HEIF", NULL, NULL},
    {0, "\0\0\0\x0cjP  ", 8, "JPEG 2000", NULL, NULL},
    {0, "\xff\x4f\xff\x51", 4, "JPEG 2000", NULL, NULL},
    {0, "\0\0\0\x0cJXL ", 8, "JPEG XL", NULL, NULL},
    {0, "\xff\x0a", 2, "JPEG XL", NULL, NULL},
    {0, "8BPS", 4, "Photoshop", NULL, NULL},
    {0, "\0\0\1\0", 4, "ICO", NULL, NULL},
    {0, "P5\n", 3, "PGM", NULL, NULL},
    {0, "P6\n", 3, "PPM", NULL, NULL},
};

/* A container whose first brand is a general one ("mif1") says further on that AVIF is in it: that brand comes first.
 */
static bool has_brand(const uint8_t *bytes, size_t size, const char *brand) {
  static const char *const general[] = {"ftypmif1", "ftypmsf1"};
  if (size < 16 || (memcmp(bytes + 4, general[0], 8) != 0 && memcmp(bytes + 4, general[1], 8) != 0)) return false;
  const size_t box = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
  for (size_t at = 16; at + 4 <= GH_MIN(box, size); at += 4)
    if (memcmp(bytes + at, brand, 4) == 0) return true;
  return false;
}

static bool is_format(size_t row, const uint8_t *bytes, size_t size) {
  if (size < formats[row].offset + formats[row].magic_size) return false;
  if (memcmp(bytes + formats[row].offset, formats[row].magic, formats[row].magic_size) == 0) return true;
  return strcmp(formats[row].format, "AVIF") == 0 && has_brand(bytes, size, formats[row].magic + 4);
}

static gh_status refuse(gh_error *err, const char *name, const char *format, const char *library) {
  if (library)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: %s images need %s, which this build does not have", name, format,
                   library);
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: %s images are not supported, only " FORMATS, name, format);
}

gh_status gh_image_decode(gh_error *err, gh_image *out, const char *name, const void *bytes, size_t size) {
  return gh_image_decode_as(err, out, name, bytes, size, true);
}

gh_status gh_image_decode_as(gh_error *err, gh_image *out, const char *name, const void *bytes, size_t size,
                             bool upright) {
  *out = (gh_image){0};
  if (!size) return gh_fail(err, GH_ERROR_FORMAT, "%s: empty file", name);
  for (size_t i = 0; i < GH_COUNT(formats); i++) {
    if (!is_format(i, bytes, size)) continue;
    if (!formats[i].decode) return refuse(err, name, formats[i].format, formats[i].library);
    int orientation = 1;
    gh_status status = formats[i].decode(err, out, &orientation, name, bytes, size);
    if (!status && upright) status = turn_upright(err, out, orientation);
    if (status) gh_image_free(out);
    return status;
  }
  gh_status status = gh_refuse_incomplete(err, name, bytes, size);
  return status ? status : gh_fail(err, GH_ERROR_FORMAT, "%s: not an image of a known format (" FORMATS ")", name);
}

gh_status gh_image_read(gh_error *err, gh_image *out, const char *path) {
  *out = (gh_image){0};
  char *bytes = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, path, GH_IMAGE_MAX_BYTES, &bytes, &size);
  if (!status) status = gh_image_decode(err, out, path, bytes, size);
  free(bytes);
  return status;
}
