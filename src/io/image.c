#include "io/image.h"

#include <stdlib.h>
#include <string.h>

#include "io/image_codecs.h"

/* ---- memory ---- */

gh_status gh_image_check_size(gh_error *err, const char *name, int64_t width, int64_t height) {
  if (width <= 0 || height <= 0)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: an image of %lld x %lld pixels", name, (long long)width,
                   (long long)height);
  if (width > GH_IMAGE_MAX_SIDE || height > GH_IMAGE_MAX_SIDE || width * height > GH_IMAGE_MAX_PIXELS)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %lld x %lld pixels are more than the limit (%d per side, 2^28 in total)",
                   name, (long long)width, (long long)height, GH_IMAGE_MAX_SIDE);
  return GH_OK;
}

gh_status gh_image_new(gh_error *err, gh_image *out, int64_t width, int64_t height) {
  *out = (gh_image){0};
  gh_status status = gh_image_check_size(err, "image", width, height);
  if (status) return status;
  out->pixels = gh_alloc(err, (size_t)(width * height), 3);
  if (!out->pixels) return GH_ERROR_MEMORY;
  out->width = (int)width;
  out->height = (int)height;
  return GH_OK;
}

void gh_image_free(gh_image *image) {
  free(image->pixels);
  *image = (gh_image){0};
}

/* ---- orientation ---- */

static uint32_t read_number(const uint8_t *at, int bytes, bool little) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[little ? bytes - 1 - i : i];
  return value;
}

static int known_orientation(uint32_t value) { return value >= 1 && value <= 8 ? (int)value : 1; }

int gh_exif_orientation(const uint8_t *bytes, size_t size) {
  static const int type_bytes[] = {[1] = 1, [3] = 2, [4] = 4}; /* BYTE, SHORT, LONG */
  const uint32_t orientation_tag = 0x0112;
  for (int i = 0; i < 2 && size >= 6 && memcmp(bytes, "Exif\0\0", 6) == 0; i++) bytes += 6, size -= 6;
  if (size < 8) return 0;
  bool little = memcmp(bytes, "II*\0", 4) == 0;
  if (!little && memcmp(bytes, "MM\0*", 4) != 0) return 0;
  size_t at = read_number(bytes + 4, 4, little);
  if (at > size - 2) return 0;
  uint32_t entries = read_number(bytes + at, 2, little);
  for (at += 2; entries-- && at + 12 <= size; at += 12) {
    if (read_number(bytes + at, 2, little) != orientation_tag) continue;
    uint32_t type = read_number(bytes + at + 2, 2, little), count = read_number(bytes + at + 4, 4, little);
    if (count != 1 || type >= GH_COUNT(type_bytes) || !type_bytes[type]) return 1;
    return known_orientation(read_number(bytes + at + 8, type_bytes[type], little));
  }
  return 0;
}

int gh_xmp_orientation(const uint8_t *bytes, size_t size) {
  static const char word[] = "tiff:Orientation";
  const uint8_t *end = bytes + size, *at = bytes;
  while (at < end && (at = memmem(at, (size_t)(end - at), word, sizeof word - 1))) {
    at += sizeof word - 1; /* tiff:Orientation="6" as an attribute, tiff:Orientation>6 as an element */
    const uint8_t *digit = NULL;
    if (end - at >= 3 && at[0] == '=' && at[1] == '"') digit = at + 2;
    if (end - at >= 2 && at[0] == '>') digit = at + 1;
    if (digit && *digit >= '0' && *digit <= '9') return known_orientation(*digit - '0');
  }
  return 0;
}

/* ---- parts and conversion ---- */

gh_status gh_image_crop(gh_error *err, gh_image *out, const gh_image *image, int left, int top, int width, int height) {
  *out = (gh_image){0};
  if (left < 0 || top < 0 || width <= 0 || height <= 0 || width > image->width - left || height > image->height - top)
    return gh_fail(err, GH_ERROR_ARGUMENT, "crop of %d x %d at (%d, %d) is not inside an image of %d x %d", width,
                   height, left, top, image->width, image->height);
  gh_status status = gh_image_new(err, out, width, height);
  if (status) return status;
  for (int y = 0; y < height; y++)
    memcpy(out->pixels + (size_t)y * width * 3, image->pixels + 3 * ((size_t)(top + y) * image->width + left),
           (size_t)width * 3);
  return GH_OK;
}

void gh_image_to_floats(float *out, const gh_image *image) {
  size_t plane = (size_t)image->width * image->height;
  for (size_t i = 0; i < plane; i++)
    for (size_t c = 0; c < 3; c++) out[c * plane + i] = (float)image->pixels[3 * i + c] / 255.0f;
}

gh_status gh_image_from_floats(gh_error *err, gh_image *out, const float *planes, int width, int height) {
  gh_status status = gh_image_new(err, out, width, height);
  if (status) return status;
  size_t plane = (size_t)width * height;
  for (size_t i = 0; i < plane; i++)
    for (size_t c = 0; c < 3; c++) {
      float value = planes[c * plane + i];
      value = value > 0.0f ? value : 0.0f; /* false for NaN too */
      out->pixels[3 * i + c] = (uint8_t)(GH_MIN(value, 1.0f) * 255.0f + 0.5f);
    }
  return GH_OK;
}
