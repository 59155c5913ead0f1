#include "method/setup.h"
#include "base/file.h"
#include "io/preprocess.h"
#include "models/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

gh_status gh_setup_refuse(gh_error *err, const gh_config *c) {
  const struct {
    bool refused;
    const char *what;
  } table[] = {
      {c->denoiser.kind != GH_DENOISER_CONTINUOUS, "denoiser.kind \"discrete\""},
      {c->precision == GH_PRECISION_FLOAT16, "precision \"float16\""},
      {c->master_weights != GH_PRECISION_FLOAT32, "memory.master_weights other than \"float32\""},
      {c->moments != GH_PRECISION_FLOAT32, "memory.moments other than \"float32\""},
      {c->split != GH_SPLIT_EVEN, "distributed.split other than \"even\""},
      {c->reduce != GH_REDUCE_ORDERED, "distributed.reduce other than \"ordered\""},
      {c->shard != GH_SHARD_NONE, "distributed.shard other than \"none\""},
  };
  for (size_t i = 0; i < GH_COUNT(table); i++)
    if (table[i].refused) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s is not supported yet", table[i].what);
  return GH_OK;
}

gh_status gh_setup_device(gh_error *err, const char *id, bool training, gh_device **out) {
  gh_status status = gh_device_open(err, id, out);
  if (status == GH_ERROR_ARGUMENT) { /* it is the configuration that is wrong, not the command line */
    gh_fail_in(err, "device");
    return err->status = GH_ERROR_CONFIG;
  }
  if (status || !training || !(*out)->info.unfit) return status;
  status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s (%s) cannot train: %s", (*out)->info.id, (*out)->info.name,
                   (*out)->info.unfit);
  gh_device_close(*out);
  *out = NULL;
  return status;
}

static gh_status open_adapter(gh_error *err, gh_safetensors **out, const char *folder) {
  char *path = gh_path_join(err, folder, "adapter_model.safetensors");
  gh_status status = path ? gh_safetensors_open(err, out, path) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

static void flux_sizes(gh_flux_config *flux, const gh_denoiser_config *d, int latent) {
  *flux = (gh_flux_config){.double_blocks = (int)d->double_blocks,
                           .single_blocks = (int)d->single_blocks,
                           .hidden = (int)d->hidden,
                           .heads = (int)d->heads,
                           .mlp_ratio = d->mlp_ratio,
                           .channels = 4 * latent,
                           .context_width = (int)d->context_width,
                           .vector_width = (int)d->vector_width,
                           .guidance = d->guidance};
  for (int i = 0; i < 3; i++) flux->rope_axes[i] = (int)d->rope_axes[i];
}

/* A denoiser says in which convention it was trained; one from elsewhere says nothing. */
static gh_status check_convention(gh_error *err, const gh_models *m, const gh_config *c) {
  const char *said = m->denoiser_file ? gh_safetensors_metadata(m->denoiser_file, "timestep.convention") : NULL;
  const char *want = c->timestep.convention == GH_TIME_NOISE_AT_ONE ? "noise_at_one" : "data_at_one";
  if (!said || !strcmp(said, want)) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "%s was trained with timestep.convention \"%s\", the run says \"%s\"",
                 gh_safetensors_path(m->denoiser_file), said, want);
}

gh_status gh_models_open(gh_error *err, gh_models *m, const gh_config *c, const char *denoiser, const char *adapter) {
  *m = (gh_models){0};
  gh_preprocess preprocess;
  if (!denoiser) denoiser = c->denoiser.weights;
  if (!adapter && c->lora.enabled) adapter = c->lora.adapter;
  const char *key = "clip"; /* to name in an error: its text begins with the file */
  gh_status status = gh_vision_config_read(err, c->clip, &m->clip);
  if (!status) status = gh_weights_open(err, &m->clip_file, c->clip);
  if (!status) status = gh_vision_preprocess_read(err, &preprocess, c->clip, &m->clip);
  if (!status) {
    key = "autoencoder";
    status = gh_safetensors_open(err, &m->vae_file, c->autoencoder);
  }
  if (!status) status = gh_vae_config_read(err, m->vae_file, &m->vae);
  if (!status && denoiser) {
    key = denoiser == c->denoiser.weights ? "denoiser.weights" : "denoiser";
    status = gh_safetensors_open(err, &m->denoiser_file, denoiser);
    if (!status) status = check_convention(err, m, c);
  }
  if (!status && adapter) {
    key = "stage2.lora.adapter";
    status = open_adapter(err, &m->adapter_file, adapter);
  }
  if (status) {
    gh_models_close(m);
    return status == GH_ERROR_MEMORY ? status : gh_fail_in(err, "%s", key);
  }
  memcpy(m->image_mean, preprocess.mean, sizeof m->image_mean);
  memcpy(m->image_std, preprocess.std, sizeof m->image_std);
  flux_sizes(&m->flux, &c->denoiser, m->vae.latent);
  return GH_OK;
}

