/* The choices of a device: a sorted table per kind, with frozen and forced choices, and the cache on disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/internal.h"
#include "backend/kernel_source.h"
#include "base/array.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define MAX_CACHE_BYTES ((size_t)16 << 20)
#define MAX_SOURCES     16

const gh_provider *gh_choice_provider(const gh_choice_state *state, const char *name) {
  for (int i = 0; state->providers[i]; i++)
    if (!strcmp(state->providers[i]->name, name)) return state->providers[i];
  return NULL;
}

/* ---- the cache on disk ---- */

static gh_json *read_cache(const gh_choice_state *state) {
  gh_error err;
  gh_json *root = NULL;
  if (!state->cache_file || !gh_path_is_file(state->cache_file)) return NULL;
  if (gh_json_read_file(&err, &root, state->cache_file, MAX_CACHE_BYTES)) {
    gh_debug("%s: the cache is rebuilt", err.text);
    return NULL;
  }
  if (gh_json_type_of(root) == GH_JSON_OBJECT) return root;
  gh_json_free(root);
  return NULL;
}

const gh_provider *gh_choice_load(const gh_choice_state *state, const char *key) {
  gh_json *root = read_cache(state);
  const gh_json *member = root ? gh_json_member(root, key) : NULL;
  gh_error err;
  const char *name;
  const gh_provider *provider = NULL;
  if (member && !gh_json_to_string(&err, member, key, &name)) provider = gh_choice_provider(state, name);
  gh_json_free(root);
  return provider;
}

/* Another process may have written the file in the meantime; its choices are kept. */
void gh_choice_save(const gh_choice_state *state, const char *key, const gh_provider *provider) {
  if (!state->cache_file) return;
  gh_error err = {0};
  gh_file_lock *lock = NULL;
  gh_json *root = NULL;
  char *lock_file = gh_format(&err, "%s.lock", state->cache_file);
  gh_status status = lock_file ? gh_file_lock_take(&err, &lock, lock_file, true) : GH_ERROR_MEMORY;
  if (!status) {
    root = read_cache(state);
    if (!root) root = gh_json_object(&err);
    status = root ? gh_json_put_string(&err, root, key, provider->name) : GH_ERROR_MEMORY;
  }
  if (!status) status = gh_json_write_file(&err, state->cache_file, root);
  if (status) gh_debug("%s choice not saved: %s", state->kind->title, err.text);
  gh_json_free(root);
  gh_file_lock_release(lock);
  free(lock_file);
}

/* A hash over the text of every kernel of the kind, and over its providers in their order, which decides between
 * families. */
static gh_status hash_kernels(gh_error *err, const gh_choice_state *state, char out[GH_CACHE_KEY_SIZE]) {
  const gh_choice_kind *kind = state->kind;
  char hashes[MAX_SOURCES][GH_CACHE_KEY_SIZE], order[GH_CACHE_KEY_SIZE];
  const char *parts[MAX_SOURCES + 2] = {NULL}, *names[GH_MAX_PROVIDERS + 1] = {NULL};
  for (int i = 0; kind->sources[i]; i++) {
    char *text;
    if (i == MAX_SOURCES) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: more than %d kernel sources", kind->name, i);
    gh_status status = gh_kernel_source(err, kind->sources[i], &text);
    if (status) return status;
    gh_cache_key(hashes[i], (const char *[]){text, NULL});
    parts[i + 1] = hashes[i];
    free(text);
  }
  for (int i = 0; i < state->listed; i++) names[i] = state->providers[i]->name;
  gh_cache_key(order, names);
  parts[0] = order;
  gh_cache_key(out, parts);
  return GH_OK;
}

enum { DEVICE_PARTS = 8 };

static void device_parts(gh_device *d, const char *out[DEVICE_PARTS]) {
  const char *library = d->backend->library_name(d);
  const char *const parts[DEVICE_PARTS] = {d->backend->name,
                                           d->info.platform,
                                           d->info.driver,
                                           d->info.name,
                                           d->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu",
                                           d->info.is_cpu ? gh_cache_cpu_flags() : "",
                                           d->info.amx ? "amx" : "",
                                           library ? library : ""};
  memcpy(out, parts, sizeof parts);
}

void gh_choice_device_key(gh_device *d, char out[GH_CACHE_KEY_SIZE]) {
  const char *parts[DEVICE_PARTS + 1] = {NULL};
  device_parts(d, parts);
  gh_cache_key(out, parts);
}

