#include "cl/step.h"
#include "base/random.h"
#include "method/objective.h"
#include "models/unread.h"

#include <math.h>
#include <string.h>

/* ---- the step ---- */

static gh_tensor *condition_of(gh_recording *r, gh_tensor *images) {
  const gh_models *m = r->spec->models;
  gh_tensor *pixels = images;
  if (r->spec->source != GH_STEP_GIVEN_PIXELS)
    pixels = gh_normalize_image(r->graph, images, m->image_mean, m->image_std);
  return gh_vision_tower(&r->encoder, &m->clip, pixels, r->spec->local_tokens ? &r->local : NULL);
}

static gh_tensor *computed_targets(gh_recording *r, const gh_target *target, gh_tensor *images) {
  const gh_models *m = r->spec->models;
  gh_tensor *t = m->objective->compute_target(&r->frozen, m, images);
  if (!t || gh_target_describes(target, t)) return t;
  gh_graph_fail(r->graph, NULL, "%s: the recorded tensor has another type or shape than the target says", target->name);
  return NULL;
}

static gh_tensor *targets_of(gh_recording *r, gh_tensor *images) {
  const gh_models *m = r->spec->models;
  gh_target target;
  if (!gh_objective_target(m, &target) || r->spec->source == GH_STEP_GIVEN_PIXELS) return NULL;
  if (r->spec->source == GH_STEP_DRAWN || r->spec->source == GH_STEP_GIVEN_IMAGES)
    return computed_targets(r, &target, images);
  int64_t shape[GH_MAX_RANK] = {r->spec->batch};
  for (int i = 0; i < target.rank; i++) shape[i + 1] = target.shape[i];
  const gh_step_input described = {.name = target.name, .below = target.below, .what = target.what};
  return r->step->targets = gh_recording_add_input(r, &described, target.dtype, target.rank + 1, shape);
}

static void record(gh_recording *r) {
  const gh_step_spec *s = r->spec;
  gh_step *step = r->step;
  gh_graph *g = r->graph;
  int64_t side = s->models->clip.image;
  const char *images = s->source == GH_STEP_GIVEN_PIXELS ? "pixel_values" : "images";
  step->images = gh_recording_input(r, images, 4, (int64_t[]){s->batch, 3, side, side});
  gh_graph_phase(g, "encoder");
  gh_tensor *condition = condition_of(r, step->images);
  gh_recording_output(r, "condition", condition);
  gh_graph_segment(g); /* the frozen autoencoder is a segment of its own, so that it is not recomputed */
  gh_graph_phase(g, s->models->objective->phase);
  gh_tensor *targets = targets_of(r, step->images);
  s->models->objective->record(r, condition, targets);
  if (gh_graph_failed(g)) return;
  gh_accumulate(g, step->loss_total, step->loss);
  gh_graph_recompute(g, s->recompute);
  gh_graph_round(g, step->block, s->seed, s->stage);
  if (step->loss_scale)
    gh_graph_differentiate_from(g, &step->loss, &step->loss_scale, 1);
  else
    gh_graph_differentiate(g, step->loss);
}

/* Of half precision. A new stage begins with the first scale; a state that is read later replaces it. */
static gh_status add_scaling(gh_error *err, const gh_step_spec *spec, gh_step *step) {
  static const float first = LOSS_SCALE_FIRST, nothing[SCALING_WORDS];
  if (spec->storage != GH_F16) return GH_OK;
  gh_status status = gh_step_tensor(err, spec->store, "loss_scale", 0, NULL, &step->loss_scale);
  if (!status) status = gh_step_tensor(err, spec->store, "scaling", 1, (int64_t[]){SCALING_WORDS}, &step->scaling);
  if (!status) status = gh_tensor_write(err, spec->device, step->loss_scale, &first);
  if (!status) status = gh_tensor_write(err, spec->device, step->scaling, nothing);
  step->carried[step->carried_count++] = step->loss_scale;
  step->carried[step->carried_count++] = step->scaling;
  return status;
}

