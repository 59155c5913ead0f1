/* Where a file of results comes from: "made_by" in the run's files and in every --json.
 *
 *   {"version", "commit", "device", "device_name", "driver", "host", "configuration", "time"}
 *
 * "configuration" is the hash of the keys that decide the run's numbers: the same in a run that was moved, or resumed
 * with more updates. "time" is in UTC; it is left out of files that are the same to the bit when a run is repeated, and
 * of lines that have a time of their own (metrics.jsonl, evaluations.jsonl). */
#ifndef GH_TRAIN_MADE_BY_H
#define GH_TRAIN_MADE_BY_H

#include "backend/backend.h"
#include "base/json.h"

/* Puts the member "made_by". device and config may be NULL: those keys are left out. */
gh_status gh_made_by_put(gh_error *err, gh_json *to, const gh_device_info *device, const gh_json *config, bool timed);

/* The same as one line of text: the caller frees *out. */
gh_status gh_made_by_text(gh_error *err, char **out, const gh_device_info *device, const gh_json *config, bool timed);

#define GH_UTC_SIZE 24
void gh_utc_text(char out[GH_UTC_SIZE]); /* now: "2026-11-30T08:15:00Z" */

#endif
