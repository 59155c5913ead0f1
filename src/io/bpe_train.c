#include "io/bpe_train.h"

#include "base/array.h"
#include "base/file.h"
#include "io/bpe.h"
#include "io/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN "<|startoftext|>"
#define END   "<|endoftext|>"

enum { BYTES = 256, FIRST_MERGE = 2 * BYTES };

/* ---- a table of numbers by keys ---- */

typedef struct gh_entry {
  uint64_t key; /* 0: free */
  int64_t value;
} gh_entry;

typedef struct gh_table {
  gh_entry *entries;
  size_t used, capacity; /* a power of two */
} gh_table;

/* Murmur3's finaliser: every bit of the key counts. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}

static gh_entry *place_of(const gh_table *t, uint64_t key) {
  size_t at = (size_t)mix(key) & (t->capacity - 1);
  while (t->entries[at].key && t->entries[at].key != key) at = (at + 1) & (t->capacity - 1);
  return &t->entries[at];
}

static gh_status grow(gh_error *err, gh_table *t) {
  gh_table more = {.used = t->used, .capacity = t->capacity ? 2 * t->capacity : 4096};
  more.entries = gh_alloc(err, more.capacity, sizeof *more.entries);
  if (!more.entries) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < t->capacity; i++)
    if (t->entries[i].key) *place_of(&more, t->entries[i].key) = t->entries[i];
  free(t->entries);
  *t = more;
  return GH_OK;
}

/* The key's value, a new one being 0; valid until the next call. NULL after a failure. */
static int64_t *value_at(gh_error *err, gh_table *t, uint64_t key) {
  if (2 * t->used >= t->capacity && grow(err, t)) return NULL;
  gh_entry *e = place_of(t, key);
  if (!e->key) {
    e->key = key;
    t->used++;
  }
  return &e->value;
}

/* ---- the words ---- */

/* The words as a tree of their bytes: a node is a prefix, node 0 the empty one. */
typedef struct gh_prefix {
  uint32_t parent, length;
  unsigned char byte;
  int64_t count; /* of the words that end here */
} gh_prefix;

typedef struct gh_word_list {
  gh_table next; /* (node, byte) -> node */
  gh_prefix *nodes;
  size_t count, capacity;
} gh_word_list;

static gh_status add_node(gh_error *err, gh_word_list *w, uint32_t parent, unsigned char byte, int64_t *at) {
  if (w->count > UINT32_MAX - 1) return gh_fail(err, GH_ERROR_UNSUPPORTED, "too many different words");
  if (GH_ARRAY_RESERVE(err, w->nodes, w->capacity, w->count, 1)) return GH_ERROR_MEMORY;
  w->nodes[w->count] = (gh_prefix){parent, w->nodes[parent].length + 1, byte, 0};
  *at = (int64_t)w->count++;
  return GH_OK;
}

static gh_status count_word(gh_error *err, void *user, const char *word, size_t size) {
  gh_word_list *w = user;
  uint32_t node = 0;
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)word[i];
    int64_t *at = value_at(err, &w->next, ((uint64_t)node + 1) << 8 | byte);
    if (!at || (!*at && add_node(err, w, node, byte, at))) return err->status;
    node = (uint32_t)*at;
  }
  w->nodes[node].count++;
  return GH_OK;
}

static gh_status count_words(gh_error *err, gh_word_list *w, const gh_strings *lines) {
  if (GH_ARRAY_RESERVE(err, w->nodes, w->capacity, 0, 1)) return GH_ERROR_MEMORY;
  w->nodes[w->count++] = (gh_prefix){0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < lines->count && !status; i++) {
    const char *line = lines->items[i];
    if (!gh_utf8_valid(line, strlen(line)))
      status = gh_fail(err, GH_ERROR_FORMAT, "line %zu: not UTF-8", i + 1);
    else
      status = gh_words_of_line(err, line, strlen(line), count_word, w);
  }
  return status;
}

/* ---- merging ---- */

typedef struct gh_counted {
  int32_t *symbols; /* in gh_training.symbols */
  uint32_t length;
  int64_t count;
} gh_counted;

typedef struct gh_training {
  gh_counted *words;
  size_t word_count;
  int32_t *symbols;
  gh_table pairs; /* pair_key -> how often the pair occurs */
} gh_training;

static uint64_t pair_key(int32_t left, int32_t right) { return ((uint64_t)left << 32 | (uint64_t)right) + 1; }

