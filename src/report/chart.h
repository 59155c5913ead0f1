/* Charts as inline SVG: lines with axes and a legend, horizontal bars. Sizes are the viewBox's; the page scales them.
 */
#ifndef GH_REPORT_CHART_H
#define GH_REPORT_CHART_H

#include "report/page.h"

typedef struct gh_series {
  const char *label; /* NULL: not in the legend */
  const char *color; /* as CSS writes it */
  const double *x, *y;
  size_t count;
  bool dots;      /* a mark at every point */
  bool smoothed;  /* the points faint, and a moving average over a thirtieth of them on top */
  bool secondary; /* by the axis on the right */
} gh_series;

typedef struct gh_chart {
  const char *title, *x_label, *y_label;
  const char *y2_label; /* of the axis on the right; NULL: there is none */
  const gh_series *series;
  size_t count;
  bool narrow;             /* three fit beside each other */
  bool whole_x;            /* x counts something: no ticks between whole numbers */
  bool from_zero;          /* the left axis begins at 0 */
  const char *guide_label; /* a dashed line by `guide_secondary`'s axis at `guide`; NULL: none */
  double guide;
  bool guide_secondary;
} gh_chart;

void gh_chart_lines(gh_page *page, const gh_chart *chart);

typedef struct gh_bars {
  const char *title, *unit;
  const char *const *names; /* (rows) */
  size_t rows;
  const char *labels[2], *colors[2]; /* of the two bars of a row; labels[1] NULL: one bar a row */
  const double *values[2];           /* (rows); a NaN is no bar */
  const double *low[2], *high[2];    /* (rows) whiskers; NULL: none */
  double most;                       /* the axis ends here */
} gh_bars;

void gh_chart_bars(gh_page *page, const gh_bars *bars);

#endif
