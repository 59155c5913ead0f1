/* genhance tune: the fastest providers of a run's work, found before the run. */
#include "backend/chooser/tune.h"
#include "backend/registry.h"
#include "bench/step.h"
#include "cli/run_options.h"
#include "method/setup.h"
#include "models/archs.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_ARCH "openai-vit-l-14-224"

/* ---- the run ---- */

/* Without a configuration: the default one, and the sizes of an architecture. */
static gh_status read_config(gh_error *err, const gh_args *args, gh_config *config, const gh_arch **arch) {
  const char *path = gh_args_text(args, "config"), *name = gh_args_text(args, "arch");
  const gh_strings *sets = gh_args_list(args, "set");
  *arch = NULL;
  if (path && name) return gh_fail(err, GH_ERROR_ARGUMENT, "tune: --config names the encoder; give it without --arch");
  if (path) return gh_config_read(err, config, path, (const char *const *)sets->items, sets->count);
  const gh_bench_options options = {.arch = name ? name : DEFAULT_ARCH, .sets = *sets};
  gh_status status = gh_arch_find(err, options.arch, arch);
  return status ? status : gh_bench_config(err, &options, config);
}

/* ---- what was found ---- */

static const char *const hows[] = {[GH_TUNE_LEFT] = "left out",
                                   [GH_TUNE_KNOWN] = "known",
                                   [GH_TUNE_CHECKED] = "imported",
                                   [GH_TUNE_SEARCHED] = "searched",
                                   [GH_TUNE_FAILED] = "failed"};
static const char *const how_keys[] = {"left_out", "known", "imported", "searched", "failed"};

static gh_status put_time(gh_error *err, gh_json *to, const char *key, double seconds) {
  return seconds > 0 ? gh_json_put_double(err, to, key, seconds) : gh_json_put_null(err, to, key);
}

static gh_status put_shape(gh_error *err, gh_json *list, const gh_tune_shape *s) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  if (!o || gh_json_put_string(err, o, "kind", s->kind->name) || gh_json_put_string(err, o, "shape", s->shape) ||
      gh_json_put_string(err, o, "result", hows[s->how]) || gh_json_put_int(err, o, "launches", s->launches) ||
      gh_json_put_int(err, o, "providers_tried", s->tried) || put_time(err, o, "seconds", s->seconds) ||
      put_time(err, o, "untuned_seconds", s->untuned))
    return err->status;
  return *s->provider ? gh_json_put_string(err, o, "provider", s->provider) : gh_json_put_null(err, o, "provider");
}

static gh_status add_row(gh_error *err, gh_strings *cells, const gh_tune_shape *s) {
  if (gh_cell(err, cells, "%s", s->shape) || gh_cell(err, cells, "%d", s->launches) ||
      gh_cell(err, cells, "%s", *s->provider ? s->provider : "-"))
    return err->status;
  gh_status status = s->seconds > 0 ? gh_cell(err, cells, "%.3f", 1e3 * s->seconds) : gh_cell(err, cells, "-");
  if (!status)
    status = s->seconds > 0 && s->untuned > 0 ? gh_cell(err, cells, "%.2f", s->untuned / s->seconds)
                                              : gh_cell(err, cells, "-");
  return status ? status : gh_cell(err, cells, "%s", hows[s->how]);
}

static gh_status put_imported(gh_error *err, gh_json *result, const gh_tuned_counts *c) {
  const struct {
    const char *key;
    int64_t value;
  } counts[] = {{"of_this_device", c->own},
                {"of_other_devices", c->others},
                {"already_known", c->known},
                {"of_other_kernels", c->other_kernels},
                {"unknown", c->unknown}};
  gh_json *o = gh_json_put_object(err, result, "import");
  gh_status status = o ? GH_OK : err->status;
  for (size_t i = 0; i < GH_COUNT(counts) && !status; i++)
    status = gh_json_put_int(err, o, counts[i].key, counts[i].value);
  printf("imported: %lld results of this device, %lld of others; left out: %lld already known, %lld of other kernels, "
         "%lld unknown\n",
         (long long)c->own, (long long)c->others, (long long)c->known, (long long)c->other_kernels,
         (long long)c->unknown);
  return status;
}

