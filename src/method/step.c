#include "method/step.h"
#include "base/random.h"
#include "cl/step.h"

#include <math.h>
#include <string.h>

#define PACK 2 /* latents are packed 2 x 2 into tokens of 4 * channels */

gh_status gh_step_tensor(gh_error *err, gh_store *store, const char *name, int rank, const int64_t *shape,
                         gh_tensor **out) {
  *out = gh_store_find(store, name);
  if (*out) return GH_OK;
  return gh_store_add(err, store, name, GH_F32, rank, shape, out);
}

gh_status gh_step_block(gh_error *err, gh_store *store, const char *name, gh_tensor **out) {
  *out = gh_store_find(store, name);
  if (*out) return GH_OK;
  return gh_store_add(err, store, name, GH_U32, 1, (int64_t[]){STEP_WORDS}, out);
}

static uint32_t float_bits(double value) {
  float f = (float)value;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

gh_status gh_step_write(gh_error *err, gh_device *device, gh_tensor *block, const gh_step_values *v) {
  double t = (double)v->update;
  uint32_t words[STEP_WORDS] = {0};
  words[STEP_LEARNING_RATE] = float_bits(v->learning_rate);
  words[STEP_BIAS1] = float_bits(1 / (1 - pow(v->beta1, t)));
  words[STEP_BIAS2] = float_bits(1 / (1 - pow(v->beta2, t)));
  words[STEP_ORDINAL_LO] = (uint32_t)v->ordinal;
  words[STEP_ORDINAL_HI] = (uint32_t)(v->ordinal >> 32);
  words[STEP_SAMPLES] = v->samples;
  words[STEP_WEIGHT] = float_bits(v->weight);
  return gh_tensor_send(err, device, block, words);
}

gh_status gh_step_reserve_sends(gh_error *err, gh_device *device, const gh_step *step, int64_t replays) {
  const gh_tensor *sent[] = {step->block, step->images, step->moments};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(sent) && !status; i++) {
    if (!sent[i]) continue;
    int64_t bytes = gh_tensor_bytes(sent[i]), alike = 0;
    for (size_t k = 0; k < GH_COUNT(sent); k++)
      alike += sent[k] && gh_staging_bytes(gh_tensor_bytes(sent[k])) == gh_staging_bytes(bytes);
    status = device->backend->reserve_sends(err, device, bytes, alike * replays);
  }
  return status;
}

/* ---- the parts of Algorithm 1 ---- */

typedef struct gh_recording {
  const gh_step_spec *spec;
  gh_graph *g;
  gh_module encoder, autoencoder, denoiser;
  gh_step *step;
} gh_recording;

static gh_tensor *input(gh_recording *r, const char *name, int rank, const int64_t *shape) {
  gh_tensor *t = NULL;
  if (!gh_graph_failed(r->g)) gh_step_tensor(gh_graph_error(r->g), r->spec->store, name, rank, shape, &t);
  return t;
}

/* Tokens, channels and the latents' side for the encoder's image size. */
static int64_t latent_side(const gh_models *m) { return m->clip.image / gh_vae_factor(&m->vae); }

static bool draws(const gh_step_spec *s) { return s->source == GH_STEP_DRAWN || s->source == GH_STEP_GIVEN_MOMENTS; }

static gh_tensor *drawn(gh_recording *r, const char *purpose, int rank, const int64_t *shape) {
  gh_stream stream = gh_stream_make(r->spec->seed, r->spec->stage, purpose, "");
  return gh_random_normal(r->g, r->step->block, stream.key, rank, shape);
}

