/* Decoding against PIL, all kinds of damage, resampling against PIL, PNG writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "io/image.h"
#include "io/png_write.h"
#include "io/resize.h"
#include "io/safetensors.h"
#include "support/check.h"

#define IMAGES GH_FIXTURES "/images"

static gh_error err;
static gh_safetensors *expected;

static int open_expected(void **state) {
  (void)state;
  if (gh_safetensors_open(&err, &expected, IMAGES "/expected.safetensors")) fprintf(stderr, "%s\n", err.text);
  return expected ? 0 : -1;
}
static int close_expected(void **state) {
  (void)state;
  gh_safetensors_close(expected);
  return 0;
}

static const gh_st_tensor *find(const char *kind, const char *item, const char *part) {
  char name[256];
  snprintf(name, sizeof name, "%s.%s%s", kind, item, part);
  return gh_safetensors_find(expected, name);
}

/* The tensor of number n: "resize.3.out". */
static const gh_st_tensor *find_n(const char *kind, int n, const char *part) {
  char item[16];
  snprintf(item, sizeof item, "%d", n);
  return find(kind, item, part);
}

/* A view: not to be freed. */
static gh_image view(const gh_st_tensor *tensor) {
  return (gh_image){.width = (int)tensor->shape[1], .height = (int)tensor->shape[0], .pixels = (uint8_t *)tensor->data};
}

static int greatest_difference(const gh_image *a, const gh_image *b) {
  int greatest = 0;
  for (size_t i = 0; i < (size_t)a->width * a->height * 3; i++)
    greatest = GH_MAX(greatest, abs(a->pixels[i] - b->pixels[i]));
  return greatest;
}

static void check_image(const char *what, const gh_image *got, const gh_image *want, int tolerance) {
  if (got->width != want->width || got->height != want->height)
    fail_msg("%s: %d x %d, expected %d x %d", what, got->width, got->height, want->width, want->height);
  int difference = greatest_difference(got, want);
  if (!(difference <= tolerance)) fail_msg("%s: differs by %d grey levels", what, difference);
}

/* ---- decoding ---- */

/* PNG and its conversions are integer work: no tolerance. JPEG: one grey level, for other versions of the library. */
static void test_files_decode_as_in_pil(void **state) {
  (void)state;
  gh_strings files = {0};
  int checked = 0;
  check_ok(gh_folder_list(&err, &files, IMAGES, false));
  for (size_t i = 0; i < files.count; i++) {
    if (gh_ends_with(files.items[i], ".safetensors")) continue;
    const gh_st_tensor *want = find("rgb", files.items[i], "");
    if (!want) fail_msg("%s: nothing expected", files.items[i]);
    char *path = gh_path_join(&err, IMAGES, files.items[i]);
    gh_image image, wanted = view(want);
    check_ok(gh_image_read(&err, &image, path));
    check_image(files.items[i], &image, &wanted, gh_ends_with(path, ".png") ? 0 : 1);
    gh_image_free(&image);
    free(path);
    checked++;
  }
  assert_true(checked >= 80);
  gh_strings_free(&files);
}

static void expect_failure(const char *what, const void *bytes, size_t size, gh_status status, const char *text) {
  gh_image image;
  gh_status got = gh_image_decode(&err, &image, what, bytes, size);
  if (got != status) fail_msg("%s: status %d, expected %d: %s", what, got, status, err.text);
  if (!strstr(err.text, text) || !strstr(err.text, what))
    fail_msg("%s: says \"%s\", expected \"%s\"", what, err.text, text);
  assert_null(image.pixels);
}

static void test_other_formats_are_named(void **state) {
  (void)state;
  expect_failure("a.png", "", 0, GH_ERROR_FORMAT, "empty file");
  expect_failure("a.png", "GIF89a", 6, GH_ERROR_UNSUPPORTED, "GIF");
  expect_failure("a.png", "II*\0....", 8, GH_ERROR_UNSUPPORTED, "TIFF");
  expect_failure("a.png", "<html></html>", 13, GH_ERROR_FORMAT, "a web page, not the file itself");
  expect_failure("a.png", "\x89PN", 3, GH_ERROR_FORMAT, "not an image of a known format");
}

