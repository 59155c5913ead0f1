#include "eval/encode.h"
#include "base/json.h"
#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 16

/* ---- reading a batch ---- */

typedef struct gh_batch {
  const gh_embedder *embedder;
  const gh_source *source;
  size_t first, count; /* images of the source */
  float *pixels;       /* (B, 3, S, S) */
  gh_error *errors;    /* (B): status GH_OK where the image is good */
  atomic_size_t next;
} gh_batch;

static gh_status read_image(gh_error *err, const gh_batch *b, size_t slot) {
  char *bytes = NULL, *name = NULL;
  size_t size = 0, index = b->first + slot;
  gh_image image = {0};
  float *to = b->pixels + (int64_t)slot * gh_embedder_image_elements(b->embedder);
  const char *listed = gh_source_name(b->source, index);
  gh_status status = GH_OK;
  if (!gh_utf8_valid(listed, strlen(listed)))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: the name is not UTF-8", listed);
  if (!status) status = gh_source_load(err, b->source, index, &bytes, &size);
  if (!status && !(name = gh_source_full_name(err, b->source, index))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_image_decode(err, &image, name, bytes, size);
  if (!status) status = gh_preprocess_image(err, NULL, to, &b->embedder->preprocess, &image);
  gh_image_free(&image);
  free(name);
  free(bytes);
  return status;
}

static void *read_some(void *context) {
  gh_batch *b = context;
  for (size_t slot; (slot = atomic_fetch_add(&b->next, 1)) < b->count;) {
    b->errors[slot] = (gh_error){0};
    b->errors[slot].status = read_image(&b->errors[slot], b, slot);
  }
  return NULL;
}

/* Fills the batch from image `first` on, with a thread a processor; this one takes part. */
static void read_batch(gh_batch *b, size_t first) {
  pthread_t threads[MAX_THREADS];
  size_t total = gh_source_count(b->source), started = 0;
  b->first = GH_MIN(first, total);
  b->count = GH_MIN((size_t)b->embedder->batch, total - b->first);
  atomic_store(&b->next, 0);
  size_t wanted = GH_MIN((size_t)GH_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), GH_MIN(b->count, (size_t)MAX_THREADS));
  while (started + 1 < wanted && !pthread_create(&threads[started], NULL, read_some, b)) started++;
  read_some(b);
  for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* ---- the whole ---- */

static gh_status take_skipped(gh_error *err, gh_encoding *out, const char *name, const gh_error *why) {
  if (why->status == GH_ERROR_MEMORY) {
    *err = *why;
    return why->status;
  }
  gh_warn("skipped: %s", why->text);
  gh_status status = gh_strings_add(err, &out->skipped, name);
  return status ? status : gh_strings_add(err, &out->skipped, why->text);
}

static gh_status take_rows(gh_error *err, gh_encoding *out, const gh_batch *b, const float *rows) {
  gh_status status = GH_OK;
  for (size_t slot = 0; slot < b->count && !status; slot++) {
    const char *name = gh_source_name(b->source, b->first + slot);
    const float *row = rows + (int64_t)slot * out->width;
    if (b->errors[slot].status) {
      status = take_skipped(err, out, name, &b->errors[slot]);
      continue;
    }
    for (int64_t i = 0; i < out->width; i++)
      if (!isfinite(row[i])) return gh_fail(err, GH_ERROR_NUMERIC, "%s: its embedding is not finite", name);
    memcpy(out->embeddings + (int64_t)out->names.count * out->width, row, (size_t)out->width * sizeof *row);
    status = gh_strings_add(err, &out->names, name);
  }
  return status;
}

/* While the device works on one batch, the next is read. */
static gh_status run_batches(gh_error *err, gh_encoding *out, gh_embedder *e, gh_batch *batches, float *rows) {
  size_t total = gh_source_count(batches[0].source);
  gh_progress progress;
  gh_progress_start(&progress, "encode", "images", total, 0);
  gh_status status = GH_OK;
  read_batch(&batches[0], 0);
  for (int now = 0; batches[now].count && !status; now = !now) {
    gh_batch *b = &batches[now];
    status = gh_embedder_start(err, e, b->pixels);
    if (!status) read_batch(&batches[!now], b->first + b->count);
    if (!status) status = gh_embedder_finish(err, e, rows);
    if (!status) status = take_rows(err, out, b, rows);
    gh_progress_update(&progress, b->first + b->count, NULL);
  }
  if (progress.terminal) gh_progress_end(&progress);
  return status;
}

gh_status gh_encode(gh_error *err, gh_encoding *out, gh_embedder *e, const gh_source *source) {
  *out = (gh_encoding){.width = e->width};
  gh_batch batches[2] = {{.embedder = e, .source = source}, {.embedder = e, .source = source}};
  size_t pixels = (size_t)(e->batch * gh_embedder_image_elements(e));
  float *rows = gh_alloc(err, (size_t)(e->batch * e->width), sizeof *rows);
  out->embeddings = gh_alloc(err, gh_source_count(source) * (size_t)e->width, sizeof *out->embeddings);
  bool enough = rows && out->embeddings;
  for (int i = 0; i < 2; i++) {
    batches[i].pixels = gh_alloc(err, pixels, sizeof(float));
    batches[i].errors = gh_alloc(err, (size_t)e->batch, sizeof(gh_error));
    enough = enough && batches[i].pixels && batches[i].errors;
  }
  gh_status status = enough ? run_batches(err, out, e, batches, rows) : GH_ERROR_MEMORY;
  if (!status && !out->names.count)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: no image could be read", gh_source_path(source));
  for (int i = 0; i < 2; i++) {
    free(batches[i].pixels);
    free(batches[i].errors);
  }
  free(rows);
  if (status) gh_encoding_free(out);
  return status;
}

void gh_encoding_free(gh_encoding *encoding) {
  free(encoding->embeddings);
  gh_strings_free(&encoding->names);
  gh_strings_free(&encoding->skipped);
  *encoding = (gh_encoding){0};
}

static gh_status names_text(gh_error *err, char **text, const gh_strings *names) {
  gh_json *list = gh_json_array(err);
  gh_status status = list ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < names->count && !status; i++) status = gh_json_put_string(err, list, NULL, names->items[i]);
  if (!status) status = gh_json_print(err, text, NULL, list, false);
  gh_json_free(list);
  return status;
}

gh_status gh_encoding_write(gh_error *err, const char *path, const gh_encoding *encoding) {
  gh_safetensors_writer *writer = NULL;
  char *names = NULL;
  int64_t n = (int64_t)encoding->names.count, shape[2] = {n, encoding->width};
  gh_status status = names_text(err, &names, &encoding->names);
  if (!status) status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "names", names);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "embeddings", GH_ST_F32, 2, shape);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  if (!status)
    status = gh_safetensors_writer_write_f32(err, writer, "embeddings", encoding->embeddings, n * encoding->width);
  if (!status) status = gh_safetensors_writer_finish(err, writer);
  gh_safetensors_writer_free(writer);
  free(names);
  return status;
}
