#include "export/export.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "io/tokenizer.h"
#include "models/adapter.h"
#include "models/family.h"

#include <stdlib.h>
#include <string.h>

#define MADE_BY        "genhance export"
#define MADE_BY_KEY    "made_by"
#define TRAINED_BY_KEY "trained_by" /* the "made_by" of the snapshot */

/* Files of a Hugging Face folder besides weights, configuration and tokenizer. */
/* The first ones are of transformers' folders: in an open_clip folder they do not describe the model. */
#define TRANSFORMERS_COMPANIONS 3
static const char *const companions[] = {"preprocessor_config.json", "processor_config.json", "generation_config.json",
                                         "LICENSE", "LICENSE.txt"};

typedef struct gh_export {
  const gh_export_options *options;
  gh_vision_config config;
  gh_safetensors *model, *encoder;
  gh_safetensors *stored; /* the model's file under its own names, which are written; NULL: ours are */
  gh_adapter adapter;
  gh_safetensors_writer *writer;
  gh_export_counts *counts;
} gh_export;

/* ---- tensors ---- */

/* The adapted layer whose weight or bias this is, or NULL. A layer that ignores the adapter for its weight keeps the
 * model's weight. */
static const char *layer_of(const gh_export *e, const char *name, const char *tail) {
  size_t n = strlen(name), cut = strlen(tail);
  if (n <= cut || strcmp(name + n - cut, tail)) return NULL;
  for (size_t i = 0; i < e->adapter.layers.count; i++) {
    const char *layer = e->adapter.layers.items[i];
    if (strlen(layer) == n - cut && !strncmp(layer, name, n - cut))
      return gh_family_past_adapter(e->config.family, layer) ? NULL : layer;
  }
  return NULL;
}

/* The adapter's tensor that replaces this one: the bias of an adapted layer, or a tensor of another; NULL: none. */
static const gh_st_tensor *trained_alone(const gh_export *e, const char *name) {
  if (!e->adapter.file) return NULL;
  const gh_st_tensor *alone = gh_adapter_alone(&e->adapter, name);
  if (alone || !gh_ends_with(name, ".bias")) return alone;
  gh_name layer = gh_name_make("%.*s", (int)(strlen(name) - strlen(".bias")), name);
  return gh_adapter_bias(&e->adapter, layer.text);
}

/* The scales of 8-bit weights go with them: in another dtype they are multiplied out. */
static bool is_written(const gh_export *e, const gh_st_tensor *t) {
  if (t->applied && e->options->dtype != GH_ST_DTYPES) return false;
  return !e->options->vision || gh_weights_of_vision(t->name);
}

/* The tensor that replaces this one; NULL: there is none. *layer is set if a pair of matrices must be added. */
static const gh_st_tensor *replacement(const gh_export *e, const char *name, const char **layer) {
  gh_name ours;
  *layer = NULL;
  if (e->stored && !gh_weights_renamed(&e->config.family->weights, name, &ours)) return NULL;
  if (e->stored) name = ours.text;
  *layer = layer_of(e, name, ".weight");
  if (*layer) return NULL;
  const gh_st_tensor *alone = trained_alone(e, name);
  if (alone) return alone;
  return e->encoder ? gh_safetensors_find(e->encoder, name) : NULL;
}

static gh_st_dtype written_dtype(const gh_export *e, const gh_st_tensor *t) {
  return e->options->dtype != GH_ST_DTYPES && gh_st_dtype_is_float(t->dtype) ? e->options->dtype : t->dtype;
}

