#include "config/config.h"
#include "base/file.h"
#include "base/incomplete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION   1
#define MAX_KINDS 16

/* ---- the keys of every run ---- */

static const gh_word precisions[] = {{"float32", GH_PRECISION_FLOAT32},
                                     {"bfloat16", GH_PRECISION_BFLOAT16},
                                     {"float16", GH_PRECISION_FLOAT16},
                                     {"fp32", GH_PRECISION_FLOAT32},
                                     {"bf16", GH_PRECISION_BFLOAT16},
                                     {"fp16", GH_PRECISION_FLOAT16},
                                     {0}};
/* Of what is stored or sent in place of float32 and has its range. */
static const gh_word roundings[] = {{"float32", GH_PRECISION_FLOAT32},
                                    {"bfloat16", GH_PRECISION_BFLOAT16},
                                    {"fp32", GH_PRECISION_FLOAT32},
                                    {"bf16", GH_PRECISION_BFLOAT16},
                                    {0}};
static const gh_word splits[] = {{"even", GH_SPLIT_EVEN}, {"measured", GH_SPLIT_MEASURED}, {0}};
static const gh_word reduces[] = {{"ordered", GH_REDUCE_ORDERED}, {"fast", GH_REDUCE_FAST}, {0}};
static const gh_word buffers[] = {
    {"auto", GH_BUFFERS_AUTO}, {"host", GH_BUFFERS_HOST}, {"device", GH_BUFFERS_DEVICE}, {0}};
static const gh_word shards[] = {
    {"none", GH_SHARD_NONE}, {"optimizer", GH_SHARD_OPTIMIZER}, {"gradients", GH_SHARD_GRADIENTS}, {0}};
static const gh_word recomputes[] = {
    {"auto", GH_RECOMPUTE_AUTO}, {"none", GH_RECOMPUTE_NONE}, {"all", GH_RECOMPUTE_ALL}, {0}};
static const gh_word moments[] = {{"float32", GH_MOMENTS_FLOAT32}, {"8bit", GH_MOMENTS_8BIT}, {0}};
static const gh_word offloads[] = {{"none", GH_OFFLOAD_NONE}, {"optimizer", GH_OFFLOAD_OPTIMIZER}, {0}};
static const gh_word biases[] = {
    {"none", GH_LORA_BIAS_NONE}, {"lora_only", GH_LORA_BIAS_LORA_ONLY}, {"all", GH_LORA_BIAS_ALL}, {0}};

/* clang-format off */
#define ROW(path, type, member, fallback, least, greatest, flags) \
  GH_ROW(path, type, gh_config, member, fallback, least, greatest, flags)
#define PLAIN(path, type, member, fallback, flags) ROW(path, type, member, fallback, 0, 0, flags)
#define WORD(path, member, fallback, words)        GH_ROW_OF_WORDS(path, gh_config, member, fallback, words)

#define STAGE(name, i, steps_default, lr_default)                                                                      \
  ROW(name ".steps", ROW_INT, stages[i].steps, steps_default, 0, 99999999, 0), /* eight digits in names of states */   \
  ROW(name ".batch", ROW_INT, stages[i].batch, "256", 1, 1e9, 0),                                                      \
  ROW(name ".micro_batch", ROW_INT_OR_AUTO, stages[i].micro_batch, "\"auto\"", 1, 1e9, 0),                             \
  ROW(name ".optimizer.lr", ROW_REAL, stages[i].optimizer.lr, lr_default, 0, 1e3, 0),                                  \
  ROW(name ".optimizer.betas", ROW_BETAS, stages[i].optimizer.betas, "[0.9,0.999]", 0, 1, ROW_OPEN_HIGH),              \
  ROW(name ".optimizer.eps", ROW_REAL, stages[i].optimizer.eps, "1e-8", 0, 1, ROW_OPEN_LOW),                           \
  ROW(name ".optimizer.weight_decay", ROW_REAL, stages[i].optimizer.weight_decay, "0.01", 0, 1e3, 0),                  \
  ROW(name ".optimizer.clip_norm", ROW_REAL, stages[i].optimizer.clip_norm, "1.0", 0, 1e30, 0),                        \
  ROW(name ".optimizer.warmup", ROW_INT, stages[i].optimizer.warmup, "0", 0, GH_ROW_MANY, 0)
