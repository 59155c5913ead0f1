/* The containers of torch.save, and sets of them. */
#include "io/torch_file.h"

#include "base/array.h"
#include "base/file.h"
#include "io/shard_index.h"
#include "io/torch_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_BYTES 16
#define MOST_KEY    256 /* bytes of an entry's name */

/* ---- storages ---- */

static int compare_keys(const char *a, size_t a_length, const char *b, size_t b_length) {
  const int order = memcmp(a, b, GH_MIN(a_length, b_length));
  return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int by_key(const void *a, const void *b) {
  const torch_storage *x = a, *y = b;
  return compare_keys(x->key, x->key_length, y->key, y->key_length);
}

const torch_storage *gh_torch_find_storage(const torch_part *part, const char *key, size_t length) {
  const torch_storage wanted = {.key = key, .key_length = length};
  if (!part->storage_count) return NULL;
  return bsearch(&wanted, part->storages, part->storage_count, sizeof wanted, by_key);
}

/* ---- the zip container ---- */

/* The folder that all entries are in: "archive" of "archive/data.pkl". */
static gh_status find_folder(gh_error *err, const torch_part *p, char folder[MOST_KEY]) {
  static const char pickle[] = "/data.pkl";
  const size_t tail = sizeof pickle - 1;
  size_t found = 0;
  for (size_t i = 0; i < p->zip.count; i++) {
    const gh_zip_entry *e = &p->zip.entries[i];
    const size_t length = e->name_length > tail ? e->name_length - tail : 0;
    if (!length || length >= MOST_KEY || memcmp(e->name + length, pickle, tail) || memchr(e->name, '/', length))
      continue;
    memcpy(folder, e->name, length);
    folder[length] = 0;
    found++;
  }
  if (found == 1) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: a zip file, but not of torch.save: it has %s data.pkl", p->file.path,
                 found ? "more than one" : "no");
}

static const gh_zip_entry *find_entry(const torch_part *p, const char *folder, const char *name) {
  char whole[2 * MOST_KEY];
  snprintf(whole, sizeof whole, "%s/%s", folder, name);
  return gh_zip_find(&p->zip, whole);
}

static gh_status refuse_kinds(gh_error *err, const torch_part *p, const char *folder) {
  if (find_entry(p, folder, "constants.pkl"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED,
                   "%s: a TorchScript archive, which is a program: save its state_dict() instead", p->file.path);
  const gh_zip_entry *order = find_entry(p, folder, "byteorder");
  if (!order) return GH_OK; /* before PyTorch 2.1 */
  gh_status status = gh_zip_check(err, order, p->file.path);
  if (!status && (order->bytes != 6 || memcmp(order->data, "little", 6)))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: written on a big-endian machine", p->file.path);
  return status;
}

static gh_status list_zip_storages(gh_error *err, torch_part *p, const char *folder) {
  char begin[2 * MOST_KEY];
  const size_t length = (size_t)snprintf(begin, sizeof begin, "%s/data/", folder);
  if (!(p->storages = gh_alloc(err, p->zip.count, sizeof *p->storages))) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < p->zip.count; i++) { /* sorted by name, and so by key */
    const gh_zip_entry *e = &p->zip.entries[i];
    if (e->name_length <= length || memcmp(e->name, begin, length)) continue;
    p->storages[p->storage_count++] = (torch_storage){
        .key = e->name + length, .key_length = e->name_length - length, .data = e->data, .bytes = e->bytes, .entry = e};
  }
  return GH_OK;
}

static gh_status open_zip(gh_error *err, torch_part *p) {
  char folder[MOST_KEY] = "";
  size_t used = 0;
  gh_status status = gh_zip_open(err, &p->zip, p->file.path, p->file.bytes, p->file.size);
  if (!status) status = find_folder(err, p, folder);
  if (!status) status = refuse_kinds(err, p, folder);
  const gh_zip_entry *pickle = status ? NULL : find_entry(p, folder, "data.pkl");
  if (!status) status = gh_zip_check(err, pickle, p->file.path);
  if (!status)
    status = gh_pickle_read(err, &p->pickle, p->file.path, pickle->data, pickle->bytes, gh_torch_globals, &used);
  return status ? status : list_zip_storages(err, p, folder);
}

