/* The images of a configuration's "data.images": several sources (data/source.h), one after the other, as one set. A
 * run lists them once, and everything in it that reads images shares the list. Reading is safe from any thread. */
#ifndef GH_DATA_IMAGE_SET_H
#define GH_DATA_IMAGE_SET_H

#include "base/text.h"
#include "io/image.h"

typedef struct gh_image_set gh_image_set;

/* Warns of what was left out. Errors name the key (a literal, "data.images") and the source; GH_ERROR_STOPPED: a signal
 * came, and whoever resumes has lost nothing. */
gh_status gh_image_set_open(gh_error *err, gh_image_set **out, const char *key, const char *const *sources,
                            size_t count);
void gh_image_set_free(gh_image_set *set); /* NULL is fine */

uint64_t gh_image_set_count(const gh_image_set *set);
uint64_t gh_image_set_left_out(const gh_image_set *set); /* what looked like an image and cannot be used */
uint64_t gh_image_set_hash(const gh_image_set *set);     /* of names and sizes */

/* "photos/sub/a.png"; index < count. The caller frees. */
char *gh_image_set_name(gh_error *err, const gh_image_set *set, uint64_t index);
gh_status gh_image_set_decode(gh_error *err, gh_image *out, const gh_image_set *set, uint64_t index);

/* Decodes images until one is good: GH_ERROR_FILE where none is, with the first one's reason. */
gh_status gh_image_set_check(gh_error *err, const gh_image_set *set);

#endif
