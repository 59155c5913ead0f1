/* The evaluations' arithmetic against PyTorch's and numpy's (reference/make_eval.py), including ties and odd sizes;
 * wrong lists and folders, each with a one-line error. */
#include "support/compare.h"

#include "base/file.h"
#include "eval/dataset.h"
#include "eval/score.h"
#include "eval/similarity.h"
#include "io/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_OF_SCORES GH_FIXTURES "/eval/score.safetensors"

static gh_safetensors *file;
static char *folder;

static int64_t *load_integers(const char *name, int64_t *count) {
  gh_error err = {0};
  float *values = compare_load(file, name, count);
  int64_t *out = gh_alloc(&err, (size_t)*count, sizeof *out);
  for (int64_t i = 0; i < *count; i++) out[i] = (int64_t)values[i];
  free(values);
  return out;
}

/* ---- shares ---- */

static void wilson(void **state) {
  (void)state;
  int64_t n = 0;
  float *rows = compare_load(file, "wilson", &n);
  assert_int_equal(n, 28);
  for (int64_t i = 0; i < n; i += 4) {
    gh_share s = gh_share_wilson((int64_t)rows[i], (int64_t)rows[i + 1]);
    assert_true(fabs(s.low - (double)rows[i + 2]) <= 1e-6);
    assert_true(fabs(s.high - (double)rows[i + 3]) <= 1e-6);
    assert_true(s.low <= s.value && s.value <= s.high);
  }
  assert_true(gh_share_wilson(0, 0).total == 0);
  free(rows);
}

static void mmvp(void **state) {
  (void)state;
  gh_error err = {0};
  gh_mmvp_score score;
  gh_mmvp_pair results[GH_MMVP_PAIRS];
  int64_t n = 0, count = 0;
  float *images = compare_load(file, "mmvp.images", &n), *texts = compare_load(file, "mmvp.texts", NULL);
  float *shares = compare_load(file, "mmvp.probability", NULL), *right = compare_load(file, "mmvp.right", NULL);
  float *hits = compare_load(file, "mmvp.patterns", NULL);
  int64_t *ids = load_integers("mmvp.ids", &count);
  assert_int_equal(count, 2 * GH_MMVP_PAIRS);
  check_ok(gh_mmvp_evaluate(&err, &score, results, images, texts, ids, GH_MMVP_PAIRS, n / count, 100));
  int halves = 0;
  for (int64_t i = 0; i < count; i++) {
    const gh_mmvp_pair *pair = &results[i / 2];
    assert_true(fabsf(pair->probability[i % 2] - shares[i]) <= 1e-4f);
    assert_int_equal(pair->right[i % 2], right[i] != 0);
    halves += pair->probability[i % 2] == 0.5f;
  }
  assert_true(halves >= 10); /* exact ties stay exact */
  int64_t all = 0;
  for (int i = 0; i < GH_MMVP_PATTERNS; i++) {
    assert_int_equal(score.patterns[i].hits, (int64_t)hits[i]);
    assert_int_equal(score.patterns[i].total, 15);
    all += score.patterns[i].hits;
  }
  assert_int_equal(score.all.hits, all);
  assert_true(fabs(score.average - (double)compare_number(file, "mmvp.average")) <= 1e-6);
  /* Fewer pairs than in the benchmark: the average is over the existing patterns. */
  check_ok(gh_mmvp_evaluate(&err, &score, results, images, texts, ids, 20, n / count, 100));
  assert_int_equal(score.patterns[1].total, 5);
  assert_int_equal(score.patterns[2].total, 0);
  assert_true(fabs(score.average - (score.patterns[0].value + score.patterns[1].value) / 2) <= 1e-12);
  float *lists[] = {images, texts, shares, right, hits};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  free(ids);
}

static float *load_of(const char *group, const char *name, int64_t *count) {
  char full[64];
  snprintf(full, sizeof full, "%s.%s", group, name);
  return compare_load(file, full, count);
}

