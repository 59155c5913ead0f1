#include "base/checksum.h"
#include "base/file.h"
#include "train/metrics.h"
#include "train/state_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define PART "part-00000.safetensors"

void gh_state_info_free(gh_state_info *info) {
  gh_json_free(info->config);
  gh_json_free(info->plan);
  gh_json_free(info->encoder);
  *info = (gh_state_info){0};
}

static int tensor_count(const gh_update *u) { return gh_update_kinds(u) * u->count + u->carried_count; }

/* The tensors of a state, in order: the values, m and v of each parameter, then what the step carries. */
static gh_kept_form state_tensor(const gh_update *u, int index, gh_name *name) {
  static const char *const names[GH_KEPT] = {"parameter", "adam.m", "adam.v", "outer"};
  const int kinds = gh_update_kinds(u);
  if (index < kinds * u->count) {
    *name = gh_name_make("%s.%s", names[index % kinds], u->parameters[index / kinds]->name);
    return gh_update_form(u, index / kinds, (gh_kept)(index % kinds));
  }
  const gh_tensor *carried = u->carried[index - kinds * u->count];
  gh_kept_form form = {.dtype = GH_F32, .rank = carried->rank, .elements = gh_tensor_elements(carried)};
  memcpy(form.shape, carried->shape, sizeof form.shape);
  *name = gh_name_make("carried.%s", carried->name);
  return form;
}

static size_t bytes_of(const gh_kept_form *form) { return (size_t)form->elements * sizeof(float); }

static gh_status get(gh_error *err, const gh_update *u, int index, void *values) {
  const int kinds = gh_update_kinds(u);
  if (index < kinds * u->count) return gh_update_get(err, u, index / kinds, (gh_kept)(index % kinds), values);
  return gh_tensor_read(err, u->device, u->carried[index - kinds * u->count], values);
}

static gh_status put(gh_error *err, const gh_update *u, int index, const void *values) {
  const int kinds = gh_update_kinds(u);
  if (index < kinds * u->count) return gh_update_put(err, u, index / kinds, (gh_kept)(index % kinds), values);
  return gh_tensor_write(err, u->device, u->carried[index - kinds * u->count], values);
}

static int64_t largest(const gh_update *u) {
  int64_t n = 0;
  gh_name ignored;
  for (int i = 0; i < tensor_count(u); i++) n = GH_MAX(n, state_tensor(u, i, &ignored).elements);
  return n;
}

/* ---- writing ---- */

static gh_status write_tensors(gh_error *err, gh_safetensors_writer *writer, const gh_update *u, float *values,
                               XXH64_state_t *hash) {
  gh_name name;
  gh_status status = GH_OK;
  for (int i = 0; i < tensor_count(u) && !status; i++) {
    const gh_kept_form t = state_tensor(u, i, &name);
    status = gh_safetensors_writer_declare(err, writer, name.text, t.dtype == GH_U32 ? GH_ST_U32 : GH_ST_F32, t.rank,
                                           t.shape);
  }
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (int i = 0; i < tensor_count(u) && !status; i++) {
    const gh_kept_form t = state_tensor(u, i, &name);
    status = get(err, u, i, values);
    if (status) break;
    XXH64_update(hash, values, bytes_of(&t));
    status = gh_safetensors_writer_write(err, writer, name.text, values, bytes_of(&t));
  }
  return status ? status : gh_safetensors_writer_finish(err, writer);
}

static gh_status write_part(gh_error *err, const char *folder, const gh_update *u, char hash_text[GH_CHECKSUM_TEXT]) {
  char *path = gh_path_join(err, folder, PART);
  float *values = gh_alloc(err, (size_t)largest(u), sizeof *values);
  XXH64_state_t *hash = XXH64_createState();
  gh_safetensors_writer *writer = NULL;
  gh_status status = path && values && hash ? GH_OK : gh_fail(err, GH_ERROR_MEMORY, "out of memory for the state");
  if (!status) status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) {
    XXH64_reset(hash, 0);
    status = write_tensors(err, writer, u, values, hash);
  }
  if (!status) gh_checksum_text(hash_text, XXH64_digest(hash));
  gh_safetensors_writer_free(writer);
  XXH64_freeState(hash);
  free(values);
  free(path);
  return status;
}

