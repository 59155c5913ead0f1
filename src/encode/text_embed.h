/* The text encoder: lines to embeddings, with the model folder's tokenizer. */
#ifndef GH_ENCODE_TEXT_EMBED_H
#define GH_ENCODE_TEXT_EMBED_H

#include "encode/tower.h"

typedef struct gh_text_embedder gh_text_embedder;

/* Opens the tokenizer and the text tower of a model folder and plans. If the adapter or encoder of the options has
 * tensors of the text tower, they are used. A folder without a tokenizer is GH_ERROR_FILE. The device must outlive the
 * embedder. */
gh_status gh_text_embedder_open(gh_error *err, gh_text_embedder **out, gh_device *device, const char *folder,
                                const gh_embed_options *options);
/* Checks, before anything is computed, that the folder has the configuration of a text tower and a tokenizer that fits
 * it. */
gh_status gh_text_check(gh_error *err, const char *folder);

void gh_text_embedder_close(gh_text_embedder *e); /* NULL is fine */

int64_t gh_text_embedder_width(const gh_text_embedder *e);      /* D */
int64_t gh_text_embedder_bytes(const gh_text_embedder *e);      /* gh_tower_bytes of its tower */
double gh_text_embedder_logit_scale(const gh_text_embedder *e); /* exp(logit_scale) */
double gh_text_embedder_logit_bias(const gh_text_embedder *e);  /* 0 where the model has none; no score needs it */

/* n lines of UTF-8 -> (n, D), as projected, before normalisation; without an attention mask. A line that is not UTF-8
 * is GH_ERROR_FORMAT and named by its number, from 1. The lines are [first, first + n) of the list they are numbered
 * in. */
gh_status gh_text_embed_part(gh_error *err, gh_text_embedder *e, const char *const *lines, size_t first, size_t n,
                             float *out);

#endif
