/* The run configuration: one JSON document whose every key, type, range and default is a row of config.c's table.
 *
 * Errors are one line that names the file and the key: an unknown key comes with the nearest valid one. A value that
 * the trainer does not serve on this build is accepted here and refused by the trainer, by name. Strings and lists are
 * owned by the gh_config. */
#ifndef GH_CONFIG_CONFIG_H
#define GH_CONFIG_CONFIG_H

#include "backend/backend.h"
#include "base/json.h"
#include "base/text.h"

typedef enum gh_denoiser_kind { GH_DENOISER_CONTINUOUS, GH_DENOISER_DISCRETE } gh_denoiser_kind;
typedef enum gh_timestep_law { GH_TIMESTEP_LOGIT_NORMAL, GH_TIMESTEP_UNIFORM } gh_timestep_law;
/* NOISE_AT_ONE: x_t = (1-t) x1 + t x0, target x0 - x1 (FLUX); DATA_AT_ONE: the paper's Eq. 3, mirrored. */
typedef enum gh_time_convention { GH_TIME_NOISE_AT_ONE, GH_TIME_DATA_AT_ONE } gh_time_convention;
typedef enum gh_precision { GH_PRECISION_FLOAT32, GH_PRECISION_BFLOAT16, GH_PRECISION_FLOAT16 } gh_precision;
typedef enum gh_recompute { GH_RECOMPUTE_AUTO, GH_RECOMPUTE_NONE, GH_RECOMPUTE_ALL } gh_recompute;
typedef enum gh_lora_bias { GH_LORA_BIAS_NONE, GH_LORA_BIAS_LORA_ONLY, GH_LORA_BIAS_ALL } gh_lora_bias;
typedef enum gh_split_rule { GH_SPLIT_EVEN, GH_SPLIT_SPEED } gh_split_rule;
typedef enum gh_reduce_rule { GH_REDUCE_ORDERED, GH_REDUCE_FAST } gh_reduce_rule;
typedef enum gh_shard_rule { GH_SHARD_NONE, GH_SHARD_OPTIMIZER } gh_shard_rule;

typedef struct gh_int_list {
  int64_t *items;
  size_t count;
} gh_int_list;

typedef struct gh_optimizer_config { /* AdamW */
  double lr, betas[2], eps, weight_decay;
  double clip_norm; /* of the global gradient norm; 0: no clipping */
  int64_t warmup;   /* updates of linear warm-up */
} gh_optimizer_config;

typedef struct gh_stage_config {
  int64_t steps;       /* updates; 0 leaves the stage out */
  int64_t batch;       /* samples an update, over all ranks */
  int64_t micro_batch; /* samples a launch; 0: "auto" */
  gh_optimizer_config optimizer;
  gh_int_list checkpoint_at; /* snapshots after these updates ... */
  int64_t checkpoint_every;  /* ... and after every multiple of this one; 0: none */
} gh_stage_config;

typedef struct gh_denoiser_config {
  gh_denoiser_kind kind;
  int64_t hidden, heads;
  char *weights; /* safetensors with denoiser and projectors, or NULL: fresh ones */
  /* continuous */
  int64_t double_blocks, single_blocks;
  double mlp_ratio;
  int64_t rope_axes[3]; /* their sum is hidden / heads */
  int64_t context_width, vector_width;
  double guidance;
  /* discrete */
  int64_t layers;
  double mask_ratio[2]; /* drawn uniformly between the two, per sample */
} gh_denoiser_config;

typedef struct gh_lora_config {
  bool enabled; /* false ("lora": null): direct tuning of the encoder */
  int64_t rank;
  double alpha, dropout;
  gh_lora_bias bias;
  bool all_linear;    /* "all-linear" ... */
  gh_strings targets; /* ... or these names of modules */
  char *adapter;      /* PEFT folder to start from, or NULL */
} gh_lora_config;

typedef struct gh_data_config {
  gh_strings images; /* folders, .tar files, "cc3m-{00000..00331}.tar": as written */
  double crop_scale[2], crop_ratio[2];
  int64_t workers;
  bool latent_cache;          /* false: null */
  char *latent_cache_path;    /* folder, or NULL: below the output */
  int64_t latent_cache_crops; /* fixed crops an image */
} gh_data_config;

typedef struct gh_config {
  int64_t version;
  char *clip, *autoencoder; /* model folder; .safetensors file (with the discrete denoiser, the VQ-GAN) */
  gh_denoiser_config denoiser;
  double local_tokens; /* condition.local_tokens: per cent of the patch tokens, 0 to 100 */
  struct {
    gh_timestep_law distribution;
    double scale;
    gh_time_convention convention;
  } timestep;
  gh_data_config data;
  gh_stage_config stages[2]; /* "stage1", "stage2" */
  gh_lora_config lora;       /* "stage2.lora" */
  bool train_denoiser;       /* "stage2.train_denoiser": the paper's "all" against "only" */
  gh_json *guard;            /* "stage2.guard": an object, or NULL */
  gh_precision precision;
  int64_t seed;
  char *device, *output;
  int64_t state_keep;
  double state_minutes;
  gh_recompute recompute;
  gh_precision master_weights, moments;
  gh_split_rule split;
  gh_reduce_rule reduce;
  gh_shard_rule shard;
  gh_json *evaluate; /* an array; its entries are the evaluator's to read */
} gh_config;

/* Every key at its default; "clip", "autoencoder" and "output" are "", data.images is empty. */
gh_status gh_config_defaults(gh_error *err, gh_config *config);

/* Reads a document, applies overrides ("stage1.optimizer.lr=1e-3": a dotted key and a JSON value, or a bare string
 * where that is no JSON), fills in defaults and checks everything. On failure *config is empty and needs no free. */
gh_status gh_config_read(gh_error *err, gh_config *config, const char *path, const char *const *overrides,
                         size_t override_count);
gh_status gh_config_parse(gh_error *err, gh_config *config, const char *name, const char *text, size_t size,
                          const char *const *overrides, size_t override_count);
gh_status gh_config_from_json(gh_error *err, gh_config *config, const char *name, const gh_json *document);
void gh_config_free(gh_config *config);

/* The whole configuration, every key in the table's order: the same text for the same run. Reads back the same. */
gh_status gh_config_to_json(gh_error *err, gh_json **out, const gh_config *config);

/* Whether a snapshot is due after this update (1 is the first). */
bool gh_config_checkpoint_due(const gh_stage_config *stage, int64_t update);

/* The name of an enumerated value as the document writes it: gh_precision_name(GH_PRECISION_BFLOAT16). */
const char *gh_precision_name(gh_precision precision);
/* The other way, aliases too; GH_ERROR_ARGUMENT names what there is. `what` is the option's name. */
gh_status gh_precision_find(gh_error *err, const char *what, const char *name, gh_precision *out);
/* How a step in it stores matrices and activations; GH_ERROR_UNSUPPORTED for float16. */
gh_status gh_precision_storage(gh_error *err, gh_precision precision, gh_dtype *out);

#endif
