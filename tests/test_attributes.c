/* Linear probes against numpy (reference/make_linear_probe.py), lists of attributes as people may write them, and the
 * commands `eval attributes` and `eval reconstruction` on small models. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/json.h"
#include "eval/attributes.h"
#include "eval/linear_probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE    GH_FIXTURES "/probe/tiny"
#define IMAGES   GH_FIXTURES "/encode/images"
#define PICTURES 8
#define ROWS     48 /* each picture six times */

static const char *const pictures[PICTURES] = {"Exact.png",   "alpha.png",   "crop-only.png", "enlarge.png",
                                               "one-bit.png", "palette.png", "reduce.png",    "sub/grey-alpha.png"};
static gh_error err;

/* ---- arithmetic ---- */

static void probe_is_numpys(void **state) {
  (void)state;
  gh_safetensors *file = NULL;
  gh_linear_probe probe;
  int64_t total = 0, n = 0, labels[128];
  double got[8], z[64];
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/eval/linear_probe.safetensors"));
  float *rows = compare_load(file, "rows", &total), *given = compare_load(file, "labels", &n);
  float *scores = compare_load(file, "scores", NULL), *classes = compare_load(file, "classes", NULL);
  float *sizes = compare_load(file, "sizes", NULL);
  const int64_t train = (int64_t)sizes[0], count = (int64_t)sizes[1], width = total / n;
  assert_true(n <= 128 && width <= 64 && count <= 8);
  for (int64_t i = 0; i < n; i++) labels[i] = (int64_t)given[i];
  check_ok(gh_linear_probe_fit(&err, &probe, rows, labels, train, width, count, 0.1));
  for (int64_t i = 0; i < n - train; i++) {
    int64_t class = gh_linear_probe_classify(&probe, got, z, rows + (train + i) * width);
    assert_int_equal(class, (int64_t)classes[i]);
    for (int64_t c = 0; c < count; c++) assert_true(fabs(got[c] - (double)scores[i * count + c]) <= 1e-6);
  }
  gh_linear_probe_free(&probe);
  rows[5] = NAN;
  check_fails(gh_linear_probe_fit(&err, &probe, rows, labels, train, width, count, 0.1), GH_ERROR_NUMERIC,
              "not finite");
  gh_linear_probe_free(&probe);
  float *lists[] = {rows, given, scores, classes, sizes};
  for (size_t i = 0; i < GH_COUNT(lists); i++) free(lists[i]);
  gh_safetensors_close(file);
}

static void cosines_are_pytorchs(void **state) {
  (void)state;
  gh_safetensors *file = NULL;
  int64_t total = 0, n = 0;
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/eval/linear_probe.safetensors"));
  float *a = compare_load(file, "rows", &total), *b = compare_load(file, "other", NULL);
  float *want = compare_load(file, "cosines", &n);
  double *got = gh_alloc(&err, (size_t)n, sizeof *got);
  check_ok(gh_cosines(&err, got, a, b, n, total / n));
  for (int64_t i = 0; i < n; i++) assert_true(fabs(got[i] - (double)want[i]) <= 1e-6);
  free(got);
  free(a);
  free(b);
  free(want);
  gh_safetensors_close(file);
}

/* For many values, the bootstrap of a mean comes close to the normal approximation. */
static void bootstrap_of_a_mean(void **state) {
  (void)state;
  enum { N = 500 };
  double values[N], squares = 0;
  float normals[N];
  gh_interval got;
  gh_stream stream = gh_stream_make(3, 0, "test", "values");
  gh_stream_normals(stream, 0, 0, N, normals);
  for (int i = 0; i < N; i++) values[i] = 5 + 2 * (double)normals[i];
  check_ok(gh_bootstrap_mean(&err, &got, values, N, stream));
  for (int i = 0; i < N; i++) squares += (values[i] - got.value) * (values[i] - got.value);
  double half = 1.96 * sqrt(squares / N / N);
  assert_true(fabs(got.value - 5) <= 3 * half);
  assert_true(fabs(got.value - got.low - half) <= 0.1 * half && fabs(got.high - got.value - half) <= 0.1 * half);
}

/* ---- the list ---- */

