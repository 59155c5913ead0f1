/* Preprocessing against transformers' image processors, and configurations that must be rejected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/source.h"
#include "io/safetensors.h"
#include "models/family.h"
#include "support/check.h"

enum { S = 18 }; /* of the fixtures */

static gh_error err;
static gh_safetensors *expected;

static int open_expected(void **state) {
  (void)state;
  if (gh_safetensors_open(&err, &expected, GH_FIXTURES "/images/expected.safetensors"))
    fprintf(stderr, "%s\n", err.text);
  return expected ? 0 : -1;
}
static int close_expected(void **state) {
  (void)state;
  gh_safetensors_close(expected);
  return 0;
}

static const gh_st_tensor *find(const char *format, int n) {
  char name[64];
  snprintf(name, sizeof name, "%s.%d", format, n);
  return gh_safetensors_find(expected, name);
}

/* Bit-equal: the resampling is integer work, the rest the same operations in the same precision. */
static void test_equals_transformers(void **state) {
  (void)state;
  int n = 0;
  char name[64];
  for (const gh_st_tensor *want;; n++) {
    snprintf(name, sizeof name, "preprocess.%d.out", n);
    if (!(want = gh_safetensors_find(expected, name))) break;
    snprintf(name, sizeof name, "preprocess.%d.how", n);
    int64_t picture;
    check_ok(gh_st_read_i64(&err, gh_safetensors_find(expected, name), 0, 1, &picture));
    const gh_st_tensor *input = find("picture", (int)picture);
    gh_image image = {.width = (int)input->shape[1], .height = (int)input->shape[0], .pixels = (uint8_t *)input->data};
    float wanted[3 * S * S], got[3 * S * S], pixels[3 * S * S];
    check_ok(gh_st_read_f32(&err, want, 0, 3 * S * S, wanted));

    gh_preprocess how;
    char folder[256];
    snprintf(folder, sizeof folder, GH_FIXTURES "/preprocess/%d", n);
    check_ok(gh_vision_preprocess_read(&err, &how, folder, &(gh_vision_config){.family = &gh_clip, .image = S}));
    check_ok(gh_preprocess_image(&err, pixels, got, &how, &image));
    for (int i = 0; i < 3 * S * S; i++) {
      if (!(got[i] == wanted[i])) fail_msg("case %d, element %d: %.9g, expected %.9g", n, i, got[i], wanted[i]);
      float byte = pixels[i] * 255.0f;
      assert_true(byte >= 0.0f && byte <= 255.0f && (float)(int)(byte + 0.5f) / 255.0f == pixels[i]);
    }
  }
  assert_true(n >= 17);
}

/* The crop of open_clip's folders begins at an even pixel where two are equally near; bit-equal, too. */
static void test_equals_open_clip(void **state) {
  (void)state;
  gh_safetensors *file = NULL;
  gh_preprocess how;
  int n = 0;
  char *place = check_folder(), *path = check_path(place, "open_clip_config.json");
  check_write(path, "{}", 2);
  check_ok(gh_vision_preprocess_read(&err, &how, place, &(gh_vision_config){.family = &gh_clip, .image = S}));
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/backbones/crop.safetensors"));
  for (;; n++) {
    char name[2][32];
    snprintf(name[0], sizeof name[0], "picture.%d", n);
    snprintf(name[1], sizeof name[1], "out.%d", n);
    const gh_st_tensor *input = gh_safetensors_find(file, name[0]), *want = gh_safetensors_find(file, name[1]);
    if (!input) break;
    gh_image image = {.width = (int)input->shape[1], .height = (int)input->shape[0], .pixels = (uint8_t *)input->data};
    float wanted[3 * S * S], got[3 * S * S];
    check_ok(gh_st_read_f32(&err, want, 0, 3 * S * S, wanted));
    check_ok(gh_preprocess_image(&err, NULL, got, &how, &image));
    for (int i = 0; i < 3 * S * S; i++)
      if (!(got[i] == wanted[i])) fail_msg("picture %d, element %d: %.9g, expected %.9g", n, i, got[i], wanted[i]);
  }
  assert_true(n >= 15);
  gh_safetensors_close(file);
  check_folder_done(place);
  free(path);
}

