/* A complete objective in one file: the encoder's token predicts an 8 x 8 thumbnail of the image. */
#ifndef TESTS_SUPPORT_THUMBNAILS_H
#define TESTS_SUPPORT_THUMBNAILS_H

#include "method/objective.h"

#define THUMBNAIL_SIDE   8
#define THUMBNAIL_PIXELS (THUMBNAIL_SIDE * THUMBNAIL_SIDE)

extern const gh_objective thumbnails; /* denoiser.kind "thumbnails" */

#endif
