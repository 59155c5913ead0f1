/* FLUX's autoencoder (layout and names of ae.safetensors): a convolutional encoder to a diagonal Gaussian, and its
 * decoder. */
#ifndef GH_MODELS_FLUX_VAE_H
#define GH_MODELS_FLUX_VAE_H

#include "models/autoencoder.h"

#define GH_VAE_SHIFT 0.1159 /* FLUX.1's */
#define GH_VAE_SCALE 0.3611

typedef gh_autoencoder_config gh_vae_config; /* without attention */

/* Opens an autoencoder and reads its sizes: a file in FLUX's layout, or a folder or file in diffusers' (AutoencoderKL
 * of FLUX.1: models/diffusers_vae.h), which then has FLUX's names. Latents are shifted and scaled as diffusers'
 * config.json says, FLUX's own as FLUX.1's. */
gh_status gh_vae_open(gh_error *err, gh_safetensors **out, gh_vae_config *config, const char *path);
/* Reads the sizes from the tensors' shapes; GH_ERROR_FORMAT if the file is not such an autoencoder, or has tensors that
 * it would not read (FLUX.2's quant_conv and bn). */
gh_status gh_vae_config_read(gh_error *err, const gh_safetensors *file, gh_vae_config *config);
int gh_vae_factor(const gh_vae_config *config); /* pixels per latent position: 8 */

/* images (B, 3, S, S) in [-1, 1] -> moments (B, 2 * latent, S/f, S/f): mean, log-variance. */
gh_tensor *gh_vae_encode(gh_module *m, const gh_vae_config *config, gh_tensor *images);
/* z (B, latent, h, w), unscaled -> images (B, 3, f*h, f*w), about [-1, 1]. */
gh_tensor *gh_vae_decode(gh_module *m, const gh_vae_config *config, gh_tensor *z);

/* The published sizes: ae.safetensors' 83 819 683 parameters in 244 tensors. */
extern const gh_vae_config gh_vae_flux;

/* Writes an autoencoder of these sizes with random weights (torch's initial values) in FLUX's layout, float32;
 * *parameters gets their number. The model's own functions create the tensors, on the device. */
gh_status gh_vae_write(gh_error *err, gh_device *device, const gh_vae_config *config, uint64_t seed, const char *path,
                       int64_t *parameters);

#endif
