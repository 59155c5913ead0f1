#include "bench/results.h"
#include "base/array.h"
#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 28)
#define MAX_LINE ((size_t)1 << 20)

void gh_results_free(gh_results *rows) {
  for (size_t i = 0; i < rows->count; i++) gh_result_free(&rows->items[i]);
  free(rows->items);
  *rows = (gh_results){0};
}

gh_result *gh_results_add(gh_error *err, gh_results *rows) {
  if (GH_ARRAY_RESERVE(err, rows->items, rows->capacity, rows->count, 1)) return NULL;
  gh_result *row = &rows->items[rows->count++];
  gh_result_init(row);
  return row;
}

gh_status gh_results_move(gh_error *err, gh_results *to, gh_results *from) {
  if (GH_ARRAY_RESERVE(err, to->items, to->capacity, to->count, from->count)) return GH_ERROR_MEMORY;
  if (from->count) memcpy(to->items + to->count, from->items, from->count * sizeof *from->items);
  to->count += from->count;
  from->count = 0;
  return GH_OK;
}

void gh_results_drop(gh_results *rows, bool (*drop)(const gh_result *row, const void *user), const void *user) {
  size_t kept = 0;
  for (size_t i = 0; i < rows->count; i++) {
    if (drop(&rows->items[i], user))
      gh_result_free(&rows->items[i]);
    else
      rows->items[kept++] = rows->items[i];
  }
  rows->count = kept;
}

/* ---- reading ---- */

static gh_status read_line(gh_error *err, gh_results *rows, const char *name, const char *line, size_t size) {
  gh_json *json = NULL;
  gh_result *row = NULL;
  gh_status status = gh_json_parse(err, &json, name, line, size, MAX_LINE);
  if (!status && !(row = gh_results_add(err, rows))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_result_from_json(err, row, name, json);
  gh_json_free(json);
  return status;
}

static gh_status read_lines(gh_error *err, gh_results *rows, const char *path, const char *text, size_t size) {
  gh_status status = GH_OK;
  const char *end = text + size;
  for (int line = 1; text < end && !status; line++) {
    const char *next = memchr(text, '\n', (size_t)(end - text));
    if (!next) {
      gh_warn("%s: line %d has no end, as after an interrupted write: ignored", path, line);
      break;
    }
    char name[512];
    snprintf(name, sizeof name, "%s, line %d", path, line);
    if (next > text) status = read_line(err, rows, name, text, (size_t)(next - text));
    text = next + 1;
  }
  return status;
}

static gh_status read_file(gh_error *err, gh_results *rows, const char *path) {
  char *text = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, path, MAX_FILE, &text, &size);
  if (!status) status = read_lines(err, rows, path, text, size);
  free(text);
  return status;
}

gh_status gh_results_read(gh_error *err, gh_results *rows, const char *path) {
  gh_strings names = {0};
  if (gh_path_is_file(path)) return read_file(err, rows, path);
  if (!gh_path_is_folder(path)) return gh_fail(err, GH_ERROR_FILE, "%s: no such folder or file of results", path);
  gh_status status = gh_folder_list(err, &names, path, false);
  int files = 0;
  for (size_t i = 0; i < names.count && !status; i++) {
    if (!gh_ends_with(names.items[i], ".jsonl")) continue;
    char *file = gh_path_join(err, path, names.items[i]);
    status = file ? read_file(err, rows, file) : GH_ERROR_MEMORY;
    free(file);
    files++;
  }
  if (!status && !files)
    status = gh_fail(err, GH_ERROR_FILE,
                     "%s: there is no file of JSON lines; `bench suite --out DIR` writes rows.jsonl", path);
  gh_strings_free(&names);
  return status;
}

/* ---- writing ---- */

static gh_status print_line(gh_error *err, char **text, size_t *size, const gh_result *row) {
  gh_json *json = NULL;
  gh_status status = gh_result_to_json(err, &json, row);
  if (!status) status = gh_json_print(err, text, size, json, false);
  gh_json_free(json);
  return status;
}

gh_status gh_results_append(gh_error *err, const char *path, const gh_result *rows, size_t count) {
  char *all = NULL;
  size_t used = 0, capacity = 0;
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) {
    char *text = NULL;
    size_t size = 0;
    status = print_line(err, &text, &size, &rows[i]);
    if (!status) status = GH_ARRAY_RESERVE(err, all, capacity, used, size + 1);
    if (!status) {
      memcpy(all + used, text, size);
      all[used + size] = '\n';
      used += size + 1;
    }
    free(text);
  }
  if (!status && used) status = gh_file_append(err, path, all, used);
  free(all);
  return status;
}

static gh_status write_text(gh_error *err, gh_file_writer *to, const char *text, const char *end) {
  gh_status status = gh_file_writer_write(err, to, text, strlen(text));
  return status ? status : gh_file_writer_write(err, to, end, strlen(end));
}

static gh_status write_json_row(gh_error *err, gh_file_writer *to, const gh_result *row) {
  char *text = NULL;
  gh_status status = print_line(err, &text, NULL, row);
  if (!status) status = write_text(err, to, text, "\n");
  free(text);
  return status;
}

static gh_status write_csv_row(gh_error *err, gh_file_writer *to, const gh_result *row) {
  gh_status status = GH_OK;
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++) {
    char *cell = gh_result_csv_cell(err, row, (gh_result_field)f);
    status = cell ? write_text(err, to, cell, f + 1 < GH_RESULT_COUNT ? "," : "\n") : GH_ERROR_MEMORY;
    free(cell);
  }
  return status;
}

static gh_status write_head(gh_error *err, gh_file_writer *to) {
  gh_status status = GH_OK;
  for (int f = 0; f < GH_RESULT_COUNT && !status; f++)
    status = write_text(err, to, gh_result_name((gh_result_field)f), f + 1 < GH_RESULT_COUNT ? "," : "\n");
  return status;
}

static gh_status write_all(gh_error *err, const gh_results *rows, const char *folder, const char *name,
                           gh_status (*head)(gh_error *err, gh_file_writer *to),
                           gh_status (*write)(gh_error *err, gh_file_writer *to, const gh_result *row)) {
  gh_file_writer *to = NULL;
  char *path = gh_path_join(err, folder, name);
  gh_status status = path ? gh_file_writer_open(err, &to, path) : GH_ERROR_MEMORY;
  if (!status && head) status = head(err, to);
  for (size_t i = 0; i < rows->count && !status; i++) status = write(err, to, &rows->items[i]);
  if (!status) status = gh_file_writer_commit(err, to);
  gh_file_writer_free(to);
  free(path);
  return status;
}

gh_status gh_results_write(gh_error *err, const gh_results *rows, const char *folder) {
  gh_status status = write_all(err, rows, folder, "rows.jsonl", NULL, write_json_row);
  return status ? status : write_all(err, rows, folder, "rows.csv", write_head, write_csv_row);
}
