#include "cli/run_options.h"
#include "backend/registry.h"

#include <stdlib.h>
#include <string.h>

static bool has(const gh_args *args, const char *name) {
  for (const gh_option *o = args->command->options; o && o->name; o++)
    if (!strcmp(o->name, name)) return gh_args_flag(args, name);
  return false;
}

gh_train_options gh_run_options(const gh_args *args) {
  bool dry_run = has(args, "dry-run");
  return (gh_train_options){.resume = has(args, "resume"),
                            .replan = has(args, "replan"),
                            .allow_data_change = has(args, "allow-data-change"),
                            .quiet = gh_args_flag(args, "quiet") && !dry_run, /* the plan is what was asked for */
                            .verbose = gh_args_flag(args, "verbose"),
                            .dry_run = dry_run};
}

static gh_status add_keys(gh_error *err, gh_strings *keys, const char *text) {
  gh_status status = GH_OK;
  for (bool more = true; more && !status;) {
    size_t length = strcspn(text, ",;");
    if (!length)
      return gh_fail(err, GH_ERROR_ARGUMENT, "--keys: an empty key; write jpg,png without blanks or a last comma");
    char *key = gh_format(err, "%.*s", (int)length, text);
    status = key ? gh_strings_add(err, keys, key) : GH_ERROR_MEMORY;
    free(key);
    more = text[length] != 0;
    text += length + more;
  }
  return status;
}

gh_status gh_keys_of(gh_error *err, gh_strings *keys, const gh_args *args) {
  const gh_strings *given = gh_args_list(args, "keys");
  gh_status status = GH_OK;
  for (size_t i = 0; i < given->count && !status; i++) status = add_keys(err, keys, given->items[i]);
  return status;
}

gh_status gh_open_source(gh_error *err, gh_source **out, const gh_args *args, const char *option) {
  gh_strings keys = {0};
  gh_status status = gh_keys_of(err, &keys, args);
  if (!status) status = gh_source_open_keys(err, out, gh_args_text(args, option), keys.count ? &keys : NULL);
  if (!status && !gh_stop_requested()) gh_source_warn(*out);
  gh_strings_free(&keys);
  return status;
}

gh_status gh_choose_snapshot(gh_error *err, const gh_args *args, const char *run, gh_snapshot *out) {
  const char *given = gh_args_text(args, "snapshot"), *name = given ? given : gh_run_default_snapshot(run);
  gh_status status = gh_run_snapshot(err, run, name, out);
  if (status) return status;
  char *chosen = gh_format(err, "stage%d-%08lld", out->stage, (long long)out->update);
  if (!chosen) status = GH_ERROR_MEMORY;
  if (!status)
    gh_print_line("%s: snapshot %s%s%s%s", run, chosen, strcmp(name, chosen) ? " (" : "",
                  strcmp(name, chosen) ? name : "", strcmp(name, chosen) ? ")" : "");
  if (!status) status = gh_json_put_string(err, args->result, "snapshot", chosen);
  free(chosen);
  if (status) gh_snapshot_free(out);
  return status;
}

gh_status gh_name_encoder(gh_error *err, const gh_args *args, const char *adapter, const char *encoder,
                          gh_named_encoder *out) {
  const char *run = gh_args_text(args, "run"), *command = args->command->name;
  *out = (gh_named_encoder){.model = gh_args_text(args, "model"), .adapter = adapter, .encoder = encoder};
  if (!run && !out->model)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --model DIR is missing; --run DIR takes a run's encoder", command);
  if (!run && gh_args_given(args, "snapshot"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --snapshot needs --run", command);
  if (!run) return GH_OK;
  if (adapter || encoder)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --run has the run's own weights; leave --%s out", command,
                   adapter ? "adapter" : "encoder");
  const gh_run_names names = {.model = out->model};
  gh_status status = gh_run_config_named(err, run, &names, &out->config);
  if (!status) status = gh_run_check_models(err, run, &out->config, false);
  if (!status) status = gh_choose_snapshot(err, args, run, &out->snapshot);
  if (!status && !out->snapshot.adapter && !out->snapshot.encoder)
    status = gh_fail(err, GH_ERROR_FILE, "%s: the snapshot of stage %d, update %lld has no trained encoder", run,
                     out->snapshot.stage, (long long)out->snapshot.update);
  out->model = out->config.clip;
  out->adapter = out->snapshot.adapter;
  out->encoder = out->snapshot.encoder;
  return status;
}

void gh_named_encoder_free(gh_named_encoder *encoder) {
  gh_snapshot_free(&encoder->snapshot);
  gh_config_free(&encoder->config);
  *encoder = (gh_named_encoder){0};
}

gh_status gh_run_device(gh_error *err, const gh_args *args, char **device) {
  if (!gh_args_given(args, "device")) return GH_OK;
  gh_status status = gh_device_known(err, gh_args_text(args, "device"));
  if (status) return status;
  char *given = gh_strdup(err, gh_args_text(args, "device"));
  if (!given) return GH_ERROR_MEMORY;
  free(*device);
  *device = given;
  return GH_OK;
}

gh_status gh_details_of_kinds(gh_error *err, gh_strings *lines, const char *(*text)(const gh_objective *objective)) {
  gh_status status = GH_OK;
  const gh_objective *o;
  for (size_t i = 0; !status && (o = gh_objective_at(i)); i++) {
    if (!text(o)) continue;
    if (lines->count) status = gh_strings_add(err, lines, ""); /* between paragraphs */
    if (!status) status = gh_cell(err, lines, "Kind %s: %s", o->kind.name, text(o));
  }
  return status;
}
