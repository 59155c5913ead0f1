/* The paths of a run's configuration, from any folder: they are relative to where the run was started. */
#include "config/run.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const keys[] = {"clip", "autoencoder", "denoiser.weights", "stage2.lora.adapter"};

/* Where the run was started: RUN without its own "output" at the end. NULL: not known, as for a run that was moved. The
 * caller frees. */
static char *start_of(gh_error *err, const char *run, const gh_json *document) {
  const char *output = NULL;
  gh_error ignored;
  char *whole = realpath(run, NULL), *start = NULL;
  gh_json_opt_string(&ignored, document, "output", &output);
  while (output && gh_starts_with(output, "./")) output += 2;
  size_t tail = output ? strlen(output) : 0, length = whole ? strlen(whole) : 0;
  while (tail && output[tail - 1] == '/') tail--;
  const bool inside = tail && output[0] != '/' && length > tail + 1 && whole[length - tail - 1] == '/' &&
                      !strncmp(whole + length - tail, output, tail);
  if (inside) start = gh_format(err, "%.*s", (int)(length - tail - 1), whole);
  free(whole);
  return start;
}

static bool is_current(const char *folder) {
  char *here = realpath(".", NULL);
  const bool same = here && !strcmp(here, folder);
  free(here);
  return same;
}

/* A path below the start, where that exists; else it stays as it is. */
static gh_status move_path(gh_error *err, gh_json *document, const char *key, const char *start) {
  const char *path = NULL;
  gh_json *value = NULL;
  gh_error ignored;
  const gh_json *old = gh_json_at(document, key);
  if (gh_json_type_of(old) != GH_JSON_STRING || gh_json_to_string(&ignored, old, key, &path) || path[0] == '/')
    return GH_OK;
  char *moved = gh_path_join(err, start, path);
  gh_status status = moved ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(moved)) status = gh_json_string(err, &value, moved);
  if (!status && value) status = gh_json_put_at(err, document, key, value);
  free(moved);
  return status;
}

/* Sources of images may be patterns, so what is there is asked only of plain paths. */
static gh_status move_images(gh_error *err, gh_json *document, const char *start) {
  gh_json *moved = gh_json_array(err);
  gh_status status = moved ? GH_OK : GH_ERROR_MEMORY;
  const gh_json *images = gh_json_at(document, "data.images");
  for (const gh_json *item = gh_json_first(images); item && !status; item = gh_json_next(item)) {
    const char *path = "";
    char *whole = NULL;
    status = gh_json_to_string(err, item, "data.images", &path);
    if (!status && path[0] != '/' && !gh_path_exists(path) && !(whole = gh_path_join(err, start, path)))
      status = GH_ERROR_MEMORY;
    if (!status) status = gh_json_put_string(err, moved, NULL, whole ? whole : path);
    free(whole);
  }
  if (!status && images) return gh_json_put_at(err, document, "data.images", moved);
  gh_json_free(moved);
  return status;
}

static gh_status name(gh_error *err, gh_json *document, const char *key, const char *given) {
  gh_json *value = NULL;
  if (!given) return GH_OK;
  gh_status status = gh_json_string(err, &value, given);
  return status ? status : gh_json_put_at(err, document, key, value);
}

gh_status gh_run_place_paths(gh_error *err, const char *run, const gh_run_names *names, gh_json *document) {
  char *start = start_of(err, run, document);
  gh_status status = GH_OK;
  if (start && !is_current(start)) {
    for (size_t i = 0; i < GH_COUNT(keys) && !status; i++) status = move_path(err, document, keys[i], start);
    if (!status) status = move_images(err, document, start);
  }
  free(start);
  if (!status && names) status = name(err, document, "clip", names->model);
  return status || !names ? status : name(err, document, "autoencoder", names->autoencoder);
}

gh_status gh_run_check_models(gh_error *err, const char *run, const gh_config *config, bool all) {
  static const char *const options[GH_COUNT(keys)] = {"--model DIR", "--autoencoder FILE", NULL, NULL};
  gh_json *root = NULL;
  gh_status status = gh_config_to_json(err, &root, config);
  for (size_t i = 0; i < (all ? GH_COUNT(keys) : 1) && !status; i++) {
    const char *path = NULL;
    gh_error ignored;
    gh_json_opt_string(&ignored, root, keys[i], &path);
    if (!path || gh_path_exists(path)) continue;
    char *start = start_of(err, run, root);
    status = gh_fail(err, GH_ERROR_FILE, "%s: %s: no such file or folder here%s%s; %s%s", keys[i], path,
                     start ? ", nor in " : "", start ? start : "", options[i] ? options[i] : "run this in the folder",
                     options[i] ? " names another" : " where the run was started");
    free(start);
  }
  gh_json_free(root);
  return status;
}
