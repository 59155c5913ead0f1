/* A portability study as one self-contained HTML page, with its charts as SVG files and its data as CSV beside it. */
#ifndef GH_REPORT_PORTABILITY_H
#define GH_REPORT_PORTABILITY_H

#include "bench/study.h"

typedef struct gh_portability_options {
  const gh_strings *folders; /* of results */
  const char *out;           /* "study.html"; the other files begin with "study-" */
  const char *problem;       /* the one that stands for the study, by a part of its name; NULL: chosen */
  gh_study_options study;
} gh_portability_options;

/* result gets "problem", "platforms", "applications" with the metric of each, and "files". */
gh_status gh_portability_write(gh_error *err, const gh_portability_options *options, gh_json *result);

#endif
