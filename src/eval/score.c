#include "eval/score.h"
#include "base/random.h"
#include "eval/interval.h"
#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054 /* of the normal distribution, two-sided 95 % */
#define TOP 5

gh_share gh_share_wilson(int64_t hits, int64_t total) {
  gh_share s = {.hits = hits, .total = total};
  if (!total) return s;
  double n = (double)total, p = (double)hits / n, z2 = Z95 * Z95;
  double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  s.value = p;
  s.low = hits ? fmax(middle - half, 0) : 0; /* exactly 0, where rounding would leave 1e-17 */
  s.high = hits < total ? fmin(middle + half, 1) : 1;
  return s;
}

/* rows (n, width), each divided by its Euclidean length, in float64; a zero row stays zero. */
static gh_status normalize_rows(gh_error *err, double **out, const float *rows, int64_t n, int64_t width) {
  *out = gh_alloc(err, (size_t)(n * width), sizeof **out);
  if (!*out) return GH_ERROR_MEMORY;
  for (int64_t r = 0; r < n; r++) {
    const float *from = rows + r * width;
    double *to = *out + r * width, squares = 0;
    for (int64_t i = 0; i < width; i++) squares += (double)from[i] * (double)from[i];
    double scale = squares > 0 ? 1 / sqrt(squares) : 0;
    for (int64_t i = 0; i < width; i++) to[i] = (double)from[i] * scale;
  }
  return GH_OK;
}

static double dot(const double *a, const double *b, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; i++) sum += a[i] * b[i];
  return sum;
}

/* ---- MMVP-VLM ---- */

const char *const gh_mmvp_patterns[GH_MMVP_PATTERNS] = {"Orientation and Direction",
                                                        "Presence of Specific Features",
                                                        "State and Condition",
                                                        "Quantity and Count",
                                                        "Positional and Relational Context",
                                                        "Color and Appearance",
                                                        "Structural and Physical Characteristics",
                                                        "Texts",
                                                        "Viewpoint and Perspective"};

/* The first image's probability in a softmax over both, computed in float32. */
static float first_probability(double first, double second, double scale) {
  float a = (float)(first * scale), b = (float)(second * scale), most = fmaxf(a, b);
  float x = expf(a - most), y = expf(b - most);
  return x / (x + y);
}

gh_status gh_mmvp_evaluate(gh_error *err, gh_mmvp_score *out, gh_mmvp_pair *results, const float *images,
                           const float *texts, const int64_t *ids, int64_t pairs, int64_t width, double scale) {
  double *v = NULL, *t = NULL;
  int64_t hits[GH_MMVP_PATTERNS] = {0}, totals[GH_MMVP_PATTERNS] = {0}, all = 0, filled = 0;
  *out = (gh_mmvp_score){0};
  gh_status status = normalize_rows(err, &v, images, 2 * pairs, width);
  if (!status) status = normalize_rows(err, &t, texts, 2 * pairs, width);
  for (int64_t p = 0; p < pairs && !status; p++) {
    const double *first = v + 2 * p * width, *second = first + width;
    for (int64_t s = 0; s < 2; s++) {
      const double *text = t + (2 * p + s) * width;
      float share = first_probability(dot(first, text, width), dot(second, text, width), scale);
      bool picks_first = share > 0.5f, owns_first = ids[2 * p + s] % 2 != 0;
      results[p].probability[s] = share;
      results[p].right[s] = picks_first == owns_first;
    }
    bool hit = results[p].right[0] && results[p].right[1];
    int64_t pattern = p / GH_MMVP_PAIRS_PER_PATTERN;
    hits[pattern] += hit;
    totals[pattern]++;
    all += hit;
  }
  for (int i = 0; i < GH_MMVP_PATTERNS && !status; i++) {
    out->patterns[i] = gh_share_wilson(hits[i], totals[i]);
    out->average += out->patterns[i].value;
    filled += totals[i] > 0;
  }
  if (!status) out->all = gh_share_wilson(all, pairs);
  if (filled) out->average /= (double)filled;
  free(v);
  free(t);
  return status;
}

/* ---- zero-shot classification ---- */

