/* The public library's scores: an evaluation's results, by share and by row. */
#include "api/internal.h"
#include "eval/measure.h"

#include <stdlib.h>

#define BATCH 32 /* the command's default; the batch may affect which kernels run */

GH_API_NO_PADDING(genhance_score_options, precision);
GH_API_NO_PADDING(genhance_score_summary, shares);
GH_API_NO_PADDING(genhance_share, high);
GH_API_NO_PADDING(genhance_mmvp_pair, statement_correct);
GH_API_NO_PADDING(genhance_zeroshot_image, rank);
GH_API_NO_PADDING(genhance_retrieval_image, rank);
GH_API_NO_PADDING(genhance_retrieval_caption, rank);

#define SAME(ours, public) _Static_assert((int)(ours) == (int)(public), "kinds are passed on unchanged")
SAME(GH_MEASURE_MMVP, GENHANCE_SCORE_MMVP);
SAME(GH_MEASURE_ZEROSHOT, GENHANCE_SCORE_ZEROSHOT);
SAME(GH_MEASURE_RETRIEVAL, GENHANCE_SCORE_RETRIEVAL);

struct genhance_score {
  gh_measure measure;
  gh_named_share shares[GH_MEASURE_SHARES];
  size_t share_count;
};

genhance_status genhance_score_run(genhance_score **out, genhance_device *device, genhance_score_kind kind,
                                   const char *model_folder, const char *data_folder,
                                   const genhance_score_options *options) {
  if (out) *out = NULL;
  if (!out || !device || !model_folder || !data_folder) return gh_api_refuse("genhance_score_run: an argument is NULL");
  if ((unsigned)kind > GENHANCE_SCORE_RETRIEVAL) return gh_api_refuse("genhance_score_run: there is no such kind");
  genhance_score_options o;
  gh_embed_options how = {0};
  gh_status status = GH_API_READ(&o, options, genhance_score_options);
  if (!status) status = gh_api_batch(o.batch, BATCH, &how.batch);
  if (!status) status = gh_api_precision(o.precision, &how.storage);
  if (status) return gh_api_result(status);
  how.adapter = o.adapter;
  how.encoder = o.weights;
  const gh_measure_spec spec = {.kind = (gh_measure_kind)kind,
                                .data = data_folder,
                                .labels = o.labels,
                                .classes = o.classes,
                                .templates = o.templates,
                                .captions = o.captions};
  genhance_score *score = gh_alloc(&gh_api_error, 1, sizeof *score);
  if (!score) return GENHANCE_ERROR_MEMORY;
  status = gh_measure_open(&gh_api_error, &score->measure, &spec);
  if (!status) status = gh_measure_run(&gh_api_error, &score->measure, device->device, model_folder, &how);
  if (status) {
    genhance_score_close(score);
    return gh_api_result(status);
  }
  score->share_count = gh_measure_shares(&score->measure, score->shares);
  *out = score;
  return GENHANCE_OK;
}

void genhance_score_close(genhance_score *score) {
  if (!score) return;
  gh_measure_free(&score->measure);
  free(score);
}

genhance_status genhance_score_summarize(const genhance_score *score, genhance_score_summary *out) {
  if (!score || !out) return gh_api_refuse("genhance_score_summarize: an argument is NULL");
  const gh_measure *m = &score->measure;
  const genhance_score_summary summary = {.average = 100 * m->mmvp_score.average,
                                          .images = m->images->count,
                                          .lines = m->lines->count,
                                          .pairs = (size_t)m->mmvp.pairs,
                                          .classes = m->zeroshot.classes.count,
                                          .templates = m->zeroshot.templates.count,
                                          .kind = (genhance_score_kind)m->kind,
                                          .shares = (int)score->share_count};
  return gh_api_result(GH_API_WRITE(out, &summary, genhance_score_summary));
}

