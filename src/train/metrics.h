/* One line per update: metrics.jsonl for programs, train.log and stdout for people, and TensorBoard's event file. */
#ifndef GH_TRAIN_METRICS_H
#define GH_TRAIN_METRICS_H

#include "base/json.h"
#include "train/tfevents.h"

#define GH_METRICS_NUMBERS 10

/* Keys of a line that only some lines have. */
#define GH_METRICS_RESIDENT "resident_bytes"
#define GH_METRICS_JOULES   "joules"

typedef struct gh_metrics_number {
  const char *name; /* a key of metrics.jsonl: "accuracy" */
  double value;
} gh_metrics_number;

typedef struct gh_metrics_row {
  int stage;
  int64_t update, updates; /* this update, and the stage's number of updates */
  double loss, norm, learning_rate;
  double seconds;
  int64_t samples;
  double time;                                   /* seconds since 1970 */
  double resident_bytes;                         /* of the process, at its peak so far; 0: not measured */
  double joules;                                 /* of the processor during the update; 0: not measured */
  gh_metrics_number numbers[GH_METRICS_NUMBERS]; /* what the objective and the precision log in addition */
  int number_count;
  const double *waiting; /* (ranks) the share of the update that each rank spent waiting for others; NULL: no ranks */
  int ranks;
  const gh_json *made_by; /* of the first line that a process writes (train/made_by.h); NULL: of the others */
} gh_metrics_row;

/* The caller's progress callback. It runs on the caller's thread after every update, when the update's row and any due
 * snapshot are written. Returning true stops the run as a signal does: the state is saved, and the result is
 * GH_ERROR_STOPPED. */
typedef bool gh_train_progress(void *user, const gh_metrics_row *row);

/* Appends the row to all files, and prints it to stdout if `print` is set. */
gh_status gh_metrics_write(gh_error *err, const char *run, const gh_metrics_row *row, bool print);

/* Appends one more line for (stage, update) to train.log: "stage 2 update 50/1000 " and the text. */
gh_status gh_metrics_note(gh_error *err, const char *run, int stage, int64_t update, int64_t updates, const char *text,
                          bool print);

/* Scalars of an update for TensorBoard, in RUN/tensorboard. */
gh_status gh_metrics_scalars(gh_error *err, const char *run, double time, int64_t update, const gh_scalar *scalars,
                             size_t count);
double gh_metrics_time(void); /* seconds since 1970 */

/* Drops the lines after (stage, update) from metrics.jsonl, evaluations.jsonl and train.log, since a resumed run
 * repeats those updates, and lines that are broken. Then rewrites TensorBoard's file from the remaining lines and
 * snapshots, with `made_by` (NULL: none) as its text. */
gh_status gh_metrics_rewind(gh_error *err, const char *run, int stage, int64_t update, const gh_json *made_by);

/* fsync of these files and of the run's folder: a state that is written afterwards has its lines. */
gh_status gh_metrics_sync(gh_error *err, const char *run);

/* Calls visit for every line of a file of JSON lines, in order. An absent file has no lines; a last line without a
 * newline is ignored. */
typedef gh_status gh_line_visit(gh_error *err, void *user, const gh_json *row);
gh_status gh_metrics_lines(gh_error *err, const char *run, const char *name, gh_line_visit *visit, void *user);

/* Reads the objective's numbers from a line of metrics.jsonl into numbers (GH_METRICS_NUMBERS). Names belong to the
 * line; a null value is read as NaN. */
gh_status gh_metrics_read_numbers(gh_error *err, const gh_json *line, gh_metrics_number *numbers, int *count);

/* The losses of a stage, in order; the caller frees. */
gh_status gh_metrics_losses(gh_error *err, const char *run, int stage, double **losses, int64_t *count);

#endif