static char *load(const char *name, size_t *size) {
  char *path = gh_path_join(&err, IMAGES, name), *bytes = NULL;
  check_ok(gh_file_read(&err, path, 1 << 20, &bytes, size));
  free(path);
  return bytes;
}

static char *find_bytes(char *bytes, size_t size, const char *what, size_t what_size) {
  char *at = memmem(bytes, size, what, what_size);
  assert_non_null(at);
  return at;
}

static void test_sizes_are_limited_before_allocation(void **state) {
  (void)state;
  size_t size;
  char *bytes = load("ycc444.jpg", &size);
  char *frame = find_bytes(bytes, size, "\xff\xc0", 2); /* marker, length, precision, height, width */
  memcpy(frame + 5, "\xff\xdc\xff\xdc", 4);             /* 65500 x 65500 */
  expect_failure("a.jpg", bytes, size, GH_ERROR_FORMAT, "more than the limit");
  frame[4] = 12;
  expect_failure("a.jpg", bytes, size, GH_ERROR_UNSUPPORTED, "12 bits");
  frame[1] = (char)0xC3;
  expect_failure("a.jpg", bytes, size, GH_ERROR_UNSUPPORTED, "SOF3");
  free(bytes);

  /* A header chunk with a valid checksum: signature, length, IHDR, 65536 x 65536 pixels, 8-bit RGB. */
  static const char huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0\xe3\xe6\xa7\xb4\0\0\0\0IDAT";
  expect_failure("a.png", huge, sizeof huge - 1, GH_ERROR_FORMAT, "more than the limit");
}

static void test_a_truncated_file_is_an_error(void **state) {
  (void)state;
  size_t size;
  char *bytes = load("ycc444.jpg", &size);
  for (size_t cut = 1; cut < size - 10; cut++) expect_failure("a.jpg", bytes, size - cut, GH_ERROR_FORMAT, "truncated");
  /* Truncated inside the coded data but properly ended: the decoder would fill the rest with grey. */
  memcpy(bytes + size / 2 + 200, "\xff\xd9", 2);
  expect_failure("a.jpg", bytes, size / 2 + 202, GH_ERROR_FORMAT, "broken JPEG");
  free(bytes);
}

/* ---- damage ---- */

static bool decodes(const char *bytes, size_t size, gh_image *out) {
  err = (gh_error){0};
  gh_status status = gh_image_decode(&err, out, "damaged", bytes, size);
  assert_true((status == GH_OK) == (out->pixels != NULL));
  assert_true(status == GH_OK || strncmp(err.text, "damaged: ", 9) == 0);
  assert_true(status == GH_OK || status == GH_ERROR_FORMAT || status == GH_ERROR_UNSUPPORTED);
  return status == GH_OK;
}

static const char *const victims[] = {
    "rgb8.png",
    "grey2_interlaced.png",
    "palette4.png",
    "rgba16_interlaced.png",
    "grey16.png",
    "raw_profile.png",
    "xmp_packed.png",
    "exif5.png",
    "ycc420.jpg",
    "progressive.jpg",
    "sampling_4x1.jpg",
    "cmyk.jpg",
    "restart.jpg",
    "exif6.jpg",
    "exif_behind_xmp.jpg",
};

/* Every prefix fails, or gives the whole image: a PNG may lack the data after its pixels, as in PIL. The copy is
 * exactly as long as the prefix, so that a sanitizer detects any read beyond it. */