/* The name of the cache file: a key of everything that invalidates a choice. */
static char *cache_file_name(gh_error *err, gh_device *d, const gh_choice_state *state) {
  const gh_choice_kind *kind = state->kind;
  char key[GH_CACHE_KEY_SIZE], *path = NULL, *name = NULL;
  char *folder = state->kernels[0] ? gh_cache_folder() : NULL;
  if (!folder) return NULL;
  const char *parts[DEVICE_PARTS + 3] = {kind->name};
  device_parts(d, parts + 1);
  parts[DEVICE_PARTS + 1] = state->kernels;
  gh_cache_key(key, parts);
  name = gh_format(err, "%s-%s.json", kind->name, key);
  if (name) path = gh_path_join(err, folder, name);
  free(folder);
  free(name);
  return path;
}

/* ---- the state ---- */

bool gh_choice_is_fallback(const gh_choice_kind *kind, const gh_provider *provider) {
  return kind->fallback && !strcmp(kind->fallback, provider->name);
}

/* A provider's name without its family, if the one before has the same: "own-cpu nb=512 kc=512, nb=256 kc=1024". */
static const char *short_name(const gh_provider *p, const gh_provider *before) {
  const size_t family = strlen(p->family);
  const bool same = before && !strcmp(p->family, before->family);
  return same && gh_starts_with(p->name, p->family) && p->name[family] == ' ' ? p->name + family + 1 : p->name;
}

static gh_status unknown_provider(gh_error *err, const gh_choice_state *state, const char *name) {
  char names[800] = "";
  size_t used = 0;
  for (int i = 0; i < state->listed && used < sizeof names; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                             short_name(state->providers[i], i ? state->providers[i - 1] : NULL));
  return gh_fail(err, GH_ERROR_ARGUMENT, "there is no %s provider \"%s\"; available: %s", state->kind->title, name,
                 names);
}

static gh_choice_state *find_state(const gh_device *d, const gh_choice_kind *kind) {
  for (gh_choice_state *s = d->choices ? d->choices->first : NULL; s; s = s->next)
    if (s->kind == kind) return s;
  return NULL;
}

/* "cublaslt", or "cublaslt,columns": one of products and one of convolutions. NULL or "": none. */
static gh_status force_named(gh_error *err, gh_choice_state *state, const char *names) {
  char name[GH_CHOICE_KEY];
  for (size_t i = 0; names && *names; i++) {
    const size_t length = strcspn(names, ",");
    snprintf(name, sizeof name, "%.*s", (int)GH_MIN(length, sizeof name - 1), names);
    if (i == GH_COUNT(state->forced))
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s names more than %zu providers", state->kind->variable, i);
    if (!(state->forced[i] = gh_choice_provider(state, name))) return unknown_provider(err, state, name);
    names += length + (names[length] == ',');
  }
  return GH_OK;
}

gh_choice_state *gh_choice_state_get(gh_error *err, gh_device *d, const gh_choice_kind *kind) {
  gh_choice_state *state = find_state(d, kind);
  if (state) return state;
  if (!d->choices) d->choices = gh_alloc(err, 1, sizeof *d->choices);
  state = d->choices ? gh_alloc(err, 1, sizeof *state) : NULL;
  if (!state) return NULL;
  state->kind = kind;
  while (state->listed < GH_MAX_PROVIDERS && (state->providers[state->listed] = kind->provider(state->listed)))
    state->listed++;
  for (int i = 0; kind->searched && state->listed + i < GH_MAX_PROVIDERS; i++)
    if (!(state->providers[state->listed + i] = kind->searched(i))) break;
  if (force_named(err, state, getenv(kind->variable))) {
    free(state);
    return NULL;
  }
  if (kind->sources && hash_kernels(err, state, state->kernels)) state->kernels[0] = 0;
  state->cache_file = cache_file_name(err, d, state);
  state->next = d->choices->first;
  d->choices->first = state;
  return state;
}

void gh_choices_free(gh_choices *choices) {
  while (choices && choices->first) {
    gh_choice_state *state = choices->first;
    choices->first = state->next;
    for (int i = 0; i < state->count; i++) free(state->choices[i].key);
    free(state->choices);
    free(state->cache_file);
    free(state);
  }
  free(choices);
}

