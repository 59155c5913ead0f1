/* One training step as a graph: images to loss and gradients (the paper's Algorithms 1 and 2). Training, `probe` and
 * the tests record the same function; they differ in which values are drawn and which are given.
 *
 * The step encodes the images to the condition, gets the objective's targets, and has the objective record the loss
 * from both (method/objective.h). */
#ifndef GH_METHOD_STEP_H
#define GH_METHOD_STEP_H

#include "method/models.h"
#include "models/lora.h"

/* What the step starts from. Given tensors are in the store under the names in brackets. */
typedef enum gh_step_source {
  GH_STEP_DRAWN,         /* images given [input.images]; all random values are drawn on the device */
  GH_STEP_GIVEN_TARGETS, /* the same, but the objective's targets are also given [input.NAME], not computed */
  GH_STEP_GIVEN_IMAGES,  /* [input.images], and all random values are given */
  GH_STEP_GIVEN_IMAGES_AND_TARGETS, /* the same, but the objective's targets are also given [input.NAME] */
  GH_STEP_GIVEN_PIXELS /* [input.pixel_values], already normalised; targets and all random values are given */
} gh_step_source;

/* Which process keeps what the optimiser needs of a parameter, where several train together (train/shard.h). */
typedef struct gh_shard {
  int rank, ranks;
  int count;       /* trained parameters */
  int *owners;     /* (count) in the store's order */
  int64_t kept;    /* elements that this process updates */
  gh_strings away; /* sorted: tensors without memory here: parameters of which this process has only the bf16 copies,
                      and gradients */
  bool gradients;  /* what this process does not update has no gradient that lasts (train/windows.h) */
  int64_t window;  /* bytes of such gradients that are read together */
} gh_shard;

/* How little memory the training of a parameter takes ("memory" of the configuration). Zeros: all float32. */
typedef struct gh_step_memory {
  gh_dtype masters;   /* of matrices in bf16: GH_BF16, rounded at random, instead of GH_F32 */
  gh_dtype gradients; /* of matrices in bf16: GH_BF16, rounded at random, instead of GH_F32 */
  bool short_moments; /* 8 bits (cl/moments.h), of all but small parameters */
  bool offload;       /* moments and float32 masters are in the host's memory */
} gh_step_memory;

typedef struct gh_step_spec {
  gh_device *device;
  gh_store *store; /* parameters, gradients, inputs, the step block */
  const gh_models *models;
  gh_step_source source;
  int stage;     /* 1: denoiser and projectors train; 2: the encoder trains */
  int64_t batch; /* samples per replay: the micro-batch */
  uint64_t seed;
  gh_dtype storage;      /* narrow: mixed precision (models/module.h) in encoder, projectors and denoiser */
  bool train_denoiser;   /* also in stage 2 ("all") */
  const gh_lora *lora;   /* stage 2; NULL: direct tuning */
  bool recompute;        /* a block's results are recomputed for its gradients, not kept */
  bool draft;            /* models without files get arbitrary numbers, quickly: for measuring speed */
  gh_step_memory memory; /* of what the step trains, and of its update */
  const gh_shard *shard; /* NULL: this process keeps all */
  bool outer;            /* the update also keeps the momentum of averages over processes (train/ranks_local.h) */
  int64_t local_tokens;  /* patch tokens per sample that join the context: all, in order, or a drawn subset; 0: none */
} gh_step_spec;

/* A tensor that a probe gives, and one that it reads. */
typedef struct gh_step_input {
  const char *name; /* static text; the tensor is "input.<name>" */
  gh_tensor *tensor;
  int64_t below;    /* integer inputs are in [0, below) */
  const char *what; /* what integer inputs select from: "patch tokens" */
} gh_step_input;

typedef struct gh_step_output {
  const char *name;
  gh_tensor *tensor;
  gh_tensor *index; /* (B, M) int32 or NULL: only rows of the tensor (B, M, ...) with an index >= 0 are results */
} gh_step_output;

#define GH_STEP_INPUTS  16
#define GH_STEP_OUTPUTS 8
#define GH_STEP_LOGS    8
#define GH_STEP_CARRIED 2

typedef struct gh_step {
  gh_graph *graph;
  gh_tensor *images;     /* the input: (B, 3, S, S) in [0, 1], or the given pixel_values */
  gh_tensor *targets;    /* the input of GH_STEP_GIVEN_TARGETS (B, ...), else NULL */
  gh_tensor *block;      /* (16) uint32, cl/step.h */
  gh_tensor *loss_total; /* () persistent: accumulates over the micro-batches of an update */
  gh_tensor *loss;       /* () */
  gh_tensor *loss_scale; /* () persistent: gradients are those of the loss times this; NULL, 1: not in half precision */
  gh_tensor *scaling;    /* (4) persistent: with the scale, what an update changes of it (cl/step.h) */
  gh_step_input inputs[GH_STEP_INPUTS];
  int input_count;
  gh_step_output outputs[GH_STEP_OUTPUTS]; /* "condition" (B, D) and the objective's */
  int output_count;
  gh_tensor *logs[GH_STEP_LOGS]; /* () persistent: the objective's other numbers, accumulated like the loss */
  int log_count;
  gh_tensor *carried[GH_STEP_CARRIED]; /* persistent float32: what else one update leaves to the next; in the state */
  int carried_count;
  /* Of the spec, for the update: */
  int stage;
  uint64_t seed;
  gh_step_memory memory;
  const gh_shard *shard;
  bool outer;
} gh_step;

/* Records and differentiates; does not plan. The caller frees the graph. A LoRA target that matches no layer is
 * GH_ERROR_CONFIG. */
gh_status gh_step_record(gh_error *err, const gh_step_spec *spec, gh_step *step);

/* The step block's 16 words (cl/step.h). */
typedef struct gh_step_values {
  double learning_rate;
  double beta1, beta2;
  uint64_t update;  /* 1, 2, ...: Adam's t */
  uint64_t ordinal; /* index of the micro-batch's first sample in the stage's stream */
  uint32_t samples; /* samples that are not padding */
  double weight;    /* of each sample: 1 / samples per update */
} gh_step_values;
/* Sends the values without waiting. */
gh_status gh_step_write(gh_error *err, gh_device *device, gh_tensor *block, const gh_step_values *values);

/* Reserves staging buffers for the sends of `replays` replays (images, targets, step blocks), which may all be in
 * flight. */
gh_status gh_step_reserve_sends(gh_error *err, gh_device *device, const gh_step *step, int64_t replays);

/* Clears the logged numbers before an update's first micro-batch, without waiting. */
gh_status gh_step_clear_logs(gh_error *err, gh_device *device, const gh_step *step);

/* Finds or adds a persistent float32 tensor. */
gh_status gh_step_tensor(gh_error *err, gh_store *store, const char *name, int rank, const int64_t *shape,
                         gh_tensor **out);
/* Finds or adds one of the blocks of cl/step.h, 16 words of uint32: "step", "control". */
gh_status gh_step_block(gh_error *err, gh_store *store, const char *name, gh_tensor **out);

#endif
