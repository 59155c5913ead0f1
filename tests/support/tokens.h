/* Lines and the tokens that transformers gives them (tests/reference/make_tokens.py). */
#ifndef GH_TESTS_SUPPORT_TOKENS_H
#define GH_TESTS_SUPPORT_TOKENS_H

#include "base/file.h"
#include "support/check.h"

#define TOKENS_LONGEST 80 /* ids of a line */

typedef struct tokens_expected {
  gh_strings lines;
  int64_t *ids, *ends; /* of line i: [ends[i - 1], ends[i]) */
} tokens_expected;

/* The lines of the file, and the ids called `name` of the safetensors file. */
tokens_expected tokens_load(const char *lines, const char *file, const char *name);
void tokens_unload(tokens_expected *e);

/* Reports a line whose tokens differ; 1 if they do. */
int tokens_differ(size_t line, const char *text, const int32_t *got, int64_t n, const int64_t *want, int64_t wanted);

/* Tokenizes every line with the tokenizer of `model`, padded to `length` (0: its greatest); checks the padding, too, on
 * the left or on the right. Returns how much differs. */
int tokens_compare(const char *model, const tokens_expected *e, int64_t length, bool left);

#endif
