/* What the two convolutional autoencoders, FLUX's and the VQ-GAN, have in common: levels of residual blocks with a
 * factor of 2 between them, a middle with attention, and the names of taming-transformers (encoder.down.0.block.0...,
 * decoder.up.3.upsample.conv...). */
#ifndef GH_MODELS_AUTOENCODER_H
#define GH_MODELS_AUTOENCODER_H

#include "models/walk.h"

#define GH_AUTOENCODER_MAX_LEVELS 6

typedef struct gh_autoencoder_config {
  int channels;                               /* of the first level: 128 */
  int levels;                                 /* 4: a factor of 2 between neighbours */
  int multipliers[GH_AUTOENCODER_MAX_LEVELS]; /* 1, 2, 4, 4 */
  int blocks;                                 /* residual blocks per level: 2 (the decoder has one more) */
  int latent;                                 /* channels that the decoder reads: 16 */
  double shift, scale;                        /* FLUX's: latents are (z - shift) * scale */
  bool attention;                             /* an attention block after each residual block of the last level */
} gh_autoencoder_config;

int gh_autoencoder_factor(const gh_autoencoder_config *config); /* pixels per latent position */

/* Reads the sizes from the tensors' shapes; `attention` stays false. GH_ERROR_FORMAT if there is none or one is
 * implausible; layout: "an autoencoder in FLUX's layout". */
gh_status gh_autoencoder_config_read(gh_error *err, const gh_safetensors *file, const char *layout,
                                     gh_autoencoder_config *config);

/* Visits every tensor of encoder and decoder; the encoder gives `outputs` channels. */
void gh_autoencoder_walk(gh_walk *w, const gh_autoencoder_config *config, int64_t outputs);
/* The weight and bias of a convolution. */
void gh_walk_conv(gh_walk *w, int64_t out, int64_t in, int kernel, const char *name);

/* images (B, 3, S, S) -> (B, outputs, S/f, S/f). */
gh_tensor *gh_autoencoder_encode(gh_module *m, const gh_autoencoder_config *config, gh_tensor *images, int64_t outputs);
/* z (B, latent, h, w) -> images (B, 3, f*h, f*w). */
gh_tensor *gh_autoencoder_decode(gh_module *m, const gh_autoencoder_config *config, gh_tensor *z);
/* A 1 x 1 convolution to `channels`. */
gh_tensor *gh_point_layer(gh_module *m, gh_tensor *x, int64_t channels, const char *name);

/* Writes a model with random weights (its functions' initial values), float32; *parameters gets their number. `record`
 * records the whole model once, with inputs that it adds to the store `inputs`: so the model's own functions create
 * the tensors, on the device. */
typedef gh_status gh_autoencoder_record(gh_module *m, const void *config, gh_store *inputs);
gh_status gh_autoencoder_write(gh_error *err, gh_device *device, gh_autoencoder_record *record, const void *config,
                               uint64_t seed, const char *path, int64_t *parameters);

#endif
