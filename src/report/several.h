/* Several runs on one page. */
#ifndef GH_REPORT_SEVERAL_H
#define GH_REPORT_SEVERAL_H

#include "report/data.h"

#define GH_REPORT_RUNS 6 /* on one page: as many as there are colours */

/* Writes the page, all or nothing. More than GH_REPORT_RUNS runs are GH_ERROR_ARGUMENT. result gets "sections". */
gh_status gh_report_several(gh_error *err, const char *path, const gh_strings *runs, gh_json *result);

#endif
