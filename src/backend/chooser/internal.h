/* Shared by the files of the chooser: the state of a kind on a device, and trials. */
#ifndef GH_BACKEND_CHOOSER_INTERNAL_H
#define GH_BACKEND_CHOOSER_INTERNAL_H

#include "backend/chooser/chooser.h"
#include "base/cache.h"

#define GH_MAX_PROVIDERS 128
#define GH_CHOICE_KEY    160

typedef enum gh_choice_origin {
  GH_CHOSEN, /* here, or read from the cache on disk */
  GH_FROZEN, /* by the plan of a run */
  GH_FORCED  /* by the environment or gh_choice_force: forgotten when that ends */
} gh_choice_origin;

typedef struct gh_choice {
  char *key;
  const gh_provider *provider;
  gh_choice_origin origin;
} gh_choice;

typedef struct gh_choice_state {
  const gh_choice_kind *kind;
  const gh_provider *providers[GH_MAX_PROVIDERS + 1]; /* planted ones, the table, searched ones; ends with NULL */
  int listed;                                         /* of these, planted and from the table: what a run tries */
  const gh_provider *forced[2];                       /* NULL: none; each for what it concerns */
  gh_choice *choices;                                 /* sorted by key */
  int count;
  size_t capacity;
  char *cache_file;                                    /* NULL: none */
  bool forgets;                                        /* gh_choice_forget_searches */
  char kernels[GH_CACHE_KEY_SIZE];                     /* a hash over the kind's sources; "": it has none */
  signed char verdicts[GH_MAX_PROVIDERS][GH_VERDICTS]; /* 0 not yet, 1 right, -1 wrong */
  int aside;                                           /* the result of skips: 0 not yet known, 1 yes, -1 no */
  int tuned;
  double tuned_seconds, told;
  struct gh_choice_state *next;
} gh_choice_state;

struct gh_choices {
  gh_choice_state *first;
  gh_choice_watch *watch; /* NULL: nothing watches */
  void *watch_user;
};

/* ---- choices.c ---- */

/* A hash over what tells a device apart for its choices: backend, platform, driver, name, shape of kernels, a CPU's
 * instructions, library. */
void gh_choice_device_key(gh_device *d, char out[GH_CACHE_KEY_SIZE]);
const gh_provider *gh_choice_provider(const gh_choice_state *state, const char *name); /* NULL: there is none */

/* The device's state, created at first use; NULL with err set if memory runs out or the environment variable does not
 * name a provider. */
gh_choice_state *gh_choice_state_get(gh_error *err, gh_device *d, const gh_choice_kind *kind);
bool gh_choice_is_fallback(const gh_choice_kind *kind, const gh_provider *provider);

const gh_choice *gh_choice_known(const gh_choice_state *state, const char *key); /* NULL: not chosen */
gh_status gh_choice_set(gh_error *err, gh_choice_state *state, const char *key, const gh_provider *provider,
                        gh_choice_origin origin);

/* The cache on disk, {"key": "provider", ...}; never fatal. */
const gh_provider *gh_choice_load(const gh_choice_state *state, const char *key); /* NULL: none */
void gh_choice_save(const gh_choice_state *state, const char *key, const gh_provider *provider);

/* ---- trial.c: the only file that reads the clock; a run with frozen choices does not use it ---- */

/* Chooses by check and, if the kind is timed, by timing. *out NULL: no candidate is correct. */
gh_status gh_trial_choose(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                          const gh_provider **out);
/* The result of a search. */
typedef struct gh_trial_found {
  const gh_provider *provider; /* NULL: none is correct, or the search ended early */
  double seconds;              /* of one call of its trial, whose shape may be smaller than the work's */
  double listed_seconds;       /* of the winner among those that a run tries; HUGE_VAL: none */
  int tried, wrong;
  bool whole; /* everything was tried: neither `until` nor a signal ended it */
} gh_trial_found;

/* Tries every provider that suits, in all families, those of the table alone or (`all`) the searched ones, too;
 * `first`, if not NULL, before all others and in any case. Ends at `until` (gh_now) or at a signal. */
gh_status gh_trial_search(gh_error *err, gh_device *d, gh_choice_state *state, const void *desc, const char *key,
                          const gh_provider *first, bool all, double until, gh_trial_found *out);
/* Whether the provider is right on the shape itself, or on a smaller one with the same edges. */
gh_status gh_trial_confirm(gh_error *err, gh_device *d, const gh_choice_state *state, const gh_provider *provider,
                           const void *desc, const char *key, bool *right);

/* Only the check, whose result is remembered. */
gh_status gh_trial_verdict(gh_error *err, gh_device *d, gh_choice_state *state, const gh_provider *provider,
                           const void *desc, const char *key, bool *right);
/* Runs a candidate in an open trial; *launch is NULL, after a warning, where it cannot be used. */
bool gh_trial_admit(gh_device *d, const gh_choice_kind *kind, void *trial, const gh_provider *provider, const char *key,
                    gh_launch **launch);
double gh_trial_time(gh_device *d, gh_launch *launch); /* seconds of one call, to its end */

/* Whether a provider later in the table is enough faster than an earlier one to replace it. */
bool gh_trial_displaces(const gh_provider *later, double seconds, const gh_provider *earlier, double its_seconds);

#endif
