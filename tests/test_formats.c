/* BMP, WebP, AVIF and other endings against PIL's pixels, as stored and upright; damage of all kinds. Formats
 * that this build lacks must be refused by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/index.h"
#include "io/image.h"
#include "io/safetensors.h"
#include "support/check.h"

#define FORMATS GH_FIXTURES "/formats"

static gh_error err;
static gh_safetensors *expected;
static gh_strings files;

static int begin(void **state) {
  (void)state;
  gh_strings all = {0};
  if (gh_safetensors_open(&err, &expected, FORMATS "/expected.safetensors") ||
      gh_folder_list(&err, &all, FORMATS, false))
    return -1;
  for (size_t i = 0; i < all.count; i++)
    if (!gh_ends_with(all.items[i], ".safetensors") && gh_strings_add(&err, &files, all.items[i])) return -1;
  gh_strings_free(&all);
  return files.count >= 25 ? 0 : -1;
}

static int end(void **state) {
  (void)state;
  gh_strings_free(&files);
  gh_safetensors_close(expected);
  return 0;
}

static char *load(const char *name, size_t *size) {
  char *path = gh_path_join(&err, FORMATS, name), *bytes = NULL;
  check_ok(gh_file_read(&err, path, 1 << 20, &bytes, size));
  free(path);
  return bytes;
}

/* The format's name where this build does not decode it, else NULL. */
static const char *lacking(const char *name) {
  static const struct { const char *ending, *format; } optional[] = {{".webp", "WebP"}, {".avif", "AVIF"}};
  for (size_t i = 0; i < GH_COUNT(optional); i++)
    if (gh_ends_with(name, optional[i].ending) && !strstr(gh_image_formats(), optional[i].format))
      return optional[i].format;
  return NULL;
}

/* Lossy colours may be rounded differently by another version of the library: as for JPEG, one level, but AVIF's chroma
 * is interpolated by whatever libavif was built with. */
static int tolerance_of(const char *name) {
  if (gh_ends_with(name, ".avif")) return 1;
  return gh_ends_with(name, ".jfif") || gh_ends_with(name, ".JPE") || gh_starts_with(name, "lossy") ? 1 : 0;
}

static void compare(const char *name, const gh_image *got, const char *kind) {
  char key[100];
  snprintf(key, sizeof key, "%s.%s", kind, name);
  const gh_st_tensor *want = gh_safetensors_find(expected, key);
  if (!want) fail_msg("%s: nothing expected", key);
  if (want->shape[0] != got->height || want->shape[1] != got->width)
    fail_msg("%s: %d x %d, expected %lld x %lld", key, got->width, got->height, (long long)want->shape[1],
             (long long)want->shape[0]);
  int greatest = 0;
  const uint8_t *pixels = want->data;
  for (size_t i = 0; i < want->bytes; i++) greatest = GH_MAX(greatest, abs(got->pixels[i] - pixels[i]));
  if (!(greatest <= tolerance_of(name))) fail_msg("%s: differs by %d grey levels", key, greatest);
}

static void as_pil(void **state) {
  (void)state;
  int decoded = 0;
  for (size_t i = 0; i < files.count; i++) {
    const char *name = files.items[i], *format = lacking(name);
    size_t size;
    char *bytes = load(name, &size);
    gh_image image;
    assert_int_equal(gh_name_kind_of(name), format ? GH_NAME_REFUSED : GH_NAME_IMAGE);
    if (format) {
      check_fails(gh_image_decode(&err, &image, name, bytes, size), GH_ERROR_UNSUPPORTED, format);
    } else {
      check_ok(gh_image_decode_as(&err, &image, name, bytes, size, false));
      compare(name, &image, "rgb");
      gh_image_free(&image);
      check_ok(gh_image_decode(&err, &image, name, bytes, size));
      compare(name, &image, "upright");
      gh_image_free(&image);
      decoded++;
    }
    free(bytes);
  }
  assert_true(decoded >= 15);
}

