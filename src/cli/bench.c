#include "cli/bench.h"

#include <stdio.h>
#include <stdlib.h>

/* Options that are short for a --set. The results have these keys at the top, too. Scripts rely on both. */
static const struct {
  const char *option, *key;
} shorthands[] = {{"double-blocks", "double_blocks"}, {"single-blocks", "single_blocks"}};

static gh_status add_shorthand(gh_error *err, gh_strings *sets, const gh_args *args, size_t i) {
  if (!gh_args_given(args, shorthands[i].option)) return GH_OK;
  char *set = gh_format(err, "denoiser.%s=%lld", shorthands[i].key, (long long)gh_args_int(args, shorthands[i].option));
  gh_status status = set ? gh_strings_add(err, sets, set) : GH_ERROR_MEMORY;
  free(set);
  return status;
}

gh_status gh_bench_options_read(gh_error *err, gh_bench_options *out, const gh_args *args) {
  const gh_strings *given = gh_args_list(args, "set");
  out->arch = gh_args_text(args, "arch");
  out->stage = (int)gh_args_int(args, "stage");
  out->batch = gh_args_int(args, "batch");
  out->train_denoiser = gh_args_flag(args, "train-denoiser");
  out->recompute = gh_args_flag(args, "recompute");
  gh_status status = gh_precision_find(err, "--precision", gh_args_text(args, "precision"), &out->precision);
  for (size_t i = 0; i < given->count && !status; i++) status = gh_strings_add(err, &out->sets, given->items[i]);
  for (size_t i = 0; i < GH_COUNT(shorthands) && !status; i++) status = add_shorthand(err, &out->sets, args, i);
  return status;
}

/* The configuration's "denoiser", and the keys that have shorthands at the top, too, where it has them. */
static gh_status put_denoiser(gh_error *err, gh_json *to, const gh_bench_options *o) {
  gh_config config;
  gh_json *json = NULL, *copy = NULL;
  gh_status status = gh_bench_config(err, o, &config);
  if (status) return status;
  status = gh_config_to_json(err, &json, &config);
  const gh_json *denoiser = gh_json_member(json, "denoiser");
  if (!status) status = gh_json_copy(err, &copy, denoiser);
  if (!status) status = gh_json_put(err, to, "denoiser", copy);
  for (size_t i = 0; i < GH_COUNT(shorthands) && !status; i++) {
    const gh_json *value = gh_json_member(denoiser, shorthands[i].key);
    if (!value) continue;
    status = gh_json_copy(err, &copy, value);
    if (!status) status = gh_json_put(err, to, shorthands[i].key, copy);
  }
  gh_json_free(json);
  gh_config_free(&config);
  return status;
}

gh_status gh_bench_put_step(gh_error *err, gh_json *to, const gh_bench_options *o, const gh_budget *b, double flops) {
  const struct {
    const char *name;
    int64_t value;
  } whole[] = {{"stage", o->stage},
               {"batch", o->batch},
               {"parameters_trained", b->parameters_trained},
               {"parameters_frozen", b->parameters_frozen},
               {"persistent_bytes", b->lasting_bytes},
               {"host_bytes", b->host_bytes},
               {"step_bytes", b->step_bytes},
               {"peak_bytes", gh_budget_peak(b)}};
  gh_status status = gh_json_put_string(err, to, "arch", o->arch);
  if (!status) status = gh_json_put_string(err, to, "precision", gh_precision_name(o->precision));
  if (!status) status = put_denoiser(err, to, o);
  for (size_t i = 0; i < GH_COUNT(whole) && !status; i++)
    status = gh_json_put_int(err, to, whole[i].name, whole[i].value);
  if (!status) status = gh_json_put_double(err, to, "gflop_per_step", flops * 1e-9);
  if (!status) status = gh_json_put_renamed(err, to, "persistent_bytes", "lasting_bytes");
  return status ? status : gh_json_put_renamed(err, to, "gflop_per_step", "gflop_a_step");
}

void gh_bench_print_step(const gh_bench_options *o, const gh_budget *b) {
  printf("%s, stage %d, batch %lld, %s", o->arch, o->stage, (long long)o->batch, gh_precision_name(o->precision));
  for (size_t i = 0; i < o->sets.count; i++) printf(", %s", o->sets.items[i]);
  printf(": %lld parameters trained, %lld frozen\n", (long long)b->parameters_trained, (long long)b->parameters_frozen);
}
