/* genhance eval attributes: linear probes of labels on the frozen global token, before and after stage 2. */
#include "cli/eval.h"
#include "cli/ranks.h"
#include "config/run.h"
#include "encode/feed.h"
#include "eval/attributes.h"
#include "train/ranks_encode.h"

#include <stdio.h>
#include <stdlib.h>

#define MODELS 2 /* before, after */

typedef struct gh_job {
  const gh_args *args;
  gh_attribute_data data;
  gh_config config;     /* with --run */
  gh_snapshot snapshot; /* with --run */
  int models;           /* 1, or 2 with --run */
  gh_attribute_score *scores[MODELS];
} gh_job;

static gh_status open_run(gh_error *err, gh_job *job) {
  const char *run = gh_args_text(job->args, "run");
  gh_status status = gh_run_config(err, run, &job->config);
  if (!status) status = gh_run_snapshot(err, run, gh_args_text(job->args, "snapshot"), &job->snapshot);
  if (!status && !job->snapshot.adapter && !job->snapshot.encoder)
    status = gh_fail(err, GH_ERROR_FILE, "%s: the snapshot is of stage 1, which leaves the encoder as it is", run);
  job->models = MODELS;
  return status;
}

static gh_status measure(gh_error *err, gh_job *job, gh_device *device, const char *model,
                         const gh_embed_options *options, int which) {
  gh_embedder embedder = {0};
  float *rows = NULL;
  const size_t images = job->data.images.count;
  gh_ranks_parts ranks;
  const gh_parts *parts = gh_ranks_parts_of(&ranks, job->args->comm, device);
  gh_status status = gh_cli_same_input(err, job->args, model, images);
  if (!status) status = gh_parts_before(err, parts);
  if (!status) status = gh_embedder_open(err, &embedder, device, model, options);
  embedder.parts = parts;
  if (!status) status = gh_parts_after(err, parts);
  if (!status && !(rows = gh_alloc(err, images, (size_t)embedder.width * sizeof *rows))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_feed_files(err, rows, &embedder, &job->data.images, "attributes");
  if (!status)
    status = gh_attributes_evaluate(err, job->scores[which], &job->data, rows, embedder.width,
                                    gh_args_real(job->args, "ridge"));
  gh_embedder_close(&embedder);
  free(rows);
  return status;
}

static gh_status measure_all(gh_error *err, gh_job *job, gh_device *device) {
  gh_embed_options options = {.batch = GH_MIN(gh_args_int(job->args, "batch"), (int64_t)job->data.images.count)};
  for (int m = 0; m < job->models; m++)
    if (!(job->scores[m] = gh_alloc(err, job->data.count, sizeof *job->scores[m]))) return GH_ERROR_MEMORY;
  if (job->models == 1) {
    options.adapter = gh_args_text(job->args, "adapter");
    options.encoder = gh_args_text(job->args, "encoder");
    return measure(err, job, device, gh_args_text(job->args, "model"), &options, 0);
  }
  gh_status status = measure(err, job, device, job->config.clip, &options, 0);
  options.adapter = job->snapshot.adapter;
  options.encoder = job->snapshot.encoder;
  return status ? status : measure(err, job, device, job->config.clip, &options, 1);
}

/* ---- results ---- */

/* "right": what the last model's probe read from each test picture: 1, 0, or null where it has no label. */
static gh_status put_right(gh_error *err, gh_json *to, const gh_job *job, size_t i) {
  const double *right = job->scores[job->models - 1][i].right;
  const size_t images = job->data.images.count;
  bool *trains = gh_alloc(err, images, sizeof *trains);
  gh_json *list = trains ? gh_json_put_array(err, to, "right") : NULL;
  gh_status status = list ? GH_OK : err->status;
  if (trains) gh_probe_split(trains, (int64_t)images);
  for (size_t k = 0; k < images && !status; k++) {
    if (trains[k]) continue;
    status = job->data.attributes[i].labels[k] < 0 ? gh_json_put_null(err, list, NULL)
                                                   : gh_json_put_int(err, list, NULL, (int64_t)*right++);
  }
  free(trains);
  return status;
}

static gh_status put_one(gh_error *err, gh_json *to, const gh_job *job, size_t i) {
  static const char *const names[MODELS] = {"before", "after"};
  const gh_attribute_labels *a = &job->data.attributes[i];
  const gh_attribute_score *first = &job->scores[0][i];
  gh_json *o = gh_json_put_object(err, to, a->name);
  gh_interval d;
  if (!o || gh_json_put_int(err, o, "labels", (int64_t)a->values.count) ||
      gh_json_put_int(err, o, "train", first->train) || gh_eval_put_share(err, o, "majority", &first->majority))
    return err->status;
  if (put_right(err, o, job, i)) return err->status;
  if (job->models == 1) return gh_eval_put_share(err, o, "probe", &first->share);
  for (int m = 0; m < job->models; m++)
    if (gh_eval_put_share(err, o, names[m], &job->scores[m][i].share)) return err->status;
  gh_status status = gh_attributes_difference(err, &d, first, &job->scores[1][i]);
  return status ? status : gh_eval_put_interval(err, o, "difference", &d, 100);
}

static gh_status put(gh_error *err, gh_json *to, const gh_job *job) {
  gh_json *list = gh_json_put_object(err, to, "attributes");
  gh_status status = list ? GH_OK : err->status;
  for (size_t i = 0; i < job->data.count && !status; i++) status = put_one(err, list, job, i);
  if (!status) status = gh_json_put_int(err, to, "images", (int64_t)job->data.images.count);
  if (!status) status = gh_json_put_double(err, to, "ridge", gh_args_real(job->args, "ridge"));
  if (!status)
    status = gh_json_put_string(err, to, "interval", "95 %: Wilson; of a difference, a bootstrap over images");
  return status;
}

static gh_status row_of_one(gh_error *err, gh_strings *cells, const gh_job *job, size_t i) {
  const gh_attribute_score *s = &job->scores[0][i];
  gh_status status = gh_eval_row(err, cells, job->data.attributes[i].name, &s->share);
  return status ? status : gh_cell(err, cells, "%.1f", 100 * s->majority.value);
}

static gh_status row_of_both(gh_error *err, gh_strings *cells, const gh_job *job, size_t i) {
  const gh_attribute_score *before = &job->scores[0][i], *after = &job->scores[1][i];
  gh_interval d;
  gh_status status = gh_attributes_difference(err, &d, before, after);
  if (!status) status = gh_cell(err, cells, "%s", job->data.attributes[i].name);
  if (!status) status = gh_cell(err, cells, "%.1f", 100 * before->share.value);
  if (!status) status = gh_cell(err, cells, "%.1f", 100 * after->share.value);
  if (!status) status = gh_cell(err, cells, "%+.1f", 100 * d.value);
  if (!status) status = gh_cell(err, cells, "%+.1f to %+.1f", 100 * d.low, 100 * d.high);
  return status ? status : gh_cell(err, cells, "%.1f", 100 * before->majority.value);
}

static gh_status show(gh_error *err, const gh_job *job) {
  static const char *const one[] = {"", "%", "correct", "95 % interval", "majority %"};
  static const char *const both[] = {"", "before %", "after %", "difference", "95 % interval", "majority %"};
  gh_strings cells = {0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < job->data.count && !status; i++)
    status = job->models == 1 ? row_of_one(err, &cells, job, i) : row_of_both(err, &cells, job, i);
  if (!status && job->models == 1)
    gh_print_table(one, "lrrrr", 5, &cells);
  else if (!status)
    gh_print_table(both, "lrrrrr", 6, &cells);
  if (!status) printf("\n%zu images, of which 70 %% train the probes\n", job->data.images.count);
  gh_strings_free(&cells);
  return status;
}

static void close_job(gh_job *job) {
  for (int m = 0; m < MODELS; m++) {
    for (size_t i = 0; job->scores[m] && i < job->data.count; i++) free(job->scores[m][i].right);
    free(job->scores[m]);
  }
  gh_attributes_free(&job->data);
  gh_snapshot_free(&job->snapshot);
  gh_config_free(&job->config);
}

static gh_status check_options(gh_error *err, const gh_args *args) {
  static const char *const of_model[] = {"adapter", "encoder"};
  const bool run = gh_args_given(args, "run");
  if (run == gh_args_given(args, "model"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "eval attributes: give --model DIR, or --run DIR for before and after");
  if (!run && gh_args_given(args, "snapshot"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "eval attributes: --snapshot goes with --run");
  for (size_t i = 0; i < GH_COUNT(of_model); i++)
    if (run && gh_args_given(args, of_model[i]))
      return gh_fail(err, GH_ERROR_ARGUMENT, "eval attributes: --%s goes with --model", of_model[i]);
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_job job = {.args = args, .models = 1};
  gh_device *device = NULL;
  gh_status status = check_options(err, args);
  if (!status) status = gh_attributes_read(err, &job.data, gh_args_text(args, "data"));
  if (!status && gh_args_given(args, "run")) status = open_run(err, &job);
  if (!status) status = gh_cli_open_device(err, args, &device);
  if (!status) status = measure_all(err, &job, device);
  gh_device_close(device);
  if (!status) status = put(err, args->result, &job);
  if (!status) status = show(err, &job);
  close_job(&job);
  return status;
}

static const gh_option options[] = {
    {"model", "DIR", GH_OPTION_TEXT, .help = "model folder of the encoder"},
    {"run", "DIR", GH_OPTION_TEXT,
     .help = "run whose encoder is measured before and after stage 2, in place of --model"},
    {"snapshot", "NAME", GH_OPTION_TEXT, .help = "of the run, for example stage2-00000050 (default: the newest)"},
    {"data", "DIR", GH_OPTION_TEXT, .help = "folder with attributes.tsv and its pictures", .required = true},
    GH_EVAL_TRAINED_OPTIONS,
    {"ridge", "R", GH_OPTION_REAL, .help = "penalty of the probes' squared weights", .initial = "0.1", .most = 1000000},
    {0}};

const gh_command gh_command_eval_attributes = {
    .name = "eval attributes",
    .summary = "read attributes of pictures from the global token",
    .details =
        "A linear probe for each column of DIR/attributes.tsv is fitted to the frozen embeddings of a fixed random 70 "
        "% "
        "of the pictures and tested on the others. A probe is a ridge regression onto the labels, on normalised and "
        "standardised embeddings; a picture belongs to the label with the greatest score. An empty label leaves a "
        "picture out. \"majority\" is what the most frequent label alone scores. Intervals are Wilson's, 95 %.\n"
        "\nWith --run, the encoder of the run's configuration is compared with the snapshot's; the interval of the "
        "difference is a bootstrap over the test pictures.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