static void zeroshot(void **state) {
  const char *group = *state;
  gh_error err = {0};
  int64_t prompts = 0, n = 0, total = 0, classes = 0;
  float *text = load_of(group, "prompts", &prompts), *want = load_of(group, "classes", &classes);
  float *images = load_of(group, "images", &total), *labels = load_of(group, "labels", &n);
  float *ranks = load_of(group, "ranks", NULL), *predicted = load_of(group, "predicted", NULL);
  float *hits = load_of(group, "hits", NULL);
  int64_t width = total / n, templates = prompts / classes;
  classes /= width;
  float *got = gh_alloc(&err, (size_t)(classes * width), sizeof *got);
  int64_t *of_images = gh_alloc(&err, (size_t)(3 * n), sizeof *of_images), *places = of_images + n;
  for (int64_t i = 0; i < n; i++) of_images[i] = (int64_t)labels[i];
  check_ok(gh_zeroshot_classes(&err, got, text, classes, templates, width));
  compare_values("classes", got, want, classes * width, 1e-6);
  gh_zeroshot_score score;
  check_ok(gh_zeroshot_evaluate(&err, &score, places + n, places, images, of_images, n, got, classes, width));
  for (int64_t i = 0; i < n; i++) {
    assert_int_equal(places[i], (int64_t)ranks[i]);
    assert_int_equal(places[n + i], (int64_t)predicted[i]);
  }
  assert_int_equal(score.top1.hits, (int64_t)hits[0]);
  assert_int_equal(score.top5.hits, (int64_t)hits[1]);
  assert_int_equal(score.top5.total, n);
  float *lists[] = {text, want, images, labels, ranks, predicted, hits, got};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  free(of_images);
}

static void retrieval(void **state) {
  (void)state;
  gh_error err = {0};
  int64_t total = 0, n = 0, m = 0;
  float *images = compare_load(file, "retrieval.images", &total),
        *captions = compare_load(file, "retrieval.captions", NULL);
  int64_t *owner = load_integers("retrieval.owner", &m), *want_images = load_integers("retrieval.image_ranks", &m);
  int64_t *want_texts = load_integers("retrieval.text_ranks", &n);
  float *image_hits = compare_load(file, "retrieval.image_hits", NULL);
  float *text_hits = compare_load(file, "retrieval.text_hits", NULL);
  int64_t got_images[128], got_texts[128], width = total / n;
  gh_retrieval_score score, again;
  check_ok(gh_retrieval_evaluate(&err, &score, got_images, got_texts, images, n, captions, owner, m, width, 1));
  assert_memory_equal(got_images, want_images, (size_t)m * sizeof *got_images);
  assert_memory_equal(got_texts, want_texts, (size_t)n * sizeof *got_texts);
  for (int k = 0; k < GH_RETRIEVAL_KS; k++) {
    assert_int_equal(score.image_at[k].hits, (int64_t)image_hits[k]);
    assert_int_equal(score.text_at[k].hits, (int64_t)text_hits[k]);
    assert_true(score.image_at[k].low < score.image_at[k].value && score.image_at[k].value < score.image_at[k].high);
  }
  check_ok(gh_retrieval_evaluate(&err, &again, NULL, NULL, images, n, captions, owner, m, width, 1));
  assert_memory_equal(&score, &again, sizeof score); /* the bootstrap depends only on its seed */
  owner[0] = owner[1] = owner[2];
  for (int64_t i = 0; i < m; i++) owner[i] = 0;
  check_fails(gh_retrieval_evaluate(&err, &again, NULL, NULL, images, n, captions, owner, m, width, 1),
              GH_ERROR_ARGUMENT, "image 1 has no caption");
  float *lists[] = {images, captions, image_hits, text_hits};
  int64_t *integers[] = {owner, want_images, want_texts};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  for (size_t i = 0; i < GH_COUNT(integers); i++) free(integers[i]);
}