gh_status gh_choice_plant(gh_error *err, gh_device *d, const gh_choice_kind *kind, const gh_provider *provider) {
  gh_choice_state *state = gh_choice_state_get(err, d, kind);
  if (!state) return err->status;
  int count = 0;
  while (state->providers[count]) count++;
  if (count >= GH_MAX_PROVIDERS) return gh_fail(err, GH_ERROR_ARGUMENT, "too many %s providers", kind->title);
  memmove(state->providers + 1, state->providers, (size_t)(count + 1) * sizeof state->providers[0]);
  memset(state->verdicts, 0, sizeof state->verdicts);
  state->providers[0] = provider;
  state->listed++;
  return GH_OK;
}

gh_status gh_choices_watch(gh_error *err, gh_device *d, gh_choice_watch *watch, void *user) {
  if (!d->choices && !(d->choices = gh_alloc(err, 1, sizeof *d->choices))) return GH_ERROR_MEMORY;
  d->choices->watch = watch;
  d->choices->watch_user = user;
  return GH_OK;
}

bool gh_choices_are_watched(const gh_device *d) { return d->choices && d->choices->watch; }

/* ---- choices, sorted by key ---- */

/* The index of the key, or where it would be inserted. */
static int find_choice(const gh_choice_state *state, const char *key, bool *found) {
  int low = 0, high = state->count;
  *found = false;
  while (low < high) {
    int middle = (low + high) / 2, order = strcmp(state->choices[middle].key, key);
    if (!order) {
      *found = true;
      return middle;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const gh_choice *gh_choice_known(const gh_choice_state *state, const char *key) {
  bool found;
  const int at = find_choice(state, key, &found);
  return found ? &state->choices[at] : NULL;
}

gh_status gh_choice_set(gh_error *err, gh_choice_state *state, const char *key, const gh_provider *provider,
                        gh_choice_origin origin) {
  bool found;
  const int at = find_choice(state, key, &found);
  if (found) {
    state->choices[at].provider = provider;
    state->choices[at].origin = origin;
    return GH_OK;
  }
  if (GH_ARRAY_RESERVE(err, state->choices, state->capacity, (size_t)state->count, 1)) return GH_ERROR_MEMORY;
  char *copy = gh_strdup(err, key);
  if (!copy) return GH_ERROR_MEMORY;
  gh_choice *place = state->choices + at;
  memmove(place + 1, place, (size_t)(state->count - at) * sizeof *place);
  *place = (gh_choice){copy, provider, origin};
  state->count++;
  return GH_OK;
}

gh_status gh_choice_freeze(gh_error *err, gh_device *d, const gh_choice_kind *kind, const char *key,
                           const char *provider) {
  gh_choice_state *state = gh_choice_state_get(err, d, kind);
  if (!state) return err->status;
  const gh_provider *found = gh_choice_provider(state, provider);
  if (!found) return unknown_provider(err, state, provider);
  if (kind->knows_key && !kind->knows_key(key))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: \"%s\" is not a valid key", kind->title, key);
  return gh_choice_set(err, state, key, found, GH_FROZEN);
}

gh_status gh_choice_forget_searches(gh_error *err, gh_device *d, const gh_choice_kind *kind) {
  gh_choice_state *state = gh_choice_state_get(err, d, kind);
  if (state) state->forgets = true;
  return state ? GH_OK : err->status;
}

int gh_choice_count(const gh_device *d, const gh_choice_kind *kind) {
  const gh_choice_state *state = find_state(d, kind);
  return state ? state->count : 0;
}

void gh_choice_at(const gh_device *d, const gh_choice_kind *kind, int index, const char **key, const char **provider) {
  const gh_choice *choice = &find_state(d, kind)->choices[index];
  *key = choice->key;
  *provider = choice->provider->name;
}

gh_status gh_choice_force(gh_error *err, gh_device *d, const gh_choice_kind *kind, const char *provider) {
  gh_choice_state *state = gh_choice_state_get(err, d, kind);
  if (!state) return err->status;
  const gh_provider *found = provider ? gh_choice_provider(state, provider) : NULL;
  if (provider && !found) return unknown_provider(err, state, provider);
  int kept = 0;
  for (int i = 0; i < state->count; i++) {
    if (state->choices[i].origin == GH_FORCED)
      free(state->choices[i].key);
    else
      state->choices[kept++] = state->choices[i];
  }
  state->count = kept;
  state->forced[0] = found;
  state->forced[1] = NULL;
  return GH_OK;
}
