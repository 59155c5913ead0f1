/* "shard": "gradients": memory on the device for the gradients that other ranks keep. They share it: each is there from
 * the first node that adds to it until after the last, and is then read. So that the sums over micro-batches have the
 * bits of gradients that stay, what was read is written back before the next micro-batch adds to it.
 *
 * Gradients that are complete one after the other are read together, in windows of some size. */
#ifndef GH_TRAIN_WINDOWS_H
#define GH_TRAIN_WINDOWS_H

#include "method/step.h"

typedef struct gh_window {
  int first, count;          /* parameters order[first .. first + count) */
  int first_node, last_node; /* of the step: what adds to their gradients */
  int64_t offset, bytes;     /* of the memory */
  gh_launch *clear;          /* fills it with zeros; NULL in an unbacked store */
} gh_window;

/* What happens when so many launches of the step have been enqueued. */
typedef struct gh_window_event {
  int launches, window;
  bool begins; /* else it ends */
} gh_window_event;

typedef struct gh_windows {
  gh_device *device;
  gh_window *items; /* in the order in which they end */
  int count;        /* 0: every gradient has its own memory */
  int *order;
  int *of; /* (parameters) the window of each; -1: its gradient has its own memory */
  gh_tensor *memory;
  gh_window_event *events; /* (2 count) in order, from gh_windows_bind on; those that end before those that begin */
} gh_windows;

/* For the recorded step of a store from which gradients are left out (shard->gradients); parameters (shard->count) in
 * the store's order. Adds the tensor "grad.windows" to the store. Free with gh_windows_free, after a failure too. */
gh_status gh_windows_plan(gh_error *err, gh_windows *out, gh_store *store, const gh_graph *step, const gh_shard *shard,
                          gh_tensor *const *parameters);
/* When the step is planned: finds the events. */
gh_status gh_windows_bind(gh_error *err, gh_windows *windows, const gh_graph *step);
void gh_windows_free(gh_windows *windows); /* an empty one is fine */

/* The launches after which a parameter's window has ended, from gh_windows_bind on. */
int gh_windows_end(const gh_windows *windows, int parameter);
bool gh_windows_has(const gh_windows *windows, int parameter);

#endif
