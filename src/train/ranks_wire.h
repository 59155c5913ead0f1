/* Gradients that MPI takes from the device's memory and puts back there (dist/device_sum.h): they do not pass through
 * the host's. Each rank by itself, as its device and its MPI allow; the sums have the same bits. Loss and logged
 * numbers still pass through the host's memory. */
#ifndef GH_TRAIN_RANKS_WIRE_H
#define GH_TRAIN_RANKS_WIRE_H

#include "dist/device_sum.h"
#include "train/ranks.h"

gh_sum_way gh_ranks_way(const gh_ranks *ranks); /* as configured */

/* The gradients of a bucket, in the order in which they lie there. gh_ranks_free_bucket frees it, after an error, too.
 */
gh_status gh_ranks_list_bucket(gh_error *err, const gh_ranks *ranks, const gh_bucket *bucket, gh_device_numbers *out);
void gh_ranks_free_bucket(gh_device_numbers *listed);

/* All ranks call it at the start of a stage, after gh_ranks_join: opens ranks->wire where "distributed.buffers" wants
 * it, and the rank can. GH_ERROR_UNSUPPORTED where it is "device" and a rank cannot. */
gh_status gh_ranks_open_wire(gh_error *err, gh_ranks *ranks);
/* Who adds the gradients, and from whose memory: {"by": "Open MPI v4.1.4", "buffers": "device"}. */
gh_status gh_ranks_describe_sums(gh_error *err, const gh_ranks *ranks, gh_json *plan);

#endif
