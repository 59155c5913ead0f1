/* Pre-training: a model that a run needs and its user may not have. The kinds are rows of one mechanism: an autoencoder
 * in FLUX's layout (pretrain_autoencoder.c) and a VQ-GAN (pretrain_vqgan.c), from images alone; and CLIP
 * (pretrain_clip.c), from images with captions. */
#ifndef GH_TRAIN_PRETRAIN_H
#define GH_TRAIN_PRETRAIN_H

#include "config/config.h"
#include "config/table.h"
#include "models/flux_vae.h"
#include "models/vqgan.h"
#include "train/caption_tokens.h"
#include "train/contrastive.h"
#include "train/loop.h"
#include "train/trainer.h"

typedef struct gh_pretrain_kind gh_pretrain_kind;

typedef struct gh_pretrain_config {
  const gh_pretrain_kind *kind;
  gh_data_config data;   /* images, crop_scale, crop_ratio, workers */
  gh_stage_config stage; /* steps, batch, micro_batch, optimizer */
  int64_t image_size;
  int64_t seed;
  int64_t state_keep;
  double state_minutes;
  char *device, *output; /* output/NAME.safetensors is the result, or the folder output/clip */

  /* of an autoencoder and a VQ-GAN */
  int64_t channels, blocks, latent;
  gh_int_list multipliers; /* image_size is a multiple of 2^(levels - 1) */

  /* of an autoencoder */
  double kl_weight;
  gh_vae_config vae; /* built from the sizes */

  /* of a VQ-GAN */
  int64_t embedding, codes;
  double commitment;    /* beta */
  int64_t revive_every; /* updates; 0: never */
  gh_vqgan_config vqgan;

  /* of CLIP */
  int64_t patch, width, layers, heads; /* of the vision tower */
  int64_t text_width, text_layers, text_heads;
  int64_t projection, context; /* D; tokens of a line, at most */
  int64_t vocabulary;          /* tokens, at most, of a vocabulary that is learnt from the captions */
  char *tokenizer;             /* a folder with CLIP's tokenizer, or NULL: one is learnt */
  gh_arch clip;                /* built from the sizes; its vocabulary is the greatest possible */
} gh_pretrain_config;

/* Reads a JSON document with these keys: images (required), output (required), image_size, steps, batch, micro_batch,
 * lr, warmup, crop_scale, crop_ratio, keys, exif, workers, seed, device, state_keep, state_minutes; of an autoencoder
 * and a VQ-GAN channels, multipliers and blocks; and the kind's own. */
gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *config, const gh_pretrain_kind *kind,
                                  const char *path, const char *const *overrides, size_t override_count);
void gh_pretrain_config_free(gh_pretrain_config *config);

/* Trains what config->kind says. Errors as in gh_train. */
gh_status gh_pretrain(gh_error *err, const gh_pretrain_config *config, const gh_train_options *options,
                      gh_stage_report *report);

/* ---- the kinds ---- */

/* What a kind keeps of the recorded step, for its other functions. */
typedef struct gh_pretrain_kept {
  gh_tensor *latents; /* kept by the graph: z (B, latent, h, w); of a VQ-GAN by position, (B, N, embedding); or NULL */
  gh_tensor *codebook, *usage; /* of a VQ-GAN: (K, embedding); (K) how often each row was chosen in this interval */
  gh_contrastive contrastive;  /* of CLIP */
} gh_pretrain_kept;

#define GH_PRETRAIN_NUMBERS 16

typedef struct gh_pretraining {
  const gh_pretrain_config *config;
  gh_pretrain_config turned; /* config, for a run whose pictures go on being turned */
  gh_pretrain_kept kept;
  gh_image_set *images;
  gh_caption_tokens *captions; /* of CLIP, else NULL */
  bool began;                  /* the output folder has been written to */
  gh_loop loop;                /* its `user` is this record */
} gh_pretraining;

struct gh_pretrain_kind {
  const char *name;   /* "vqgan": the label, and the result's name in the output folder */
  const char *ending; /* ".safetensors" of the result; "": a folder */
  bool autoencodes;   /* has channels, multipliers and blocks */
  const gh_row *rows; /* its own keys, in a gh_pretrain_config */
  size_t row_count;
  int64_t micro_batch; /* the largest of "auto" */
  /* Builds the model's sizes from the values, which are each in their range. */
  gh_status (*size)(gh_error *err, gh_pretrain_config *config);
  /* The numbers that identify a run of its kind beside the common ones; returns how many, at most
   * GH_PRETRAIN_NUMBERS. */
  int (*numbers)(const gh_pretrain_config *config, gh_metrics_number *out);
  /* Opens what the kind reads beside the images, before anything is recorded or written. May leave images out of
   * p->images. NULL: nothing. */
  gh_status (*open)(gh_error *err, gh_pretraining *p);
  /* Records the loss () of step->images (B, 3, S, S) in [0, 1], of which step->block says how many count; fills the
   * step's logs and what it carries. NULL: the gradients and the loss's total are recorded, too, or after a failure,
   * which the graph has. */
  gh_tensor *(*record)(gh_module *m, const gh_pretrain_config *config, gh_step *step, gh_pretrain_kept *kept);
  /* Changes the initial values of a parameter; NULL: nothing. */
  void (*start)(const gh_pretrain_config *config, const char *name, float *values, int64_t n);
  /* gh_loop.send and gh_loop.replays; NULL: as there. `replays` only if the micro-batch is not the batch. */
  gh_status (*send)(gh_error *err, gh_loop *loop, const gh_loader_sample *samples, int64_t count);
  gh_status (*replays)(gh_error *err, gh_loop *loop);
  /* gh_loop.after; NULL: nothing. */
  gh_status (*after)(gh_error *err, gh_loop *loop, const gh_update_result *result, gh_metrics_row *row);
  /* Measures a factor after training, and changes a parameter's values by it as they are written; NULL: the values are
   * written as they are. */
  gh_status (*measure)(gh_error *err, gh_pretraining *p, double *factor);
  void (*change)(const char *name, float *values, int64_t n, double factor);
  /* Writes the result's other files into its folder, which exists. NULL: the result is one file. */
  gh_status (*write_beside)(gh_error *err, gh_pretraining *p, const char *folder);
};

/* Mean squared error and a small KL term. The latents are scaled to the spread of FLUX's latents, which the trainer
 * expects. */
extern const gh_pretrain_kind gh_pretrain_autoencoder;
/* Mean squared error, the codebook's and the commitment term (van den Oord et al., "Neural Discrete Representation
 * Learning", 2017). Rows of the codebook that nothing chooses are revived. */
extern const gh_pretrain_kind gh_pretrain_vqgan;
/* CLIP's symmetric contrastive loss with its learnt temperature (Radford et al., "Learning Transferable Visual Models
 * From Natural Language Supervision", 2021). The result is a model folder. */
extern const gh_pretrain_kind gh_pretrain_clip;

/* Revives rows of a codebook: those with usage 0 get rows of `latents` (count, width), drawn without replacement, as
 * long as there are any; their moments are zeroed. codebook, m, v (codes, width), usage (codes). Returns how many. */
int64_t gh_codebook_revive(gh_stream stream, uint64_t update, const float *usage, int64_t codes, const float *latents,
                           int64_t count, int64_t width, float *codebook, float *m, float *v);

#endif
