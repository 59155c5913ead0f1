#include "backend/built_in.h"

const gh_built_in gh_built_ins[] = {
    {"CLBlast", GH_WITH_CLBLAST,
     GH_WITH_CLBLAST ? "one of the providers of matrix products on OpenCL"
                     : "matrix products on OpenCL use genhance's own kernels only"},
    {"clFFT", GH_WITH_CLFFT,
     GH_WITH_CLFFT ? "Fourier transforms on OpenCL" : "Fourier transforms on OpenCL use genhance's own kernels"},
    {"libwebp", GH_WITH_WEBP, GH_WITH_WEBP ? "WebP pictures" : "WebP pictures are rejected"},
    {"libavif", GH_WITH_AVIF, GH_WITH_AVIF ? "AVIF pictures" : "AVIF pictures are rejected"},
    {"cairo", GH_WITH_CAIRO, GH_WITH_CAIRO ? "`genhance scenes`" : "`genhance scenes` is refused"},
    {0}};
