/* How an objective draws pictures from conditions alone. The result shows what the encoder's one token retains of a
 * picture. */
#ifndef GH_METHOD_DRAWING_H
#define GH_METHOD_DRAWING_H

#include "method/models.h"

typedef struct gh_drawing_spec {
  gh_device *device;
  const gh_models *models; /* with a denoiser file; read by open only */
  int64_t batch, width;    /* B; D of the condition */
} gh_drawing_spec;

typedef struct gh_drawing {
  int steps;           /* per batch, for progress */
  const char *details; /* how it draws, a sentence for `reconstruct --help`; or NULL */
  /* Plans the drawing. *out is NULL after a failure. */
  gh_status (*open)(gh_error *err, const gh_drawing_spec *spec, void **out);
  /* conditions (B, D) -> images (B, 3, S, S), about [0, 1], not clamped. The noise of picture b depends only on (seed,
   * first + b). progress is called after each step unless it is NULL. */
  gh_status (*draw)(gh_error *err, void *drawer, float *images, const float *conditions, uint64_t seed, uint64_t first,
                    void (*progress)(void *user, int step), void *user);
  void (*close)(void *drawer); /* NULL is fine */
} gh_drawing;

#endif
