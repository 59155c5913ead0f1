/* Results: their form and its schema, which peak a share refers to, the comparison,
 * by values that are worked out by hand. */
#include "support/check.h"
#include "support/results.h"

#include "base/file.h"
#include "bench/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

/* ---- the form ---- */

static void test_schema(void **state) {
  (void)state;
  gh_json *schema = NULL, *committed = NULL;
  check_ok(gh_result_schema(&err, &schema));
  if (getenv("GH_WRITE_SCHEMA"))
    check_ok(gh_json_write_file(&err, GH_FIXTURES "/../../docs/results.schema.json", schema));
  check_ok(gh_json_read_file(&err, &committed, GH_FIXTURES "/../../docs/results.schema.json", 1 << 20));
  assert_true(gh_json_equal(schema, committed)); /* else: GH_WRITE_SCHEMA=1 build/test_results */
  gh_json_free(schema);
  gh_json_free(committed);
}

static void test_every_field_is_described(void **state) {
  (void)state;
  char *text = NULL, name[64];
  check_ok(gh_file_read(&err, GH_FIXTURES "/../../docs/results.md", 1 << 20, &text, NULL));
  for (int f = 0; f < GH_RESULT_COUNT; f++) {
    snprintf(name, sizeof name, "| `%s` |", gh_result_name((gh_result_field)f));
    if (!strstr(text, name)) fail_msg("docs/results.md has no row for %s", name);
  }
  free(text);
}

/* A field's row names every value of its list. */
static void test_every_choice_is_described(void **state) {
  (void)state;
  char *text = NULL, name[64];
  gh_json *schema = NULL;
  int lists = 0;
  check_ok(gh_file_read(&err, GH_FIXTURES "/../../docs/results.md", 1 << 20, &text, NULL));
  check_ok(gh_result_schema(&err, &schema));
  for (const gh_json *f = gh_json_first(gh_json_member(schema, "properties")); f; f = gh_json_next(f)) {
    const gh_json *list = gh_json_member(f, "enum");
    snprintf(name, sizeof name, "\n| `%s` |", gh_json_key(f));
    const char *row = strstr(text, name), *end = row ? strchr(row + 1, '\n') : NULL;
    assert_non_null(end);
    for (const gh_json *item = list ? gh_json_first(list) : NULL; item; item = gh_json_next(item)) {
      const char *choice = "null";
      if (gh_json_type_of(item) != GH_JSON_NULL) check_ok(gh_json_to_string(&err, item, "choice", &choice));
      const char *found = strstr(row, choice);
      if (!found || found > end) fail_msg("docs/results.md, %s: no %s", gh_json_key(f), choice);
    }
    lists += list != NULL;
  }
  assert_int_equal(lists, 8);
  gh_json_free(schema);
  free(text);
}

static void test_round_trip(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_result *row = add_seconds(&rows, "a \"quoted\", op", "opencl:0/cpu", 0.25), back;
  gh_json *json = NULL;
  gh_result_put(row, GH_RESULT_NOISY, 1);
  gh_result_put(row, GH_RESULT_BATCH, 4);
  check_ok(gh_result_to_json(&err, &json, row));
  assert_int_equal(gh_json_count(json), GH_RESULT_COUNT);
  check_ok(gh_result_from_json(&err, &back, "row", json));
  for (int f = 0; f < GH_RESULT_COUNT; f++) {
    const gh_result_field field = (gh_result_field)f;
    if (!gh_result_same(row, &back, &field, 1)) fail_msg("%s differs", gh_result_name(field));
  }
  char *cell = gh_result_csv_cell(&err, row, GH_RESULT_OP);
  assert_string_equal(cell, "\"a \"\"quoted\"\", op\"");
  free(cell);
  cell = gh_result_csv_cell(&err, row, GH_RESULT_NOISY);
  assert_string_equal(cell, "true");
  free(cell);
  cell = gh_result_csv_cell(&err, row, GH_RESULT_REASON);
  assert_string_equal(cell, "");
  free(cell);
  gh_json_free(json);
  gh_result_free(&back);
  gh_results_free(&rows);
}

