/* A data set of scenes on disk: captioned pictures for training, and data for every evaluation of the encoder.
 *
 *   train/                 0000000.png with its caption in 0000000.txt, ...; or shards, scenes-00000.tar, whose samples
 *                          have the keys png, txt and json (the values of the attributes)
 *   mmvp/, mmvp-validation/   135 pairs each, as MMVP-VLM is published (eval mmvp)
 *   zeroshot/              a folder of pictures per class, classes.tsv, templates.txt (eval zeroshot)
 *   retrieval/             pictures and captions.json (eval retrieval)
 *   attributes/            pictures and attributes.tsv (eval attributes)
 *   scenes.json            how it was made; written last */
#ifndef GH_SCENES_DATASET_H
#define GH_SCENES_DATASET_H

#include "base/json.h"

typedef struct gh_scenes_options {
  const char *out;
  int64_t count; /* pictures for training */
  uint64_t seed;
  double details; /* the share of captions with a detail */
  int side;       /* pixels */
  bool shards;
  bool training_only; /* nothing for evaluations */
} gh_scenes_options;

#define GH_SCENES_MIN_SIDE   16
#define GH_SCENES_MAX_SIDE   1024
#define GH_SCENES_ATTRIBUTED 2000 /* pictures with labels of attributes */

/* Writes the data set into a folder that is absent or empty, and describes it: *out is what scenes.json holds, the
 * caller's to free. GH_ERROR_UNSUPPORTED without cairo; GH_ERROR_INTERRUPTED after a signal. */
gh_status gh_scenes_write(gh_error *err, gh_json **out, const gh_scenes_options *options);

/* Writes the first `rows` x `columns` training pictures of these options as one. */
gh_status gh_scenes_sheet(gh_error *err, const char *path, const gh_scenes_options *options, int rows, int columns);

#endif
