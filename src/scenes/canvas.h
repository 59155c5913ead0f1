/* A square picture that polygons are filled into, by cairo.
 *
 * cairo gets nothing but polygons whose corners are multiples of 1/256 of a pixel, which is its own unit: it adds no
 * rounding, and its coverage is integer arithmetic. Curves, strokes and rotations are made here from sums, products and
 * square roots, which IEEE 754 fixes. So one version of cairo draws the same pixels on every machine. */
#ifndef GH_SCENES_CANVAS_H
#define GH_SCENES_CANVAS_H

#include "io/image.h"

typedef struct gh_point {
  double x, y; /* pixels, y downwards */
} gh_point;

typedef struct gh_colour {
  uint8_t red, green, blue;
} gh_colour;

typedef struct gh_canvas gh_canvas;

/* A black picture of side x side pixels. GH_ERROR_UNSUPPORTED in a build without cairo. */
gh_status gh_canvas_open(gh_error *err, gh_canvas **out, int side);
void gh_canvas_close(gh_canvas *canvas); /* NULL is fine */
const char *gh_canvas_version(void);     /* cairo's, "1.16.0"; "" in a build without it */

/* Fills a closed polygon; what has a winding number other than 0 is inside. Failures are kept for gh_canvas_image. */
void gh_canvas_fill(gh_canvas *canvas, const gh_point *points, size_t n, gh_colour colour);
/* A line of that width through the points, with round ends and corners. */
void gh_canvas_stroke(gh_canvas *canvas, const gh_point *points, size_t n, bool closed, double width, gh_colour colour);
/* Until gh_canvas_unclip, only what is inside the polygon is painted. */
void gh_canvas_clip(gh_canvas *canvas, const gh_point *points, size_t n);
void gh_canvas_unclip(gh_canvas *canvas);

/* A copy of the picture. GH_ERROR_MEMORY if anything failed since the canvas was opened. */
gh_status gh_canvas_image(gh_error *err, gh_canvas *canvas, gh_image *out);

/* The sine and cosine of `turns` full turns, to 1e-9: the same bits on every machine, unlike libm's. */
void gh_turn(double turns, double *sine, double *cosine);

#endif
