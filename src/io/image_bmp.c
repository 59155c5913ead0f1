/* BMP: the headers of Windows (versions 1 to 5) and OS/2 (version 1), rows of 1 to 32 bits, RLE4 and RLE8. Pixels come
 * out as in PIL: 5 and 6 bits are scaled and truncated, alpha is dropped, an index beyond the palette is black. */
#include <stdlib.h>
#include <string.h>

#include "io/image_codecs.h"

enum { RGB_ROWS = 0, RLE8 = 1, RLE4 = 2, BIT_FIELDS = 3, ALPHA_BIT_FIELDS = 6 };
enum { FILE_HEADER = 14, OS2_HEADER = 12, WINDOWS_HEADER = 40 };

typedef struct bitmap {
  const char *name;
  const uint8_t *bytes;
  size_t size;
  int64_t width, height;
  bool top_down;
  int bits, compression;
  size_t pixels_at;
  uint32_t masks[3]; /* red, green, blue; 16 and 32 bits */
  uint8_t palette[256][3];
} bitmap;

static uint32_t little(const uint8_t *at, int bytes) {
  uint32_t value = 0;
  for (int i = bytes; i-- > 0;) value = value << 8 | at[i];
  return value;
}

static gh_status broken(gh_error *err, const bitmap *b, const char *what) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: broken BMP: %s", b->name, what);
}

/* ---- headers ---- */

/* Colours start right after the header and its masks. */
static gh_status read_palette(gh_error *err, bitmap *b, size_t at, uint32_t used, int entry) {
  const uint32_t most = UINT32_C(1) << b->bits;
  uint32_t count = used ? used : most;
  if (count > 65536) return broken(err, b, "more than 65536 colours");
  count = GH_MIN(count, most);
  if (at > b->size || (size_t)count * (size_t)entry > b->size - at)
    return broken(err, b, "the file ends within its palette");
  for (uint32_t i = 0; i < count; i++)
    for (int c = 0; c < 3; c++) b->palette[i][c] = b->bytes[at + (size_t)i * (size_t)entry + (size_t)(2 - c)];
  return GH_OK;
}

/* Whole bytes, or the usual 5 and 6 bits. */
static bool mask_is_known(const bitmap *b, uint32_t mask) {
  static const uint32_t of16[] = {0xf800, 0x07e0, 0x001f, 0x7c00, 0x03e0};
  for (int shift = 0; b->bits == 32 && shift < 32; shift += 8)
    if (mask == UINT32_C(0xff) << shift) return true;
  for (size_t i = 0; b->bits == 16 && i < GH_COUNT(of16); i++)
    if (mask == of16[i]) return true;
  return false;
}

static gh_status read_masks(gh_error *err, bitmap *b) {
  static const uint32_t usual16[3] = {0x7c00, 0x03e0, 0x001f}, usual32[3] = {0xff0000, 0xff00, 0xff};
  const size_t at = FILE_HEADER + WINDOWS_HEADER;
  const bool fields = b->compression == BIT_FIELDS || b->compression == ALPHA_BIT_FIELDS;
  if (b->bits != 16 && b->bits != 32) return GH_OK;
  memcpy(b->masks, b->bits == 16 ? usual16 : usual32, sizeof b->masks);
  if (!fields) return GH_OK;
  if (b->size < at + 12) return broken(err, b, "the file ends within its bit masks");
  for (int c = 0; c < 3; c++) {
    b->masks[c] = little(b->bytes + at + 4 * c, 4);
    if (!mask_is_known(b, b->masks[c]))
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: BMP with the bit mask 0x%x is not supported", b->name,
                     (unsigned)b->masks[c]);
  }
  return GH_OK;
}

static gh_status check_kind(gh_error *err, const bitmap *b) {
  static const struct {
    int compression, bits[6];
  } kinds[] = {{RGB_ROWS, {1, 4, 8, 16, 24, 32}},
               {RLE8, {8}},
               {RLE4, {4}},
               {BIT_FIELDS, {16, 24, 32}},
               {ALPHA_BIT_FIELDS, {16, 24, 32}}};
  for (size_t i = 0; i < GH_COUNT(kinds); i++)
    for (size_t k = 0; b->compression == kinds[i].compression && k < GH_COUNT(kinds[i].bits); k++)
      if (b->bits && b->bits == kinds[i].bits[k]) return GH_OK;
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: BMP with %d bits per pixel and compression %d is not supported",
                 b->name, b->bits, b->compression);
}

static gh_status read_headers(gh_error *err, bitmap *b) {
  if (b->size < FILE_HEADER + OS2_HEADER) return broken(err, b, "the file is truncated");
  const uint8_t *info = b->bytes + FILE_HEADER;
  const uint32_t header = little(info, 4);
  b->pixels_at = little(b->bytes + 10, 4);
  if (header != OS2_HEADER && (header < WINDOWS_HEADER || header > 124))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: BMP with a header of %u bytes is not supported", b->name,
                   (unsigned)header);
  if (b->size - FILE_HEADER < header) return broken(err, b, "the file is truncated");
  uint32_t used = 0;
  if (header == OS2_HEADER) {
    b->width = little(info + 4, 2);
    b->height = little(info + 6, 2);
    b->bits = (int)little(info + 10, 2);
  } else {
    const int64_t height = (int32_t)little(info + 8, 4);
    b->width = (int32_t)little(info + 4, 4);
    b->top_down = height < 0;
    b->height = b->top_down ? -height : height;
    b->bits = (int)little(info + 14, 2);
    b->compression = (int)GH_MIN(little(info + 16, 4), 255u);
    used = little(info + 32, 4);
  }
  gh_status status = gh_image_check_size(err, b->name, b->width, b->height);
  if (!status) status = check_kind(err, b);
  if (!status) status = read_masks(err, b);
  if (!status && b->bits <= 8)
    status = read_palette(err, b, FILE_HEADER + (size_t)header, used, header == OS2_HEADER ? 3 : 4);
  if (!status && b->pixels_at > b->size) status = broken(err, b, "the file is truncated");
  return status;
}

