#include "config/table.h"

#include <string.h>

static const gh_word kinds[] = {{"continuous", GH_DENOISER_CONTINUOUS}, {"discrete", GH_DENOISER_DISCRETE}, {0}};
static const gh_word laws[] = {{"logit_normal", GH_TIMESTEP_LOGIT_NORMAL}, {"uniform", GH_TIMESTEP_UNIFORM}, {0}};
static const gh_word conventions[] = {
    {"noise_at_one", GH_TIME_NOISE_AT_ONE}, {"data_at_one", GH_TIME_DATA_AT_ONE}, {0}};
static const gh_word precisions[] = {{"float32", GH_PRECISION_FLOAT32},
                                     {"bfloat16", GH_PRECISION_BFLOAT16},
                                     {"float16", GH_PRECISION_FLOAT16},
                                     {"fp32", GH_PRECISION_FLOAT32},
                                     {"bf16", GH_PRECISION_BFLOAT16},
                                     {"fp16", GH_PRECISION_FLOAT16},
                                     {0}};
static const gh_word recomputes[] = {
    {"auto", GH_RECOMPUTE_AUTO}, {"none", GH_RECOMPUTE_NONE}, {"all", GH_RECOMPUTE_ALL}, {0}};
static const gh_word biases[] = {
    {"none", GH_LORA_BIAS_NONE}, {"lora_only", GH_LORA_BIAS_LORA_ONLY}, {"all", GH_LORA_BIAS_ALL}, {0}};
static const gh_word splits[] = {{"even", GH_SPLIT_EVEN}, {"speed", GH_SPLIT_SPEED}, {0}};
static const gh_word reduces[] = {{"ordered", GH_REDUCE_ORDERED}, {"fast", GH_REDUCE_FAST}, {0}};
static const gh_word shards[] = {{"none", GH_SHARD_NONE}, {"optimizer", GH_SHARD_OPTIMIZER}, {0}};

const char *gh_precision_name(gh_precision precision) { return precisions[precision].name; }

gh_status gh_precision_find(gh_error *err, const char *what, const char *name, gh_precision *out) {
  for (size_t i = 0; precisions[i].name; i++) {
    if (strcmp(precisions[i].name, name)) continue;
    *out = (gh_precision)precisions[i].value;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s %s: it can be float32, bfloat16 or float16", what, name);
}

gh_status gh_precision_storage(gh_error *err, gh_precision precision, gh_dtype *out) {
  if (precision == GH_PRECISION_FLOAT16)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "precision \"float16\" is not supported (float32 and bfloat16 are)");
  *out = precision == GH_PRECISION_BFLOAT16 ? GH_BF16 : GH_F32;
  return GH_OK;
}

#define AT(member) offsetof(gh_config, member)
#define MANY       9e15 /* within the integers that JSON keeps exact */

/* clang-format off */
#define INT(path, member, fallback, least, greatest, flags)  {path, ROW_INT, AT(member), fallback, least, greatest, flags, NULL}
#define REAL(path, member, fallback, least, greatest, flags) {path, ROW_REAL, AT(member), fallback, least, greatest, flags, NULL}
#define PLAIN(path, type, member, fallback, flags)           {path, type, AT(member), fallback, 0, 0, flags, NULL}
#define WORD(path, member, fallback, names)                  {path, ROW_WORD, AT(member), fallback, 0, 0, 0, names}
#define LIST(path, type, member, fallback, least, greatest, flags) {path, type, AT(member), fallback, least, greatest, flags, NULL}

#define STAGE(name, i, steps_default, lr_default)                                                                      \
  INT(name ".steps", stages[i].steps, steps_default, 0, 99999999, 0), /* eight digits in the names of states */         \
  INT(name ".batch", stages[i].batch, "256", 1, 1e9, 0),                                                               \
  LIST(name ".micro_batch", ROW_INT_OR_AUTO, stages[i].micro_batch, "\"auto\"", 1, 1e9, 0),                            \
  REAL(name ".optimizer.lr", stages[i].optimizer.lr, lr_default, 0, 1e3, 0),                                           \
  LIST(name ".optimizer.betas", ROW_BETAS, stages[i].optimizer.betas, "[0.9,0.999]", 0, 1, ROW_OPEN_HIGH),             \
  REAL(name ".optimizer.eps", stages[i].optimizer.eps, "1e-8", 0, 1, ROW_OPEN_LOW),                                    \
  REAL(name ".optimizer.weight_decay", stages[i].optimizer.weight_decay, "0.01", 0, 1e3, 0),                           \
  REAL(name ".optimizer.clip_norm", stages[i].optimizer.clip_norm, "1.0", 0, 1e30, 0),                                 \
  INT(name ".optimizer.warmup", stages[i].optimizer.warmup, "0", 0, MANY, 0)
#define STAGE_CHECKPOINTS(name, i, at, every)                                                                          \
  LIST(name ".checkpoint_at", ROW_INTS, stages[i].checkpoint_at, at, 1, MANY, 0),                                      \
  INT(name ".checkpoint_every", stages[i].checkpoint_every, every, 0, MANY, 0)
/* clang-format on */

