/* The table of the OpenCL backend: the only part of this folder that the registry needs. */
#ifndef GH_BACKEND_OPENCL_BACKEND_H
#define GH_BACKEND_OPENCL_BACKEND_H

#include "backend/backend.h"

extern const gh_backend gh_backend_opencl;

#endif
