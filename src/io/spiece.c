#include "io/spiece.h"
#include "io/protobuf.h"
#include "io/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACE           "\xe2\x96\x81" /* the lower one eighth block, which represents a space */
#define UNKNOWN_PENALTY 10.0f          /* below the least likely piece */

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE }; /* kinds of pieces */
enum { UNIGRAM = 1 };                                              /* of models */

typedef struct gh_piece {
  const char *text; /* in the file, not zero-terminated */
  size_t size;
  float score;
  int kind;
  int32_t id;
} gh_piece;

struct gh_spiece {
  gh_piece *pieces; /* first those used for segmentation, sorted by text; then the others */
  size_t count, cut_count;
  int32_t unknown;
  float least, most;         /* the scores of normal pieces */
  bool user_defined;         /* there are such pieces */
  bool precise;              /* sums of scores are float64 */
  const unsigned char *trie; /* of the normalisation: units of 4 bytes */
  size_t units;
  const char *rules; /* texts, each zero-terminated */
  size_t rules_size;
  bool add_prefix, trim, escape, space_behind;
};

/* ---- the file ---- */

static gh_status read_piece(gh_error *err, gh_spiece *m, gh_proto p) {
  gh_piece *piece = &m->pieces[m->count];
  *piece = (gh_piece){.text = "", .kind = NORMAL, .id = (int32_t)m->count};
  gh_proto_field f;
  bool more;
  gh_status status;
  while (!(status = gh_proto_next(err, &p, &f, &more)) && more && !status) {
    if (f.number == 1 && !(status = gh_proto_want(err, &p, &f, GH_WIRE_BYTES)))
      piece->text = (const char *)f.bytes, piece->size = f.size;
    if (f.number == 2 && !(status = gh_proto_want(err, &p, &f, GH_WIRE_FIXED32))) piece->score = gh_proto_float(&f);
    if (f.number == 3 && !(status = gh_proto_want(err, &p, &f, GH_WIRE_VARINT)))
      piece->kind = (int)GH_MIN(f.value, 99u);
    if (status) return status;
  }
  if (status) return status;
  if (!piece->size || memchr(piece->text, 0, piece->size) || !isfinite(piece->score) || piece->kind < NORMAL ||
      piece->kind > BYTE || !gh_utf8_valid(piece->text, piece->size))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: piece %zu is invalid", p.name, m->count);
  m->count++;
  return GH_OK;
}

static gh_status read_trainer(gh_error *err, gh_spiece *m, gh_proto p) {
  gh_proto_field f;
  bool more;
  gh_status status;
  while (!(status = gh_proto_next(err, &p, &f, &more)) && more) {
    if (f.number == 3 && f.value != UNIGRAM)
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: a model of kind %llu is not supported, only unigram", p.name,
                     (unsigned long long)f.value);
    if (f.number == 35 && f.value)
      return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: byte_fallback is not supported", p.name);
    if (f.number == 24) m->space_behind = f.value;
  }
  return status;
}

/* The table: the trie's size, the trie, the replacement texts. */
static gh_status read_table(gh_error *err, gh_spiece *m, const gh_proto *p, const gh_proto_field *f) {
  if (!f->size) return GH_OK;
  uint64_t size = 0;
  for (int i = 3; i >= 0 && f->size >= 4; i--) size = size << 8 | f->bytes[i];
  if (f->size < 4 || size % 4 || size < 4 || size >= f->size - 4 || f->bytes[f->size - 1])
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the normalisation table is damaged", p->name);
  m->trie = f->bytes + 4;
  m->units = (size_t)size / 4;
  m->rules = (const char *)f->bytes + 4 + size;
  m->rules_size = f->size - 4 - (size_t)size;
  if (!gh_utf8_valid(m->rules, m->rules_size))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the normalisation table is not UTF-8", p->name);
  return GH_OK;
}

static gh_status read_normalizer(gh_error *err, gh_spiece *m, gh_proto p) {
  gh_proto_field f;
  bool more;
  gh_status status;
  while (!(status = gh_proto_next(err, &p, &f, &more)) && more) {
    if (f.number == 2 &&
        ((status = gh_proto_want(err, &p, &f, GH_WIRE_BYTES)) || (status = read_table(err, m, &p, &f))))
      return status;
    if (f.number == 3) m->add_prefix = f.value;
    if (f.number == 4) m->trim = f.value;
    if (f.number == 5) m->escape = f.value;
  }
  return status;
}

