/* The attributes of a scene as a table, random scenes, and scenes in words. */
#include "base/text.h"
#include "scenes/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const directions[] = {"right", "left"};
static const char *const turns[] = {"upright", "upside down"};
static const char *const features[] = {"without", "with"};
static const char *const states[] = {"first", "second"};
static const char *const counts[] = {"one", "two", "three", "four"};
static const char *const relations[] = {"none",         "left of a ball", "right of a ball", "above a ball",
                                        "below a ball", "left of a box",  "right of a box"};
static const char *const colours[] = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "white"};
static const char *const surfaces[] = {"plain", "striped", "spotted"};
static const char *const builds[] = {"ordinary", "tall", "wide"};
static const char *const texts[] = {"none", "STOP", "GO",  "OPEN", "SHOP", "CAFE", "ZOO",  "YES", "NO",
                                    "HI",   "BYE",  "SUN", "MOON", "TEA",  "FIRE", "TAXI", "EXIT"};
static const char *const views[] = {"ordinary", "close up", "far away", "other side"};

static const uint8_t turn_weights[] = {4, 1}, count_weights[] = {2, 1, 1, 1}, surface_weights[] = {2, 1, 1},
                     relation_weights[] = {3, 1, 1, 1, 1, 1, 1}, build_weights[] = {2, 1, 1},
                     text_weights[] = {16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                     view_weights[] = {2, 1, 1, 1};

#define VALUES(list) (int)GH_COUNT(list), list
static const gh_attribute attributes[GH_SCENE_ATTRIBUTES] = {
    [GH_SCENE_CATEGORY] = {"category", 0, NULL, NULL, -1, -1},
    [GH_SCENE_BACKGROUND] = {"background", 0, NULL, NULL, -1, -1},
    [GH_SCENE_DIRECTION] = {"direction", VALUES(directions), NULL, 0, -1},
    [GH_SCENE_TURN] = {"turn", VALUES(turns), turn_weights, 0, 0},
    [GH_SCENE_FEATURE] = {"feature", VALUES(features), NULL, 1, -1},
    [GH_SCENE_STATE] = {"state", VALUES(states), NULL, 2, -1},
    [GH_SCENE_COUNT] = {"count", VALUES(counts), count_weights, 3, 0},
    [GH_SCENE_RELATION] = {"relation", VALUES(relations), relation_weights, 4, 0},
    [GH_SCENE_COLOUR] = {"colour", VALUES(colours), NULL, 5, -1},
    [GH_SCENE_SURFACE] = {"surface", VALUES(surfaces), surface_weights, 6, 0},
    [GH_SCENE_BUILD] = {"build", VALUES(builds), build_weights, 6, 0},
    [GH_SCENE_TEXT] = {"text", VALUES(texts), text_weights, 7, 0},
    [GH_SCENE_VIEW] = {"view", VALUES(views), view_weights, 8, 0},
};

/* Attributes that need the whole picture: a scene has at most one of them. */
static const int exclusive[] = {GH_SCENE_COUNT, GH_SCENE_RELATION, GH_SCENE_TEXT, GH_SCENE_VIEW};

const gh_attribute *gh_attribute_at(int id) { return &attributes[id]; }

static int things(void) {
  int n = 0;
  while (gh_things[n].name) n++;
  return n;
}

int gh_category_count(void) {
  int n = 0;
  while (gh_creatures[n].name) n++;
  return things() + n;
}

const gh_category *gh_category_at(int index) {
  int n = things();
  return index < n ? &gh_things[index] : &gh_creatures[index - n];
}

int gh_attribute_count(int id) {
  if (id == GH_SCENE_CATEGORY) return gh_category_count();
  if (id == GH_SCENE_BACKGROUND) return gh_background_count();
  return attributes[id].count;
}

const char *gh_attribute_value(int id, int value) {
  if (id == GH_SCENE_CATEGORY) return gh_category_at(value)->name;
  if (id == GH_SCENE_BACKGROUND) return gh_background_words(value);
  return attributes[id].values[value];
}

static const gh_category *category_of(const gh_scene *s) { return gh_category_at(s->value[GH_SCENE_CATEGORY]); }

bool gh_scene_has(const gh_scene *s, int id) {
  bool faces = category_of(s)->faces;
  return id == GH_SCENE_DIRECTION ? faces : id != GH_SCENE_TURN || !faces;
}

bool gh_relation_is_to_ball(int value) { return strstr(relations[value], "ball") != NULL; }

gh_colour gh_scene_colour(int value) {
  static const gh_colour all[] = {{222, 48, 48},  {244, 138, 32}, {250, 210, 50},  {60, 165, 75},
                                  {48, 105, 220}, {145, 70, 185}, {246, 130, 180}, {246, 246, 250}};
  return all[value];
}

/* ---- chances ---- */

enum { PURPOSE_VALUE = 0, PURPOSE_EXCLUSIVE = 100, PURPOSE_CAPTION = 200 };

int gh_scene_chance(const gh_scene *s, int purpose, int n) {
  return (int)gh_stream_below(s->look, s->ordinal, purpose, (uint64_t)n);
}

static int weighted(const gh_scene *s, int purpose, int count, const uint8_t *weights) {
  int total = 0, at = 0;
  if (!weights) return gh_scene_chance(s, purpose, count);
  for (int i = 0; i < count; i++) total += weights[i];
  int left = gh_scene_chance(s, purpose, total);
  while (left >= weights[at]) left -= weights[at++];
  return at;
}

static bool is_exclusive(int id) {
  for (size_t i = 0; i < GH_COUNT(exclusive); i++)
    if (exclusive[i] == id) return true;
  return false;
}

bool gh_scene_varies(const gh_scene *s, int id) {
  return gh_scene_has(s, id) && (!is_exclusive(id) || id == s->placed);
}

/* Values that go together: one attribute has the place, and a thing has no view that is not drawn. */
static void settle(gh_scene *s) {
  if (s->value[GH_SCENE_VIEW] == 3 && !category_of(s)->other) s->value[GH_SCENE_VIEW] = s->placed == GH_SCENE_VIEW;
  s->value[gh_scene_has(s, GH_SCENE_TURN) ? GH_SCENE_DIRECTION : GH_SCENE_TURN] = 0;
  for (size_t i = 0; i < GH_COUNT(exclusive); i++)
    if (exclusive[i] != s->placed) s->value[exclusive[i]] = 0;
}

static int one_exclusive(const gh_scene *s) {
  return exclusive[gh_scene_chance(s, PURPOSE_EXCLUSIVE, (int)GH_COUNT(exclusive))];
}

void gh_scene_make(gh_scene *out, gh_stream stream, uint64_t ordinal) {
  *out = (gh_scene){.look = stream, .ordinal = ordinal};
  for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++)
    out->value[i] = weighted(out, PURPOSE_VALUE + i, gh_attribute_count(i), attributes[i].weights);
  out->placed = one_exclusive(out);
  settle(out);
}

