/* Which spatial frequencies of an image its reconstruction preserves: radial spectra, using the device's FFT.
 *
 * Every channel of an image, minus its mean, is multiplied by a Hann window in both directions (without it the jump
 * between opposite edges would show at every frequency) and transformed. Ring r, 1 to S/2, holds the frequencies whose
 * distance from zero rounds to r cycles per image. */
#ifndef GH_EVAL_SPECTRUM_H
#define GH_EVAL_SPECTRUM_H

#include "backend/backend.h"

typedef struct gh_spectrum {
  int64_t images, rings; /* S/2 */
  /* (rings), means over the images; element i is ring i + 1 */
  double *original, *reconstruction; /* power, the mean of |F|^2 over the ring and the channels, over S^4 */
  double *ratio;                     /* reconstruction / original, of the means */
  double *correlation;               /* Fourier ring correlation: Re sum F G* / sqrt(sum |F|^2 sum |G|^2) */
  double *low, *high;                /* of the correlation: mean -+ 1.96 standard errors over the images */
} gh_spectrum;

/* originals, images (n, 3, S, S). */
gh_status gh_spectrum_compute(gh_error *err, gh_spectrum *out, gh_device *device, const float *originals,
                              const float *images, int64_t n, int64_t side);
void gh_spectrum_free(gh_spectrum *s); /* an empty one is fine */

#endif
