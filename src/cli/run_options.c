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
                            .quiet = has(args, "quiet") && !dry_run, /* the plan is what was asked for */
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
  for (size_t i = 0; !status && (o = gh_objective_at(i)); i++)
    if (text(o)) status = gh_cell(err, lines, "%sKind %s: %s", lines->count ? "\n" : "", o->kind.name, text(o));
  return status;
}
