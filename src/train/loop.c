#include "train/loop.h"
#include "base/build.h"
#include "base/log.h"
#include "base/retry.h"
#include "train/made_by.h"
#include "train/metrics.h"
#include "train/ranks_encode.h"
#include "train/ranks_local.h"
#include "train/ranks_shard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BATCH 4 /* images per launch where the run only fills a cache */

void gh_loop_free(gh_loop *l) {
  gh_loader_free(l->loader);
  gh_update_free(&l->update);
  gh_graph_free(l->step.graph);
  gh_store_free(l->store);
  gh_json_free(l->config_json);
  gh_json_free(l->plan_json);
  gh_json_free(l->encoder_json);
  gh_target_cache_free(l->cache);
  free(l->images);
  free(l->samples);
  free(l->targets);
  *l = (gh_loop){0};
}

gh_status gh_loop_plan(gh_error *err, gh_loop *l) {
  gh_status status = gh_update_record(err, l->device, l->store, &l->stage->optimizer, &l->step, &l->update);
  if (!status) status = gh_graph_plan(err, l->step.graph);
  if (!status) status = gh_graph_plan(err, l->update.graph);
  if (status) return status;
  return gh_step_reserve_sends(err, l->device, &l->step, GH_CEIL_DIV(l->stage->batch, l->micro_batch) + 1);
}

static gh_loader_options loader_options(const gh_loop *l, const gh_data_config *data, uint64_t seed, int64_t side) {
  return (gh_loader_options){.set = l->set,
                             .image_size = (int)side,
                             .crop = {.scale = {data->crop_scale[0], data->crop_scale[1]},
                                      .ratio = {data->crop_ratio[0], data->crop_ratio[1]}},
                             .seed = seed,
                             .stage = l->number,
                             .crops = data->latent_cache ? (uint64_t)data->latent_cache_crops : 0,
                             .workers = (int)data->workers,
                             .ahead = (size_t)GH_MAX(2 * l->micro_batch, l->replays ? l->stage->batch : 0)};
}

static gh_status describe_plan(gh_error *err, const gh_loop *l, gh_json **out) {
  gh_status status = gh_choices_describe(err, l->device, l->micro_batch, out);
  return status ? status : gh_made_by_put(err, *out, &l->device->info, l->config_json, false);
}

gh_status gh_loop_describe_plan(gh_error *err, gh_loop *l) { return describe_plan(err, l, &l->plan_json); }

static gh_status record_plan(gh_error *err, void *loop) {
  const gh_loop *l = loop;
  gh_json *plan = NULL;
  gh_status status = describe_plan(err, l, &plan);
  if (!status) status = gh_choices_write(err, l->run, plan);
  gh_json_free(plan);
  return status;
}

static gh_comm *comm_of(const gh_loop *l) { return l->ranks ? l->ranks->comm : NULL; }

/* Rank 0 writes the run's folder. */
static bool writes(const gh_loop *l) { return gh_comm_rank(comm_of(l)) == 0; }

gh_status gh_loop_open_cache(gh_error *err, gh_loop *l, const gh_models *models) {
  const gh_config *config = models->config;
  gh_ranks_parts ranks;
  gh_target_cache_options options = {.device = l->device,
                                     .parts = gh_ranks_parts_of(&ranks, comm_of(l), l->device),
                                     .batch = GH_MIN(l->micro_batch, CACHE_BATCH),
                                     .planned = writes(l) ? record_plan : NULL,
                                     .user = l,
                                     .images =
                                         loader_options(l, &config->data, (uint64_t)config->seed, models->clip.image)};
  if (!gh_objective_target(models, &options.target))
    return gh_fail(err, GH_ERROR_CONFIG, "data.latent_cache: %s has nothing to cache", models->objective->kind.foreign);
  const char *named = config->data.latent_cache_path;
  char *folder = named ? gh_strdup(err, named) : gh_path_join(err, l->run, options.target.files);
  options.folder = folder;
  gh_status status = folder ? gh_target_cache_open(err, &l->cache, &options) : GH_ERROR_MEMORY;
  free(folder);
  return status;
}

