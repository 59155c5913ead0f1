#include "experiment/steps.h"
#include "base/array.h"
#include "base/checksum.h"
#include "base/file.h"
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

/* One run with one seed while its steps are listed. */
typedef struct gh_listing {
  const gh_experiment *x;
  gh_experiment_steps *out;
  size_t run, seed;
  gh_config config;  /* with the seed */
  gh_strings sets;   /* the overrides of its commands */
  char *folder;      /* of the run */
  uint64_t identity; /* of its training */
} gh_listing;

/* ---- lists of words ---- */

static gh_status add_format(gh_error *err, gh_strings *words, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static gh_status add_format(gh_error *err, gh_strings *words, const char *format, ...) {
  char text[4096];
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n < 0 || (size_t)n >= sizeof text) return gh_fail(err, GH_ERROR_ARGUMENT, "%.60s...: too long", text);
  return gh_strings_add(err, words, text);
}

/* Several words; the last argument is NULL. */
static gh_status add_words(gh_error *err, gh_strings *words, ...) {
  gh_status status = GH_OK;
  va_list args;
  va_start(args, words);
  for (const char *word; !status && (word = va_arg(args, const char *));) status = gh_strings_add(err, words, word);
  va_end(args);
  return status;
}

static gh_status add_sets(gh_error *err, gh_strings *words, const gh_strings *sets) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < sets->count && !status; i++) status = add_words(err, words, "--set", sets->items[i], NULL);
  return status;
}

/* The hash of the words, of the file behind --config, and of `before`, what the step builds on. */
static gh_status hash_words(gh_error *err, const gh_strings *words, uint64_t before, uint64_t *out) {
  char text[GH_CHECKSUM_TEXT];
  uint64_t file = 0, bytes = 0;
  gh_json *object = gh_json_object(err);
  gh_status status = object ? gh_json_put_strings(err, object, "words", words) : GH_ERROR_MEMORY;
  for (size_t i = 0; i + 1 < words->count && !status; i++)
    if (!strcmp(words->items[i], "--config")) status = gh_file_hash(err, words->items[i + 1], &file, &bytes);
  gh_checksum_text(text, file);
  if (!status) status = gh_json_put_string(err, object, "file", text);
  gh_checksum_text(text, before);
  if (!status) status = gh_json_put_string(err, object, "before", text);
  if (!status) status = gh_json_hash(err, object, out);
  gh_json_free(object);
  return status;
}

/* ---- steps ---- */

/* A new step; its record is OUT/steps/ID.json. NULL on failure. */
static gh_experiment_step *new_step(gh_error *err, const gh_experiment *x, gh_experiment_steps *s, gh_step_kind kind,
                                    const char *id) {
  if (GH_ARRAY_RESERVE(err, s->items, s->capacity, s->count, 1)) return NULL;
  gh_experiment_step *step = &s->items[s->count++];
  *step = (gh_experiment_step){.kind = kind, .run = NONE, .seed = NONE, .evaluation = NONE};
  step->record = gh_format(err, "%s/steps/%s.json", x->output, id);
  return step->record ? step : NULL;
}

static gh_status set_name(gh_error *err, gh_experiment_step *step, char *name) {
  step->name = name;
  return name ? GH_OK : err->status;
}

static gh_status list_prepare(gh_error *err, const gh_experiment *x, gh_experiment_steps *s, size_t at) {
  const gh_experiment_prepare *p = &x->prepare[at];
  char id[256];
  snprintf(id, sizeof id, "prepare-%s", p->name);
  gh_experiment_step *step = new_step(err, x, s, GH_STEP_PREPARE, id);
  gh_status status = step ? set_name(err, step, gh_strdup(err, p->name)) : err->status;
  for (size_t i = 0; i < p->words.count && !status; i++) {
    status = gh_strings_add(err, &step->words, p->words.items[i]);
    if (!status && i && !strcmp(p->words.items[i - 1], "--out") &&
        !(step->unfinished = gh_strdup(err, p->words.items[i])))
      status = GH_ERROR_MEMORY;
  }
  if (!status) status = hash_words(err, &step->words, 0, &step->identity);
  if (!status && !strcmp(p->words.items[0], "pretrain")) status = gh_strings_add(err, &step->words, "--resume");
  return status;
}

