/* The tables of an experiment as text: a page without markup. */
#include "report/experiment.h"
#include "report/page.h"

#include <math.h>
#include <stdlib.h>

/* A run's row of one score. */
typedef struct gh_row_tests {
  gh_experiment_test own, change, other;
} gh_row_tests;

static gh_status test_row(gh_error *err, gh_row_tests *out, const gh_experiment_results *r,
                          const gh_experiment_score *s, size_t run) {
  gh_status status = gh_experiment_after(err, &out->own, r, s, run);
  if (!status) status = gh_experiment_change(err, &out->change, r, s, run);
  return status ? status : gh_experiment_difference(err, &out->other, r, s, run, r->x->baseline);
}

/* A number and what follows it; nothing where it is not known. */
static void add_number(gh_page *t, double value, int digits, const char *after) {
  if (!isnan(value)) gh_page_add(t, "%.*f", digits, value);
  gh_page_add(t, "%s", after);
}

static void add_interval(gh_page *t, const gh_interval *v) {
  add_number(t, v->value, 4, "\t");
  add_number(t, v->low, 4, "\t");
  add_number(t, v->high, 4, "\t");
}

static void add_test(gh_page *t, const gh_experiment_test *test, const char *after) {
  add_interval(t, &test->mean);
  add_number(t, test->p, 6, "\t");
  add_number(t, test->items.low, 4, "\t");
  add_number(t, test->items.high, 4, after);
}

static gh_status add_row(gh_error *err, gh_page *t, const gh_experiment_results *r, const gh_experiment_score *s,
                         size_t run) {
  gh_row_tests row;
  gh_status status = test_row(err, &row, r, s, run);
  if (status || !row.own.seeds) return status;
  gh_page_add(t, "%s\t%s\t%s\t%zu\t", r->x->runs[run].name, r->x->evaluations[s->evaluation].name, s->name,
              row.own.seeds);
  add_number(t, s->before[run], 4, "\t");
  add_interval(t, &row.own.mean);
  add_test(t, &row.change, "\t");
  add_test(t, &row.other, "\n");
  return GH_OK;
}

static gh_status fill_tsv(gh_error *err, gh_page *t, const gh_experiment_results *r) {
  gh_status status = GH_OK;
  gh_page_add(t, "run\tevaluation\tscore\tseeds\tbefore\tafter\tlow\thigh\tchange\tchange_low\tchange_high\t"
                 "change_p\tchange_items_low\tchange_items_high\tbaseline\tbaseline_low\tbaseline_high\t"
                 "baseline_p\tbaseline_items_low\tbaseline_items_high\n");
  for (size_t i = 0; i < r->count && !status; i++)
    for (size_t run = 0; run < r->x->run_count && !status; run++) status = add_row(err, t, r, &r->scores[i], run);
  return status;
}

/* "31.9 [30.1, 33.7]" */
static void add_cell(gh_page *t, bool sign, const gh_interval *v) {
  gh_page_add(t, " ");
  if (!isnan(v->value)) gh_page_add(t, sign ? "%+.1f" : "%.1f", v->value);
  if (!isnan(v->low)) gh_page_add(t, " [%.1f, %.1f]", v->low, v->high);
  gh_page_add(t, " |");
}

static void add_tests(gh_page *t, const gh_experiment_test *test) {
  add_cell(t, true, &test->mean);
  gh_page_add(t, " ");
  add_number(t, test->p, 3, " |");
  add_cell(t, true, &test->items);
}

static gh_status add_line(gh_error *err, gh_page *t, const gh_experiment_results *r, const gh_experiment_score *s,
                          size_t run) {
  gh_row_tests row;
  gh_status status = test_row(err, &row, r, s, run);
  if (status || !row.own.seeds) return status;
  gh_page_add(t, "| %s | %zu | ", r->x->runs[run].name, row.own.seeds);
  add_number(t, s->before[run], 1, " |");
  add_cell(t, false, &row.own.mean);
  add_tests(t, &row.change);
  if (run == r->x->baseline)
    gh_page_add(t, " | | |");
  else
    add_tests(t, &row.other);
  gh_page_add(t, "\n");
  return GH_OK;
}

static gh_status fill_markdown(gh_error *err, gh_page *t, const gh_experiment_results *r) {
  gh_status status = GH_OK;
  gh_page_add(t, "# %s\n", r->x->title);
  for (size_t i = 0; i < r->count && !status; i++) {
    const gh_experiment_score *s = &r->scores[i];
    if (s->detail) continue;
    gh_page_add(t,
                "\n## %s %s\n\n| run | seeds | before | after | change | p | change, by items | against %s | p | "
                "against it, by items |\n|---|---|---|---|---|---|---|---|---|---|\n",
                r->x->evaluations[s->evaluation].name, s->name, r->x->runs[r->x->baseline].name);
    for (size_t run = 0; run < r->x->run_count && !status; run++) status = add_line(err, t, r, s, run);
  }
  gh_page_add(
      t,
      "\nBrackets: 95 %%. Means and p are over seeds (Student's t, paired by seed; not corrected for the number "
      "of comparisons). By items: a bootstrap over the test pairs or images of the differences averaged over seeds.\n");
  return status;
}

gh_status gh_report_experiment_tables(gh_error *err, const char *tsv, const char *markdown,
                                      const gh_experiment_results *r) {
  gh_page table = {0}, text = {0};
  gh_status status = fill_tsv(err, &table, r);
  if (!status) status = fill_markdown(err, &text, r);
  if (!status) status = gh_page_write(err, &table, tsv);
  if (!status) status = gh_page_write(err, &text, markdown);
  gh_page_free(&table);
  gh_page_free(&text);
  return status;
}