/* Each changes one field of a good row's JSON. */
static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *key, *value, *text; /* value: JSON; NULL: the key is renamed */
  } table[] = {{"kind", "\"peaks\"", "kind is \"peaks\", which is not in its list"},
               {"value", "null", "a row has a value if and only if its status is ok"},
               {"value", "-1", "value is negative"},
               {"status", "\"unsupported\"", "a row has a value if and only if its status is ok"},
               {"share_of_peak", "1.5", "share_of_peak is above 1 without a share_note"},
               {"schema", "2", "schema 2; this program reads 1"},
               {"hardware", "null", "hardware must not be null"},
               {"batch", "1.5", "batch"},
               {"another", "1", "unknown field another"}};
  gh_results rows = {0};
  gh_result *row = add_seconds(&rows, "op", "opencl:0", 1), back;
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_json *json = NULL, *value = NULL;
    check_ok(gh_result_to_json(&err, &json, row));
    check_ok(gh_json_parse(&err, &value, "value", table[i].value, strlen(table[i].value), 100));
    check_ok(gh_json_put(&err, json, table[i].key, value));
    check_fails(gh_result_from_json(&err, &back, "row 7", json), GH_ERROR_FORMAT, table[i].text);
    assert_non_null(strstr(err.text, "row 7"));
    gh_json_free(json);
  }
  gh_json *empty = gh_json_object(&err);
  check_fails(gh_result_from_json(&err, &back, "row", empty), GH_ERROR_FORMAT, "schema is missing");
  gh_json_free(empty);
  gh_results_free(&rows);
}

/* A last line without its end is what an interrupted write leaves. */
static void test_files(void **state) {
  (void)state;
  char *folder = check_folder(), *path = gh_path_join(&err, folder, "rows.jsonl");
  gh_results rows = {0}, back = {0};
  add_seconds(&rows, "one", "opencl:0", 1);
  add_seconds(&rows, "two", "opencl:0", 2);
  check_fails(gh_results_read(&err, &back, folder), GH_ERROR_FILE, "no file of JSON lines");
  check_ok(gh_results_write(&err, &rows, folder));
  check_ok(gh_results_append(&err, path, rows.items, 1));
  check_ok(gh_file_append(&err, path, "{\"schema\":1,", 12));
  check_ok(gh_results_read(&err, &back, folder));
  assert_int_equal(back.count, 3);
  assert_true(gh_result_is(&back.items[2], GH_RESULT_OP, "one"));
  check_ok(gh_file_append(&err, path, "\n", 1));
  check_fails(gh_results_read(&err, &back, path), GH_ERROR_FORMAT, "rows.jsonl, line 4");
  gh_results_free(&rows);
  gh_results_free(&back);
  free(path);
  check_folder_done(folder);
}

/* ---- shares ---- */

static gh_result *add_rated(gh_results *rows, const char *kind, const char *device, double gflops, double gbytes,
                            double working_set) {
  gh_result *row = add_result(rows, kind, "some", device, 1, "s", "lower");
  gh_result_put(row, GH_RESULT_GFLOPS, gflops);
  gh_result_put(row, GH_RESULT_GBYTES, gbytes);
  gh_result_put(row, GH_RESULT_WORKING_SET, working_set);
  if (!strcmp(kind, "product")) gh_result_put(row, GH_RESULT_NOMINAL, 0);
  return row;
}

static void add_peaks(gh_results *rows) {
  add_peak(rows, "fma", "opencl:0/cpu", 200, 0, NAN);
  add_peak(rows, "fma", "opencl:0/gpu", 20, 0, NAN);
  add_peak(rows, "copy", "opencl:0/cpu", 0, 400, 64 * KIB);
  add_peak(rows, "copy", "opencl:0/cpu", 0, 100, 4 * MIB);
  add_peak(rows, "copy", "opencl:0/gpu", 0, 40, 256 * MIB);
  add_peak(rows, "triad", "opencl:0/gpu", 0, 44, 256 * MIB);
}

/* What a row's share is, by hand. */
static const struct {
  const char *kind, *device;
  double gflops, gbytes, set, share;
  const char *limit, *peak;
} shared[] = {
    {"op", "opencl:0/cpu", 10, 33, 300 * MIB, 0.75, "memory", "triad of 262144 KiB"}, /* 33 of 44 */
    {"op", "opencl:0/gpu", 10, 33, 300 * MIB, 0.75, "memory", "opencl:0/gpu"},        /* one peak for both shapes */
    {"op", "opencl:0/gpu", 10, 50, 8 * MIB, 0.5, "memory", "copy of 4096 KiB"},       /* between two: the smaller set */
    {"op", "opencl:0/gpu", 10, 100, 1 * KIB, 0.25, "memory", "copy of 64 KiB"},       /* below all: the smallest */
    {"op", "opencl:0/gpu", 150, 10, 300 * MIB, 0.75, "arithmetic", "fma"},
    {"product", "opencl:0/gpu", 150, 10, 300 * MIB, 0.75, "arithmetic", "opencl:0/cpu"},
};

