/* The contents of a run's folder, read for its report. */
#ifndef GH_REPORT_DATA_H
#define GH_REPORT_DATA_H

#include "base/json.h"
#include "base/text.h"
#include "report/page.h"
#include "train/made_by.h"
#include "train/metrics.h"

/* A stage's lines of metrics.jsonl, column by column. */
typedef struct gh_curve {
  size_t count, capacity;
  double *update, *loss, *norm, *rate, *speed, *seconds; /* (count); rate: learning; speed: images per second */
  double *resident, *joules;                             /* (count); NaN where a line has none */
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

/* ---- numbers.c ---- */

/* What a document has at a path; the fallback, or NaN, where there is no such value. */
const char *gh_report_text(const gh_json *node, const char *path, const char *fallback);
double gh_report_number(const gh_json *node, const char *path);
/* A key of info.json that has another name in runs of earlier versions. */
double gh_report_renamed(const gh_json *node, const char *key, const char *old);
/* Mean losses over the first and last tenth of the updates (ten at most), as the trainer prints them. */
void gh_report_ends(const gh_curve *c, double *first, double *last);
double gh_report_median(const double *values, size_t count);
double gh_report_most(const double *values, size_t count); /* NaN: none is a number */
double gh_report_sum(const double *values, size_t count);  /* of those that are numbers; NaN: none is */
const char *gh_report_kind(const gh_report_data *d);       /* of the denoiser; "": not known */
const char *gh_report_loss(const gh_report_data *d);       /* what the run's objective calls its loss */
/* The evaluation of the best snapshot; without one the last. 0: there are none. */
size_t gh_report_best(const gh_report_data *d);
bool gh_report_positive(const double *values, size_t count);         /* whether all are, for a logarithmic axis */
void gh_report_when(const gh_report_data *d, char out[GH_UTC_SIZE]); /* of the last update; "": not known */

/* ---- the sections, in their order; each adds its name to `sections` if it has something to show ---- */

typedef struct gh_report_view {
  gh_page *page;
  gh_strings *sections;
  const gh_report_data *data;
} gh_report_view;

/* A section with its heading, and a line under it (markup; may be NULL). */
void gh_report_open(const gh_report_view *v, const char *name, const char *lead);
void gh_report_close(const gh_report_view *v);

typedef enum gh_report_scale {
  GH_SCALE_FREE, /* the axis begins near the least value */
  GH_SCALE_ZERO,
  GH_SCALE_PLAIN, /* at 0, and not smoothed */
  GH_SCALE_LOG
} gh_report_scale;

/* A narrow chart of a stage's values (count) over its updates: "Stage 1: title". */
void gh_report_curve(const gh_report_view *v, int stage, const char *title, const char *label, const double *values,
                     gh_report_scale scale);

void gh_report_summary(const gh_report_view *v);
void gh_report_evaluations(const gh_report_view *v);
void gh_report_training(const gh_report_view *v);
void gh_report_cost(const gh_report_view *v);
void gh_report_configuration(const gh_report_view *v);

/* Where a step's time goes, from a file of `bench step --trace`. GH_ERROR_FORMAT names what is wrong with the file. */
gh_status gh_report_profile(gh_error *err, const gh_report_view *v, const char *path);

#endif
