/* Data-parallel training: each rank computes the gradients of its block of every update's samples, the ranks add them
 * up, and all make the same update. This is the loop's part; train/ranks_start.h is what comes before. */
#ifndef GH_TRAIN_RANKS_H
#define GH_TRAIN_RANKS_H

#include "config/config.h"
#include "dist/device_sum.h"
#include "dist/reducer.h"
#include "train/buckets.h"

typedef struct gh_ranks {
  gh_comm *comm;
  gh_device *device;
  const gh_config *config;
  gh_graph *step;
  const gh_update *update;
  gh_tensor *loss;
  double patience; /* seconds that an update may keep the others waiting */
  gh_buckets buckets;
  /* (buckets.values + numbers): the gradients, then the loss and the logged numbers. Of an update's gradients that are
   * divided (gh_update.windows), it has the sums over the micro-batches so far. */
  float *values;
  size_t numbers;
  gh_reducer *reducer;
  bool on_devices;       /* the devices sum the gradients (train/ranks_device.h), not the reducer */
  gh_device_sum *wire;   /* MPI takes the gradients from the device (train/ranks_wire.h); NULL: from `values` */
  unsigned buffers;      /* whose memory it takes them from, of all ranks */
  bool begun;            /* the sums of this update */
  int given;             /* buckets of this update that the reducer, or the device, has */
  unsigned agreed_flags; /* of the agreement before the sums on devices */
  float *squares;        /* (parameters) of the gradients; NULL: the update is not divided among the ranks */
  /* Of local updates (train/ranks_local.h): (buckets.values) the parameters of the last average; room for one. */
  float *kept, *momentum;
  /* Ranks compute on devices of different kinds, whose updates may round differently: rank 0's parameters go to all
   * after every update. */
  bool mixed;
  int64_t *shares; /* (ranks) samples of each update; NULL: even */
  bool warm;       /* an update has been done: the next one compiles nothing */
  bool rested;     /* rank 0 wrote no state since the last one */
  /* On rank 0, (ranks) each: the share of the last update that each rank waited, and what it had waited before. */
  double *waiting, *waited;
  double summed; /* time of the last sum, by gh_now */
  /* What the ranks agreed on for the update that runs: it is the last of this process; a state follows it. */
  bool stop, save;
} gh_ranks;

/* The samples [*first, *first + result) of every `batch` are this rank's: blocks in the order of ranks, whose sizes are
 * `shares` or differ by one at most. NULL: all. */
int64_t gh_ranks_share(const gh_ranks *ranks, int64_t batch, int64_t *first);

/* Every rank calls it when its step and update are planned. The caller has set comm, config and patience. step and
 * update must outlive *ranks. */
gh_status gh_ranks_begin(gh_error *err, gh_ranks *ranks, gh_device *device, const gh_step *step, gh_update *update);
/* Then, when rank 0 has loaded its state (own): takes rank 0's parameters and, with `moments`, its moments. Where the
 * update is divided, each rank's parameters go to all. */
gh_status gh_ranks_start(gh_error *err, gh_ranks *ranks, gh_status own, bool moments);
/* Divides the batch by speed: so that the rank which ends last ends as early as possible. Speeds are measured on `step`
 * (planned, of micro_batch samples), on all ranks at once; what that leaves in the gradients is cleared. The shares of
 * an earlier plan ("shares" of the same number of ranks; NULL: none) are kept instead. Puts them into `plan`. */
gh_status gh_ranks_split(gh_error *err, gh_ranks *ranks, gh_graph *step, int64_t batch, int64_t micro_batch,
                         const gh_json *earlier, gh_json *plan);
/* shares (ranks): given[r] seconds per micro-batch of micro[r] samples; batch >= ranks. */
void gh_ranks_divide(int64_t *shares, const double *seconds, const int64_t *micro, int ranks, int64_t batch);
void gh_ranks_end(gh_ranks *ranks); /* an empty one is fine */

/* What a rank brings to an update besides its gradients. */
typedef struct gh_ranks_wish {
  bool stop, save;
  bool load_failed; /* it failed, since images could not be loaded; then: whether all that failed did so for that */
} gh_ranks_wish;

/* For the parts of this: sets and returns the patience of an update; a wish as flags of an agreement, and what was
 * agreed. */
double gh_ranks_begin_wait(gh_ranks *ranks);
unsigned gh_ranks_flags(const gh_ranks_wish *wish);
void gh_ranks_take_flags(gh_ranks *ranks, unsigned flags);

/* The step of an update's micro-batch, of which it is the first, the last, or both. Gradients that other ranks keep
 * leave the device where they are divided; with the last micro-batch, all travel as soon as they are complete. */
gh_status gh_ranks_step(gh_error *err, gh_ranks *ranks, bool first, bool last);
/* Replaces gradients, loss and logged numbers by their sums over all ranks. `own`: how this rank's micro-batches went.
 * Sets ranks->stop and ranks->save. */
gh_status gh_ranks_reduce(gh_error *err, gh_ranks *ranks, gh_status own, gh_ranks_wish *wish);
/* After the update's graph: rank 0's parameters to all, where the devices are mixed. */
gh_status gh_ranks_align(gh_error *err, gh_ranks *ranks);
/* After rank 0 has written a snapshot, and again after all have measured it (`own`): whether the run ends here, and
 * whether it failed since images could not be loaded. */
gh_status gh_ranks_after_snapshot(gh_error *err, gh_ranks *ranks, gh_status own, bool *halt, bool *load_failed);

#endif