/* The configuration of a step, as resolved: it identifies what is computed. */
static gh_status resolve(gh_error *err, const gh_experiment_run *run, const gh_strings *sets, const char *output,
                         gh_config *config, uint64_t *identity) {
  gh_json *json = NULL;
  gh_strings all = {0};
  *config = (gh_config){0};
  gh_status status = gh_strings_copy(err, &all, sets);
  if (!status) status = add_format(err, &all, "output=%s", output);
  if (!status) status = gh_config_read(err, config, run->config, (const char *const *)all.items, all.count);
  gh_strings_free(&all);
  if (status) return status;
  status = gh_config_to_json(err, &json, config);
  if (!status) status = gh_json_hash(err, json, identity);
  gh_json_free(json);
  if (status) gh_config_free(config);
  return status;
}

static gh_status list_training(gh_error *err, const gh_listing *l, gh_experiment_step *step, const gh_strings *sets,
                               const char *output, int stage) {
  const gh_experiment_run *run = &l->x->runs[l->run];
  gh_config config;
  step->run = l->run;
  step->seed = l->seed;
  gh_status status = set_name(
      err, step, gh_format(err, "%s, seed %lld: stage %d", run->name, (long long)l->x->seeds.items[l->seed], stage));
  if (!status) status = resolve(err, run, sets, output, &config, &step->identity);
  if (status) return status;
  gh_config_free(&config);
  status = add_words(err, &step->words, "train", "--config", run->config, NULL);
  if (!status) status = add_sets(err, &step->words, sets);
  if (!status) status = gh_strings_add(err, &step->words, "--set");
  if (!status) status = add_format(err, &step->words, "output=%s", output);
  return status ? status : add_words(err, &step->words, "--resume", "--quiet", NULL);
}

/* Whether the step with that record is listed. */
static bool is_listed(const gh_experiment_steps *s, const char *id) {
  for (size_t i = 0; i < s->count; i++)
    if (s->items[i].kind == GH_STEP_STAGE1 && strstr(s->items[i].record, id)) return true;
  return false;
}

/* Stage 1 in a folder that is named after its settings, so that runs with the same ones share it. */
static gh_status list_stage1(gh_error *err, gh_listing *l, char **weights) {
  const gh_experiment *x = l->x;
  gh_strings sets = {0};
  gh_config config = {0};
  char key[GH_CHECKSUM_TEXT], id[64], *folder = NULL;
  uint64_t identity = 0;
  gh_status status = gh_strings_copy(err, &sets, &l->sets);
  if (!status) status = add_words(err, &sets, "evaluate=[]", "stage2={\"steps\":0}", NULL);
  if (!status) status = resolve(err, &x->runs[l->run], &sets, "stage1", &config, &identity);
  gh_checksum_text(key, identity);
  snprintf(id, sizeof id, "stage1-%s", key);
  if (!status && !(folder = gh_format(err, "%s/stage1/%s", x->output, key))) status = GH_ERROR_MEMORY;
  if (!status && !(*weights = gh_format(err, "%s/snapshots/stage1-%08lld/denoiser.safetensors", folder,
                                        (long long)config.stages[0].steps)))
    status = GH_ERROR_MEMORY;
  gh_config_free(&config);
  if (!status && is_listed(l->out, id)) {
    l->out->shared++;
  } else if (!status) {
    gh_experiment_step *step = new_step(err, x, l->out, GH_STEP_STAGE1, id);
    status = step ? list_training(err, l, step, &sets, folder, 1) : err->status;
  }
  gh_strings_free(&sets);
  free(folder);
  return status;
}

