#include "scenes/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if GH_WITH_CAIRO
#include <cairo.h>
#endif

#define ROUND_CORNERS 12 /* of the polygon that rounds a stroke's ends */
#define UNITS         256
#define STRAIGHT      0.99 /* cosine of a bend that needs no rounding */

/* ---- the sine ---- */

/* |x| <= pi/2: Taylor's series to x^15. */
static double sine_near(double x) {
  double x2 = x * x, sum = 0;
  static const double terms[] = {-1 / 210.0, -1 / 156.0, -1 / 110.0, -1 / 72.0, -1 / 42.0, -1 / 20.0, -1 / 6.0};
  for (size_t i = 0; i < GH_COUNT(terms); i++) sum = (1 + sum) * terms[i] * x2;
  return x * (1 + sum);
}

static double sine_of(double turns) {
  static const double whole = 6.283185307179586;
  double t = turns - floor(turns); /* [0, 1) */
  if (t > 0.75)
    t -= 1;
  else if (t > 0.25)
    t = 0.5 - t;
  return sine_near(t * whole);
}

void gh_turn(double turns, double *sine, double *cosine) {
  *sine = sine_of(turns);
  *cosine = sine_of(turns + 0.25);
}

/* ---- strokes as polygons ---- */

typedef void add_polygon(gh_canvas *canvas, const gh_point *points, size_t n);

static void add_round(gh_canvas *canvas, add_polygon *add, gh_point centre, double radius) {
  gh_point points[ROUND_CORNERS];
  for (int i = 0; i < ROUND_CORNERS; i++) {
    double s, c;
    gh_turn((double)i / ROUND_CORNERS, &s, &c);
    points[i] = (gh_point){centre.x + radius * c, centre.y + radius * s};
  }
  add(canvas, points, ROUND_CORNERS);
}

static gh_point direction(gh_point from, gh_point to) {
  double x = to.x - from.x, y = to.y - from.y, length = sqrt(x * x + y * y);
  return length > 0 ? (gh_point){x / length, y / length} : (gh_point){0, 0};
}

/* All parts turn the same way, so that no overlap of two cancels. */
static void add_stroke(gh_canvas *canvas, add_polygon *add, const gh_point *p, size_t n, bool closed, double width) {
  double half = width / 2;
  size_t lines = closed ? n : n - 1;
  for (size_t i = 0; i < lines; i++) {
    gh_point a = p[i], b = p[(i + 1) % n], along = direction(a, b);
    double x = -along.y * half, y = along.x * half;
    const gh_point quad[] = {{a.x - x, a.y - y}, {b.x - x, b.y - y}, {b.x + x, b.y + y}, {a.x + x, a.y + y}};
    add(canvas, quad, GH_COUNT(quad));
  }
  for (size_t i = 0; i < n; i++) {
    bool end = !closed && (i == 0 || i + 1 == n);
    gh_point before = direction(p[(i + n - 1) % n], p[i]), after = direction(p[i], p[(i + 1) % n]);
    if (end || before.x * after.x + before.y * after.y < STRAIGHT) add_round(canvas, add, p[i], half);
  }
}

/* ---- cairo ---- */

#if GH_WITH_CAIRO

struct gh_canvas {
  cairo_surface_t *surface;
  cairo_t *cairo;
  int side;
};

const char *gh_canvas_version(void) { return cairo_version_string(); }

gh_status gh_canvas_open(gh_error *err, gh_canvas **out, int side) {
  gh_canvas *c = *out = gh_alloc(err, 1, sizeof *c);
  if (!c) return GH_ERROR_MEMORY;
  c->side = side;
  c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, side, side);
  c->cairo = cairo_create(c->surface);
  if (cairo_status(c->cairo) == CAIRO_STATUS_SUCCESS) {
    cairo_set_antialias(c->cairo, CAIRO_ANTIALIAS_GOOD);
    cairo_set_fill_rule(c->cairo, CAIRO_FILL_RULE_WINDING);
    return GH_OK;
  }
  gh_status status = gh_fail(err, GH_ERROR_MEMORY, "a picture of %d x %d: %s", side, side,
                             cairo_status_to_string(cairo_status(c->cairo)));
  gh_canvas_close(c);
  *out = NULL;
  return status;
}