static void test_shares(void **state) {
  (void)state;
  gh_results rows = {0};
  add_peaks(&rows);
  const size_t first = rows.count;
  for (size_t i = 0; i < GH_COUNT(shared); i++)
    add_rated(&rows, shared[i].kind, shared[i].device, shared[i].gflops, shared[i].gbytes, shared[i].set);
  check_ok(gh_results_share(&err, &rows));
  for (size_t i = 0; i < GH_COUNT(shared); i++) {
    const gh_result *row = &rows.items[first + i];
    if (!(fabs(gh_result_number(row, GH_RESULT_SHARE) - shared[i].share) < 1e-12))
      fail_msg("row %zu: a share of %g", i, gh_result_number(row, GH_RESULT_SHARE));
    assert_string_equal(gh_result_text(row, GH_RESULT_LIMIT), shared[i].limit);
    assert_non_null(strstr(gh_result_text(row, GH_RESULT_PEAK), shared[i].peak));
    assert_true(gh_result_number(row, GH_RESULT_PEAK_SPREAD) == 0.02);
    assert_string_equal(gh_result_text(row, GH_RESULT_SHARE_NOTE), "");
  }
  assert_true(isnan(gh_result_number(&rows.items[0], GH_RESULT_SHARE))); /* a peak has none */
  gh_results_free(&rows);
}

/* A faster product is the peak itself; traffic above the memory's is explained; other hardware and clocks have no
 * share. */
static void test_shares_above_the_probes(void **state) {
  (void)state;
  gh_results rows = {0};
  add_peaks(&rows);
  const size_t first = rows.count;
  add_rated(&rows, "product", "opencl:0/cpu", 250, 1, 300 * MIB);
  add_rated(&rows, "product", "opencl:0/gpu", 125, 1, 300 * MIB);
  set_text(add_rated(&rows, "product", "opencl:0/cpu", 1000, 1, 300 * MIB), GH_RESULT_DTYPE, "bf16");
  add_rated(&rows, "op", "opencl:0/cpu", 1, 88, 300 * MIB);
  add_rated(&rows, "op", "opencl:0/cpu", 500, 1, 300 * MIB);
  set_text(add_rated(&rows, "op", "opencl:1", 1, 1, 300 * MIB), GH_RESULT_HARDWARE, "Another");
  set_text(add_rated(&rows, "op", "opencl:0/cpu", 1, 1, 300 * MIB), GH_RESULT_CLOCK, "processor");
  check_ok(gh_results_share(&err, &rows));
  static const double shares[] = {1, 0.5, 1, 2, 2, NAN, NAN};
  static const char *const notes[] = {"", "", "", "above what copy", "estimate", "no peak", "no peak"};
  for (size_t i = 0; i < GH_COUNT(shares); i++) {
    const double share = gh_result_number(&rows.items[first + i], GH_RESULT_SHARE);
    if (!(isnan(shares[i]) ? isnan(share) : fabs(share - shares[i]) < 1e-12)) fail_msg("row %zu: %g", i, share);
    const char *note = gh_result_text(&rows.items[first + i], GH_RESULT_SHARE_NOTE);
    assert_true(*notes[i] ? strstr(note, notes[i]) != NULL : !*note);
  }
  gh_results_free(&rows);
}

/* Other work hides a limit, so the peak is that of the fastest repeat; a row's own rate is its median's. */
static void test_peaks_are_of_the_fastest_repeat(void **state) {
  (void)state;
  gh_results rows = {0};
  add_peaks(&rows);
  gh_result_put(&rows.items[0], GH_RESULT_MAXIMUM, 400); /* of 200 GFLOP/s */
  gh_result_put(add_rated(&rows, "product", "opencl:0/cpu", 300, 1, 300 * MIB), GH_RESULT_MINIMUM, 0.6); /* of 1 s */
  check_ok(gh_results_share(&err, &rows));
  const gh_result *row = &rows.items[rows.count - 1];
  assert_true(fabs(gh_result_number(row, GH_RESULT_SHARE) - 0.6) < 1e-12);
  assert_true(fabs(gh_result_number(row, GH_RESULT_PEAK_VALUE) - 500) < 1e-9);
  assert_true(gh_result_best_rate(&rows.items[0], GH_RESULT_GFLOPS) == 400);
  assert_true(gh_result_best_rate(&rows.items[1], GH_RESULT_GFLOPS) == 20);
  gh_results_free(&rows);
}

