/* Check and timing: each candidate runs on the device on numbers with a known result. If the kind is timed, the correct
 * candidates are then timed, interleaved. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/internal.h"
#include "base/log.h"
#include "base/text.h"

#define SHAPE_SECONDS 1.0  /* for one shape: new variants only in its first half, new rounds of timing until its end */
#define DROP_RATIO    1.25 /* a candidate slower than the best by this factor after one call is not timed again */
#define TIE_RATIO     0.97 /* a later candidate of the same bits must be faster by this much */
#define OTHER_RATIO   1.5  /* a later one of other bits: see gh_trial_displaces */
#define ROUNDS        3
#define SEARCH_ROUNDS 5    /* after the first calls of each, in a search */
#define SHORT_SECONDS 0.01 /* of a call */
#define TELL_SECONDS  5    /* between two log lines about choosing */

typedef struct candidate {
  const gh_provider *provider;
  gh_launch *launch;
  double seconds; /* shortest so far */
} candidate;

static bool is_own(const gh_provider *p) { return gh_starts_with(p->family, "own-"); }
static bool same_bits(const gh_provider *a, const gh_provider *b) { return !strcmp(a->family, b->family); }

/* ---- the check ---- */

bool gh_trial_admit(gh_device *d, const gh_choice_kind *kind, void *trial, const gh_provider *provider, const char *key,
                    gh_launch **launch) {
  gh_error err = {0};
  *launch = NULL;
  const gh_status status = kind->trial_run(&err, trial, provider, launch);
  if (!status) return true;
  if (status == GH_ERROR_UNSUPPORTED) /* not supported is not an error */
    gh_debug("%s %s does not support %s: %s", kind->title, provider->name, key, err.text);
  else
    gh_warn("%s: %s %s is dropped for %s: %s", d->info.id, kind->title, provider->name, key, err.text);
  d->backend->launch_free(*launch);
  *launch = NULL;
  return false;
}

gh_status gh_trial_verdict(gh_error *err, gh_device *d, gh_choice_state *state, const gh_provider *provider,
                           const void *desc, const char *key, bool *right) {
  int index = 0;
  *right = true;
  if (gh_choice_is_fallback(state->kind, provider)) return GH_OK;
  while (state->providers[index] != provider) index++;
  const int slot = state->kind->verdict ? state->kind->verdict(desc) : -1;
  signed char unkept = 0, *verdict = slot < 0 ? &unkept : &state->verdicts[index][slot];
  if (!*verdict) {
    void *trial;
    gh_launch *launch;
    gh_status status = state->kind->trial_open(err, d, desc, false, &trial);
    if (status) return status;
    *verdict = gh_trial_admit(d, state->kind, trial, provider, key, &launch) ? 1 : -1;
    d->backend->launch_free(launch);
    state->kind->trial_close(trial);
  }
  *right = *verdict > 0;
  return GH_OK;
}

/* The first provider of the table whose kernels passed the check in this process. */
static gh_status first_right(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                             const gh_provider **out) {
  *out = NULL;
  for (int i = 0; i < state->listed; i++) {
    bool right;
    if (!state->kind->suits(state->providers[i], desc, d)) continue;
    gh_status status = gh_trial_verdict(err, d, state, state->providers[i], desc, key, &right);
    if (status) return status;
    if (!right) continue;
    *out = state->providers[i];
    return GH_OK;
  }
  return GH_OK;
}

/* ---- timing ---- */

double gh_trial_time(gh_device *d, gh_launch *launch) {
  gh_error err;
  double start = gh_now();
  if (d->backend->enqueue(&err, d, launch) || d->backend->finish(&err, d)) return HUGE_VAL;
  return gh_now() - start;
}

static double seconds_of(gh_device *d, const gh_choice_kind *kind, void *trial, const candidate *c) {
  return kind->time ? kind->time(d, trial, c->provider, c->launch) : gh_trial_time(d, c->launch);
}

static void drop(gh_device *d, candidate *c) {
  d->backend->launch_free(c->launch);
  c->launch = NULL;
}

/* The variants of a family give the same bits, so that noise in their timing does not change results. Another family
 * gives other bits: if timing alone decided between two families of similar speed, two runs with empty caches could
 * choose differently and diverge. So the first family of the table is kept unless a later one is faster by more than
 * any timing error. */
bool gh_trial_displaces(const gh_provider *later, double seconds, const gh_provider *earlier, double its_seconds) {
  return seconds < its_seconds * (same_bits(later, earlier) ? TIE_RATIO : 1 / OTHER_RATIO);
}

