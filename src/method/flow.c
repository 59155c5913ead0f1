#include "method/flow.h"

#include <string.h>
#include <xxhash.h>

/* ---- keys ---- */

static const gh_word laws[] = {{"logit_normal", GH_TIMESTEP_LOGIT_NORMAL}, {"uniform", GH_TIMESTEP_UNIFORM}, {0}};
static const gh_word conventions[] = {
    {"noise_at_one", GH_TIME_NOISE_AT_ONE}, {"data_at_one", GH_TIME_DATA_AT_ONE}, {0}};

/* clang-format off */
#define ROW(path, type, member, fallback, least, greatest, flags) \
  GH_ROW(path, type, gh_flow_config, member, fallback, least, greatest, flags)
/* clang-format on */

static const gh_row rows[] = {
    ROW("autoencoder", ROW_STRING, autoencoder, "\"\"", 0, 0, ROW_REQUIRED),
    ROW("denoiser.double_blocks", ROW_INT, double_blocks, "2", 0, 1000, 0),
    ROW("denoiser.single_blocks", ROW_INT, single_blocks, "4", 0, 1000, 0),
    ROW("denoiser.hidden", ROW_INT, hidden, "3072", 1, 1e6, 0),
    ROW("denoiser.heads", ROW_INT, heads, "24", 1, 1e4, 0),
    ROW("denoiser.mlp_ratio", ROW_REAL, mlp_ratio, "4.0", 0, 1000, ROW_OPEN_LOW),
    ROW("denoiser.rope_axes", ROW_AXES, rope_axes, "[16,56,56]", 0, 1e6, 0),
    ROW("denoiser.context_width", ROW_INT, context_width, "4096", 1, 1e6, 0),
    ROW("denoiser.vector_width", ROW_INT, vector_width, "768", 1, 1e6, 0),
    ROW("denoiser.guidance", ROW_REAL, guidance, "4.0", 0, 1e6, 0),
    GH_ROW_OF_WORDS("timestep.distribution", gh_flow_config, timestep.distribution, "\"logit_normal\"", laws),
    ROW("timestep.scale", ROW_REAL, timestep.scale, "1.0", 0, 1e6, ROW_OPEN_LOW),
    GH_ROW_OF_WORDS("timestep.convention", gh_flow_config, timestep.convention, "\"noise_at_one\"", conventions),
};

static const char *const tiny_keys[] = {"denoiser.hidden=256",          "denoiser.heads=4",
                                        "denoiser.rope_axes=[8,28,28]", "denoiser.context_width=256",
                                        "denoiser.vector_width=128",    NULL};

static gh_status check_keys(gh_error *err, const gh_config *config) {
  const gh_flow_config *c = gh_flow_config_of(config);
  const int64_t *axes = c->rope_axes;
  if (c->hidden % c->heads)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.hidden: %lld is not a multiple of denoiser.heads, %lld",
                   (long long)c->hidden, (long long)c->heads);
  if (axes[0] + axes[1] + axes[2] != c->hidden / c->heads)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes: %lld + %lld + %lld is not hidden / heads = %lld",
                   (long long)axes[0], (long long)axes[1], (long long)axes[2], (long long)(c->hidden / c->heads));
  if (axes[0] % 2 || axes[1] % 2 || axes[2] % 2)
    return gh_fail(err, GH_ERROR_CONFIG, "denoiser.rope_axes: rotations take pairs, so every axis must be even");
  return GH_OK;
}

/* ---- models ---- */

static void size_denoiser(gh_flow_models *own, const gh_flow_config *c) {
  own->flux = (gh_flux_config){.double_blocks = (int)c->double_blocks,
                               .single_blocks = (int)c->single_blocks,
                               .hidden = (int)c->hidden,
                               .heads = (int)c->heads,
                               .mlp_ratio = c->mlp_ratio,
                               .channels = GH_FLOW_PACK * GH_FLOW_PACK * own->vae.latent,
                               .context_width = (int)c->context_width,
                               .vector_width = (int)c->vector_width,
                               .guidance = c->guidance};
  for (int i = 0; i < 3; i++) own->flux.rope_axes[i] = (int)c->rope_axes[i];
}

