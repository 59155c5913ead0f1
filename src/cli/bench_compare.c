/* genhance bench compare: results against results, for people and for CI. */
#include "bench/gate.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "5%": 0.05. */
static gh_status read_bound(gh_error *err, const char *text, double *out) {
  char *end = NULL;
  *out = text ? strtod(text, &end) / 100 : 0.05;
  if (!text || (end != text && !strcmp(end, "%") && isfinite(*out) && *out >= 0)) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT,
                 "bench compare: --worse-than is \"%s\"; expected a percentage, for example 5%%", text);
}

static gh_status put_number(gh_error *err, gh_json *to, const char *key, double value) {
  return isfinite(value) ? gh_json_put_double(err, to, key, value) : gh_json_put_null(err, to, key);
}

static double value_of(const gh_result *row) { return row ? gh_result_number(row, GH_RESULT_VALUE) : NAN; }

static gh_status put_pair(gh_error *err, gh_json *list, const gh_pair *p, const char *problem) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  if (!o || gh_json_put_string(err, o, "problem", problem) ||
      gh_json_put_string(err, o, "device", gh_result_text(p->first, GH_RESULT_DEVICE)) ||
      gh_json_put_string(err, o, "unit", gh_result_text(p->first, GH_RESULT_UNIT)) ||
      put_number(err, o, "first", value_of(p->first)) || put_number(err, o, "second", value_of(p->second)) ||
      put_number(err, o, "ratio", p->ratio) || put_number(err, o, "ratio_low", p->low) ||
      put_number(err, o, "ratio_high", p->high) || gh_json_put_bool(err, o, "noisy", p->noisy) ||
      gh_json_put_string(err, o, "verdict", gh_verdict_name(p->verdict)))
    return err->status;
  return GH_OK;
}

static gh_status number_cell(gh_error *err, gh_strings *cells, const gh_result *row) {
  const double value = value_of(row);
  if (isnan(value)) return gh_cell(err, cells, "%s", row ? gh_result_text(row, GH_RESULT_STATUS) : "-");
  return gh_cell(err, cells, "%.4g %s", value, gh_result_text(row, GH_RESULT_UNIT));
}

static gh_status add_cells(gh_error *err, gh_strings *cells, const gh_pair *p, const char *problem) {
  gh_status status = gh_cell(err, cells, "%s", gh_result_text(p->first, GH_RESULT_DEVICE));
  if (!status) status = gh_cell(err, cells, "%s", problem);
  if (!status) status = number_cell(err, cells, p->first);
  if (!status) status = number_cell(err, cells, p->second);
  if (!status) status = isnan(p->ratio) ? gh_cell(err, cells, "-") : gh_cell(err, cells, "%.3f", p->ratio);
  if (!status)
    status =
        isnan(p->low) || isnan(p->high) ? gh_cell(err, cells, "-") : gh_cell(err, cells, "%.3f-%.3f", p->low, p->high);
  return status ? status : gh_cell(err, cells, "%s%s", gh_verdict_name(p->verdict), p->noisy ? ", noisy" : "");
}

static gh_status show(gh_error *err, gh_json *result, const char *folder, const gh_pairs *pairs) {
  static const char *const heads[] = {"device", "measurement", "first", "second", "ratio", "between", ""};
  gh_strings cells = {0};
  gh_json *one = gh_json_put_object(err, (gh_json *)gh_json_member(result, "comparisons"), NULL);
  gh_status status = one ? gh_json_put_string(err, one, "folder", folder) : err->status;
  if (!status) status = gh_json_put_bool(err, one, "same_devices", pairs->same_places);
  for (int v = 0; v < GH_VERDICTS_OF_PAIRS && !status; v++)
    status = gh_json_put_int(err, one, gh_verdict_name((gh_verdict)v), (int64_t)pairs->counts[v]);
  gh_json *list = status ? NULL : gh_json_put_array(err, one, "pairs");
  if (!status && !list) status = err->status;
  for (size_t i = 0; i < pairs->count && !status; i++) {
    char problem[400];
    gh_result_problem(problem, sizeof problem, pairs->items[i].first);
    status = put_pair(err, list, &pairs->items[i], problem);
    if (!status) status = add_cells(err, &cells, &pairs->items[i], problem);
  }
  if (!status) gh_print_table(heads, "llrrrll", (int)GH_COUNT(heads), &cells);
  gh_strings_free(&cells);
  return status;
}

