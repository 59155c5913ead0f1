/* Shared by the files of the chooser: the state of a kind on a device, and trials. */
#ifndef GH_BACKEND_CHOOSER_INTERNAL_H
#define GH_BACKEND_CHOOSER_INTERNAL_H

#include "backend/chooser/chooser.h"

#define GH_MAX_PROVIDERS 48
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
  const gh_provider *providers[GH_MAX_PROVIDERS + 1]; /* the table and planted ones; ends with NULL */
  const gh_provider *forced;
  gh_choice *choices; /* sorted by key */
  int count;
  size_t capacity;
  char *cache_file;                                    /* NULL: none */
  signed char verdicts[GH_MAX_PROVIDERS][GH_VERDICTS]; /* 0 not yet, 1 right, -1 wrong */
  int aside;                                           /* the result of skips: 0 not yet known, 1 yes, -1 no */
  int tuned;
  double tuned_seconds, told;
  struct gh_choice_state *next;
} gh_choice_state;

/* ---- choices.c ---- */

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