static void split_is_fixed(void **state) {
  (void)state;
  bool trains[ROWS * 10], again[ROWS * 10];
  int count = 0;
  gh_probe_split(trains, ROWS * 10);
  gh_probe_split(again, ROWS * 10);
  assert_memory_equal(trains, again, sizeof trains);
  for (int i = 0; i < ROWS * 10; i++) count += trains[i];
  assert_int_equal(count, ROWS * 7);
}

static void lists(void **state) {
  (void)state;
  gh_attribute_data d;
  char *here = check_path(scratch, "lists");
  check_put(scratch, "lists/a.png", "x");
  check_put(scratch, "lists/b.png", "x");
  check_put(scratch, "lists/attributes.tsv",
            "image\tcolour\tturn\r\na.png\tred\t\r\nb.png\tblue\tup\r\na.png\tred\tdown\r\n");
  check_ok(gh_attributes_read(&err, &d, here));
  assert_int_equal(d.count, 2);
  assert_int_equal(d.images.count, 3);
  assert_string_equal(d.attributes[0].values.items[0], "blue");
  assert_int_equal(d.attributes[0].labels[0], 1);
  assert_int_equal(d.attributes[1].labels[0], -1);
  assert_int_equal(d.attributes[1].labels[1], 1);
  gh_attributes_free(&d);
  static const struct {
    const char *text;
    gh_status status;
    const char *message;
  } bad[] = {
      {"picture\tcolour\na.png\tred\nb.png\tblue\n", GH_ERROR_FORMAT, "a row of names"},
      {"image\na.png\n", GH_ERROR_FORMAT, "a row of names"},
      {"image\tcolour\n", GH_ERROR_FORMAT, "a row of names"},
      {"image\tcolour\na.png\tred\nb.png\tblue\tx\n", GH_ERROR_FORMAT, "line 3: 3 fields"},
      {"image\tcolour\n../a.png\tred\nb.png\tblue\n", GH_ERROR_FORMAT, "not a picture of this folder"},
      {"image\tcolour\na.png\tred\nb.png\tred\n", GH_ERROR_FORMAT, "two different labels"},
      {"image\tcolour\na.png\tred\nc.png\tblue\n", GH_ERROR_FILE, "missing"},
  };
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    check_put(scratch, "lists/attributes.tsv", bad[i].text);
    check_fails(gh_attributes_read(&err, &d, here), bad[i].status, bad[i].message);
    gh_attributes_free(&d);
  }
  free(here);
}

/* ---- the commands ---- */

static double number(const gh_json *node, const char *path) {
  double value = NAN;
  check_ok(gh_json_get_double(&err, node, path, &value));
  return value;
}

static gh_json *read_json(const char *path) {
  gh_json *out = NULL;
  check_ok(gh_json_read_file(&err, &out, path, GH_JSON_MAX_BYTES));
  return out;
}

/* A label that follows from the picture, and one that does not: every picture has both of its labels as often. */
static void make_attributes(void) {
  char text[4096] = "image\tknown\tunknown\n";
  for (int i = 0; i < ROWS; i++) {
    char name[64];
    snprintf(name, sizeof name, "%d.png", i % PICTURES);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s\t%s\t%s\n", name, i % PICTURES % 3 ? "no" : "yes",
             i / PICTURES % 2 ? "up" : "down");
  }
  for (int i = 0; i < PICTURES; i++) {
    char from[256], name[64];
    snprintf(from, sizeof from, IMAGES "/%s", pictures[i]);
    snprintf(name, sizeof name, "%d.png", i);
    run_folder_copy(scratch, from, "attributes", name);
  }
  check_put(scratch, "attributes/attributes.tsv", text);
}

static void make_run(const char *run) {
  run_folder_config(run, PROBE, "stage2-only.json");
  run_folder_copy(run, PROBE "/denoiser.safetensors", "snapshots/stage1-00000010", "denoiser.safetensors");
}

static void add_adapter(const char *run) {
  run_folder_copy(run, PROBE "/adapter/adapter_config.json", "snapshots/stage2-00000005", "adapter_config.json");
  run_folder_copy(run, PROBE "/adapter/adapter_model.safetensors", "snapshots/stage2-00000005",
                  "adapter_model.safetensors");
}

