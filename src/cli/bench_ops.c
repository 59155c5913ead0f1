/* genhance bench ops: every op, forward and backward, against the device's own limits. */
#include "backend/registry.h"
#include "base/build.h"
#include "base/file.h"
#include "bench/collect.h"
#include "bench/gate.h"
#include "bench/ops.h"
#include "bench/probe.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct gh_ops_run {
  gh_device *device;
  gh_bench_repeats how;
  gh_result place;
  gh_results results; /* the peaks first */
  int64_t batch;
} gh_ops_run;

/* ---- output ---- */

/* The names under which the fields of a result have always stood here. */
static gh_status put_row(gh_error *err, gh_json *list, const gh_result *row) {
  static const gh_result_field texts[] = {GH_RESULT_OP,    GH_RESULT_SHAPE, GH_RESULT_PASS,      GH_RESULT_PROVIDER,
                                          GH_RESULT_LIMIT, GH_RESULT_PEAK,  GH_RESULT_PEAK_UNIT, GH_RESULT_SHARE_NOTE};
  static const gh_result_field numbers[] = {GH_RESULT_GFLOPS,     GH_RESULT_GBYTES,      GH_RESULT_SHARE,
                                            GH_RESULT_SPREAD,     GH_RESULT_WORKING_SET, GH_RESULT_PEAK_VALUE,
                                            GH_RESULT_PEAK_SPREAD};
  gh_json *o = gh_json_put_object(err, list, NULL);
  gh_status status = o ? GH_OK : err->status;
  if (!status) status = gh_json_put_double(err, o, "seconds", gh_result_number(row, GH_RESULT_MINIMUM));
  if (!status) status = gh_json_put_double(err, o, "seconds_median", gh_result_number(row, GH_RESULT_VALUE));
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++) {
    const char *text = gh_result_text(row, texts[i]), *name = gh_result_name(texts[i]);
    status = *text ? gh_json_put_string(err, o, name, text) : gh_json_put_null(err, o, name);
  }
  for (size_t i = 0; i < GH_COUNT(numbers) && !status; i++) {
    const double number = gh_result_number(row, numbers[i]);
    status = gh_json_put_double(err, o, gh_result_name(numbers[i]), isnan(number) ? 0 : number);
  }
  return status ? status : gh_json_put_bool(err, o, "noisy", gh_result_number(row, GH_RESULT_NOISY) == 1);
}

static gh_status add_cells(gh_error *err, gh_strings *cells, const gh_result *row) {
  const gh_result_field texts[] = {GH_RESULT_OP, GH_RESULT_SHAPE, GH_RESULT_PASS};
  const gh_result_field rates[] = {GH_RESULT_GFLOPS, GH_RESULT_GBYTES};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++)
    status = gh_cell(err, cells, "%s", gh_result_text(row, texts[i]));
  if (!status) status = gh_cell(err, cells, "%.3f", gh_result_number(row, GH_RESULT_VALUE) * 1e3);
  if (!status)
    status = gh_cell(err, cells, "%.0f %%%s", 100 * gh_result_number(row, GH_RESULT_SPREAD),
                     gh_result_number(row, GH_RESULT_NOISY) == 1 ? " !" : "");
  for (size_t i = 0; i < GH_COUNT(rates) && !status; i++) {
    const double rate = gh_result_number(row, rates[i]);
    status = gh_cell(err, cells, "%.1f", isnan(rate) ? 0 : rate);
  }
  const double share = gh_result_number(row, GH_RESULT_SHARE);
  if (!status)
    status =
        gh_cell(err, cells, "%.0f %% %s%s", 100 * share, gh_result_text(row, GH_RESULT_LIMIT), share > 1 ? " *" : "");
  return status;
}

static gh_status print(gh_error *err, const gh_args *args, const gh_ops_run *run) {
  static const char *const heads[] = {"op", "shape", "pass", "ms", "spread", "GFLOP/s", "GB/s", "of peak"};
  gh_strings cells = {0};
  bool above = false, noisy = false;
  gh_json *list = gh_json_put_array(err, args->result, "ops");
  gh_status status = list ? GH_OK : err->status;
  for (size_t i = 0; i < run->results.count && !status; i++) {
    const gh_result *row = &run->results.items[i];
    if (gh_result_is(row, GH_RESULT_KIND, "peak")) continue;
    status = put_row(err, list, row);
    if (!status) status = add_cells(err, &cells, row);
    above |= gh_result_number(row, GH_RESULT_SHARE) > 1;
    noisy |= gh_result_number(row, GH_RESULT_NOISY) == 1;
  }
  if (!status) gh_print_table(heads, "lllrrrrr", (int)GH_COUNT(heads), &cells);
  if (!status && above)
    printf(
        "* above what copy and triad reach: the op reads more than it writes, keeps parts in a nearer cache, or does "
        "not touch all that is counted\n");
  if (!status && noisy)
    printf("! the repeats differ by more than %.0f %%: repeat the measurement\n", 100 * GH_BENCH_NOISY);
  gh_strings_free(&cells);
  return status;
}

/* ---- measuring ---- */