static void neighbours(void **state) {
  (void)state;
  gh_error err = {0};
  const float rows[] = {1, 0, 0, 1, 2, 0.2f, 3, 0.3f, -1, 0};
  int64_t out[20];
  double near[20];
  check_ok(gh_neighbours(&err, out, near, rows, 5, 2, 4));
  assert_int_equal(out[0], 2); /* rows 2 and 3 have (nearly, in float32) the same direction */
  assert_int_equal(out[1], 3);
  assert_int_equal(out[2], 1);
  assert_int_equal(out[3], 4);
  assert_true(near[2] == 0 && near[3] == -1 && near[0] > 0.99);
  for (int64_t q = 0; q < 5; q++)
    for (int64_t i = 0; i < 4; i++) {
      assert_true(out[4 * q + i] != q && (!i || near[4 * q + i] <= near[4 * q + i - 1]));
      for (int64_t k = 0; k < i; k++) assert_true(out[4 * q + i] != out[4 * q + k]);
    }
}

/* Sizes around those of panels and batches: the same bits as a plain sum in the same order. */
typedef struct gh_seen {
  const double *a, *b;
  int64_t m, width;
  int calls[64];
  bool same;
} gh_seen;

static void see(void *user, int64_t query, double *scores) {
  gh_seen *s = user;
  s->calls[query]++;
  for (int64_t c = 0; c < s->m; c++) {
    double sum = 0;
    for (int64_t i = 0; i < s->width; i++) sum += s->a[query * s->width + i] * s->b[c * s->width + i];
    if (sum != scores[c]) s->same = false;
  }
}

static void similarities(void **state) {
  (void)state;
  gh_error err = {0};
  static const int64_t sizes[] = {1, 7, 8, 9, 31, 33};
  double a[33 * 5], b[33 * 5];
  uint64_t random = 1;
  for (size_t i = 0; i < GH_COUNT(a); i++) {
    a[i] = (double)check_random(&random) / 3e9 - 0.7;
    b[i] = (double)check_random(&random) / 3e9 - 0.7;
  }
  for (size_t x = 0; x < GH_COUNT(sizes); x++)
    for (size_t y = 0; y < GH_COUNT(sizes); y++) {
      gh_seen seen = {.a = a, .b = b, .m = sizes[y], .width = 5, .same = true};
      check_ok(gh_similarities(&err, a, sizes[x], b, sizes[y], 5, see, &seen));
      assert_true(seen.same);
      for (int64_t q = 0; q < 64; q++) assert_int_equal(seen.calls[q], q < sizes[x]);
    }
}

/* ---- lists ---- */

static void csv(void **state) {
  (void)state;
  gh_error err = {0};
  gh_csv csv = {0};
  const char text[] = "\xEF\xBB\xBF"
                      "a,\"b, \"\"c\"\"\nd\",\r\n\n1,2\n";
  check_ok(gh_csv_parse(&err, &csv, "x", text, sizeof text - 1, ','));
  assert_int_equal(csv.count, 2);
  assert_int_equal(csv.rows[0].fields.count, 3);
  assert_string_equal(csv.rows[0].fields.items[1], "b, \"c\"\nd");
  assert_string_equal(csv.rows[0].fields.items[2], "");
  assert_int_equal(csv.rows[1].line, 4);
  assert_string_equal(csv.rows[1].fields.items[1], "2");
  gh_csv_free(&csv);
  check_ok(gh_csv_parse(&err, &csv, "x", "\"a\tb, c", 7, '\t'));
  assert_int_equal(csv.rows[0].fields.count, 2);
  assert_string_equal(csv.rows[0].fields.items[0], "\"a");
  gh_csv_free(&csv);
  check_fails(gh_csv_parse(&err, &csv, "x", "a\n\"b", 4, ','), GH_ERROR_FORMAT, "x, line 2: a quote is not closed");
  check_fails(gh_csv_parse(&err, &csv, "x", "\"b\"c", 4, ','), GH_ERROR_FORMAT, "text after a closing quote");
  check_fails(gh_csv_parse(&err, &csv, "x", "\xff", 1, ','), GH_ERROR_FORMAT, "not UTF-8");
}

