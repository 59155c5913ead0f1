/* The reader half of safetensors.h: one mapped file per part, one sorted table of the tensors of all parts. */
#include "io/safetensors.h"

#include "base/array.h"
#include "base/file.h"
#include "base/incomplete.h"
#include "base/json.h"
#include "io/float8.h"
#include "io/shard_index.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct part {
  gh_mapping file;
  gh_json *header; /* owns the tensors' names; NULL where they are not from a header */
} part;

struct gh_safetensors {
  char *path;
  part *parts;
  size_t part_count;
  gh_st_tensor *tensors; /* sorted by name */
  size_t count, capacity;
  gh_json *index;          /* of a sharded set, else NULL */
  const gh_json *metadata; /* strings by key, may be NULL */
  gh_strings names;        /* gh_safetensors_remap's, and its memory */
  void **owned;
  size_t owned_count;
};

static const struct {
  const char *name;
  size_t bytes;
  bool is_float;
} dtypes[GH_ST_DTYPES] = {
    [GH_ST_BOOL] = {"BOOL", 1, false},      [GH_ST_U8] = {"U8", 1, false},          [GH_ST_I8] = {"I8", 1, false},
    [GH_ST_F8_E4M3] = {"F8_E4M3", 1, true}, [GH_ST_F8_E5M2] = {"F8_E5M2", 1, true}, [GH_ST_U16] = {"U16", 2, false},
    [GH_ST_I16] = {"I16", 2, false},        [GH_ST_F16] = {"F16", 2, true},         [GH_ST_BF16] = {"BF16", 2, true},
    [GH_ST_U32] = {"U32", 4, false},        [GH_ST_I32] = {"I32", 4, false},        [GH_ST_F32] = {"F32", 4, true},
    [GH_ST_U64] = {"U64", 8, false},        [GH_ST_I64] = {"I64", 8, false},        [GH_ST_F64] = {"F64", 8, true},
};

const char *gh_st_dtype_name(gh_st_dtype dtype) { return dtypes[dtype].name; }
size_t gh_st_dtype_bytes(gh_st_dtype dtype) { return dtypes[dtype].bytes; }
bool gh_st_dtype_is_float(gh_st_dtype dtype) { return dtypes[dtype].is_float; }
bool gh_st_dtype_is_float8(gh_st_dtype dtype) { return dtype == GH_ST_F8_E4M3 || dtype == GH_ST_F8_E5M2; }

bool gh_st_is_torch_name(const char *name) {
  static const char *const endings[] = {".bin", ".pt", ".pth", ".ckpt", ".bin.index.json"};
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (gh_ends_with(name, endings[i])) return true;
  return false;
}

/* ---- one tensor of the header ---- */

static gh_status parse_dtype(gh_error *err, gh_st_tensor *t, const gh_json *entry) {
  const char *name;
  gh_status status = gh_json_get_string(err, entry, "dtype", &name);
  if (status) return status;
  for (int i = 0; i < GH_ST_DTYPES; i++)
    if (!strcmp(name, dtypes[i].name)) {
      t->dtype = (gh_st_dtype)i;
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_FORMAT, "unknown dtype \"%.40s\"", name);
}

static gh_status parse_shape(gh_error *err, gh_st_tensor *t, const gh_json *entry) {
  const gh_json *shape = gh_json_member(entry, "shape");
  if (gh_json_type_of(shape) != GH_JSON_ARRAY)
    return gh_fail(err, GH_ERROR_FORMAT, "shape: expected an array, found %s", gh_json_type_name(shape));
  t->elements = 1;
  for (const gh_json *item = gh_json_first(shape); item; item = gh_json_next(item)) {
    if (t->rank == GH_ST_MAX_RANK) return gh_fail(err, GH_ERROR_FORMAT, "more than %d dimensions", GH_ST_MAX_RANK);
    int64_t size;
    gh_status status = gh_json_to_int(err, item, "shape", &size);
    if (status) return status;
    if (size < 0) return gh_fail(err, GH_ERROR_FORMAT, "shape: negative dimension %lld", (long long)size);
    t->shape[t->rank++] = size;
    if (__builtin_mul_overflow(t->elements, size, &t->elements))
      return gh_fail(err, GH_ERROR_FORMAT, "shape: the number of elements exceeds 64 bits");
  }
  if (__builtin_mul_overflow((size_t)t->elements, dtypes[t->dtype].bytes, &t->bytes))
    return gh_fail(err, GH_ERROR_FORMAT, "shape: the number of bytes exceeds 64 bits");
  return GH_OK;
}

