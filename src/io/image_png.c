/* PNG through libpng. libpng only unpacks: the conversion to RGB is ours, because PIL's differs from libpng's. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codecs.h"

/* All state lives behind a pointer, so that no local changes between setjmp and longjmp. */
typedef struct reader {
  const char *name;
  const uint8_t *bytes;
  size_t size, at;
  gh_error *err;
  gh_status status; /* set if our code failed; otherwise libpng's message has the cause */
  char message[128];
  bool pixels_done;
  bool out_of_memory; /* libpng says so in many texts, and does without some chunks then */
  png_structp png;
  png_infop info;
  gh_image *image;
  png_bytep *rows;
} reader;

static void fail_png(png_structp png, png_const_charp message) {
  reader *in = png_get_error_ptr(png);
  snprintf(in->message, sizeof in->message, "%s", message);
  png_longjmp(png, 1);
}

static png_voidp allocate(png_structp png, png_alloc_size_t bytes) {
  reader *in = png_get_mem_ptr(png);
  void *memory = malloc(bytes);
  if (!memory) in->out_of_memory = true;
  return memory;
}

static void release(png_structp png, png_voidp memory) {
  (void)png;
  free(memory);
}

static void ignore_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void read_bytes(png_structp png, png_bytep out, size_t count) {
  reader *in = png_get_io_ptr(png);
  if (count > in->size - in->at) png_error(png, "the file is truncated");
  memcpy(out, in->bytes + in->at, count);
  in->at += count;
}

/* ---- orientation ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* ImageMagick's form from before the eXIf chunk existed: "\nexif\n<length>\n<hexadecimal lines>". */
static int orientation_of_raw_profile(char *text, size_t size) {
  size_t at = 0, bytes = 0;
  for (int lines = 0; lines < 3 && at < size; at++) lines += text[at] == '\n';
  for (int high = -1; at < size; at++) {
    int digit = hex_digit(text[at]);
    if (digit < 0) continue;
    if (high >= 0) text[bytes++] = (char)(high << 4 | digit); /* in place: two characters were read for it */
    high = high >= 0 ? -1 : digit;
  }
  return gh_exif_orientation((const uint8_t *)text, bytes);
}

static int find_orientation(reader *in) {
  png_bytep exif = NULL;
  png_uint_32 exif_size = 0;
  png_textp texts = NULL;
  int count = png_get_text(in->png, in->info, &texts, NULL), raw = 0, xmp = 0, found = 0;
  bool has_exif = png_get_eXIf_1(in->png, in->info, &exif_size, &exif) != 0;
  if (has_exif) found = gh_exif_orientation(exif, exif_size);
  for (int i = 0; i < count; i++) {
    size_t size = texts[i].compression >= PNG_ITXT_COMPRESSION_NONE ? texts[i].itxt_length : texts[i].text_length;
    if (!texts[i].text || !size) continue;
    if (strcmp(texts[i].key, "XML:com.adobe.xmp") == 0) xmp = gh_xmp_orientation((uint8_t *)texts[i].text, size);
    if (strcmp(texts[i].key, "Raw profile type exif") == 0) raw = orientation_of_raw_profile(texts[i].text, size);
  }
  if (!has_exif) found = raw;
  if (!found) found = xmp;
  return found ? found : 1;
}

/* ---- pixels ---- */

typedef struct pixel_rule {
  int bytes;                  /* per pixel in libpng's output */
  const uint8_t (*colour)[3]; /* for 1 byte: the colour of each value */
} pixel_rule;

/* Spreads a row in place, from its end, so that nothing is overwritten before it is read. Returns whether a value was
 * clipped. */
static bool spread_row(uint8_t *row, int width, pixel_rule rule) {
  bool clipped = false;
  if (rule.bytes == 3) return false;
  for (size_t x = (size_t)width; x-- > 0;) {
    uint8_t grey[3];
    const uint8_t *colour = grey;
    if (rule.bytes == 1)
      colour = rule.colour[row[x]];
    else /* 16-bit grey is clipped, not scaled: see image.h */
      memset(grey, row[2 * x] ? 255 : row[2 * x + 1], 3);
    clipped |= rule.bytes == 2 && row[2 * x];
    memmove(row + 3 * x, colour, 3);
  }
  return clipped;
}

