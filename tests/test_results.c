/* Results: their form and its schema, which peak a share refers to, the comparison, and the portability metric by
 * values that are worked out by hand or are those of the P3 analysis library's own tests. */
#include "support/check.h"

#include "base/file.h"
#include "bench/gate.h"
#include "bench/study.h"
#include "report/portability.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

static gh_result *add(gh_results *rows, const char *kind, const char *op, const char *device, double value,
                      const char *unit, const char *better) {
  gh_result *row = gh_results_add(&err, rows);
  const struct {
    gh_result_field field;
    const char *text;
  } texts[] = {{GH_RESULT_APPLICATION, "genhance"},
               {GH_RESULT_BACKEND, "opencl"},
               {GH_RESULT_PLATFORM, "Runtime"},
               {GH_RESULT_DEVICE, device},
               {GH_RESULT_HARDWARE, "Chip (host)"},
               {GH_RESULT_KIND, kind},
               {GH_RESULT_OP, op},
               {GH_RESULT_UNIT, unit},
               {GH_RESULT_BETTER, better},
               {GH_RESULT_CLOCK, "wall"},
               {GH_RESULT_DTYPE, "f32"},
               {GH_RESULT_STATUS, "ok"},
               {GH_RESULT_COMMIT, "abc"},
               {GH_RESULT_DATE, "2026-01-31T12:00:00Z"}};
  assert_non_null(row);
  for (size_t i = 0; i < GH_COUNT(texts); i++) check_ok(gh_result_set(&err, row, texts[i].field, texts[i].text));
  gh_result_put(row, GH_RESULT_VALUE, value);
  return row;
}

static gh_result *add_seconds(gh_results *rows, const char *op, const char *device, double seconds) {
  return add(rows, "op", op, device, seconds, "s", "lower");
}

static void set(gh_result *row, gh_result_field field, const char *text) {
  check_ok(gh_result_set(&err, row, field, text));
}

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

static void add_peak(gh_results *rows, const char *op, const char *device, double gflops, double gbytes,
                     double working_set) {
  gh_result *row =
      add(rows, "peak", op, device, gflops > 0 ? gflops : gbytes, gflops > 0 ? "GFLOP/s" : "GB/s", "higher");
  gh_result_put(row, GH_RESULT_GFLOPS, gflops > 0 ? gflops : NAN);
  gh_result_put(row, GH_RESULT_GBYTES, gbytes > 0 ? gbytes : NAN);
  gh_result_put(row, GH_RESULT_WORKING_SET, working_set);
  gh_result_put(row, GH_RESULT_SPREAD, 0.02);
  if (gflops > 0) gh_result_put(row, GH_RESULT_NOMINAL, 0);
}

static gh_result *add_rated(gh_results *rows, const char *kind, const char *device, double gflops, double gbytes,
                            double working_set) {
  gh_result *row = add(rows, kind, "some", device, 1, "s", "lower");
  gh_result_put(row, GH_RESULT_GFLOPS, gflops);
  gh_result_put(row, GH_RESULT_GBYTES, gbytes);
  gh_result_put(row, GH_RESULT_WORKING_SET, working_set);
  if (!strcmp(kind, "product")) gh_result_put(row, GH_RESULT_NOMINAL, 0);
  return row;
}

#define KIB 1024.0
#define MIB (1024 * KIB)

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
  set(add_rated(&rows, "product", "opencl:0/cpu", 1000, 1, 300 * MIB), GH_RESULT_DTYPE, "bf16");
  add_rated(&rows, "op", "opencl:0/cpu", 1, 88, 300 * MIB);
  add_rated(&rows, "op", "opencl:0/cpu", 500, 1, 300 * MIB);
  set(add_rated(&rows, "op", "opencl:1", 1, 1, 300 * MIB), GH_RESULT_HARDWARE, "Another");
  set(add_rated(&rows, "op", "opencl:0/cpu", 1, 1, 300 * MIB), GH_RESULT_CLOCK, "processor");
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

/* A product whose algorithm computes less than it counts is no peak, whatever the op's name; a convolution that
 * computes everything is one. */
