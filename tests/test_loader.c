/* The random crop against torchvision's, sources, and that a sample depends only on its ordinal. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "data/augment.h"
#include "data/loader.h"
#include "data/source.h"
#include "io/png_write.h"
#include "io/safetensors.h"
#include "support/check.h"

enum { S = 8, FLOATS = 3 * S * S };

static gh_error err;
static char folder[] = "/tmp/genhance-test-XXXXXX";

/* ---- crops ---- */

/* The rules of make_images.py, in its order. */
static const gh_crop_rule rules[] = {
    {{0.9, 1.0}, {0.75, 1.3333333}}, {{0.08, 1.0}, {0.75, 1.3333333}}, {{0.25, 0.25}, {1.0, 1.0}},
    {{0.9, 1.0}, {2.0, 3.0}},        {{0.9, 1.0}, {0.25, 0.5}},
};

static void test_crops_equal_torchvision(void **state) {
  (void)state;
  gh_safetensors *file;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/images/expected.safetensors"));
  const gh_st_tensor *u = gh_safetensors_find(file, "crop.u"), *size = gh_safetensors_find(file, "crop.size"),
                     *rule = gh_safetensors_find(file, "crop.rule"), *box = gh_safetensors_find(file, "crop.box");
  assert_true(u->shape[0] >= 100 && u->shape[1] == GH_CROP_UNIFORMS);
  for (int64_t i = 0; i < u->shape[0]; i++) {
    float numbers[GH_CROP_UNIFORMS];
    int64_t shape[2], which, want[4];
    check_ok(gh_st_read_f32(&err, u, i * GH_CROP_UNIFORMS, GH_CROP_UNIFORMS, numbers));
    check_ok(gh_st_read_i64(&err, size, 2 * i, 2, shape));
    check_ok(gh_st_read_i64(&err, rule, i, 1, &which));
    check_ok(gh_st_read_i64(&err, box, 4 * i, 4, want));
    gh_crop_box got = gh_crop_choose(&rules[which], numbers, (int)shape[0], (int)shape[1]);
    if (got.left != want[0] || got.top != want[1] || got.width != want[2] || got.height != want[3])
      fail_msg("crop %d: %d,%d %dx%d, expected %d,%d %dx%d", (int)i, got.left, got.top, got.width, got.height,
               (int)want[0], (int)want[1], (int)want[2], (int)want[3]);
  }
  gh_safetensors_close(file);
}

/* Drawn, cropped and resized as in PIL: equal pixels for PNG, including 16 bits per sample; within one grey level for
 * JPEG, whose colours other versions of the library may round differently. */
static void test_augmented_pixels_equal_pil(void **state) {
  (void)state;
  static const char *const pictures[] = {"reduce.png", "deep.png", "half-chroma.jpg"};
  const gh_stream stream = gh_stream_make(5, 1, "crop", "");
  gh_safetensors *file;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/images/augment.safetensors"));
  assert_int_equal(gh_safetensors_count(file), 2 * 4 * GH_COUNT(pictures));
  for (int i = 0; i < 4 * (int)GH_COUNT(pictures); i++) {
    char path[512], key[64];
    int most = gh_ends_with(pictures[i / 4], ".png") ? 0 : 1;
    const uint64_t ordinal = (uint64_t)(i % 4);
    const gh_crop_rule *rule = &rules[ordinal % 2];
    gh_image image, got;
    float numbers[GH_CROP_UNIFORMS];
    int64_t box[4];
    snprintf(path, sizeof path, GH_FIXTURES "/encode/images/%s", pictures[i / 4]);
    check_ok(gh_image_read(&err, &image, path));
    snprintf(key, sizeof key, "%s.%d.box", pictures[i / 4], (int)ordinal);
    check_ok(gh_st_read_i64(&err, gh_safetensors_find(file, key), 0, 4, box));
    gh_stream_uniforms(stream, ordinal, 0, GH_CROP_UNIFORMS, numbers);
    gh_crop_box drawn = gh_crop_choose(rule, numbers, image.width, image.height);
    assert_true(drawn.left == box[0] && drawn.top == box[1] && drawn.width == box[2] && drawn.height == box[3]);
    snprintf(key, sizeof key, "%s.%d.pixels", pictures[i / 4], (int)ordinal);
    const gh_st_tensor *want = gh_safetensors_find(file, key);
    check_ok(gh_augment(&err, &got, &image, rule, stream, ordinal, (int)want->shape[0]));
    for (int64_t k = 0; k < want->elements; k++) {
      int difference = (int)got.pixels[k] - (int)((const uint8_t *)want->data)[k];
      if (difference < -most || difference > most) fail_msg("%s: %d at %d", key, difference, (int)k);
    }
    gh_image_free(&got);
    gh_image_free(&image);
  }
  gh_safetensors_close(file);
}

