/* The half of state.h that decides which state is used. Nothing of a state is believed before it is checked: a manifest
 * by its seal and the folder's name, a part by the manifest's rows and the hash of its values. States of earlier
 * versions have no seal and no shapes in their rows; the rest is checked. */
#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "io/mapping.h"
#include "io/safetensors.h"
#include "train/state_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* ---- the manifest ---- */

/* A row with a shape is of a version that seals its manifests: there, an absent seal is damage. */
static bool lacks_seal(const gh_json *root) {
  return gh_json_at(root, "parts[0].tensors[0].shape") && !gh_json_member(root, "xxh64");
}

gh_status gh_state_read_manifest(gh_error *err, const char *folder, gh_json **root) {
  *root = NULL;
  char *path = gh_path_join(err, folder, GH_STATE_MANIFEST);
  gh_status status = path ? gh_json_read_sealed(err, root, path) : GH_ERROR_MEMORY;
  int64_t version = 0;
  if (!status && lacks_seal(*root)) status = gh_fail(err, GH_ERROR_FORMAT, "%s: damaged: it has no checksum", path);
  if (!status && gh_json_get_int(err, *root, "version", &version)) status = gh_fail_in(err, "%s", path);
  if (!status && version != GH_STATE_VERSION)
    status = gh_fail(err, version > GH_STATE_VERSION ? GH_ERROR_UNSUPPORTED : GH_ERROR_FORMAT,
                     "%s: state version %lld is not supported; this genhance reads version %d", path,
                     (long long)version, GH_STATE_VERSION);
  if (status) {
    gh_json_free(*root);
    *root = NULL;
  }
  free(path);
  return status;
}

/* Whether stage and update are those that the folder's name says: older manifests have no seal. */
static bool is_named(const char *folder, int64_t stage, int64_t update) {
  int named_stage = 0;
  int64_t named_update = 0;
  return gh_run_parse_name(gh_path_name(folder), &named_stage, &named_update) && named_stage == stage &&
         named_update == update;
}

gh_status gh_state_info_read(gh_error *err, const char *folder, const gh_json *root, gh_state_info *info) {
  int64_t stage = 0;
  const char *data = NULL, *models = NULL;
  gh_status status = GH_OK;
  const gh_json *config = gh_json_member(root, "config"), *plan = gh_json_member(root, "plan");
  const gh_json *encoder = gh_json_member(root, "encoder");
  if (!config || !plan) status = gh_fail(err, GH_ERROR_FORMAT, "no config or plan");
  if (!status) status = gh_json_get_int(err, root, "stage", &stage);
  if (!status) status = gh_json_get_int(err, root, "update", &info->update);
  if (!status) status = gh_json_get_int(err, root, "micro_batch", &info->micro_batch);
  if (!status) status = gh_json_get_string(err, root, "data", &data);
  if (!status) status = gh_json_get_string(err, root, "models", &models);
  if (!status) status = gh_json_copy(err, &info->config, config);
  if (!status) status = gh_json_copy(err, &info->plan, plan);
  if (!status && encoder) status = gh_json_copy(err, &info->encoder, encoder);
  if (!status && !is_named(folder, stage, info->update))
    status = gh_fail(err, GH_ERROR_FORMAT, "stage %lld, update %lld: the folder has another name", (long long)stage,
                     (long long)info->update);
  if (!status && (stage < 1 || stage > 2 || info->update < 0 || info->micro_batch < 1))
    status = gh_fail(err, GH_ERROR_FORMAT, "numbers out of range");
  if (!status) {
    info->stage = (int)stage;
    info->data_hash = strtoull(data, NULL, 16);
    info->models_hash = strtoull(models, NULL, 16);
    return GH_OK;
  }
  gh_state_info_free(info);
  return gh_fail_in(err, "%s/%s", folder, GH_STATE_MANIFEST);
}

/* ---- a part ---- */

