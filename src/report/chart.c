#include "report/chart.h"
#include "report/axis.h"
#include "report/tips.h"

#include <math.h>
#include <stdio.h>

#define WIDTH  680
#define NARROW 380 /* three fit side by side */
#define HEIGHT 280
#define LEFT   64
#define RIGHT  18
#define RIGHT2 64 /* with a second axis */
#define TOP    14
#define BOTTOM 44
#define POINTS 400 /* per line at most; more are averaged into this many bins */

const char *gh_chart_color(size_t index) {
  static const char *const palette[] = {"#1f6fb2", "#d1602b", "#3c8d5a", "#8a5aa8", "#b58a1c", "#5b6b7b"};
  return palette[index % GH_COUNT(palette)];
}

void gh_chart_label(gh_page *p, double x, double y, const char *anchor, const char *extra, const char *text) {
  gh_page_add(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, extra);
  gh_page_text(p, text);
  gh_page_add(p, "</text>");
}

/* ---- axes ---- */

static void draw_y_axis(gh_page *p, const gh_axis *y, const char *label, double edge, bool grid, double other_edge) {
  char text[32], extra[80];
  for (double v = gh_axis_first(y); v <= gh_axis_last(y); v = gh_axis_next(y, v)) {
    double at = gh_axis_place(y, v);
    if (grid)
      gh_page_add(p, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", edge, other_edge, at,
                  at);
    gh_chart_label(p, grid ? edge - 8 : edge + 8, at + 4, grid ? "end" : "start", "",
                   gh_axis_text(text, sizeof text, y, v));
  }
  double x = grid ? 11 : edge + RIGHT2 - 10, middle = (y->from + y->to) / 2;
  snprintf(extra, sizeof extra, " transform=\"rotate(-90 %.1f %.1f)\" class=\"axis\"", x, middle);
  gh_chart_label(p, x, middle, "middle", extra, label);
}

static void draw_x_axis(gh_page *p, const gh_axis *x, const char *label) {
  char text[32];
  double bottom = HEIGHT - BOTTOM;
  gh_page_add(p, "<line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x->from, x->to, bottom,
              bottom);
  for (double v = gh_axis_first(x); v <= gh_axis_last(x); v = gh_axis_next(x, v))
    gh_chart_label(p, gh_axis_place(x, v), bottom + 18, "middle", "", gh_axis_text(text, sizeof text, x, v));
  gh_chart_label(p, (x->from + x->to) / 2, HEIGHT - 6, "middle", " class=\"axis\"", label);
}

/* ---- lines ---- */

/* Points in bins of equal count: x and y are means. */
static size_t thin(double *x, double *y, const gh_series *s) {
  size_t bins = GH_MIN(s->count, (size_t)POINTS);
  for (size_t b = 0; b < bins; b++) {
    size_t first = s->count * b / bins, end = s->count * (b + 1) / bins;
    x[b] = y[b] = 0;
    for (size_t i = first; i < end; i++) {
      x[b] += s->x[i] / (double)(end - first);
      y[b] += s->y[i] / (double)(end - first);
    }
  }
  return bins;
}

static void draw_line(gh_page *p, const gh_axis *ax, const gh_axis *ay, const double *x, const double *y, size_t count,
                      const char *color, double width, double opacity) {
  bool first = true;
  gh_page_add(
      p,
      "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" stroke-opacity=\"%.2f\" stroke-linejoin=\"round\" d=\"",
      color, width, opacity);
  for (size_t i = 0; i < count; i++) {
    bool drawn = gh_axis_shows(ax, x[i]) && gh_axis_shows(ay, y[i]);
    if (drawn) gh_page_add(p, "%s%.1f %.1f", first ? "M" : "L", gh_axis_place(ax, x[i]), gh_axis_place(ay, y[i]));
    first = first && !drawn;
  }
  gh_page_add(p, "\"/>");
}

static void draw_smoothed(gh_page *p, const gh_axis *ax, const gh_axis *ay, const double *x, const double *y,
                          size_t count, const char *color) {
  double mean[POINTS];
  size_t half = count / 60;
  for (size_t i = 0; i < count; i++) {
    size_t reach = GH_MIN(half, GH_MIN(i, count - 1 - i)), first = i - reach, end = i + reach + 1;
    mean[i] = 0;
    for (size_t k = first; k < end; k++) mean[i] += y[k] / (double)(end - first);
  }
  draw_line(p, ax, ay, x, mean, count, color, 2, 1);
}

static void draw_series(gh_page *p, const gh_axis *ax, const gh_axis *ay, const gh_series *s) {
  double x[POINTS], y[POINTS];
  size_t count = thin(x, y, s);
  if (!s->points) draw_line(p, ax, ay, x, y, count, s->color, s->smoothed ? 1 : 2, s->smoothed ? 0.3 : 1);
  if (s->smoothed) draw_smoothed(p, ax, ay, x, y, count, s->color);
  for (size_t i = 0; (s->dots || s->points || count == 1) && i < count; i++)
    if (gh_axis_shows(ax, x[i]) && gh_axis_shows(ay, y[i]))
      gh_page_add(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\" fill=\"%s\"/>", gh_axis_place(ax, x[i]),
                  gh_axis_place(ay, y[i]), s->color);
}

