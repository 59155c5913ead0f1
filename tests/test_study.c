/* The portability metric and its page, by values that are worked out by hand or are those of the P3 analysis library's
 * own tests. */
#include "support/check.h"
#include "support/results.h"

#include "base/file.h"
#include "bench/study.h"
#include "report/portability.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

/* The figures of merit (seconds) of two programs on five platforms in the P3 analysis library's test of pp(). 0: none.
 */
static const double p3_seconds[2][5] = {{25, 12.5, 25, 5, 5}, {25, 10, 12.5, 5, 1}};
static const double p3_efficiencies[2][5] = {{1, 0.8, 0.5, 1, 0.2}, {1, 1, 1, 1, 1}};

static void add_p3(gh_results *rows, const char *application, const double *seconds, int platforms) {
  for (int h = 0; h < platforms; h++) {
    char hardware[16];
    snprintf(hardware, sizeof hardware, "platform %c", 'A' + h);
    if (seconds[h] == 0) continue;
    gh_result *row = add_seconds(rows, "test", "opencl:0", seconds[h]);
    set_text(row, GH_RESULT_APPLICATION, application);
    set_text(row, GH_RESULT_HARDWARE, hardware);
    gh_result_put(row, GH_RESULT_SHARE, 0.5);
  }
}

static void test_metric(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const double missing[5] = {25, 12.5, 25, 0, 5};
  add_p3(&rows, "latest", p3_seconds[0], 5);
  add_p3(&rows, "best", p3_seconds[1], 5);
  add_p3(&rows, "dummy", missing, 5);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  assert_int_equal(study.count, 1);
  assert_int_equal(study.platforms.count, 5);
  const gh_study_problem *p = &study.problems[0];
  const struct {
    const char *name;
    double pp, arch;
  } wanted[] = {{"best, opencl", 1, 0.5}, {"dummy, opencl", 0, 0}, {"latest, opencl", 5 / 10.25, 0.5}}; /* 0.4878 */
  for (size_t a = 0; a < GH_COUNT(wanted); a++) {
    assert_string_equal(study.applications.items[a], wanted[a].name);
    assert_true(fabs(gh_study_pp(&study, p, a, GH_EFFICIENCY_APP) - wanted[a].pp) < 1e-12);
    assert_true(fabs(gh_study_pp(&study, p, a, GH_EFFICIENCY_ARCH) - wanted[a].arch) < 1e-12);
  }
  for (size_t h = 0; h < 5; h++) {
    assert_true(fabs(gh_study_at(&study, p, 2, h)->app - p3_efficiencies[0][h]) < 1e-12);
    assert_true(gh_result_is(p->baseline[h], GH_RESULT_APPLICATION, "best") || p3_efficiencies[0][h] == 1);
  }
  assert_string_equal(gh_study_at(&study, p, 1, 3)->why, "no result");
  gh_study_free(&study);
  const gh_strings set = {.items = (char *[]){"platform A", "platform B"}, .count = 2};
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){.set = &set}, &study));
  assert_true(fabs(gh_study_pp(&study, &study.problems[0], 2, GH_EFFICIENCY_APP) - 2 / (1 + 1 / 0.8)) < 1e-12);
  gh_study_free(&study);
  const gh_strings none = {.items = (char *[]){"nowhere"}, .count = 1};
  check_fails(gh_study_make(&err, &rows, &(gh_study_options){.set = &none}, &study), GH_ERROR_ARGUMENT, "nowhere");
  gh_results_free(&rows);
}

/* An unsupported row is a zero with its reason; a skipped one makes the problem incomplete. */
static void test_rows_without_results(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const gh_study_problem *headline;
  add_p3(&rows, "one", p3_seconds[0], 2);
  gh_result *row = add_seconds(&rows, "test", "opencl:0", NAN);
  set_text(row, GH_RESULT_APPLICATION, "two");
  set_text(row, GH_RESULT_HARDWARE, "platform A");
  check_ok(gh_result_outcome(&err, row, "unsupported", "no bf16"));
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  assert_string_equal(gh_study_at(&study, &study.problems[0], 1, 0)->why, "unsupported: no bf16");
  check_ok(gh_study_headline(&err, &study, "test", &headline));
  check_fails(gh_study_headline(&err, &study, "other", &headline), GH_ERROR_ARGUMENT, "other");
  gh_study_free(&study);
  check_ok(gh_result_outcome(&err, row, "skipped", "no time"));
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  check_fails(gh_study_headline(&err, &study, NULL, &headline), GH_ERROR_ARGUMENT, "no problem is complete");
  gh_study_free(&study);
  gh_results_free(&rows);
}

