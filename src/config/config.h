/* The run configuration: one JSON document. A table has one row per key, with its type, range and default. config.c has
 * the keys that every run has; a kind of denoiser adds its own (gh_config_kind).
 *
 * Errors are one line that names the file and the key; an unknown key comes with the nearest valid one. Strings and
 * lists are owned by the gh_config. */
#ifndef GH_CONFIG_CONFIG_H
#define GH_CONFIG_CONFIG_H

#include "backend/dtype.h"
#include "config/table.h"

typedef enum gh_precision { GH_PRECISION_FLOAT32, GH_PRECISION_BFLOAT16, GH_PRECISION_FLOAT16 } gh_precision;
/* How several processes divide a batch (docs/clusters.md). */
typedef enum gh_rank_split { GH_SPLIT_EVEN, GH_SPLIT_MEASURED } gh_rank_split;
/* How they add their gradients. */
typedef enum gh_reduce { GH_REDUCE_ORDERED, GH_REDUCE_FAST } gh_reduce;
/* From whose memory MPI takes them; auto: the device's where both allow it. */
typedef enum gh_buffers { GH_BUFFERS_AUTO, GH_BUFFERS_HOST, GH_BUFFERS_DEVICE } gh_buffers;
/* What they divide among them beside the batch. */
typedef enum gh_sharding { GH_SHARD_NONE, GH_SHARD_OPTIMIZER, GH_SHARD_GRADIENTS } gh_sharding;

typedef enum gh_recompute { GH_RECOMPUTE_AUTO, GH_RECOMPUTE_NONE, GH_RECOMPUTE_ALL } gh_recompute;
typedef enum gh_moments { GH_MOMENTS_FLOAT32, GH_MOMENTS_8BIT } gh_moments;
typedef enum gh_offload { GH_OFFLOAD_NONE, GH_OFFLOAD_OPTIMIZER } gh_offload;
typedef enum gh_lora_bias { GH_LORA_BIAS_NONE, GH_LORA_BIAS_LORA_ONLY, GH_LORA_BIAS_ALL } gh_lora_bias;

typedef enum gh_schedule { GH_SCHEDULE_CONSTANT, GH_SCHEDULE_COSINE } gh_schedule;

typedef struct gh_optimizer_config { /* AdamW */
  double lr, betas[2], eps, weight_decay;
  double clip_norm;     /* of the global gradient norm; 0: no clipping */
  int64_t warmup;       /* updates of linear warm-up */
  gh_schedule schedule; /* after that; cosine: down to 0 just after the last update */
  bool spare_vectors;   /* no weight decay of parameters with fewer than two dimensions */
} gh_optimizer_config;

typedef struct gh_stage_config {
  int64_t steps;       /* updates; 0: the stage is skipped */
  int64_t batch;       /* samples per update, over all ranks */
  int64_t micro_batch; /* samples per launch; 0: "auto" */
  gh_optimizer_config optimizer;
  gh_int_list checkpoint_at; /* snapshots after these updates ... */
  int64_t checkpoint_every;  /* ... and after every multiple of this one; 0: none */
} gh_stage_config;

typedef struct gh_lora_config {
  bool enabled; /* false ("lora": null): direct tuning of the encoder */
  int64_t rank;
  double alpha, dropout;
  gh_lora_bias bias;
  gh_target_list targets;
  char *adapter; /* PEFT folder to start from, or NULL */
} gh_lora_config;

typedef struct gh_data_config {
  gh_strings images; /* folders, .tar files, "cc3m-{00000..00331}.tar": as written */
  gh_strings keys;   /* of the pictures in a .tar's samples: what follows the first dot of a name */
  bool exif;         /* pictures are turned upright by their EXIF orientation */
  double crop_scale[2], crop_ratio[2];
  int64_t workers;
  bool latent_cache;          /* false: "latent_cache" is null */
  char *latent_cache_path;    /* folder, or NULL: below the output */
  int64_t latent_cache_crops; /* fixed crops per image */
} gh_data_config;

typedef struct gh_config gh_config;

/* A value of "denoiser.kind" with the keys that it adds to the document. The objectives are these kinds
 * (method/objective.h). */
