#include "method/redraw.h"
#include "method/objective.h"

gh_status gh_redraw_open(gh_error *err, gh_redraw *r, const char *run, const char *snapshot) {
  return gh_redraw_open_named(err, r, run, snapshot, NULL);
}

gh_status gh_redraw_open_named(gh_error *err, gh_redraw *r, const char *run, const char *snapshot,
                               const gh_run_names *names) {
  *r = (gh_redraw){0};
  gh_status status = gh_run_config_named(err, run, names, &r->config);
  if (!status && r->config.local_tokens != 0)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "reconstruct: condition.local_tokens is not supported yet");
  if (!status) status = gh_run_snapshot(err, run, snapshot, &r->snapshot);
  if (!status && !r->snapshot.denoiser && !r->config.denoiser_weights)
    status = gh_fail(err, GH_ERROR_FILE, "%s: the run has no denoiser", run);
  if (!status) status = gh_run_check_models(err, run, &r->config, true);
  if (!status) status = gh_models_open(err, &r->models, &r->config, r->snapshot.denoiser, r->snapshot.adapter);
  if (!status && r->models.objective->check) status = r->models.objective->check(err, &r->models);
  if (status) gh_redraw_close(r);
  return status;
}

void gh_redraw_close(gh_redraw *r) {
  gh_models_close(&r->models);
  gh_snapshot_free(&r->snapshot);
  gh_config_free(&r->config);
  *r = (gh_redraw){0};
}

gh_status gh_redraw_gather(gh_error *err, const gh_redraw *r, gh_reconstruction *out, const gh_source *source,
                           const char *encoder, int64_t limit, int64_t batch) {
  gh_embedder embedder = {0};
  gh_embed_options how = {.adapter = encoder ? NULL : r->snapshot.adapter,
                          .encoder = encoder ? NULL : r->snapshot.encoder,
                          .storage = gh_precision_storage(r->config.precision),
                          .batch = GH_MIN(GH_MIN(limit, batch), (int64_t)gh_source_count(source))};
  gh_status status = gh_embedder_open(err, &embedder, r->device, encoder ? encoder : r->config.clip, &how);
  embedder.preprocess.as_stored = !r->config.data.exif;
  if (!status) status = gh_reconstruct_gather(err, out, &embedder, source, limit);
  gh_embedder_close(&embedder);
  return status;
}

gh_status gh_redraw_sample(gh_error *err, const gh_redraw *r, gh_reconstruction *pictures, const gh_drawing_how *how,
                           int64_t batch) {
  return gh_reconstruct_draw(err, pictures, r->device, &r->models, batch, how);
}