/* Fails if no case times that op. Called before anything is measured. */
static gh_status check_op(gh_error *err, const char *op) {
  gh_strings names = {0}; /* cases of one op are adjacent */
  char list[GH_ERROR_TEXT_SIZE] = "";
  gh_status status = GH_OK;
  size_t used = 0;
  for (int i = 0; i < gh_op_case_count() && !status; i++) {
    const char *label, *name = gh_op_case_name(i, &label);
    if (names.count && !strcmp(names.items[names.count - 1], name)) continue;
    if (!strcmp(name, op)) goto done;
    status = gh_strings_add(err, &names, name);
    if (used < sizeof list) used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", name);
  }
  const char *nearest = gh_nearest(op, (const char *const *)names.items, names.count);
  if (!status)
    status = gh_fail(err, GH_ERROR_ARGUMENT, "bench ops: unknown op %.60s%s%s%s; available: %s", op,
                     nearest ? " (the nearest is " : "", nearest ? nearest : "", nearest ? ")" : "", list);
done:
  gh_strings_free(&names);
  return status;
}

static gh_status run_cases(gh_error *err, const char *only, gh_ops_run *run) {
  const int count = gh_op_case_count();
  gh_progress progress;
  gh_status status = GH_OK;
  gh_progress_start(&progress, "timing ops", "cases", (uint64_t)count, 0);
  for (int i = 0; i < count && !status; i++) {
    gh_result_title title = {.dtype = "f32", .batch = run->batch};
    title.op = gh_op_case_name(i, &title.shape);
    gh_op_bench times;
    if (only && strcmp(only, title.op)) continue;
    status = gh_op_case_run(err, run->device, i, run->batch, GH_F32, &run->how, &times);
    if (!status) status = gh_collect_op(err, &run->results, &run->place, &title, &times);
    gh_progress_update(&progress, (uint64_t)i + 1, title.op);
  }
  gh_progress_end(&progress);
  return status;
}

static gh_status describe(gh_error *err, gh_json *out, const gh_ops_run *run) {
  const gh_device_info *d = &run->device->info;
  gh_bench_peak peak;
  gh_probe_best(&run->results, &peak);
  if (gh_json_put_string(err, out, "device", d->id) || gh_json_put_string(err, out, "device_name", d->name) ||
      gh_json_put_string(err, out, "platform", d->platform) || gh_json_put_string(err, out, "driver", d->driver) ||
      gh_json_put_string(err, out, "commit", gh_build_commit) || gh_json_put_int(err, out, "batch", run->batch) ||
      gh_json_put_double(err, out, "peak_gflops", peak.flops * 1e-9) ||
      gh_json_put_double(err, out, "peak_gbytes_per_second", peak.bytes * 1e-9))
    return err->status;
  printf("%s: %s (%s %s), commit %s\n", d->id, d->name, d->platform, d->driver, gh_build_commit);
  printf("measured peaks: %.1f GFLOP/s, %.1f GB/s in memory; batch %lld\n\n", peak.flops * 1e-9, peak.bytes * 1e-9,
         (long long)run->batch);
  return GH_OK;
}

static gh_status measure(gh_error *err, const gh_args *args, gh_ops_run *run) {
  const char *out = gh_args_text(args, "out");
  gh_status status = out ? gh_folder_make(err, out) : GH_OK;
  if (!status) status = gh_result_place(err, &run->place, &run->device->info, run->how.clock);
  if (!status) status = gh_probe_device(err, run->device, &run->how, &run->results);
  if (!status) status = describe(err, args->result, run);
  if (!status) status = run_cases(err, gh_args_text(args, "op"), run);
  if (!status) status = gh_results_share(err, &run->results);
  if (!status) status = print(err, args, run);
  return status || !out ? status : gh_results_renew(err, &run->results, out);
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_ops_run run = {.how = {.repeats = (int)gh_args_int(args, "repeats"),
                            .most_at_once = 100,
                            .clock = gh_args_flag(args, "processor-time") ? GH_CLOCK_PROCESSOR : GH_CLOCK_WALL},
                    .batch = gh_args_int(args, "batch")};
  const char *only = gh_args_text(args, "op");
  gh_result_init(&run.place);
  gh_status status = only ? check_op(err, only) : GH_OK;
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &run.device);
  if (!status) status = measure(err, args, &run);
  gh_result_free(&run.place);
  gh_results_free(&run.results);
  gh_device_close(run.device);
  return status;
}

static const gh_option options[] = {
    {"op", "NAME", GH_OPTION_TEXT, .help = "time only this op"},
    {"batch", "B", GH_OPTION_INT, .help = "samples per launch", .initial = "4", .least = 1, .most = 65536},
    {"repeats", "N", GH_OPTION_INT, .help = "timed runs per op", .initial = "5", .least = 1, .most = 100000},
    {"out", "DIR", GH_OPTION_TEXT,
     .help = "also write rows.jsonl and rows.csv into DIR (docs/results.md); other rows there stay"},
    {"processor-time", NULL, GH_OPTION_FLAG,
     .help = "use CPU time instead of wall time, for a busy machine; rates are per core"},
    {0},
};

const gh_command gh_command_bench_ops = {
    .name = "bench ops",
    .summary = "time every op and compare it with the device's peaks",
    .details = "Ops have the shapes of a real step. The peaks are the device's: the best of fused multiply-adds in "
               "registers and of any product, and of copies and triads in the caches and in memory, in both shapes of "
               "kernels on a CPU. A share refers to the nearer limit; that of memory depends on how much the op "
               "touches. Times are medians.",
    .run = run,
    .options = options,
};
