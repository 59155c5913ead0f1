/* Whole runs of pre-training, in processes of their own: an injected fault may end them, and a device that is open
 * before a fork is of no use after it. Runs read scratch/config.json. */
#ifndef GH_TESTS_SUPPORT_PRETRAIN_RUN_H
#define GH_TESTS_SUPPORT_PRETRAIN_RUN_H

#include "io/safetensors.h"
#include "support/check.h"
#include "train/pretrain.h"

/* How a process ended. */
typedef struct pretrain_ending {
  int signal; /* that killed it, or 0 */
  gh_status status;
  char text[GH_ERROR_TEXT_SIZE];
  long operations; /* on the run's files */
} pretrain_ending;

int pretrain_share(void); /* memory for that; not 0: there is none */
void pretrain_unshare(void);

char *pretrain_output(const char *name); /* a run's folder in `scratch`, absolute and without links; the caller frees */

/* Trains by the document in `scratch`; dies_at: the operation on the run's files that kills the process; 0: none. */
pretrain_ending pretrain_as(const char *output, const gh_train_options *options, const gh_pretrain_kind *kind,
                            const char *document, long dies_at);
/* The same by config.json. */
pretrain_ending pretrain_run(const gh_pretrain_kind *kind, const char *output, bool resume, gh_train_progress *progress,
                             long dies_at);
/* The same, without a failure; returns the operations. */
long pretrain_completes(const gh_pretrain_kind *kind, const char *output, bool resume);
void pretrain_ends(const pretrain_ending *ending, gh_status status, const char *piece);

/* Kills runs at so many moments of an undisturbed one, in `whole`, which had so many operations; each must resume to
 * the same bits. */
void pretrain_kill_and_resume(const gh_pretrain_kind *kind, const char *whole, long operations, int moments);

/* The relative error of a parameter's gradient: of the elements that a fixture keeps under "gradient.NAME", evenly
 * spaced, at most 96; and of its norm, "norm.NAME". A norm below 1e-9 is 0 but for rounding. */
double pretrain_gradient_error(const gh_tensor *parameter, const gh_safetensors *want);

#endif
