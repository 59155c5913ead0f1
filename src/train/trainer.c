#include "train/trainer.h"
#include "backend/gemm.h"
#include "base/file.h"
#include "base/log.h"
#include "train/loader.h"
#include "train/metrics.h"
#include "train/plan.h"
#include "train/setup.h"
#include "train/snapshot.h"
#include "train/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUTO_MICRO_BATCH 16 /* tried first; halved until the plan fits */

/* One stage while it runs. */
typedef struct gh_stage {
  const gh_config *config;
  const gh_stage_config *stage;
  const gh_train_options *options;
  gh_device *device;
  int number; /* 1 or 2 */
  gh_models models;
  gh_lora lora;
  gh_store *store;
  gh_step step;
  gh_update update;
  gh_loader *loader;
  float *images; /* (micro_batch, 3, S, S) */
  int64_t micro_batch;
  int64_t done;         /* updates */
  double state_written; /* when, by gh_now */
  gh_json *config_json, *plan_json;
} gh_stage;

static void stage_free(gh_stage *s) {
  gh_loader_free(s->loader);
  gh_update_free(&s->update);
  gh_graph_free(s->step.graph);
  gh_store_free(s->store);
  gh_models_close(&s->models);
  gh_json_free(s->config_json);
  gh_json_free(s->plan_json);
  free(s->images);
}

/* ---- building a stage ---- */

static void drop_step(gh_stage *s) {
  gh_update_free(&s->update);
  gh_graph_free(s->step.graph);
  gh_store_free(s->store);
  s->step = (gh_step){0};
  s->store = NULL;
}

static gh_status build_step(gh_error *err, gh_stage *s) {
  gh_tensor *block = NULL;
  gh_status status = gh_store_create(err, s->device, &s->store);
  if (!status) status = gh_step_block(err, s->store, &block);
  if (status) return status;
  bool lora = s->number == 2 && s->config->lora.enabled;
  gh_setup_lora(&s->lora, s->config, &s->models, block);
  gh_step_spec spec = gh_setup_step(s->config, &s->models, s->number, s->micro_batch, lora ? &s->lora : NULL);
  spec.device = s->device;
  spec.store = s->store;
  status = gh_step_record(err, &spec, &s->step);
  if (!status && lora) status = gh_setup_check_targets(err, s->config, s->store);
  if (!status) status = gh_update_record(err, s->device, s->store, &s->stage->optimizer, &s->step, &s->update);
  if (!status) status = gh_graph_plan(err, s->step.graph);
  if (!status) status = gh_graph_plan(err, s->update.graph);
  return status;
}

/* A micro-batch that was asked for is taken as it is; "auto" halves until the plan fits. */
static gh_status build(gh_error *err, gh_stage *s) {
  bool automatic = !s->micro_batch;
  if (automatic) s->micro_batch = GH_MIN(s->stage->batch, AUTO_MICRO_BATCH);
  s->micro_batch = GH_MIN(s->micro_batch, s->stage->batch);
  for (;;) {
    gh_status status = build_step(err, s);
    if (status != GH_ERROR_MEMORY || !automatic || s->micro_batch == 1) return status;
    drop_step(s);
    s->micro_batch /= 2;
  }
}

static gh_status start_loader(gh_error *err, gh_stage *s) {
  const gh_data_config *d = &s->config->data;
  int64_t side = s->models.clip.image;
  const gh_loader_options options = {
      .sources = (const char *const *)d->images.items,
      .source_count = d->images.count,
      .image_size = (int)side,
      .crop = {.scale = {d->crop_scale[0], d->crop_scale[1]}, .ratio = {d->crop_ratio[0], d->crop_ratio[1]}},
      .seed = (uint64_t)s->config->seed,
      .stage = s->number,
      .first_ordinal = (uint64_t)(s->done * s->stage->batch),
      .workers = (int)d->workers,
      .ahead = 2 * (size_t)s->micro_batch};
  s->images = gh_alloc(err, (size_t)(s->micro_batch * 3 * side * side), sizeof *s->images);
  return s->images ? gh_loader_create(err, &s->loader, &options) : GH_ERROR_MEMORY;
}

/* ---- running a stage ---- */

static double learning_rate(const gh_optimizer_config *o, int64_t update) {
  return update < o->warmup ? o->lr * (double)update / (double)o->warmup : o->lr;
}

