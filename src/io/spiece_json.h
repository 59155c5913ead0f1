/* The unigram model inside a tokenizer.json: the equivalent of spiece.model. */
#ifndef GH_IO_SPIECE_JSON_H
#define GH_IO_SPIECE_JSON_H

#include "base/json.h"

/* Writes it in the format that gh_spiece_parse reads; the caller frees *bytes. Takes the pieces, their scores and the
 * normalisation table. The other settings must match SentencePiece's behaviour; otherwise GH_ERROR_UNSUPPORTED names
 * the setting. name: the file, in messages. */
gh_status gh_spiece_from_json(gh_error *err, char **bytes, size_t *size, const char *name, const gh_json *tokenizer);

#endif