/* x1 (B, N, 64): the autoencoder's sample, shifted, scaled and packed. */
static gh_tensor *latents_of(gh_recording *r, gh_tensor *images) {
  static const double half[3] = {0.5, 0.5, 0.5};
  const gh_models *m = r->spec->models;
  int64_t side = latent_side(m), shape[4] = {r->spec->batch, m->vae.latent, side, side};
  if (r->spec->source == GH_STEP_GIVEN_LATENTS)
    return input(r, "input.latents", 3,
                 (int64_t[]){r->spec->batch, side * side / (PACK * PACK), (int64_t)m->vae.latent * PACK * PACK});
  gh_tensor *eps = draws(r->spec) ? drawn(r, "latent", 4, shape) : input(r, "input.latent_noise", 4, shape);
  gh_tensor *moments = NULL;
  if (r->spec->source == GH_STEP_GIVEN_MOMENTS)
    moments = r->step->moments = input(r, "input.moments", 4, (int64_t[]){shape[0], 2 * shape[1], side, side});
  else
    moments = gh_vae_encode(&r->autoencoder, &m->vae, gh_normalize_image(r->g, images, half, half));
  return gh_patchify(r->g, gh_gaussian_sample(r->g, moments, eps, GH_VAE_SHIFT, GH_VAE_SCALE), PACK);
}

static gh_tensor *condition_of(gh_recording *r, gh_tensor *images, gh_tensor **local) {
  const gh_models *m = r->spec->models;
  gh_tensor *pixels = images;
  if (r->spec->source != GH_STEP_GIVEN_LATENTS) pixels = gh_normalize_image(r->g, images, m->image_mean, m->image_std);
  return gh_vision_tower(&r->encoder, &m->clip, pixels, r->spec->local_tokens ? local : NULL);
}

/* The patch tokens that join the context, (B, K, D) of (B, N, D). All of them: as they are, nothing is drawn. */
static gh_tensor *chosen_tokens(gh_recording *r, gh_tensor *local) {
  const gh_step_spec *s = r->spec;
  if (!local || s->local_tokens == local->shape[1]) return local;
  gh_tensor *index = NULL;
  if (draws(s)) {
    gh_stream stream = gh_stream_make(s->seed, s->stage, "local", "");
    index = gh_random_index(r->g, r->step->block, stream.key, s->batch, local->shape[1], s->local_tokens);
  } else if (!gh_graph_failed(r->g) && !(index = gh_store_find(s->store, "input.local_index"))) {
    const int64_t shape[2] = {s->batch, s->local_tokens};
    gh_store_add(gh_graph_error(r->g), s->store, "input.local_index", GH_I32, 2, shape, &index);
  }
  return gh_gather_rows(r->g, local, index);
}

static gh_tensor *timesteps(gh_recording *r) {
  const gh_step_spec *s = r->spec;
  if (!draws(s)) return input(r, "input.t", 1, &s->batch);
  gh_stream stream = gh_stream_make(s->seed, s->stage, "timestep", "");
  return gh_random_timestep(r->g, r->step->block, stream.key, s->batch, s->timestep == GH_TIMESTEP_UNIFORM,
                            s->timestep_scale);
}

static void record(gh_recording *r) {
  const gh_step_spec *s = r->spec;
  gh_step *step = r->step;
  int64_t side = s->models->clip.image;
  bool pixels = s->source == GH_STEP_GIVEN_LATENTS;
  step->images = input(r, pixels ? "input.pixel_values" : "input.images", 4, (int64_t[]){s->batch, 3, side, side});
  gh_tensor *local = NULL, *vector, *context, *x_t = NULL, *target = NULL;
  gh_graph_phase(r->g, "encoder");
  step->condition = condition_of(r, step->images, &local);
  gh_graph_segment(r->g); /* the frozen autoencoder is on its own: nothing recomputes it */
  gh_graph_phase(r->g, "autoencoder");
  step->latents = latents_of(r, step->images);
  gh_graph_segment(r->g);
  gh_graph_phase(r->g, "denoiser");
  gh_projectors(&r->denoiser, &s->models->flux, step->condition, chosen_tokens(r, local), &vector, &context);
  gh_tensor *t = timesteps(r);
  if (gh_graph_failed(r->g)) return;
  gh_tensor *x0 =
      draws(s) ? drawn(r, "noise", 3, step->latents->shape) : input(r, "input.noise", 3, step->latents->shape);
  gh_flow_interpolate(r->g, step->latents, x0, t, s->noise_at_one, &x_t, &target);
  step->prediction = gh_flux_denoiser(&r->denoiser, &s->models->flux, x_t, t, vector, context);
  step->loss = gh_mse_loss(r->g, step->prediction, target, step->block);
  gh_accumulate(r->g, step->loss_total, step->loss);
  gh_graph_recompute(r->g, s->recompute);
  gh_graph_differentiate(r->g, step->loss);
}

