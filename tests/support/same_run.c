#include "support/same_run.h"
#include "support/check.h"

#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

/* Removes the timings from every line: from `mark` on, to the end of the number after `last`, or (NULL) of the line. */
static void drop_timings(char *text, const char *mark, const char *last) {
  char *to = text;
  for (char *line = text, *next; *line; line = next) {
    char *end = strchr(line, '\n'), *cut = strstr(line, mark);
    end = end ? end : line + strlen(line);
    next = *end ? end + 1 : end;
    cut = cut && cut < end ? cut : end;
    char *rest = last && cut < end ? strstr(cut, last) : NULL;
    rest = rest && rest < end ? rest + strcspn(rest, ",}") : end;
    memmove(to, line, (size_t)(cut - line));
    to += cut - line;
    memmove(to, rest, (size_t)(next - rest));
    to += next - rest;
  }
  *to = 0;
}

char *same_run_content(const char *run, const char *name, size_t *size) {
  char *path = gh_path_join(&err, run, name), *bytes;
  check_ok(gh_file_read(&err, path, 1 << 28, &bytes, size));
  if (!strcmp(name, "metrics.jsonl")) drop_timings(bytes, ",\"ms\":", "\"time\":");
  if (!strcmp(name, "train.log")) drop_timings(bytes, " | ", NULL);
  if (gh_ends_with(name, ".jsonl") || gh_ends_with(name, ".log")) *size = strlen(bytes);
  if (gh_starts_with(name, "tensorboard/")) memset(bytes, 0, *size); /* times and rates; events have a fixed size */
  free(path);
  return bytes;
}

int same_run_lines(const char *run) {
  size_t size;
  char *text = same_run_content(run, "metrics.jsonl", &size);
  int lines = 0;
  for (char *p = text; *p; p++) lines += *p == '\n';
  free(text);
  return lines;
}

static bool has_temporary(const char *folder) {
  char *command = gh_format(&err, "find '%s' -name '*.tmp' -o -name .building | grep -q .", folder);
  int status = system(command);
  free(command);
  return status == 0;
}

void same_run(const char *a, const char *b, const char *moment) {
  gh_strings want = {0}, got = {0};
  check_ok(gh_folder_list(&err, &want, a, true));
  check_ok(gh_folder_list(&err, &got, b, true));
  assert_true(want.count > 6);
  for (size_t i = 0; i < want.count; i++) {
    size_t size_a, size_b;
    char *path = gh_path_join(&err, b, want.items[i]);
    if (!gh_path_exists(path)) fail_msg("%s: no %s", moment, want.items[i]);
    char *x = same_run_content(a, want.items[i], &size_a), *y = same_run_content(b, want.items[i], &size_b);
    if (size_a != size_b || memcmp(x, y, size_a)) fail_msg("%s: %s differs", moment, want.items[i]);
    free(x);
    free(y);
    free(path);
  }
  for (size_t i = 0; i < got.count; i++) {
    bool known = gh_starts_with(got.items[i], "state/");
    for (size_t k = 0; k < want.count; k++) known |= !strcmp(got.items[i], want.items[k]);
    if (!known) fail_msg("%s: %s is left over", moment, got.items[i]);
  }
  if (has_temporary(b)) fail_msg("%s: temporary files are left over", moment);
  gh_strings_free(&want);
  gh_strings_free(&got);
}