gh_status gh_zeroshot_classes(gh_error *err, float *out, const float *texts, int64_t classes, int64_t templates,
                              int64_t width) {
  double *rows = NULL;
  float *sums = gh_alloc(err, (size_t)(classes * width), sizeof *sums);
  gh_status status = sums ? normalize_rows(err, &rows, texts, classes * templates, width) : GH_ERROR_MEMORY;
  for (int64_t i = 0; i < classes * width && !status; i++) {
    double sum = 0;
    for (int64_t t = 0; t < templates; t++) sum += rows[(i / width * templates + t) * width + i % width];
    sums[i] = (float)(sum / (double)templates);
  }
  free(rows);
  rows = NULL;
  if (!status) status = normalize_rows(err, &rows, sums, classes, width);
  for (int64_t i = 0; i < classes * width && !status; i++) out[i] = (float)rows[i];
  free(rows);
  free(sums);
  return status;
}

/* The number of candidates ahead of candidate `right`. */
static int64_t rank_of(const double *scores, int64_t n, int64_t right) {
  int64_t rank = 0;
  for (int64_t i = 0; i < n; i++) rank += scores[i] > scores[right] || (scores[i] == scores[right] && i < right);
  return rank;
}

static int64_t best_of(const double *scores, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (scores[i] > scores[best]) best = i;
  return best;
}

typedef struct gh_zeroshot_job {
  const int64_t *labels;
  int64_t classes;
  int64_t *predicted, *ranks; /* predicted may be NULL */
} gh_zeroshot_job;

static void rank_image(void *user, int64_t image, double *scores) {
  const gh_zeroshot_job *j = user;
  j->ranks[image] = rank_of(scores, j->classes, j->labels[image]);
  if (j->predicted) j->predicted[image] = best_of(scores, j->classes);
}

gh_status gh_zeroshot_evaluate(gh_error *err, gh_zeroshot_score *out, int64_t *predicted, int64_t *ranks,
                               const float *images, const int64_t *labels, int64_t n, const float *classes,
                               int64_t class_count, int64_t width) {
  double *v = NULL, *c = NULL;
  int64_t *own = gh_alloc(err, (size_t)n, sizeof *own), first = 0, among = 0;
  gh_zeroshot_job job = {.labels = labels, .classes = class_count, .predicted = predicted, .ranks = own};
  *out = (gh_zeroshot_score){0};
  gh_status status = own ? normalize_rows(err, &v, images, n, width) : GH_ERROR_MEMORY;
  if (!status) status = normalize_rows(err, &c, classes, class_count, width);
  if (!status) status = gh_similarities(err, v, n, c, class_count, width, rank_image, &job);
  for (int64_t i = 0; i < n && !status; i++) {
    first += own[i] == 0;
    among += own[i] < TOP;
  }
  if (!status) *out = (gh_zeroshot_score){gh_share_wilson(first, n), gh_share_wilson(among, n)};
  if (!status && ranks) memcpy(ranks, own, (size_t)n * sizeof *own);
  free(v);
  free(c);
  free(own);
  return status;
}

/* ---- retrieval ---- */

const int gh_retrieval_ks[GH_RETRIEVAL_KS] = {1, 5, 10};

/* Shares of captions by their image's rank. */
static gh_status score_captions(gh_error *err, gh_retrieval_score *out, const int64_t *ranks, const int64_t *owner,
                                int64_t m, int64_t n, uint64_t seed) {
  double *hits = gh_alloc(err, (size_t)(2 * n), sizeof *hits), *captions = hits ? hits + n : NULL;
  gh_status status = hits ? GH_OK : GH_ERROR_MEMORY;
  for (int64_t c = 0; c < m && !status; c++) captions[owner[c]]++;
  for (int k = 0; k < GH_RETRIEVAL_KS && !status; k++) {
    int64_t total = 0;
    memset(hits, 0, (size_t)n * sizeof *hits);
    for (int64_t c = 0; c < m; c++) {
      bool hit = ranks[c] < gh_retrieval_ks[k];
      hits[owner[c]] += hit;
      total += hit;
    }
    gh_share *share = &out->image_at[k];
    *share = gh_share_wilson(total, m);
    status =
        gh_bootstrap(err, &share->low, &share->high, hits, captions, n, gh_stream_make(seed, 0, "bootstrap", "image"));
  }
  free(hits);
  return status;
}

