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
  const struct CMUnitTest tests[] = {cmocka_unit_test(packages), cmocka_unit_test(memory)};
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
