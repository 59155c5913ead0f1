#include "cli/bench.h"

#include <stdio.h>

gh_status gh_bench_options_read(gh_error *err, gh_bench_options *out, const gh_args *args) {
  gh_dtype storage;
  out->arch = gh_args_text(args, "arch");
  out->stage = (int)gh_args_int(args, "stage");
  out->batch = gh_args_int(args, "batch");
  out->double_blocks = (int)gh_args_int(args, "double-blocks");
  out->single_blocks = (int)gh_args_int(args, "single-blocks");
  out->train_denoiser = gh_args_flag(args, "train-denoiser");
  out->recompute = gh_args_flag(args, "recompute");
  gh_status status = gh_precision_find(err, "--precision", gh_args_text(args, "precision"), &out->precision);
  return status ? status : gh_precision_storage(err, out->precision, &storage);
}

gh_status gh_bench_put_step(gh_error *err, gh_json *to, const gh_bench_options *o, const gh_budget *b, double flops) {
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
               {"peak_bytes", gh_budget_peak(b)}};
  gh_status status = gh_json_put_string(err, to, "arch", o->arch);
  if (!status) status = gh_json_put_string(err, to, "precision", gh_precision_name(o->precision));
  for (size_t i = 0; i < GH_COUNT(whole) && !status; i++)
    status = gh_json_put_int(err, to, whole[i].name, whole[i].value);
  if (!status) status = gh_json_put_double(err, to, "gflop_per_step", flops * 1e-9);
  return status ? status : gh_json_put_renamed(err, to, "gflop_per_step", "gflop_a_step");
}

void gh_bench_print_step(const gh_bench_options *o, const gh_budget *b) {
  printf("%s, stage %d, batch %lld, %d+%d blocks, %s: %lld parameters trained, %lld frozen\n", o->arch, o->stage,
         (long long)o->batch, o->double_blocks, o->single_blocks, gh_precision_name(o->precision),
         (long long)b->parameters_trained, (long long)b->parameters_frozen);
}
