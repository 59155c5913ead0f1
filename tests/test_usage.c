/* The energy of the processor from powercap's counters, and the memory of the process. */
#include "support/check.h"
#include "support/scratch.h"

#include "base/file.h"
#include "base/usage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

static void put_zone(const char *name, const char *energy, const char *range) {
  char *zone = gh_format(&err, "%s/powercap/%s", scratch, name);
  check_ok(gh_folder_make(&err, zone));
  check_put(zone, "energy_uj", energy);
  if (range) check_put(zone, "max_energy_range_uj", range);
  free(zone);
}

static void packages(void **state) {
  (void)state;
  gh_energy energy;
  char *folder = check_path(scratch, "powercap");
  gh_energy_open(&energy, folder);
  assert_int_equal(energy.count, 0);
  assert_true(isnan(gh_energy_take(&energy)));
  put_zone("intel-rapl:0", "1000000\n", "9000000\n");
  put_zone("intel-rapl:0:0", "5\n", "9000000\n"); /* a part of the first package */
  put_zone("intel-rapl:1", "8500000\n", "9000000\n");
  put_zone("intel-rapl:2", "100\n", NULL); /* without a range it cannot be read across its end */
  gh_energy_open(&energy, folder);
  assert_int_equal(energy.count, 2);
  put_zone("intel-rapl:0", "3500000\n", NULL);
  put_zone("intel-rapl:1", "500000\n", NULL); /* began anew */
  assert_true(fabs(gh_energy_take(&energy) - (2.5 + 1.0)) < 1e-9);
  assert_true(gh_energy_take(&energy) == 0);
  put_zone("intel-rapl:1", "none\n", NULL);
  assert_true(isnan(gh_energy_take(&energy)));
  gh_energy_close(&energy);
  free(folder);
}

/* Intel's driver counts a GPU's energy, AMD's tells its power. */
static void gpus(void **state) {
  (void)state;
  gh_energy energy;
  char *none = check_path(scratch, "nothing"), *root = check_path(scratch, "pci");
  char *intel = check_path(root, "0000:03:00.0/hwmon/hwmon4"), *amd = check_path(root, "0000:04:00.0/hwmon/hwmon1");
  check_put(intel, "energy1_input", "7000000\n");
  check_put(amd, "power1_average", "150000000\n");
  gh_energy_open(&energy, none);
  gh_energy_add_gpu(&energy, root, "");
  gh_energy_add_gpu(&energy, root, "0000:05:00.0");
  assert_true(isnan(gh_energy_take(&energy)));
  gh_energy_add_gpu(&energy, root, "0000:03:00.0");
  check_put(intel, "energy1_input", "9500000\n");
  assert_true(fabs(gh_energy_take(&energy) - 2.5) < 1e-9);
  gh_energy_close(&energy);
  gh_energy_open(&energy, none);
  gh_energy_add_gpu(&energy, root, "0000:04:00.0");
  energy.since -= 2; /* seconds */
  const double joules = gh_energy_take(&energy);
  assert_true(joules >= 300 && joules < 300 + 150 * 60);
  check_put(amd, "power1_average", "none\n");
  assert_true(isnan(gh_energy_take(&energy)));
  gh_energy_close(&energy);
  free(none);
  free(root);
  free(intel);
  free(amd);
}

static void memory(void **state) {
  (void)state;
  const int64_t before = gh_peak_resident_bytes();
  const size_t size = (size_t)64 << 20;
  assert_true(before > 1 << 20);
  char *block = malloc(size);
  assert_non_null(block);
  memset(block, 1, size);
  assert_true(block[size / 2] == 1);
  assert_true(gh_peak_resident_bytes() - before > (int64_t)size / 2);
  free(block);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(packages), cmocka_unit_test(gpus), cmocka_unit_test(memory)};
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
