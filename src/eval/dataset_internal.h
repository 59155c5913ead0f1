/* Shared by the readers of the evaluations' data; private to them. */
#ifndef GH_EVAL_DATASET_INTERNAL_H
#define GH_EVAL_DATASET_INTERNAL_H

#include "eval/dataset.h"

/* ---- files ---- */

/* The folder of a data set: the one given or, of a hub's cache ("datasets--MMVP--MMVP_VLM"), the snapshot that its
 * refs/main names. A parquet file is GH_ERROR_UNSUPPORTED. The caller frees *out. */
gh_status gh_dataset_folder(gh_error *err, char **out, const char *given);
/* GH_ERROR_UNSUPPORTED if the folder, or its data/, has parquet files: for a folder that lacks what it should have. */
gh_status gh_dataset_refuse_parquet(gh_error *err, const char *folder);

gh_status gh_dataset_add_joined(gh_error *err, gh_strings *list, const char *folder, const char *name);
/* Checks that every file exists; the error names the first missing one, and counts them. */
gh_status gh_dataset_check_images(gh_error *err, const gh_strings *paths, const char *where);

/* A name of which only the stem is known: the image "STEM.*" of the folder, with an ending in any case. */
typedef struct gh_stems {
  gh_strings names; /* the images directly in the folder, sorted bytewise */
} gh_stems;
gh_status gh_stems_list(gh_error *err, gh_stems *out, const char *folder);
const char *gh_stems_find(const gh_stems *stems, const char *stem); /* NULL: none */
void gh_stems_free(gh_stems *stems);

/* A copy without blanks at both ends; the caller frees. */
char *gh_trimmed(gh_error *err, const char *text);

/* ---- classes ---- */

/* The file of all classes and their texts, in its own order. */
typedef struct gh_class_list {
  const char *path; /* NULL: none is given */
  gh_strings names, texts;
  int64_t *numbers; /* (names) map_clsloc.txt's; NULL: the file has none */
} gh_class_list;

/* Lines CLASS<tab>TEXT (commas in a .csv), with or without a header; ImageNet's LOC_synset_mapping.txt and
 * synset_words.txt, of whose words the first is taken; map_clsloc.txt. */
gh_status gh_class_list_read(gh_error *err, gh_class_list *out, const char *path);
void gh_class_list_free(gh_class_list *list); /* an empty one is fine */
bool gh_is_synset(const char *word);          /* "n01440764" */

/* The images that a file of labels names (as paths) and the name of each one's class. Lines NAME<tab>CLASS (commas in a
 * .csv), with or without a header; ImageNet's LOC_val_solution.csv; "NAME CLASS", where CLASS may be the number of a
 * line of the class list, from 0; one label per line, for the folder's pictures by name, where numbers are
 * map_clsloc.txt's. */
gh_status gh_labels_read(gh_error *err, gh_strings *images, gh_strings *classes, const char *folder, const char *path,
                         const gh_class_list *list);

#endif