/* Any rule and shape gives a box inside the image, even at the extremes of (0, 1). */
static void test_crops_stay_inside(void **state) {
  (void)state;
  static const int sides[] = {1, 2, 3, 17, 224, 100000};
  static const float extremes[] = {0x1p-25f, 0.5f, 1.0f - 0x1p-24f};
  for (size_t r = 0; r < GH_COUNT(rules); r++)
    for (size_t w = 0; w < GH_COUNT(sides); w++)
      for (size_t h = 0; h < GH_COUNT(sides); h++)
        for (int mix = 0; mix < 81; mix++) {
          float u[GH_CROP_UNIFORMS];
          int powers[] = {1, 3, 9, 27};
          for (int i = 0; i < GH_CROP_UNIFORMS; i++) u[i] = extremes[mix / powers[i % 4] % 3];
          gh_crop_box box = gh_crop_choose(&rules[r], u, sides[w], sides[h]);
          assert_true(box.width >= 1 && box.height >= 1 && box.left >= 0 && box.top >= 0);
          assert_true(box.left + box.width <= sides[w] && box.top + box.height <= sides[h]);
        }
  static const gh_crop_rule wrong[] = {{{0.0, 1.0}, {1, 1}}, {{0.9, 0.8}, {1, 1}}, {{0.5, 1.5}, {1, 1}},
                                       {{0.5, 1.0}, {0, 1}}, {{0.5, 1.0}, {2, 1}}, {{0.0 / 0.0, 1.0}, {1, 1}}};
  for (size_t i = 0; i < GH_COUNT(wrong); i++) assert_int_equal(gh_crop_rule_check(&err, &wrong[i]), GH_ERROR_CONFIG);
}

/* ---- a folder of images, each of one colour: red identifies it ---- */

static char *in_folder(const char *name) {
  char *path = gh_path_join(&err, folder, name);
  assert_non_null(path);
  return path;
}

static void write_text(const char *name, const char *text) {
  char *path = in_folder(name);
  check_ok(gh_file_write(&err, path, text, strlen(text)));
  free(path);
}

static void write_image(const char *name, int red, int width, int height) {
  gh_image image;
  char *path = in_folder(name);
  check_ok(gh_image_new(&err, &image, width, height));
  for (int i = 0; i < width * height; i++) {
    image.pixels[3 * i] = (uint8_t)red;
    image.pixels[3 * i + 1] = (uint8_t)(i * 7);
  }
  check_ok(gh_png_write(&err, path, &image));
  gh_image_free(&image);
  free(path);
}

enum { IMAGES_A = 7, IMAGES_B = 4 };

static int make_folders(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  gh_log_set_level(GH_LOG_QUIET);
  static const char *const names[] = {"a", "a/sub", "b", "broken", "rotten", "empty"};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *path = in_folder(names[i]);
    check_ok(gh_folder_make(&err, path));
    free(path);
  }
  static const char *const files[] = {"a/Z.PNG", "a/b.png", "a/a.png", "a/sub/x.png", "a/sub-1.png", "a/c.JPEG",
                                      "a/d.jpg", "b/1.png", "b/2.png", "b/3.png",     "b/4.png"};
  for (int i = 0; i < IMAGES_A + IMAGES_B; i++) write_image(files[i], 20 * i, 9 + i, 30 - 2 * i);
  write_text("a/notes.txt", "not an image");
  write_text("a/.hidden.png", "nor is this");
  for (int i = 0; i < 4; i++) {
    char name[32];
    snprintf(name, sizeof name, "broken/%d.png", i);
    if (i % 2)
      write_image(name, 100 + i, 12, 12);
    else
      write_text(name, "\x89PNG\r\n\x1a\n and no more");
  }
  write_text("rotten/1.jpg", "");
  write_text("rotten/2.jpg", "\xff\xd8\xff\xe0 and no more");
  write_text("empty/notes.txt", "no image");
  return 0;
}
static int remove_folders(void **state) {
  (void)state;
  return gh_folder_remove(&err, folder) ? -1 : 0;
}

