/* What the `eval` commands share: from a model and data to scores. */
#include "cli/eval.h"

#include "cli/ranks.h"
#include "train/made_by.h"
#include "train/ranks_encode.h"

#include <string.h>

const char *const gh_eval_heads[4] = {"", "%", "correct", "95 % interval"};

gh_status gh_eval_measure(gh_error *err, const gh_args *args, const gh_measure_spec *spec, gh_measure *out) {
  gh_named_encoder named;
  gh_device *device = NULL;
  gh_ranks_parts ranks;
  gh_status status = gh_name_encoder(err, args, gh_args_text(args, "adapter"), gh_args_text(args, "encoder"), &named);
  const gh_embed_options options = {
      .adapter = named.adapter, .encoder = named.encoder, .batch = gh_args_int(args, "batch")};
  if (!status) status = gh_measure_open(err, out, spec);
  if (!status) status = gh_cli_same_input(err, args, named.model, out->images->count + out->lines->count);
  if (!status) status = gh_cli_open_device(err, args, &device);
  out->parts = gh_ranks_parts_of(&ranks, args->comm, device);
  if (!status) status = gh_measure_run(err, out, device, named.model, &options);
  if (!status) status = gh_made_by_put(err, args->result, &device->info, NULL, true);
  out->parts = NULL;
  gh_device_close(device);
  if (!status) status = gh_eval_put_text(err, args->result, "model", named.model);
  gh_named_encoder_free(&named);
  if (!status) status = gh_json_put_int(err, args->result, "images", (int64_t)out->images->count);
  return status;
}

gh_status gh_eval_put_share(gh_error *err, gh_json *to, const char *name, const gh_share *share) {
  gh_json *o = gh_json_put_object(err, to, name);
  if (!o || gh_json_put_double(err, o, "percent", 100 * share->value) || gh_json_put_int(err, o, "hits", share->hits) ||
      gh_json_put_int(err, o, "total", share->total) || gh_json_put_double(err, o, "low", 100 * share->low) ||
      gh_json_put_double(err, o, "high", 100 * share->high))
    return err->status;
  return GH_OK;
}

gh_status gh_eval_put_interval(gh_error *err, gh_json *to, const char *name, const gh_interval *v, double scale) {
  gh_json *o = gh_json_put_object(err, to, name);
  if (!o || gh_json_put_double(err, o, "value", scale * v->value) ||
      gh_json_put_double(err, o, "low", scale * v->low) || gh_json_put_double(err, o, "high", scale * v->high))
    return err->status;
  return GH_OK;
}

gh_status gh_eval_put_text(gh_error *err, gh_json *to, const char *key, const char *text) {
  return gh_utf8_valid(text, strlen(text)) ? gh_json_put_string(err, to, key, text) : gh_json_put_null(err, to, key);
}

gh_status gh_eval_row(gh_error *err, gh_strings *cells, const char *name, const gh_share *share) {
  gh_status status = gh_cell(err, cells, "%s", name);
  if (!status) status = gh_cell(err, cells, "%.1f", 100 * share->value);
  if (!status) status = gh_cell(err, cells, "%lld of %lld", (long long)share->hits, (long long)share->total);
  if (!status) status = gh_cell(err, cells, "%.1f to %.1f", 100 * share->low, 100 * share->high);
  return status;
}
