#include "eval/attributes.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/dataset_internal.h"
#include "eval/linear_probe.h"
#include "io/csv.h"

#define LIST       "attributes.tsv"
#define SEED       0
#define MAX_VALUES 4096 /* of one attribute */

/* ---- the list ---- */

static int64_t find_value(const gh_strings *values, const char *text) {
  for (size_t i = 0; i < values->count; i++)
    if (!strcmp(values->items[i], text)) return (int64_t)i;
  return -1;
}

/* The column's labels; `path` is for messages. */
static gh_status read_column(gh_error *err, gh_attribute_labels *a, const char *path, const gh_csv *csv,
                             size_t column) {
  const char *name = csv->rows[0].fields.items[column];
  const size_t images = csv->count - 1;
  gh_status status = GH_OK;
  a->name = gh_strdup(err, name);
  a->labels = gh_alloc(err, images, sizeof *a->labels);
  if (!a->name || !a->labels) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < images && !status; i++) {
    const char *value = csv->rows[i + 1].fields.items[column];
    if (*value && find_value(&a->values, value) < 0) status = gh_strings_add(err, &a->values, value);
    if (a->values.count > MAX_VALUES)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: the column \"%.60s\" has more than %d different labels", path, name,
                     MAX_VALUES);
  }
  if (!status && a->values.count < 2)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: the column \"%.60s\" needs two different labels", path, name);
  if (!status) gh_strings_sort(&a->values);
  for (size_t i = 0; i < images && !status; i++) {
    const char *value = csv->rows[i + 1].fields.items[column];
    a->labels[i] = *value ? find_value(&a->values, value) : -1;
  }
  return status;
}

static gh_status check_rows(gh_error *err, const char *path, const gh_csv *csv) {
  if (csv->count < 2 || csv->rows[0].fields.count < 2 || strcmp(csv->rows[0].fields.items[0], "image") != 0)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: expected a row of names, image<tab>ATTRIBUTE..., and a row for each picture", path);
  const size_t columns = csv->rows[0].fields.count;
  for (size_t i = 1; i < csv->count; i++) {
    const gh_csv_row *row = &csv->rows[i];
    if (row->fields.count != columns)
      return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: %zu fields; the row of names has %zu", path, row->line,
                     row->fields.count, columns);
    if (!gh_path_stays_inside(row->fields.items[0]))
      return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.100s\" is not a picture of this folder", path, row->line,
                     row->fields.items[0]);
  }
  return GH_OK;
}

static gh_status read_rows(gh_error *err, gh_attribute_data *out, const char *folder, const char *path,
                           const gh_csv *csv) {
  gh_status status = check_rows(err, path, csv);
  if (status) return status;
  const size_t columns = csv->rows[0].fields.count - 1;
  if (!(out->attributes = gh_alloc(err, columns, sizeof *out->attributes))) return GH_ERROR_MEMORY;
  out->count = columns;
  for (size_t i = 1; i < csv->count && !status; i++)
    status = gh_dataset_add_joined(err, &out->images, folder, csv->rows[i].fields.items[0]);
  for (size_t c = 0; c < columns && !status; c++) status = read_column(err, &out->attributes[c], path, csv, c + 1);
  return status ? status : gh_dataset_check_images(err, &out->images, path);
}