static void test_every_prefix(void **state) {
  (void)state;
  for (size_t v = 0; v < GH_COUNT(victims); v++) {
    size_t size, complete = 0;
    char *bytes = load(victims[v], &size);
    gh_image whole, image;
    assert_true(decodes(bytes, size, &whole));
    for (size_t prefix = 0; prefix < size; prefix++) {
      char *copy = malloc(prefix + !prefix);
      assert_non_null(copy);
      memcpy(copy, bytes, prefix);
      if (decodes(copy, prefix, &image)) {
        check_image(victims[v], &image, &whole, 0);
        gh_image_free(&image);
        complete++;
      }
      free(copy);
    }
    assert_true(complete <= 20); /* the end chunk's 12 bytes and the rest of another chunk */
    gh_image_free(&whole);
    free(bytes);
  }
}

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* Checksums catch nearly all damage to a PNG, so these also run with every chunk's checksum corrected. */
static uint32_t crc_of(const uint8_t *bytes, size_t size) {
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

static void repair_checksums(uint8_t *bytes, size_t size) {
  for (size_t at = 8; at + 12 <= size;) {
    size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (length > size - at - 12) return;
    uint32_t crc = crc_of(bytes + at + 4, length + 4);
    for (int i = 0; i < 4; i++) bytes[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
    at += 12 + length;
  }
}

/* As in PIL: a chunk in front of the pixels breaks the file, whatever it holds; one behind them is used as it is. */
static void test_a_wrong_checksum(void **state) {
  (void)state;
  static const struct {
    const char *name, *kind;
    bool reads;
  } table[] = {{"xmp.png", "iTXt", false},
               {"raw_profile.png", "zTXt", false},
               {"gamma.png", "gAMA", false},
               {"exif5.png", "eXIf", false},
               {"exif_behind.png", "eXIf", true}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    size_t size;
    char *bytes = load(table[i].name, &size), *kind = find_bytes(bytes, size, table[i].kind, 4);
    kind[4 + (uint8_t)kind[-1] + 256 * (uint8_t)kind[-2]] ^= 1; /* behind the data, whose length is in front */
    if (table[i].reads) {
      gh_image image, want = view(find("rgb", table[i].name, ""));
      check_ok(gh_image_decode(&err, &image, table[i].name, bytes, size));
      check_image(table[i].name, &image, &want, 0);
      gh_image_free(&image);
    } else {
      expect_failure(table[i].name, bytes, size, GH_ERROR_FORMAT, "CRC error");
    }
    free(bytes);
  }
}

/* A transparent grey changes no pixel, as in PIL, of whatever depth and value. */
static void test_a_transparent_grey(void **state) {
  (void)state;
  static const char *const names[] = {"grey1.png",
                                      "grey2.png",
                                      "grey4.png",
                                      "grey8.png",
                                      "grey16.png",
                                      "grey1_interlaced.png",
                                      "grey16_interlaced.png"};
  static const uint8_t chunk[14] = "\0\0\0\2tRNS"; /* length, kind, the grey, checksum */
  static const int greys[] = {0, 1, 255, 256, 65535};
  enum { HEAD = 8 + 25 }; /* the signature and the header's chunk */
  for (size_t i = 0; i < GH_COUNT(names); i++)
    for (size_t k = 0; k < GH_COUNT(greys); k++) {
      size_t size;
      char *bytes = load(names[i], &size);
      uint8_t *longer = malloc(size + sizeof chunk);
      assert_non_null(longer);
      memcpy(longer, bytes, HEAD);
      memcpy(longer + HEAD, chunk, sizeof chunk);
      longer[HEAD + 8] = (uint8_t)(greys[k] >> 8);
      longer[HEAD + 9] = (uint8_t)greys[k];
      memcpy(longer + HEAD + sizeof chunk, bytes + HEAD, size - HEAD);
      repair_checksums(longer, size + sizeof chunk);
      gh_image image, want = view(find("rgb", names[i], ""));
      check_ok(gh_image_decode(&err, &image, names[i], longer, size + sizeof chunk));
      check_image(names[i], &image, &want, 0);
      gh_image_free(&image);
      free(longer);
      free(bytes);
    }
}

static void test_mutated_files(void **state) {
  (void)state;
  uint32_t seed = 7;
  int survived = 0, refused = 0;
  for (size_t v = 0; v < GH_COUNT(victims); v++) {
    size_t size;
    char *bytes = load(victims[v], &size), *copy = malloc(size);
    assert_non_null(copy);
    for (int round = 0; round < 400; round++) {
      memcpy(copy, bytes, size);
      for (uint32_t n = 1 + next_random(&seed) % 3; n; n--) {
        size_t at = next_random(&seed) % size;
        if (round % 4 == 0) at %= GH_MIN(size, 64); /* headers */
        copy[at] = (char)next_random(&seed);
      }
      if (gh_ends_with(victims[v], ".png") && round % 2) repair_checksums((uint8_t *)copy, size);
      gh_image image;
      if (decodes(copy, size, &image)) {
        survived++;
        gh_image_free(&image);
      } else {
        refused++;
      }
    }
    free(copy);
    free(bytes);
  }
  assert_true(survived > 100 && refused > 100);
}

static void test_memory_may_run_out_anywhere(void **state) {
  (void)state;
  static const char *const files[] = {"rgb8.png", "exif5.png", "cmyk.jpg", "exif6.jpg"};
  for (size_t f = 0; f < GH_COUNT(files); f++) {
    size_t size;
    char *bytes = load(files[f], &size);
    gh_status status = GH_ERROR_MEMORY;
    for (int n = 1; status; n++) {
      gh_image image;
      gh_alloc_fail_after(n);
      status = gh_image_decode(&err, &image, "a", bytes, size);
      gh_alloc_fail_after(0);
      assert_true(status == GH_OK || status == GH_ERROR_MEMORY);
      assert_true(n < 10);
      gh_image_free(&image);
    }
    free(bytes);
  }
}

/* ---- resampling ---- */

static void test_resize_equals_pil(void **state) {
  (void)state;
  int n = 0;
  for (const gh_st_tensor *want; (want = find_n("resize", n, ".out")); n++) {
    float box[4];
    int64_t how[2];
    check_ok(gh_st_read_f32(&err, find_n("resize", n, ".box"), 0, 4, box));
    check_ok(gh_st_read_i64(&err, find_n("resize", n, ".how"), 0, 2, how));
    gh_image input = view(find_n("picture", (int)how[0], "")), wanted = view(want), image;
    gh_filter filter;
    check_ok(gh_filter_from_number(&err, &filter, "test", how[1]));
    check_ok(gh_image_resize(&err, &image, &input, wanted.width, wanted.height, filter, box));
    char what[32];
    snprintf(what, sizeof what, "resize %d", n);
    check_image(what, &image, &wanted, 0);
    gh_image_free(&image);
  }
  assert_true(n >= 45);
}

static void test_resize_rejects(void **state) {
  (void)state;
  gh_image image, out;
  check_ok(gh_image_new(&err, &image, 5, 4));
  const float boxes[][4] = {{-1, 0, 5, 4}, {0, 0, 5.5f, 4}, {0, 0, 5, 4.25f}, {3, 0, 3, 4}, {0, 3, 5, 2}, {0, 0, 0, 0}};
  for (size_t i = 0; i < GH_COUNT(boxes); i++)
    assert_int_equal(gh_image_resize(&err, &out, &image, 3, 3, GH_FILTER_BICUBIC, boxes[i]), GH_ERROR_ARGUMENT);
  assert_int_equal(gh_image_resize(&err, &out, &image, 0, 3, GH_FILTER_BICUBIC, NULL), GH_ERROR_FORMAT);
  assert_int_equal(gh_image_resize(&err, &out, &image, 1 << 19, 1 << 19, GH_FILTER_BICUBIC, NULL), GH_ERROR_FORMAT);
  assert_null(out.pixels);
  gh_filter filter;
  assert_int_equal(gh_filter_from_number(&err, &filter, "resample", 1), GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "lanczos"));
  assert_int_equal(gh_filter_from_number(&err, &filter, "resample", 99), GH_ERROR_UNSUPPORTED);
  gh_status status = GH_ERROR_MEMORY;
  for (int n = 1; status; n++) {
    gh_alloc_fail_after(n);
    status = gh_image_resize(&err, &out, &image, 9, 2, GH_FILTER_BICUBIC, NULL);
    gh_alloc_fail_after(0);
    assert_true(n < 20 && (!status || status == GH_ERROR_MEMORY));
  }
  gh_image_free(&out);
  gh_image_free(&image);
}

/* ---- floats, crops, writing ---- */

static void test_floats(void **state) {
  (void)state;
  gh_image image, back;
  check_ok(gh_image_new(&err, &image, 16, 16));
  for (int i = 0; i < 16 * 16 * 3; i++) image.pixels[i] = (uint8_t)(i / 3 + 85 * (i % 3));
  float planes[3 * 256];
  gh_image_to_floats(planes, &image);
  for (int i = 0; i < 3 * 256; i++) assert_true(planes[i] == (float)image.pixels[3 * (i % 256) + i / 256] / 255.0f);
  check_ok(gh_image_from_floats(&err, &back, planes, 16, 16));
  check_image("back", &back, &image, 0);
  gh_image_free(&back);
  const float odd[3] = {-0.5f, 1.5f, (float)(0.0 / 0.0)};
  check_ok(gh_image_from_floats(&err, &back, odd, 1, 1));
  assert_true(back.pixels[0] == 0 && back.pixels[1] == 255 && back.pixels[2] == 0);
  gh_image_free(&back);
  assert_int_equal(gh_image_crop(&err, &back, &image, 1, 0, 16, 2), GH_ERROR_ARGUMENT);
  assert_int_equal(gh_image_crop(&err, &back, &image, -1, 0, 2, 2), GH_ERROR_ARGUMENT);
  check_ok(gh_image_crop(&err, &back, &image, 3, 5, 4, 2));
  assert_memory_equal(back.pixels + 12, image.pixels + 3 * (6 * 16 + 3), 12);
  gh_image_free(&back);
  gh_image_free(&image);
}

static void test_png_grid_is_written_and_read_back(void **state) {
  (void)state;
  char path[] = "/tmp/genhance-test-XXXXXX";
  assert_non_null(mkdtemp(path));
  char *file = gh_path_join(&err, path, "grid.png");
  gh_image cells[6], grid, back;
  for (int i = 0; i < 6; i++) {
    check_ok(gh_image_new(&err, &cells[i], 4, 3));
    memset(cells[i].pixels, 10 * i, 4 * 3 * 3);
  }
  check_ok(gh_image_grid(&err, &grid, cells, 3, 2, 2));
  assert_int_equal(grid.width, 2 * 6 + 2);
  assert_int_equal(grid.height, 3 * 5 + 2);
  check_ok(gh_png_write(&err, file, &grid));
  check_ok(gh_image_read(&err, &back, file));
  check_image("grid", &back, &grid, 0);
  for (int y = 0; y < grid.height; y++)
    for (int x = 0; x < grid.width; x++) {
      bool inside = x % 6 >= 2 && y % 5 >= 2;
      assert_int_equal(back.pixels[3 * (y * grid.width + x)], inside ? 10 * (y / 5 * 2 + x / 6) : 255);
    }
  cells[5].width = 3;
  gh_image_free(&grid);
  assert_int_equal(gh_image_grid(&err, &grid, cells, 3, 2, 2), GH_ERROR_ARGUMENT);
  assert_int_equal(gh_png_write(&err, file, &grid), GH_ERROR_ARGUMENT);
  gh_write_fail_after(1);
  assert_int_equal(gh_png_write(&err, file, &back), GH_ERROR_FILE);
  gh_write_fail_after(0);
  assert_true(gh_path_is_file(file));
  for (int i = 0; i < 6; i++) gh_image_free(&cells[i]);
  gh_image_free(&back);
  free(file);
  check_ok(gh_folder_remove(&err, path));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files_decode_as_in_pil),
      cmocka_unit_test(test_other_formats_are_named),
      cmocka_unit_test(test_sizes_are_limited_before_allocation),
      cmocka_unit_test(test_a_truncated_file_is_an_error),
      cmocka_unit_test(test_every_prefix),
      cmocka_unit_test(test_a_wrong_checksum),
      cmocka_unit_test(test_a_transparent_grey),
      cmocka_unit_test(test_mutated_files),
      cmocka_unit_test(test_memory_may_run_out_anywhere),
      cmocka_unit_test(test_resize_equals_pil),
      cmocka_unit_test(test_resize_rejects),
      cmocka_unit_test(test_floats),
      cmocka_unit_test(test_png_grid_is_written_and_read_back),
  };
  return cmocka_run_group_tests(tests, open_expected, close_expected);
}
