/* An experiment as one self-contained HTML page, and as tables of text. */
#ifndef GH_REPORT_EXPERIMENT_H
#define GH_REPORT_EXPERIMENT_H

#include "experiment/results.h"

/* Writes the page, all or nothing; what is not measured yet has no row. */
gh_status gh_report_experiment(gh_error *err, const char *path, const gh_experiment_results *results,
                               const gh_experiment_steps *steps);
/* Writes every score of every run as tables: tab-separated with all numbers, and Markdown without the details. */
gh_status gh_report_experiment_tables(gh_error *err, const char *tsv, const char *markdown,
                                      const gh_experiment_results *results);

#endif
