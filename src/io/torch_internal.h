/* What the parts of the reader of torch.save's files share: torch_file.c reads containers, torch_tensor.c makes tensors
 * of pickled values, torch_globals.c has the names that a pickle may mention. */
#ifndef GH_IO_TORCH_INTERNAL_H
#define GH_IO_TORCH_INTERNAL_H

#include "base/json.h"
#include "io/mapping.h"
#include "io/pickle.h"
#include "io/torch_file.h"
#include "io/zip.h"

/* gh_pickle_global.kind. Detail: a gh_st_dtype; GH_TORCH_UNTYPED: bytes; GH_TORCH_NO_DTYPE + n: elements of n bytes
 * that are of no dtype of safetensors. */
typedef enum gh_torch_kind {
  GH_TORCH_INERT, /* never looked into */
  GH_TORCH_DICT,
  GH_TORCH_STORAGE,      /* a storage's class; detail: its elements */
  GH_TORCH_DTYPE,        /* detail: the dtype */
  GH_TORCH_TENSOR,       /* (storage, offset, size, stride, ...) */
  GH_TORCH_TENSOR_V3,    /* (storage, offset, size, stride, requires_grad, hooks, dtype, ...) */
  GH_TORCH_PARAMETER,    /* (tensor, ...) */
  GH_TORCH_OTHER_TENSOR, /* quantised, sparse, of a class of its own: not supported */
  GH_TORCH_SIZE          /* (sizes) */
} gh_torch_kind;
enum { GH_TORCH_UNTYPED = GH_ST_DTYPES, GH_TORCH_NO_DTYPE = 100 };
#define GH_TORCH_MAX_TENSORS ((size_t)1 << 16)

extern const gh_pickle_global gh_torch_globals[];
size_t gh_torch_element_bytes(int detail); /* of a storage */

typedef struct torch_storage {
  const char *key; /* NOT zero-terminated */
  size_t key_length;
  const unsigned char *data;
  size_t bytes;
  const gh_zip_entry *entry; /* NULL in the older container */
  bool checked;
} torch_storage;

typedef struct torch_part {
  gh_mapping file;
  gh_zip zip;
  gh_pickle *pickle;
  gh_pickle *keys;         /* of the older container: owns the keys' text */
  torch_storage *storages; /* sorted by key */
  size_t storage_count;
} torch_part;

struct gh_torch_file {
  char *path;
  torch_part *parts;
  size_t part_count;
  gh_json *index; /* of a set */
  char *prefix;
  gh_torch_tensor *tensors;
  size_t count, capacity;
  const gh_torch_tensor **by_name;
  gh_strings names;
  gh_torch_left_out *left_out;
  size_t left_out_count, left_out_capacity;
};

const torch_storage *gh_torch_find_storage(const torch_part *part, const char *key, size_t length);

/* The parts of a storage's identity in a pickle: ("storage", class, key, location, elements[, view]). */
typedef struct torch_identity {
  const char *key;
  size_t key_length;
  const gh_pickle_global *type;
  int64_t elements;
  int64_t view_at, view_elements; /* of the storage, in elements; the whole where there is no view */
} torch_identity;
gh_status gh_torch_identify(gh_error *err, torch_identity *out, const gh_pickle_value *persistent, const char *path);

/* The value of a text key of a dictionary; NULL when absent, and of other values. */
const gh_pickle_value *gh_torch_member(const gh_pickle_value *dict, const char *key);

/* Adds the tensors of the part's pickle. */
gh_status gh_torch_add_tensors(gh_error *err, gh_torch_file *file, size_t part);

#endif
