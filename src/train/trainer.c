#include "train/trainer.h"
#include "backend/chooser/chooser.h"
#include "backend/registry.h"
#include "base/build.h"
#include "base/log.h"
#include "base/retry.h"
#include "method/setup.h"
#include "train/budget.h"
#include "train/dry_run.h"
#include "train/inputs.h"
#include "train/loop.h"
#include "train/made_by.h"
#include "train/ranks_shard.h"
#include "train/ranks_start.h"
#include "train/ranks_wire.h"
#include "train/shard.h"
#include "train/snapshot.h"
#include "train/snapshot_events.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const labels[2] = {"stage 1", "stage 2"};

/* One stage while it runs. */
typedef struct gh_stage {
  const gh_config *config;
  const gh_train_options *options;
  bool draft; /* sizes without files */
  gh_models models;
  gh_lora lora;
  gh_budget budget;
  bool recompute;
  gh_loop loop;
  gh_evaluator *evaluator; /* of stage 2, where "evaluate" is not empty */
  int rank, count;         /* of how many; or, in a dry run, of how many that are planned for */
  gh_shard shard;          /* what of the optimiser this rank keeps; empty: all */
  gh_ranks ranks;          /* the loop's, where there are several */
  bool *began;             /* whether the run's folder has been written to */
  bool stop;               /* the caller's `progress` requested a stop */
} gh_stage;

static gh_status write_snapshot(gh_error *err, gh_loop *loop) {
  const gh_stage *s = loop->user;
  const gh_lora *lora = loop->number == 2 && s->config->lora.enabled ? &s->lora : NULL;
  gh_status status =
      gh_snapshot_write(err, loop->run, loop->device, &loop->update, s->config, lora, loop->number, loop->done);
  return status || !lora ? status : gh_adapter_event(err, loop->run, loop->number, loop->done);
}

static gh_status evaluate_snapshot(gh_error *err, gh_loop *loop) {
  const gh_stage *s = loop->user;
  if (!s->evaluator) return GH_OK;
  gh_status status = gh_evaluator_run(err, s->evaluator, loop->done, &loop->halt);
  loop->load_failed = gh_status_is_fault(status);
  return status;
}

/* ---- building a stage ---- */

static gh_step_spec spec_of(gh_stage *s, gh_store *store, gh_tensor *block) {
  gh_loop *l = &s->loop;
  bool lora = l->number == 2 && s->config->lora.enabled;
  gh_setup_lora(&s->lora, s->config, &s->models, block);
  gh_step_spec spec = gh_setup_step(s->config, &s->models, l->number, l->micro_batch, lora ? &s->lora : NULL);
  spec.device = l->device;
  spec.store = store;
  spec.recompute = s->recompute;
  spec.shard = s->shard.owners ? &s->shard : NULL;
  spec.outer = s->config->sync_every > 1;
  return spec;
}

/* Rank 0 writes the run's folder. */
static bool writes(const gh_stage *s) { return gh_comm_rank(s->options->comm) == 0; }

/* Several ranks do this one after the other: the others use what rank 0 has chosen. */
static gh_status lead(gh_error *err, gh_stage *s, gh_status (*work)(gh_error *err, gh_stage *s)) {
  gh_comm *comm = s->options->comm;
  gh_status status = writes(s) ? work(err, s) : GH_OK;
  if (!status) status = gh_ranks_share_choices(err, comm, s->loop.device, s->loop.micro_batch);
  return status || writes(s) ? status : work(err, s);
}

/* Divides the optimiser among the ranks, if that is wanted. */
static gh_status divide(gh_error *err, gh_stage *s) {
  if (s->count == 1 || s->config->shard == GH_SHARD_NONE) return GH_OK;
  gh_step_spec spec = spec_of(s, NULL, NULL);
  const gh_shard how = {.rank = s->rank,
                        .ranks = s->count,
                        .gradients = s->config->shard == GH_SHARD_GRADIENTS,
                        .window = (int64_t)(s->config->bucket * 1048576)};
  spec.batch = 1;
  return gh_shard_find(err, &s->shard, &spec, &how);
}

