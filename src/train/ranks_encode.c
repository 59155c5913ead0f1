#include "train/ranks_encode.h"
#include "base/build.h"
#include "base/checksum.h"
#include "base/file.h"
#include "dist/compare.h"
#include "train/ranks_start.h"

#include <stdlib.h>
#include <string.h>

/* ---- parts ---- */

static gh_status share_choices(gh_error *err, void *user) {
  const gh_ranks_parts *p = user;
  return gh_ranks_share_choices(err, p->comm, p->device, 1);
}

static gh_status agree(gh_error *err, void *user, gh_status own) {
  const gh_ranks_parts *p = user;
  return gh_comm_agree(err, p->comm, own, "a part of the work", NULL);
}

static gh_status exchange(gh_error *err, void *user, gh_status own, float *numbers, const size_t *starts) {
  const gh_ranks_parts *p = user;
  gh_status status = agree(err, user, own);
  return status ? status : gh_comm_spread(err, p->comm, numbers, starts);
}

const gh_parts *gh_ranks_parts_of(gh_ranks_parts *out, gh_comm *comm, gh_device *device) {
  *out = (gh_ranks_parts){.comm = comm, .device = device};
  if (!comm) return NULL;
  out->parts = (gh_parts){.part = gh_comm_rank(comm),
                          .parts = gh_comm_ranks(comm),
                          .share_choices = share_choices,
                          .agree = agree,
                          .exchange = exchange,
                          .user = out};
  return &out->parts;
}

/* ---- an encoding ---- */

/* What a rank says of its part before it sends it. */
typedef struct part_sizes {
  uint64_t names, skipped;             /* strings */
  uint64_t names_bytes, skipped_bytes; /* with their zeros */
  int64_t clipped;
} part_sizes;

static char *joined(gh_error *err, const gh_strings *list, uint64_t *bytes) {
  *bytes = 0;
  for (size_t i = 0; i < list->count; i++) *bytes += strlen(list->items[i]) + 1;
  char *text = gh_alloc(err, *bytes + 1, 1), *at = text;
  for (size_t i = 0; text && i < list->count; i++) {
    const size_t size = strlen(list->items[i]) + 1;
    memcpy(at, list->items[i], size);
    at += size;
  }
  return text;
}

static gh_status send_part(gh_error *err, gh_comm *comm, const gh_encoding *e) {
  part_sizes sizes = {.names = e->names.count, .skipped = e->skipped.count, .clipped = e->clipped};
  char *names = joined(err, &e->names, &sizes.names_bytes), *skipped = joined(err, &e->skipped, &sizes.skipped_bytes);
  const bool enough = names && skipped;
  gh_status status = gh_comm_agree(err, comm, enough ? GH_OK : GH_ERROR_MEMORY, "names", NULL);
  if (!status) status = gh_comm_send(err, comm, 0, &sizes, sizeof sizes);
  if (!status) status = gh_comm_send(err, comm, 0, names, sizes.names_bytes);
  if (!status) status = gh_comm_send(err, comm, 0, skipped, sizes.skipped_bytes);
  if (!status)
    status = gh_comm_send(err, comm, 0, e->embeddings, e->names.count * (size_t)e->width * sizeof *e->embeddings);
  free(names);
  free(skipped);
  return status;
}

static gh_status receive_strings(gh_error *err, gh_comm *comm, int from, uint64_t count, uint64_t bytes,
                                 gh_strings *list) {
  char *text = gh_alloc(err, bytes + 1, 1);
  gh_status status = text ? gh_comm_receive(err, comm, from, text, bytes) : GH_ERROR_MEMORY;
  const char *at = text;
  for (uint64_t i = 0; i < count && !status; i++) {
    status = gh_strings_add(err, list, at);
    at += strlen(at) + 1;
  }
  free(text);
  return status;
}

/* Appends a rank's part; e->embeddings has room for all. */
static gh_status receive_part(gh_error *err, gh_comm *comm, int from, gh_encoding *e) {
  part_sizes sizes = {0};
  const size_t before = e->names.count, width = (size_t)e->width;
  gh_status status = gh_comm_receive(err, comm, from, &sizes, sizeof sizes);
  if (!status) status = receive_strings(err, comm, from, sizes.names, sizes.names_bytes, &e->names);
  if (!status) status = receive_strings(err, comm, from, sizes.skipped, sizes.skipped_bytes, &e->skipped);
  if (!status)
    status = gh_comm_receive(err, comm, from, e->embeddings + before * width,
                             (e->names.count - before) * width * sizeof *e->embeddings);
  e->clipped += sizes.clipped;
  return status;
}

gh_status gh_ranks_gather_encoding(gh_error *err, gh_comm *comm, gh_status own, gh_encoding *e) {
  gh_status status = gh_comm_agree(err, comm, own, "embeddings", NULL);
  if (!comm || status) return status;
  if (gh_comm_rank(comm)) {
    status = send_part(err, comm, e);
    gh_encoding_free(e);
    return status;
  }
  status = gh_comm_agree(err, comm, GH_OK, "names", NULL);
  for (int i = 1; i < gh_comm_ranks(comm) && !status; i++) status = receive_part(err, comm, i, e);
  if (status) gh_comm_give_up(comm); /* the others are in the middle of sending */
  return status;
}

/* ---- comparing ---- */

/* What a tower, its tokenizer and its preprocessing are read from. */
static bool is_read(const char *name) {
  static const char *const endings[] = {".json", ".txt", ".safetensors", ".bin", ".model"};
  bool found = false;
  for (size_t i = 0; i < GH_COUNT(endings); i++) found |= gh_ends_with(name, endings[i]);
  return found;
}

static gh_status put_files(gh_error *err, gh_json *into, const char *folder) {
  gh_strings names = {0};
  gh_status status = gh_folder_list(err, &names, folder, false);
  for (size_t i = 0; i < names.count && !status; i++) {
    char *path = gh_path_join(err, folder, names.items[i]), *key = gh_format(err, "%s of the model", names.items[i]);
    char text[GH_CHECKSUM_TEXT];
    uint64_t hash = 0, bytes = 0;
    status = path && key ? GH_OK : GH_ERROR_MEMORY;
    if (!status && is_read(path) && gh_path_is_file(path)) {
      status = gh_file_hash(err, path, &hash, &bytes);
      gh_checksum_text(text, hash);
      if (!status) status = gh_json_put_string(err, into, key, text);
    }
    free(path);
    free(key);
  }
  gh_strings_free(&names);
  return status;
}

gh_status gh_ranks_same_input(gh_error *err, gh_comm *comm, const char *model, gh_json *given) {
  static const char *const none[] = {NULL};
  if (!comm) {
    gh_json_free(given);
    return GH_OK;
  }
  gh_status status = given ? gh_json_put_string(err, given, "version", GH_VERSION) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, given, "commit", gh_build_commit);
  if (!status) status = put_files(err, given, model);
  if (status) {
    gh_json_free(given);
    given = NULL;
  }
  return gh_comm_compare(err, comm, given, none);
}