#define STAGE_CHECKPOINTS(name, i, at, every)                                                                          \
  ROW(name ".checkpoint_at", ROW_INTS, stages[i].checkpoint_at, at, 1, GH_ROW_MANY, 0),                                \
  ROW(name ".checkpoint_every", ROW_INT, stages[i].checkpoint_every, every, 0, GH_ROW_MANY, 0)
/* clang-format on */

/* "denoiser.kind" is not among these rows: it is read first, because it decides which rows follow. */
static const gh_row first_rows[] = {
    ROW("version", ROW_INT, version, "1", 1, 1, 0),
    PLAIN("clip", ROW_STRING, clip, "\"\"", ROW_REQUIRED),
};
static const gh_row rows[] = {
    PLAIN("denoiser.weights", ROW_MAYBE_STRING, denoiser_weights, "null", 0),
    ROW("condition.local_tokens", ROW_REAL, local_tokens, "0.0", 0, 100, 0),
    PLAIN("data.images", ROW_STRINGS, data.images, "[]", ROW_REQUIRED),
    PLAIN("data.keys", ROW_STRINGS, data.keys, "[\"jpg\",\"jpeg\",\"png\"]", 0),
    PLAIN("data.exif", ROW_BOOL, data.exif, "false", 0),
    ROW("data.crop_scale", ROW_PAIR, data.crop_scale, "[0.9,1.0]", 0, 1, ROW_OPEN_LOW),
    ROW("data.crop_ratio", ROW_PAIR, data.crop_ratio, "[0.75,1.3333333]", 0, 1e3, ROW_OPEN_LOW),
    ROW("data.workers", ROW_INT, data.workers, "2", 0, 1024, 0),
    PLAIN("data.latent_cache", ROW_GROUP, data.latent_cache, "null", 0),
    PLAIN("data.latent_cache.path", ROW_MAYBE_STRING, data.latent_cache_path, "null", 0),
    ROW("data.latent_cache.crops", ROW_INT, data.latent_cache_crops, "1", 1, 1e6, 0),
    STAGE("stage1", 0, "100000", "0.0001"),
    STAGE_CHECKPOINTS("stage1", 0, "[]", "5000"),
    STAGE("stage2", 1, "10000", "1e-05"),
    PLAIN("stage2.lora", ROW_GROUP, lora.enabled, "{}", 0),
    ROW("stage2.lora.rank", ROW_INT, lora.rank, "16", 1, 65536, 0),
    ROW("stage2.lora.alpha", ROW_REAL, lora.alpha, "16", 0, 1e6, ROW_OPEN_LOW),
    ROW("stage2.lora.dropout", ROW_REAL, lora.dropout, "0.1", 0, 1, ROW_OPEN_HIGH),
    WORD("stage2.lora.bias", lora.bias, "\"lora_only\"", biases),
    PLAIN("stage2.lora.targets", ROW_TARGETS, lora.targets, "\"all-linear\"", 0),
    PLAIN("stage2.lora.adapter", ROW_MAYBE_STRING, lora.adapter, "null", 0),
    PLAIN("stage2.train_denoiser", ROW_BOOL, train_denoiser, "false", 0),
    PLAIN("stage2.guard", ROW_MAYBE_OBJECT, guard, "null", 0),
    STAGE_CHECKPOINTS("stage2", 1, "[50,100,200,300,500,1000,2000,3000]", "500"),
    WORD("precision", precision, "\"float32\"", precisions),
    WORD("autoencoder_precision", autoencoder_precision, "\"float32\"", roundings),
    ROW("seed", ROW_INT, seed, "0", 0, (double)GH_JSON_MAX_INTEGER, 0),
    PLAIN("device", ROW_STRING, device, "\"auto\"", 0),
    PLAIN("output", ROW_STRING, output, "\"\"", ROW_REQUIRED),
    ROW("state.keep", ROW_INT, state_keep, "2", 1, 1e6, 0),
    ROW("state.minutes", ROW_REAL, state_minutes, "30", 0, 1e9, ROW_OPEN_LOW),
    WORD("memory.recompute", recompute, "\"auto\"", recomputes),
    WORD("memory.master_weights", master_weights, "\"float32\"", roundings),
    WORD("memory.gradients", gradients, "\"float32\"", roundings),
    WORD("memory.moments", moments, "\"float32\"", moments),
    WORD("memory.offload", offload, "\"none\"", offloads),
    WORD("distributed.split", split, "\"even\"", splits),
    WORD("distributed.reduce", reduce, "\"ordered\"", reduces),
    WORD("distributed.reduce_precision", reduce_precision, "\"float32\"", roundings),
    WORD("distributed.buffers", buffers, "\"auto\"", buffers),
    ROW("distributed.bucket", ROW_REAL, bucket, "4", 0, 65536, ROW_OPEN_LOW),
    ROW("distributed.sync_every", ROW_INT, sync_every, "1", 1, 1e6, 0),
    ROW("distributed.outer_lr", ROW_REAL, outer_lr, "0.7", 0, 1e3, ROW_OPEN_LOW),
    ROW("distributed.outer_momentum", ROW_REAL, outer_momentum, "0.9", 0, 1, ROW_OPEN_HIGH),
    WORD("distributed.shard", shard, "\"none\"", shards),
    PLAIN("evaluate", ROW_ARRAY, evaluate, "[]", 0),
};