static gh_status fit(gh_error *err, gh_stage *s) {
  gh_loop *l = &s->loop;
  gh_stage_config share = *l->stage; /* the largest rank's */
  share.batch = GH_CEIL_DIV(share.batch, s->count);
  gh_status status = divide(err, s);
  gh_step_spec spec = spec_of(s, NULL, NULL);
  if (!status && l->number == 2) status = gh_evaluate_measure(err, s->config, l->device, spec.lora, &s->budget);
  if (!status) status = gh_budget_fit(err, &spec, &share, s->config->recompute, &l->device, 1, &s->budget);
  l->micro_batch = spec.batch;
  s->recompute = spec.recompute;
  return status == GH_ERROR_MEMORY ? gh_fail_in(err, "%s", l->label) : status;
}

static gh_status build(gh_error *err, gh_stage *s) {
  gh_loop *l = &s->loop;
  gh_tensor *block = NULL;
  gh_status status = gh_store_create(err, l->device, &l->store);
  if (!status) status = gh_step_block(err, l->store, "step", &block);
  if (status) return status;
  gh_step_spec spec = spec_of(s, l->store, block);
  status = gh_step_record(err, &spec, &l->step);
  return status ? status : gh_loop_plan(err, l);
}

static gh_status note_maker(gh_error *err, const gh_loop *l) {
  gh_json *made = gh_json_object(err), *copy = NULL;
  gh_status status = made ? gh_made_by_put(err, made, &l->device->info, l->config_json, false) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_copy(err, &copy, gh_json_member(made, GH_MADE_BY));
  gh_json_free(made);
  return status ? status : gh_run_note(err, l->run, GH_MADE_BY, copy);
}

/* Writes info.json, for readers of the run: the device and the stage's plan. */
static gh_status note(gh_error *err, const gh_stage *s) {
  const gh_loop *l = &s->loop;
  const gh_device_info *info = &l->device->info;
  gh_json *device = gh_json_object(err);
  gh_status status = device ? GH_OK : GH_ERROR_MEMORY;
  if (!status &&
      (gh_json_put_string(err, device, "id", info->id) || gh_json_put_string(err, device, "name", info->name) ||
       gh_json_put_string(err, device, "platform", info->platform) ||
       gh_json_put_string(err, device, "driver", info->driver))) {
    gh_json_free(device);
    status = err->status;
  }
  if (!status) status = gh_run_note(err, l->run, "device", device);
  if (!status) status = note_maker(err, l);
  if (!status)
    status = gh_run_note(err, l->run, l->number == 1 ? "stage1" : "stage2",
                         gh_budget_json(err, &s->budget, l->micro_batch, s->recompute));
  return status;
}

static gh_status begin(gh_error *err, gh_stage *s, const gh_state_info *from) {
  if (*s->began || !writes(s)) return GH_OK;
  *s->began = true;
  return gh_loop_begin_run(err, &s->loop, from);
}

/* The micro-batch to begin with: a state's, of this rank if the ranks differ in that; 0: to be chosen. */
static gh_status given_micro_batch(gh_error *err, const gh_stage *s, const gh_state_info *from, int64_t *out) {
  *out = from ? from->micro_batch : s->loop.stage->micro_batch;
  const gh_json *own = from ? gh_ranks_plan(s->options->comm, from->plan) : NULL;
  return own && own != from->plan ? gh_json_opt_int(err, own, "micro_batch", out) : GH_OK;
}

typedef struct gh_loading {
  const char *folder;
  const gh_update *update;
} gh_loading;

static gh_status load_state(gh_error *err, void *loading) {
  const gh_loading *from = loading;
  return gh_state_load(err, from->folder, from->update);
}