/* Writes the tensor's values, trained ones replaced or merged. */
static gh_status write_values(gh_error *err, gh_export *e, const gh_st_tensor *t, const gh_st_tensor *from,
                              const char *layer) {
  if (from->elements != t->elements)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s has %lld elements, the model's %s %lld", from->file, from->name,
                   (long long)from->elements, t->name, (long long)t->elements);
  float *values = gh_alloc(err, (size_t)t->elements, sizeof *values);
  gh_status status = values ? gh_st_read_f32(err, from, 0, from->elements, values) : GH_ERROR_MEMORY;
  if (!status && layer && t->rank != 2)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: %s is not a matrix, but the adapter adapts it", t->file, t->name);
  if (!status && layer) status = gh_adapter_merge(err, &e->adapter, layer, t->shape[0], t->shape[1], values);
  if (!status) status = gh_safetensors_writer_write_f32(err, e->writer, t->name, values, t->elements);
  free(values);
  return status;
}

static gh_status write_tensor(gh_error *err, gh_export *e, const gh_st_tensor *t) {
  const char *layer = NULL;
  const gh_st_tensor *from = replacement(e, t->name, &layer);
  gh_st_dtype dtype = written_dtype(e, t);
  bool changed = from || layer;
  if (changed && gh_st_dtype_is_float8(dtype))
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: %s is %s, and trained values are not rounded to 8 bits: choose --dtype bfloat16 or another",
                   t->file, t->name, gh_st_dtype_name(dtype));
  e->counts->tensors++;
  e->counts->changed += changed;
  e->counts->rounded += changed && gh_st_dtype_bytes(dtype) < 4;
  if (!changed && dtype == t->dtype) return gh_safetensors_writer_write(err, e->writer, t->name, t->data, t->bytes);
  return write_values(err, e, t, from ? from : t, layer);
}

/* Checks that the model has every tensor that was trained. */
static gh_status check_places(gh_error *err, const gh_export *e) {
  for (size_t i = 0; i < e->adapter.layers.count; i++) {
    const char *layer = e->adapter.layers.items[i];
    gh_name weight = gh_name_make("%s.weight", layer), bias = gh_name_make("%s.bias", layer);
    if (!gh_safetensors_find(e->model, weight.text) ||
        (gh_adapter_bias(&e->adapter, layer) && !gh_safetensors_find(e->model, bias.text)))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: adapts %s, which the model does not have",
                     gh_safetensors_path(e->adapter.file), layer);
  }
  const gh_strings *const others[] = {&e->adapter.biases_alone, &e->adapter.saved};
  for (size_t k = 0; k < GH_COUNT(others); k++)
    for (size_t i = 0; i < others[k]->count; i++)
      if (!gh_safetensors_find(e->model, others[k]->items[i]))
        return gh_fail(err, GH_ERROR_FORMAT, "%s: trains %s, which the model does not have",
                       gh_safetensors_path(e->adapter.file), others[k]->items[i]);
  for (size_t i = 0; e->encoder && i < gh_safetensors_count(e->encoder); i++) {
    const char *name = gh_safetensors_at(e->encoder, i)->name;
    if (!gh_safetensors_find(e->model, name))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %s is not a tensor of the model", e->options->encoder, name);
  }
  return GH_OK;
}

/* "made_by" of a snapshot as a published file says it: without the host's name. What is no JSON is another program's.
 */
static gh_status public_origin(gh_error *err, const char *text, char **out) {
  gh_json *whole = NULL, *kept = NULL, *copy = NULL;
  size_t size = 0;
  gh_status status = GH_OK;
  gh_error ignored;
  if (gh_json_parse(&ignored, &whole, MADE_BY_KEY, text, strlen(text), GH_JSON_MAX_BYTES) ||
      gh_json_type_of(whole) != GH_JSON_OBJECT) {
    gh_json_free(whole);
    *out = gh_strdup(err, text);
    return *out ? GH_OK : GH_ERROR_MEMORY;
  }
  if (!(kept = gh_json_object(err))) status = GH_ERROR_MEMORY;
  for (const gh_json *item = gh_json_first(whole); item && !status; item = gh_json_next(item)) {
    if (!strcmp(gh_json_key(item), "host")) continue;
    status = gh_json_copy(err, &copy, item);
    if (!status) status = gh_json_put(err, kept, gh_json_key(item), copy);
  }
  if (!status) status = gh_json_print(err, out, &size, kept, false);
  gh_json_free(whole);
  gh_json_free(kept);
  return status;
}

