/* What the files of the portability page share. */
#ifndef GH_REPORT_PORTABILITY_INTERNAL_H
#define GH_REPORT_PORTABILITY_INTERNAL_H

#include "report/chart.h"
#include "report/portability.h"

typedef struct gh_portability {
  const gh_portability_options *options;
  gh_results rows;
  gh_study study;
  const gh_study_problem *headline;
  gh_page page;
  gh_strings files; /* written */
} gh_portability;

/* Opens a section with its heading; closes it. */
void gh_portability_section(gh_portability *p, const char *name, const char *lead);
void gh_portability_close(gh_portability *p);
void gh_portability_cell(gh_page *page, const char *text);           /* <td>text</td> */
void gh_portability_number(gh_page *page, double value, int digits); /* <td>; NaN: a dash */
/* Draws a chart and writes it as "<out>-<name>.svg", too. */
gh_status gh_portability_chart(gh_error *err, gh_portability *p, const char *name,
                               void (*draw)(gh_page *page, const void *chart), const void *chart);
/* "<out without .html>-<name>"; the caller frees. */
char *gh_portability_path(gh_error *err, const gh_portability *p, const char *name);

/* portability_rows.c: the sections about single rows */
gh_status gh_portability_rooflines(gh_error *err, gh_portability *p);
void gh_portability_peaks(gh_portability *p);
void gh_portability_drift(gh_portability *p);
void gh_portability_noisy(gh_portability *p);

#endif
