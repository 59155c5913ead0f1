/* The reader half of safetensors.h: one mapped file per part, one sorted table of the tensors of all parts. */
#include "io/safetensors.h"

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct part {
  char *path;
  const unsigned char *map;
  size_t size;
  bool borrowed;   /* the memory is the caller's, not a mapped file */
  gh_json *header; /* owns the tensors' names */
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
    [GH_ST_BOOL] = {"BOOL", 1, false},       [GH_ST_U8] = {"U8", 1, false},           [GH_ST_I8] = {"I8", 1, false},
    [GH_ST_F8_E4M3] = {"F8_E4M3", 1, false}, [GH_ST_F8_E5M2] = {"F8_E5M2", 1, false}, [GH_ST_U16] = {"U16", 2, false},
    [GH_ST_I16] = {"I16", 2, false},         [GH_ST_F16] = {"F16", 2, true},          [GH_ST_BF16] = {"BF16", 2, true},
    [GH_ST_U32] = {"U32", 4, false},         [GH_ST_I32] = {"I32", 4, false},         [GH_ST_F32] = {"F32", 4, true},
    [GH_ST_U64] = {"U64", 8, false},         [GH_ST_I64] = {"I64", 8, false},         [GH_ST_F64] = {"F64", 8, true},
};

const char *gh_st_dtype_name(gh_st_dtype dtype) { return dtypes[dtype].name; }
size_t gh_st_dtype_bytes(gh_st_dtype dtype) { return dtypes[dtype].bytes; }
bool gh_st_dtype_is_float(gh_st_dtype dtype) { return dtypes[dtype].is_float; }

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
  size_t data_size = p->size - data_start;
  if (begin < 0 || end < begin || (uint64_t)end > data_size)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "data_offsets [%lld, %lld] are outside the %zu bytes of data (truncated file?)", (long long)begin,
                   (long long)end, data_size);
  if ((size_t)(end - begin) != t->bytes) {
    char shape[128];
    gh_shape_text(shape, sizeof shape, t->rank, t->shape);
    return gh_fail(err, GH_ERROR_FORMAT, "%lld bytes of data, but %s of shape %s takes %zu", (long long)(end - begin),
                   dtypes[t->dtype].name, shape, t->bytes);
  }
  t->data = p->map + data_start + begin;
  return GH_OK;
}

static gh_status parse_tensor(gh_error *err, gh_st_tensor *t, const gh_json *entry, const part *p, size_t data_start) {
  *t = (gh_st_tensor){.name = gh_json_key(entry), .file = p->path};
  gh_status status = GH_OK;
  if (gh_json_type_of(entry) != GH_JSON_OBJECT)
    status = gh_fail(err, GH_ERROR_FORMAT, "expected an object, found %s", gh_json_type_name(entry));
  if (!status) status = parse_dtype(err, t, entry);
  if (!status) status = parse_shape(err, t, entry);
  if (!status) status = parse_range(err, t, entry, p, data_start);
  if (status) gh_fail_in(err, "%s: tensor \"%.200s\"", p->path, t->name);
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
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensors \"%.200s\" and \"%.200s\" overlap", p->path,
                     tensors[i - 1].name, tensors[i].name);
  return GH_OK;
}

static gh_status check_metadata(gh_error *err, const part *p, const gh_json *metadata) {
  if (gh_json_type_of(metadata) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: __metadata__: expected an object, found %s", p->path,
                   gh_json_type_name(metadata));
  for (const gh_json *item = gh_json_first(metadata); item; item = gh_json_next(item))
    if (gh_json_type_of(item) != GH_JSON_STRING)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: __metadata__.%.200s: expected a string, found %s", p->path,
                     gh_json_key(item), gh_json_type_name(item));
  return GH_OK;
}

static gh_status map_file(gh_error *err, part *p) {
  struct stat facts;
  int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* rejects a pipe instead of waiting for it */
  if (fd < 0) return gh_fail(err, GH_ERROR_FILE, "%s: %s", p->path, strerror(errno));
  gh_status status = GH_OK;
  if (fstat(fd, &facts) || !S_ISREG(facts.st_mode)) {
    status = gh_fail(err, GH_ERROR_FILE, "%s: not a regular file", p->path);
  } else if (facts.st_size < 8) {
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: %lld bytes are too short for a safetensors file", p->path,
                     (long long)facts.st_size);
  } else {
    void *map = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
      status = gh_fail(err, GH_ERROR_FILE, "%s: cannot be mapped: %s", p->path, strerror(errno));
    else
      p->map = map, p->size = (size_t)facts.st_size;
  }
  close(fd);
  return status;
}

