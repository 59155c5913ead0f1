#include "io/bpe.h"

#include "base/array.h"
#include "io/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_RANK INT32_MAX

typedef struct gh_token {
  const char *text; /* of `texts` */
  int32_t id;
} gh_token;

typedef struct gh_merge {
  uint64_t pair; /* left id, right id */
  int32_t rank, id;
} gh_merge;

struct gh_bpe {
  gh_strings texts;
  gh_token *tokens; /* sorted by text */
  gh_merge *merges; /* sorted by pair */
  size_t token_count, merge_count;
  int64_t size;
  int32_t bytes[2][256]; /* a byte's token: within a word, at its end; of characters: the first row alone */
};

/* ---- ids ---- */

gh_status gh_ids_add(gh_error *err, gh_ids *ids, int32_t id) {
  if (GH_ARRAY_RESERVE(err, ids->items, ids->capacity, ids->count, 1)) return GH_ERROR_MEMORY;
  ids->items[ids->count++] = id;
  return GH_OK;
}

void gh_ids_free(gh_ids *ids) {
  free(ids->items);
  *ids = (gh_ids){0};
}

/* ---- reading ---- */

static int by_text(const void *a, const void *b) {
  return strcmp(((const gh_token *)a)->text, ((const gh_token *)b)->text);
}

/* If a pair is listed twice, its last rank counts and sorts first. */
static int by_pair(const void *a, const void *b) {
  const gh_merge *x = a, *y = b;
  if (x->pair != y->pair) return x->pair < y->pair ? -1 : 1;
  return (x->rank < y->rank) - (x->rank > y->rank);
}

static int pair_alone(const void *a, const void *b) {
  const gh_merge *x = a, *y = b;
  return (x->pair > y->pair) - (x->pair < y->pair);
}

int32_t gh_bpe_find(const gh_bpe *b, const char *token) {
  const gh_token wanted = {.text = token};
  const gh_token *found = b->token_count ? bsearch(&wanted, b->tokens, b->token_count, sizeof wanted, by_text) : NULL;
  return found ? found->id : -1;
}

int64_t gh_bpe_size(const gh_bpe *b) { return b->size; }

bool gh_bpe_has(const gh_bpe *b, int32_t id) {
  for (size_t i = 0; i < b->token_count; i++)
    if (b->tokens[i].id == id) return true;
  return false;
}

static gh_status read_vocabulary(gh_error *err, gh_bpe *b, const char *name, const gh_json *vocabulary) {
  if (gh_json_type_of(vocabulary) != GH_JSON_OBJECT || !gh_json_count(vocabulary))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the vocabulary is not an object of tokens", name);
  b->tokens = gh_alloc(err, gh_json_count(vocabulary), sizeof *b->tokens);
  if (!b->tokens) return GH_ERROR_MEMORY;
  for (const gh_json *item = gh_json_first(vocabulary); item; item = gh_json_next(item)) {
    int64_t id;
    if (gh_json_to_int(err, item, gh_json_key(item), &id)) return gh_fail_in(err, "%s", name), err->status;
    if (id < 0 || id > 1 << 24)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %.40s: %lld is not a token id", name, gh_json_key(item), (long long)id);
    if (gh_strings_add(err, &b->texts, gh_json_key(item))) return err->status;
    b->tokens[b->token_count++] = (gh_token){b->texts.items[b->texts.count - 1], (int32_t)id};
    b->size = GH_MAX(b->size, id + 1);
  }
  qsort(b->tokens, b->token_count, sizeof *b->tokens, by_text);
  return GH_OK;
}

static gh_status read_merge(gh_error *err, gh_bpe *b, const char *name, const char *text, int32_t rank) {
  const char *space = strchr(text, ' ');
  if (!space || space == text || !space[1] || strchr(space + 1, ' '))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: merge %d \"%.40s\" is not a pair", name, rank + 1, text);
  char *left = gh_format(err, "%.*s", (int)(space - text), text);
  char *both = gh_format(err, "%.*s%s", (int)(space - text), text, space + 1);
  gh_status status = left && both ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    int32_t x = gh_bpe_find(b, left), y = gh_bpe_find(b, space + 1), id = gh_bpe_find(b, both);
    if (x < 0 || y < 0 || id < 0)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: merge %d \"%.40s\" is not in the vocabulary", name, rank + 1, text);
    else
      b->merges[b->merge_count++] = (gh_merge){(uint64_t)x << 32 | (uint64_t)y, rank, id};
  }
  free(left);
  free(both);
  return status;
}

