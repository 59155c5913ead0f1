/* genhance reconstruct: pictures sampled from the global token of a run's encoder. */
#include "eval/reconstruct.h"
#include "cli/cli.h"
#include "train/run.h"
#include "train/setup.h"

#include <stdio.h>
#include <string.h>

typedef struct gh_job {
  const gh_args *args;
  gh_device *device;
  gh_config config;
  gh_snapshot snapshot;
  gh_models models;
  gh_source *source;
  gh_reconstruction result;
} gh_job;

/* What the run trained, and where it stands. */
static gh_status open_run(gh_error *err, gh_job *job) {
  const char *run = gh_args_text(job->args, "run");
  gh_status status = gh_run_config(err, run, &job->config);
  if (!status && job->config.denoiser.kind != GH_DENOISER_CONTINUOUS)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "reconstruct: denoiser.kind \"discrete\" is not supported yet");
  if (!status && job->config.local_tokens != 0)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "reconstruct: condition.local_tokens is not supported yet");
  if (!status) status = gh_run_snapshot(err, run, gh_args_text(job->args, "snapshot"), &job->snapshot);
  if (!status && !job->snapshot.denoiser && !job->config.denoiser.weights)
    status = gh_fail(err, GH_ERROR_FILE, "%s: the run has no denoiser", run);
  if (!status) status = gh_models_open(err, &job->models, &job->config, job->snapshot.denoiser, job->snapshot.adapter);
  return status;
}

/* The encoder is given back before the denoiser comes: they need not fit together. */
static gh_status gather(gh_error *err, gh_job *job) {
  gh_embedder embedder = {0};
  const gh_embed_options how = {.adapter = job->snapshot.adapter,
                                .encoder = job->snapshot.encoder,
                                .batch =
                                    GH_MIN(gh_args_int(job->args, "limit"), (int64_t)gh_source_count(job->source))};
  gh_status status = gh_embedder_open(err, &embedder, job->device, job->config.clip, &how);
  if (!status) status = gh_reconstruct_gather(err, &job->result, &embedder, job->source);
  gh_embedder_close(&embedder);
  return status;
}

static gh_status sample(gh_error *err, gh_job *job) {
  const gh_models *m = &job->models;
  int64_t side = m->clip.image / (2 * gh_vae_factor(&m->vae));
  const gh_sampler_spec spec = {.device = job->device,
                                .flux = m->flux,
                                .vae = m->vae,
                                .denoiser = m->denoiser_file,
                                .autoencoder = m->vae_file,
                                .batch = job->result.batch,
                                .width = job->result.width,
                                .tokens = side * side,
                                .noise_at_one = job->config.timestep.convention == GH_TIME_NOISE_AT_ONE};
  gh_sampler sampler = {0};
  if (m->clip.image % (2 * gh_vae_factor(&m->vae)))
    return gh_fail(err, GH_ERROR_CONFIG, "the encoder's image size %d does not fit the autoencoder", m->clip.image);
  gh_status status = gh_sampler_open(err, &sampler, &spec);
  if (!status) status = gh_reconstruct_sample(err, &job->result, &sampler, (uint64_t)gh_args_int(job->args, "seed"));
  gh_sampler_close(&sampler);
  return status;
}

static gh_status report(gh_error *err, const gh_job *job) {
  static const char *const heads[] = {"image", "PSNR dB"};
  const gh_reconstruction *r = &job->result;
  const char *out = gh_args_text(job->args, "out");
  gh_strings cells = {0};
  gh_json *list = gh_json_put_array(err, job->args->result, "images");
  gh_status status = list ? GH_OK : err->status;
  for (int64_t i = 0; i < r->count && !status; i++) {
    const char *name = r->names.items[i];
    double psnr = gh_reconstruction_psnr(r, i);
    gh_json *item = gh_json_put_object(err, list, NULL);
    bool valid = gh_utf8_valid(name, strlen(name)); /* a file's name may hold any bytes, JSON cannot */
    if (!item || (valid && gh_json_put_string(err, item, "name", name)) ||
        gh_json_put_double(err, item, "psnr", psnr) || gh_cell(err, &cells, "%s", name) ||
        gh_cell(err, &cells, "%.2f", psnr))
      status = err->status;
  }
  if (!status) status = gh_json_put_int(err, job->args->result, "stage", job->snapshot.stage);
  if (!status) status = gh_json_put_int(err, job->args->result, "update", job->snapshot.update);
  if (!status) {
    gh_print_table(heads, "lr", 2, &cells);
    printf("\n%s: after update %lld of stage %d\n", out, (long long)job->snapshot.update, job->snapshot.stage);
  }
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_job job = {.args = args};
  const char *given = gh_args_given(args, "device") ? gh_args_text(args, "device") : NULL;
  gh_status status = gh_check_output(err, args, "out");
  if (!status) status = gh_source_open(err, &job.source, gh_args_text(args, "images"));
  if (!status) gh_source_warn(job.source);
  if (!status) status = open_run(err, &job);
  if (!status) status = gh_device_open(err, given ? given : job.config.device, &job.device);
  if (!status) status = gather(err, &job);
  if (!status) status = sample(err, &job);
  if (!status) status = gh_reconstruction_write(err, gh_args_text(args, "out"), &job.result);
  if (!status) status = report(err, &job);
  gh_reconstruction_free(&job.result);
  gh_device_close(job.device);
  gh_models_close(&job.models);
  gh_snapshot_free(&job.snapshot);
  gh_config_free(&job.config);
  gh_source_free(job.source);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run", .required = true},
    {"images", "PATH", GH_OPTION_TEXT, .help = "folder of images, .tar shards, or one image", .required = true},
    {"out", "GRID.png", GH_OPTION_TEXT, .help = "picture to write: originals left, reconstructions right",
     .required = true},
    {"snapshot", "NAME", GH_OPTION_TEXT, .help = "as stage2-00000050; otherwise the newest one"},
    {"seed", "N", GH_OPTION_INT, .help = "of the noise to start from", .initial = "0"},
    {"limit", "N", GH_OPTION_INT, .help = "the first N images", .initial = "8", .least = 1, .most = 256},
    {0},
};

const gh_command gh_command_reconstruct = {
    .name = "reconstruct",
    .summary = "sample images from the encoder's global token, by a run's denoiser",
    .details =
        "Twenty Euler steps over FLUX's time-shifted schedule at the run's guidance. The run's config.json names its\n"
        "model files: call it from the folder where the run was started if the paths are relative.",
    .run = run,
    .options = options,
};
