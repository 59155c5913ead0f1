/* Safetensors files: a reader of single files and sharded sets, and a streaming writer.
 *
 * Layout: 8 bytes header length (little endian), JSON {"name": {"dtype", "shape", "data_offsets"}}, raw data. Input is
 * hostile. The header is at most 100 MB and inside the file, names are unique, dtypes known, ranges inside the data and
 * disjoint, and their lengths match dtype x shape. Every error text names the file, and the tensor if there is one. */
#ifndef GH_IO_SAFETENSORS_H
#define GH_IO_SAFETENSORS_H

#include "base/text.h"
#include "io/mapping.h"

typedef enum gh_st_dtype {
  GH_ST_BOOL,
  GH_ST_U8,
  GH_ST_I8,
  GH_ST_F8_E4M3,
  GH_ST_F8_E5M2,
  GH_ST_U16,
  GH_ST_I16,
  GH_ST_F16,
  GH_ST_BF16,
  GH_ST_U32,
  GH_ST_I32,
  GH_ST_F32,
  GH_ST_U64,
  GH_ST_I64,
  GH_ST_F64,
  GH_ST_DTYPES
} gh_st_dtype;

#define GH_ST_MAX_RANK 8

/* Scales of 8-bit floats, one for each block of rows and columns; a tensor of more dimensions counts as (first, rest).
 */
typedef struct gh_st_scales {
  const void *data; /* (.., columns), in the mapped file; NULL: there are none */
  gh_st_dtype dtype;
  int64_t columns;
  int64_t block[2]; /* rows and columns of elements per scale */
  int64_t width;    /* columns of elements */
  int64_t row;      /* of the tensor's first element, where it is a part of the one that the scales are for */
} gh_st_scales;

typedef struct gh_st_tensor {
  const char *name;
  gh_st_dtype dtype;
  int rank;
  int64_t shape[GH_ST_MAX_RANK]; /* row-major, last fastest */
  int64_t elements;
  const void *data; /* in the mapped file: read-only, NOT aligned to the element size; then gh_mapping_check */
  size_t bytes;
  const char *file; /* the file it lies in, for messages */
  float scale;      /* of 8-bit floats: gh_st_read_f32 multiplies by it; 0: there is none */
  gh_st_scales scales;
  bool applied; /* such a scale, or what says that there are some: nothing else reads it */
} gh_st_tensor;

const char *gh_st_dtype_name(gh_st_dtype dtype); /* "BF16" */
size_t gh_st_dtype_bytes(gh_st_dtype dtype);     /* of one element */
bool gh_st_dtype_is_float(gh_st_dtype dtype);    /* one that gh_st_read_f32 converts: F8_*, F16, BF16, F32, F64 */

bool gh_st_dtype_is_float8(gh_st_dtype dtype); /* F8_E4M3 or F8_E5M2: read, never written from floats */

/* Whether a file's name is usual for PyTorch's own format (.bin, .pt, .pth, .ckpt, or an index of .bin), which
 * gh_torch_open reads. */
bool gh_st_is_torch_name(const char *name);

/* ---- reading ---- */

typedef struct gh_safetensors gh_safetensors;

/* path: a .safetensors file, a *.safetensors.index.json, or a folder with `model.safetensors`, else with one index,
 * else with exactly one .safetensors file. Shards must lie in the index's folder. */
gh_status gh_safetensors_open(gh_error *err, gh_safetensors **out, const char *path);
/* A single file that is in memory already; bytes must outlive it. name: its path in messages. */
gh_status gh_safetensors_open_memory(gh_error *err, gh_safetensors **out, const char *name, const void *bytes,
                                     size_t size);
void gh_safetensors_close(gh_safetensors *file); /* NULL is fine; tensors and names become invalid */