/* ---- rows ---- */

/* Scaled to 255 and truncated, as in PIL. */
static uint8_t field_of(uint32_t pixel, uint32_t mask) {
  if (!mask) return 0;
  const int shift = __builtin_ctz(mask);
  return (uint8_t)(((pixel & mask) >> shift) * 255u / (mask >> shift));
}

static void read_row(const bitmap *b, uint8_t *out, const uint8_t *row) {
  const int bits = b->bits, bytes = bits / 8;
  for (size_t x = 0; x < (size_t)b->width; x++, out += 3) {
    if (bits <= 8) {
      const size_t at = x * (size_t)bits;
      const int value = row[at / 8] >> (8 - bits - (int)(at % 8)) & ((1 << bits) - 1);
      memcpy(out, b->palette[value], 3);
    } else if (bits == 24) {
      for (int c = 0; c < 3; c++) out[c] = row[3 * x + (size_t)(2 - c)];
    } else {
      const uint32_t pixel = little(row + x * (size_t)bytes, bytes);
      for (int c = 0; c < 3; c++) out[c] = field_of(pixel, b->masks[c]);
    }
  }
}

static uint8_t *row_of(const bitmap *b, const gh_image *image, int64_t y) {
  return image->pixels + (size_t)(b->top_down ? y : b->height - 1 - y) * (size_t)b->width * 3;
}

static gh_status read_rows(gh_error *err, const bitmap *b, gh_image *out) {
  const size_t stride = ((size_t)b->width * (size_t)b->bits + 31) / 32 * 4, left = b->size - b->pixels_at;
  const size_t last = ((size_t)b->width * (size_t)b->bits + 7) / 8; /* the padding after the last row may be missing */
  if (left < last || (left - last) / stride < (size_t)b->height - 1) return broken(err, b, "the file is truncated");
  gh_status status = gh_image_new(err, out, b->width, b->height);
  for (int64_t y = 0; y < b->height && !status; y++)
    read_row(b, row_of(b, out, y), b->bytes + b->pixels_at + (size_t)y * stride);
  return status;
}

/* ---- run-length coded rows ---- */

typedef struct cursor {
  int64_t x, y;
} cursor;

static void put(const bitmap *b, gh_image *out, cursor *at, int value) {
  if (at->x >= b->width || at->y >= b->height) return;
  memcpy(row_of(b, out, at->y) + 3 * at->x++, b->palette[value], 3);
}

/* Pixel i of a run: RLE4 alternates between the two halves of a byte. */
static int value_of(const bitmap *b, int byte, int i) {
  return b->compression == RLE8 ? byte : i % 2 ? byte & 15 : byte >> 4;
}

/* Skipped pixels keep the first colour, as in PIL. */
static gh_status read_runs(gh_error *err, const bitmap *b, gh_image *out) {
  const uint8_t *p = b->bytes + b->pixels_at, *end = b->bytes + b->size;
  cursor at = {0, 0};
  gh_status status = gh_image_new(err, out, b->width, b->height);
  for (size_t i = 0; !status && i < (size_t)b->width * (size_t)b->height; i++)
    memcpy(out->pixels + 3 * i, b->palette[0], 3);
  while (!status && at.y < b->height) {
    if (end - p < 2) return broken(err, b, "the file is truncated");
    const int count = p[0], value = p[1];
    p += 2;
    if (count) {
      for (int i = 0; i < count; i++) put(b, out, &at, value_of(b, value, i));
    } else if (value == 0) {
      at = (cursor){0, at.y + 1};
    } else if (value == 1) {
      break;
    } else if (value == 2) {
      if (end - p < 2) return broken(err, b, "the file is truncated");
      at.x += p[0];
      at.y += p[1];
      p += 2;
    } else {
      const ptrdiff_t bytes = b->compression == RLE8 ? value : (value + 1) / 2, padded = bytes + bytes % 2;
      if (end - p < bytes) return broken(err, b, "the file is truncated");
      for (int i = 0; i < value; i++) put(b, out, &at, value_of(b, p[b->compression == RLE8 ? i : i / 2], i));
      p += GH_MIN(padded, end - p);
    }
  }
  return status;
}

gh_status gh_bmp_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                        size_t size) {
  bitmap *b = gh_alloc(err, 1, sizeof *b);
  if (!b) return GH_ERROR_MEMORY;
  *orientation = 1; /* the format has none */
  *b = (bitmap){.name = name, .bytes = bytes, .size = size};
  gh_status status = read_headers(err, b);
  if (!status)
    status = b->compression == RLE8 || b->compression == RLE4 ? read_runs(err, b, out) : read_rows(err, b, out);
  free(b);
  return status;
}