static void attributes_command(void **state) {
  (void)state;
  make_attributes();
  char *data = check_path(scratch, "attributes"), *json = check_path(scratch, "attributes.json");
  char *run = check_path(scratch, "probed");
  check_ok(compare_run(&err, "eval", "attributes", "--model", PROBE "/clip", "--data", data, "--json", json, "--ridge",
                       "0.001", "--batch", "5", NULL));
  gh_json *got = read_json(json);
  const double known = number(got, "attributes.known.probe.percent");
  assert_true(known == 100); /* the same pictures train and test */
  assert_true(number(got, "attributes.unknown.probe.percent") < 90);
  assert_true(number(got, "attributes.known.majority.percent") < 90);
  assert_true(number(got, "attributes.known.train") + number(got, "attributes.known.probe.total") == ROWS);
  gh_json_free(got);
  make_run(run);
  check_fails(compare_run(&err, "eval", "attributes", "--run", run, "--data", data, NULL), GH_ERROR_FILE,
              "the snapshot is of stage 1");
  add_adapter(run);
  check_ok(
      compare_run(&err, "eval", "attributes", "--run", run, "--data", data, "--json", json, "--ridge", "0.001", NULL));
  got = read_json(json);
  assert_true(number(got, "attributes.known.before.percent") == known);
  const double change = number(got, "attributes.known.after.percent") - known;
  assert_true(fabs(number(got, "attributes.known.difference.value") - change) <= 1e-9);
  gh_json_free(got);
  check_fails(compare_run(&err, "eval", "attributes", "--data", data, NULL), GH_ERROR_ARGUMENT, "give --model DIR");
  check_fails(compare_run(&err, "eval", "attributes", "--run", run, "--adapter", run, "--data", data, NULL),
              GH_ERROR_ARGUMENT, "--adapter goes with --model");
  free(run);
  free(data);
  free(json);
}

static void reconstruction_command(void **state) {
  (void)state;
  char *run = check_path(scratch, "run"), *json = check_path(scratch, "drawn.json");
  char *grid = check_path(scratch, "grid.png");
  make_run(run);
  check_ok(compare_run(&err, "eval", "reconstruction", "--run", run, "--data", IMAGES, "--limit", "3", "--json", json,
                       NULL));
  gh_json *got = read_json(json);
  check_ok(compare_run(&err, "reconstruct", "--run", run, "--images", IMAGES, "--limit", "3", "--out", grid, "--json",
                       json, NULL));
  gh_json *drawn = read_json(json);
  double psnr = 0, score = 0;
  for (int i = 0; i < 3; i++) {
    char path[32], theirs[32];
    snprintf(path, sizeof path, "results[%d].psnr", i);
    snprintf(theirs, sizeof theirs, "images[%d].psnr", i);
    assert_true(fabs(number(got, path) - number(drawn, theirs)) <= 1e-9);
    psnr += number(got, path) / 3;
    snprintf(path, sizeof path, "results[%d].clip_score", i);
    score += number(got, path) / 3;
    assert_true(fabs(number(got, path)) <= 100);
  }
  assert_true(fabs(number(got, "psnr.value") - psnr) <= 1e-9);
  assert_true(fabs(number(got, "clip_score.value") - score) <= 1e-9);
  assert_true(number(got, "clip_score.low") <= score && score <= number(got, "clip_score.high"));
  gh_json_free(got);
  gh_json_free(drawn);
  check_ok(compare_run(&err, "eval", "reconstruction", "--run", run, "--data", IMAGES, "--limit", "3", "--json", json,
                       "--judge", GH_FIXTURES "/text/clip", NULL));
  got = read_json(json);
  const char *judge = "";
  check_ok(gh_json_get_string(&err, got, "judge", &judge));
  assert_string_equal(judge, GH_FIXTURES "/text/clip");
  assert_true(fabs(number(got, "psnr.value") - psnr) <= 1e-9); /* the judge sees the same drawings */
  assert_true(fabs(number(got, "clip_score.value") - score) > 1e-6);
  gh_json_free(got);
  free(run);
  free(json);
  free(grid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(probe_is_numpys),
      cmocka_unit_test(cosines_are_pytorchs),
      cmocka_unit_test(bootstrap_of_a_mean),
      cmocka_unit_test(split_is_fixed),
      cmocka_unit_test(lists),
      cmocka_unit_test(attributes_command),
      cmocka_unit_test(reconstruction_command),
  };
  return cmocka_run_group_tests(tests, scratch_begin_with_device, scratch_end);
}
