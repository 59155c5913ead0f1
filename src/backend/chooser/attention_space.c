/* The tiles of attention that a search covers (tune.h). A family has the bits of its first member. In the backward pass
 * every sum is one chain in the order of the other side's rows, so all tiles give the same bits. In the forward pass a
 * tile's size decides when sums are scaled to a new maximum: another size is another family. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/chooser/attention_internal.h"

enum { MOST_VALUES = 8, MOST = 96, PASSES = 2 };

typedef struct space {
  const char *name;
  struct {
    const char *name;               /* of the parameter, in the order of gh_attention_tile.size; NULL: none */
    int count, values[MOST_VALUES]; /* 0: the usual number, which no name has */
    bool splits;                    /* its values are families of the forward pass */
  } parameters[GH_ATTENTION_PARAMETERS];
} space;

static const space spaces[GH_ATTENTION_WAYS] = {
    [GH_ATTENTION_CPU] = {"own-cpu", {{"rows", 3, {0, 32, 128}, true}, {"vecs", 6, {0, 1, 2, 3, 4, 6}, false}}},
    [GH_ATTENTION_GPU] =
        {"own-gpu", {{"columns", 2, {0, 32}, true}, {"rows", 2, {0, 32}, false}, {"wide", 3, {0, 64, 96}, false}}},
    [GH_ATTENTION_MATRIX] = {"own-matrix", {{"columns", 2, {32, 16}, true}, {"high", 2, {1, 2}, false}}},
};

#define USUAL(way, name)                                                                                               \
  {{name " forward", name " forward"}, way, false, {0}}, {                                                             \
    {name " backward", name " backward"}, way, true, { 0 }                                                             \
  }

static const gh_attention_tile usual[] = {USUAL(GH_ATTENTION_CPU, "own-cpu"), USUAL(GH_ATTENTION_GPU, "own-gpu"),
                                          USUAL(GH_ATTENTION_MATRIX, "own-matrix")};

const gh_provider *gh_attention_usual(int index) { return index < (int)GH_COUNT(usual) ? &usual[index].base : NULL; }

static struct {
  pthread_once_t once;
  gh_attention_tile tiles[MOST];
  char names[MOST][64], families[MOST][64];
  int count;
} made = {.once = PTHREAD_ONCE_INIT};

/* "own-cpu forward rows=32 vecs=2". only_splits: without the parameters that leave the forward pass's bits. */
static void name_tile(char *out, size_t size, const space *s, const gh_attention_tile *tile, bool only_splits) {
  int used = snprintf(out, size, "%s %s", s->name, tile->backward ? "backward" : "forward");
  for (int i = 0; i < GH_ATTENTION_PARAMETERS && s->parameters[i].name && used >= 0 && (size_t)used < size; i++)
    if (tile->size[i] && (!only_splits || (s->parameters[i].splits && !tile->backward)))
      used += snprintf(out + used, size - (size_t)used, " %s=%d", s->parameters[i].name, tile->size[i]);
}

static void add(const space *s, gh_attention_way way, bool backward, const int *size) {
  if (made.count == MOST) return;
  gh_attention_tile *tile = &made.tiles[made.count];
  char *name = made.names[made.count], *family = made.families[made.count];
  *tile = (gh_attention_tile){{name, family}, way, backward, {0}};
  memcpy(tile->size, size, sizeof tile->size);
  name_tile(name, sizeof made.names[0], s, tile, false);
  name_tile(family, sizeof made.families[0], s, tile, true);
  /* the usual columns of matrix units in the forward pass are the first of its values */
  if (way == GH_ATTENTION_MATRIX && size[0] == s->parameters[0].values[0])
    snprintf(family, sizeof made.families[0], "%s %s", s->name, backward ? "backward" : "forward");
  made.count++;
}

/* Every combination of values but the usual ones. */
static void add_all(gh_attention_way way, bool backward) {
  const space *s = &spaces[way];
  int total = 1, size[GH_ATTENTION_PARAMETERS];
  for (int i = 0; i < GH_ATTENTION_PARAMETERS; i++) total *= GH_MAX(s->parameters[i].count, 1);
  for (int n = 0; n < total; n++) {
    bool all_usual = true;
    for (int i = GH_ATTENTION_PARAMETERS - 1, left = n; i >= 0; i--) {
      const int count = GH_MAX(s->parameters[i].count, 1);
      size[i] = s->parameters[i].values[left % count];
      all_usual = all_usual && !size[i];
      left /= count;
    }
    if (!all_usual) add(s, way, backward, size);
  }
}

static void make(void) {
  for (int way = 0; way < GH_ATTENTION_WAYS; way++)
    for (int pass = 0; pass < PASSES; pass++) add_all((gh_attention_way)way, pass == 1);
}

const gh_provider *gh_attention_searched(int index) {
  pthread_once(&made.once, make);
  return index < made.count ? &made.tiles[index].base : NULL;
}
