#include "train/pretrain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum gh_field_type { FIELD_INT, FIELD_REAL, FIELD_TEXT, FIELD_PAIR, FIELD_LEVELS, FIELD_LIST } gh_field_type;

/* A key of the document: where it goes, and the range of its numbers. */
typedef struct gh_field {
  const char *key;
  gh_field_type type;
  void *to;
  double least, greatest;
} gh_field;

enum { FIELDS = 20 };

static void fields_of(gh_pretrain_config *c, gh_field out[FIELDS]) {
  gh_stage_config *s = &c->stage;
  const gh_field fields[FIELDS] = {
      {"images", FIELD_LIST, &c->data.images, 0, 0},
      {"output", FIELD_TEXT, &c->output, 0, 0},
      {"device", FIELD_TEXT, &c->device, 0, 0},
      {"image_size", FIELD_INT, &c->image_size, 8, 4096},
      {"channels", FIELD_INT, &c->vae.channels, 32, 4096},
      {"multipliers", FIELD_LEVELS, c->vae.multipliers, 1, 16},
      {"blocks", FIELD_INT, &c->vae.blocks, 1, 16},
      {"latent", FIELD_INT, &c->vae.latent, 1, 256},
      {"kl_weight", FIELD_REAL, &c->kl_weight, 0, 1},
      {"steps", FIELD_INT, &s->steps, 1, 99999999},
      {"batch", FIELD_INT, &s->batch, 1, 1 << 20},
      {"micro_batch", FIELD_INT, &s->micro_batch, 1, 1 << 20},
      {"lr", FIELD_REAL, &s->optimizer.lr, 0, 1},
      {"warmup", FIELD_INT, &s->optimizer.warmup, 0, 99999999},
      {"crop_scale", FIELD_PAIR, c->data.crop_scale, 0, 1},
      {"crop_ratio", FIELD_PAIR, c->data.crop_ratio, 0, 100},
      {"workers", FIELD_INT, &c->data.workers, 0, 256},
      {"seed", FIELD_INT, &c->seed, 0, (double)GH_JSON_MAX_INTEGER},
      {"state_keep", FIELD_INT, &c->state_keep, 1, 1000},
      {"state_minutes", FIELD_REAL, &c->state_minutes, 0, 1e6},
  };
  memcpy(out, fields, sizeof fields);
}

static bool is_narrow(const gh_pretrain_config *c, const void *to) {
  return to == &c->vae.channels || to == &c->vae.blocks || to == &c->vae.latent; /* int, not int64_t */
}

static gh_status read_number(gh_error *err, const gh_field *f, const gh_json *value, double *out) {
  gh_status status = gh_json_to_double(err, value, f->key, out);
  if (!status && !(*out >= f->least && *out <= f->greatest))
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: %g is not between %g and %g", f->key, *out, f->least, f->greatest);
  if (!status && (f->type == FIELD_INT || f->type == FIELD_LEVELS) && *out != (double)(int64_t)*out)
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: %g is not a whole number", f->key, *out);
  return status;
}

static gh_status read_list(gh_error *err, gh_pretrain_config *c, const gh_field *f, const gh_json *value) {
  gh_status status = GH_OK;
  int count = 0, most = f->type == FIELD_PAIR ? 2 : f->type == FIELD_LEVELS ? GH_VAE_MAX_LEVELS : 1 << 20;
  if (f->type == FIELD_LIST && gh_json_type_of(value) == GH_JSON_STRING) {
    const char *text = NULL;
    status = gh_json_to_string(err, value, f->key, &text);
    return status ? status : gh_strings_add(err, f->to, text);
  }
  if (gh_json_type_of(value) != GH_JSON_ARRAY) return gh_fail(err, GH_ERROR_CONFIG, "%s: expected an array", f->key);
  for (const gh_json *item = gh_json_first(value); item && !status; item = gh_json_next(item), count++) {
    const char *text = NULL;
    double number = 0;
    if (count == most) return gh_fail(err, GH_ERROR_CONFIG, "%s: more than %d values", f->key, most);
    if (f->type == FIELD_LIST) {
      status = gh_json_to_string(err, item, f->key, &text);
      if (!status) status = gh_strings_add(err, f->to, text);
      continue;
    }
    status = read_number(err, f, item, &number);
    if (f->type == FIELD_PAIR)
      ((double *)f->to)[count] = number;
    else
      ((int *)f->to)[count] = (int)number;
  }
  if (!status && f->type == FIELD_LEVELS) c->vae.levels = count;
  if (!status && (!count || (f->type == FIELD_PAIR && count != 2)))
    status = gh_fail(err, GH_ERROR_CONFIG, "%s: %d values are too few", f->key, count);
  return status;
}

