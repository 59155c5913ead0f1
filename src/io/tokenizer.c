#include "base/file.h"
#include "io/spiece_json.h"
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_FILE GH_JSON_MAX_BYTES

gh_status gh_tokenizer_copy(gh_error *err, const char *from, const char *to) {
  static const char *const files[] = {
      "tokenizer.json",    "tokenizer_config.json",  "vocab.json", "merges.txt", "spiece.model",
      "added_tokens.json", "special_tokens_map.json"};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(files) && !status; i++) status = gh_file_copy(err, from, to, files[i], false);
  return status;
}

/* ---- files of words ---- */

/* merges.txt: one pair per line, after a version line. */
static gh_status read_merges(gh_error *err, gh_strings *out, const char *path) {
  char *text = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, path, LARGEST_FILE, &text, &size);
  if (!status && (strlen(text) != size || !gh_utf8_valid(text, size)))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: not UTF-8 text", path);
  char *rest = NULL;
  for (char *line = status ? NULL : strtok_r(text, "\r\n", &rest); line && !status;
       line = strtok_r(NULL, "\r\n", &rest))
    if (strncmp(line, "#version", strlen("#version"))) status = gh_strings_add(err, out, line);
  free(text);
  return status;
}

static gh_status open_vocabulary(gh_error *err, gh_tokenizer *t, const char *vocabulary, const char *merges) {
  gh_strings list = {0};
  gh_json *root = NULL;
  gh_status status = gh_json_read_file(err, &root, vocabulary, LARGEST_FILE);
  if (!status) status = read_merges(err, &list, merges);
  t->kind = &gh_tokenizer_words;
  if (!status) status = gh_bpe_create(err, &t->bpe, vocabulary, root, &list, "<|endoftext|>");
  gh_json_free(root);
  gh_strings_free(&list);
  return status;
}

/* tokenizer.json's merges: "left right", or ["left", "right"]. */
static gh_status list_merges(gh_error *err, gh_strings *out, const gh_json *merges, const char *path) {
  gh_status status = GH_OK;
  for (const gh_json *item = gh_json_first(merges); item && !status; item = gh_json_next(item)) {
    const char *left = NULL, *right = NULL;
    const gh_json *first = gh_json_first(item);
    if (gh_json_type_of(item) == GH_JSON_STRING) {
      status = gh_json_to_string(err, item, path, &left);
      if (!status) status = gh_strings_add(err, out, left);
      continue;
    }
    if (gh_json_count(item) != 2) return gh_fail(err, GH_ERROR_FORMAT, "%s: model.merges: not pairs", path);
    status = gh_json_to_string(err, first, path, &left);
    if (!status) status = gh_json_to_string(err, gh_json_next(first), path, &right);
    char *both = status ? NULL : gh_format(err, "%s %s", left, right);
    if (!status) status = both ? gh_strings_add(err, out, both) : GH_ERROR_MEMORY;
    free(both);
  }
  return status;
}

/* SigLIP's model or XLM-RoBERTa's, whose lines have a mark in front. */
static gh_status open_unigram(gh_error *err, gh_tokenizer *t, const gh_json *root, const char *path) {
  bool begins = gh_template_begins(root);
  size_t size = 0;
  t->kind = begins ? &gh_tokenizer_sentences : &gh_tokenizer_pieces;
  gh_status status =
      gh_spiece_from_json(err, &t->bytes, &size, path, root, begins ? GH_UNIGRAM_TOKENIZERS : GH_UNIGRAM_SPIECE);
  if (!status) status = gh_spiece_parse(err, &t->spiece, path, t->bytes, size);
  if (!status && begins) gh_spiece_precise(t->spiece);
  return status;
}