static void test_a_folder_is_listed_bytewise(void **state) {
  (void)state;
  static const char *const want[] = {"Z.PNG", "a.png", "b.png", "c.JPEG", "d.jpg", "sub-1.png", "sub/x.png"};
  gh_source *source, *again;
  char *path = in_folder("a");
  check_ok(gh_source_open(&err, &source, path));
  assert_int_equal(gh_source_count(source), IMAGES_A);
  for (size_t i = 0; i < IMAGES_A; i++) {
    assert_string_equal(gh_source_name(source, i), want[i]);
    char *name = gh_source_full_name(&err, source, i), *bytes;
    size_t size;
    assert_true(gh_path_is_file(name));
    check_ok(gh_source_load(&err, source, i, &bytes, &size));
    assert_int_equal(size, gh_source_bytes(source, i));
    free(bytes);
    free(name);
  }
  check_ok(gh_source_open(&err, &again, path));
  assert_true(gh_source_hash(source, 3) == gh_source_hash(again, 3));
  assert_true(gh_source_hash(source, 3) != gh_source_hash(again, 4));
  gh_source_free(again);
  gh_source_free(source);
  free(path);

  path = in_folder("b/2.png");
  check_ok(gh_source_open(&err, &source, path));
  assert_int_equal(gh_source_count(source), 1);
  char *name = gh_source_full_name(&err, source, 0);
  assert_string_equal(name, path);
  free(name);
  gh_source_free(source);
  free(path);
}

/* A broken symbolic link and a pipe with a picture's ending are no pictures, which is told. */
static void test_what_is_no_file_is_counted(void **state) {
  (void)state;
  gh_source *source;
  char *place = in_folder("links"), *link = in_folder("links/c.jpg"), *pipe = in_folder("links/b.png"),
       *other = in_folder("links/d.txt"), *good = in_folder("links/a.png");
  check_ok(gh_folder_make(&err, place));
  assert_int_equal(symlink("nowhere", link), 0);
  assert_int_equal(symlink("nowhere", other), 0);
  assert_int_equal(mkfifo(pipe, 0600), 0);
  check_fails(gh_source_open(&err, &source, place), GH_ERROR_FILE, "in this folder; ");
  check_write(good, "x", 1);
  check_ok(gh_source_open(&err, &source, place));
  const gh_strings *notes = gh_source_notes(source);
  assert_true(gh_source_count(source) == 1 && gh_source_left_out(source) == 2 && notes->count == 2);
  int named = 0;
  for (size_t i = 0; i < 2; i++)
    named += gh_ends_with(notes->items[i], "links/c.jpg: a broken symbolic link") +
             gh_ends_with(notes->items[i], "links/b.png: a pipe or a device");
  assert_int_equal(named, 2);
  gh_source_free(source);
  check_ok(gh_folder_remove(&err, place));
  free(place), free(link), free(pipe), free(other), free(good);
}

static void test_rejected_sources(void **state) {
  (void)state;
  static const struct {
    const char *name;
    gh_status status;
    const char *says;
  } cases[] = {
      {"empty", GH_ERROR_FILE, "no image"},
      {"absent", GH_ERROR_FILE, "no such file"},
      {"a/notes.txt", GH_ERROR_ARGUMENT, "neither a folder nor an image"},
      {"x.tar", GH_ERROR_FILE, "no such file"},
      {"x-{000..331}.tar", GH_ERROR_FILE, "no such file: shard 1 of the 332 of"},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_source *source;
    char *path = in_folder(cases[i].name);
    gh_status status = gh_source_open(&err, &source, path);
    if (status != cases[i].status || !strstr(err.text, cases[i].says) || !strstr(err.text, path))
      fail_msg("%s: status %d: %s", path, status, err.text);
    assert_null(source);
    free(path);
  }
}

/* ---- the loader ---- */

static gh_loader *open_loader(const char *const *names, size_t count, gh_loader_options options) {
  char *paths[4];
  for (size_t i = 0; i < count; i++) paths[i] = in_folder(names[i]);
  options.sources = (const char *const *)paths;
  options.source_count = count;
  options.image_size = S;
  options.crop = rules[1];
  options.stage = 1;
  gh_loader *loader;
  check_ok(gh_loader_create(&err, &loader, &options));
  for (size_t i = 0; i < count; i++) free(paths[i]);
  return loader;
}

static const char *const both[] = {"a", "b"};
static const char *const half_broken[] = {"broken"};

