/* Pre-training an autoencoder in FLUX's layout from images alone, for users without ae.safetensors: mean squared error
 * and a small KL term. Its latents are scaled to the spread of FLUX's latents, which the trainer expects. */
#ifndef GH_TRAIN_PRETRAIN_H
#define GH_TRAIN_PRETRAIN_H

#include "config/config.h"
#include "models/flux_vae.h"
#include "train/trainer.h"

typedef struct gh_pretrain_config {
  gh_data_config data;   /* images, crop_scale, crop_ratio, workers */
  gh_stage_config stage; /* steps, batch, micro_batch, optimizer */
  gh_vae_config vae;     /* built from the four values below */
  int64_t channels, blocks, latent;
  gh_int_list multipliers;
  int64_t image_size; /* a multiple of 2^(levels - 1) */
  double kl_weight;
  int64_t seed;
  int64_t state_keep;
  double state_minutes;
  char *device, *output; /* output/autoencoder.safetensors is the result */
} gh_pretrain_config;

/* Reads a JSON document with these keys: images (required), output (required), image_size, channels, multipliers,
 * blocks, latent, kl_weight, steps, batch, micro_batch, lr, warmup, crop_scale, crop_ratio, workers, seed, device. */
gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *config, const char *path,
                                  const char *const *overrides, size_t override_count);
void gh_pretrain_config_free(gh_pretrain_config *config);

/* Errors as in gh_train. */
gh_status gh_pretrain_autoencoder(gh_error *err, const gh_pretrain_config *config, const gh_train_options *options,
                                  gh_stage_report *report);

#endif