static gh_status read_header(gh_error *err, part *p, size_t *data_start) {
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--) length = length << 8 | p->map[i];
  if (length > GH_JSON_MAX_BYTES)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: header of %llu bytes exceeds the limit of %zu (not a safetensors file?)",
                   p->path, (unsigned long long)length, GH_JSON_MAX_BYTES);
  if (length > p->size - 8)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: header of %llu bytes is longer than the file (%zu bytes; truncated?)",
                   p->path, (unsigned long long)length, p->size);
  gh_status status =
      gh_json_parse(err, &p->header, p->path, (const char *)p->map + 8, (size_t)length, GH_JSON_MAX_BYTES);
  if (status) return status;
  if (gh_json_type_of(p->header) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: header: expected an object, found %s", p->path,
                   gh_json_type_name(p->header));
  *data_start = 8 + (size_t)length;
  return GH_OK;
}

/* Adds the tensors of one file; takes path. */
static gh_status add_part(gh_error *err, gh_safetensors *file, char *path) {
  part *p = &file->parts[file->part_count++];
  size_t data_start = 0, first = file->count;
  p->path = path;
  gh_status status = p->borrowed ? GH_OK : map_file(err, p);
  if (!status) status = read_header(err, p, &data_start);
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

static gh_status sort_tensors(gh_error *err, gh_safetensors *file) {
  if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
  for (size_t i = 1; i < file->count; i++)
    if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is both in %s and in %s", file->path,
                     file->tensors[i].name, gh_path_name(file->tensors[i - 1].file),
                     gh_path_name(file->tensors[i].file));
  return GH_OK;
}

/* The distinct shard names of an index's weight_map, checked to stay inside its folder. */
static gh_status shard_names(gh_error *err, gh_strings *shards, const gh_json *map, const char *path) {
  if (gh_json_type_of(map) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: weight_map: expected an object, found %s", path, gh_json_type_name(map));
  for (const gh_json *item = gh_json_first(map); item; item = gh_json_next(item)) {
    const char *shard;
    gh_status status = gh_json_to_string(err, item, gh_json_key(item), &shard);
    if (status) return gh_fail_in(err, "%s: weight_map", path), status;
    if (!gh_path_stays_inside(shard))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: shard \"%.200s\" is outside the folder of the index", path, shard);
    if ((status = gh_strings_add(err, shards, shard))) return status;
  }
  gh_strings_sort(shards);
  size_t kept = 0;
  for (size_t i = 0; i < shards->count; i++) {
    if (kept && !strcmp(shards->items[kept - 1], shards->items[i]))
      free(shards->items[i]);
    else
      shards->items[kept++] = shards->items[i];
  }
  shards->count = kept;
  return GH_OK;
}

static bool lies_in(const gh_st_tensor *t, const char *shard) {
  size_t length = strlen(t->file), tail = strlen(shard);
  return length > tail && t->file[length - tail - 1] == '/' && gh_ends_with(t->file, shard);
}

/* Every tensor in the index must be in the shard that the index names. */
static gh_status check_index(gh_error *err, const gh_safetensors *file, const gh_json *map) {
  for (const gh_json *item = gh_json_first(map); item; item = gh_json_next(item)) {
    const char *shard = "";
    gh_json_to_string(NULL, item, "", &shard);
    const gh_st_tensor *t = gh_safetensors_find(file, gh_json_key(item));
    if (!t || !lies_in(t, shard))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\" is not in %.200s", file->path, gh_json_key(item),
                     shard);
  }
  return GH_OK;
}

static gh_status open_sharded(gh_error *err, gh_safetensors *file, const char *index_path) {
  gh_strings shards = {0};
  char *folder = gh_path_folder(err, index_path);
  gh_status status = folder ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_read_file(err, &file->index, index_path, GH_JSON_MAX_BYTES);
  const gh_json *map = status ? NULL : gh_json_member(file->index, "weight_map");
  if (!status) status = shard_names(err, &shards, map, index_path);
  if (!status && !(file->parts = gh_alloc(err, shards.count, sizeof *file->parts))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < shards.count && !status; i++) {
    char *path = gh_path_join(err, folder, shards.items[i]);
    status = path ? add_part(err, file, path) : GH_ERROR_MEMORY;
  }
  if (!status) status = sort_tensors(err, file);
  if (!status) status = check_index(err, file, map);
  gh_strings_free(&shards);
  free(folder);
  return status;
}

