/* A portability study: problems, applications and platforms, the two efficiencies of each, and Pennycook's metric.
 *
 * S. J. Pennycook, J. D. Sewall, V. W. Lee: A Metric for Performance Portability (2016), and the P3 analysis library,
 * whose definitions hold here: the metric of an application over a set of platforms is the harmonic mean of its
 * efficiencies there, and 0 if it has no result on one of them. */
#ifndef GH_BENCH_STUDY_H
#define GH_BENCH_STUDY_H

#include "bench/results.h"

#define GH_STUDY_PLATFORMS 256

typedef struct gh_study_cell {
  const gh_result *row; /* the best result of the application there; NULL: none */
  double app;           /* application efficiency: relative to the best known result on that hardware; 0 without one */
  double arch;          /* architectural efficiency: the share of the measured peak, at most 1; NaN: not known */
  bool capped;          /* the share was above 1 (its row says why) */
  char why[200];        /* why there is no result */
} gh_study_cell;

typedef struct gh_study_problem {
  char *name;
  const char *kind;           /* "step", "product", "op" */
  const gh_result **baseline; /* (platforms) the best known result on the platform's hardware; NULL: none */
  gh_study_cell *cells;       /* (applications, platforms) */
  bool complete;              /* nothing was left out for want of time, and every result has both efficiencies */
  size_t covered;             /* cells with a result */
  const char *unit;           /* of every result */
  double flop;                /* of a repeat: the least that a program counts; NaN: not known */
} gh_study_problem;

typedef struct gh_study {
  gh_strings platforms, applications;
  gh_study_problem *problems; /* steps first, then by coverage, then by arithmetic */
  size_t count, capacity;
  bool by_runtime;
} gh_study;

typedef struct gh_study_options {
  /* A platform is the hardware, and an application is a program with its way to the device. With by_runtime, a platform
   * is the hardware with one runtime, and the shape of the kernels belongs to the application: several OpenCL
   * implementations on one processor. */
  bool by_runtime;
  const gh_strings *set; /* the platforms to consider, by a part of their names; NULL or empty: all */
} gh_study_options;

/* rows: with shares (gh_results_share), borrowed. GH_ERROR_ARGUMENT where nothing is left, or `set` names none. */
gh_status gh_study_make(gh_error *err, const gh_results *rows, const gh_study_options *options, gh_study *out);
void gh_study_free(gh_study *study);

static inline const gh_study_cell *gh_study_at(const gh_study *s, const gh_study_problem *p, size_t application,
                                               size_t platform) {
  return &p->cells[application * s->platforms.count + platform];
}

typedef enum gh_efficiency { GH_EFFICIENCY_APP, GH_EFFICIENCY_ARCH } gh_efficiency;
double gh_study_efficiency(const gh_study_cell *cell, gh_efficiency which); /* 0 where there is no result */

/* The harmonic mean of n efficiencies; 0 if one is 0 or n is. */
double gh_harmonic_mean(const double *values, size_t n);
/* Of an application over all platforms of the study. */
double gh_study_pp(const gh_study *s, const gh_study_problem *p, size_t application, gh_efficiency which);

/* The problem that stands for the study: the first complete one, or the one whose name contains `wanted` (NULL: none in
 * particular). */
gh_status gh_study_headline(gh_error *err, const gh_study *s, const char *wanted, const gh_study_problem **out);

/* The CSV that the P3 analysis library reads: one row per application and platform of `problem`, or, with NULL, of
 * every complete problem. */
gh_status gh_study_csv(gh_error *err, const gh_study *s, const gh_study_problem *problem, const char *path);

#endif