/* Writes the source file's metadata, "made_by", and what made the trained tensors (`trained`, NULL: nothing). */
static gh_status write_metadata(gh_error *err, gh_safetensors_writer *writer, const gh_safetensors *from,
                                const gh_safetensors *trained) {
  const char *origin = trained ? gh_safetensors_metadata(trained, MADE_BY_KEY) : NULL;
  gh_status status = GH_OK;
  for (size_t i = 0; i < gh_safetensors_metadata_count(from) && !status; i++) {
    const char *key, *value;
    gh_safetensors_metadata_at(from, i, &key, &value);
    if (strcmp(key, "format") && strcmp(key, MADE_BY_KEY) && strcmp(key, TRAINED_BY_KEY))
      status = gh_safetensors_writer_metadata(err, writer, key, value);
  }
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "format", "pt"); /* transformers requires it */
  char *public = NULL;
  if (!status && origin) status = public_origin(err, origin, &public);
  if (public && !status) status = gh_safetensors_writer_metadata(err, writer, TRAINED_BY_KEY, public);
  free(public);
  return status ? status : gh_safetensors_writer_metadata(err, writer, MADE_BY_KEY, MADE_BY);
}

/* The tensors that are written. */
static const gh_safetensors *written(const gh_export *e) { return e->stored ? e->stored : e->model; }

static gh_status declare_all(gh_error *err, gh_export *e) {
  const gh_safetensors *from = written(e);
  gh_status status = write_metadata(err, e->writer, from, e->encoder ? e->encoder : e->adapter.file);
  for (size_t i = 0; i < gh_safetensors_count(from) && !status; i++) {
    const gh_st_tensor *t = gh_safetensors_at(from, i);
    if (is_written(e, t))
      status = gh_safetensors_writer_declare(err, e->writer, t->name, written_dtype(e, t), t->rank, t->shape);
  }
  return status;
}

static gh_status write_weights(gh_error *err, gh_export *e, const char *path) {
  const gh_safetensors *from = written(e);
  gh_status status = check_places(err, e);
  if (!status) status = gh_safetensors_writer_new(err, &e->writer, path);
  if (!status) status = declare_all(err, e);
  if (!status) status = gh_safetensors_writer_begin(err, e->writer);
  for (size_t i = 0; i < gh_safetensors_count(from) && !status; i++)
    if (is_written(e, gh_safetensors_at(from, i))) status = write_tensor(err, e, gh_safetensors_at(from, i));
  return status ? status : gh_safetensors_writer_finish(err, e->writer);
}

/* ---- the other files ---- */

/* The place of the string value that follows `"key":`, or NULL: from its opening quote, *size with both quotes. */
static char *value_of(char *text, const char *key, size_t *size) {
  char *at = strstr(text, key);
  if (!at) return NULL;
  at += strlen(key);
  at += strspn(at, " \t\r\n:");
  char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
  *size = end ? (size_t)(end - at) + 1 : 0;
  return at;
}

/* PyTorch's name. */
static const char *dtype_name(gh_st_dtype dtype) {
  static const char *const names[GH_ST_DTYPES] = {
      [GH_ST_F16] = "float16", [GH_ST_BF16] = "bfloat16", [GH_ST_F32] = "float32", [GH_ST_F64] = "float64"};
  return names[dtype] ? names[dtype] : "float32";
}

/* "dtype" of config.json: that of the vision tower's first tensor of floating point, as transformers determines it.
 * NULL: it has none. */
static const char *vision_dtype(const gh_export *e) {
  for (size_t i = 0; i < gh_safetensors_count(e->model); i++) {
    const gh_st_tensor *t = gh_safetensors_at(e->model, i);
    if (gh_weights_of_vision(t->name) && gh_st_dtype_is_float(t->dtype)) return dtype_name(written_dtype(e, t));
  }
  return NULL;
}

