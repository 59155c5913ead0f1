/* NVIDIA's own NVRTC, if GH_DOUBLE_PTX names it. */
#ifndef GH_TESTS_CUDA_DOUBLE_NVRTC_REAL_H
#define GH_TESTS_CUDA_DOUBLE_NVRTC_REAL_H

#include "double.h"

/* NULL: none is named. One that cannot be opened ends the process: there is no substitute. */
const gh_nvrtc *real_nvrtc(void);

/* Compiles to PTX (the caller frees) for the options' architecture, sm_90 or compute_90. NVRTC's messages go to `log`;
 * returns its result. */
unsigned real_nvrtc_compile(const char *source, int count, const char *const *option, char **ptx, char *log,
                            size_t log_size);

#endif