/* The reference: the first `total` samples without workers, one at a time. */
static float *reference(const char *const *names, size_t count, int total) {
  gh_loader *loader = open_loader(names, count, (gh_loader_options){.seed = 5});
  float *images = gh_alloc(&err, (size_t)total * FLOATS, sizeof *images);
  assert_non_null(images);
  for (int i = 0; i < total; i++) {
    uint64_t ordinal = 99;
    check_ok(gh_loader_next(&err, loader, images + i * FLOATS, &ordinal, 1));
    assert_int_equal(ordinal, i);
  }
  gh_loader_free(loader);
  return images;
}

static void test_samples_do_not_depend_on_workers_or_batches(void **state) {
  (void)state;
  enum { TOTAL = 60 };
  float *want = reference(both, 2, TOTAL), *got = malloc(TOTAL * FLOATS * sizeof *got);
  assert_non_null(got);
  for (int workers = 0; workers <= 5; workers++)
    for (size_t ahead = 0; ahead < 20; ahead += 3) {
      gh_loader *loader = open_loader(both, 2, (gh_loader_options){.seed = 5, .workers = workers, .ahead = ahead});
      size_t batch = 1 + (size_t)workers * 3 + ahead; /* uneven, and more than the ring */
      for (size_t done = 0; done < TOTAL; done += batch)
        check_ok(gh_loader_next(&err, loader, got + done * FLOATS, NULL, GH_MIN(batch, TOTAL - done)));
      assert_memory_equal(got, want, TOTAL * FLOATS * sizeof *got);
      gh_loader_stats stats;
      gh_loader_get_stats(loader, &stats);
      assert_true(stats.samples == TOTAL && stats.images == IMAGES_A + IMAGES_B && stats.skipped == 0);
      gh_loader_free(loader); /* while workers are decoding ahead */
    }
  free(got);
  free(want);
}

static void test_a_rank_and_a_resumed_run_get_their_part(void **state) {
  (void)state;
  enum { TOTAL = 48, BATCH = 12, RANKS = 3, BLOCK = BATCH / RANKS };
  float *want = reference(both, 2, TOTAL);
  for (int rank = 0; rank < RANKS; rank++) {
    gh_loader_options options = {.seed = 5,
                                 .first_ordinal = BATCH + (uint64_t)rank * BLOCK,
                                 .block = BLOCK,
                                 .period = BATCH,
                                 .workers = 2,
                                 .ahead = 5};
    gh_loader *loader = open_loader(both, 2, options);
    for (int step = 1; step < TOTAL / BATCH; step++) {
      float got[BLOCK * FLOATS];
      uint64_t ordinals[BLOCK];
      check_ok(gh_loader_next(&err, loader, got, ordinals, BLOCK));
      int first = step * BATCH + rank * BLOCK;
      for (int i = 0; i < BLOCK; i++) assert_int_equal(ordinals[i], first + i);
      assert_memory_equal(got, want + first * FLOATS, sizeof got);
    }
    gh_loader_free(loader);
  }
  free(want);
}

static void test_an_epoch_shows_every_image_once(void **state) {
  (void)state;
  enum { N = IMAGES_A + IMAGES_B };
  gh_loader *loader = open_loader(both, 2, (gh_loader_options){.seed = 5, .workers = 1, .ahead = 4});
  bool reordered = false;
  uint64_t order[2][N];
  for (int epoch = 0; epoch < 2; epoch++) {
    bool seen[N] = {0};
    for (int i = 0; i < N; i++) {
      float image[FLOATS];
      uint64_t ordinal;
      check_ok(gh_loader_next(&err, loader, image, &ordinal, 1));
      uint64_t index = order[epoch][i] = gh_loader_image_of(loader, ordinal);
      assert_true(index < N && !seen[index]);
      seen[index] = true;
      for (int p = 1; p < S * S; p++) assert_true(image[p] == image[0]); /* red: one colour, whatever the crop */
      /* Maps sorted names to the order of writing. */
      static const int written[N] = {0, 2, 1, 5, 6, 4, 3, 7, 8, 9, 10};
      assert_true(image[0] == (float)(20 * written[index]) / 255.0f);
      reordered |= epoch == 1 && order[0][i] != order[1][i];
    }
  }
  assert_true(reordered);
  char *name = gh_loader_name(&err, loader, IMAGES_A);
  assert_string_equal(gh_path_name(name), "1.png");
  free(name);
  assert_null(gh_loader_name(&err, loader, N));
  gh_loader_free(loader);
}