gh_status gh_loop_choose_cache(gh_error *err, gh_device *device, const gh_models *models, int64_t micro_batch) {
  const int64_t shape[4] = {GH_MIN(micro_batch, CACHE_BATCH), 3, models->clip.image, models->clip.image};
  gh_target target;
  gh_store *store = NULL;
  gh_graph *graph = NULL;
  gh_tensor *images = NULL, *targets = NULL;
  if (!gh_objective_target(models, &target)) return GH_OK;
  gh_status status = gh_store_create_unbacked(err, device, &store);
  if (!status) status = gh_store_add(err, store, "input.images", GH_F32, 4, shape, &images);
  if (!status) status = gh_graph_create(err, device, &graph);
  if (!status) targets = target.record(target.context, graph, store, images);
  if (targets) gh_graph_keep(graph, targets);
  if (!status) status = gh_graph_measure(err, graph);
  if (!status) status = gh_graph_choose(err, graph);
  gh_graph_free(graph);
  gh_store_free(store);
  return status;
}

gh_status gh_loop_load_images(gh_error *err, gh_loop *l, const gh_data_config *data, uint64_t seed) {
  int64_t side = l->step.images->shape[3];
  gh_loader_options options = loader_options(l, data, seed, side);
  int64_t first, share = gh_ranks_share(l->ranks, l->stage->batch, &first);
  options.first_ordinal = (uint64_t)(l->done * l->stage->batch + first);
  if (l->ranks) {
    options.block = (uint64_t)share;
    options.period = (uint64_t)l->stage->batch;
  }
  l->images = gh_alloc(err, (size_t)(l->micro_batch * 3 * side * side), sizeof *l->images);
  l->samples = gh_alloc(err, (size_t)l->micro_batch, sizeof *l->samples);
  if (l->step.targets) l->targets = gh_alloc(err, (size_t)gh_tensor_bytes(l->step.targets), 1);
  if (!l->images || !l->samples || (l->step.targets && !l->targets)) return GH_ERROR_MEMORY;
  return gh_loader_create(err, &l->loader, &options);
}

static double learning_rate(const gh_stage_config *stage, int64_t update) {
  const gh_optimizer_config *o = &stage->optimizer;
  if (update < o->warmup) return o->lr * (double)update / (double)o->warmup;
  if (o->schedule == GH_SCHEDULE_CONSTANT) return o->lr;
  const double rest = (double)GH_MAX(stage->steps - o->warmup, 0);
  return o->lr * 0.5 * (1 + cos(M_PI * (double)(update - o->warmup) / (rest + 1)));
}

/* Sends the images of `count` samples, and their targets where the step takes those. The rest of the micro-batch is
 * zero. */
static gh_status send_images(gh_error *err, gh_loop *l, int64_t count) {
  const gh_step *step = &l->step;
  int64_t rest = l->micro_batch - count, image = gh_tensor_elements(step->images) / l->micro_batch;
  gh_status status = gh_loader_next_samples(err, l->loader, l->images, l->samples, (size_t)count);
  memset(l->images + count * image, 0, (size_t)(rest * image) * sizeof *l->images);
  if (!status) status = gh_tensor_send(err, l->device, step->images, l->images);
  if (!status && l->send) status = l->send(err, l, l->samples, count);
  if (status || !step->targets) return status;
  int64_t entry = gh_tensor_bytes(step->targets) / l->micro_batch;
  gh_retry retry = {0};
  do status = gh_target_cache_read(err, l->cache, l->samples, (size_t)count, l->targets);
  while (status && gh_retry_wait(&retry, err));
  memset(l->targets + count * entry, 0, (size_t)(rest * entry));
  return status ? status : gh_tensor_send(err, l->device, step->targets, l->targets);
}

/* Loads samples [first, first + micro_batch) of this rank's share of the update that follows `done` others. */
static gh_status load(gh_error *err, gh_loop *l, int64_t done, int64_t first) {
  const gh_stage_config *stage = l->stage;
  int64_t own, share = gh_ranks_share(l->ranks, stage->batch, &own);
  int64_t count = GH_MIN(l->micro_batch, share - first);
  const gh_step_values values = {.learning_rate = learning_rate(stage, done + 1),
                                 .beta1 = stage->optimizer.betas[0],
                                 .beta2 = stage->optimizer.betas[1],
                                 .update = (uint64_t)done + 1,
                                 .ordinal = (uint64_t)(done * stage->batch + own + first),
                                 .samples = (uint32_t)count,
                                 .weight = 1 / (double)(gh_ranks_are_local(l->ranks) ? share : stage->batch)};
  gh_status status = send_images(err, l, count);
  return status ? status : gh_step_write(err, l->device, l->step.block, &values);
}

gh_status gh_loop_load(gh_error *err, gh_loop *l, int64_t first) { return load(err, l, l->done, first); }