/* What is left when the step is planned: rank 0's weights or state on every rank, and everyone's plan. */
static gh_status load_weights(gh_error *err, gh_stage *s, const gh_state_info *from, const char *folder) {
  gh_loop *l = &s->loop;
  gh_comm *comm = s->options->comm;
  gh_loading loading = {folder, &l->update};
  gh_status status = gh_loop_describe_plan(err, l);
  if (!status) status = gh_ranks_gather_plans(err, comm, l->plan_json);
  if (from) l->done = from->update;
  if (!comm) return status || !from ? status : load_state(err, &loading);
  if (!status) status = gh_ranks_begin(err, &s->ranks, l->device, &l->step, &l->update);
  if (status) return status;
  status = gh_ranks_describe_sums(err, &s->ranks, l->plan_json);
  if (from) status = gh_ranks_serve(err, &s->ranks, status, 0, load_state, &loading);
  status = gh_ranks_start(err, &s->ranks, status, from != NULL);
  if (!status && s->config->split == GH_SPLIT_MEASURED)
    status = gh_ranks_split(err, &s->ranks, l->step.graph, l->stage->batch, l->micro_batch,
                            from && !s->options->resplit ? from->plan : NULL, l->plan_json);
  return status;
}

/* `from`: the state to resume from, in `folder`; NULL: a fresh start from `denoiser` (NULL: as configured). */
static gh_status prepare(gh_error *err, gh_stage *s, const gh_state_info *from, const char *folder,
                         const char *denoiser) {
  gh_loop *l = &s->loop;
  const gh_train_options *o = s->options;
  gh_status status = given_micro_batch(err, s, from, &l->micro_batch);
  if (!status) status = gh_models_open(err, &s->models, s->config, denoiser, NULL);
  if (!status) status = gh_ranks_same_models(err, o->comm, &s->models);
  l->models_hash = gh_models_hash(&s->models);
  l->objective = s->models.objective;
  if (!status) status = gh_mapping_check_all(err); /* the hash read the models' files */
  if (!status && from && from->models_hash != l->models_hash)
    status = gh_fail(err, GH_ERROR_CONFIG, "the model files differ from those that the interrupted run started from");
  if (!status) status = gh_models_settings(err, &s->models, &l->encoder_json);
  if (!status && from) status = gh_loop_check_encoder(err, l, from->encoder);
  if (!status) status = fit(err, s);
  if (!status) gh_budget_print(l->device, l->label, &s->budget, l->micro_batch, s->recompute);
  if (!status && s->config->offload == GH_OFFLOAD_OPTIMIZER && l->device->info.shares_host)
    gh_warn("memory.offload saves nothing on %s: its memory is the host's", l->device->info.id);
  if (!status && s->config->data.latent_cache) status = gh_loop_open_cache(err, l, &s->models);
  if (!status && l->number == 2 && gh_json_count(s->config->evaluate)) {
    status = begin(err, s, from); /* the scores before training are the first thing that the run writes */
    if (!status) status = gh_evaluator_open(err, &s->evaluator, s->config, l->device, o->comm, o->quiet);
  }
  if (!status) status = lead(err, s, build);
  if (!status) gh_evaluator_share(s->evaluator, l->store, s->config->lora.enabled ? &s->lora : NULL);
  if (!status) status = load_weights(err, s, from, folder);
  if (!status) status = gh_loop_load_images(err, l, &s->config->data, (uint64_t)s->config->seed);
  if (!status && from && !o->allow_data_change) status = gh_loop_check_data(err, l, from->data_hash);
  if (status || !writes(s)) return status;
  status = begin(err, s, from);
  if (!status) status = gh_choices_write(err, l->run, l->plan_json);
  return status ? status : note(err, s);
}

/* In rank 0's log: who keeps the others waiting is the rank that waits least; and the device's memory beside the
 * plan. */
static gh_status report_ranks(gh_error *err, const gh_stage *s, double waited, double seconds) {
  char text[160];
  gh_comm *comm = s->options->comm;
  const gh_device *device = s->loop.device;
  const gh_budget *plan = &s->budget;
  const int64_t wire = s->ranks.wire ? gh_device_sum_bytes(s->ranks.wire) : 0; /* known since the ranks began */
  snprintf(text, sizeof text,
           "%s, %.0f %% of %s spent waiting for others; device memory at the peak %.1f MiB, planned %.1f",
           device->info.id, 100 * (gh_comm_waited(comm) - waited) / seconds, s->loop.label,
           (double)device->counters.peak_bytes / 1048576,
           (double)(plan->lasting_bytes + plan->step_bytes + plan->evaluation_bytes + wire) / 1048576);
  return gh_ranks_report(err, comm, text);
}

