/* Shapes as text: a small language for pictures of things, so that a thing is a row of a table.
 *
 * A program is a list of statements, ended by semicolons, painted in order:
 *
 *   [CONDITION] PAINT SHAPE NUMBERS
 *
 * CONDITION  +f: only with the thing's feature, -f: only without it; +s, -s: the same for its state
 * PAINT      a letter of the table in shape.c: M, D and L are the thing's colour, darker and lighter; the others are
 *            fixed, such as K black, W white, B brown. A capital has an outline, a small letter none. M and m show the
 *            thing's surface (stripes, spots).
 * SHAPE      e CX CY RX RY       ellipse
 *            r X Y WIDTH HEIGHT RADIUS   rectangle with round corners
 *            p X Y X Y ...       polygon
 *            c X Y X Y ...       closed smooth curve through the points
 *            l WIDTH X Y X Y ... line; a: the same, smooth
 *            o WIDTH CX CY RX RY ring
 *
 * Numbers are whole. A thing fills the square from -50 to 50, y downwards, and looks to the right. */
#ifndef GH_SCENES_SHAPE_H
#define GH_SCENES_SHAPE_H

#include "scenes/canvas.h"

typedef enum gh_surface { GH_SURFACE_PLAIN, GH_SURFACE_STRIPED, GH_SURFACE_SPOTTED } gh_surface;

typedef struct gh_style {
  gh_colour main;
  gh_surface surface;
  bool feature, state;
} gh_style;

/* Where the program's square is on the canvas. */
typedef struct gh_placing {
  gh_point centre;     /* pixels */
  double x, y;         /* pixels per number; x is negative for a mirror image */
  double sine, cosine; /* of a rotation */
} gh_placing;

/* Paints the program. GH_ERROR_FORMAT with the statement where it is not one of this language; canvas may be NULL to
 * check that only. */
gh_status gh_shape_draw(gh_error *err, gh_canvas *canvas, const char *program, const gh_placing *at,
                        const gh_style *style);
gh_point gh_shape_place(const gh_placing *at, double x, double y);

#endif
