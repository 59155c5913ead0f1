/* From pickled values to tensors: which dictionary holds them, which are left out, and where their elements lie. */
#include "base/array.h"
#include "io/torch_internal.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LEVELS 4    /* of wrappers around a tensor, and around the dictionary of tensors */
#define MOST_NAME   1024 /* bytes of a tensor's name */

/* Keys under which training frameworks keep the weights' dictionary; the first that is there counts. */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "module"};

/* Tensors that are not the model: those whose name begins so, if the file also has the marker (NULL: always). */
static const struct {
  const char *begin, *marker, *shown, *why;
} rules[] = {
    {"loss.", "quantize.embedding.weight", "loss.*", "the networks of the training loss"},
    {"model_ema.", NULL, "model_ema.*", "averaged copies of the weights"},
};

enum { RULES = GH_COUNT(rules) };

/* ---- values ---- */

static const gh_pickle_value *argument(const gh_pickle_value *call, size_t i) {
  return call->args && call->args->type == GH_PICKLE_TUPLE && i < call->args->as.list.count
             ? call->args->as.list.items[i]
             : NULL;
}

/* The kind of a call's callable; INERT for other values. */
static gh_torch_kind kind_of(const gh_pickle_value *v) {
  const gh_pickle_global *global = v->type == GH_PICKLE_CALL ? gh_pickle_global_of(v) : NULL;
  return global ? (gh_torch_kind)global->kind : GH_TORCH_INERT;
}

static bool is_tensor(const gh_pickle_value *v) {
  const gh_torch_kind kind = kind_of(v);
  return kind == GH_TORCH_TENSOR || kind == GH_TORCH_TENSOR_V3 || kind == GH_TORCH_PARAMETER ||
         kind == GH_TORCH_OTHER_TENSOR;
}

static bool is_dict(const gh_pickle_value *v) { return v->type == GH_PICKLE_DICT || kind_of(v) == GH_TORCH_DICT; }

/* A dictionary's entries: its items, or, as Python 2 pickled an OrderedDict, a list of pairs as its argument. */
static size_t entry_count(const gh_pickle_value *dict) {
  const gh_pickle_value *pairs = dict->type == GH_PICKLE_CALL ? argument(dict, 0) : NULL;
  return pairs && pairs->type == GH_PICKLE_LIST ? pairs->as.list.count : dict->as.list.count / 2;
}

/* False if entry i is no pair. */
static bool entry_at(const gh_pickle_value *dict, size_t i, const gh_pickle_value **key,
                     const gh_pickle_value **value) {
  gh_pickle_value *const *two = dict->as.list.items + 2 * i;
  const gh_pickle_value *pairs = dict->type == GH_PICKLE_CALL ? argument(dict, 0) : NULL;
  if (pairs && pairs->type == GH_PICKLE_LIST) {
    const gh_pickle_value *pair = pairs->as.list.items[i];
    const bool list = pair->type == GH_PICKLE_LIST || pair->type == GH_PICKLE_TUPLE;
    if (!list || pair->as.list.count != 2 || dict->as.list.count) return false;
    two = pair->as.list.items;
  } else if (dict->type == GH_PICKLE_CALL && dict->filled != GH_PICKLE_DICT) {
    return false;
  }
  *key = two[0];
  *value = two[1];
  return true;
}

const gh_pickle_value *gh_torch_member(const gh_pickle_value *dict, const char *name) {
  const gh_pickle_value *key, *value;
  for (size_t i = 0; is_dict(dict) && i < entry_count(dict); i++)
    if (entry_at(dict, i, &key, &value) && gh_pickle_is_text(key, name)) return value;
  return NULL;
}

static bool is_int(const gh_pickle_value *v) { return v && v->type == GH_PICKLE_INT; }

/* ---- storages ---- */

static bool read_view(torch_identity *out, const gh_pickle_value *view) {
  if (view->type == GH_PICKLE_NONE) return true;
  gh_pickle_value *const *items = view->as.list.items;
  if (view->type != GH_PICKLE_TUPLE || view->as.list.count != 3 || !is_int(items[1]) || !is_int(items[2])) return false;
  out->view_at = items[1]->as.integer;
  out->view_elements = items[2]->as.integer;
  return out->view_at >= 0 && out->view_elements >= 0 && out->view_at <= out->elements &&
         out->view_elements <= out->elements - out->view_at;
}