/* ---- the kind of denoiser ---- */

#define KIND "denoiser.kind"

/* The key of the kind itself: a row that only makes the key known. */
static const gh_row kind_rows[] = {{KIND, ROW_WORD, 0, NULL, 0, 0, 0, NULL}};

typedef struct gh_config_sets {
  gh_row_set sets[MAX_KINDS + 4];
  gh_schema schema;
} gh_config_sets;

/* The rows of a configuration of that kind, and the rows of the other kinds as foreign ones. kind NULL: no row is
 * foreign. config NULL: the rows are only known, and fill no record. */
static const gh_schema *schema_of(gh_config_sets *s, const gh_config_kind *own, gh_config *config) {
  static char known; /* a record for rows that are not filled */
  size_t n = 0;
  s->sets[n++] = (gh_row_set){first_rows, GH_COUNT(first_rows), config ? (void *)config : &known, NULL};
  s->sets[n++] = (gh_row_set){rows, GH_COUNT(rows), config ? (void *)config : &known, NULL};
  for (size_t i = 0; i < MAX_KINDS && gh_config_kind_at(i); i++) {
    const gh_config_kind *kind = gh_config_kind_at(i);
    void *record = own && kind != own ? NULL : config ? config->own : &known;
    s->sets[n++] = (gh_row_set){kind->rows, kind->row_count, record, kind->foreign};
  }
  s->schema = (gh_schema){s->sets, n};
  return &s->schema;
}

/* The same with "denoiser.kind", for questions about keys alone. */
static const gh_schema *keys_of(gh_config_sets *s, const gh_config_kind *own, gh_config *config) {
  schema_of(s, own, config);
  s->sets[s->schema.count++] = (gh_row_set){kind_rows, 1, s, NULL};
  return &s->schema;
}

static gh_status find_kind(gh_error *err, const gh_json *document, const gh_config_kind **out) {
  const gh_json *value = document ? gh_json_at(document, KIND) : NULL;
  const char *name = NULL;
  char known[256] = "";
  *out = gh_config_kind_at(0);
  if (!value) return GH_OK;
  gh_status status = gh_as_config_error(err, gh_json_to_string(err, value, KIND, &name));
  if (status) return status;
  for (size_t i = 0, used = 0; gh_config_kind_at(i); i++) {
    *out = gh_config_kind_at(i);
    if (!strcmp((*out)->name, name)) return GH_OK;
    int n = snprintf(known + used, sizeof known - used, "%s\"%s\"", used ? ", " : "", (*out)->name);
    used = GH_MIN(used + (size_t)GH_MAX(n, 0), sizeof known - 1);
  }
  return gh_fail(err, GH_ERROR_CONFIG, KIND ": \"%.100s\" is not one of %s", name, known);
}