static void test_nominal_counts_are_no_peaks(void **state) {
  (void)state;
  gh_results rows = {0};
  add_peaks(&rows);
  const size_t first = rows.count;
  gh_result_put(add_rated(&rows, "product", "opencl:0/cpu", 500, 1, 300 * MIB), GH_RESULT_NOMINAL, 1);
  set(add_rated(&rows, "product", "opencl:0/cpu", 250, 1, 300 * MIB), GH_RESULT_OP, "conv2d");
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
    gh_result *row = add(&rows, table[i].kind, table[i].op, "opencl:0", 1, "s", "lower"), back;
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
  add(&first, "step", "stage 2", "opencl:0", 10, "images/s", "higher");
  add(&second, "step", "stage 2", "opencl:1", 8, "images/s", "higher");
  check_ok(gh_results_join(&err, &first, &second, 0.05, &pairs));
  assert_false(pairs.same_places);
  assert_true(pairs.items[0].verdict == GH_VERDICT_WORSE && fabs(pairs.items[0].ratio - 1.25) < 1e-12);
  gh_pairs_free(&pairs);
  add(&second, "step", "stage 2", "opencl:2", 8, "images/s", "higher");
  check_fails(gh_results_join(&err, &first, &second, 0.05, &pairs), GH_ERROR_ARGUMENT, "no device in common");
  gh_results_free(&second);
  add(&second, "step", "stage 1", "opencl:0", 8, "images/s", "higher");
  check_fails(gh_results_join(&err, &first, &second, 0.05, &pairs), GH_ERROR_ARGUMENT, "no measurement in common");
  gh_results_free(&first);
  gh_results_free(&second);
}

/* ---- portability ---- */

/* The figures of merit (seconds) of two programs on five platforms in the P3 analysis library's test of pp(). 0: none.
 */
static const double p3_seconds[2][5] = {{25, 12.5, 25, 5, 5}, {25, 10, 12.5, 5, 1}};
static const double p3_efficiencies[2][5] = {{1, 0.8, 0.5, 1, 0.2}, {1, 1, 1, 1, 1}};

static void add_p3(gh_results *rows, const char *application, const double *seconds, int platforms) {
  for (int h = 0; h < platforms; h++) {
    char hardware[16];
    snprintf(hardware, sizeof hardware, "platform %c", 'A' + h);
    if (seconds[h] == 0) continue;
    gh_result *row = add_seconds(rows, "test", "opencl:0", seconds[h]);
    set(row, GH_RESULT_APPLICATION, application);
    set(row, GH_RESULT_HARDWARE, hardware);
    gh_result_put(row, GH_RESULT_SHARE, 0.5);
  }
}

static void test_metric(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const double missing[5] = {25, 12.5, 25, 0, 5};
  add_p3(&rows, "latest", p3_seconds[0], 5);
  add_p3(&rows, "best", p3_seconds[1], 5);
  add_p3(&rows, "dummy", missing, 5);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  assert_int_equal(study.count, 1);
  assert_int_equal(study.platforms.count, 5);
  const gh_study_problem *p = &study.problems[0];
  const struct {
    const char *name;
    double pp, arch;
  } wanted[] = {{"best, opencl", 1, 0.5}, {"dummy, opencl", 0, 0}, {"latest, opencl", 5 / 10.25, 0.5}}; /* 0.4878 */
  for (size_t a = 0; a < GH_COUNT(wanted); a++) {
    assert_string_equal(study.applications.items[a], wanted[a].name);
    assert_true(fabs(gh_study_pp(&study, p, a, GH_EFFICIENCY_APP) - wanted[a].pp) < 1e-12);
    assert_true(fabs(gh_study_pp(&study, p, a, GH_EFFICIENCY_ARCH) - wanted[a].arch) < 1e-12);
  }
  for (size_t h = 0; h < 5; h++) {
    assert_true(fabs(gh_study_at(&study, p, 2, h)->app - p3_efficiencies[0][h]) < 1e-12);
    assert_true(gh_result_is(p->baseline[h], GH_RESULT_APPLICATION, "best") || p3_efficiencies[0][h] == 1);
  }
  assert_string_equal(gh_study_at(&study, p, 1, 3)->why, "no result");
  gh_study_free(&study);
  const gh_strings set = {.items = (char *[]){"platform A", "platform B"}, .count = 2};
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){.set = &set}, &study));
  assert_true(fabs(gh_study_pp(&study, &study.problems[0], 2, GH_EFFICIENCY_APP) - 2 / (1 + 1 / 0.8)) < 1e-12);
  gh_study_free(&study);
  const gh_strings none = {.items = (char *[]){"nowhere"}, .count = 1};
  check_fails(gh_study_make(&err, &rows, &(gh_study_options){.set = &none}, &study), GH_ERROR_ARGUMENT, "nowhere");
  gh_results_free(&rows);
}

