/* A run as one page of HTML that needs nothing else: charts as SVG, pictures as PNG inside. */
#ifndef GH_REPORT_REPORT_H
#define GH_REPORT_REPORT_H

#include "base/json.h"

typedef struct gh_report_options {
  const char *run;
  const char *images;   /* pictures to draw and to find neighbours among; NULL: those the run trained on */
  const char *snapshot; /* NULL: the newest */
  const char *device;   /* NULL: the run's */
  int64_t pictures;     /* to draw; 0: nothing is computed */
  int64_t pool;         /* to find neighbours among */
  int64_t batch;        /* images a launch */
  uint64_t seed;        /* of the drawings' noise */
} gh_report_options;

/* Writes the page, all or nothing. What the run has no data for is left out; pictures that cannot be drawn (models or
 * images are gone) are left out with the reason on the page and a warning, but images, a snapshot or a device that the
 * options name must be there. result gets "sections", their names. */
gh_status gh_report_write(gh_error *err, const char *path, const gh_report_options *options, gh_json *result);

#endif
