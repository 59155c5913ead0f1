#include "train/evaluate.h"
#include "base/array.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "config/run.h"
#include "dist/compare.h"
#include "encode/feed.h"
#include "eval/measure.h"
#include "train/evaluate_config.h"
#include "train/made_by.h"
#include "train/metrics.h"
#include "train/ranks_encode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* One measurement: every score, in the order of `names`. */
typedef struct gh_record {
  int64_t update;
  double scores[GH_MAX_SCORES]; /* per cent; NaN where an older line lacks it */
  bool within;
} gh_record;

struct gh_evaluator {
  const gh_config *config;
  gh_device *device;
  gh_comm *comm; /* NULL: one process */
  gh_ranks_parts ranks;
  const gh_parts *parts;
  gh_evaluate_plan plan;
  gh_measure measures[GH_MAX_MEASURES];
  bool quiet;
  gh_store *shared; /* training's; NULL: the encoder is read from files */
  const gh_lora *lora;
  gh_record *history; /* of rank 0 */
  size_t count, capacity;
};

/* Rank 0 has the history and writes. */
static bool writes(const gh_evaluator *e) { return gh_comm_rank(e->comm) == 0; }

/* ---- scores ---- */

/* A measure's scores, in the order of gh_evaluate_plan's names. */
static int scores_of(const gh_measure *m, double *out) {
  switch (m->kind) {
  case GH_MEASURE_MMVP:
    out[0] = 100 * m->mmvp_score.average;
    return 1;
  case GH_MEASURE_ZEROSHOT:
    out[0] = 100 * m->zeroshot_score.top1.value;
    out[1] = 100 * m->zeroshot_score.top5.value;
    return 2;
  case GH_MEASURE_RETRIEVAL:
    out[0] = 100 * m->retrieval_score.image_at[1].value;
    out[1] = 100 * m->retrieval_score.text_at[1].value;
    return 2;
  }
  return 0;
}

/* Their shares, in the same order: the 95 % intervals. */
static int shares_of(const gh_measure *m, const gh_share *out[2]) {
  switch (m->kind) {
  case GH_MEASURE_MMVP:
    out[0] = &m->mmvp_score.all;
    return 1;
  case GH_MEASURE_ZEROSHOT:
    out[0] = &m->zeroshot_score.top1;
    out[1] = &m->zeroshot_score.top5;
    return 2;
  case GH_MEASURE_RETRIEVAL:
    out[0] = &m->retrieval_score.image_at[1];
    out[1] = &m->retrieval_score.text_at[1];
    return 2;
  }
  return 0;
}

static double change_of(const gh_evaluator *e, const gh_record *r) {
  return r->scores[e->plan.watch] - e->history[0].scores[e->plan.watch];
}

static void judge(const gh_evaluator *e, gh_record *r) {
  r->within = !e->plan.guarded || change_of(e, r) >= -e->plan.points - 1e-9;
}

/* The scores before training are the first of the history; NULL: they are not known, as after damage to their line. */
static gh_record *start_of(gh_evaluator *e) {
  size_t at = 0;
  while (at < e->count && e->history[at].update) at++;
  if (at == e->count) return NULL;
  const gh_record start = e->history[at];
  memmove(e->history + 1, e->history, at * sizeof *e->history);
  e->history[0] = start;
  return e->history;
}

static gh_status append(gh_error *err, gh_evaluator *e, const gh_record *record) {
  if (GH_ARRAY_RESERVE(err, e->history, e->capacity, e->count, 1)) return GH_ERROR_MEMORY;
  e->history[e->count++] = *record;
  return GH_OK;
}

/* ---- the history's file ---- */

static gh_status take_line(gh_error *err, void *user, const gh_json *row) {
  gh_evaluator *e = user;
  gh_record r = {.within = true};
  gh_status status = gh_json_get_int(err, row, "update", &r.update);
  const gh_json *scores = gh_json_member(row, "scores");
  for (int i = 0; i < e->plan.score_count && !status; i++) {
    const gh_json *value = gh_json_member(scores, e->plan.scores[i]);
    r.scores[i] = NAN;
    if (value) status = gh_json_to_double(err, value, e->plan.scores[i], &r.scores[i]);
  }
  return status ? status : append(err, e, &r);
}

static gh_status put_share(gh_error *err, gh_json *to, const char *name, const gh_share *share) {
  gh_json *o = gh_json_put_object(err, to, name);
  if (!o || gh_json_put_double(err, o, "percent", 100 * share->value) ||
      gh_json_put_double(err, o, "low", 100 * share->low) || gh_json_put_double(err, o, "high", 100 * share->high))
    return err->status;
  return GH_OK;
}

