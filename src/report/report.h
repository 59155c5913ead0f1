/* A run as one self-contained HTML page: charts as SVG, images as embedded PNG. */
#ifndef GH_REPORT_REPORT_H
#define GH_REPORT_REPORT_H

#include "base/json.h"

typedef struct gh_report_options {
  const char *run;
  const char *images;              /* images to draw and to search for neighbours; NULL: the run's training images */
  const char *snapshot;            /* NULL: the newest */
  const char *model, *autoencoder; /* in place of those that the run names; NULL: those */
  const char *device;              /* NULL: the run's */
  const char *trace;               /* of bench step --trace: where a step's time goes; NULL: no such section */
  int64_t pictures;                /* how many to draw; 0: computes nothing */
  int64_t pool;                    /* how many to search for neighbours */
  int64_t batch;                   /* images per launch */
  uint64_t seed;                   /* seed of the drawings' noise */
} gh_report_options;

/* Writes the page, all or nothing. Sections without data are left out; drawings that cannot be made (models or images
 * are missing) are left out with the reason on the page and a warning. Images, a snapshot or a device named in the
 * options must exist. result gets "sections", their names. */
gh_status gh_report_write(gh_error *err, const char *path, const gh_report_options *options, gh_json *result);

#endif
