/* A scene's picture: where the things are, how large, and what else is there. */
#include "scenes/scene.h"
#include "scenes/shape.h"

#define SQUARE 100.0 /* the canvas in the tables' units, from side to side */
#define THINGS 4     /* at most */

typedef struct gh_place {
  double x, y, size; /* centre, and side of the square of a thing */
} gh_place;

static const gh_place by_count[THINGS][THINGS] = {
    {{50, 56, 64}},
    {{27, 58, 42}, {73, 58, 42}},
    {{26, 34, 37}, {74, 34, 37}, {50, 74, 37}},
    {{27, 31, 36}, {73, 31, 36}, {27, 74, 36}, {73, 74, 36}},
};
/* The thing and its companion, by the value of GH_SCENE_RELATION. */
static const gh_place by_relation[][2] = {
    {{0, 0, 0}, {0, 0, 0}},       {{28, 58, 44}, {76, 64, 28}}, {{72, 58, 44}, {24, 64, 28}},
    {{50, 30, 40}, {50, 80, 26}}, {{50, 72, 42}, {50, 22, 26}}, {{28, 58, 44}, {76, 64, 28}},
    {{72, 58, 44}, {24, 64, 28}},
};
static const gh_place with_text = {50, 40, 50}, by_view[] = {{50, 56, 64}, {50, 56, 138}, {50, 60, 20}, {50, 54, 64}};

static const char *const ball = "K e 0 0 44 44; w c -36 -18 -10 -36 -4 0 -14 36 -38 16; w c 16 -40 38 -22 20 -8 8 -20; "
                                "w c 14 16 36 20 16 40 6 30";
static const char *const box =
    "B p -46 -24 0 -40 46 -24 0 -8; F p -46 -24 0 -8 0 46 -46 28; B p 46 -24 0 -8 0 46 46 28; "
    "y p -30 -18 -18 -14 -18 2 -30 -2";
static const char *const sign = "W r -46 -14 92 28 4; k r -46 -13 2 26 1";

enum { PURPOSE_PLACE = 400, PURPOSE_SIZE = 420, PURPOSE_LEAN = 440 };

/* -1 to 1 */
static double wobble(const gh_scene *s, int purpose) { return (gh_scene_chance(s, purpose, 201) - 100) / 100.0; }

static gh_placing place(const gh_scene *s, gh_place at, int thing, double unit) {
  double size = at.size * (1 + 0.08 * wobble(s, PURPOSE_SIZE + thing)) / SQUARE * unit;
  gh_placing p = {.centre = {(at.x + 2.5 * wobble(s, PURPOSE_PLACE + 2 * thing)) * unit,
                             (at.y + 2.0 * wobble(s, PURPOSE_PLACE + 2 * thing + 1)) * unit},
                  .x = size,
                  .y = size};
  gh_turn(0.012 * wobble(s, PURPOSE_LEAN + thing), &p.sine, &p.cosine);
  return p;
}

static void turn_and_stretch(gh_placing *p, const gh_scene *s) {
  static const double stretch[][2] = {{1, 1}, {0.68, 1.08}, {1.12, 0.66}}; /* by GH_SCENE_BUILD */
  const int build = s->value[GH_SCENE_BUILD];
  p->x *= stretch[build][0] * (s->value[GH_SCENE_DIRECTION] ? -1 : 1);
  p->y *= stretch[build][1];
  if (!s->value[GH_SCENE_TURN]) return;
  p->sine = -p->sine;
  p->cosine = -p->cosine;
}

static gh_status draw_things(gh_error *err, gh_canvas *canvas, const gh_scene *s, const gh_place *places, int n,
                             double unit) {
  const gh_category *c = gh_category_at(s->value[GH_SCENE_CATEGORY]);
  const gh_style style = {.main = gh_scene_colour(s->value[GH_SCENE_COLOUR]),
                          .surface = (gh_surface)s->value[GH_SCENE_SURFACE],
                          .feature = s->value[GH_SCENE_FEATURE] != 0,
                          .state = s->value[GH_SCENE_STATE] != 0};
  const char *drawing = s->value[GH_SCENE_VIEW] == 3 && c->other ? c->other : c->drawing;
  gh_status status = GH_OK;
  for (int i = 0; i < n && !status; i++) {
    gh_placing at = place(s, places[i], i, unit);
    turn_and_stretch(&at, s);
    status = gh_shape_draw(err, canvas, drawing, &at, &style);
  }
  return status;
}

static gh_status draw_companion(gh_error *err, gh_canvas *canvas, const gh_scene *s, double unit) {
  const int relation = s->value[GH_SCENE_RELATION];
  const gh_style style = {0};
  const gh_placing at = place(s, by_relation[relation][1], 1, unit);
  return gh_shape_draw(err, canvas, gh_relation_is_to_ball(relation) ? ball : box, &at, &style);
}

static gh_status draw_sign(gh_error *err, gh_canvas *canvas, const gh_scene *s, double unit) {
  static const gh_colour ink = {30, 30, 40};
  const gh_style style = {0};
  const gh_placing at = {.centre = {50 * unit, 82 * unit}, .x = unit * 0.9, .y = unit * 0.95, .cosine = 1};
  gh_status status = gh_shape_draw(err, canvas, sign, &at, &style);
  gh_letters_draw(canvas, gh_attribute_value(GH_SCENE_TEXT, s->value[GH_SCENE_TEXT]), 14 * unit, 73 * unit, 72 * unit,
                  18 * unit, ink);
  return status;
}

static gh_status draw_all(gh_error *err, gh_canvas *canvas, const gh_scene *s, int side) {
  double unit = side / SQUARE;
  const int count = s->value[GH_SCENE_COUNT] + 1, relation = s->value[GH_SCENE_RELATION],
            text = s->value[GH_SCENE_TEXT];
  const gh_place *places = count > 1  ? by_count[count - 1]
                           : relation ? by_relation[relation]
                           : text     ? &with_text
                                      : &by_view[s->value[GH_SCENE_VIEW]];
  gh_status status = gh_background_draw(err, canvas, s, side);
  if (!status) status = draw_things(err, canvas, s, places, count, unit);
  if (!status && relation) status = draw_companion(err, canvas, s, unit);
  if (!status && text) status = draw_sign(err, canvas, s, unit);
  return status;
}

gh_status gh_scene_draw(gh_error *err, gh_image *out, const gh_scene *s, int side) {
  gh_canvas *canvas = NULL;
  *out = (gh_image){0};
  gh_status status = gh_canvas_open(err, &canvas, side);
  if (!status) status = draw_all(err, canvas, s, side);
  if (!status) status = gh_canvas_image(err, canvas, out);
  gh_canvas_close(canvas);
  return status;
}