static gh_status read_merges(gh_error *err, gh_bpe *b, const char *name, const gh_strings *merges) {
  b->merges = gh_alloc(err, GH_MAX(merges->count, (size_t)1), sizeof *b->merges);
  gh_status status = b->merges ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < merges->count && !status; i++) status = read_merge(err, b, name, merges->items[i], (int32_t)i);
  if (status) return status;
  qsort(b->merges, b->merge_count, sizeof *b->merges, by_pair);
  size_t kept = 0;
  for (size_t i = 0; i < b->merge_count; i++)
    if (!kept || b->merges[kept - 1].pair != b->merges[i].pair) b->merges[kept++] = b->merges[i];
  b->merge_count = kept;
  return GH_OK;
}

void gh_bpe_byte_texts(gh_byte_text texts[256]) {
  int32_t next = 256;
  for (int32_t byte = 0; byte < 256; byte++) {
    bool printable = gh_byte_is_printable(byte);
    int32_t point = printable ? byte : next++;
    gh_byte_text text = {{(char)point}};
    if (point >= 0x80) text.bytes[0] = (char)(0xC0 | point >> 6), text.bytes[1] = (char)(0x80 | (point & 0x3F));
    texts[byte] = text;
  }
}

static void spell_bytes(gh_bpe *b, int32_t unknown) {
  gh_byte_text texts[256];
  gh_bpe_byte_texts(texts);
  for (int byte = 0; byte < 256; byte++) {
    char text[sizeof texts[0].bytes + sizeof GH_END_OF_WORD] = "";
    strcat(text, texts[byte].bytes);
    for (int last = 0; last < 2; last++) {
      if (last) strcat(text, GH_END_OF_WORD);
      int32_t id = gh_bpe_find(b, text);
      b->bytes[last][byte] = id < 0 ? unknown : id;
    }
  }
}

static gh_status create(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                        const gh_strings *merges) {
  gh_bpe *b = *out = gh_alloc(err, 1, sizeof *b);
  if (!b) return GH_ERROR_MEMORY;
  gh_status status = read_vocabulary(err, b, name, vocabulary);
  return status ? status : read_merges(err, b, name, merges);
}

static gh_status give_up(gh_bpe **out, gh_status status) {
  gh_bpe_free(*out);
  *out = NULL;
  return status;
}

gh_status gh_bpe_create(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                        const gh_strings *merges, const char *unknown) {
  gh_status status = create(err, out, name, vocabulary, merges);
  int32_t id = status ? 0 : gh_bpe_find(*out, unknown);
  if (id < 0) status = gh_fail(err, GH_ERROR_FORMAT, "%s: the vocabulary has no %s", name, unknown);
  if (status) return give_up(out, status);
  spell_bytes(*out, id);
  return GH_OK;
}

gh_status gh_bpe_create_characters(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                                   const gh_strings *merges) {
  gh_status status = create(err, out, name, vocabulary, merges);
  for (unsigned byte = 0; byte < 256 && !status; byte++) {
    char token[16];
    snprintf(token, sizeof token, "<0x%02X>", byte);
    int32_t id = (*out)->bytes[0][byte] = gh_bpe_find(*out, token);
    if (id < 0) status = gh_fail(err, GH_ERROR_FORMAT, "%s: the vocabulary has no %s", name, token);
  }
  return status ? give_up(out, status) : GH_OK;
}

void gh_bpe_free(gh_bpe *b) {
  if (!b) return;
  gh_strings_free(&b->texts);
  free(b->tokens);
  free(b->merges);
  free(b);
}

/* ---- a word ---- */

static const gh_merge *find_merge(const gh_bpe *b, int32_t left, int32_t right) {
  const gh_merge wanted = {.pair = (uint64_t)left << 32 | (uint64_t)right};
  return b->merge_count ? bsearch(&wanted, b->merges, b->merge_count, sizeof wanted, pair_alone) : NULL;
}

static int32_t rank_of(const gh_bpe *b, int32_t left, int32_t right) {
  const gh_merge *merge = find_merge(b, left, right);
  return merge ? merge->rank : NO_RANK;
}

typedef struct gh_part {
  int32_t id, rank; /* rank: of the pair with the next part; NO_RANK: no pair, or the part is merged into another */
  uint32_t before, next;
} gh_part;

