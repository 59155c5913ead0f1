/* A model folder's image preprocessing: what transformers' CLIPImageProcessor and SiglipImageProcessor (the PIL ones)
 * do with `preprocessor_config.json`, bit-equal: resize, central crop, rescale, normalise. */
#ifndef GH_IO_PREPROCESS_H
#define GH_IO_PREPROCESS_H

#include "io/image.h"
#include "io/resize.h"

typedef enum gh_preprocess_family { GH_PREPROCESS_CLIP, GH_PREPROCESS_SIGLIP } gh_preprocess_family;

typedef struct gh_preprocess {
  int image_size; /* S: the output is (3, S, S) */
  bool do_resize;
  int shortest_edge; /* the shorter side becomes this; 0: resize to height x width */
  int height, width; /* with shortest_edge 0 */
  gh_filter filter;
  bool do_center_crop; /* to S x S; a smaller image is surrounded by zeros */
  bool do_rescale;
  double rescale_factor;
  bool do_normalize;
  double mean[3], std[3];
} gh_preprocess;

/* The class's own defaults for that image size. */
void gh_preprocess_defaults(gh_preprocess *out, gh_preprocess_family family, int image_size);

/* Reads folder/preprocessor_config.json, else the image_processor of folder/processor_config.json, else the
 * preprocess_cfg of folder/open_clip_config.json, else takes the family's defaults. image_size is the model's: a file
 * that yields another size is an error. Keys that are absent take the defaults of the class that the file names. What
 * is not supported here is GH_ERROR_UNSUPPORTED by name. */
gh_status gh_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder, gh_preprocess_family family,
                             int image_size);

/* Writes folder/preprocessor_config.json, which gh_preprocess_read and transformers read as the same. Only for what
 * gh_preprocess_defaults gives and open_clip_config.json says: height and width are S. */
gh_status gh_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder);

/* pixels: (3, S, S), byte / 255; normalized: (3, S, S), what the encoder reads. Either may be NULL. */
gh_status gh_preprocess_image(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                              const gh_image *image);

#endif