static gh_status describe_part(gh_error *err, gh_json *root, const gh_update *u, const char *hash_text) {
  gh_json *parts = gh_json_put_array(err, root, "parts");
  gh_json *part = parts ? gh_json_put_object(err, parts, NULL) : NULL;
  if (!part || gh_json_put_string(err, part, "file", PART) || gh_json_put_string(err, part, "xxh64", hash_text))
    return err->status;
  gh_json *tensors = gh_json_put_array(err, part, "tensors");
  for (int i = 0; tensors && i < tensor_count(u); i++) {
    gh_name name;
    const gh_kept_form t = state_tensor(u, i, &name);
    gh_json *row = gh_json_put_object(err, tensors, NULL);
    if (!row || gh_json_put_string(err, row, "name", name.text) || gh_json_put_int(err, row, "first", 0) ||
        gh_json_put_int(err, row, "count", t.elements) || gh_json_put_ints(err, row, "shape", t.shape, (size_t)t.rank))
      return err->status;
  }
  return tensors ? GH_OK : err->status;
}

static gh_status put_copy(gh_error *err, gh_json *root, const char *key, const gh_json *value) {
  gh_json *copy = NULL;
  gh_status status = gh_json_copy(err, &copy, value);
  return status ? status : gh_json_put(err, root, key, copy);
}

gh_status gh_state_info_put(gh_error *err, gh_json *root, const gh_state_info *info) {
  char data_hash[GH_CHECKSUM_TEXT], models_hash[GH_CHECKSUM_TEXT];
  gh_checksum_text(data_hash, info->data_hash);
  gh_checksum_text(models_hash, info->models_hash);
  gh_status status = gh_json_put_int(err, root, "stage", info->stage);
  if (!status) status = gh_json_put_int(err, root, "update", info->update);
  if (!status) status = gh_json_put_int(err, root, "micro_batch", info->micro_batch);
  if (!status) status = gh_json_put_string(err, root, "data", data_hash);
  if (!status) status = gh_json_put_string(err, root, "models", models_hash);
  if (!status) status = put_copy(err, root, "config", info->config);
  if (!status) status = put_copy(err, root, "plan", info->plan);
  if (!status && info->encoder) status = put_copy(err, root, "encoder", info->encoder);
  return status;
}

