/* Horizontal bars, one or two per row. */
#include "report/axis.h"
#include "report/chart.h"

#include <math.h>
#include <stdio.h>

#define TOP    14
#define BOTTOM 36
#define THICK  13
#define RIGHT  46 /* for the numbers behind the bars */

/* On phones the names stand above their bars. */
typedef struct gh_bars_layout {
  int width, left; /* left: where the bars begin */
  int row, above;  /* height of a row, and of its name if that is above */
} gh_bars_layout;

static void draw_bar(gh_page *p, const gh_axis *x, const gh_bars *b, size_t row, int which, double top) {
  double value = b->values[which][row], end = gh_axis_place(x, value), label = end;
  bool ranged = b->low[which] && b->high[which] && isfinite(b->low[which][row]) && isfinite(b->high[which][row]);
  char text[32];
  if (!isfinite(value)) return;
  gh_page_add(p, "<g><title>");
  gh_page_text(p, b->names[row]);
  gh_page_add(p, "%s", b->labels[1] ? ", " : "");
  if (b->labels[1]) gh_page_text(p, b->labels[which]);
  gh_page_add(p, ": %.1f", value);
  if (ranged) gh_page_add(p, " (%.1f to %.1f)", b->low[which][row], b->high[which][row]);
  gh_page_add(p, "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>", x->from,
              top, fmax(end - x->from, 0.5), THICK, b->colors[which]);
  if (ranged) {
    double low = gh_axis_place(x, b->low[which][row]), high = gh_axis_place(x, b->high[which][row]);
    double middle = top + THICK / 2.0;
    gh_page_add(p, "<path class=\"whisker\" d=\"M%.1f %.1fL%.1f %.1fM%.1f %.1fv6M%.1f %.1fv6\"/>", low, middle, high,
                middle, low, middle - 3, high, middle - 3);
    label = fmax(high, end);
  }
  snprintf(text, sizeof text, "%.1f", value);
  gh_chart_label(p, label + 6, top + THICK - 2.5, "start", " class=\"value\"", text);
  gh_page_add(p, "</g>");
}

static void draw_bars(gh_page *p, const gh_bars *b, const gh_bars_layout *l, const char *shown) {
  const double bottom = TOP + (double)b->rows * l->row;
  const int bars = b->labels[1] ? 2 * THICK + 3 : THICK;
  gh_axis x = gh_axis_make(false, l->left, l->width - RIGHT);
  char text[32];
  x.least = 0;
  x.most = b->most;
  gh_axis_settle(&x, 5, 0, false);
  gh_chart_open_as(p, b->title, l->width, (int)bottom + BOTTOM, shown);
  for (double v = 0; v <= gh_axis_last(&x); v = gh_axis_next(&x, v)) {
    const double at = gh_axis_place(&x, v);
    gh_page_add(p, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>", at, at, TOP, bottom);
    gh_chart_label(p, at, bottom + 16, "middle", "", gh_axis_text(text, sizeof text, &x, v));
  }
  gh_chart_label(p, (x.from + x.to) / 2, bottom + 32, "middle", " class=\"axis\"", b->unit);
  for (size_t i = 0; i < b->rows; i++) {
    const double row = TOP + (double)i * l->row, top = row + l->above + (l->row - l->above - bars) / 2.0;
    if (l->above)
      gh_chart_label(p, l->left, row + 13, "start", "", b->names[i]);
    else
      gh_chart_label(p, l->left - 10, row + l->row / 2.0 + 4, "end", "", b->names[i]);
    for (int k = 0; k < 2 && b->labels[k]; k++) draw_bar(p, &x, b, i, k, top + k * (THICK + 3));
  }
  gh_page_add(p, "</svg>");
}

void gh_chart_bars(gh_page *p, const gh_bars *b) {
  const int row = b->labels[1] ? 44 : 28;
  const gh_bars_layout wide = {.width = 680, .left = 250, .row = row};
  const gh_bars_layout narrow = {.width = 380, .left = 10, .row = row + 10, .above = 16};
  gh_page_add(p, "<figure><figcaption><b>");
  gh_page_text(p, b->title);
  gh_page_add(p, "</b>");
  for (int i = 0; i < 2 && b->labels[i]; i++) {
    gh_page_add(p, "<span class=\"key\"><i style=\"background:%s\"></i>", b->colors[i]);
    gh_page_text(p, b->labels[i]);
    gh_page_add(p, "</span>");
  }
  gh_page_add(p, "</figcaption>");
  draw_bars(p, b, &wide, " class=\"desk\"");
  draw_bars(p, b, &narrow, " class=\"phone\"");
  gh_page_add(p, "</figure>\n");
}
