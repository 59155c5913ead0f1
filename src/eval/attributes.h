/* Linear probes of attributes: how much of each label can be read from the frozen embedding. */
#ifndef GH_EVAL_ATTRIBUTES_H
#define GH_EVAL_ATTRIBUTES_H

#include "eval/interval.h"
#include "eval/score.h"

#include "base/text.h"

/* One column of labels. */
typedef struct gh_attribute_labels {
  char *name;
  gh_strings values; /* distinct, in bytewise order */
  int64_t *labels;   /* (images) index of its value; -1: the picture has none */
} gh_attribute_labels;

typedef struct gh_attribute_data {
  gh_strings images; /* paths */
  gh_attribute_labels *attributes;
  size_t count;
} gh_attribute_data;

/* DIR/attributes.tsv: a row of names that begins with "image", then a row for each picture of DIR: its name and its
 * labels. An empty label: the attribute does not apply. GH_ERROR_FORMAT for a column without two different labels. Free
 * it with gh_attributes_free, even after failure. */
gh_status gh_attributes_read(gh_error *err, gh_attribute_data *out, const char *folder);
void gh_attributes_free(gh_attribute_data *data); /* an empty one is fine */

/* Whether the picture trains the probes or tests them: a fixed random 70 % train. */
#define GH_PROBE_TRAIN_SHARE 0.7
void gh_probe_split(bool *trains, int64_t images);

typedef struct gh_attribute_score {
  gh_share share;    /* test pictures whose label was read correctly; Wilson */
  gh_share majority; /* the same for the label that is most frequent in training */
  int64_t train;     /* pictures with a label in training */
  double *right;     /* (share.total) 1 or 0 for each test picture with a label, in the order of the pictures */
} gh_attribute_score;

/* rows (images, width): embeddings as projected -> scores (data->count). The caller frees each one's `right`, after a
 * failure too. A probe is that of eval/linear_probe.h. */
gh_status gh_attributes_evaluate(gh_error *err, gh_attribute_score *scores, const gh_attribute_data *data,
                                 const float *rows, int64_t width, double ridge);

/* after - before, in the share of the same test pictures; the interval is a bootstrap over them. */
gh_status gh_attributes_difference(gh_error *err, gh_interval *out, const gh_attribute_score *before,
                                   const gh_attribute_score *after);

#endif
