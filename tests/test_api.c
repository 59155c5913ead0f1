/* The public library against the command line's reference embeddings: files and pixels, batches that do not divide the
 * count, an adapter, and what misuse and broken files give. */
#include "support/compare.h"

#include "base/file.h"
#include "base/json.h"
#include "genhance/genhance.h"
#include "io/image.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MODEL  GH_FIXTURES "/probe/tiny/clip"
#define IMAGES GH_FIXTURES "/encode/images"

static genhance_device *device;

static void ok(genhance_status status) {
  if (status) fail_msg("status %d: %s", (int)status, genhance_last_error());
}

static genhance_encoder *open_encoder(const char *adapter, size_t batch) {
  genhance_encoder *encoder = NULL;
  ok(genhance_encoder_open(&encoder, device, MODEL, &(genhance_encoder_options){.adapter = adapter, .batch = batch}));
  return encoder;
}

/* The reference's rows for PNG files, and their full names. */
typedef struct expected {
  float *rows; /* (count, width) */
  char *paths[64];
  size_t count, width;
} expected;

static expected load_expected(void) {
  gh_error err = {0};
  gh_safetensors *file = NULL;
  gh_json *names = NULL;
  expected e = {0};
  int64_t n = 0;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/encode/expected-tiny.safetensors"));
  const char *text = gh_safetensors_metadata(file, "names");
  check_ok(gh_json_parse(&err, &names, "names", text, strlen(text), GH_JSON_MAX_BYTES));
  float *all = compare_load(file, "embeddings", &n);
  e.width = (size_t)n / gh_json_count(names);
  e.rows = malloc((size_t)n * sizeof *e.rows);
  size_t row = 0;
  for (const gh_json *name = gh_json_first(names); name; name = gh_json_next(name), row++) {
    const char *listed = "";
    check_ok(gh_json_to_string(&err, name, "name", &listed));
    if (!gh_ends_with(listed, ".png")) continue; /* a JPEG library of another version may round a colour otherwise */
    memcpy(e.rows + e.count * e.width, all + row * e.width, e.width * sizeof *all);
    assert_true(e.count < GH_COUNT(e.paths));
    e.paths[e.count++] = gh_path_join(&err, IMAGES, listed);
  }
  assert_true(e.count >= 3);
  free(all);
  gh_json_free(names);
  gh_safetensors_close(file);
  return e;
}

static void free_expected(expected *e) {
  for (size_t i = 0; i < e->count; i++) free(e->paths[i]);
  free(e->rows);
}

static void compare_rows(const expected *e, const float *got, double tolerance) {
  double scale = 0;
  for (size_t i = 0; i < e->count * e->width; i++) scale = GH_MAX(scale, (double)e->rows[i]);
  for (size_t i = 0; i < e->count; i++)
    compare_values(e->paths[i], got + i * e->width, e->rows + i * e->width, (int64_t)e->width, scale * tolerance);
}

static void files_and_pixels(void **state) {
  (void)state;
  expected e = load_expected();
  float *got = malloc(e.count * e.width * sizeof *got);
  gh_image images[64] = {{0}};
  genhance_image given[64];
  for (size_t i = 0; i < e.count; i++) {
    gh_error err = {0};
    check_ok(gh_image_read(&err, &images[i], e.paths[i]));
    given[i] = (genhance_image){.rgb = images[i].pixels, .width = images[i].width, .height = images[i].height};
  }
  for (size_t batch = 0; batch <= 2; batch++) {
    genhance_encoder *encoder = open_encoder(NULL, batch);
    assert_int_equal(genhance_encoder_width(encoder), e.width);
    memset(got, 0xff, e.count * e.width * sizeof *got);
    ok(genhance_embed_files(encoder, got, (const char *const *)e.paths, e.count));
    compare_rows(&e, got, 1e-5);
    memset(got, 0xff, e.count * e.width * sizeof *got);
    ok(genhance_embed_images(encoder, got, given, e.count));
    compare_rows(&e, got, 1e-5);
    ok(genhance_embed_files(encoder, NULL, NULL, 0));
    genhance_encoder_close(encoder);
  }
  for (size_t i = 0; i < e.count; i++) gh_image_free(&images[i]);
  free(got);
  free_expected(&e);
}

