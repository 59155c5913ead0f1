/* The numbers on the page of an experiment: Student's t, and scores from files to differences. test_experiment.sh runs
 * one. */
#include "support/check.h"

#include "base/file.h"
#include "eval/student.h"
#include "experiment/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

static void near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.12g, expected %.12g", value, expected);
}

/* Values from scipy.stats.t (float64). */
static void student(void **state) {
  (void)state;
  near(gh_student_p(0, 3), 1, 1e-14);
  near(gh_student_p(1, 1), 0.5, 1e-13);
  near(gh_student_p(-2.5, 4), 0.06676654, 1e-7);
  near(gh_student_t(0.05, 1), 12.706204736, 1e-8);
  near(gh_student_t(0.05, 2), 4.302652729696, 1e-9);
  near(gh_student_t(0.05, 4), 2.776445105198, 1e-9);
  near(gh_student_t(0.01, 30), 2.749995653567, 1e-9);
  near(gh_student_p(gh_student_t(1e-6, 5), 5), 1e-6, 1e-15);
}

static void means(void **state) {
  (void)state;
  gh_interval v;
  double p;
  const double values[] = {1, 2, 3, 6};
  gh_student_mean(&v, &p, values, 4);
  near(v.value, 3, 1e-14);
  near(v.high - v.value, 3.182446305284 * sqrt(14.0 / 3 / 4), 1e-9);
  near(p, gh_student_p(3 / sqrt(14.0 / 3 / 4), 3), 1e-14);
  gh_student_mean(&v, &p, values, 1);
  assert_true(v.value == 1 && isnan(v.low) && isnan(v.high) && isnan(p));
  gh_student_mean(&v, &p, values, 0);
  assert_true(isnan(v.value) && isnan(p));
  gh_student_mean(&v, &p, (const double[]){2, 2, 2}, 3);
  assert_true(v.low == 2 && v.high == 2 && p == 0);
  gh_student_mean(&v, &p, (const double[]){0, 0}, 2);
  assert_true(p == 1);
}

/* ---- scores ---- */

#define PAIRS 4

static void write_result(const char *path, double average, const char *right) {
  char text[512], pairs[256] = "";
  for (int i = 0; i < PAIRS; i++)
    snprintf(pairs + strlen(pairs), sizeof pairs - strlen(pairs), "%s{\"correct\":%s}", i ? "," : "",
             right[i] == '1' ? "true" : "false");
  snprintf(text, sizeof text, "{\"average\":%g,\"patterns\":{\"Texts\":{\"percent\":%g}},\"pairs\":[%s]}", average,
           average / 2, pairs);
  check_write(path, text, strlen(text));
}

/* Two runs with two seeds; the file of each of the five measurements. */
static void differences(void **state) {
  (void)state;
  static const char text[] =
      "{\"output\":\"o\",\"config\":\"c.json\",\"seeds\":[3,5],\"baseline\":\"b\","
      "\"runs\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"evaluate\":[{\"kind\":\"mmvp\",\"data\":\"d\"}]}";
  static const char *const right[] = {"1000", "1100", "1110", "0100", "1100"};
  static const double average[] = {25, 50, 75, 25, 50};
  const gh_experiment_options none = {0};
  gh_experiment x;
  gh_experiment_results r;
  gh_experiment_test t;
  char *folder = check_folder(), *path = check_path(folder, "x.json"), *own[5];
  check_write(path, text, strlen(text));
  check_ok(gh_experiment_read(&err, &x, path, &none));
  assert_true(x.baseline == 1 && x.seeds.count == 2 && x.seeds.items[1] == 5);
  gh_experiment_step items[5];
  char *before[] = {folder, folder};
  for (size_t i = 0; i < 5; i++) {
    char name[16];
    snprintf(name, sizeof name, "%zu.json", i);
    own[i] = check_path(folder, name);
    write_result(own[i], average[i], right[i]);
    items[i] = (gh_experiment_step){.kind = i ? GH_STEP_MEASURE : GH_STEP_BEFORE, .done = true, .result = own[i]};
    if (i) items[i].run = (i - 1) / 2, items[i].seed = (i - 1) % 2;
  }
  const gh_experiment_steps steps = {.items = items, .count = 5, .before = before};
  check_ok(gh_experiment_collect(&err, &r, &x, &steps));
  assert_true(r.count == 2 && !r.scores[0].detail && r.scores[1].detail && r.item_count == 1);
  assert_string_equal(r.scores[1].name, "Texts");
  check_ok(gh_experiment_after(&err, &t, &r, &r.scores[0], 0));
  assert_true(t.seeds == 2 && t.mean.value == 62.5 && isnan(t.items.value));
  check_ok(gh_experiment_change(&err, &t, &r, &r.scores[0], 0)); /* 50 - 25 and 75 - 25 */
  near(t.mean.value, 37.5, 1e-12);
  near(t.p, gh_student_p(3, 1), 1e-12);
  near(t.items.value, 37.5, 1e-12); /* of the pairs: 0, 100, 50, 0 */
  assert_true(t.items.low >= 0 && t.items.low < 37.5 && t.items.high > 37.5);
  check_ok(gh_experiment_difference(&err, &t, &r, &r.scores[0], 0, 1)); /* 50 - 25 and 75 - 50 */
  assert_true(t.mean.value == 25 && t.mean.low == 25 && t.p == 0);
  check_ok(gh_experiment_difference(&err, &t, &r, &r.scores[1], 1, 1));
  assert_true(t.mean.value == 0 && t.p == 1 && isnan(t.items.value)); /* a detail has no items of its own */
  gh_experiment_results_free(&r);
  gh_experiment_free(&x);
  for (size_t i = 0; i < 5; i++) free(own[i]);
  free(path);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(student), cmocka_unit_test(means), cmocka_unit_test(differences)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
