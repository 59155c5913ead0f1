/* The update as a graph: gradient norm, clip factor, AdamW on every trainable parameter, gradients cleared. When the
 * loss or the norm is not finite, it only raises a flag, so that the previous state survives. */
#ifndef GH_TRAIN_UPDATE_H
#define GH_TRAIN_UPDATE_H

#include "config/config.h"
#include "train/windows.h"

/* What is kept of each trained parameter. */
typedef enum gh_kept { GH_KEPT_PARAMETER, GH_KEPT_M, GH_KEPT_V, GH_KEPT_OUTER, GH_KEPT } gh_kept;

/* How that is stored, and in a state: float32 numbers, or the words of 8-bit moments (ops/ops.h). */
typedef struct gh_kept_form {
  gh_dtype dtype; /* GH_F32 or GH_U32: four bytes per element */
  int rank;
  int64_t shape[GH_MAX_RANK];
  int64_t elements;
} gh_kept_form;

/* Reads and writes what other processes keep (train/ranks_shard.c). */
typedef struct gh_remote {
  gh_status (*read)(gh_error *err, void *user, int parameter, gh_kept kind, void *values);
  gh_status (*write)(gh_error *err, void *user, int parameter, gh_kept kind, const void *values);
  void *user;
} gh_remote;

typedef struct gh_update {
  gh_graph *graph;
  gh_device *device;
  gh_tensor *control;               /* (16), cl/step.h */
  gh_tensor *squares;               /* (count) of each gradient */
  gh_tensor **parameters, **m, **v; /* (count) each, in the store's order; m and v: NULL where another process has it */
  int count;
  gh_tensor **outer;             /* (count) momentum of averages (gh_step.outer); NULL: none */
  gh_step_memory memory;         /* of the step */
  const gh_shard *shard;         /* of the step; NULL: this process keeps all */
  gh_windows windows;            /* where gradients are divided, too */
  gh_remote remote;              /* for what it does not keep */
  int clip_node;                 /* the first node that reads all squares */
  gh_tensor *logs[GH_STEP_LOGS]; /* of the step */
  int log_count;
  gh_tensor *carried[GH_STEP_CARRIED]; /* of the step */
  int carried_count;
} gh_update;

typedef struct gh_update_result {
  double loss, norm; /* norm 0: skipped, see below */
  bool bad;          /* not finite: nothing was updated */
  double scale;      /* of the loss, where it is scaled: an update whose gradients overflow is skipped and is not
                        bad, unless the scale is at its least (cl/step.h); 0: it is not scaled */
  int64_t skips;     /* skipped updates of the stage so far */
  double logs[GH_STEP_LOGS]; /* the numbers that the step logs */
} gh_update_result;

/* Records over every trainable parameter of the store that this process keeps (step->shard); moments are created there
 * as "adam.m.<name>" and "adam.v.<name>". Gradients of all are cleared, except where they are
 * divided (shard->gradients): then those that this process does not keep get their memory here (train/windows.h). */
gh_status gh_update_record(gh_error *err, gh_device *device, gh_store *store, const gh_optimizer_config *optimizer,
                           const gh_step *step, gh_update *update);
void gh_update_free(gh_update *update);
/* Whether this process updates the parameter. */
bool gh_update_keeps(const gh_update *update, int parameter);
/* Of a planned update: the launches that give its squares; the others need those of all parameters. */
int gh_update_first_launches(const gh_update *update);
/* How many of gh_kept there are of each parameter. */
int gh_update_kinds(const gh_update *update);
/* How it is stored, whoever keeps it; bf16 parameters are read and written as float32. */
gh_kept_form gh_update_form(const gh_update *update, int parameter, gh_kept kind);
/* What is kept of a parameter, here or elsewhere: values of that form. */
gh_status gh_update_get(gh_error *err, const gh_update *update, int parameter, gh_kept kind, void *values);
gh_status gh_update_put(gh_error *err, const gh_update *update, int parameter, gh_kept kind, const void *values);
/* Waits for the device: the one synchronisation of a step. */
gh_status gh_update_read(gh_error *err, gh_device *device, const gh_update *update, gh_update_result *result);

#endif
