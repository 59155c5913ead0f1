/* Shared by the files of the public library: the thread's error, and structs that cross the boundary between programs
 * and libraries of different versions. */
#ifndef GH_API_INTERNAL_H
#define GH_API_INTERNAL_H

#include "backend/backend.h"
#include "config/config.h"
#include "genhance/genhance.h"

#define GH_API_MAX_BATCH 65536

struct genhance_device {
  gh_device *device;
};

extern _Thread_local gh_error gh_api_error; /* of this thread's last failed call */

void gh_api_begin(void); /* called first in functions that may log: the library is quiet by default */
genhance_status gh_api_result(gh_status status);
genhance_status gh_api_refuse(const char *why); /* GENHANCE_ERROR_ARGUMENT */

/* ---- structs of the caller; genhance.h states the rules ---- */

/* Whether struct_size can be that of this struct; `name` is the type's. */
gh_status gh_api_check_size(const void *theirs, const char *name);
/* Copies the caller's options, NULL for none, into ours of `size` bytes; fields that they lack become zero. */
gh_status gh_api_read(void *ours, size_t size, const void *theirs, const char *name);
/* The same for an element of an array whose elements have `given` bytes, as struct_size of the first one says. */
gh_status gh_api_read_element(void *ours, size_t size, const void *theirs, size_t given, const char *name);
/* Copies a result into the caller's struct, whose struct_size is checked; fields that ours lacks become zero. */
gh_status gh_api_write(void *theirs, const void *ours, size_t size, const char *name);

#define GH_API_READ(ours, theirs, type)  gh_api_read(ours, sizeof(type), theirs, #type)
#define GH_API_WRITE(theirs, ours, type) gh_api_write(theirs, ours, sizeof(type), #type)

/* Requires that the last field ends the struct. Otherwise a field added later could lie in padding that an older
 * struct_size includes. */
#define GH_API_NO_PADDING(type, last)                                                                                  \
  _Static_assert(sizeof(void *) != 8 || offsetof(type, last) + sizeof(((type *)NULL)->last) == sizeof(type),           \
                 #type " has padding at its end")

/* ---- options that several functions have ---- */

/* 0 selects `initial`. */
gh_status gh_api_batch(int given, int64_t initial, int64_t *out);
gh_status gh_api_precision(genhance_dtype given, gh_dtype *out);

#endif
