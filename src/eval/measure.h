/* Evaluations of the encoder as units: from data and a model to scores. `genhance eval` and the library run one;
 * the trainer runs the configured ones at its snapshots and embeds the texts once. */
#ifndef GH_EVAL_MEASURE_H
#define GH_EVAL_MEASURE_H

#include "encode/embed.h"
#include "encode/text_embed.h"
#include "eval/dataset.h"
#include "eval/score.h"

typedef enum gh_measure_kind { GH_MEASURE_MMVP, GH_MEASURE_ZEROSHOT, GH_MEASURE_RETRIEVAL } gh_measure_kind;

/* The data: paths as for gh_mmvp_read, gh_zeroshot_read and gh_retrieval_read. */
typedef struct gh_measure_spec {
  gh_measure_kind kind;
  const char *data;
  const char *labels, *classes, *templates; /* zero-shot; may be NULL */
  const char *captions, *split;             /* retrieval; may be NULL */
} gh_measure_spec;

typedef struct gh_measure {
  gh_measure_kind kind;
  gh_mmvp_data mmvp;
  gh_zeroshot_data zeroshot;
  gh_retrieval_data retrieval;
  const gh_strings *images, *lines; /* the images and lines to embed, for any kind */
  const gh_parts *parts;            /* of processes that share the work; set by the caller; each gets all scores */
  float *texts;                     /* (lines, D); zero-shot: (classes, D), the ensembles */
  int64_t width;                    /* D */
  double scale;                     /* exp(logit_scale) */
  /* the results */
  gh_mmvp_score mmvp_score;
  gh_mmvp_pair *pairs; /* (mmvp.pairs) */
  gh_zeroshot_score zeroshot_score;
  int64_t *predicted, *ranks; /* (zeroshot.images) */
  gh_retrieval_score retrieval_score;
  int64_t *image_ranks, *text_ranks; /* (retrieval.captions), (retrieval.images) */
} gh_measure;

const char *gh_measure_name(gh_measure_kind kind); /* "mmvp", "zeroshot", "retrieval" */

/* Reads and checks the data; computes nothing. Free with gh_measure_free, even after failure. */
gh_status gh_measure_open(gh_error *err, gh_measure *out, const gh_measure_spec *spec);
void gh_measure_free(gh_measure *m); /* an empty one is fine */

/* Embeds the data's lines; for zero-shot, combines them into classes. */
gh_status gh_measure_texts(gh_error *err, gh_measure *m, gh_text_embedder *texts);
/* Embeds the images and scores them; call gh_measure_texts first. `quiet`: shows no progress. */
gh_status gh_measure_images(gh_error *err, gh_measure *m, gh_embedder *embedder, bool quiet);

/* An opened measure to its scores: embeds texts and images with the model folder's towers, one tower after the other,
 * so that both need not fit into memory together. options->batch is cut to the number of images. */
gh_status gh_measure_run(gh_error *err, gh_measure *m, gh_device *device, const char *model,
                         const gh_embed_options *options);

#define GH_MEASURE_SHARES (1 + GH_MMVP_PATTERNS) /* at most */

typedef struct gh_named_share {
  char name[48];
  gh_share share;
} gh_named_share;

/* A scored measure's shares -> how many. MMVP: "all" and the patterns that have pairs; zero-shot: "top1", "top5";
 * retrieval: "image@1", "image@5", "image@10", "text@1", ... */
size_t gh_measure_shares(const gh_measure *m, gh_named_share shares[GH_MEASURE_SHARES]);

#endif