/* A product whose algorithm computes less than it counts is no peak, whatever the op's name; a convolution that
 * computes everything is one. */
static void test_nominal_counts_are_no_peaks(void **state) {
  (void)state;
  gh_results rows = {0};
  add_peaks(&rows);
  const size_t first = rows.count;
  gh_result_put(add_rated(&rows, "product", "opencl:0/cpu", 500, 1, 300 * MIB), GH_RESULT_NOMINAL, 1);
  set_text(add_rated(&rows, "product", "opencl:0/cpu", 250, 1, 300 * MIB), GH_RESULT_OP, "conv2d");
  gh_result_put(add_rated(&rows, "product", "opencl:0/cpu", 125, 1, 300 * MIB), GH_RESULT_NOMINAL, NAN);
  check_ok(gh_results_share(&err, &rows));
  static const double shares[] = {2, 1, 0.5};
  for (size_t i = 0; i < GH_COUNT(shares); i++) {
    const double share = gh_result_number(&rows.items[first + i], GH_RESULT_SHARE);
    if (!(fabs(share - shares[i]) < 1e-12)) fail_msg("row %zu: %g", i, share);
  }
  assert_string_equal(gh_result_text(&rows.items[first], GH_RESULT_SHARE_NOTE),
                      "the algorithm computes less than is counted");
  gh_results_free(&rows);
}

/* Rows of earlier versions lack the field: convolutions were nominal by their name, other products exact. */
static void test_earlier_rows_are_read(void **state) {
  (void)state;
  static const struct {
    const char *kind, *op;
    double nominal;
  } table[] = {{"product", "conv2d", 1}, {"product", "linear", 0}, {"peak", "fma", 0}, {"op", "rmsnorm", NAN}};
  gh_results rows = {0};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_result *row = add_result(&rows, table[i].kind, table[i].op, "opencl:0", 1, "s", "lower"), back;
    gh_json *json = NULL, *earlier = gh_json_object(&err);
    check_ok(gh_result_to_json(&err, &json, row));
    for (const gh_json *item = gh_json_first(json); item; item = gh_json_next(item)) {
      gh_json *copy = NULL;
      if (!strcmp(gh_json_key(item), "flop_nominal")) continue;
      check_ok(gh_json_copy(&err, &copy, item));
      check_ok(gh_json_put(&err, earlier, gh_json_key(item), copy));
    }
    check_ok(gh_result_from_json(&err, &back, "row", earlier));
    const double nominal = gh_result_number(&back, GH_RESULT_NOMINAL);
    assert_true(isnan(table[i].nominal) ? isnan(nominal) : nominal == table[i].nominal);
    gh_result_free(&back);
    gh_json_free(json);
    gh_json_free(earlier);
  }
  gh_results_free(&rows);
}

/* ---- the comparison ---- */

static void test_gate(void **state) {
  (void)state;
  gh_results first = {0}, second = {0};
  gh_pairs pairs;
  static const char *const ops[] = {"slower", "faster", "same", "gone", "left out", "absent"};
  for (size_t i = 0; i < GH_COUNT(ops); i++) add_seconds(&first, ops[i], "opencl:0", 1);
  gh_result_put(&first.items[0], GH_RESULT_MINIMUM, 0.9);
  gh_result_put(&first.items[0], GH_RESULT_MAXIMUM, 1.1);
  gh_result *slower = add_seconds(&second, "slower", "opencl:0", 1.06);
  gh_result_put(slower, GH_RESULT_MINIMUM, 0.99);
  gh_result_put(slower, GH_RESULT_MAXIMUM, 1.17);
  add_seconds(&second, "faster", "opencl:0", 0.5);
  add_seconds(&second, "same", "opencl:0", 1.04);
  const char *const outcomes[] = {"unsupported", "skipped"};
  for (size_t i = 0; i < 2; i++) {
    gh_result *row = add_seconds(&second, ops[3 + i], "opencl:0", NAN);
    check_ok(gh_result_outcome(&err, row, outcomes[i], "why"));
  }
  check_ok(gh_results_join(&err, &first, &second, 0.05, &pairs));
  assert_int_equal(pairs.count, 6);
  const size_t counts[] = {
      [GH_VERDICT_SAME] = 1, [GH_VERDICT_WORSE] = 2, [GH_VERDICT_BETTER] = 1, [GH_VERDICT_MISSING] = 2};
  for (size_t v = 0; v < GH_COUNT(counts); v++) assert_int_equal(pairs.counts[v], counts[v]);
  assert_true(gh_result_is(pairs.items[0].first, GH_RESULT_OP, "gone"));
  assert_true(fabs(pairs.items[1].ratio - 1.06) < 1e-12);
  assert_true(fabs(pairs.items[1].low - 0.99 / 1.1) < 1e-12 && fabs(pairs.items[1].high - 1.17 / 0.9) < 1e-12);
  gh_pairs_free(&pairs);
  check_ok(gh_results_join(&err, &first, &second, 0.07, &pairs));
  assert_int_equal(pairs.counts[GH_VERDICT_WORSE], 1);
  gh_pairs_free(&pairs);
  gh_results_free(&first);
  gh_results_free(&second);
}