/* Checks that the adapter to start from adapts nothing that is not trained. */
static gh_status check_start(gh_error *err, const gh_lora *lora, const gh_store *store, const gh_family *family) {
  const gh_adapter *a = lora ? lora->adapter : NULL;
  for (size_t i = 0; a && i < a->layers.count; i++)
    if (!gh_lora_targets(lora, a->layers.items[i]))
      return gh_fail(err, GH_ERROR_CONFIG, "%s: adapts %s, which stage2.lora.targets does not name",
                     gh_safetensors_path(a->file), a->layers.items[i]);
  return a ? gh_adapter_check(err, a, store, family, false, false) : GH_OK;
}

static gh_status check_targets(gh_error *err, const gh_lora *lora, const gh_store *store) {
  for (int i = 0; lora && lora->targets && i < lora->target_count; i++)
    if (!gh_lora_met(store, lora->targets[i]))
      return gh_fail(err, GH_ERROR_CONFIG, "stage2.lora.targets: no linear layer of the encoder is called %s",
                     lora->targets[i]);
  return GH_OK;
}

static gh_status check_models(gh_error *err, const gh_models *m) {
  return m->objective->check ? m->objective->check(err, m) : GH_OK;
}

/* Every tensor of the encoder's and the denoiser's files belongs to what was recorded. The objective checks the files
 * that it opens itself. */
static gh_status check_files(gh_error *err, const gh_models *m, const gh_store *store) {
  gh_status status =
      gh_refuse_unread_by_store(err, m->clip_file, "the vision tower of these sizes", store, gh_left_out_by_vision);
  if (status) return status;
  return gh_refuse_unread_by_store(err, m->denoiser_file, "the denoiser of the configuration", store, NULL);
}

gh_status gh_step_record(gh_error *err, const gh_step_spec *spec, gh_step *step) {
  *step = (gh_step){
      .stage = spec->stage, .seed = spec->seed, .memory = spec->memory, .shard = spec->shard, .outer = spec->outer};
  gh_graph *g = NULL;
  if (spec->shard) gh_store_leave_out(spec->store, &spec->shard->away);
  if (check_models(err, spec->models) || gh_step_block(err, spec->store, "step", &step->block) ||
      gh_step_tensor(err, spec->store, "loss", 0, NULL, &step->loss_total) || add_scaling(err, spec, step) ||
      gh_graph_create(err, spec->device, &g))
    return err->status;
  const gh_models *m = spec->models;
  bool direct = spec->stage == 2 && !spec->lora;
  gh_module base = {.graph = g, .store = spec->store, .seed = spec->seed, .draft = spec->draft};
  gh_recording r = {.spec = spec, .graph = g, .encoder = base, .frozen = base, .denoiser = base, .step = step};
  r.encoder.weights = m->clip_file;
  r.encoder.trainable = direct;
  r.encoder.lora = spec->stage == 2 ? spec->lora : NULL;
  r.encoder.storage = r.denoiser.storage = spec->storage;
  r.frozen.storage = gh_precision_storage(m->config->autoencoder_precision);
  r.encoder.master = r.denoiser.master = spec->memory.masters;
  r.encoder.gradient = r.denoiser.gradient = spec->memory.gradients;
  r.encoder.offload = r.denoiser.offload = spec->memory.offload;
  r.denoiser.weights = m->denoiser_file;
  r.denoiser.trainable = spec->stage == 1 || spec->train_denoiser;
  record(&r);
  if (gh_graph_failed(g)) {
    *err = *gh_graph_error(g);
    gh_graph_free(g);
    return err->status;
  }
  if (check_targets(err, r.encoder.lora, spec->store) || check_files(err, m, spec->store) ||
      check_start(err, r.encoder.lora, spec->store, m->clip.family)) {
    gh_graph_free(g);
    return err->status;
  }
  step->graph = g;
  return GH_OK;
}
