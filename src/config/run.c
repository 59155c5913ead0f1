#include "config/run.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool gh_run_parse_name(const char *name, int *stage, int64_t *update) {
  long long number = 0;
  int used = 0;
  if (sscanf(name, "stage%d-%8lld%n", stage, &number, &used) != 2 || name[used] || number < 0) return false;
  *update = number;
  return *stage == 1 || *stage == 2;
}

/* The names have a fixed width, so that bytewise order is the order of updates. */
gh_status gh_run_list(gh_error *err, const char *folder, gh_strings *names) {
  *names = (gh_strings){0};
  DIR *dir = opendir(folder);
  if (!dir) {
    if (errno == ENOENT) return GH_OK;
    return gh_fail(err, GH_ERROR_FILE, "%s: %s", folder, strerror(errno));
  }
  gh_status status = GH_OK;
  for (struct dirent *entry; !status && (entry = readdir(dir));) {
    int stage;
    int64_t update;
    if (gh_run_parse_name(entry->d_name, &stage, &update)) status = gh_strings_add(err, names, entry->d_name);
  }
  closedir(dir);
  gh_strings_sort(names);
  return status;
}

static gh_status existing(gh_error *err, const char *folder, const char *name, char **out) {
  char *path = gh_path_join(err, folder, name);
  if (!path) return GH_ERROR_MEMORY;
  if (gh_path_exists(path) && !*out)
    *out = path;
  else
    free(path);
  return GH_OK;
}

void gh_snapshot_free(gh_snapshot *s) {
  free(s->denoiser);
  free(s->adapter);
  free(s->encoder);
  *s = (gh_snapshot){0};
}

/* Goes from newest to oldest. The newest is the snapshot; an older one may provide its denoiser. */
static gh_status look_into(gh_error *err, const char *snapshots, const gh_strings *names, gh_snapshot *out) {
  for (size_t i = names->count; i-- > 0;) {
    int stage;
    int64_t update;
    if (!gh_run_parse_name(names->items[i], &stage, &update)) continue; /* not reached: gh_run_list drops such names */
    char *folder = gh_path_join(err, snapshots, names->items[i]), *adapter = NULL;
    if (!folder) return GH_ERROR_MEMORY;
    gh_status status = existing(err, folder, "denoiser.safetensors", &out->denoiser);
    if (!status && i + 1 == names->count) {
      out->stage = stage;
      out->update = update;
      status = existing(err, folder, "encoder.safetensors", &out->encoder);
      if (!status) status = existing(err, folder, "adapter_model.safetensors", &adapter);
      if (adapter) out->adapter = gh_strdup(err, folder);
      if (adapter && !out->adapter) status = GH_ERROR_MEMORY;
      free(adapter);
    }
    free(folder);
    if (status) return status;
    if (out->denoiser) break;
  }
  return GH_OK;
}

/* Drops the names after the snapshot of that name. */
static gh_status cut_after(gh_error *err, const char *run, const char *name, gh_strings *names) {
  size_t at = 0;
  while (at < names->count && strcmp(names->items[at], name)) at++;
  if (at == names->count) {
    const char *nearest = gh_nearest(name, (const char *const *)names->items, names->count);
    if (nearest) return gh_fail(err, GH_ERROR_FILE, "%s: no snapshot %s; did you mean %s?", run, name, nearest);
    return gh_fail(err, GH_ERROR_FILE, "%s: no snapshot %s; it has %s%s%s, and last and best are names, too", run, name,
                   names->count ? names->items[0] : "none", names->count > 1 ? " to " : "",
                   names->count > 1 ? names->items[names->count - 1] : "");
  }
  while (names->count > at + 1) free(names->items[--names->count]);
  return GH_OK;
}

const char *gh_run_default_snapshot(const char *run) {
  gh_error ignored;
  char *path = gh_path_join(&ignored, run, "best.json");
  const char *name = path && gh_path_exists(path) ? "best" : "last";
  free(path);
  return name;
}

/* The snapshot that best.json names. */
static gh_status find_best(gh_error *err, const char *run, char **out) {
  gh_json *best = NULL;
  const char *name = NULL;
  *out = NULL;
  char *path = gh_path_join(err, run, "best.json");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_exists(path))
    status = gh_fail(err, GH_ERROR_FILE,
                     "%s: no best.json, since the run had no evaluations; --snapshot last is the newest", run);
  if (!status) status = gh_json_read_file(err, &best, path, GH_JSON_MAX_BYTES);
  if (!status && (status = gh_json_get_string(err, best, "snapshot", &name))) gh_fail_in(err, "%s", path);
  if (!status && !(*out = gh_strdup(err, name))) status = GH_ERROR_MEMORY;
  gh_json_free(best);
  free(path);
  return status;
}

