/* genhance init: writes a model folder with random weights. */
#include "backend/registry.h"
#include "base/file.h"
#include "cli/cli.h"
#include "io/tokenizer.h"
#include "models/family.h"
#include "models/flux_vae.h"
#include "models/vqgan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- autoencoders ---- */

typedef struct gh_autoencoder_arch {
  const char *name, *file, *summary;
  const gh_vqgan_config *vqgan; /* NULL: FLUX's autoencoder */
} gh_autoencoder_arch;

static const gh_autoencoder_arch autoencoders[] = {
    {"flux-autoencoder", "ae.safetensors", "the autoencoder of the continuous denoiser", NULL},
    {"vqgan-f16-16384", "vqgan.safetensors", "the VQ-GAN of the discrete denoiser", &gh_vqgan_f16},
    {"vqgan-f16-1024", "vqgan.safetensors", "the same with 1024 codes", &gh_vqgan_f16_1024},
    {"tiny-vqgan", "vqgan.safetensors", "a small one, for tests and first steps", &gh_vqgan_tiny}};

static const gh_autoencoder_arch *find_autoencoder(const char *name) {
  for (size_t i = 0; i < GH_COUNT(autoencoders); i++)
    if (!strcmp(name, autoencoders[i].name)) return &autoencoders[i];
  return NULL;
}

static gh_status write_autoencoder(gh_error *err, const gh_args *args, const gh_autoencoder_arch *arch,
                                   const char *folder, int64_t *parameters) {
  const uint64_t seed = (uint64_t)gh_args_int(args, "seed");
  gh_device *device = NULL;
  char *path = gh_path_join(err, folder, arch->file);
  gh_status status = path ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) /* it may be a published one */
    status = gh_fail(err, GH_ERROR_FILE, "%s: already exists; not overwritten", path);
  if (!status) status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (!status)
    status = arch->vqgan ? gh_vqgan_write(err, device, arch->vqgan, seed, path, parameters)
                         : gh_vae_write(err, device, &gh_vae_flux, seed, path, parameters);
  gh_device_close(device);
  free(path);
  return status;
}

/* ---- encoders ---- */

/* Without this check, a tokenizer with more tokens than the model would fail only when text is encoded. */
static gh_status check_tokenizer(gh_error *err, const gh_arch *arch, const char *folder) {
  gh_tokenizer *tokenizer = NULL;
  gh_status status = gh_tokenizer_open(err, &tokenizer, folder);
  if (status) return status;
  int64_t known = gh_tokenizer_vocabulary(tokenizer);
  gh_tokenizer_close(tokenizer);
  if (known <= arch->text.vocabulary) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: the tokenizer has %lld tokens, %s supports only %d", folder,
                 (long long)known, arch->name, arch->text.vocabulary);
}

static gh_status write_encoder(gh_error *err, const gh_args *args, const char *folder, int64_t *parameters) {
  const gh_arch *arch = NULL;
  const char *tokenizer = gh_args_text(args, "tokenizer");
  if (gh_arch_find(err, gh_args_text(args, "arch"), &arch) || (tokenizer && check_tokenizer(err, arch, tokenizer)) ||
      gh_arch_write(err, arch, folder, (uint64_t)gh_args_int(args, "seed")) ||
      (tokenizer && gh_tokenizer_copy(err, tokenizer, folder)))
    return err->status;
  *parameters = gh_arch_parameters(arch);
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *folder = gh_args_text(args, "out"), *name = gh_args_text(args, "arch");
  int64_t parameters = 0;
  const gh_autoencoder_arch *autoencoder = find_autoencoder(name);
  gh_status status = autoencoder ? write_autoencoder(err, args, autoencoder, folder, &parameters)
                                 : write_encoder(err, args, folder, &parameters);
  if (status) return status;
  printf("%s: %s, %lld parameters, random weights\n", folder, name, (long long)parameters);
  if (gh_json_put_string(err, args->result, "arch", name) || gh_json_put_string(err, args->result, "folder", folder) ||
      gh_json_put_int(err, args->result, "parameters", parameters) ||
      gh_json_put_int(err, args->result, "seed", gh_args_int(args, "seed")))
    return err->status;
  return GH_OK;
}

static gh_status list_archs(gh_error *err, gh_strings *lines) {
  gh_status status = gh_strings_add(err, lines, "architectures:");
  for (const gh_family *const *f = gh_families; *f && !status; f++)
    for (const gh_arch *a = (*f)->archs; a->name && !status; a++)
      status = gh_cell(err, lines, "  %-21s  %s", a->name, a->summary);
  for (size_t i = 0; i < GH_COUNT(autoencoders) && !status; i++)
    status =
        gh_cell(err, lines, "  %-21s  %s, DIR/%s", autoencoders[i].name, autoencoders[i].summary, autoencoders[i].file);
  return status;
}

static const gh_option options[] = {
    {"arch", "NAME", GH_OPTION_TEXT, .help = "architecture, listed above", .required = true},
    {"out", "DIR", GH_OPTION_TEXT, .help = "model folder to write; created if absent", .required = true},
    {"tokenizer", "DIR", GH_OPTION_TEXT, .help = "folder to copy the tokenizer files from"},
    {"seed", "N", GH_OPTION_INT, .help = "seed of the random weights", .initial = "0"},
    {0},
};

const gh_command gh_command_init = {
    .name = "init",
    .summary = "write a model folder with random weights",
    .details =
        "The folder has Hugging Face layout. The same seed gives the same bytes on every machine. transformers opens "
        "it with from_pretrained of the model's class. No tokenizer is generated; --tokenizer copies one.",
    .more_details = list_archs,
    .run = run,
    .ranks = GH_RANKS_EACH,
    .options = options,
};