/* ---- the whole document ---- */

/* States and snapshots are made where all ranks are alike. */
static gh_status check_averages(gh_error *err, const gh_config *c) {
  const int64_t every = c->sync_every;
  if (every == 1) return GH_OK;
  if (c->precision == GH_PRECISION_FLOAT16)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "distributed.sync_every: precision \"float16\" scales the loss, which all processes must do alike");
  if (c->shard != GH_SHARD_NONE || c->reduce != GH_REDUCE_ORDERED || c->reduce_precision != GH_PRECISION_FLOAT32)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "distributed.sync_every: averages are \"ordered\" and float32, and nothing else is divided");
  for (int i = 0; i < 2; i++) {
    const gh_stage_config *stage = &c->stages[i];
    int64_t wrong = stage->steps % every ? stage->steps : stage->checkpoint_every % every ? stage->checkpoint_every : 0;
    for (size_t k = 0; k < stage->checkpoint_at.count && !wrong; k++)
      if (stage->checkpoint_at.items[k] % every) wrong = stage->checkpoint_at.items[k];
    if (stage->steps && wrong)
      return gh_fail(
          err, GH_ERROR_CONFIG,
          "distributed.sync_every: stage%d ends or has a snapshot at update %lld, which is no multiple of %lld", i + 1,
          (long long)wrong, (long long)every);
  }
  return GH_OK;
}

/* Non-blocking sums of device memory are in no MPI's list of what it supports: "fast" is NCCL's or the host's. */
const char *gh_config_why_staged(const gh_config *c) {
  if (c->buffers == GH_BUFFERS_HOST) return "distributed.buffers is \"host\"";
  if (c->reduce == GH_REDUCE_FAST) return "MPI adds \"fast\" sums in the host's memory";
  if (c->sync_every > 1) return "averages (distributed.sync_every) are made in the host's memory";
  if (c->shard == GH_SHARD_GRADIENTS) return "with distributed.shard \"gradients\" the host's memory has most of them";
  if (c->gradients != GH_PRECISION_FLOAT32) return "memory.gradients \"bfloat16\" is widened in the host's memory";
  return NULL;
}

static gh_status check_distributed(gh_error *err, const gh_config *c) {
  const char *staged = c->buffers == GH_BUFFERS_DEVICE ? gh_config_why_staged(c) : NULL;
  if (staged) return gh_fail(err, GH_ERROR_CONFIG, "distributed.buffers: not \"device\": %s", staged);
  if (c->reduce == GH_REDUCE_FAST && c->reduce_precision != GH_PRECISION_FLOAT32)
    return gh_fail(err, GH_ERROR_CONFIG, "distributed.reduce_precision: \"fast\" sums are float32 only");
  if (c->reduce == GH_REDUCE_FAST && c->shard != GH_SHARD_NONE)
    return gh_fail(err, GH_ERROR_CONFIG, "distributed.shard: \"fast\" sums have no owners; use reduce \"ordered\"");
  return check_averages(err, c);
}

static gh_status check_memory(gh_error *err, const gh_config *c) {
  const bool narrow = c->master_weights != GH_PRECISION_FLOAT32;
  if (c->gradients != GH_PRECISION_FLOAT32 && c->precision != GH_PRECISION_BFLOAT16)
    return gh_fail(err, GH_ERROR_CONFIG, "memory.gradients: \"bfloat16\" needs precision \"bfloat16\"");
  if (narrow && c->precision != GH_PRECISION_BFLOAT16)
    return gh_fail(err, GH_ERROR_CONFIG, "memory.master_weights: \"bfloat16\" needs precision \"bfloat16\"");
  if (narrow && c->sync_every > 1)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "distributed.sync_every: averages of weights need memory.master_weights \"float32\"");
  if (c->moments != GH_MOMENTS_FLOAT32 && c->sync_every > 1)
    return gh_fail(err, GH_ERROR_CONFIG, "distributed.sync_every: averages of moments need memory.moments \"float32\"");
  return GH_OK;
}

