#include "models/unread.h"

#include <stdlib.h>
#include <string.h>

/* ---- what may be left out ---- */

/* In any model's file. */
static gh_left_out anywhere = {
    "loss.",      /* taming-transformers' discriminator and LPIPS */
    "model_ema.", /* copies for an average, of weights that are there themselves */
    "ema.",
    "ema_model.",
    ".position_ids", /* buffers that transformers wrote once: 0, 1, 2, ... */
    ".attn_mask",
    "attn_mask",
    ".num_batches_tracked",
    "input_resolution", /* sizes, in OpenAI's files */
    "context_length",
    "vocab_size",
    NULL,
};

gh_left_out gh_left_out_by_vision = {"text_", "logit_scale", "logit_bias", NULL};
gh_left_out gh_left_out_by_text = {"vision_model.", "visual_projection.", "visual.", "logit_scale", "logit_bias", NULL};

static bool is_listed(const char *const *rows, const char *name) {
  for (size_t i = 0; rows && rows[i]; i++) {
    const char last = rows[i][strlen(rows[i]) - 1];
    bool prefix = last == '.' || last == '_';
    if (rows[i][0] == '.' ? gh_ends_with(name, rows[i])
        : prefix          ? gh_starts_with(name, rows[i])
                          : !strcmp(name, rows[i]))
      return true;
  }
  return false;
}

/* ---- the check ---- */

gh_status gh_refuse_unread(gh_error *err, const gh_safetensors *file, const char *model, gh_is_read *is_read,
                           const void *context, const char *const *left_out) {
  const char *first = NULL;
  size_t count = 0;
  for (size_t i = 0; i < gh_safetensors_count(file); i++) {
    const char *name = gh_safetensors_at(file, i)->name;
    if (gh_safetensors_at(file, i)->applied || is_read(context, name) || is_listed(left_out, name) ||
        is_listed(anywhere, name))
      continue;
    if (!count++) first = name;
  }
  if (!count) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT,
                 "%s: tensor \"%.200s\" does not belong to %s (%zu of %zu tensors would be ignored)",
                 gh_safetensors_path(file), first, model, count, gh_safetensors_count(file));
}

static bool is_stored(const void *context, const char *name) { return gh_store_find(context, name) != NULL; }

gh_status gh_refuse_unread_by_store(gh_error *err, const gh_safetensors *file, const char *model, const gh_store *store,
                                    const char *const *left_out) {
  return file ? gh_refuse_unread(err, file, model, is_stored, store, left_out) : GH_OK;
}

/* ---- names from a walk ---- */

typedef struct gh_walked {
  const gh_safetensors *file;
  gh_strings names;
} gh_walked;

static gh_status visit(gh_error *err, void *user, const char *name, int rank, const int64_t *shape, gh_init init) {
  (void)init;
  gh_walked *walked = user;
  gh_status status = gh_safetensors_expect(err, walked->file, name, rank, shape, NULL);
  return status ? status : gh_strings_add(err, &walked->names, name);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_walked(const void *context, const char *name) {
  const gh_strings *names = context;
  return names->count && bsearch(&name, names->items, names->count, sizeof *names->items, by_text);
}

gh_status gh_check_tensors_by_walk(gh_error *err, const gh_safetensors *file, const char *model, gh_walk_model *walk,
                                   const void *config) {
  gh_walked walked = {.file = file};
  gh_walk w = {.err = err, .visit = visit, .user = &walked};
  walk(&w, config);
  gh_strings_sort(&walked.names);
  gh_status status = w.status ? w.status : gh_refuse_unread(err, file, model, is_walked, &walked.names, NULL);
  gh_strings_free(&walked.names);
  return status;
}