gh_status gh_torch_identify(gh_error *err, torch_identity *out, const gh_pickle_value *persistent, const char *path) {
  const gh_pickle_value *id = persistent->args;
  gh_pickle_value *const *items = id->as.list.items;
  const size_t count = id->type == GH_PICKLE_TUPLE ? id->as.list.count : 0;
  if (count && gh_pickle_is_text(items[0], "module"))
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: holds a whole module, which is code: save its state_dict() instead",
                   path);
  bool valid = count >= 5 && count <= 6 && gh_pickle_is_text(items[0], "storage") &&
               items[1]->type == GH_PICKLE_GLOBAL && items[1]->global->kind == GH_TORCH_STORAGE &&
               items[2]->type == GH_PICKLE_TEXT && is_int(items[4]) && items[4]->as.integer >= 0;
  if (valid) {
    *out = (torch_identity){.key = items[2]->as.text.bytes,
                            .key_length = items[2]->as.text.size,
                            .type = items[1]->global,
                            .elements = items[4]->as.integer,
                            .view_elements = items[4]->as.integer};
    valid = count == 5 || read_view(out, items[5]);
  }
  return valid ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "%s: the identity of a storage is invalid", path);
}

/* ---- one tensor ---- */

typedef struct reading {
  gh_torch_file *file;
  size_t part;
  const char *name;          /* of the current tensor */
  bool ruled[RULES];         /* whether a rule applies to this file */
  size_t out[RULES], others; /* tensors that rules left out, and that have not the prefix */
} reading;

static const char *path_of(const reading *r) { return r->file->parts[r->part].file.path; }

static gh_status invalid(gh_error *err, const reading *r, const char *what) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: tensor \"%.200s\": %s", path_of(r), r->name, what);
}

/* A tuple of sizes or strides, none negative. */
static bool read_sizes(const gh_pickle_value *v, int *rank, int64_t *out) {
  if (v && kind_of(v) == GH_TORCH_SIZE) v = argument(v, 0);
  if (!v || (v->type != GH_PICKLE_TUPLE && v->type != GH_PICKLE_LIST) || v->as.list.count > GH_ST_MAX_RANK)
    return false;
  *rank = (int)v->as.list.count;
  for (int i = 0; i < *rank; i++) {
    if (!is_int(v->as.list.items[i]) || v->as.list.items[i]->as.integer < 0) return false;
    out[i] = v->as.list.items[i]->as.integer;
  }
  return true;
}

static gh_status find_dtype(gh_error *err, const reading *r, const gh_pickle_value *call, const torch_identity *id,
                            gh_st_dtype *out) {
  const bool given = kind_of(call) == GH_TORCH_TENSOR_V3;
  const gh_pickle_value *dtype = given ? argument(call, 6) : NULL;
  const gh_pickle_global *global = dtype ? gh_pickle_global_of(dtype) : given ? NULL : id->type;
  if (!global || (given && global->kind != GH_TORCH_DTYPE)) return invalid(err, r, "its dtype is invalid");
  if (global->detail < GH_ST_DTYPES) {
    *out = (gh_st_dtype)global->detail;
    return GH_OK;
  }
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: tensor \"%.200s\" is of %s, which safetensors does not have",
                 path_of(r), r->name, global->name);
}

/* Counts elements, decides whether they are contiguous, and finds how many elements the tensor spans. */
static bool measure(gh_torch_tensor *t, int64_t *span) {
  int64_t packed = 1, last = 0;
  gh_st_tensor *st = &t->st;
  st->elements = 1;
  for (int i = 0; i < st->rank; i++)
    if (__builtin_mul_overflow(st->elements, st->shape[i], &st->elements)) return false;
  t->contiguous = true;
  for (int i = st->rank - 1; i >= 0 && st->elements; i--) {
    int64_t reach;
    if (st->shape[i] == 1) continue; /* its stride is never used */
    t->contiguous = t->contiguous && t->stride[i] == packed;
    packed *= st->shape[i];
    if (__builtin_mul_overflow(st->shape[i] - 1, t->stride[i], &reach) || __builtin_add_overflow(last, reach, &last))
      return false;
  }
  *span = st->elements ? last + 1 : 0;
  return last < INT64_MAX && !__builtin_mul_overflow((size_t)st->elements, gh_st_dtype_bytes(st->dtype), &st->bytes);
}

/* Finds the elements of t, whose shape and strides are known, `offset` elements into the storage. */
static gh_status place(gh_error *err, const reading *r, gh_torch_tensor *t, const torch_identity *id, int64_t offset) {
  const torch_part *part = &r->file->parts[r->part];
  const torch_storage *storage = gh_torch_find_storage(part, id->key, id->key_length);
  const size_t size = gh_st_dtype_bytes(t->st.dtype);
  int64_t span, end, bytes;
  if (!measure(t, &span)) return invalid(err, r, "its shape exceeds 64 bits");
  if (!storage) return invalid(err, r, "its storage is not in the file");
  const int64_t unit = (int64_t)gh_torch_element_bytes(id->type->detail); /* of the identity's counts */
  if (__builtin_mul_overflow(id->elements, unit, &bytes) || (uint64_t)bytes > storage->bytes)
    return invalid(err, r, "its storage is smaller than it says");
  if (__builtin_add_overflow(offset, span, &end) || __builtin_mul_overflow(end, (int64_t)size, &end) ||
      end > id->view_elements * unit)
    return invalid(err, r, "it exceeds its storage");
  t->part = r->part;
  t->storage = (size_t)(storage - part->storages);
  t->st.data = storage->data + id->view_at * unit + (span ? offset * (int64_t)size : 0);
  return GH_OK;
}

