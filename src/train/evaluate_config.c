#include "train/evaluate_config.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME 24
#define DEFAULT_GUARD_POINTS                                                                                           \
  0.3                /* points; the paper: "the performance difference is minimal (< 0.3 %)"                           \
                      */
#define MAX_SCORED 2 /* scores of one measure */

static const struct {
  const char *endings[MAX_SCORED]; /* of its scores' names */
  const char *keys[4];             /* in addition to kind, name, data, batch */
} kinds[] = {
    [GH_MEASURE_MMVP] = {{""}, {NULL}},
    [GH_MEASURE_ZEROSHOT] = {{".top1", ".top5"}, {"labels", "classes", "templates"}},
    [GH_MEASURE_RETRIEVAL] = {{".image@5", ".text@5"}, {"captions", "split"}},
};
static const char *const common[] = {"kind", "name", "data", "batch"};

static gh_status as_config(gh_error *err, gh_status status) {
  if (status == GH_ERROR_FORMAT) err->status = status = GH_ERROR_CONFIG;
  return status;
}

static gh_status read_kind(gh_error *err, const gh_json *item, const char *where, gh_measure_kind *out) {
  const char *name = "";
  gh_status status = as_config(err, gh_json_get_string(err, item, "kind", &name));
  if (status) return gh_fail_in(err, "%s", where);
  for (size_t i = 0; i < GH_COUNT(kinds); i++)
    if (!strcmp(name, gh_measure_name((gh_measure_kind)i))) {
      *out = (gh_measure_kind)i;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_CONFIG, "%s.kind: \"%.40s\"; it can be mmvp, zeroshot or retrieval", where, name);
}

static gh_status check_keys(gh_error *err, const gh_json *item, const char *where, gh_measure_kind kind) {
  const char *known[GH_COUNT(common) + GH_COUNT(kinds[0].keys)];
  size_t count = 0;
  for (size_t i = 0; i < GH_COUNT(common); i++) known[count++] = common[i];
  for (size_t i = 0; i < GH_COUNT(kinds[0].keys) && kinds[kind].keys[i]; i++) known[count++] = kinds[kind].keys[i];
  for (const gh_json *member = gh_json_first(item); member; member = gh_json_next(member)) {
    bool found = false;
    for (size_t i = 0; i < count; i++) found |= !strcmp(gh_json_key(member), known[i]);
    if (found) continue;
    const char *nearest = gh_nearest(gh_json_key(member), known, count);
    return gh_fail(err, GH_ERROR_CONFIG, "unknown key \"%s.%.60s\"%s%s%s", where, gh_json_key(member),
                   nearest ? " (the nearest is \"" : "", nearest ? nearest : "", nearest ? "\")" : "");
  }
  return GH_OK;
}

static gh_status name_scores(gh_error *err, gh_evaluate_plan *p, gh_measure_kind kind, const char *name,
                             const char *where) {
  if (!*name || strlen(name) > MAX_NAME)
    return gh_fail(err, GH_ERROR_CONFIG, "%s.name: 1 to %d characters", where, MAX_NAME);
  for (int i = 0; i < MAX_SCORED && kinds[kind].endings[i]; i++) {
    char *score = p->scores[p->score_count];
    snprintf(score, GH_SCORE_NAME, "%s%s", name, kinds[kind].endings[i]);
    for (int k = 0; k < p->score_count; k++)
      if (!strcmp(p->scores[k], score))
        return gh_fail(err, GH_ERROR_CONFIG, "%s: a score %s already exists; give it another \"name\"", where, score);
    p->score_count++;
  }
  return GH_OK;
}

