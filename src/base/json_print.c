/* The writing half of json.h. The library's printer rounds some doubles; the output of this one always reads back
 * exactly. */
#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct buffer {
  gh_error *err;
  char *text;
  size_t size, capacity;
  gh_status status; /* the first failure; later appends do nothing */
} buffer;

static void append(buffer *b, const char *text, size_t size) {
  if (b->status) return;
  b->status = GH_ARRAY_RESERVE(b->err, b->text, b->capacity, b->size, size + 1);
  if (b->status) return;
  memcpy(b->text + b->size, text, size);
  b->size += size;
}

static void append_text(buffer *b, const char *text) { append(b, text, strlen(text)); }

/* JSON has 16-bit units: a pair of surrogates for larger codes. */
static void escape(char *out, size_t size, uint32_t code) {
  if (code < 0x10000)
    snprintf(out, size, "\\u%04x", code);
  else
    snprintf(out, size, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
}

/* Hidden characters are escaped, so that results can be shown as they are (base/utf8.h). */
static void print_string(buffer *b, const char *text) {
  static const struct {
    char c;
    const char *escaped;
  } table[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\t', "\\t"}, {'\r', "\\r"}};
  append(b, "\"", 1);
  for (size_t left = strlen(text), length; left; text += length, left -= length) {
    char escaped[16] = "";
    uint32_t code = 0;
    length = gh_utf8_read(text, left, &code);
    for (size_t i = 0; i < GH_COUNT(table); i++)
      if (*text == table[i].c) snprintf(escaped, sizeof escaped, "%s", table[i].escaped);
    if (!escaped[0] && length && gh_code_is_hidden(code)) escape(escaped, sizeof escaped, code);
    if (!length) length = 1; /* not reached: texts of a document are valid */
    if (escaped[0])
      append_text(b, escaped);
    else
      append(b, text, length);
  }
  append(b, "\"", 1);
}

static void print_number(buffer *b, double value) {
  char text[40];
  if (value == floor(value) && fabs(value) <= (double)GH_JSON_MAX_INTEGER) {
    snprintf(text, sizeof text, "%.0f", value);
  } else {
    for (int digits = 1; digits <= 17; digits++) { /* 17 digits always read back exactly */
      snprintf(text, sizeof text, "%.*g", digits, value);
      if (strtod(text, NULL) == value) break;
    }
  }
  append_text(b, text);
}

static void new_line(buffer *b, bool indented, int level) {
  if (!indented) return;
  append(b, "\n", 1);
  for (int i = 0; i < level; i++) append(b, "  ", 2);
}

static void print_value(buffer *b, const gh_json *node, bool indented, int level);

static void print_children(buffer *b, const gh_json *node, bool indented, int level) {
  for (const gh_json *item = gh_json_first(node); item; item = gh_json_next(item)) {
    new_line(b, indented, level + 1);
    if (gh_json_type_of(node) == GH_JSON_OBJECT) {
      print_string(b, gh_json_key(item));
      append_text(b, indented ? ": " : ":");
    }
    print_value(b, item, indented, level + 1);
    if (gh_json_next(item)) append(b, ",", 1);
  }
  if (gh_json_first(node)) new_line(b, indented, level);
}

static void print_value(buffer *b, const gh_json *node, bool indented, int level) {
  double number = 0;
  bool truth = false;
  const char *text = "";
  switch (gh_json_type_of(node)) {
  case GH_JSON_NULL:
    append_text(b, "null");
    return;
  case GH_JSON_BOOL:
    gh_json_to_bool(NULL, node, "", &truth);
    append_text(b, truth ? "true" : "false");
    return;
  case GH_JSON_NUMBER:
    gh_json_to_double(NULL, node, "", &number);
    print_number(b, number);
    return;
  case GH_JSON_STRING:
    gh_json_to_string(NULL, node, "", &text);
    print_string(b, text);
    return;
  case GH_JSON_ARRAY:
    append(b, "[", 1);
    print_children(b, node, indented, level);
    append(b, "]", 1);
    return;
  case GH_JSON_OBJECT:
    append(b, "{", 1);
    print_children(b, node, indented, level);
    append(b, "}", 1);
    return;
  }
}

static gh_status print(gh_error *err, char **text, size_t *size, const gh_json *node, bool indented, bool newline) {
  buffer b = {.err = err};
  *text = NULL;
  print_value(&b, node, indented, 0);
  if (newline) append(&b, "\n", 1);
  append(&b, "", 1);
  gh_status status = b.status;
  if (status) {
    free(b.text);
    return status;
  }
  *text = b.text;
  if (size) *size = b.size - 1;
  return GH_OK;
}

gh_status gh_json_print(gh_error *err, char **text, size_t *size, const gh_json *node, bool indented) {
  return print(err, text, size, node, indented, indented);
}

static gh_status print_to(gh_error *err, const char *path, const gh_json *node, bool indented,
                          gh_status (*write)(gh_error *, const char *, const void *, size_t)) {
  char *text;
  size_t size;
  gh_status status = print(err, &text, &size, node, indented, true);
  if (status) return status;
  status = write(err, path, text, size);
  free(text);
  return status;
}

gh_status gh_json_write_file(gh_error *err, const char *path, const gh_json *node) {
  return print_to(err, path, node, true, gh_file_write);
}

gh_status gh_json_append_line(gh_error *err, const char *path, const gh_json *node) {
  return print_to(err, path, node, false, gh_file_append);
}
