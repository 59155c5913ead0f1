/* Masked codes: the paper's discrete denoiser (Algorithm 2). A VQ-GAN turns a picture into codes, most of which are
 * masked; an encoder's token helps a transformer to predict them from the others. */
#ifndef GH_METHOD_MASKED_H
#define GH_METHOD_MASKED_H

#include "method/objective.h"
#include "models/perceiver.h"
#include "models/vqgan.h"

typedef enum gh_cross_attention { GH_CROSS_EVERY_LAYER, GH_CROSS_ONCE } gh_cross_attention;

/* Its keys: "autoencoder", "denoiser.*". */
typedef struct gh_masked_config {
  char *autoencoder; /* the VQ-GAN: a .safetensors file */
  int64_t layers, hidden, heads;
  double mask_ratio[2]; /* per sample uniform in [0], [1] */
  gh_cross_attention cross_attention;
} gh_masked_config;

typedef struct gh_masked_models {
  gh_vqgan_config vqgan;
  gh_perceiver_config perceiver;
  gh_safetensors *vqgan_file; /* NULL: random weights */
} gh_masked_models;

extern const gh_objective gh_masked_codes;
extern const gh_drawing gh_masked_drawing; /* masked_sampler.c */

/* The record and the models of a run with this objective. */
static inline const gh_masked_config *gh_masked_config_of(const gh_config *config) { return config->own; }
static inline const gh_masked_models *gh_masked_models_of(const gh_models *models) { return models->own; }

/* The module of the frozen tokenizer, without gradients. */
gh_module gh_masked_tokenizer(const gh_module *frozen, const gh_masked_models *own);

#endif
