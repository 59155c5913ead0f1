/* Tooltips: <title> elements of SVG, which browsers show without a script. */
#include "report/tips.h"
#include "report/chart.h"

#include <math.h>
#include <stdio.h>

#define BANDS 48 /* per chart at most: each has one point's numbers */

static size_t nearest(const gh_series *s, double x) {
  size_t best = 0;
  for (size_t i = 1; i < s->count; i++)
    if (fabs(s->x[i] - x) < fabs(s->x[best] - x)) best = i;
  return best;
}

/* "update 120", then a line per series. */
static void put_text(gh_page *p, const gh_chart *c, double x, double half) {
  char number[32];
  gh_page_text(p, c->x_label);
  snprintf(number, sizeof number, " %.6g", x);
  gh_page_text(p, number);
  for (size_t i = 0; i < c->count; i++) {
    const gh_series *s = &c->series[i];
    const size_t at = s->count ? nearest(s, x) : 0;
    if (!s->count || fabs(s->x[at] - x) > half || !isfinite(s->y[at])) continue;
    gh_page_add(p, "\n");
    gh_page_text(p, s->label ? s->label : c->y_label);
    snprintf(number, sizeof number, " %.4g", s->y[at]);
    gh_page_text(p, number);
  }
}

/* The point of a series that stands for a band. */
static size_t point_of(const gh_series *s, size_t band, size_t bands) {
  return (2 * band + 1) * s->count / (2 * bands);
}

void gh_tips_draw(gh_page *p, const gh_chart *c, const gh_axis *x, double top, double bottom) {
  const gh_series *longest = NULL;
  for (size_t i = 0; i < c->count; i++)
    if (!c->series[i].points && (!longest || c->series[i].count > longest->count)) longest = &c->series[i];
  if (!longest || !longest->count) return;
  const size_t bands = longest->count < BANDS ? longest->count : BANDS;
  double left = x->from;
  for (size_t b = 0; b < bands; b++) {
    const double here = longest->x[point_of(longest, b, bands)];
    const double next = b + 1 < bands ? longest->x[point_of(longest, b + 1, bands)] : INFINITY;
    if (!gh_axis_shows(x, here)) continue;
    double right = gh_axis_shows(x, next) ? (gh_axis_place(x, here) + gh_axis_place(x, next)) / 2 : x->to;
    if (!(right > left)) continue;
    gh_page_add(p, "<rect class=\"tip\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", left, top,
                right - left, bottom - top);
    put_text(p, c, here, isfinite(next) ? fabs(next - here) : INFINITY);
    gh_page_add(p, "</title></rect>");
    left = right;
  }
}
