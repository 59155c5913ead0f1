/* genhance probe: computes one training step on given tensors. */
#include "method/probe.h"
#include "cli/cli.h"
#include "cli/run_options.h"

static gh_status run(gh_error *err, const gh_args *args) {
  gh_config config;
  const gh_strings *sets = gh_args_list(args, "set");
  gh_status status =
      gh_config_read(err, &config, gh_args_text(args, "config"), (const char *const *)sets->items, sets->count);
  if (status) return status;
  status = gh_run_device(err, args, &config.device);
  if (!status)
    status = gh_probe(err, &config, (int)gh_args_int(args, "stage"), gh_args_text(args, "inputs"),
                      gh_args_text(args, "out"));
  gh_config_free(&config);
  return status;
}

static const char *inputs_of(const gh_objective *objective) { return objective->probe_inputs; }

static gh_status list_inputs(gh_error *err, gh_strings *lines) { return gh_details_of_kinds(err, lines, inputs_of); }

static const gh_option options[] = {
    {"config", "RUN.json", GH_OPTION_TEXT, .help = "the run's configuration", .required = true},
    {"inputs", "IN.safetensors", GH_OPTION_TEXT, .help = "inputs of the step", .required = true},
    {"out", "OUT.safetensors", GH_OPTION_TEXT, .help = "file for loss, condition, targets, prediction and gradients",
     .required = true},
    {"stage", "N", GH_OPTION_INT, .help = "1: denoiser and projectors; 2: encoder", .initial = "1", .least = 1,
     .most = 2},
    {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key of the configuration"},
    {0},
};

const gh_command gh_command_probe = {
    .name = "probe",
    .summary = "compute one training step on given tensors",
    .details = "Computes the loss and every gradient. The inputs depend on the kind of denoiser; every kind takes "
               "dropout_mask.<module>.lora_A.weight, which is optional.",
    .more_details = list_inputs,
    .run = run,
    .options = options,
};
