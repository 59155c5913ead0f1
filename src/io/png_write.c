#include "io/png_write.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"

/* Behind a pointer, so that no local changes between setjmp and longjmp. */
typedef struct sink {
  uint8_t *bytes;
  size_t size, capacity;
  gh_error *err;
  gh_status status;
  char message[128];
} sink;

static void fail_png(png_structp png, png_const_charp message) {
  sink *to = png_get_error_ptr(png);
  snprintf(to->message, sizeof to->message, "%s", message);
  png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
  sink *to = png_get_io_ptr(png);
  if (GH_ARRAY_RESERVE(to->err, to->bytes, to->capacity, to->size, count)) {
    to->status = GH_ERROR_MEMORY;
    png_error(png, "memory");
  }
  memcpy(to->bytes + to->size, bytes, count);
  to->size += count;
}

static void flush_nothing(png_structp png) { (void)png; }

/* May leave by longjmp at any call of libpng. */
static void write_image(png_structp png, png_infop info, sink *to, const gh_image *image) {
  png_set_write_fn(png, to, write_bytes, flush_nothing);
  png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < image->height; y++) png_write_row(png, image->pixels + (size_t)y * image->width * 3);
  png_write_end(png, info);
}

/* `name` begins the error text. */
static gh_status encode(gh_error *err, unsigned char **bytes, size_t *size, const gh_image *image, const char *name) {
  *bytes = NULL;
  *size = 0;
  if (image->width <= 0 || image->height <= 0)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: cannot write an empty image", name);
  sink *to = gh_alloc(err, 1, sizeof *to);
  if (!to) return GH_ERROR_MEMORY;
  to->err = err;
  gh_status status = GH_OK;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, to, fail_png, ignore_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    status = gh_fail(err, GH_ERROR_MEMORY, "%s: out of memory for libpng", name);
  } else if (setjmp(png_jmpbuf(png)) == 0) {
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    write_image(png, info, to, image);
  } else {
    status = to->status ? to->status : gh_fail(err, GH_ERROR_FILE, "%s: cannot encode the PNG: %s", name, to->message);
  }
  png_destroy_write_struct(&png, &info);
  if (status) {
    free(to->bytes);
  } else {
    *bytes = to->bytes;
    *size = to->size;
  }
  free(to);
  return status;
}

gh_status gh_png_encode(gh_error *err, unsigned char **bytes, size_t *size, const gh_image *image) {
  return encode(err, bytes, size, image, "picture");
}

gh_status gh_png_write(gh_error *err, const char *path, const gh_image *image) {
  unsigned char *bytes = NULL;
  size_t size = 0;
  gh_status status = encode(err, &bytes, &size, image, path);
  if (!status) status = gh_file_write(err, path, bytes, size);
  free(bytes);
  return status;
}

gh_status gh_image_grid(gh_error *err, gh_image *out, const gh_image *cells, int rows, int columns, int padding) {
  *out = (gh_image){0};
  if (rows <= 0 || columns <= 0 || padding < 0 || padding > GH_IMAGE_MAX_SIDE)
    return gh_fail(err, GH_ERROR_ARGUMENT, "grid: %d x %d images with padding %d", rows, columns, padding);
  int width = cells[0].width, height = cells[0].height;
  for (int64_t i = 1; i < (int64_t)rows * columns; i++)
    if (cells[i].width != width || cells[i].height != height)
      return gh_fail(err, GH_ERROR_ARGUMENT, "grid: image %lld is %d x %d, the first %d x %d", (long long)i,
                     cells[i].width, cells[i].height, width, height);
  int64_t step_x = (int64_t)width + padding, step_y = (int64_t)height + padding;
  gh_status status = gh_image_new(err, out, columns * step_x + padding, rows * step_y + padding);
  if (status) return status;
  memset(out->pixels, 255, (size_t)out->width * out->height * 3);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++)
      for (int y = 0; y < height; y++)
        memcpy(out->pixels + 3 * ((size_t)(padding + r * step_y + y) * out->width + (size_t)(padding + c * step_x)),
               cells[(size_t)r * columns + c].pixels + (size_t)y * width * 3, (size_t)width * 3);
  return GH_OK;
}