static gh_status parse_range(gh_error *err, gh_st_tensor *t, const gh_json *entry, const part *p, size_t data_start) {
  const gh_json *range = gh_json_member(entry, "data_offsets");
  if (gh_json_type_of(range) != GH_JSON_ARRAY || gh_json_count(range) != 2)
    return gh_fail(err, GH_ERROR_FORMAT, "data_offsets: expected an array of two integers");
  int64_t begin, end;
  const gh_json *first = gh_json_first(range);
  gh_status status = gh_json_to_int(err, first, "data_offsets", &begin);
  if (!status) status = gh_json_to_int(err, gh_json_next(first), "data_offsets", &end);
  if (status) return status;
  size_t data_size = p->file.size - data_start;
  if (begin < 0 || end < begin || (uint64_t)end > data_size)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "data_offsets [%lld, %lld] are outside the %zu bytes of data (an incomplete download?)",
                   (long long)begin, (long long)end, data_size);
  if ((size_t)(end - begin) != t->bytes) {
    char shape[128];
    gh_shape_text(shape, sizeof shape, t->rank, t->shape);
    return gh_fail(err, GH_ERROR_FORMAT, "%lld bytes of data, but %s of shape %s takes %zu", (long long)(end - begin),
                   dtypes[t->dtype].name, shape, t->bytes);
  }
  t->data = p->file.bytes + data_start + begin;
  return GH_OK;
}

static gh_status parse_tensor(gh_error *err, gh_st_tensor *t, const gh_json *entry, const part *p, size_t data_start) {
  *t = (gh_st_tensor){.name = gh_json_key(entry), .file = p->file.path};
  gh_status status = GH_OK;
  if (gh_json_type_of(entry) != GH_JSON_OBJECT)
    status = gh_fail(err, GH_ERROR_FORMAT, "expected an object, found %s", gh_json_type_name(entry));
  if (!status) status = parse_dtype(err, t, entry);
  if (!status) status = parse_shape(err, t, entry);
  if (!status) status = parse_range(err, t, entry, p, data_start);
  if (status) gh_fail_in(err, "%s: tensor \"%.200s\"", p->file.path, t->name);
  return status;
}

/* ---- one file ---- */

static int by_data(const void *a, const void *b) {
  const gh_st_tensor *x = a, *y = b;
  uintptr_t i = (uintptr_t)x->data, j = (uintptr_t)y->data;
  if (i != j) return i < j ? -1 : 1;
  return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static gh_status refuse_overlap(gh_error *err, const part *p, gh_st_tensor *tensors, size_t count) {
  qsort(tensors, count, sizeof *tensors, by_data);
  for (size_t i = 1; i < count; i++)
    if ((uintptr_t)tensors[i].data < (uintptr_t)tensors[i - 1].data + tensors[i - 1].bytes)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensors \"%.200s\" and \"%.200s\" overlap", p->file.path,
                     tensors[i - 1].name, tensors[i].name);
  return GH_OK;
}

static gh_status check_metadata(gh_error *err, const part *p, const gh_json *metadata) {
  if (gh_json_type_of(metadata) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: __metadata__: expected an object, found %s", p->file.path,
                   gh_json_type_name(metadata));
  for (const gh_json *item = gh_json_first(metadata); item; item = gh_json_next(item))
    if (gh_json_type_of(item) != GH_JSON_STRING)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: __metadata__.%.200s: expected a string, found %s", p->file.path,
                     gh_json_key(item), gh_json_type_name(item));
  return GH_OK;
}

static gh_status read_header(gh_error *err, part *p, size_t *data_start) {
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--) length = length << 8 | p->file.bytes[i];
  if (length > GH_JSON_MAX_BYTES && gh_st_is_torch_name(p->file.path))
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: not a safetensors file; `genhance convert` writes PyTorch's own format as one", p->file.path);
  if (length > GH_JSON_MAX_BYTES)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: header of %llu bytes exceeds the limit of %zu (not a safetensors file?)",
                   p->file.path, (unsigned long long)length, GH_JSON_MAX_BYTES);
  if (length > p->file.size - 8)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s: header of %llu bytes is longer than the file (%zu bytes; an incomplete download?)",
                   p->file.path, (unsigned long long)length, p->file.size);
  gh_status status =
      gh_json_parse(err, &p->header, p->file.path, (const char *)p->file.bytes + 8, (size_t)length, GH_JSON_MAX_BYTES);
  if (status) return status;
  if (gh_json_type_of(p->header) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: header: expected an object, found %s", p->file.path,
                   gh_json_type_name(p->header));
  *data_start = 8 + (size_t)length;
  return GH_OK;
}

