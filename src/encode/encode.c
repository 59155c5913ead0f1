#include "encode/encode.h"
#include "base/json.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/clipped.h"
#include "encode/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct gh_encoder {
  const gh_embedder *embedder;
  const gh_source *source;
  gh_encoding *out;
  gh_clipped clips;
} gh_encoder;

static gh_status read_image(gh_error *err, void *user, size_t index, float *pixels) {
  gh_encoder *e = user;
  char *bytes = NULL, *name = NULL;
  size_t size = 0;
  bool clipped = false;
  const char *listed = gh_source_name(e->source, index);
  gh_status status = GH_OK;
  if (!gh_utf8_valid(listed, strlen(listed)))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: the name is not UTF-8", listed);
  if (!status) status = gh_source_load(err, e->source, index, &bytes, &size);
  if (!status && !(name = gh_source_full_name(err, e->source, index))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_preprocess_file(err, NULL, pixels, &e->embedder->preprocess, name, bytes, size, &clipped);
  if (!status && clipped) gh_clipped_note(&e->clips, name);
  free(name);
  free(bytes);
  return status;
}

static gh_status take_skipped(gh_error *err, gh_encoding *out, const char *name, const gh_error *why) {
  if (gh_status_is_fault(why->status)) { /* says nothing about the picture */
    *err = *why;
    return why->status;
  }
  gh_warn("skipped: %s", why->text);
  gh_status status = gh_strings_add(err, &out->skipped, name);
  return status ? status : gh_strings_add(err, &out->skipped, why->text);
}

static gh_status take_named(gh_error *err, gh_encoding *out, const char *name, size_t index, const gh_error *why,
                            const float *row) {
  if (gh_stop_requested())
    return gh_fail(err, GH_ERROR_INTERRUPTED, "stopped at image %zu; nothing is written", index + 1);
  if (why->status) return take_skipped(err, out, name, why);
  for (int64_t i = 0; i < out->width; i++)
    if (!isfinite(row[i])) return gh_fail(err, GH_ERROR_NUMERIC, "%s: its embedding is not finite", name);
  memcpy(out->embeddings + (int64_t)out->names.count * out->width, row, (size_t)out->width * sizeof *row);
  return gh_strings_add(err, &out->names, name);
}

static gh_status take_row(gh_error *err, void *user, size_t index, const gh_error *why, const float *row) {
  const gh_encoder *e = user;
  char *name = gh_source_short_name(err, e->source, index);
  gh_status status = name ? take_named(err, e->out, name, index, why, row) : GH_ERROR_MEMORY;
  free(name);
  return status;
}

gh_status gh_encode_part(gh_error *err, gh_encoding *out, gh_embedder *e, const gh_source *source) {
  const size_t count = gh_source_count(source);
  *out = (gh_encoding){.width = e->width};
  gh_encoder encoder = {.embedder = e, .source = source, .out = out, .clips = GH_NONE_CLIPPED};
  gh_feed feed = {.embedder = e, .what = "encode", .read = read_image, .take = take_row, .user = &encoder};
  feed.total = gh_parts_range(e->parts, count, (size_t)e->batch, &feed.first);
  out->embeddings = gh_alloc(err, count * (size_t)e->width, sizeof *out->embeddings);
  gh_status status = out->embeddings ? gh_feed_run(err, &feed) : GH_ERROR_MEMORY;
  out->clipped = (int64_t)encoder.clips.count;
  gh_clipped_end(&encoder.clips);
  if (status) gh_encoding_free(out);
  return status;
}

gh_status gh_encoding_check(gh_error *err, const gh_encoding *e, const gh_source *source) {
  return e->names.count ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "%s: no image could be read", gh_source_path(source));
}

gh_status gh_encode(gh_error *err, gh_encoding *out, gh_embedder *e, const gh_source *source) {
  gh_status status = gh_encode_part(err, out, e, source);
  if (!status) status = gh_encoding_check(err, out, source);
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

gh_status gh_encoding_write(gh_error *err, const char *path, const gh_encoding *e, const gh_text_encoding *text) {
  gh_safetensors_writer *w = NULL;
  char *names = NULL;
  int64_t shape[2] = {e ? (int64_t)e->names.count : 0, e ? e->width : 0};
  int64_t text_shape[2] = {text ? text->lines : 0, text ? text->width : 0};
  gh_status status = gh_safetensors_writer_new(err, &w, path);
  if (!status && e) status = names_text(err, &names, &e->names);
  if (!status && e) status = gh_safetensors_writer_metadata(err, w, "names", names);
  if (!status && e) status = gh_safetensors_writer_declare(err, w, "embeddings", GH_ST_F32, 2, shape);
  if (!status && text) status = gh_safetensors_writer_declare(err, w, "text_embeddings", GH_ST_F32, 2, text_shape);
  if (!status) status = gh_safetensors_writer_begin(err, w);
  if (!status && e) status = gh_safetensors_writer_write_f32(err, w, "embeddings", e->embeddings, shape[0] * shape[1]);
  if (!status && text)
    status =
        gh_safetensors_writer_write_f32(err, w, "text_embeddings", text->embeddings, text_shape[0] * text_shape[1]);
  if (!status) status = gh_safetensors_writer_finish(err, w);
  gh_safetensors_writer_free(w);
  free(names);
  return status;
}
