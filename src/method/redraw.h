/* A run's pictures: what its encoder's token says of them, drawn by its denoiser. */
#ifndef GH_METHOD_REDRAW_H
#define GH_METHOD_REDRAW_H

#include "config/run.h"
#include "method/reconstruct.h"
#include "method/setup.h"

typedef struct gh_redraw {
  gh_device *device; /* borrowed; to be set before anything is computed */
  gh_config config;
  gh_snapshot snapshot;
  gh_models models;
} gh_redraw;

/* The run's configuration, the snapshot of that name (NULL: the newest) and the model files. GH_ERROR_UNSUPPORTED names
 * what cannot be drawn. */
gh_status gh_redraw_open(gh_error *err, gh_redraw *out, const char *run, const char *snapshot);
void gh_redraw_close(gh_redraw *r); /* an empty one is fine */

/* Embeds the first `limit` pictures of the source with the encoder of the snapshot; with another model folder where
 * `encoder` is not NULL: the run's own r->config.clip is the encoder before training. */
gh_status gh_redraw_gather(gh_error *err, const gh_redraw *r, gh_reconstruction *out, const gh_source *source,
                           const char *encoder, int64_t limit, int64_t batch);
/* Draws them. Open it after the encoder is gone: they need not fit together. */
gh_status gh_redraw_sample(gh_error *err, const gh_redraw *r, gh_reconstruction *pictures, uint64_t seed,
                           int64_t batch);

#endif
