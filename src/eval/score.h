/* The evaluations' arithmetic: embeddings in, counts and intervals out. Independent of files and devices.
 *
 * Embeddings are as projected; every function normalises its own copies. A similarity is the dot product of two
 * normalised embeddings, summed in float64 in the order of the elements, so that equal embeddings tie exactly. If
 * similarities tie among the best k, the lower index comes first, as in a stable sort. */
#ifndef GH_EVAL_SCORE_H
#define GH_EVAL_SCORE_H

#include "base/status.h"

/* A share of successes with its 95 % interval. */
typedef struct gh_share {
  int64_t hits, total;
  double value;     /* hits / total; 0 of 0 is 0 */
  double low, high; /* Wilson's score interval, or a bootstrap interval if the function says so */
} gh_share;

gh_share gh_share_wilson(int64_t hits, int64_t total);

/* ---- MMVP-VLM ---- */

#define GH_MMVP_PATTERNS          9
#define GH_MMVP_PAIRS_PER_PATTERN 15
#define GH_MMVP_PAIRS             (GH_MMVP_PATTERNS * GH_MMVP_PAIRS_PER_PATTERN)

extern const char *const gh_mmvp_patterns[GH_MMVP_PATTERNS]; /* in the benchmark's order, as the paper names them */

typedef struct gh_mmvp_pair {
  float probability[2]; /* of the first image, for each statement */
  bool right[2];        /* whether each statement picks its own image */
} gh_mmvp_pair;

typedef struct gh_mmvp_score {
  gh_share patterns[GH_MMVP_PATTERNS]; /* total 0 if the data ends before it */
  gh_share all;                        /* over all pairs */
  double average;                      /* over the patterns that have pairs: the paper's "average" */
} gh_mmvp_score;

/* images, texts (2 * pairs, width): rows 2p and 2p + 1 belong to pair p; ids (2 * pairs). Scored as by the benchmark's
 * authors: for each statement the softmax of the two images' logits (similarity times `scale`) in float32; the first
 * image is picked if its probability is above 0.5, so a tie picks the second; a statement's own image is the first if
 * its id is odd. Pattern: p / 15. pairs at most 135; results (pairs). */
gh_status gh_mmvp_evaluate(gh_error *err, gh_mmvp_score *out, gh_mmvp_pair *results, const float *images,
                           const float *texts, const int64_t *ids, int64_t pairs, int64_t width, double scale);

/* ---- zero-shot classification ---- */

/* texts (classes * templates, width), grouped by class -> out (classes, width): the mean of the
 * normalised embeddings, normalised (OpenAI's prompt ensemble). */
gh_status gh_zeroshot_classes(gh_error *err, float *out, const float *texts, int64_t classes, int64_t templates,
                              int64_t width);

typedef struct gh_zeroshot_score {
  gh_share top1, top5; /* top5 covers all classes if there are fewer than five */
} gh_zeroshot_score;

/* images (n, width), classes (classes, width), labels (n) -> predicted (n): the nearest class; ranks (n): the number of
 * classes ahead of the right one, 0 is best. Either may be NULL. */
gh_status gh_zeroshot_evaluate(gh_error *err, gh_zeroshot_score *out, int64_t *predicted, int64_t *ranks,
                               const float *images, const int64_t *labels, int64_t n, const float *classes,
                               int64_t class_count, int64_t width);

/* ---- retrieval ---- */

#define GH_RETRIEVAL_KS 3
extern const int gh_retrieval_ks[GH_RETRIEVAL_KS]; /* 1, 5, 10 */

typedef struct gh_retrieval_score {
  /* image@k: captions whose image is among the k nearest images. Captions of one image are not independent: the
   * interval is a percentile bootstrap over images (2000 draws from `seed`). text@k: images with one of their captions
   * among the k nearest captions; Wilson. */
  gh_share image_at[GH_RETRIEVAL_KS], text_at[GH_RETRIEVAL_KS];
} gh_retrieval_score;

/* images (n, width), captions (m, width), owner (m): the image that each caption describes; every image has at least
 * one. image_ranks (m), text_ranks (n): the rank of the right image, or of the best right caption, from 0; may be
 * NULL. */
gh_status gh_retrieval_evaluate(gh_error *err, gh_retrieval_score *out, int64_t *image_ranks, int64_t *text_ranks,
                                const float *images, int64_t n, const float *captions, const int64_t *owner, int64_t m,
                                int64_t width, uint64_t seed);

/* ---- neighbours ---- */

/* The similarity of each row of a (n, width) with the same row of b -> out (n). */
gh_status gh_cosines(gh_error *err, double *out, const float *a, const float *b, int64_t n, int64_t width);

/* For every row of rows (n, width) the k nearest other rows, nearest first -> out (n, k), similarities (n, k) or NULL.
 * k < n. */
gh_status gh_neighbours(gh_error *err, int64_t *out, double *similarities, const float *rows, int64_t n, int64_t width,
                        int64_t k);

#endif