static gh_status read_model(gh_error *err, gh_spiece *m, gh_proto p) {
  gh_status (*const parts[])(gh_error *, gh_spiece *, gh_proto) = {NULL, read_piece, read_trainer, read_normalizer};
  gh_proto_field f;
  bool more;
  gh_status status;
  while (!(status = gh_proto_next(err, &p, &f, &more)) && more) {
    if (f.number >= GH_COUNT(parts)) continue;
    if ((status = gh_proto_want(err, &p, &f, GH_WIRE_BYTES))) return status;
    if ((status = parts[f.number](err, m, gh_proto_open(p.name, f.bytes, f.size)))) return status;
  }
  return status;
}

static gh_status count_pieces(gh_error *err, gh_proto p, size_t *count) {
  gh_proto_field f;
  bool more;
  gh_status status;
  while (!(status = gh_proto_next(err, &p, &f, &more)) && more) *count += f.number == 1;
  return status;
}

/* ---- pieces by text ---- */

static bool is_cut_into(const gh_piece *p) { return p->kind == NORMAL || p->kind == USER_DEFINED || p->kind == UNUSED; }

static int compare_text(const char *a, size_t size, const char *b, size_t other) {
  int order = memcmp(a, b, GH_MIN(size, other));
  return order ? order : (size > other) - (size < other);
}

static int by_text(const void *a, const void *b) {
  const gh_piece *x = a, *y = b;
  if (is_cut_into(x) != is_cut_into(y)) return is_cut_into(x) ? -1 : 1;
  return compare_text(x->text, x->size, y->text, y->size);
}

static gh_status sort_pieces(gh_error *err, gh_spiece *m, const char *name) {
  float least = INFINITY;
  m->unknown = -1;
  m->most = -INFINITY;
  for (size_t i = 0; i < m->count; i++) {
    const gh_piece *p = &m->pieces[i];
    if (p->kind == UNKNOWN && m->unknown >= 0) return gh_fail(err, GH_ERROR_FORMAT, "%s: two unknown pieces", name);
    if (p->kind == UNKNOWN) m->unknown = p->id;
    if (p->kind == NORMAL) least = fminf(least, p->score), m->most = fmaxf(m->most, p->score);
    m->user_defined |= p->kind == USER_DEFINED;
    m->cut_count += is_cut_into(p);
  }
  if (m->unknown < 0) return gh_fail(err, GH_ERROR_FORMAT, "%s: no unknown piece (not a SentencePiece model?)", name);
  if (!m->cut_count) return gh_fail(err, GH_ERROR_FORMAT, "%s: no pieces", name);
  if (least > m->most) least = m->most = 0;
  m->least = least;
  qsort(m->pieces, m->count, sizeof *m->pieces, by_text);
  for (size_t i = 1; i < m->count; i++)
    if (!by_text(&m->pieces[i - 1], &m->pieces[i]))
      return gh_fail(err, GH_ERROR_FORMAT, "%s: two pieces \"%.*s\"", name, (int)GH_MIN(m->pieces[i].size, (size_t)40),
                     m->pieces[i].text);
  return GH_OK;
}

gh_status gh_spiece_parse(gh_error *err, gh_spiece **out, const char *name, const void *bytes, size_t size) {
  gh_proto p = gh_proto_open(name, bytes, size);
  size_t count = 0;
  *out = NULL;
  gh_status status = count_pieces(err, p, &count);
  if (status) return status;
  if (!count || count > 1 << 24) return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu pieces", name, count);
  gh_spiece *m = gh_alloc(err, 1, sizeof *m);
  if (!m) return GH_ERROR_MEMORY;
  m->add_prefix = m->trim = m->escape = true;
  m->pieces = gh_alloc(err, count, sizeof *m->pieces);
  status = m->pieces ? read_model(err, m, p) : GH_ERROR_MEMORY;
  if (!status) status = sort_pieces(err, m, name);
  if (status)
    gh_spiece_free(m);
  else
    *out = m;
  return status;
}

void gh_spiece_free(gh_spiece *m) {
  if (!m) return;
  free(m->pieces);
  free(m);
}

int64_t gh_spiece_size(const gh_spiece *m) { return (int64_t)m->count; }
void gh_spiece_no_prefix(gh_spiece *m) { m->add_prefix = false; }
void gh_spiece_precise(gh_spiece *m) { m->precise = true; }