static gh_status put_intervals(gh_error *err, gh_json *row, const gh_evaluator *e) {
  gh_json *intervals = gh_json_put_object(err, row, "intervals");
  int place = 0;
  for (int i = 0; intervals && i < e->plan.count; i++) {
    const gh_share *shares[2];
    const int count = shares_of(&e->measures[i], shares);
    for (int k = 0; k < count; k++)
      if (put_share(err, intervals, e->plan.scores[place++], shares[k])) return err->status;
  }
  return intervals ? GH_OK : err->status;
}

static gh_status put_patterns(gh_error *err, gh_json *row, const gh_evaluator *e) {
  for (int i = 0; i < e->plan.count; i++) {
    const gh_measure *m = &e->measures[i];
    if (m->kind != GH_MEASURE_MMVP) continue;
    gh_json *patterns = gh_json_put_object(err, row, "patterns");
    for (int p = 0; patterns && p < GH_MMVP_PATTERNS; p++)
      if (m->mmvp_score.patterns[p].total && put_share(err, patterns, gh_mmvp_patterns[p], &m->mmvp_score.patterns[p]))
        return err->status;
    return patterns ? GH_OK : err->status; /* of the first MMVP */
  }
  return GH_OK;
}

static gh_status put_guard(gh_error *err, gh_json *row, const gh_evaluator *e, const gh_record *r) {
  if (!e->plan.guarded) return GH_OK;
  gh_json *guard = gh_json_put_object(err, row, "guard");
  if (!guard || gh_json_put_string(err, guard, "watch", e->plan.scores[e->plan.watch]) ||
      gh_json_put_double(err, guard, "change", change_of(e, r)) || gh_json_put_bool(err, guard, "within", r->within))
    return err->status;
  return GH_OK;
}

/* The line has its own "time". */
static gh_status put_maker(gh_error *err, gh_json *to, const gh_evaluator *e) {
  gh_json *config = NULL;
  gh_status status = gh_config_to_json(err, &config, e->config);
  if (!status) status = gh_made_by_put(err, to, &e->device->info, config, false);
  gh_json_free(config);
  return status;
}

static gh_status write_line(gh_error *err, const gh_evaluator *e, const gh_record *r, double seconds, double time) {
  char *path = gh_path_join(err, e->config->output, "evaluations.jsonl");
  gh_json *row = gh_json_object(err), *scores = NULL;
  gh_status status = path && row ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_int(err, row, "stage", 2);
  if (!status) status = gh_json_put_int(err, row, "update", r->update);
  if (!status) status = (scores = gh_json_put_object(err, row, "scores")) ? GH_OK : err->status;
  for (int i = 0; i < e->plan.score_count && !status; i++)
    status = gh_json_put_double(err, scores, e->plan.scores[i], r->scores[i]);
  if (!status) status = put_intervals(err, row, e);
  if (!status) status = put_patterns(err, row, e);
  if (!status) status = put_guard(err, row, e, r);
  if (!status) status = gh_json_put_double(err, row, "ms", seconds * 1e3);
  if (!status) status = put_maker(err, row, e);
  if (!status) status = gh_json_put_double(err, row, "time", time);
  if (!status) status = gh_json_append_line(err, path, row);
  gh_json_free(row);
  free(path);
  return status;
}

/* Writes a line of the log, and the scalars. */
static gh_status tell(gh_error *err, const gh_evaluator *e, const gh_record *r, double seconds, double time) {
  char text[900], tags[GH_MAX_SCORES][GH_SCORE_NAME + 8];
  gh_scalar scalars[GH_MAX_SCORES];
  size_t used = (size_t)snprintf(text, sizeof text, "evaluation");
  for (int i = 0; i < e->plan.score_count; i++) {
    snprintf(tags[i], sizeof tags[i], "eval/%s", e->plan.scores[i]);
    scalars[i] = (gh_scalar){tags[i], r->scores[i]};
    if (used < sizeof text)
      used += (size_t)snprintf(text + used, sizeof text - used, " %s %.2f", e->plan.scores[i], r->scores[i]);
  }
  if (e->plan.guarded && used < sizeof text)
    used +=
        (size_t)snprintf(text + used, sizeof text - used, " guard %+.2f%s", change_of(e, r), r->within ? "" : " BELOW");
  if (used < sizeof text) snprintf(text + used, sizeof text - used, " | %.1f s", seconds);
  gh_status status = gh_metrics_note(err, e->config->output, 2, r->update, e->config->stages[1].steps, text, !e->quiet);
  if (!status)
    status = gh_metrics_scalars(err, e->config->output, time, r->update, scalars, (size_t)e->plan.score_count);
  return status;
}