static gh_status list_stage2(gh_error *err, gh_listing *l, const char *weights) {
  const gh_experiment *x = l->x;
  gh_strings sets = {0};
  char id[256];
  gh_status status = gh_strings_copy(err, &sets, &l->sets);
  if (!status && weights) status = gh_strings_add(err, &sets, "stage1.steps=0");
  if (!status && weights) status = add_format(err, &sets, "denoiser.weights=%s", weights);
  snprintf(id, sizeof id, "run-%s-seed-%lld", x->runs[l->run].name, (long long)x->seeds.items[l->seed]);
  gh_experiment_step *step = status ? NULL : new_step(err, x, l->out, GH_STEP_STAGE2, id);
  if (!status) status = step ? list_training(err, l, step, &sets, l->folder, 2) : err->status;
  if (!status) l->identity = step->identity;
  gh_strings_free(&sets);
  return status;
}

/* "eval KIND FROM... --data DIR OPTIONS --json RESULT": the words before --data are there already. */
static gh_status finish_evaluation(gh_error *err, gh_experiment_step *step, const gh_experiment_evaluation *e,
                                   uint64_t before, char *result) {
  step->result = result;
  gh_status status = result ? add_words(err, &step->words, "--data", e->data, NULL) : GH_ERROR_MEMORY;
  for (size_t i = 0; i < e->options.count && !status; i++)
    status = gh_strings_add(err, &step->words, e->options.items[i]);
  if (!status) status = add_words(err, &step->words, "--json", result, NULL);
  return status ? status : hash_words(err, &step->words, before, &step->identity);
}

/* The encoder before training, once for all runs that begin with it. */
static gh_status list_before(gh_error *err, gh_listing *l) {
  const gh_experiment *x = l->x;
  char key[GH_CHECKSUM_TEXT];
  uint64_t hash = 0;
  gh_strings name = {0};
  gh_status status = gh_strings_add(err, &name, l->config.clip);
  if (!status) status = hash_words(err, &name, 0, &hash);
  gh_strings_free(&name);
  gh_checksum_text(key, hash);
  if (!status && !(l->out->before[l->run] = gh_format(err, "%s/scores/before-%s", x->output, key)))
    status = GH_ERROR_MEMORY;
  for (size_t r = 0; r < l->run; r++)
    if (!status && !strcmp(l->out->before[r], l->out->before[l->run])) return GH_OK;
  for (size_t i = 0; i < x->evaluation_count && !status; i++) {
    const gh_experiment_evaluation *e = &x->evaluations[i];
    char id[256];
    if (!e->kind->before) continue;
    snprintf(id, sizeof id, "before-%s-%s", key, e->name);
    gh_experiment_step *step = new_step(err, x, l->out, GH_STEP_BEFORE, id);
    status = step ? set_name(err, step, gh_format(err, "before training: %s", e->name)) : err->status;
    if (status) break;
    step->evaluation = i;
    status = add_words(err, &step->words, "eval", e->kind->name, "--model", l->config.clip, NULL);
    if (!status)
      status = finish_evaluation(err, step, e, 0, gh_format(err, "%s/%s.json", l->out->before[l->run], e->name));
  }
  return status;
}