static void devices(void **state) {
  (void)state;
  size_t count = 0, all = 0;
  genhance_device_info infos[2];
  memset(infos, 0x55, sizeof infos);
  ok(genhance_device_list(NULL, 0, &all));
  ok(genhance_device_list(infos, 1, &count));
  assert_int_equal(count, all);
  assert_true(count >= 1);
  assert_true(infos[0].memory_bytes > 0 && infos[0].compute_units > 0);
  genhance_device *one = NULL;
  ok(genhance_device_open(&one, infos[0].id));
  genhance_device_close(one);
  assert_int_equal(infos[1].id[0], 0x55); /* past the capacity */
  assert_string_equal(genhance_version(), GH_VERSION);
}

#define REFUSED(call, status, text)                                                                                    \
  do {                                                                                                                 \
    assert_int_equal((call), (status));                                                                                \
    if (!strstr(genhance_last_error(), (text))) fail_msg("no \"%s\" in: %s", (text), genhance_last_error());           \
  } while (0)

static void misuse(void **state) {
  (void)state;
  genhance_encoder *encoder = open_encoder(NULL, 1), *none = (genhance_encoder *)&encoder;
  genhance_device *absent = device;
  float row[4096];
  const uint8_t pixel[3] = {1, 2, 3};
  const genhance_image huge = {pixel, 1 << 15, 1 << 15}, empty = {pixel, 0, 1}, null = {NULL, 1, 1},
                       one = {pixel, 1, 1};
  const char *const missing[] = {IMAGES "/no-such.png"}, *const text[] = {MODEL "/config.json"},
                    *const nothing[] = {NULL};
  const genhance_encoder_options adapted = {.adapter = IMAGES}, large = {.batch = 65537};
  REFUSED(genhance_device_open(&absent, "opencl:99"), GENHANCE_ERROR_ARGUMENT, "there is no device \"opencl:99\"");
  assert_null(absent);
  REFUSED(genhance_device_open(NULL, NULL), GENHANCE_ERROR_ARGUMENT, "out is NULL");
  REFUSED(genhance_device_list(NULL, 1, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_encoder_open(&none, device, IMAGES "/no-such-folder", NULL), GENHANCE_ERROR_FILE, "no-such-folder");
  assert_null(none);
  REFUSED(genhance_encoder_open(&none, device, MODEL, &adapted), GENHANCE_ERROR_FILE, "adapter_config.json");
  REFUSED(genhance_encoder_open(&none, device, MODEL, &large), GENHANCE_ERROR_ARGUMENT, "65536");
  REFUSED(genhance_encoder_open(&none, NULL, MODEL, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_embed_files(encoder, row, missing, 1), GENHANCE_ERROR_FILE, "no-such.png");
  REFUSED(genhance_embed_files(encoder, row, text, 1), GENHANCE_ERROR_FORMAT, "config.json");
  REFUSED(genhance_embed_files(encoder, row, nothing, 1), GENHANCE_ERROR_ARGUMENT, "path 0 is NULL");
  REFUSED(genhance_embed_files(encoder, NULL, missing, 1), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_embed_images(encoder, row, &huge, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 is too large");
  REFUSED(genhance_embed_images(encoder, row, &empty, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 has no pixels");
  REFUSED(genhance_embed_images(encoder, row, &null, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 has no pixels");
  ok(genhance_embed_images(encoder, row, &one, 1)); /* a refused call leaves the encoder usable */
  assert_int_equal(genhance_encoder_width(NULL), 0);
  genhance_encoder_close(encoder);
  genhance_encoder_close(NULL);
  genhance_device_close(NULL);
}

static void *fail_elsewhere(void *context) {
  *(bool *)context = genhance_last_error()[0] == 0 && genhance_device_open(NULL, NULL) == GENHANCE_ERROR_ARGUMENT;
  return NULL;
}

static void each_thread_has_its_own_error(void **state) {
  (void)state;
  pthread_t thread;
  bool clean = false;
  REFUSED(genhance_embed_files(NULL, NULL, NULL, 1), GENHANCE_ERROR_ARGUMENT, "genhance_embed_files");
  assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &clean), 0);
  pthread_join(thread, NULL);
  assert_true(clean);
  assert_non_null(strstr(genhance_last_error(), "genhance_embed_files"));
}

static int setup(void **state) {
  (void)state;
  return genhance_device_open(&device, getenv("GH_TEST_DEVICE"));
}

static int teardown(void **state) {
  (void)state;
  genhance_device_close(device);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(files_and_pixels), cmocka_unit_test(devices),
                                     cmocka_unit_test(misuse), cmocka_unit_test(each_thread_has_its_own_error)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
