/* The public library's training: a configuration, its runs, and what they report. */
#include "api/internal.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

GH_API_NO_PADDING(genhance_progress, images_per_second);
GH_API_NO_PADDING(genhance_train_options, reserved);
GH_API_NO_PADDING(genhance_stage_report, best_snapshot);

struct genhance_training {
  gh_config config;
  char *json; /* the configuration */
  gh_stage_report reports[2];
  char *plans[2]; /* JSON, of a dry run */
};

/* ---- the configuration ---- */

/* `text` NULL: the file at path. */
static genhance_status open_training(genhance_training **out, const char *path, const char *text,
                                     const char *const *overrides, size_t count) {
  gh_error *err = &gh_api_error;
  gh_json *json = NULL;
  for (size_t i = 0; i < count; i++)
    if (!overrides[i]) return gh_api_result(gh_fail(err, GH_ERROR_ARGUMENT, "override %zu is NULL", i));
  genhance_training *t = gh_alloc(err, 1, sizeof *t);
  if (!t) return GENHANCE_ERROR_MEMORY;
  gh_status status = text ? gh_config_parse(err, &t->config, "configuration", text, strlen(text), overrides, count)
                          : gh_config_read(err, &t->config, path, overrides, count);
  if (status) { /* the configuration is empty */
    free(t);
    return gh_api_result(status);
  }
  status = gh_config_to_json(err, &json, &t->config);
  if (!status) status = gh_json_print(err, &t->json, NULL, json, true);
  gh_json_free(json);
  if (status)
    genhance_training_close(t);
  else
    *out = t;
  return gh_api_result(status);
}

genhance_status genhance_training_open(genhance_training **out, const char *config_path, const char *const *overrides,
                                       size_t override_count) {
  if (out) *out = NULL;
  if (!out || !config_path || (override_count && !overrides))
    return gh_api_refuse("genhance_training_open: an argument is NULL");
  gh_api_begin();
  return open_training(out, config_path, NULL, overrides, override_count);
}

genhance_status genhance_training_parse(genhance_training **out, const char *config_text, const char *const *overrides,
                                        size_t override_count) {
  if (out) *out = NULL;
  if (!out || !config_text || (override_count && !overrides))
    return gh_api_refuse("genhance_training_parse: an argument is NULL");
  gh_api_begin();
  return open_training(out, NULL, config_text, overrides, override_count);
}

static void forget_run(genhance_training *t) {
  for (int i = 0; i < 2; i++) {
    free(t->plans[i]);
    t->plans[i] = NULL;
    t->reports[i] = (gh_stage_report){0};
  }
}

void genhance_training_close(genhance_training *t) {
  if (!t) return;
  forget_run(t);
  gh_config_free(&t->config);
  free(t->json);
  free(t);
}

const char *genhance_training_config(const genhance_training *t) { return t ? t->json : NULL; }
const char *genhance_training_output(const genhance_training *t) { return t ? t->config.output : NULL; }

/* ---- a run ---- */

static bool pass_progress(void *user, const gh_metrics_row *row) {
  const genhance_train_options *o = user;
  const genhance_progress progress = {.struct_size = sizeof progress,
                                      .stage = row->stage,
                                      .update = row->update,
                                      .updates = row->updates,
                                      .samples = row->samples,
                                      .loss = row->loss,
                                      .gradient_norm = row->norm,
                                      .learning_rate = row->learning_rate,
                                      .seconds = row->seconds,
                                      .images_per_second = (double)row->samples / row->seconds};
  return o->progress(o->user, &progress) != 0;
}

static gh_status keep_plan(gh_error *err, genhance_training *t, int i) {
  gh_json *plan = t->reports[i].plan;
  t->reports[i].plan = NULL;
  gh_status status = plan ? gh_json_print(err, &t->plans[i], NULL, plan, true) : GH_OK;
  gh_json_free(plan);
  return status;
}

genhance_status genhance_training_run(genhance_training *t, const genhance_train_options *options) {
  if (!t) return gh_api_refuse("genhance_training_run: training is NULL");
  gh_api_begin();
  genhance_train_options o;
  gh_status status = GH_API_READ(&o, options, genhance_train_options);
  if (status) return gh_api_result(status);
  if (o.reserved) return gh_api_refuse("genhance_training_run: reserved is not 0");
  const gh_train_options how = {.resume = o.resume,
                                .replan = o.replan,
                                .dry_run = o.dry_run,
                                .allow_data_change = o.allow_data_change,
                                .quiet = !o.print,
                                .progress = o.progress ? pass_progress : NULL,
                                .progress_user = &o};
  forget_run(t);
  status = gh_train(&gh_api_error, &t->config, &how, t->reports);
  for (int i = 0; i < 2; i++) {
    gh_error second = {0}; /* a failure of the training itself takes precedence */
    if (!keep_plan(&second, t, i) || status) continue;
    gh_api_error = second;
    status = second.status;
  }
  return gh_api_result(status);
}

/* ---- results ---- */

static bool has_stage(int stage) { return stage == 1 || stage == 2; }

genhance_status genhance_training_stage(const genhance_training *t, int stage, genhance_stage_report *out) {
  if (!t || !out) return gh_api_refuse("genhance_training_stage: an argument is NULL");
  if (!has_stage(stage))
    return gh_api_result(gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "there is no stage %d; it can be 1 or 2", stage));
  const gh_stage_report *r = &t->reports[stage - 1];
  genhance_stage_report report = {.updates = r->updates,
                                  .skipped = (int64_t)r->skipped,
                                  .first_loss = r->first_loss,
                                  .last_loss = r->last_loss,
                                  .seconds = r->seconds,
                                  .evaluated = r->evaluated,
                                  .within_guard = r->best.within,
                                  .guard_stop = r->best.stopped ? r->best.stopped_at : 0,
                                  .best = r->best.value,
                                  .start = r->best.start};
  _Static_assert(sizeof report.score == sizeof r->best.score && sizeof report.best_snapshot == sizeof r->best.snapshot,
                 "the texts have the same size");
  memcpy(report.score, r->best.score, sizeof report.score);
  memcpy(report.best_snapshot, r->best.snapshot, sizeof report.best_snapshot);
  return gh_api_result(GH_API_WRITE(out, &report, genhance_stage_report));
}

const char *genhance_training_plan(const genhance_training *t, int stage) {
  return t && has_stage(stage) ? t->plans[stage - 1] : NULL;
}