/* The id of a byte within a word: in CLIP's order. */
static void number_bytes(int32_t ids[BYTES]) {
  int32_t next = 0;
  for (int printable = 1; printable >= 0; printable--)
    for (int byte = 0; byte < BYTES; byte++)
      if (gh_byte_is_printable(byte) == (printable == 1)) ids[byte] = next++;
}

static gh_status list_words(gh_error *err, gh_training *t, const gh_word_list *w) {
  int32_t ids[BYTES];
  size_t words = 0, bytes = 0;
  number_bytes(ids);
  for (size_t i = 1; i < w->count; i++)
    if (w->nodes[i].count) words++, bytes += w->nodes[i].length;
  t->words = gh_alloc(err, GH_MAX(words, (size_t)1), sizeof *t->words);
  int32_t *symbols = t->symbols = gh_alloc(err, GH_MAX(bytes, (size_t)1), sizeof *symbols);
  if (!t->words || !symbols) return GH_ERROR_MEMORY;
  for (size_t i = 1; i < w->count; i++) {
    const gh_prefix *node = &w->nodes[i];
    if (!node->count) continue;
    t->words[t->word_count++] = (gh_counted){symbols, node->length, node->count};
    for (const gh_prefix *at = node; at->length; at = &w->nodes[at->parent]) symbols[at->length - 1] = ids[at->byte];
    symbols[node->length - 1] += BYTES;
    symbols += node->length;
  }
  return GH_OK;
}

/* Adds the word's pairs, `times` of its count. */
static gh_status count_pairs(gh_error *err, gh_training *t, const gh_counted *word, int64_t times) {
  for (uint32_t i = 0; i + 1 < word->length; i++) {
    int64_t *count = value_at(err, &t->pairs, pair_key(word->symbols[i], word->symbols[i + 1]));
    if (!count) return GH_ERROR_MEMORY;
    *count += times * word->count;
  }
  return GH_OK;
}

static bool best_pair(const gh_training *t, int32_t *left, int32_t *right) {
  int64_t most = 1;
  uint64_t best = 0;
  for (size_t i = 0; i < t->pairs.capacity; i++) {
    const gh_entry *e = &t->pairs.entries[i];
    if (e->value > most || (best && e->value == most && e->key < best)) best = e->key, most = e->value;
  }
  if (!best) return false;
  *left = (int32_t)((best - 1) >> 32);
  *right = (int32_t)((best - 1) & UINT32_MAX);
  return true;
}

static bool has_pair(const gh_counted *word, int32_t left, int32_t right) {
  for (uint32_t i = 0; i + 1 < word->length; i++)
    if (word->symbols[i] == left && word->symbols[i + 1] == right) return true;
  return false;
}

static gh_status merge_in(gh_error *err, gh_training *t, gh_counted *word, int32_t left, int32_t right, int32_t id) {
  uint32_t kept = 0;
  gh_status status = count_pairs(err, t, word, -1);
  for (uint32_t i = 0; i < word->length; kept++) {
    bool here = word->symbols[i] == left && i + 1 < word->length && word->symbols[i + 1] == right;
    word->symbols[kept] = here ? id : word->symbols[i];
    i += here ? 2 : 1;
  }
  word->length = kept;
  return status ? status : count_pairs(err, t, word, 1);
}

static gh_status merge(gh_error *err, gh_training *t, int32_t left, int32_t right, int32_t id) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < t->word_count && !status; i++)
    if (has_pair(&t->words[i], left, right)) status = merge_in(err, t, &t->words[i], left, right, id);
  return status;
}

/* ---- the model ---- */

static gh_status name_bytes(gh_error *err, gh_strings *tokens) {
  gh_byte_text texts[BYTES];
  int32_t ids[BYTES], byte_of[BYTES];
  gh_status status = GH_OK;
  gh_bpe_byte_texts(texts);
  number_bytes(ids);
  for (int byte = 0; byte < BYTES; byte++) byte_of[ids[byte]] = byte;
  for (int i = 0; i < FIRST_MERGE && !status; i++) {
    char *text = gh_format(err, "%s%s", texts[byte_of[i % BYTES]].bytes, i < BYTES ? "" : GH_END_OF_WORD);
    status = text ? gh_strings_add(err, tokens, text) : GH_ERROR_MEMORY;
    free(text);
  }
  return status;
}

