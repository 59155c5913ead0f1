/* The drawn data set: every drawing is in the language, every attribute can be seen, the pixels of a seed are known,
 * and the evaluations read what is written. */
#include "support/compare.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/json.h"
#include "data/source.h"
#include "eval/attributes.h"
#include "eval/dataset.h"
#include "scenes/dataset.h"
#include "scenes/pairs.h"
#include "scenes/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SIDE       48
#define SCENES     60
#define CAIRO      "1.16.0" /* whose pixels are known */
#define PIXELS     UINT64_C(0x6f4c84133045f90a)
#define CAPTIONS   UINT64_C(0xd69c30deafabfbf6)
#define CATEGORIES 41

static gh_error err;

static bool can_draw(void) { return gh_canvas_version()[0] != 0; }

static void drawings_are_in_the_language(void **state) {
  (void)state;
  const gh_placing at = {.x = 1, .y = 1, .cosine = 1};
  const gh_style style = {0};
  assert_int_equal(gh_category_count(), CATEGORIES);
  for (int i = 0; i < CATEGORIES; i++) {
    const gh_category *c = gh_category_at(i);
    check_ok(gh_shape_draw(&err, NULL, c->drawing, &at, &style));
    if (c->other) check_ok(gh_shape_draw(&err, NULL, c->other, &at, &style));
    assert_true(!c->other == !c->other_view && c->name && c->plural && c->feature && c->state[0] && c->state[1]);
  }
  static const char *const bad[] = {
      "M",           "M e",         "M e 1 2 3", "M e 1 2 3 4 x", "? M e 1 2 3 4", "+x M e 1 2 3 4",
      "Z e 1 2 3 4", "M z 1 2 3 4", "M l 3",     "M c 1 2 3 4"};
  for (size_t i = 0; i < GH_COUNT(bad); i++)
    check_fails(gh_shape_draw(&err, NULL, bad[i], &at, &style), GH_ERROR_FORMAT, "drawing");
}

static int64_t difference(const gh_scene *a, const gh_scene *b) {
  gh_image first = {0}, second = {0};
  int64_t pixels = 0;
  check_ok(gh_scene_draw(&err, &first, a, SIDE));
  check_ok(gh_scene_draw(&err, &second, b, SIDE));
  for (int i = 0; i < SIDE * SIDE; i++) pixels += memcmp(first.pixels + 3 * i, second.pixels + 3 * i, 3) != 0;
  gh_image_free(&first);
  gh_image_free(&second);
  return pixels;
}

/* Every pair shows a difference in at least 8 pixels, is put into words that differ, and differs in its attribute only.
 */
static void pairs_can_be_seen(void **state) {
  (void)state;
  gh_scene_pair sets[2][GH_MMVP_PAIRS];
  if (!can_draw()) return;
  check_ok(gh_pairs_make(&err, sets[0], 0, GH_PAIRS_TEST));
  check_ok(gh_pairs_make(&err, sets[1], 0, GH_PAIRS_VALIDATION));
  for (int p = 0; p < 2 * GH_MMVP_PAIRS; p++) {
    const gh_scene_pair *pair = &sets[p / GH_MMVP_PAIRS][p % GH_MMVP_PAIRS];
    char *words[2];
    for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++)
      assert_int_equal(pair->scenes[0].value[i] != pair->scenes[1].value[i], i == pair->attribute);
    for (int i = 0; i < 2; i++) words[i] = gh_scene_words(&err, &pair->scenes[i], GH_MENTION(pair->attribute));
    if (!strcmp(words[0], words[1])) fail_msg("pair %d: \"%s\" twice", p, words[0]);
    if (difference(&pair->scenes[0], &pair->scenes[1]) < 8) fail_msg("pair %d: \"%s\" is not seen", p, words[0]);
    free(words[0]);
    free(words[1]);
  }
}

