#include "eval/measure.h"
#include "base/log.h"
#include "encode/feed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BOOTSTRAP_SEED 0
#define LINES          1024 /* between two progress updates */

static const char *const names[] = {
    [GH_MEASURE_MMVP] = "mmvp", [GH_MEASURE_ZEROSHOT] = "zeroshot", [GH_MEASURE_RETRIEVAL] = "retrieval"};

const char *gh_measure_name(gh_measure_kind kind) { return names[kind]; }

static gh_status open_mmvp(gh_error *err, gh_measure *m, const gh_measure_spec *spec) {
  gh_status status = gh_mmvp_read(err, &m->mmvp, spec->data);
  m->images = &m->mmvp.images;
  m->lines = &m->mmvp.prompts;
  if (!status && !(m->pairs = gh_alloc(err, (size_t)m->mmvp.pairs, sizeof *m->pairs))) status = GH_ERROR_MEMORY;
  return status;
}

static gh_status open_zeroshot(gh_error *err, gh_measure *m, const gh_measure_spec *spec) {
  const gh_zeroshot_options options = {
      .folder = spec->data, .labels = spec->labels, .classes = spec->classes, .templates = spec->templates};
  gh_status status = gh_zeroshot_read(err, &m->zeroshot, &options);
  m->images = &m->zeroshot.images;
  m->lines = &m->zeroshot.prompts;
  if (status) return status;
  m->predicted = gh_alloc(err, m->images->count, sizeof *m->predicted);
  m->ranks = gh_alloc(err, m->images->count, sizeof *m->ranks);
  return m->predicted && m->ranks ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status open_retrieval(gh_error *err, gh_measure *m, const gh_measure_spec *spec) {
  gh_status status = gh_retrieval_read(err, &m->retrieval, spec->data, spec->captions, spec->split);
  m->images = &m->retrieval.images;
  m->lines = &m->retrieval.captions;
  if (status) return status;
  m->image_ranks = gh_alloc(err, m->lines->count, sizeof *m->image_ranks);
  m->text_ranks = gh_alloc(err, m->images->count, sizeof *m->text_ranks);
  return m->image_ranks && m->text_ranks ? GH_OK : GH_ERROR_MEMORY;
}

gh_status gh_measure_open(gh_error *err, gh_measure *m, const gh_measure_spec *spec) {
  static gh_status (*const open[])(gh_error *, gh_measure *, const gh_measure_spec *) = {
      [GH_MEASURE_MMVP] = open_mmvp, [GH_MEASURE_ZEROSHOT] = open_zeroshot, [GH_MEASURE_RETRIEVAL] = open_retrieval};
  *m = (gh_measure){.kind = spec->kind};
  return open[spec->kind](err, m, spec);
}

void gh_measure_free(gh_measure *m) {
  gh_mmvp_free(&m->mmvp);
  gh_zeroshot_free(&m->zeroshot);
  gh_retrieval_free(&m->retrieval);
  free(m->texts);
  free(m->pairs);
  free(m->predicted);
  free(m->ranks);
  free(m->image_ranks);
  free(m->text_ranks);
  *m = (gh_measure){0};
}

static gh_status embed_lines(gh_error *err, gh_measure *m, gh_text_embedder *e) {
  size_t first, total = m->lines->count;
  const size_t end = gh_parts_range(m->parts, total, LINES, &first);
  gh_progress progress;
  gh_status status = GH_OK;
  gh_progress_start(&progress, names[m->kind], "lines of text", total, 0);
  for (; first < end && !status; first += LINES) {
    size_t count = GH_MIN((size_t)LINES, end - first);
    status = gh_text_embed_part(err, e, (const char *const *)m->lines->items, first, count,
                                m->texts + first * (size_t)m->width);
    gh_progress_update(&progress, first + count, NULL);
  }
  if (progress.terminal) gh_progress_end(&progress);
  return gh_parts_exchange(err, m->parts, status, m->texts, total, LINES, m->width);
}

gh_status gh_measure_texts(gh_error *err, gh_measure *m, gh_text_embedder *e) {
  m->width = gh_text_embedder_width(e);
  m->scale = gh_text_embedder_logit_scale(e);
  free(m->texts);
  m->texts = gh_alloc(err, m->lines->count * (size_t)m->width, sizeof *m->texts);
  if (!m->texts) return GH_ERROR_MEMORY;
  gh_status status = embed_lines(err, m, e);
  for (size_t i = 0; i < m->lines->count * (size_t)m->width && !status; i++)
    if (!isfinite(m->texts[i]))
      status = gh_fail(err, GH_ERROR_NUMERIC, "the embedding of \"%.100s\" is not finite",
                       m->lines->items[i / (size_t)m->width]);
  if (status || m->kind != GH_MEASURE_ZEROSHOT) return status;
  const gh_zeroshot_data *d = &m->zeroshot;
  float *ensembles = gh_alloc(err, d->classes.count * (size_t)m->width, sizeof *ensembles);
  if (!ensembles) return GH_ERROR_MEMORY;
  status =
      gh_zeroshot_classes(err, ensembles, m->texts, (int64_t)d->classes.count, (int64_t)d->templates.count, m->width);
  free(m->texts);
  m->texts = ensembles;
  return status;
}

static gh_status score(gh_error *err, gh_measure *m, const float *images) {
  const gh_retrieval_data *r = &m->retrieval;
  const gh_zeroshot_data *z = &m->zeroshot;
  switch (m->kind) {
  case GH_MEASURE_MMVP:
    return gh_mmvp_evaluate(err, &m->mmvp_score, m->pairs, images, m->texts, m->mmvp.ids, m->mmvp.pairs, m->width,
                            m->scale);
  case GH_MEASURE_ZEROSHOT:
    return gh_zeroshot_evaluate(err, &m->zeroshot_score, m->predicted, m->ranks, images, z->labels,
                                (int64_t)z->images.count, m->texts, (int64_t)z->classes.count, m->width);
  case GH_MEASURE_RETRIEVAL:
    return gh_retrieval_evaluate(err, &m->retrieval_score, m->image_ranks, m->text_ranks, images,
                                 (int64_t)r->images.count, m->texts, r->owner, (int64_t)r->captions.count, m->width,
                                 BOOTSTRAP_SEED);
  }
  return gh_fail(err, GH_ERROR_ARGUMENT, "no such evaluation");
}

gh_status gh_measure_images(gh_error *err, gh_measure *m, gh_embedder *embedder, bool quiet) {
  if (embedder->width != m->width)
    return gh_fail(err, GH_ERROR_FORMAT, "the image tower's embeddings have %lld numbers, the text tower's %lld",
                   (long long)embedder->width, (long long)m->width);
  float *rows = gh_alloc(err, m->images->count * (size_t)m->width, sizeof *rows);
  gh_status status =
      rows ? gh_feed_files(err, rows, embedder, m->images, quiet ? NULL : names[m->kind]) : GH_ERROR_MEMORY;
  if (!status) status = score(err, m, rows);
  free(rows);
  return status;
}

/* ---- the whole ---- */

static gh_status run_texts(gh_error *err, gh_measure *m, gh_device *device, const char *model,
                           const gh_embed_options *options) {
  gh_text_embedder *texts = NULL;
  gh_status status = gh_parts_before(err, m->parts);
  if (!status) status = gh_text_embedder_open(err, &texts, device, model, options);
  if (!status) status = gh_parts_after(err, m->parts);
  if (!status) status = gh_measure_texts(err, m, texts);
  gh_text_embedder_close(texts);
  return status;
}

static gh_status run_images(gh_error *err, gh_measure *m, gh_device *device, const char *model,
                            gh_embed_options options) {
  gh_embedder embedder = {0};
  options.batch = GH_MIN(options.batch, (int64_t)m->images->count);
  gh_status status = gh_parts_before(err, m->parts);
  if (!status) status = gh_embedder_open(err, &embedder, device, model, &options);
  embedder.parts = m->parts;
  if (!status) status = gh_parts_after(err, m->parts);
  if (!status) status = gh_measure_images(err, m, &embedder, false);
  gh_embedder_close(&embedder);
  return status;
}

gh_status gh_measure_run(gh_error *err, gh_measure *m, gh_device *device, const char *model,
                         const gh_embed_options *options) {
  gh_status status = run_texts(err, m, device, model, options);
  return status ? status : run_images(err, m, device, model, *options);
}

/* ---- the results by name ---- */

static gh_named_share name_share(gh_share share, const char *name) {
  gh_named_share named = {.share = share};
  snprintf(named.name, sizeof named.name, "%s", name);
  return named;
}

static gh_named_share name_share_at(gh_share share, const char *side, int k) {
  gh_named_share named = {.share = share};
  snprintf(named.name, sizeof named.name, "%s@%d", side, k);
  return named;
}

size_t gh_measure_shares(const gh_measure *m, gh_named_share shares[GH_MEASURE_SHARES]) {
  const gh_mmvp_score *mmvp = &m->mmvp_score;
  const gh_retrieval_score *retrieval = &m->retrieval_score;
  size_t n = 0;
  switch (m->kind) {
  case GH_MEASURE_MMVP:
    shares[n++] = name_share(mmvp->all, "all");
    for (int i = 0; i < GH_MMVP_PATTERNS; i++)
      if (mmvp->patterns[i].total) shares[n++] = name_share(mmvp->patterns[i], gh_mmvp_patterns[i]);
    break;
  case GH_MEASURE_ZEROSHOT:
    shares[n++] = name_share(m->zeroshot_score.top1, "top1");
    shares[n++] = name_share(m->zeroshot_score.top5, "top5");
    break;
  case GH_MEASURE_RETRIEVAL:
    for (int k = 0; k < GH_RETRIEVAL_KS; k++)
      shares[n++] = name_share_at(retrieval->image_at[k], "image", gh_retrieval_ks[k]);
    for (int k = 0; k < GH_RETRIEVAL_KS; k++)
      shares[n++] = name_share_at(retrieval->text_at[k], "text", gh_retrieval_ks[k]);
    break;
  }
  return n;
}
