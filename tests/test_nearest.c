/* nearest_row where the products do not fit in one piece: the same indices from several parts; and inputs that it
 * rejects. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/registry.h"
#include "ops/ops.h"
#include "support/check.h"

#define ROWS    700
#define ENTRIES 1000
#define COLUMNS 6

static gh_error err;

/* Whole numbers: every sum is exact, and many entries are at the same distance. */
static void fill(float *values, int64_t n, uint64_t seed) {
  for (int64_t i = 0; i < n; i++) values[i] = (float)(check_random(&seed) % 9) - 4;
}

static int32_t nearest(const float *x, const float *table) {
  int32_t at = 0;
  float least = 0;
  for (int32_t k = 0; k < ENTRIES; k++) {
    float distance = 0;
    for (int c = 0; c < COLUMNS; c++) {
      float d = x[c] - table[k * COLUMNS + c];
      distance += d * d;
    }
    if (k && !(distance < least)) continue;
    at = k;
    least = distance;
  }
  return at;
}

static void check_parts(const char *shape, const char *mib, int64_t scratch) {
  gh_device *device;
  gh_store *store;
  gh_graph *g;
  gh_tensor *x, *table;
  static float rows[ROWS * COLUMNS], entries[ENTRIES * COLUMNS];
  static int32_t got[ROWS];
  const char *id = getenv("GH_TEST_DEVICE");
  if (!check_has_shape(shape)) return;
  setenv("GH_KERNEL_SHAPE", shape, 1);
  if (mib) setenv("GH_MAX_BUFFER_MIB", mib, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &device));
  unsetenv("GH_MAX_BUFFER_MIB");
  fill(rows, GH_COUNT(rows), 1);
  fill(entries, GH_COUNT(entries), 2);
  check_ok(gh_store_create(&err, device, &store));
  check_ok(gh_store_add(&err, store, "x", GH_F32, 2, (int64_t[]){ROWS, COLUMNS}, &x));
  check_ok(gh_store_add(&err, store, "table", GH_F32, 2, (int64_t[]){ENTRIES, COLUMNS}, &table));
  check_ok(gh_tensor_write(&err, device, x, rows));
  check_ok(gh_tensor_write(&err, device, table, entries));
  check_ok(gh_graph_create(&err, device, &g));
  gh_tensor *index = gh_nearest_row(g, x, table);
  assert_non_null(index);
  assert_int_equal(gh_tensor_elements(index->producer->scratch), scratch);
  gh_graph_keep(g, index);
  check_ok(gh_graph_plan(&err, g));
  check_ok(gh_graph_run(&err, g));
  check_ok(gh_tensor_read(&err, device, index, got));
  for (int i = 0; i < ROWS; i++) assert_int_equal(got[i], nearest(rows + i * COLUMNS, entries));
  gh_graph_free(g);
  gh_store_free(store);
  gh_device_close(device);
}

/* A buffer of one MiB holds 262 rows of the products, one of which is for the squares: three parts of 234, then 232. */
static void parts(void **state) {
  (void)state;
  static const char *const shapes[] = {"cpu", "gpu"};
  for (size_t i = 0; i < GH_COUNT(shapes); i++) {
    check_parts(shapes[i], NULL, (ROWS + 1) * ENTRIES);
    check_parts(shapes[i], "1", (234 + 1) * ENTRIES);
  }
}

static void rejected(void **state) {
  (void)state;
  static const struct {
    int rank;
    int64_t x[3], table[2];
    gh_dtype dtype;
    const char *message;
  } cases[] = {{2, {3, 4}, {5, 6}, GH_F32, "rows of 4 and of 6 numbers"},
               {3, {2, 3, 4}, {5, 4}, GH_F32, "input 0 must have 2 dimensions"},
               {2, {3, 1}, {GH_NEAREST_ROWS + 1, 1}, GH_F32, "more than 16777216 rows"},
               {2, {3, 4}, {5, 4}, GH_BF16, "must be float32"}};
  gh_device *device;
  check_ok(gh_device_open(&err, "auto", &device));
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_store *store;
    gh_graph *g;
    gh_tensor *x, *table;
    check_ok(gh_store_create_unbacked(&err, device, &store));
    check_ok(gh_store_add(&err, store, "x", cases[i].dtype, cases[i].rank, cases[i].x, &x));
    check_ok(gh_store_add(&err, store, "table", GH_F32, 2, cases[i].table, &table));
    check_ok(gh_graph_create(&err, device, &g));
    assert_null(gh_nearest_row(g, x, table));
    check_fails(gh_graph_plan(&err, g), GH_ERROR_CONFIG, cases[i].message);
    gh_graph_free(g);
    gh_store_free(store);
  }
  gh_device_close(device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(parts), cmocka_unit_test(rejected)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