static void score_images(gh_retrieval_score *out, const int64_t *ranks, int64_t n) {
  for (int k = 0; k < GH_RETRIEVAL_KS; k++) {
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) total += ranks[i] < gh_retrieval_ks[k];
    out->text_at[k] = gh_share_wilson(total, n);
  }
}

typedef struct gh_retrieval_job {
  const int64_t *owner;
  int64_t n, m;
  int64_t *of_captions, *of_images; /* ranks; of_images: -1 for an image without captions */
} gh_retrieval_job;

static void rank_caption(void *user, int64_t caption, double *scores) {
  const gh_retrieval_job *j = user;
  j->of_captions[caption] = rank_of(scores, j->n, j->owner[caption]);
}

/* Ranks the best of an image's captions (the first on a tie). */
static void rank_image_captions(void *user, int64_t image, double *scores) {
  const gh_retrieval_job *j = user;
  int64_t best = -1;
  for (int64_t c = 0; c < j->m; c++)
    if (j->owner[c] == image && (best < 0 || scores[c] > scores[best])) best = c;
  j->of_images[image] = best < 0 ? -1 : rank_of(scores, j->m, best);
}

gh_status gh_retrieval_evaluate(gh_error *err, gh_retrieval_score *out, int64_t *image_ranks, int64_t *text_ranks,
                                const float *images, int64_t n, const float *captions, const int64_t *owner, int64_t m,
                                int64_t width, uint64_t seed) {
  double *v = NULL, *t = NULL;
  int64_t *ranks = gh_alloc(err, (size_t)(n + m), sizeof *ranks), *of_images = ranks ? ranks + m : NULL;
  gh_retrieval_job job = {.owner = owner, .n = n, .m = m, .of_captions = ranks, .of_images = of_images};
  *out = (gh_retrieval_score){0};
  gh_status status = ranks ? normalize_rows(err, &v, images, n, width) : GH_ERROR_MEMORY;
  if (!status) status = normalize_rows(err, &t, captions, m, width);
  if (!status) status = gh_similarities(err, t, m, v, n, width, rank_caption, &job);
  if (!status) status = gh_similarities(err, v, n, t, m, width, rank_image_captions, &job);
  for (int64_t i = 0; i < n && !status; i++)
    if (of_images[i] < 0)
      status = gh_fail(err, GH_ERROR_ARGUMENT, "retrieval: image %lld has no caption", (long long)i);
  if (!status) status = score_captions(err, out, ranks, owner, m, n, seed);
  if (!status) score_images(out, of_images, n);
  if (!status && image_ranks) memcpy(image_ranks, ranks, (size_t)m * sizeof *ranks);
  if (!status && text_ranks) memcpy(text_ranks, of_images, (size_t)n * sizeof *ranks);
  free(v);
  free(t);
  free(ranks);
  return status;
}

/* ---- neighbours ---- */

gh_status gh_cosines(gh_error *err, double *out, const float *a, const float *b, int64_t n, int64_t width) {
  double *v = NULL, *w = NULL;
  gh_status status = normalize_rows(err, &v, a, n, width);
  if (!status) status = normalize_rows(err, &w, b, n, width);
  for (int64_t i = 0; i < n && !status; i++) out[i] = dot(v + i * width, w + i * width, width);
  free(v);
  free(w);
  return status;
}

typedef struct gh_neighbour_job {
  int64_t n, k;
  int64_t *out;
  double *similarities;
} gh_neighbour_job;

static void take_nearest(void *user, int64_t query, double *scores) {
  const gh_neighbour_job *j = user;
  scores[query] = -INFINITY;
  for (int64_t place = 0; place < j->k; place++) {
    int64_t best = best_of(scores, j->n);
    j->out[query * j->k + place] = best;
    if (j->similarities) j->similarities[query * j->k + place] = scores[best];
    scores[best] = -INFINITY;
  }
}

gh_status gh_neighbours(gh_error *err, int64_t *out, double *similarities, const float *rows, int64_t n, int64_t width,
                        int64_t k) {
  double *v = NULL;
  gh_neighbour_job job = {.n = n, .k = k, .out = out, .similarities = similarities};
  gh_status status = normalize_rows(err, &v, rows, n, width);
  if (!status) status = gh_similarities(err, v, n, v, n, width, take_nearest, &job);
  free(v);
  return status;
}