const char *gh_safetensors_path(const gh_safetensors *file);
size_t gh_safetensors_count(const gh_safetensors *file);
const gh_st_tensor *gh_safetensors_at(const gh_safetensors *file, size_t index);       /* sorted bytewise by name */
const gh_st_tensor *gh_safetensors_find(const gh_safetensors *file, const char *name); /* NULL when absent */
const char *gh_safetensors_metadata(const gh_safetensors *file, const char *key);      /* NULL when absent */
size_t gh_safetensors_metadata_count(const gh_safetensors *file);
void gh_safetensors_metadata_at(const gh_safetensors *file, size_t index, const char **key, const char **value);

/* The tensor of that name with exactly this shape (-1: any size) and a float dtype, or GH_ERROR_FORMAT that says what
 * was found and expected; for a missing one it suggests the nearest name. out may be NULL. */
gh_status gh_safetensors_expect(gh_error *err, const gh_safetensors *file, const char *name, int rank,
                                const int64_t *shape, const gh_st_tensor **out);

/* A set without tensors over mapped files of another format: gh_safetensors_remap adds the tensors in them. Takes the
 * mappings, except their array, on failure too. */
gh_status gh_safetensors_of_files(gh_error *err, gh_safetensors **out, const char *path, gh_mapping *mappings,
                                  size_t count);

/* Replaces the file's tensors by n others, to present its layout as another's. Their names are in `names`; their data
 * is the file's, or one of the `owned` pieces of memory of this call or an earlier one. The file takes ownership of
 * everything except the array itself, on failure too; lists may be empty. */
gh_status gh_safetensors_remap(gh_error *err, gh_safetensors *file, const gh_st_tensor *tensors, size_t n,
                               gh_strings names, void **owned, size_t owned_count);

/* Elements [first, first + n) as float32. F64 is rounded to nearest; 8-bit floats are exact, times their scale. Other
 * dtypes are GH_ERROR_FORMAT. */
gh_status gh_st_read_f32(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, float *out);
/* Elements as int64: every integer dtype and BOOL; U64 beyond INT64_MAX is an error. */
gh_status gh_st_read_i64(gh_error *err, const gh_st_tensor *tensor, int64_t first, int64_t n, int64_t *out);
/* Releases the memory of the tensor's pages in a mapped file; reading them again reads the file. */
void gh_safetensors_release(const gh_safetensors *file, const gh_st_tensor *tensor);
/* gh_safetensors_expect and all its elements as float32 (the product of shape; no -1); then releases its pages. */
gh_status gh_safetensors_load_f32(gh_error *err, const gh_safetensors *file, const char *name, int rank,
                                  const int64_t *shape, float *out);

/* ---- writing ---- */

/* Declare everything, begin, then write the data in the order of declaration; finish makes the file appear at path.
 * Free before finish leaves nothing behind. */
typedef struct gh_safetensors_writer gh_safetensors_writer;

gh_status gh_safetensors_writer_new(gh_error *err, gh_safetensors_writer **out, const char *path);
gh_status gh_safetensors_writer_metadata(gh_error *err, gh_safetensors_writer *writer, const char *key,
                                         const char *value);
/* Declare every tensor before begin, and write in that order; shape in elements, rank 0 for a scalar. */
gh_status gh_safetensors_writer_declare(gh_error *err, gh_safetensors_writer *writer, const char *name,
                                        gh_st_dtype dtype, int rank, const int64_t *shape);
gh_status gh_safetensors_writer_begin(gh_error *err, gh_safetensors_writer *writer); /* checks the free space first */
/* A tensor's bytes, whole or in successive pieces. */
gh_status gh_safetensors_writer_write(gh_error *err, gh_safetensors_writer *writer, const char *name, const void *bytes,
                                      size_t size);
/* n float32 values, converted to the declared dtype (F32, F16, BF16 or F64); whole or in pieces. */
gh_status gh_safetensors_writer_write_f32(gh_error *err, gh_safetensors_writer *writer, const char *name,
                                          const float *values, int64_t n);
/* Fails if a mapped file could not be read and nobody has said so: the values may be computed from it. */
gh_status gh_safetensors_writer_finish(gh_error *err, gh_safetensors_writer *writer);
void gh_safetensors_writer_free(gh_safetensors_writer *writer);

#endif