static gh_status open_models(gh_error *err, gh_models *m, const char **key) {
  gh_flow_models *own = m->own;
  const gh_flow_config *c = gh_flow_config_of(m->config);
  *key = "autoencoder";
  gh_status status = gh_vae_open(err, &own->vae_file, &own->vae, c->autoencoder);
  if (!status) size_denoiser(own, c);
  return status;
}

static void draft_models(gh_models *m, bool tiny) {
  static const gh_vae_config small = {.channels = 32,
                                      .levels = 4,
                                      .multipliers = {1, 2, 2, 2},
                                      .blocks = 1,
                                      .latent = 16,
                                      .shift = GH_VAE_SHIFT,
                                      .scale = GH_VAE_SCALE};
  gh_flow_models *own = m->own;
  own->vae = tiny ? small : gh_vae_flux;
  size_denoiser(own, gh_flow_config_of(m->config));
}

static void close_models(void *own) { gh_safetensors_close(((gh_flow_models *)own)->vae_file); }

static int files_of(const void *own, const gh_safetensors **out) {
  out[0] = ((const gh_flow_models *)own)->vae_file;
  return 1;
}

/* FLUX.1's own numbers do not count, so that runs of earlier versions resume. */
static uint64_t hash_models(const void *own, uint64_t seed) {
  const gh_vae_config *vae = &((const gh_flow_models *)own)->vae;
  const double law[2] = {vae->shift, vae->scale};
  return law[0] == GH_VAE_SHIFT && law[1] == GH_VAE_SCALE ? seed : XXH64(law, sizeof law, seed);
}

static gh_status check_models(gh_error *err, const gh_models *m) {
  const gh_flow_models *own = gh_flow_models_of(m);
  int factor = gh_vae_factor(&own->vae) * GH_FLOW_PACK;
  if (m->clip.image % factor)
    return gh_fail(err, GH_ERROR_CONFIG, "the encoder's image size %d is not a multiple of the autoencoder's %d",
                   m->clip.image, factor);
  return gh_flux_config_check(err, &own->flux);
}

static const char *convention_of(const gh_config *c) {
  return gh_flow_config_of(c)->timestep.convention == GH_TIME_NOISE_AT_ONE ? "noise_at_one" : "data_at_one";
}

#define CONVENTION "timestep.convention"

/* A denoiser file's metadata names the time convention that it was trained in. Files from other tools may lack it. */
static gh_status check_weights(gh_error *err, const gh_models *m) {
  const char *said = gh_safetensors_metadata(m->denoiser_file, CONVENTION), *want = convention_of(m->config);
  if (!said || !strcmp(said, want)) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s was trained with " CONVENTION " \"%s\", but the configuration has \"%s\"",
                 gh_safetensors_path(m->denoiser_file), said, want);
}

static gh_status describe_weights(gh_error *err, const gh_config *config, gh_safetensors_writer *writer) {
  return gh_safetensors_writer_metadata(err, writer, CONVENTION, convention_of(config));
}

/* ---- targets: the autoencoder's moments ---- */

static void target_of(const gh_models *m, gh_target *out) {
  const gh_vae_config *vae = &gh_flow_models_of(m)->vae;
  const int64_t side = m->clip.image / gh_vae_factor(vae);
  out->name = "moments";
  out->files = "latents";
  out->dtype = GH_F32;
  out->rank = 3;
  out->shape[0] = 2 * (int64_t)vae->latent;
  out->shape[1] = out->shape[2] = side;
}

static gh_status identify(gh_error *err, const gh_models *m, gh_json *into) {
  static const char *const read[] = {"encoder.", NULL};
  return gh_target_identify(err, gh_flow_models_of(m)->vae_file, read, "autoencoder", into);
}

static gh_tensor *moments_of(gh_module *frozen, const gh_models *m, gh_tensor *images) {
  const gh_flow_models *own = gh_flow_models_of(m);
  gh_module autoencoder = *frozen;
  autoencoder.weights = own->vae_file;
  return gh_vae_encode(&autoencoder, &own->vae, gh_target_pixels(frozen->graph, images));
}

