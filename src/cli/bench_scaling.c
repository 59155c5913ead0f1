/* genhance bench scaling: a model of training on many ranks, from finished runs, checked against them. */
#include "bench/scaling.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#define ENOUGH 0.8 /* the efficiency whose batch and link are named */

static const int64_t modelled[] = {8, 64, 512, 4096};

static gh_status put_row(gh_error *err, gh_json *list, const gh_scaling *m, int64_t ranks, double slow) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  gh_status status = o ? gh_json_put_int(err, o, "ranks", ranks) : err->status;
  if (!status && ranks <= m->batch) {
    status = gh_json_put_double(err, o, "update_seconds", gh_scaling_seconds(m, ranks, m->batch, 1));
    if (!status) status = gh_json_put_double(err, o, "efficiency", gh_scaling_efficiency(m, ranks, m->batch, 1));
    if (!status)
      status = gh_json_put_double(err, o, "efficiency_mixed", gh_scaling_efficiency(m, ranks, m->batch, slow));
    if (!status)
      status =
          gh_json_put_double(err, o, "least_bytes_per_second", gh_scaling_least_bandwidth(m, ranks, m->batch, ENOUGH));
  }
  return status ? status : gh_json_put_int(err, o, "least_batch", gh_scaling_least_batch(m, ranks, ENOUGH));
}

static void print_row(const gh_scaling *m, int64_t ranks, double slow) {
  const int64_t least = gh_scaling_least_batch(m, ranks, ENOUGH);
  printf("%6lld", (long long)ranks);
  if (ranks <= m->batch) {
    const double link = gh_scaling_least_bandwidth(m, ranks, m->batch, ENOUGH) * 8e-6;
    printf("  %12.1f ms  %5.0f %%  %5.0f %%", 1e3 * gh_scaling_seconds(m, ranks, m->batch, 1),
           100 * gh_scaling_efficiency(m, ranks, m->batch, 1), 100 * gh_scaling_efficiency(m, ranks, m->batch, slow));
    if (link > 0)
      printf("  %12.4g Mbit/s", link);
    else
      printf("  %19s", "none is enough");
  } else {
    printf("  %15s  %7s  %7s  %19s", "too few samples", "", "", "");
  }
  if (least)
    printf("  %12lld\n", (long long)least);
  else
    printf("  %12s\n", "none");
}

/* The run of one process gives the time of a micro-batch. */
static gh_status read_runs(gh_error *err, const gh_strings *paths, int stage, gh_scaling *m, gh_scaling_run *runs) {
  const gh_scaling_run *alone = NULL;
  gh_scaling own = *m;
  for (size_t i = 0; i < paths->count; i++) {
    gh_status status = gh_scaling_read(err, paths->items[i], stage, &own, &runs[i]);
    if (status) return status;
    if (i && (own.batch != m->batch || own.bytes != m->bytes))
      return gh_fail(err, GH_ERROR_CONFIG, "%s: its batch or what it trains differs from that of %s", paths->items[i],
                     paths->items[0]);
    if (runs[i].ranks == 1 && !alone) {
      alone = &runs[i];
      *m = own;
    } else if (!i) {
      *m = own;
    }
  }
  if (!alone)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "bench scaling: one --run must be of one process: it gives the time of a step");
  m->step = alone->seconds / (double)GH_CEIL_DIV(m->batch, m->micro_batch);
  return GH_OK;
}

