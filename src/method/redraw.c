#include "method/redraw.h"

gh_status gh_redraw_open(gh_error *err, gh_redraw *r, const char *run, const char *snapshot) {
  *r = (gh_redraw){0};
  gh_status status = gh_run_config(err, run, &r->config);
  if (!status && r->config.denoiser.kind != GH_DENOISER_CONTINUOUS)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "reconstruct: denoiser.kind \"discrete\" is not supported yet");
  if (!status && r->config.local_tokens != 0)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "reconstruct: condition.local_tokens is not supported yet");
  if (!status) status = gh_run_snapshot(err, run, snapshot, &r->snapshot);
  if (!status && !r->snapshot.denoiser && !r->config.denoiser.weights)
    status = gh_fail(err, GH_ERROR_FILE, "%s: the run has no denoiser", run);
  if (!status) status = gh_models_open(err, &r->models, &r->config, r->snapshot.denoiser, r->snapshot.adapter);
  if (!status && r->models.clip.image % (2 * gh_vae_factor(&r->models.vae)))
    status =
        gh_fail(err, GH_ERROR_CONFIG, "the encoder's image size %d does not fit the autoencoder", r->models.clip.image);
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
                          .batch = GH_MIN(GH_MIN(limit, batch), (int64_t)gh_source_count(source))};
  gh_status status = gh_precision_storage(err, r->config.precision, &how.storage);
  if (!status) status = gh_embedder_open(err, &embedder, r->device, encoder ? encoder : r->config.clip, &how);
  if (!status) status = gh_reconstruct_gather(err, out, &embedder, source, limit);
  gh_embedder_close(&embedder);
  return status;
}

gh_status gh_redraw_sample(gh_error *err, const gh_redraw *r, gh_reconstruction *pictures, uint64_t seed,
                           int64_t batch) {
  const gh_models *m = &r->models;
  int64_t side = m->clip.image / (2 * gh_vae_factor(&m->vae));
  gh_sampler_spec spec = {.device = r->device,
                          .flux = m->flux,
                          .vae = m->vae,
                          .denoiser = m->denoiser_file,
                          .autoencoder = m->vae_file,
                          .batch = GH_MIN(batch, pictures->count),
                          .width = pictures->width,
                          .tokens = side * side,
                          .noise_at_one = r->config.timestep.convention == GH_TIME_NOISE_AT_ONE};
  gh_sampler sampler = {0};
  if (pictures->side != m->clip.image)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "the encoder reads pictures of %lld pixels a side, the run's denoiser draws %d",
                   (long long)pictures->side, m->clip.image);
  gh_status status = gh_precision_storage(err, r->config.precision, &spec.storage);
  if (!status) status = gh_sampler_open(err, &sampler, &spec);
  if (!status) status = gh_reconstruct_sample(err, pictures, &sampler, seed);
  gh_sampler_close(&sampler);
  return status;
}
