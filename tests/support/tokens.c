#include "support/tokens.h"

#include "io/safetensors.h"
#include "io/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static int64_t *load_integers(const gh_safetensors *file, const char *name, const char *part) {
  gh_error err = {0};
  char *full = gh_format(&err, "%s.%s", name, part);
  const gh_st_tensor *t = gh_safetensors_find(file, full);
  assert_non_null(t);
  int64_t *out = gh_alloc(&err, (size_t)GH_MAX(t->elements, 1), sizeof *out);
  check_ok(gh_st_read_i64(&err, t, 0, t->elements, out));
  free(full);
  return out;
}

tokens_expected tokens_load(const char *lines, const char *path, const char *name) {
  gh_error err = {0};
  tokens_expected e = {0};
  gh_safetensors *file = NULL;
  size_t size = 0;
  char *text = NULL;
  check_ok(gh_file_read(&err, lines, (size_t)1 << 30, &text, &size)); /* gh_lines_read strips a "\r" */
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    check_ok(gh_strings_add(&err, &e.lines, line));
  }
  check_ok(gh_safetensors_open(&err, &file, path));
  e.ids = load_integers(file, name, "ids");
  e.ends = load_integers(file, name, "ends");
  gh_safetensors_close(file);
  free(text);
  return e;
}

void tokens_unload(tokens_expected *e) {
  gh_strings_free(&e->lines);
  free(e->ids);
  free(e->ends);
}

int tokens_differ(size_t line, const char *text, const int32_t *got, int64_t n, const int64_t *want, int64_t wanted) {
  bool equal = n == wanted;
  for (int64_t i = 0; i < n && equal; i++) equal = got[i] == want[i];
  if (equal) return 0;
  print_error("line %zu: \"%s\"\n  got     ", line + 1, text);
  for (int64_t i = 0; i < n; i++) print_error(" %d", (int)got[i]);
  print_error("\n  expected");
  for (int64_t i = 0; i < wanted; i++) print_error(" %d", (int)want[i]);
  print_error("\n");
  return 1;
}

int tokens_compare(const char *model, const tokens_expected *e, int64_t length, bool left) {
  gh_error err = {0};
  gh_tokenizer *t = NULL;
  int wrong = 0;
  check_ok(gh_tokenizer_open(&err, &t, model));
  if (!length) length = gh_tokenizer_max_length(t);
  assert_true(length <= TOKENS_LONGEST);
  int32_t ids[TOKENS_LONGEST], pad;
  check_ok(gh_tokenizer_encode(&err, t, "", length, ids));
  pad = ids[left ? 0 : length - 1];
  for (size_t i = 0; i < e->lines.count && wrong < 20; i++) {
    int64_t start = i ? e->ends[i - 1] : 0, n = e->ends[i] - start, own = left ? length - n : 0;
    check_ok(gh_tokenizer_encode(&err, t, e->lines.items[i], length, ids));
    for (int64_t j = n; j < length; j++) wrong += ids[left ? j - n : j] != pad;
    wrong += tokens_differ(i, e->lines.items[i], ids + own, n, e->ids + start, n);
  }
  assert_true(e->lines.count > 100);
  gh_tokenizer_close(t);
  return wrong;
}
