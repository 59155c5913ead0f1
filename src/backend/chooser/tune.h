/* The search for the fastest providers of a run's work, before the run: every family and variant, where a run itself
 * tries a few for a second per shape.
 *
 *   gh_tune_begin     from here on, the device's work is noted in place of being tried: record the run's steps
 *   gh_tune_run       searches, the work with the most arithmetic first
 *
 * A result is kept as soon as it is found, so a search that is stopped, killed, or out of time goes on where it was:
 * in the device's cache of choices, which every run reads, and with its circumstances in tuned.json (tuned.h) beside
 * it. Results of the same device from elsewhere are checked and then kept. On a device that has none, those of the
 * nearest one are tried first. What is wrong on the device is never kept. */
#ifndef GH_BACKEND_CHOOSER_TUNE_H
#define GH_BACKEND_CHOOSER_TUNE_H

#include "backend/chooser/tuned.h"

typedef struct gh_tune gh_tune;

typedef enum gh_tune_how {
  GH_TUNE_LEFT,     /* no time was left, or a signal came */
  GH_TUNE_KNOWN,    /* searched before */
  GH_TUNE_CHECKED,  /* found elsewhere on such a device, and checked here */
  GH_TUNE_SEARCHED, /* now */
  GH_TUNE_FAILED    /* no provider is correct, or a trial does not fit the device */
} gh_tune_how;

typedef struct gh_tune_shape {
  const gh_choice_kind *kind;
  char shape[GH_CHOICE_KEY];
  void *desc;   /* kind->desc_bytes */
  double work;  /* multiply-adds, over all its launches */
  int launches; /* of the noted steps */
  gh_tune_how how;
  char provider[GH_CHOICE_KEY]; /* "": none */
  double seconds, untuned;      /* of a call; of the best that a run tries by itself; 0: unknown */
  int tried;                    /* providers */
} gh_tune_shape;

typedef struct gh_tune_options {
  double minutes;              /* 0: no limit */
  const char *import, *export; /* paths, or NULL */
} gh_tune_options;

gh_status gh_tune_begin(gh_error *err, gh_tune **out, gh_device *device);
/* Searches until everything is known, the minutes are over or a signal came. What was found is exported in any case.
 * GH_ERROR_STOPPED after a signal; GH_ERROR_ARGUMENT where the environment forces a provider. */
gh_status gh_tune_run(gh_error *err, gh_tune *tune, const gh_tune_options *options);
void gh_tune_free(gh_tune *tune); /* NULL is fine; before the device is closed */

/* The shapes, those with the most arithmetic first, and what became of them; the results imported. */
const gh_tune_shape *gh_tune_shapes(const gh_tune *tune, size_t *count);
const gh_tuned_counts *gh_tune_imported(const gh_tune *tune);

#endif