/* ---- the best ---- */

void gh_evaluator_best(const gh_evaluator *e, gh_best *out) {
  const gh_record *best = NULL;
  int score = e->plan.best;
  *out = (gh_best){.start = e->count ? e->history[0].scores[score] : 0};
  snprintf(out->score, sizeof out->score, "%s", e->plan.scores[score]);
  for (size_t i = 0; i < e->count; i++) {
    const gh_record *r = &e->history[i];
    if (!r->update || isnan(r->scores[score])) continue; /* the measurement before training has no snapshot */
    bool better =
        !best || (r->within && !best->within) || (r->within == best->within && r->scores[score] > best->scores[score]);
    if (better) best = r;
    if (!r->within && e->plan.stops && !out->stopped) {
      out->stopped = true;
      out->stopped_at = r->update;
    }
  }
  if (!best) return;
  snprintf(out->snapshot, sizeof out->snapshot, "stage2-%08lld", (long long)best->update);
  out->update = best->update;
  out->value = best->scores[score];
  out->within = best->within;
}

static gh_status write_best(gh_error *err, const gh_evaluator *e) {
  gh_best best;
  gh_evaluator_best(e, &best);
  if (!best.snapshot[0]) return GH_OK;
  const gh_record *r = e->history;
  while (r->update != best.update) r++;
  char *path = gh_path_join(err, e->config->output, "best.json");
  gh_json *root = gh_json_object(err), *scores = NULL;
  gh_status status = path && root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, root, "snapshot", best.snapshot);
  if (!status) status = gh_json_put_int(err, root, "update", best.update);
  if (!status) status = gh_json_put_string(err, root, "score", best.score);
  if (!status) status = gh_json_put_double(err, root, "value", best.value);
  if (!status) status = gh_json_put_double(err, root, "start", best.start);
  if (!status && e->plan.guarded) status = gh_json_put_bool(err, root, "within_guard", best.within);
  if (!status) status = (scores = gh_json_put_object(err, root, "scores")) ? GH_OK : err->status;
  for (int i = 0; i < e->plan.score_count && !status; i++)
    if (!isnan(r->scores[i])) status = gh_json_put_double(err, scores, e->plan.scores[i], r->scores[i]);
  if (!status) status = put_maker(err, root, e);
  if (!status) status = gh_json_write_file(err, path, root);
  gh_json_free(root);
  free(path);
  return status;
}

/* ---- measuring ---- */

/* Every rank gets all scores. */
static gh_status compute(gh_error *err, gh_evaluator *e, const gh_embed_options *encoder, double *scores) {
  gh_embed_options options = *encoder;
  gh_embedder embedder = {0};
  int place = 0;
  options.batch = e->plan.batch;
  gh_status status = gh_parts_before(err, e->parts);
  if (!status) status = gh_embedder_open(err, &embedder, e->device, e->config->clip, &options);
  embedder.parts = e->parts;
  if (!status) status = gh_parts_after(err, e->parts);
  for (int i = 0; i < e->plan.count && !status; i++) {
    status = gh_measure_images(err, &e->measures[i], &embedder, true);
    if (!status) place += scores_of(&e->measures[i], scores + place);
  }
  gh_embedder_close(&embedder);
  return status;
}

static gh_status measure(gh_error *err, gh_evaluator *e, int64_t update, const gh_embed_options *encoder) {
  gh_record r = {.update = update, .within = true};
  double began = gh_now(), time = gh_metrics_time();
  gh_status status = compute(err, e, encoder, r.scores);
  if (!status && writes(e)) status = append(err, e, &r);
  if (status) return gh_fail_in(err, "evaluation after update %lld of stage 2", (long long)update);
  if (!writes(e)) return GH_OK;
  gh_record *last = update ? &e->history[e->count - 1] : start_of(e);
  judge(e, last);
  double seconds = gh_now() - began;
  status = write_line(err, e, last, seconds, time);
  if (!status) status = tell(err, e, last, seconds, time);
  return status ? status : write_best(err, e);
}

static gh_status measure_snapshot(gh_error *err, gh_evaluator *e, int64_t update) {
  const gh_embed_options trained = {.shared = e->shared, .trained = e->lora};
  gh_snapshot snapshot = {0};
  char name[32];
  if (e->shared) return measure(err, e, update, &trained);
  snprintf(name, sizeof name, "stage2-%08lld", (long long)update);
  gh_status status = gh_run_snapshot(err, e->config->output, name, &snapshot);
  const gh_embed_options written = {.adapter = snapshot.adapter, .encoder = snapshot.encoder};
  if (!status) status = measure(err, e, update, &written);
  gh_snapshot_free(&snapshot);
  return status;
}