/* Whole files through whole models' configurations. JPEG: one grey level between versions of the library, propagated by
 * resampling. */
static void check_model(const char *model, const char *pixels_of) {
  gh_safetensors *file;
  gh_source *source;
  gh_preprocess how;
  char path[256];
  snprintf(path, sizeof path, GH_FIXTURES "/encode/expected-%s.safetensors", pixels_of);
  check_ok(gh_safetensors_open(&err, &file, path));
  check_ok(gh_source_open(&err, &source, GH_FIXTURES "/encode/images"));
  const gh_st_tensor *want = gh_safetensors_find(file, "pixels"); /* (n, S, S, 3) */
  assert_non_null(want);
  assert_true(gh_source_count(source) >= 5 && want->shape[0] == (int64_t)gh_source_count(source));
  int size = (int)want->shape[1];
  size_t plane = (size_t)size * size;
  check_ok(gh_vision_preprocess_read(&err, &how, model, &(gh_vision_config){.family = &gh_clip, .image = size}));
  float *pixels = gh_alloc(&err, 3 * plane, sizeof *pixels);
  assert_non_null(pixels);
  for (size_t i = 0; i < gh_source_count(source); i++) {
    gh_image image;
    char *name = gh_source_full_name(&err, source, i);
    check_ok(gh_image_read(&err, &image, name));
    check_ok(gh_preprocess_image(&err, pixels, NULL, &how, &image));
    const uint8_t *bytes = (const uint8_t *)want->data + i * plane * 3;
    for (size_t k = 0; k < 3 * plane; k++) {
      float difference = pixels[k % 3 * plane + k / 3] * 255.0f - bytes[k];
      if (!(difference < 1.01f && difference > -1.01f)) fail_msg("%s, byte %zu: off by %g", name, k, difference);
    }
    gh_image_free(&image);
    free(name);
  }
  free(pixels);
  gh_source_free(source);
  gh_safetensors_close(file);
}

static void test_model_folders(void **state) {
  (void)state;
  check_model(GH_FIXTURES "/probe/tiny/clip", "tiny");
  check_model(GH_FIXTURES "/probe/edges/clip", "edges");
}

/* ---- configurations ---- */

static char folder[] = "/tmp/genhance-test-XXXXXX";

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state) {
  (void)state;
  return gh_folder_remove(&err, folder) ? -1 : 0;
}

static gh_status read_config(gh_preprocess *how, const char *file, const char *text) {
  char *path = gh_path_join(&err, folder, file);
  assert_non_null(path);
  check_ok(gh_file_write(&err, path, text, strlen(text)));
  gh_status status = gh_vision_preprocess_read(&err, how, folder, &(gh_vision_config){.family = &gh_clip, .image = S});
  check_ok(gh_file_remove(NULL, path));
  free(path);
  return status;
}