genhance_status genhance_score_share(const genhance_score *score, size_t index, genhance_share *out) {
  if (!score || !out) return gh_api_refuse("genhance_score_share: an argument is NULL");
  if (index >= score->share_count)
    return gh_api_result(
        gh_fail(&gh_api_error, GH_ERROR_ARGUMENT, "there is no share %zu of %zu", index, score->share_count));
  const gh_share *s = &score->shares[index].share;
  const genhance_share share = {.name = score->shares[index].name,
                                .hits = s->hits,
                                .total = s->total,
                                .percent = 100 * s->value,
                                .low = 100 * s->low,
                                .high = 100 * s->high};
  return gh_api_result(GH_API_WRITE(out, &share, genhance_share));
}

/* ---- rows ---- */

/* Checks that the score is of this kind and that the row `index` of `count` exists. */
static gh_status check_row(const genhance_score *score, const void *out, gh_measure_kind kind, size_t index,
                           size_t count, const char *name) {
  gh_error *err = &gh_api_error;
  if (!score || !out) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: an argument is NULL", name);
  if (score->measure.kind != kind)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: the score is of kind %s", name, gh_measure_name(score->measure.kind));
  if (index >= count) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: there is no row %zu of %zu", name, index, count);
  return GH_OK;
}

genhance_status genhance_score_mmvp_pair(const genhance_score *score, size_t index, genhance_mmvp_pair *out) {
  const gh_measure *m = score ? &score->measure : NULL;
  gh_status status = check_row(score, out, GH_MEASURE_MMVP, index, m ? (size_t)m->mmvp.pairs : 0, __func__);
  if (status) return gh_api_result(status);
  const gh_mmvp_pair *p = &m->pairs[index];
  const gh_mmvp_data *d = &m->mmvp;
  const genhance_mmvp_pair pair = {.pattern = gh_mmvp_patterns[index / GH_MMVP_PAIRS_PER_PATTERN],
                                   .type = d->types.items[2 * index],
                                   .statements = {d->statements.items[2 * index], d->statements.items[2 * index + 1]},
                                   .ids = {d->ids[2 * index], d->ids[2 * index + 1]},
                                   .first_image_probability = {(double)p->probability[0], (double)p->probability[1]},
                                   .statement_correct = {p->right[0], p->right[1]}};
  return gh_api_result(GH_API_WRITE(out, &pair, genhance_mmvp_pair));
}

genhance_status genhance_score_zeroshot_image(const genhance_score *score, size_t index, genhance_zeroshot_image *out) {
  const gh_measure *m = score ? &score->measure : NULL;
  gh_status status = check_row(score, out, GH_MEASURE_ZEROSHOT, index, m ? m->images->count : 0, __func__);
  if (status) return gh_api_result(status);
  const gh_zeroshot_data *d = &m->zeroshot;
  const genhance_zeroshot_image image = {.path = d->images.items[index],
                                         .class_name = d->classes.items[d->labels[index]],
                                         .predicted = d->classes.items[m->predicted[index]],
                                         .rank = m->ranks[index]};
  return gh_api_result(GH_API_WRITE(out, &image, genhance_zeroshot_image));
}

genhance_status genhance_score_retrieval_image(const genhance_score *score, size_t index,
                                               genhance_retrieval_image *out) {
  const gh_measure *m = score ? &score->measure : NULL;
  gh_status status = check_row(score, out, GH_MEASURE_RETRIEVAL, index, m ? m->images->count : 0, __func__);
  if (status) return gh_api_result(status);
  const genhance_retrieval_image image = {.path = m->images->items[index], .rank = m->text_ranks[index]};
  return gh_api_result(GH_API_WRITE(out, &image, genhance_retrieval_image));
}

genhance_status genhance_score_retrieval_caption(const genhance_score *score, size_t index,
                                                 genhance_retrieval_caption *out) {
  const gh_measure *m = score ? &score->measure : NULL;
  gh_status status = check_row(score, out, GH_MEASURE_RETRIEVAL, index, m ? m->lines->count : 0, __func__);
  if (status) return gh_api_result(status);
  const gh_retrieval_data *d = &m->retrieval;
  const genhance_retrieval_caption caption = {
      .caption = d->captions.items[index], .path = d->images.items[d->owner[index]], .rank = m->image_ranks[index]};
  return gh_api_result(GH_API_WRITE(out, &caption, genhance_retrieval_caption));
}