/* One micro-batch: samples [first, first + micro_batch) of the update, those past its end with weight 0. */
static gh_status accumulate(gh_error *err, gh_stage *s, int64_t first) {
  const gh_stage_config *stage = s->stage;
  int64_t count = GH_MIN(s->micro_batch, stage->batch - first),
          sample = gh_tensor_elements(s->step.images) / s->micro_batch;
  gh_status status = gh_loader_next(err, s->loader, s->images, NULL, (size_t)count);
  if (status) return status;
  memset(s->images + count * sample, 0, (size_t)((s->micro_batch - count) * sample) * sizeof *s->images);
  const gh_step_values values = {.learning_rate = learning_rate(&stage->optimizer, s->done + 1),
                                 .beta1 = stage->optimizer.betas[0],
                                 .beta2 = stage->optimizer.betas[1],
                                 .update = (uint64_t)s->done + 1,
                                 .ordinal = (uint64_t)(s->done * stage->batch + first),
                                 .samples = (uint32_t)count,
                                 .weight = 1 / (double)stage->batch};
  status = gh_tensor_write(err, s->device, s->step.images, s->images);
  if (!status) status = gh_step_write(err, s->device, s->step.block, &values);
  return status ? status : gh_graph_run(err, s->step.graph);
}

static gh_status run_update(gh_error *err, gh_stage *s, gh_update_result *result) {
  for (int64_t first = 0; first < s->stage->batch; first += s->micro_batch) {
    gh_status status = accumulate(err, s, first);
    if (status) return status;
  }
  gh_status status = gh_graph_run(err, s->update.graph);
  return status ? status : gh_update_read(err, s->device, &s->update, result);
}

static gh_status write_state(gh_error *err, gh_stage *s) {
  const gh_state_info info = {.stage = s->number,
                              .update = s->done,
                              .data_hash = gh_loader_index_hash(s->loader),
                              .micro_batch = s->micro_batch,
                              .config = s->config_json,
                              .plan = s->plan_json};
  gh_status status =
      gh_state_write(err, s->config->output, s->device, &s->update, &info, GH_MAX(s->config->state_keep, 1));
  s->state_written = gh_now();
  return status ? gh_fail_in(err, "state after update %lld of stage %d", (long long)s->done, s->number) : GH_OK;
}

static gh_status stop_at_nan(gh_error *err, gh_stage *s, const gh_update_result *result) {
  gh_status status = write_state(err, s);
  if (status) return status;
  return gh_fail(
      err, GH_ERROR_NUMERIC,
      "stage %d update %lld: the loss or the gradient is not finite (loss %g, gradient norm %g); the state from "
      "before it is saved in %s/state",
      s->number, (long long)s->done + 1, result->loss, result->norm, s->config->output);
}

static gh_status after_update(gh_error *err, gh_stage *s, const gh_update_result *result, double seconds) {
  const gh_metrics_row row = {.stage = s->number,
                              .update = s->done,
                              .updates = s->stage->steps,
                              .loss = result->loss,
                              .norm = result->norm,
                              .learning_rate = learning_rate(&s->stage->optimizer, s->done),
                              .seconds = seconds,
                              .samples = s->stage->batch};
  bool last = s->done == s->stage->steps;
  gh_status status = gh_metrics_write(err, s->config->output, &row, !s->options->quiet);
  if (!status && (last || gh_config_checkpoint_due(s->stage, s->done)))
    status = gh_snapshot_write(err, s->config->output, s->device, &s->update, s->config, s->number, s->done);
  bool due = last || gh_stop_requested() || gh_now() - s->state_written >= 60 * s->config->state_minutes;
  if (!status && due) status = write_state(err, s);
  if (!status && gh_stop_requested() && !last)
    status = gh_fail(err, GH_ERROR_STOPPED, "stopped after update %lld of stage %d; --resume goes on from there",
                     (long long)s->done, s->number);
  return status;
}

static gh_status run(gh_error *err, gh_stage *s) {
  gh_status status = GH_OK;
  gh_progress progress;
  gh_progress_start(&progress, s->number == 1 ? "stage 1" : "stage 2", "updates", (uint64_t)s->stage->steps,
                    (uint64_t)s->done);
  s->state_written = gh_now();
  while (!status && s->done < s->stage->steps) {
    double began = gh_now();
    gh_update_result result;
    status = run_update(err, s, &result);
    if (!status && result.bad) status = stop_at_nan(err, s, &result);
    if (status) break;
    s->done++;
    status = after_update(err, s, &result, gh_now() - began);
    char note[48];
    snprintf(note, sizeof note, "loss %.4f", result.loss);
    gh_progress_update(&progress, (uint64_t)s->done, note);
  }
  gh_progress_end(&progress);
  return status;
}

/* ---- a stage from start to end ---- */

static double mean(const double *values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  return count ? sum / (double)count : 0;
}

static gh_status report(gh_error *err, gh_stage *s, double seconds, gh_stage_report *out) {
  double *losses = NULL;
  int64_t count = 0;
  gh_loader_stats stats = {0};
  gh_loader_get_stats(s->loader, &stats);
  gh_status status = gh_metrics_losses(err, s->config->output, s->number, &losses, &count);
  int64_t span = GH_MAX(1, GH_MIN(10, count / 10));
  if (!status && count)
    *out = (gh_stage_report){.updates = count,
                             .first_loss = mean(losses, span),
                             .last_loss = mean(losses + count - span, span),
                             .skipped = stats.skipped,
                             .seconds = seconds};
  free(losses);
  return status;
}

