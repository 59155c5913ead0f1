/* The captions of training as tokens: read, tokenised and checked once, before training. */
#ifndef GH_TRAIN_CAPTION_TOKENS_H
#define GH_TRAIN_CAPTION_TOKENS_H

#include "data/image_set.h"
#include "data/loader.h"
#include "io/bpe_train.h"

typedef struct gh_caption_tokens {
  gh_bpe_model learnt; /* empty if the tokenizer is a folder's */
  char *folder;        /* that folder, or NULL */
  int32_t *ids;        /* of all captions, each with its marks, without padding */
  size_t used, capacity;
  size_t *starts; /* [count + 1] the first of each in `ids` */
  size_t count;   /* captions: one per picture of the set */
  int64_t longest, vocabulary;
  int32_t end;   /* the mark at a line's end, also the padding */
  uint64_t cut;  /* captions longer than `context` */
  uint64_t hash; /* of all tokens */
} gh_caption_tokens;

/* Reads the captions (gh_captions_read, which may leave pictures out) and tokenises them to at most `context` tokens
 * with the tokenizer of a folder, or, if that is NULL, with one that is learnt from them, of at most `vocabulary`
 * tokens. Prints what was found. A tokenizer whose last two tokens are not its marks, as CLIP's are, is
 * GH_ERROR_UNSUPPORTED. */
gh_status gh_caption_tokens_open(gh_error *err, gh_caption_tokens **out, gh_image_set *images, const char *folder,
                                 int64_t vocabulary, int64_t context);
void gh_caption_tokens_free(gh_caption_tokens *t); /* NULL is fine */

/* The lines of `count` samples, of rows: ids (rows, length), length at least the longest, padded; pooled (rows), the
 * position of each line's end. The other rows are padding. */
void gh_caption_tokens_fill(const gh_caption_tokens *t, const gh_loader_sample *samples, int64_t count, int64_t rows,
                            int64_t length, int32_t *ids, int32_t *pooled);

/* Writes the tokenizer's files into an existing folder. */
gh_status gh_caption_tokens_write(gh_error *err, const gh_caption_tokens *t, const char *folder, int64_t context);

#endif
