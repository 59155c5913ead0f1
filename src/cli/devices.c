/* genhance devices: lists the devices. */
#include "backend/built_in.h"
#include "backend/registry.h"
#include "cli/cli.h"
#include "cli/identity.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEVICES 64

static gh_status put_device(gh_error *err, gh_json *list, const gh_device_info *d) {
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
  if (!device) return err->status;
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    if (gh_json_put_string(err, device, texts[i].key, texts[i].value)) return err->status;
  for (size_t i = 0; i < GH_COUNT(numbers); i++)
    if (gh_json_put_int(err, device, numbers[i].key, numbers[i].value)) return err->status;
  return gh_identity_put(err, device, d);
}

static gh_status add_row(gh_error *err, gh_strings *cells, const gh_device_info *d) {
  char memory[32];
  gh_bytes_text(memory, sizeof memory, d->memory_bytes);
  if (gh_cell(err, cells, "%s", d->id) || gh_cell(err, cells, "%s", d->is_cpu ? "CPU" : "GPU") ||
      gh_cell(err, cells, "%d", d->compute_units) || gh_cell(err, cells, "%s", memory) ||
      gh_cell(err, cells, "%s", d->platform) || gh_cell(err, cells, "%s", d->name))
    return err->status;
  return GH_OK;
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
  static const char *const heads[] = {"device", "kind", "units", "memory", "platform", "name"};
  gh_device_info infos[MAX_DEVICES];
  char notes[1024], joined[1024];
  const char *only = gh_args_text(args, "device");
  gh_devices_prepare(true);
  int found = GH_MIN(gh_device_list(infos, MAX_DEVICES, notes, sizeof notes), MAX_DEVICES);
  gh_join_notes(notes, joined, sizeof joined);
  if (!found) return gh_fail(err, GH_ERROR_DEVICE, "no device: %s", joined);
  if (gh_device_known(err, only)) return err->status; /* its error lists those that exist */
  int count = pick(infos, found, only);
  gh_strings cells = {0};
  gh_json *list = gh_json_put_array(err, args->result, "devices");
  gh_status status = list ? GH_OK : err->status;
  for (int i = 0; i < count && !status; i++) {
    status = put_device(err, list, &infos[i]);
    if (!status) status = add_row(err, &cells, &infos[i]);
  }
  if (!status) {
    gh_print_table(heads, "llrrll", (int)GH_COUNT(heads), &cells);
    for (int i = 0; i < count && gh_args_flag(args, "verbose"); i++) print_verbose(&infos[i]);
    if (gh_args_flag(args, "verbose")) print_built_in();
    if (*notes) printf("\n%s", notes);
    gh_identity_print_order();
  }
  gh_strings_free(&cells);
  return status;
}

static const gh_option options[] = {
    {"verbose", NULL, GH_OPTION_FLAG, .help = "print all properties of each device"},
    {0},
};

const gh_command gh_command_devices = {
    .name = "devices",
    .summary = "list the available devices",
    .run = run,
    .options = options,
};
