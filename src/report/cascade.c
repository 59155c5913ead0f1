/* The cascade of a portability study (Sewall, Pennycook, Jacobsen, Deakin, McIntosh-Smith: Interpreting and Visualizing
 * Performance Portability Metrics, 2020): efficiencies in falling order, the platforms behind them, the metric. */
#include "report/chart.h"

#include <stdio.h>

#define LEFT    64
#define PLOT    480 /* width of the efficiencies */
#define GAP     24
#define BARS    220 /* width of the metric's bars */
#define TOP     14
#define DEPTH   230 /* height of both */
#define BOX     24  /* height of an application's row of platforms */
#define LINE    17
#define LETTERS 26

static double y_of(double efficiency) { return TOP + DEPTH * (1 - efficiency); }
static double x_of(const gh_cascade *c, size_t place) {
  return LEFT + PLOT * ((double)place + 0.5) / (double)c->columns;
}

/* "A" to "Z", then "A1", ... */
static void letter(char *out, size_t size, size_t platform) {
  if (platform < LETTERS)
    snprintf(out, size, "%c", 'A' + (int)platform);
  else
    snprintf(out, size, "%c%zu", 'A' + (int)(platform % LETTERS), platform / LETTERS);
}

/* The platform with the place-th highest efficiency of a row, and false where it has no such result. Ties keep the
 * order of the platforms. */
static bool at_place(const gh_cascade *c, size_t row, size_t place, size_t *platform) {
  const double *e = c->efficiency + row * c->columns;
  for (size_t i = 0; i < c->columns; i++) {
    size_t before = 0;
    for (size_t k = 0; k < c->columns; k++) before += e[k] > e[i] || (e[k] == e[i] && k < i);
    if (before != place) continue;
    *platform = i;
    return e[i] > 0;
  }
  return false;
}

static void draw_axis(gh_page *p, const gh_cascade *c) {
  char text[16], turned[80];
  for (int i = 0; i <= 5; i++) {
    const double y = y_of(0.2 * i);
    gh_page_add(p, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, LEFT + PLOT + GAP + BARS,
                y, y);
    snprintf(text, sizeof text, "%.1f", 0.2 * i);
    gh_chart_label(p, LEFT - 8, y + 4, "end", "", text);
  }
  snprintf(turned, sizeof turned, " transform=\"rotate(-90 14 %d)\" class=\"axis\"", TOP + DEPTH / 2);
  gh_chart_label(p, 14, TOP + DEPTH / 2.0, "middle", turned, c->y_label);
}

static void draw_row(gh_page *p, const gh_cascade *c, size_t row) {
  const double *e = c->efficiency + row * c->columns, y = TOP + DEPTH + 12 + (double)row * BOX;
  const char *color = gh_chart_color(row);
  size_t platform, count = 0;
  gh_page_add(p, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"", color);
  for (; count < c->columns && at_place(c, row, count, &platform); count++)
    gh_page_add(p, "%s%.1f %.1f", count ? "L" : "M", x_of(c, count), y_of(e[platform]));
  gh_page_add(p, "\"/>");
  for (size_t i = 0; i < count && at_place(c, row, i, &platform); i++) {
    char name[32];
    letter(name, sizeof name, platform);
    gh_page_add(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\" fill=\"%s\"><title>", x_of(c, i), y_of(e[platform]),
                color);
    gh_page_text(p, c->platforms[platform]);
    gh_page_add(p, ": %.2f</title></circle>", e[platform]);
    gh_page_add(p, "<rect class=\"box\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
                x_of(c, i) - PLOT / (2.0 * (double)c->columns), y, PLOT / (double)c->columns, BOX - 4);
    gh_chart_label(p, x_of(c, i), y + 14, "middle", "", name);
  }
  gh_page_add(p, "<rect x=\"%d\" y=\"%.1f\" width=\"10\" height=\"10\" rx=\"2\" fill=\"%s\"/>", LEFT + PLOT + GAP,
              y + 5, color);
  gh_chart_label(p, LEFT + PLOT + GAP + 16, y + 14, "start", "", c->applications[row]);
}

static void draw_metric(gh_page *p, const gh_cascade *c, size_t row) {
  const double room = BARS / (double)c->rows, x = LEFT + PLOT + GAP + room * (double)row, width = room * 0.7;
  const double top = y_of(c->metric[row]);
  char text[16];
  gh_page_add(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, top, width,
              TOP + DEPTH - top + 0.5, gh_chart_color(row));
  snprintf(text, sizeof text, "%.2f", c->metric[row]);
  gh_chart_label(p, x + width / 2, top - 4, "middle", " class=\"value\"", text);
}

void gh_chart_cascade(gh_page *p, const gh_cascade *c) {
  const double below = TOP + DEPTH + 12 + (double)c->rows * BOX;
  gh_page_add(p, "<figure><figcaption><b>");
  gh_page_text(p, c->title);
  gh_page_add(p, "</b></figcaption><div class=\"scroll\">");
  gh_chart_open(p, c->title, LEFT + PLOT + GAP + BARS + 20, (int)below + 14 + LINE * (int)c->columns);
  draw_axis(p, c);
  for (size_t row = 0; row < c->rows; row++) draw_row(p, c, row);
  for (size_t row = 0; row < c->rows; row++) draw_metric(p, c, row);
  for (size_t i = 0; i < c->columns; i++) {
    char name[32];
    letter(name, sizeof name, i);
    gh_chart_label(p, LEFT, below + 12 + LINE * (double)i, "start", " class=\"axis\"", name);
    gh_chart_label(p, LEFT + 24, below + 12 + LINE * (double)i, "start", " class=\"axis\"", c->platforms[i]);
  }
  gh_page_add(p, "</svg></div></figure>\n");
}
