/* genhance bench plan: what a training step takes, without running it. */
#include "cli/cli.h"
#include "train/bench.h"

#include <stdio.h>

static gh_status put(gh_error *err, gh_json *to, const gh_bench_options *o, const gh_budget *b) {
  const struct {
    const char *name;
    int64_t value;
  } whole[] = {{"stage", o->stage},
               {"batch", o->batch},
               {"double_blocks", o->double_blocks},
               {"single_blocks", o->single_blocks},
               {"parameters_trained", b->parameters_trained},
               {"parameters_frozen", b->parameters_frozen},
               {"lasting_bytes", b->lasting_bytes},
               {"step_bytes", b->step_bytes},
               {"peak_bytes", b->lasting_bytes + b->step_bytes}};
  gh_status status = gh_json_put_string(err, to, "arch", o->arch);
  if (!status) status = gh_json_put_string(err, to, "precision", gh_precision_name(o->precision));
  for (size_t i = 0; i < GH_COUNT(whole) && !status; i++)
    status = gh_json_put_int(err, to, whole[i].name, whole[i].value);
  return status ? status : gh_json_put_double(err, to, "gflop_a_step", b->flops * 1e-9);
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_bench_options options = {.arch = gh_args_text(args, "arch"),
                              .stage = (int)gh_args_int(args, "stage"),
                              .batch = gh_args_int(args, "batch"),
                              .double_blocks = (int)gh_args_int(args, "double-blocks"),
                              .single_blocks = (int)gh_args_int(args, "single-blocks"),
                              .train_denoiser = gh_args_flag(args, "train-denoiser"),
                              .recompute = gh_args_flag(args, "recompute")};
  gh_device *device = NULL;
  gh_budget budget = {0};
  char lasting[32], step[32], peak[32];
  gh_dtype storage;
  gh_status status = gh_precision_find(err, "--precision", gh_args_text(args, "precision"), &options.precision);
  if (!status) status = gh_precision_storage(err, options.precision, &storage);
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (!status) status = gh_bench_plan(err, device, &options, &budget);
  gh_device_close(device);
  if (!status) status = put(err, args->result, &options, &budget);
  if (status) return status;
  gh_bytes_text(lasting, sizeof lasting, budget.lasting_bytes);
  gh_bytes_text(step, sizeof step, budget.step_bytes);
  gh_bytes_text(peak, sizeof peak, budget.lasting_bytes + budget.step_bytes);
  printf("%s, stage %d, batch %lld, %d+%d blocks, %s: %lld parameters trained, %lld frozen\n", options.arch,
         options.stage, (long long)options.batch, options.double_blocks, options.single_blocks,
         gh_precision_name(options.precision), (long long)budget.parameters_trained,
         (long long)budget.parameters_frozen);
  printf("memory: %s (%s lasting, %s in a step); %.1f GFLOP a step, %.1f an image\n", peak, lasting, step,
         budget.flops * 1e-9, budget.flops * 1e-9 / (double)options.batch);
  return GH_OK;
}

static const gh_option options[] = {
    {"arch", "NAME", GH_OPTION_TEXT, .help = "the encoder, as `genhance init --help` lists them", .required = true},
    {"stage", "N", GH_OPTION_INT, .help = "1: the denoiser trains; 2: the encoder", .initial = "2", .least = 1,
     .most = 2},
    {"batch", "B", GH_OPTION_INT, .help = "samples a step", .initial = "2", .least = 1, .most = 65536},
    {"precision", "P", GH_OPTION_TEXT, .help = "float32, or bf16: mixed precision", .initial = "float32"},
    {"double-blocks", "N", GH_OPTION_INT, .help = "of the denoiser", .initial = "2", .least = 0, .most = 64},
    {"single-blocks", "N", GH_OPTION_INT, .help = "of the denoiser", .initial = "4", .least = 0, .most = 64},
    {"train-denoiser", NULL, GH_OPTION_FLAG, .help = "in stage 2 too"},
    {"recompute", NULL, GH_OPTION_FLAG, .help = "make a block's values again for its gradients"},
    {0},
};

const gh_command gh_command_bench_plan = {
    .name = "bench plan",
    .summary = "what a training step takes: parameters, memory, arithmetic; on any machine",
    .details = "Nothing is allocated or run: the step may be larger than the machine.",
    .run = run,
    .options = options,
};
