/* 2-D Fourier transforms: the vendor library's ("clfft", "cufft"), after a check of a few frequencies against float64,
 * or "own", the kernels of the op itself. Nothing is timed: the library is used where it supports the size and is
 * correct. */
#ifndef GH_BACKEND_CHOOSER_FFT_H
#define GH_BACKEND_CHOOSER_FFT_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind gh_fft_kind; /* keys are "batch=.. rows=.. columns=.. forward" */

/* *library: whether to use the library; otherwise the op uses its own kernels. */
gh_status gh_fft_choose(gh_error *err, gh_device *d, const gh_fft_desc *desc, bool *library);

#endif