int32_t gh_spiece_find(const gh_spiece *m, const char *text) {
  const int kinds[] = {CONTROL, NORMAL}; /* the library searches the reserved pieces first */
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    const gh_piece wanted = {.text = text, .size = strlen(text), .kind = kinds[i]};
    const gh_piece *found = bsearch(&wanted, m->pieces, m->count, sizeof wanted, by_text);
    if (found) return found->id;
  }
  return -1;
}

/* ---- walking all pieces that are prefixes of a text ---- */

typedef struct gh_walk {
  size_t low, high, depth; /* pieces [low, high) share the first `depth` bytes */
} gh_walk;

/* Advances by one byte. Returns the piece that ends there, or NULL; low == high: no longer piece exists. */
static const gh_piece *walk(const gh_spiece *m, gh_walk *w, unsigned char byte) {
  size_t edges[2];
  for (int upper = 0; upper < 2; upper++) { /* the first pieces whose byte is >= and > this one */
    size_t low = w->low, high = w->high;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      const gh_piece *p = &m->pieces[middle];
      int there = p->size > w->depth ? (unsigned char)p->text[w->depth] : -1;
      if (there < byte + upper)
        low = middle + 1;
      else
        high = middle;
    }
    edges[upper] = low;
  }
  *w = (gh_walk){edges[0], edges[1], w->depth + 1};
  const gh_piece *p = &m->pieces[w->low];
  return w->low < w->high && p->size == w->depth ? p : NULL;
}

/* ---- normalisation ---- */

static uint32_t unit_at(const gh_spiece *m, size_t i) {
  const unsigned char *u = m->trie + 4 * i;
  return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 1 << 9) >> 6); }

/* Finds the longest rule (double-array trie) that matches the text's start, or the shortest. Returns the bytes it
 * replaces, 0 for none. */
static size_t find_rule(const gh_spiece *m, const char *text, size_t size, bool shortest, const char **with) {
  size_t longest = 0, node = 0;
  if (!m->units) return 0;
  node ^= offset_of(unit_at(m, 0));
  for (size_t i = 0; i < size && !(shortest && longest); i++) {
    node ^= (unsigned char)text[i];
    if (node >= m->units) break;
    uint32_t unit = unit_at(m, node);
    if ((unit & (1u << 31 | 0xFF)) != (unsigned char)text[i]) break;
    node ^= offset_of(unit);
    if (!(unit >> 8 & 1) || node >= m->units) continue;
    size_t value = unit_at(m, node) & 0x7FFFFFFF;
    if (value < m->rules_size) longest = i + 1, *with = m->rules + value;
  }
  return longest;
}

/* Length of the longest user-defined piece that the text begins with. */
static size_t longest_user_piece(const gh_spiece *m, const char *text, size_t size) {
  gh_walk w = {0, m->cut_count, 0};
  size_t longest = 0;
  for (size_t i = 0; m->user_defined && i < size && w.low < w.high; i++) {
    const gh_piece *p = walk(m, &w, (unsigned char)text[i]);
    if (p && p->kind == USER_DEFINED) longest = i + 1;
  }
  return longest;
}

/* Normalises the start of the text; returns how many bytes were consumed. */
static size_t normalize_one(const gh_spiece *m, const char *text, size_t size, const char **with, size_t *length) {
  size_t taken = longest_user_piece(m, text, size);
  if (!taken && (taken = find_rule(m, text, size, false, with))) {
    *length = strlen(*with);
    return taken;
  }
  if (!taken) gh_utf8_next(text, size, &taken);
  *with = text;
  *length = taken;
  return taken;
}

static gh_status add_normalized(gh_error *err, const gh_spiece *m, gh_buffer_text *out, const char *text, size_t n) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < n && !status; i++) {
    bool space = m->escape && text[i] == ' ';
    status = gh_text_add(err, out, space ? SPACE : text + i, space ? strlen(SPACE) : 1);
  }
  return status;
}

static gh_status normalize(gh_error *err, const gh_spiece *m, gh_buffer_text *out, const char *text, size_t size) {
  const char *space = m->escape ? SPACE : " ", *with = NULL;
  size_t at = 0, n = 0, wide = strlen(space);
  while (m->trim && at < size) {
    size_t taken = normalize_one(m, text + at, size - at, &with, &n);
    if (n != 1 || *with != ' ') break;
    at += taken;
  }
  if (at == size) return GH_OK;
  gh_status status = GH_OK;
  if (m->add_prefix && !m->space_behind) status = gh_text_add(err, out, space, wide);
  for (bool after_space = m->trim; at < size && !status;) {
    at += normalize_one(m, text + at, size - at, &with, &n);
    for (; after_space && n && *with == ' '; n--) with++;
    status = add_normalized(err, m, out, with, n);
    if (n) after_space = with[n - 1] == ' ';
    if (!m->trim) after_space = false;
  }
  while (!status && m->trim && out->size >= wide && !memcmp(out->bytes + out->size - wide, space, wide))
    out->size -= wide;
  if (!status && m->add_prefix && m->space_behind) status = gh_text_add(err, out, space, wide);
  return status;
}

