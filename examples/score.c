/* Scores a model on a data folder, and lists what it got wrong.
 *
 *   cc score.c -o score $(pkg-config --cflags --libs genhance)
 *   ./score mmvp|zeroshot|retrieval MODEL DATA [ADAPTER] */
#include <genhance/genhance.h>

#include <stdio.h>
#include <string.h>

/* A table of the shares: name, per cent, its 95 % interval. */
static int print_shares(const genhance_score *score, const genhance_score_summary *summary) {
  genhance_share share = GENHANCE_SIZED(genhance_share);
  for (int i = 0; i < summary->shares; i++) {
    if (genhance_score_share(score, (size_t)i, &share)) return -1;
    printf("%-40s %5.1f %% (%.1f to %.1f), %lld of %lld\n", share.name, share.percent, share.low, share.high,
           (long long)share.hits, (long long)share.total);
  }
  if (summary->kind == GENHANCE_SCORE_MMVP) printf("%-40s %5.1f %%\n", "average of the patterns", summary->average);
  return 0;
}

/* The rows of a result come one by one. */
static int print_wrong_pairs(const genhance_score *score, const genhance_score_summary *summary) {
  genhance_mmvp_pair pair = GENHANCE_SIZED(genhance_mmvp_pair);
  for (size_t i = 0; i < summary->pairs; i++) {
    if (genhance_score_mmvp_pair(score, i, &pair)) return -1;
    if (!pair.statement_correct[0] || !pair.statement_correct[1])
      printf("wrong: %s | %s (%s)\n", pair.statements[0], pair.statements[1], pair.pattern);
  }
  return 0;
}

static int print_wrong_images(const genhance_score *score, const genhance_score_summary *summary) {
  genhance_zeroshot_image image = GENHANCE_SIZED(genhance_zeroshot_image);
  for (size_t i = 0; i < summary->images; i++) {
    if (genhance_score_zeroshot_image(score, i, &image)) return -1;
    if (image.rank) printf("wrong: %s is %s, not %s\n", image.path, image.class_name, image.predicted);
  }
  return 0;
}

static int print_wrong_captions(const genhance_score *score, const genhance_score_summary *summary) {
  genhance_retrieval_caption caption = GENHANCE_SIZED(genhance_retrieval_caption);
  for (size_t i = 0; i < summary->lines; i++) {
    if (genhance_score_retrieval_caption(score, i, &caption)) return -1;
    if (caption.rank) printf("wrong: \"%s\" finds %lld other images first\n", caption.caption, (long long)caption.rank);
  }
  return 0;
}

static const struct {
  const char *name;
  genhance_score_kind kind;
  int (*print_wrong)(const genhance_score *score, const genhance_score_summary *summary);
} kinds[] = {{"mmvp", GENHANCE_SCORE_MMVP, print_wrong_pairs},
             {"zeroshot", GENHANCE_SCORE_ZEROSHOT, print_wrong_images},
             {"retrieval", GENHANCE_SCORE_RETRIEVAL, print_wrong_captions}};

int main(int argc, char **argv) {
  size_t kind = 0;
  while (argc > 3 && kind < 3 && strcmp(argv[1], kinds[kind].name)) kind++;
  if (argc < 4 || kind == 3) {
    fprintf(stderr, "usage: score mmvp|zeroshot|retrieval MODEL DATA [ADAPTER]\n");
    return 2;
  }
  genhance_device *device = NULL;
  genhance_score *score = NULL;
  const genhance_score_options options = {.struct_size = sizeof options, .adapter = argc > 4 ? argv[4] : NULL};
  genhance_score_summary summary = GENHANCE_SIZED(genhance_score_summary);
  int failed = genhance_device_open(&device, "auto") ||
               genhance_score_run(&score, device, kinds[kind].kind, argv[2], argv[3], &options) ||
               genhance_score_summarize(score, &summary) || print_shares(score, &summary) ||
               kinds[kind].print_wrong(score, &summary);
  if (failed) fprintf(stderr, "score: %s\n", genhance_last_error());
  genhance_score_close(score);
  genhance_device_close(device);
  return failed ? 1 : 0;
}
