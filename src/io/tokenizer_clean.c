/* What is done to a line before the tokenizer sees it. */
#include "io/tokenizer_internal.h"

#include <string.h>

gh_status gh_text_clean(gh_error *err, gh_buffer_text *out, const char *text, size_t size, gh_clean_steps steps) {
  gh_buffer_text lower = {0};
  size_t first = out->size;
  gh_status status = steps.lower ? gh_text_lower(err, &lower, text, size, true) : gh_text_add(err, &lower, text, size);
  bool space = false;
  for (size_t at = 0; at < lower.size && !status;) {
    int32_t point = gh_utf8_next(lower.bytes, lower.size, &at);
    if (steps.underscores && point == '_') point = ' ';
    if (steps.no_punctuation && point < 128 && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", point)) continue;
    if (gh_is_python_space(point)) {
      space = out->size > first;
      continue;
    }
    if (space) status = gh_text_add(err, out, " ", 1);
    space = false;
    if (!status) status = gh_text_add_point(err, out, point);
  }
  gh_text_free(&lower);
  return status;
}

gh_status gh_tokenizer_clean_line(gh_error *err, gh_buffer_text *out, gh_clean clean, const char *line, size_t size) {
  static const gh_clean_steps steps[] = {
      [GH_CLEAN_SPACES] = {0},
      [GH_CLEAN_LOWER] = {.lower = true},
      [GH_CLEAN_CANONICAL] = {.lower = true, .no_punctuation = true, .underscores = true},
  };
  gh_buffer_text composed = {0};
  gh_status status = gh_text_add(err, out, "", 0); /* zero-terminated even if nothing is left */
  if (!status) status = gh_text_compose(err, &composed, line, size);
  if (!status) status = gh_text_clean(err, out, composed.bytes, composed.size, steps[clean]);
  gh_text_free(&composed);
  return status;
}