static void validation_has_other_pairs(void **state) {
  (void)state;
  gh_scene_pair test[GH_MMVP_PAIRS], validation[GH_MMVP_PAIRS];
  for (uint64_t seed = 0; seed < 20; seed++) {
    check_ok(gh_pairs_make(&err, test, seed, GH_PAIRS_TEST));
    check_ok(gh_pairs_make(&err, validation, seed, GH_PAIRS_VALIDATION));
    for (int a = 0; a < GH_MMVP_PAIRS; a++)
      for (int b = 0; b < GH_MMVP_PAIRS; b++) {
        const gh_scene_pair *t = &test[a], *v = &validation[b];
        bool same = t->attribute == v->attribute;
        same = same && t->scenes[0].value[GH_SCENE_CATEGORY] == v->scenes[0].value[GH_SCENE_CATEGORY];
        bool alike[2] = {true, true}; /* in the same order, or swapped */
        for (int i = 0; i < 2; i++)
          for (int k = 0; k < 2; k++)
            alike[k] = alike[k] && t->scenes[i].value[t->attribute] == v->scenes[i ^ k].value[t->attribute];
        assert_false(same && (alike[0] || alike[1]));
      }
  }
}

/* Feature and state change the picture of every kind of thing, in both views. */
static void things_show_features_and_states(void **state) {
  (void)state;
  static const int ids[] = {GH_SCENE_FEATURE, GH_SCENE_STATE, GH_SCENE_COLOUR};
  const gh_stream stream = gh_stream_make(1, 0, "scenes", "test");
  if (!can_draw()) return;
  for (int c = 0; c < CATEGORIES; c++)
    for (size_t i = 0; i < GH_COUNT(ids); i++)
      for (int view = 0; view < 4; view += 3) {
        gh_scene a = {.look = stream, .ordinal = (uint64_t)c}, b;
        a.value[GH_SCENE_CATEGORY] = c;
        a.value[GH_SCENE_VIEW] = gh_category_at(c)->other ? view : 0;
        b = a;
        b.value[ids[i]] = 1;
        if (difference(&a, &b) < 5)
          fail_msg("%s: %s is not seen", gh_category_at(c)->name, gh_attribute_at(ids[i])->name);
      }
}

static void seed_gives_known_pixels(void **state) {
  (void)state;
  const gh_stream stream = gh_stream_make(0, 0, "scenes", "train");
  XXH64_hash_t pixels = 0, captions = 0;
  for (int i = 0; i < SCENES; i++) {
    gh_scene scene;
    gh_image image = {0};
    gh_scene_make(&scene, stream, (uint64_t)i);
    char *caption = gh_scene_caption(&err, &scene, 0.5);
    captions = XXH64(caption, strlen(caption), captions);
    free(caption);
    if (can_draw()) {
      check_ok(gh_scene_draw(&err, &image, &scene, SIDE));
      pixels = XXH64(image.pixels, (size_t)SIDE * SIDE * 3, pixels);
      gh_image_free(&image);
    }
  }
  assert_int_equal(captions, CAPTIONS);
  if (!strcmp(gh_canvas_version(), CAIRO)) assert_int_equal(pixels, PIXELS);
}

/* Captions name the category always, and a detail as often as asked. */
static void captions_follow_the_rate(void **state) {
  (void)state;
  const gh_stream stream = gh_stream_make(2, 0, "scenes", "train");
  const int n = 2000;
  int detailed = 0;
  for (int i = 0; i < n; i++) {
    gh_scene scene;
    gh_scene_make(&scene, stream, (uint64_t)i);
    const gh_category *c = gh_category_at(scene.value[GH_SCENE_CATEGORY]);
    char *with = gh_scene_caption(&err, &scene, 0.25), *without = gh_scene_caption(&err, &scene, 0);
    if (!strstr(with, c->name) && !strstr(with, c->plural)) fail_msg("\"%s\" lacks %s", with, c->name);
    detailed += strcmp(with, without) != 0;
    free(with);
    free(without);
  }
  assert_true(detailed > n * 0.22 && detailed < n * 0.28);
}

/* ---- the folder ---- */

static gh_status make(const char *out, const char *size, const char *shards) {
  return compare_run(&err, "scenes", "--out", out, "--count", "7", "--size", size, shards,
                     shards ? "--train-only" : NULL, NULL);
}