static gh_status same_shape(gh_error *err, const gh_json *shape, const gh_st_tensor *t) {
  gh_status status = GH_OK;
  int rank = 0;
  for (const gh_json *item = gh_json_first(shape); item && !status; item = gh_json_next(item), rank++) {
    int64_t size = 0;
    status = gh_json_to_int(err, item, "shape", &size);
    if (!status && (rank >= t->rank || t->shape[rank] != size))
      status = gh_fail(err, GH_ERROR_FORMAT, "another shape than the manifest says");
  }
  if (!status && shape && rank != t->rank)
    status = gh_fail(err, GH_ERROR_FORMAT, "another shape than the manifest says");
  return status;
}

/* Checks a tensor against its row, and adds its values to the hash. */
static gh_status check_tensor(gh_error *err, const gh_safetensors *part, const gh_json *row, XXH64_state_t *hash) {
  const char *name = NULL;
  int64_t first = 0, count = 0;
  gh_status status = gh_json_get_string(err, row, "name", &name);
  if (!status) status = gh_json_get_int(err, row, "first", &first);
  if (!status) status = gh_json_get_int(err, row, "count", &count);
  if (status) return gh_fail_in(err, "%s", GH_STATE_MANIFEST);
  const gh_st_tensor *t = gh_safetensors_find(part, name);
  if (!t)
    status = gh_fail(err, GH_ERROR_FORMAT, "absent");
  else if ((t->dtype != GH_ST_F32 && t->dtype != GH_ST_U32) || first || t->elements != count)
    status = gh_fail(err, GH_ERROR_FORMAT, "elements %lld to %lld are not all %lld of it", (long long)first,
                     (long long)(first + count), (long long)t->elements);
  if (!status) status = same_shape(err, gh_json_member(row, "shape"), t);
  if (status) return gh_fail_in(err, "%s: tensor \"%s\"", gh_safetensors_path(part), name);
  gh_mapping_guard();
  XXH64_update(hash, t->data, t->bytes);
  status = gh_mapping_check(err, t->data); /* what cannot be read is not damaged */
  gh_safetensors_release(part, t);         /* loading reads it again, most often from the system's cache */
  return status;
}

static gh_status check_values(gh_error *err, const gh_safetensors *part, const gh_json *row) {
  char text[GH_CHECKSUM_TEXT];
  const char *stated = NULL;
  size_t count = 0;
  gh_status status = gh_json_get_string(err, row, "xxh64", &stated);
  XXH64_state_t *hash = XXH64_createState();
  if (!hash) return gh_fail(err, GH_ERROR_MEMORY, "out of memory for a hash");
  XXH64_reset(hash, 0);
  const gh_json *tensor = gh_json_first(gh_json_member(row, "tensors"));
  for (; tensor && !status; tensor = gh_json_next(tensor), count++) status = check_tensor(err, part, tensor, hash);
  gh_checksum_text(text, XXH64_digest(hash));
  XXH64_freeState(hash);
  if (status) return status;
  if (count != gh_safetensors_count(part))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu tensors, but the manifest lists %zu", gh_safetensors_path(part),
                   gh_safetensors_count(part), count);
  if (!strcmp(stated, text)) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: its content does not match the manifest (hash %s, not %s)",
                 gh_safetensors_path(part), text, stated);
}

