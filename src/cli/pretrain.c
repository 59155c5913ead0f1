/* genhance pretrain: trains models that a run needs and its user may not have. */
#include "train/pretrain.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/run_options.h"

#include <stdio.h>

/* --keys in place of the configuration's. */
static gh_status choose_keys(gh_error *err, const gh_args *args, gh_strings *keys) {
  gh_strings given = {0};
  gh_status status = gh_keys_of(err, &given, args);
  if (status || !given.count) {
    gh_strings_free(&given);
    return status;
  }
  gh_strings_free(keys);
  *keys = given;
  return GH_OK;
}

static gh_status pretrain(gh_error *err, const gh_args *args, const gh_pretrain_kind *kind) {
  gh_pretrain_config config;
  gh_stage_report report;
  const gh_strings *sets = gh_args_list(args, "set");
  const gh_train_options options = gh_run_options(args);
  gh_status status = gh_pretrain_config_read(err, &config, kind, gh_args_text(args, "config"),
                                             (const char *const *)sets->items, sets->count);
  if (status) return status;
  status = choose_keys(err, args, &config.data.keys);
  if (!status) status = gh_run_device(err, args, &config.device);
  gh_stop_install();
  if (!status) status = gh_pretrain(err, &config, &options, &report);
  if (!status) {
    gh_print_line("%s: loss %.4f at the start, %.4f at the end (%lld updates, %.1f s); %s/%s%s", kind->name,
                  report.first_loss, report.last_loss, (long long)report.updates, report.seconds, config.output,
                  kind->name, kind->ending);
    if (gh_json_put_double(err, args->result, "first_loss", report.first_loss) ||
        gh_json_put_double(err, args->result, "last_loss", report.last_loss) ||
        gh_json_put_double(err, args->result, "seconds", report.seconds))
      status = err->status;
  }
  gh_pretrain_config_free(&config);
  return status;
}

static gh_status autoencoder(gh_error *err, const gh_args *args) {
  return pretrain(err, args, &gh_pretrain_autoencoder);
}

static gh_status vqgan(gh_error *err, const gh_args *args) { return pretrain(err, args, &gh_pretrain_vqgan); }

static gh_status clip(gh_error *err, const gh_args *args) { return pretrain(err, args, &gh_pretrain_clip); }

#define OPTIONS(name, example)                                                                                         \
  static const gh_option name[] = {                                                                                    \
      {"config", "FILE", GH_OPTION_TEXT, .help = "JSON configuration; " example " shows every key", .required = true}, \
      {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key of the configuration"},                             \
      GH_KEYS_OPTION,                                                                                                  \
      GH_RUN_OPTIONS,                                                                                                  \
      {0},                                                                                                             \
  }

OPTIONS(autoencoder_options, "configs/autoencoder-tiny.json");
OPTIONS(vqgan_options, "configs/vqgan-tiny.json");
OPTIONS(clip_options, "configs/pretrain-clip.json");

const gh_command gh_command_pretrain_autoencoder = {
    .name = "pretrain autoencoder",
    .summary = "train an autoencoder with FLUX's layout on images",
    .run = autoencoder,
    .options = autoencoder_options,
};

const gh_command gh_command_pretrain_vqgan = {
    .name = "pretrain vqgan",
    .summary = "train a VQ-GAN for the discrete denoiser on images",
    .run = vqgan,
    .options = vqgan_options,
};

const gh_command gh_command_pretrain_clip = {
    .name = "pretrain clip",
    .summary = "train a small CLIP on pictures with captions",
    .run = clip,
    .options = clip_options,
};