/* While the device works on this update, the next update's first micro-batch is fetched and sent. The queue is in
 * order, so the device reads it after the commands already enqueued. This is skipped where a snapshot, which may load
 * images itself, comes between the two updates. A failure is reported by the next update. */
static void load_ahead(gh_loop *l) {
  const int64_t next = l->done + 1;
  if (next >= l->stage->steps || gh_config_checkpoint_due(l->stage, next)) return;
  l->ahead_error = (gh_error){0};
  l->ahead_error.status = load(&l->ahead_error, l, next, 0);
  l->ahead = true;
}

static gh_status take_ahead(gh_error *err, gh_loop *l) {
  l->ahead = false;
  if (l->ahead_error.status && err) *err = l->ahead_error;
  return l->ahead_error.status;
}

gh_status gh_loop_take(gh_error *err, gh_loop *l, int64_t first) {
  gh_status status = first == 0 && l->ahead ? take_ahead(err, l) : gh_loop_load(err, l, first);
  l->load_failed = status && status != GH_ERROR_DEVICE; /* what a lost device says of the weights is not saved */
  if (!status && first == 0) status = gh_step_clear_logs(err, l->device, &l->step);
  return status;
}

/* The gradients of this rank's share. */
static gh_status replay_each(gh_error *err, gh_loop *l) {
  int64_t own, share = gh_ranks_share(l->ranks, l->stage->batch, &own);
  gh_status status = GH_OK;
  for (int64_t first = 0; first < share && !status; first += l->micro_batch) {
    status = gh_loop_take(err, l, first);
    if (status) break;
    const bool sums = l->ranks && !gh_ranks_are_local(l->ranks), last = first + l->micro_batch >= share;
    status = sums ? gh_ranks_step(err, l->ranks, first == 0, last) : gh_graph_run(err, l->step.graph);
  }
  return status;
}

static bool state_due(const gh_loop *l) { return gh_now() - l->state_written >= 60 * l->state_minutes; }
static bool stop_wanted(const gh_loop *l) { return l->stop || gh_stop_requested(); }

static gh_status reduce(gh_error *err, gh_loop *l, gh_status own) {
  gh_ranks_wish wish = {
      .stop = stop_wanted(l), .save = writes(l) && state_due(l), .load_failed = own && l->load_failed};
  gh_status status = gh_ranks_reduce(err, l->ranks, own, &wish);
  l->load_failed = status && wish.load_failed;
  return status;
}

/* An update of this rank alone, after which an average may be due. Until then, its state is no state of the run. */
static gh_status update_alone(gh_error *err, gh_loop *l, gh_status own, gh_update_result *result) {
  gh_status status = own ? own : gh_graph_run(err, l->update.graph);
  l->ranks->stop = l->ranks->save = l->load_failed = false;
  if (!status) load_ahead(l);
  if (!status) status = gh_update_read(err, l->device, &l->update, result);
  if (!status && result->bad)
    status = gh_fail(err, GH_ERROR_NUMERIC, "%s update %lld: the loss or the gradient is not finite", l->label,
                     (long long)l->done + 1);
  if (!gh_ranks_average_due(l->ranks, l->done + 1)) return status;
  const gh_ranks_wish wish = {.stop = stop_wanted(l), .save = writes(l) && state_due(l)};
  return gh_ranks_average(err, l->ranks, status, &wish);
}

gh_status gh_loop_update(gh_error *err, gh_loop *l, gh_update_result *result) {
  gh_status status = (l->replays ? l->replays : replay_each)(err, l);
  if (gh_ranks_are_local(l->ranks)) return update_alone(err, l, status, result);
  if (l->ranks) status = reduce(err, l, status);
  if (!status) status = l->ranks ? gh_ranks_update(err, l->ranks) : gh_graph_run(err, l->update.graph);
  if (!status && l->ranks) status = gh_ranks_align(err, l->ranks);
  if (status) return status;
  load_ahead(l);
  return gh_update_read(err, l->device, &l->update, result);
}

static uint64_t data_hash(const gh_loop *l) { return gh_image_set_hash(l->set) ^ l->extra_hash; }

static gh_status save(gh_error *err, void *loop) {
  gh_loop *l = loop;
  const gh_state_info info = {.stage = l->number,
                              .update = l->done,
                              .data_hash = data_hash(l),
                              .models_hash = l->models_hash,
                              .micro_batch = l->micro_batch,
                              .config = l->config_json,
                              .plan = l->plan_json,
                              .encoder = l->encoder_json};
  gh_status status = gh_state_write(err, l->run, &l->update, &info, GH_MAX(l->state_keep, 1));
  l->state_written = gh_now();
  return status ? gh_fail_in(err, "state after update %lld of %s", (long long)l->done, l->label) : GH_OK;
}

