/* Charts as inline SVG: lines with axes and a legend, horizontal bars. Sizes are in viewBox units; the page scales
 * them. */
#ifndef GH_REPORT_CHART_H
#define GH_REPORT_CHART_H

#include "report/page.h"

typedef struct gh_series {
  const char *label; /* NULL: not in the legend */
  const char *color; /* a CSS colour */
  const double *x, *y;
  size_t count;
  bool dots;      /* a marker at every point */
  bool smoothed;  /* faint points, with a moving average over a thirtieth of them on top */
  bool secondary; /* uses the right axis */
} gh_series;

typedef struct gh_chart {
  const char *title, *x_label, *y_label;
  const char *y2_label; /* of the right axis; NULL: no such axis */
  const gh_series *series;
  size_t count;
  bool narrow;             /* three fit side by side */
  bool whole_x;            /* x is a count: no ticks between integers */
  bool from_zero;          /* the left axis begins at 0 */
  const char *guide_label; /* a dashed line at `guide` on the axis chosen by `guide_secondary`; NULL: none */
  double guide;
  bool guide_secondary;
} gh_chart;

void gh_chart_lines(gh_page *page, const gh_chart *chart);

typedef struct gh_bars {
  const char *title, *unit;
  const char *const *names; /* (rows) */
  size_t rows;
  const char *labels[2], *colors[2]; /* of a row's two bars; labels[1] NULL: one bar per row */
  const double *values[2];           /* (rows); NaN: no bar */
  const double *low[2], *high[2];    /* (rows) whiskers; NULL: none */
  double most;                       /* the axis ends here */
} gh_bars;

void gh_chart_bars(gh_page *page, const gh_bars *bars);

#endif