static gh_status train_stage(gh_error *err, gh_stage *s, const gh_state_info *from, const char *folder,
                             const char *denoiser, gh_stage_report *out) {
  double began = gh_now();
  gh_status status = gh_config_to_json(err, &s->loop.config_json, s->config);
  if (!status) status = prepare(err, s, from, folder, denoiser);
  if (!status) {
    const double waited = gh_comm_waited(s->options->comm), started = gh_now();
    gh_counters *counters = &s->loop.device->counters;
    counters->peak_bytes = counters->held_bytes; /* what choosing kernels took is over */
    status = gh_loop_run(err, &s->loop);
    gh_error ignored;
    gh_status reported = writes(s) ? gh_loop_report(status ? &ignored : err, &s->loop, gh_now() - began, out) : GH_OK;
    if (!status) status = reported;
    if (!status) status = report_ranks(err, s, waited, gh_now() - started);
    out->evaluated = s->evaluator != NULL;
    if (s->evaluator) gh_evaluator_best(s->evaluator, &out->best);
  }
  s->stop = s->loop.stop;
  gh_evaluator_free(s->evaluator);
  gh_ranks_end(&s->ranks);
  gh_loop_free(&s->loop);
  gh_models_close(&s->models);
  gh_shard_free(&s->shard);
  return status;
}

/* ---- the whole run ---- */

/* What the stages of a run share. */
typedef struct gh_training {
  const gh_config *config;
  gh_config turned; /* config, for a run whose pictures go on being turned */
  const gh_train_options *options;
  gh_device *device;
  gh_image_set *images;
  char *folder; /* of the state to resume from; NULL: a fresh start */
  gh_state_info from;
  bool began;
} gh_training;

/* Preparing stage 2 may take minutes: whether the run ends before it. */
static gh_status check_stop(gh_error *err, const gh_training *t, bool stop) {
  unsigned flags = stop || gh_stop_requested();
  gh_comm_patience(t->options->comm, 0);
  gh_status status = gh_comm_agree(err, t->options->comm, GH_OK, "between the stages", &flags);
  if (status || !flags) return status;
  return gh_fail(err, GH_ERROR_STOPPED, "stopped between the stages; --resume continues from there");
}

static gh_status run_stages(gh_error *err, gh_training *t, gh_stage_report reports[2]) {
  const gh_config *config = t->config;
  gh_status status = GH_OK;
  bool stop = false, ran = false;
  for (int number = t->folder ? t->from.stage : 1; number <= 2 && !status; number++) {
    if (!config->stages[number - 1].steps) continue;
    if (ran && (status = check_stop(err, t, stop))) return status;
    gh_stage s = {.config = config, .options = t->options, .began = &t->began};
    s.rank = gh_comm_rank(t->options->comm);
    s.count = gh_comm_ranks(t->options->comm);
    s.ranks = (gh_ranks){.comm = t->options->comm, .config = config, .patience = t->options->rank_timeout};
    s.loop = (gh_loop){.label = labels[number - 1],
                       .number = number,
                       .run = config->output,
                       .stage = &config->stages[number - 1],
                       .state_keep = config->state_keep,
                       .state_minutes = config->state_minutes,
                       .quiet = t->options->quiet,
                       .progress = t->options->progress,
                       .progress_user = t->options->progress_user,
                       .snapshot = write_snapshot,
                       .evaluate = evaluate_snapshot,
                       .user = &s,
                       .ranks = t->options->comm ? &s.ranks : NULL,
                       .device = t->device,
                       .set = t->images};
    char *denoiser = NULL; /* the result of stage 1, if this run has one */
    if (number == 2 && config->stages[0].steps)
      status = gh_run_stage1_denoiser(err, config->output, config->stages[0].steps, &denoiser);
    bool resumed = t->folder && t->from.stage == number;
    if (!status) status = train_stage(err, &s, resumed ? &t->from : NULL, t->folder, denoiser, &reports[number - 1]);
    stop = s.stop;
    ran = true;
    free(denoiser);
  }
  return status;
}

