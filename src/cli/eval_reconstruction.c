/* genhance eval reconstruction: how much of a picture its drawing from one token keeps, as in the paper's Figure 1. */
#include "backend/registry.h"
#include "cli/eval.h"
#include "cli/run_options.h"
#include "encode/feed.h"
#include "method/redraw.h"
#include "method/setup.h"

#include <stdio.h>
#include <stdlib.h>

#define SEED 0 /* of the bootstrap */

typedef struct gh_job {
  const gh_args *args;
  gh_redraw run;
  gh_source *source;
  gh_reconstruction pictures;
  const char *judge;
  double *cosines, *psnr; /* (pictures.count) */
  gh_interval clip_score, mean_psnr;
} gh_job;

/* rows (n, D) of either the originals or the drawings, as the judge sees pictures of 8 bits. */
static gh_status judge(gh_error *err, gh_job *job, gh_embedder *embedder, const float *planes, float *rows,
                       const char *what) {
  const gh_reconstruction *r = &job->pictures;
  gh_image *images = gh_alloc(err, (size_t)r->count, sizeof *images);
  gh_status status = images ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < r->count && !status; i++)
    status = gh_image_from_floats(err, &images[i], planes + i * 3 * r->side * r->side, (int)r->side, (int)r->side);
  if (!status) status = gh_feed_images(err, rows, embedder, images, (size_t)r->count, what);
  for (int64_t i = 0; images && i < r->count; i++) gh_image_free(&images[i]);
  free(images);
  return status;
}

static gh_status compare(gh_error *err, gh_job *job) {
  const gh_reconstruction *r = &job->pictures;
  const gh_embed_options options = {.batch = GH_MIN(gh_args_int(job->args, "batch"), r->count)};
  gh_embedder embedder = {0};
  float *rows = NULL;
  gh_status status = gh_embedder_open(err, &embedder, job->run.device, job->judge, &options);
  const size_t size = (size_t)r->count * (size_t)embedder.width;
  if (!status && !(rows = gh_alloc(err, 2 * size, sizeof *rows))) status = GH_ERROR_MEMORY;
  if (!status) status = judge(err, job, &embedder, r->originals, rows, "originals");
  if (!status) status = judge(err, job, &embedder, r->images, rows + size, "drawings");
  if (!status) status = gh_cosines(err, job->cosines, rows, rows + size, r->count, embedder.width);
  gh_embedder_close(&embedder);
  free(rows);
  return status;
}

static gh_status score(gh_error *err, gh_job *job) {
  const int64_t n = job->pictures.count;
  job->cosines = gh_alloc(err, (size_t)n, sizeof *job->cosines);
  job->psnr = gh_alloc(err, (size_t)n, sizeof *job->psnr);
  if (!job->cosines || !job->psnr) return GH_ERROR_MEMORY;
  gh_status status = compare(err, job);
  for (int64_t i = 0; i < n && !status; i++) job->psnr[i] = gh_reconstruction_psnr(&job->pictures, i);
  const gh_stream stream = gh_stream_make(SEED, 0, "bootstrap", "reconstruction");
  if (!status) status = gh_bootstrap_mean(err, &job->clip_score, job->cosines, n, stream);
  return status ? status : gh_bootstrap_mean(err, &job->mean_psnr, job->psnr, n, stream);
}

static gh_status put(gh_error *err, gh_json *to, const gh_job *job) {
  const gh_reconstruction *r = &job->pictures;
  gh_json *list = NULL;
  if (gh_json_put_string(err, to, "judge", job->judge) || gh_json_put_int(err, to, "images", r->count) ||
      gh_json_put_int(err, to, "stage", job->run.snapshot.stage) ||
      gh_json_put_int(err, to, "update", job->run.snapshot.update) ||
      gh_eval_put_interval(err, to, "clip_score", &job->clip_score, 100) ||
      gh_eval_put_interval(err, to, "psnr", &job->mean_psnr, 1) ||
      gh_json_put_string(err, to, "interval", "95 %: a bootstrap over images") ||
      !(list = gh_json_put_array(err, to, "results")))
    return err->status;
  for (int64_t i = 0; i < r->count; i++) {
    gh_json *o = gh_json_put_object(err, list, NULL);
    if (!o || gh_eval_put_text(err, o, "image", r->names.items[i]) ||
        gh_json_put_double(err, o, "clip_score", 100 * job->cosines[i]) ||
        gh_json_put_double(err, o, "psnr", job->psnr[i]))
      return err->status;
  }
  return GH_OK;
}