#define HASHED_BYTES ((size_t)4096) /* of each tensor */

static uint64_t file_hash(const gh_safetensors *file, uint64_t seed) {
  for (size_t i = 0; file && i < gh_safetensors_count(file); i++) {
    const gh_st_tensor *t = gh_safetensors_at(file, i);
    seed = XXH64(t->name, strlen(t->name), seed);
    seed = XXH64(t->shape, (size_t)t->rank * sizeof *t->shape, seed + (uint64_t)t->dtype);
    seed = XXH64(t->data, GH_MIN(t->bytes, HASHED_BYTES), seed);
  }
  return seed;
}

uint64_t gh_models_hash(const gh_models *m) {
  const gh_safetensors *files[] = {m->clip_file, m->vae_file, m->denoiser_file, m->adapter_file};
  uint64_t hash = 1;
  for (size_t i = 0; i < GH_COUNT(files); i++) hash = file_hash(files[i], hash + i);
  return hash;
}

void gh_models_close(gh_models *m) {
  gh_safetensors_close(m->clip_file);
  gh_safetensors_close(m->vae_file);
  gh_safetensors_close(m->denoiser_file);
  gh_safetensors_close(m->adapter_file);
  *m = (gh_models){0};
}

void gh_setup_lora(gh_lora *lora, const gh_config *c, const gh_models *models, gh_tensor *step) {
  const gh_lora_config *l = &c->lora;
  *lora = (gh_lora){.rank = l->enabled ? (int)l->rank : 0,
                    .alpha = l->alpha,
                    .dropout = l->dropout,
                    .biases = l->bias == GH_LORA_BIAS_ALL         ? GH_BIASES_ALL
                              : l->bias == GH_LORA_BIAS_LORA_ONLY ? GH_BIASES_ADAPTED
                                                                  : GH_BIASES_NONE,
                    .targets = l->all_linear ? NULL : (const char *const *)l->targets.items,
                    .target_count = (int)l->targets.count,
                    .adapter = models->adapter_file,
                    .step = step,
                    .seed = (uint64_t)c->seed,
                    .stage = 2};
}

int64_t gh_setup_local_tokens(const gh_config *c, const gh_models *models) {
  int64_t patches = gh_vision_patches(&models->clip);
  return (int64_t)floor(c->local_tokens * (double)patches / 100 + 0.5);
}

gh_step_spec gh_setup_step(const gh_config *c, const gh_models *models, int stage, int64_t batch, const gh_lora *lora) {
  return (gh_step_spec){.models = models,
                        .source = c->data.latent_cache ? GH_STEP_GIVEN_MOMENTS : GH_STEP_DRAWN,
                        .stage = stage,
                        .batch = batch,
                        .seed = (uint64_t)c->seed,
                        .storage = c->precision == GH_PRECISION_BFLOAT16 ? GH_BF16 : GH_F32,
                        .train_denoiser = c->train_denoiser,
                        .lora = lora,
                        .timestep = c->timestep.distribution,
                        .timestep_scale = c->timestep.scale,
                        .noise_at_one = c->timestep.convention == GH_TIME_NOISE_AT_ONE,
                        .recompute = c->recompute == GH_RECOMPUTE_ALL,
                        .local_tokens = gh_setup_local_tokens(c, models)};
}