/* Of a stage that may be a draft without files. */
static gh_status choose_kernels(gh_error *err, gh_stage *s) {
  gh_step_spec spec = spec_of(s, NULL, NULL);
  spec.draft = s->draft;
  return gh_budget_choose(err, &spec, &s->loop.stage->optimizer);
}

/* Fits a stage's step and chooses its kernels. `encoder` as for gh_train_choose. */
static gh_status choose_stage(gh_error *err, const gh_config *config, int number, gh_device *device,
                              const gh_train_options *options, const gh_vision_config *encoder, bool tiny) {
  gh_stage s = {.config = config, .options = options, .draft = encoder != NULL};
  s.rank = gh_comm_rank(options->comm);
  s.count = gh_comm_ranks(options->comm);
  s.loop =
      (gh_loop){.label = labels[number - 1], .number = number, .stage = &config->stages[number - 1], .device = device};
  s.loop.micro_batch = s.loop.stage->micro_batch;
  gh_status status = encoder ? gh_models_draft(err, &s.models, config, encoder, tiny)
                             : gh_models_open(err, &s.models, config, NULL, NULL);
  if (!status) status = fit(err, &s);
  if (!status) status = lead(err, &s, choose_kernels);
  if (!status && config->data.latent_cache && gh_choices_are_watched(device))
    status = gh_loop_choose_cache(err, device, &s.models, s.loop.micro_batch);
  gh_shard_free(&s.shard);
  gh_models_close(&s.models);
  return status;
}

/* Checks stage 2 before days are spent on stage 1. Kernels for its matrix products are chosen now, so that the plan in
 * a state of stage 1 already contains them. */
static gh_status preflight_stage2(gh_error *err, const gh_training *t) {
  const bool writer = gh_comm_rank(t->options->comm) == 0;
  gh_status status = writer ? gh_evaluate_check(err, t->config, true) : GH_OK;
  return status ? status : choose_stage(err, t->config, 2, t->device, t->options, NULL, false);
}

gh_status gh_train_choose(gh_error *err, const gh_config *config, gh_device *device, const gh_vision_config *encoder,
                          bool tiny) {
  const gh_train_options alone = {0};
  gh_status status = GH_OK;
  for (int number = 1; number <= 2 && !status; number++)
    if (config->stages[number - 1].steps) status = choose_stage(err, config, number, device, &alone, encoder, tiny);
  return status;
}

/* ---- dry run ---- */

/* A stage as one of the planned ranks would have it. */
static gh_status dry_stage(gh_error *err, const gh_training *t, int number, int rank, gh_stage *s) {
  *s = (gh_stage){.config = t->config, .options = t->options, .rank = rank, .count = GH_MAX(t->options->ranks, 1)};
  s->loop = (gh_loop){
      .label = labels[number - 1], .number = number, .stage = &t->config->stages[number - 1], .device = t->device};
  s->loop.micro_batch = s->loop.stage->micro_batch;
  return gh_models_open(err, &s->models, t->config, NULL, NULL);
}

static void end_dry_stage(gh_stage *s) {
  gh_loop_free(&s->loop);
  gh_models_close(&s->models);
  gh_shard_free(&s->shard);
}

static void fill_dry_rank(const gh_stage *s, gh_dry_rank *out) {
  const int64_t batch = s->loop.stage->batch;
  *out = (gh_dry_rank){.samples = batch * (s->rank + 1) / s->count - batch * s->rank / s->count,
                       .micro_batch = s->loop.micro_batch,
                       .recompute = s->recompute,
                       .kept = s->shard.owners ? s->shard.kept : s->budget.parameters_trained,
                       .budget = s->budget};
}

/* The plans of the ranks after the first, on devices like this one. Without a division of the optimiser, all are like
 * the first. */
