/* The libraries that a build of genhance may leave out. */
#ifndef GH_BACKEND_BUILT_IN_H
#define GH_BACKEND_BUILT_IN_H

#include <stdbool.h>

typedef struct gh_built_in {
  const char *name; /* "CLBlast" */
  bool present;
  const char *use; /* what genhance uses it for, or what happens without it */
} gh_built_in;

extern const gh_built_in gh_built_ins[]; /* ends with a null name */

#endif
