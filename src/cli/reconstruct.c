/* genhance reconstruct: samples images from the global token of a run's encoder. */
#include "backend/registry.h"
#include "cli/cli.h"
#include "cli/run_options.h"
#include "method/redraw.h"
#include "method/setup.h"
#include "train/snapshot_events.h"

#include <stdio.h>
#include <string.h>

typedef struct gh_job {
  const gh_args *args;
  gh_redraw run;
  gh_source *source;
  gh_reconstruction result;
} gh_job;

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
    bool valid = gh_utf8_valid(name, strlen(name)); /* a file name may hold any bytes, JSON only UTF-8 */
    if (!item || (valid && gh_json_put_string(err, item, "name", name)) ||
        gh_json_put_double(err, item, "psnr", psnr) || gh_cell(err, &cells, "%s", name) ||
        gh_cell(err, &cells, "%.2f", psnr))
      status = err->status;
  }
  if (!status) status = gh_json_put_int(err, job->args->result, "stage", job->run.snapshot.stage);
  if (!status) status = gh_json_put_int(err, job->args->result, "update", job->run.snapshot.update);
  if (!status) {
    gh_print_table(heads, "lr", 2, &cells);
    printf("\n%s: snapshot of stage %d, update %lld\n", out, job->run.snapshot.stage,
           (long long)job->run.snapshot.update);
  }
  gh_strings_free(&cells);
  return status;
}

/* The same picture for TensorBoard. */
static gh_status show(gh_error *err, const gh_job *job) {
  gh_image grid = {0};
  const gh_snapshot *from = &job->run.snapshot;
  gh_status status = gh_reconstruction_grid(err, &grid, &job->result);
  if (!status) status = gh_picture_event(err, gh_args_text(job->args, "run"), from->stage, from->update, &grid);
  gh_image_free(&grid);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_job job = {.args = args};
  gh_device *device = NULL;
  const gh_run_names names = {.model = gh_args_text(args, "model"), .autoencoder = gh_args_text(args, "autoencoder")};
  int64_t limit = gh_args_int(args, "limit"), batch = gh_args_int(args, "batch");
  const gh_drawing_how how = {.seed = (uint64_t)gh_args_int(args, "seed"),
                              .steps = (int)gh_args_int(args, "steps"),
                              .temperature = gh_args_real(args, "temperature")};
  gh_status status = gh_output_check(err, args, "out");
  if (!status) status = gh_open_source(err, &job.source, args, "images");
  if (!status)
    status = gh_redraw_open_named(err, &job.run, gh_args_text(args, "run"), gh_args_text(args, "snapshot"), &names);
  if (!status) status = gh_run_device(err, args, &job.run.config.device);
  if (!status) status = gh_setup_device(err, job.run.config.device, false, &device);
  job.run.device = device;
  if (!status) status = gh_redraw_gather(err, &job.run, &job.result, job.source, NULL, limit, batch);
  if (!status) status = gh_redraw_sample(err, &job.run, &job.result, &how, batch);
  if (!status) status = gh_reconstruction_write(err, gh_args_text(args, "out"), &job.result);
  if (!status && gh_args_flag(args, "tensorboard")) status = show(err, &job);
  if (!status) status = report(err, &job);
  gh_reconstruction_free(&job.result);
  gh_device_close(device);
  gh_redraw_close(&job.run);
  gh_source_free(job.source);
  return status;
}

static const char *drawing_of(const gh_objective *objective) {
  return objective->drawing ? objective->drawing->details : NULL;
}

static gh_status list_drawings(gh_error *err, gh_strings *lines) { return gh_details_of_kinds(err, lines, drawing_of); }

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of a run", .required = true},
    {"images", "PATH", GH_OPTION_TEXT, .help = "image, folder of images, or .tar shards", .required = true},
    GH_KEYS_OPTION,
    {"out", "GRID.png", GH_OPTION_TEXT, .help = "image to write: originals left, reconstructions right",
     .required = true},
    GH_SNAPSHOT_OPTION("last"),
    GH_MODEL_OPTION,
    GH_AUTOENCODER_OPTION,
    {"seed", "N", GH_OPTION_INT, .help = "seed of the random numbers", .initial = "0"},
    {"steps", "N", GH_OPTION_INT, .help = "steps per drawing (default: the denoiser's own)", .least = 1, .most = 1000},
    {"temperature", "T", GH_OPTION_REAL, .help = "randomness of drawn codes (default: the denoiser's own, 1)",
     .most = 100},
    {"limit", "N", GH_OPTION_INT, .help = "use the first N images", .initial = "8", .least = 1, .most = 256},
    {"batch", "N", GH_OPTION_INT, .help = "images per launch", .initial = "8", .least = 1, .most = 256},
    {"tensorboard", NULL, GH_OPTION_FLAG, .help = "add the image to RUN/tensorboard, too"},
    {0},
};

const gh_command gh_command_reconstruct = {
    .name = "reconstruct",
    .summary = "reconstruct images from the encoder's global token",
    .details = "The run's denoiser draws each image anew from its token alone. Model files are looked for in "
               "the folder where the run was started, and in this one.",
    .more_details = list_drawings,
    .run = run,
    .options = options,
};