/* call: of the kinds TENSOR and TENSOR_V3. */
static gh_status read_tensor(gh_error *err, const reading *r, const gh_pickle_value *call, gh_torch_tensor *t) {
  const bool v3 = kind_of(call) == GH_TORCH_TENSOR_V3;
  const gh_pickle_value *storage = argument(call, 0), *offset = argument(call, 1);
  const gh_pickle_value *more = argument(call, v3 ? 7 : 6);
  torch_identity id;
  int strides = 0;
  if (!storage || storage->type != GH_PICKLE_PERSISTENT || !is_int(offset) || offset->as.integer < 0)
    return invalid(err, r, "it is not made of a storage and an offset");
  if (!read_sizes(argument(call, 2), &t->st.rank, t->st.shape) || !read_sizes(argument(call, 3), &strides, t->stride) ||
      strides != t->st.rank)
    return invalid(err, r, "its shape or its strides are invalid, or it has more than 8 dimensions");
  const bool plain = !more || more->type == GH_PICKLE_NONE || (is_dict(more) && !entry_count(more));
  if (!plain)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: tensor \"%.200s\" is a conjugate or negative view", path_of(r),
                   r->name);
  gh_status status = gh_torch_identify(err, &id, storage, path_of(r));
  if (!status) status = find_dtype(err, r, call, &id, &t->st.dtype);
  return status ? status : place(err, r, t, &id, offset->as.integer);
}

static gh_status add_tensor(gh_error *err, reading *r, const gh_pickle_value *v) {
  gh_torch_file *file = r->file;
  for (int i = 0; i < MOST_LEVELS && v && kind_of(v) == GH_TORCH_PARAMETER; i++) v = argument(v, 0);
  if (!v || !is_tensor(v) || kind_of(v) == GH_TORCH_PARAMETER) return invalid(err, r, "it is not made of a tensor");
  if (kind_of(v) == GH_TORCH_OTHER_TENSOR)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: tensor \"%.200s\" is a special tensor (%s), which is not supported",
                   path_of(r), r->name, v->callable->global_name);
  if (file->count == GH_TORCH_MAX_TENSORS)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: more than %zu tensors", path_of(r), GH_TORCH_MAX_TENSORS);
  if (GH_ARRAY_RESERVE(err, file->tensors, file->capacity, file->count, 1)) return err->status;
  gh_torch_tensor t = {.st = {.file = path_of(r)}};
  gh_status status = read_tensor(err, r, v, &t);
  if (!status) status = gh_strings_add(err, &file->names, r->name);
  if (status) return status;
  t.st.name = file->names.items[file->names.count - 1];
  file->tensors[file->count++] = t;
  return GH_OK;
}

/* ---- what is left out ---- */

static gh_status leave_out(gh_error *err, gh_torch_file *file, const char *name, const char *why, size_t tensors) {
  for (size_t i = 0; tensors && i < file->left_out_count; i++) { /* one row for all files of a set */
    gh_torch_left_out *row = &file->left_out[i];
    if (row->why != why || strcmp(row->name, name)) continue;
    row->tensors += tensors;
    return GH_OK;
  }
  if (GH_ARRAY_RESERVE(err, file->left_out, file->left_out_capacity, file->left_out_count, 1)) return err->status;
  gh_torch_left_out row = {.name = gh_strdup(err, name), .why = why, .tensors = tensors};
  if (!row.name) return GH_ERROR_MEMORY;
  file->left_out[file->left_out_count++] = row;
  return GH_OK;
}

/* A key as zero-terminated text, or a description. */
static void key_text(char out[MOST_NAME + 1], const gh_pickle_value *key) {
  const size_t size = key->type == GH_PICKLE_TEXT ? GH_MIN(key->as.text.size, MOST_NAME) : 0;
  if (size) memcpy(out, key->as.text.bytes, size);
  out[size] = 0;
  gh_text_show(out);
  if (key->type != GH_PICKLE_TEXT) strcpy(out, "(a key that is not text)");
}

/* ---- the dictionary ---- */