gh_status gh_state_part(gh_error *err, const char *folder, const gh_json *root, char **path) {
  const char *file = NULL;
  *path = NULL;
  const size_t parts = gh_json_count(gh_json_member(root, "parts"));
  gh_status status = GH_OK;
  if (parts != 1) status = gh_fail(err, GH_ERROR_FORMAT, "%zu parts, expected one", parts);
  if (!status) status = gh_json_get_string(err, root, "parts[0].file", &file);
  if (!status && (strchr(file, '/') || !gh_path_stays_inside(file)))
    status = gh_fail(err, GH_ERROR_FORMAT, "the part \"%.200s\" is not in the folder", file);
  if (status) return gh_fail_in(err, "%s/%s", folder, GH_STATE_MANIFEST);
  *path = gh_path_join(err, folder, file);
  return *path ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status check_part(gh_error *err, const char *folder, const gh_json *root) {
  gh_safetensors *part = NULL;
  char *path = NULL;
  gh_status status = gh_state_part(err, folder, root, &path);
  if (status) return status;
  status = gh_path_exists(path) ? gh_file_check_regular(err, path) : gh_fail(err, GH_ERROR_FORMAT, "%s: absent", path);
  if (!status) status = gh_safetensors_open(err, &part, path);
  if (!status) status = check_values(err, part, gh_json_at(root, "parts[0]"));
  gh_safetensors_close(part);
  free(path);
  return status;
}

static gh_status check_state(gh_error *err, const char *folder, gh_state_info *info) {
  gh_json *root = NULL;
  gh_status status = gh_state_read_manifest(err, folder, &root);
  if (!status) status = check_part(err, folder, root);
  if (!status) status = gh_state_info_read(err, folder, root, info);
  gh_json_free(root);
  return status;
}

/* ---- the choice ---- */

typedef struct gh_search {
  const char *states;
  gh_strings damaged; /* names, newest first */
  gh_error first;     /* the damage of the newest */
} gh_search;

/* GH_ERROR_FORMAT is damage. Other errors (memory, a file that cannot be read now, a later version) say nothing about
 * the state: going back to an older one would lose updates. */
static gh_status consider(gh_error *err, gh_search *search, const char *name, gh_state_info *info, char **folder) {
  gh_error damage = {0};
  char *path = gh_path_join(err, search->states, name);
  if (!path) return GH_ERROR_MEMORY;
  gh_status status = check_state(&damage, path, info);
  if (!status) {
    *folder = path;
    return GH_OK;
  }
  free(path);
  if (status == GH_ERROR_UNSUPPORTED)
    return gh_fail(err, status, "%s (a later version wrote it; without its folder, the state before it is used)",
                   damage.text);
  if (status != GH_ERROR_FORMAT) return gh_fail(err, status, "%s", damage.text);
  if (!search->damaged.count) search->first = damage;
  return gh_strings_add(err, &search->damaged, name);
}

/* The damaged states do not count among those to keep, and are not met again. */
static void set_aside(const gh_search *search, const char *used) {
  gh_warn("damaged state skipped: %s; the run goes on from %s", search->first.text, gh_path_name(used));
  for (size_t i = 0; i < search->damaged.count; i++) {
    gh_error err = {0};
    char *from = gh_path_join(&err, search->states, search->damaged.items[i]);
    char *to = gh_format(&err, "%s/damaged-%s", search->states, search->damaged.items[i]);
    if (!from || !to || gh_folder_remove(&err, to) || gh_file_rename(&err, from, to)) gh_warn("%s", err.text);
    free(from);
    free(to);
  }
}

static gh_status look(gh_error *err, gh_search *search, const char *name, gh_state_info *info, char **folder) {
  char *path = gh_path_join(err, search->states, name);
  char *manifest = path ? gh_path_join(err, path, GH_STATE_MANIFEST) : NULL;
  struct stat facts;
  gh_status status = GH_ERROR_MEMORY;
  if (manifest && !lstat(manifest, &facts))
    status = consider(err, search, name, info, folder);
  else if (manifest && (errno == ENOENT || errno == ENOTDIR)) /* interrupted while it was written or removed */
    status = gh_folder_remove(err, path);
  else if (manifest)
    status = gh_fail(err, GH_ERROR_FILE, "%s: %s", manifest, strerror(errno));
  free(manifest);
  free(path);
  return status;
}

gh_status gh_state_find(gh_error *err, const char *run, char **folder, gh_state_info *info) {
  gh_strings names = {0};
  gh_search search = {0};
  *folder = NULL;
  *info = (gh_state_info){0};
  char *states = gh_path_join(err, run, "state");
  search.states = states;
  gh_status status = states ? gh_run_list(err, states, &names) : GH_ERROR_MEMORY;
  for (size_t i = names.count; !status && i-- > 0 && !*folder;)
    status = look(err, &search, names.items[i], info, folder);
  if (!status && search.damaged.count && !*folder)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s; no other state of the run is left: choose another output",
                     search.first.text);
  if (!status && search.damaged.count) set_aside(&search, *folder);
  gh_strings_free(&names);
  gh_strings_free(&search.damaged);
  free(states);
  return status;
}
