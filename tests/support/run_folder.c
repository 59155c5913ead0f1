#include "support/run_folder.h"
#include "support/check.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>

void run_folder_copy(const char *run, const char *from, const char *folder, const char *name) {
  gh_error err = {0};
  char *bytes = NULL, *to_folder = check_path(run, folder), *to = check_path(to_folder, name);
  size_t size = 0;
  check_ok(gh_folder_make(&err, to_folder));
  check_ok(gh_file_read(&err, from, 1 << 28, &bytes, &size));
  check_write(to, bytes, size);
  free(bytes);
  free(to);
  free(to_folder);
}

static void put_path(gh_json *config, const char *key, const char *folder, const char *name) {
  gh_error err = {0};
  char *path = check_path(folder, name);
  check_ok(gh_json_put_string(&err, config, key, path));
  free(path);
}

static void put_null(gh_json *config, const char *path) {
  gh_error err = {0};
  const char *key = NULL;
  gh_json *parent = gh_json_parent_at(&err, config, path, &key);
  assert_non_null(parent);
  check_ok(gh_json_put_null(&err, parent, key));
}

void run_folder_config(const char *run, const char *probe, const char *name) {
  gh_error err = {0};
  gh_json *config = NULL;
  char *to = check_path(run, "config.json"), *from = check_path(probe, name);
  check_ok(gh_json_read_file(&err, &config, from, GH_JSON_MAX_BYTES));
  put_path(config, "clip", probe, "clip");
  put_path(config, "autoencoder", probe, "../tiny/ae.safetensors");
  put_null(config, "denoiser.weights");
  put_null(config, "stage2.lora.adapter");
  check_ok(gh_folder_make(&err, run));
  check_ok(gh_json_write_file(&err, to, config));
  gh_json_free(config);
  free(to);
  free(from);
}