gh_status gh_run_snapshot(gh_error *err, const char *run, const char *name, gh_snapshot *out) {
  *out = (gh_snapshot){0};
  gh_strings names = {0};
  char *best = NULL;
  if (name && !strcmp(name, "last")) name = NULL;
  if (name && !strcmp(name, "best")) {
    gh_status found = find_best(err, run, &best);
    if (found) return found;
    name = best;
  }
  char *snapshots = gh_path_join(err, run, "snapshots");
  gh_status status = snapshots ? gh_run_list(err, snapshots, &names) : GH_ERROR_MEMORY;
  if (!status && !names.count) status = gh_fail(err, GH_ERROR_FILE, "%s: no snapshot yet", run);
  if (!status && name) status = cut_after(err, run, name, &names);
  if (!status) status = look_into(err, snapshots, &names, out);
  if (status) gh_snapshot_free(out);
  gh_strings_free(&names);
  free(snapshots);
  free(best);
  return status;
}

gh_status gh_run_config_json(gh_error *err, const char *run, gh_json **out) {
  *out = NULL;
  if (!gh_path_is_folder(run)) return gh_fail(err, GH_ERROR_FILE, "%s: no such folder", run);
  char *path = gh_path_join(err, run, "config.json");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_json_read_file(err, out, path, GH_JSON_MAX_BYTES);
  free(path);
  if (status || gh_json_member(*out, "stage2")) return status;
  gh_json_free(*out);
  *out = NULL;
  return gh_fail(err, GH_ERROR_FILE, "%s: not the folder of a run: it has no config.json of a run", run);
}

gh_status gh_run_config(gh_error *err, const char *run, gh_config *out) {
  return gh_run_config_named(err, run, NULL, out);
}

gh_status gh_run_config_named(gh_error *err, const char *run, const gh_run_names *names, gh_config *out) {
  gh_json *document = NULL;
  *out = (gh_config){0};
  char *path = gh_path_join(err, run, "config.json");
  gh_status status = path ? gh_run_config_json(err, run, &document) : GH_ERROR_MEMORY;
  if (!status) status = gh_run_place_paths(err, run, names, document);
  if (!status) status = gh_config_from_json(err, out, path, document);
  gh_json_free(document);
  free(path);
  return status;
}

gh_status gh_run_stage1_denoiser(gh_error *err, const char *run, int64_t update, char **path) {
  *path = gh_format(err, "%s/snapshots/stage1-%08lld/denoiser.safetensors", run, (long long)update);
  if (!*path) return GH_ERROR_MEMORY;
  if (gh_path_is_file(*path)) return GH_OK;
  gh_fail(err, GH_ERROR_FILE, "%s is missing; stage 2 starts from it", *path);
  free(*path);
  *path = NULL;
  return GH_ERROR_FILE;
}

gh_status gh_run_note(gh_error *err, const char *run, const char *key, gh_json *value) {
  gh_json *info = NULL;
  char *path = gh_path_join(err, run, "info.json");
  gh_error broken = {0};
  gh_status status = path && value ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_json_read_file(&broken, &info, path, GH_JSON_MAX_BYTES);
  if (status == GH_ERROR_FORMAT || (!status && info && gh_json_type_of(info) != GH_JSON_OBJECT)) {
    gh_warn("%s: damaged, and written anew", path);
    gh_json_free(info);
    info = NULL;
    status = GH_OK;
  } else if (status && broken.status) {
    *err = broken;
  }
  if (!status && !info && !(info = gh_json_object(err))) status = GH_ERROR_MEMORY;
  if (status)
    gh_json_free(value);
  else
    status = gh_json_put(err, info, key, value);
  if (!status) status = gh_json_write_file(err, path, info);
  gh_json_free(info);
  free(path);
  return status;
}

gh_status gh_run_check_files(gh_error *err, const char *run) {
  static const char *const files[] = {"config.json", "plan.json",         "info.json", "metrics.jsonl",
                                      "train.log",   "evaluations.jsonl", "best.json", GH_RUN_EVENTS};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(files) && !status; i++) {
    char *path = gh_path_join(err, run, files[i]);
    status = path ? GH_OK : GH_ERROR_MEMORY;
    if (path && gh_path_exists(path)) status = gh_file_check_regular(err, path);
    free(path);
  }
  return status;
}

gh_status gh_run_lock(gh_error *err, const char *run, gh_run_hold *out) {
  *out = (gh_run_hold){.made_folder = !gh_path_exists(run)};
  gh_status status = gh_folder_make(err, run);
  if (!status && !(out->folder = gh_strdup(err, run))) status = GH_ERROR_MEMORY;
  if (!status && !(out->file = gh_path_join(err, run, ".lock"))) status = GH_ERROR_MEMORY;
  if (status) return status;
  out->made_file = !gh_path_exists(out->file);
  return gh_file_lock_take(err, &out->lock, out->file, false);
}

void gh_run_unlock(gh_run_hold *hold, bool began) {
  if (!began && hold->lock && hold->made_file) unlink(hold->file);
  if (!began && hold->folder && hold->made_folder)
    rmdir(hold->folder); /* fails, as intended, if the folder is not empty */
  gh_file_lock_release(hold->lock);
  free(hold->folder);
  free(hold->file);
  *hold = (gh_run_hold){0};
}