static gh_status list_measures(gh_error *err, gh_listing *l) {
  const gh_experiment *x = l->x;
  const gh_experiment_run *run = &x->runs[l->run];
  const long long seed = x->seeds.items[l->seed];
  const char *snapshot = x->snapshot ? x->snapshot : gh_json_count(l->config.evaluate) ? "best" : "last";
  gh_status status = GH_OK;
  for (size_t i = 0; i < x->evaluation_count && !status; i++) {
    const gh_experiment_evaluation *e = &x->evaluations[i];
    char id[384];
    snprintf(id, sizeof id, "run-%s-seed-%lld-%s", run->name, seed, e->name);
    gh_experiment_step *step = new_step(err, x, l->out, GH_STEP_MEASURE, id);
    status = step ? set_name(err, step, gh_format(err, "%s, seed %lld: %s", run->name, seed, e->name)) : err->status;
    if (status) break;
    step->run = l->run;
    step->seed = l->seed;
    step->evaluation = i;
    status = add_words(err, &step->words, "eval", e->kind->name, "--run", l->folder, "--snapshot", snapshot, NULL);
    if (!status)
      status = finish_evaluation(err, step, e, l->identity,
                                 gh_format(err, "%s/scores/%s/seed-%lld/%s.json", x->output, run->name, seed, e->name));
  }
  return status;
}

/* Runs share a cache of targets if it holds the same ones: those of a seed for the same pictures and models. */
static gh_status share_cache(gh_error *err, gh_listing *l) {
  static const char *const keys[] = {"clip", "autoencoder", "denoiser.kind", "data", "seed"};
  gh_json *json = NULL, *part = NULL;
  uint64_t hash = 0;
  char key[GH_CHECKSUM_TEXT];
  if (!l->config.data.latent_cache || l->config.data.latent_cache_path) return GH_OK;
  gh_json *chosen = gh_json_object(err);
  gh_status status = chosen ? gh_config_to_json(err, &json, &l->config) : GH_ERROR_MEMORY;
  for (size_t i = 0; i < GH_COUNT(keys) && !status; i++) {
    const gh_json *value = gh_json_at(json, keys[i]);
    if (!value) continue;
    status = gh_json_copy(err, &part, value);
    if (!status) status = gh_json_put(err, chosen, keys[i], part);
  }
  if (!status) status = gh_json_hash(err, chosen, &hash);
  gh_checksum_text(key, hash);
  if (!status) status = add_format(err, &l->sets, "data.latent_cache.path=%s/latents/%s", l->x->output, key);
  gh_json_free(chosen);
  gh_json_free(json);
  return status;
}

static gh_status list_run(gh_error *err, gh_listing *l) {
  const gh_experiment *x = l->x;
  const gh_experiment_run *run = &x->runs[l->run];
  char *weights = NULL;
  uint64_t ignored;
  gh_status status = gh_strings_copy(err, &l->sets, &run->sets);
  if (!status) status = add_format(err, &l->sets, "seed=%lld", (long long)x->seeds.items[l->seed]);
  if (!status) status = resolve(err, run, &l->sets, x->output, &l->config, &ignored);
  if (!status && !l->config.stages[1].steps)
    status = gh_fail(err, GH_ERROR_CONFIG, "stage2.steps is 0: there is no trained encoder to evaluate");
  if (!status) status = share_cache(err, l);
  if (!status &&
      !(l->folder = gh_format(err, "%s/runs/%s/seed-%lld", x->output, run->name, (long long)x->seeds.items[l->seed])))
    status = GH_ERROR_MEMORY;
  if (!status && !l->seed) status = list_before(err, l);
  if (!status && l->config.stages[0].steps) status = list_stage1(err, l, &weights);
  if (!status) status = list_stage2(err, l, weights);
  if (!status) status = list_measures(err, l);
  free(weights);
  free(l->folder);
  gh_strings_free(&l->sets);
  gh_config_free(&l->config);
  return status ? gh_fail_in(err, "%s", run->name) : GH_OK;
}

gh_status gh_experiment_plan(gh_error *err, gh_experiment_steps *s, const gh_experiment *x) {
  *s = (gh_experiment_steps){0};
  gh_status status = (s->before = gh_alloc(err, x->run_count, sizeof *s->before)) ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < x->prepare_count && !status; i++) status = list_prepare(err, x, s, i);
  for (size_t k = 0; k < x->seeds.count && !status; k++)
    for (size_t r = 0; r < x->run_count && !status; r++) {
      gh_listing l = {.x = x, .out = s, .run = r, .seed = k};
      status = list_run(err, &l);
    }
  return status;
}

