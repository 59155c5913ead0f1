/* The table of the OpenCL backend: all that the registry needs of this folder. */
#ifndef GH_BACKEND_OPENCL_BACKEND_H
#define GH_BACKEND_OPENCL_BACKEND_H

#include "backend/backend.h"

extern const gh_backend gh_backend_opencl;

#endif
