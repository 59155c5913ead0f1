/* The images of a configuration's "data.images": several sources (data/source.h), concatenated into one set. A run
 * lists them once and shares the list among all its readers. Reading is safe from any thread. */
#ifndef GH_DATA_IMAGE_SET_H
#define GH_DATA_IMAGE_SET_H

#include <stdatomic.h>

#include "data/source.h"
#include "io/image.h"

typedef struct gh_image_set gh_image_set;

/* Warns about images left out. Errors name the key (a literal, "data.images") and the source; GH_ERROR_STOPPED: a
 * signal arrived, and resuming loses nothing. */
gh_status gh_image_set_open(gh_error *err, gh_image_set **out, const char *key, const char *const *sources,
                            size_t count);
/* The same; `keys` chooses the members of shards that are pictures (data/source.h). */
gh_status gh_image_set_open_keys(gh_error *err, gh_image_set **out, const char *key, const char *const *sources,
                                 size_t count, const gh_strings *keys);
void gh_image_set_free(gh_image_set *set); /* NULL is fine */

/* Whether pictures are turned upright by their orientation ("data.exif"; without this call they are). Call before the
 * first one is decoded. */
void gh_image_set_exif(gh_image_set *set, bool exif);

/* For captions.c: the key given to open; the sources; leaves out the pictures whose entry (count) is true, at least one
 * stays. Once at most, before the set is read. Those pictures count as left out. */
const char *gh_image_set_key(const gh_image_set *set);
size_t gh_image_set_sources(const gh_image_set *set);
const gh_source *gh_image_set_source(const gh_image_set *set, size_t index);
gh_status gh_image_set_leave_out(gh_error *err, gh_image_set *set, const bool *leave);

uint64_t gh_image_set_count(const gh_image_set *set);
uint64_t gh_image_set_left_out(const gh_image_set *set); /* looked like an image but cannot be used */
uint64_t gh_image_set_hash(const gh_image_set *set);     /* of names and sizes, and whether pictures are turned */
uint64_t gh_image_set_clipped(const gh_image_set *set);  /* pictures of 16-bit grey found clipped so far */

/* "photos/sub/a.png"; index < count. The caller frees. */
char *gh_image_set_name(gh_error *err, const gh_image_set *set, uint64_t index);
/* A fault of the machine is tried again for a while (base/retry.h). Fails with one, or with what is wrong with the
 * content. Warns once about a picture that is clipped (data/clipped.h). err must not be NULL. give_up: as in gh_retry.
 */
gh_status gh_image_set_decode(gh_error *err, gh_image *out, const gh_image_set *set, uint64_t index,
                              const atomic_bool *give_up);

/* Decodes images until one succeeds; GH_ERROR_FILE if none does, with the first one's reason, or at a fault of the
 * machine. */
gh_status gh_image_set_check(gh_error *err, const gh_image_set *set);

#endif