static gh_status dry_run_ranks(gh_error *err, const gh_training *t, int number, const gh_stage *first,
                               gh_dry_stage *out) {
  out->ranks = gh_alloc(err, (size_t)first->count, sizeof *out->ranks);
  if (!out->ranks) return GH_ERROR_MEMORY;
  gh_status status = GH_OK;
  for (int i = 0; i < first->count && !status; i++) {
    gh_stage other, *s = i && first->shard.owners ? &other : NULL;
    if (s) status = dry_stage(err, t, number, i, s);
    if (s && !status) status = fit(err, s);
    gh_stage like = *first;
    like.rank = i;
    if (!status) fill_dry_rank(s ? s : &like, &out->ranks[out->rank_count++]);
    if (s) end_dry_stage(s);
    if (status == GH_ERROR_MEMORY) gh_fail_in(err, "rank %d", i);
  }
  return status;
}

/* Plans and times a stage. That it does not fit is a result here, no failure. */
static gh_status dry_run_stage(gh_error *err, const gh_training *t, int number, gh_dry_stage *out) {
  gh_stage s;
  gh_status status = dry_stage(err, t, number, 0, &s);
  out->planned = !status;
  if (!status) status = fit(err, &s);
  out->budget = s.budget;
  out->micro_batch = s.loop.micro_batch;
  out->recompute = s.recompute;
  if (!status && s.count > 1) status = dry_run_ranks(err, t, number, &s, out);
  out->fits = !status;
  if (status == GH_ERROR_MEMORY) {
    const double arithmetic = s.budget.flops / (double)GH_MAX(s.loop.micro_batch, 1);
    snprintf(out->refusal, sizeof out->refusal, "%s", err->text);
    status = gh_helps_find(err, t->config, number, t->device, arithmetic, out->helps, &out->help_count);
  }
  if (!status && out->fits) status = build(err, &s);
  if (!status && out->fits) status = gh_dry_run_measure(err, &s.loop, out);
  end_dry_stage(&s);
  return status;
}

/* Both stages and all inputs are judged before anything is printed, and before anything fails. */
static gh_status dry_run(gh_error *err, const gh_training *t, gh_stage_report reports[2]) {
  gh_dry_stage stages[2] = {0};
  gh_inputs inputs;
  gh_status status = gh_inputs_check(err, &inputs, t->config);
  if (status) return status;
  for (int i = 0; i < 2 && !status; i++) {
    const gh_stage_config *stage = &t->config->stages[i];
    stages[i].batch = stage->batch;
    stages[i].steps = stage->steps;
    stages[i].skipped = !stage->steps;
    if (stage->steps && inputs.models) status = dry_run_stage(err, t, i + 1, &stages[i]);
    if (!status && stages[i].planned && !(reports[i].plan = gh_dry_run_json(err, &stages[i]))) status = err->status;
  }
  if (!status && !t->options->quiet) gh_dry_run_print(t->device, stages, &inputs.problems, t->options->verbose);
  if (!status) status = gh_inputs_fail(err, &inputs);
  for (int i = 0; i < 2; i++) {
    if (!status && stages[i].planned && !stages[i].fits)
      status = gh_fail(err, GH_ERROR_MEMORY, "%s", stages[i].refusal);
    gh_dry_run_free(&stages[i]);
  }
  gh_inputs_free(&inputs);
  return status;
}

static gh_status find_run(gh_error *err, gh_training *t) {
  gh_json *json = NULL;
  gh_status status = gh_config_to_json(err, &json, t->config);
  if (!status) status = gh_loop_find_run(err, t->config->output, json, t->options->resume, &t->folder, &t->from);
  gh_json_free(json);
  return status;
}

/* Checks every path of the configuration before anything takes long; the images, which may be many, come last. */
static gh_status check_files(gh_error *err, gh_training *t) {
  gh_models models = {0};
  bool denoiser_is_stage1s = t->folder && t->from.stage == 2 && t->config->stages[0].steps;
  gh_status status = denoiser_is_stage1s ? GH_OK : gh_models_open(err, &models, t->config, NULL, NULL);
  gh_models_close(&models);
  const gh_data_config *data = &t->config->data;
  if (!status && data->latent_cache_path && (status = gh_folder_check(err, data->latent_cache_path)))
    gh_fail_in(err, "data.latent_cache.path");
  const gh_strings *images = &data->images;
  if (!status)
    status = gh_image_set_open_keys(err, &t->images, "data.images", (const char *const *)images->items, images->count,
                                    &data->keys);
  if (!status) gh_image_set_exif(t->images, data->exif);
  if (!status) status = gh_image_set_check(err, t->images);
  return status ? status : gh_ranks_same_images(err, t->options->comm, t->images);
}