/* Writes a file with that text below the scratch folder, creating its folder. */
static void mmvp_folder(void **state) {
  (void)state;
  gh_error err = {0};
  gh_mmvp_data d;
  char *here = check_path(folder, "mmvp");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "no such folder");
  check_put(folder, "mmvp/MLLM_VLM Images/Camera/1.jpg", "x");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "no Questions.csv");
  check_put(folder, "mmvp/Questions.csv", "Question ID,Type,Statement\n1,Camera,\"a, b\"\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "1 questions, an odd number");
  check_put(folder, "mmvp/Questions.csv", "Question ID,Type,Statement\n1,Camera,\"a, b\"\n2,Other,c\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FILE, "a listed image is missing: ");
  check_put(folder, "mmvp/MLLM_VLM Images/Camera/2.jpg", "x"); /* the first row's type names the folder of both */
  check_ok(gh_mmvp_read(&err, &d, here));
  assert_int_equal(d.pairs, 1);
  assert_string_equal(d.prompts.items[0], "a photo of a, b");
  assert_true(gh_ends_with(d.images.items[1], "MLLM_VLM Images/Camera/2.jpg"));
  assert_int_equal(d.ids[1], 2);
  gh_mmvp_free(&d);
  check_put(folder, "mmvp/Questions.csv", "2,Camera,c\n1,Camera,a\n"); /* no header, the even id first */
  check_ok(gh_mmvp_read(&err, &d, here));
  assert_int_equal(d.ids[0], 2);
  gh_mmvp_free(&d);
  check_put(folder, "mmvp/Questions.csv", "1,Camera,c\n3,Camera,a\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "exactly one must be odd");
  check_put(folder, "mmvp/Questions.csv", "1,../x,c\n2,Camera,a\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "is not a folder");
  check_put(folder, "mmvp/Questions.csv", "1,Camera\n2,Camera,a\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "line 1: 2 fields");
  check_put(folder, "mmvp/Questions.csv", "1,Camera,a\nx,Camera,a\n");
  check_fails(gh_mmvp_read(&err, &d, here), GH_ERROR_FORMAT, "line 2: \"x\" is not an id");
  free(here);
}

static void zeroshot_folder(void **state) {
  (void)state;
  gh_error err = {0};
  gh_zeroshot_data d;
  char *here = check_path(folder, "zs"), *labels = check_path(folder, "zs/labels.tsv");
  gh_zeroshot_options o = {.folder = here};
  check_put(folder, "zs/dog/b.JPG", "x");
  check_put(folder, "zs/cat/deep/a.png", "x");
  check_put(folder, "zs/cat/notes.txt", "x");
  check_put(folder, "zs/stray.png", "x");
  check_ok(gh_zeroshot_read(&err, &d, &o));
  assert_int_equal(d.images.count, 2);
  assert_int_equal(d.classes.count, 2);
  assert_int_equal(d.labels[0], 0);
  assert_int_equal(d.labels[1], 1);
  assert_string_equal(d.prompts.items[1], "a photo of a dog.");
  gh_zeroshot_free(&d);
  check_put(folder, "zs/templates.txt", "a {}, {}!\nthe {}\n");
  check_put(folder, "zs/classes.tsv", "dog\thound\ncat\ttom\nbird\tbird\n");
  check_ok(gh_zeroshot_read(&err, &d, &o));
  assert_int_equal(d.classes.count, 3); /* a bird is a candidate, although no picture shows one */
  assert_int_equal(d.prompts.count, 6);
  assert_string_equal(d.prompts.items[0], "a bird, bird!");
  assert_string_equal(d.prompts.items[2], "a tom, tom!");
  assert_string_equal(d.prompts.items[5], "the hound");
  assert_int_equal(d.labels[0], 1);
  assert_int_equal(d.labels[1], 2);
  gh_zeroshot_free(&d);
  check_put(folder, "zs/classes.tsv", "dog\thound\ncat\ttom\ndog\tdog\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FORMAT, "the class dog has two texts");
  check_put(folder, "zs/classes.tsv", "dog\thound\ncat\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FORMAT, "line 2: expected a class and its text");
  check_put(folder, "zs/classes.tsv", "dog\thound\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FORMAT, "no text for the class cat");
  check_put(folder, "zs/classes.tsv", "dog\thound\ncat\ttom\n");
  check_put(folder, "zs/templates.txt", "a photo\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FORMAT, "line 1: a template needs {}");
  check_put(folder, "zs/templates.txt", "{}");
  check_put(folder, "zs/labels.tsv", "dog/b.JPG\tdog\ncat/none.png\tcat\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FILE, "missing: ");
  check_put(folder, "zs/labels.tsv", "stray.png\tdog\ncat/deep/a.png\tcat\nzs\n");
  check_fails(gh_zeroshot_read(&err, &d, &o), GH_ERROR_FORMAT, "line 3: expected an image name and a class");
  check_put(folder, "zs/labels.tsv", "stray.png\tdog\ncat/deep/a.png\tcat\n");
  o.labels = labels;
  check_ok(gh_zeroshot_read(&err, &d, &o));
  assert_int_equal(d.labels[0], 1);
  gh_zeroshot_free(&d);
  free(here);
  free(labels);
}

static void retrieval_folder(void **state) {
  (void)state;
  gh_error err = {0};
  gh_retrieval_data d;
  char *here = check_path(folder, "rt");
  check_put(folder, "rt/a.jpg", "x");
  check_put(folder, "rt/b.jpg", "x");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FILE, "captions.json");
  check_put(folder, "rt/captions.json",
            "[{\"image\": \"a.jpg\", \"captions\": [\"p\", \"q\"]}, {\"image\": \"b.jpg\", \"captions\": [\"r\"]}]");
  check_ok(gh_retrieval_read(&err, &d, here, NULL, NULL));
  assert_int_equal(d.captions.count, 3);
  assert_int_equal(d.owner[1], 0);
  assert_int_equal(d.owner[2], 1);
  gh_retrieval_free(&d);
  check_put(folder, "rt/captions.json", "[{\"captions\": [\"p\"]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "entry 1: captions without an image");
  check_put(folder, "rt/captions.json",
            "[{\"image\": \"a.jpg\", \"captions\": [\"p\"]}, {\"image\": \"c.jpg\", \"captions\": [\"p\"]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FILE, "c.jpg");
  check_put(folder, "rt/captions.json", "[{\"image\": \"a.jpg\", \"captions\": []}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "has no captions");
  check_put(folder, "rt/captions.json", "[{\"image\": \"a.jpg\", \"captions\": [3]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "expected a string");
  check_put(folder, "rt/captions.json",
            "[{\"image\": \"a.jpg\", \"captions\": [\"p\"]}, {\"image\": \"a.jpg\", \"captions\": [\"p\"]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "listed twice");
  check_put(folder, "rt/captions.json", "[{\"image\": \"../a.jpg\", \"captions\": [\"p\"]}]");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "is outside the folder");
  check_put(folder, "rt/captions.json", "{}");
  check_fails(gh_retrieval_read(&err, &d, here, NULL, NULL), GH_ERROR_FORMAT, "expected a list");
  free(here);
}

static gh_status read_all(gh_error *err, void *state) {
  gh_zeroshot_data d;
  gh_status status = gh_zeroshot_read(err, &d, &(gh_zeroshot_options){.folder = state});
  if (!status) gh_zeroshot_free(&d);
  return status;
}

static void out_of_memory(void **state) {
  (void)state;
  char *here = check_path(folder, "zs");
  check_allocation_failures(read_all, here);
  free(here);
}

static int begin(void **state) {
  (void)state;
  gh_error err = {0};
  folder = check_folder();
  return gh_safetensors_open(&err, &file, FILE_OF_SCORES);
}

static int end(void **state) {
  (void)state;
  gh_safetensors_close(file);
  check_folder_done(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(wilson),
      cmocka_unit_test(mmvp),
      cmocka_unit_test_prestate(zeroshot, "zeroshot"),
      cmocka_unit_test_prestate(zeroshot, "few"),
      cmocka_unit_test(retrieval),
      cmocka_unit_test(neighbours),
      cmocka_unit_test(similarities),
      cmocka_unit_test(csv),
      cmocka_unit_test(mmvp_folder),
      cmocka_unit_test(zeroshot_folder),
      cmocka_unit_test(retrieval_folder),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
