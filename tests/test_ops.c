/* Every op against PyTorch's numbers, in both shapes of machine (see src/ops/check/check.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/registry.h"
#include "base/file.h"
#include "base/json.h"
#include "ops/check/check.h"
#include "ops/ops.h"
#include "support/check.h"

#define MAX_OPS 256

/* Ops that no fixture can cover, and why. */
static const char *const without_fixture[] = {"clip_control",  /* writes bits: test_update.c */
                                              "loss_scale",    /* the same */
                                              "random_normal", /* PyTorch draws other numbers: test_random_device.c */
                                              "random_index",  "random_timestep",
                                              "random_gumbel", "random_mask",
                                              "categorical",   "halves", /* its parts are rounded: test_narrow.c */
                                              "cast",          NULL};

/* Float32-only ops: random numbers, averages, updates, losses, and what only the autoencoders use. */
static const char *const without_narrow[] = {"adamw",  /* writes a narrow copy: test_narrow.c */
                                             "halves", /* from float32: test_narrow.c */
                                             "halves_backward",
                                             "categorical", /* its codes: test_random_device.c */
                                             "clip_control",
                                             "constant",
                                             "conv2d_backward_bias",
                                             "conv2d_backward_weight",
                                             "conv2d_backward_x",
                                             "count_rows", /* integers */
                                             "exp_scale",  /* of a loss's logits */
                                             "fft2d",
                                             "flow_interpolate",
                                             "gaussian_kl",
                                             "gaussian_kl_backward",
                                             "gaussian_sample",
                                             "gaussian_sample_backward",
                                             "loss_scale",
                                             "masked_positions", /* integers */
                                             "mse_loss",
                                             "mse_loss_backward",
                                             "nearest_row",
                                             "normalize_image",
                                             "random_gumbel",
                                             "random_index",
                                             "random_mask",
                                             "random_normal",
                                             "random_timestep",
                                             "square_sum",
                                             "timestep_embedding",
                                             "zero",
                                             NULL};

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

static gh_device *open_shape(const char *shape) {
  gh_device *device = NULL;
  const char *id = getenv("GH_TEST_DEVICE");
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  return device;
}

static void check_fixture(gh_device *device, const char *name, gh_check_options options, tally *t) {
  const gh_check_listener listener = {.context = t, .result = on_result, .used = on_used};
  gh_safetensors *file = NULL;
  char *path = gh_path_join(&err, GH_FIXTURES "/ops", name);
  assert_non_null(path);
  check_ok(gh_safetensors_open(&err, &file, path));
  int before = t->results;
  check_ok(gh_check_file(&err, device, file, options, &listener));
  if (t->results == before && options.narrow == GH_F32) fail_msg("%s holds no case", name);
  gh_safetensors_close(file);
  free(path);
}

/* GH_TEST_OP selects one fixture, for work on one op. */
static bool chosen(const char *name) {
  const char *only = getenv("GH_TEST_OP");
  return gh_ends_with(name, ".safetensors") &&
         (!only || (gh_starts_with(name, only) && !strcmp(name + strlen(only), ".safetensors")));
}

static bool listed(const char *const *list, const char *op) {
  for (int i = 0; list[i]; i++)
    if (!strcmp(list[i], op)) return true;
  return false;
}

/* Checks that every op of the table except the exempt ones was launched. */
static void expect_all_used(tally *t, const char *const *exempt) {
  for (int i = 0; gh_ops[i]; i++) {
    assert_true(i < MAX_OPS);
    if (t->used[i] != listed(exempt, gh_ops[i]->name)) continue;
    fprintf(stderr, "%s: %s\n", gh_ops[i]->name, t->used[i] ? "has a fixture but is exempt" : "no fixture uses it");
    t->failures++;
  }
}

