/* The names of the vendors' libraries as providers: in plans, caches, GH_GEMM and GH_FFT. */
#ifndef GH_BACKEND_CORE_LIBRARIES_H
#define GH_BACKEND_CORE_LIBRARIES_H

#define GH_CLBLAST  "clblast"
#define GH_CUBLASLT "cublaslt"
#define GH_CLFFT    "clfft"
#define GH_CUFFT    "cufft"

#endif
