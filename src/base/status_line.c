#include "base/status_line.h"
#include "base/status.h"
#include "base/terminal.h"
#include "base/utf8.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define BAR_LEAST 8
#define BAR_MOST  24

/* Scripts from Hangul's jamo on may be two columns wide: counted so, a line is never too long. */
#define FIRST_WIDE 0x1100

/* The column width and the bytes of the first character. */
static int character(const char *text, size_t *bytes) {
  uint32_t code = 0;
  *bytes = gh_utf8_read(text, strlen(text), &code);
  if (!*bytes) *bytes = 1;
  return code >= FIRST_WIDE ? 2 : 1;
}

int gh_text_columns(const char *text) {
  int columns = 0;
  for (size_t bytes; *text; text += bytes) columns += character(text, &bytes);
  return columns;
}

size_t gh_text_fit(const char *text, int columns) {
  size_t used = 0;
  for (size_t bytes; text[used]; used += bytes) {
    columns -= character(text + used, &bytes);
    if (columns < 0) break;
  }
  return used;
}

enum { WHAT, COUNT, UNIT, NOTE, RATE, LEFT, MEMORY, DEVICE, PARTS };

typedef struct part {
  const char *before, *text;
  bool shown;
} part;

static void append(char out[GH_STATUS_LINE_SIZE], const char *text) {
  size_t used = strlen(out);
  snprintf(out + used, GH_STATUS_LINE_SIZE - used, "%s", text);
}

static void append_bar(char out[GH_STATUS_LINE_SIZE], double share, int width, bool colours) {
  char bar[BAR_MOST + 1];
  int full = (int)(GH_MIN(share, 1) * width);
  memset(bar, '#', (size_t)width);
  bar[width] = 0;
  append(out, " [");
  if (colours) append(out, GH_TERMINAL_GREEN);
  append(out, bar + width - full);
  if (colours) append(out, GH_TERMINAL_PLAIN);
  memset(bar, '.', (size_t)width);
  append(out, bar + full);
  append(out, "]");
}

/* Marks the parts that fit, the most needed first; returns the columns that are left. */
static int choose(part parts[PARTS], int columns) {
  static const int order[] = {COUNT, LEFT, NOTE, RATE, MEMORY, DEVICE, UNIT};
  parts[WHAT].shown = true;
  columns -= gh_text_columns(parts[WHAT].text);
  for (size_t i = 0; i < GH_COUNT(order); i++) {
    part *p = &parts[order[i]];
    int width = gh_text_columns(p->before) + gh_text_columns(p->text);
    if (!*p->text || width > columns) continue;
    p->shown = true;
    columns -= width;
  }
  return columns;
}

static void compose(char out[GH_STATUS_LINE_SIZE], const gh_status_line *s, int columns, bool log, bool colours) {
  part parts[PARTS] = {[WHAT] = {"", s->what, false},       [COUNT] = {log ? ": " : " ", s->count, false},
                       [UNIT] = {" ", s->unit, false},      [NOTE] = {", ", s->note, false},
                       [RATE] = {", ", s->rate, false},     [LEFT] = {", ", s->left, false},
                       [MEMORY] = {", ", s->memory, false}, [DEVICE] = {", ", s->device, false}};
  int room = choose(parts, columns), bar = GH_MIN(room - 3, BAR_MOST); /* blank and brackets */
  out[0] = 0;
  for (int i = 0; i < PARTS; i++) {
    if (!parts[i].shown) continue;
    append(out, parts[i].before);
    append(out, parts[i].text);
    if (i == WHAT && !log && s->share >= 0 && bar >= BAR_LEAST) append_bar(out, s->share, bar, colours);
  }
}

void gh_status_line_fit(char out[GH_STATUS_LINE_SIZE], const gh_status_line *line, int columns, bool colours) {
  compose(out, line, columns, false, colours);
  if (gh_text_columns(line->what) > columns) out[gh_text_fit(out, GH_MAX(columns, 0))] = 0;
}

void gh_status_line_log(char out[GH_STATUS_LINE_SIZE], const gh_status_line *line) {
  compose(out, line, INT_MAX, true, false);
}
