/* What the ranks of a job share beside training (`encode`, `eval`, the cache of targets): base/parts.h over the
 * communicator. */
#ifndef GH_TRAIN_RANKS_ENCODE_H
#define GH_TRAIN_RANKS_ENCODE_H

#include "base/parts.h"
#include "dist/comm.h"
#include "encode/encode.h"

typedef struct gh_ranks_parts {
  gh_parts parts;
  gh_comm *comm;
  gh_device *device;
} gh_ranks_parts;

/* Fills *out and returns its parts: NULL for one process. *out stays where it is while they are used. */
const gh_parts *gh_ranks_parts_of(gh_ranks_parts *out, gh_comm *comm, gh_device *device);

/* Every rank's part of an encoding -> the whole on rank 0, in the order of the source; the other ranks' are freed. own:
 * how this rank's part went. */
gh_status gh_ranks_gather_encoding(gh_error *err, gh_comm *comm, gh_status own, gh_encoding *encoding);

/* GH_ERROR_CONFIG names what differs among the ranks: program, command, number of items, or a file of the model's
 * folder. `given`: of the command, for example its options (freed here; NULL: memory ran out). */
gh_status gh_ranks_same_input(gh_error *err, gh_comm *comm, const char *model, gh_json *given);

#endif