/* Two merges may give the same text, which then is one token. */
static gh_status name_merge(gh_error *err, gh_strings *tokens, gh_strings *merges, int32_t left, int32_t right,
                            int32_t *id) {
  char *pair = gh_format(err, "%s %s", tokens->items[left], tokens->items[right]);
  char *both = gh_format(err, "%s%s", tokens->items[left], tokens->items[right]);
  gh_status status = pair && both ? gh_strings_add(err, merges, pair) : GH_ERROR_MEMORY;
  size_t at = 0;
  while (!status && at < tokens->count && strcmp(tokens->items[at], both)) at++;
  if (!status && at == tokens->count) status = gh_strings_add(err, tokens, both);
  *id = (int32_t)at;
  free(pair);
  free(both);
  return status;
}

static gh_status number_tokens(gh_error *err, gh_bpe_model *m, gh_strings *tokens) {
  gh_status status = gh_strings_add(err, tokens, BEGIN);
  if (!status) status = gh_strings_add(err, tokens, END);
  if (!status && !(m->vocabulary = gh_json_object(err))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < tokens->count && !status; i++)
    status = gh_json_put_int(err, m->vocabulary, tokens->items[i], (int64_t)i);
  return status;
}

gh_status gh_bpe_train(gh_error *err, gh_bpe_model *out, const gh_strings *lines, int64_t size) {
  gh_word_list words = {0};
  gh_training t = {0};
  gh_strings tokens = {0};
  int32_t left = 0, right = 0, id = 0;
  *out = (gh_bpe_model){0};
  gh_status status = count_words(err, &words, lines);
  if (!status) status = list_words(err, &t, &words);
  for (size_t i = 0; i < t.word_count && !status; i++) status = count_pairs(err, &t, &t.words[i], 1);
  if (!status) status = name_bytes(err, &tokens);
  while (!status && (int64_t)tokens.count + 2 < size && best_pair(&t, &left, &right)) {
    status = name_merge(err, &tokens, &out->merges, left, right, &id);
    if (!status) status = merge(err, &t, left, right, id);
  }
  if (!status) status = number_tokens(err, out, &tokens);
  free(words.next.entries);
  free(words.nodes);
  free(t.words);
  free(t.symbols);
  free(t.pairs.entries);
  gh_strings_free(&tokens);
  return status;
}

void gh_bpe_model_free(gh_bpe_model *m) {
  gh_json_free(m->vocabulary);
  gh_strings_free(&m->merges);
  *m = (gh_bpe_model){0};
}

/* ---- files ---- */

static gh_status write_json(gh_error *err, const char *folder, const char *name, const gh_json *root) {
  char *path = gh_path_join(err, folder, name);
  gh_status status = path ? gh_json_write_file(err, path, root) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

static gh_status write_merges(gh_error *err, const gh_bpe_model *m, const char *folder) {
  gh_buffer_text text = {0};
  char *path = gh_path_join(err, folder, "merges.txt");
  static const char version[] = "#version: 0.2\n";
  gh_status status = path ? gh_text_add(err, &text, version, strlen(version)) : GH_ERROR_MEMORY;
  for (size_t i = 0; i < m->merges.count && !status; i++) {
    status = gh_text_add(err, &text, m->merges.items[i], strlen(m->merges.items[i]));
    if (!status) status = gh_text_add(err, &text, "\n", 1);
  }
  if (!status) status = gh_file_write(err, path, text.bytes, text.size);
  gh_text_free(&text);
  free(path);
  return status;
}

static gh_status put_marks(gh_error *err, gh_json *root) {
  static const char *const marks[][2] = {
      {"bos_token", BEGIN}, {"eos_token", END}, {"unk_token", END}, {"pad_token", END}};
  gh_status status = root ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < GH_COUNT(marks) && !status; i++)
    status = gh_json_put_string(err, root, marks[i][0], marks[i][1]);
  return status;
}

gh_status gh_bpe_model_write(gh_error *err, const gh_bpe_model *m, const char *folder, int64_t length) {
  gh_json *map = gh_json_object(err), *settings = gh_json_object(err);
  gh_status status = put_marks(err, map);
  if (!status) status = put_marks(err, settings);
  if (!status) status = gh_json_put_string(err, settings, "tokenizer_class", "CLIPTokenizer");
  if (!status) status = gh_json_put_int(err, settings, "model_max_length", length);
  if (!status) status = gh_json_put_bool(err, settings, "do_lower_case", true);
  if (!status) status = write_json(err, folder, "vocab.json", m->vocabulary);
  if (!status) status = write_merges(err, m, folder);
  if (!status) status = write_json(err, folder, "special_tokens_map.json", map);
  if (!status) status = write_json(err, folder, "tokenizer_config.json", settings);
  gh_json_free(map);
  gh_json_free(settings);
  return status;
}
