/* genhance compare: the same steps on two devices. */
#include "compare/compare.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Splits "A,B"; the caller frees *text. */
static gh_status split_devices(gh_error *err, const char *given, char **text, const char *devices[2]) {
  *text = gh_strdup(err, given);
  if (!*text) return GH_ERROR_MEMORY;
  char *comma = strchr(*text, ',');
  if (!comma || comma == *text || !comma[1] || strchr(comma + 1, ','))
    return gh_fail(err, GH_ERROR_ARGUMENT,
                   "compare: --devices is \"%s\"; expected two devices, for example opencl:0/cpu,opencl:1", given);
  *comma = 0;
  devices[0] = *text;
  devices[1] = comma + 1;
  return GH_OK;
}

static gh_status read_tolerance(gh_error *err, const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  if (end != text && !*end && isfinite(*out) && *out >= 0) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "compare: --tolerance is \"%s\"; expected a number of at least 0", text);
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_config config = {0};
  gh_compare_options options = {.steps = gh_args_int(args, "steps"), .stage = (int)gh_args_int(args, "stage")};
  const gh_strings *sets = gh_args_list(args, "set");
  char *devices = NULL;
  if (gh_args_given(args, "device"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "compare: --device is not supported; use --devices A,B");
  gh_status status = read_tolerance(err, gh_args_text(args, "tolerance"), &options.tolerance);
  if (!status) status = split_devices(err, gh_args_text(args, "devices"), &devices, options.devices);
  if (!status)
    status = gh_config_read(err, &config, gh_args_text(args, "config"), (const char *const *)sets->items, sets->count);
  if (!status) status = gh_compare(err, &config, &options, args->result);
  gh_config_free(&config);
  free(devices);
  return status;
}

static const gh_option options[] = {
    {"config", "RUN.json", GH_OPTION_TEXT, .help = "the run's configuration", .required = true},
    {"devices", "A,B", GH_OPTION_TEXT, .help = "the two devices; opencl:0/cpu and opencl:0/gpu count as two",
     .required = true},
    {"steps", "N", GH_OPTION_INT, .help = "updates per stage", .initial = "10", .least = 1, .most = 1000000},
    {"stage", "N", GH_OPTION_INT, .help = "compare only this stage", .least = 1, .most = 2},
    {"tolerance", "X", GH_OPTION_TEXT, .help = "largest relative difference of a loss", .initial = "1e-4"},
    {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key of the configuration"},
    {0},
};

const gh_command gh_command_compare = {
    .name = "compare",
    .summary = "measure how far two devices diverge in the same steps",
    .details =
        "Trains the same steps on both devices and reports how far they diverge, and which op causes it. Each stage "
        "starts from the configuration's "
        "weights. After the last step, or once the losses diverge, one more "
        "step runs op by op on both devices with equal inputs. The exit code is 1 if the losses diverge or an op "
        "differs by more than rounding explains. No file is written except --json FILE.",
    .run = run,
    .options = options,
};
