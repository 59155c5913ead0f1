/* The evaluations' data in the users' formats: reads folders and lists on disk into images, lines of text and numbers.
 * Every named file is checked before anything is computed; the error names the first missing one and counts the
 * rest. */
#ifndef GH_EVAL_DATASET_H
#define GH_EVAL_DATASET_H

#include "base/text.h"

/* Every DIR may be the folder of a hub's cache ("datasets--MMVP--MMVP_VLM"): the snapshot that refs/main names is read.
 * Parquet files are GH_ERROR_UNSUPPORTED. */

/* ---- MMVP-VLM: DIR/Questions.csv and DIR/MLLM_VLM Images/<type>/<id>.jpg ---- */

typedef struct gh_mmvp_data {
  int64_t pairs;
  gh_strings images, statements, types; /* (2 * pairs) paths; as written; the folder of the pair */
  gh_strings prompts;                   /* (2 * pairs) "a photo of " + statement */
  int64_t *ids;                         /* (2 * pairs) */
} gh_mmvp_data;

/* Rows are (id, type, statement); two consecutive rows are a pair, and the type of the first names the folder of both
 * images. Blanks around the type, blank rows and blank columns do not count; the images may have another ending, in any
 * case. A first row whose id is not a number is the header. GH_ERROR_FORMAT says what is wrong: an odd number of
 * rows, ids of the same parity, more pairs than the benchmark has; GH_ERROR_FILE names what is missing. */
gh_status gh_mmvp_read(gh_error *err, gh_mmvp_data *out, const char *folder);
void gh_mmvp_free(gh_mmvp_data *data); /* an empty one is fine */

/* ---- zero-shot classification ---- */

typedef struct gh_zeroshot_data {
  gh_strings images;    /* paths */
  int64_t *labels;      /* (images) */
  gh_strings classes;   /* names, as inserted into the templates */
  gh_strings templates; /* each with one or more {} */
  gh_strings prompts;   /* (classes * templates) grouped by class */
} gh_zeroshot_data;

typedef struct gh_zeroshot_options {
  const char *folder;
  const char *labels;    /* NAME<tab>CLASS lines (commas in a .csv) or a list of ImageNet's (dataset_internal.h); NULL:
                            folder/labels.tsv, LOC_val_solution.csv or ILSVRC2012_validation_ground_truth.txt, the first
                            that exists, else each folder is a class */
  const char *classes;   /* CLASS<tab>TEXT lines or a list of ImageNet's: all candidates, also those without an image;
                            NULL: folder/classes.tsv, map_clsloc.txt, LOC_synset_mapping.txt or synset_words.txt, the
                            first that exists, else the images' classes by their own names */
  const char *templates; /* one template per line; NULL: folder/templates.txt if it exists, else "a photo of a {}." */
} gh_zeroshot_options;

/* Classes are in bytewise order of their own names. */
gh_status gh_zeroshot_read(gh_error *err, gh_zeroshot_data *out, const gh_zeroshot_options *options);
void gh_zeroshot_free(gh_zeroshot_data *data);

/* ---- retrieval: a list of {"image": NAME, "captions": [TEXT, ...]}, COCO's captions, Karpathy's splits ---- */

typedef struct gh_retrieval_data {
  gh_strings images;   /* paths */
  gh_strings captions; /* in the file's order */
  int64_t *owner;      /* (captions) the index of the image that each describes */
} gh_retrieval_data;

/* captions NULL: folder/captions.json, else the folder's only captions_*.json or dataset_*.json. Names are relative to
 * the folder; COCO's images may be in its folder val2017, Karpathy's in their "filepath". split: of Karpathy's file;
 * NULL: "test". All captions of an image count; an image of COCO without any is left out, with a warning. */
gh_status gh_retrieval_read(gh_error *err, gh_retrieval_data *out, const char *folder, const char *captions,
                            const char *split);
void gh_retrieval_free(gh_retrieval_data *data);

#endif
