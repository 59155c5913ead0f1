/* genhance bench plan: parameters, memory and arithmetic of a training step, without running it. */
#include "backend/registry.h"
#include "cli/bench.h"

#include <stdio.h>

static void print(const gh_bench_options *options, const gh_budget *budget) {
  char lasting[32], step[32], peak[32];
  gh_bytes_text(lasting, sizeof lasting, budget->lasting_bytes);
  gh_bytes_text(step, sizeof step, budget->step_bytes);
  gh_bytes_text(peak, sizeof peak, gh_budget_peak(budget));
  gh_bench_print_step(options, budget);
  printf("memory: %s (%s persistent, %s during a step); %.1f GFLOP per step, %.1f per image\n", peak, lasting, step,
         budget->flops * 1e-9, budget->flops * 1e-9 / (double)options->batch);
  if (!budget->host_bytes) return;
  gh_bytes_text(lasting, sizeof lasting, budget->host_bytes);
  printf("in the host's memory: %s\n", lasting);
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_bench_options options = {0};
  gh_device *device = NULL;
  gh_budget budget = {0};
  gh_status status = gh_bench_options_read(err, &options, args);
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (!status) status = gh_bench_plan(err, device, &options, &budget);
  gh_device_close(device);
  if (!status) status = gh_bench_put_step(err, args->result, &options, &budget, budget.flops);
  if (!status) print(&options, &budget);
  gh_strings_free(&options.sets);
  return status;
}

static const gh_option options[] = {GH_BENCH_OPTIONS("2"), {0}};

const gh_command gh_command_bench_plan = {
    .name = "bench plan",
    .summary = "count a step's parameters, memory and arithmetic",
    .details = "Nothing is allocated or run, so the step may be larger than this machine.",
    .run = run,
    .options = options,
};