/* Of several ranks, all call it; rank 0 writes. Nothing is written after a failure (own). */
static gh_status write_state(gh_error *err, gh_loop *l, gh_status own) {
  return gh_ranks_serve(err, l->ranks, own, l->ranks ? 10 * l->ranks->patience : 0, save, l);
}

static gh_status stop_at_nan(gh_error *err, gh_loop *l, const gh_update_result *result) {
  gh_status status = write_state(err, l, GH_OK);
  if (status) return status;
  return gh_fail(err, GH_ERROR_NUMERIC,
                 "%s update %lld: the loss or the gradient is not finite (loss %g, gradient norm %g%s); the state from "
                 "before it is saved in %s/state",
                 l->label, (long long)l->done + 1, result->loss, result->norm,
                 result->scale > 0 ? ": too large for float16 at any loss scale" : "", l->run);
}

/* The images of an update could not be loaded (a mount that vanished): nothing is wrong with the updates before. */
static gh_status stop_at_load(gh_error *err, gh_loop *l) {
  const gh_error cause = *err;
  if (write_state(err, l, GH_OK)) return gh_fail(err, cause.status, "%s; and the state cannot be saved", cause.text);
  return gh_fail(err, cause.status, "%s; the state after update %lld of %s is saved in %s/state", cause.text,
                 (long long)l->done, l->label, l->run);
}

_Static_assert(GH_METRICS_NUMBERS >= GH_STEP_LOGS + 2, "a line of metrics holds every logged number");

/* Adds the objective's numbers to the row and, in half precision, those of the loss's scale. */
static void add_numbers(gh_metrics_row *row, const gh_objective *objective, const gh_update_result *result) {
  if (result->scale > 0) {
    row->numbers[row->number_count++] = (gh_metrics_number){"loss_scale", result->scale};
    row->numbers[row->number_count++] = (gh_metrics_number){"skipped_updates", (double)result->skips};
  }
  int recorded = 0;
  const gh_objective_log *log = objective ? objective->logs : NULL;
  for (; log && log->name && row->number_count < GH_METRICS_NUMBERS; log++)
    row->numbers[row->number_count++] =
        (gh_metrics_number){log->name, log->of_loss ? log->of_loss(result->loss) : result->logs[recorded++]};
}

/* Writes the row; the first of a process with what made it. */
static gh_status write_row(gh_error *err, gh_loop *l, gh_metrics_row *row) {
  gh_json *made = NULL;
  gh_status status = GH_OK;
  if (!l->signed_in && l->config_json) {
    status = (made = gh_json_object(err)) ? gh_made_by_put(err, made, &l->device->info, l->config_json, false)
                                          : GH_ERROR_MEMORY;
    row->made_by = gh_json_member(made, GH_MADE_BY);
  }
  if (!status) status = gh_metrics_write(err, l->run, row, !l->quiet);
  row->made_by = NULL;
  l->signed_in |= !status;
  gh_json_free(made);
  return status;
}

/* The ranks end together, after the update in which they agreed on that. */
static bool ends_here(const gh_loop *l) { return l->ranks ? l->ranks->stop : stop_wanted(l); }

static gh_status snapshot(gh_error *err, void *loop) {
  gh_loop *l = loop;
  return l->snapshot(err, l);
}

static gh_status take_snapshot(gh_error *err, gh_loop *l, gh_status own) {
  gh_status status = gh_ranks_serve(err, l->ranks, own, 0, snapshot, l);
  if (l->ranks) status = gh_ranks_after_snapshot(err, l->ranks, status, &l->halt, &l->load_failed);
  if (!l->evaluate) return status;
  if (!status) status = l->evaluate(err, l);
  return l->ranks ? gh_ranks_after_snapshot(err, l->ranks, status, &l->halt, &l->load_failed) : status;
}

static double device_joules(const gh_loop *l) {
  return l->device->backend->joules ? l->device->backend->joules(l->device) : NAN;
}

/* Joules since the last update, of the processors and of the device, as far as they tell. */
static double take_energy(gh_loop *l) {
  const double host = gh_energy_take(&l->energy), now = device_joules(l), device = now - l->device_joules;
  l->device_joules = now;
  return isnan(device) ? host : isnan(host) ? device : host + device;
}