/* The vision tower's own config.json. */
static gh_status write_vision_config(gh_error *err, const gh_export *e, const char *out) {
  const char *dtype = vision_dtype(e);
  char *path = gh_path_join(err, out, "config.json");
  gh_json *root = gh_json_object(err), *classes = root ? gh_json_put_array(err, root, "architectures") : NULL;
  gh_status status = path && classes ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, classes, NULL, e->config.family->vision_class);
  if (!status && dtype) status = gh_json_put_string(err, root, "dtype", dtype);
  if (!status) status = gh_vision_config_put(err, root, &e->config);
  if (!status) status = gh_json_write_file(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

/* config.json with the new dtype, edited as text, since transformers distinguishes 1 from 1.0 and our JSON numbers do
 * not. Quotes inside a string are escaped, so the search finds only keys. */
static gh_status write_config(gh_error *err, const gh_export_options *o, const char *out) {
  static const char *const keys[] = {"\"dtype\"", "\"torch_dtype\""};
  if (o->dtype == GH_ST_DTYPES) return gh_file_copy(err, o->clip, out, "config.json", true);
  const gh_name quoted = gh_name_make("\"%s\"", dtype_name(o->dtype));
  const char *fresh = quoted.text;
  char *from = gh_path_join(err, o->clip, "config.json"), *to = gh_path_join(err, out, "config.json"), *text = NULL;
  size_t size = 0, old = 0;
  gh_status status = from && to ? gh_file_read(err, from, GH_JSON_MAX_BYTES, &text, &size) : GH_ERROR_MEMORY;
  for (size_t k = 0, at = 0; k < GH_COUNT(keys) && !status; k++, at = 0)
    for (char *value; !status && (value = value_of(text + at, keys[k], &old));) {
      size_t place = (size_t)(value - text);
      char *edited = old ? gh_format(err, "%.*s%s%s", (int)place, text, fresh, value + old) : NULL;
      at = old ? place + strlen(fresh) : place;
      if (!old) continue; /* the value may be null */
      if (!edited) status = GH_ERROR_MEMORY;
      if (edited) free(text), text = edited;
    }
  if (!status) status = gh_file_write(err, to, text, strlen(text));
  free(text);
  free(from);
  free(to);
  return status;
}

static gh_status open_all(gh_error *err, gh_export *e) {
  const gh_export_options *o = e->options;
  gh_status status = gh_vision_config_read(err, o->clip, &e->config); /* rejects other folders */
  if (status) return status;
  const bool own = !e->config.family->name; /* open_clip's and timm's names, since transformers has no class for it */
  if (own && o->vision)
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: transformers has no class for the vision tower of %s; the format hf writes the whole model as "
                   "open_clip reads it",
                   o->clip, e->config.family->title);
  if (own) status = gh_weights_open_as_stored(err, &e->stored, o->clip);
  if (!status) status = gh_weights_open(err, &e->model, o->clip);
  if (!status && o->adapter) status = gh_adapter_open(err, &e->adapter, o->adapter);
  if (!status && o->encoder) status = gh_checksums_check(err, o->encoder); /* of a snapshot */
  if (!status && o->encoder) status = gh_safetensors_open(err, &e->encoder, o->encoder);
  return status;
}

/* Writes the settings of an open_clip folder in transformers' format, as the names of its weights are. */
static gh_status write_translated(gh_error *err, const gh_export *e, const char *out) {
  const gh_export_options *o = e->options;
  const char *dtype = vision_dtype(e);
  gh_arch arch = {.vision = e->config};
  gh_preprocess preprocess;
  gh_status status = gh_vision_preprocess_read(err, &preprocess, o->clip, &arch.vision);
  if (!status) status = gh_vision_preprocess_write(err, &preprocess, out, &arch.vision);
  if (!status && !o->vision) status = gh_text_config_read(err, o->clip, &arch.text);
  if (status || o->vision) return status ? status : write_vision_config(err, e, out);
  return gh_model_config_write(err, &arch, dtype ? dtype : "float32", out);
}

