/* genhance bench ops: every op, forward and backward, against the device's own limits. */
#include "backend/registry.h"
#include "base/build.h"
#include "bench/ops.h"
#include "bench/step.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static double processor_now(void) { return gh_bench_now().processor; }

/* The share of the nearer limit, arithmetic or memory. */
static double share_of_peak(const gh_op_time *t, const gh_bench_peak *peak, bool *arithmetic) {
  double flops = t->flops / t->seconds / peak->flops, bytes = t->bytes / t->seconds / peak->bytes;
  *arithmetic = flops > bytes;
  return GH_MAX(flops, bytes);
}

typedef struct gh_ops_report {
  const gh_bench_peak *peak;
  gh_strings cells;
  gh_json *list;
} gh_ops_report;

static gh_status put_row(gh_error *err, const gh_ops_report *report, const char *op, const char *label,
                         const char *pass, const gh_op_time *t, double share, bool arithmetic) {
  gh_json *o = gh_json_put_object(err, report->list, NULL);
  if (!o || gh_json_put_string(err, o, "op", op) || gh_json_put_string(err, o, "shape", label) ||
      gh_json_put_string(err, o, "pass", pass) || gh_json_put_double(err, o, "seconds", t->seconds) ||
      gh_json_put_double(err, o, "gflops", t->flops / t->seconds * 1e-9) ||
      gh_json_put_double(err, o, "gbytes_per_second", t->bytes / t->seconds * 1e-9) ||
      gh_json_put_double(err, o, "share_of_peak", share) ||
      gh_json_put_string(err, o, "limit", arithmetic ? "arithmetic" : "memory"))
    return err->status;
  return GH_OK;
}

static gh_status add_row(gh_error *err, gh_ops_report *report, const char *op, const char *label, const char *pass,
                         const gh_op_time *t) {
  if (!(t->seconds > 0)) return GH_OK;
  bool arithmetic;
  double share = share_of_peak(t, report->peak, &arithmetic);
  gh_strings *cells = &report->cells;
  gh_status status = put_row(err, report, op, label, pass, t, share, arithmetic);
  if (!status) status = gh_cell(err, cells, "%s", op);
  if (!status) status = gh_cell(err, cells, "%s", label);
  if (!status) status = gh_cell(err, cells, "%s", pass);
  if (!status) status = gh_cell(err, cells, "%.3f", t->seconds * 1e3);
  if (!status) status = gh_cell(err, cells, "%.1f", t->flops / t->seconds * 1e-9);
  if (!status) status = gh_cell(err, cells, "%.1f", t->bytes / t->seconds * 1e-9);
  if (!status) status = gh_cell(err, cells, "%.0f %% %s", 100 * share, arithmetic ? "arithmetic" : "memory");
  return status;
}

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

static gh_status run_cases(gh_error *err, const gh_args *args, gh_device *device, gh_ops_report *report) {
  const char *only = gh_args_text(args, "op");
  int64_t batch = gh_args_int(args, "batch");
  int repeats = (int)gh_args_int(args, "repeats"), count = gh_op_case_count();
  double (*now)(void) = gh_args_flag(args, "processor-time") ? processor_now : gh_now;
  gh_progress progress;
  gh_status status = GH_OK;
  gh_progress_start(&progress, "timing ops", "cases", (uint64_t)count, 0);
  for (int i = 0; i < count && !status; i++) {
    const char *label, *op = gh_op_case_name(i, &label);
    gh_op_bench times;
    if (only && strcmp(only, op)) continue;
    status = gh_op_case_run(err, device, i, batch, repeats, now, &times);
    if (!status) status = add_row(err, report, op, label, "forward", &times.forward);
    if (!status) status = add_row(err, report, op, label, "backward", &times.backward);
    gh_progress_update(&progress, (uint64_t)i + 1, op);
  }
  gh_progress_end(&progress);
  return status;
}

static gh_status describe(gh_error *err, gh_json *out, const gh_device_info *d, const gh_bench_peak *peak,
                          int64_t batch) {
  if (gh_json_put_string(err, out, "device", d->id) || gh_json_put_string(err, out, "device_name", d->name) ||
      gh_json_put_string(err, out, "platform", d->platform) || gh_json_put_string(err, out, "driver", d->driver) ||
      gh_json_put_string(err, out, "commit", gh_build_commit) || gh_json_put_int(err, out, "batch", batch) ||
      gh_json_put_double(err, out, "peak_gflops", peak->flops * 1e-9) ||
      gh_json_put_double(err, out, "peak_gbytes_per_second", peak->bytes * 1e-9))
    return err->status;
  printf("%s: %s (%s %s), commit %s\n", d->id, d->name, d->platform, d->driver, gh_build_commit);
  printf("measured peaks: %.1f GFLOP/s, %.1f GB/s copy; batch %lld\n\n", peak->flops * 1e-9, peak->bytes * 1e-9,
         (long long)batch);
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  static const char *const heads[] = {"op", "shape", "pass", "ms", "GFLOP/s", "GB/s", "of peak"};
  gh_device *device = NULL;
  gh_bench_peak peak = {0};
  gh_ops_report report = {.peak = &peak};
  double (*now)(void) = gh_args_flag(args, "processor-time") ? processor_now : gh_now;
  const char *only = gh_args_text(args, "op");
  gh_status status = only ? check_op(err, only) : GH_OK;
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (status) return status;
  status = gh_bench_measure_peak(err, device, now, &peak);
  if (!status) status = describe(err, args->result, &device->info, &peak, gh_args_int(args, "batch"));
  report.list = status ? NULL : gh_json_put_array(err, args->result, "ops");
  if (!status) status = report.list ? run_cases(err, args, device, &report) : err->status;
  if (!status) gh_print_table(heads, "lllrrrr", (int)GH_COUNT(heads), &report.cells);
  gh_strings_free(&report.cells);
  gh_device_close(device);
  return status;
}

static const gh_option options[] = {
    {"op", "NAME", GH_OPTION_TEXT, .help = "time only this op"},
    {"batch", "B", GH_OPTION_INT, .help = "samples per launch", .initial = "4", .least = 1, .most = 65536},
    {"repeats", "N", GH_OPTION_INT, .help = "timed runs per op; the fastest counts", .initial = "5", .least = 1,
     .most = 100000},
    {"processor-time", NULL, GH_OPTION_FLAG,
     .help = "use CPU time instead of wall time, for a busy machine; rates are per core"},
    {0},
};

const gh_command gh_command_bench_ops = {
    .name = "bench ops",
    .summary = "time every op and compare it with the device's peaks",
    .details = "Ops have the shapes of a real step. The peaks are measured first: fused multiply-adds in registers, "
               "and a copy in memory. Each tensor that an op "
               "reads or writes counts once, so an op whose data stays in a cache can exceed 100 %.",
    .run = run,
    .options = options,
};