/* ---- the step ---- */

/* x1 (B, N, 64): a sample of the moments (B, 2C, h, w), shifted, scaled and packed; an input where moments is NULL. */
static gh_tensor *latents_of(gh_recording *r, gh_tensor *moments) {
  const gh_models *m = r->spec->models;
  const gh_vae_config *vae = &gh_flow_models_of(m)->vae;
  const int64_t side = gh_flow_side(m), packed = GH_FLOW_PACK * side;
  if (!moments)
    return gh_recording_input(
        r, "latents", 3, (int64_t[]){r->spec->batch, side * side, (int64_t)vae->latent * GH_FLOW_PACK * GH_FLOW_PACK});
  gh_tensor *eps =
      gh_recording_noise(r, "latent", "latent_noise", 4, (int64_t[]){r->spec->batch, vae->latent, packed, packed});
  return gh_patchify(r->graph, gh_gaussian_sample(r->graph, moments, eps, vae->shift, vae->scale), GH_FLOW_PACK);
}

/* (B) */
static gh_tensor *timesteps(gh_recording *r) {
  const gh_flow_config *c = gh_flow_config_of(r->spec->models->config);
  if (!gh_recording_draws(r)) return gh_recording_input(r, "t", 1, &r->spec->batch);
  return gh_random_timestep(r->graph, r->step->block, gh_recording_stream(r, "timestep").key, r->spec->batch,
                            c->timestep.distribution == GH_TIMESTEP_UNIFORM, c->timestep.scale);
}

/* The paper's Eq. 3 to 5: x_t between noise and latents, and the mean squared error of the predicted velocity. */
static void record(gh_recording *r, gh_tensor *condition, gh_tensor *moments) {
  const gh_models *m = r->spec->models;
  const gh_flux_config *flux = &gh_flow_models_of(m)->flux;
  const bool noise_at_one = gh_flow_config_of(m->config)->timestep.convention == GH_TIME_NOISE_AT_ONE;
  gh_tensor *vector, *context, *x_t = NULL, *target = NULL;
  gh_tensor *x1 = latents_of(r, moments);
  gh_graph_segment(r->graph);
  gh_graph_phase(r->graph, "denoiser");
  gh_projectors(&r->denoiser, flux, condition, gh_recording_tokens(r), &vector, &context);
  gh_tensor *t = timesteps(r);
  if (gh_graph_failed(r->graph)) return;
  gh_tensor *x0 = gh_recording_noise(r, "noise", "noise", 3, x1->shape);
  gh_flow_interpolate(r->graph, x1, x0, t, noise_at_one, &x_t, &target);
  gh_tensor *prediction = gh_flux_denoiser(&r->denoiser, flux, x_t, t, vector, context);
  r->step->loss = gh_mse_loss(r->graph, prediction, target, r->step->block);
  gh_recording_output(r, "latents", x1);
  gh_recording_output(r, "prediction", prediction);
}

const gh_objective gh_flow_matching = {
    .kind = {.name = "continuous",
             .rows = rows,
             .row_count = GH_COUNT(rows),
             .record_bytes = sizeof(gh_flow_config),
             .check = check_keys,
             .foreign = "the continuous denoiser"},
    .loss = "mean squared error",
    .phase = "autoencoder",
    .probe_inputs = "either images (B,3,S,S) in [0,1] and latent_noise (B,16,S/8,S/8), or pixel_values (B,3,S,S) and "
                    "latents (B,N,64); noise (B,N,64); t (B).",
    .model_bytes = sizeof(gh_flow_models),
    .open = open_models,
    .draft = draft_models,
    .tiny_keys = tiny_keys,
    .close = close_models,
    .files = files_of,
    .hash = hash_models,
    .check = check_models,
    .check_weights = check_weights,
    .describe_weights = describe_weights,
    .target = target_of,
    .identify = identify,
    .compute_target = moments_of,
    .record = record,
    .drawing = &gh_flow_drawing,
};
