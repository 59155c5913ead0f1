/* Shared by the parts of the tokenizer. */
#ifndef GH_IO_TOKENIZER_INTERNAL_H
#define GH_IO_TOKENIZER_INTERNAL_H

#include "io/spiece.h"
#include "io/tokenizer.h"
#include "io/unicode.h"

/* A token that is matched in the line itself. */
typedef struct gh_added_token {
  char *text;
  int32_t id;
  bool normalized;  /* matched in the normalised line */
  bool left, right; /* swallows the spaces on that side */
  bool special;
} gh_added_token;

struct gh_tokenizer {
  gh_bpe *bpe;       /* CLIP's, or NULL */
  gh_spiece *spiece; /* SigLIP's, or NULL; its model is `bytes` */
  char *bytes;
  gh_added_token *added;
  size_t added_count;
  int32_t begin, end, pad;
  int64_t max_length, vocabulary;
  bool lower; /* SigLIP: the line in lower case */
};

/* Reads tokenizer_config.json, special_tokens_map.json and the rest of tokenizer.json (may be NULL): the marks,
 * the added tokens, the greatest length. */
gh_status gh_tokenizer_read_settings(gh_error *err, gh_tokenizer *t, const char *folder, const gh_json *tokenizer);
int32_t gh_tokenizer_find(const gh_tokenizer *t, const char *token); /* in the vocabulary; -1 */

/* The first added token of that kind in text[from..size), the longest at that position. [*start, *stop) is the matched
 * piece including the spaces it swallows. NULL if there is none. */
const gh_added_token *gh_find_added(const gh_tokenizer *t, bool normalized, const char *text, size_t from, size_t size,
                                    size_t *start, size_t *stop);

/* Adds the ids of a whole line, without marks. */
gh_status gh_clip_tokens_of(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids);
gh_status gh_siglip_tokens_of(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids);

#endif
