/* A model folder's image preprocessing: bit-equal to transformers' CLIPImageProcessor and SiglipImageProcessor (the PIL
 * versions) with `preprocessor_config.json`: resize, central crop, rescale, normalise. */
#ifndef GH_IO_PREPROCESS_H
#define GH_IO_PREPROCESS_H

#include "io/image.h"
#include "io/resize.h"

typedef enum gh_preprocess_family { GH_PREPROCESS_CLIP, GH_PREPROCESS_SIGLIP } gh_preprocess_family;

typedef struct gh_preprocess {
  int image_size; /* S: the output is (3, S, S) */
  bool do_resize;
  int shortest_edge; /* target length of the shorter side; 0: resize to height x width */
  int height, width; /* with shortest_edge 0 */
  gh_filter filter;
  bool do_center_crop; /* to S x S; a smaller image is padded with zeros */
  bool do_rescale;
  double rescale_factor;
  bool do_normalize;
  double mean[3], std[3];
} gh_preprocess;

/* The family's defaults for that image size. */
void gh_preprocess_defaults(gh_preprocess *out, gh_preprocess_family family, int image_size);

/* Reads folder/preprocessor_config.json, else the image_processor of folder/processor_config.json, else the
 * preprocess_cfg of folder/open_clip_config.json, else takes the family's defaults. image_size is the model's: a file
 * that yields another size is an error. Missing keys take the defaults of the class that the file names. An unsupported
 * setting is GH_ERROR_UNSUPPORTED, with its name. */
gh_status gh_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder, gh_preprocess_family family,
                             int image_size);

/* Writes folder/preprocessor_config.json, which gh_preprocess_read and transformers read back identically. Only for
 * settings from gh_preprocess_defaults or open_clip_config.json: height and width are S. */
gh_status gh_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder);

/* pixels: (3, S, S), byte / 255; normalized: (3, S, S), the encoder's input. Either may be NULL. */
gh_status gh_preprocess_image(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                              const gh_image *image);

#endif