static gh_status check_sizes(gh_error *err, const gh_models *m) {
  int factor = gh_vae_factor(&m->vae) * PACK;
  if (m->clip.image % factor)
    return gh_fail(err, GH_ERROR_CONFIG, "the encoder's image size %d is no multiple of the autoencoder's %d",
                   m->clip.image, factor);
  if (m->flux.channels != m->vae.latent * PACK * PACK)
    return gh_fail(err, GH_ERROR_CONFIG, "the denoiser takes %d channels, the autoencoder gives %d", m->flux.channels,
                   m->vae.latent * PACK * PACK);
  return gh_flux_config_check(err, &m->flux);
}

/* Whether a layer of that name, or whose name ends with .target, has been adapted. */
static bool is_adapted(const gh_store *store, const char *target) {
  gh_name tail = gh_name_make("%s.lora_A.weight", target);
  size_t n = strlen(tail.text);
  for (int i = 0; i < gh_store_count(store); i++) {
    const char *name = gh_store_at(store, i)->name;
    size_t length = strlen(name);
    if (length < n || strcmp(name + length - n, tail.text)) continue;
    if (length == n || name[length - n - 1] == '.') return true;
  }
  return false;
}

static gh_status check_targets(gh_error *err, const gh_lora *lora, const gh_store *store) {
  for (int i = 0; lora && lora->targets && i < lora->target_count; i++)
    if (!is_adapted(store, lora->targets[i]))
      return gh_fail(err, GH_ERROR_CONFIG, "stage2.lora.targets: no linear layer of the encoder is called %s",
                     lora->targets[i]);
  return GH_OK;
}

gh_status gh_step_record(gh_error *err, const gh_step_spec *spec, gh_step *step) {
  *step = (gh_step){0};
  gh_graph *g = NULL;
  if (check_sizes(err, spec->models) || gh_step_block(err, spec->store, "step", &step->block) ||
      gh_step_tensor(err, spec->store, "loss", 0, NULL, &step->loss_total) || gh_graph_create(err, spec->device, &g))
    return err->status;
  const gh_models *m = spec->models;
  bool direct = spec->stage == 2 && !spec->lora;
  gh_module base = {.graph = g, .store = spec->store, .seed = spec->seed, .draft = spec->draft};
  gh_recording r = {.spec = spec, .g = g, .encoder = base, .autoencoder = base, .denoiser = base, .step = step};
  r.encoder.weights = m->clip_file;
  r.encoder.trainable = direct;
  r.encoder.lora = spec->stage == 2 ? spec->lora : NULL;
  r.autoencoder.weights = m->vae_file;
  r.encoder.storage = r.denoiser.storage = spec->storage; /* the autoencoder stays float32 */
  r.denoiser.weights = m->denoiser_file;
  r.denoiser.trainable = spec->stage == 1 || spec->train_denoiser;
  record(&r);
  if (gh_graph_failed(g)) {
    *err = *gh_graph_error(g);
    gh_graph_free(g);
    return err->status;
  }
  if (check_targets(err, r.encoder.lora, spec->store)) {
    gh_graph_free(g);
    return err->status;
  }
  step->graph = g;
  return GH_OK;
}
