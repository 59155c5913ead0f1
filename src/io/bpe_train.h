/* Learns a vocabulary for CLIP's tokenizer from lines: byte-pair encoding of the words that the tokenizer cuts them
 * into (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016). */
#ifndef GH_IO_BPE_TRAIN_H
#define GH_IO_BPE_TRAIN_H

#include "base/json.h"
#include "base/text.h"

/* CLIP's vocab.json and merges.txt. The ids: the 256 bytes, printable ones first; the same at a word's end; the merges;
 * <|startoftext|>; <|endoftext|>. */
typedef struct gh_bpe_model {
  gh_json *vocabulary; /* tokens to ids */
  gh_strings merges;   /* "left right", by rank */
} gh_bpe_model;

#define GH_BPE_LEAST 514 /* tokens: a vocabulary without merges */

/* At most `size` tokens, at least GH_BPE_LEAST. The pair that occurs most often is merged next, of several the one with
 * the lowest ids; pairs that occur once are not merged. The same lines in any order give the same model. A line that is
 * not UTF-8 is GH_ERROR_FORMAT and named by its number, from 1. Free with gh_bpe_model_free, also after a failure. */
gh_status gh_bpe_train(gh_error *err, gh_bpe_model *out, const gh_strings *lines, int64_t size);
void gh_bpe_model_free(gh_bpe_model *model);

/* Writes the tokenizer's files into an existing folder, for transformers' CLIPTokenizer: vocab.json, merges.txt,
 * tokenizer_config.json, special_tokens_map.json. length: model_max_length. */
gh_status gh_bpe_model_write(gh_error *err, const gh_bpe_model *model, const char *folder, int64_t length);

#endif
