/* NVIDIA's own NVRTC, where GH_DOUBLE_PTX names it. */
#ifndef GH_TESTS_CUDA_DOUBLE_NVRTC_REAL_H
#define GH_TESTS_CUDA_DOUBLE_NVRTC_REAL_H

#include "double.h"

/* NULL: none is named. One that cannot be opened ends the process: nothing may be taken for it. */
const gh_nvrtc *real_nvrtc(void);

/* PTX, in memory to be freed, for the options' architecture, be it sm_90 or compute_90. What NVRTC says goes to `log`;
 * its result. */
unsigned real_nvrtc_compile(const char *source, int count, const char *const *option, char **ptx, char *log,
                            size_t log_size);

#endif
