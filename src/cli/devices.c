/* genhance devices: lists the devices. */
#include "backend/built_in.h"
#include "backend/pci.h"
#include "backend/registry.h"
#include "cli/cli.h"
#include "cli/fits.h"
#include "cli/identity.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEVICES 64

/* Returns the new object; NULL after a failure. */
static gh_json *put_device(gh_error *err, gh_json *list, const gh_device_info *d) {
  const struct {
    const char *key, *value;
  } texts[] = {{"id", d->id},
               {"name", d->name},
               {"platform", d->platform},
               {"driver", d->driver},
               {"kind", d->is_cpu ? "cpu" : "gpu"},
               {"kernel_shape", d->shape == GH_SHAPE_CPU ? "cpu" : "gpu"}};
  const struct {
    const char *key;
    int64_t value;
  } numbers[] = {
      {"compute_units", d->compute_units}, {"memory_bytes", d->memory_bytes}, {"max_buffer_bytes", d->max_buffer_bytes},
      {"local_bytes", d->local_bytes},     {"max_group", d->max_group},       {"alignment_bytes", d->alignment_bytes}};
  gh_json *device = gh_json_put_object(err, list, NULL);
  gh_status status = device ? GH_OK : err->status;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++)
    status = gh_json_put_string(err, device, texts[i].key, texts[i].value);
  for (size_t i = 0; i < GH_COUNT(numbers) && !status; i++)
    status = gh_json_put_int(err, device, numbers[i].key, numbers[i].value);
  if (!status) status = gh_identity_put(err, device, d);
  return status ? NULL : device;
}

static gh_status add_row(gh_error *err, gh_strings *cells, const gh_device_info *d) {
  char memory[32];
  gh_bytes_text(memory, sizeof memory, d->memory_bytes);
  const char *unit = gh_identity_matrix_unit(d);
  const char *const texts[] = {d->id,
                               d->is_cpu ? "CPU" : "GPU",
                               memory,
                               unit ? unit : "none",
                               gh_identity_bf16(d),
                               gh_identity_f16(d),
                               d->unfit ? "no" : "yes",
                               d->platform,
                               d->name};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++) status = gh_cell(err, cells, "%s", texts[i]);
  return status;
}

static void print_verbose(const gh_device_info *d) {
  char memory[32], buffer[32], local[32];
  gh_bytes_text(memory, sizeof memory, d->memory_bytes);
  gh_bytes_text(buffer, sizeof buffer, d->max_buffer_bytes);
  gh_bytes_text(local, sizeof local, d->local_bytes);
  printf("\n%s\n", d->id);
  printf("  name              %s\n  platform          %s\n  driver            %s\n", d->name, d->platform, d->driver);
  printf("  kind              %s, %s kernels\n", d->is_cpu ? "CPU" : "GPU", d->shape == GH_SHAPE_CPU ? "CPU" : "GPU");
  printf("  compute units     %d\n  memory            %s\n  largest buffer    %s\n", d->compute_units, memory, buffer);
  if (d->unfit) printf("  small tests only  %s\n", d->unfit);
  printf("  local memory      %s\n  largest group     %lld work-items\n  alignment         %lld B\n", local,
         (long long)d->max_group, (long long)d->alignment_bytes);
  gh_identity_print(d);
}

/* GPUs that no driver offers: a device with that address is enough, and without addresses, one of that vendor. */
static bool is_offered(const gh_pci_gpu *gpu, const gh_device_info *infos, int count) {
  for (int i = 0; i < count; i++) {
    const gh_device_identity *own = &infos[i].identity;
    if (*own->pci ? gh_identity_is(own, gpu->address) : !infos[i].is_cpu && own->vendor_id == gpu->vendor) return true;
  }
  return false;
}

static void print_bus(const gh_device_info *infos, int count) {
  gh_pci_gpu gpus[MAX_DEVICES];
  const int found = gh_pci_gpus(gpus, MAX_DEVICES);
  for (int i = 0; i < found; i++) {
    char why[128];
    if (is_offered(&gpus[i], infos, count)) continue;
    gh_pci_obstacle(why, sizeof why, &gpus[i]);
    printf("\n%s at %s is no device: %s; see %s\n", gh_pci_kind(gpus[i].vendor), gpus[i].address,
           *why ? why : "no driver offers it", gh_vendor_page(gpus[i].vendor));
  }
}

static void print_built_in(void) {
  printf("\nthis build\n");
  for (const gh_built_in *b = gh_built_ins; b->name; b++)
    printf("  %-17s %s: %s\n", b->name, b->present ? "yes" : "no", b->use);
}

/* Keeps the device named `only`, or all for "auto"; returns how many it keeps. */
static int pick(gh_device_info *infos, int count, const char *only) {
  int kept = 0;
  size_t length = strcspn(only, "/"); /* a kernel shape may follow */
  char id[64];
  snprintf(id, sizeof id, "%.*s", (int)GH_MIN(length, sizeof id), only);
  bool all = !strcmp(id, "auto");
  for (int i = 0; i < count; i++)
    if (all || gh_device_is_named(&infos[i], id)) infos[kept++] = infos[i];
  return kept;
}

static gh_status run(gh_error *err, const gh_args *args) {
  static const char *const heads[] = {"device",  "kind",   "memory",   "matrix unit", "bf16",
                                      "float16", "trains", "platform", "name"};
  gh_device_info infos[MAX_DEVICES];
  char notes[2048], joined[1024];
  const char *only = gh_args_text(args, "device");
  gh_devices_prepare(true);
  int found = GH_MIN(gh_device_list(infos, MAX_DEVICES, notes, sizeof notes), MAX_DEVICES);
  gh_join_notes(notes, joined, sizeof joined);
  if (!found) return gh_device_none(err, joined);
  if (gh_device_known(err, only)) return err->status; /* its error lists those that exist */
  int count = pick(infos, found, only);
  gh_strings cells = {0}, fits = {0};
  const bool verbose = gh_args_flag(args, "verbose");
  gh_json *list = gh_json_put_array(err, args->result, "devices");
  gh_status status = list ? GH_OK : err->status;
  for (int i = 0; i < count && !status; i++) {
    gh_json *device = put_device(err, list, &infos[i]);
    status = device ? gh_fits_add(err, device, &fits, &infos[i], verbose) : err->status;
    if (!status) status = add_row(err, &cells, &infos[i]);
  }
  if (!status) {
    gh_print_table(heads, "llrllllll", (int)GH_COUNT(heads), &cells);
    printf("\n");
    gh_print_table(gh_fits_heads, GH_FITS_ALIGN, GH_FITS_COLUMNS, &fits);
    for (int i = 0; i < count && verbose; i++) print_verbose(&infos[i]);
    if (verbose) print_built_in();
    if (*notes) printf("\n%s", notes);
    print_bus(infos, found);
    gh_identity_print_order();
  }
  gh_strings_free(&cells);
  gh_strings_free(&fits);
  return status;
}

const gh_command gh_command_devices = {
    .name = "devices",
    .summary = "list the devices, and what each can train",
    .details =
        "The second table plans updates of 256 samples with the published denoiser, as `train` would: micro_batch and "
        "memory.recompute \"auto\", in float32, else in mixed precision, else with less memory: memory.master_weights "
        "and "
        "memory.gradients \"bfloat16\" and memory.moments \"8bit\". --verbose plans every published setting. "
        "Nothing is allocated. A driver that is installed and fails, and a GPU that no driver offers, are named.",
    .run = run,
    .ranks = GH_RANKS_EACH,
};
