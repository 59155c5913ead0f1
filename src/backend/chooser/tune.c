#include "backend/chooser/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/kinds.h"
#include "base/array.h"
#include "base/file.h"
#include "base/log.h"

#define MAX_KINDS 8

struct gh_tune {
  gh_device *d;
  gh_tune_shape *shapes;
  size_t count, capacity;
  gh_choice_state *states[MAX_KINDS + 1]; /* of the kinds that can be searched; ends with NULL */
  char space[MAX_KINDS][GH_CACHE_KEY_SIZE];
  char device_key[GH_CACHE_KEY_SIZE];
  char *path; /* tuned.json */
  gh_json *document;
  gh_tuned_counts imported;
  double until;                  /* when the time is over */
  double spent, estimated_spent; /* on the shapes that were searched: how estimates turn out */
};

/* ---- noting the work ---- */

static gh_status note(gh_error *err, void *user, const gh_choice_kind *kind, const void *desc, const char *key) {
  gh_tune *t = user;
  size_t i = 0;
  if (!kind->is_timed(desc)) return GH_OK;
  while (i < t->count && (t->shapes[i].kind != kind || strcmp(t->shapes[i].shape, key))) i++;
  if (i == t->count) {
    if (GH_ARRAY_RESERVE(err, t->shapes, t->capacity, t->count, 1)) return GH_ERROR_MEMORY;
    gh_tune_shape *s = &t->shapes[i];
    *s = (gh_tune_shape){.kind = kind, .desc = gh_alloc(err, 1, kind->desc_bytes)};
    if (!s->desc) return GH_ERROR_MEMORY;
    memcpy(s->desc, desc, kind->desc_bytes);
    snprintf(s->shape, sizeof s->shape, "%s", key);
    t->count++;
  }
  t->shapes[i].work += kind->work(desc);
  t->shapes[i].launches++;
  return GH_OK;
}

/* A hash over the names of all providers: with others, a search may find something else. */
static void hash_space(const gh_choice_state *state, char out[GH_CACHE_KEY_SIZE]) {
  const char *names[GH_MAX_PROVIDERS + 1] = {NULL};
  for (int i = 0; state->providers[i]; i++) names[i] = state->providers[i]->name;
  gh_cache_key(out, names);
}

static gh_status find_states(gh_error *err, gh_tune *t) {
  int count = 0;
  for (int k = 0; gh_choice_kinds[k] && count < MAX_KINDS; k++) {
    if (!gh_choice_kinds[k]->searched) continue;
    gh_choice_state *state = gh_choice_state_get(err, t->d, gh_choice_kinds[k]);
    if (!state) return err->status;
    if (state->forced[0])
      return gh_fail(err, GH_ERROR_ARGUMENT, "tune: %s forces the provider %s; unset it", state->kind->variable,
                     state->forced[0]->name);
    hash_space(state, t->space[count]);
    t->states[count++] = state;
  }
  return GH_OK;
}

gh_status gh_tune_begin(gh_error *err, gh_tune **out, gh_device *device) {
  gh_tune *t = *out = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  t->d = device;
  gh_choice_device_key(device, t->device_key);
  gh_status status = find_states(err, t);
  return status ? status : gh_choices_watch(err, device, note, t);
}

void gh_tune_free(gh_tune *t) {
  if (!t) return;
  gh_error ignored;
  if (t->d->choices) gh_choices_watch(&ignored, t->d, NULL, NULL);
  for (size_t i = 0; i < t->count; i++) free(t->shapes[i].desc);
  free(t->shapes);
  free(t->path);
  gh_json_free(t->document);
  free(t);
}

const gh_tune_shape *gh_tune_shapes(const gh_tune *t, size_t *count) {
  *count = t->count;
  return t->shapes;
}

const gh_tuned_counts *gh_tune_imported(const gh_tune *t) { return &t->imported; }

static int kind_index(const gh_tune *t, const gh_tune_shape *s) {
  int i = 0;
  while (t->states[i]->kind != s->kind) i++;
  return i;
}

static gh_choice_state *state_of(const gh_tune *t, const gh_tune_shape *s) { return t->states[kind_index(t, s)]; }
static const char *space_of(const gh_tune *t, const gh_tune_shape *s) { return t->space[kind_index(t, s)]; }

/* ---- tuned.json: other processes may write it, too, each while it has the lock ---- */

static gh_status read_document(gh_error *err, gh_tune *t) {
  gh_json *document = NULL;
  gh_error why;
  gh_status status = gh_path_exists(t->path) ? gh_tuned_read(&why, &document, t->path) : GH_OK;
  if (status && status != GH_ERROR_FORMAT) {
    *err = why;
    return status;
  }
  if (status) gh_warn("%s; it is made anew", why.text);
  if (!document && !(document = gh_tuned_new(err))) return err->status;
  gh_json_free(t->document);
  t->document = document;
  return GH_OK;
}

typedef gh_status change(gh_error *err, gh_tune *t, const void *user);

