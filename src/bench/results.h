/* Rows of one or several folders of results: a folder has rows.jsonl, and other programs' *.jsonl beside it. */
#ifndef GH_BENCH_RESULTS_H
#define GH_BENCH_RESULTS_H

#include "bench/result.h"

typedef struct gh_results {
  gh_result *items;
  size_t count, capacity;
} gh_results;

void gh_results_free(gh_results *rows);
gh_result *gh_results_add(gh_error *err, gh_results *rows); /* a new empty row; NULL when memory runs out */
/* Moves all rows of `from` to the end of `to`. */
gh_status gh_results_move(gh_error *err, gh_results *to, gh_results *from);
/* Removes the rows for which drop is true; keeps the order. */
void gh_results_drop(gh_results *rows, bool (*drop)(const gh_result *row, const void *user), const void *user);

/* Adds the rows of a file of JSON lines, or of a folder's *.jsonl, sorted by name. A last line without its newline is
 * the rest of an interrupted write: ignored with a warning. A folder without such a file is GH_ERROR_FILE. */
gh_status gh_results_read(gh_error *err, gh_results *rows, const char *path);
/* Replaces folder/rows.jsonl and folder/rows.csv. */
gh_status gh_results_write(gh_error *err, const gh_results *rows, const char *folder);
gh_status gh_results_append(gh_error *err, const char *path, const gh_result *rows, size_t count); /* in one write */

/* ---- shares of the peak ---- */

/* Fills limit, peak, share_of_peak and share_note of every result that has a rate, from the peaks among the same rows.
 *
 * A peak belongs to the hardware (and the clock), not to a runtime, a shape of kernels or a provider. Arithmetic: the
 * highest rate of a type that a probe or any product reached, float32's counting for bf16, too. Memory: the highest
 * rate of a copy or triad whose working set is not smaller than the row's; between two probes, the smaller one's
 * counts. The share refers to the limit that is nearer. */
gh_status gh_results_share(gh_error *err, gh_results *rows);

#endif