/* Whether another variant of the same family is much faster. The best of each family is kept, for
 * gh_trial_displaces. */
static bool is_beaten(const candidate *c, const candidate *list, int count) {
  for (int i = 0; i < count; i++)
    if (list[i].launch && same_bits(c->provider, list[i].provider) && c->seconds > DROP_RATIO * list[i].seconds)
      return true;
  return false;
}

static void time_rounds(gh_device *d, const gh_choice_kind *kind, void *trial, candidate *list, int count, int rounds,
                        double until) {
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < count; i++)
      if (list[i].launch) list[i].seconds = fmin(list[i].seconds, seconds_of(d, kind, trial, &list[i]));
    for (int i = 0; i < count; i++)
      if (list[i].launch && is_beaten(&list[i], list, count)) drop(d, &list[i]);
    if (gh_now() > until) break;
  }
}

/* The fastest of a family, from its first member on; NULL: there is none, or an earlier member is in the list. */
static const candidate *fastest_of_family(const candidate *list, int count, int first) {
  const candidate *best = &list[first];
  if (!best->launch) return NULL;
  for (int i = 0; i < first; i++)
    if (list[i].launch && same_bits(list[i].provider, list[first].provider)) return NULL;
  for (int i = first + 1; i < count; i++)
    if (list[i].launch && same_bits(list[i].provider, best->provider) &&
        gh_trial_displaces(list[i].provider, list[i].seconds, best->provider, best->seconds))
      best = &list[i];
  return best;
}

static const candidate *fastest(const candidate *list, int count) {
  const candidate *winner = NULL;
  for (int i = 0; i < count; i++) {
    const candidate *best = fastest_of_family(list, count, i);
    if (best && (!winner || gh_trial_displaces(best->provider, best->seconds, winner->provider, winner->seconds)))
      winner = best;
  }
  return winner;
}

static bool follows_own(const candidate *list, int count, const gh_provider *p) {
  for (int i = 0; i < count; i++)
    if (is_own(list[i].provider) && !same_bits(list[i].provider, p)) return true;
  return false;
}

/* Two own families give different bits, so the table's order decides between them, not timing: the first that suits and
 * is correct wins. Timing decides only among its variants, which give the same bits. Further variants of a family are
 * tried only during half of SHAPE_SECONDS. One variant of each family is always tried; otherwise a busy machine could
 * choose other bits than an idle one. */
static const gh_provider *tournament(gh_device *d, gh_choice_state *state, void *trial, const void *desc,
                                     const char *key) {
  const gh_choice_kind *kind = state->kind;
  candidate list[GH_MAX_PROVIDERS];
  int count = 0;
  double started = gh_now();
  for (int i = 0; i < state->listed; i++) {
    const gh_provider *p = state->providers[i];
    if (!kind->suits(p, desc, d)) continue;
    if (is_own(p) && follows_own(list, count, p)) continue;
    const bool variant = count && same_bits(list[count - 1].provider, p);
    if (variant && gh_now() - started > SHAPE_SECONDS / 2) continue;
    if (count && kind->skips && kind->skips(d, state, p)) continue;
    list[count] = (candidate){.provider = p, .seconds = HUGE_VAL};
    if (gh_trial_admit(d, kind, trial, p, key, &list[count].launch)) count++;
  }
  time_rounds(d, kind, trial, list, count, ROUNDS, started + SHAPE_SECONDS);
  const candidate *winner = fastest(list, count);
  const gh_provider *provider = winner ? winner->provider : NULL;
  for (int i = 0; i < count; i++) drop(d, &list[i]);
  return provider;
}

/* ---- the search ---- */

/* A search in progress. The list has a place for every provider, in their order, which decides between families of
 * similar speed whatever is tried first. */
typedef struct search {
  gh_device *d;
  gh_choice_state *state;
  void *trial;
  const void *desc;
  const char *key;
  candidate list[GH_MAX_PROVIDERS];
  int count;
  gh_trial_found *found;
} search;

/* Checks one and times it: once, or a few times where another program could have disturbed a short call. A slow one
 * does not stay. */