/* ---- the older container ---- */

/* Reads the next of its pickles, which is the caller's. */
static gh_status next_pickle(gh_error *err, const torch_part *p, size_t *at, gh_pickle **out) {
  size_t used = 0;
  gh_status status =
      gh_pickle_read(err, out, p->file.path, p->file.bytes + *at, p->file.size - *at, gh_torch_globals, &used);
  *at += used;
  return status;
}

/* Three pickles before the object's: a magic number, a version, facts about the machine. */
static gh_status read_preamble(gh_error *err, const torch_part *p, size_t *at) {
  static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  static const char decimal[] = "119547037146038801333356"; /* the same in protocol 0 */
  gh_pickle *parts[3] = {0};
  gh_status status = GH_OK;
  for (int i = 0; i < 3 && !status; i++) status = next_pickle(err, p, at, &parts[i]);
  if (!status) {
    const gh_pickle_value *v = gh_pickle_root(parts[0]), *version = gh_pickle_root(parts[1]);
    const gh_pickle_value *little = gh_torch_member(gh_pickle_root(parts[2]), "little_endian");
    const bool right =
        v->type == GH_PICKLE_LONG &&
        ((v->as.text.size == sizeof magic && !memcmp(v->as.text.bytes, magic, sizeof magic)) ||
         (v->as.text.size == sizeof decimal - 1 && !memcmp(v->as.text.bytes, decimal, sizeof decimal - 1)));
    if (!right || version->type != GH_PICKLE_INT || version->as.integer != 1001)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: a pickle, but not of torch.save", p->file.path);
    else if (!little || little->type != GH_PICKLE_BOOL || !little->as.integer)
      status = gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: written on a big-endian machine", p->file.path);
  }
  for (int i = 0; i < 3; i++) gh_pickle_free(parts[i]);
  return status;
}

static int by_identity(const void *a, const void *b) {
  const torch_identity *x = a, *y = b;
  return compare_keys(x->key, x->key_length, y->key, y->key_length);
}

/* The identities of the storages that the pickle mentions, sorted by key. */
static gh_status list_identities(gh_error *err, const torch_part *p, torch_identity **out, size_t *count) {
  *count = gh_pickle_persistent_count(p->pickle);
  *out = gh_alloc(err, *count, sizeof **out);
  gh_status status = *out ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < *count && !status; i++)
    status = gh_torch_identify(err, &(*out)[i], gh_pickle_persistent_at(p->pickle, i), p->file.path);
  if (!status && *count) qsort(*out, *count, sizeof **out, by_identity);
  return status;
}

/* Storage i: an element count of eight bytes, then the elements, whose size the pickle knows. */
static gh_status read_storage(gh_error *err, torch_part *p, size_t i, const torch_identity *ids, size_t count,
                              size_t *at) {
  const gh_pickle_value *key = gh_pickle_root(p->keys)->as.list.items[i];
  torch_identity wanted = {0}, *id = NULL;
  uint64_t elements = 0, bytes;
  if (key->type == GH_PICKLE_TEXT) {
    wanted = (torch_identity){.key = key->as.text.bytes, .key_length = key->as.text.size};
    if (count) id = bsearch(&wanted, ids, count, sizeof *ids, by_identity);
  }
  if (!id) return gh_fail(err, GH_ERROR_FORMAT, "%s: a storage that no tensor has", p->file.path);
  if (p->file.size - *at < 8) return gh_fail(err, GH_ERROR_FORMAT, "%s: truncated", p->file.path);
  for (int b = 7; b >= 0; b--) elements = elements << 8 | p->file.bytes[*at + (size_t)b];
  *at += 8;
  if (__builtin_mul_overflow(elements, gh_torch_element_bytes(id->type->detail), &bytes) || bytes > p->file.size - *at)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: a storage of %llu elements exceeds the file (an incomplete download?)",
                   p->file.path, (unsigned long long)elements);
  p->storages[p->storage_count++] = (torch_storage){
      .key = wanted.key, .key_length = wanted.key_length, .data = p->file.bytes + *at, .bytes = (size_t)bytes};
  *at += (size_t)bytes;
  return GH_OK;
}