static gh_status update_document(gh_error *err, gh_tune *t, change *make, const void *user) {
  gh_file_lock *lock = NULL;
  char *lock_file = gh_format(err, "%s.lock", t->path);
  gh_status status = lock_file ? gh_file_lock_take(err, &lock, lock_file, true) : GH_ERROR_MEMORY;
  if (!status) status = read_document(err, t);
  if (!status) status = make(err, t, user);
  if (!status) status = gh_json_write_file(err, t->path, t->document);
  gh_file_lock_release(lock);
  free(lock_file);
  return status;
}

static gh_status put_shape(gh_error *err, gh_tune *t, const void *user) {
  const gh_tune_shape *s = user;
  const gh_tuned result = {
      .provider = s->provider, .space = space_of(t, s), .seconds = s->seconds, .untuned = s->untuned};
  return gh_tuned_put(err, t->document, t->d, state_of(t, s), s->shape, &result);
}

static gh_status import(gh_error *err, gh_tune *t, const void *user) {
  const char *path = user;
  gh_json *from = NULL;
  gh_status status = gh_tuned_read(err, &from, path);
  if (!status) status = gh_tuned_merge(err, t->document, from, path, t->d, t->states, &t->imported);
  gh_json_free(from);
  return status;
}

static gh_status no_change(gh_error *err, gh_tune *t, const void *user) {
  (void)err, (void)t, (void)user;
  return GH_OK;
}

static gh_status open_document(gh_error *err, gh_tune *t, const char *path) {
  char *folder = gh_cache_folder();
  if (!folder)
    return gh_fail(err, GH_ERROR_FILE, "tune: there is no cache folder to keep results in: set GH_CACHE_DIR");
  t->path = gh_path_join(err, folder, "tuned.json");
  free(folder);
  if (!t->path) return GH_ERROR_MEMORY;
  return path ? update_document(err, t, import, path) : update_document(err, t, no_change, NULL);
}

/* ---- one shape ---- */

static void take(gh_tune_shape *s, gh_tune_how how, const char *provider, double seconds, double untuned) {
  s->how = how;
  snprintf(s->provider, sizeof s->provider, "%s", provider);
  s->seconds = seconds;
  s->untuned = untuned;
}

/* Uses what the device has for the shape: found here, or elsewhere, which is checked. A wrong one is searched anew. */
static gh_status use_known(gh_error *err, gh_tune *t, gh_tune_shape *s) {
  gh_tuned known;
  gh_choice_state *state = state_of(t, s);
  if (!gh_tuned_find(t->document, t->device_key, state, s->shape, &known) || strcmp(known.space, space_of(t, s)))
    return GH_OK;
  const gh_provider *provider = gh_choice_provider(state, known.provider);
  if (!provider || !s->kind->suits(provider, s->desc, t->d)) return GH_OK;
  if (gh_choice_load(state, s->shape) == provider) {
    take(s, GH_TUNE_KNOWN, provider->name, known.seconds, known.untuned);
    return GH_OK;
  }
  bool right = false;
  gh_status status = gh_trial_confirm(err, t->d, state, provider, s->desc, s->shape, &right);
  if (status || !right) return status == GH_ERROR_MEMORY ? GH_OK : status; /* a search says what does not fit */
  take(s, GH_TUNE_CHECKED, provider->name, known.seconds, known.untuned);
  gh_choice_save(state, s->shape, provider);
  return GH_OK;
}

/* What the nearest device has for the shape; NULL: nothing that suits. */
static const gh_provider *start_of(const gh_tune *t, const gh_tune_shape *s) {
  gh_tuned known;
  const gh_choice_state *state = state_of(t, s);
  const char *nearest = gh_tuned_nearest(t->document, t->d, state);
  if (!nearest || !gh_tuned_find(t->document, nearest, state, s->shape, &known)) return NULL;
  const gh_provider *provider = gh_choice_provider(state, known.provider);
  return provider && s->kind->suits(provider, s->desc, t->d) ? provider : NULL;
}

static bool is_over(const gh_tune *t) { return gh_stop_requested() || gh_now() > t->until; }

/* With a start from elsewhere: that and what a run would try, quickly. A run uses the result, the search goes on. */
static gh_status start_shape(gh_error *err, gh_tune *t, gh_tune_shape *s) {
  gh_trial_found found;
  gh_choice_state *state = state_of(t, s);
  const gh_provider *first = start_of(t, s);
  if (!first || gh_choice_load(state, s->shape)) return GH_OK;
  gh_status status = gh_trial_search(err, t->d, state, s->desc, s->shape, first, false, t->until, &found);
  if (status || !found.provider) return status == GH_ERROR_MEMORY ? GH_OK : status;
  gh_choice_save(state, s->shape, found.provider);
  take(s, GH_TUNE_LEFT, found.provider->name, found.seconds, found.listed_seconds);
  return GH_OK;
}