static void open_energy(gh_loop *l) {
  gh_energy_open(&l->energy, NULL);
  gh_energy_add_gpu(&l->energy, NULL, l->device->info.identity.pci);
  l->device_joules = device_joules(l);
}

static gh_status after_update(gh_error *err, gh_loop *l, const gh_update_result *result, double seconds) {
  gh_metrics_row row = {.stage = l->number,
                        .update = l->done,
                        .updates = l->stage->steps,
                        .loss = result->loss,
                        .norm = result->norm,
                        .learning_rate = learning_rate(l->stage, l->done),
                        .seconds = seconds,
                        .samples = l->stage->batch,
                        .waiting = l->ranks ? l->ranks->waiting : NULL,
                        .ranks = gh_comm_ranks(comm_of(l)),
                        .time = gh_metrics_time(),
                        .resident_bytes = (double)gh_peak_resident_bytes(),
                        .joules = take_energy(l)};
  bool last = l->done == l->stage->steps;
  add_numbers(&row, l->objective, result);
  gh_status status = l->after ? l->after(err, l, result, &row) : GH_OK;
  if (!status && writes(l)) status = write_row(err, l, &row);
  if (last || gh_config_checkpoint_due(l->stage, l->done)) status = take_snapshot(err, l, status);
  if (!status && l->progress && l->progress(l->progress_user, &row)) l->stop = true;
  bool due = last || l->halt || ends_here(l) || (l->ranks ? l->ranks->save : state_due(l));
  if (due) status = write_state(err, l, status);
  if (!status && ends_here(l) && !last && !l->halt)
    status = gh_fail(err, GH_ERROR_STOPPED, "stopped after update %lld of %s; --resume continues from there",
                     (long long)l->done, l->label);
  return status;
}

gh_status gh_loop_run(gh_error *err, gh_loop *l) {
  gh_status status = GH_OK;
  gh_progress progress;
  gh_progress_start(&progress, l->label, "updates", (uint64_t)l->stage->steps, (uint64_t)l->done);
  progress.rate_unit = "images";
  progress.rate_factor = (double)l->stage->batch;
  progress.memory_bytes =
      gh_store_bytes(l->store) + gh_graph_peak_bytes(l->step.graph) + gh_graph_peak_bytes(l->update.graph);
  progress.device = l->device->info.id;
  l->state_written = gh_now();
  open_energy(l);
  gh_stop_renew();
  /* A snapshot may have become due at the update of an older state, through fewer steps or another schedule. */
  if (l->done && (l->done == l->stage->steps || gh_config_checkpoint_due(l->stage, l->done)))
    status = take_snapshot(err, l, GH_OK);
  while (!status && !l->halt && l->done < l->stage->steps) {
    double began = gh_now();
    gh_update_result result;
    status = gh_loop_update(err, l, &result);
    if (!status && result.bad) status = stop_at_nan(err, l, &result);
    if (status && l->load_failed && l->done) status = stop_at_load(err, l);
    if (status) break;
    l->done++;
    status = after_update(err, l, &result, gh_now() - began);
    if (status && l->load_failed) status = stop_at_load(err, l); /* of the evaluation's pictures */
    char note[48];
    snprintf(note, sizeof note, "loss %.4f", result.loss);
    gh_progress_update(&progress, (uint64_t)l->done, note);
  }
  gh_progress_end(&progress);
  gh_energy_close(&l->energy);
  return status;
}

gh_status gh_loop_check_data(gh_error *err, const gh_loop *l, uint64_t hash) {
  if (data_hash(l) == hash) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG,
                 "the images%s differ from those of the interrupted run; --allow-data-change continues with them",
                 l->extra_hash ? " or their captions" : "");
}

gh_status gh_loop_check_encoder(gh_error *err, const gh_loop *l, const gh_json *before) {
  const gh_json *const sides[2] = {before, l->encoder_json};
  if (!before) return GH_OK;
  for (int side = 0; side < 2; side++)
    for (const gh_json *item = gh_json_first(sides[side]); item; item = gh_json_next(item))
      if (!gh_json_equal(item, gh_json_member(sides[!side], gh_json_key(item))))
        return gh_fail(err, GH_ERROR_CONFIG, "clip: %s differs from that of the interrupted run", gh_json_key(item));
  return GH_OK;
}

/* ---- the report ---- */

static double mean(const double *values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  return count ? sum / (double)count : 0;
}