/* Adds the tensors of one file; takes path. */
static gh_status add_part(gh_error *err, gh_safetensors *file, char *path) {
  part *p = &file->parts[file->part_count++];
  size_t data_start = 0, first = file->count;
  p->file.path = path;
  gh_status status = p->file.borrowed ? GH_OK : gh_mapping_open(err, &p->file, 8, "a safetensors file");
  if (!status) {
    status = read_header(err, p, &data_start);
    if (gh_mapping_check(err, p->file.bytes)) status = GH_ERROR_FILE; /* what was parsed is not the file's */
  }
  if (!status) status = GH_ARRAY_RESERVE(err, file->tensors, file->capacity, file->count, gh_json_count(p->header));
  if (status) return status;
  for (const gh_json *entry = gh_json_first(p->header); entry; entry = gh_json_next(entry)) {
    if (!strcmp(gh_json_key(entry), "__metadata__")) {
      if ((status = check_metadata(err, p, entry))) return status;
      if (!file->metadata) file->metadata = entry;
    } else {
      if ((status = parse_tensor(err, &file->tensors[file->count], entry, p, data_start))) return status;
      file->count++;
    }
  }
  return file->count > first ? refuse_overlap(err, p, file->tensors + first, file->count - first) : GH_OK;
}

/* ---- a set of files ---- */

static int by_name(const void *a, const void *b) {
  return strcmp(((const gh_st_tensor *)a)->name, ((const gh_st_tensor *)b)->name);
}

/* Sorts by name, and joins 8-bit tensors with their scales. */
static gh_status sort_tensors(gh_error *err, gh_safetensors *file) {
  if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
  for (size_t i = 1; i < file->count; i++)
    if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is both in %s and in %s", file->path,
                     file->tensors[i].name, gh_path_name(file->tensors[i - 1].file),
                     gh_path_name(file->tensors[i].file));
  return gh_float8_scale(err, file->tensors, file->count);
}

static const char *file_of(const void *context, const char *name) {
  const gh_st_tensor *t = gh_safetensors_find(context, name);
  return t ? t->file : NULL;
}

static gh_status open_sharded(gh_error *err, gh_safetensors *file, const char *index_path) {
  gh_strings shards = {0};
  gh_status status = gh_shard_index_read(err, &file->index, &shards, index_path);
  if (!status && !(file->parts = gh_alloc(err, shards.count, sizeof *file->parts))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < shards.count && !status; i++) {
    char *path = gh_strdup(err, shards.items[i]);
    status = path ? add_part(err, file, path) : GH_ERROR_MEMORY;
  }
  if (!status) status = sort_tensors(err, file);
  if (!status) status = gh_shard_index_check(err, file->index, file->path, file_of, file);
  gh_strings_free(&shards);
  return status;
}

static gh_status open_single(gh_error *err, gh_safetensors *file, const char *path) {
  file->parts = gh_alloc(err, 1, sizeof *file->parts);
  char *copy = file->parts ? gh_strdup(err, path) : NULL;
  if (!copy) return GH_ERROR_MEMORY;
  gh_status status = add_part(err, file, copy);
  return status ? status : sort_tensors(err, file);
}

/* The name, if it is one file of a sharded set: "model-00001-of-00003.safetensors". */
static bool is_shard(const char *name) {
  const char *of = strstr(name, "-of-");
  return of && of > name && of[-1] >= '0' && of[-1] <= '9' && of[4] >= '0' && of[4] <= '9';
}

static gh_status no_weights(gh_error *err, const char *folder, const char *pickle) {
  static const char *const usual[] = {"model.safetensors", "model.safetensors.index.json",
                                      "open_clip_model.safetensors", "adapter_model.safetensors",
                                      "diffusion_pytorch_model.safetensors"};
  for (size_t i = 0; i < GH_COUNT(usual); i++) {
    char *path = gh_path_join(err, folder, usual[i]);
    if (!path) return GH_ERROR_MEMORY;
    gh_status status = gh_left_incomplete(path) ? gh_fail_absent(err, path, ENOENT) : GH_OK;
    free(path);
    if (status) return status;
  }
  if (!pickle) return gh_fail(err, GH_ERROR_FILE, "%s: no .safetensors file in the folder", folder);
  return gh_fail(err, GH_ERROR_FILE,
                 "%s: no .safetensors file in the folder; %s is PyTorch's own format: `genhance convert` writes it as "
                 "safetensors",
                 folder, pickle);
}

