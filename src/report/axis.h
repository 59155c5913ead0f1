/* The axes of a chart: their range, their ticks, and the place of a value. */
#ifndef GH_REPORT_AXIS_H
#define GH_REPORT_AXIS_H

#include "base/status.h"

typedef struct gh_axis {
  double least, most, step; /* ticks at multiples of step */
  double from, to;          /* pixels of least and most */
  bool log;                 /* ticks at powers of ten, or at 1, 2 and 5 times these */
  bool fine;                /* of a logarithmic axis: the latter */
} gh_axis;

/* An axis without values; they follow with gh_axis_cover. */
gh_axis gh_axis_make(bool log, double from, double to);
/* Extends the range by the values that it can show. */
void gh_axis_cover(gh_axis *a, const double *values, size_t count);
/* Whether the axis shows the value. A run that diverged logs numbers whose range overflows: such points are left out,
 * like NaN. */
bool gh_axis_shows(const gh_axis *a, double value);
/* Chooses a step of 1, 2 or 5 times a power of ten, at least `finest`, for about `ticks` ticks; with round_ends, the
 * ends are ticks. Values that differ only in their last digits count as one value: their ticks could not be told apart
 * or counted. */
void gh_axis_settle(gh_axis *a, int ticks, double finest, bool round_ends);

double gh_axis_place(const gh_axis *a, double value);

/* for (double v = gh_axis_first(a); v <= gh_axis_last(a); v = gh_axis_next(a, v)) */
double gh_axis_first(const gh_axis *a);
double gh_axis_next(const gh_axis *a, double tick);
double gh_axis_last(const gh_axis *a);
/* A tick's text: as many digits as its step needs; "5e-4" instead of many zeros; "20k". */
const char *gh_axis_text(char *out, size_t size, const gh_axis *a, double tick);

#endif
