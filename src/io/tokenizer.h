/* The tokenizer of a model folder, whose files say which kind it is: CLIP's byte-pair encoding (tokenizer.json, else
 * vocab.json with merges.txt), SigLIP's SentencePiece (spiece.model, or the same model in tokenizer.json), Gemma's
 * byte-pair encoding with byte fallback (SigLIP 2) or XLM-RoBERTa's unigram model (MetaCLIP 2), both in tokenizer.json;
 * token for token equal to transformers' CLIPTokenizer, SiglipTokenizer, GemmaTokenizer or Siglip2Tokenizer, and
 * XLMRobertaTokenizer. */
#ifndef GH_IO_TOKENIZER_H
#define GH_IO_TOKENIZER_H

#include "base/json.h"
#include "base/text.h"

typedef struct gh_tokenizer gh_tokenizer;

/* A folder without one is GH_ERROR_FILE; the text lists the files searched for. */
gh_status gh_tokenizer_open(gh_error *err, gh_tokenizer **out, const char *folder);
/* CLIP's, of a vocabulary (tokens to ids) and merges ("left right", by rank). */
gh_status gh_tokenizer_from_words(gh_error *err, gh_tokenizer **out, const gh_json *vocabulary,
                                  const gh_strings *merges);
void gh_tokenizer_close(gh_tokenizer *tokenizer); /* NULL is fine */

int64_t gh_tokenizer_max_length(const gh_tokenizer *tokenizer); /* the folder's model_max_length; 0: unspecified */
int64_t gh_tokenizer_vocabulary(const gh_tokenizer *tokenizer); /* the greatest id plus one */

/* What happens to a line before the tokenizer sees it, as open_clip's tokenizers do: it is composed (NFC), runs of
 * white space become single spaces, none at the ends; also lower case; also no punctuation. */
typedef enum gh_clean { GH_CLEAN_NOTHING, GH_CLEAN_SPACES, GH_CLEAN_LOWER, GH_CLEAN_CANONICAL } gh_clean;
void gh_tokenizer_clean(gh_tokenizer *tokenizer, gh_clean clean);

/* The line's `length` ids, with begin and end marks, truncated or padded. length >= 2. A line that is not UTF-8,
 * or beyond GH_LINE_MAX bytes, is GH_ERROR_FORMAT. */
#define GH_LINE_MAX ((size_t)1 << 18)
gh_status gh_tokenizer_encode(gh_error *err, const gh_tokenizer *tokenizer, const char *line, int64_t length,
                              int32_t *ids);

/* Copies those files of a tokenizer that exist. */
gh_status gh_tokenizer_copy(gh_error *err, const char *from, const char *to);

#endif
