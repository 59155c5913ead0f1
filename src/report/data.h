/* The contents of a run's folder, read for its report. */
#ifndef GH_REPORT_DATA_H
#define GH_REPORT_DATA_H

#include "base/json.h"
#include "base/text.h"
#include "report/page.h"
#include "train/metrics.h"

/* A stage's lines of metrics.jsonl, column by column. */
typedef struct gh_curve {
  size_t count, capacity;
  double *update, *loss, *norm, *rate, *speed, *seconds; /* (count); rate: learning; speed: images per second */
  gh_strings names;                                      /* of the objective's other numbers */
  double *numbers[GH_METRICS_NUMBERS];                   /* (names)(count); NaN where a line has none */
} gh_curve;

#define GH_REPORT_SCORES 32

typedef struct gh_report_data {
  const char *run;
  gh_json *config; /* RUN/config.json */
  gh_json *info;   /* RUN/info.json: the device and the stages' requirements; NULL if missing */
  gh_json *best;   /* RUN/best.json, or NULL */
  double time;     /* of the last update, in seconds since 1970; 0: not known */
  gh_curve stages[2];
  gh_json *evaluations; /* an array of evaluations.jsonl's lines */
  /* The scores of the evaluations, by name: columns over the evaluations' updates. A score missing from a line is
   * NaN. */
  gh_strings scores;
  double *updates; /* (evaluations) */
  double *values;  /* (scores, evaluations) */
} gh_report_data;

gh_status gh_report_read(gh_error *err, gh_report_data *out, const char *run);
void gh_report_data_free(gh_report_data *data); /* an empty one is fine */

/* The column of that score, or NULL. */
const double *gh_report_score(const gh_report_data *d, const char *name);

/* ---- the sections, in their order; each adds its name to `sections` if it has something to show ---- */

typedef struct gh_report_view {
  gh_page *page;
  gh_strings *sections;
  const gh_report_data *data;
} gh_report_view;

/* A section with its heading, and a line under it (markup; may be NULL). */
void gh_report_open(const gh_report_view *v, const char *name, const char *lead);
void gh_report_close(const gh_report_view *v);

void gh_report_summary(const gh_report_view *v);
void gh_report_evaluations(const gh_report_view *v);
void gh_report_training(const gh_report_view *v);
void gh_report_cost(const gh_report_view *v);
void gh_report_configuration(const gh_report_view *v);

#endif
