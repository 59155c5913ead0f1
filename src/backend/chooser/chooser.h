/* Chooses the provider for a piece of work. One mechanism is used for matrix products and convolutions (gemm.h),
 * attention (attention.h, attention_tile.h) and Fourier transforms (fft.h):
 *
 *   candidates   one table per kind, in order of preference; each entry says what it supports on which device
 *   check        each candidate computes on random numbers on the device; a wrong one is dropped with a warning
 *   timing       if the kind is timed; otherwise the first correct candidate of the table wins
 *   the choice   is remembered by the key of the work, and frozen in a run's plan.json: timing must not change results
 *                from one run to the next. Timed choices are kept on disk, too, for the next run.
 *
 * Layers, bottom first: choices.c (what a device has chosen), trial.c (check and timing), chooser.c, the kinds,
 * kinds.c; tuned.c and tune.c, which search more than a run does. */
#ifndef GH_BACKEND_CHOOSER_CHOOSER_H
#define GH_BACKEND_CHOOSER_CHOOSER_H

#include "backend/backend.h"

/* The first member of every provider; the kind's own fields follow. */
typedef struct gh_provider {
  const char *name;   /* "own-cpu nb=256 kc=512", as in plans and caches */
  const char *family; /* "own-cpu": its members give the same bits */
} gh_provider;

struct gh_choice_state; /* internal.h */

typedef struct gh_choice_kind {
  const char *name;     /* "gemm": the member of plan.json, and the prefix of the cache file */
  const char *title;    /* "GEMM", in messages */
  const char *variable; /* "GH_GEMM": the environment variable that forces a provider */

  const gh_provider *(*provider)(int index); /* the table, in order of preference; NULL after its end */
  const char *fallback; /* the provider that others are checked against, or the op's own way: never checked itself;
                           NULL: there is none */
  void (*key)(const void *desc, char *key, size_t size);
  bool (*knows_key)(const char *key); /* NULL: keys are not checked when they are frozen */

  bool (*supports)(const gh_provider *provider, const void *desc, const gh_device *d);
  bool (*suits)(const gh_provider *provider, const void *desc, const gh_device *d); /* and worth choosing */
  /* Whether forcing the provider applies to the descriptor; NULL: always. */
  bool (*concerns)(const gh_provider *provider, const void *desc);

  /* A trial holds the data that all candidates for a descriptor are checked with. A `timed` trial uses the shape itself
   * or a smaller one with the same edges. An untimed trial uses one shape for all descriptors with the same verdict
   * slot. */
  gh_status (*trial_open)(gh_error *err, gh_device *d, const void *desc, bool timed, void **out);
  /* GH_OK: the result is correct, and *launch can be timed. GH_ERROR_UNSUPPORTED: the provider does not support this
   * work; that is not a fault. */
  gh_status (*trial_run)(gh_error *err, void *trial, const gh_provider *provider, gh_launch **launch);
  void (*trial_close)(void *trial);
  /* Seconds of one call of what trial_run bound; NULL: of its launch alone. */
  double (*time)(gh_device *d, void *trial, const gh_provider *provider, gh_launch *launch);

  /* The slot, below GH_VERDICTS, in which the process remembers the verdict of an untimed trial, for all descriptors
   * with that slot; NULL: verdicts are not remembered. */
  int (*verdict)(const void *desc);
  bool rechecks; /* frozen and forced choices are checked, too, once per verdict */

  bool (*is_timed)(const void *desc); /* NULL: never */
  /* A run by itself tries nothing: it uses what a search found, else the first of the table that suits. */
  bool only_searched;
  /* Whether a candidate is known to be slow on this device and is skipped; NULL: none is. */
  bool (*skips)(gh_device *d, struct gh_choice_state *state, const gh_provider *provider);
  const char *const *sources; /* of timed kinds: kernels whose changes invalidate choices on disk; ends with NULL */

  /* Kinds with a space that can be searched (tune.h): further variants of the table's families. A run does not try
   * them by itself, but uses one that was found. NULL: there is none; the next two then do not matter. */
  const gh_provider *(*searched)(int index); /* NULL after the last */
  size_t desc_bytes;                         /* of a descriptor; its pointers do not matter to a trial */
  double (*work)(const void *desc);          /* multiply-adds */
} gh_choice_kind;

#define GH_VERDICTS 216

/* The provider for desc; chosen at the first use of its key on this device. GH_ERROR_UNSUPPORTED if the forced or
 * frozen provider does not support desc, GH_ERROR_ARGUMENT if the two differ, GH_ERROR_DEVICE if no provider gives
 * correct numbers. */
gh_status gh_choose(gh_error *err, gh_device *d, const gh_choice_kind *kind, const void *desc, const gh_provider **out);

/* Fixes the provider for a key before anything is bound; an unknown provider is an error that lists the known ones. */
gh_status gh_choice_freeze(gh_error *err, gh_device *d, const gh_choice_kind *kind, const char *key,
                           const char *provider);
/* From here on, work of this kind that is not frozen gets what it would get without any search. */
gh_status gh_choice_forget_searches(gh_error *err, gh_device *d, const gh_choice_kind *kind);
/* Every choice made or frozen so far, sorted by key. */
int gh_choice_count(const gh_device *d, const gh_choice_kind *kind);
void gh_choice_at(const gh_device *d, const gh_choice_kind *kind, int index, const char **key, const char **provider);

/* While something watches, work of kinds that can be searched is shown to it and not tried: it gets the first provider
 * that suits. NULL ends that. */
typedef gh_status gh_choice_watch(gh_error *err, void *user, const gh_choice_kind *kind, const void *desc,
                                  const char *key);
gh_status gh_choices_watch(gh_error *err, gh_device *d, gh_choice_watch *watch, void *user);
bool gh_choices_are_watched(const gh_device *d);

/* Forces one provider by name, for tests; NULL ends that and restores the earlier choices. */
gh_status gh_choice_force(gh_error *err, gh_device *d, const gh_choice_kind *kind, const char *provider);
/* Adds a provider for tests, before all others. */
gh_status gh_choice_plant(gh_error *err, gh_device *d, const gh_choice_kind *kind, const gh_provider *provider);

void gh_choices_free(gh_choices *choices); /* gh_device_close calls it; NULL is fine */

#endif
