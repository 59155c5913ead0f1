/* The evaluations' data as users have it: folders and lists on disk to pictures, lines of text and numbers. Everything
 * that is named is looked for before anything is computed; the first that is missing is in the error's line, and how
 * many more. */
#ifndef GH_EVAL_DATASET_H
#define GH_EVAL_DATASET_H

#include "base/text.h"

/* ---- MMVP-VLM: DIR/Questions.csv and DIR/MLLM_VLM Images/<type>/<id>.jpg ---- */

typedef struct gh_mmvp_data {
  int64_t pairs;
  gh_strings images, statements, types; /* (2 * pairs) paths; as written; the folder of the pair */
  gh_strings prompts;                   /* (2 * pairs) "a photo of " + statement */
  int64_t *ids;                         /* (2 * pairs) */
} gh_mmvp_data;

/* Rows are (id, type, statement), two consecutive ones a pair; the type of its first row names the folder of both
 * pictures. A first row whose id is no number is the head. GH_ERROR_FORMAT says what is wrong: an odd number of rows,
 * ids of the same parity, more pairs than the benchmark has; GH_ERROR_FILE names what is missing. */
gh_status gh_mmvp_read(gh_error *err, gh_mmvp_data *out, const char *folder);
void gh_mmvp_free(gh_mmvp_data *data); /* an empty one is fine */

/* ---- zero-shot classification ---- */

typedef struct gh_zeroshot_data {
  gh_strings images;    /* paths */
  int64_t *labels;      /* (images) */
  gh_strings classes;   /* names, as they go into the templates */
  gh_strings templates; /* each with one or more {} */
  gh_strings prompts;   /* (classes * templates) a class's one after the other */
} gh_zeroshot_data;

typedef struct gh_zeroshot_options {
  const char *folder;
  const char *labels;    /* NAME<tab>CLASS lines (commas in a .csv); NULL: folder/labels.tsv where there is one, else a
                            class is a folder */
  const char *classes;   /* CLASS<tab>TEXT lines: what to call them; NULL: folder/classes.tsv where there is one, else
                            by their own names */
  const char *templates; /* a template a line; NULL: folder/templates.txt where there is one, else "a photo of a {}." */
} gh_zeroshot_options;

/* Classes are in bytewise order of their own names. */
gh_status gh_zeroshot_read(gh_error *err, gh_zeroshot_data *out, const gh_zeroshot_options *options);
void gh_zeroshot_free(gh_zeroshot_data *data);

/* ---- retrieval: DIR/captions.json, a list of {"image": NAME, "captions": [TEXT, ...]} ---- */

typedef struct gh_retrieval_data {
  gh_strings images;   /* paths */
  gh_strings captions; /* in the file's order */
  int64_t *owner;      /* (captions) the image each describes */
} gh_retrieval_data;

/* captions NULL: folder/captions.json. Names are relative to the folder. */
gh_status gh_retrieval_read(gh_error *err, gh_retrieval_data *out, const char *folder, const char *captions);
void gh_retrieval_free(gh_retrieval_data *data);

#endif