/* Readers expect an axis at 0: a value axis that begins elsewhere says so. */
static void note_axis(gh_page *p, const gh_chart *c, const gh_axis *y, const gh_axis *y2) {
  char text[2][32];
  const bool left = !y->log && y->least > 0, right = c->y2_label && y2->least > 0;
  if (left) gh_axis_text(text[0], sizeof text[0], y, y->least);
  if (right) gh_axis_text(text[1], sizeof text[1], y2, y2->least);
  if (y->log)
    gh_page_add(p, " <small>logarithmic axis</small>");
  else if (left && right)
    gh_page_add(p, " <small>axes begin at %s and %s</small>", text[0], text[1]);
  else if (left || right)
    gh_page_add(p, " <small>%s axis begins at %s</small>", left ? c->y2_label ? "left" : "the" : "right",
                text[left ? 0 : 1]);
}

static void draw_legend(gh_page *p, const gh_chart *c, const gh_axis *y, const gh_axis *y2) {
  gh_page_add(p, "<figcaption><b>");
  gh_page_text(p, c->title);
  gh_page_add(p, "</b>");
  for (size_t i = 0; i < c->count; i++) {
    if (!c->series[i].label) continue;
    gh_page_add(p, "<span class=\"key%s\"><i style=\"background:%s\"></i>", c->legend_inside ? " phone" : "",
                c->series[i].color);
    gh_page_text(p, c->series[i].label);
    gh_page_add(p, "</span>");
  }
  note_axis(p, c, y, y2);
  gh_page_add(p, "</figcaption>");
}

/* The legend in the plot's lower right corner, for a chart that is also a file of its own. */
static void draw_legend_inside(gh_page *p, const gh_chart *c, double right, double bottom) {
  size_t shown = 0;
  for (size_t i = c->count; i-- > 0;) {
    if (!c->series[i].label) continue;
    const double y = bottom - 10 - 16 * (double)shown++;
    gh_page_add(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" rx=\"2\" fill=\"%s\"/>", right - 14, y - 9,
                c->series[i].color);
    gh_chart_label(p, right - 20, y, "end", "", c->series[i].label);
  }
}

void gh_chart_open_as(gh_page *p, const char *title, int width, int height, const char *shown) {
  gh_page_add(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\"%s aria-label=\"", width, height, shown);
  gh_page_text(p, title);
  gh_page_add(p, "\">");
}

void gh_chart_open(gh_page *p, const char *title, int width, int height) {
  gh_chart_open_as(p, title, width, height, "");
}

/* A page has a wide chart for screens and paper, and one for phones, where its letters keep their size. */
static void draw_lines(gh_page *p, const gh_chart *c, gh_axis x, const gh_axis *y, const gh_axis *y2, bool narrow,
                       const char *shown) {
  const int width = narrow ? NARROW : WIDTH;
  x.to = width - (c->y2_label ? RIGHT2 : RIGHT);
  gh_axis_settle(&x, narrow ? 4 : 7, c->whole_x, false);
  gh_chart_open_as(p, c->title, width, HEIGHT, shown);
  draw_y_axis(p, y, c->y_label, x.from, true, x.to);
  if (c->y2_label) draw_y_axis(p, y2, c->y2_label, x.to, false, 0);
  draw_x_axis(p, &x, c->x_label);
  if (c->guide_label) {
    double at = gh_axis_place(c->guide_secondary ? y2 : y, c->guide);
    gh_page_add(p, "<line class=\"guide\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x.from, x.to, at, at);
    gh_chart_label(p, x.to - 4, at - 5, "end", " class=\"guide\"", c->guide_label);
  }
  for (size_t i = 0; i < c->count; i++) draw_series(p, &x, c->series[i].secondary ? y2 : y, &c->series[i]);
  if (c->legend_inside && !narrow) draw_legend_inside(p, c, x.to, y->from);
  if (c->narrow || !narrow) gh_tips_draw(p, c, &x, y->to, y->from);
  gh_page_add(p, "</svg>");
}

void gh_chart_lines(gh_page *p, const gh_chart *c) {
  gh_axis x = gh_axis_make(c->log_x, LEFT, WIDTH), y = gh_axis_make(c->log_y, HEIGHT - BOTTOM, TOP);
  gh_axis y2 = gh_axis_make(false, HEIGHT - BOTTOM, TOP);
  for (size_t i = 0; i < c->count; i++) {
    const gh_series *s = &c->series[i];
    gh_axis_cover(&x, s->x, s->count);
    gh_axis_cover(s->secondary ? &y2 : &y, s->y, s->count);
  }
  if (c->whole_x && x.least > 0 && x.least <= x.most / 20) x.least = 0; /* updates are counted from there */
  if (c->from_zero) y.least = 0;
  if (c->guide_label) gh_axis_cover(c->guide_secondary ? &y2 : &y, &c->guide, 1);
  gh_axis_settle(&y, 5, 0, true);
  gh_axis_settle(&y2, 5, 0, true);
  gh_page_add(p, "<figure>");
  draw_legend(p, c, &y, &y2);
  draw_lines(p, c, x, &y, &y2, c->narrow, c->narrow ? "" : " class=\"desk\"");
  if (!c->narrow) draw_lines(p, c, x, &y, &y2, true, " class=\"phone\"");
  gh_page_add(p, "</figure>\n");
}