static void test_without_a_file_the_family_decides(void **state) {
  (void)state;
  gh_preprocess how;
  check_ok(gh_vision_preprocess_read(&err, &how, folder, &(gh_vision_config){.family = &gh_clip, .image = 336}));
  assert_true(how.shortest_edge == 336 && how.do_center_crop && how.image_size == 336);
  assert_true(how.mean[0] == 0.48145466 && how.std[2] == 0.27577711 && how.filter == GH_FILTER_BICUBIC);
  check_ok(gh_vision_preprocess_read(&err, &how, folder, &(gh_vision_config){.family = &gh_siglip, .image = 384}));
  assert_true(how.shortest_edge == 0 && how.height == 384 && how.width == 384 && !how.do_center_crop);
  assert_true(how.mean[1] == 0.5 && how.std[0] == 0.5);
  check_ok(read_config(&how, "preprocessor_config.json", "{}"));
  assert_true(how.shortest_edge == S && how.rescale_factor == 1 / 255.0);
  check_ok(read_config(&how, "preprocessor_config.json", "{\"image_processor_type\": \"SiglipImageProcessorFast\"}"));
  assert_true(how.height == S && how.shortest_edge == 0);
  check_ok(read_config(&how, "preprocessor_config.json", "{\"size\": 18, \"default_to_square\": true}"));
  assert_true(how.height == S && how.width == S && how.shortest_edge == 0); /* both sides, not the shorter one */
  check_ok(read_config(&how, "preprocessor_config.json", "{\"size\": 18, \"default_to_square\": false}"));
  assert_true(how.shortest_edge == S);
  check_ok(read_config(&how, "processor_config.json", "{\"image_processor\": {\"resample\": 2, \"size\": null}}"));
  assert_true(how.filter == GH_FILTER_BILINEAR && how.shortest_edge == S);
  check_ok(read_config(&how, "processor_config.json", "{\"processor_class\": \"CLIPProcessor\"}"));
  assert_true(how.filter == GH_FILTER_BICUBIC);
}

/* transformers 5 reads the image processor in processor_config.json before preprocessor_config.json. */
static void test_a_processor_counts_before_its_older_file(void **state) {
  (void)state;
  gh_preprocess how;
  check_put(folder, "preprocessor_config.json", "{\"image_mean\": [0.1, 0.2, 0.3], \"resample\": 2}");
  check_ok(read_config(&how, "processor_config.json", "{\"image_processor\": {\"image_mean\": [0.4, 0.5, 0.6]}}"));
  assert_true(how.mean[0] == 0.4 && how.filter == GH_FILTER_BICUBIC);
  check_ok(read_config(&how, "processor_config.json", "{\"processor_class\": \"CLIPProcessor\"}"));
  assert_true(how.mean[0] == 0.1 && how.filter == GH_FILTER_BILINEAR);
  assert_int_equal(read_config(&how, "processor_config.json", "{\"image_processor\": {\"resample\": 1}}"),
                   GH_ERROR_UNSUPPORTED);
  char *older = gh_path_join(&err, folder, "preprocessor_config.json");
  check_ok(gh_file_remove(&err, older));
  free(older);
}

static void test_unsupported_settings_are_named(void **state) {
  (void)state;
  static const struct {
    const char *text;
    gh_status status;
    const char *says;
  } cases[] = {
      {"{\"resample\": 1}", GH_ERROR_UNSUPPORTED, "resample: resampling filter 1 (lanczos)"},
      {"{\"resample\": 17}", GH_ERROR_UNSUPPORTED, "resampling filter 17"},
      {"{\"resample\": \"bicubic\"}", GH_ERROR_FORMAT, "resample"},
      {"{\"do_pad\": true}", GH_ERROR_UNSUPPORTED, "do_pad"},
      {"{\"image_processor_type\": \"ViTImageProcessor\"}", GH_ERROR_UNSUPPORTED, "ViTImageProcessor"},
      {"{\"size\": {\"shortest_edge\": 18, \"longest_edge\": 40}}", GH_ERROR_UNSUPPORTED, "longest_edge"},
      {"{\"size\": {\"max_height\": 18, \"max_width\": 40}}", GH_ERROR_UNSUPPORTED, "max_height"},
      {"{\"size\": {\"height\": 18}}", GH_ERROR_FORMAT, "size"},
      {"{\"size\": {\"shortest_edge\": 0}}", GH_ERROR_FORMAT, "size.shortest_edge"},
      {"{\"size\": \"18\"}", GH_ERROR_FORMAT, "size"},
      {"{\"size\": [18, 18]}", GH_ERROR_FORMAT, "size: expected a number or height and width, found an array"},
      {"{\"crop_size\": 20}", GH_ERROR_FORMAT, "20 x 20 pixels, the model takes 18 x 18"},
      {"{\"crop_size\": {\"height\": 18, \"width\": 19}}", GH_ERROR_FORMAT, "19 x 18"},
      {"{\"do_center_crop\": false}", GH_ERROR_UNSUPPORTED, "differ in size"},
      {"{\"do_center_crop\": false, \"size\": {\"height\": 9, \"width\": 18}}", GH_ERROR_FORMAT, "18 x 9"},
      {"{\"do_resize\": 1}", GH_ERROR_FORMAT, "do_resize"},
      {"{\"image_mean\": [0.5, 0.5]}", GH_ERROR_FORMAT, "image_mean"},
      {"{\"image_std\": [0.5, 0.0, 0.5]}", GH_ERROR_FORMAT, "image_std"},
      {"[]", GH_ERROR_FORMAT, "object"},
      {"{", GH_ERROR_FORMAT, ""},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_preprocess how;
    gh_status status = read_config(&how, "preprocessor_config.json", cases[i].text);
    if (status != cases[i].status || !strstr(err.text, cases[i].says) || !strstr(err.text, "preprocessor_config.json"))
      fail_msg("%s: status %d: %s", cases[i].text, status, err.text);
  }
}