gh_status gh_attributes_read(gh_error *err, gh_attribute_data *out, const char *given) {
  gh_csv csv = {0};
  char *folder = NULL, *path = NULL;
  *out = (gh_attribute_data){0};
  gh_status status = gh_dataset_folder(err, &folder, given);
  if (!status && !(path = gh_path_join(err, folder, LIST))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_csv_read(err, &csv, path, '\t');
  if (!status) status = read_rows(err, out, folder, path, &csv);
  gh_csv_free(&csv);
  free(path);
  free(folder);
  return status;
}

void gh_attributes_free(gh_attribute_data *d) {
  for (size_t i = 0; i < d->count; i++) {
    free(d->attributes[i].name);
    free(d->attributes[i].labels);
    gh_strings_free(&d->attributes[i].values);
  }
  free(d->attributes);
  gh_strings_free(&d->images);
  *d = (gh_attribute_data){0};
}

/* ---- the probes ---- */

void gh_probe_split(bool *trains, int64_t images) {
  gh_stream stream = gh_stream_make(SEED, 0, "probe", "split");
  const double first = GH_PROBE_TRAIN_SHARE * (double)images;
  for (int64_t i = 0; i < images; i++) trains[i] = (double)gh_permute(stream, (uint64_t)i, (uint64_t)images) < first;
}

typedef struct gh_probe_job {
  const gh_attribute_data *data;
  const float *rows;
  int64_t width;
  double ridge;
  const bool *trains;
  float *train_rows; /* (images, width) scratch */
  int64_t *train_labels;
} gh_probe_job;

static int64_t most_frequent(const gh_linear_probe *probe) {
  int64_t best = 0;
  for (int64_t c = 1; c < probe->classes; c++)
    if (probe->bias[c] > probe->bias[best]) best = c;
  return best;
}

static gh_status fit(gh_error *err, const gh_probe_job *j, const gh_attribute_labels *a, gh_linear_probe *probe,
                     int64_t *train) {
  int64_t n = 0;
  for (size_t i = 0; i < j->data->images.count; i++) {
    if (!j->trains[i] || a->labels[i] < 0) continue;
    memcpy(j->train_rows + n * j->width, j->rows + (int64_t)i * j->width, (size_t)j->width * sizeof(float));
    j->train_labels[n++] = a->labels[i];
  }
  *train = n;
  if (!n)
    return gh_fail(err, GH_ERROR_FORMAT, "no picture with a label of \"%.60s\" is left to train a probe", a->name);
  return gh_linear_probe_fit(err, probe, j->train_rows, j->train_labels, n, j->width, (int64_t)a->values.count,
                             j->ridge);
}

static gh_status test(gh_error *err, const gh_probe_job *j, const gh_attribute_labels *a, const gh_linear_probe *probe,
                      gh_attribute_score *out) {
  int64_t hits = 0, usual = 0, n = 0, majority = most_frequent(probe);
  double *scores = gh_alloc(err, (size_t)(probe->classes + probe->width), sizeof *scores);
  out->right = gh_alloc(err, j->data->images.count, sizeof *out->right);
  gh_status status = scores && out->right ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < j->data->images.count && !status; i++) {
    if (j->trains[i] || a->labels[i] < 0) continue;
    int64_t class = gh_linear_probe_classify(probe, scores, scores + probe->classes, j->rows + (int64_t)i * j->width);
    bool right = class == a->labels[i];
    out->right[n++] = right;
    hits += right;
    usual += majority == a->labels[i];
  }
  if (!status && !n)
    status = gh_fail(err, GH_ERROR_FORMAT, "no picture with a label of \"%.60s\" is left to test a probe", a->name);
  out->share = gh_share_wilson(hits, n);
  out->majority = gh_share_wilson(usual, n);
  free(scores);
  return status;
}

gh_status gh_attributes_evaluate(gh_error *err, gh_attribute_score *scores, const gh_attribute_data *data,
                                 const float *rows, int64_t width, double ridge) {
  const size_t images = data->images.count;
  bool *trains = gh_alloc(err, images, sizeof *trains);
  gh_probe_job job = {.data = data,
                      .rows = rows,
                      .width = width,
                      .ridge = ridge,
                      .trains = trains,
                      .train_rows = gh_alloc(err, images, (size_t)width * sizeof(float)),
                      .train_labels = gh_alloc(err, images, sizeof(int64_t))};
  gh_status status = trains && job.train_rows && job.train_labels ? GH_OK : GH_ERROR_MEMORY;
  if (!status) gh_probe_split(trains, (int64_t)images);
  for (size_t i = 0; i < data->count && !status; i++) {
    gh_linear_probe probe = {0};
    status = fit(err, &job, &data->attributes[i], &probe, &scores[i].train);
    if (!status) status = test(err, &job, &data->attributes[i], &probe, &scores[i]);
    gh_linear_probe_free(&probe);
  }
  free(trains);
  free(job.train_rows);
  free(job.train_labels);
  return status;
}

gh_status gh_attributes_difference(gh_error *err, gh_interval *out, const gh_attribute_score *before,
                                   const gh_attribute_score *after) {
  const int64_t n = before->share.total;
  double *values = gh_alloc(err, (size_t)n, sizeof *values);
  if (!values) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) values[i] = after->right[i] - before->right[i];
  gh_status status = gh_bootstrap_mean(err, out, values, n, gh_stream_make(SEED, 0, "bootstrap", "probe"));
  free(values);
  return status;
}
