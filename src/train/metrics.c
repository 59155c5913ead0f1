#include "train/metrics.h"
#include "base/array.h"
#include "base/build.h"
#include "base/log.h"
#include "config/run.h"
#include "train/made_by.h"
#include "train/snapshot_events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_BYTES ((size_t)1 << 30)
#define WAITING   "waiting"

double gh_metrics_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

gh_status gh_metrics_scalars(gh_error *err, const char *run, double time, int64_t update, const gh_scalar *scalars,
                             size_t count) {
  char *path = gh_path_join(err, run, GH_RUN_EVENTS);
  gh_status status = path ? gh_tfevents_add(err, path, time, update, scalars, count) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

#define MAX_SCALARS 32
#define TAG_BYTES   64

static gh_status write_scalars(gh_error *err, const char *run, const gh_metrics_row *row) {
  const gh_metrics_number always[] = {{"loss", row->loss},
                                      {"grad_norm", row->norm},
                                      {"learning_rate", row->learning_rate},
                                      {"images_per_second", (double)row->samples / row->seconds}};
  gh_scalar scalars[MAX_SCALARS];
  char tags[MAX_SCALARS][TAG_BYTES];
  size_t count = 0;
  for (size_t i = 0; i < GH_COUNT(always) + (size_t)row->number_count; i++, count++) {
    const gh_metrics_number *n = i < GH_COUNT(always) ? &always[i] : &row->numbers[i - GH_COUNT(always)];
    snprintf(tags[count], TAG_BYTES, "stage%d/%s", row->stage == 2 ? 2 : 1, n->name);
    scalars[count] = (gh_scalar){tags[count], n->value};
  }
  return gh_metrics_scalars(err, run, row->time, row->update, scalars, count);
}

/* An objective's number may legitimately be infinite or undefined; it is then written as null. */
static gh_status put_number(gh_error *err, gh_json *line, const gh_metrics_number *n) {
  return isfinite(n->value) ? gh_json_put_double(err, line, n->name, n->value) : gh_json_put_null(err, line, n->name);
}

static gh_status put_maker(gh_error *err, gh_json *line, const gh_json *made_by) {
  gh_json *copy = NULL;
  gh_status status = gh_json_copy(err, &copy, made_by);
  return status ? status : gh_json_put(err, line, GH_MADE_BY, copy);
}

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
  if (!status && row->resident_bytes > 0)
    status = gh_json_put_double(err, line, GH_METRICS_RESIDENT, row->resident_bytes);
  if (!status && row->joules > 0) status = gh_json_put_double(err, line, GH_METRICS_JOULES, row->joules);
  if (!status && row->waiting) status = gh_json_put_doubles(err, line, WAITING, row->waiting, (size_t)row->ranks);
  if (!status && row->made_by) status = put_maker(err, line, row->made_by);
  if (!status) status = gh_json_put_double(err, line, "time", row->time);
  for (int i = 0; i < row->number_count && !status; i++) status = put_number(err, line, &row->numbers[i]);
  if (!status) status = gh_json_append_line(err, path, line);
  gh_json_free(line);
  return status;
}

gh_status gh_metrics_note(gh_error *err, const char *run, int stage, int64_t update, int64_t updates, const char *text,
                          bool print) {
  char *line = gh_format(err, "stage %d update %lld/%lld %s ", stage, (long long)update, (long long)updates, text);
  char *path = gh_path_join(err, run, "train.log");
  if (line) gh_text_show(line); /* the text may have names from a configuration */
  if (line) line[strlen(line) - 1] = '\n';
  gh_status status = line && path ? gh_file_append(err, path, line, strlen(line)) : GH_ERROR_MEMORY;
  if (!status && print) gh_print(line);
  free(line);
  free(path);
  return status;
}

/* The line of train.log; the first of a process says what made it, after a second bar. */
static gh_status append_log(gh_error *err, const char *path, const char *text, const gh_json *made_by) {
  char *maker = NULL, now[GH_UTC_SIZE];
  gh_utc_text(now);
  if (!made_by) return gh_file_append(err, path, text, strlen(text));
  gh_status status = gh_json_print(err, &maker, NULL, made_by, false);
  char *line = status ? NULL : gh_format(err, "%.*s | %s %s\n", (int)strcspn(text, "\n"), text, now, maker);
  if (!status) status = line ? gh_file_append(err, path, line, strlen(line)) : GH_ERROR_MEMORY;
  free(line);
  free(maker);
  return status;
}

#define MOST_SHARES 16 /* in a line for people */

