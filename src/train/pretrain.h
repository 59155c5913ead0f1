/* Pre-training: a model that a run needs and its user may not have, from images alone. The kinds are rows of one
 * mechanism: an autoencoder in FLUX's layout (pretrain_autoencoder.c) and a VQ-GAN (pretrain_vqgan.c). */
#ifndef GH_TRAIN_PRETRAIN_H
#define GH_TRAIN_PRETRAIN_H

#include "config/config.h"
#include "config/table.h"
#include "models/flux_vae.h"
#include "models/vqgan.h"
#include "train/loop.h"
#include "train/trainer.h"

typedef struct gh_pretrain_kind gh_pretrain_kind;

typedef struct gh_pretrain_config {
  const gh_pretrain_kind *kind;
  gh_data_config data;   /* images, crop_scale, crop_ratio, workers */
  gh_stage_config stage; /* steps, batch, micro_batch, optimizer */
  int64_t channels, blocks, latent;
  gh_int_list multipliers;
  int64_t image_size; /* a multiple of 2^(levels - 1) */
  int64_t seed;
  int64_t state_keep;
  double state_minutes;
  char *device, *output; /* output/NAME.safetensors is the result */

  /* of an autoencoder */
  double kl_weight;
  gh_vae_config vae; /* built from the sizes */

  /* of a VQ-GAN */
  int64_t embedding, codes;
  double commitment;    /* beta */
  int64_t revive_every; /* updates; 0: never */
  gh_vqgan_config vqgan;
} gh_pretrain_config;

/* Reads a JSON document with these keys: images (required), output (required), image_size, channels, multipliers,
 * blocks, latent, steps, batch, micro_batch, lr, warmup, crop_scale, crop_ratio, keys, exif, workers, seed, device,
 * state_keep, state_minutes, and the kind's own. */
gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *config, const gh_pretrain_kind *kind,
                                  const char *path, const char *const *overrides, size_t override_count);
void gh_pretrain_config_free(gh_pretrain_config *config);

/* Trains what config->kind says. Errors as in gh_train. */
gh_status gh_pretrain(gh_error *err, const gh_pretrain_config *config, const gh_train_options *options,
                      gh_stage_report *report);

/* ---- the kinds ---- */

/* What a kind keeps of the recorded step, for its other functions. */
typedef struct gh_pretrain_kept {
  gh_tensor *latents;          /* kept by the graph: z (B, latent, h, w); of a VQ-GAN by position, (B, N, embedding) */
  gh_tensor *codebook, *usage; /* of a VQ-GAN: (K, embedding); (K) how often each row was chosen in this interval */
} gh_pretrain_kept;

typedef struct gh_pretraining {
  const gh_pretrain_config *config;
  gh_pretrain_config turned; /* config, for a run whose pictures go on being turned */
  gh_pretrain_kept kept;
  gh_image_set *images;
  bool began;   /* the output folder has been written to */
  gh_loop loop; /* its `user` is this record */
} gh_pretraining;

struct gh_pretrain_kind {
  const char *name;   /* "vqgan": the label, and the result's file */
  const gh_row *rows; /* its own keys, in a gh_pretrain_config */
  size_t row_count;
  void (*size)(gh_pretrain_config *config); /* builds the model's sizes from the checked values */
  /* The numbers that identify a run of its kind beside the common ones; returns how many, at most
   * GH_METRICS_NUMBERS. */
  int (*numbers)(const gh_pretrain_config *config, gh_metrics_number *out);
  /* Records the loss () of step->images (B, 3, S, S) in [0, 1], of which step->block says how many count; fills the
   * step's logs and what it carries. NULL after a failure, which the graph has. */
  gh_tensor *(*record)(gh_module *m, const gh_pretrain_config *config, gh_step *step, gh_pretrain_kept *kept);
  /* Changes the initial values of a parameter; NULL: nothing. */
  void (*start)(const char *name, float *values, int64_t n);
  /* gh_loop.after; NULL: nothing. */
  gh_status (*after)(gh_error *err, gh_loop *loop, const gh_update_result *result, gh_metrics_row *row);
  /* Measures a factor after training, and changes a parameter's values by it as they are written; NULL: the values are
   * written as they are. */
  gh_status (*measure)(gh_error *err, gh_pretraining *p, double *factor);
  void (*change)(const char *name, float *values, int64_t n, double factor);
};

/* Mean squared error and a small KL term. The latents are scaled to the spread of FLUX's latents, which the trainer
 * expects. */
extern const gh_pretrain_kind gh_pretrain_autoencoder;
/* Mean squared error, the codebook's and the commitment term (van den Oord et al., "Neural Discrete Representation
 * Learning", 2017). Rows of the codebook that nothing chooses are revived. */
extern const gh_pretrain_kind gh_pretrain_vqgan;

/* Revives rows of a codebook: those with usage 0 get rows of `latents` (count, width), drawn without replacement, as
 * long as there are any; their moments are zeroed. codebook, m, v (codes, width), usage (codes). Returns how many. */
int64_t gh_codebook_revive(gh_stream stream, uint64_t update, const float *usage, int64_t codes, const float *latents,
                           int64_t count, int64_t width, float *codebook, float *m, float *v);

#endif
