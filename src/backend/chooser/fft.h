/* 2-D Fourier transforms: the vendor library's ("clfft", "cufft"), after a check of a few frequencies against float64,
 * or "own", the passes of the op itself. Nothing is timed: the library is taken where it supports the size and is
 * right.
 */
#ifndef GH_BACKEND_CHOOSER_FFT_H
#define GH_BACKEND_CHOOSER_FFT_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind gh_fft_kind; /* keys are "batch=.. rows=.. columns=.. forward" */

/* Whether the library does it; otherwise the op does it itself. */
gh_status gh_fft_choose(gh_error *err, gh_device *d, const gh_fft_desc *desc, bool *library);

#endif
