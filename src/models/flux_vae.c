#include "models/flux_vae.h"

#include <stdlib.h>

#include "models/diffusers_vae.h"
#include "models/unread.h"

#define CODEBOOK "quantize.embedding.weight"

const gh_vae_config gh_vae_flux = {.channels = 128,
                                   .levels = 4,
                                   .multipliers = {1, 2, 4, 4},
                                   .blocks = 2,
                                   .latent = 16,
                                   .shift = GH_VAE_SHIFT,
                                   .scale = GH_VAE_SCALE};

int gh_vae_factor(const gh_vae_config *c) { return gh_autoencoder_factor(c); }

static void walk(gh_walk *w, const void *config) {
  const gh_vae_config *c = config;
  gh_autoencoder_walk(w, c, 2 * (int64_t)c->latent);
}

gh_status gh_vae_config_read(gh_error *err, const gh_safetensors *file, gh_vae_config *c) {
  if (gh_safetensors_find(file, CODEBOOK))
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: a VQ-GAN (it has " CODEBOOK
                   "), not an autoencoder in FLUX's layout: its encoder.conv_out has no "
                   "log-variance",
                   gh_safetensors_path(file));
  static const char layout[] = "an autoencoder in FLUX's layout";
  gh_status status = gh_autoencoder_config_read(err, file, layout, c);
  c->shift = GH_VAE_SHIFT;
  c->scale = GH_VAE_SCALE;
  return status ? status : gh_check_tensors_by_walk(err, file, layout, walk, c);
}

gh_status gh_vae_open(gh_error *err, gh_safetensors **out, gh_vae_config *c, const char *path) {
  char *weights = NULL;
  double shift = GH_VAE_SHIFT, scale = GH_VAE_SCALE;
  *out = NULL;
  gh_status status = gh_diffusers_find(err, &weights, path);
  if (!status) status = gh_safetensors_open(err, out, weights);
  if (!status && gh_diffusers_is(*out)) status = gh_diffusers_translate(err, *out, weights, &shift, &scale);
  if (!status) status = gh_vae_config_read(err, *out, c);
  c->shift = shift;
  c->scale = scale;
  free(weights);
  if (!status) return GH_OK;
  gh_safetensors_close(*out);
  *out = NULL;
  return status;
}

gh_tensor *gh_vae_encode(gh_module *m, const gh_vae_config *c, gh_tensor *images) {
  return gh_cast(m->graph, gh_autoencoder_encode(m, c, images, 2 * (int64_t)c->latent), GH_F32);
}

gh_tensor *gh_vae_decode(gh_module *m, const gh_vae_config *c, gh_tensor *z) { return gh_autoencoder_decode(m, c, z); }

/* ---- random weights ---- */

static gh_status record(gh_module *m, const void *config, gh_store *inputs) {
  const gh_vae_config *c = config;
  gh_error *err = gh_graph_error(m->graph);
  int64_t side = 2 * gh_vae_factor(c);
  gh_tensor *image = NULL, *latent = NULL;
  if (gh_store_add(err, inputs, "image", GH_F32, 4, (int64_t[]){1, 3, side, side}, &image) ||
      gh_store_add(err, inputs, "latent", GH_F32, 4, (int64_t[]){1, c->latent, 2, 2}, &latent))
    return err->status;
  gh_vae_encode(m, c, image);
  gh_vae_decode(m, c, latent);
  return err->status;
}

gh_status gh_vae_write(gh_error *err, gh_device *device, const gh_vae_config *config, uint64_t seed, const char *path,
                       int64_t *parameters) {
  return gh_autoencoder_write(err, device, record, config, seed, path, parameters);
}
