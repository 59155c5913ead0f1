#include "config/table.h"
#include "train/pretrain.h"

#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(gh_pretrain_config, member)

static const gh_row rows[] = {
    {"images", ROW_STRINGS, AT(data.images), "[]", 0, 0, ROW_REQUIRED, NULL},
    {"output", ROW_STRING, AT(output), "\"\"", 0, 0, ROW_REQUIRED, NULL},
    {"device", ROW_STRING, AT(device), "\"auto\"", 0, 0, 0, NULL},
    {"image_size", ROW_INT, AT(image_size), "64", 8, 4096, 0, NULL},
    {"channels", ROW_INT, AT(channels), "32", 32, 4096, 0, NULL},
    {"multipliers", ROW_INTS, AT(multipliers), "[1,1,2,2]", 1, 16, 0, NULL},
    {"blocks", ROW_INT, AT(blocks), "1", 1, 16, 0, NULL},
    {"latent", ROW_INT, AT(latent), "16", 1, 256, 0, NULL},
    {"kl_weight", ROW_REAL, AT(kl_weight), "1e-6", 0, 1, 0, NULL},
    {"steps", ROW_INT, AT(stage.steps), "1000", 1, 99999999, 0, NULL},
    {"batch", ROW_INT, AT(stage.batch), "16", 1, 1 << 20, 0, NULL},
    {"micro_batch", ROW_INT_OR_AUTO, AT(stage.micro_batch), "\"auto\"", 1, 1 << 20, 0, NULL},
    {"lr", ROW_REAL, AT(stage.optimizer.lr), "1e-3", 0, 1, 0, NULL},
    {"warmup", ROW_INT, AT(stage.optimizer.warmup), "20", 0, 99999999, 0, NULL},
    {"crop_scale", ROW_PAIR, AT(data.crop_scale), "[0.9,1]", 0, 1, 0, NULL},
    {"crop_ratio", ROW_PAIR, AT(data.crop_ratio), "[0.75,1.3333333333333333]", 0, 100, 0, NULL},
    {"workers", ROW_INT, AT(data.workers), "2", 0, 256, 0, NULL},
    {"seed", ROW_INT, AT(seed), "0", 0, (double)GH_JSON_MAX_INTEGER, 0, NULL},
    {"state_keep", ROW_INT, AT(state_keep), "2", 1, 1000, 0, NULL},
    {"state_minutes", ROW_REAL, AT(state_minutes), "30", 0, 1e6, 0, NULL},
};

static gh_status size_vae(gh_error *err, gh_pretrain_config *c) {
  if (!c->multipliers.count || c->multipliers.count > GH_AUTOENCODER_MAX_LEVELS)
    return gh_fail(err, GH_ERROR_CONFIG, "multipliers: %zu values; it must have 1 to %d", c->multipliers.count,
                   GH_AUTOENCODER_MAX_LEVELS);
  c->vae = (gh_vae_config){.channels = (int)c->channels,
                           .levels = (int)c->multipliers.count,
                           .blocks = (int)c->blocks,
                           .latent = (int)c->latent};
  for (size_t i = 0; i < c->multipliers.count; i++) c->vae.multipliers[i] = (int)c->multipliers.items[i];
  if (c->channels % 32) return gh_fail(err, GH_ERROR_CONFIG, "channels: %d is not a multiple of 32", c->vae.channels);
  if (c->image_size % gh_vae_factor(&c->vae))
    return gh_fail(err, GH_ERROR_CONFIG, "image_size: %lld is not a multiple of %d", (long long)c->image_size,
                   gh_vae_factor(&c->vae));
  return GH_OK;
}

static gh_status read_document(gh_error *err, gh_pretrain_config *c, gh_json *root, const char *const *overrides,
                               size_t override_count) {
  const gh_row_set set = {rows, GH_COUNT(rows), c, NULL};
  const gh_schema schema = {&set, 1};
  if (gh_json_type_of(root) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "expected an object, found %s", gh_json_type_name(root));
  gh_status status = GH_OK;
  for (size_t i = 0; i < override_count && !status; i++) status = gh_schema_override(err, &schema, root, overrides[i]);
  if (!status) status = gh_schema_check_keys(err, &schema, root);
  if (!status) status = gh_schema_read(err, &schema, root, true);
  return status ? status : size_vae(err, c);
}

gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *c, const char *path, const char *const *overrides,
                                  size_t override_count) {
  gh_json *root = NULL;
  *c = (gh_pretrain_config){.stage.optimizer = {.betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0, .clip_norm = 1}};
  gh_status status = gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES); /* a failure names the file itself */
  if (!status && (status = read_document(err, c, root, overrides, override_count))) gh_fail_in(err, "%s", path);
  gh_json_free(root);
  if (status) gh_pretrain_config_free(c);
  return status;
}

void gh_pretrain_config_free(gh_pretrain_config *c) {
  const gh_row_set set = {rows, GH_COUNT(rows), c, NULL};
  gh_schema_free(&(gh_schema){&set, 1});
  *c = (gh_pretrain_config){0};
}
