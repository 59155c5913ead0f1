/* genhance init: a model folder with random weights. */
#include "base/file.h"
#include "cli/cli.h"
#include "models/archs.h"
#include "models/flux_vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUTOENCODER "flux-autoencoder"

static gh_status write_autoencoder(gh_error *err, const gh_args *args, const char *folder, int64_t *parameters) {
  gh_device *device = NULL;
  char *path = gh_path_join(err, folder, "ae.safetensors");
  gh_status status = path ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (!status) status = gh_vae_write(err, device, &gh_vae_flux, (uint64_t)gh_args_int(args, "seed"), path, parameters);
  gh_device_close(device);
  free(path);
  return status;
}

static gh_status write_encoder(gh_error *err, const gh_args *args, const char *folder, int64_t *parameters) {
  const gh_arch *arch = NULL;
  if (gh_arch_find(err, gh_args_text(args, "arch"), &arch) ||
      gh_arch_write(err, arch, folder, (uint64_t)gh_args_int(args, "seed")))
    return err->status;
  *parameters = gh_arch_parameters(arch);
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *folder = gh_args_text(args, "out"), *name = gh_args_text(args, "arch");
  int64_t parameters = 0;
  gh_status status = strcmp(name, AUTOENCODER) ? write_encoder(err, args, folder, &parameters)
                                               : write_autoencoder(err, args, folder, &parameters);
  if (status) return status;
  printf("%s: %s, %lld parameters, random\n", folder, name, (long long)parameters);
  if (gh_json_put_string(err, args->result, "arch", name) || gh_json_put_string(err, args->result, "folder", folder) ||
      gh_json_put_int(err, args->result, "parameters", parameters) ||
      gh_json_put_int(err, args->result, "seed", gh_args_int(args, "seed")))
    return err->status;
  return GH_OK;
}

static const gh_option options[] = {
    {"arch", "NAME", GH_OPTION_TEXT, .help = "tiny, or a backbone: see above", .required = true},
    {"out", "DIR", GH_OPTION_TEXT, .help = "folder of the model, made where absent", .required = true},
    {"seed", "N", GH_OPTION_INT, .help = "of the random weights", .initial = "0"},
    {0},
};

const gh_command gh_command_init = {
    .name = "init",
    .summary = "write a model folder with random weights, in Hugging Face layout",
    .details = "\narchitectures:\n"
               "  tiny                   64 pixels, for tests and first steps\n"
               "  openai-vit-l-14-224    openai-vit-l-14-336\n"
               "  metaclip-vit-l-14-224  metaclip-vit-h-14-224\n"
               "  flux-autoencoder       writes DIR/ae.safetensors\n"
               "The same seed gives the same bytes on every machine. Transformers opens the folder with\n"
               "CLIPModel.from_pretrained; a tokenizer is not part of it.",
    .run = run,
    .options = options,
};
