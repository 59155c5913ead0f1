/* The configurations and sweep files under configs/: each parses and matches its table. */
#include "support/check.h"

#include "base/file.h"
#include "config/config.h"
#include "io/csv.h"
#include "train/evaluate_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIGS GH_FIXTURES "/../../configs"

static gh_error err;

static void read_config(gh_config *c, const char *name, const char *overrides) {
  gh_strings sets = {0};
  char path[256], text[512], *rest = text;
  snprintf(path, sizeof path, CONFIGS "/%s.json", name);
  snprintf(text, sizeof text, "%s", overrides);
  for (char *word; strcmp(overrides, "-") && (word = strsep(&rest, " "));) check_ok(gh_strings_add(&err, &sets, word));
  gh_status status = gh_config_read(&err, c, path, (const char *const *)sets.items, sets.count);
  gh_strings_free(&sets);
  if (status) fail_msg("%s with %s: %s", name, overrides, err.text);
}

/* Counts the rows, and those of the discrete denoiser. */
static int rows_of(const char *file, int *discrete) {
  char path[256];
  gh_csv csv = {0};
  int rows = 0;
  snprintf(path, sizeof path, CONFIGS "/%s", file);
  check_ok(gh_csv_read(&err, &csv, path, '\t'));
  for (size_t i = 0; i < csv.count; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    gh_config c;
    if (f->items[0][0] == '#') continue;
    if (f->count != 4) fail_msg("%s, line %zu: %zu fields", file, csv.rows[i].line, f->count);
    for (size_t k = 0; k < i; k++)
      if (!strcmp(csv.rows[k].fields.items[0], f->items[0])) fail_msg("%s: %s twice", file, f->items[0]);
    assert_true(!strcmp(f->items[2], "-") || atof(f->items[2]) > 10);
    read_config(&c, f->items[1], f->items[3]);
    *discrete += !strcmp(c.kind->name, "discrete");
    rows++;
    gh_config_free(&c);
  }
  gh_csv_free(&csv);
  return rows;
}

static void sweeps(void **state) {
  (void)state;
  static const struct {
    const char *file;
    int rows, discrete;
  } table[] = {{"table1.tsv", 6, 0}, {"table2.tsv", 1, 0}, {"table4.tsv", 18, 0}, {"table5.tsv", 8, 4},
               {"table6.tsv", 6, 3}, {"table7.tsv", 4, 0}, {"table8.tsv", 8, 8},  {"figures.tsv", 8, 0}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    int discrete = 0;
    assert_int_equal(rows_of(table[i].file, &discrete), table[i].rows);
    assert_int_equal(discrete, table[i].discrete);
  }
}

static void table3(void **state) {
  (void)state;
  gh_config c;
  gh_evaluate_plan plan;
  read_config(&c, "table3", "-");
  check_ok(gh_evaluate_plan_read(&err, &plan, &c));
  assert_int_equal(plan.count, 7);
  assert_string_equal(plan.scores[plan.watch], "imagenet.top1");
  assert_string_equal(plan.scores[plan.best], "mmvp");
  assert_true(plan.points == 0.3 && !plan.stops);
  gh_config_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sweeps), cmocka_unit_test(table3)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
