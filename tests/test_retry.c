/* Which failures are tried again, and for how long. */
#include "support/check.h"

#include "base/log.h"
#include "base/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char last[256];

static void keep(void *user, gh_log_level level, const char *text) {
  (void)user;
  if (level == GH_LOG_WARNING) snprintf(last, sizeof last, "%s", text);
}

static int waits_for(gh_status status) {
  gh_retry retry = {0};
  const gh_error err = {.status = status, .text = "a.png: Input/output error"};
  int waits = 0;
  while (gh_retry_wait(&retry, &err)) waits++;
  return waits;
}

static void test_only_faults_are_tried_again(void **state) {
  (void)state;
  setenv("GH_RETRY_SECONDS", "0.001", 1);
  for (int status = GH_OK; status <= GH_ERROR_INTERRUPTED; status++) {
    const bool fault = status == GH_ERROR_FILE || status == GH_ERROR_MEMORY;
    assert_true(gh_status_is_fault((gh_status)status) == fault);
    assert_int_equal(waits_for((gh_status)status) > 0, fault);
  }
}

static void test_the_wait_is_bounded(void **state) {
  (void)state;
  setenv("GH_RETRY_SECONDS", "0.2", 1);
  const double began = gh_now();
  assert_int_equal(waits_for(GH_ERROR_FILE), 5);
  const double took = gh_now() - began;
  assert_true(took >= 0.19 && took < 5); /* the machine may be slow */
  assert_string_equal(last, "a.png: Input/output error; trying again for 0.2 s");
  setenv("GH_RETRY_SECONDS", "0", 1);
  assert_int_equal(waits_for(GH_ERROR_FILE), 0);
}

static void test_a_wrong_setting_is_named(void **state) {
  (void)state;
  static const char *const wrong[] = {"-1", "x", "1s", "nan", "1e9"};
  for (size_t i = 0; i < GH_COUNT(wrong); i++) {
    setenv("GH_RETRY_SECONDS", wrong[i], 1);
    last[0] = 0;
    assert_true(gh_retry_seconds() == 3);
    assert_non_null(strstr(last, "expected 0 to 3600 seconds"));
  }
}

int main(void) {
  gh_log_set_writer(keep, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_only_faults_are_tried_again),
      cmocka_unit_test(test_the_wait_is_bounded),
      cmocka_unit_test(test_a_wrong_setting_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