static gh_status read_storages(gh_error *err, torch_part *p, size_t at) {
  const gh_pickle_value *keys = gh_pickle_root(p->keys);
  torch_identity *ids = NULL;
  size_t count = 0;
  if (keys->type != GH_PICKLE_LIST)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the list of storages is invalid", p->file.path);
  p->storages = gh_alloc(err, keys->as.list.count, sizeof *p->storages);
  gh_status status = p->storages ? list_identities(err, p, &ids, &count) : GH_ERROR_MEMORY;
  for (size_t i = 0; i < keys->as.list.count && !status; i++) status = read_storage(err, p, i, ids, count, &at);
  free(ids);
  if (status || !p->storage_count) return status;
  qsort(p->storages, p->storage_count, sizeof *p->storages, by_key);
  for (size_t i = 1; i < p->storage_count; i++)
    if (!by_key(&p->storages[i - 1], &p->storages[i]))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: the list of storages has one twice", p->file.path);
  return GH_OK;
}

static gh_status open_legacy(gh_error *err, torch_part *p) {
  size_t at = 0;
  gh_status status = read_preamble(err, p, &at);
  if (!status) status = next_pickle(err, p, &at, &p->pickle);
  if (!status) status = next_pickle(err, p, &at, &p->keys);
  return status ? status : read_storages(err, p, at);
}

/* ---- files and sets ---- */

static gh_status open_content(gh_error *err, torch_part *p) {
  const unsigned char *b = p->file.bytes;
  if (p->file.size >= 4 && !memcmp(b, "PK\3\4", 4)) return open_zip(err, p);
  if (p->file.size && (b[0] == 0x80 || b[0] == 'L')) return open_legacy(err, p); /* 'L': protocol 0 */
  return gh_fail(err, GH_ERROR_FORMAT, "%s: not a file of torch.save", p->file.path);
}

static gh_status open_part(gh_error *err, torch_part *p) {
  gh_status status = p->file.borrowed ? GH_OK : gh_mapping_open(err, &p->file, LEAST_BYTES, "a file of torch.save");
  if (status) return status;
  status = open_content(err, p);
  return gh_mapping_check(err, p->file.bytes) ? GH_ERROR_FILE : status; /* what was parsed is not the file's */
}

static gh_status add_part(gh_error *err, gh_torch_file *file, const gh_mapping *mapping) {
  torch_part *p = &file->parts[file->part_count];
  p->file = *mapping;
  if (!(p->file.path = gh_strdup(err, mapping->path))) return GH_ERROR_MEMORY;
  file->part_count++;
  return open_part(err, p);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const gh_torch_tensor *const *)a)->st.name, (*(const gh_torch_tensor *const *)b)->st.name);
}

static const char *file_of(const void *context, const char *name) {
  const gh_torch_file *file = context;
  const gh_torch_tensor wanted = {.st.name = name}, *key = &wanted;
  const gh_torch_tensor *const *found =
      file->count ? bsearch(&key, file->by_name, file->count, sizeof *file->by_name, by_name) : NULL;
  return found ? (*found)->st.file : NULL;
}

/* Makes the tensors of all parts and refuses a name that two have. */
static gh_status finish(gh_error *err, gh_torch_file *file) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < file->part_count && !status; i++) status = gh_torch_add_tensors(err, file, i);
  if (!status && !(file->by_name = gh_alloc(err, file->count, sizeof *file->by_name))) status = GH_ERROR_MEMORY;
  if (status) return status;
  for (size_t i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
  if (file->count) qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
  for (size_t i = 1; i < file->count; i++)
    if (!by_name(&file->by_name[i - 1], &file->by_name[i]))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: two tensors are named \"%.200s\"", file->path,
                     file->by_name[i]->st.name);
  return file->index && !file->prefix ? gh_shard_index_check(err, file->index, file->path, file_of, file) : GH_OK;
}