static void test_a_broken_image_is_replaced(void **state) {
  (void)state;
  enum { TOTAL = 24 };
  float *want = reference(half_broken, 1, TOTAL), got[TOTAL * FLOATS];
  for (int workers = 0; workers <= 4; workers += 2) {
    gh_loader *loader = open_loader(half_broken, 1, (gh_loader_options){.seed = 5, .workers = workers, .ahead = 7});
    check_ok(gh_loader_next(&err, loader, got, NULL, TOTAL));
    assert_memory_equal(got, want, sizeof got);
    gh_loader_stats stats;
    gh_loader_get_stats(loader, &stats);
    assert_int_equal(stats.skipped, 2);
    gh_strings skipped = {0};
    check_ok(gh_loader_skipped(&err, loader, &skipped));
    assert_int_equal(skipped.count, 2);
    assert_string_equal(gh_path_name(skipped.items[0]), "0.png");
    assert_string_equal(gh_path_name(skipped.items[1]), "2.png");
    gh_strings_free(&skipped);

    /* A sample meant for an intact image shows it; one meant for a broken image shows the next intact one of the
     * shuffle. */
    for (uint64_t p = 0; p < TOTAL; p++) {
      uint64_t shown = 0;
      for (uint64_t step = 0; step < 4; step++) {
        shown = gh_loader_image_of(loader, p / 4 * 4 + (p % 4 + step) % 4);
        if (shown % 2) break;
      }
      assert_true(got[p * FLOATS] == (float)(100 + shown) / 255.0f);
    }
    gh_loader_free(loader);
  }
  free(want);
}

static void test_nothing_readable_is_an_error(void **state) {
  (void)state;
  static const char *const names[] = {"rotten"};
  for (int workers = 0; workers <= 3; workers++) {
    gh_loader *loader = open_loader(names, 1, (gh_loader_options){.workers = workers, .ahead = 3});
    float image[FLOATS];
    for (int i = 0; i < 2; i++) {
      err.text[0] = 0;
      assert_int_equal(gh_loader_next(&err, loader, image, NULL, 1), GH_ERROR_FILE);
      assert_string_equal(err.text, "no readable image among 2");
    }
    gh_loader_free(loader);
  }
}

static void count_skipped(void *user, gh_log_level level, const char *text) {
  (void)level;
  *(int *)user += !!strstr(text, "image skipped: ") && !!strstr(text, "/many/");
}

/* Each by its name, however many there are, and once. */
static void test_every_broken_image_is_named(void **state) {
  (void)state;
  enum { BROKEN = 150 };
  static const char *const names[] = {"many"};
  char *place = check_path(folder, "many"), *good = check_path(folder, "a/Z.PNG"), *bytes = NULL;
  size_t size = 0;
  int named = 0;
  check_ok(gh_folder_make(&err, place));
  check_ok(gh_file_read(&err, good, 1 << 20, &bytes, &size));
  for (int i = 0; i <= BROKEN; i++) {
    char *path = gh_format(&err, "%s/%03d.png", place, i);
    check_write(path, bytes, i < BROKEN ? 8 : size);
    free(path);
  }
  gh_log_set_writer(count_skipped, &named);
  gh_log_set_level(GH_LOG_WARNING);
  gh_loader *loader = open_loader(names, 1, (gh_loader_options){.workers = 2, .ahead = 3});
  for (int i = 0; i <= BROKEN; i++) check_ok(gh_loader_next(&err, loader, (float[FLOATS]){0}, NULL, 1)); /* an epoch */
  gh_loader_free(loader);
  gh_log_set_level(GH_LOG_QUIET);
  gh_log_set_writer(NULL, NULL);
  assert_int_equal(named, BROKEN);
  check_ok(gh_folder_remove(&err, place));
  free(bytes);
  free(good);
  free(place);
}

/* Once the image is away, and once it comes back while the loader waits. */
static void *bring_back(void *context) {
  const char *const *paths = context;
  usleep(20000);
  rename(paths[1], paths[0]);
  return NULL;
}

