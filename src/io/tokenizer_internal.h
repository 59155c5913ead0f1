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
  bool listed; /* in a list of added tokens, which says the rest */
} gh_added_token;

/* The tokens that frame a line, by their keys in tokenizer_config.json: bos_token, eos_token, ...; and others that are
 * only matched in it. */
enum {
  GH_MARK_BEGIN,
  GH_MARK_END,
  GH_MARK_UNKNOWN,
  GH_MARK_PAD,
  GH_MARK_MASK,
  GH_MARK_SEPARATOR,
  GH_MARK_CLASS,
  GH_MARKS
};

#define GH_UNDERLINE "\xe2\x96\x81" /* SentencePiece's space */

/* The kinds: words cut by byte-pair encoding, and all the characters of a line; a whole line cut by SentencePiece, and
 * its words. */
typedef struct gh_tokenizer_kind {
  /* Where the files say nothing: the marks' texts (NULL: there is no such mark) and the greatest length (0: none). */
  const char *marks[GH_MARKS];
  int64_t max_length;
  bool begins;      /* a line's ids begin with a mark */
  bool ends_once;   /* no mark of the end behind one that the line brought */
  bool marks_strip; /* a mark given as a plain text swallows the spaces around it */
  bool has_json;    /* tokenizer.json's added tokens count */
  int32_t (*find)(const gh_tokenizer *t, const char *token); /* in the vocabulary; -1 */
  int64_t (*size)(const gh_tokenizer *t);                    /* of the vocabulary */
  bool (*has)(const gh_tokenizer *t, int32_t id);            /* a token of the vocabulary has that id */
  /* Its own keys of tokenizer_config.json and tokenizer.json (NULL: there is none); NULL: it has none. */
  gh_status (*read_options)(gh_error *err, gh_tokenizer *t, const gh_json *settings, const gh_json *tokenizer);
  /* Adds the ids of a whole line, without marks. */
  gh_status (*tokens_of)(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids);
  /* For gh_tokens_between_added: the normalised text, and the ids of some of that. */
  gh_status (*normalize)(gh_error *err, const gh_tokenizer *t, gh_buffer_text *out, const char *text, size_t size);
  gh_status (*cut)(gh_error *err, const gh_tokenizer *t, const char *text, size_t size, gh_ids *ids);
} gh_tokenizer_kind;

extern const gh_tokenizer_kind gh_tokenizer_words, gh_tokenizer_chars, gh_tokenizer_pieces, gh_tokenizer_sentences;

struct gh_tokenizer {
  const gh_tokenizer_kind *kind;
  gh_bpe *bpe;       /* of words and characters, else NULL */
  gh_spiece *spiece; /* of pieces and sentences, else NULL; its model is `bytes` */
  char *bytes;
  gh_added_token *added;
  size_t added_count;
  int32_t begin, end, pad;
  int64_t max_length, vocabulary;
  bool begins, ends; /* the line's ids have that mark */
  bool pad_left;
  bool lower; /* pieces, characters: the line in lower case */
  gh_clean clean;
};

/* Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and the rest of tokenizer.json (may be NULL):
 * the marks, the added tokens, the greatest length. */
gh_status gh_tokenizer_read_settings(gh_error *err, gh_tokenizer *t, const char *folder, const gh_json *tokenizer);

/* The same without files. */
gh_status gh_tokenizer_default_settings(gh_error *err, gh_tokenizer *t);

/* The first added token of that kind in text[from..size), the longest at that position. [*start, *stop) is the matched
 * piece including the spaces it swallows. NULL if there is none. */
const gh_added_token *gh_find_added(const gh_tokenizer *t, bool normalized, const char *text, size_t from, size_t size,
                                    size_t *start, size_t *stop);

/* Which marks frame a line, by the template of tokenizer.json: it counts before add_bos_token and add_eos_token. */
gh_status gh_tokenizer_read_frame(gh_error *err, gh_tokenizer *t, const gh_json *tokenizer);
bool gh_template_begins(const gh_json *tokenizer); /* the template has a mark in front of a line */

/* A kind's tokens_of: cuts what is between the added tokens. */
gh_status gh_tokens_between_added(gh_error *err, const gh_tokenizer *t, const char *line, size_t size, gh_ids *ids);

/* Kinds' find, size and has. */
int32_t gh_words_find(const gh_tokenizer *t, const char *token);
int64_t gh_words_size(const gh_tokenizer *t);
bool gh_words_has(const gh_tokenizer *t, int32_t id);
int32_t gh_pieces_find(const gh_tokenizer *t, const char *token);
int64_t gh_pieces_size(const gh_tokenizer *t);
bool gh_pieces_has(const gh_tokenizer *t, int32_t id);

/* Calls visit for every word of a line as CLIP's tokenizer cuts it, before byte-pair encoding, normalised. Marks in the
 * line are words like others. */
typedef gh_status gh_word_visit(gh_error *err, void *user, const char *word, size_t size);
gh_status gh_words_of_line(gh_error *err, const char *line, size_t size, gh_word_visit *visit, void *user);

/* Adds the text, every run of white space one space, none at the ends. Underscores become spaces before punctuation
 * (ASCII's) is left out. */
typedef struct gh_clean_steps {
  bool lower, no_punctuation, underscores;
} gh_clean_steps;
gh_status gh_text_clean(gh_error *err, gh_buffer_text *out, const char *text, size_t size, gh_clean_steps steps);
gh_status gh_tokenizer_clean_line(gh_error *err, gh_buffer_text *out, gh_clean clean, const char *line, size_t size);

#endif
