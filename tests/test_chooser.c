/* The chooser on Fourier transforms, its smallest kind: the library where it is right, the op's own way elsewhere; what
 * is frozen, forced and planted; plans of older versions. Matrix products and attention have tests of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/fft.h"
#include "backend/chooser/gemm.h"
#include "backend/registry.h"
#include "base/log.h"
#include "support/on_device.h"
#include "train/frozen_choices.h"

static const gh_fft_desc small = {.batch = 3, .rows = 4, .columns = 6};
static const char small_key[] = "batch=3 rows=4 columns=6 forward";

static gh_device *open_another(void) {
  gh_device *d;
  OK(gh_device_open(&err, device->info.id, &d));
  return d;
}

static bool by_library(gh_device *d, const gh_fft_desc *desc) {
  bool library;
  OK(gh_fft_choose(&err, d, desc, &library));
  return library;
}

static const char *choice_of(const gh_device *d, const char *wanted) {
  for (int i = 0; i < gh_choice_count(d, &gh_fft_kind); i++) {
    const char *key, *provider;
    gh_choice_at(d, &gh_fft_kind, i, &key, &provider);
    if (!strcmp(key, wanted)) return provider;
  }
  return NULL;
}

static void test_the_library_is_chosen(void **state) {
  (void)state;
  gh_device *d = open_another();
  const char *name = d->backend->fft_name(d);
  assert_int_equal(by_library(d, &small), name != NULL);
  if (!name) {
    assert_int_equal(gh_choice_count(d, &gh_fft_kind), 0); /* nothing was there to be chosen */
  } else {
    assert_string_equal(choice_of(d, small_key), name);
    const gh_fft_desc prime = {.batch = 1, .rows = 2, .columns = 34, .inverse = true};
    const bool every_size = strcmp(d->backend->name, "opencl") != 0;
    assert_int_equal(by_library(d, &prime), every_size);
    assert_string_equal(choice_of(d, "batch=1 rows=2 columns=34 inverse"), every_size ? name : "own");
  }
  gh_device_close(d);
}

static void test_freeze_and_force(void **state) {
  (void)state;
  gh_device *d = open_another();
  OK(gh_choice_freeze(&err, d, &gh_fft_kind, small_key, "own"));
  assert_false(by_library(d, &small));
  OK(gh_choice_force(&err, d, &gh_fft_kind, "own"));
  const gh_fft_desc other = {.batch = 1, .rows = 2, .columns = 2};
  assert_false(by_library(d, &other));
  assert_string_equal(choice_of(d, "batch=1 rows=2 columns=2 forward"), "own");
  OK(gh_choice_force(&err, d, &gh_fft_kind, NULL));
  assert_null(choice_of(d, "batch=1 rows=2 columns=2 forward"));
  assert_string_equal(choice_of(d, small_key), "own");

  bool library;
  const char *foreign = strcmp(d->backend->name, "cuda") ? "cufft" : "clfft";
  OK(gh_choice_freeze(&err, d, &gh_fft_kind, small_key, foreign));
  assert_int_equal(gh_fft_choose(&err, d, &small, &library), GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, foreign));
  assert_int_equal(gh_choice_freeze(&err, d, &gh_fft_kind, small_key, "magic"), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "clfft, cufft, own"));
  gh_device_close(d);
}

/* A library that turns the wrong way round, or leaves out all but the first of a batch. */
static gh_status bind_inverse(gh_error *e, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                              gh_launch **out) {
  gh_fft_desc other = *desc;
  other.inverse = !desc->inverse;
  return device->backend->bind_fft(e, d, &other, from, to, out);
}
static gh_status bind_first(gh_error *e, gh_device *d, const gh_fft_desc *desc, const gh_buffer *from, gh_buffer *to,
                            gh_launch **out) {
  gh_fft_desc other = *desc;
  other.batch = 1;
  return device->backend->bind_fft(e, d, &other, from, to, out);
}

static void test_a_wrong_library_is_dropped(void **state) {
  (void)state;
  gh_status (*const wrong[])(gh_error *, gh_device *, const gh_fft_desc *, const gh_buffer *, gh_buffer *,
                             gh_launch **) = {bind_inverse, bind_first};
  if (!device->backend->fft_name(device)) skip();
  for (size_t i = 0; i < GH_COUNT(wrong); i++) {
    gh_device *d = open_another();
    gh_backend planted = *d->backend;
    const gh_backend *right = d->backend;
    planted.bind_fft = wrong[i];
    d->backend = &planted;
    gh_log_set_level(GH_LOG_QUIET);
    assert_false(by_library(d, &small));
    gh_log_set_level(GH_LOG_INFO);
    assert_string_equal(choice_of(d, small_key), "own");
    d->backend = right;
    gh_device_close(d);
  }
}