/* Checks combinations of keys. */
static gh_status check_together(gh_error *err, const gh_config *c) {
  for (int i = 0; i < 2; i++)
    if (c->stages[i].micro_batch > c->stages[i].batch)
      return gh_fail(err, GH_ERROR_CONFIG, "stage%d.micro_batch: %lld is above stage%d.batch, %lld", i + 1,
                     (long long)c->stages[i].micro_batch, i + 1, (long long)c->stages[i].batch);
  gh_status status = check_distributed(err, c);
  if (!status) status = check_memory(err, c);
  if (status) return status;
  return c->kind->check ? c->kind->check(err, c) : GH_OK;
}

/* `complete`: required keys must be present. Unknown keys are always errors. */
static gh_status fill(gh_error *err, gh_config *config, const gh_json *document, bool complete) {
  gh_config_sets sets;
  *config = (gh_config){0};
  gh_status status = find_kind(err, document, &config->kind);
  if (!status) status = (config->own = gh_alloc(err, 1, config->kind->record_bytes)) ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_schema_check_keys(err, keys_of(&sets, config->kind, config), document);
  if (!status) status = gh_schema_read(err, schema_of(&sets, config->kind, config), document, complete);
  if (!status) status = check_together(err, config);
  if (status) gh_config_free(config);
  return status;
}

/* Checked before the keys, since keys of a later version would otherwise be reported as unknown. */
static gh_status check_version(gh_error *err, const gh_json *document) {
  gh_error ignored;
  int64_t version = VERSION;
  gh_json_opt_int(&ignored, document, "version", &version);
  if (version <= VERSION) return GH_OK;
  return gh_fail(err, GH_ERROR_CONFIG, "version: %lld is from a later genhance; this one reads versions up to %d",
                 (long long)version, VERSION);
}

gh_status gh_config_from_json(gh_error *err, gh_config *config, const char *name, const gh_json *document) {
  *config = (gh_config){0};
  if (gh_json_type_of(document) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an object, found %s", name, gh_json_type_name(document));
  gh_status status = check_version(err, document);
  if (!status) status = fill(err, config, document, true);
  if (status) gh_fail_in(err, "%s", name);
  return status;
}

static gh_status override_as(gh_error *err, const gh_config_kind *kind, gh_json *document, const char *const *overrides,
                             size_t count) {
  gh_config_sets sets;
  const gh_schema *keys = keys_of(&sets, kind, NULL);
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) status = gh_schema_override(err, keys, document, overrides[i]);
  return status;
}

/* The kind that the document has after the overrides. NULL: none of that name, which is reported when the document is
 * read. */
static gh_status kind_after(gh_error *err, const gh_json *document, const char *const *overrides, size_t count,
                            const gh_config_kind **kind) {
  gh_error ignored;
  gh_json *copy = NULL;
  *kind = NULL;
  gh_status status = gh_json_copy(err, &copy, document);
  if (!status) status = override_as(err, NULL, copy, overrides, count);
  if (!status && find_kind(&ignored, copy, kind)) *kind = NULL;
  gh_json_free(copy);
  return status;
}

/* Kinds may give one key different types, and an override may change the kind. So the kind is determined first, and the
 * order of the overrides does not matter. */
static gh_status override_all(gh_error *err, gh_json *document, const char *const *overrides, size_t count) {
  const gh_config_kind *kind = NULL;
  gh_status status = count ? kind_after(err, document, overrides, count, &kind) : GH_OK;
  return status ? status : override_as(err, kind, document, overrides, count);
}

