#include "report/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WIDTH   680
#define NARROW  380 /* three fit side by side */
#define HEIGHT  280
#define LEFT    64
#define RIGHT   18
#define RIGHT2  64 /* with a second axis */
#define TOP     14
#define BOTTOM  44
#define LARGEST 1e100
#define POINTS  400 /* per line at most; more are averaged into this many bins */

const char *gh_chart_color(size_t index) {
  static const char *const palette[] = {"#1f6fb2", "#d1602b", "#3c8d5a", "#8a5aa8", "#b58a1c", "#5b6b7b"};
  return palette[index % GH_COUNT(palette)];
}

/* ---- axes ---- */

typedef struct gh_axis {
  double least, most, step; /* ticks at multiples of step */
  double from, to;          /* pixels of least and most */
  bool log;                 /* ticks at powers of ten */
} gh_axis;

static double place(const gh_axis *a, double value) {
  if (a->log) return a->from + log10(value / a->least) / log10(a->most / a->least) * (a->to - a->from);
  return a->from + (value - a->least) / (a->most - a->least) * (a->to - a->from);
}

/* Chooses a step of 1, 2 or 5 times a power of ten, at least `finest`, for about `ticks` ticks; with round_ends, the
 * ends are ticks. Values that differ only in their last digits count as one value: their ticks could not be told apart
 * or counted. */
static void settle(gh_axis *a, int ticks, double finest, bool round_ends) {
  if (a->log) {
    a->least = a->least > 0 && isfinite(a->least) ? pow(10, floor(log10(a->least) + 1e-9)) : 1;
    a->most = a->most > a->least ? pow(10, ceil(log10(a->most) - 1e-9)) : 10 * a->least;
    return;
  }
  if (!(a->most - a->least > 1e-9 * fmax(fabs(a->least), fabs(a->most)))) { /* one value, or none */
    double middle = isfinite(a->least) ? a->least : 0, half = fmax(middle != 0 ? fabs(middle) * 0.1 : 1, finest);
    a->least = middle - half;
    a->most = middle + half;
  }
  double raw = (a->most - a->least) / ticks, power = pow(10, floor(log10(raw))), rest = raw / power;
  a->step = fmax(power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10), finest);
  if (!round_ends) return;
  a->least = floor(a->least / a->step + 1e-9) * a->step;
  a->most = ceil(a->most / a->step - 1e-9) * a->step;
}

/* A run that diverged logs numbers whose range overflows: such points are left out, like NaN. */
static bool is_drawn(double value) { return fabs(value) <= LARGEST; }

static void cover(gh_axis *a, const double *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!is_drawn(values[i])) continue;
    a->least = fmin(a->least, values[i]);
    a->most = fmax(a->most, values[i]);
  }
}

/* A tick's text: as many digits as its step needs; "5e-4" instead of many zeros; "20k". */
static const char *number(char *out, size_t size, double value, double step) {
  if (fabs(value) < step * 1e-6) {
    snprintf(out, size, "0");
  } else if (fabs(value) >= 1e4 && fabs(value) < 1e7 && fmod(value, 1000) == 0) {
    snprintf(out, size, "%.0fk", value / 1000);
  } else if (step < 1e-3 || fabs(value) >= 1e6) {
    int power = (int)floor(log10(fabs(value)) + 1e-9);
    snprintf(out, size, "%.3ge%d", value / pow(10, power), power);
  } else {
    snprintf(out, size, "%.*f", (int)fmax(0, ceil(-log10(step) - 1e-9)), value);
  }
  return out;
}

void gh_chart_label(gh_page *p, double x, double y, const char *anchor, const char *extra, const char *text) {
  gh_page_add(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, extra);
  gh_page_text(p, text);
  gh_page_add(p, "</text>");
}