gh_status gh_evaluator_run(gh_error *err, gh_evaluator *e, int64_t update, bool *stop) {
  bool known = false;
  for (size_t i = 0; i < e->count; i++) known |= e->history[i].update == update;
  gh_status status = gh_parts_ask(err, e->parts, GH_OK, &known);
  if (!status && !known) status = measure_snapshot(err, e, update);
  if (status || !writes(e)) return status;
  const gh_record *last = &e->history[e->count - 1];
  *stop = e->plan.guarded && e->plan.stops && !last->within;
  if (!last->within && !known)
    gh_warn("%s fell %.2f points below the start after update %lld; the guard allows %.2f",
            e->plan.scores[e->plan.watch], -change_of(e, last), (long long)update, e->plan.points);
  return GH_OK;
}

/* ---- opening ---- */

static gh_status open_measures(gh_error *err, const gh_evaluate_plan *plan, gh_measure *measures) {
  gh_status status = GH_OK;
  for (int i = 0; i < plan->count && !status; i++) {
    status = gh_measure_open(err, &measures[i], &plan->specs[i]);
    if (status) gh_fail_in(err, "evaluate[%d]", i);
  }
  return status;
}

static void free_measures(const gh_evaluate_plan *plan, gh_measure *measures) {
  for (int i = 0; i < plan->count; i++) gh_measure_free(&measures[i]);
}

gh_status gh_evaluate_check(gh_error *err, const gh_config *config, bool decode) {
  gh_evaluate_plan plan;
  gh_measure *measures = gh_alloc(err, GH_MAX_MEASURES, sizeof *measures);
  gh_status status = measures ? gh_evaluate_plan_read(err, &plan, config) : GH_ERROR_MEMORY;
  if (!status && plan.count) status = gh_text_check(err, config->clip);
  if (!status) {
    status = open_measures(err, &plan, measures);
    for (int i = 0; i < plan.count && decode && !status; i++) {
      status = gh_feed_check_files(err, measures[i].images, "checking pictures");
      if (status) gh_fail_in(err, "evaluate[%d]", i);
    }
    free_measures(&plan, measures);
  }
  free(measures);
  return status;
}

static bool shares(const gh_config *config) { return config->precision == GH_PRECISION_FLOAT32; }

void gh_evaluator_share(gh_evaluator *e, gh_store *store, const gh_lora *lora) {
  if (!e || !shares(e->config)) return;
  e->shared = store;
  e->lora = lora;
}

gh_status gh_evaluate_measure(gh_error *err, const gh_config *config, gh_device *device, const gh_lora *lora,
                              gh_budget *budget) {
  gh_evaluate_plan plan;
  gh_text_embedder *texts = NULL;
  gh_embedder images = {0};
  budget->evaluation_bytes = budget->start_bytes = 0;
  gh_status status = gh_evaluate_plan_read(err, &plan, config);
  if (status || !plan.count) return status;
  const gh_embed_options options = {.batch = plan.batch, .trained = lora, .unbacked = true};
  status = gh_embedder_open(err, &images, device, config->clip, &options);
  if (!status) {
    int64_t whole = gh_tower_bytes(&images.tower), weights = gh_store_bytes(images.tower.store);
    budget->start_bytes = whole;
    budget->evaluation_bytes = shares(config) ? whole - weights + gh_tensor_bytes(images.pixels) : whole;
  }
  gh_embedder_close(&images);
  const gh_embed_options plain = {.batch = plan.batch, .unbacked = true};
  if (!status) status = gh_text_embedder_open(err, &texts, device, config->clip, &plain);
  if (!status) budget->start_bytes = GH_MAX(budget->start_bytes, gh_text_embedder_bytes(texts));
  gh_text_embedder_close(texts);
  return status;
}

static gh_status embed_texts(gh_error *err, gh_evaluator *e) {
  gh_text_embedder *texts = NULL;
  const gh_embed_options options = {.batch = e->plan.batch};
  gh_status status = gh_parts_before(err, e->parts);
  if (!status) status = gh_text_embedder_open(err, &texts, e->device, e->config->clip, &options);
  if (!status) status = gh_parts_after(err, e->parts);
  for (int i = 0; i < e->plan.count && !status; i++) {
    e->measures[i].parts = e->parts;
    status = gh_measure_texts(err, &e->measures[i], texts);
  }
  gh_text_embedder_close(texts);
  return status;
}