static gh_status add_row(gh_error *err, gh_strings *cells, const char *name, const gh_interval *v, double scale) {
  gh_status status = gh_cell(err, cells, "%s", name);
  if (!status) status = gh_cell(err, cells, "%.2f", scale * v->value);
  return status ? status : gh_cell(err, cells, "%.2f to %.2f", scale * v->low, scale * v->high);
}

static gh_status show(gh_error *err, const gh_job *job) {
  static const char *const heads[] = {"", "mean", "95 % interval"};
  gh_strings cells = {0};
  gh_status status = add_row(err, &cells, "CLIP score", &job->clip_score, 100);
  if (!status) status = add_row(err, &cells, "PSNR dB", &job->mean_psnr, 1);
  if (!status) {
    gh_print_table(heads, "lrr", 3, &cells);
    printf("\n%lld images, each compared with its drawing from one token; snapshot of stage %d, update %lld\n",
           (long long)job->pictures.count, job->run.snapshot.stage, (long long)job->run.snapshot.update);
    gh_print_line("judge: %s", job->judge);
  }
  gh_strings_free(&cells);
  return status;
}

static gh_status draw(gh_error *err, gh_job *job) {
  const gh_args *args = job->args;
  const int64_t batch = gh_args_int(args, "batch");
  const gh_drawing_how how = {.seed = (uint64_t)gh_args_int(args, "seed"), .steps = (int)gh_args_int(args, "steps")};
  gh_status status =
      gh_redraw_gather(err, &job->run, &job->pictures, job->source, NULL, gh_args_int(args, "limit"), batch);
  return status ? status : gh_redraw_sample(err, &job->run, &job->pictures, &how, batch);
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_job job = {.args = args};
  gh_device *device = NULL;
  gh_status status = gh_open_source(err, &job.source, args, "data");
  if (!status) status = gh_redraw_open(err, &job.run, gh_args_text(args, "run"), gh_args_text(args, "snapshot"));
  if (!status) status = gh_run_device(err, args, &job.run.config.device);
  if (!status) status = gh_setup_device(err, job.run.config.device, false, &device);
  job.run.device = device;
  job.judge = gh_args_given(args, "judge") ? gh_args_text(args, "judge") : job.run.config.clip;
  if (!status) status = draw(err, &job);
  if (!status) status = score(err, &job);
  if (!status) status = put(err, args->result, &job);
  if (!status) status = show(err, &job);
  free(job.cosines);
  free(job.psnr);
  gh_reconstruction_free(&job.pictures);
  gh_device_close(device);
  gh_redraw_close(&job.run);
  gh_source_free(job.source);
  return status;
}

static const gh_option options[] = {
    {"run", "DIR", GH_OPTION_TEXT, .help = "folder of the run that draws", .required = true},
    {"data", "PATH", GH_OPTION_TEXT, .help = "image, folder of images, or .tar shards", .required = true},
    GH_KEYS_OPTION,
    {"judge", "DIR", GH_OPTION_TEXT,
     .help = "model folder whose embeddings are compared (default: the run's encoder before training)"},
    {"snapshot", "NAME", GH_OPTION_TEXT, .help = "for example stage2-00000050 (default: the newest)"},
    {"seed", "N", GH_OPTION_INT, .help = "seed of the random numbers", .initial = "0"},
    {"steps", "N", GH_OPTION_INT, .help = "steps per drawing (default: the denoiser's own)", .least = 1, .most = 1000},
    {"limit", "N", GH_OPTION_INT, .help = "use the first N images", .initial = "64", .least = 1, .most = 65536},
    {"batch", "N", GH_OPTION_INT, .help = "images per launch", .initial = "8", .least = 1, .most = 256},
    {0},
};

const gh_command gh_command_eval_reconstruction = {
    .name = "eval reconstruction",
    .summary = "score drawings from the token: CLIP score, PSNR",
    .details =
        "The run's denoiser draws each image anew from its token alone. The CLIP score is 100 times the cosine between "
        "the judge's embeddings of the image, as the encoder's preprocessing crops it, and of the drawing. An encoder "
        "that judges its own drawings favours what it sees itself: name another model with --judge to compare runs. "
        "Intervals are a bootstrap over the images, 95 %.",
    .run = run,
    .options = options,
};