/* ", waiting 12 40 %": of rank 0, rank 1, ...; of many ranks the least and the most. */
static void waiting_text(char *out, size_t size, const gh_metrics_row *row) {
  double least = 1, most = 0;
  size_t used = (size_t)snprintf(out, size, row->waiting ? ", waiting" : "");
  for (int i = 0; row->waiting && i < row->ranks; i++) {
    least = GH_MIN(least, row->waiting[i]);
    most = GH_MAX(most, row->waiting[i]);
    if (row->ranks <= MOST_SHARES) used += (size_t)snprintf(out + used, size - used, " %.0f", 100 * row->waiting[i]);
  }
  if (row->waiting && row->ranks > MOST_SHARES)
    used += (size_t)snprintf(out + used, size - used, " %.0f to %.0f", 100 * least, 100 * most);
  if (row->waiting) snprintf(out + used, size - used, " %%");
}

gh_status gh_metrics_write(gh_error *err, const char *run, const gh_metrics_row *row, bool print) {
  char text[320], waiting[100];
  waiting_text(waiting, sizeof waiting, row);
  snprintf(text, sizeof text, "stage %d update %lld/%lld loss %.6f norm %.4f lr %.3g | %.0f ms %.1f images/s%s\n",
           row->stage, (long long)row->update, (long long)row->updates, row->loss, row->norm, row->learning_rate,
           row->seconds * 1e3, (double)row->samples / row->seconds, waiting);
  char *json = gh_path_join(err, run, "metrics.jsonl"), *log = gh_path_join(err, run, "train.log");
  gh_status status = json && log ? write_json(err, json, row) : GH_ERROR_MEMORY;
  if (!status) status = append_log(err, log, text, row->made_by);
  if (!status) status = write_scalars(err, run, row);
  if (!status && print) gh_print(text);
  free(json);
  free(log);
  return status;
}

/* ---- reading back ---- */

/* Whether a line of a file belongs to (stage, update) or earlier. A broken line (truncated by a kill, or rotten) does
 * not. */
typedef bool gh_line_test(const char *line, size_t size, int stage, int64_t update);

static bool position_is_kept(int64_t line_stage, int64_t line_update, int stage, int64_t update) {
  return line_stage < stage || (line_stage == stage && line_update <= update);
}

static bool is_number_or_null(const gh_json *value) {
  return gh_json_type_of(value) == GH_JSON_NUMBER || gh_json_type_of(value) == GH_JSON_NULL;
}

static bool is_waiting(const gh_json *item) {
  bool numbers = !strcmp(gh_json_key(item), WAITING) && gh_json_type_of(item) == GH_JSON_ARRAY;
  for (const gh_json *one = numbers ? gh_json_first(item) : NULL; one && numbers; one = gh_json_next(one))
    numbers = gh_json_type_of(one) == GH_JSON_NUMBER;
  return numbers;
}

static bool has_numbers(const gh_json *row) {
  static const char *const read_back[] = {"loss", "grad_norm", "lr", "samples", "images_per_second"};
  bool whole = true;
  for (size_t i = 0; i < GH_COUNT(read_back); i++)
    whole = whole && gh_json_type_of(gh_json_member(row, read_back[i])) == GH_JSON_NUMBER;
  for (const gh_json *item = gh_json_first(row); item && whole; item = gh_json_next(item))
    whole = is_number_or_null(item) || !strcmp(gh_json_key(item), GH_MADE_BY) || is_waiting(item);
  return whole;
}

static bool has_scores(const gh_json *row) {
  const gh_json *scores = gh_json_member(row, "scores");
  bool whole = gh_json_type_of(scores) == GH_JSON_OBJECT && is_number_or_null(gh_json_member(row, "time"));
  for (const gh_json *score = gh_json_first(scores); score && whole; score = gh_json_next(score))
    whole = gh_json_type_of(score) == GH_JSON_NUMBER;
  return whole;
}

static bool keep_row(const char *line, size_t size, int stage, int64_t update, bool (*whole)(const gh_json *row)) {
  gh_json *row = NULL;
  gh_error ignored;
  int64_t s = 0, u = 0;
  bool keep = !gh_json_parse(&ignored, &row, "line", line, size, size + 1) &&
              !gh_json_get_int(&ignored, row, "stage", &s) && !gh_json_get_int(&ignored, row, "update", &u) &&
              whole(row) && position_is_kept(s, u, stage, update);
  gh_json_free(row);
  return keep;
}

static bool keep_metrics(const char *line, size_t size, int stage, int64_t update) {
  return keep_row(line, size, stage, update, has_numbers);
}