static gh_status open_single(gh_error *err, gh_safetensors *file, const char *path) {
  file->parts = gh_alloc(err, 1, sizeof *file->parts);
  char *copy = file->parts ? gh_strdup(err, path) : NULL;
  if (!copy) return GH_ERROR_MEMORY;
  gh_status status = add_part(err, file, copy);
  return status ? status : sort_tensors(err, file);
}

/* PyTorch's own formats, which execute code when loaded. */
static bool is_pickle(const char *name) {
  static const char *const endings[] = {".bin", ".pt", ".pth", ".ckpt"};
  for (size_t i = 0; i < GH_COUNT(endings); i++)
    if (gh_ends_with(name, endings[i])) return true;
  return false;
}

static gh_status no_weights(gh_error *err, const char *folder, const char *pickle) {
  if (!pickle) return gh_fail(err, GH_ERROR_FILE, "%s: no .safetensors file in the folder", folder);
  return gh_fail(err, GH_ERROR_FILE,
                 "%s: no .safetensors file in the folder; %s is PyTorch's own format, not supported: save it again "
                 "as safetensors",
                 folder, pickle);
}

/* The weights in a folder: model.safetensors, else one index, else the only .safetensors file. */
static gh_status choose_in_folder(gh_error *err, char **chosen, const char *folder) {
  gh_strings names = {0};
  gh_status status = gh_folder_list(err, &names, folder, false);
  const char *found = NULL, *index = NULL, *pickle = NULL;
  size_t files = 0, indexes = 0;
  for (size_t i = 0; i < names.count; i++) {
    if (is_pickle(names.items[i])) pickle = names.items[i];
    if (gh_ends_with(names.items[i], ".safetensors.index.json")) index = names.items[i], indexes++;
    if (!gh_ends_with(names.items[i], ".safetensors")) continue;
    bool usual = found && !strcmp(found, "model.safetensors");
    found = usual ? found : names.items[i];
    files++;
  }
  bool usual = found && !strcmp(found, "model.safetensors");
  const char *name = usual ? found : indexes == 1 ? index : files == 1 && !indexes ? found : NULL;
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
  file->parts[0] = (part){.map = bytes, .size = size, .borrowed = true};
  gh_status status = add_part(err, file, path);
  if (!status) status = sort_tensors(err, file);
  if (status)
    gh_safetensors_close(file);
  else
    *out = file;
  return status;
}

void gh_safetensors_release(const gh_safetensors *file, const gh_st_tensor *t) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), data = (uintptr_t)t->data;
  const uintptr_t first = (data + page - 1) / page * page, end = (data + t->bytes) / page * page;
  for (size_t i = 0; i < file->part_count && end > first; i++) {
    const part *p = &file->parts[i];
    const uintptr_t map = (uintptr_t)p->map;
    if (!map || p->borrowed || data < map || data + t->bytes > map + p->size) continue;
    madvise((void *)first, (size_t)(end - first), MADV_DONTNEED); /* a failure only costs memory */
  }
}

void gh_safetensors_close(gh_safetensors *file) {
  if (!file) return;
  for (size_t i = 0; i < file->part_count; i++) {
    part *p = &file->parts[i];
    if (p->map && !p->borrowed) munmap((void *)p->map, p->size);
    gh_json_free(p->header);
    free(p->path);
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

gh_status gh_safetensors_remap(gh_error *err, gh_safetensors *file, const gh_st_tensor *tensors, size_t n,
                               gh_strings names, void **owned, size_t owned_count) {
  file->names = names;
  file->owned = owned;
  file->owned_count = owned_count;
  file->count = 0;
  gh_status status = GH_ARRAY_RESERVE(err, file->tensors, file->capacity, file->count, n);
  if (status) return status;
  if (n) memcpy(file->tensors, tensors, n * sizeof *tensors);
  file->count = n;
  return sort_tensors(err, file);
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