/* config.json, or open_clip's in its place, is written last: a folder without it is not a model. */
static gh_status write_settings(gh_error *err, const gh_export *e, const char *out) {
  const gh_export_options *o = e->options;
  bool translated = false;
  gh_status status = gh_openclip_is(err, o->clip, &translated);
  for (size_t i = translated ? TRANSFORMERS_COMPANIONS : 0; i < GH_COUNT(companions) && !status; i++)
    status = gh_file_copy(err, o->clip, out, companions[i], false);
  if (!status && !o->vision) status = gh_tokenizer_copy(err, o->clip, out);
  if (status) return status;
  return e->stored    ? gh_file_copy(err, o->clip, out, GH_OPENCLIP_CONFIG, true)
         : translated ? write_translated(err, e, out)
         : o->vision  ? write_vision_config(err, e, out)
                      : write_config(err, o, out);
}

gh_status gh_export_model(gh_error *err, const char *out, const gh_export_options *o, gh_export_counts *counts) {
  gh_export e = {.options = o, .counts = counts};
  *counts = (gh_export_counts){0};
  gh_status status = open_all(err, &e);
  const char *name = e.stored ? GH_OPENCLIP_WEIGHTS : "model.safetensors";
  char *path = gh_path_join(err, out, name);
  if (!path && !status) status = GH_ERROR_MEMORY;
  if (!status) /* except an earlier export's */
    status = gh_weights_refuse_others(err, out, name, e.stored ? GH_OPENCLIP_CONFIG : "config.json", MADE_BY);
  if (!status) status = gh_folder_make(err, out);
  if (!status) status = gh_folder_sweep_dead(err, out);
  if (!status) status = write_weights(err, &e, path);
  if (!status) status = write_settings(err, &e, out);
  gh_safetensors_writer_free(e.writer);
  gh_adapter_close(&e.adapter);
  gh_safetensors_close(e.encoder);
  gh_safetensors_close(e.stored);
  gh_safetensors_close(e.model);
  free(path);
  return status;
}

/* ---- the adapter ---- */

static gh_status write_adapter(gh_error *err, const gh_safetensors *adapter, const char *path) {
  gh_safetensors_writer *writer = NULL;
  gh_status status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = write_metadata(err, writer, adapter, adapter);
  for (size_t i = 0; i < gh_safetensors_count(adapter) && !status; i++) {
    const gh_st_tensor *t = gh_safetensors_at(adapter, i);
    status = gh_safetensors_writer_declare(err, writer, t->name, t->dtype, t->rank, t->shape);
  }
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (size_t i = 0; i < gh_safetensors_count(adapter) && !status; i++) {
    const gh_st_tensor *t = gh_safetensors_at(adapter, i);
    status = gh_safetensors_writer_write(err, writer, t->name, t->data, t->bytes);
  }
  if (!status) status = gh_safetensors_writer_finish(err, writer);
  gh_safetensors_writer_free(writer);
  return status;
}

gh_status gh_export_peft(gh_error *err, const char *out, const char *folder) {
  static const char weights[] = "adapter_model.safetensors", config[] = "adapter_config.json";
  gh_adapter adapter = {0};
  char *path = gh_path_join(err, out, weights);
  gh_status status = path ? gh_weights_refuse_others(err, out, weights, config, MADE_BY) : GH_ERROR_MEMORY;
  if (!status) status = gh_adapter_open(err, &adapter, folder);
  if (!status) status = gh_folder_make(err, out);
  if (!status) status = gh_folder_sweep_dead(err, out);
  if (!status) status = write_adapter(err, adapter.file, path);
  if (!status) status = gh_file_copy(err, folder, out, config, true);
  gh_adapter_close(&adapter);
  free(path);
  return status;
}