typedef struct gh_config_kind {
  const char *name; /* "continuous" */
  const gh_row *rows;
  size_t row_count;
  size_t record_bytes;                                        /* of the record that the rows fill */
  gh_status (*check)(gh_error *err, const gh_config *config); /* combinations of keys; or NULL */
  const char *foreign;                                        /* "the continuous denoiser", for errors */
} gh_config_kind;

/* The kinds, the default first; NULL past the last one. method/objectives.c, which implements them, defines this
 * function, so that the configuration depends on no kind. */
const gh_config_kind *gh_config_kind_at(size_t index);

struct gh_config {
  int64_t version;
  char *clip; /* model folder */
  const gh_config_kind *kind;
  void *own;              /* the record of the kind's keys */
  char *denoiser_weights; /* "denoiser.weights": safetensors with denoiser and projectors, or NULL: fresh ones */
  double local_tokens;    /* condition.local_tokens: per cent of the patch tokens, 0 to 100 */
  gh_data_config data;
  gh_stage_config stages[2]; /* "stage1", "stage2" */
  gh_lora_config lora;       /* "stage2.lora" */
  bool train_denoiser;       /* "stage2.train_denoiser": the paper's "all" (true) or "only" (false) */
  gh_json *guard;            /* "stage2.guard": an object, or NULL */
  gh_precision precision;
  gh_precision autoencoder_precision; /* of the frozen autoencoder or tokenizer, in a step and for the cache */
  int64_t seed;
  char *device, *output;
  int64_t state_keep;
  double state_minutes;
  gh_recompute recompute;
  gh_precision gradients;      /* of matrices; bfloat16: rounded at random by every micro-batch */
  gh_moments moments;          /* 8bit: blocks of float numbers of eight bits (cl/moments.h) */
  gh_offload offload;          /* optimizer: float32 masters and moments are in the host's memory */
  gh_precision master_weights; /* what of the trained matrices is kept; bfloat16: rounded at random by every update */
  gh_rank_split split;
  gh_reduce reduce;
  gh_precision reduce_precision;
  gh_buffers buffers;
  gh_sharding shard;
  int64_t sync_every; /* updates between two averages; 1: every update is made together */
  double outer_lr, outer_momentum;
  double bucket;     /* MiB of gradients that travel together */
  gh_json *evaluate; /* an array; the evaluator reads its entries */
};

/* Sets every key to its default, then applies overrides as below. Required paths are "", and data.images is empty. */
gh_status gh_config_defaults(gh_error *err, gh_config *config, const char *const *overrides, size_t override_count);

/* Reads a document, applies overrides ("stage1.optimizer.lr=1e-3": a dotted key and a JSON value, or a bare string if
 * the value is not JSON), fills in defaults and checks everything. On failure *config is empty and needs no free. */
gh_status gh_config_read(gh_error *err, gh_config *config, const char *path, const char *const *overrides,
                         size_t override_count);
gh_status gh_config_parse(gh_error *err, gh_config *config, const char *name, const char *text, size_t size,
                          const char *const *overrides, size_t override_count);
gh_status gh_config_from_json(gh_error *err, gh_config *config, const char *name, const gh_json *document);
void gh_config_free(gh_config *config);

/* Why sums of gradients pass through the host's memory, whatever device and MPI allow; NULL: they need not. */
const char *gh_config_why_staged(const gh_config *config);

/* Writes the whole configuration, every key, in a fixed order. Reading it gives the same configuration. */
gh_status gh_config_to_json(gh_error *err, gh_json **out, const gh_config *config);

/* Whether a snapshot is due after this update (1 is the first). */
bool gh_config_checkpoint_due(const gh_stage_config *stage, int64_t update);

/* The name of an enumerated value as the document writes it: gh_precision_name(GH_PRECISION_BFLOAT16). */
const char *gh_precision_name(gh_precision precision);
/* The inverse; also accepts aliases. GH_ERROR_ARGUMENT lists the valid names. `what` is the option's name. */
gh_status gh_precision_find(gh_error *err, const char *what, const char *name, gh_precision *out);
/* The type in which a step of that precision stores matrices and activations. */
gh_dtype gh_precision_storage(gh_precision precision);

#endif