static bool keep_evaluation(const char *line, size_t size, int stage, int64_t update) {
  return keep_row(line, size, stage, update, has_scores);
}

static bool keep_log(const char *line, size_t size, int stage, int64_t update) {
  char text[200];
  int s = 0;
  long long u = 0;
  snprintf(text, sizeof text, "%.*s", (int)GH_MIN(size, sizeof text - 1), line);
  return sscanf(text, "stage %d update %lld/", &s, &u) == 2 && position_is_kept(s, u, stage, update);
}

/* Moves the lines to keep to the front; returns their size. A line without an end was cut off. */
static size_t keep_lines(char *bytes, size_t size, gh_line_test *keep, int stage, int64_t update) {
  size_t kept = 0;
  for (size_t at = 0; at < size;) {
    char *end = memchr(bytes + at, '\n', size - at);
    if (!end) break;
    size_t length = (size_t)(end - (bytes + at)) + 1;
    if (keep(bytes + at, length - 1, stage, update)) {
      memmove(bytes + kept, bytes + at, length);
      kept += length;
    }
    at += length;
  }
  return kept;
}

static gh_status rewind_file(gh_error *err, const char *path, gh_line_test *keep, int stage, int64_t update) {
  char *bytes = NULL;
  size_t size = 0;
  if (!gh_path_exists(path)) return GH_OK;
  gh_status status = gh_file_read(err, path, MAX_BYTES, &bytes, &size);
  if (status) return status;
  const size_t kept = keep_lines(bytes, size, keep, stage, update);
  if (kept != size) status = gh_file_write(err, path, bytes, kept);
  free(bytes);
  return status;
}

/* ---- lines of JSON ---- */

gh_status gh_metrics_lines(gh_error *err, const char *run, const char *name, gh_line_visit *visit, void *user) {
  char *path = gh_path_join(err, run, name), *bytes = NULL;
  size_t size = 0, line = 1;
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_file_read(err, path, MAX_BYTES, &bytes, &size);
  for (size_t at = 0; !status && at < size; line++) {
    const char *end = memchr(bytes + at, '\n', size - at);
    if (!end) break; /* still being written, or truncated by a kill */
    size_t length = (size_t)(end - (bytes + at));
    gh_json *row = NULL;
    status = gh_json_parse(err, &row, path, bytes + at, length, MAX_BYTES);
    if (!status && (status = visit(err, user, row))) gh_fail_in(err, "%s, line %zu", path, line);
    gh_json_free(row);
    at += length + 1;
  }
  free(bytes);
  free(path);
  return status;
}

gh_status gh_metrics_read_numbers(gh_error *err, const gh_json *line, gh_metrics_number *numbers, int *count) {
  static const char *const always[] = {"stage",
                                       "update",
                                       "loss",
                                       "grad_norm",
                                       "lr",
                                       "samples",
                                       "ms",
                                       "images_per_second",
                                       "time",
                                       GH_METRICS_RESIDENT,
                                       GH_METRICS_JOULES,
                                       WAITING,
                                       GH_MADE_BY};
  *count = 0;
  for (const gh_json *item = gh_json_first(line); item; item = gh_json_next(item)) {
    const char *key = gh_json_key(item);
    bool known = *count == GH_METRICS_NUMBERS;
    for (size_t i = 0; i < GH_COUNT(always); i++) known |= !strcmp(key, always[i]);
    if (known) continue;
    gh_metrics_number *n = &numbers[(*count)++];
    *n = (gh_metrics_number){key, NAN};
    if (gh_json_type_of(item) == GH_JSON_NULL) continue;
    gh_status status = gh_json_to_double(err, item, key, &n->value);
    if (status) return status;
  }
  return GH_OK;
}

/* Copies a line of metrics.jsonl to TensorBoard. Lines of versions that recorded no time have time 0. */
static gh_status replay_metrics(gh_error *err, void *run, const gh_json *line) {
  gh_metrics_row row = {0};
  double rate = 0;
  int64_t stage = 0;
  gh_status status = gh_json_get_int(err, line, "stage", &stage);
  if (!status) status = gh_json_get_int(err, line, "update", &row.update);
  if (!status) status = gh_json_get_double(err, line, "loss", &row.loss);
  if (!status) status = gh_json_get_double(err, line, "grad_norm", &row.norm);
  if (!status) status = gh_json_get_double(err, line, "lr", &row.learning_rate);
  if (!status) status = gh_json_get_int(err, line, "samples", &row.samples);
  if (!status) status = gh_json_get_double(err, line, "images_per_second", &rate);
  if (!status) status = gh_json_opt_double(err, line, "time", &row.time);
  if (!status) status = gh_metrics_read_numbers(err, line, row.numbers, &row.number_count);
  row.stage = (int)stage;
  row.seconds = (double)row.samples / rate;
  return status ? status : write_scalars(err, run, &row);
}