/* A plan says what each kind has chosen; one written before a kind was chosen says nothing of it. */
static void test_plans(void **state) {
  (void)state;
  gh_json *plan = NULL, *older = NULL;
  const char *provider = "", gemm_key[] = "m=110 n=110 k=110 nt batch=1 beta=0 f32";
  gh_device *d = open_another();
  const char *library = d->backend->gemm_name(d);
  OK(gh_choice_freeze(&err, d, &gh_gemm_kind, gemm_key, library));
  OK(gh_choices_describe(&err, d, 1, &older));
  assert_null(gh_json_first(gh_json_member(older, "fft")));
  OK(gh_choice_freeze(&err, d, &gh_fft_kind, small_key, "own"));
  OK(gh_choices_describe(&err, d, 1, &plan));
  OK(gh_json_get_string(&err, gh_json_member(plan, "fft"), small_key, &provider));
  assert_string_equal(provider, "own");
  gh_device_close(d);

  d = open_another();
  OK(gh_choices_freeze(&err, d, plan));
  assert_false(by_library(d, &small));
  assert_int_equal(gh_choice_count(d, &gh_gemm_kind), 1);
  gh_device_close(d);

  char text[600]; /* as it was before transforms were chosen */
  snprintf(text, sizeof text,
           "{\"device\": \"%s\", \"driver\": \"%s\", \"kernel_shape\": \"%s\", \"micro_batch\": 1, "
           "\"gemm\": {\"%s\": \"%s\"}, \"attention\": {\"size=64 bf16\": \"shared\"}}",
           device->info.name, device->info.driver, device->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu", gemm_key,
           library);
  gh_json_free(older);
  OK(gh_json_parse(&err, &older, "plan.json", text, strlen(text), sizeof text));
  d = open_another();
  OK(gh_choices_freeze(&err, d, older));
  const char *key;
  assert_int_equal(gh_choice_count(d, &gh_gemm_kind), 1);
  gh_choice_at(d, &gh_gemm_kind, 0, &key, &provider);
  assert_string_equal(key, gemm_key);
  assert_string_equal(provider, library);
  assert_int_equal(by_library(d, &small), d->backend->fft_name(d) != NULL);
  gh_device_close(d);
  gh_json_free(plan);
  gh_json_free(older);
}

/* What runs is what the plan records: a variable that forces another provider is refused, and the plan stays. */
static void test_the_environment_must_agree_with_the_plan(void **state) {
  (void)state;
  static const char *const recorded[] = {"own", "clfft"}, *const said[] = {"GH_FFT", " own,", " clfft;", "--replan"};
  bool library;
  setenv("GH_FFT", "own", 1);
  for (size_t i = 0; i < GH_COUNT(recorded); i++) {
    gh_json *plan = NULL;
    gh_device *d = open_another();
    OK(gh_choice_freeze(&err, d, &gh_fft_kind, small_key, recorded[i]));
    OK(gh_choices_describe(&err, d, 1, &plan));
    gh_device_close(d);
    d = open_another();
    OK(gh_choices_freeze(&err, d, plan));
    const gh_status status = gh_fft_choose(&err, d, &small, &library);
    if (i == 0) {
      OK(status);
      assert_false(library);
    } else {
      assert_int_equal(status, GH_ERROR_ARGUMENT);
      for (size_t k = 0; k < GH_COUNT(said); k++)
        if (!strstr(err.text, said[k])) fail_msg("\"%s\" is not in: %s", said[k], err.text);
    }
    assert_string_equal(choice_of(d, small_key), recorded[i]);
    const gh_fft_desc other = {.batch = 1, .rows = 2, .columns = 2}; /* not in the plan: forced, and recorded */
    assert_false(by_library(d, &other));
    assert_string_equal(choice_of(d, "batch=1 rows=2 columns=2 forward"), "own");
    gh_device_close(d);
    gh_json_free(plan);
  }
  unsetenv("GH_FFT");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_library_is_chosen),
      cmocka_unit_test(test_freeze_and_force),
      cmocka_unit_test(test_a_wrong_library_is_dropped),
      cmocka_unit_test(test_plans),
      cmocka_unit_test(test_the_environment_must_agree_with_the_plan),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
