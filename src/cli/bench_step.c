/* genhance bench step: what a training step costs on random weights. */
#include "backend/registry.h"
#include "base/build.h"
#include "base/file.h"
#include "bench/collect.h"
#include "bench/gate.h"
#include "bench/probe.h"
#include "bench/products.h"
#include "cli/bench.h"
#include "train/made_by.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_SHOWN 40

/* ---- JSON ---- */

static gh_status put_time(gh_error *err, gh_json *o, gh_bench_time time) {
  gh_status status = gh_json_put_double(err, o, "seconds", time.wall);
  return status ? status : gh_json_put_double(err, o, "processor_seconds", time.processor);
}

static gh_status put_phases(gh_error *err, gh_json *out, const gh_bench_result *r) {
  gh_json *phases = gh_json_put_object(err, out, "phases");
  for (int i = 0; phases && i < r->phase_count; i++) {
    gh_json *o = gh_json_put_object(err, phases, r->phases[i].name);
    if (!o || put_time(err, o, r->phases[i].time) || gh_json_put_double(err, o, "flop", r->phases[i].flops))
      return err->status;
  }
  return phases ? GH_OK : err->status;
}

static gh_status put_row(gh_error *err, gh_json *list, const gh_profile_row *row) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  if (!o || gh_json_put_string(err, o, "phase", row->phase) || gh_json_put_string(err, o, "op", row->op) ||
      gh_json_put_string(err, o, "name", row->name) || gh_json_put_string(err, o, "shape", row->shape) ||
      gh_json_put_int(err, o, "count", row->count) || put_time(err, o, row->time))
    return err->status;
  return gh_json_put_double(err, o, "flop", row->flops);
}

static gh_status put_profile(gh_error *err, gh_json *out, const gh_bench_result *r) {
  if (!r->profile.row_count) return GH_OK;
  const gh_profile_row **order = gh_profile_sorted(err, &r->profile, r->by_clock);
  gh_json *list = order ? gh_json_put_array(err, out, "profile") : NULL;
  gh_status status = list ? GH_OK : err->status;
  for (size_t i = 0; i < r->profile.row_count && !status; i++) status = put_row(err, list, order[i]);
  free(order);
  return status;
}

static gh_status put_counters(gh_error *err, gh_json *out, const gh_counters *c) {
  const struct {
    const char *name;
    int64_t value;
  } table[] = {{"allocations", c->allocations}, {"binds", c->binds},        {"compilations", c->compilations},
               {"launches", c->launches},       {"async_writes", c->sends}, {"blocking_writes", c->writes},
               {"blocking_reads", c->reads},    {"waits", c->waits}};
  gh_json *o = gh_json_put_object(err, out, "device_calls");
  for (size_t i = 0; o && i < GH_COUNT(table); i++)
    if (gh_json_put_int(err, o, table[i].name, table[i].value)) return err->status;
  if (!o || gh_json_put_renamed(err, o, "async_writes", "sends")) return err->status;
  return gh_json_put_renamed(err, out, "device_calls", "asked_of_device");
}

/* What the step's rate is compared with. */
typedef struct gh_step_peak {
  gh_bench_peak best;   /* of the probes */
  double gflops, share; /* the highest measured rate of arithmetic in the step's type, and the step's share of it */
  char name[160];
} gh_step_peak;

static gh_status put_result(gh_error *err, gh_json *out, const gh_device_info *device, const gh_bench_options *o,
                            const gh_step_peak *peak, const gh_bench_result *r) {
  const struct {
    const char *name, *value;
  } texts[] = {{"device", device->id},
               {"device_name", device->name},
               {"platform", device->platform},
               {"driver", device->driver},
               {"commit", gh_build_commit}};
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    if (gh_json_put_string(err, out, texts[i].name, texts[i].value)) return err->status;
  if (gh_bench_put_step(err, out, o, &r->budget, r->flops)) return err->status;
  const struct {
    const char *name;
    int64_t value;
  } whole[] = {
      {"repeats", o->repeats}, {"compute_units", device->compute_units}, {"resident_bytes", r->resident_bytes}};
  for (size_t i = 0; i < GH_COUNT(whole); i++)
    if (gh_json_put_int(err, out, whole[i].name, whole[i].value)) return err->status;
  const struct {
    const char *name;
    double value;
  } reals[] = {{"images_per_second", (double)o->batch / r->median.wall},
               {"step_seconds_median", r->median.wall},
               {"step_seconds_minimum", r->least},
               {"step_processor_seconds_median", r->median.processor},
               {"gflops", r->flops / r->median.wall * 1e-9},
               {"peak_gflops", peak->best.flops * 1e-9},
               {"peak_gbytes_per_second", peak->best.bytes * 1e-9},
               {"setup_seconds", r->setup_seconds},
               {"loss", r->loss},
               {"spread", r->sample.median > 0 ? (r->sample.most - r->sample.least) / r->sample.median : 0},
               {"share_of_peak", peak->share},
               {"share_peak_gflops", peak->gflops}};
  for (size_t i = 0; i < GH_COUNT(reals); i++)
    if (gh_json_put_double(err, out, reals[i].name, reals[i].value)) return err->status;
  if (put_phases(err, out, r) || put_counters(err, out, &r->counters)) return err->status;
  return put_profile(err, out, r);
}

