#include "io/csv.h"
#include "base/array.h"
#include "base/file.h"
#include "base/incomplete.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)1 << 28)

typedef struct gh_scan {
  gh_error *err;
  const char *name, *at, *end;
  size_t line;
  char separator;
  char *field; /* as large as the whole text: no field is longer */
} gh_scan;

static gh_status add_row(gh_scan *s, gh_csv *csv) {
  if (GH_ARRAY_RESERVE(s->err, csv->rows, csv->capacity, csv->count, 1)) return GH_ERROR_MEMORY;
  csv->rows[csv->count++] = (gh_csv_row){.line = s->line};
  return GH_OK;
}

static bool at_line_end(const gh_scan *s) {
  return s->at == s->end || *s->at == '\n' || (*s->at == '\r' && s->at + 1 < s->end && s->at[1] == '\n');
}

/* Reads the field at s->at without its quotes; stops at its terminator. */
static gh_status read_field(gh_scan *s) {
  size_t n = 0, first = s->line;
  if (s->separator == ',' && s->at < s->end && *s->at == '"') {
    for (s->at++;; s->at++) {
      if (s->at == s->end)
        return gh_fail(s->err, GH_ERROR_FORMAT, "%s, line %zu: a quote is not closed", s->name, first);
      if (*s->at == '"') {
        if (s->at + 1 == s->end || s->at[1] != '"') break;
        s->at++;
      }
      s->line += *s->at == '\n';
      s->field[n++] = *s->at;
    }
    s->at++;
    if (!at_line_end(s) && *s->at != s->separator)
      return gh_fail(s->err, GH_ERROR_FORMAT, "%s, line %zu: text after a closing quote", s->name, s->line);
  } else {
    while (!at_line_end(s) && *s->at != s->separator) s->field[n++] = *s->at++;
  }
  s->field[n] = 0;
  return GH_OK;
}

static gh_status read_row(gh_scan *s, gh_csv *csv) {
  gh_status status = add_row(s, csv);
  if (status) return status;
  gh_csv_row *row = &csv->rows[csv->count - 1];
  for (;;) {
    status = read_field(s);
    if (!status) status = gh_strings_add(s->err, &row->fields, s->field);
    if (status) return status;
    if (at_line_end(s)) break;
    s->at++; /* the separator */
  }
  if (s->at < s->end) {
    s->at += *s->at == '\r' ? 2 : 1;
    s->line++;
  }
  if (row->fields.count == 1 && !row->fields.items[0][0]) { /* an empty line */
    gh_strings_free(&row->fields);
    csv->count--;
  }
  return GH_OK;
}

gh_status gh_csv_parse(gh_error *err, gh_csv *out, const char *name, const char *text, size_t size, char separator) {
  *out = (gh_csv){0};
  if (!gh_utf8_valid(text, size) || memchr(text, 0, size))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: not UTF-8 text", name);
  gh_scan s = {.err = err, .name = name, .at = text, .end = text + size, .line = 1, .separator = separator};
  if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) s.at += 3;
  s.field = gh_alloc(err, size + 1, 1);
  gh_status status = s.field ? GH_OK : GH_ERROR_MEMORY;
  while (!status && s.at < s.end) status = read_row(&s, out);
  free(s.field);
  if (status) gh_csv_free(out);
  return status;
}

gh_status gh_csv_read(gh_error *err, gh_csv *out, const char *path, char separator) {
  char *text = NULL;
  size_t size = 0;
  *out = (gh_csv){0};
  gh_status status = gh_file_read(err, path, MAX_BYTES, &text, &size);
  if (!status) status = gh_refuse_wide_text(err, path, text, size);
  if (!status) status = gh_csv_parse(err, out, path, text, size, separator);
  free(text);
  return status;
}

void gh_csv_free(gh_csv *csv) {
  for (size_t i = 0; i < csv->count; i++) gh_strings_free(&csv->rows[i].fields);
  free(csv->rows);
  *csv = (gh_csv){0};
}
