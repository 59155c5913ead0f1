/* The table of objectives, one file per row. No other place lists them. */
#include "method/flow.h"
#include "method/masked.h"
#include "method/objective.h"

#include <string.h>

#define MAX_OBJECTIVES 12

/* The default comes first. */
static const gh_objective *table[MAX_OBJECTIVES + 1] = {&gh_flow_matching, &gh_masked_codes};

const gh_objective *gh_objective_at(size_t index) { return index < MAX_OBJECTIVES ? table[index] : NULL; }

const gh_config_kind *gh_config_kind_at(size_t index) {
  const gh_objective *objective = gh_objective_at(index);
  return objective ? &objective->kind : NULL;
}

const gh_objective *gh_objective_of(const gh_config *config) {
  for (size_t i = 0; table[i]; i++)
    if (&table[i]->kind == config->kind) return table[i];
  return table[0]; /* not reached: the configuration's kinds come from this table */
}

/* The keys of metrics.jsonl that every run has; an objective's numbers must have other names. */
static bool is_taken(const char *name) {
  static const char *const taken[] = {"stage",         "update",  "loss", "grad_norm",         "lr",
                                      "learning_rate", "samples", "ms",   "images_per_second", "time"};
  for (size_t i = 0; i < GH_COUNT(taken); i++)
    if (!strcmp(taken[i], name)) return true;
  return false;
}

static gh_status check_logs(gh_error *err, const gh_objective *objective) {
  const gh_objective_log *logs = objective->logs;
  for (int i = 0; logs && logs[i].name; i++) {
    if (i == GH_STEP_LOGS)
      return gh_fail(err, GH_ERROR_ARGUMENT, "objective %s: more than %d logged numbers", objective->kind.name,
                     GH_STEP_LOGS);
    bool taken = is_taken(logs[i].name);
    for (int k = 0; k < i; k++) taken |= !strcmp(logs[k].name, logs[i].name);
    if (taken)
      return gh_fail(err, GH_ERROR_ARGUMENT, "objective %s: \"%s\" is the name of another number", objective->kind.name,
                     logs[i].name);
  }
  return GH_OK;
}

gh_status gh_objective_add(gh_error *err, const gh_objective *objective) {
  size_t n = 0;
  for (; table[n]; n++)
    if (!strcmp(table[n]->kind.name, objective->kind.name))
      return gh_fail(err, GH_ERROR_ARGUMENT, "an objective %s already exists", objective->kind.name);
  if (n == MAX_OBJECTIVES)
    return gh_fail(err, GH_ERROR_ARGUMENT, "objective %s: the table is full", objective->kind.name);
  gh_status status = check_logs(err, objective);
  if (!status) table[n] = objective;
  return status;
}
