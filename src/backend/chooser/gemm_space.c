/* The space of matrix products that a search covers (tune.h): variants of the families of gemm_own.c's table, with the
 * same kernels, limits and bits, by other values of their parameters. A family joins by a row of `spaces`. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "cl/launch.h"

enum { PARAMETERS = GH_COUNT(((gh_gemm_provider *)0)->size), MOST_VALUES = 8, MOST = 96 };

typedef struct space {
  const char *like; /* a row of the table: the variants differ from it only in these values */
  struct {
    const char *name; /* as in a provider's name, in the order of gh_gemm_provider.size; NULL: there is no more */
    int count, values[MOST_VALUES]; /* 0: the kernel's usual one, which no name has */
  } parameters[PARAMETERS];
  bool (*has)(const int *size); /* whether the kernel can have these values */
} space;

/* What fits the panels of B in the kernels' private memory, in numbers. */
static bool fits_cpu(const int *size) { return size[0] * size[1] <= GEMM_CPU_PANEL; }
static bool fits_dot(const int *size) { return size[0] * size[1] <= 2 * GEMM_DOT_PANEL; }
static bool fits_amx(const int *size) { return size[0] * size[1] <= GEMM_AMX_PANEL / 3; }
static bool fits_amx_bf16(const int *size) { return !fits_amx(size) && size[0] * size[1] <= GEMM_AMX_PANEL; }
static bool is_not_square(const int *size) { return size[0] != size[1]; } /* which is the usual tile */

static const space spaces[] = {
    {"own-amx nb=512 kc=512", {{"nb", 6, {128, 256, 384, 512, 768, 1024}}, {"kc", 3, {256, 512, 1024}}}, fits_amx},
    {"own-amx nb=512 kc=1024", {{"nb", 4, {384, 512, 768, 1024}}, {"kc", 2, {512, 1024}}}, fits_amx_bf16},
    {"own-dot nb=256 kc=512", {{"nb", 5, {64, 128, 256, 384, 512}}, {"kc", 4, {256, 512, 1024, 2048}}}, fits_dot},
    {"own-cpu nb=512 kc=512",
     {{"nb", 7, {64, 128, 256, 384, 512, 768, 1024}}, {"kc", 4, {256, 512, 1024, 2048}}},
     fits_cpu},
    {"own-gpu work=8", {{"work", 2, {4, 8}}, {"across", 3, {0, 4, 8}}}, is_not_square},
    {"own-conv-gpu work=8", {{"work", 2, {4, 8}}, {"across", 3, {0, 4, 8}}}, is_not_square},
};

static struct {
  pthread_once_t once;
  gh_gemm_provider variants[MOST];
  char names[MOST][48];
  int count;
} made = {.once = PTHREAD_ONCE_INIT};

static const gh_gemm_provider *row_named(const char *name) {
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    if (!strcmp(p->base.name, name)) return p;
  return NULL;
}

/* "own-gpu work=8 across=4" */
static void name_variant(char *out, size_t size, const space *s, const char *family, const int *values) {
  int used = snprintf(out, size, "%s", family);
  for (int i = 0; i < PARAMETERS && s->parameters[i].name && used >= 0 && (size_t)used < size; i++)
    if (values[i]) used += snprintf(out + used, size - (size_t)used, " %s=%d", s->parameters[i].name, values[i]);
}

/* Adds one, unless it is a row of the table already. */
static void add(const space *s, const gh_gemm_provider *row, const int *values) {
  if (made.count == MOST || !s->has(values)) return;
  char *name = made.names[made.count];
  name_variant(name, sizeof made.names[0], s, row->base.family, values);
  if (row_named(name)) return;
  gh_gemm_provider *variant = &made.variants[made.count++];
  *variant = *row;
  variant->base.name = name;
  memcpy(variant->size, values, sizeof variant->size);
}

/* The next combination of values: like the digits of a number, the last one first. */
static bool advance(const space *s, int at[PARAMETERS]) {
  for (int i = PARAMETERS - 1; i >= 0; i--) {
    if (!s->parameters[i].name) continue;
    if (++at[i] < s->parameters[i].count) return true;
    at[i] = 0;
  }
  return false;
}

static void make(void) {
  for (size_t i = 0; i < GH_COUNT(spaces); i++) {
    const space *s = &spaces[i];
    const gh_gemm_provider *row = row_named(s->like);
    int at[PARAMETERS] = {0}, values[PARAMETERS];
    if (!row) continue;
    do {
      memcpy(values, row->size, sizeof values);
      for (int k = 0; k < PARAMETERS && s->parameters[k].name; k++) values[k] = s->parameters[k].values[at[k]];
      add(s, row, values);
    } while (advance(s, at));
  }
}

const gh_provider *gh_gemm_searched(int index) {
  pthread_once(&made.once, make);
  return index < made.count ? &made.variants[index].base : NULL;
}
