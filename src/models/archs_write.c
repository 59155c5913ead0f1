/* A model folder with random weights, in Hugging Face layout. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "models/family.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK   (1 << 18) /* elements drawn and written at a time */
#define MADE_BY "genhance init"

/* ---- config.json ---- */

typedef struct gh_pair {
  const char *key;
  double value;
} gh_pair;

static gh_status put_numbers(gh_error *err, gh_json *to, const gh_pair *pairs, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (gh_json_put_double(err, to, pairs[i].key, pairs[i].value)) return err->status;
  return GH_OK;
}

/* Writes the keys that the objects of both towers have. */
static gh_status put_tower(gh_error *err, gh_json *to, const char *type, const gh_transformer *t) {
  const gh_pair numbers[] = {{"hidden_size", t->hidden},
                             {"intermediate_size", t->mlp},
                             {"num_hidden_layers", t->layers},
                             {"num_attention_heads", t->heads},
                             {"layer_norm_eps", t->eps}};
  if (!to || gh_json_put_string(err, to, "model_type", type) ||
      gh_json_put_string(err, to, "hidden_act", gh_activation_name(t->activation)))
    return err->status;
  return put_numbers(err, to, numbers, GH_COUNT(numbers));
}

static gh_status put_text_config(gh_error *err, gh_json *root, const gh_text_config *t) {
  const gh_pair sizes[] = {{"vocab_size", t->vocabulary}, {"max_position_embeddings", t->positions}};
  const gh_pair marks[] = {{"eos_token_id", (double)t->eos}, {"pad_token_id", (double)t->eos}};
  gh_json *text = gh_json_put_object(err, root, "text_config");
  gh_status status = put_tower(err, text, t->family->text_type, &t->tower);
  if (!status) status = put_numbers(err, text, sizes, GH_COUNT(sizes));
  if (!status && t->family->put_text) status = t->family->put_text(err, text, t);
  return status ? status : put_numbers(err, text, marks, GH_COUNT(marks));
}

gh_status gh_vision_config_put(gh_error *err, gh_json *to, const gh_vision_config *v) {
  const gh_pair numbers[] = {{"num_channels", 3}, {"image_size", v->image}, {"patch_size", v->patch}};
  gh_status status = put_tower(err, to, v->family->vision_type, &v->tower);
  if (!status) status = put_numbers(err, to, numbers, GH_COUNT(numbers));
  return status || !v->family->put_vision ? status : v->family->put_vision(err, to, v);
}

static gh_status fill_config(gh_error *err, gh_json *root, const gh_arch *a, const char *dtype) {
  const gh_family *family = a->vision.family;
  gh_json *classes = gh_json_put_array(err, root, "architectures");
  if (!classes || gh_json_put_string(err, classes, NULL, family->model_class) ||
      gh_json_put_string(err, root, "model_type", family->name) || gh_json_put_string(err, root, "dtype", dtype) ||
      (family->put_model && family->put_model(err, root, &a->vision)) || put_text_config(err, root, &a->text))
    return err->status;
  return gh_vision_config_put(err, gh_json_put_object(err, root, "vision_config"), &a->vision);
}

gh_status gh_model_config_write(gh_error *err, const gh_arch *a, const char *dtype, const char *folder) {
  char *path = gh_path_join(err, folder, "config.json");
  gh_json *root = gh_json_object(err);
  gh_status status = path && root ? fill_config(err, root, a, dtype) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_write_file(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

/* ---- model.safetensors ---- */

typedef struct gh_drawing {
  gh_safetensors_writer *writer;
  uint64_t seed;
  float *values; /* (CHUNK) */
  gh_progress progress;
  uint64_t done;
} gh_drawing;

static gh_status declare(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  (void)init;
  return gh_safetensors_writer_declare(err, ((gh_drawing *)user)->writer, name, GH_ST_F32, rank, shape);
}

static gh_status draw(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  gh_drawing *d = user;
  int64_t total = 1;
  for (int i = 0; i < rank; i++) total *= shape[i];
  for (int64_t first = 0; first < total; first += CHUNK) {
    int64_t n = GH_MIN(CHUNK, total - first);
    gh_init_draw(d->values, first, n, init, d->seed, name);
    if (gh_safetensors_writer_write_f32(err, d->writer, name, d->values, n)) return err->status;
    gh_progress_update(&d->progress, d->done += (uint64_t)n, NULL);
  }
  return GH_OK;
}

static gh_status write_weights(gh_error *err, const gh_arch *a, const char *path, uint64_t seed) {
  gh_drawing d = {.seed = seed, .values = gh_alloc(err, CHUNK, sizeof(float))};
  gh_status status = d.values ? gh_safetensors_writer_new(err, &d.writer, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_safetensors_writer_metadata(err, d.writer, "format", "pt"); /* transformers requires it */
  if (!status) status = gh_safetensors_writer_metadata(err, d.writer, "made_by", MADE_BY);
  if (!status) status = gh_arch_tensors(err, a, declare, &d);
  if (!status) status = gh_safetensors_writer_begin(err, d.writer);
  if (!status) {
    gh_progress_start(&d.progress, a->name, "parameters", (uint64_t)gh_arch_parameters(a), 0);
    status = gh_arch_tensors(err, a, draw, &d);
    if (!status && d.progress.terminal) gh_progress_end(&d.progress);
  }
  if (!status) status = gh_safetensors_writer_finish(err, d.writer);
  gh_safetensors_writer_free(d.writer);
  free(d.values);
  return status;
}

gh_status gh_arch_write(gh_error *err, const gh_arch *a, const char *folder, uint64_t seed) {
  char *weights = gh_path_join(err, folder, "model.safetensors");
  gh_status status =
      weights ? gh_weights_refuse_others(err, folder, "model.safetensors", "config.json", MADE_BY) : GH_ERROR_MEMORY;
  if (!status) status = gh_folder_make(err, folder);
  if (!status) status = write_weights(err, a, weights, seed);
  gh_preprocess preprocess;
  gh_vision_preprocess_defaults(&preprocess, &a->vision);
  if (!status) status = gh_vision_preprocess_write(err, &preprocess, folder, &a->vision);
  if (!status) status = gh_model_config_write(err, a, "float32", folder);
  free(weights);
  return status;
}
