/* What this program was built from; cmake/commit.cmake writes it anew at every build. */
#ifndef GH_BASE_BUILD_H
#define GH_BASE_BUILD_H

extern const char gh_build_commit[]; /* abbreviated, "-modified" behind it where files differ; "unknown" without git */

#endif