static double first_tick(const gh_axis *a) { return a->log ? a->least : ceil(a->least / a->step - 1e-9) * a->step; }
static double next_tick(const gh_axis *a, double tick) { return a->log ? 10 * tick : tick + a->step; }
static double last_tick(const gh_axis *a) { return a->log ? 1.000001 * a->most : a->most + a->step * 1e-6; }
static double step_at(const gh_axis *a, double tick) { return a->log ? tick : a->step; }

static void draw_y_axis(gh_page *p, const gh_axis *y, const char *label, double edge, bool grid, double other_edge) {
  char text[32];
  for (double v = first_tick(y); v <= last_tick(y); v = next_tick(y, v)) {
    double at = place(y, v);
    if (grid)
      gh_page_add(p, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", edge, other_edge, at,
                  at);
    gh_chart_label(p, grid ? edge - 8 : edge + 8, at + 4, grid ? "end" : "start", "",
                   number(text, sizeof text, v, step_at(y, v)));
  }
  char extra[80];
  double x = grid ? 14 : edge + RIGHT2 - 10, middle = (y->from + y->to) / 2;
  snprintf(extra, sizeof extra, " transform=\"rotate(-90 %.1f %.1f)\" class=\"axis\"", x, middle);
  gh_chart_label(p, x, middle, "middle", extra, label);
}

static void draw_x_axis(gh_page *p, const gh_axis *x, const char *label) {
  char text[32];
  double bottom = HEIGHT - BOTTOM;
  gh_page_add(p, "<line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x->from, x->to, bottom,
              bottom);
  for (double v = first_tick(x); v <= last_tick(x); v = next_tick(x, v))
    gh_chart_label(p, place(x, v), bottom + 18, "middle", "", number(text, sizeof text, v, step_at(x, v)));
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
    bool drawn = is_drawn(x[i]) && is_drawn(y[i]);
    if (drawn) gh_page_add(p, "%s%.1f %.1f", first ? "M" : "L", place(ax, x[i]), place(ay, y[i]));
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
    if (is_drawn(x[i]) && is_drawn(y[i]))
      gh_page_add(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\" fill=\"%s\"/>", place(ax, x[i]), place(ay, y[i]),
                  s->color);
}

