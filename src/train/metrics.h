/* A line an update: metrics.jsonl for programs, train.log and stdout for people, TensorBoard's event file beside them.
 */
#ifndef GH_TRAIN_METRICS_H
#define GH_TRAIN_METRICS_H

#include "base/json.h"
#include "train/tfevents.h"

#define GH_METRICS_NUMBERS 8

typedef struct gh_metrics_number {
  const char *name; /* a key of metrics.jsonl: "accuracy" */
  double value;
} gh_metrics_number;

typedef struct gh_metrics_row {
  int stage;
  int64_t update, updates; /* this one, and the stage's */
  double loss, norm, learning_rate;
  double seconds;
  int64_t samples;
  double time;                                   /* when, in seconds since 1970 */
  gh_metrics_number numbers[GH_METRICS_NUMBERS]; /* what the objective logs besides */
  int number_count;
} gh_metrics_row;

/* A caller's look at training, on its thread, after every update, when its row and, where one is due, its snapshot are
 * written. true stops the run as a signal does: the state is saved, and the result is GH_ERROR_STOPPED. */
typedef bool gh_train_progress(void *user, const gh_metrics_row *row);

/* Appends the row to all of them; on stdout where `print` says so. */
gh_status gh_metrics_write(gh_error *err, const char *run, const gh_metrics_row *row, bool print);

/* One line more of train.log, which belongs to (stage, update): "stage 2 update 50/1000 " and the text. */
gh_status gh_metrics_note(gh_error *err, const char *run, int stage, int64_t update, int64_t updates, const char *text,
                          bool print);

/* Scalars of an update for TensorBoard, in RUN/tensorboard. */
gh_status gh_metrics_scalars(gh_error *err, const char *run, double time, int64_t update, const gh_scalar *scalars,
                             size_t count);
double gh_metrics_time(void); /* seconds since 1970 */

/* Drops the lines after (stage, update) from metrics.jsonl, evaluations.jsonl and train.log - what a resumed run does
 * again - and writes TensorBoard's file anew from what is left. */
gh_status gh_metrics_rewind(gh_error *err, const char *run, int stage, int64_t update);

/* Calls visit for every line of a file of JSON lines, in order; a file that is not there has none, and a
 * last line without its end does not count. */
typedef gh_status gh_line_visit(gh_error *err, void *user, const gh_json *row);
gh_status gh_metrics_lines(gh_error *err, const char *run, const char *name, gh_line_visit *visit, void *user);

/* The numbers of a line of metrics.jsonl that not every run has: the objective's. Names belong to the line; null is
 * NaN. numbers: (GH_METRICS_NUMBERS). */
gh_status gh_metrics_read_numbers(gh_error *err, const gh_json *line, gh_metrics_number *numbers, int *count);

/* The losses of a stage, in order; the caller frees. */
gh_status gh_metrics_losses(gh_error *err, const char *run, int stage, double **losses, int64_t *count);

#endif