static gh_status replay_evaluation(gh_error *err, void *run, const gh_json *line) {
  gh_scalar scalars[MAX_SCALARS];
  char tags[MAX_SCALARS][TAG_BYTES];
  int64_t update = 0;
  double time = 0;
  size_t count = 0;
  gh_status status = gh_json_get_int(err, line, "update", &update);
  if (!status) status = gh_json_opt_double(err, line, "time", &time);
  const gh_json *score = status ? NULL : gh_json_first(gh_json_member(line, "scores"));
  for (; score && !status && count < MAX_SCALARS; score = gh_json_next(score), count++) {
    snprintf(tags[count], TAG_BYTES, "eval/%s", gh_json_key(score));
    scalars[count].tag = tags[count];
    status = gh_json_to_double(err, score, tags[count], &scalars[count].value);
  }
  return status ? status : gh_metrics_scalars(err, run, time, update, scalars, count);
}

static gh_status sign_events(gh_error *err, const char *path, const gh_json *made_by) {
  char *text = NULL;
  if (!made_by) return GH_OK;
  gh_status status = gh_json_print(err, &text, NULL, made_by, false);
  if (!status) status = gh_tfevents_text(err, path, gh_metrics_time(), 0, GH_MADE_BY, text);
  free(text);
  return status;
}

static gh_status replay(gh_error *err, const char *run, int stage, int64_t update, const gh_json *made_by) {
  char *path = gh_path_join(err, run, GH_RUN_EVENTS), *folder = path ? gh_path_folder(err, path) : NULL;
  gh_status status = folder ? gh_folder_make(err, folder) : GH_ERROR_MEMORY;
  if (!status) status = gh_folder_sweep(err, folder); /* remains of a kill at this point */
  if (!status) status = gh_tfevents_begin(err, path, gh_metrics_time());
  if (!status) status = sign_events(err, path, made_by);
  if (!status) status = gh_metrics_lines(err, run, "metrics.jsonl", replay_metrics, (void *)run);
  if (!status) status = gh_metrics_lines(err, run, "evaluations.jsonl", replay_evaluation, (void *)run);
  if (!status) status = gh_snapshot_events(err, run, stage, update);
  free(path);
  free(folder);
  return status;
}

static const struct {
  const char *name;
  gh_line_test *keep;
} logs[] = {{"metrics.jsonl", keep_metrics}, {"evaluations.jsonl", keep_evaluation}, {"train.log", keep_log}};

gh_status gh_metrics_rewind(gh_error *err, const char *run, int stage, int64_t update, const gh_json *made_by) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(logs) && !status; i++) {
    char *path = gh_path_join(err, run, logs[i].name);
    status = path ? rewind_file(err, path, logs[i].keep, stage, update) : GH_ERROR_MEMORY;
    free(path);
  }
  return status ? status : replay(err, run, stage, update, made_by);
}

gh_status gh_metrics_sync(gh_error *err, const char *run) {
  gh_status status = GH_OK;
  for (size_t i = 0; i <= GH_COUNT(logs) && !status; i++) {
    char *path = gh_path_join(err, run, i < GH_COUNT(logs) ? logs[i].name : GH_RUN_EVENTS);
    status = path ? gh_file_sync(err, path) : GH_ERROR_MEMORY;
    free(path);
  }
  return status ? status : gh_folder_sync(err, run);
}

/* ---- losses ---- */

typedef struct gh_losses {
  int stage;
  double *values;
  int64_t count;
  size_t capacity;
} gh_losses;

static gh_status take_loss(gh_error *err, void *user, const gh_json *row) {
  gh_losses *l = user;
  int64_t stage = 0;
  gh_status status = gh_json_get_int(err, row, "stage", &stage);
  if (status || stage != l->stage) return status;
  if (GH_ARRAY_RESERVE(err, l->values, l->capacity, (size_t)l->count, 1)) return GH_ERROR_MEMORY;
  return gh_json_get_double(err, row, "loss", &l->values[l->count++]);
}

gh_status gh_metrics_losses(gh_error *err, const char *run, int stage, double **losses, int64_t *count) {
  gh_losses l = {.stage = stage};
  gh_status status = gh_metrics_lines(err, run, "metrics.jsonl", take_loss, &l);
  *losses = l.values;
  *count = l.count;
  return status;
}