static void draw_legend(gh_page *p, const gh_chart *c) {
  gh_page_add(p, "<figcaption><b>");
  gh_page_text(p, c->title);
  gh_page_add(p, "</b>");
  for (size_t i = 0; i < c->count; i++) {
    if (!c->series[i].label || c->legend_inside) continue;
    gh_page_add(p, "<span class=\"key\"><i style=\"background:%s\"></i>", c->series[i].color);
    gh_page_text(p, c->series[i].label);
    gh_page_add(p, "</span>");
  }
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

void gh_chart_open(gh_page *p, const char *title, int width, int height) {
  gh_page_add(p, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", width, height);
  gh_page_text(p, title);
  gh_page_add(p, "\">");
}

void gh_chart_lines(gh_page *p, const gh_chart *c) {
  gh_axis x = {.least = INFINITY, .most = -INFINITY}, y = x, y2 = x;
  x.log = c->log_x;
  y.log = c->log_y;
  x.from = LEFT;
  int width = c->narrow ? NARROW : WIDTH;
  x.to = width - (c->y2_label ? RIGHT2 : RIGHT);
  y.from = y2.from = HEIGHT - BOTTOM;
  y.to = y2.to = TOP;
  for (size_t i = 0; i < c->count; i++) {
    const gh_series *s = &c->series[i];
    cover(&x, s->x, s->count);
    cover(s->secondary ? &y2 : &y, s->y, s->count);
  }
  if (c->from_zero) y.least = 0;
  if (c->guide_label) cover(c->guide_secondary ? &y2 : &y, &c->guide, 1);
  settle(&x, c->narrow ? 4 : 7, c->whole_x, false);
  settle(&y, 5, 0, true);
  settle(&y2, 5, 0, true);
  gh_page_add(p, "<figure>");
  draw_legend(p, c);
  gh_chart_open(p, c->title, width, HEIGHT);
  draw_y_axis(p, &y, c->y_label, x.from, true, x.to);
  if (c->y2_label) draw_y_axis(p, &y2, c->y2_label, x.to, false, 0);
  draw_x_axis(p, &x, c->x_label);
  if (c->guide_label) {
    double at = place(c->guide_secondary ? &y2 : &y, c->guide);
    gh_page_add(p, "<line class=\"guide\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x.from, x.to, at, at);
    gh_chart_label(p, x.to - 4, at - 5, "end", " class=\"guide\"", c->guide_label);
  }
  for (size_t i = 0; i < c->count; i++) draw_series(p, &x, c->series[i].secondary ? &y2 : &y, &c->series[i]);
  if (c->legend_inside) draw_legend_inside(p, c, x.to, y.from);
  gh_page_add(p, "</svg></figure>\n");
}

/* ---- bars ---- */

#define NAMES  250 /* width of the names on the left */
#define THICK  13
#define ROW    44
#define SINGLE 28 /* height of a row with one bar */

static void draw_bar(gh_page *p, const gh_axis *x, const gh_bars *b, size_t row, int which, double top) {
  double value = b->values[which][row], end = place(x, value);
  char text[32];
  if (!isfinite(value)) return;
  gh_page_add(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>", x->from, top,
              fmax(end - x->from, 0.5), THICK, b->colors[which]);
  double label = end;
  if (b->low[which] && b->high[which]) {
    double low = place(x, b->low[which][row]), high = place(x, b->high[which][row]), middle = top + THICK / 2.0;
    gh_page_add(p, "<path class=\"whisker\" d=\"M%.1f %.1fL%.1f %.1fM%.1f %.1fv6M%.1f %.1fv6\"/>", low, middle, high,
                middle, low, middle - 3, high, middle - 3);
    label = fmax(high, end);
  }
  snprintf(text, sizeof text, "%.1f", value);
  gh_chart_label(p, label + 6, top + THICK - 2.5, "start", " class=\"value\"", text);
}

void gh_chart_bars(gh_page *p, const gh_bars *b) {
  int row = b->labels[1] ? ROW : SINGLE, height = TOP + (int)b->rows * row + BOTTOM - 8;
  gh_axis x = {.least = 0, .most = b->most, .from = NAMES, .to = WIDTH - 46};
  char text[32];
  settle(&x, 5, 0, false);
  gh_page_add(p, "<figure><figcaption><b>");
  gh_page_text(p, b->title);
  gh_page_add(p, "</b>");
  for (int i = 0; i < 2 && b->labels[i]; i++) {
    gh_page_add(p, "<span class=\"key\"><i style=\"background:%s\"></i>", b->colors[i]);
    gh_page_text(p, b->labels[i]);
    gh_page_add(p, "</span>");
  }
  gh_page_add(p, "</figcaption>");
  gh_chart_open(p, b->title, WIDTH, height);
  double bottom = TOP + (double)b->rows * row;
  for (double v = 0; v <= x.most + x.step * 1e-6; v += x.step) {
    gh_page_add(p, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>", place(&x, v), place(&x, v),
                TOP, bottom);
    gh_chart_label(p, place(&x, v), bottom + 16, "middle", "", number(text, sizeof text, v, x.step));
  }
  gh_chart_label(p, (x.from + x.to) / 2, bottom + 32, "middle", " class=\"axis\"", b->unit);
  for (size_t i = 0; i < b->rows; i++) {
    double top = TOP + (double)i * row + (row - (b->labels[1] ? 2 * THICK + 3 : THICK)) / 2.0;
    gh_chart_label(p, NAMES - 10, TOP + (double)i * row + row / 2.0 + 4, "end", "", b->names[i]);
    for (int k = 0; k < 2 && b->labels[k]; k++) draw_bar(p, &x, b, i, k, top + k * (THICK + 3));
  }
  gh_page_add(p, "</svg></figure>\n");
}