static gh_status read_field(gh_error *err, gh_pretrain_config *c, const gh_field *f, const gh_json *value) {
  const char *text = NULL;
  double number = 0;
  gh_status status = GH_OK;
  if (f->type >= FIELD_PAIR) return read_list(err, c, f, value);
  if (f->type == FIELD_TEXT) {
    if ((status = gh_json_to_string(err, value, f->key, &text))) return status;
    free(*(char **)f->to);
    *(char **)f->to = gh_strdup(err, text);
    return *(char **)f->to ? GH_OK : GH_ERROR_MEMORY;
  }
  if ((status = read_number(err, f, value, &number))) return status;
  if (f->type == FIELD_REAL)
    *(double *)f->to = number;
  else if (is_narrow(c, f->to))
    *(int *)f->to = (int)number;
  else
    *(int64_t *)f->to = (int64_t)number;
  return GH_OK;
}

static gh_status unknown_key(gh_error *err, const gh_field fields[FIELDS], const char *key) {
  const char *names[FIELDS];
  for (int i = 0; i < FIELDS; i++) names[i] = fields[i].key;
  const char *nearest = gh_nearest(key, names, FIELDS);
  return gh_fail(err, GH_ERROR_CONFIG, "%s: unknown key%s%s%s", key, nearest ? " (did you mean " : "",
                 nearest ? nearest : "", nearest ? "?)" : "");
}

static gh_status defaults(gh_error *err, gh_pretrain_config *c) {
  *c =
      (gh_pretrain_config){.data = {.crop_scale = {0.9, 1}, .crop_ratio = {0.75, 4.0 / 3}, .workers = 2},
                           .vae = {.channels = 32, .levels = 4, .multipliers = {1, 1, 2, 2}, .blocks = 1, .latent = 16},
                           .image_size = 64,
                           .kl_weight = 1e-6,
                           .state_keep = 2,
                           .state_minutes = 30};
  c->stage = (gh_stage_config){
      .steps = 1000,
      .batch = 16,
      .optimizer = {.lr = 1e-3, .betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0, .clip_norm = 1, .warmup = 20}};
  c->device = gh_strdup(err, "auto");
  c->output = gh_strdup(err, "");
  return c->device && c->output ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status check(gh_error *err, const gh_pretrain_config *c) {
  if (!c->data.images.count) return gh_fail(err, GH_ERROR_CONFIG, "images: missing");
  if (!c->output[0]) return gh_fail(err, GH_ERROR_CONFIG, "output: missing");
  if (c->vae.channels % 32) return gh_fail(err, GH_ERROR_CONFIG, "channels: %d is no multiple of 32", c->vae.channels);
  if (c->image_size % gh_vae_factor(&c->vae))
    return gh_fail(err, GH_ERROR_CONFIG, "image_size: %lld is no multiple of %d", (long long)c->image_size,
                   gh_vae_factor(&c->vae));
  return GH_OK;
}

static gh_status override(gh_error *err, gh_json *root, const char *text) {
  const char *equals = strchr(text, '=');
  if (!equals) return gh_fail(err, GH_ERROR_CONFIG, "%s: expected key=value", text);
  char *key = gh_format(err, "%.*s", (int)(equals - text), text);
  gh_json *value = NULL;
  gh_error ignored;
  gh_status status = key ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_json_parse(&ignored, &value, key, equals + 1, strlen(equals + 1), GH_JSON_MAX_BYTES))
    status = gh_json_put(err, root, key, value);
  else if (!status)
    status = gh_json_put_string(err, root, key, equals + 1);
  free(key);
  return status;
}

static gh_status read_document(gh_error *err, gh_pretrain_config *c, gh_json *root, const char *const *overrides,
                               size_t override_count) {
  gh_field fields[FIELDS];
  fields_of(c, fields);
  if (gh_json_type_of(root) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_CONFIG, "expected an object, found %s", gh_json_type_name(root));
  gh_status status = GH_OK;
  for (size_t i = 0; i < override_count && !status; i++) status = override(err, root, overrides[i]);
  for (const gh_json *item = gh_json_first(root); item && !status; item = gh_json_next(item)) {
    int at = 0;
    while (at < FIELDS && strcmp(fields[at].key, gh_json_key(item))) at++;
    status = at < FIELDS ? read_field(err, c, &fields[at], item) : unknown_key(err, fields, gh_json_key(item));
  }
  return status ? status : check(err, c);
}

gh_status gh_pretrain_config_read(gh_error *err, gh_pretrain_config *c, const char *path, const char *const *overrides,
                                  size_t override_count) {
  gh_json *root = NULL;
  gh_status status = defaults(err, c);
  if (!status) status = gh_json_read_file(err, &root, path, GH_JSON_MAX_BYTES); /* a failure names the file itself */
  if (!status && (status = read_document(err, c, root, overrides, override_count))) gh_fail_in(err, "%s", path);
  gh_json_free(root);
  if (status) gh_pretrain_config_free(c);
  return status;
}

void gh_pretrain_config_free(gh_pretrain_config *c) {
  gh_strings_free(&c->data.images);
  free(c->device);
  free(c->output);
  *c = (gh_pretrain_config){0};
}
