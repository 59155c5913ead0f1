/* A run's snapshot as a model folder or an adapter's. */
#include "config/run.h"
#include "export/card.h"
#include "export/export.h"

#include <stdlib.h>

static gh_status check_trained(gh_error *err, const gh_export_run *what, const gh_snapshot *s) {
  if (!s->adapter && !s->encoder)
    return gh_fail(err, GH_ERROR_FILE, "%s: the snapshot of stage %d, update %lld has no trained encoder", what->run,
                   s->stage, (long long)s->update);
  if (what->format == GH_EXPORT_PEFT && !s->adapter)
    return gh_fail(err, GH_ERROR_FILE, "%s: the run trained the encoder directly, so it has no adapter", what->run);
  return GH_OK;
}

gh_status gh_export_of_run(gh_error *err, const char *out, const gh_export_run *what, gh_exported *result) {
  gh_config config = {0};
  gh_snapshot snapshot = {0};
  *result = (gh_exported){0};
  const gh_run_names names = {.model = what->model};
  gh_status status = gh_run_config_named(err, what->run, &names, &config);
  if (!status) status = gh_run_snapshot(err, what->run, what->snapshot, &snapshot);
  if (!status) status = check_trained(err, what, &snapshot);
  if (!status && what->format != GH_EXPORT_PEFT) status = gh_run_check_models(err, what->run, &config, false);
  const gh_export_options options = {.clip = config.clip,
                                     .adapter = snapshot.adapter,
                                     .encoder = snapshot.encoder,
                                     .dtype = what->dtype,
                                     .vision = what->format == GH_EXPORT_VISION};
  if (!status)
    status = what->format == GH_EXPORT_PEFT ? gh_export_peft(err, out, snapshot.adapter)
                                            : gh_export_model(err, out, &options, &result->counts);
  if (!status) status = gh_model_card_write(err, out, what->run, config.clip, &snapshot, what->format);
  if (!status) {
    result->stage = snapshot.stage;
    result->update = snapshot.update;
    result->adapter = snapshot.adapter;
    snapshot.adapter = NULL;
  }
  gh_snapshot_free(&snapshot);
  gh_config_free(&config);
  return status;
}