static void evaluations_read_it(const char *out) {
  gh_zeroshot_data z = {0};
  gh_retrieval_data r = {0};
  gh_attribute_data a = {0};
  for (int set = 0; set < 2; set++) {
    gh_mmvp_data m = {0};
    char *folder = check_path(out, set ? "mmvp-validation" : "mmvp");
    check_ok(gh_mmvp_read(&err, &m, folder));
    assert_int_equal(m.pairs, GH_MMVP_PAIRS);
    for (int p = 0; p < GH_MMVP_PAIRS; p++)
      assert_string_equal(m.types.items[2 * p], gh_mmvp_patterns[p / GH_MMVP_PAIRS_PER_PATTERN]);
    gh_mmvp_free(&m);
    free(folder);
  }
  char *classes = check_path(out, "zeroshot"), *captions = check_path(out, "retrieval"),
       *labels = check_path(out, "attributes");
  const gh_zeroshot_options options = {.folder = classes};
  check_ok(gh_zeroshot_read(&err, &z, &options));
  assert_int_equal(z.classes.count, CATEGORIES);
  assert_int_equal(z.templates.count, 4);
  check_ok(gh_retrieval_read(&err, &r, captions, NULL, NULL));
  assert_int_equal(r.captions.count, 2 * r.images.count);
  check_ok(gh_attributes_read(&err, &a, labels));
  assert_int_equal(a.count, GH_SCENE_ATTRIBUTES);
  assert_int_equal(a.images.count, GH_SCENES_ATTRIBUTED);
  for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++) { /* what cannot be seen is no label */
    const bool hidden = i == GH_SCENE_RELATION || i == GH_SCENE_TEXT || i == GH_SCENE_VIEW;
    assert_string_equal(a.attributes[i].name, gh_attribute_at(i)->name);
    assert_int_equal(a.attributes[i].values.count, gh_attribute_count(i) - hidden);
  }
  gh_zeroshot_free(&z);
  gh_retrieval_free(&r);
  gh_attributes_free(&a);
  free(classes);
  free(captions);
  free(labels);
}

static void training_is_read(const char *out, const char *images, char **first, size_t *size) {
  gh_source *source = NULL;
  char *train = check_path(out, images);
  check_ok(gh_source_open(&err, &source, train));
  assert_int_equal(gh_source_count(source), 7);
  check_ok(gh_source_load(&err, source, 0, first, size));
  gh_source_free(source);
  free(train);
}

static void folder_is_read(void **state) {
  (void)state;
  char *out = check_path(scratch, "scenes"), *shards = check_path(scratch, "shards"), *caption = NULL;
  char *text = check_path(out, "train/0000000.txt"), *loose = NULL, *packed = NULL;
  size_t length = 0, size = 0, packed_size = 0;
  if (!can_draw()) {
    check_fails(make(out, "16", NULL), GH_ERROR_UNSUPPORTED, "cairo");
  } else {
    check_ok(make(out, "16", NULL));
    evaluations_read_it(out);
    training_is_read(out, "train", &loose, &size);
    check_ok(gh_file_read(&err, text, 4096, &caption, &length));
    assert_true(length > 3);
    check_fails(make(out, "16", NULL), GH_ERROR_FILE, "is not empty");
    check_ok(make(shards, "16", "--shards"));
    training_is_read(shards, "train/scenes-{00000..00000}.tar", &packed, &packed_size);
    assert_int_equal(size, packed_size);
    assert_memory_equal(loose, packed, size); /* the same picture, as a file and in a shard */
  }
  free(loose);
  free(packed);
  free(caption);
  free(text);
  free(out);
  free(shards);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(drawings_are_in_the_language),
      cmocka_unit_test(pairs_can_be_seen),
      cmocka_unit_test(validation_has_other_pairs),
      cmocka_unit_test(things_show_features_and_states),
      cmocka_unit_test(seed_gives_known_pixels),
      cmocka_unit_test(captions_follow_the_rate),
      cmocka_unit_test(folder_is_read),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
