/* The table of objectives. A row is a file: nothing else says which there are. */
#include "method/flow.h"
#include "method/objective.h"

#include <string.h>

#define MAX_OBJECTIVES 12

/* The default comes first. */
static const gh_objective *table[MAX_OBJECTIVES + 1] = {&gh_flow_matching};

const gh_objective *gh_objective_at(size_t index) { return index < MAX_OBJECTIVES ? table[index] : NULL; }

const gh_config_kind *gh_config_kind_at(size_t index) {
  const gh_objective *objective = gh_objective_at(index);
  return objective ? &objective->kind : NULL;
}

const gh_objective *gh_objective_of(const gh_config *config) {
  for (size_t i = 0; table[i]; i++)
    if (&table[i]->kind == config->kind) return table[i];
  return table[0]; /* not reached: the configuration's kinds are this table's */
}

gh_status gh_objective_add(gh_error *err, const gh_objective *objective) {
  size_t n = 0;
  for (; table[n]; n++)
    if (!strcmp(table[n]->kind.name, objective->kind.name))
      return gh_fail(err, GH_ERROR_ARGUMENT, "there is an objective %s already", objective->kind.name);
  if (n == MAX_OBJECTIVES)
    return gh_fail(err, GH_ERROR_ARGUMENT, "objective %s: the table is full", objective->kind.name);
  table[n] = objective;
  return GH_OK;
}

/* ---- the target, as the cache takes it ---- */

static gh_status identify(gh_error *err, const void *context, gh_json *into) {
  const gh_models *m = context;
  return m->objective->identify ? m->objective->identify(err, m, into) : GH_OK;
}

static gh_tensor *compute(const void *context, gh_graph *g, gh_store *store, gh_tensor *images) {
  const gh_models *m = context;
  gh_module frozen = {.graph = g, .store = store};
  return m->objective->compute_target(&frozen, m, images);
}

bool gh_objective_target(const gh_models *models, gh_target *out) {
  *out = (gh_target){.identify = identify, .record = compute, .context = models};
  if (!models->objective->target) return false;
  models->objective->target(models, out);
  return true;
}