/* A device has the same name on many machines. */
static void tell_hardware(const gh_pairs *pairs) {
  for (size_t i = 0; i < pairs->count; i++) {
    const gh_pair *p = &pairs->items[i];
    const char *was = gh_result_text(p->first, GH_RESULT_HARDWARE);
    if (!p->second || gh_result_is(p->second, GH_RESULT_HARDWARE, was)) continue;
    printf("the hardware differs: %s, and %s\n\n", was, gh_result_text(p->second, GH_RESULT_HARDWARE));
    return;
  }
}

static gh_status compare(gh_error *err, const gh_args *args, const gh_results *first, const char *folder, double bound,
                         size_t *worse) {
  gh_results second = {0};
  gh_pairs pairs = {0};
  gh_status status = gh_results_read(err, &second, folder);
  if (!status) status = gh_results_join(err, first, &second, bound, &pairs);
  if (status) gh_fail_in(err, "%s", folder);
  if (!status) printf("\n%s against %s; a ratio above 1 is worse\n\n", folder, gh_args_list(args, "folders")->items[0]);
  if (!status && !pairs.same_places) printf("the devices differ: joined by what was measured\n\n");
  if (!status) tell_hardware(&pairs);
  if (!status) status = show(err, args->result, folder, &pairs);
  *worse += pairs.counts[GH_VERDICT_WORSE];
  gh_pairs_free(&pairs);
  gh_results_free(&second);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_strings *folders = gh_args_list(args, "folders");
  const char *given = gh_args_text(args, "worse-than");
  gh_results first = {0};
  double bound = 0;
  size_t worse = 0;
  gh_status status = read_bound(err, given, &bound);
  if (!status && folders->count < 2)
    status = gh_fail(err, GH_ERROR_ARGUMENT, "bench compare: expected two or more folders of results");
  if (!status) status = gh_results_read(err, &first, folders->items[0]);
  if (!status && !gh_json_put_array(err, args->result, "comparisons")) status = err->status;
  for (size_t i = 1; i < folders->count && !status; i++)
    status = compare(err, args, &first, folders->items[i], bound, &worse);
  if (!status) status = gh_json_put_int(err, args->result, "worse", (int64_t)worse);
  if (!status && given && worse)
    status = gh_fail(err, GH_ERROR_NUMERIC, "bench compare: %zu result%s worse than in %s by more than %s", worse,
                     worse == 1 ? " is" : "s are", folders->items[0], given);
  gh_results_free(&first);
  return status;
}

static const gh_option options[] = {
    {"folders", "DIR DIR...", GH_OPTION_LIST,
     .help = "folders of results, or files of JSON lines; the others are compared with the first", .required = true,
     .bare = true},
    {"worse-than", "P%", GH_OPTION_TEXT,
     .help =
         "exit with 1 if a median is worse by more than this, or a result is gone (default: only mark those by 5%)"},
    {0},
};

const gh_command gh_command_bench_compare = {
    .name = "bench compare",
    .summary = "compare results with earlier ones, also for CI",
    .details =
        "Results are joined by what was measured and on which device; if the folders have no device in common, by "
        "what was measured alone. A ratio above 1 is worse, whatever the unit. \"between\" is the ratio at the "
        "ends of both spreads; \"noisy\" marks a wide one. What was not measured again is missing, which is no "
        "failure.",
    .run = run,
    .options = options,
};
