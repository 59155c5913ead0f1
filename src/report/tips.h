#ifndef GH_REPORT_TIPS_H
#define GH_REPORT_TIPS_H

#include "report/axis.h"
#include "report/chart.h"

/* Draws transparent bands over the plot between `top` and `bottom`; each tells the numbers of a point of every line. */
void gh_tips_draw(gh_page *page, const gh_chart *chart, const gh_axis *x, double top, double bottom);

#endif
