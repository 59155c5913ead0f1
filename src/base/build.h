/* The commit this program was built from; cmake/commit.cmake rewrites it at every build. */
#ifndef GH_BASE_BUILD_H
#define GH_BASE_BUILD_H

#define GH_MADE_BY "made_by" /* the key of files that says which program made them (train/made_by.h) */

extern const char gh_build_commit[]; /* abbreviated, with "-modified" appended if files differ; "unknown" without git */

#endif