/* By runtime, a platform is hardware and runtime, each shape an application, and the hardware's best the baseline. */
static void test_runtimes(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const char *const runtimes[] = {"Red", "Red", "Blue"}, *const shapes[] = {"cpu", "gpu", "cpu"};
  const double seconds[] = {2, 4, 8};
  for (int i = 0; i < 3; i++) {
    gh_result *row = add_seconds(&rows, "test", "opencl:0", seconds[i]);
    set_text(row, GH_RESULT_PLATFORM, runtimes[i]);
    set_text(row, GH_RESULT_KERNEL_SHAPE, shapes[i]);
    gh_result_put(row, GH_RESULT_SHARE, 1.5);
  }
  gh_result *peer = add_seconds(&rows, "test", "cpu", 1);
  set_text(peer, GH_RESULT_APPLICATION, "pytorch");
  set_text(peer, GH_RESULT_BACKEND, "pytorch");
  set_text(peer, GH_RESULT_PLATFORM, NULL);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){.by_runtime = true}, &study));
  assert_int_equal(study.platforms.count, 2);
  assert_string_equal(study.platforms.items[0], "Chip (host), Blue");
  assert_string_equal(study.applications.items[1], "genhance, opencl, gpu kernels");
  const gh_study_problem *p = &study.problems[0];
  assert_true(fabs(gh_study_at(&study, p, 0, 0)->app - 0.125) < 1e-12);
  assert_true(fabs(gh_study_at(&study, p, 0, 1)->app - 0.5) < 1e-12);
  assert_true(gh_study_at(&study, p, 0, 1)->arch == 1 && gh_study_at(&study, p, 0, 1)->capped);
  assert_true(fabs(gh_study_pp(&study, p, 0, GH_EFFICIENCY_APP) - 2 / (8.0 + 2.0)) < 1e-12);
  assert_true(gh_study_pp(&study, p, 1, GH_EFFICIENCY_APP) == 0);
  gh_study_free(&study);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study)); /* one platform, two programs */
  assert_int_equal(study.platforms.count, 1);
  assert_true(fabs(gh_study_pp(&study, &study.problems[0], 0, GH_EFFICIENCY_APP) - 0.5) < 1e-12);
  gh_study_free(&study);
  gh_results_free(&rows);
}

/* Another clock is another problem, another unit an error, and work that another program does without no efficiency. */
static void test_what_is_compared(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const double seconds[] = {2, 1};
  add_p3(&rows, "one", seconds, 1);
  add_p3(&rows, "two", seconds + 1, 1);
  for (int i = 0; i < 2; i++) {
    gh_result_put(&rows.items[i], GH_RESULT_FLOP, i ? 80 : 100);
    set_text(&rows.items[i], GH_RESULT_LIMIT, "arithmetic");
  }
  add_p3(&rows, "one", seconds, 1);
  set_text(&rows.items[2], GH_RESULT_CLOCK, "processor");
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  assert_int_equal(study.count, 2);
  assert_string_equal(study.problems[0].name, "test, f32");
  assert_string_equal(study.problems[1].name, "test, f32, processor time");
  assert_true(fabs(gh_study_at(&study, &study.problems[0], 0, 0)->arch - 0.4) < 1e-12); /* 0.5 of 100, of which 80 */
  assert_true(gh_study_at(&study, &study.problems[0], 1, 0)->arch == 0.5);
  assert_true(gh_study_at(&study, &study.problems[1], 0, 0)->app == 1);
  gh_study_free(&study);
  set_text(&rows.items[1], GH_RESULT_UNIT, "ms");
  check_fails(gh_study_make(&err, &rows, &(gh_study_options){0}, &study), GH_ERROR_ARGUMENT,
              "test, f32: results in s and, of two, in ms cannot be compared");
  gh_results_free(&rows);
}

