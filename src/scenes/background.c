/* What is behind the things: two gradients, sky and ground, and a drawing between them. */
#include "scenes/scene.h"
#include "scenes/shape.h"

#define SQUARE 100.0 /* a drawing's numbers from side to side */
#define TINT   14    /* how far a scene's colours are from the table's */
#define SHIFT  16    /* how far its drawing is moved to a side */

typedef struct gh_background {
  const char *words;
  int horizon;                 /* per cent of the height that is sky */
  gh_colour sky[2], ground[2]; /* top, bottom */
  const char *far, *near;      /* painted before and after the ground */
} gh_background;

static const gh_background backgrounds[] = {
    {"in a field",
     58,
     {{140, 200, 245}, {222, 240, 250}},
     {{132, 196, 98}, {88, 150, 68}},
     "w e -28 -32 12 5; w e -20 -36 9 6; w e 30 -26 11 5; n e -36 12 34 14; n e 32 14 44 12",
     "y e -42 40 2 2; w e 40 36 2 2; y e 22 45 2 2"},
    {"on a beach",
     46,
     {{120, 190, 245}, {205, 235, 250}},
     {{240, 222, 165}, {225, 198, 135}},
     "y e 32 -34 9 9; w e -24 -30 12 4",
     "i r -80 -6 160 16 0; s l 2 -60 10 60 10; w l 1 -30 0 -12 0; w l 1 12 3 34 3"},
    {"in the snow",
     60,
     {{178, 205, 232}, {232, 240, 248}},
     {{250, 251, 254}, {224, 232, 244}},
     "n p -44 14 -34 -22 -24 14; n p -28 14 -20 -10 -12 14; n p 28 14 38 -26 48 14; n p 46 14 54 -8 62 14",
     "w e -30 -36 2 2; w e 10 -40 2 2; w e 38 -30 2 2; w e -8 -22 2 2; w e 22 -14 2 2"},
    {"at night",
     64,
     {{16, 20, 58}, {56, 52, 112}},
     {{44, 66, 70}, {28, 44, 52}},
     "u e -30 -32 9 9; w e 4 -40 1 1; w e 20 -28 1 1; w e 36 -42 1 1; w e -8 -20 1 1; w e 42 -12 1 1; "
     "w e -44 -12 1 1; w e 28 -8 1 1",
     ""},
    {"in a room",
     66,
     {{238, 222, 196}, {226, 206, 174}},
     {{178, 126, 84}, {150, 100, 64}},
     "b r -45 -42 26 26 0; s r -43 -40 22 22 0; w l 1 -32 -40 -32 -18; w l 1 -43 -29 -21 -29; w r -80 13 160 3 0",
     "b l 1 -70 26 70 26; b l 1 -70 38 70 38"},
    {"in the desert",
     60,
     {{250, 190, 130}, {255, 232, 190}},
     {{232, 196, 128}, {208, 164, 96}},
     "y e 28 -24 11 11; b p -60 10 -46 -12 -30 -12 -20 10; b p 14 10 20 -2 36 -2 42 10",
     "f a 2 -50 26 -20 22 10 28; f a 2 4 40 24 36 46 40"},
    {"in a city",
     62,
     {{178, 200, 222}, {226, 232, 238}},
     {{128, 130, 138}, {98, 100, 110}},
     "t r -48 -22 18 40 0; g r -28 -34 16 50 0; t r -8 -14 16 30 0; g r 12 -28 18 44 0; t r 34 -18 16 34 0; "
     "u r -24 -28 3 4 0; u r -18 -28 3 4 0; u r -24 -18 3 4 0; u r 16 -22 3 4 0; u r 23 -22 3 4 0; "
     "u r 16 -12 3 4 0; u r -44 -14 3 4 0; u r -37 -14 3 4 0; u r 38 -10 3 4 0",
     "w r -40 28 18 3 0; w r -6 28 18 3 0; w r 28 28 18 3 0"},
    {"in a studio", 72, {{214, 206, 222}, {232, 226, 236}}, {{206, 196, 214}, {188, 178, 200}}, "", ""},
};

int gh_background_count(void) { return (int)GH_COUNT(backgrounds); }

const char *gh_background_words(int index) { return backgrounds[index].words; }

enum { PURPOSE_TINT = 300, PURPOSE_SHIFT = 303, PURPOSE_MIRROR = 304 };

static uint8_t tinted(int value, int by) { return (uint8_t)GH_MAX(0, GH_MIN(255, value + by)); }

static int between(int from, int to, int at, int of) { return from + (to - from) * at / of; }

/* Rows of pixels from `top` to `bottom`, from one colour to the other. */
static void draw_gradient(gh_canvas *canvas, const gh_colour colours[2], const int tint[3], int top, int bottom,
                          int side) {
  const gh_colour a = colours[0], b = colours[1];
  int rows = GH_MAX(1, bottom - top);
  for (int y = top; y < bottom; y++) {
    const gh_point row[] = {{0, y}, {side, y}, {side, y + 1}, {0, y + 1}};
    const gh_colour colour = {tinted(between(a.red, b.red, y - top, rows), tint[0]),
                              tinted(between(a.green, b.green, y - top, rows), tint[1]),
                              tinted(between(a.blue, b.blue, y - top, rows), tint[2])};
    gh_canvas_fill(canvas, row, GH_COUNT(row), colour);
  }
}

gh_status gh_background_draw(gh_error *err, gh_canvas *canvas, const gh_scene *scene, int side) {
  const gh_background *b = &backgrounds[scene->value[GH_SCENE_BACKGROUND]];
  const gh_style style = {0};
  double unit = side / SQUARE;
  int tint[3], horizon = b->horizon * side / 100;
  for (int i = 0; i < 3; i++) tint[i] = gh_scene_chance(scene, PURPOSE_TINT + i, 2 * TINT + 1) - TINT;
  int shift = gh_scene_chance(scene, PURPOSE_SHIFT, 2 * SHIFT + 1) - SHIFT;
  const gh_placing at = {.centre = {(50 + shift) * unit, 50 * unit},
                         .x = gh_scene_chance(scene, PURPOSE_MIRROR, 2) ? unit : -unit,
                         .y = unit,
                         .cosine = 1};
  draw_gradient(canvas, b->sky, tint, 0, horizon, side);
  gh_status status = gh_shape_draw(err, canvas, b->far, &at, &style);
  draw_gradient(canvas, b->ground, tint, horizon, side, side);
  return status ? status : gh_shape_draw(err, canvas, b->near, &at, &style);
}