static gh_status put_counts(gh_error *err, gh_json *result, const gh_tune_shape *shapes, size_t count) {
  int64_t counts[GH_COUNT(hows)] = {0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < count; i++) counts[shapes[i].how]++;
  for (size_t i = 0; i < GH_COUNT(hows) && !status; i++) status = gh_json_put_int(err, result, how_keys[i], counts[i]);
  printf("%zu shapes: %lld searched, %lld known, %lld imported, %lld left out, %lld failed\n", count,
         (long long)counts[GH_TUNE_SEARCHED], (long long)counts[GH_TUNE_KNOWN], (long long)counts[GH_TUNE_CHECKED],
         (long long)counts[GH_TUNE_LEFT], (long long)counts[GH_TUNE_FAILED]);
  return status;
}

static gh_status report(gh_error *err, const gh_args *args, const gh_device_info *d, const gh_tune *t) {
  static const char *const heads[] = {"shape", "launches", "provider", "ms", "speed-up", "result"};
  size_t count;
  gh_strings cells = {0};
  const gh_tune_shape *shapes = gh_tune_shapes(t, &count);
  gh_status status = gh_json_put_string(err, args->result, "device", d->id);
  if (!status) status = gh_json_put_string(err, args->result, "device_name", d->name);
  if (!status) status = gh_json_put_string(err, args->result, "driver", d->driver);
  gh_json *list = status ? NULL : gh_json_put_array(err, args->result, "shapes");
  if (!list) return err->status;
  for (size_t i = 0; i < count && !status; i++) {
    status = put_shape(err, list, &shapes[i]);
    if (!status) status = add_row(err, &cells, &shapes[i]);
  }
  if (!status) gh_print_table(heads, "lrlrrl", (int)GH_COUNT(heads), &cells);
  gh_strings_free(&cells);
  if (!status && gh_args_given(args, "import")) status = put_imported(err, args->result, gh_tune_imported(t));
  return status ? status : put_counts(err, args->result, shapes, count);
}

/* ---- the command ---- */

static gh_status tune(gh_error *err, const gh_args *args, const gh_config *config, const gh_arch *arch,
                      gh_device *device) {
  const gh_tune_options options = {.minutes = gh_args_real(args, "minutes"),
                                   .import = gh_args_text(args, "import"),
                                   .export = gh_args_text(args, "export")};
  gh_tune *t = NULL;
  gh_status status = gh_tune_begin(err, &t, device);
  if (!status)
    status = gh_train_choose(err, config, device, arch ? &arch->vision : NULL, arch && !strcmp(arch->name, "tiny"));
  if (!status) status = gh_tune_run(err, t, &options);
  if (!status || status == GH_ERROR_STOPPED) {
    gh_error second = {0};
    const gh_status reported = report(&second, args, &device->info, t);
    if (!status && reported) *err = second, status = reported;
  }
  gh_tune_free(t);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_config config;
  const gh_arch *arch;
  gh_device *device = NULL;
  gh_stop_install();
  gh_status status = gh_output_check(err, args, "export");
  if (!status) status = read_config(err, args, &config, &arch);
  if (status) return status;
  status = gh_run_device(err, args, &config.device);
  if (!status) status = gh_setup_device(err, config.device, false, &device);
  if (!status) status = tune(err, args, &config, arch, device);
  gh_device_close(device);
  gh_config_free(&config);
  return status;
}

static const gh_option options[] = {
    {"config", "RUN.json", GH_OPTION_TEXT, .help = "the run whose work to search (default: one with --arch)"},
    {"arch", "NAME", GH_OPTION_TEXT,
     .help = "encoder of a default run; `genhance init --help` lists them (default: " DEFAULT_ARCH ")"},
    {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key, for example precision=bf16"},
    {"minutes", "N", GH_OPTION_REAL, .help = "time limit: the most work first", .most = 100000},
    {"export", "FILE", GH_OPTION_TEXT, .help = "write all results that are known here, of other devices, too"},
    {"import", "FILE", GH_OPTION_TEXT, .help = "first add the results of such a file"},
    {0},
};

const gh_command gh_command_tune = {
    .name = "tune",
    .summary = "search the fastest kernels for a run, before it",
    .details =
        "Checks and times every kernel variant for the matrix products and attention of both stages on this device; "
        "`train` by itself tries a few. Later runs of that device, driver and kernels use what was found. A search "
        "that is "
        "stopped, killed or out of time goes on where it was. Imported results of the same device are checked "
        "and kept; those of another device are tried first. What is wrong on this device is never kept.",
    .run = run,
    .ranks = GH_RANKS_EACH,
    .options = options,
};