/* A rate that falls is worse; devices that differ are joined if there is one each. */
static void test_gate_of_devices(void **state) {
  (void)state;
  gh_results first = {0}, second = {0};
  gh_pairs pairs;
  add_result(&first, "step", "stage 2", "opencl:0", 10, "images/s", "higher");
  add_result(&second, "step", "stage 2", "opencl:1", 8, "images/s", "higher");
  check_ok(gh_results_join(&err, &first, &second, 0.05, &pairs));
  assert_false(pairs.same_places);
  assert_true(pairs.items[0].verdict == GH_VERDICT_WORSE && fabs(pairs.items[0].ratio - 1.25) < 1e-12);
  gh_pairs_free(&pairs);
  add_result(&second, "step", "stage 2", "opencl:2", 8, "images/s", "higher");
  check_fails(gh_results_join(&err, &first, &second, 0.05, &pairs), GH_ERROR_ARGUMENT, "no device in common");
  gh_results_free(&second);
  add_result(&second, "step", "stage 1", "opencl:0", 8, "images/s", "higher");
  check_fails(gh_results_join(&err, &first, &second, 0.05, &pairs), GH_ERROR_ARGUMENT, "no measurement in common");
  gh_results_free(&first);
  gh_results_free(&second);
}

/* Drift is rounding: worse is ten times as much, and above what rounding gives. From 0 to more is infinitely worse. */
static void test_gate_of_drift(void **state) {
  (void)state;
  static const struct {
    const char *dtype;
    double first, second;
    gh_verdict verdict;
  } table[] = {{"f32", 0, 0, GH_VERDICT_SAME},       {"f32", 0, 5e-7, GH_VERDICT_SAME},
               {"f32", 0, 1e-4, GH_VERDICT_WORSE},   {"f32", 3e-7, 9e-7, GH_VERDICT_SAME},
               {"f32", 1e-6, 9e-6, GH_VERDICT_SAME}, {"f32", 1e-6, 2e-5, GH_VERDICT_WORSE},
               {"bf16", 0, 2.7e-3, GH_VERDICT_SAME}, {"bf16", 1e-3, 0.05, GH_VERDICT_WORSE},
               {"f32", 1e-4, 0, GH_VERDICT_BETTER}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_results first = {0}, second = {0};
    gh_pairs pairs;
    set_text(add_result(&first, "drift", "loss", "opencl:0", table[i].first, "relative", "lower"), GH_RESULT_DTYPE,
             table[i].dtype);
    set_text(add_result(&second, "drift", "loss", "opencl:0", table[i].second, "relative", "lower"), GH_RESULT_DTYPE,
             table[i].dtype);
    gh_result_put(&second.items[0], GH_RESULT_NOISY, 1);
    check_ok(gh_results_join(&err, &first, &second, 0.05, &pairs));
    if (pairs.items[0].verdict != table[i].verdict) fail_msg("%g to %g", table[i].first, table[i].second);
    assert_true(pairs.items[0].noisy);
    gh_pairs_free(&pairs);
    gh_results_free(&first);
    gh_results_free(&second);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schema),
      cmocka_unit_test(test_every_field_is_described),
      cmocka_unit_test(test_every_choice_is_described),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_shares),
      cmocka_unit_test(test_shares_above_the_probes),
      cmocka_unit_test(test_peaks_are_of_the_fastest_repeat),
      cmocka_unit_test(test_nominal_counts_are_no_peaks),
      cmocka_unit_test(test_earlier_rows_are_read),
      cmocka_unit_test(test_gate),
      cmocka_unit_test(test_gate_of_devices),
      cmocka_unit_test(test_gate_of_drift),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