/* ---- text on stdout ---- */

static void bar(char *out, size_t size, double share) {
  size_t n = GH_MIN((size_t)(share * 30 + 0.5), size - 1);
  memset(out, '#', n);
  out[n] = 0;
}

static gh_status print_phases(gh_error *err, const gh_bench_result *r) {
  static const char *const heads[] = {"phase", "seconds", "CPU s", "GFLOP/s", "GFLOP/CPU s", "share"};
  gh_strings cells = {0};
  gh_status status = GH_OK;
  double all = 0;
  for (int i = 0; i < r->phase_count; i++) all += r->phases[i].time.wall;
  for (int i = 0; i < r->phase_count && !status; i++) {
    const gh_bench_phase *p = &r->phases[i];
    char text[40];
    bar(text, sizeof text, p->time.wall / all);
    status = gh_cell(err, &cells, "%s", p->name);
    if (!status) status = gh_cell(err, &cells, "%.3f", p->time.wall);
    if (!status) status = gh_cell(err, &cells, "%.3f", p->time.processor);
    if (!status) status = gh_cell(err, &cells, "%.1f", p->flops / p->time.wall * 1e-9);
    if (!status) status = gh_cell(err, &cells, "%.1f", p->flops / p->time.processor * 1e-9);
    if (!status) status = gh_cell(err, &cells, "%s %.0f %%", text, 100 * p->time.wall / all);
  }
  if (!status) gh_print_table(heads, "lrrrrl", (int)GH_COUNT(heads), &cells);
  gh_strings_free(&cells);
  return status;
}

static gh_status add_cells(gh_error *err, gh_strings *cells, const gh_profile_row *row, bool by_clock, double peak) {
  const double time = by_clock ? row->time.wall : row->time.processor;
  gh_status status = gh_cell(err, cells, "%s", row->phase);
  if (!status) status = gh_cell(err, cells, "%s", row->op);
  if (!status) status = gh_cell(err, cells, "%s", row->name);
  if (!status) status = gh_cell(err, cells, "%s", row->shape);
  if (!status) status = gh_cell(err, cells, "%d", row->count);
  if (!status) status = gh_cell(err, cells, "%.4f", row->time.wall);
  if (!status) status = gh_cell(err, cells, "%.4f", row->time.processor);
  if (!status && row->flops > 0) status = gh_cell(err, cells, "%.1f", row->flops / time * 1e-9);
  if (!status && row->flops > 0) status = gh_cell(err, cells, "%.0f %%", 100e-9 * row->flops / row->time.wall / peak);
  for (int i = 0; !status && row->flops <= 0 && i < 2; ++i) status = gh_cell(err, cells, "%s", "");
  return status;
}