/* The guard may have changed since the history was written. */
static void judge_again(gh_evaluator *e) {
  for (size_t i = 0; i < e->count; i++) judge(e, &e->history[i]);
}

/* Without the scores before training the guard has nothing to compare with. */
static gh_status check_history(gh_error *err, const gh_evaluator *e) {
  bool whole = true;
  for (int i = 0; e->count && i < e->plan.score_count; i++) whole = whole && !isnan(e->history[0].scores[i]);
  if (whole) return GH_OK;
  return gh_fail(
      err, GH_ERROR_CONFIG,
      "%s/evaluations.jsonl lacks initial scores that \"evaluate\" requires: restore the previous \"evaluate\", or "
      "choose another output",
      e->config->output);
}

static uint64_t hash_of(const gh_strings *list, uint64_t seed) {
  for (size_t i = 0; i < list->count; i++) seed = XXH64(list->items[i], strlen(list->items[i]) + 1, seed);
  return seed;
}

/* What a measure reads: number and names of pictures, texts, and which picture belongs to which. */
static gh_status put_data(gh_error *err, gh_json *to, const gh_measure *m) {
  char text[GH_CHECKSUM_TEXT];
  uint64_t hash = hash_of(m->lines, hash_of(m->images, 0));
  if (m->kind == GH_MEASURE_ZEROSHOT)
    hash = XXH64(m->zeroshot.labels, m->images->count * sizeof *m->zeroshot.labels, hash);
  if (m->kind == GH_MEASURE_RETRIEVAL)
    hash = XXH64(m->retrieval.owner, m->lines->count * sizeof *m->retrieval.owner, hash);
  gh_checksum_text(text, hash);
  gh_status status = gh_json_put_int(err, to, "the number of images", (int64_t)m->images->count);
  return status ? status : gh_json_put_string(err, to, "the hash of the images' names, texts and labels", text);
}

static gh_status same_data(gh_error *err, gh_evaluator *e) {
  static const char *const none[] = {NULL};
  if (!e->comm) return GH_OK;
  gh_json *own = gh_json_object(err);
  gh_status status = own ? GH_OK : GH_ERROR_MEMORY;
  for (int i = 0; i < e->plan.count && !status; i++) {
    char key[32];
    snprintf(key, sizeof key, "evaluate[%d]", i);
    gh_json *row = gh_json_put_object(err, own, key);
    status = row ? put_data(err, row, &e->measures[i]) : err->status;
  }
  if (status) {
    gh_json_free(own);
    own = NULL;
  }
  return gh_comm_compare(err, e->comm, own, none);
}

/* The history: rank 0 has it, and all learn whether it has the scores before training. */
static gh_status read_history(gh_error *err, gh_evaluator *e, bool *known) {
  gh_status status = writes(e) ? gh_metrics_lines(err, e->config->output, "evaluations.jsonl", take_line, e) : GH_OK;
  *known = !status && start_of(e);
  if (*known) status = check_history(err, e);
  return gh_parts_ask(err, e->parts, status, known);
}

gh_status gh_evaluator_open(gh_error *err, gh_evaluator **out, const gh_config *config, gh_device *device,
                            gh_comm *comm, bool quiet) {
  bool known = false;
  *out = NULL;
  if (!gh_json_count(config->evaluate)) return GH_OK;
  gh_evaluator *e = gh_alloc(err, 1, sizeof *e);
  if (!e) return GH_ERROR_MEMORY;
  e->config = config;
  e->device = device;
  e->quiet = quiet;
  e->comm = comm;
  e->parts = gh_ranks_parts_of(&e->ranks, comm, device);
  gh_status status = gh_evaluate_plan_read(err, &e->plan, config);
  if (!status) status = open_measures(err, &e->plan, e->measures);
  if (!status) status = same_data(err, e);
  if (!status) status = embed_texts(err, e);
  if (!status) status = read_history(err, e, &known);
  if (!status && !known) {
    const gh_embed_options start = {.adapter = config->lora.enabled ? config->lora.adapter : NULL};
    status = measure(err, e, 0, &start);
  }
  if (!status) judge_again(e);
  if (status) {
    gh_evaluator_free(e);
    return status;
  }
  *out = e;
  return GH_OK;
}

void gh_evaluator_free(gh_evaluator *e) {
  if (!e) return;
  free_measures(&e->plan, e->measures);
  free(e->history);
  free(e);
}