static void check_all(const char *shape, gh_check_options options, const char *const *exempt) {
  gh_device *device = open_shape(shape);
  gh_strings names = {0};
  tally t = {0};
  check_ok(gh_folder_list(&err, &names, GH_FIXTURES "/ops", false));
  for (size_t i = 0; i < names.count; i++)
    if (chosen(names.items[i])) check_fixture(device, names.items[i], options, &t);
  gh_strings_free(&names);
  gh_device_close(device);
  printf("%s shape: %d results, %d failures\n", shape, t.results, t.failures);
  assert_true(t.results > 0);
  if (!getenv("GH_TEST_OP")) expect_all_used(&t, exempt);
  assert_int_equal(t.failures, 0);
}

static void test_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  check_all("cpu", (gh_check_options){0}, without_fixture);
}

static void test_gpu_shape(void **state) {
  (void)state;
  check_all("gpu", (gh_check_options){0}, without_fixture);
}

static void test_bf16_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  check_all("cpu", (gh_check_options){.narrow = GH_BF16}, without_narrow);
}

static void test_bf16_gpu_shape(void **state) {
  (void)state;
  check_all("gpu", (gh_check_options){.narrow = GH_BF16}, without_narrow);
}

#ifndef __SANITIZE_ADDRESS__ /* watches the host's code, which takes both narrow types from one table */
static void test_f16_cpu_shape(void **state) {
  (void)state;
  if (!check_has_shape("cpu")) return;
  check_all("cpu", (gh_check_options){.narrow = GH_F16}, without_narrow);
}

static void test_f16_gpu_shape(void **state) {
  (void)state;
  check_all("gpu", (gh_check_options){.narrow = GH_F16}, without_narrow);
}
#endif

static void test_planted_errors_are_reported(void **state) {
  (void)state;
  gh_device *device = open_shape(check_has_shape("cpu") ? "cpu" : "gpu");
  tally t = {.quiet = true};
  check_fixture(device, "linear.safetensors", (gh_check_options){.brief = true, .sabotage = true}, &t);
  gh_device_close(device);
  assert_true(t.results > 0);
  assert_int_equal(t.failures, t.results);
}

static void test_embedded_cases_cover_every_op(void **state) {
  (void)state;
  gh_device *device = open_shape(check_has_shape("cpu") ? "cpu" : "gpu");
  tally t = {0};
  const gh_check_listener listener = {.context = &t, .result = on_result, .used = on_used};
  check_ok(gh_check_embedded(&err, device, (gh_check_options){.brief = true}, &listener));
  gh_device_close(device);
  expect_all_used(&t, without_fixture);
  if (t.failures) fail_msg("regenerate these cases with tests/reference/make_selftest.py");
}

/* ---- the sizes of the fixtures ---- */

#define MAX_CASES_JSON ((size_t)8 << 20)

/* Around the edges of vectors, sub-groups and work-groups; each must be a dimension in some case of every op. */
static const int64_t edge_sizes[] = {1, 31, 33, 64, 65};
#define A_PRIME GH_COUNT(edge_sizes) /* in addition, some prime from 5 on that is not among them */
#define SIZES   (GH_COUNT(edge_sizes) + 1)

/* Ops that only gradients and the harness launch; the cases of the ops with these gradients cover them. The same holds
 * for those named *_backward. */
static const char *const without_case[] = {"accumulate", "attention_delta", "column_dot", "groupnorm_sums", NULL};

/* Sizes that an op cannot have. */
static const struct {
  const char *op;
  int64_t size; /* 0: all */
} impossible[] = {
    {"constant", 0}, /* a single number */
};

typedef bool seen_sizes[MAX_OPS][SIZES];

static bool further_prime(int64_t n) {
  for (size_t i = 0; i < GH_COUNT(edge_sizes); i++)
    if (n == edge_sizes[i]) return false;
  for (int64_t d = 2; d * d <= n; d++)
    if (n % d == 0) return false;
  return n >= 5;
}