gh_status gh_loop_report(gh_error *err, const gh_loop *l, double seconds, gh_stage_report *out) {
  double *losses = NULL;
  int64_t count = 0;
  gh_loader_stats stats = {0};
  gh_loader_get_stats(l->loader, &stats);
  gh_status status = gh_metrics_losses(err, l->run, l->number, &losses, &count);
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

/* ---- starting and resuming ---- */

/* A model folder also holds a config.json, which a run must not overwrite. It has keys that no run's config.json
 * has. */
static bool is_of_a_run(const gh_json *before, const gh_json *config) {
  bool known = gh_json_type_of(before) == GH_JSON_OBJECT;
  for (const gh_json *item = gh_json_first(before); item && known; item = gh_json_next(item))
    known = gh_json_member(config, gh_json_key(item)) || !strcmp(gh_json_key(item), GH_MADE_BY);
  return known;
}

/* Removes what a killed process left in the run's folder. */
static gh_status sweep(gh_error *err, const char *run) {
  char *building = gh_path_join(err, run, GH_RUN_BUILDING);
  gh_status status = building ? gh_folder_sweep(err, run) : GH_ERROR_MEMORY;
  if (!status) status = gh_folder_remove(err, building);
  free(building);
  return status;
}

/* Checks a run that was killed before its first state: it has only its configuration and, perhaps, early snapshots. */
static gh_status check_stateless(gh_error *err, const char *run, const gh_json *config, const char *path, bool resume) {
  gh_strings snapshots = {0};
  gh_json *before = NULL;
  char *folder = gh_path_join(err, run, "snapshots");
  gh_status status = folder ? gh_run_list(err, folder, &snapshots) : GH_ERROR_MEMORY;
  if (!status && snapshots.count && !resume)
    status = gh_fail(err, GH_ERROR_CONFIG,
                     "%s already holds a run: --resume starts it from the beginning, or choose another output", run);
  if (!status && gh_path_exists(path)) status = gh_json_read_file(err, &before, path, GH_JSON_MAX_BYTES);
  if (!status && before && !is_of_a_run(before, config))
    status = gh_fail(err, GH_ERROR_CONFIG,
                     "%s does not belong to such a run and would be overwritten: choose another output", path);
  if (!status && before && snapshots.count) status = gh_choices_same_run(err, config, before);
  if (!status && resume) gh_info("no state in %s yet: starting from the beginning", run);
  gh_json_free(before);
  gh_strings_free(&snapshots);
  free(folder);
  return status;
}

gh_status gh_loop_find_run(gh_error *err, const char *run, const gh_json *config, bool resume, char **state_folder,
                           gh_state_info *from) {
  char *path = gh_path_join(err, run, "config.json");
  gh_status status = gh_run_check_files(err, run);
  if (!status) status = sweep(err, run);
  if (!status) status = path ? gh_state_find(err, run, state_folder, from) : GH_ERROR_MEMORY;
  if (!status && !*state_folder) status = check_stateless(err, run, config, path, resume);
  if (!status && *state_folder && !resume)
    status =
        gh_fail(err, GH_ERROR_CONFIG, "%s already holds a run: --resume continues it, or choose another output", run);
  if (!status && *state_folder) status = gh_choices_same_run(err, config, from->config);
  if (!status && *state_folder) status = gh_choices_steps_left(err, config, from->config, from->stage, from->update);
  free(path);
  return status;
}

bool gh_loop_keeps_turning(const gh_state_info *from, const char *key, bool exif) {
  if (gh_json_at(from->config, key) || exif) return false;
  gh_warn(
      "this run began with a version that turned pictures upright by their EXIF orientation, and goes on so; set %s "
      "to true when it is resumed again",
      key);
  return true;
}

gh_status gh_loop_begin_run(gh_error *err, const gh_loop *l, const gh_state_info *from) {
  gh_json *config = NULL;
  char *path = gh_path_join(err, l->run, "config.json");
  gh_status status = path ? gh_json_copy(err, &config, l->config_json) : GH_ERROR_MEMORY;
  if (!status) status = gh_made_by_put(err, config, &l->device->info, l->config_json, false);
  if (!status)
    status = gh_metrics_rewind(err, l->run, from ? from->stage : 0, from ? from->update : 0,
                               gh_json_member(config, GH_MADE_BY));
  if (!status) status = gh_json_write_file(err, path, config);
  gh_json_free(config);
  free(path);
  return status;
}