/* An unsupported row is a zero with its reason; a skipped one makes the problem incomplete. */
static void test_rows_without_results(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const gh_study_problem *headline;
  add_p3(&rows, "one", p3_seconds[0], 2);
  gh_result *row = add_seconds(&rows, "test", "opencl:0", NAN);
  set(row, GH_RESULT_APPLICATION, "two");
  set(row, GH_RESULT_HARDWARE, "platform A");
  check_ok(gh_result_outcome(&err, row, "unsupported", "no bf16"));
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  assert_string_equal(gh_study_at(&study, &study.problems[0], 1, 0)->why, "unsupported: no bf16");
  check_ok(gh_study_headline(&err, &study, "test", &headline));
  check_fails(gh_study_headline(&err, &study, "other", &headline), GH_ERROR_ARGUMENT, "other");
  gh_study_free(&study);
  check_ok(gh_result_outcome(&err, row, "skipped", "no time"));
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study));
  check_fails(gh_study_headline(&err, &study, NULL, &headline), GH_ERROR_ARGUMENT, "no problem is complete");
  gh_study_free(&study);
  gh_results_free(&rows);
}

/* By runtime, a platform is hardware and runtime, each shape an application, and the hardware's best the baseline. */
static void test_runtimes(void **state) {
  (void)state;
  gh_results rows = {0};
  gh_study study;
  const char *const runtimes[] = {"Red", "Red", "Blue"}, *const shapes[] = {"cpu", "gpu", "cpu"};
  const double seconds[] = {2, 4, 8};
  for (int i = 0; i < 3; i++) {
    gh_result *row = add_seconds(&rows, "test", "opencl:0", seconds[i]);
    set(row, GH_RESULT_PLATFORM, runtimes[i]);
    set(row, GH_RESULT_KERNEL_SHAPE, shapes[i]);
    gh_result_put(row, GH_RESULT_SHARE, 1.5);
  }
  gh_result *peer = add_seconds(&rows, "test", "cpu", 1);
  set(peer, GH_RESULT_APPLICATION, "pytorch");
  set(peer, GH_RESULT_BACKEND, "pytorch");
  set(peer, GH_RESULT_PLATFORM, NULL);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){.by_runtime = true}, &study));
  assert_int_equal(study.platforms.count, 2);
  assert_string_equal(study.platforms.items[0], "Chip (host), Blue");
  assert_string_equal(study.applications.items[1], "genhance, opencl, gpu kernels");
  const gh_study_problem *p = &study.problems[0];
  assert_true(fabs(gh_study_at(&study, p, 0, 0)->app - 0.125) < 1e-12);
  assert_true(fabs(gh_study_at(&study, p, 0, 1)->app - 0.5) < 1e-12);
  assert_true(gh_study_at(&study, p, 0, 1)->arch == 1 && gh_study_at(&study, p, 0, 1)->capped);
  assert_true(fabs(gh_study_pp(&study, p, 0, GH_EFFICIENCY_APP) - 2 / (8.0 + 2.0)) < 1e-12);
  assert_true(gh_study_pp(&study, p, 1, GH_EFFICIENCY_APP) == 0);
  gh_study_free(&study);
  check_ok(gh_study_make(&err, &rows, &(gh_study_options){0}, &study)); /* one platform, two programs */
  assert_int_equal(study.platforms.count, 1);
  assert_true(fabs(gh_study_pp(&study, &study.problems[0], 0, GH_EFFICIENCY_APP) - 0.5) < 1e-12);
  gh_study_free(&study);
  gh_results_free(&rows);
}