/* peak: the highest measured rate of arithmetic in GFLOP/s */
static gh_status print_profile(gh_error *err, const gh_bench_result *r, double peak) {
  const char *const heads[] = {"phase",  "op",      "kernel", "shape",
                               "count",  "seconds", "CPU s",  r->by_clock ? "GFLOP/s" : "GFLOP/CPU s",
                               "of peak"};
  const gh_profile_row **order = gh_profile_sorted(err, &r->profile, r->by_clock);
  gh_strings cells = {0};
  gh_status status = order ? GH_OK : err->status;
  double all = 0, shown = 0;
  for (size_t i = 0; i < r->profile.row_count && !status; i++) {
    const double time = r->by_clock ? order[i]->time.wall : order[i]->time.processor;
    all += time;
    if (i >= ROWS_SHOWN) continue;
    shown += time;
    status = add_cells(err, &cells, order[i], r->by_clock, peak);
  }
  if (!status) {
    printf("\nkernels, each waited for, by %s time (%.0f %% of %.3f s shown):\n", r->by_clock ? "wall" : "CPU",
           100 * shown / all, all);
    gh_print_table(heads, "llllrrrrr", (int)GH_COUNT(heads), &cells);
  }
  gh_strings_free(&cells);
  free(order);
  return status;
}

static gh_status print_result(gh_error *err, const gh_device_info *device, const gh_bench_options *o,
                              const gh_step_peak *peak, const gh_bench_result *r) {
  char plan[32], resident[32];
  gh_bytes_text(plan, sizeof plan, gh_budget_peak(&r->budget));
  gh_bytes_text(resident, sizeof resident, r->resident_bytes);
  printf("%s: %s (%s %s), commit %s\n", device->id, device->name, device->platform, device->driver, gh_build_commit);
  gh_bench_print_step(o, &r->budget);
  printf("step: %.3f s median, %.3f s minimum of %d, %.3f CPU s; %.3f images/s\n", r->median.wall, r->least, o->repeats,
         r->median.processor, (double)o->batch / r->median.wall);
  printf("%.1f GFLOP per step: %.1f GFLOP/s, %.0f %% of the measured peak of %.1f (%s); memory: %.1f GB/s\n",
         r->flops * 1e-9, r->flops / r->median.wall * 1e-9, 100 * peak->share, peak->gflops, peak->name,
         peak->best.bytes * 1e-9);
  printf("memory: %s planned, %s peak resident\n\n", plan, resident);
  gh_status status = print_phases(err, r);
  if (!status && r->profile.row_count) status = print_profile(err, r, peak->gflops);
  return status;
}

/* ---- the command ---- */

/* Measures the peaks and the step; the step's row is the last of the results. */
static gh_status measure(gh_error *err, gh_device *device, const gh_bench_options *options, gh_results *results,
                         gh_bench_result *result) {
  const gh_bench_repeats how = {.repeats = 5, .most_at_once = 1};
  gh_result place;
  gh_status status = gh_result_place(err, &place, &device->info, how.clock);
  if (status) return status;
  status = gh_probe_device(err, device, &how, results);
  if (!status) status = gh_product_peak(err, device, gh_precision_storage(options->precision), &how, results);
  if (!status) status = gh_bench_step(err, device, options, result);
  if (!status) status = gh_collect_step(err, results, &place, options, result);
  if (!status) status = gh_results_share(err, results);
  gh_result_free(&place);
  return status;
}

static void find_peak(const gh_results *results, gh_step_peak *out) {
  const gh_result *step = &results->items[results->count - 1];
  gh_probe_best(results, &out->best);
  out->share = gh_result_number(step, GH_RESULT_SHARE);
  out->gflops = gh_result_number(step, GH_RESULT_PEAK_VALUE);
  snprintf(out->name, sizeof out->name, "%s", gh_result_text(step, GH_RESULT_PEAK));
}

static gh_status put_device(gh_error *err, const gh_args *args, const gh_device_info *device,
                            const gh_bench_options *options, const gh_results *results, const gh_bench_result *result) {
  gh_step_peak peak;
  const bool first = !gh_json_member(args->result, "results");
  gh_json *list =
      first ? gh_json_put_array(err, args->result, "results") : (gh_json *)gh_json_member(args->result, "results");
  gh_json *one = list ? gh_json_put_object(err, list, NULL) : NULL;
  find_peak(results, &peak);
  gh_status status = one ? put_result(err, one, device, options, &peak, result) : err->status;
  if (!status && first) status = put_result(err, args->result, device, options, &peak, result);
  return status ? status : print_result(err, device, options, &peak, result);
}

/* ---- the trace ---- */

static gh_json *new_trace(gh_error *err) {
  gh_json *trace = gh_json_object(err);
  gh_json *origin = trace ? gh_json_put_object(err, trace, "otherData") : NULL;
  if (origin && !gh_made_by_put(err, origin, NULL, NULL, true) &&
      !gh_json_put_string(err, trace, "displayTimeUnit", "ms"))
    return trace;
  gh_json_free(trace);
  return NULL;
}

