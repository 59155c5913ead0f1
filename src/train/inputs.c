#include "train/inputs.h"

#include "base/file.h"
#include "data/image_set.h"
#include "method/models.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

void gh_inputs_free(gh_inputs *inputs) {
  gh_strings_free(&inputs->problems);
  *inputs = (gh_inputs){0};
}

/* A failure of an input is listed. */
static gh_status note(gh_error *err, gh_inputs *out, gh_status status) {
  if (!status || status == GH_ERROR_MEMORY || status == GH_ERROR_STOPPED || status == GH_ERROR_INTERRUPTED)
    return status;
  if (!out->problems.count) out->status = status;
  return gh_strings_add(err, &out->problems, err->text);
}

gh_status gh_inputs_fail(gh_error *err, const gh_inputs *inputs) {
  char text[GH_ERROR_TEXT_SIZE] = "";
  size_t used = 0;
  const size_t count = inputs->problems.count;
  if (!count) return GH_OK;
  if (count == 1) return gh_fail(err, inputs->status, "%s", inputs->problems.items[0]);
  for (size_t i = 0; i < count && used < sizeof text; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "; " : "", inputs->problems.items[i]);
  return gh_fail(err, inputs->status, "%zu inputs are missing or unusable: %s", count, text);
}

static gh_status check_path(gh_error *err, gh_inputs *out, const char *key, const gh_json *value) {
  const char *path = NULL;
  if (gh_json_type_of(value) != GH_JSON_STRING || gh_json_to_string(err, value, key, &path)) return GH_OK;
  if (gh_path_exists(path)) return GH_OK;
  return note(err, out, gh_fail(err, GH_ERROR_FILE, "%s: %s: no such file or folder", key, path));
}

/* Each model by its key: opening them stops at the first that is missing. */
static gh_status check_models(gh_error *err, gh_inputs *out, const gh_config *config, const gh_json *root) {
  static const char *const keys[] = {"clip", "autoencoder", "denoiser.weights", "stage2.lora.adapter"};
  gh_models models = {0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(keys) && !status; i++)
    status = check_path(err, out, keys[i], gh_json_at(root, keys[i]));
  if (status || out->problems.count) return status;
  status = note(err, out, gh_models_open(err, &models, config, NULL, NULL));
  gh_models_close(&models);
  out->models = !status && !out->problems.count;
  return status;
}

static gh_status check_images(gh_error *err, gh_inputs *out, const gh_data_config *data) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < data->images.count && !status; i++) {
    const char *one = data->images.items[i];
    gh_image_set *set = NULL;
    status = gh_image_set_open_keys(err, &set, "data.images", &one, 1, &data->keys);
    if (!status) status = gh_image_set_check(err, set);
    status = note(err, out, status);
    gh_image_set_free(set);
  }
  if (!status && data->latent_cache_path && gh_folder_check(err, data->latent_cache_path))
    status = note(err, out, gh_fail_in(err, "data.latent_cache.path"));
  return status;
}

static gh_status check_evaluate(gh_error *err, gh_inputs *out, const gh_config *config) {
  const size_t before = out->problems.count;
  int index = 0;
  gh_status status = GH_OK;
  for (const gh_json *item = gh_json_first(config->evaluate); item && !status; item = gh_json_next(item), index++) {
    char key[48];
    snprintf(key, sizeof key, "evaluate[%d].data", index);
    status = check_path(err, out, key, gh_json_member(item, "data"));
  }
  if (status || out->problems.count > before || !out->models) return status;
  return note(err, out, gh_evaluate_check(err, config, false));
}

gh_status gh_inputs_check(gh_error *err, gh_inputs *out, const gh_config *config) {
  gh_json *root = NULL;
  *out = (gh_inputs){0};
  gh_status status = gh_config_to_json(err, &root, config);
  if (!status) status = check_models(err, out, config, root);
  if (!status) status = check_images(err, out, &config->data);
  if (!status) status = check_evaluate(err, out, config);
  gh_json_free(root);
  if (status) gh_inputs_free(out);
  return status;
}