static gh_status no_dict(gh_error *err, const char *path, const gh_pickle_value *v) {
  const char *name = v->type == GH_PICKLE_CALL ? v->callable->global_name : NULL;
  if (v->type == GH_PICKLE_LIST || v->type == GH_PICKLE_TUPLE) name = "a list";
  if (is_tensor(v)) name = "a single tensor without a name";
  return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: holds %s, not a dictionary of tensors: save its state_dict() instead",
                 path, name ? name : "a value");
}

/* Follows the wrappers from *dict to the dictionary of the tensors; lists what is beside it. */
static gh_status unwrap(gh_error *err, gh_torch_file *file, const gh_pickle_value **dict, const char *path) {
  char text[MOST_NAME + 1];
  for (int level = 0; level < MOST_LEVELS; level++) {
    const gh_pickle_value *inner = NULL, *key, *value;
    if (!is_dict(*dict)) return no_dict(err, path, *dict);
    for (size_t i = 0; i < GH_COUNT(wrappers) && !inner; i++) {
      inner = gh_torch_member(*dict, wrappers[i]);
      if (inner && !is_dict(inner)) inner = NULL;
    }
    if (!inner) return GH_OK;
    for (size_t i = 0; i < entry_count(*dict); i++) {
      if (!entry_at(*dict, i, &key, &value) || value == inner) continue;
      key_text(text, key);
      if (leave_out(err, file, text, "beside the weights", 0)) return err->status;
    }
    *dict = inner;
  }
  return gh_fail(err, GH_ERROR_FORMAT, "%s: the weights' dictionary is nested too deeply", path);
}

/* A checked, zero-terminated name. */
static gh_status read_name(gh_error *err, const reading *r, const gh_pickle_value *key, char out[MOST_NAME + 1]) {
  const size_t size = key->type == GH_PICKLE_TEXT ? key->as.text.size : 0;
  key_text(out, key);
  if (!size || size > MOST_NAME || strlen(out) != size || !gh_utf8_valid(key->as.text.bytes, size))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the name of a tensor is invalid: %.200s", path_of(r), out);
  return GH_OK;
}

/* Finds out which rules apply: those whose marker is there. */
static gh_status find_rules(gh_error *err, reading *r, const gh_pickle_value *dict) {
  for (size_t i = 0; i < RULES; i++) {
    r->ruled[i] = true;
    if (!rules[i].marker) continue;
    char *marker = gh_format(err, "%s%s", r->file->prefix ? r->file->prefix : "", rules[i].marker);
    if (!marker) return GH_ERROR_MEMORY;
    r->ruled[i] = gh_torch_member(dict, marker) != NULL;
    free(marker);
  }
  return GH_OK;
}

static gh_status add_entry(gh_error *err, reading *r, const gh_pickle_value *key, const gh_pickle_value *value) {
  char text[MOST_NAME + 1];
  const char *prefix = r->file->prefix ? r->file->prefix : "";
  if (!is_tensor(value)) {
    key_text(text, key);
    return leave_out(err, r->file, text, "not a tensor", 0);
  }
  r->name = "";
  if (read_name(err, r, key, text)) return err->status;
  if (!gh_starts_with(text, prefix)) {
    r->others++;
    return GH_OK;
  }
  r->name = text + strlen(prefix);
  for (size_t i = 0; i < RULES; i++)
    if (r->ruled[i] && gh_starts_with(r->name, rules[i].begin)) {
      r->out[i]++;
      return GH_OK;
    }
  return *r->name ? add_tensor(err, r, value) : invalid(err, r, "its name is the whole prefix");
}

static gh_status list_left_out(gh_error *err, const reading *r) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < RULES && !status; i++)
    if (r->out[i]) status = leave_out(err, r->file, rules[i].shown, rules[i].why, r->out[i]);
  if (r->others && !status)
    status = leave_out(err, r->file, "others", "their names do not begin with the prefix", r->others);
  return status;
}

gh_status gh_torch_add_tensors(gh_error *err, gh_torch_file *file, size_t part) {
  reading r = {.file = file, .part = part, .name = ""};
  const gh_pickle_value *dict = gh_pickle_root(file->parts[part].pickle), *key, *value;
  const size_t before = file->count;
  gh_status status = unwrap(err, file, &dict, path_of(&r));
  if (!status) status = find_rules(err, &r, dict);
  for (size_t i = 0; !status && i < entry_count(dict); i++) {
    if (entry_at(dict, i, &key, &value))
      status = add_entry(err, &r, key, value);
    else
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: the dictionary of tensors is invalid", path_of(&r));
  }
  if (!status) status = list_left_out(err, &r);
  if (status || file->count > before || file->part_count > 1) return status;
  if (r.others)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no tensor's name begins with \"%.200s\"", path_of(&r), file->prefix);
  return gh_fail(err, GH_ERROR_FORMAT, "%s: no tensors at the top of the file or under state_dict, model or module",
                 path_of(&r));
}