/* What does not fit the device, or has no correct provider, is left to the run's own error. */
static gh_status search_shape(gh_error *err, gh_tune *t, gh_tune_shape *s) {
  gh_trial_found found;
  gh_choice_state *state = state_of(t, s);
  gh_status status = gh_trial_search(err, t->d, state, s->desc, s->shape, start_of(t, s), true, t->until, &found);
  if (status == GH_ERROR_MEMORY) {
    gh_warn("%s %s is not searched: %s", s->kind->title, s->shape, err->text);
    s->how = GH_TUNE_FAILED;
    return GH_OK;
  }
  if (status || !found.whole) return status;
  s->tried = found.tried;
  if (!found.provider) {
    gh_warn("%s %s: no provider gives correct numbers on %s", s->kind->title, s->shape, t->d->info.id);
    s->how = GH_TUNE_FAILED;
    return GH_OK;
  }
  take(s, GH_TUNE_SEARCHED, found.provider->name, found.seconds,
       isfinite(found.listed_seconds) ? found.listed_seconds : 0);
  gh_choice_save(state, s->shape, found.provider);
  return update_document(err, t, put_shape, s);
}

/* ---- all of them ---- */

static int most_work_first(const void *a, const void *b) {
  const gh_tune_shape *x = a, *y = b;
  if (x->work != y->work) return x->work < y->work ? 1 : -1;
  return strcmp(x->shape, y->shape);
}

/* In arbitrary units, which `spent` turns into seconds: compiling and checking each provider, then timing it. */
static double effort(const gh_tune *t, const gh_tune_shape *s) {
  const gh_choice_state *state = state_of(t, s);
  int providers = 0;
  for (int i = 0; state->providers[i]; i++) providers += s->kind->suits(state->providers[i], s->desc, t->d);
  const double call = fmin(s->kind->work(s->desc), 4e9) / 1e11;
  return providers * (0.05 + 4 * call);
}

static double seconds_of(const gh_tune *t, double efforts) {
  return t->estimated_spent > 0 ? efforts * t->spent / t->estimated_spent : efforts;
}

static double estimate_rest(const gh_tune *t, size_t from) {
  double sum = 0;
  for (size_t i = from; i < t->count; i++)
    if (t->shapes[i].how == GH_TUNE_LEFT) sum += effort(t, &t->shapes[i]);
  return seconds_of(t, sum);
}

static void tell(const gh_tune *t, size_t from, size_t done) {
  const double rest = estimate_rest(t, from), left = t->until - gh_now();
  const bool long_time = rest > 120;
  gh_info("tune: %zu of %zu shapes are done; the rest takes about %.0f %s%s", done, t->count,
          long_time ? ceil(rest / 60) : ceil(rest), long_time ? "minutes" : "s",
          rest > left ? ", more than --minutes leaves: those with the most arithmetic come first" : "");
}

static gh_status search_all(gh_error *err, gh_tune *t, size_t done) {
  gh_progress progress;
  gh_status status = GH_OK;
  gh_progress_start(&progress, "tune", "shapes", t->count, done);
  for (size_t i = 0, searched = 0; i < t->count && !status && !is_over(t); i++) {
    gh_tune_shape *s = &t->shapes[i];
    const double began = gh_now();
    if (s->how != GH_TUNE_LEFT) continue;
    if (seconds_of(t, effort(t, s)) > t->until - began) continue; /* a smaller one may fit */
    status = search_shape(err, t, s);
    if (status || s->how == GH_TUNE_LEFT) continue;
    t->spent += gh_now() - began;
    t->estimated_spent += effort(t, s);
    done++;
    if (!searched++) tell(t, i + 1, done); /* how long one takes is known now */
    gh_progress_update(&progress, done, s->shape);
  }
  gh_progress_end(&progress);
  return status;
}

static gh_status run(gh_error *err, gh_tune *t) {
  gh_status status = GH_OK;
  size_t done = 0;
  for (size_t i = 0; i < t->count && !status && !gh_stop_requested(); i++) {
    status = use_known(err, t, &t->shapes[i]);
    done += t->shapes[i].how != GH_TUNE_LEFT;
  }
  for (size_t i = 0; i < t->count && !status && !is_over(t); i++)
    if (t->shapes[i].how == GH_TUNE_LEFT) status = start_shape(err, t, &t->shapes[i]);
  return status ? status : search_all(err, t, done);
}

gh_status gh_tune_run(gh_error *err, gh_tune *t, const gh_tune_options *options) {
  t->until = options->minutes > 0 ? gh_now() + 60 * options->minutes : HUGE_VAL;
  gh_status status = gh_choices_watch(err, t->d, NULL, NULL);
  if (!status) status = open_document(err, t, options->import);
  if (status) return status;
  if (t->count) qsort(t->shapes, t->count, sizeof *t->shapes, most_work_first);
  status = run(err, t);
  if (!status && options->export) status = gh_json_write_file(err, options->export, t->document);
  if (!status && gh_stop_requested())
    status = gh_fail(err, GH_ERROR_STOPPED, "tune: stopped; the same command goes on where it was");
  return status;
}
