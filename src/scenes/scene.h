/* A scene: one kind of thing before a background, with a value for each attribute. It is drawn and put into words.
 *
 * Nine groups of attributes are MMVP's visual patterns. Whatever else differs between two scenes (place, size,
 * background) depends on `look` alone: two scenes of one look differ by their values and nothing else. */
#ifndef GH_SCENES_SCENE_H
#define GH_SCENES_SCENE_H

#include "base/random.h"
#include "scenes/canvas.h"
#include "scenes/category.h"

typedef enum gh_attribute_id {
  GH_SCENE_CATEGORY,
  GH_SCENE_BACKGROUND,
  GH_SCENE_DIRECTION, /* right, left: of things that look somewhere */
  GH_SCENE_TURN,      /* upright, upside down: of the others */
  GH_SCENE_FEATURE,
  GH_SCENE_STATE,
  GH_SCENE_COUNT,
  GH_SCENE_RELATION, /* to a second thing */
  GH_SCENE_COLOUR,
  GH_SCENE_SURFACE,
  GH_SCENE_BUILD,
  GH_SCENE_TEXT,
  GH_SCENE_VIEW,
  GH_SCENE_ATTRIBUTES
} gh_attribute_id;

typedef struct gh_scene {
  gh_stream look;
  uint64_t ordinal;               /* of the scene in its set: with `look`, what its chances depend on */
  int value[GH_SCENE_ATTRIBUTES]; /* index of the attribute's values */
  int placed;                     /* count, relation, text or view: the one that the place belongs to */
} gh_scene;

typedef struct gh_attribute {
  const char *name;
  int count;
  const char *const *values; /* NULL: the table of categories or backgrounds has them */
  const uint8_t *weights;    /* of the values in a random scene; NULL: all are equal */
  int pattern;               /* index of gh_mmvp_patterns, or -1 */
  int plain;                 /* the value that goes without saying, or -1 */
} gh_attribute;

const gh_attribute *gh_attribute_at(int id);
int gh_attribute_count(int id); /* how many values it has */
const char *gh_attribute_value(int id, int value);
/* Whether the attribute means something for the scene's kind of thing: a house looks to no side. */
bool gh_scene_has(const gh_scene *scene, int id);
/* Whether it also varies in this scene: of count, relation, text and view, only one does. */
bool gh_scene_varies(const gh_scene *scene, int id);

/* A random scene. Count, relation, text and view need the whole picture: all but one of them have their plain values.
 */
void gh_scene_make(gh_scene *out, gh_stream stream, uint64_t ordinal);
/* The same with equally frequent values, and the one that has the place can be seen: for labels that no majority wins.
 */
void gh_scene_make_even(gh_scene *out, gh_stream stream, uint64_t ordinal);

/* The thing in words, "two red cars facing left"; bit i of `mention` asks for attribute i. Without the count, several
 * things are "cars". The caller frees; NULL: GH_ERROR_MEMORY. */
char *gh_scene_words(gh_error *err, const gh_scene *scene, unsigned mention);
#define GH_MENTION(id) (1U << (id))
/* All attributes whose values do not go without saying. */
unsigned gh_scene_told(const gh_scene *scene);
/* A random caption: the category, with a probability of `details` one more attribute, sometimes the background. The
 * caller frees. */
char *gh_scene_caption(gh_error *err, const gh_scene *scene, double details);

/* Draws it on a square of `side` pixels. */
gh_status gh_scene_draw(gh_error *err, gh_image *out, const gh_scene *scene, int side);

/* ---- private to the room ---- */

/* A whole number of [0, n) that belongs to this scene and this purpose. */
int gh_scene_chance(const gh_scene *scene, int purpose, int n);
bool gh_relation_is_to_ball(int value); /* of GH_SCENE_RELATION; the other companion is a box */
gh_colour gh_scene_colour(int value);   /* of GH_SCENE_COLOUR */

/* The picture behind the things, over the whole canvas of `side` pixels. */
gh_status gh_background_draw(gh_error *err, gh_canvas *canvas, const gh_scene *scene, int side);
int gh_background_count(void);
const char *gh_background_words(int index); /* "in a field" */

/* Words in capital letters within a box of pixels. */
void gh_letters_draw(gh_canvas *canvas, const char *text, double x, double y, double width, double height,
                     gh_colour colour);

#endif
