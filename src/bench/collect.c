#include "bench/collect.h"
#include "bench/products.h"

#include <stdio.h>
#include <string.h>

gh_status gh_collect_op(gh_error *err, gh_results *to, const gh_result *place, const gh_result_title *title,
                        const gh_op_bench *bench) {
  const gh_op_time *const times[] = {&bench->forward, &bench->backward};
  static const char *const passes[] = {"forward", "backward"};
  gh_status status = GH_OK;
  for (int i = 0; i < 2 && !status; i++) {
    const gh_op_time *t = times[i];
    gh_result_title one = *title;
    if (!t->sample.repeats) continue;
    if (!one.kind) one.kind = gh_is_product(one.op) ? "product" : "op";
    one.pass = passes[i];
    one.provider = t->provider;
    gh_result *row = gh_result_begin(err, to, place, &one);
    if (!row) return err->status;
    gh_result_work(row, &t->sample, t->flops, t->bytes, t->working_set);
    if (!strcmp(one.kind, "product")) gh_result_put(row, GH_RESULT_NOMINAL, t->nominal);
    status = gh_result_seconds(err, row, &t->sample);
  }
  return status;
}

/* "denoiser.kind" of the configuration, and the keys of its size: all whole numbers but those of its tensors' names. */
static gh_status denoiser_text(gh_error *err, const gh_bench_options *options, char *out, size_t size) {
  static const char *const keys[] = {"double_blocks", "single_blocks", "layers", "hidden", "heads"};
  gh_config config;
  gh_json *json = NULL;
  const char *kind = "";
  gh_status status = gh_bench_config(err, options, &config);
  if (status) return status;
  status = gh_config_to_json(err, &json, &config);
  const gh_json *denoiser = gh_json_member(json, "denoiser");
  if (!status) status = gh_json_get_string(err, denoiser, "kind", &kind);
  int used = status ? 0 : snprintf(out, size, "%s denoiser", kind);
  for (size_t i = 0; i < GH_COUNT(keys) && !status; i++) {
    int64_t value = -1;
    status = gh_json_opt_int(err, denoiser, keys[i], &value);
    if (status || value < 0 || used < 0 || used >= (int)size) continue;
    used += snprintf(out + used, size - (size_t)used, ", %s %lld", keys[i], (long long)value);
  }
  gh_json_free(json);
  gh_config_free(&config);
  return status;
}

gh_status gh_collect_step_title(gh_error *err, const gh_bench_options *o, gh_result_title *out, char *shape,
                                size_t size) {
  char denoiser[160];
  *out = (gh_result_title){.kind = "step",
                           .op = o->stage == 1 ? "stage 1" : "stage 2",
                           .shape = shape,
                           .dtype = gh_dtype_name(gh_precision_storage(o->precision)),
                           .batch = o->batch};
  gh_status status = denoiser_text(err, o, denoiser, sizeof denoiser);
  if (status) return status;
  snprintf(shape, size, "%s, %s%s%s", o->arch, denoiser, o->train_denoiser ? ", denoiser trains too" : "",
           o->recompute ? ", recomputed" : "");
  return GH_OK;
}

gh_status gh_collect_step(gh_error *err, gh_results *to, const gh_result *place, const gh_bench_options *o,
                          const gh_bench_result *r) {
  char shape[256];
  gh_result_title title;
  gh_status status = gh_collect_step_title(err, o, &title, shape, sizeof shape);
  gh_result *row = status ? NULL : gh_result_begin(err, to, place, &title);
  if (!row) return status ? status : err->status;
  gh_result_work(row, &r->sample, r->flops, 0, (double)gh_budget_peak(&r->budget));
  return gh_result_rate(err, row, &r->sample, (double)o->batch, "images/s");
}
