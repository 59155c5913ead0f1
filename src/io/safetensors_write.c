/* The writer half of safetensors.h. */
#include "base/array.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct declared {
  char *name;
  gh_st_dtype dtype;
  uint64_t bytes;
} declared;

struct gh_safetensors_writer {
  char *path;
  gh_json *header, *metadata; /* metadata: inside the header; NULL until the first entry */
  declared *tensors;
  size_t count, capacity;
  uint64_t data_bytes;
  size_t at;        /* the next tensor to write */
  uint64_t written; /* of its bytes */
  gh_file_writer *file;
};

gh_status gh_safetensors_writer_new(gh_error *err, gh_safetensors_writer **out, const char *path) {
  *out = NULL;
  gh_safetensors_writer *writer = gh_alloc(err, 1, sizeof *writer);
  if (!writer) return GH_ERROR_MEMORY;
  if (!(writer->path = gh_strdup(err, path)) || !(writer->header = gh_json_object(err))) {
    gh_safetensors_writer_free(writer);
    return GH_ERROR_MEMORY;
  }
  *out = writer;
  return GH_OK;
}

static gh_status not_begun(gh_error *err, const gh_safetensors_writer *writer, const char *name) {
  if (!writer->file) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: \"%.200s\" declared after the header was written", writer->path, name);
}

gh_status gh_safetensors_writer_metadata(gh_error *err, gh_safetensors_writer *writer, const char *key,
                                         const char *value) {
  gh_status status = not_begun(err, writer, key);
  if (status) return status;
  if (!writer->metadata) writer->metadata = gh_json_put_object(err, writer->header, "__metadata__");
  if (!writer->metadata) return GH_ERROR_MEMORY;
  return gh_json_put_string(err, writer->metadata, key, value);
}

static gh_status put_entry(gh_error *err, gh_safetensors_writer *writer, const declared *t, int rank,
                           const int64_t *shape) {
  gh_json *entry = gh_json_put_object(err, writer->header, t->name);
  if (!entry) return GH_ERROR_MEMORY;
  gh_status status = gh_json_put_string(err, entry, "dtype", gh_st_dtype_name(t->dtype));
  if (!status) status = gh_json_put_ints(err, entry, "shape", shape, (size_t)rank);
  const int64_t range[] = {(int64_t)writer->data_bytes, (int64_t)(writer->data_bytes + t->bytes)};
  return status ? status : gh_json_put_ints(err, entry, "data_offsets", range, GH_COUNT(range));
}

gh_status gh_safetensors_writer_declare(gh_error *err, gh_safetensors_writer *writer, const char *name,
                                        gh_st_dtype dtype, int rank, const int64_t *shape) {
  gh_status status = not_begun(err, writer, name);
  if (status) return status;
  if (rank < 0 || rank > GH_ST_MAX_RANK || !strcmp(name, "__metadata__") || gh_json_member(writer->header, name))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\" of rank %d: declared twice, or invalid", writer->path,
                   name, rank);
  if (!gh_utf8_valid(name, strlen(name)))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\": the name is not UTF-8", writer->path, name);
  declared t = {.dtype = dtype, .bytes = gh_st_dtype_bytes(dtype)};
  for (int i = 0; i < rank; i++)
    if (shape[i] < 0 || __builtin_mul_overflow(t.bytes, (uint64_t)shape[i], &t.bytes))
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\": a size is negative or too large", writer->path,
                     name);
  if (t.bytes > (uint64_t)GH_JSON_MAX_INTEGER || writer->data_bytes > (uint64_t)GH_JSON_MAX_INTEGER - t.bytes)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\": the file would be too large", writer->path, name);
  if ((status = GH_ARRAY_RESERVE(err, writer->tensors, writer->capacity, writer->count, 1))) return status;
  if (!(t.name = gh_strdup(err, name))) return GH_ERROR_MEMORY;
  if ((status = put_entry(err, writer, &t, rank, shape))) {
    free(t.name);
    return status;
  }
  writer->tensors[writer->count++] = t;
  writer->data_bytes += t.bytes;
  return GH_OK;
}

/* Tensors without data need no write. */
static void skip_written(gh_safetensors_writer *writer) {
  while (writer->at < writer->count && writer->written == writer->tensors[writer->at].bytes) {
    writer->at++;
    writer->written = 0;
  }
}

