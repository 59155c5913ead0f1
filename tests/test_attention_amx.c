/* Attention on a CPU's AMX tiles, emulated (cl/tuned_attention_amx.cl) on a CPU that has none; and the emulation on
 * every CPU. */
#include "support/attention_matrix.h"
#include "support/check.h"
#include "support/on_device.h"

static const char *const emulation = "-DUNIT_AMX -DUNIT_EMULATED";

static bool emulated_fits(const gh_attention_desc *desc, const gh_device *d) {
  return gh_attention_fits(desc, d, emulation);
}

/* Work-items of more than one block of rows, the last one incomplete, with one chunk of the other side and several. */
static const attention_sizes cases[] = {
    {2, 257, 257, 8, 64, false, 0.125, 0, 0},
    {4, 67, 300, 4, 72, true, 0.2, 0, 0},
    {2, 97, 1031, 5, 128, false, 0.1, 1000, 95},
    {1, 1031, 97, 9, 80, true, 0.15, 31, 60},
};

static void test_emulation(void **state) {
  (void)state;
  if (!device->info.is_cpu) skip();
  OK(gh_attention_check(&err, device, GH_BF16, 64, false, emulation));
  OK(gh_attention_check(&err, device, GH_BF16, 72, true, emulation));
}

/* Only a CPU with AMX offers it, with the CPU's shape of kernels. */
static void test_where_it_is_offered(void **state) {
  (void)state;
  gh_device_info info = {.shape = GH_SHAPE_CPU, .is_cpu = true};
  assert_null(gh_attention_unit_of(&info));
  info.amx = true;
  assert_string_equal(gh_attention_unit_of(&info), "-DUNIT_AMX");
  info.shape = GH_SHAPE_GPU;
  assert_null(gh_attention_unit_of(&info));
}

int main(void) {
  const attention_matrix_unit unit = {.shape = GH_SHAPE_CPU,
                                      .emulated = {{"matrix", "emulated"}, emulation, emulated_fits},
                                      .more = cases,
                                      .more_count = GH_COUNT(cases)};
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_where_it_is_offered), cmocka_unit_test(test_emulation)};
  const int failed = cmocka_run_group_tests(tests, open_device, close_device);
  const bool cpu = !open_device(NULL) && device->info.is_cpu;
  close_device(NULL);
  return failed + (cpu ? attention_matrix_tests(&unit) : 0);
}