void gh_canvas_close(gh_canvas *c) {
  if (!c) return;
  cairo_destroy(c->cairo);
  cairo_surface_destroy(c->surface);
  free(c);
}

static double snapped(double x) { return floor(x * UNITS + 0.5) / UNITS; }

static void add_path(gh_canvas *c, const gh_point *points, size_t n) {
  for (size_t i = 0; i < n; i++) {
    double x = snapped(points[i].x), y = snapped(points[i].y);
    if (i)
      cairo_line_to(c->cairo, x, y);
    else
      cairo_move_to(c->cairo, x, y);
  }
  cairo_close_path(c->cairo);
}

static void paint(gh_canvas *c, gh_colour colour) {
  cairo_set_source_rgb(c->cairo, colour.red / 255.0, colour.green / 255.0, colour.blue / 255.0);
  cairo_fill(c->cairo);
}

void gh_canvas_fill(gh_canvas *c, const gh_point *points, size_t n, gh_colour colour) {
  add_path(c, points, n);
  paint(c, colour);
}

void gh_canvas_stroke(gh_canvas *c, const gh_point *points, size_t n, bool closed, double width, gh_colour colour) {
  if (!n) return;
  add_stroke(c, add_path, points, n, closed, width);
  paint(c, colour);
}

void gh_canvas_clip(gh_canvas *c, const gh_point *points, size_t n) {
  cairo_save(c->cairo);
  add_path(c, points, n);
  cairo_clip(c->cairo);
}

void gh_canvas_unclip(gh_canvas *c) { cairo_restore(c->cairo); }

gh_status gh_canvas_image(gh_error *err, gh_canvas *c, gh_image *out) {
  *out = (gh_image){0};
  cairo_surface_flush(c->surface);
  if (cairo_status(c->cairo) != CAIRO_STATUS_SUCCESS)
    return gh_fail(err, GH_ERROR_MEMORY, "drawing: %s", cairo_status_to_string(cairo_status(c->cairo)));
  gh_status status = gh_image_new(err, out, c->side, c->side);
  if (status) return status;
  const unsigned char *rows = cairo_image_surface_get_data(c->surface);
  const int stride = cairo_image_surface_get_stride(c->surface);
  uint8_t *to = out->pixels;
  for (int y = 0; y < c->side; y++)
    for (int x = 0; x < c->side; x++, to += 3) {
      uint32_t pixel; /* 0x00RRGGBB in the machine's byte order */
      memcpy(&pixel, rows + (size_t)y * (size_t)stride + (size_t)x * sizeof pixel, sizeof pixel);
      to[0] = (uint8_t)(pixel >> 16);
      to[1] = (uint8_t)(pixel >> 8);
      to[2] = (uint8_t)pixel;
    }
  return GH_OK;
}

#else

const char *gh_canvas_version(void) { return ""; }

gh_status gh_canvas_open(gh_error *err, gh_canvas **out, int side) {
  (void)side;
  *out = NULL;
  return gh_fail(err, GH_ERROR_UNSUPPORTED,
                 "this build draws no scenes: it lacks cairo, which `scripts/setup.sh build` installs");
}

void gh_canvas_close(gh_canvas *c) { (void)c; }

static void add_nothing(gh_canvas *c, const gh_point *points, size_t n) { (void)c, (void)points, (void)n; }

void gh_canvas_fill(gh_canvas *c, const gh_point *points, size_t n, gh_colour colour) {
  (void)colour;
  add_nothing(c, points, n);
}

void gh_canvas_stroke(gh_canvas *c, const gh_point *points, size_t n, bool closed, double width, gh_colour colour) {
  (void)colour;
  add_stroke(c, add_nothing, points, n, closed, width);
}

void gh_canvas_clip(gh_canvas *c, const gh_point *points, size_t n) { add_nothing(c, points, n); }

void gh_canvas_unclip(gh_canvas *c) { (void)c; }

gh_status gh_canvas_image(gh_error *err, gh_canvas *c, gh_image *out) {
  (void)c;
  *out = (gh_image){0};
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "this build draws no scenes");
}

#endif
