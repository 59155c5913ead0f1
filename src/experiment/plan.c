#include "experiment/plan.h"
#include "base/array.h"
#include "base/file.h"
#include "io/csv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST      4096 /* runs, seeds, evaluations */
#define MAX_NAME  100
#define SWEEP_SET "evaluate=[{\"kind\":\"mmvp\",\"data\":\"" SWEEP_DATA "\"}]"

/* What a sweep file is scored on, as the paper's tables are. */
#define SWEEP_DATA "data/MMVP_VLM"

static const gh_experiment_kind kinds[] = {
    {.name = "mmvp",
     .before = true,
     .members = "patterns",
     .member_values = {"percent", "percent"},
     .scores = {{"average", "average"}},
     .item_form = GH_ITEMS_RIGHT,
     .items = "pairs",
     .item_key = "correct"},
    {.name = "zeroshot",
     .before = true,
     .scores = {{"top-1", "top1.percent"}, {"top-5", "top5.percent"}},
     .item_form = GH_ITEMS_RANK,
     .items = "results",
     .item_key = "rank"},
    {.name = "retrieval", .before = true, .scores = {{"image@1", "image@1.percent"}, {"text@1", "text@1.percent"}}},
    {.name = "attributes",
     .before = true,
     .members = "attributes",
     .member_values = {"probe.percent", "after.percent"},
     .average = "mean",
     .item_form = GH_ITEMS_COLUMNS,
     .items = "attributes",
     .item_key = "right"},
    {.name = "reconstruction",
     .scores = {{"CLIP score", "clip_score.value"}, {"PSNR", "psnr.value"}},
     .item_form = GH_ITEMS_VALUE,
     .items = "results",
     .item_key = "clip_score"},
};

/* Commands that may prepare an experiment. */
static const char *const preparing[] = {"scenes",         "init",         "convert", "pretrain autoencoder",
                                        "pretrain vqgan", "pretrain clip"};

/* ---- helpers ---- */

/* Names become folders and files. */
static gh_status check_name(gh_error *err, const char *where, const char *name) {
  if (*name && strlen(name) <= MAX_NAME && !strchr(name, '/') && name[0] != '.' && gh_path_stays_inside(name))
    return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s: \"%.120s\" is no name: 1 to %d characters, no slash, no dot in front",
                 where, name, MAX_NAME);
}

