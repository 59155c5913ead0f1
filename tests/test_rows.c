/* Sums and maxima over the lanes of a row: with sub-groups of every width they have the bits of the tree, which is
 * computed here again (cl/row_reduce.h). A CPU emulates the sub-groups; a GPU, and the CUDA double's interpreter of
 * PTX, use their instructions. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/registry.h"
#include "cl/launch.h"
#include "support/on_device.h"

enum { GROUPS = 3, ITEMS = GROUPS * GROUP_ITEMS, RESULTS = 4 };

static float x[ITEMS], results[RESULTS][ITEMS]; /* sum, sum by the tree, maximum, maximum by the tree */

/* Magnitudes so different that every order of a sum gives other bits. */
static void fill_numbers(void) {
  uint32_t state = 1;
  for (int i = 0; i < ITEMS; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = ldexpf((float)(state >> 8) / 16777216.0f - 0.5f, (int)(state >> 3 & 15));
  }
}

static float tree(const float *row, int lanes, bool maximum) {
  float v[GROUP_ITEMS];
  memcpy(v, row, (size_t)lanes * sizeof *v);
  for (int step = lanes / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) v[i] = maximum ? fmaxf(v[i], v[i + step]) : v[i] + v[i + step];
  return v[0];
}

static void launch(gh_device *d, const char *defines, int lanes) {
  const gh_backend *backend = d->backend;
  gh_buffer *buffers[RESULTS + 1];
  gh_arg args[RESULTS + 1];
  for (int i = 0; i <= RESULTS; i++) {
    OK(backend->buffer_create(&err, d, sizeof x, &buffers[i]));
    args[i] = gh_arg_buffer(buffers[i]);
  }
  OK(backend->write(&err, d, buffers[RESULTS], 0, x, sizeof x));
  const gh_kernel_id id = {.name = "row_reductions", .source = "tuned_rows", .defines = defines, .dtype = GH_F32};
  const gh_grid grid = {{GROUPS, 1, 1}, {(size_t)lanes, (size_t)(GROUP_ITEMS / lanes), 1}};
  gh_launch *bound;
  OK(backend->bind_kernel(&err, d, &id, &grid, args, RESULTS + 1, &bound));
  OK(backend->enqueue(&err, d, bound));
  for (int i = 0; i < RESULTS; i++) OK(backend->read(&err, d, buffers[i], 0, results[i], sizeof x));
  backend->launch_free(bound);
  for (int i = 0; i <= RESULTS; i++) backend->buffer_free(buffers[i]);
}

static void check_rows(const char *defines, int lanes) {
  for (int i = 0; i < ITEMS; i++) {
    const float *row = x + i / lanes * lanes;
    const float want[] = {tree(row, lanes, false), tree(row, lanes, true)};
    for (int k = 0; k < RESULTS; k++)
      if (memcmp(&results[k][i], &want[k / 2], sizeof *want))
        fail_msg("%s, rows of %d lanes, lane %d: result %d is %a, not %a", defines, lanes, i % lanes, k, results[k][i],
                 want[k / 2]);
  }
}

/* Rows shorter than a sub-group and longer ones. What the programs of a device with sub-groups are compiled with stays;
 * a CPU emulates any width. */
static void test_bits(void **state) {
  static const struct { int width, lanes; } cases[] = {{8, 4}, {8, 64}, {32, 16}, {32, 256}};
  (void)state;
  gh_device *d = open_as("/gpu");
  if (!d) skip();
  const bool own = d->info.sub_group > 1;
  fill_numbers();
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char defines[32] = "";
    if (!own) snprintf(defines, sizeof defines, "-DSUB_GROUP=%d", cases[i].width);
    launch(d, defines, cases[i].lanes);
    check_rows(defines, cases[i].lanes);
  }
  printf("%s: %s\n", d->info.id, own ? "its own sub-groups" : "emulated sub-groups");
  gh_device_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_bits, open_device, close_device)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