void gh_scene_make_even(gh_scene *out, gh_stream stream, uint64_t ordinal) {
  *out = (gh_scene){.look = stream, .ordinal = ordinal};
  out->placed = one_exclusive(out);
  for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++) {
    int hidden = is_exclusive(i) && i != GH_SCENE_COUNT; /* its first value: none, ordinary */
    out->value[i] = hidden + gh_scene_chance(out, PURPOSE_VALUE + i, gh_attribute_count(i) - hidden);
  }
  settle(out);
}

/* ---- words ---- */

#define WORDS 400 /* bytes; the longest description has about 200 */

/* Adjectives stand before the name, the others after it. */
static const int adjectives[] = {GH_SCENE_BUILD, GH_SCENE_COLOUR, GH_SCENE_SURFACE};
static const int additions[] = {GH_SCENE_FEATURE,  GH_SCENE_STATE, GH_SCENE_DIRECTION, GH_SCENE_TURN,
                                GH_SCENE_RELATION, GH_SCENE_TEXT,  GH_SCENE_VIEW,      GH_SCENE_BACKGROUND};

static void add(char *text, const char *word) {
  size_t used = strlen(text);
  snprintf(text + used, WORDS - used, "%s%s", used ? " " : "", word);
}

static void adjective(char *out, const gh_scene *s, int id) {
  int v = s->value[id];
  add(out, v == attributes[id].plain && id == GH_SCENE_BUILD ? "normal" : attributes[id].values[v]);
}

