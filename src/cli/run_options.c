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
