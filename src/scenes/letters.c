/* Capital letters as strokes on a grid of 5 x 7: no font, which would differ between machines. */
#include "scenes/scene.h"

#include <math.h>
#include <string.h>

#define WIDTH     4 /* of a letter's grid */
#define HEIGHT    6
#define ADVANCE   5.6
#define MAX_TURNS 24

/* Pairs of digits x, y (y downwards); a blank begins a new stroke. */
static const char *const letters[26] = {"062046 1434",
                                        "06003041423303 3344453606",
                                        "4130100105163645",
                                        "06003041453606",
                                        "40000646 0333",
                                        "400006 0333",
                                        "41301001051636454323",
                                        "0006 4046 0343",
                                        "1030 2026 1636",
                                        "4045361605",
                                        "0006 400346",
                                        "000646",
                                        "0600234046",
                                        "06004640",
                                        "103041453616050110",
                                        "06003041423303",
                                        "103041453616050110 2446",
                                        "06003041423303 2346",
                                        "413010010213334445361605",
                                        "0040 2026",
                                        "000516364540",
                                        "002640",
                                        "0016233640",
                                        "0046 4006",
                                        "002340 2326",
                                        "00400646"};

static void draw_letter(gh_canvas *canvas, const char *strokes, gh_point at, double unit, gh_colour colour) {
  gh_point points[MAX_TURNS];
  for (const char *p = strokes; *p;) {
    size_t n = 0;
    for (; p[0] && p[0] != ' ' && p[1] && n < MAX_TURNS; p += 2)
      points[n++] = (gh_point){at.x + (p[0] - '0') * unit, at.y + (p[1] - '0') * unit};
    gh_canvas_stroke(canvas, points, n, false, 1.15 * unit, colour);
    while (*p == ' ') p++;
  }
}

void gh_letters_draw(gh_canvas *canvas, const char *text, double x, double y, double width, double height,
                     gh_colour colour) {
  double n = (double)strlen(text), units = n * ADVANCE - (ADVANCE - WIDTH);
  double unit = fmin(width / units, height / HEIGHT);
  gh_point at = {x + (width - units * unit) / 2, y + (height - HEIGHT * unit) / 2};
  for (const char *p = text; *p; p++, at.x += ADVANCE * unit)
    if (*p >= 'A' && *p <= 'Z') draw_letter(canvas, letters[*p - 'A'], at, unit, colour);
}
