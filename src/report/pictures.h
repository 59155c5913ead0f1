/* The sections that need the run's models: drawings, nearest neighbours. */
#ifndef GH_REPORT_PICTURES_H
#define GH_REPORT_PICTURES_H

#include "report/data.h"
#include "report/report.h"

/* Adds both sections, or one that says why they are missing. */
gh_status gh_report_pictures(gh_error *err, const gh_report_view *view, const gh_report_options *options);

#endif