static gh_status write_manifest(gh_error *err, const char *folder, const gh_update *u, const gh_state_info *info,
                                const char *hash_text) {
  char *path = gh_path_join(err, folder, GH_STATE_MANIFEST);
  gh_json *root = gh_json_object(err);
  gh_status status = path && root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_int(err, root, "version", GH_STATE_VERSION);
  if (!status) status = gh_state_info_put(err, root, info);
  if (!status) status = describe_part(err, root, u, hash_text);
  if (!status) status = gh_json_write_sealed(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

/* Removes a state, its manifest first: after an interruption, what is left is not taken for a state. */
static gh_status remove_state(gh_error *err, const char *folder) {
  char *manifest = gh_path_join(err, folder, GH_STATE_MANIFEST);
  gh_status status = manifest ? gh_file_remove(err, manifest) : GH_ERROR_MEMORY;
  if (!status) status = gh_folder_sync(err, folder);
  free(manifest);
  return status ? status : gh_folder_remove(err, folder);
}

/* Keeps the newest states up to the one just written. Later ones, which a user who went back may have left, do not
 * count. */
static gh_status remove_old(gh_error *err, const char *states, const char *written, int64_t keep) {
  gh_strings names;
  size_t count = 0;
  gh_status status = gh_run_list(err, states, &names);
  while (count < names.count && strcmp(names.items[count], gh_path_name(written)) <= 0) count++;
  for (size_t i = 0; !status && i + (size_t)keep < count; i++) {
    char *old = gh_path_join(err, states, names.items[i]);
    status = old ? remove_state(err, old) : GH_ERROR_MEMORY;
    free(old);
  }
  gh_strings_free(&names);
  return status;
}

gh_status gh_state_write(gh_error *err, const char *run, const gh_update *u, const gh_state_info *info, int64_t keep) {
  char hash_text[GH_CHECKSUM_TEXT];
  char *states = gh_path_join(err, run, "state");
  char *folder = gh_format(err, "%s/state/stage%d-%08lld", run, info->stage, (long long)info->update);
  gh_status status = states && folder ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  if (!status) status = write_part(err, folder, u, hash_text);
  if (!status) status = gh_metrics_sync(err, run);
  if (!status) status = write_manifest(err, folder, u, info, hash_text);
  if (!status) status = gh_folder_sync(err, states);
  if (!status) status = remove_old(err, states, folder, keep);
  free(states);
  free(folder);
  return status;
}

/* ---- loading ---- */

static gh_status check_hash(gh_error *err, const gh_json *root, const char *path, const char *hash_text) {
  const char *stated = NULL;
  gh_status status = gh_json_get_string(err, root, "parts[0].xxh64", &stated);
  if (!status && strcmp(stated, hash_text))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: its content does not match the manifest (hash %s, not %s)", path,
                     hash_text, stated);
  return status;
}

/* 8-bit moments, as they are. */
static gh_status load_words(gh_error *err, const gh_safetensors *part, const char *name, int64_t words, void *values) {
  const gh_st_tensor *t = gh_safetensors_find(part, name);
  if (!t || t->dtype != GH_ST_U32 || t->rank != 1 || t->elements != words)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %s does not hold %lld words of 8-bit moments", gh_safetensors_path(part),
                   name, (long long)words);
  gh_mapping_guard();
  memcpy(values, t->data, t->bytes);
  gh_status status = gh_mapping_check(err, t->data);
  gh_safetensors_release(part, t);
  return status;
}

static gh_status load_part(gh_error *err, const gh_safetensors *part, const gh_json *root, const gh_update *u,
                           float *values) {
  gh_status status = GH_OK;
  gh_name name;
  XXH64_state_t *hash = XXH64_createState();
  if (!hash) return gh_fail(err, GH_ERROR_MEMORY, "out of memory for a hash");
  XXH64_reset(hash, 0);
  for (int i = 0; i < tensor_count(u) && !status; i++) {
    const gh_kept_form t = state_tensor(u, i, &name);
    if (t.dtype == GH_U32)
      status = load_words(err, part, name.text, t.elements, values);
    else
      status = gh_safetensors_load_f32(err, part, name.text, t.rank, t.shape, values);
    if (!status) XXH64_update(hash, values, bytes_of(&t));
    if (!status) status = put(err, u, i, values);
  }
  char hash_text[GH_CHECKSUM_TEXT];
  gh_checksum_text(hash_text, XXH64_digest(hash));
  XXH64_freeState(hash);
  return status ? status : check_hash(err, root, gh_safetensors_path(part), hash_text);
}

gh_status gh_state_load(gh_error *err, const char *folder, const gh_update *u) {
  gh_json *root = NULL;
  gh_safetensors *part = NULL;
  char *path = NULL;
  float *values = gh_alloc(err, (size_t)largest(u), sizeof *values);
  gh_status status = values ? gh_state_read_manifest(err, folder, &root) : GH_ERROR_MEMORY;
  if (!status) status = gh_state_part(err, folder, root, &path);
  if (!status) status = gh_safetensors_open(err, &part, path);
  if (!status && gh_safetensors_count(part) != (size_t)tensor_count(u))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: %zu tensors, but this configuration trains %d", path,
                     gh_safetensors_count(part), u->count);
  if (!status) status = load_part(err, part, root, u, values);
  gh_safetensors_close(part);
  gh_json_free(root);
  free(values);
  free(path);
  return status;
}
