/* The table of the CUDA backend: the only part of this folder that the registry needs. */
#ifndef GH_BACKEND_CUDA_BACKEND_H
#define GH_BACKEND_CUDA_BACKEND_H

#include "backend/backend.h"

extern const gh_backend gh_backend_cuda;

#endif
