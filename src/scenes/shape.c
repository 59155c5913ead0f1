#include "scenes/shape.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBERS  64
#define MAX_POINTS   512
#define ROUND        40 /* corners of an ellipse */
#define SMOOTH       8  /* pieces between two points of a smooth curve */
#define OUTLINE      2.2
#define STRIPE_STEP  17
#define STRIPE_WIDTH 8
#define SPOT_STEP    20
#define SPOT_RADIUS  5.0
#define REACH        60 /* stripes and spots cover -60 to 60 */

static const gh_colour outline_colour = {45, 40, 50};

static const struct {
  char letter; /* as a capital */
  gh_colour colour;
} paints[] = {
    {'K', {40, 38, 48}},    {'W', {250, 250, 248}}, {'G', {150, 155, 165}}, {'B', {140, 90, 55}},
    {'Y', {252, 214, 70}},  {'R', {210, 45, 50}},   {'S', {170, 215, 240}}, {'N', {75, 150, 70}},
    {'O', {240, 140, 50}},  {'P', {245, 155, 190}}, {'F', {245, 225, 190}}, {'I', {60, 90, 170}},
    {'T', {115, 120, 135}}, {'U', {250, 236, 160}},
};

typedef struct gh_statement {
  char condition, about; /* '+' or '-', and 'f' or 's'; 0: none */
  char paint, shape;
  double numbers[MAX_NUMBERS];
  size_t count;
} gh_statement;

/* ---- reading ---- */

static const char *skip_blanks(const char *at) {
  while (*at == ' ' || *at == '\n') at++;
  return at;
}

/* The statement at *at, which moves to the next one; false if it is none. */
static bool read_statement(const char **at, gh_statement *s) {
  const char *p = skip_blanks(*at);
  *s = (gh_statement){0};
  if (*p == '+' || *p == '-') {
    s->condition = *p++;
    s->about = *p;
    if (*p != 'f' && *p != 's') return false;
    p = skip_blanks(p + 1);
  }
  if (!isalpha((unsigned char)*p)) return false;
  s->paint = *p;
  p = skip_blanks(p + 1);
  if (!isalpha((unsigned char)*p)) return false;
  s->shape = *p++;
  for (p = skip_blanks(p); *p && *p != ';'; p = skip_blanks(p)) {
    char *end = NULL;
    if (s->count == MAX_NUMBERS) return false;
    s->numbers[s->count++] = (double)strtol(p, &end, 10);
    if (end == p) return false;
    p = end;
  }
  *at = skip_blanks(*p ? p + 1 : p);
  return true;
}

static bool applies(const gh_statement *s, const gh_style *style) {
  if (!s->condition) return true;
  return (s->about == 'f' ? style->feature : style->state) == (s->condition == '+');
}

/* ---- shapes as points ---- */

/* Numbers of a shape to points, in the program's units; 0 if the numbers do not fit the shape. */
typedef size_t make_points(gh_point *out, const double *v, size_t n);

static size_t make_ellipse(gh_point *out, const double *v, size_t n) {
  if (n != 4) return 0;
  for (int i = 0; i < ROUND; i++) {
    double s, c;
    gh_turn((double)i / ROUND, &s, &c);
    out[i] = (gh_point){v[0] + v[2] * c, v[1] + v[3] * s};
  }
  return ROUND;
}

static size_t make_rectangle(gh_point *out, const double *v, size_t n) {
  static const int right[] = {1, 0, 0, 1}, low[] = {1, 1, 0, 0}; /* in the order of the turns */
  if (n != 5) return 0;
  double x = v[0], y = v[1], width = v[2], height = v[3], r = fmin(v[4], fmin(width, height) / 2);
  size_t count = 0;
  const int steps = 5;
  for (int corner = 0; corner < 4; corner++)
    for (int i = 0; i < steps; i++) {
      double s, c, cx = right[corner] ? x + width - r : x + r, cy = low[corner] ? y + height - r : y + r;
      gh_turn(corner / 4.0 + (double)i / (4 * (steps - 1)), &s, &c);
      out[count++] = (gh_point){cx + r * c, cy + r * s};
    }
  return count;
}

static size_t make_polygon(gh_point *out, const double *v, size_t n) {
  if (n < 4 || n % 2) return 0;
  for (size_t i = 0; i < n / 2; i++) out[i] = (gh_point){v[2 * i], v[2 * i + 1]};
  return n / 2;
}