static gh_status trace_device(gh_error *err, gh_json *trace, int process, const gh_device_info *device,
                              const gh_bench_options *o, const gh_bench_result *r) {
  char title[512];
  snprintf(title, sizeof title, "%s (%s): %s, stage %d, batch %lld", device->id, device->name, o->arch, o->stage,
           (long long)o->batch);
  return gh_profile_trace(err, &r->profile, process, title, trace);
}

/* "results" lists every device; the first device's results are repeated at the top level. */
static gh_status bench_device(gh_error *err, const gh_args *args, const char *id, const gh_bench_options *options,
                              gh_results *results, gh_json *trace, int number) {
  gh_device *device = NULL;
  gh_bench_result result = {0};
  gh_results own = {0};
  gh_status status = gh_device_open(err, id, &device);
  if (status) return status;
  status = measure(err, device, options, &own, &result);
  if (!status) status = put_device(err, args, &device->info, options, &own, &result);
  if (!status && trace) status = trace_device(err, trace, number, &device->info, options, &result);
  if (!status) status = gh_results_move(err, results, &own);
  gh_results_free(&own);
  gh_bench_free(&result);
  gh_device_close(device);
  return status ? gh_fail_in(err, "%s", id) : GH_OK;
}

static gh_status bench_devices(gh_error *err, const gh_args *args, const char *list, const gh_bench_options *options,
                               gh_results *results, gh_json *trace) {
  gh_status status = GH_OK;
  for (int number = 1; !status && *list; number++) {
    char id[64];
    size_t n = strcspn(list, ",");
    snprintf(id, sizeof id, "%.*s", (int)n, list);
    if (number > 1) printf("\n");
    status = bench_device(err, args, id, options, results, trace, number);
    list += n + (list[n] == ',');
  }
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *list = gh_args_text(args, "devices"), *out = gh_args_text(args, "out");
  const char *trace_path = gh_args_text(args, "trace");
  gh_bench_options options = {.warmup = (int)gh_args_int(args, "warmup"),
                              .repeats = (int)gh_args_int(args, "repeats"),
                              .profile = gh_args_flag(args, "profile") || trace_path};
  gh_status status = gh_bench_options_read(err, &options, args);
  gh_results results = {0};
  gh_json *trace = NULL;
  if (!status && out) status = gh_folder_make(err, out);
  if (!status && trace_path && !(trace = new_trace(err))) status = err->status;
  if (!status) status = bench_devices(err, args, list ? list : gh_args_text(args, "device"), &options, &results, trace);
  if (!status && trace) status = gh_json_write_file(err, trace_path, trace);
  if (!status && out) status = gh_results_renew(err, &results, out);
  gh_json_free(trace);
  gh_results_free(&results);
  gh_strings_free(&options.sets);
  return status;
}

static const gh_option options[] = {
    GH_BENCH_OPTIONS("4"),
    {"devices", "LIST", GH_OPTION_TEXT, .help = "comma-separated devices, timed one after the other"},
    {"repeats", "N", GH_OPTION_INT, .help = "timed updates", .initial = "3", .least = 1, .most = 100000},
    {"warmup", "N", GH_OPTION_INT, .help = "untimed updates before them", .initial = "1", .least = 0, .most = 100000},
    {"out", "DIR", GH_OPTION_TEXT,
     .help = "also write rows.jsonl and rows.csv into DIR (docs/results.md); other rows there stay"},
    {"profile", NULL, GH_OPTION_FLAG, .help = "also time every kernel, in a separate update"},
    {"trace", "FILE", GH_OPTION_TEXT,
     .help = "write that update's kernels to FILE, which chrome://tracing and ui.perfetto.dev open; implies --profile"},
    {0},
};

const gh_command gh_command_bench_step = {
    .name = "bench step",
    .summary = "time a training step: images/s, phases, memory",
    .details =
        "The step has random weights. Whole updates are timed without interruption. Phases and kernels are "
        "timed in separate updates that wait after each one. CPU seconds are summed over the cores of this "
        "process; on a busy machine, compare those. With --set data.latent_cache={} the step has no autoencoder, as "
        "in a run whose targets come from a cache.",
    .run = run,
    .options = options,
};
