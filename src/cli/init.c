/* genhance init: a model folder with random weights. */
#include "cli/cli.h"
#include "models/archs.h"

#include <stdio.h>

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_arch *arch = NULL;
  const char *folder = gh_args_text(args, "out");
  if (gh_arch_find(err, gh_args_text(args, "arch"), &arch) ||
      gh_arch_write(err, arch, folder, (uint64_t)gh_args_int(args, "seed")))
    return err->status;
  int64_t parameters = gh_arch_parameters(arch);
  printf("%s: %s, %lld parameters, random\n", folder, arch->name, (long long)parameters);
  if (gh_json_put_string(err, args->result, "arch", arch->name) ||
      gh_json_put_string(err, args->result, "folder", folder) ||
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
               "The same seed gives the same bytes on every machine. Transformers opens the folder with\n"
               "CLIPModel.from_pretrained; a tokenizer is not part of it.",
    .run = run,
    .options = options,
};
