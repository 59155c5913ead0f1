/* What the benchmarks run: every op of the table, and an end to their time. */
#include "support/on_device.h"

#include "base/log.h"
#include "bench/case.h"
#include "bench/measure.h"
#include "bench/ops.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* What only a gradient is made of runs with the op that it belongs to; views launch nothing. */
static bool is_part(const gh_op *op) {
  static const char *const parts[] = {"attention_delta", "column_dot",     "column_sum",
                                      "constant",        "groupnorm_sums", "matmul"};
  for (size_t i = 0; i < GH_COUNT(parts); i++)
    if (!strcmp(op->name, parts[i])) return true;
  return strstr(op->name, "_backward") || (op->flags & GH_OP_VIEW);
}

static void test_every_op_has_a_case(void **state) {
  (void)state;
  for (int i = 0; gh_ops[i]; i++) {
    const char *label;
    int cases = 0;
    for (int k = 0; k < gh_op_case_count(); k++) cases += !strcmp(gh_op_case_name(k, &label), gh_ops[i]->name);
    if (!cases && !is_part(gh_ops[i])) fail_msg("`bench ops` has no case of %s", gh_ops[i]->name);
  }
}

/* The small ones run here, in every type that they have; each pass that runs has a time. */
static void test_small_cases_run(void **state) {
  (void)state;
  static const char *const small[] = {"cast",       "count_rows",   "exp_scale", "fft2d",
                                      "loss_scale", "random_index", "rmsnorm"};
  static const gh_dtype types[] = {GH_F32, GH_BF16, GH_F16};
  const gh_bench_repeats how = {.repeats = 1, .most_at_once = 1};
  for (int k = 0; k < gh_op_case_count(); k++)
    for (size_t n = 0; n < GH_COUNT(small) * GH_COUNT(types); n++) {
      const char *label, *name = gh_op_case_name(k, &label);
      const gh_dtype type = types[n % GH_COUNT(types)];
      gh_op_bench times;
      if (strcmp(name, small[n / GH_COUNT(types)]) || !gh_op_case_has(k, type)) continue;
      OK(gh_op_case_run(&err, device, k, 2, type, &how, &times));
      if (!times.forward.sample.repeats) fail_msg("%s, %s: nothing ran", name, label);
    }
}

/* Past its end a measurement stops before its next repeat, as after a signal; without one it goes on. */
static void test_time_ends(void **state) {
  (void)state;
  OK(gh_bench_go_on(&err));
  gh_bench_until(gh_now() - 1);
  assert_int_equal(gh_bench_go_on(&err), GH_ERROR_STOPPED);
  assert_string_equal(err.text, "the time is over");
  gh_bench_until(INFINITY);
  OK(gh_bench_go_on(&err));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_op_has_a_case),
      cmocka_unit_test(test_small_cases_run),
      cmocka_unit_test(test_time_ends),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
