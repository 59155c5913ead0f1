/* Charts as inline SVG: lines with axes and a legend, horizontal bars. Sizes are in viewBox units; the page scales
 * them. A wide chart is drawn a second time for phones, narrow. Tooltips are <title> elements. */
#ifndef GH_REPORT_CHART_H
#define GH_REPORT_CHART_H

#include "report/page.h"

typedef struct gh_series {
  const char *label; /* NULL: not in the legend */
  const char *color; /* a CSS colour */
  const double *x, *y;
  size_t count;
  bool dots;      /* a marker at every point */
  bool points;    /* markers without a line */
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
  bool log_x, log_y;       /* in powers of ten; every value is above 0 */
  bool legend_inside;      /* in the drawing, which is then complete without its page */
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

/* An application's efficiencies on every platform in falling order, which platform each is, and the metric over all. */
typedef struct gh_cascade {
  const char *title, *y_label;
  const char *const *applications; /* (rows) */
  const char *const *platforms;    /* (columns) */
  size_t rows, columns;
  const double *efficiency; /* (rows, columns) in [0, 1]; 0: no result */
  const double *metric;     /* (rows) */
} gh_cascade;

void gh_chart_cascade(gh_page *page, const gh_cascade *cascade);

/* ---- for charts of other files ---- */

void gh_chart_open(gh_page *page, const char *title, int width, int height); /* "<svg ...>" */
/* shown: on which media, as an attribute with a space in front: " class=\"desk\"", " class=\"phone\"", or "". */
void gh_chart_open_as(gh_page *page, const char *title, int width, int height, const char *shown);
/* anchor: "start", "middle" or "end"; extra: attributes with a space in front, or "". */
void gh_chart_label(gh_page *page, double x, double y, const char *anchor, const char *extra, const char *text);
const char *gh_chart_color(size_t index); /* of the palette, in turn */

#endif
