/* Two sets of results joined: how much better or worse each result became. */
#ifndef GH_BENCH_GATE_H
#define GH_BENCH_GATE_H

#include "bench/results.h"

typedef enum gh_verdict {
  GH_VERDICT_SAME,    /* within the bound */
  GH_VERDICT_WORSE,   /* beyond it, or no longer a result */
  GH_VERDICT_BETTER,  /* beyond it */
  GH_VERDICT_MISSING, /* the second set was not measured there */
  GH_VERDICT_NEW,     /* a result where the first had none */
  GH_VERDICTS_OF_PAIRS
} gh_verdict;

typedef struct gh_pair {
  const gh_result *first, *second; /* second may be NULL */
  double ratio;                    /* above 1: the second is worse by that factor, infinitely so where the first is 0;
                                    * NaN: there are no two values */
  double low, high;                /* the same between the ends of both spreads; NaN where not known */
  bool noisy;                      /* one of the two has a wide spread */
  gh_verdict verdict;
} gh_pair;

typedef struct gh_pairs {
  gh_pair *items; /* the worst first */
  size_t count, capacity;
  size_t counts[GH_VERDICTS_OF_PAIRS];
  bool same_places; /* joined by device; else two different devices were joined by what was measured */
} gh_pairs;

const char *gh_verdict_name(gh_verdict verdict);

/* Joins by what was measured and, if the sets have a device in common, by device. Otherwise each must have one device.
 * bound: 0.05 is 5 %; drift is worse only at ten times what it was, and above rounding. GH_ERROR_ARGUMENT where nothing
 * can be joined. Rows are borrowed. */
gh_status gh_results_join(gh_error *err, const gh_results *first, const gh_results *second, double bound,
                          gh_pairs *out);
void gh_pairs_free(gh_pairs *pairs);

/* Adds the rows to those of folder/rows.jsonl, and writes both files anew with the shares of all: an earlier row of the
 * same measurement on the same device goes, every other stays. Leaves `rows` empty. */
gh_status gh_results_renew(gh_error *err, gh_results *rows, const char *folder);

/* "stage 2, openai-vit-l-14-224, ..., batch 4, f32, forward": what was measured, and whether by processor time. */
void gh_result_problem(char *out, size_t size, const gh_result *row);

#endif
