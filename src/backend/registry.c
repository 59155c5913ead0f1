#include "backend/registry.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/chooser.h"
#include "backend/cuda/backend.h"
#include "backend/opencl/backend.h"
#include "backend/pci.h"
#include "base/log.h"
#include "base/text.h"

#define MAX_DEVICES 64

/* In order of preference: an NVIDIA GPU may be present in both. */
const gh_backend *const gh_backends[] = {&gh_backend_cuda, &gh_backend_opencl, NULL};

void gh_devices_prepare(bool again) {
  for (int b = 0; gh_backends[b]; b++)
    if (gh_backends[b]->prepare) gh_backends[b]->prepare(again);
}

int gh_device_list(gh_device_info *infos, int capacity, char *notes, size_t notes_size) {
  int total = 0;
  size_t used = 0;
  gh_devices_prepare(false);
  if (notes && notes_size) notes[0] = 0;
  for (int b = 0; gh_backends[b]; b++) {
    char why[1024] = "";
    int count = gh_backends[b]->device_count(why, sizeof why);
    if (*why && notes && used < notes_size) {
      int size = snprintf(notes + used, notes_size - used, "%s\n", why);
      used += size > 0 ? (size_t)size : 0;
    }
    for (int i = 0; i < count; i++) {
      gh_error ignored;
      if (total < capacity && gh_backends[b]->device_info(&ignored, i, &infos[total])) continue;
      total++;
    }
  }
  return total;
}

void gh_join_notes(const char *notes, char *out, size_t size) {
  size_t used = 0;
  if (size) out[0] = 0;
  while (*notes && used < size) {
    size_t length = strcspn(notes, "\n");
    used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? "; " : "", (int)length, notes);
    notes += length + (notes[length] == '\n');
  }
}

bool gh_device_is_named(const gh_device_info *info, const char *id) {
  const size_t backend = strcspn(info->id, ":") + 1;
  if (!strcmp(id, info->id) || gh_identity_is(&info->identity, id)) return true;
  return !strncmp(id, info->id, backend) && gh_identity_is(&info->identity, id + backend);
}

gh_status gh_device_none(gh_error *err, const char *notes) {
  return gh_fail(err, GH_ERROR_DEVICE, "no device: %s; see %s", notes, gh_pci_page());
}

static gh_status unknown_device(gh_error *err, const char *id) {
  gh_device_info infos[MAX_DEVICES];
  char lines[1024], notes[1024], names[512] = "";
  int count = gh_device_list(infos, MAX_DEVICES, lines, sizeof lines);
  gh_join_notes(lines, notes, sizeof notes);
  if (!count) return gh_device_none(err, notes);
  size_t used = 0;
  for (int i = 0; i < GH_MIN(count, MAX_DEVICES) && used < sizeof names; i++) {
    int size = snprintf(names + used, sizeof names - used, "%s%s (%s)", i ? ", " : "", infos[i].id, infos[i].name);
    used += size > 0 ? (size_t)size : 0;
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "there is no device \"%s\"; available: auto, %s%s%s", id, names,
                 *notes ? "; " : "", notes);
}

/* A parsed device id, with the shape of kernels after it. */
typedef struct named_device {
  char id[64]; /* without the shape */
  const gh_shape *shape;
  const char *suffix; /* "/gpu", or "" */
  const gh_backend *backend;
  int index;
} named_device;

static const struct {
  const char *suffix;
  gh_shape shape;
} shapes[] = {{"/cpu", GH_SHAPE_CPU}, {"/gpu", GH_SHAPE_GPU}};

static gh_status parse_name(gh_error *err, const char *id, named_device *out) {
  size_t length = strcspn(id, "/");
  *out = (named_device){.suffix = ""};
  snprintf(out->id, sizeof out->id, "%.*s", (int)GH_MIN(length, sizeof out->id), id);
  for (size_t i = 0; i < GH_COUNT(shapes); i++) {
    if (strcmp(id + length, shapes[i].suffix)) continue;
    out->shape = &shapes[i].shape;
    out->suffix = shapes[i].suffix;
  }
  if (!id[length] || out->shape) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "device \"%s\": the shape of its kernels can be /cpu or /gpu", id);
}

/* Finds the device that the id names. "auto": the first GPU, else the first device. */
static gh_status find_device(gh_error *err, const char *given, named_device *out) {
  gh_status parsed = parse_name(err, given, out);
  if (parsed) return parsed;
  const char *id = out->id;
  bool automatic = !strcmp(id, "auto"), found = false;
  gh_devices_prepare(false);
  for (int b = 0; gh_backends[b]; b++) {
    int count = gh_backends[b]->device_count(NULL, 0);
    for (int i = 0; i < count; i++) {
      gh_device_info info;
      gh_status status = gh_backends[b]->device_info(err, i, &info);
      if (status) return status;
      bool better = automatic ? !found || !info.is_cpu : gh_device_is_named(&info, id);
      if (!better) continue;
      out->backend = gh_backends[b];
      out->index = i;
      found = true;
      if (!automatic || !info.is_cpu) return GH_OK;
    }
  }
  return found ? GH_OK : unknown_device(err, given);
}

#define MAX_GPUS 64

static atomic_flag warned = ATOMIC_FLAG_INIT;

/* A CPU that "auto" found, while a GPU waits on the bus: most likely its driver is missing or broken. */
static void warn_of_cpu(const char *id) {
  gh_pci_gpu gpus[MAX_GPUS];
  char why[128];
  const int count = gh_pci_gpus(gpus, MAX_GPUS);
  if (!count || atomic_flag_test_and_set(&warned)) return;
  gh_pci_obstacle(why, sizeof why, &gpus[0]);
  gh_warn("auto chooses %s, a CPU, although %s is on the PCI bus (%s%s%s); `genhance devices` says why, and %s helps",
          id, gh_pci_kind(gpus[0].vendor), gpus[0].address, *why ? ": " : "", why, gh_vendor_page(gpus[0].vendor));
}

gh_status gh_device_known(gh_error *err, const char *id) {
  named_device named;
  return find_device(err, id, &named);
}

gh_status gh_device_open(gh_error *err, const char *id, gh_device **out) {
  *out = NULL;
  named_device named;
  gh_status status = find_device(err, id, &named);
  if (status) return status;
  gh_device *device = gh_alloc(err, 1, sizeof *device);
  if (!device) return GH_ERROR_MEMORY;
  device->backend = named.backend;
  device->wanted_shape = named.shape;
  status = named.backend->device_open(err, named.index, device);
  if (status) {
    free(device);
    return status;
  }
  device->wanted_shape = NULL;
  if (named.shape && device->info.shape != *named.shape) {
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s has no kernels of the shape %s", device->info.id, named.suffix + 1);
    gh_device_close(device);
    return status;
  }
  snprintf(device->info.id + strlen(device->info.id), sizeof device->info.id - strlen(device->info.id), "%s",
           named.suffix);
  if (device->info.is_cpu && gh_starts_with(id, "auto")) warn_of_cpu(device->info.id);
  *out = device;
  return GH_OK;
}

void gh_device_close(gh_device *device) {
  if (!device) return;
  gh_choices_free(device->choices);
  device->backend->device_close(device);
  free(device);
}
