#include "io/bpe.h"

#include <stdlib.h>
#include <string.h>

#define END_OF_WORD "</w>"
#define NO_RANK     INT32_MAX

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
  int32_t bytes[2][256]; /* a byte's token: within a word, at its end */
};

/* ---- ids ---- */

gh_status gh_ids_add(gh_error *err, gh_ids *ids, int32_t id) {
  if (ids->count == ids->capacity) {
    size_t capacity = GH_MAX(2 * ids->capacity, (size_t)64);
    int32_t *larger = gh_alloc(err, capacity, sizeof *larger);
    if (!larger) return GH_ERROR_MEMORY;
    if (ids->count) memcpy(larger, ids->items, ids->count * sizeof *larger);
    free(ids->items);
    ids->items = larger;
    ids->capacity = capacity;
  }
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

/* Of a pair that is listed twice the last rank counts: it goes in front. */
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

static gh_status read_vocabulary(gh_error *err, gh_bpe *b, const char *name, const gh_json *vocabulary) {
  if (gh_json_type_of(vocabulary) != GH_JSON_OBJECT || !gh_json_count(vocabulary))
    return gh_fail(err, GH_ERROR_FORMAT, "%s: the vocabulary is no object of tokens", name);
  b->tokens = gh_alloc(err, gh_json_count(vocabulary), sizeof *b->tokens);
  if (!b->tokens) return GH_ERROR_MEMORY;
  for (const gh_json *item = gh_json_first(vocabulary); item; item = gh_json_next(item)) {
    int64_t id;
    if (gh_json_to_int(err, item, gh_json_key(item), &id)) return gh_fail_in(err, "%s", name), err->status;
    if (id < 0 || id > 1 << 24)
      return gh_fail(err, GH_ERROR_FORMAT, "%s: %.40s: %lld is no token's number", name, gh_json_key(item),
                     (long long)id);
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
    return gh_fail(err, GH_ERROR_FORMAT, "%s: merge %d \"%.40s\" is no pair", name, rank + 1, text);
  char *left = gh_format(err, "%.*s", (int)(space - text), text);
  char *both = gh_format(err, "%.*s%s", (int)(space - text), text, space + 1);
  gh_status status = left && both ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    int32_t x = gh_bpe_find(b, left), y = gh_bpe_find(b, space + 1), id = gh_bpe_find(b, both);
    if (x < 0 || y < 0 || id < 0)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: merge %d \"%.40s\" is not of the vocabulary", name, rank + 1, text);
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

/* Bytes are written as printable characters: their own where they have one, otherwise the next from 256 on. */
static void spell_bytes(gh_bpe *b, int32_t unknown) {
  int32_t next = 256;
  for (int32_t byte = 0; byte < 256; byte++) {
    bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    int32_t point = printable ? byte : next++;
    char text[8] = {(char)point};
    if (point >= 0x80) text[0] = (char)(0xC0 | point >> 6), text[1] = (char)(0x80 | (point & 0x3F));
    for (int last = 0; last < 2; last++) {
      if (last) strcat(text, END_OF_WORD);
      int32_t id = gh_bpe_find(b, text);
      b->bytes[last][byte] = id < 0 ? unknown : id;
    }
  }
}

gh_status gh_bpe_create(gh_error *err, gh_bpe **out, const char *name, const gh_json *vocabulary,
                        const gh_strings *merges, const char *unknown) {
  gh_bpe *b = *out = gh_alloc(err, 1, sizeof *b);
  if (!b) return GH_ERROR_MEMORY;
  gh_status status = read_vocabulary(err, b, name, vocabulary);
  if (!status) status = read_merges(err, b, name, merges);
  int32_t id = status ? 0 : gh_bpe_find(b, unknown);
  if (id < 0) status = gh_fail(err, GH_ERROR_FORMAT, "%s: the vocabulary has no %s", name, unknown);
  if (!status) {
    spell_bytes(b, id);
    return GH_OK;
  }
  gh_bpe_free(b);
  *out = NULL;
  return status;
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

/* The pair of lowest rank is merged, the leftmost of equals, until none is left. ranks[i] is that of parts i, i + 1. */
static size_t merge_all(const gh_bpe *b, int32_t *parts, int32_t *ranks, size_t n) {
  for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(b, parts[i], parts[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == NO_RANK) break;
    parts[best] = find_merge(b, parts[best], parts[best + 1])->id;
    memmove(parts + best + 1, parts + best + 2, (n - best - 2) * sizeof *parts);
    memmove(ranks + best, ranks + best + 1, (n - best - 2) * sizeof *ranks);
    n--;
    if (best + 1 < n) ranks[best] = rank_of(b, parts[best], parts[best + 1]);
    if (best) ranks[best - 1] = rank_of(b, parts[best - 1], parts[best]);
  }
  return n;
}

gh_status gh_bpe_word(gh_error *err, const gh_bpe *b, const char *word, size_t size, gh_ids *ids) {
  int32_t *parts = gh_alloc(err, 2 * size, sizeof *parts);
  gh_status status = parts ? GH_OK : GH_ERROR_MEMORY;
  if (!status) {
    for (size_t i = 0; i < size; i++) parts[i] = b->bytes[i + 1 == size][(unsigned char)word[i]];
    size_t n = merge_all(b, parts, parts + size, size);
    for (size_t i = 0; i < n && !status; i++) status = gh_ids_add(err, ids, parts[i]);
  }
  free(parts);
  return status;
}