static gh_status check_data(gh_error *err, gh_stage *s, const gh_state_info *from) {
  if (gh_loader_index_hash(s->loader) == from->data_hash || s->options->allow_data_change) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG,
                 "the images are not those of the interrupted run; --allow-data-change goes on all the same");
}

/* `from`: the state to go on from, in `folder`; NULL: a fresh start from `denoiser` (NULL: as the configuration says).
 */
static gh_status prepare(gh_error *err, gh_stage *s, const gh_state_info *from, const char *folder,
                         const char *denoiser) {
  gh_status status = gh_models_open(err, &s->models, s->config, denoiser, NULL);
  s->micro_batch = from ? from->micro_batch : s->stage->micro_batch;
  if (!status && from && !s->options->replan) status = gh_plan_freeze(err, s->device, from->plan);
  if (!status) status = build(err, s);
  if (!status) status = gh_plan_describe(err, s->device, s->micro_batch, &s->plan_json);
  if (!status && from) status = gh_state_load(err, folder, s->device, &s->update);
  if (!status && from) s->done = from->update;
  if (!status) gh_plan_print(s->device, s->number, s->store, s->step.graph, s->micro_batch);
  if (status || s->options->dry_run) return status;
  status = gh_plan_write(err, s->config->output, s->plan_json);
  if (!status) status = start_loader(err, s);
  if (!status && from) status = check_data(err, s, from);
  return status;
}

static gh_status train_stage(gh_error *err, const gh_config *config, const gh_train_options *options, gh_device *device,
                             int number, const gh_state_info *from, const char *folder, const char *denoiser,
                             gh_stage_report *out) {
  gh_stage s = {
      .config = config, .stage = &config->stages[number - 1], .options = options, .device = device, .number = number};
  double began = gh_now();
  gh_status status = gh_config_to_json(err, &s.config_json, config);
  if (!status) status = prepare(err, &s, from, folder, denoiser);
  if (!status && !options->dry_run) {
    status = run(err, &s);
    gh_error kept = *err;
    gh_status reported = report(err, &s, gh_now() - began, out);
    if (status)
      *err = kept;
    else
      status = reported;
  }
  stage_free(&s);
  return status;
}

/* ---- the whole run ---- */

static gh_status start_folder(gh_error *err, const gh_config *config, const gh_train_options *options,
                              char **state_folder, gh_state_info *from) {
  gh_json *json = NULL;
  gh_status status = gh_folder_make(err, config->output);
  char *path = gh_path_join(err, config->output, "config.json");
  if (!status) status = path ? gh_state_find(err, config->output, state_folder, from) : GH_ERROR_MEMORY;
  if (!status && *state_folder && !options->resume)
    status = gh_fail(err, GH_ERROR_CONFIG, "%s holds a run already: --resume goes on with it, or choose another output",
                     config->output);
  if (!status && *state_folder) status = gh_plan_same_run(err, config, from->config);
  if (!status && !*state_folder && options->resume)
    gh_info("no state in %s yet: starting from the beginning", config->output);
  if (!status) status = gh_metrics_rewind(err, config->output, *state_folder ? from->stage : 0, from->update);
  if (!status) status = gh_config_to_json(err, &json, config);
  if (!status) status = gh_json_write_file(err, path, json);
  gh_json_free(json);
  free(path);
  return status;
}

static gh_status run_stages(gh_error *err, const gh_config *config, const gh_train_options *options, gh_device *device,
                            const gh_state_info *from, const char *folder, gh_stage_report reports[2]) {
  gh_status status = GH_OK;
  for (int number = folder ? from->stage : 1; number <= 2 && !status; number++) {
    if (!config->stages[number - 1].steps) continue;
    bool resumed = folder && from->stage == number;
    gh_snapshot before = {0};
    bool fresh = config->stages[0].steps == 0 || options->dry_run;
    if (number == 2 && !fresh) status = gh_run_stage_denoiser(err, config->output, 1, &before.denoiser);
    if (!status)
      status = train_stage(err, config, options, device, number, resumed ? from : NULL, folder, before.denoiser,
                           &reports[number - 1]);
    gh_snapshot_free(&before);
  }
  return status;
}

gh_status gh_train(gh_error *err, const gh_config *config, const gh_train_options *options,
                   gh_stage_report reports[2]) {
  gh_device *device = NULL;
  char *folder = NULL;
  gh_state_info from = {0};
  reports[0] = reports[1] = (gh_stage_report){0};
  gh_file_lock *lock = NULL;
  gh_status status = gh_setup_refuse(err, config);
  if (!status) status = gh_device_open(err, config->device, &device);
  if (!status && !options->dry_run) status = gh_run_lock(err, config->output, &lock);
  if (!status && !options->dry_run) status = start_folder(err, config, options, &folder, &from);
  if (!status) status = run_stages(err, config, options, device, &from, folder, reports);
  gh_file_lock_release(lock);
  gh_state_info_free(&from);
  gh_device_close(device);
  free(folder);
  return status;
}
