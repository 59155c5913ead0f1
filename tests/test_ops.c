/* Every op against PyTorch's numbers, in both shapes of machine (src/ops/check.h says how). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "ops/check.h"
#include "ops/ops.h"

#define MAX_OPS 256

/* Ops that no fixture can reach, and why. */
static const char *const without_fixture[] = {"clip_control",  /* writes bits: test_update.c */
                                              "random_normal", /* PyTorch has other numbers: test_random_device.c */
                                              "random_index", "random_timestep", NULL};

typedef struct tally {
  int results, failures;
  bool quiet;
  bool used[MAX_OPS];
} tally;

static void on_result(void *context, const gh_check_result *r) {
  tally *t = context;
  t->results++;
  if (r->passed) return;
  t->failures++;
  if (t->quiet) return;
  fprintf(stderr, "%s / %s / %s: error %.3g, tolerance %.3g %s\n", r->op, r->test, r->tensor, r->error, r->tolerance,
          r->note);
}

static void on_used(void *context, const gh_op *op) {
  tally *t = context;
  for (int i = 0; gh_ops[i] && i < MAX_OPS; i++) t->used[i] |= gh_ops[i] == op;
}

static gh_error err;

#define OK(call) assert_ok((call), #call)
static void assert_ok(gh_status status, const char *what) {
  if (status) fail_msg("%s: %s", what, err.text);
}

static gh_device *open_shape(const char *shape) {
  gh_device *device = NULL;
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  OK(gh_device_open(&err, id ? id : "auto", &device));
  return device;
}

static void check_fixture(gh_device *device, const char *name, gh_check_options options, tally *t) {
  const gh_check_listener listener = {.context = t, .result = on_result, .used = on_used};
  gh_safetensors *file = NULL;
  char *path = gh_path_join(&err, GH_FIXTURES "/ops", name);
  assert_non_null(path);
  OK(gh_safetensors_open(&err, &file, path));
  int before = t->results;
  OK(gh_check_file(&err, device, file, options, &listener));
  if (t->results == before) fail_msg("%s holds no case", name);
  gh_safetensors_close(file);
  free(path);
}

/* GH_TEST_OP names one fixture, for work on one op. */
static bool chosen(const char *name) {
  const char *only = getenv("GH_TEST_OP");
  return gh_ends_with(name, ".safetensors") &&
         (!only || (gh_starts_with(name, only) && !strcmp(name + strlen(only), ".safetensors")));
}

static bool exempt(const char *op) {
  for (int i = 0; without_fixture[i]; i++)
    if (!strcmp(without_fixture[i], op)) return true;
  return false;
}

/* Every op of the table but the exempt ones was launched. */
static void expect_all_used(tally *t) {
  for (int i = 0; gh_ops[i]; i++) {
    assert_true(i < MAX_OPS);
    if (t->used[i] != exempt(gh_ops[i]->name)) continue;
    fprintf(stderr, "%s: %s\n", gh_ops[i]->name, t->used[i] ? "has a fixture and is exempted" : "no fixture uses it");
    t->failures++;
  }
}

static void check_all(const char *shape) {
  gh_device *device = open_shape(shape);
  gh_strings names = {0};
  tally t = {0};
  OK(gh_folder_list(&err, &names, GH_FIXTURES "/ops", false));
  for (size_t i = 0; i < names.count; i++)
    if (chosen(names.items[i])) check_fixture(device, names.items[i], (gh_check_options){0}, &t);
  gh_strings_free(&names);
  gh_device_close(device);
  printf("%s shape: %d results, %d failures\n", shape, t.results, t.failures);
  assert_true(t.results > 0);
  if (!getenv("GH_TEST_OP")) expect_all_used(&t);
  assert_int_equal(t.failures, 0);
}

static void test_cpu_shape(void **state) {
  (void)state;
  check_all("cpu");
}

static void test_gpu_shape(void **state) {
  (void)state;
  check_all("gpu");
}

static void test_planted_errors_are_reported(void **state) {
  (void)state;
  gh_device *device = open_shape("cpu");
  tally t = {.quiet = true};
  check_fixture(device, "linear.safetensors", (gh_check_options){.brief = true, .sabotage = true}, &t);
  gh_device_close(device);
  assert_true(t.results > 0);
  assert_int_equal(t.failures, t.results);
}

static void test_embedded_cases_cover_every_op(void **state) {
  (void)state;
  gh_device *device = open_shape("cpu");
  tally t = {0};
  const gh_check_listener listener = {.context = &t, .result = on_result, .used = on_used};
  OK(gh_check_embedded(&err, device, (gh_check_options){.brief = true}, &listener));
  gh_device_close(device);
  expect_all_used(&t);
  if (t.failures) fail_msg("tests/reference/make_selftest.py makes these cases anew");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_planted_errors_are_reported),
      cmocka_unit_test(test_cpu_shape),
      cmocka_unit_test(test_gpu_shape),
      cmocka_unit_test(test_embedded_cases_cover_every_op),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
