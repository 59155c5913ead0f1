#include "method/setup.h"

#include "backend/registry.h"

#include <math.h>

gh_status gh_setup_device(gh_error *err, const char *id, bool training, gh_device **out) {
  gh_status status = gh_device_open(err, id, out);
  if (status == GH_ERROR_ARGUMENT) { /* the configuration is wrong, not the command line */
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

gh_lora_biases gh_setup_biases(const gh_lora_config *l) {
  return l->bias == GH_LORA_BIAS_ALL         ? GH_BIASES_ALL
         : l->bias == GH_LORA_BIAS_LORA_ONLY ? GH_BIASES_ADAPTED
                                             : GH_BIASES_NONE;
}

void gh_setup_lora(gh_lora *lora, const gh_config *c, const gh_models *models, gh_tensor *step) {
  const gh_lora_config *l = &c->lora;
  *lora = (gh_lora){.rank = l->enabled ? (int)l->rank : 0,
                    .alpha = l->alpha,
                    .dropout = l->dropout,
                    .biases = gh_setup_biases(l),
                    .targets = l->targets.all_linear ? NULL : (const char *const *)l->targets.names.items,
                    .target_count = (int)l->targets.names.count,
                    .adapter = models->adapter.file ? &models->adapter : NULL,
                    .step = step,
                    .seed = (uint64_t)c->seed,
                    .stage = 2};
}

/* condition.local_tokens, a share of the encoder's patch tokens in per cent, as the nearest count (halves up). */
static int64_t local_tokens(const gh_config *c, const gh_models *models) {
  int64_t patches = gh_vision_patches(&models->clip);
  return (int64_t)floor(c->local_tokens * (double)patches / 100 + 0.5);
}

gh_step_memory gh_setup_memory(const gh_config *c) {
  return (gh_step_memory){.masters = gh_precision_storage(c->master_weights),
                          .gradients = gh_precision_storage(c->gradients),
                          .short_moments = c->moments == GH_MOMENTS_8BIT,
                          .offload = c->offload == GH_OFFLOAD_OPTIMIZER};
}

gh_step_spec gh_setup_step(const gh_config *c, const gh_models *models, int stage, int64_t batch, const gh_lora *lora) {
  return (gh_step_spec){.models = models,
                        .source = c->data.latent_cache ? GH_STEP_GIVEN_TARGETS : GH_STEP_DRAWN,
                        .stage = stage,
                        .batch = batch,
                        .seed = (uint64_t)c->seed,
                        .storage = gh_precision_storage(c->precision),
                        .train_denoiser = c->train_denoiser,
                        .lora = lora,
                        .recompute = c->recompute == GH_RECOMPUTE_ALL,
                        .memory = gh_setup_memory(c),
                        .local_tokens = local_tokens(c, models)};
}
