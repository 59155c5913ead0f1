/* One training step as a graph: images to loss and gradients (the paper's Algorithm 1). Training, `probe` and the tests
 * record the same function; they differ in what is drawn and what is given. */
#ifndef GH_METHOD_STEP_H
#define GH_METHOD_STEP_H

#include "config/config.h"
#include "models/flux_dit.h"
#include "models/flux_vae.h"
#include "models/lora.h"
#include "models/vision.h"

/* The models of a run: sizes, and the files their weights come from. */
typedef struct gh_models {
  gh_vision_config clip;
  gh_vae_config vae;
  gh_flux_config flux;
  double image_mean[3], image_std[3]; /* the encoder's normalisation */
  gh_safetensors *clip_file, *vae_file;
  gh_safetensors *denoiser_file; /* denoiser and projectors; NULL: initialised from the seed */
  gh_safetensors *adapter_file;  /* a PEFT adapter; NULL: fresh */
} gh_models;

/* What the step starts from. Given tensors stand in the store under the names in brackets. */
typedef enum gh_step_source {
  GH_STEP_DRAWN,         /* images given [input.images]; noise, t and the latent's noise drawn on the device */
  GH_STEP_GIVEN_MOMENTS, /* the same, but the autoencoder's moments are given too [input.moments]: it is not run */
  GH_STEP_GIVEN_IMAGES,  /* [input.images], [input.latent_noise], [input.noise], [input.t] */
  GH_STEP_GIVEN_LATENTS  /* [input.pixel_values], [input.latents], [input.noise], [input.t] */
  /* and, in the latter two, where fewer than all patch tokens join the context: [input.local_index] (B, K) int32 */
} gh_step_source;

typedef struct gh_step_spec {
  gh_device *device;
  gh_store *store; /* parameters, gradients, inputs, the step block */
  const gh_models *models;
  gh_step_source source;
  int stage;     /* 1: denoiser and projectors train; 2: the encoder does */
  int64_t batch; /* samples a replay: the micro-batch */
  uint64_t seed;
  gh_dtype storage;    /* GH_BF16: mixed precision (models/module.h) in encoder, projectors and denoiser */
  bool train_denoiser; /* in stage 2 too ("all") */
  const gh_lora *lora; /* stage 2; NULL: direct tuning */
  gh_timestep_law timestep;
  double timestep_scale;
  bool noise_at_one; /* the time convention (FLUX's); otherwise the paper's */
  bool recompute;    /* what a block made is made again for its gradients, not kept */
  bool draft;        /* models without files get any numbers, quickly: for measuring speed */
  int64_t
      local_tokens; /* patch tokens that join the context: all of them in order, or fewer, drawn a sample; 0: none */
} gh_step_spec;

typedef struct gh_step {
  gh_graph *graph;
  gh_tensor *images;     /* the input: (B, 3, S, S) in [0, 1], or the given pixel_values */
  gh_tensor *moments;    /* the input (B, 2 * latent, S/8, S/8) of GH_STEP_GIVEN_MOMENTS, else NULL */
  gh_tensor *block;      /* (16) uint32, cl/step.h */
  gh_tensor *loss_total; /* () persistent: adds up over the micro-batches of an update */
  gh_tensor *loss;       /* () */
  gh_tensor *condition;  /* (B, D) */
  gh_tensor *latents;    /* x1, (B, N, 64) */
  gh_tensor *prediction; /* (B, N, 64) */
} gh_step;

/* Records and differentiates; does not plan. The graph is the caller's to free. A LoRA target that adapts nothing is
 * GH_ERROR_CONFIG. */
gh_status gh_step_record(gh_error *err, const gh_step_spec *spec, gh_step *step);

/* The step block's 16 words (cl/step.h). */
typedef struct gh_step_values {
  double learning_rate;
  double beta1, beta2;
  uint64_t update;  /* 1, 2, ...: Adam's t */
  uint64_t ordinal; /* of the micro-batch's first sample in the stage's stream */
  uint32_t samples; /* that count */
  double weight;    /* of each: 1 / samples an update */
} gh_step_values;
/* Sends them, without waiting. */
gh_status gh_step_write(gh_error *err, gh_device *device, gh_tensor *block, const gh_step_values *values);

/* Staging memory for what so many replays are sent, which may all be under way: images, moments, step blocks. */
gh_status gh_step_reserve_sends(gh_error *err, gh_device *device, const gh_step *step, int64_t replays);

/* Finds or adds a persistent float32 tensor. */
gh_status gh_step_tensor(gh_error *err, gh_store *store, const char *name, int rank, const int64_t *shape,
                         gh_tensor **out);
/* Finds or adds one of the blocks of cl/step.h, 16 words of uint32: "step", "control". */
gh_status gh_step_block(gh_error *err, gh_store *store, const char *name, gh_tensor **out);

#endif
