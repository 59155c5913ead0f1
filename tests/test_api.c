/* The public library's encoders against the command line's reference embeddings: files, pixels and text, batch sizes
 * that do not divide the count, an adapter, threads; the log; structs of older and newer callers; and the errors for
 * misuse and broken files. */
#include "support/compare.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "genhance/genhance.h"
#include "io/image.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL  GH_FIXTURES "/probe/tiny/clip"
#define IMAGES GH_FIXTURES "/encode/images"
#define TEXT   GH_FIXTURES "/text/clip" /* with a tokenizer */

static genhance_device *device;

static void ok(genhance_status status) {
  if (status) fail_msg("status %d: %s", (int)status, genhance_last_error());
}

static genhance_encoder *open_encoder(const char *adapter, int batch) {
  genhance_encoder *encoder = NULL;
  const genhance_encoder_options options = {.struct_size = sizeof options, .adapter = adapter, .batch = batch};
  ok(genhance_encoder_open(&encoder, device, MODEL, &options));
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
    if (!gh_ends_with(listed, ".png")) continue; /* another version of the JPEG library may round colours differently */
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
    given[i] = GENHANCE_SIZED(genhance_image);
    given[i].rgb = images[i].pixels;
    given[i].width = images[i].width;
    given[i].height = images[i].height;
  }
  for (int batch = 0; batch <= 2; batch++) {
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
  const size_t image = sizeof(genhance_image);
  const genhance_image huge = {image, pixel, 1 << 15, 1 << 15}, empty = {image, pixel, 0, 1},
                       null = {image, NULL, 1, 1}, one = {image, pixel, 1, 1}, unsized = {0, pixel, 1, 1};
  const char *const missing[] = {IMAGES "/no-such.png"}, *const text[] = {MODEL "/config.json"},
                    *const nothing[] = {NULL};
  const size_t size = sizeof(genhance_encoder_options);
  const genhance_encoder_options adapted = {size, .adapter = IMAGES}, large = {size, .batch = 65537},
                                 negative = {size, .batch = -1}, odd = {size, .precision = (genhance_dtype)9},
                                 unset = {.batch = 1};
  REFUSED(genhance_device_open(&absent, "opencl:99"), GENHANCE_ERROR_ARGUMENT, "there is no device \"opencl:99\"");
  assert_null(absent);
  REFUSED(genhance_device_open(NULL, NULL), GENHANCE_ERROR_ARGUMENT, "out is NULL");
  REFUSED(genhance_device_list(NULL, 1, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_encoder_open(&none, device, IMAGES "/no-such-folder", NULL), GENHANCE_ERROR_FILE, "no-such-folder");
  assert_null(none);
  REFUSED(genhance_encoder_open(&none, device, MODEL, &adapted), GENHANCE_ERROR_FILE, "adapter_config.json");
  REFUSED(genhance_encoder_open(&none, device, MODEL, &large), GENHANCE_ERROR_ARGUMENT, "65536");
  REFUSED(genhance_encoder_open(&none, device, MODEL, &negative), GENHANCE_ERROR_ARGUMENT, "batch is -1");
  REFUSED(genhance_encoder_open(&none, device, MODEL, &odd), GENHANCE_ERROR_ARGUMENT, "precision is 9");
  REFUSED(genhance_encoder_open(&none, device, MODEL, &unset), GENHANCE_ERROR_ARGUMENT,
          "genhance_encoder_options: struct_size is 0");
  REFUSED(genhance_encoder_open(&none, NULL, MODEL, NULL), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_embed_files(encoder, row, missing, 1), GENHANCE_ERROR_FILE, "no-such.png");
  REFUSED(genhance_embed_files(encoder, row, text, 1), GENHANCE_ERROR_FORMAT, "config.json");
  REFUSED(genhance_embed_files(encoder, row, nothing, 1), GENHANCE_ERROR_ARGUMENT, "path 0 is NULL");
  REFUSED(genhance_embed_files(encoder, NULL, missing, 1), GENHANCE_ERROR_ARGUMENT, "is NULL");
  REFUSED(genhance_embed_images(encoder, row, &huge, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 is too large");
  REFUSED(genhance_embed_images(encoder, row, &empty, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 has no pixels");
  REFUSED(genhance_embed_images(encoder, row, &null, 1), GENHANCE_ERROR_ARGUMENT, "picture 0 has no pixels");
  REFUSED(genhance_embed_images(encoder, row, &unsized, 1), GENHANCE_ERROR_ARGUMENT,
          "genhance_image: struct_size is 0");
  REFUSED(genhance_embed_texts(encoder, row, missing, 1), GENHANCE_ERROR_FILE, "token"); /* the folder has none */
  REFUSED(genhance_embed_texts(encoder, row, nothing, 1), GENHANCE_ERROR_ARGUMENT, "line 1 is NULL");
  ok(genhance_embed_images(encoder, row, &one, 1)); /* a rejected call leaves the encoder usable */
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

/* ---- text ---- */

static void texts(void **state) {
  (void)state;
  static const char *const lines[] = {"a dog", "", "two dogs, with tails"};
  const size_t count = GH_COUNT(lines);
  gh_error err = {0};
  gh_safetensors *file = NULL;
  genhance_encoder *encoder = NULL;
  char *folder = check_folder(), *text = check_path(folder, "lines.txt"), *out = check_path(folder, "e.safetensors");
  check_write(text, "a dog\n\ntwo dogs, with tails\n", 28);
  check_ok(compare_run(&err, "encode", "--model", TEXT, "--text", text, "--out", out, "--batch", "2", NULL));
  check_ok(gh_safetensors_open(&err, &file, out));
  int64_t n = 0;
  float *want = compare_load(file, "text_embeddings", &n);
  const genhance_encoder_options options = {.struct_size = sizeof options, .batch = 2};
  ok(genhance_encoder_open(&encoder, device, TEXT, &options));
  assert_int_equal(genhance_encoder_width(encoder) * count, n);
  float *got = malloc((size_t)n * sizeof *got);
  for (int round = 0; round < 2; round++) { /* the second finds the tower open */
    memset(got, 0xff, (size_t)n * sizeof *got);
    ok(genhance_embed_texts(encoder, got, lines, count));
    assert_memory_equal(got, want, (size_t)n * sizeof *got);
  }
  ok(genhance_embed_texts(encoder, NULL, NULL, 0));
  REFUSED(genhance_embed_texts(encoder, got, (const char *[]){"fine", "\xff"}, 2), GENHANCE_ERROR_FORMAT, "line 2");
  genhance_encoder_close(encoder);
  gh_safetensors_close(file);
  free(got);
  free(want);
  free(text);
  free(out);
  check_folder_done(folder);
}

/* ---- an adapter, a precision ---- */

static void embed_one(const genhance_encoder_options *options, const char *model, float *row, size_t *width) {
  genhance_encoder *encoder = NULL;
  ok(genhance_encoder_open(&encoder, device, model, options));
  *width = genhance_encoder_width(encoder);
  assert_true(*width <= 4096);
  ok(genhance_embed_files(encoder, row, (const char *[]){IMAGES "/reduce.png"}, 1));
  genhance_encoder_close(encoder);
}

static double relative(const float *a, const float *b, size_t n) {
  double scale = 0;
  for (size_t i = 0; i < n; i++) scale = GH_MAX(scale, fabs((double)b[i]));
  return compare_distance(a, b, (int64_t)n) / scale;
}

static void options_matter(void **state) {
  (void)state;
  static const char edges[] = GH_FIXTURES "/probe/edges/clip";
  const genhance_encoder_options adapted = {.struct_size = sizeof adapted,
                                            .adapter = GH_FIXTURES "/probe/edges/adapter"},
                                 narrow = {.struct_size = sizeof narrow, .precision = GENHANCE_BFLOAT16};
  static float plain[4096], other[4096];
  size_t n = 0;
  embed_one(NULL, edges, plain, &n);
  embed_one(&adapted, edges, other, &n);
  assert_true(relative(other, plain, n) > 1e-3);
  embed_one(&narrow, edges, other, &n);
  double distance = relative(other, plain, n);
  assert_true(distance > 0 && distance <= 0.1);
}

/* ---- two sessions in two threads ---- */

typedef struct session {
  const expected *e;
  float *rows;
  genhance_status status;
  char why[256];
} session;

static void *run_session(void *context) {
  session *s = context;
  genhance_device *own = NULL;
  genhance_encoder *encoder = NULL;
  const genhance_encoder_options options = {.struct_size = sizeof options, .batch = 2};
  s->status = genhance_device_open(&own, getenv("GH_TEST_DEVICE"));
  if (!s->status) s->status = genhance_encoder_open(&encoder, own, MODEL, &options);
  for (int round = 0; round < 3 && !s->status; round++)
    s->status = genhance_embed_files(encoder, s->rows, (const char *const *)s->e->paths, s->e->count);
  if (s->status) snprintf(s->why, sizeof s->why, "%s", genhance_last_error());
  genhance_encoder_close(encoder);
  genhance_device_close(own);
  return NULL;
}

static void two_threads(void **state) {
  (void)state;
  expected e = load_expected();
  pthread_t threads[2];
  session sessions[2] = {{.e = &e}, {.e = &e}};
  for (int i = 0; i < 2; i++) {
    sessions[i].rows = malloc(e.count * e.width * sizeof(float));
    assert_int_equal(pthread_create(&threads[i], NULL, run_session, &sessions[i]), 0);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    if (sessions[i].status) fail_msg("thread %d: %s", i, sessions[i].why);
    compare_rows(&e, sessions[i].rows, 1e-5);
  }
  assert_memory_equal(sessions[0].rows, sessions[1].rows, e.count * e.width * sizeof(float));
  for (int i = 0; i < 2; i++) free(sessions[i].rows);
  free_expected(&e);
}

/* ---- the log, names ---- */

typedef struct lines {
  int count, level;
  char last[256];
} lines;

static void note_line(void *user, int level, const char *line) {
  lines *l = user;
  l->count++;
  l->level = level;
  snprintf(l->last, sizeof l->last, "%s", line);
}

static void log_lines(void **state) {
  (void)state;
  lines l = {0};
  genhance_set_log(note_line, &l);
  gh_warn("quiet is the default");
  assert_int_equal(l.count, 0);
  genhance_set_verbosity(1);
  gh_info("progress is not wanted");
  gh_warn("disk %d is full", 3);
  assert_int_equal(l.count, 1);
  assert_int_equal(l.level, 1);
  assert_string_equal(l.last, "disk 3 is full");
  genhance_set_verbosity(9);
  gh_debug("a detail");
  assert_int_equal(l.level, 3);
  genhance_set_log(NULL, NULL);
  genhance_set_verbosity(-1);
  gh_warn("nobody hears this");
  assert_int_equal(l.count, 2);
}

static void names(void **state) {
  (void)state;
  assert_string_equal(genhance_version(), GH_VERSION);
  assert_string_equal(genhance_status_name(GENHANCE_OK), "ok");
  assert_string_equal(genhance_status_name(GENHANCE_ERROR_STOPPED), "stopped");
  assert_string_equal(genhance_status_name((genhance_status)-1), "unknown");
  assert_string_equal(genhance_status_name((genhance_status)1000), "unknown");
}

/* ---- structs of other versions ---- */

static void devices(void **state) {
  (void)state;
  size_t count = 0, all = 0;
  genhance_device_info infos[2], unset = {0};
  memset(infos, 0x55, sizeof infos);
  infos[0].struct_size = sizeof infos[0];
  ok(genhance_device_list(NULL, 0, &all));
  ok(genhance_device_list(infos, 1, &count));
  assert_int_equal(count, all);
  assert_true(count >= 1);
  assert_true(infos[0].memory_bytes > 0 && infos[0].compute_units > 0);
  assert_int_equal(infos[0].struct_size, sizeof infos[0]);
  genhance_device *one = NULL;
  ok(genhance_device_open(&one, infos[0].id));
  genhance_device_close(one);
  assert_int_equal(infos[1].id[0], 0x55); /* past the capacity */
  REFUSED(genhance_device_list(&unset, 1, &count), GENHANCE_ERROR_ARGUMENT, "genhance_device_info: struct_size is 0");
}

/* Where the last field of each struct lay when this soname began. One that moves breaks programs that are built: new
 * fields go behind it. */
#define FIXED(type, field, offset)                                                                                     \
  _Static_assert(sizeof(void *) != 8 || offsetof(type, field) == (offset), #type ": " #field " has moved")
FIXED(genhance_device_info, is_cpu, 436);
FIXED(genhance_encoder_options, precision, 28);
FIXED(genhance_image, height, 20);
FIXED(genhance_score_options, precision, 60);
FIXED(genhance_score_summary, shares, 60);
FIXED(genhance_share, high, 48);
FIXED(genhance_mmvp_pair, statement_correct, 72);
FIXED(genhance_zeroshot_image, rank, 32);
FIXED(genhance_retrieval_image, rank, 16);
FIXED(genhance_retrieval_caption, rank, 24);
FIXED(genhance_progress, images_per_second, 72);
FIXED(genhance_train_options, reserved, 44);
FIXED(genhance_stage_report, best_snapshot, 144);
FIXED(genhance_export_options, dtype, 20);
FIXED(genhance_export_result, rounded, 32);

/* Compiled before the platform's name and all that follows it were there. */
typedef struct old_device_info {
  size_t struct_size;
  char id[32], name[160];
} old_device_info;

typedef struct new_device_info {
  genhance_device_info known;
  char later[64];
} new_device_info;

#define GUARD 0x5a

static void older_caller(void **state) {
  (void)state;
  size_t count = 0;
  old_device_info old[3]; /* an element per device, and one that nobody may touch */
  memset(old, GUARD, sizeof old);
  old[0].struct_size = sizeof old[0];
  ok(genhance_device_list((genhance_device_info *)old, 2, &count)); /* an older library's, as the linker sees it */
  assert_true(count >= 1);
  for (size_t i = 0; i < GH_COUNT(old); i++) {
    bool filled = i < GH_MIN(count, (size_t)2);
    assert_int_equal(old[i].struct_size == sizeof old[i], filled);
    assert_int_equal(!strncmp(old[i].id, "opencl:", 7) || !strncmp(old[i].id, "cuda:", 5), filled);
  }
  const unsigned char *after = (const unsigned char *)&old[GH_MIN(count, (size_t)2)];
  for (size_t i = 0; i < sizeof old[0]; i++) assert_int_equal(after[i], GUARD);

  struct { /* options that end before the batch */
    size_t struct_size;
    const char *adapter, *weights;
    int guard[2]; /* would be a batch of -1 */
  } options = {.struct_size = offsetof(genhance_encoder_options, batch), .guard = {-1, -1}};
  genhance_encoder *encoder = NULL;
  ok(genhance_encoder_open(&encoder, device, MODEL, (const genhance_encoder_options *)&options));
  genhance_encoder_close(encoder);
}

static void newer_caller(void **state) {
  (void)state;
  size_t count = 0;
  new_device_info infos[2];
  memset(infos, GUARD, sizeof infos);
  infos[0].known.struct_size = sizeof infos[0];
  ok(genhance_device_list(&infos[0].known, 1, &count));
  assert_int_equal(infos[0].known.struct_size, sizeof infos[0]);
  assert_true(infos[0].known.memory_bytes > 0);
  for (size_t i = 0; i < sizeof infos[0].later; i++) assert_int_equal(infos[0].later[i], 0);
  assert_int_equal(infos[1].later[0], GUARD);

  struct {
    genhance_encoder_options known;
    int64_t later;
  } options = {.known = {.struct_size = sizeof options, .batch = 2}};
  genhance_encoder *encoder = NULL;
  ok(genhance_encoder_open(&encoder, device, MODEL, &options.known)); /* the default, which is what happens anyway */
  genhance_encoder_close(encoder);
  options.later = 1;
  REFUSED(genhance_encoder_open(&encoder, device, MODEL, &options.known), GENHANCE_ERROR_UNSUPPORTED,
          "genhance_encoder_options: the program sets a field that this library");

  struct {
    genhance_image known;
    int64_t later;
  } images[2] = {0}; /* an array goes by the first element's size */
  const uint8_t pixels[2][3] = {{255, 0, 0}, {0, 0, 255}};
  for (int i = 0; i < 2; i++)
    images[i].known = (genhance_image){.struct_size = sizeof images[0], .rgb = pixels[i], .width = 1, .height = 1};
  static float rows[2 * 4096], row[4096];
  encoder = open_encoder(NULL, 1);
  const size_t width = genhance_encoder_width(encoder);
  ok(genhance_embed_images(encoder, rows, &images[0].known, 2));
  images[1].known.struct_size = sizeof images[1].known;
  ok(genhance_embed_images(encoder, row, &images[1].known, 1));
  assert_memory_equal(rows + width, row, width * sizeof *row);
  images[1].later = 1;
  REFUSED(genhance_embed_images(encoder, rows, &images[0].known, 2), GENHANCE_ERROR_UNSUPPORTED, "genhance_image: the");
  genhance_encoder_close(encoder);
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(files_and_pixels),
                                     cmocka_unit_test(texts),
                                     cmocka_unit_test(options_matter),
                                     cmocka_unit_test(two_threads),
                                     cmocka_unit_test(log_lines),
                                     cmocka_unit_test(names),
                                     cmocka_unit_test(devices),
                                     cmocka_unit_test(older_caller),
                                     cmocka_unit_test(newer_caller),
                                     cmocka_unit_test(misuse),
                                     cmocka_unit_test(each_thread_has_its_own_error)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