static void addition(char *out, const gh_scene *s, int id) {
  static const char *const views_said[] = {"", "seen from close up", "seen from far away"};
  const gh_category *c = category_of(s);
  const char *word = gh_attribute_value(id, s->value[id]);
  char text[160] = "";
  switch (id) {
  case GH_SCENE_FEATURE:
    snprintf(text, sizeof text, "%s %s", word, c->feature);
    break;
  case GH_SCENE_STATE:
    snprintf(text, sizeof text, "%s", c->state[s->value[id]]);
    break;
  case GH_SCENE_DIRECTION:
    snprintf(text, sizeof text, "facing %s", word);
    break;
  case GH_SCENE_TEXT:
    snprintf(text, sizeof text, "with a sign that says %s", word);
    break;
  case GH_SCENE_VIEW:
    snprintf(text, sizeof text, "%s%s", s->value[id] == 3 ? "seen " : views_said[s->value[id]],
             s->value[id] == 3 ? c->other_view : "");
    break;
  case GH_SCENE_RELATION:
    snprintf(text, sizeof text, "%s%s", strstr(word, "of") ? "to the " : "", word);
    break;
  default:
    snprintf(text, sizeof text, "%s", word);
  }
  if (text[0]) add(out, text);
}

/* "with its lights on", of several cars: "with their lights on". */
static void to_plural(char *text) {
  for (char *at = text; (at = strstr(at, " its ")); at += 5) {
    size_t room = WORDS - (size_t)(at - text), length = strlen(at);
    if (length + 3 > room) return;
    memmove(at + 7, at + 5, length - 5 + 1);
    memcpy(at, " their ", 7);
  }
  char *that = strstr(text, " that is ");
  if (that) {
    memmove(that + 10, that + 9, strlen(that + 9) + 1);
    memcpy(that, " that are ", 10);
  }
}

char *gh_scene_words(gh_error *err, const gh_scene *s, unsigned mention) {
  char text[WORDS] = "";
  const gh_category *c = category_of(s);
  bool several = s->value[GH_SCENE_COUNT] > 0;
  for (size_t i = 0; i < GH_COUNT(adjectives); i++)
    if (mention & GH_MENTION(adjectives[i])) adjective(text, s, adjectives[i]);
  add(text, several ? c->plural : c->name);
  for (size_t i = 0; i < GH_COUNT(additions); i++)
    if (mention & GH_MENTION(additions[i]) && gh_scene_has(s, additions[i])) addition(text, s, additions[i]);
  if (several) to_plural(text);
  if (mention & GH_MENTION(GH_SCENE_COUNT)) return gh_format(err, "%s %s", counts[s->value[GH_SCENE_COUNT]], text);
  return gh_format(err, "%s%s", several ? "" : strchr("aeiou", text[0]) ? "an " : "a ", text);
}

unsigned gh_scene_told(const gh_scene *s) {
  unsigned told = 0;
  for (int i = GH_SCENE_BACKGROUND; i < GH_SCENE_ATTRIBUTES; i++)
    if (gh_scene_has(s, i) && s->value[i] != attributes[i].plain) told |= GH_MENTION(i);
  return told;
}

/* One of the mentions, other than the background, by chance. */
static unsigned one_detail(const gh_scene *s) {
  int ids[GH_SCENE_ATTRIBUTES], n = 0;
  unsigned told = gh_scene_told(s) & ~GH_MENTION(GH_SCENE_BACKGROUND);
  for (int i = 0; i < GH_SCENE_ATTRIBUTES; i++)
    if (told & GH_MENTION(i)) ids[n++] = i;
  return GH_MENTION(ids[gh_scene_chance(s, PURPOSE_CAPTION + 1, n)]); /* the colour is always there */
}

char *gh_scene_caption(gh_error *err, const gh_scene *s, double details) {
  static const char *const frames[] = {"a photo of %s", "%s", "a picture of %s", "there is %s in the picture",
                                       "a drawing of %s"};
  const int million = 1000000;
  unsigned mention = 0;
  if (gh_scene_chance(s, PURPOSE_CAPTION, million) < details * million) mention |= one_detail(s);
  if (gh_scene_chance(s, PURPOSE_CAPTION + 2, 4) == 0) mention |= GH_MENTION(GH_SCENE_BACKGROUND);
  char *words = gh_scene_words(err, s, mention);
  if (!words) return NULL;
  int frame = gh_scene_chance(s, PURPOSE_CAPTION + 3, (int)GH_COUNT(frames));
  if (s->value[GH_SCENE_COUNT] && frame == 3) frame = 0; /* "there is cars" */
  const char *hole = strstr(frames[frame], "%s");
  char *caption = gh_format(err, "%.*s%s%s", (int)(hole - frames[frame]), frames[frame], words, hole + 2);
  free(words);
  return caption;
}