/* Fills the colours of one-byte pixels and tells libpng what to unpack. */
static pixel_rule choose_rule(reader *in, uint8_t colours[256][3]) {
  int depth = png_get_bit_depth(in->png, in->info), type = png_get_color_type(in->png, in->info);
  if (type & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(in->png);
  if (depth == 16 && type == PNG_COLOR_TYPE_GRAY) return (pixel_rule){2, NULL};
  if (depth == 16) png_set_strip_16(in->png); /* keeps the high byte */
  if (depth < 8) png_set_packing(in->png);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    png_colorp palette = NULL;
    int count = 0;
    png_get_PLTE(in->png, in->info, &palette, &count);
    for (int i = 0; i < count && i < 256; i++)
      memcpy(colours[i], (uint8_t[3]){palette[i].red, palette[i].green, palette[i].blue}, 3);
    return (pixel_rule){1, (const uint8_t(*)[3])colours};
  }
  if (type & PNG_COLOR_MASK_COLOR) return (pixel_rule){3, NULL};
  int top = depth < 8 ? (1 << depth) - 1 : 255;
  for (int i = 0; i <= top; i++) memset(colours[i], i * 255 / top, 3);
  return (pixel_rule){1, (const uint8_t(*)[3])colours};
}

/* May leave by longjmp at any call of libpng. */
static void read_image(reader *in) {
  png_set_read_fn(in->png, in, read_bytes);
  png_set_user_limits(in->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are checked below, with a better text */
  /* As PIL: a chunk in front of the pixels with a wrong checksum breaks the file, also one that only describes it. */
  png_set_crc_action(in->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(in->png, in->info);
  png_set_crc_action(in->png, PNG_CRC_NO_CHANGE, PNG_CRC_QUIET_USE);
  int64_t width = png_get_image_width(in->png, in->info), height = png_get_image_height(in->png, in->info);
  if ((in->status = gh_image_check_size(in->err, in->name, width, height))) png_error(in->png, "size");

  uint8_t colours[256][3] = {0};
  pixel_rule rule = choose_rule(in, colours);
  png_set_interlace_handling(in->png);
  png_read_update_info(in->png, in->info);
  if (png_get_rowbytes(in->png, in->info) != (size_t)(width * rule.bytes)) png_error(in->png, "unexpected row size");
  if ((in->status = gh_image_new(in->err, in->image, width, height))) png_error(in->png, "memory");
  in->rows = gh_alloc(in->err, (size_t)height, sizeof *in->rows);
  if (!in->rows) {
    in->status = GH_ERROR_MEMORY;
    png_error(in->png, "memory");
  }
  for (int64_t y = 0; y < height; y++) in->rows[y] = in->image->pixels + y * width * 3;
  png_read_image(in->png, in->rows);
  for (int64_t y = 0; y < height; y++) in->image->clipped |= spread_row(in->rows[y], (int)width, rule);
  in->pixels_done = true;
  png_read_end(in->png, in->info); /* metadata may follow the pixels; damage there does not cost the image */
}

gh_status gh_png_decode(gh_error *err, gh_image *out, int *orientation, const char *name, const uint8_t *bytes,
                        size_t size) {
  reader *in = gh_alloc(err, 1, sizeof *in);
  if (!in) return GH_ERROR_MEMORY;
  *in = (reader){.name = name, .bytes = bytes, .size = size, .err = err, .image = out};
  gh_status status = GH_OK;
  in->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, in, fail_png, ignore_warning, in, allocate, release);
  in->info = in->png ? png_create_info_struct(in->png) : NULL;
  if (!in->info) {
    in->out_of_memory = true;
  } else if (setjmp(png_jmpbuf(in->png)) == 0) {
    read_image(in);
  } else if (in->status) {
    status = in->status; /* the text is already set */
  } else if (!in->pixels_done) {
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: broken PNG: %s", name, in->message);
  }
  if (in->pixels_done) *orientation = find_orientation(in);
  if (in->out_of_memory) status = gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libpng", name);
  png_destroy_read_struct(&in->png, &in->info, NULL);
  free(in->rows);
  free(in);
  return status;
}
