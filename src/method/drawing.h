/* How an objective draws pictures from conditions alone. The result shows what the encoder's one token retains of a
 * picture. */
#ifndef GH_METHOD_DRAWING_H
#define GH_METHOD_DRAWING_H

#include "method/models.h"

/* What the user chooses; 0 steps or temperature: the objective's default. */
typedef struct gh_drawing_how {
  uint64_t seed;
  int steps;
  double temperature;
} gh_drawing_how;

typedef struct gh_drawing_spec {
  gh_drawing_how how; /* without defaults left to fill in */
  gh_device *device;
  const gh_models *models; /* with a denoiser file; read by open only */
  int64_t batch, width;    /* B; D of the condition */
} gh_drawing_spec;

typedef struct gh_drawing {
  int steps;           /* the default, per batch */
  double temperature;  /* the default; 0: it draws without one */
  const char *details; /* how it draws, a sentence for `reconstruct --help`; or NULL */
  /* Plans the drawing. *out is NULL after a failure. */
  gh_status (*open)(gh_error *err, const gh_drawing_spec *spec, void **out);
  /* conditions (B, D) -> images (B, 3, S, S), about [0, 1], not clamped. The random numbers of picture b depend only on
   * (seed, first + b). progress is called after each step unless it is NULL. */
  gh_status (*draw)(gh_error *err, void *drawer, float *images, const float *conditions, uint64_t first,
                    void (*progress)(void *user, int step), void *user);
  void (*close)(void *drawer); /* NULL is fine */
} gh_drawing;

#endif