/* A word's parts and a heap of its pairs, keyed by rank, then position: the minimum is the leftmost pair of the lowest
 * rank. An entry is stale if its part's rank has changed since. */
typedef struct gh_word {
  const gh_bpe *bpe;
  gh_part *parts; /* (size); the last one's next is size */
  uint32_t size;
  uint64_t *heap; /* at most 3 size: every merge adds two new pairs */
  size_t count;
} gh_word;

static void push(gh_word *w, uint64_t entry) {
  size_t at = w->count++;
  for (; at && w->heap[(at - 1) / 2] > entry; at = (at - 1) / 2) w->heap[at] = w->heap[(at - 1) / 2];
  w->heap[at] = entry;
}

static uint64_t pop(gh_word *w) {
  uint64_t least = w->heap[0], last = w->heap[--w->count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < w->count; at = child) {
    child += child + 1 < w->count && w->heap[child + 1] < w->heap[child];
    if (w->heap[child] >= last) break;
    w->heap[at] = w->heap[child];
  }
  w->heap[at] = last;
  return least;
}

static void rank_pair(gh_word *w, uint32_t at) {
  gh_part *p = &w->parts[at];
  p->rank = p->next < w->size ? rank_of(w->bpe, p->id, w->parts[p->next].id) : NO_RANK;
  if (p->rank != NO_RANK) push(w, (uint64_t)p->rank << 32 | at);
}

/* Merges the leftmost pair of the lowest rank until no pair is left. */
static void merge_all(gh_word *w) {
  for (uint32_t i = 0; i < w->size; i++) rank_pair(w, i);
  while (w->count) {
    const uint64_t entry = pop(w);
    const uint32_t at = (uint32_t)entry;
    gh_part *p = &w->parts[at];
    if (p->rank != (int32_t)(entry >> 32)) continue;
    gh_part *merged = &w->parts[p->next];
    p->id = find_merge(w->bpe, p->id, merged->id)->id;
    p->next = merged->next;
    merged->rank = NO_RANK;
    if (p->next < w->size) w->parts[p->next].before = at;
    rank_pair(w, at);
    if (at) rank_pair(w, p->before);
  }
}

/* Merges the n tokens and adds what is left of them. */
static gh_status add_merged(gh_error *err, const gh_bpe *b, const int32_t *tokens, size_t n, gh_ids *ids) {
  if (n > UINT32_MAX / 2) return gh_fail(err, GH_ERROR_FORMAT, "a word of %zu tokens", n);
  gh_word w = {.bpe = b, .size = (uint32_t)n};
  w.parts = gh_alloc(err, n, sizeof *w.parts);
  w.heap = gh_alloc(err, 3 * n, sizeof *w.heap);
  gh_status status = w.parts && w.heap ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    for (uint32_t i = 0; i < w.size; i++)
      w.parts[i] = (gh_part){.id = tokens[i], .before = i ? i - 1 : 0, .next = i + 1};
    merge_all(&w);
    for (uint32_t i = 0; i < w.size && !status; i = w.parts[i].next) status = gh_ids_add(err, ids, w.parts[i].id);
  }
  free(w.parts);
  free(w.heap);
  return status;
}

gh_status gh_bpe_word(gh_error *err, const gh_bpe *b, const char *word, size_t size, gh_ids *ids) {
  gh_ids tokens = {0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < size && !status; i++)
    status = gh_ids_add(err, &tokens, b->bytes[i + 1 == size][(unsigned char)word[i]]);
  if (!status) status = add_merged(err, b, tokens.items, tokens.count, ids);
  gh_ids_free(&tokens);
  return status;
}

gh_status gh_bpe_characters(gh_error *err, const gh_bpe *b, const char *text, size_t size, gh_ids *ids) {
  gh_ids tokens = {0};
  gh_status status = GH_OK;
  for (size_t at = 0, end = 0; at < size && !status; at = end) {
    char one[8] = {0};
    gh_utf8_next(text, size, &end);
    memcpy(one, text + at, GH_MIN(end - at, sizeof one - 1));
    int32_t id = gh_bpe_find(b, one);
    if (id >= 0) status = gh_ids_add(err, &tokens, id);
    for (size_t i = at; id < 0 && i < end && !status; i++)
      status = gh_ids_add(err, &tokens, b->bytes[0][(unsigned char)text[i]]);
  }
  if (!status) status = add_merged(err, b, tokens.items, tokens.count, ids);
  gh_ids_free(&tokens);
  return status;
}