/* Only the central crop of a strip is computed; it has the bits of the whole, which transformers computes. */
static void test_strips_are_cropped_as_a_whole(void **state) {
  (void)state;
  static const int shapes[][2] = {{20000, 1}, {1, 20000}, {9001, 3}, {18, 500}, {500, 18}, {7, 9}, {40, 30000}};
  gh_preprocess how;
  gh_preprocess_defaults(&how, &gh_clip.processor, S);
  for (size_t i = 0; i < GH_COUNT(shapes); i++) {
    gh_image image, whole;
    float got[3 * S * S], want[3 * S * S];
    check_ok(gh_image_new(&err, &image, shapes[i][0], shapes[i][1]));
    for (size_t p = 0; p < (size_t)image.width * (size_t)image.height * 3; p++)
      image.pixels[p] = (uint8_t)(p * p % 251);
    const int64_t longer = GH_MAX(image.width, image.height), shorter = GH_MIN(image.width, image.height);
    const int64_t other = (int64_t)((double)(S * longer) / (double)shorter);
    const bool narrow = image.width <= image.height;
    check_ok(gh_image_resize(&err, &whole, &image, narrow ? S : other, narrow ? other : S, how.filter, NULL));
    check_ok(gh_preprocess_image(&err, got, NULL, &how, &image));
    how.do_resize = false;
    check_ok(gh_preprocess_image(&err, want, NULL, &how, &whole));
    how.do_resize = true;
    assert_memory_equal(got, want, sizeof got);
    gh_image_free(&whole);
    gh_image_free(&image);
  }
}

static void test_an_extreme_shape_is_rejected(void **state) {
  (void)state;
  gh_preprocess how;
  gh_preprocess_defaults(&how, &gh_clip.processor, 4096);
  gh_image image;
  check_ok(gh_image_new(&err, &image, 1000000, 1)); /* would become 4096 x 4096000000 */
  assert_int_equal(gh_preprocess_image(&err, NULL, NULL, &how, &image), GH_ERROR_FORMAT);
  gh_image_free(&image);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_equals_transformers, open_expected, close_expected),
      cmocka_unit_test(test_equals_open_clip),
      cmocka_unit_test(test_model_folders),
      cmocka_unit_test(test_without_a_file_the_family_decides),
      cmocka_unit_test(test_a_processor_counts_before_its_older_file),
      cmocka_unit_test(test_unsupported_settings_are_named),
      cmocka_unit_test(test_strips_are_cropped_as_a_whole),
      cmocka_unit_test(test_an_extreme_shape_is_rejected),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