static gh_status check_keys(gh_error *err, const gh_json *object, const char *where, const char *const *known,
                            size_t count) {
  if (gh_json_type_of(object) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", where, gh_json_type_name(object));
  for (const gh_json *m = gh_json_first(object); m; m = gh_json_next(m)) {
    bool found = false;
    for (size_t i = 0; i < count; i++) found |= !strcmp(gh_json_key(m), known[i]);
    if (found) continue;
    const char *nearest = gh_nearest(gh_json_key(m), known, count);
    return gh_fail(err, GH_ERROR_CONFIG, "%s: unknown key \"%.60s\"%s%s%s", where, gh_json_key(m),
                   nearest ? " (the nearest is \"" : "", nearest ? nearest : "", nearest ? "\")" : "");
  }
  return GH_OK;
}

/* A copy of the text at key; NULL if it is absent and not required. */
static gh_status take_text(gh_error *err, const gh_json *object, const char *key, bool required, char **out) {
  const char *text = NULL;
  gh_status status =
      required ? gh_json_get_string(err, object, key, &text) : gh_json_opt_string(err, object, key, &text);
  if (!status && text && !(*out = gh_strdup(err, text))) status = GH_ERROR_MEMORY;
  return status;
}

static gh_status take_list(gh_error *err, const gh_json *object, const char *key, gh_strings *out) {
  const gh_json *list = gh_json_member(object, key);
  gh_status status = GH_OK;
  if (list && gh_json_type_of(list) != GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected a list of texts, found %s", key, gh_json_type_name(list));
  for (const gh_json *item = gh_json_first(list); item && !status; item = gh_json_next(item)) {
    const char *text = NULL;
    status = gh_json_to_string(err, item, key, &text);
    if (!status) status = gh_strings_add(err, out, text);
  }
  return status;
}

static gh_status add_all(gh_error *err, gh_strings *to, const gh_strings *from) {
  gh_status status = GH_OK;
  for (size_t i = 0; from && i < from->count && !status; i++) status = gh_strings_add(err, to, from->items[i]);
  return status;
}

/* The array at key, and zeroed room for its items in *items. */
static gh_status take_array(gh_error *err, const gh_json *document, const char *key, size_t item_bytes, void **items,
                            size_t *count) {
  const gh_json *list = gh_json_member(document, key);
  *count = 0;
  if (!list) return GH_OK;
  if (gh_json_type_of(list) != GH_JSON_ARRAY || gh_json_count(list) > MOST)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected a list of at most %d items", key, MOST);
  if (gh_json_count(list) && !(*items = gh_alloc(err, gh_json_count(list), item_bytes))) return GH_ERROR_MEMORY;
  *count = gh_json_count(list);
  return GH_OK;
}

/* ---- the parts ---- */

static gh_status read_prepare(gh_error *err, const gh_json *item, gh_experiment_prepare *out) {
  static const char *const keys[] = {"name", "command"};
  gh_status status = check_keys(err, item, "prepare", keys, GH_COUNT(keys));
  if (!status) status = take_text(err, item, "name", true, &out->name);
  if (!status) status = check_name(err, "prepare.name", out->name);
  if (!status) status = take_list(err, item, "command", &out->words);
  for (size_t i = 0; i < GH_COUNT(preparing) && !status; i++) {
    const char *space = strchr(preparing[i], ' ');
    const size_t n = space ? (size_t)(space - preparing[i]) : strlen(preparing[i]);
    if (out->words.count <= (space ? 1 : 0) || strlen(out->words.items[0]) != n ||
        strncmp(out->words.items[0], preparing[i], n) || (space && strcmp(out->words.items[1], space + 1)))
      continue;
    return GH_OK;
  }
  return status ? status
                : gh_fail(err, GH_ERROR_CONFIG,
                          "prepare \"%s\": the command can be scenes, init, convert, pretrain autoencoder, pretrain "
                          "vqgan or pretrain clip",
                          out->name);
}

static gh_status read_evaluation(gh_error *err, const gh_json *item, gh_experiment_evaluation *out) {
  static const char *const keys[] = {"kind", "name", "data", "options"};
  const char *kind = NULL;
  gh_status status = check_keys(err, item, "evaluate", keys, GH_COUNT(keys));
  if (!status) status = gh_json_get_string(err, item, "kind", &kind);
  for (size_t i = 0; i < GH_COUNT(kinds) && !status; i++)
    if (!strcmp(kinds[i].name, kind)) out->kind = &kinds[i];
  if (!status && !out->kind)
    status =
        gh_fail(err, GH_ERROR_CONFIG,
                "evaluate.kind: \"%.40s\"; it can be mmvp, zeroshot, retrieval, attributes or reconstruction", kind);
  if (!status) status = take_text(err, item, "name", false, &out->name);
  if (!status && !out->name && !(out->name = gh_strdup(err, kind))) status = GH_ERROR_MEMORY;
  if (!status) status = check_name(err, "evaluate.name", out->name);
  if (!status) status = take_text(err, item, "data", true, &out->data);
  return status ? status : take_list(err, item, "options", &out->options);
}

/* A run's configuration is its own or the experiment's; `shared` are the experiment's overrides. */
static gh_status read_run(gh_error *err, const gh_json *item, const char *config, const gh_strings *shared,
                          gh_experiment_run *out) {
  static const char *const keys[] = {"name", "config", "set", "paper"};
  gh_status status = check_keys(err, item, "runs", keys, GH_COUNT(keys));
  if (!status) status = take_text(err, item, "name", true, &out->name);
  if (!status) status = check_name(err, "runs.name", out->name);
  if (!status) status = take_text(err, item, "config", false, &out->config);
  if (!status && !out->config && !config)
    return gh_fail(err, GH_ERROR_CONFIG, "runs \"%s\": \"config\" is missing, here and in the experiment", out->name);
  if (!status && !out->config && !(out->config = gh_strdup(err, config))) status = GH_ERROR_MEMORY;
  if (!status) status = take_text(err, item, "paper", false, &out->paper);
  if (!status) status = add_all(err, &out->sets, shared);
  return status ? status : take_list(err, item, "set", &out->sets);
}

/* ---- sweep files ---- */

static gh_status add_words(gh_error *err, gh_strings *out, const char *text) {
  gh_status status = GH_OK;
  while (*text && !status) {
    const size_t n = strcspn(text, " ");
    char *word = n ? gh_format(err, "%.*s", (int)n, text) : NULL;
    if (n) status = word ? gh_strings_add(err, out, word) : GH_ERROR_MEMORY;
    free(word);
    text += n + (text[n] == ' ');
  }
  return status;
}

static gh_status read_row(gh_error *err, const char *folder, const gh_strings *fields, const gh_strings *shared,
                          gh_experiment_run *out) {
  if (fields->count != 4)
    return gh_fail(err, GH_ERROR_CONFIG, "%zu fields; expected name, configuration, the paper's score, overrides",
                   fields->count);
  const char *paper = fields->items[2], *overrides = fields->items[3];
  gh_status status = check_name(err, "name", fields->items[0]);
  if (!status) status = check_name(err, "configuration", fields->items[1]);
  if (status) return status;
  out->name = gh_strdup(err, fields->items[0]);
  out->config = gh_format(err, "%s/%s.json", folder, fields->items[1]);
  if (strcmp(paper, "-") && !(out->paper = gh_strdup(err, paper))) return GH_ERROR_MEMORY;
  if (!out->name || !out->config) return GH_ERROR_MEMORY;
  status = add_all(err, &out->sets, shared);
  return status || !strcmp(overrides, "-") ? status : add_words(err, &out->sets, overrides);
}

static gh_status read_sweep(gh_error *err, gh_experiment *x, const char *path, const gh_strings *shared) {
  gh_csv csv = {0};
  char *folder = gh_path_folder(err, path);
  gh_status status = folder ? gh_csv_read(err, &csv, path, '\t') : GH_ERROR_MEMORY;
  if (!status && !(x->runs = gh_alloc(err, csv.count + 1, sizeof *x->runs))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < csv.count && !status; i++) {
    if (csv.rows[i].fields.items[0][0] == '#') continue;
    status = read_row(err, folder, &csv.rows[i].fields, shared, &x->runs[x->run_count++]);
    if (status) gh_fail_in(err, "%s, line %zu", path, csv.rows[i].line);
  }
  gh_csv_free(&csv);
  free(folder);
  return status;
}

/* A sweep file alone: one seed, and the score of the paper's tables. */
static gh_status complete_sweep(gh_error *err, gh_experiment *x, const char *path) {
  x->title = gh_strdup(err, gh_path_name(path));
  x->evaluations = gh_alloc(err, 1, sizeof *x->evaluations);
  if (!x->title || !x->evaluations) return GH_ERROR_MEMORY;
  x->evaluation_count = 1;
  x->evaluations[0].kind = &kinds[0];
  x->evaluations[0].name = gh_strdup(err, kinds[0].name);
  x->evaluations[0].data = gh_strdup(err, SWEEP_DATA);
  return x->evaluations[0].name && x->evaluations[0].data ? GH_OK : GH_ERROR_MEMORY;
}

/* ---- the document ---- */

static gh_status read_runs(gh_error *err, gh_experiment *x, const gh_json *document, const gh_strings *more) {
  const gh_json *runs = gh_json_member(document, "runs"), *item = gh_json_first(runs);
  const char *config = NULL, *sweep = NULL;
  gh_strings shared = {0};
  void *items = NULL;
  gh_status status = gh_json_opt_string(err, document, "config", &config);
  if (!status) status = take_list(err, document, "set", &shared);
  if (!status) status = add_all(err, &shared, more);
  if (!status && gh_json_type_of(runs) == GH_JSON_STRING) {
    status = gh_json_to_string(err, runs, "runs", &sweep);
    if (!status) status = read_sweep(err, x, sweep, &shared);
  } else if (!status) {
    status = take_array(err, document, "runs", sizeof *x->runs, &items, &x->run_count);
    x->runs = items;
    for (size_t i = 0; i < x->run_count && !status; i++, item = gh_json_next(item))
      status = read_run(err, item, config, &shared, &x->runs[i]);
  }
  gh_strings_free(&shared);
  return status;
}

static gh_status read_lists(gh_error *err, gh_experiment *x, const gh_json *document) {
  const gh_json *item = gh_json_first(gh_json_member(document, "prepare"));
  void *items = NULL;
  gh_status status = take_array(err, document, "prepare", sizeof *x->prepare, &items, &x->prepare_count);
  x->prepare = items;
  for (size_t i = 0; i < x->prepare_count && !status; i++, item = gh_json_next(item))
    status = read_prepare(err, item, &x->prepare[i]);
  items = NULL;
  item = gh_json_first(gh_json_member(document, "evaluate"));
  if (!status) status = take_array(err, document, "evaluate", sizeof *x->evaluations, &items, &x->evaluation_count);
  x->evaluations = items;
  for (size_t i = 0; i < x->evaluation_count && !status; i++, item = gh_json_next(item))
    status = read_evaluation(err, item, &x->evaluations[i]);
  items = NULL;
  item = gh_json_first(gh_json_member(document, "seeds"));
  if (!status) status = take_array(err, document, "seeds", sizeof *x->seeds.items, &items, &x->seeds.count);
  x->seeds.items = items;
  for (size_t i = 0; i < x->seeds.count && !status; i++, item = gh_json_next(item))
    status = gh_json_to_int(err, item, "seeds", &x->seeds.items[i]);
  return status;
}

static gh_status find_baseline(gh_error *err, gh_experiment *x, const gh_json *document) {
  const char *name = NULL;
  gh_status status = gh_json_opt_string(err, document, "baseline", &name);
  if (status || !name) return status;
  for (x->baseline = 0; x->baseline < x->run_count; x->baseline++)
    if (!strcmp(x->runs[x->baseline].name, name)) return GH_OK;
  x->baseline = 0;
  return gh_fail(err, GH_ERROR_CONFIG, "baseline: there is no run \"%.60s\"", name);
}

static gh_status read_document(gh_error *err, gh_experiment *x, const char *path, const gh_strings *sets) {
  static const char *const keys[] = {"title", "output", "prepare",  "config",   "set",
                                     "seeds", "runs",   "baseline", "evaluate", "snapshot"};
  gh_json *document = NULL;
  gh_status status = gh_json_read_file(err, &document, path, GH_JSON_MAX_BYTES);
  if (status) return gh_as_config_error(err, status);
  status = check_keys(err, document, "the experiment", keys, GH_COUNT(keys));
  if (!status) status = take_text(err, document, "title", false, &x->title);
  if (!status && !x->title && !(x->title = gh_strdup(err, gh_path_name(path)))) status = GH_ERROR_MEMORY;
  if (!status) status = take_text(err, document, "output", false, &x->output);
  if (!status) status = take_text(err, document, "snapshot", false, &x->snapshot);
  if (!status) status = read_runs(err, x, document, sets);
  if (!status) status = read_lists(err, x, document);
  if (!status) status = find_baseline(err, x, document);
  gh_json_free(document);
  if (status) gh_as_config_error(err, status);
  return status ? gh_fail_in(err, "%s", path) : GH_OK;
}

/* ---- the command line's part ---- */

static gh_status parse_seeds(gh_error *err, gh_int_list *out, const char *text) {
  size_t capacity = 0;
  free(out->items);
  *out = (gh_int_list){0};
  for (const char *at = text; *at || at == text;) {
    char *end = NULL;
    errno = 0;
    const long long seed = strtoll(at, &end, 10);
    if (end == at || errno || seed < 0 || seed > GH_JSON_MAX_INTEGER || (*end && *end != ',') || out->count >= MOST ||
        (*end == ',' && !end[1]))
      return gh_fail(err, GH_ERROR_ARGUMENT, "--seeds %s: expected whole numbers with commas between them", text);
    if (GH_ARRAY_RESERVE(err, out->items, capacity, out->count, 1)) return GH_ERROR_MEMORY;
    out->items[out->count++] = seed;
    at = end + (*end == ',');
  }
  return GH_OK;
}

static gh_status check_twins(gh_error *err, const gh_experiment *x) {
  for (size_t i = 0; i < x->run_count; i++)
    for (size_t k = 0; k < i; k++)
      if (!strcmp(x->runs[i].name, x->runs[k].name))
        return gh_fail(err, GH_ERROR_CONFIG, "runs: \"%s\" twice", x->runs[i].name);
  for (size_t i = 0; i < x->evaluation_count; i++)
    for (size_t k = 0; k < i; k++)
      if (!strcmp(x->evaluations[i].name, x->evaluations[k].name))
        return gh_fail(err, GH_ERROR_CONFIG, "evaluate: \"%s\" twice; give one another \"name\"",
                       x->evaluations[i].name);
  for (size_t i = 0; i < x->prepare_count; i++)
    for (size_t k = 0; k < i; k++)
      if (!strcmp(x->prepare[i].name, x->prepare[k].name))
        return gh_fail(err, GH_ERROR_CONFIG, "prepare: \"%s\" twice", x->prepare[i].name);
  for (size_t i = 0; i < x->seeds.count; i++)
    for (size_t k = 0; k < i; k++)
      if (x->seeds.items[i] == x->seeds.items[k])
        return gh_fail(err, GH_ERROR_CONFIG, "seeds: %lld twice", (long long)x->seeds.items[i]);
  return GH_OK;
}

gh_status gh_experiment_read(gh_error *err, gh_experiment *x, const char *path, const gh_experiment_options *options) {
  const bool sweep = gh_ends_with(path, ".tsv");
  gh_strings sets = {0};
  *x = (gh_experiment){0};
  gh_status status = sweep ? gh_strings_add(err, &sets, SWEEP_SET) : GH_OK;
  if (!status) status = add_all(err, &sets, options->sets);
  if (!status) status = sweep ? read_sweep(err, x, path, &sets) : read_document(err, x, path, &sets);
  if (!status && sweep) status = complete_sweep(err, x, path);
  gh_strings_free(&sets);
  if (!status && options->output) {
    free(x->output);
    if (!(x->output = gh_strdup(err, options->output))) status = GH_ERROR_MEMORY;
  }
  if (!status && (options->seeds || !x->seeds.count))
    status = parse_seeds(err, &x->seeds, options->seeds ? options->seeds : "0");
  if (!status && (!x->output || !*x->output))
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: names no \"output\"; --out DIR does", path);
  if (!status && !x->run_count) status = gh_fail(err, GH_ERROR_CONFIG, "%s: has no runs", path);
  if (!status && (status = check_twins(err, x))) gh_fail_in(err, "%s", path);
  return status;
}

void gh_experiment_free(gh_experiment *x) {
  for (size_t i = 0; i < x->prepare_count; i++) {
    free(x->prepare[i].name);
    gh_strings_free(&x->prepare[i].words);
  }
  for (size_t i = 0; i < x->run_count; i++) {
    free(x->runs[i].name);
    free(x->runs[i].config);
    free(x->runs[i].paper);
    gh_strings_free(&x->runs[i].sets);
  }
  for (size_t i = 0; i < x->evaluation_count; i++) {
    free(x->evaluations[i].name);
    free(x->evaluations[i].data);
    gh_strings_free(&x->evaluations[i].options);
  }
  free(x->prepare);
  free(x->runs);
  free(x->evaluations);
  free(x->seeds.items);
  free(x->title);
  free(x->output);
  free(x->snapshot);
  *x = (gh_experiment){0};
}
