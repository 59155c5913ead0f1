/* The unigram model inside a tokenizer.json: the equivalent of spiece.model. */
#ifndef GH_IO_SPIECE_JSON_H
#define GH_IO_SPIECE_JSON_H

#include "base/json.h"

/* By which library's rules a line is cut: SentencePiece's, or those of tokenizers, where special tokens are pieces like
 * any other and each word has a space in front. */
typedef enum gh_unigram { GH_UNIGRAM_SPIECE, GH_UNIGRAM_TOKENIZERS } gh_unigram;

/* Writes it in the format that gh_spiece_parse reads; the caller frees *bytes. Takes the pieces, their scores and the
 * normalisation table. The other settings must match the rules' behaviour; otherwise GH_ERROR_UNSUPPORTED names
 * the setting. name: the file, in messages. */
gh_status gh_spiece_from_json(gh_error *err, char **bytes, size_t *size, const char *name, const gh_json *tokenizer,
                              gh_unigram rules);

#endif