#define LONGEST_CLUSTER 5 /* bytes of a cluster that a rule may replace as a whole */

/* As the tokenizers library does: a short cluster that begins with a rule's text becomes the rule's, all of it; in the
 * others each code point is looked up by itself. */
gh_status gh_spiece_replace(gh_error *err, const gh_spiece *m, gh_buffer_text *out, const char *text, size_t size) {
  gh_status status = GH_OK;
  for (size_t at = 0, end = 0; at < size && !status; at = end) {
    const char *with = NULL;
    gh_grapheme_next(text, size, &end);
    if (end - at <= LONGEST_CLUSTER && find_rule(m, text + at, end - at, true, &with)) {
      status = gh_text_add(err, out, with, strlen(with));
      continue;
    }
    for (size_t next = at; at < end && !status; at = next) {
      gh_utf8_next(text, size, &next);
      bool found = find_rule(m, text + at, next - at, true, &with);
      status = gh_text_add(err, out, found ? with : text + at, found ? strlen(with) : next - at);
    }
  }
  return status;
}

/* ---- segmentation ---- */

typedef struct gh_best {
  double score; /* of the best segmentation up to here */
  int32_t id;
  size_t start; /* start of its last piece; SIZE_MAX: not reached yet */
} gh_best;

static void offer(const gh_spiece *m, gh_best *best, size_t start, size_t end, int32_t id, double score) {
  double candidate = score + best[start].score;
  if (!m->precise) candidate = (double)(float)candidate;
  if (best[end].start != SIZE_MAX && !(candidate > best[end].score)) return;
  best[end] = (gh_best){candidate, id, start};
}

/* Viterbi over the bytes, as in the library: float32 sums, rounded after each piece, unless they are precise. */
static void segment(const gh_spiece *m, const char *text, size_t size, gh_best *best) {
  double unknown = m->precise ? (double)m->least - (double)UNKNOWN_PENALTY : (double)(m->least - UNKNOWN_PENALTY);
  for (size_t i = 0; i <= size; i++) best[i] = (gh_best){0, -1, SIZE_MAX};
  for (size_t start = 0, next; start < size; start = next) {
    gh_walk w = {0, m->cut_count, 0};
    bool single = false;
    next = start;
    gh_utf8_next(text, size, &next);
    for (size_t end = start; end < size && w.low < w.high;) {
      const gh_piece *p = walk(m, &w, (unsigned char)text[end++]);
      if (!p || p->kind == UNUSED) continue;
      bool users = p->kind == USER_DEFINED; /* its score makes it always win */
      offer(m, best, start, end, p->id, (double)(users ? (float)(end - start) * m->most - 0.1f : p->score));
      single |= end == next;
    }
    if (!single) offer(m, best, start, next, m->unknown, unknown);
  }
}

gh_status gh_spiece_cut(gh_error *err, const gh_spiece *m, const char *text, size_t size, gh_ids *ids) {
  size_t first = ids->count;
  gh_best *best = size ? gh_alloc(err, size + 1, sizeof *best) : NULL;
  gh_status status = size && !best ? GH_ERROR_MEMORY : GH_OK;
  if (best) segment(m, text, size, best);
  for (size_t end = size; best && !status && end; end = best[end].start)
    if (best[end].id != m->unknown || ids->count == first || ids->items[ids->count - 1] != m->unknown)
      status = gh_ids_add(err, ids, best[end].id);
  for (size_t i = first, j = ids->count; !status && i + 1 < j;) {
    int32_t swapped = ids->items[--j];
    ids->items[j] = ids->items[i];
    ids->items[i++] = swapped;
  }
  free(best);
  return status;
}

gh_status gh_spiece_encode(gh_error *err, const gh_spiece *m, const char *text, size_t size, gh_ids *ids) {
  gh_buffer_text normal = {0};
  gh_status status = normalize(err, m, &normal, text, size);
  if (!status) status = gh_spiece_cut(err, m, normal.bytes, normal.size, ids);
  gh_text_free(&normal);
  return status;
}