/* The copy is exactly as long as the content, so that a sanitizer sees any read beyond it. */
static bool decodes(const char *name, const char *bytes, size_t size) {
  char *copy = malloc(size + !size);
  gh_image image;
  assert_non_null(copy);
  memcpy(copy, bytes, size);
  err = (gh_error){0};
  gh_status status = gh_image_decode(&err, &image, name, copy, size);
  if (status && status != GH_ERROR_FORMAT && status != GH_ERROR_UNSUPPORTED)
    fail_msg("%s: status %d: %s", name, status, err.text);
  assert_true((status == GH_OK) == (image.pixels != NULL));
  assert_true(status == GH_OK || strstr(err.text, name));
  gh_image_free(&image);
  free(copy);
  return status == GH_OK;
}

/* A BMP's last row may lack its padding, and an AVIF what follows its pixels. */
static void prefixes(void **state) {
  (void)state;
  for (size_t i = 0; i < files.count; i++) {
    size_t size, good = 0;
    char *bytes = load(files.items[i], &size);
    const size_t step = size > 400 ? 7 : 1;
    for (size_t prefix = 0; prefix < size; prefix += step) good += decodes(files.items[i], bytes, prefix);
    if (good > size / step / 4) fail_msg("%s: %zu of %zu prefixes decode", files.items[i], good, size / step);
    free(bytes);
  }
}

static void mutations(void **state) {
  (void)state;
  uint64_t random = 3;
  for (size_t i = 0; i < files.count; i++) {
    size_t size;
    char *bytes = load(files.items[i], &size), *copy = malloc(2 * size + 64);
    assert_non_null(copy);
    for (int round = 0; round < 60; round++) {
      memcpy(copy, bytes, size);
      size_t n = check_mutate(copy, size, 2 * size + 64, &random);
      if (n >= 12) decodes(files.items[i], copy, n);
    }
    free(copy);
    free(bytes);
  }
}

static gh_status decode_one(gh_error *why, void *state) {
  const char *name = state;
  size_t size;
  char *bytes = NULL, *path = gh_path_join(why, FORMATS, name);
  gh_image image = {0};
  gh_status status = path ? gh_file_read(why, path, 1 << 20, &bytes, &size) : GH_ERROR_MEMORY;
  if (!status) status = gh_image_decode(why, &image, name, bytes, size);
  gh_image_free(&image);
  free(bytes);
  free(path);
  return status;
}

static void without_memory(void **state) {
  (void)state;
  static const char *const names[] = {"rle8.bmp", "exif.webp", "best.avif"};
  for (size_t i = 0; i < GH_COUNT(names); i++)
    if (!lacking(names[i])) check_allocation_failures(decode_one, (void *)names[i]);
}

/* 16-bit grey is clipped as PIL does it, and says so. */
static void clipped_grey(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool clipped;
  } cases[] = {{"grey16.png", true}, {"grey8.png", false}, {"rgba16_interlaced.png", false}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *path = check_path(GH_FIXTURES "/images", cases[i].name);
    gh_image image;
    check_ok(gh_image_read(&err, &image, path));
    assert_int_equal(image.clipped, cases[i].clipped);
    gh_image_free(&image);
    free(path);
  }
}

/* The same file under a general brand, as some cameras write it; without AVIF among its brands it is HEIF. */
static void avif_by_another_brand(void **state) {
  (void)state;
  size_t size;
  char *bytes = load("best.avif", &size);
  gh_image image;
  assert_memory_equal(bytes + 4, "ftypavif", 8);
  assert_memory_equal(bytes + 16, "avif", 4);
  memcpy(bytes + 8, "mif1", 4);
  const char *format = lacking("best.avif");
  if (format) {
    check_fails(gh_image_decode(&err, &image, "a.avif", bytes, size), GH_ERROR_UNSUPPORTED, format);
  } else {
    check_ok(gh_image_decode(&err, &image, "a.avif", bytes, size));
    compare("best.avif", &image, "rgb");
    gh_image_free(&image);
  }
  for (size_t at = 16; at < (size_t)bytes[3]; at += 4) memcpy(bytes + at, "heic", 4);
  check_fails(gh_image_decode(&err, &image, "a.heif", bytes, size), GH_ERROR_UNSUPPORTED, "HEIF images");
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_pil),         cmocka_unit_test(prefixes),     cmocka_unit_test(mutations),
      cmocka_unit_test(without_memory), cmocka_unit_test(clipped_grey), cmocka_unit_test(avif_by_another_brand),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
