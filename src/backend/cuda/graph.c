/* Capture: the commands enqueued between begin and end become one command, a CUDA graph. Sends are not captured: they
 * come before the graph in the same queue and write to fixed addresses, so a captured step stays valid. */
#include "backend/cuda/internal.h"

gh_status gh_cuda_capture_begin(gh_error *err, gh_device *d) {
  gh_cuda_device *device = gh_cuda(d);
  gh_status status = gh_cuda_enter_uncaptured(err, device, "a capture begins");
  if (status) return status;
  unsigned code = device->cu->cuStreamBeginCapture_v2(device->stream, GH_CU_CAPTURE_THREAD_LOCAL);
  if (code) return gh_cuda_fail(err, device->cu, code, "%s: a capture", device->id);
  device->capturing = true;
  return GH_OK;
}

static gh_status enqueue_graph(gh_error *err, gh_cuda_device *device, gh_launch *launch) {
  unsigned code = device->cu->cuGraphLaunch(launch->of.graph, device->stream);
  return code ? gh_cuda_fail(err, device->cu, code, "%s: a captured step", device->id) : GH_OK;
}

static void release_graph(gh_launch *launch) { launch->device->cu->cuGraphExecDestroy(launch->of.graph); }

gh_status gh_cuda_capture_end(gh_error *err, gh_device *d, gh_launch **out) {
  gh_cuda_device *device = gh_cuda(d);
  const gh_cuda_driver *cu = device->cu;
  CUgraph graph = NULL;
  gh_launch *launch = NULL;
  if (out) *out = NULL;
  if (!device->capturing) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no capture has begun", device->id);
  device->capturing = false;
  gh_status status = gh_cuda_enter(err, device);
  if (status) return status;
  unsigned code = cu->cuStreamEndCapture(device->stream, &graph);
  if (!out) goto done; /* discarded: the result does not matter */
  if (code || !graph) {
    status = gh_cuda_fail(err, cu, code, "%s: the end of a capture", device->id);
    goto done;
  }
  launch = gh_cuda_launch_new(err, d, "captured");
  if (!launch) {
    status = GH_ERROR_MEMORY;
    goto done;
  }
  code = cu->cuGraphInstantiateWithFlags(&launch->of.graph, graph, 0);
  if (code) {
    status = gh_cuda_fail(err, cu, code, "%s: a captured step", device->id);
    goto done;
  }
  launch->enqueue = enqueue_graph;
  launch->release = release_graph;
  d->counters.binds++;
  *out = launch;
  launch = NULL;
done:
  gh_cuda_launch_free(launch);
  if (graph) cu->cuGraphDestroy(graph);
  return status;
}
