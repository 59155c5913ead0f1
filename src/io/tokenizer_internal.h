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

/* The tokens that frame a line, by their keys in tokenizer_config.json: bos_token, eos_token, ... */
enum { GH_MARK_BEGIN, GH_MARK_END, GH_MARK_UNKNOWN, GH_MARK_PAD, GH_MARKS };

/* The two kinds: words cut by byte-pair encoding, and a whole line cut by SentencePiece. */
typedef struct gh_tokenizer_kind {
  /* Where the files say nothing: the marks' texts (NULL: there is no such mark) and the greatest length (0: none). */
  const char *marks[GH_MARKS];
  int64_t max_length;
  bool begins;      /* a line's ids begin with a mark */
  bool ends_once;   /* no mark of the end behind one that the line brought */
  bool marks_strip; /* a mark given as a plain text swallows the spaces around it */
  bool has_json;    /* tokenizer.json's list of added tokens counts */
  int32_t (*find)(const gh_tokenizer *t, const char *token);                          /* in the vocabulary; -1 */
  int64_t (*size)(const gh_tokenizer *t);                                             /* of the vocabulary */
  gh_status (*read_options)(gh_error *err, gh_tokenizer *t, const gh_json *settings); /* its own keys; NULL: none */
  /* Adds the ids of a whole line, without marks. */
  gh_status (*tokens_of)(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids);
} gh_tokenizer_kind;

extern const gh_tokenizer_kind gh_tokenizer_words, gh_tokenizer_pieces;

struct gh_tokenizer {
  const gh_tokenizer_kind *kind;
  gh_bpe *bpe;       /* of words, else NULL */
  gh_spiece *spiece; /* of pieces, else NULL; its model is `bytes` */
  char *bytes;
  gh_added_token *added;
  size_t added_count;
  int32_t begin, end, pad;
  int64_t max_length, vocabulary;
  bool lower; /* pieces: the line in lower case */
};

/* Reads tokenizer_config.json, special_tokens_map.json and the rest of tokenizer.json (may be NULL): the marks,
 * the added tokens, the greatest length. */
gh_status gh_tokenizer_read_settings(gh_error *err, gh_tokenizer *t, const char *folder, const gh_json *tokenizer);

/* The first added token of that kind in text[from..size), the longest at that position. [*start, *stop) is the matched
 * piece including the spaces it swallows. NULL if there is none. */
const gh_added_token *gh_find_added(const gh_tokenizer *t, bool normalized, const char *text, size_t from, size_t size,
                                    size_t *start, size_t *stop);

#endif
