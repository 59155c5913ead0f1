/* The VQ-GAN (layout and names of taming-transformers): a convolutional encoder whose latents are replaced by the
 * nearest rows of a codebook, and its decoder. It turns a picture into a grid of codes, the targets of the discrete
 * denoiser. The codebook and the distances are float32, whatever the storage type of the module; no gradient passes the
 * codes (train/pretrain_vqgan.c leads it around them). */
#ifndef GH_MODELS_VQGAN_H
#define GH_MODELS_VQGAN_H

#include "models/autoencoder.h"

typedef struct gh_vqgan_config {
  int channels;                               /* of the first level: 128 */
  int levels;                                 /* 5: a factor of 2 between neighbours */
  int multipliers[GH_AUTOENCODER_MAX_LEVELS]; /* 1, 1, 2, 2, 4 */
  int blocks;                                 /* residual blocks per level: 2 (the decoder has one more) */
  int latent;                                 /* channels that the encoder gives and the decoder reads: 256 */
  int embedding;                              /* width of a codebook row: 256 */
  int codes;                                  /* K, rows of the codebook: 1024 or 16384 */
} gh_vqgan_config;

/* Reads the sizes from the tensors' shapes. GH_ERROR_FORMAT names the first tensor that is missing or has another
 * shape, and a tensor of the model that would not be read; other tensors (loss.*) are ignored. */
gh_status gh_vqgan_config_read(gh_error *err, const gh_safetensors *file, gh_vqgan_config *config);
int gh_vqgan_factor(const gh_vqgan_config *config); /* pixels per position: 16 */

/* images (B, 3, S, S) in [-1, 1], S a multiple of the factor f -> latents before quantisation, (B, embedding, S/f,
 * S/f). */
gh_tensor *gh_vqgan_latents(gh_module *m, const gh_vqgan_config *config, gh_tensor *images);
/* The same images -> codes (B, N) int32 in [0, K), N = (S/f)^2 positions row by row: the nearest codebook row by
 * squared distance, the lowest index at a tie. */
gh_tensor *gh_vqgan_encode(gh_module *m, const gh_vqgan_config *config, gh_tensor *images);

/* The two halves of gh_vqgan_encode: images -> the latents by position, (B, N, embedding); those -> codes (B, N). */
gh_tensor *gh_vqgan_rows(gh_module *m, const gh_vqgan_config *config, gh_tensor *images);
gh_tensor *gh_vqgan_quantize(gh_module *m, const gh_vqgan_config *config, gh_tensor *rows);

gh_tensor *gh_vqgan_codebook(gh_module *m, const gh_vqgan_config *config); /* (K, embedding) */
/* codes (B, N) int32 -> their codebook rows (B, N, embedding). */
gh_tensor *gh_vqgan_vectors(gh_module *m, const gh_vqgan_config *config, gh_tensor *codes);
/* codes (B, N) int32, N = h^2 -> images (B, 3, f*h, f*h), about [-1, 1]. */
gh_tensor *gh_vqgan_decode(gh_module *m, const gh_vqgan_config *config, gh_tensor *codes);
/* The same from vectors (B, N, embedding). */
gh_tensor *gh_vqgan_decode_vectors(gh_module *m, const gh_vqgan_config *config, gh_tensor *vectors);

/* The published sizes with K = 16384, 76 073 859 parameters in 343 tensors, and with K = 1024, 72 141 699. */
extern const gh_vqgan_config gh_vqgan_f16, gh_vqgan_f16_1024;
extern const gh_vqgan_config gh_vqgan_tiny; /* 128 codes 32 wide, for tests and first steps; the same factor */

/* Writes a VQ-GAN of these sizes with random weights in this layout, float32; *parameters gets their number. Layers
 * have torch's initial values, the codebook taming-transformers', uniform in +-1/K. */
gh_status gh_vqgan_write(gh_error *err, gh_device *device, const gh_vqgan_config *config, uint64_t seed,
                         const char *path, int64_t *parameters);

#endif