static gh_status read_measure(gh_error *err, gh_evaluate_plan *p, const gh_json *item) {
  gh_measure_spec *spec = &p->specs[p->count];
  gh_measure_kind kind = GH_MEASURE_MMVP;
  int64_t batch = 32;
  char where[32];
  snprintf(where, sizeof where, "evaluate[%d]", p->count);
  if (gh_json_type_of(item) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", where, gh_json_type_name(item));
  gh_status status = read_kind(err, item, where, &kind);
  if (!status) status = check_keys(err, item, where, kind);
  if (status) return status;
  const char *name = gh_measure_name(kind);
  *spec = (gh_measure_spec){.kind = kind};
  status = gh_json_get_string(err, item, "data", &spec->data);
  if (!status) status = gh_json_opt_string(err, item, "name", &name);
  if (!status) status = gh_json_opt_string(err, item, "labels", &spec->labels);
  if (!status) status = gh_json_opt_string(err, item, "classes", &spec->classes);
  if (!status) status = gh_json_opt_string(err, item, "templates", &spec->templates);
  if (!status) status = gh_json_opt_string(err, item, "captions", &spec->captions);
  if (!status) status = gh_json_opt_string(err, item, "split", &spec->split);
  if (!status) status = gh_json_opt_int(err, item, "batch", &batch);
  if (!status && (batch < 1 || batch > 65536))
    status = gh_fail(err, GH_ERROR_CONFIG, "batch: from 1 to 65536, not %lld", (long long)batch);
  if (status) {
    as_config(err, status);
    return gh_fail_in(err, "%s", where);
  }
  p->batch = GH_MAX(p->batch, batch);
  p->count++;
  return name_scores(err, p, kind, name, where);
}

/* The score of that name. Without a name, the first score of that kind, else the first of all where `any` is set. */
static gh_status choose_score(gh_error *err, const gh_evaluate_plan *p, const char *key, const char *given,
                              gh_measure_kind kind, bool any, int *out) {
  int place = 0;
  if (given) {
    const char *names[GH_MAX_SCORES];
    for (int i = 0; i < p->score_count; i++) {
      names[i] = p->scores[i];
      *out = i;
      if (!strcmp(given, p->scores[i])) return GH_OK;
    }
    const char *nearest = gh_nearest(given, names, (size_t)p->score_count);
    return gh_fail(err, GH_ERROR_CONFIG, "stage2.guard.%s: \"evaluate\" gives no score %.60s%s%s%s", key, given,
                   nearest ? " (the nearest is " : "", nearest ? nearest : "", nearest ? ")" : "");
  }
  for (int i = 0; i < p->count; i++) {
    *out = place;
    if (p->specs[i].kind == kind) return GH_OK;
    for (int k = 0; k < MAX_SCORED; k++) place += kinds[p->specs[i].kind].endings[k] != NULL;
  }
  *out = 0;
  return any ? GH_OK
             : gh_fail(err, GH_ERROR_CONFIG, "stage2.guard: \"evaluate\" has no zero-shot classification to watch");
}

static gh_status read_guard(gh_error *err, gh_evaluate_plan *p, const gh_json *guard) {
  static const char *const keys[] = {"watch", "points", "action", "best"};
  const char *watch = NULL, *best = NULL, *action = "mark";
  for (const gh_json *member = gh_json_first(guard); member; member = gh_json_next(member)) {
    bool found = false;
    for (size_t i = 0; i < GH_COUNT(keys); i++) found |= !strcmp(gh_json_key(member), keys[i]);
    if (!found)
      return gh_fail(err, GH_ERROR_CONFIG,
                     "unknown key \"stage2.guard.%.60s\"; valid keys: watch, points, action, best",
                     gh_json_key(member));
  }
  p->guarded = guard != NULL;
  p->points = DEFAULT_GUARD_POINTS;
  gh_status status = gh_json_opt_string(err, guard, "watch", &watch);
  if (!status) status = gh_json_opt_double(err, guard, "points", &p->points);
  if (!status) status = gh_json_opt_string(err, guard, "action", &action);
  if (!status) status = gh_json_opt_string(err, guard, "best", &best);
  if (status) {
    as_config(err, status);
    return gh_fail_in(err, "stage2.guard");
  }
  if (p->points < 0 || p->points > 100)
    return gh_fail(err, GH_ERROR_CONFIG, "stage2.guard.points: from 0 to 100, not %g", p->points);
  p->stops = !strcmp(action, "stop");
  if (!p->stops && strcmp(action, "mark"))
    return gh_fail(err, GH_ERROR_CONFIG, "stage2.guard.action: \"%.40s\"; it can be mark or stop", action);
  status = choose_score(err, p, "watch", watch, GH_MEASURE_ZEROSHOT, !p->guarded, &p->watch);
  return status ? status : choose_score(err, p, "best", best, GH_MEASURE_MMVP, true, &p->best);
}

gh_status gh_evaluate_plan_read(gh_error *err, gh_evaluate_plan *p, const gh_config *config) {
  gh_status status = GH_OK;
  *p = (gh_evaluate_plan){0};
  if (gh_json_count(config->evaluate) > GH_MAX_MEASURES)
    return gh_fail(err, GH_ERROR_CONFIG, "evaluate: at most %d entries", GH_MAX_MEASURES);
  for (const gh_json *item = gh_json_first(config->evaluate); item && !status; item = gh_json_next(item))
    status = read_measure(err, p, item);
  if (!status && config->guard && !p->count)
    status = gh_fail(err, GH_ERROR_CONFIG, "stage2.guard: \"evaluate\" is empty: there is nothing to watch");
  return status ? status : read_guard(err, p, config->guard);
}
