/* Attention on AMD's and Intel's matrix units without such a device: the kernels' own index arithmetic around a model
 * of each unit, which replaces the instructions (cl/attention_matrix_units.h). All three parts, causal and not, with a
 * mask, in bfloat16 and in float16, against the shared kernels, which test_attention compares with float64. */
#include <stdlib.h>

#include "backend/chooser/attention_internal.h"
#include "support/on_device.h"

static const char *const mfma = "-DUNIT_MFMA -DUNIT_EMULATED", *const wmma = "-DUNIT_WMMA -DUNIT_EMULATED";
static const char *const dpas16 = "-DUNIT_DPAS16 -DUNIT_EMULATED", *const dpas8 = "-DUNIT_DPAS8 -DUNIT_EMULATED";

static void run(const char *unit, int64_t size, gh_dtype dtype, bool masked) {
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, dtype, 1, 5, 5, 1, size, masked ? 5 : 0, false};
  if (!gh_attention_fits(&desc, device, unit)) skip();
  OK(gh_attention_check(&err, device, dtype, size, masked, unit));
}

/* A size that is no multiple of 16; and one whose dk and dv keep the wave's rows in local memory. */
static void test_mfma(void **state) {
  (void)state;
  run(mfma, 72, GH_BF16, true);
  run(mfma, 128, GH_F16, false);
}
static void test_wmma(void **state) {
  (void)state;
  run(wmma, 128, GH_BF16, true);
  run(wmma, 64, GH_F16, false);
}
/* A size that is no multiple of 16; and one whose dk and dv are computed by different work-groups. */
static void test_dpas8(void **state) {
  (void)state;
  run(dpas8, 72, GH_BF16, true);
  run(dpas8, 80, GH_F16, false);
}
static void test_dpas16(void **state) {
  (void)state;
  run(dpas16, 128, GH_BF16, true);
  run(dpas16, 72, GH_F16, true);
}

/* A work-group needs all of AMD's local memory, and of an Arc's. */
static void test_what_fits(void **state) {
  (void)state;
  const gh_attention_desc desc = {GH_ATTENTION_FORWARD, GH_BF16, 1, 5, 5, 1, 64, 0, false},
                          odd = {.dtype = GH_BF16, .size = 65}, half = {.dtype = GH_F16, .size = 64};
  gh_device d = {.info = {.shape = GH_SHAPE_GPU, .max_group = 256, .local_bytes = 64 << 10}};
  assert_true(gh_attention_fits(&desc, &d, mfma));
  assert_true(gh_attention_fits(&half, &d, mfma));
  assert_false(gh_attention_fits(&half, &d, "-DUNIT_AMX"));
  assert_false(gh_attention_fits(&odd, &d, mfma));
  d.info.max_group = 128;
  assert_false(gh_attention_fits(&desc, &d, mfma));
  assert_true(gh_attention_fits(&desc, &d, wmma));
  assert_true(gh_attention_fits(&desc, &d, dpas8));
  assert_true(gh_attention_fits(&desc, &d, dpas16));
  d.info.local_bytes = 48 << 10;
  assert_false(gh_attention_fits(&desc, &d, wmma));
  assert_false(gh_attention_fits(&desc, &d, dpas8));
  assert_true(gh_attention_fits(&desc, &d, "-DUNIT_MMA"));
  assert_null(gh_attention_unit(GH_MATRIX_NONE));
}

int main(void) {
  setenv("GH_KERNEL_SHAPE", "gpu", 1);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_fits), cmocka_unit_test(test_mfma),
                                     cmocka_unit_test(test_wmma), cmocka_unit_test(test_dpas8),
                                     cmocka_unit_test(test_dpas16)};
  return cmocka_run_group_tests(tests, open_device, close_device);
}
