/* The unigram model inside a tokenizer.json: what spiece.model says, in other words. */
#ifndef GH_IO_SPIECE_JSON_H
#define GH_IO_SPIECE_JSON_H

#include "base/json.h"

/* Writes it as gh_spiece_parse takes it; the caller frees *bytes. Its pieces, their scores and the table of
 * normalisation are taken; what stands around them must be what SentencePiece does, in the library's own words, else
 * GH_ERROR_UNSUPPORTED names it. name: the file, in messages. */
gh_status gh_spiece_from_json(gh_error *err, char **bytes, size_t *size, const char *name, const gh_json *tokenizer);

#endif