static void see_tensor(bool *seen, const gh_safetensors *file, const char *name, const char *kind, int64_t index) {
  char full[160];
  snprintf(full, sizeof full, "%s.%s%lld", name, kind, (long long)index);
  const gh_st_tensor *t = gh_safetensors_find(file, full);
  if (!t || t->dtype == GH_ST_U32) return; /* absent, or a step block, whose size is fixed */
  for (int d = 0; d < t->rank; d++) {
    for (size_t i = 0; i < GH_COUNT(edge_sizes); i++) seen[i] |= t->shape[d] == edge_sizes[i];
    seen[A_PRIME] |= further_prime(t->shape[d]);
  }
}

static void see_file(seen_sizes seen, const char *name) {
  gh_safetensors *file = NULL;
  gh_json *cases = NULL;
  char *path = gh_path_join(&err, GH_FIXTURES "/ops", name);
  assert_non_null(path);
  check_ok(gh_safetensors_open(&err, &file, path));
  const char *text = gh_safetensors_metadata(file, "cases"), *test, *op_name;
  assert_non_null(text);
  check_ok(gh_json_parse(&err, &cases, path, text, strlen(text), MAX_CASES_JSON));
  for (const gh_json *node = gh_json_first(cases); node; node = gh_json_next(node)) {
    int64_t inputs, outputs;
    int op = 0;
    check_ok(gh_json_get_string(&err, node, "name", &test));
    check_ok(gh_json_get_string(&err, node, "op", &op_name));
    check_ok(gh_json_get_int(&err, node, "inputs", &inputs));
    check_ok(gh_json_get_int(&err, node, "outputs", &outputs));
    while (gh_ops[op] && strcmp(gh_ops[op]->name, op_name)) op++;
    if (!gh_ops[op]) fail_msg("%s: there is no op %s", path, op_name);
    assert_true(op < MAX_OPS);
    for (int64_t i = 0; i < inputs; i++) see_tensor(seen[op], file, test, "in", i);
    for (int64_t i = 0; i < outputs; i++) see_tensor(seen[op], file, test, "out", i);
  }
  gh_json_free(cases);
  gh_safetensors_close(file);
  free(path);
}

static bool needs_sizes(const char *op) {
  if (listed(without_fixture, op) || listed(without_case, op)) return false;
  return !strstr(op, "_backward");
}

static bool is_impossible(const char *op, int64_t size) {
  for (size_t i = 0; i < GH_COUNT(impossible); i++)
    if (!strcmp(impossible[i].op, op) && (!impossible[i].size || impossible[i].size == size)) return true;
  return false;
}

static void test_fixtures_have_the_sizes_at_edges(void **state) {
  (void)state;
  static seen_sizes seen;
  gh_strings names = {0};
  int failures = 0;
  check_ok(gh_folder_list(&err, &names, GH_FIXTURES "/ops", false));
  for (size_t i = 0; i < names.count; i++)
    if (gh_ends_with(names.items[i], ".safetensors")) see_file(seen, names.items[i]);
  gh_strings_free(&names);
  for (int op = 0; gh_ops[op]; op++) {
    const char *name = gh_ops[op]->name;
    for (size_t i = 0; needs_sizes(name) && i < SIZES; i++) {
      int64_t size = i == A_PRIME ? -1 : edge_sizes[i];
      if (seen[op][i] != is_impossible(name, size)) continue;
      failures++;
      if (seen[op][i])
        fprintf(stderr, "%s: has the size %lld but is listed as unable to\n", name, (long long)size);
      else if (i == A_PRIME)
        fprintf(stderr, "%s: no case has another prime as a dimension\n", name);
      else
        fprintf(stderr, "%s: no case has a dimension of %lld\n", name, (long long)size);
    }
  }
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fixtures_have_the_sizes_at_edges),
      cmocka_unit_test(test_planted_errors_are_reported),
      cmocka_unit_test(test_cpu_shape),
      cmocka_unit_test(test_gpu_shape),
      cmocka_unit_test(test_bf16_cpu_shape),
      cmocka_unit_test(test_bf16_gpu_shape),
#ifndef __SANITIZE_ADDRESS__
      cmocka_unit_test(test_f16_cpu_shape),
      cmocka_unit_test(test_f16_gpu_shape),
#endif
      cmocka_unit_test(test_embedded_cases_cover_every_op),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