void gh_experiment_steps_free(gh_experiment_steps *s, const gh_experiment *x) {
  for (size_t i = 0; i < s->count; i++) {
    gh_experiment_step *step = &s->items[i];
    free(step->name);
    free(step->record);
    free(step->result);
    free(step->unfinished);
    gh_strings_free(&step->words);
  }
  for (size_t r = 0; s->before && r < x->run_count; r++) free(s->before[r]);
  free(s->before);
  free(s->items);
  *s = (gh_experiment_steps){0};
}

/* ---- records ---- */

static gh_status look(gh_error *err, gh_experiment_step *step) {
  gh_json *json = NULL;
  char own[GH_CHECKSUM_TEXT];
  const char *identity = "";
  step->done = step->begun = false;
  if (!gh_path_exists(step->record)) return GH_OK;
  gh_status status = gh_json_read_sealed(err, &json, step->record);
  if (status) return status;
  status = gh_json_get_string(err, json, "identity", &identity);
  gh_checksum_text(own, step->identity);
  step->begun = true;
  if (!status && strcmp(identity, own)) {
    /* An evaluation is repeated. A training or its data may have taken days: the user decides. */
    if (step->result)
      step->begun = false;
    else
      status = gh_fail(err, GH_ERROR_CONFIG,
                       "%s: this step was run with other settings; choose another output, or remove this file and what "
                       "the step made",
                       step->record);
  } else if (!status) {
    status = gh_json_get_bool(err, json, "done", &step->done);
    if (!status) status = gh_json_get_double(err, json, "seconds", &step->seconds);
    if (status) gh_fail_in(err, "%s", step->record);
  }
  gh_json_free(json);
  if (step->result && step->done && !gh_path_exists(step->result)) step->done = false;
  return status;
}

gh_status gh_experiment_look(gh_error *err, gh_experiment_steps *s) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < s->count && !status; i++) status = look(err, &s->items[i]);
  return status;
}

static gh_status make_folder_of(gh_error *err, const char *path) {
  char *folder = gh_path_folder(err, path);
  gh_status status = folder ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  free(folder);
  return status;
}

gh_status gh_experiment_record(gh_error *err, const gh_experiment_step *step) {
  char identity[GH_CHECKSUM_TEXT];
  gh_json *json = gh_json_object(err);
  gh_checksum_text(identity, step->identity);
  gh_status status = json ? make_folder_of(err, step->record) : GH_ERROR_MEMORY;
  if (!status && step->result) status = make_folder_of(err, step->result);
  if (!status) status = gh_json_put_string(err, json, "step", step->name);
  if (!status) status = gh_json_put_strings(err, json, "command", &step->words);
  if (!status) status = gh_json_put_string(err, json, "identity", identity);
  if (!status) status = gh_json_put_bool(err, json, "done", step->done);
  if (!status) status = gh_json_put_double(err, json, "seconds", step->seconds);
  if (!status) status = gh_json_write_sealed(err, step->record, json);
  gh_json_free(json);
  return status;
}

double gh_experiment_left(const gh_experiment_steps *s, bool *known) {
  double seconds[GH_STEP_KINDS] = {0}, left = 0;
  size_t counts[GH_STEP_KINDS] = {0};
  for (size_t i = 0; i < s->count; i++) {
    seconds[s->items[i].kind] += s->items[i].done ? s->items[i].seconds : 0;
    counts[s->items[i].kind] += s->items[i].done;
  }
  *known = true;
  for (size_t i = 0; i < s->count; i++) {
    const gh_step_kind kind = s->items[i].kind;
    if (s->items[i].done) continue;
    if (counts[kind])
      left += seconds[kind] / (double)counts[kind];
    else
      *known = false;
  }
  return left;
}