/* What the ranks of a job need besides what one process needs. */
static gh_status check_ranks(gh_error *err, const gh_config *config, const gh_train_options *options) {
  const int ranks = gh_comm_ranks(options->comm);
  if (ranks > 1 && options->dry_run)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "--dry-run is for one process: start it without mpirun; --ranks N plans for N processes");
  if (options->ranks && !options->dry_run)
    return gh_fail(err, GH_ERROR_ARGUMENT, "--ranks is for --dry-run; mpirun -n N starts N processes");
  for (int i = 0; i < 2; i++)
    if (config->stages[i].steps && config->stages[i].batch < GH_MAX(ranks, options->ranks))
      return gh_fail(err, GH_ERROR_CONFIG, "stage%d.batch is %lld, but there are %d ranks: each needs a sample", i + 1,
                     (long long)config->stages[i].batch, GH_MAX(ranks, options->ranks));
  if (config->sync_every > 1 && !options->dry_run && ranks == 1)
    return gh_fail(err, GH_ERROR_CONFIG, "distributed.sync_every: local updates need several ranks (mpirun)");
  return gh_ranks_same_config(err, options->comm, config);
}

/* Each rank's device, in rank 0's log. */
static gh_status report_devices(gh_error *err, const gh_training *t) {
  char text[256];
  snprintf(text, sizeof text, "%s (%s)", t->device->info.id, t->device->info.name);
  return gh_ranks_report(err, t->options->comm, text);
}

gh_status gh_train(gh_error *err, const gh_config *config, const gh_train_options *options,
                   gh_stage_report reports[2]) {
  gh_training t = {.config = config, .options = options};
  gh_run_hold hold = {0};
  reports[0] = reports[1] = (gh_stage_report){0};
  gh_status status = GH_OK;
  if (!config->stages[0].steps && !config->stages[1].steps)
    status = gh_fail(err, GH_ERROR_CONFIG, "stage1.steps and stage2.steps are 0: there is nothing to train");
  if (!status) status = check_ranks(err, config, options);
  const bool writer = gh_comm_rank(options->comm) == 0;
  if (!status && !options->dry_run) status = gh_evaluate_check(err, config, false);
  if (!status) status = gh_setup_device(err, config->device, !options->dry_run, &t.device);
  if (!status && options->dry_run) {
    status = dry_run(err, &t, reports);
    gh_device_close(t.device);
    return status;
  }
  if (!status) status = report_devices(err, &t);
  if (!status && writer) status = gh_run_lock(err, config->output, &hold);
  if (!status && writer) status = find_run(err, &t);
  if (!status) status = gh_ranks_share_state(err, options->comm, &t.folder, &t.from);
  if (!status && t.folder && gh_loop_keeps_turning(&t.from, "data.exif", config->data.exif)) {
    t.turned = *config;
    t.turned.data.exif = true;
    t.config = &t.turned;
  }
  if (!status) status = check_files(err, &t);
  if (!status && t.folder && !options->replan)
    status = gh_choices_freeze(err, t.device, gh_ranks_plan(options->comm, t.from.plan));
  const bool stateless = !t.folder && !options->replan;
  if (!status && stateless && config->data.latent_cache &&
      writer) /* part of it may have been computed with that plan */
    status = gh_choices_restore(err, t.device, config->output);
  bool both = config->stages[0].steps && config->stages[1].steps && !(t.folder && t.from.stage == 2);
  if (!status && both) status = preflight_stage2(err, &t);
  if (!status) status = run_stages(err, &t, reports);
  gh_run_unlock(&hold, t.began);
  gh_state_info_free(&t.from);
  gh_image_set_free(t.images);
  gh_device_close(t.device);
  free(t.folder);
  return status;
}
