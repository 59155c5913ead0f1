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
    {"steps", ROW_INT, AT(stage.steps), "1000", 1, 99999999, 0, NULL},
    {"micro_batch", ROW_INT_OR_AUTO, AT(stage.micro_batch), "\"auto\"", 1, 1 << 20, 0, NULL},
    {"lr", ROW_REAL, AT(stage.optimizer.lr), "1e-3", 0, 1, 0, NULL},
    {"warmup", ROW_INT, AT(stage.optimizer.warmup), "20", 0, 99999999, 0, NULL},
    {"crop_scale", ROW_PAIR, AT(data.crop_scale), "[0.9,1]", 0, 1, 0, NULL},
    {"crop_ratio", ROW_PAIR, AT(data.crop_ratio), "[0.75,1.3333333333333333]", 0, 100, 0, NULL},
    {"keys", ROW_STRINGS, AT(data.keys), "[\"jpg\",\"jpeg\",\"png\"]", 0, 0, 0, NULL},
    {"exif", ROW_BOOL, AT(data.exif), "false", 0, 0, 0, NULL},
    {"workers", ROW_INT, AT(data.workers), "2", 0, 256, 0, NULL},
    {"seed", ROW_INT, AT(seed), "0", 0, (double)GH_JSON_MAX_INTEGER, 0, NULL},
    {"state_keep", ROW_INT, AT(state_keep), "2", 1, 1000, 0, NULL},
    {"state_minutes", ROW_REAL, AT(state_minutes), "30", 0, 1e6, 0, NULL},
};

static const gh_row autoencoder_rows[] = {
    {"channels", ROW_INT, AT(channels), "32", 32, 4096, 0, NULL},
    {"multipliers", ROW_INTS, AT(multipliers), "[1,1,2,2]", 1, 16, 0, NULL},
    {"blocks", ROW_INT, AT(blocks), "1", 1, 16, 0, NULL},
    {"batch", ROW_INT, AT(stage.batch), "16", 1, 1 << 20, 0, NULL},
};

static gh_status check_levels(gh_error *err, const gh_pretrain_config *c) {
  if (!c->multipliers.count || c->multipliers.count > GH_AUTOENCODER_MAX_LEVELS)
    return gh_fail(err, GH_ERROR_CONFIG, "multipliers: %zu values; it must have 1 to %d", c->multipliers.count,
                   GH_AUTOENCODER_MAX_LEVELS);
  const int factor = 1 << (c->multipliers.count - 1); /* gh_autoencoder_factor */
  if (c->channels % 32)
    return gh_fail(err, GH_ERROR_CONFIG, "channels: %lld is not a multiple of 32", (long long)c->channels);
  if (c->image_size % factor)
    return gh_fail(err, GH_ERROR_CONFIG, "image_size: %lld is not a multiple of %d", (long long)c->image_size, factor);
  return GH_OK;
}

static gh_status size_model(gh_error *err, gh_pretrain_config *c) {
  gh_status status = c->kind->autoencodes ? check_levels(err, c) : GH_OK;
  return status ? status : c->kind->size(err, c);
}

#define MOST_SETS 3

/* The keys of every kind, the kind's own, and those of kinds like it; returns how many sets. */
static size_t fill_sets(gh_pretrain_config *c, gh_row_set sets[MOST_SETS]) {
  sets[0] = (gh_row_set){rows, GH_COUNT(rows), c, NULL};
  sets[1] = (gh_row_set){c->kind->rows, c->kind->row_count, c, NULL};
  sets[2] = (gh_row_set){autoencoder_rows, GH_COUNT(autoencoder_rows), c, NULL};
  return c->kind->autoencodes ? MOST_SETS : MOST_SETS - 1;
}

static gh_status read_document(gh_error *err, gh_pretrain_config *c, gh_json *root, const char *const *overrides,
                               size_t override_count) {
  gh_row_set sets[MOST_SETS];
  const gh_schema schema = {sets, fill_sets(c, sets)};
  if (gh_json_type_of(root) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "expected an object, found %s", gh_json_type_name(root));
  gh_status status = GH_OK;
  for (size_t i = 0; i < override_count && !status; i++) status = gh_schema_override(err, &schema, root, overrides[i]);
  if (!status) status = gh_schema_check_keys(err, &schema, root);
  if (!status) status = gh_schema_read(err, &schema, root, true);
  return status ? status : size_model(err, c);
}

gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *c, const gh_pretrain_kind *kind, const char *path,
                                  const char *const *overrides, size_t override_count) {
  gh_json *root = NULL;
  *c = (gh_pretrain_config){.kind = kind,
                            .stage.optimizer = {.betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0, .clip_norm = 1}};
  gh_status status = gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES); /* a failure names the file itself */
  if (!status && (status = read_document(err, c, root, overrides, override_count))) gh_fail_in(err, "%s", path);
  gh_json_free(root);
  if (status) gh_pretrain_config_free(c);
  return status;
}

void gh_pretrain_config_free(gh_pretrain_config *c) {
  gh_row_set sets[MOST_SETS];
  if (c->kind) gh_schema_free(&(gh_schema){sets, fill_sets(c, sets)});
  *c = (gh_pretrain_config){0};
}
