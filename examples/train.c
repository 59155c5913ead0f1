/* Post-trains an encoder as a run configuration says, and writes the result as a model folder.
 *
 *   cc train.c -o train $(pkg-config --cflags --libs genhance)
 *   ./train RUN.json MODEL_OUT [--resume] [KEY=VALUE ...]
 *
 * Ctrl-C saves the state and ends the program with exit code 75; --resume continues, to the same result. */
#include <genhance/genhance.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1; /* the library installs no handler: what a signal means is the program's decision */
}

/* After every update. Anything may be done here; training waits. Non-zero stops it, with its state saved. */
static int show(void *user, const genhance_progress *p) {
  double *best = user;
  if (p->update == 1 || p->loss < *best) *best = p->loss;
  printf("stage %d, update %lld of %lld: loss %.6f (best %.6f), gradient norm %.4f, %.1f images/s\n", (int)p->stage,
         (long long)p->update, (long long)p->updates, p->loss, *best, p->gradient_norm, p->images_per_second);
  fflush(stdout);
  return interrupted;
}

static int report(const genhance_training *training) {
  for (int stage = 1; stage <= 2; stage++) {
    genhance_stage_report r = GENHANCE_SIZED(genhance_stage_report);
    if (genhance_training_stage(training, stage, &r)) return -1;
    if (r.updates)
      printf("stage %d: loss %.6f at the start, %.6f at the end, %lld updates, %.1f s\n", stage, r.first_loss,
             r.last_loss, (long long)r.updates, r.seconds);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: train RUN.json MODEL_OUT [--resume] [KEY=VALUE ...]\n");
    return 2;
  }
  genhance_training *training = NULL;
  double best = 0;
  int next = 3;
  genhance_train_options options = {.struct_size = sizeof options, .progress = show, .user = &best};
  if (argc > next && !strcmp(argv[next], "--resume")) options.resume = 1, next++;
  signal(SIGINT, on_interrupt);
  genhance_set_verbosity(1); /* warnings, such as pictures that cannot be read, on stderr */

  genhance_status status =
      genhance_training_open(&training, argv[1], (const char *const *)argv + next, (size_t)(argc - next));
  if (!status) status = genhance_training_run(training, &options);
  if (!status && report(training)) status = GENHANCE_ERROR_ARGUMENT;
  if (!status) status = genhance_export(NULL, argv[2], genhance_training_output(training), NULL);
  if (status) fprintf(stderr, "train: %s\n", genhance_last_error());
  genhance_training_close(training);
  return status == GENHANCE_OK ? 0 : status == GENHANCE_ERROR_STOPPED ? 75 : 1;
}
