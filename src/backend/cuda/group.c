/* Sums over the devices of several processes: NCCL, on a stream of its own, so that they run beside the commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cuda/internal.h"
#include "base/log.h"

_Static_assert(sizeof(gh_group_id) == sizeof(ncclUniqueId), "an id is NCCL's");

static gh_status nccl_fail(gh_error *err, const gh_cuda_device *device, unsigned code, const char *what) {
  const char *text = device->group.nccl->ncclGetErrorString(code);
  return gh_fail(err, GH_ERROR_DEVICE, "%s: %s, %s: %s (%u)", device->id, device->group.name, what,
                 text ? text : "an error", code);
}

const char *gh_cuda_group_name(const gh_device *d) {
  const char *setting = getenv("GH_NCCL");
  if (setting && !strcmp(setting, "off")) return NULL;
  return *gh_cuda(d)->group.name ? gh_cuda(d)->group.name : "NCCL";
}

/* 2.9 and later count 21605 for 2.16.5, earlier ones 2804 for 2.8.4. */
static void name_version(gh_cuda_group *group, int version) {
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version % 1000 / 100 : version % 10000 / 100;
  snprintf(group->name, sizeof group->name, "NCCL %d.%d.%d", major, minor, version % 100);
}

gh_status gh_cuda_group_open(gh_error *err, gh_device *d, gh_group_id *id) {
  gh_cuda_device *device = gh_cuda(d);
  gh_cuda_group *group = &device->group;
  ncclUniqueId made;
  int version = 0;
  gh_status status = gh_cuda_enter_uncaptured(err, device, "joining a group");
  if (status) return status;
  if (!group->nccl) {
    const gh_nccl *nccl = gh_nccl_get(err);
    if (!nccl) return err->status;
    if (nccl->ncclGetVersion(&version)) return gh_fail(err, GH_ERROR_UNSUPPORTED, "NCCL does not tell its version");
    name_version(group, version);
    group->nccl = nccl;
  }
  if (!id || group->comm) return GH_OK;
  const unsigned code = group->nccl->ncclGetUniqueId(&made);
  if (code) return nccl_fail(err, device, code, "the id of a group");
  memcpy(id->bytes, made.internal, sizeof id->bytes);
  return GH_OK;
}

gh_status gh_cuda_group_join(gh_error *err, gh_device *d, const gh_group_id *id, int rank, int ranks) {
  gh_cuda_device *device = gh_cuda(d);
  gh_cuda_group *group = &device->group;
  const gh_cuda_driver *cu = device->cu;
  ncclUniqueId name;
  if (group->comm) return GH_OK;
  gh_status status = gh_cuda_enter_uncaptured(err, device, "joining a group");
  if (status) return status;
  unsigned code = group->stream ? 0 : cu->cuStreamCreate(&group->stream, GH_CU_STREAM_NON_BLOCKING);
  if (!code && !group->event) code = cu->cuEventCreate(&group->event, GH_CU_EVENT_NO_TIMING);
  if (code) return gh_cuda_fail(err, cu, code, "%s: joining a group", device->id);
  memcpy(name.internal, id->bytes, sizeof name.internal);
  code = group->nccl->ncclCommInitRank(&group->comm, ranks, name, rank);
  return code ? nccl_fail(err, device, code, "joining a group") : GH_OK;
}

gh_status gh_cuda_group_sum(gh_error *err, gh_device *d, gh_buffer *const *values, const int64_t *counts, int count) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_group *group = &device->group;
  const gh_cuda_driver *cu = device->cu;
  gh_status status = gh_cuda_enter_uncaptured(err, device, "a sum over devices");
  if (status) return status;
  unsigned code = cu->cuEventRecord(group->event, device->stream);
  if (!code) code = cu->cuStreamWaitEvent(group->stream, group->event, 0);
  if (code) return gh_cuda_fail(err, cu, code, "%s: a sum over devices", device->id);
  code = group->nccl->ncclGroupStart();
  for (int i = 0; i < count && !code; i++) {
    void *at = (void *)(uintptr_t)gh_cuda_at(values[i]);
    code =
        group->nccl->ncclAllReduce(at, at, (size_t)counts[i], GH_NCCL_FLOAT32, GH_NCCL_SUM, group->comm, group->stream);
  }
  const unsigned ended = group->nccl->ncclGroupEnd();
  if (!code) code = ended;
  return code ? nccl_fail(err, device, code, "a sum over devices") : GH_OK;
}

/* A rank that is lost leaves the others' sums unfinished: NCCL may say so, or nothing ends. */
gh_status gh_cuda_group_wait(gh_error *err, gh_device *d, double seconds) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_group *group = &device->group;
  const gh_cuda_driver *cu = device->cu;
  const double began = gh_now();
  gh_status status = gh_cuda_enter_uncaptured(err, device, "waiting for sums over devices");
  if (status) return status;
  unsigned code = cu->cuEventRecord(group->event, group->stream), lost = 0;
  if (!code) code = cu->cuStreamWaitEvent(device->stream, group->event, 0);
  while (!code && (code = cu->cuEventQuery(group->event)) == GH_CU_NOT_READY) {
    code = 0;
    const unsigned asked = group->nccl->ncclCommGetAsyncError(group->comm, &lost);
    if (asked || (lost && lost != GH_NCCL_IN_PROGRESS))
      return nccl_fail(err, device, asked ? asked : lost, "a sum over devices");
    if (seconds > 0 && gh_now() - began > seconds)
      return gh_fail(err, GH_ERROR_DEVICE,
                     "%s: a sum over devices is not done after %g s (%s does not say which rank is missing)",
                     device->id, seconds, group->name);
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
  }
  return code ? gh_cuda_fail(err, cu, code, "%s: a sum over devices", device->id) : GH_OK;
}

/* Not ncclCommDestroy, which waits for processes that may be gone. */
void gh_cuda_group_free(gh_cuda_device *device) {
  gh_cuda_group *group = &device->group;
  if (group->comm) group->nccl->ncclCommAbort(group->comm);
  if (group->event) device->cu->cuEventDestroy_v2(group->event);
  if (group->stream) device->cu->cuStreamDestroy_v2(group->stream);
  *group = (gh_cuda_group){0};
}
