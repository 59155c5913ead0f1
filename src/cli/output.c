/* What commands write: tables on stdout, and whether a file can be written. */
#include "base/file.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_COLUMNS 12

void gh_print_line(const char *format, ...) {
  char text[2 * GH_ERROR_TEXT_SIZE]; /* longer text is truncated */
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  gh_text_show(text);
  puts(text);
}

gh_status gh_cell(gh_error *err, gh_strings *cells, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  gh_text_show(text);
  return gh_strings_add(err, cells, text);
}

/* In characters, not bytes: continuation bytes of UTF-8 have no width. */
static int width_of(const char *text) {
  int width = 0;
  for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
  return width;
}

static void print_row(const char *const *row, const char *align, int columns, const int *widths) {
  for (int c = 0; c < columns; c++) {
    int room = widths[c] - width_of(row[c]);
    bool last = c + 1 == columns;
    if (align[c] == 'r') printf("%*s", room, "");
    fputs(row[c], stdout);
    if (align[c] != 'r' && !last) printf("%*s", room, "");
    fputs(last ? "\n" : "  ", stdout);
  }
}

void gh_print_table(const char *const *heads, const char *align, int columns, const gh_strings *cells) {
  int widths[MAX_COLUMNS] = {0};
  columns = GH_MIN(columns, MAX_COLUMNS);
  for (int c = 0; c < columns; c++) widths[c] = width_of(heads[c]);
  for (size_t i = 0; i < cells->count; i++) {
    int *w = &widths[i % (size_t)columns];
    *w = GH_MAX(*w, width_of(cells->items[i]));
  }
  print_row(heads, align, columns, widths);
  for (size_t i = 0; i + (size_t)columns <= cells->count; i += (size_t)columns)
    print_row((const char *const *)cells->items + i, align, columns, widths);
}

gh_status gh_output_check(gh_error *err, const gh_args *args, const char *option) {
  const char *path = gh_args_text(args, option);
  if (!path) return GH_OK;
  char *folder = gh_path_folder(err, path);
  if (!folder) return GH_ERROR_MEMORY;
  gh_path_kind kind = GH_PATH_ABSENT;
  gh_status status = gh_path_look(err, path, &kind);
  if (status)
    gh_fail_in(err, "--%s", option);
  else if (!gh_path_is_folder(folder))
    status = gh_fail(err, GH_ERROR_FILE, "--%s %s: there is no folder %s", option, path, folder);
  else if (kind == GH_PATH_FOLDER)
    status = gh_fail(err, GH_ERROR_FILE, "--%s %s: is a folder", option, path);
  else if (access(kind == GH_PATH_OTHER ? path : folder, W_OK)) /* a file is replaced */
    status = gh_fail(err, GH_ERROR_FILE, "--%s %s: cannot be written: %s", option, path, strerror(errno));
  else
    gh_file_sweep(folder, gh_path_name(path)); /* of a command that was killed while it wrote */
  free(folder);
  return status;
}
