/* SentencePiece unigram models (spiece.model): normalisation by the model's own table, then the most likely
 * segmentation, computed as the library does. The file is hostile: every length, number and table in it is checked.
 * Other kinds of model are GH_ERROR_UNSUPPORTED, with the kind. */
#ifndef GH_IO_SPIECE_H
#define GH_IO_SPIECE_H

#include "io/bpe.h"
#include "io/unicode.h"

typedef struct gh_spiece gh_spiece;

/* bytes must outlive the model. name: the file, in messages. */
gh_status gh_spiece_parse(gh_error *err, gh_spiece **out, const char *name, const void *bytes, size_t size);
void gh_spiece_free(gh_spiece *model); /* NULL is fine */

int64_t gh_spiece_size(const gh_spiece *model);                   /* pieces */
int32_t gh_spiece_find(const gh_spiece *model, const char *text); /* the piece's number, or -1 */
void gh_spiece_no_prefix(gh_spiece *model); /* adds no space in front of texts, regardless of the file */

void gh_spiece_precise(gh_spiece *model); /* adds scores in float64, as the tokenizers library does */

/* Adds the numbers of the text's pieces; consecutive unknown ones count as one. The text is valid UTF-8. */
gh_status gh_spiece_encode(gh_error *err, const gh_spiece *model, const char *text, size_t size, gh_ids *ids);
/* Its two halves as the tokenizers library has them: the model's rules alone, applied to clusters of code points
 * (Precompiled); and the segmentation alone (Unigram). */
gh_status gh_spiece_replace(gh_error *err, const gh_spiece *model, gh_buffer_text *out, const char *text, size_t size);
gh_status gh_spiece_cut(gh_error *err, const gh_spiece *model, const char *text, size_t size, gh_ids *ids);

#endif
