#include "train/ranks_wire.h"
#include "base/log.h"

#include <stdlib.h>

gh_sum_way gh_ranks_way(const gh_ranks *r) {
  if (r->config->reduce == GH_REDUCE_FAST) return GH_SUM_FAST;
  return r->config->reduce_precision == GH_PRECISION_BFLOAT16 ? GH_SUM_BF16 : GH_SUM_ORDERED;
}

/* ---- opening ---- */

void gh_ranks_free_bucket(gh_device_numbers *listed) {
  free(listed->buffers);
  free(listed->counts);
}

static void free_all(gh_device_numbers *sums, int count) {
  for (int i = 0; sums && i < count; i++) gh_ranks_free_bucket(&sums[i]);
  free(sums);
}

gh_status gh_ranks_list_bucket(gh_error *err, const gh_ranks *r, const gh_bucket *b, gh_device_numbers *out) {
  *out = (gh_device_numbers){.buffers = gh_alloc(err, (size_t)b->count, sizeof *out->buffers),
                             .counts = gh_alloc(err, (size_t)b->count, sizeof *out->counts),
                             .count = b->count,
                             .starts = b->starts};
  if (!out->buffers || !out->counts) return GH_ERROR_MEMORY;
  for (int i = 0; i < b->count; i++) {
    const gh_tensor *gradient = r->update->parameters[r->buckets.order[b->first + i]]->grad;
    out->buffers[i] = gradient->buffer;
    out->counts[i] = gh_tensor_elements(gradient);
  }
  return GH_OK;
}

static gh_status bind(gh_error *err, gh_ranks *r) {
  const int count = r->buckets.count;
  gh_device_numbers *sums = gh_alloc(err, (size_t)GH_MAX(count, 1), sizeof *sums);
  gh_status status = sums ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < count && !status; i++) status = gh_ranks_list_bucket(err, r, &r->buckets.items[i], &sums[i]);
  if (!status) status = gh_device_sum_create(err, &r->wire, r->comm, r->device, sums, count, gh_ranks_way(r));
  free_all(sums, count);
  return status;
}

static gh_status open_own(gh_error *err, gh_ranks *r) {
  const char *staged = gh_config_why_staged(r->config);
  if (staged) return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s", staged);
  gh_status status = gh_device_sum_check(err, r->comm, r->device, gh_ranks_way(r));
  if (!status) status = bind(err, r);
  if (!status) return GH_OK;
  gh_device_sum_free(r->wire);
  r->wire = NULL;
  return status;
}

/* The flags of an agreement. */
enum { ON_DEVICE = 1, ON_HOST = 2 };

gh_status gh_ranks_open_wire(gh_error *err, gh_ranks *r) {
  const bool wanted = r->config->buffers == GH_BUFFERS_DEVICE;
  gh_error why = {0};
  gh_status status = open_own(&why, r), own = GH_OK;
  if (wanted && status) own = gh_fail(err, status, "distributed.buffers: %s", why.text);
  if (!wanted && status && status != GH_ERROR_UNSUPPORTED) /* "auto": the host's memory does it, too */
    gh_warn("%s: gradients pass through the host's memory: %s", r->device->info.id, why.text);
  r->buffers = r->wire ? ON_DEVICE : ON_HOST;
  status = gh_comm_agree(err, r->comm, own, "the buffers of gradients", &r->buffers);
  if (status || gh_comm_rank(r->comm) || !(r->buffers & ON_DEVICE)) return status;
  gh_info("gradients: %s takes them from the memory of %s", gh_comm_library(r->comm),
          r->buffers & ON_HOST ? "those devices that allow it; the others' pass through the host's" : "the devices");
  return GH_OK;
}

gh_status gh_ranks_describe_sums(gh_error *err, const gh_ranks *r, gh_json *plan) {
  const bool fast = r->config->reduce == GH_REDUCE_FAST;
  const char *by = r->on_devices ? r->device->backend->group_name(r->device)
                   : fast        ? "MPI_Allreduce"
                                 : gh_comm_library(r->comm);
  const char *buffers = r->on_devices || r->buffers == ON_DEVICE ? "device"
                        : r->buffers == ON_HOST                  ? "host"
                                                                 : "device and host";
  gh_json *sums = gh_json_put_object(err, plan, "sums");
  gh_status status = sums ? gh_json_put_string(err, sums, "by", by) : err->status;
  return status ? status : gh_json_put_string(err, sums, "buffers", buffers);
}
