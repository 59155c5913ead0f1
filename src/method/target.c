/* An objective's target in the form that the cache takes. */
#include "method/objective.h"

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