static void test_an_absent_image_is_no_broken_one(void **state) {
  (void)state;
  static const char *const names[] = {"a"};
  char *here = check_path(folder, "a/Z.PNG"), *away = check_path(folder, "a/away");
  gh_loader_stats stats;
  for (int returns = 0; returns < 2; returns++) {
    gh_loader *loader = open_loader(names, 1, (gh_loader_options){.in_order = true});
    const char *paths[] = {here, away};
    float image[FLOATS];
    pthread_t thread;
    setenv("GH_RETRY_SECONDS", returns ? "5" : "0.05", 1);
    assert_int_equal(rename(here, away), 0);
    if (returns) assert_int_equal(pthread_create(&thread, NULL, bring_back, paths), 0);
    if (returns)
      check_ok(gh_loader_next(&err, loader, image, NULL, 1));
    else
      check_fails(gh_loader_next(&err, loader, image, NULL, 1), GH_ERROR_FILE, "a/Z.PNG: No such file or directory");
    gh_loader_get_stats(loader, &stats);
    assert_int_equal(stats.skipped, 0);
    gh_loader_free(loader);
    if (returns) assert_int_equal(pthread_join(thread, NULL), 0);
    if (!returns) assert_int_equal(rename(away, here), 0);
  }
  unsetenv("GH_RETRY_SECONDS");
  free(here);
  free(away);
}

static void test_the_index_hash_sees_names_and_sizes(void **state) {
  (void)state;
  static const char *const swapped[] = {"b", "a"};
  uint64_t hashes[3];
  for (int i = 0; i < 3; i++) {
    gh_loader *loader = open_loader(i == 2 ? swapped : both, 2, (gh_loader_options){0});
    hashes[i] = gh_loader_index_hash(loader);
    gh_loader_free(loader);
    if (i == 0) write_image("b/4.png", 1, 50, 50); /* same name, different size */
  }
  assert_true(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
  write_image("b/4.png", 200, 19, 10);
}

static void test_wrong_options(void **state) {
  (void)state;
  const char *const sources[] = {folder, "/nowhere/at/all"};
  const gh_loader_options good = {.sources = sources, .source_count = 1, .image_size = S, .crop = rules[0]};
  gh_loader_options cases[] = {good, good, good, good, good, good};
  static const char *const says[] = {"no source", "image size", "data.workers", "block", "crop_scale", "/nowhere"};
  cases[0].source_count = 0;
  cases[1].image_size = 0;
  cases[2].workers = -1;
  cases[3].block = 2;
  cases[4].crop.scale[0] = 0;
  cases[5].source_count = 2;
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_loader *loader;
    assert_int_not_equal(gh_loader_create(&err, &loader, &cases[i]), GH_OK);
    assert_null(loader);
    assert_non_null(strstr(err.text, says[i]));
  }
}

static void test_memory_may_run_out_anywhere(void **state) {
  (void)state;
  float image[FLOATS];
  const char *const sources[] = {folder};
  gh_loader_options options = {.sources = sources, .source_count = 1, .image_size = S, .crop = rules[0]};
  int failures = 0;
  setenv("GH_RETRY_SECONDS", "0", 1); /* a second try would hide the failure */
  for (long n = 1;; n++) {
    gh_loader *loader;
    gh_alloc_fail_after(n);
    gh_status status = gh_loader_create(&err, &loader, &options);
    if (!status) status = gh_loader_next(&err, loader, image, NULL, 1);
    gh_alloc_fail_after(0);
    gh_loader_free(loader);
    if (!status) break;
    assert_int_equal(status, GH_ERROR_MEMORY);
    failures++;
    assert_true(n < 5000);
  }
  assert_true(failures > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crops_equal_torchvision),
      cmocka_unit_test(test_augmented_pixels_equal_pil),
      cmocka_unit_test(test_crops_stay_inside),
      cmocka_unit_test(test_a_folder_is_listed_bytewise),
      cmocka_unit_test(test_what_is_no_file_is_counted),
      cmocka_unit_test(test_rejected_sources),
      cmocka_unit_test(test_samples_do_not_depend_on_workers_or_batches),
      cmocka_unit_test(test_a_rank_and_a_resumed_run_get_their_part),
      cmocka_unit_test(test_an_epoch_shows_every_image_once),
      cmocka_unit_test(test_a_broken_image_is_replaced),
      cmocka_unit_test(test_nothing_readable_is_an_error),
      cmocka_unit_test(test_every_broken_image_is_named),
      cmocka_unit_test(test_an_absent_image_is_no_broken_one),
      cmocka_unit_test(test_the_index_hash_sees_names_and_sizes),
      cmocka_unit_test(test_wrong_options),
      cmocka_unit_test(test_memory_may_run_out_anywhere),
  };
  return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