const gh_row gh_config_rows[] = {
    INT("version", version, "1", 1, 1, 0),
    PLAIN("clip", ROW_STRING, clip, "\"\"", ROW_REQUIRED),
    PLAIN("autoencoder", ROW_STRING, autoencoder, "\"\"", ROW_REQUIRED),
    WORD("denoiser.kind", denoiser.kind, "\"continuous\"", kinds),
    INT("denoiser.double_blocks", denoiser.double_blocks, "2", 0, 1000, ROW_CONTINUOUS),
    INT("denoiser.single_blocks", denoiser.single_blocks, "4", 0, 1000, ROW_CONTINUOUS),
    INT("denoiser.layers", denoiser.layers, "6", 1, 1000, ROW_DISCRETE),
    INT("denoiser.hidden", denoiser.hidden, "3072", 1, 1e6, ROW_CONTINUOUS),
    INT("denoiser.heads", denoiser.heads, "24", 1, 1e4, ROW_CONTINUOUS),
    /* the paper gives the discrete denoiser no width: that of the smaller encoders' vision tower */
    INT("denoiser.hidden", denoiser.hidden, "1024", 1, 1e6, ROW_DISCRETE),
    INT("denoiser.heads", denoiser.heads, "16", 1, 1e4, ROW_DISCRETE),
    LIST("denoiser.mask_ratio", ROW_PAIR, denoiser.mask_ratio, "[0.5,0.9]", 0, 1, ROW_DISCRETE | ROW_OPEN_LOW),
    REAL("denoiser.mlp_ratio", denoiser.mlp_ratio, "4.0", 0, 1000, ROW_CONTINUOUS | ROW_OPEN_LOW),
    LIST("denoiser.rope_axes", ROW_AXES, denoiser.rope_axes, "[16,56,56]", 0, 1e6, ROW_CONTINUOUS),
    INT("denoiser.context_width", denoiser.context_width, "4096", 1, 1e6, ROW_CONTINUOUS),
    INT("denoiser.vector_width", denoiser.vector_width, "768", 1, 1e6, ROW_CONTINUOUS),
    REAL("denoiser.guidance", denoiser.guidance, "4.0", 0, 1e6, ROW_CONTINUOUS),
    PLAIN("denoiser.weights", ROW_MAYBE_STRING, denoiser.weights, "null", 0),
    REAL("condition.local_tokens", local_tokens, "0.0", 0, 100, 0),
    WORD("timestep.distribution", timestep.distribution, "\"logit_normal\"", laws),
    REAL("timestep.scale", timestep.scale, "1.0", 0, 1e6, ROW_OPEN_LOW),
    WORD("timestep.convention", timestep.convention, "\"noise_at_one\"", conventions),
    PLAIN("data.images", ROW_STRINGS, data.images, "[]", ROW_REQUIRED),
    LIST("data.crop_scale", ROW_PAIR, data.crop_scale, "[0.9,1.0]", 0, 1, ROW_OPEN_LOW),
    LIST("data.crop_ratio", ROW_PAIR, data.crop_ratio, "[0.75,1.3333333]", 0, 1e3, ROW_OPEN_LOW),
    INT("data.workers", data.workers, "2", 0, 1024, 0),
    PLAIN("data.latent_cache", ROW_GROUP, data.latent_cache, "null", 0),
    PLAIN("data.latent_cache.path", ROW_MAYBE_STRING, data.latent_cache_path, "null", 0),
    INT("data.latent_cache.crops", data.latent_cache_crops, "1", 1, 1e6, 0),
    STAGE("stage1", 0, "100000", "0.0001"),
    STAGE_CHECKPOINTS("stage1", 0, "[]", "5000"),
    STAGE("stage2", 1, "10000", "1e-05"),
    PLAIN("stage2.lora", ROW_GROUP, lora.enabled, "{}", 0),
    INT("stage2.lora.rank", lora.rank, "16", 1, 65536, 0),
    REAL("stage2.lora.alpha", lora.alpha, "16", 0, 1e6, ROW_OPEN_LOW),
    REAL("stage2.lora.dropout", lora.dropout, "0.1", 0, 1, ROW_OPEN_HIGH),
    WORD("stage2.lora.bias", lora.bias, "\"lora_only\"", biases),
    PLAIN("stage2.lora.targets", ROW_TARGETS, lora, "\"all-linear\"", 0),
    PLAIN("stage2.lora.adapter", ROW_MAYBE_STRING, lora.adapter, "null", 0),
    PLAIN("stage2.train_denoiser", ROW_BOOL, train_denoiser, "false", 0),
    PLAIN("stage2.guard", ROW_MAYBE_OBJECT, guard, "null", 0),
    STAGE_CHECKPOINTS("stage2", 1, "[50,100,200,300,500,1000,2000,3000]", "500"),
    WORD("precision", precision, "\"float32\"", precisions),
    INT("seed", seed, "0", 0, (double)GH_JSON_MAX_INTEGER, 0),
    PLAIN("device", ROW_STRING, device, "\"auto\"", 0),
    PLAIN("output", ROW_STRING, output, "\"\"", ROW_REQUIRED),
    INT("state.keep", state_keep, "2", 1, 1e6, 0),
    REAL("state.minutes", state_minutes, "30", 0, 1e9, ROW_OPEN_LOW),
    WORD("memory.recompute", recompute, "\"auto\"", recomputes),
    WORD("memory.master_weights", master_weights, "\"float32\"", precisions),
    WORD("memory.moments", moments, "\"float32\"", precisions),
    WORD("distributed.split", split, "\"even\"", splits),
    WORD("distributed.reduce", reduce, "\"ordered\"", reduces),
    WORD("distributed.shard", shard, "\"none\"", shards),
    PLAIN("evaluate", ROW_ARRAY, evaluate, "[]", 0),
};

const size_t gh_config_row_count = GH_COUNT(gh_config_rows);

bool gh_row_serves(const gh_row *row, const gh_config *config) {
  int other = config->denoiser.kind == GH_DENOISER_DISCRETE ? ROW_CONTINUOUS : ROW_DISCRETE;
  return !(row->flags & other);
}
