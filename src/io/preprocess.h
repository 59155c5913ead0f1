/* A model folder's image preprocessing: bit-equal to transformers' image processors (the PIL versions)
 * with `preprocessor_config.json`: resize, central crop, rescale, normalise. */
#ifndef GH_IO_PREPROCESS_H
#define GH_IO_PREPROCESS_H

#include "io/image.h"
#include "io/resize.h"

typedef struct gh_preprocess {
  int image_size; /* S: the output is (3, S, S) */
  bool do_resize;
  int shortest_edge; /* target length of the shorter side; 0: resize to height x width */
  int height, width; /* with shortest_edge 0 */
  gh_filter filter;
  bool do_center_crop; /* to S x S; a smaller image is padded with zeros */
  bool crop_to_even; /* the crop begins at the even one of two equally near pixels, as open_clip's; else at the first */
  bool do_rescale;
  double rescale_factor;
  bool do_normalize;
  double mean[3], std[3];
  bool as_stored; /* pictures are not turned upright by their orientation; no file of settings says so */
} gh_preprocess;

/* An image processor's class: what a file that names it leaves out. */
typedef struct gh_processor {
  const char *const *classes; /* its names, ends with NULL; the first is the one to write */
  gh_preprocess defaults;     /* without sizes: they follow from the model's */
} gh_processor;

/* OpenAI's preparation, which CLIP's classes and open_clip default to. */
/* clang-format off */
#define GH_OPENAI_PREPROCESS {.do_resize = true, .filter = GH_FILTER_BICUBIC, .do_center_crop = true,                  \
                              .do_rescale = true, .rescale_factor = 1 / 255.0, .do_normalize = true,                   \
                              .mean = {0.48145466, 0.4578275, 0.40821073},                                             \
                              .std = {0.26862954, 0.26130258, 0.27577711}}
/* clang-format on */

/* The class's own defaults for that image size: with a crop, the shorter side becomes S; else both do. */
void gh_preprocess_defaults(gh_preprocess *out, const gh_processor *processor, int image_size);

/* Whose files describe a model's folder: who names the model names its preprocessing, too. */
typedef enum gh_settings_owner { GH_OWNER_TRANSFORMERS, GH_OWNER_OPENCLIP } gh_settings_owner;

/* Reads the owner's file: transformers' image_processor in processor_config.json, else its preprocessor_config.json; or
 * the preprocess_cfg of open_clip_config.json. If the owner has none, reads the other's; else takes the defaults. *from
 * is the name of the file, NULL for the defaults. `known` are the classes that a file may
 * name, ends with NULL; the first is the model's own. image_size is the model's: a file that yields another size is an
 * error. Absent keys take the defaults of the class that the file names, else of the model's own. An unsupported
 * setting is GH_ERROR_UNSUPPORTED, with its name. */
gh_status gh_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder, gh_settings_owner owner,
                             const gh_processor *const *known, int image_size, const char **from);
/* Whether both prepare pictures alike, apart from rounding. */
bool gh_preprocess_equal(const gh_preprocess *a, const gh_preprocess *b);

/* Writes folder/preprocessor_config.json, which gh_preprocess_read and transformers read as the same, in the name of
 * the first of the known classes that crops as this does. Only for what gh_preprocess_defaults gives and
 * open_clip_config.json says: height and width are S. */
gh_status gh_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder,
                              const gh_processor *const *known);

/* pixels: (3, S, S), byte / 255; normalized: (3, S, S), the encoder's input. Either may be NULL. */
gh_status gh_preprocess_image(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                              const gh_image *image);
/* The same for the content of an image file; `name` begins the error text. *clipped gets gh_image.clipped; may be NULL.
 */
gh_status gh_preprocess_file(gh_error *err, float *pixels, float *normalized, const gh_preprocess *how,
                             const char *name, const void *bytes, size_t size, bool *clipped);

#endif