static double spline(double a, double b, double c, double d, double t) { /* Catmull and Rom's, from b to c */
  return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

static size_t make_smooth(gh_point *out, const double *v, size_t n, bool closed) {
  gh_point p[MAX_NUMBERS / 2];
  size_t points = make_polygon(p, v, n), count = 0;
  if (points < 3) return 0;
  for (size_t i = 0; i + !closed < points; i++) {
    const gh_point *b = &p[i], *c = &p[(i + 1) % points];
    const gh_point *a = closed || i ? &p[(i + points - 1) % points] : b;
    const gh_point *d = closed || i + 2 < points ? &p[(i + 2) % points] : c;
    for (int k = 0; k < SMOOTH; k++) {
      double t = (double)k / SMOOTH;
      out[count++] = (gh_point){spline(a->x, b->x, c->x, d->x, t), spline(a->y, b->y, c->y, d->y, t)};
    }
  }
  if (!closed) out[count++] = p[points - 1];
  return count;
}

static size_t make_curve(gh_point *out, const double *v, size_t n) { return make_smooth(out, v, n, true); }
static size_t make_bow(gh_point *out, const double *v, size_t n) { return make_smooth(out, v, n, false); }

static const struct {
  char letter;
  bool line, closed; /* a line's first number is its width */
  make_points *make;
} shapes[] = {
    {'e', false, true, make_ellipse}, {'r', false, true, make_rectangle}, {'p', false, true, make_polygon},
    {'c', false, true, make_curve},   {'l', true, false, make_polygon},   {'a', true, false, make_bow},
    {'o', true, true, make_ellipse},
};

/* ---- painting ---- */

gh_point gh_shape_place(const gh_placing *at, double x, double y) {
  double a = x * at->x, b = y * at->y;
  return (gh_point){at->centre.x + a * at->cosine - b * at->sine, at->centre.y + a * at->sine + b * at->cosine};
}

static double unit_of(const gh_placing *at) { return (fabs(at->x) + fabs(at->y)) / 2; }

static uint8_t mixed(int from, int to, int percent) { return (uint8_t)((from * (100 - percent) + to * percent) / 100); }

static gh_colour mix(gh_colour from, gh_colour to, int percent) {
  return (gh_colour){mixed(from.red, to.red, percent), mixed(from.green, to.green, percent),
                     mixed(from.blue, to.blue, percent)};
}

static bool paint_of(char letter, const gh_style *style, gh_colour *out) {
  static const gh_colour black = {20, 15, 30}, white = {255, 255, 255};
  char capital = (char)toupper((unsigned char)letter);
  *out = style->main;
  if (capital == 'M') return true;
  *out = mix(style->main, black, 32);
  if (capital == 'D') return true;
  *out = mix(style->main, white, 55);
  if (capital == 'L') return true;
  for (size_t i = 0; i < GH_COUNT(paints); i++)
    if (paints[i].letter == capital) {
      *out = paints[i].colour;
      return true;
    }
  return false;
}

static void place_all(gh_point *points, size_t n, const gh_placing *at) {
  for (size_t i = 0; i < n; i++) points[i] = gh_shape_place(at, points[i].x, points[i].y);
}

static void fill_shape(gh_canvas *canvas, const double *numbers, size_t n, make_points *make, const gh_placing *at,
                       gh_colour colour) {
  gh_point points[MAX_POINTS];
  size_t count = make(points, numbers, n);
  place_all(points, count, at);
  gh_canvas_fill(canvas, points, count, colour);
}

static void paint_surface(gh_canvas *canvas, const gh_placing *at, const gh_style *style) {
  static const gh_colour black = {20, 15, 30}, white = {255, 255, 255};
  bool dark = style->main.red + style->main.green + style->main.blue < 380;
  gh_colour colour = dark ? mix(style->main, white, 72) : mix(style->main, black, 55);
  if (style->surface == GH_SURFACE_STRIPED)
    for (int x = -REACH; x < REACH; x += STRIPE_STEP) {
      const double bar[] = {x, -REACH, STRIPE_WIDTH, 2 * REACH, 0};
      fill_shape(canvas, bar, GH_COUNT(bar), make_rectangle, at, colour);
    }
  if (style->surface == GH_SURFACE_SPOTTED)
    for (int row = 0, y = -REACH; y < REACH; row++, y += SPOT_STEP - 5)
      for (int x = -REACH + row % 2 * SPOT_STEP / 2; x < REACH; x += SPOT_STEP) {
        const double dot[] = {x, y, SPOT_RADIUS, SPOT_RADIUS};
        fill_shape(canvas, dot, GH_COUNT(dot), make_ellipse, at, colour);
      }
}

static gh_status paint_statement(gh_error *err, gh_canvas *canvas, const gh_statement *s, const gh_placing *at,
                                 const gh_style *style) {
  gh_point points[MAX_POINTS];
  gh_colour colour = {0};
  size_t kind = 0, count = 0;
  while (kind < GH_COUNT(shapes) && shapes[kind].letter != s->shape) kind++;
  bool known = kind < GH_COUNT(shapes) && paint_of(s->paint, style, &colour), line = known && shapes[kind].line;
  if (known && s->count > line) count = shapes[kind].make(points, s->numbers + line, s->count - line);
  if (!count)
    return gh_fail(err, GH_ERROR_FORMAT, "a drawing has no shape %c %c with %zu numbers", s->paint, s->shape, s->count);
  if (!canvas || !applies(s, style)) return GH_OK;
  place_all(points, count, at);
  if (line) {
    gh_canvas_stroke(canvas, points, count, shapes[kind].closed, s->numbers[0] * unit_of(at), colour);
    return GH_OK;
  }
  gh_canvas_fill(canvas, points, count, colour);
  if (style->surface != GH_SURFACE_PLAIN && toupper((unsigned char)s->paint) == 'M') {
    gh_canvas_clip(canvas, points, count);
    paint_surface(canvas, at, style);
    gh_canvas_unclip(canvas);
  }
  if (isupper((unsigned char)s->paint))
    gh_canvas_stroke(canvas, points, count, true, OUTLINE * unit_of(at), outline_colour);
  return GH_OK;
}

gh_status gh_shape_draw(gh_error *err, gh_canvas *canvas, const char *program, const gh_placing *at,
                        const gh_style *style) {
  gh_status status = GH_OK;
  for (const char *next = skip_blanks(program); *next && !status;) {
    gh_statement s;
    const char *begin = next;
    status = read_statement(&next, &s)
                 ? paint_statement(err, canvas, &s, at, style)
                 : gh_fail(err, GH_ERROR_FORMAT, "not a statement of a drawing: \"%.40s\"", begin);
  }
  return status;
}