/* The weights in a folder: model.safetensors, else one index, else the only .safetensors file. */
static gh_status choose_in_folder(gh_error *err, char **chosen, const char *folder) {
  gh_strings names = {0};
  gh_status status = gh_folder_list(err, &names, folder, false);
  const char *found = NULL, *index = NULL, *pickle = NULL, *shard = NULL;
  size_t files = 0, indexes = 0;
  for (size_t i = 0; i < names.count; i++) {
    if (gh_st_is_torch_name(names.items[i])) pickle = names.items[i];
    if (gh_ends_with(names.items[i], ".safetensors.index.json")) index = names.items[i], indexes++;
    if (!gh_ends_with(names.items[i], ".safetensors")) continue;
    if (is_shard(names.items[i])) shard = names.items[i];
    bool usual = found && !strcmp(found, "model.safetensors");
    found = usual ? found : names.items[i];
    files++;
  }
  bool usual = found && !strcmp(found, "model.safetensors");
  const char *name = usual ? found : indexes == 1 ? index : files == 1 && !indexes ? found : NULL;
  if (!status && shard && !indexes && (!name || name == shard))
    status = gh_fail(err, GH_ERROR_FILE,
                     "%s: %s is a shard, and there is no .safetensors.index.json (an incomplete "
                     "download?)",
                     folder, shard);
  if (!status && !name)
    status = files || indexes ? gh_fail(err, GH_ERROR_FILE,
                                        "%s: several .safetensors files and no model.safetensors: name one", folder)
                              : no_weights(err, folder, pickle);
  if (!status && !(*chosen = gh_path_join(err, folder, name))) status = GH_ERROR_MEMORY;
  gh_strings_free(&names);
  return status;
}

gh_status gh_safetensors_open(gh_error *err, gh_safetensors **out, const char *path) {
  gh_status status = GH_ERROR_MEMORY;
  char *chosen = NULL;
  *out = NULL;
  gh_safetensors *file = gh_alloc(err, 1, sizeof *file);
  if (!file) goto fail;
  if (!(file->path = gh_strdup(err, path))) goto fail;
  if (gh_path_is_folder(path) && (status = choose_in_folder(err, &chosen, path))) goto fail;
  const char *name = chosen ? chosen : path;
  status = gh_ends_with(name, ".index.json") ? open_sharded(err, file, name) : open_single(err, file, name);
  if (status) goto fail;
  free(chosen);
  *out = file;
  return GH_OK;
fail:
  free(chosen);
  gh_safetensors_close(file);
  return status;
}

gh_status gh_safetensors_open_memory(gh_error *err, gh_safetensors **out, const char *name, const void *bytes,
                                     size_t size) {
  *out = NULL;
  if (size < 8) return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu bytes are too short for a safetensors file", name, size);
  gh_safetensors *file = gh_alloc(err, 1, sizeof *file);
  char *path = NULL;
  if (!file || !(file->path = gh_strdup(err, name)) || !(file->parts = gh_alloc(err, 1, sizeof *file->parts)) ||
      !(path = gh_strdup(err, name))) {
    gh_safetensors_close(file);
    return GH_ERROR_MEMORY;
  }
  file->parts[0].file = (gh_mapping){.bytes = bytes, .size = size, .borrowed = true};
  gh_status status = add_part(err, file, path);
  if (!status) status = sort_tensors(err, file);
  if (status)
    gh_safetensors_close(file);
  else
    *out = file;
  return status;
}

void gh_safetensors_release(const gh_safetensors *file, const gh_st_tensor *t) {
  for (size_t i = 0; i < file->part_count; i++) gh_mapping_release(&file->parts[i].file, t->data, t->bytes);
}

void gh_safetensors_close(gh_safetensors *file) {
  if (!file) return;
  for (size_t i = 0; i < file->part_count; i++) {
    gh_mapping_close(&file->parts[i].file);
    gh_json_free(file->parts[i].header);
  }
  for (size_t i = 0; i < file->owned_count; i++) free(file->owned[i]);
  free(file->owned);
  gh_strings_free(&file->names);
  free(file->parts);
  free(file->tensors);
  gh_json_free(file->index);
  free(file->path);
  free(file);
}

gh_status gh_safetensors_of_files(gh_error *err, gh_safetensors **out, const char *path, gh_mapping *mappings,
                                  size_t count) {
  gh_safetensors *file = gh_alloc(err, 1, sizeof *file);
  part *parts = file ? gh_alloc(err, count, sizeof *parts) : NULL;
  *out = NULL;
  if (!parts || !(file->path = gh_strdup(err, path))) {
    for (size_t i = 0; i < count; i++) gh_mapping_close(&mappings[i]);
    free(parts);
    gh_safetensors_close(file);
    return GH_ERROR_MEMORY;
  }
  for (size_t i = 0; i < count; i++) parts[i].file = mappings[i];
  file->parts = parts;
  file->part_count = count;
  *out = file;
  return GH_OK;
}