static void try_one(search *s, int index) {
  const gh_choice_kind *kind = s->state->kind;
  candidate *c = &s->list[index];
  if (c->provider || !kind->suits(s->state->providers[index], s->desc, s->d)) return;
  if (s->found->tried && kind->skips && kind->skips(s->d, s->state, s->state->providers[index])) return;
  *c = (candidate){.provider = s->state->providers[index], .seconds = HUGE_VAL};
  s->found->tried++;
  if (!gh_trial_admit(s->d, kind, s->trial, c->provider, s->key, &c->launch)) {
    s->found->wrong++;
    return;
  }
  for (int i = 0; i < ROUNDS && (!i || c->seconds < SHORT_SECONDS); i++)
    c->seconds = fmin(c->seconds, seconds_of(s->d, kind, s->trial, c));
  if (is_beaten(c, s->list, s->count)) drop(s->d, c);
}

static bool has_ended(double until) { return gh_stop_requested() || gh_now() > until; }

static void try_all(search *s, const gh_provider *first, int last, double until) {
  for (int i = 0; i < s->count; i++)
    if (s->state->providers[i] == first) try_one(s, i);
  for (int i = 0; i < last && !has_ended(until); i++) try_one(s, i);
  s->found->whole = !has_ended(until);
}

/* What a run would take without a search. All of those may have been dropped, as each was much slower than what the
 * search found: then their best time stands. */
static double listed_seconds(const search *s) {
  const candidate *listed = fastest(s->list, s->state->listed);
  double best = listed ? listed->seconds : HUGE_VAL;
  for (int i = 0; !listed && i < s->state->listed; i++)
    if (s->list[i].provider) best = fmin(best, s->list[i].seconds);
  return best;
}

static void conclude(search *s) {
  time_rounds(s->d, s->state->kind, s->trial, s->list, s->count, SEARCH_ROUNDS, HUGE_VAL);
  const candidate *winner = fastest(s->list, s->count);
  if (winner && isfinite(winner->seconds)) {
    s->found->provider = winner->provider;
    s->found->seconds = winner->seconds;
  }
  s->found->listed_seconds = listed_seconds(s);
}

gh_status gh_trial_search(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                          const gh_provider *first, bool all, double until, gh_trial_found *out) {
  *out = (gh_trial_found){.listed_seconds = HUGE_VAL, .seconds = HUGE_VAL};
  search *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  *s = (search){.d = d, .state = state, .desc = desc, .key = key, .found = out};
  while (state->providers[s->count]) s->count++;
  gh_status status = state->kind->trial_open(err, d, desc, true, &s->trial);
  if (!status) {
    try_all(s, first, all ? s->count : state->listed, until);
    if (out->whole) conclude(s);
    for (int i = 0; i < s->count; i++) drop(d, &s->list[i]);
    state->kind->trial_close(s->trial);
  }
  free(s);
  return status;
}

gh_status gh_trial_confirm(gh_error *err, gh_device *d, const gh_choice_state *state, const gh_provider *provider,
                           const void *desc, const char *key, bool *right) {
  void *trial;
  gh_launch *launch;
  gh_status status = state->kind->trial_open(err, d, desc, true, &trial);
  if (status) return status;
  *right = gh_trial_admit(d, state->kind, trial, provider, key, &launch);
  d->backend->launch_free(launch);
  state->kind->trial_close(trial);
  return GH_OK;
}

static void tell(gh_choice_state *state, const char *key, const gh_provider *winner, double seconds) {
  state->tuned++;
  state->tuned_seconds += seconds;
  gh_debug("%s %s: %s (%.2f s)", state->kind->title, key, winner->name, seconds);
  if (state->tuned_seconds - state->told <= TELL_SECONDS) return;
  state->told = state->tuned_seconds;
  gh_info("choosing %s providers: %d shapes, %.0f s%s", state->kind->title, state->tuned, state->tuned_seconds,
          state->cache_file ? "; kept for the next run" : "");
}

gh_status gh_trial_choose(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                          const gh_provider **out) {
  const gh_choice_kind *kind = state->kind;
  const double started = gh_now();
  void *trial = NULL;
  gh_error why;
  gh_status status = GH_OK;
  *out = NULL;
  bool timed = kind->is_timed && kind->is_timed(desc);
  if (timed && kind->trial_open(&why, d, desc, true, &trial)) {
    gh_warn("%s %s is not timed: %s", kind->title, key, why.text);
    timed = false;
  }
  if (timed) {
    *out = tournament(d, state, trial, desc, key);
    kind->trial_close(trial);
  } else {
    status = first_right(err, d, state, desc, key, out);
  }
  if (*out) tell(state, key, *out, gh_now() - started);
  return status;
}
