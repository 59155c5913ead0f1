/* What searches have found, on this device and on others: one JSON document, which is the file that `genhance tune`
 * exports, imports and keeps as tuned.json in the cache folder.
 *
 *   {"format": "genhance tuning results", "version": 1,
 *    "devices": {DEVICE_KEY: {
 *      "name", "vendor", "platform", "driver", "backend", "library", "kind", "kernel_shape", "matrix_unit": text
 *      "vendor_id", "compute_units", "local_memory_bytes", "largest_work_group", "vector_lanes": numbers
 *      "choices": {KIND: {"kernels": HASH, "results": {SHAPE: {
 *        "provider": NAME, "seconds": of one call, "untuned_seconds": of the best that a run tries by itself, or null,
 *        "space": a hash over the names of all that could be tried}}}}}}}
 *
 * A document from a file is hostile: gh_tuned_read and gh_tuned_parse check all of it, and what the other functions
 * take has passed that check. Nothing in a document is used before it was checked and timed on the device. */
#ifndef GH_BACKEND_CHOOSER_TUNED_H
#define GH_BACKEND_CHOOSER_TUNED_H

#include "backend/chooser/internal.h"
#include "base/json.h"

#define GH_TUNED_MAX_BYTES ((size_t)16 << 20)

gh_json *gh_tuned_new(gh_error *err); /* without results */
gh_status gh_tuned_read(gh_error *err, gh_json **out, const char *path);
gh_status gh_tuned_parse(gh_error *err, gh_json **out, const char *name, const char *text, size_t size);

typedef struct gh_tuned {
  const char *provider, *space;
  double seconds, untuned; /* untuned 0: unknown */
} gh_tuned;

/* The device's result for a shape, of the same kernels; its texts are the document's. */
bool gh_tuned_find(const gh_json *document, const char *device_key, const gh_choice_state *state, const char *shape,
                   gh_tuned *out);
/* Puts a result; what the device has of other kernels goes. */
gh_status gh_tuned_put(gh_error *err, gh_json *document, gh_device *d, const gh_choice_state *state, const char *shape,
                       const gh_tuned *result);

/* The key of the nearest device with results of the same kernels, by kind, shape of kernels, vendor, matrix unit and
 * limits; never the device itself. NULL: no device of that kind is known. */
const char *gh_tuned_nearest(const gh_json *document, gh_device *d, const gh_choice_state *state);

typedef struct gh_tuned_counts {
  int64_t own, others;            /* results taken: of this device, of others */
  int64_t known;                  /* this device has its own */
  int64_t other_kernels, unknown; /* left out: of other kernels; of kinds or providers that are not known */
} gh_tuned_counts;

/* Adds what another document (`name`, for messages) has for the kinds of `states` (ends with NULL); tells what is left
 * out, and which devices are not this one. */
gh_status gh_tuned_merge(gh_error *err, gh_json *document, const gh_json *from, const char *name, gh_device *d,
                         gh_choice_state *const *states, gh_tuned_counts *counts);

#endif