static void write_study(const char *folder, const char *out, gh_json *result) {
  gh_results rows = {0};
  add_p3(&rows, "latest <b>", p3_seconds[0], 5);
  add_p3(&rows, "best", p3_seconds[1], 5);
  for (size_t i = 0; i < rows.count; i++) {
    gh_result_put(&rows.items[i], GH_RESULT_GFLOPS, 50);
    gh_result_put(&rows.items[i], GH_RESULT_FLOP, 1e9);
    gh_result_put(&rows.items[i], GH_RESULT_BYTES, 1e8);
  }
  for (int h = 0; h < 5; h++) {
    char hardware[16];
    snprintf(hardware, sizeof hardware, "platform %c", 'A' + h);
    add_peak(&rows, "fma", "opencl:0", 100, 0, NAN);
    set_text(&rows.items[rows.count - 1], GH_RESULT_HARDWARE, hardware);
    add_peak(&rows, "copy", "opencl:0", 0, 40, 256 * MIB);
    set_text(&rows.items[rows.count - 1], GH_RESULT_HARDWARE, hardware);
  }
  check_ok(gh_results_write(&err, &rows, folder));
  const gh_strings folders = {.items = (char *[]){(char *)folder}, .count = 1};
  const gh_portability_options options = {.folders = &folders, .out = out};
  check_ok(gh_portability_write(&err, &options, result));
  gh_results_free(&rows);
}

static char *read_beside(const char *folder, const char *name) {
  char *path = gh_path_join(&err, folder, name), *text = NULL;
  check_ok(gh_file_read(&err, path, 1 << 24, &text, NULL));
  free(path);
  return text;
}

/* The CSV keeps the P3 analysis library's rules: its columns, one row per pair, efficiencies of [0, 1]. */
static void test_page(void **state) {
  (void)state;
  char *folder = check_folder(), *out = gh_path_join(&err, folder, "study.html");
  gh_json *result = gh_json_object(&err);
  write_study(folder, out, result);
  char *page = read_beside(folder, "study.html"), *csv = read_beside(folder, "study-p3.csv");
  assert_non_null(strstr(page, "latest &lt;b&gt;"));
  assert_null(strstr(page, "<b>, opencl"));
  assert_null(strstr(page, "src=\"http"));
  assert_non_null(strstr(page, "0.488"));
  static const char head[] = "problem,platform,application,fom,arch eff,app eff,date,coverage_key\n";
  assert_memory_equal(csv, head, sizeof head - 1);
  assert_non_null(
      strstr(csv, "\"test, f32\",platform B,\"latest <b>, opencl\",12.5,0.5,0.8,2026-01-31T12:00:00Z,abc\n"));
  size_t lines = 0;
  for (const char *at = csv; (at = strchr(at, '\n')); at++) lines++;
  assert_int_equal(lines, 11);
  static const char *const charts[] = {"study-cascade-app.svg", "study-cascade-arch.svg"};
  for (size_t i = 0; i < GH_COUNT(charts); i++) {
    char *svg = read_beside(folder, charts[i]);
    assert_memory_equal(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40);
    assert_non_null(strstr(svg, "</svg>"));
    free(svg);
  }
  char *roof = read_beside(folder, "study-roofline-1.svg");
  assert_non_null(strstr(roof, "other ops, f32"));
  free(roof);
  double pp = 0;
  check_ok(gh_json_get_double(&err, result, "applications[1].app_pp", &pp));
  assert_true(fabs(pp - 5 / 10.25) < 1e-12);
  gh_json_free(result);
  free(page);
  free(csv);
  free(out);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_metric),   cmocka_unit_test(test_rows_without_results),
      cmocka_unit_test(test_runtimes), cmocka_unit_test(test_what_is_compared),
      cmocka_unit_test(test_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