gh_status gh_config_parse(gh_error *err, gh_config *config, const char *name, const char *text, size_t size,
                          const char *const *overrides, size_t override_count) {
  gh_json *document;
  *config = (gh_config){0};
  gh_status status = gh_json_parse(err, &document, name, text, size, GH_JSON_MAX_BYTES);
  if (status) return gh_as_config_error(err, status);
  if (gh_json_type_of(document) == GH_JSON_OBJECT) /* anything else is refused below, by name */
    status = override_all(err, document, overrides, override_count);
  if (!status) status = gh_config_from_json(err, config, name, document);
  gh_json_free(document);
  return status;
}

gh_status gh_config_read(gh_error *err, gh_config *config, const char *path, const char *const *overrides,
                         size_t override_count) {
  char *text;
  size_t size;
  *config = (gh_config){0};
  gh_status status = gh_file_read(err, path, GH_JSON_MAX_BYTES, &text, &size);
  if (!status) status = gh_refuse_wide_text(err, path, text, size);
  if (!status) status = gh_config_parse(err, config, path, text, size, overrides, override_count);
  free(text);
  return status;
}

gh_status gh_config_defaults(gh_error *err, gh_config *config, const char *const *overrides, size_t override_count) {
  gh_json *document = gh_json_object(err);
  *config = (gh_config){0};
  gh_status status = document ? override_all(err, document, overrides, override_count) : GH_ERROR_MEMORY;
  if (!status) status = fill(err, config, document, false);
  gh_json_free(document);
  return status;
}

/* ---- back ---- */

static gh_status write_kind(gh_error *err, gh_json *root, const gh_config *config) {
  const char *key;
  gh_json *parent = gh_json_parent_at(err, root, KIND, &key);
  return parent ? gh_json_put_string(err, parent, key, config->kind->name) : GH_ERROR_MEMORY;
}

/* In reading order: the models, the denoiser and its keys, the rest. */
gh_status gh_config_to_json(gh_error *err, gh_json **out, const gh_config *config) {
  const gh_row_set first = {first_rows, GH_COUNT(first_rows), (void *)(uintptr_t)config, NULL},
                   own = {config->kind->rows, config->kind->row_count, config->own, NULL},
                   rest = {rows, GH_COUNT(rows), (void *)(uintptr_t)config, NULL};
  gh_json *root = gh_json_object(err);
  *out = NULL;
  if (!root) return GH_ERROR_MEMORY;
  gh_status status = gh_schema_write(err, &(gh_schema){&first, 1}, root);
  if (!status) status = write_kind(err, root, config);
  if (!status) status = gh_schema_write(err, &(gh_schema){(const gh_row_set[]){own, rest}, 2}, root);
  if (status)
    gh_json_free(root);
  else
    *out = root;
  return status;
}

void gh_config_free(gh_config *config) {
  gh_config_sets sets;
  if (config->kind) gh_schema_free(schema_of(&sets, config->kind, config));
  free(config->own);
  *config = (gh_config){0};
}

/* ---- small questions ---- */

bool gh_config_checkpoint_due(const gh_stage_config *stage, int64_t update) {
  if (stage->checkpoint_every && update > 0 && update % stage->checkpoint_every == 0) return true;
  for (size_t i = 0; i < stage->checkpoint_at.count; i++)
    if (stage->checkpoint_at.items[i] == update) return true;
  return false;
}

const char *gh_precision_name(gh_precision precision) { return precisions[precision].name; }

gh_status gh_precision_find(gh_error *err, const char *what, const char *name, gh_precision *out) {
  for (size_t i = 0; precisions[i].name; i++) {
    if (strcmp(precisions[i].name, name)) continue;
    *out = (gh_precision)precisions[i].value;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s %s: it can be float32, bfloat16 or float16", what, name);
}

gh_dtype gh_precision_storage(gh_precision precision) {
  static const gh_dtype storages[] = {
      [GH_PRECISION_FLOAT32] = GH_F32, [GH_PRECISION_BFLOAT16] = GH_BF16, [GH_PRECISION_FLOAT16] = GH_F16};
  return storages[precision];
}