gh_status gh_safetensors_writer_begin(gh_error *err, gh_safetensors_writer *writer) {
  char *text = NULL;
  size_t size;
  unsigned char length[8];
  gh_status status = not_begun(err, writer, "the header");
  if (!status) status = gh_json_print(err, &text, &size, writer->header, false);
  if (status) return status;
  const size_t padding = (8 - size % 8) % 8; /* spaces: the data starts at a multiple of 8 */
  if (size + padding > GH_JSON_MAX_BYTES) {
    status = gh_fail(err, GH_ERROR_ARGUMENT, "%s: the header of %zu bytes is too long", writer->path, size);
    goto done;
  }
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)(size + padding) >> 8 * i);
  if ((status = gh_file_check_space(err, writer->path, 8 + size + padding + writer->data_bytes))) goto done;
  if ((status = gh_file_writer_open(err, &writer->file, writer->path))) goto done;
  if ((status = gh_file_writer_write(err, writer->file, length, sizeof length))) goto done;
  if ((status = gh_file_writer_write(err, writer->file, text, size))) goto done;
  if ((status = gh_file_writer_write(err, writer->file, "        ", padding))) goto done;
  skip_written(writer);
done:
  free(text);
  return status;
}

gh_status gh_safetensors_writer_write(gh_error *err, gh_safetensors_writer *writer, const char *name, const void *bytes,
                                      size_t size) {
  const declared *next = writer->at < writer->count ? &writer->tensors[writer->at] : NULL;
  if (!writer->file)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: \"%.200s\" written before the header", writer->path, name);
  if (!size) return GH_OK;
  if (!next || strcmp(next->name, name))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\" written where \"%.200s\" is next", writer->path, name,
                   next ? next->name : "the end");
  if (size > next->bytes - writer->written)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\": more bytes than its shape takes", writer->path,
                   name);
  gh_status status = gh_mapping_touch(err, bytes, size); /* they may be another file's */
  if (!status) status = gh_file_writer_write(err, writer->file, bytes, size);
  if (status) return status;
  writer->written += size;
  skip_written(writer);
  return GH_OK;
}

static void convert(void *out, const float *values, size_t n, gh_st_dtype dtype) {
  uint16_t *half = out;
  double *wide = out;
  for (size_t i = 0; i < n && dtype == GH_ST_F16; i++) half[i] = gh_f32_to_f16(values[i]);
  for (size_t i = 0; i < n && dtype == GH_ST_BF16; i++) half[i] = gh_f32_to_bf16(values[i]);
  for (size_t i = 0; i < n && dtype == GH_ST_F64; i++) wide[i] = (double)values[i];
}

gh_status gh_safetensors_writer_write_f32(gh_error *err, gh_safetensors_writer *writer, const char *name,
                                          const float *values, int64_t n) {
  const declared *next = writer->at < writer->count ? &writer->tensors[writer->at] : NULL;
  if (!next || next->dtype == GH_ST_F32)
    return gh_safetensors_writer_write(err, writer, name, values, (size_t)n * sizeof *values);
  if (!gh_st_dtype_is_float(next->dtype) || gh_st_dtype_is_float8(next->dtype))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\" is declared %s, not floats of 16 bits or more",
                   writer->path, next->name, gh_st_dtype_name(next->dtype));
  const gh_st_dtype dtype = next->dtype;
  const size_t width = gh_st_dtype_bytes(dtype);
  double chunk[2048]; /* aligned for every dtype */
  for (int64_t done = 0; done < n;) {
    size_t part = GH_MIN((size_t)(n - done), sizeof chunk / width);
    convert(chunk, values + done, part, dtype);
    gh_status status = gh_safetensors_writer_write(err, writer, name, chunk, part * width);
    if (status) return status;
    done += (int64_t)part;
  }
  return GH_OK;
}

gh_status gh_safetensors_writer_finish(gh_error *err, gh_safetensors_writer *writer) {
  if (!writer->file) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: finished before it was begun", writer->path);
  if (writer->at < writer->count)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: tensor \"%.200s\" was not written completely", writer->path,
                   writer->tensors[writer->at].name);
  gh_status status = gh_mapping_check_all(err);
  return status ? status : gh_file_writer_commit(err, writer->file);
}

void gh_safetensors_writer_free(gh_safetensors_writer *writer) {
  if (!writer) return;
  for (size_t i = 0; i < writer->count; i++) free(writer->tensors[i].name);
  free(writer->tensors);
  gh_file_writer_free(writer->file);
  gh_json_free(writer->header);
  free(writer->path);
  free(writer);
}
