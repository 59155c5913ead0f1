/* Comma-separated values (RFC 4180): quoted fields with "" inside, CRLF or LF. A UTF-8 byte order mark and empty lines
 * are skipped. */
#ifndef GH_IO_CSV_H
#define GH_IO_CSV_H

#include "base/text.h"

typedef struct gh_csv_row {
  gh_strings fields;
  size_t line; /* where it begins, from 1 */
} gh_csv_row;

typedef struct gh_csv {
  gh_csv_row *rows;
  size_t count, capacity;
} gh_csv;

/* `name` begins the error text. A quote that is never closed, text after a closing quote, a zero byte and
 * text that is not UTF-8 are GH_ERROR_FORMAT with the line. separator: ',' or '\t'; with '\t' quotes are plain text. */
gh_status gh_csv_parse(gh_error *err, gh_csv *out, const char *name, const char *text, size_t size, char separator);
gh_status gh_csv_read(gh_error *err, gh_csv *out, const char *path, char separator);
void gh_csv_free(gh_csv *csv); /* an empty one is fine */

#endif