static gh_status open_parts(gh_error *err, gh_torch_file *file, const char *path, const gh_mapping *memory) {
  gh_strings shards = {0};
  const bool set = !memory && gh_ends_with(path, ".index.json");
  gh_status status = set ? gh_shard_index_read(err, &file->index, &shards, path) : gh_strings_add(err, &shards, path);
  if (!status && !(file->parts = gh_alloc(err, shards.count, sizeof *file->parts))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < shards.count && !status; i++)
    status = add_part(err, file, memory ? memory : &(gh_mapping){.path = shards.items[i]});
  gh_strings_free(&shards);
  return status ? status : finish(err, file);
}

static gh_status open_any(gh_error *err, gh_torch_file **out, const char *path, const char *prefix,
                          const gh_mapping *memory) {
  *out = NULL;
  gh_torch_file *file = gh_alloc(err, 1, sizeof *file);
  if (!file) return GH_ERROR_MEMORY;
  file->path = gh_strdup(err, path);
  file->prefix = prefix && file->path ? gh_strdup(err, prefix) : NULL;
  gh_status status = file->path && (file->prefix || !prefix) ? open_parts(err, file, path, memory) : GH_ERROR_MEMORY;
  if (status)
    gh_torch_close(file);
  else
    *out = file;
  return status;
}

gh_status gh_torch_open(gh_error *err, gh_torch_file **out, const char *path, const char *prefix) {
  return open_any(err, out, path, prefix, NULL);
}

gh_status gh_torch_open_memory(gh_error *err, gh_torch_file **out, const char *name, const char *prefix,
                               const void *bytes, size_t size) {
  const gh_mapping memory = {.path = (char *)name, .bytes = bytes, .size = size, .borrowed = true};
  return open_any(err, out, name, prefix, &memory);
}

void gh_torch_close(gh_torch_file *file) {
  if (!file) return;
  for (size_t i = 0; i < file->part_count; i++) {
    torch_part *p = &file->parts[i];
    gh_pickle_free(p->pickle);
    gh_pickle_free(p->keys);
    gh_zip_free(&p->zip);
    free(p->storages);
    gh_mapping_close(&p->file);
  }
  for (size_t i = 0; i < file->left_out_count; i++) free(file->left_out[i].name);
  free(file->left_out);
  free(file->parts);
  free(file->tensors);
  free(file->by_name);
  gh_strings_free(&file->names);
  gh_json_free(file->index);
  free(file->prefix);
  free(file->path);
  free(file);
}

/* ---- questions ---- */

size_t gh_torch_count(const gh_torch_file *file) { return file->count; }
const gh_torch_tensor *gh_torch_at(const gh_torch_file *file, size_t index) { return file->by_name[index]; }
size_t gh_torch_left_out_count(const gh_torch_file *file) { return file->left_out_count; }

const gh_torch_left_out *gh_torch_left_out_at(const gh_torch_file *file, size_t index) {
  return &file->left_out[index];
}

gh_status gh_torch_check(gh_error *err, gh_torch_file *file, const gh_torch_tensor *t) {
  const torch_part *p = &file->parts[t->part];
  torch_storage *storage = &p->storages[t->storage];
  if (!storage->entry || storage->checked) return GH_OK;
  gh_mapping_guard();
  gh_status status = gh_zip_check(err, storage->entry, p->file.path);
  if (gh_mapping_check(err, p->file.bytes)) status = GH_ERROR_FILE;
  storage->checked = !status;
  return status;
}

void gh_torch_release(const gh_torch_file *file, const gh_torch_tensor *t) {
  const torch_part *p = &file->parts[t->part];
  gh_mapping_release(&p->file, p->storages[t->storage].data, p->storages[t->storage].bytes);
}
