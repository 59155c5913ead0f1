#include "train/caption_tokens.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/array.h"
#include "base/log.h"
#include "data/captions.h"
#include "io/tokenizer.h"

/* ---- the tokenizer ---- */

/* An empty line is its marks. */
static gh_status check_marks(gh_error *err, gh_caption_tokens *t, const gh_tokenizer *tokenizer) {
  int32_t ids[2] = {0};
  t->vocabulary = gh_tokenizer_vocabulary(tokenizer);
  gh_status status = gh_tokenizer_encode(err, tokenizer, "", 2, ids);
  if (status) return status;
  t->end = ids[1];
  if (ids[0] == t->vocabulary - 2 && t->end == t->vocabulary - 1) return GH_OK;
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "tokenizer: %s: its last two tokens must be the marks, as in CLIP's",
                 t->folder);
}

static gh_status open_tokenizer(gh_error *err, gh_caption_tokens *t, gh_tokenizer **tokenizer,
                                const gh_strings *captions, int64_t vocabulary) {
  gh_status status = GH_OK;
  if (t->folder) {
    status = gh_tokenizer_open(err, tokenizer, t->folder);
    if (status) gh_fail_in(err, "tokenizer");
  } else {
    status = gh_bpe_train(err, &t->learnt, captions, vocabulary);
    if (!status) status = gh_tokenizer_from_words(err, tokenizer, t->learnt.vocabulary, &t->learnt.merges);
  }
  return status ? status : check_marks(err, t, *tokenizer);
}

/* ---- the captions ---- */

static int64_t length_of(const gh_caption_tokens *t, const int32_t *ids, int64_t most) {
  int64_t n = 0;
  while (n < most && ids[n] != t->end) n++;
  return n + 1;
}

/* One place more than `context` shows whether the line is longer. */
static gh_status add_line(gh_error *err, gh_caption_tokens *t, const gh_tokenizer *tokenizer, const char *line,
                          int64_t context) {
  size_t room = (size_t)context + 1;
  if (GH_ARRAY_RESERVE(err, t->ids, t->capacity, t->used, room)) return GH_ERROR_MEMORY;
  int32_t *ids = t->ids + t->used;
  gh_status status = gh_tokenizer_encode(err, tokenizer, line, context + 1, ids);
  int64_t n = status ? 0 : length_of(t, ids, context);
  if (n > context) {
    t->cut++;
    ids[--n - 1] = t->end;
  }
  t->used += (size_t)n;
  t->starts[++t->count] = t->used;
  t->longest = GH_MAX(t->longest, n);
  return status;
}

static gh_status add_lines(gh_error *err, gh_caption_tokens *t, const gh_tokenizer *tokenizer,
                           const gh_strings *captions, const gh_image_set *images, int64_t context) {
  gh_status status = GH_OK;
  if (!(t->starts = gh_alloc(err, captions->count + 1, sizeof *t->starts))) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < captions->count && !status; i++) {
    status = add_line(err, t, tokenizer, captions->items[i], context);
    char *name = status == GH_ERROR_FORMAT ? gh_image_set_name(err, images, i) : NULL;
    if (name) gh_fail_in(err, "the caption of %s", name);
    free(name);
  }
  if (status) return status;
  t->hash = XXH64(t->ids, t->used * sizeof *t->ids, XXH64(t->starts, (t->count + 1) * sizeof *t->starts, 0));
  return GH_OK;
}

static void report(const gh_caption_tokens *t, int64_t context) {
  gh_info("captions: %zu, of %.1f tokens on average, %lld at most; %s of %lld tokens", t->count,
          (double)t->used / (double)t->count, (long long)t->longest,
          t->folder ? "a tokenizer" : "a tokenizer learnt from them", (long long)t->vocabulary);
  if (t->cut)
    gh_warn("captions: %llu of %zu are longer than %lld tokens and are cut", (unsigned long long)t->cut, t->count,
            (long long)context);
}

gh_status gh_caption_tokens_open(gh_error *err, gh_caption_tokens **out, gh_image_set *images, const char *folder,
                                 int64_t vocabulary, int64_t context) {
  gh_strings captions = {0};
  gh_tokenizer *tokenizer = NULL;
  gh_caption_tokens *t = *out = gh_alloc(err, 1, sizeof *t);
  gh_status status = t ? gh_captions_read(err, &captions, images) : GH_ERROR_MEMORY;
  if (!status && folder && !(t->folder = gh_strdup(err, folder))) status = GH_ERROR_MEMORY;
  if (!status) status = open_tokenizer(err, t, &tokenizer, &captions, vocabulary);
  if (!status) status = add_lines(err, t, tokenizer, &captions, images, context);
  if (!status) report(t, context);
  gh_tokenizer_close(tokenizer);
  gh_strings_free(&captions);
  return status;
}

void gh_caption_tokens_free(gh_caption_tokens *t) {
  if (!t) return;
  gh_bpe_model_free(&t->learnt);
  free(t->folder);
  free(t->ids);
  free(t->starts);
  free(t);
}

void gh_caption_tokens_fill(const gh_caption_tokens *t, const gh_loader_sample *samples, int64_t count, int64_t rows,
                            int64_t length, int32_t *ids, int32_t *pooled) {
  for (int64_t i = 0; i < rows * length; i++) ids[i] = t->end;
  for (int64_t i = 0; i < rows; i++) {
    pooled[i] = 0;
    if (i >= count) continue;
    const size_t image = (size_t)samples[i].image, first = t->starts[image], n = t->starts[image + 1] - first;
    memcpy(ids + i * length, t->ids + first, n * sizeof *ids);
    pooled[i] = (int32_t)n - 1;
  }
}

gh_status gh_caption_tokens_write(gh_error *err, const gh_caption_tokens *t, const char *folder, int64_t context) {
  return t->folder ? gh_tokenizer_copy(err, t->folder, folder) : gh_bpe_model_write(err, &t->learnt, folder, context);
}