static void write_study(const char *folder, const char *out, gh_json *result) {
  gh_results rows = {0};
  add_p3(&rows, "latest <b>", p3_seconds[0], 5);
  add_p3(&rows, "best", p3_seconds[1], 5);
  for (size_t i = 0; i < rows.count; i++) {
    gh_result_put(&rows.items[i], GH_RESULT_GFLOPS, 50);
    gh_result_put(&rows.items[i], GH_RESULT_FLOP, 1e9);
    gh_result_put(&rows.items[i], GH_RESULT_BYTES, 1e8);
  }
  for (int h = 0; h < 5; h++) {
    char hardware[16];
    snprintf(hardware, sizeof hardware, "platform %c", 'A' + h);
    add_peak(&rows, "fma", "opencl:0", 100, 0, NAN);
    set(&rows.items[rows.count - 1], GH_RESULT_HARDWARE, hardware);
    add_peak(&rows, "copy", "opencl:0", 0, 40, 256 * MIB);
    set(&rows.items[rows.count - 1], GH_RESULT_HARDWARE, hardware);
  }
  check_ok(gh_results_write(&err, &rows, folder));
  const gh_strings folders = {.items = (char *[]){(char *)folder}, .count = 1};
  const gh_portability_options options = {.folders = &folders, .out = out};
  check_ok(gh_portability_write(&err, &options, result));
  gh_results_free(&rows);
}

static char *read_beside(const char *folder, const char *name) {
  char *path = gh_path_join(&err, folder, name), *text = NULL;
  check_ok(gh_file_read(&err, path, 1 << 24, &text, NULL));
  free(path);
  return text;
}

/* The CSV keeps the P3 analysis library's rules: its columns, one row per pair, efficiencies of [0, 1]. */
static void test_page(void **state) {
  (void)state;
  char *folder = check_folder(), *out = gh_path_join(&err, folder, "study.html");
  gh_json *result = gh_json_object(&err);
  write_study(folder, out, result);
  char *page = read_beside(folder, "study.html"), *csv = read_beside(folder, "study-p3.csv");
  assert_non_null(strstr(page, "latest &lt;b&gt;"));
  assert_null(strstr(page, "<b>, opencl"));
  assert_null(strstr(page, "src=\"http"));
  assert_non_null(strstr(page, "0.488"));
  static const char head[] = "problem,platform,application,fom,arch eff,app eff,date,coverage_key\n";
  assert_memory_equal(csv, head, sizeof head - 1);
  assert_non_null(
      strstr(csv, "\"test, f32\",platform B,\"latest <b>, opencl\",12.5,0.5,0.8,2026-01-31T12:00:00Z,abc\n"));
  size_t lines = 0;
  for (const char *at = csv; (at = strchr(at, '\n')); at++) lines++;
  assert_int_equal(lines, 11);
  static const char *const charts[] = {"study-cascade-app.svg", "study-cascade-arch.svg"};
  for (size_t i = 0; i < GH_COUNT(charts); i++) {
    char *svg = read_beside(folder, charts[i]);
    assert_memory_equal(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40);
    assert_non_null(strstr(svg, "</svg>"));
    free(svg);
  }
  char *roof = read_beside(folder, "study-roofline-1.svg");
  assert_non_null(strstr(roof, "other ops, f32"));
  free(roof);
  double pp = 0;
  check_ok(gh_json_get_double(&err, result, "applications[1].app_pp", &pp));
  assert_true(fabs(pp - 5 / 10.25) < 1e-12);
  gh_json_free(result);
  free(page);
  free(csv);
  free(out);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_schema),
      cmocka_unit_test(test_every_field_is_described),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_shares),
      cmocka_unit_test(test_shares_above_the_probes),
      cmocka_unit_test(test_nominal_counts_are_no_peaks),
      cmocka_unit_test(test_earlier_rows_are_read),
      cmocka_unit_test(test_gate),
      cmocka_unit_test(test_gate_of_devices),
      cmocka_unit_test(test_metric),
      cmocka_unit_test(test_rows_without_results),
      cmocka_unit_test(test_runtimes),
      cmocka_unit_test(test_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
