/* Shows what the global token alone retains of a picture: pictures to conditions, conditions to sampled pictures. */
#ifndef GH_METHOD_RECONSTRUCT_H
#define GH_METHOD_RECONSTRUCT_H

#include "data/source.h"
#include "encode/embed.h"
#include "method/drawing.h"

typedef struct gh_reconstruction {
  int64_t places, count; /* n places, of which the first `count` are filled */
  int64_t side, width;   /* S, D */
  gh_strings names;      /* (count) */
  float *originals;      /* (n, 3, S, S) in [0, 1], as the encoder's preprocessing crops them */
  float *conditions;     /* (n, D) */
  float *images;         /* (n, 3, S, S), about [0, 1] */
} gh_reconstruction;

/* Reads the first readable images of the source, at most `limit`, and embeds them. Broken images are skipped with a
 * warning. */
gh_status gh_reconstruct_gather(gh_error *err, gh_reconstruction *out, gh_embedder *embedder, const gh_source *source,
                                int64_t limit);
/* Draws an image from each condition with the models' objective, at most `batch` at a time. The random numbers of place
 * i depend only on (seed, i). GH_ERROR_UNSUPPORTED where the objective cannot draw, or not as asked. */
gh_status gh_reconstruct_draw(gh_error *err, gh_reconstruction *r, gh_device *device, const gh_models *models,
                              int64_t batch, const gh_drawing_how *how);
void gh_reconstruction_free(gh_reconstruction *r); /* an empty one is fine */

/* Peak signal-to-noise ratio of an image's pixels, clamped to [0, 1], in dB. */
double gh_reconstruction_psnr(const gh_reconstruction *r, int64_t index);

/* One row per image: the original on the left, the reconstruction on the right; as a picture, and as a PNG file. */
gh_status gh_reconstruction_grid(gh_error *err, gh_image *out, const gh_reconstruction *r);
gh_status gh_reconstruction_write(gh_error *err, const char *path, const gh_reconstruction *r);

#endif