/* Keeps what the tensors' data may still be in: earlier pieces of memory. */
static gh_status own(gh_error *err, gh_safetensors *file, void **owned, size_t count) {
  const size_t before = file->owned_count;
  void **all = before ? gh_alloc(err, before + count, sizeof *all) : owned;
  if (!all) {
    for (size_t i = 0; i < count; i++) free(owned[i]);
    free(owned);
    return GH_ERROR_MEMORY;
  }
  if (before) {
    memcpy(all, file->owned, before * sizeof *all);
    if (count) memcpy(all + before, owned, count * sizeof *all);
    free(owned);
  }
  free(file->owned);
  file->owned = all;
  file->owned_count = before + count;
  return GH_OK;
}

gh_status gh_safetensors_remap(gh_error *err, gh_safetensors *file, const gh_st_tensor *tensors, size_t n,
                               gh_strings names, void **owned, size_t owned_count) {
  gh_strings_free(&file->names);
  file->names = names;
  file->count = 0;
  gh_status status = own(err, file, owned, owned_count);
  if (!status) status = GH_ARRAY_RESERVE(err, file->tensors, file->capacity, file->count, n);
  if (status) return status;
  if (n) memcpy(file->tensors, tensors, n * sizeof *tensors);
  file->count = n;
  for (size_t i = 0; i < file->part_count && !status; i++) /* the owned pieces were made from them */
    status = gh_mapping_check(err, file->parts[i].file.bytes);
  return status ? status : sort_tensors(err, file);
}

/* ---- questions ---- */

const char *gh_safetensors_path(const gh_safetensors *file) { return file->path; }
size_t gh_safetensors_count(const gh_safetensors *file) { return file->count; }
const gh_st_tensor *gh_safetensors_at(const gh_safetensors *file, size_t index) { return &file->tensors[index]; }

const gh_st_tensor *gh_safetensors_find(const gh_safetensors *file, const char *name) {
  gh_st_tensor wanted = {.name = name};
  return file->count ? bsearch(&wanted, file->tensors, file->count, sizeof wanted, by_name) : NULL;
}

const char *gh_safetensors_metadata(const gh_safetensors *file, const char *key) {
  const char *value = NULL;
  const gh_json *item = gh_json_member(file->metadata, key);
  if (item) gh_json_to_string(NULL, item, key, &value);
  return value;
}

size_t gh_safetensors_metadata_count(const gh_safetensors *file) { return gh_json_count(file->metadata); }

void gh_safetensors_metadata_at(const gh_safetensors *file, size_t index, const char **key, const char **value) {
  const gh_json *item = gh_json_first(file->metadata);
  while (index--) item = gh_json_next(item);
  *key = gh_json_key(item);
  gh_json_to_string(NULL, item, *key, value);
}

static gh_status missing(gh_error *err, const gh_safetensors *file, const char *name) {
  const char **names = gh_alloc(err, file->count, sizeof *names);
  if (!names) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < file->count; i++) names[i] = file->tensors[i].name;
  const char *nearest = gh_nearest(name, names, file->count);
  free(names);
  if (nearest)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: no tensor \"%.200s\" (the nearest is \"%.200s\")", file->path, name,
                   nearest);
  return gh_fail(err, GH_ERROR_FORMAT, "%s: no tensor \"%.200s\" among its %zu", file->path, name, file->count);
}

gh_status gh_safetensors_expect(gh_error *err, const gh_safetensors *file, const char *name, int rank,
                                const int64_t *shape, const gh_st_tensor **out) {
  const gh_st_tensor *t = gh_safetensors_find(file, name);
  if (!t) return missing(err, file, name);
  bool same = t->rank == rank;
  for (int i = 0; i < rank && same; i++) same = shape[i] < 0 || t->shape[i] == shape[i];
  if (!same || !dtypes[t->dtype].is_float) {
    char found[128], expected[128];
    gh_shape_text(found, sizeof found, t->rank, t->shape);
    gh_shape_text(expected, sizeof expected, rank, shape);
    return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is %s of shape %s, expected floats of shape %s",
                   t->file, name, dtypes[t->dtype].name, found, expected);
  }
  if (out) *out = t;
  return GH_OK;
}
