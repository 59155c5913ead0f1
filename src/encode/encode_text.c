#include "base/file.h"
#include "base/incomplete.h"
#include "base/log.h"
#include "encode/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_FILE ((size_t)1 << 30)
#define AT_A_TIME    1024 /* lines between two progress reports */

gh_status gh_lines_read(gh_error *err, gh_strings *out, const char *path) {
  char *text = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, path, LARGEST_FILE, &text, &size);
  if (!status) status = gh_refuse_wide_text(err, path, text, size);
  if (!status && strlen(text) != size)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: not text: it contains a zero byte", path);
  char *start = text;
  if (!status && gh_starts_with(text, "\xEF\xBB\xBF")) start += 3; /* a byte order mark, which some editors write */
  for (char *line = start, *end; !status && line < text + size; line = end + 1) {
    end = strchr(line, '\n');
    if (!end) end = text + size;
    *end = 0;
    if (end > line && end[-1] == '\r') end[-1] = 0;
    status = gh_strings_add(err, out, line);
  }
  free(text);
  return status;
}

static gh_status embed_lines(gh_error *err, gh_text_encoding *out, gh_text_embedder *e, const gh_strings *lines,
                             const gh_parts *parts) {
  const char *const *items = (const char *const *)lines->items;
  gh_progress progress;
  gh_progress_start(&progress, "encode", "lines", lines->count, 0);
  gh_status status = GH_OK;
  size_t first, n;
  const size_t end = gh_parts_range(parts, lines->count, AT_A_TIME, &first);
  for (; first < end && !status; first += n) {
    n = GH_MIN((size_t)AT_A_TIME, end - first);
    status = gh_text_embed_part(err, e, items, first, n, out->embeddings + (int64_t)first * out->width);
    gh_progress_update(&progress, first + n, NULL);
    if (!status && gh_stop_requested())
      status = gh_fail(err, GH_ERROR_INTERRUPTED, "stopped at line %zu; nothing is written", first + n);
  }
  if (progress.terminal) gh_progress_end(&progress);
  return gh_parts_exchange(err, parts, status, out->embeddings, lines->count, AT_A_TIME, out->width);
}

gh_status gh_encode_text(gh_error *err, gh_text_encoding *out, gh_text_embedder *e, const gh_strings *lines,
                         const char *name, const gh_parts *parts) {
  *out = (gh_text_encoding){.lines = (int64_t)lines->count, .width = gh_text_embedder_width(e)};
  if (!lines->count) return gh_fail(err, GH_ERROR_FORMAT, "%s: it contains no lines", name);
  out->embeddings = gh_alloc(err, (size_t)(out->lines * out->width), sizeof *out->embeddings);
  gh_status status = GH_ERROR_MEMORY;
  if (out->embeddings && (status = embed_lines(err, out, e, lines, parts))) gh_fail_in(err, "%s", name);
  for (int64_t i = 0; i < out->lines * out->width && !status; i++)
    if (!isfinite(out->embeddings[i]))
      status = gh_fail(err, GH_ERROR_NUMERIC, "%s: line %lld: its embedding is not finite", name,
                       (long long)(i / out->width + 1));
  if (status) gh_text_encoding_free(out);
  return status;
}

void gh_text_encoding_free(gh_text_encoding *encoding) {
  free(encoding->embeddings);
  *encoding = (gh_text_encoding){0};
}
