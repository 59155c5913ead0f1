#include "train/snapshot_events.h"
#include "base/log.h"
#include "config/run.h"
#include "io/png_write.h"
#include "models/adapter.h"
#include "train/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define NORMS    "adapter/norm"
#define PICTURES "tensorboard/pictures"

static gh_status add_norms(gh_error *err, const char *run, int64_t update, const gh_adapter *adapter) {
  const size_t count = adapter->layers.count;
  double *norms = gh_alloc(err, count, sizeof *norms);
  char *path = gh_path_join(err, run, GH_RUN_EVENTS);
  gh_status status = norms && path ? gh_adapter_norms(err, adapter, norms) : GH_ERROR_MEMORY;
  if (!status && count) status = gh_tfevents_histogram(err, path, gh_metrics_time(), update, NORMS, norms, count);
  free(path);
  free(norms);
  return status;
}

gh_status gh_adapter_event(gh_error *err, const char *run, int stage, int64_t update) {
  char *folder = gh_format(err, "%s/snapshots/stage%d-%08lld", run, stage, (long long)update);
  char *config = folder ? gh_path_join(err, folder, "adapter_config.json") : NULL;
  gh_adapter adapter = {0};
  gh_status status = config ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(config)) {
    status = gh_adapter_open(err, &adapter, folder);
    if (!status) status = add_norms(err, run, update, &adapter);
    gh_adapter_close(&adapter);
  }
  free(config);
  free(folder);
  return status;
}

gh_status gh_snapshot_events(gh_error *err, const char *run, int stage, int64_t update) {
  gh_strings names = {0};
  char *folder = gh_path_join(err, run, "snapshots");
  gh_status status = folder ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(folder)) status = gh_run_list(err, folder, &names);
  for (size_t i = 0; i < names.count && !status; i++) {
    int number;
    int64_t at;
    if (!gh_run_parse_name(names.items[i], &number, &at)) continue;
    if (number > stage || (number == stage && at >= update)) continue;
    status = gh_adapter_event(err, run, number, at);
    if (!status || status == GH_ERROR_MEMORY) continue;
    gh_warn("no norms of %s for TensorBoard: %s", names.items[i], err->text);
    status = GH_OK;
  }
  gh_strings_free(&names);
  free(folder);
  return status;
}

gh_status gh_picture_event(gh_error *err, const char *run, int stage, int64_t update, const gh_image *picture) {
  const double now = gh_metrics_time();
  char *folder = gh_path_join(err, run, PICTURES), tag[48];
  char *path =
      folder ? gh_format(err, "%s/events.out.tfevents.stage%d-%08lld", folder, stage, (long long)update) : NULL;
  unsigned char *png = NULL;
  size_t size = 0;
  snprintf(tag, sizeof tag, "stage%d/reconstructions", stage);
  gh_status status = path ? gh_png_encode(err, &png, &size, picture) : GH_ERROR_MEMORY;
  if (!status) status = gh_folder_make(err, folder);
  if (!status) status = gh_tfevents_begin(err, path, now);
  if (!status) status = gh_tfevents_image(err, path, now, update, tag, png, size, picture->width, picture->height);
  free(png);
  free(path);
  free(folder);
  return status;
}
