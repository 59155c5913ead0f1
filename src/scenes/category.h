/* The things in the scenes, one row each: name, words for what can vary, drawings. */
#ifndef GH_SCENES_CATEGORY_H
#define GH_SCENES_CATEGORY_H

#include "base/status.h"

typedef struct gh_category {
  const char *name, *plural;
  bool faces;             /* looks to the left or right; others stand upright or upside down */
  const char *feature;    /* what it may have: "a flag" for "with a flag" and "without a flag" */
  const char *state[2];   /* of -s and +s: "with its lights off", "that is open" */
  const char *drawing;    /* scenes/shape.h */
  const char *other_view; /* "from above"; NULL: there is no other drawing */
  const char *other;
} gh_category;

extern const gh_category gh_things[], gh_creatures[]; /* end with a null name */

int gh_category_count(void);                  /* of both tables together */
const gh_category *gh_category_at(int index); /* things first */

#endif
