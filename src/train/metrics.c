#include "train/metrics.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)1 << 30)

static gh_status write_json(gh_error *err, const char *path, const gh_metrics_row *row) {
  gh_json *line = gh_json_object(err);
  gh_status status = line ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_int(err, line, "stage", row->stage);
  if (!status) status = gh_json_put_int(err, line, "update", row->update);
  if (!status) status = gh_json_put_double(err, line, "loss", row->loss);
  if (!status) status = gh_json_put_double(err, line, "grad_norm", row->norm);
  if (!status) status = gh_json_put_double(err, line, "lr", row->learning_rate);
  if (!status) status = gh_json_put_int(err, line, "samples", row->samples);
  if (!status) status = gh_json_put_double(err, line, "ms", row->seconds * 1e3);
  if (!status) status = gh_json_put_double(err, line, "images_per_second", (double)row->samples / row->seconds);
  if (!status) status = gh_json_append_line(err, path, line);
  gh_json_free(line);
  return status;
}

gh_status gh_metrics_write(gh_error *err, const char *run, const gh_metrics_row *row, bool print) {
  char text[200];
  int size =
      snprintf(text, sizeof text, "stage %d update %lld/%lld loss %.6f norm %.4f lr %.3g | %.0f ms %.1f images/s\n",
               row->stage, (long long)row->update, (long long)row->updates, row->loss, row->norm, row->learning_rate,
               row->seconds * 1e3, (double)row->samples / row->seconds);
  char *json = gh_path_join(err, run, "metrics.jsonl"), *log = gh_path_join(err, run, "train.log");
  gh_status status = json && log ? write_json(err, json, row) : GH_ERROR_MEMORY;
  if (!status) status = gh_file_append(err, log, text, (size_t)size);
  if (!status && print) {
    fputs(text, stdout);
    fflush(stdout);
  }
  free(json);
  free(log);
  return status;
}

/* ---- reading back ---- */

/* Whether a line of either file belongs to (stage, update) or before; a broken one (cut short by a kill) does not. */
typedef bool (*gh_line_test)(const char *line, size_t size, int stage, int64_t update);

static bool position_is_kept(int64_t line_stage, int64_t line_update, int stage, int64_t update) {
  return line_stage < stage || (line_stage == stage && line_update <= update);
}

static bool keep_json(const char *line, size_t size, int stage, int64_t update) {
  gh_json *row = NULL;
  gh_error ignored;
  int64_t s = 0, u = 0;
  bool keep = !gh_json_parse(&ignored, &row, "line", line, size, size + 1) &&
              !gh_json_get_int(&ignored, row, "stage", &s) && !gh_json_get_int(&ignored, row, "update", &u) &&
              position_is_kept(s, u, stage, update);
  gh_json_free(row);
  return keep;
}

static bool keep_log(const char *line, size_t size, int stage, int64_t update) {
  char text[200];
  int s = 0;
  long long u = 0;
  snprintf(text, sizeof text, "%.*s", (int)GH_MIN(size, sizeof text - 1), line);
  return sscanf(text, "stage %d update %lld/", &s, &u) == 2 && position_is_kept(s, u, stage, update);
}

static gh_status rewind_file(gh_error *err, const char *path, gh_line_test keep, int stage, int64_t update) {
  char *bytes = NULL;
  size_t size = 0, kept = 0;
  if (!gh_path_exists(path)) return GH_OK;
  gh_status status = gh_file_read(err, path, MAX_BYTES, &bytes, &size);
  if (status) return status;
  for (size_t at = 0; at < size;) {
    char *end = memchr(bytes + at, '\n', size - at);
    if (!end) break;
    size_t length = (size_t)(end - (bytes + at));
    if (!keep(bytes + at, length, stage, update)) break;
    at += length + 1;
    kept = at;
  }
  if (kept != size) status = gh_file_write(err, path, bytes, kept);
  free(bytes);
  return status;
}

gh_status gh_metrics_rewind(gh_error *err, const char *run, int stage, int64_t update) {
  char *json = gh_path_join(err, run, "metrics.jsonl"), *log = gh_path_join(err, run, "train.log");
  gh_status status = json && log ? rewind_file(err, json, keep_json, stage, update) : GH_ERROR_MEMORY;
  if (!status) status = rewind_file(err, log, keep_log, stage, update);
  free(json);
  free(log);
  return status;
}

gh_status gh_metrics_losses(gh_error *err, const char *run, int stage, double **losses, int64_t *count) {
  char *path = gh_path_join(err, run, "metrics.jsonl"), *bytes = NULL;
  size_t size = 0, lines = 0;
  *losses = NULL;
  *count = 0;
  gh_status status = path ? gh_file_read(err, path, MAX_BYTES, &bytes, &size) : GH_ERROR_MEMORY;
  for (size_t i = 0; !status && i < size; i++) lines += bytes[i] == '\n';
  if (!status && !(*losses = gh_alloc(err, lines, sizeof **losses))) status = GH_ERROR_MEMORY;
  for (size_t at = 0; !status && at < size;) {
    const char *end = memchr(bytes + at, '\n', size - at);
    size_t length = end ? (size_t)(end - (bytes + at)) : size - at;
    gh_json *row = NULL;
    int64_t line_stage = 0;
    status = gh_json_parse(err, &row, path, bytes + at, length, MAX_BYTES);
    if (!status) status = gh_json_get_int(err, row, "stage", &line_stage);
    if (!status && line_stage == stage) status = gh_json_get_double(err, row, "loss", &(*losses)[(*count)++]);
    gh_json_free(row);
    at += length + 1;
  }
  free(bytes);
  free(path);
  return status;
}
