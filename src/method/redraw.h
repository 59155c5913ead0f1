/* Pictures redrawn by a run: its denoiser draws what its encoder's token retains of them. */
#ifndef GH_METHOD_REDRAW_H
#define GH_METHOD_REDRAW_H

#include "config/run.h"
#include "method/reconstruct.h"
#include "method/setup.h"

typedef struct gh_redraw {
  gh_device *device; /* borrowed; set it before computing anything */
  gh_config config;
  gh_snapshot snapshot;
  gh_models models;
} gh_redraw;

/* Opens the run's configuration, the snapshot of that name (gh_run_snapshot) and the model files.
 * GH_ERROR_UNSUPPORTED: the run cannot draw, and the text says why. */
gh_status gh_redraw_open(gh_error *err, gh_redraw *out, const char *run, const char *snapshot);
/* The same with models that a user names in place of the run's. */
gh_status gh_redraw_open_named(gh_error *err, gh_redraw *out, const char *run, const char *snapshot,
                               const gh_run_names *names);
void gh_redraw_close(gh_redraw *r); /* an empty one is fine */

/* Embeds the first `limit` pictures of the source with the encoder of the snapshot, or with the model folder `encoder`
 * where that is not NULL; r->config.clip gives the encoder before training. */
gh_status gh_redraw_gather(gh_error *err, const gh_redraw *r, gh_reconstruction *out, const gh_source *source,
                           const char *encoder, int64_t limit, int64_t batch);
/* Draws the pictures. Call it after the encoder is closed: the encoder and the denoiser need not fit into memory
 * together. */
gh_status gh_redraw_sample(gh_error *err, const gh_redraw *r, gh_reconstruction *pictures, const gh_drawing_how *how,
                           int64_t batch);

#endif