static gh_status check(gh_error *err, gh_json *result, const gh_scaling *m, const gh_scaling_run *runs, size_t count,
                       int64_t processors) {
  gh_json *list = gh_json_put_array(err, result, "measured");
  for (size_t i = 0; list && i < count; i++) {
    const gh_scaling shared = gh_scaling_shared(m, runs[i].ranks, processors);
    const double model = gh_scaling_seconds(&shared, runs[i].ranks, m->batch, 1);
    gh_json *o = gh_json_put_object(err, list, NULL);
    if (!o || gh_json_put_int(err, o, "ranks", runs[i].ranks) ||
        gh_json_put_double(err, o, "update_seconds", runs[i].seconds) ||
        gh_json_put_double(err, o, "least_waiting", runs[i].waiting) ||
        gh_json_put_double(err, o, "model_seconds", model))
      return err->status;
    printf("measured on %d rank%s: %.1f ms, every rank waited at least %.0f %%; the model says %.1f ms (%+.0f %%)\n",
           runs[i].ranks, runs[i].ranks == 1 ? "" : "s", 1e3 * runs[i].seconds, 100 * runs[i].waiting, 1e3 * model,
           100 * (model / runs[i].seconds - 1));
  }
  return list ? GH_OK : err->status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_strings *paths = gh_args_list(args, "run");
  const double slow = gh_args_real(args, "slow");
  gh_scaling m = {.bandwidth = gh_args_real(args, "mbit") * 1e6 / 8, .delay = gh_args_real(args, "delay") * 1e-3};
  if (!paths->count) return gh_fail(err, GH_ERROR_ARGUMENT, "bench scaling: --run is missing");
  gh_scaling_run *runs = gh_alloc(err, paths->count, sizeof *runs);
  gh_status status = runs ? read_runs(err, paths, (int)gh_args_int(args, "stage"), &m, runs) : GH_ERROR_MEMORY;
  if (!status) {
    printf("stage %d: %.1f ms per micro-batch of %lld, %lld samples per update, %.1f MB of gradients; %.4g Mbit/s, "
           "%.3g ms\n",
           m.stage, 1e3 * m.step, (long long)m.micro_batch, (long long)m.batch, m.bytes * 1e-6, m.bandwidth * 8e-6,
           1e3 * m.delay);
    status = check(err, args->result, &m, runs, paths->count, gh_args_int(args, "processors"));
  }
  gh_json *list = status ? NULL : gh_json_put_array(err, args->result, "model");
  if (list)
    printf("\n%6s  %15s  %7s  %7s  %19s  %12s\n", "ranks", "an update", "alike", "mixed", "80 % from a link of",
           "from a batch");
  else if (!status)
    status = err->status;
  for (size_t i = 0; i < GH_COUNT(modelled) && !status; i++) {
    print_row(&m, modelled[i], slow);
    status = put_row(err, list, &m, modelled[i], slow);
  }
  free(runs);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_LIST, .help = "finished run, several times: one of one process, others check the model"},
    {"stage", "N", GH_OPTION_INT, .help = "which stage", .initial = "1", .least = 1, .most = 2},
    {"mbit", "MBIT/S", GH_OPTION_REAL, .help = "what each rank's link carries each way when all exchange at once",
     .initial = "1000", .most = 1e9},
    {"delay", "MS", GH_OPTION_REAL, .help = "of a message, one way", .initial = "0.05", .most = 1e6},
    {"slow", "S", GH_OPTION_REAL, .help = "mixed: half of the devices are S times as fast", .initial = "0.5",
     .most = 1},
    {"processors", "N", GH_OPTION_INT, .help = "that the ranks of the runs shared, one at a time each; 0: none shared",
     .initial = "0", .most = 1e6},
    {0}};

const gh_command gh_command_bench_scaling = {
    .name = "bench scaling",
    .summary = "model training on many ranks, from finished runs",
    .details = "The time of a micro-batch is that of the run of one process; runs of the same configuration on several "
               "ranks check "
               "the model. It assumes that devices and links are alike and do not share one, that ranks start "
               "together, that two "
               "thirds of a micro-batch are its backward pass, that gradients of all buckets but the last travel "
               "during it, and that a bucket travels in two exchanges among all ranks, one after the other, at the "
               "speed of --mbit. "
               "Efficiency is the speed of all ranks as a share of what their devices could compute.",
    .run = run,
    .ranks = GH_RANKS_EACH,
    .options = options,
};
