#include "backend/chooser/chooser.h"

#include "backend/chooser/internal.h"

/* The fallback if it is the only candidate; NULL: there is a choice. */
static const gh_provider *only_fallback(const gh_choice_state *state, const void *desc, const gh_device *d) {
  const gh_provider *only = NULL;
  for (int i = 0; state->providers[i]; i++) {
    if (!state->kind->suits(state->providers[i], desc, d)) continue;
    if (only || !gh_choice_is_fallback(state->kind, state->providers[i])) return NULL;
    only = state->providers[i];
  }
  return only;
}

static gh_status choose_anew(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                             const gh_provider **out) {
  gh_status status = gh_trial_choose(err, d, state, desc, key, out);
  if (status) return status;
  if (!*out)
    return gh_fail(err, GH_ERROR_DEVICE, "%s %s: no provider gives correct numbers on %s", state->kind->title, key,
                   d->info.id);
  status = gh_choice_set(err, state, key, *out, GH_CHOSEN);
  if (!status && state->kind->is_timed && state->kind->is_timed(desc)) gh_choice_save(state, key, *out);
  return status;
}

/* The first of the table that suits; NULL: none does. */
static const gh_provider *first_listed(const gh_choice_state *state, const void *desc, const gh_device *d) {
  for (int i = 0; i < state->listed; i++)
    if (state->kind->suits(state->providers[i], desc, d)) return state->providers[i];
  return NULL;
}

static gh_status nothing_suits(gh_error *err, const gh_device *d, const gh_choice_state *state, const char *key) {
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s %s: no provider supports it on %s", state->kind->title, key,
                 d->info.id);
}

/* Uses a known choice (made before, or frozen), else the cache on disk, else trials. */
static gh_status choose(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                        const gh_provider **out) {
  const gh_choice *known = gh_choice_known(state, key);
  *out = known ? known->provider : only_fallback(state, desc, d);
  if (*out) return GH_OK;
  *out = state->forgets ? NULL : gh_choice_load(state, key);
  if (*out && state->kind->suits(*out, desc, d)) return gh_choice_set(err, state, key, *out, GH_CHOSEN);
  if (!state->kind->only_searched) return choose_anew(err, d, state, desc, key, out);
  *out = first_listed(state, desc, d);
  return *out ? gh_choice_set(err, state, key, *out, GH_CHOSEN) : nothing_suits(err, d, state, key);
}

/* The forced provider that applies to desc; NULL: none. */
static const gh_provider *forced_for(const gh_choice_state *state, const void *desc) {
  for (size_t i = 0; i < GH_COUNT(state->forced) && state->forced[i]; i++)
    if (!state->kind->concerns || state->kind->concerns(state->forced[i], desc)) return state->forced[i];
  return NULL;
}

/* Uses the forced provider. A choice made here stays, and applies again when forcing ends. A frozen one must agree:
 * otherwise a run would record one provider and use another. */
static gh_status use_forced(gh_error *err, gh_choice_state *state, const gh_provider *forced, const char *key,
                            const gh_provider **out) {
  const gh_choice *known = gh_choice_known(state, key);
  *out = forced;
  if (!known) return gh_choice_set(err, state, key, forced, GH_FORCED);
  if (known->origin != GH_FROZEN || known->provider == forced) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT,
                 "%s %s: %s forces the provider %s, but the run's plan has %s; unset %s, or choose again with --replan",
                 state->kind->title, key, state->kind->variable, forced->name, known->provider->name,
                 state->kind->variable);
}

/* Checks a known choice again. A wrong forced provider is an error; a wrong chosen or frozen one is replaced. */
static gh_status recheck(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                         bool forced, const gh_provider **out) {
  bool right;
  gh_status status = gh_trial_verdict(err, d, state, *out, desc, key, &right);
  if (status || right) return status;
  if (!forced) return choose_anew(err, d, state, desc, key, out);
  return gh_fail(err, GH_ERROR_DEVICE, "%s %s: provider %s is wrong on %s", state->kind->title, key, (*out)->name,
                 d->info.id);
}

/* Shows the work to what watches and tries nothing. */
static gh_status show(gh_error *err, gh_device *d, const gh_choice_state *state, const void *desc, const char *key,
                      const gh_provider **out) {
  const gh_choices *choices = d->choices;
  *out = first_listed(state, desc, d);
  return *out ? choices->watch(err, choices->watch_user, state->kind, desc, key) : nothing_suits(err, d, state, key);
}

gh_status gh_choose(gh_error *err, gh_device *d, const gh_choice_kind *kind, const void *desc,
                    const gh_provider **out) {
  char key[GH_CHOICE_KEY];
  kind->key(desc, key, sizeof key);
  gh_choice_state *state = gh_choice_state_get(err, d, kind);
  if (!state) return err->status;
  if (gh_choices_are_watched(d) && kind->searched) return show(err, d, state, desc, key, out);
  const gh_provider *forced = forced_for(state, desc);
  gh_status status = forced ? use_forced(err, state, forced, key, out) : choose(err, d, state, desc, key, out);
  if (status) return status;
  if (!kind->supports(*out, desc, d))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s %s: provider %s does not support it on %s", kind->title, key,
                   (*out)->name, d->info.id);
  return kind->rechecks ? recheck(err, d, state, desc, key, forced != NULL, out) : GH_OK;
}
