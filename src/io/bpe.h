/* Byte-pair encoding: of the bytes of words, as in CLIP's tokenizer, where the last byte of a word is marked "</w>"; or
 * of characters, as in Gemma's, where a character without a token is its bytes' tokens, "<0x00>" to "<0xFF>". */
#ifndef GH_IO_BPE_H
#define GH_IO_BPE_H

#include "base/json.h"
#include "base/text.h"

/* A growing list of token ids. */
typedef struct gh_ids {
  int32_t *items;
  size_t count, capacity;
} gh_ids;
gh_status gh_ids_add(gh_error *err, gh_ids *ids, int32_t id);
void gh_ids_free(gh_ids *ids); /* leaves an empty list */

#define GH_END_OF_WORD "</w>"

/* How CLIP's vocabulary writes a byte: as the character of that number if it is printable, else as the next code point
 * from 256 on. */
typedef struct gh_byte_text {
  char bytes[4]; /* UTF-8, ends with a zero byte */
} gh_byte_text;
void gh_bpe_byte_texts(gh_byte_text texts[256]);
static inline bool gh_byte_is_printable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

typedef struct gh_bpe gh_bpe;

/* vocabulary: an object that maps tokens to ids. merges: "left right", by rank. name: the file, in messages. unknown:
 * the token for bytes that the vocabulary does not have. */
gh_status gh_bpe_create(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                        const gh_strings *merges, const char *unknown);
/* The vocabulary must have all bytes' tokens. */
gh_status gh_bpe_create_characters(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                                   const gh_strings *merges);
void gh_bpe_free(gh_bpe *bpe); /* NULL is fine */

int32_t gh_bpe_find(const gh_bpe *bpe, const char *token); /* its id, or -1 */
int64_t gh_bpe_size(const gh_bpe *bpe);                    /* the greatest id plus one */
bool gh_bpe_has(const gh_bpe *bpe, int32_t id);            /* some token has that id */
/* Adds the tokens of one word, size > 0 bytes. */
gh_status gh_bpe_word(gh_error *err, const gh_bpe *bpe, const char *word, size_t size, gh_ids *ids);
/* Adds the tokens of a text, valid UTF-8 of size > 0 bytes; `bpe` is of characters. */
gh_status gh_bpe_characters(gh_error *err, const gh_bpe *bpe, const char *text, size_t size, gh_ids *ids);

#endif