/* Reads only the vocabulary and the merges, or the pieces: the rest of such a file describes what this code does. */
static gh_status open_json(gh_error *err, gh_tokenizer *t, const gh_json *root, const char *path) {
  const gh_json *model = gh_json_member(root, "model");
  const char *type = "BPE", *suffix = "", *unknown = "<|endoftext|>";
  bool bytes = false;
  gh_strings list = {0};
  if (gh_json_opt_string(err, model, "type", &type) || gh_json_opt_string(err, model, "end_of_word_suffix", &suffix) ||
      gh_json_opt_string(err, model, "unk_token", &unknown) || gh_json_opt_bool(err, model, "byte_fallback", &bytes))
    return gh_fail_in(err, "%s", path), err->status;
  if (!strcmp(type, "Unigram")) return open_unigram(err, t, root, path);
  if (strcmp(type, "BPE") || strcmp(suffix, bytes ? "" : "</w>"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: a tokenizer of type %s is not supported, only CLIP's, SigLIP's, Gemma's and XLM-RoBERTa's",
                   path, type);
  t->kind = bytes ? &gh_tokenizer_chars : &gh_tokenizer_words;
  gh_status status = list_merges(err, &list, gh_json_member(model, "merges"), path);
  const gh_json *vocabulary = gh_json_member(model, "vocab");
  if (!status && bytes) status = gh_bpe_create_characters(err, &t->bpe, path, vocabulary, &list);
  if (!status && !bytes) status = gh_bpe_create(err, &t->bpe, path, vocabulary, &list, unknown);
  gh_strings_free(&list);
  return status;
}

/* ---- opening ---- */

typedef struct gh_paths {
  char *json, *vocabulary, *merges, *spiece;
} gh_paths;

static gh_status open_files(gh_error *err, gh_tokenizer *t, const char *folder, const gh_paths *p, gh_json **root) {
  size_t size = 0;
  if (gh_path_is_file(p->spiece)) {
    t->kind = &gh_tokenizer_pieces;
    gh_status status = gh_file_read(err, p->spiece, LARGEST_FILE, &t->bytes, &size);
    return status ? status : gh_spiece_parse(err, &t->spiece, p->spiece, t->bytes, size);
  }
  if (gh_path_is_file(p->json)) { /* before the pair, as in transformers: tools that edit a tokenizer write this file */
    gh_status status = gh_json_read_file(err, root, p->json, LARGEST_FILE);
    return status ? status : open_json(err, t, *root, p->json);
  }
  if (gh_path_is_file(p->vocabulary) && gh_path_is_file(p->merges))
    return open_vocabulary(err, t, p->vocabulary, p->merges);
  return gh_fail(err, GH_ERROR_FILE,
                 "%s: no tokenizer in the folder (tokenizer.json, vocab.json with merges.txt, or spiece.model)",
                 folder);
}

gh_status gh_tokenizer_open(gh_error *err, gh_tokenizer **out, const char *folder) {
  gh_json *root = NULL;
  gh_tokenizer *t = *out = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  gh_paths p = {gh_path_join(err, folder, "tokenizer.json"), gh_path_join(err, folder, "vocab.json"),
                gh_path_join(err, folder, "merges.txt"), gh_path_join(err, folder, "spiece.model")};
  gh_status status = GH_ERROR_MEMORY;
  if (p.json && p.vocabulary && p.merges && p.spiece) status = open_files(err, t, folder, &p, &root);
  if (!status) t->vocabulary = t->kind->size(t);
  if (!status) status = gh_tokenizer_read_settings(err, t, folder, root);
  for (size_t i = 0; i < 4; i++) free(((char *[]){p.json, p.vocabulary, p.merges, p.spiece})[i]);
  gh_json_free(root);
  if (!status) return GH_OK;
  gh_tokenizer_close(t);
  *out = NULL;
  return status;
}

gh_status gh_tokenizer_from_words(gh_error *err, gh_tokenizer **out, const gh_json *vocabulary,
                                  const gh_strings *merges) {
  gh_tokenizer *t = *out = gh_alloc(err, 1, sizeof *t);
  if (!t) return GH_ERROR_MEMORY;
  t->kind = &gh_tokenizer_words;
  gh_status status = gh_bpe_create(err, &t->bpe, "the vocabulary", vocabulary, merges, "<|endoftext|>");
  if (!status) t->vocabulary = t->kind->size(t);
  if (!status) status = gh_tokenizer_default_settings(err, t);
  if (!status) return GH_OK;
  gh_tokenizer_close(t);
  *out = NULL;
  return status;
}

void gh_tokenizer_close(gh_tokenizer *t) {
  if (!t) return;
  gh_bpe_free(t->bpe);
  gh_spiece_free(t->spiece);
  for (size_t i = 0; i < t->added_count; i++) free(t->added[i].text);
  free(t->added);
  free(t->bytes);
  free(t);
}

int64_t gh_tokenizer_max_length(const gh_tokenizer *t) { return t->max_length; }
int64_t gh_tokenizer_vocabulary(const gh_tokenizer *t) { return t->vocabulary; }

/* ---- a line ---- */

void gh_tokenizer_clean(gh_tokenizer *t, gh_clean clean) { t->clean = clean; }

static void frame(const gh_tokenizer *t, const gh_ids *tokens, int64_t length, int32_t *ids) {
  int64_t n = 0, marks = t->begins + t->ends, most = GH_MIN((int64_t)tokens->count, length - marks);
  if (t->begins) ids[n++] = t->begin;
  for (int64_t i = 0; i < most; i++) ids[n++] = tokens->items[i];
  if (t->ends && (!t->kind->ends_once || !n || ids[n - 1] != t->end)) ids[n++] = t->end;
  const int64_t pads = length - n, first = t->pad_left ? 0 : n;
  if (t->pad_left) memmove(ids + pads, ids, (size_t)n * sizeof *ids);
  for (int64_t i = 0; i < pads; i++) ids[first + i] = t->pad;
}

gh_status gh_tokenizer_encode(gh_error *err, const gh_tokenizer *t, const char *line, int64_t length, int32_t *ids) {
  gh_ids tokens = {0};
  gh_buffer_text clean = {0};
  size_t size = strlen(line);
  if (!gh_utf8_valid(line, size)) return gh_fail(err, GH_ERROR_FORMAT, "not UTF-8");
  if (size > GH_LINE_MAX) return gh_fail(err, GH_ERROR_FORMAT, "longer than %zu bytes", GH_LINE_MAX);
  if (length < 2) return gh_fail(err, GH_ERROR_ARGUMENT, "a line needs at least 2 tokens, not %lld", (long long)length);
  gh_status status = t->clean ? gh_tokenizer_clean_line(err, &clean, t->clean, line, size) : GH_OK;
  if (!status && t->clean) line = clean.bytes, size = clean.size;
  if (!status) status = t->kind->tokens_of(err, t, line, size, &tokens);
  if (!status) frame(t, &tokens, length, ids);
  gh_text_free(&clean);
  gh_ids_free(&tokens);
  return status;
}
