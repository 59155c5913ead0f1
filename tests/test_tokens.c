/* The tokenizers: the fixture's difficult lines token for token, invalid files, and running out of memory. With
 * arguments FOLDER TOKENS NAME, compares the lines of TOKENS (written by make_tokens.py) with FOLDER's tokenizer. */
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tokens.h"

#include "base/file.h"
#include "base/random.h"
#include "encode/encode.h"
#include "io/csv.h"
#include "io/protobuf.h"
#include "io/spiece.h"
#include "io/tokenizer.h"
#include "io/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS  GH_FIXTURES "/tokens"
#define LONGEST TOKENS_LONGEST

/* Compares the lines of `from`. */
static int compare_lines(const char *model, const char *from, const char *name) {
  char *lines = check_path(from, "lines.txt"), *file = check_path(from, "expected.safetensors");
  tokens_expected e = tokens_load(lines, file, name);
  int wrong = tokens_compare(model, &e, 0, false);
  tokens_unload(&e);
  free(lines);
  free(file);
  return wrong;
}

static void clip_lines(void **state) {
  (void)state;
  assert_int_equal(compare_lines(TOKENS "/clip", TOKENS, "clip"), 0);
}

static void siglip_lines(void **state) {
  (void)state;
  assert_int_equal(compare_lines(TOKENS "/siglip", TOKENS, "siglip"), 0);
}

/* ---- the same model in a tokenizer.json, as written by transformers' converters ---- */

static void put_text(gh_buffer_text *to, const char *text) {
  gh_error err = {0};
  check_ok(gh_text_add(&err, to, text, strlen(text)));
}

/* A piece of the file: [text, score], escaped for JSON. */
static void put_piece(gh_buffer_text *to, gh_proto p) {
  gh_error err = {0};
  gh_proto_field f;
  bool more;
  float score = 0;
  char number[40];
  put_text(to, to->bytes[to->size - 1] == '[' ? "[\"" : ",[\"");
  while (!gh_proto_next(&err, &p, &f, &more) && more) {
    if (f.number == 2) score = gh_proto_float(&f);
    for (size_t i = 0; f.number == 1 && i < f.size; i++) {
      char c = (char)f.bytes[i];
      snprintf(number, sizeof number, strchr("\"\\", c) ? "\\%c" : (unsigned char)c < 32 ? "\\u%04x" : "%c", c);
      put_text(to, number);
    }
  }
  snprintf(number, sizeof number, "\",%.17g]", (double)score);
  put_text(to, number);
}

static void put_base64(gh_buffer_text *to, const unsigned char *bytes, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < size; i += 3) {
    uint32_t bits = (uint32_t)bytes[i] << 16;
    if (i + 1 < size) bits |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < size) bits |= bytes[i + 2];
    char four[5] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63], digits[bits & 63], 0};
    if (i + 2 >= size) four[3] = '=';
    if (i + 1 >= size) four[2] = '=';
    put_text(to, four);
  }
}

static void put_table(gh_buffer_text *to, gh_proto normalizer) {
  gh_error err = {0};
  gh_proto_field f;
  bool more;
  while (!gh_proto_next(&err, &normalizer, &f, &more) && more)
    if (f.number == 2) put_base64(to, f.bytes, f.size);
}

#define SPLITTING                                                                                                      \
  "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}"

static void write_json(const char *to) {
  gh_error err = {0};
  char *bytes = NULL;
  size_t size = 0;
  gh_buffer_text text = {0};
  gh_proto_field f;
  bool more;
  check_ok(gh_file_read(&err, TOKENS "/siglip/spiece.model", 1 << 28, &bytes, &size));
  put_text(&text,
           "{\"added_tokens\":[{\"id\":0,\"content\":\"<pad>\",\"special\":true},{\"id\":1,\"content\":\"</s>\","
           "\"special\":true},{\"id\":2,\"content\":\"<unk>\",\"special\":true}],\"model\":{\"type\":\"Unigram\","
           "\"unk_id\":2,\"byte_fallback\":false,\"vocab\":[");
  for (gh_proto p = gh_proto_open("model", bytes, size); !gh_proto_next(&err, &p, &f, &more) && more;)
    if (f.number == 1) put_piece(&text, gh_proto_open("piece", f.bytes, f.size));
  put_text(&text, "]},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\","
                  "\"precompiled_charsmap\":\"");
  for (gh_proto p = gh_proto_open("model", bytes, size); !gh_proto_next(&err, &p, &f, &more) && more;)
    if (f.number == 3) put_table(&text, gh_proto_open("normalizer", f.bytes, f.size));
  put_text(&text, "\"},{\"type\":\"Strip\"}]}," SPLITTING "}");
  check_write(to, text.bytes, text.size);
  gh_text_free(&text);
  free(bytes);
}

static void siglip_lines_of_json(void **state) {
  (void)state;
  gh_error err = {0};
  char *copy = check_path(scratch, "unigram"), *path = check_path(scratch, "unigram/tokenizer.json");
  check_ok(gh_folder_make(&err, copy));
  check_ok(gh_file_copy(&err, TOKENS "/siglip", copy, "tokenizer_config.json", true));
  write_json(path);
  assert_int_equal(compare_lines(copy, TOKENS, "siglip"), 0);
  static const struct {
    const char *text;
    gh_status status;
    const char *piece;
  } table[] = {
      {"{\"model\":{\"type\":\"Unigram\"}}", GH_ERROR_FORMAT, "tokenizer.json: "},
      {"{\"model\":{\"type\":\"Unigram\"}," SPLITTING "}", GH_ERROR_FORMAT, "model.vocab: not a list"},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]]}," SPLITTING "}", GH_ERROR_FORMAT, "no unknown piece"},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}," SPLITTING "}", GH_ERROR_FORMAT, "not pairs"},
      {"{\"model\":{\"type\":\"Unigram\",\"byte_fallback\":true}," SPLITTING "}", GH_ERROR_UNSUPPORTED,
       "byte_fallback"},
      {"{\"model\":{\"type\":\"Unigram\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}", GH_ERROR_UNSUPPORTED,
       "ByteLevel"},
      {"{\"model\":{\"type\":\"Unigram\"},\"normalizer\":{\"type\":\"NFD\"}," SPLITTING "}", GH_ERROR_UNSUPPORTED,
       "NFD"},
      {"{\"model\":{\"type\":\"Unigram\"},\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}"
       "," SPLITTING "}",
       GH_ERROR_FORMAT, "not base64"},
      {"{\"model\":{\"type\":\"WordPiece\"}}", GH_ERROR_UNSUPPORTED,
       "of type WordPiece is not supported, only CLIP's, SigLIP's, Gemma's"},
  };
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_tokenizer *t = NULL;
    check_write(path, table[i].text, strlen(table[i].text));
    check_fails(gh_tokenizer_open(&err, &t, copy), table[i].status, table[i].piece);
  }
  free(copy);
  free(path);
}

/* User-defined pieces, no trimming, no normalisation table. */
static void odd_lines(void **state) {
  (void)state;
  gh_error err = {0};
  char *bytes = NULL;
  size_t size = 0;
  gh_spiece *m = NULL;
  tokens_expected e = tokens_load(TOKENS "/lines.txt", TOKENS "/expected.safetensors", "odd");
  int wrong = 0;
  check_ok(gh_file_read(&err, TOKENS "/odd.model", (size_t)1 << 30, &bytes, &size));
  check_ok(gh_spiece_parse(&err, &m, "odd.model", bytes, size));
  for (size_t i = 0; i < e.lines.count && wrong < 20; i++) {
    gh_ids ids = {0};
    int64_t start = i ? e.ends[i - 1] : 0;
    check_ok(gh_spiece_encode(&err, m, e.lines.items[i], strlen(e.lines.items[i]), &ids));
    wrong += tokens_differ(i, e.lines.items[i], ids.items, (int64_t)ids.count, e.ids + start, e.ends[i] - start);
    gh_ids_free(&ids);
  }
  assert_int_equal(wrong, 0);
  gh_spiece_free(m);
  free(bytes);
  tokens_unload(&e);
}

/* The merge rule as documented: by texts, one scan of the whole word per merge. Returns how many parts are left. */
static int merge_by_text(char parts[][24], int n, const gh_csv *merges) {
  for (;;) {
    size_t best = SIZE_MAX;
    int place = 0;
    for (int i = 0; i + 1 < n; i++)
      for (size_t rank = 0; rank < GH_MIN(best, merges->count); rank++)
        if (!strcmp(merges->rows[rank].fields.items[0], parts[i]) &&
            !strcmp(merges->rows[rank].fields.items[1], parts[i + 1])) {
          best = rank;
          place = i;
        }
    if (best == SIZE_MAX) return n;
    char both[48];
    snprintf(both, sizeof both, "%s%s", parts[place], parts[place + 1]);
    assert_true(strlen(both) < sizeof *parts);
    memcpy(parts[place], both, sizeof *parts);
    memmove(parts[place + 1], parts[place + 2], (size_t)(n - place - 2) * sizeof *parts);
    n--;
  }
}

/* Long words of few letters, which merge in many places at once; and the longest line, a single word, finishes. */
static void long_words(void **state) {
  (void)state;
  enum { LETTERS = 150 };
  static const char *const alphabets[] = {"a", "ab", "the", "aeiou", "etaoinshrdlu", "redbluopntigsv"};
  gh_error err = {0};
  char *text = NULL;
  size_t size = 0;
  gh_json *vocabulary = NULL;
  gh_csv merges = {0};
  gh_strings lines = {0};
  gh_bpe *bpe = NULL;
  check_ok(gh_json_read_file(&err, &vocabulary, TOKENS "/clip/vocab.json", GH_JSON_MAX_BYTES));
  check_ok(gh_file_read(&err, TOKENS "/clip/merges.txt", 1 << 28, &text, &size));
  for (char *space = text; (space = strchr(space, ' '));) *space = '\t'; /* so that quotes are plain text */
  check_ok(gh_csv_parse(&err, &merges, "merges.txt", text, size, '\t'));
  for (size_t i = 1; i < merges.count; i++) { /* the first line is the version */
    char *pair = gh_format(&err, "%s %s", merges.rows[i].fields.items[0], merges.rows[i].fields.items[1]);
    check_ok(gh_strings_add(&err, &lines, pair));
    free(pair);
  }
  check_ok(gh_bpe_create(&err, &bpe, "clip", vocabulary, &lines, "<|endoftext|>"));
  gh_stream stream = gh_stream_make(3, 0, "letters", "");
  for (size_t a = 0; a < GH_COUNT(alphabets); a++) {
    static char parts[LETTERS][24];
    char word[LETTERS];
    float draws[LETTERS];
    gh_ids ids = {0};
    gh_stream_uniforms(stream, a, 0, LETTERS, draws);
    for (int i = 0; i < LETTERS; i++) {
      word[i] = alphabets[a][(size_t)(draws[i] * (float)strlen(alphabets[a]))];
      snprintf(parts[i], sizeof parts[i], "%c%s", word[i], i + 1 == LETTERS ? "</w>" : "");
    }
    check_ok(gh_bpe_word(&err, bpe, word, LETTERS, &ids));
    int n = merge_by_text(parts, LETTERS, &merges);
    assert_int_equal(ids.count, n);
    assert_true(a < 2 || n < LETTERS);
    for (int i = 0; i < n; i++) assert_int_equal(ids.items[i], gh_bpe_find(bpe, parts[i]));
    gh_ids_free(&ids);
  }
  char *longest = gh_alloc(&err, GH_LINE_MAX, 1);
  gh_ids ids = {0};
  for (size_t i = 0; i < GH_LINE_MAX; i++) longest[i] = "etaoinshrdlu"[i * i % 12];
  check_ok(gh_bpe_word(&err, bpe, longest, GH_LINE_MAX, &ids));
  assert_true(ids.count > 1000 && ids.count < GH_LINE_MAX);
  gh_ids_free(&ids);
  free(longest);
  gh_bpe_free(bpe);
  gh_strings_free(&lines);
  gh_csv_free(&merges);
  gh_json_free(vocabulary);
  free(text);
}

/* The text fixture's folder has the same tokenizer in both forms, and a truncated line. */
static void both_forms(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *want = NULL;
  gh_strings lines = {0};
  check_ok(gh_safetensors_open(&err, &want, GH_FIXTURES "/text/expected.safetensors"));
  check_ok(gh_lines_read(&err, &lines, GH_FIXTURES "/text/lines.txt"));
  const gh_st_tensor *t = gh_safetensors_find(want, "input_ids");
  static const char *const forms[2][2] = {{"tokenizer.json", NULL}, {"vocab.json", "merges.txt"}};
  for (int form = 0; form < 2; form++) {
    char *copy = check_path(scratch, form ? "pair" : "json");
    check_ok(gh_folder_make(&err, copy));
    for (int i = 0; i < 2 && forms[form][i]; i++)
      check_ok(gh_file_copy(&err, GH_FIXTURES "/text/clip", copy, forms[form][i], true));
    if (!form) { /* the pair beside tokenizer.json does not count, whatever it says */
      char *vocabulary = check_path(copy, "vocab.json"), *merges = check_path(copy, "merges.txt");
      check_write(vocabulary, "{}", 2);
      check_write(merges, "a b\n", 4);
      free(vocabulary);
      free(merges);
    }
    gh_tokenizer *tokenizer = NULL;
    check_ok(gh_tokenizer_open(&err, &tokenizer, copy));
    assert_int_equal(gh_tokenizer_max_length(tokenizer), 0);
    for (int64_t i = 0; i < t->shape[0]; i++) {
      int32_t ids[LONGEST];
      int64_t row[LONGEST];
      check_ok(gh_tokenizer_encode(&err, tokenizer, lines.items[i], t->shape[1], ids));
      check_ok(gh_st_read_i64(&err, t, i * t->shape[1], t->shape[1], row));
      assert_int_equal(tokens_differ((size_t)i, lines.items[i], ids, t->shape[1], row, t->shape[1]), 0);
    }
    gh_tokenizer_close(tokenizer);
    free(copy);
  }
  gh_strings_free(&lines);
  gh_safetensors_close(want);
}

static void invalid_files(void **state) {
  (void)state;
  static const struct {
    const char *name, *text;
    gh_status status;
    const char *piece;
  } table[] = {
      {"vocab.json", "{\"a\":0}", GH_ERROR_FILE, "no tokenizer"}, /* without merges */
      {"merges.txt", "a b\n", GH_ERROR_FORMAT, "not in the vocabulary"},
      {"vocab.json", "{\"a\":0,\"b\":1,\"ab\":2}", GH_ERROR_FORMAT, "no <|endoftext|>"},
      {"vocab.json", "{\"a\":0,\"b\":1,\"ab\":-2}", GH_ERROR_FORMAT, "not a token id"},
      {"vocab.json", "[]", GH_ERROR_FORMAT, "not an object"},
      {"merges.txt", "a  b\n", GH_ERROR_FORMAT, "not an object"},
      {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}", GH_ERROR_FORMAT,
       "tokenizer.json: "}, /* before the pair */
      {"spiece.model", "", GH_ERROR_FORMAT, "0 pieces"},
      {"spiece.model", "\x0a\x7f", GH_ERROR_FORMAT, "longer than its message"},
      {"spiece.model", "\x0a\x03\x0a\x01z", GH_ERROR_FORMAT, "no unknown piece"},
      {"spiece.model", "\x0a\x05\x0a\x01z\x18\x02\x12\x02\x18\x02", GH_ERROR_UNSUPPORTED, "kind 2"},
  };
  gh_error err = {0};
  char *broken = check_path(scratch, "broken");
  check_ok(gh_folder_make(&err, broken));
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    char *path = check_path(broken, table[i].name);
    gh_tokenizer *t = NULL;
    check_write(path, table[i].text, strlen(table[i].text));
    check_fails(gh_tokenizer_open(&err, &t, broken), table[i].status, table[i].piece);
    assert_null(t);
    free(path);
  }
  free(broken);
}

static void invalid_settings(void **state) {
  (void)state;
  static const struct {
    const char *settings;
    gh_status status;
    const char *piece;
  } table[] = {
      {"{\"model_max_length\":1}", GH_ERROR_FORMAT, "is invalid"},
      {"{\"model_max_length\":\"x\"}", GH_ERROR_FORMAT, "expected a number"},
      {"{\"pad_token\":7}", GH_ERROR_FORMAT, "expected a string"},
      {"{\"pad_token\":\"\"}", GH_ERROR_FORMAT, "pad_token: empty"},
      {"{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", GH_ERROR_FORMAT, "not a token id"},
      {"{\"added_tokens_decoder\":{\"9\":{\"content\":\"y\",\"single_word\":true}}}", GH_ERROR_UNSUPPORTED,
       "single_word"},
      {"{\"added_tokens_decoder\":{\"5\":{\"content\":\"<new>\"}}}", GH_ERROR_FORMAT,
       "the added token <new> has the id 5, which is another token's"},
      {"{\"added_tokens_decoder\":{\"90000\":{\"content\":\"<new>\"},\"090000\":{\"content\":\"<newer>\"}}}",
       GH_ERROR_FORMAT, "the added tokens <new> and <newer> have the same id, 90000"},
  };
  gh_error err = {0};
  char *copy = check_path(scratch, "settings"), *path = check_path(scratch, "settings/tokenizer_config.json");
  check_ok(gh_folder_make(&err, copy));
  check_ok(gh_tokenizer_copy(&err, TOKENS "/clip", copy));
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_tokenizer *t = NULL;
    check_write(path, table[i].settings, strlen(table[i].settings));
    check_fails(gh_tokenizer_open(&err, &t, copy), table[i].status, table[i].piece);
  }
  gh_tokenizer *t = NULL;
  int32_t ids[4];
  static const char bang[] = "{\"pad_token\":\"!\",\"model_max_length\":1e30}";
  check_write(path, bang, strlen(bang));
  check_ok(gh_tokenizer_open(&err, &t, copy));
  assert_int_equal(gh_tokenizer_max_length(t), 0);
  check_ok(gh_tokenizer_encode(&err, t, "", 4, ids));
  assert_int_equal(ids[2], ids[3]);
  assert_int_not_equal(ids[1], ids[2]); /* padded with a token other than the end mark */
  check_fails(gh_tokenizer_encode(&err, t, "\xc3", 4, ids), GH_ERROR_FORMAT, "not UTF-8");
  check_fails(gh_tokenizer_encode(&err, t, "a", 1, ids), GH_ERROR_ARGUMENT, "a line needs");
  gh_tokenizer_close(t);
  free(copy);
  free(path);
}

/* A general class of transformers reads the whole of tokenizer.json; CLIPTokenizer's own makes the rest itself. */
static void classes_of_the_file(void **state) {
  (void)state;
  static const char parts[] = "{\"normalizer\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}],\"pre_tokenizer\":"
                              "[{\"type\":\"Split\"},{\"type\":\"ByteLevel\"}],\"post_processor\":%s,%s";
  static const char model[] =
      "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"merges\":[\"a b\"],\"vocab\":"
      "{\"a\":0,\"b\":1,\"ab\":2,\"<|startoftext|>\":3,\"<|endoftext|>\":4}}}";
  gh_error err = {0};
  gh_tokenizer *t = NULL;
  char *folder = check_path(scratch, "classes");
  for (int whole = 0; whole < 2; whole++) {
    char *text = gh_format(&err, parts, whole ? "{\"type\":\"RobertaProcessing\"}" : "null", model);
    check_put(folder, "tokenizer.json", text);
    free(text);
    check_put(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"CLIPTokenizer\"}");
    check_ok(gh_tokenizer_open(&err, &t, folder));
    gh_tokenizer_close(t);
    check_put(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
    if (whole) check_ok(gh_tokenizer_open(&err, &t, folder));
    if (whole) gh_tokenizer_close(t);
    if (!whole)
      check_fails(gh_tokenizer_open(&err, &t, folder), GH_ERROR_UNSUPPORTED,
                  "the post_processor of tokenizer.json is not CLIP's");
  }
  free(folder);
}

static gh_status open_and_encode(gh_error *err, void *state) {
  gh_tokenizer *t = NULL;
  int32_t ids[16];
  gh_status status = gh_tokenizer_open(err, &t, state);
  if (!status) status = gh_tokenizer_encode(err, t, "A caf\xc3\xa9's </s> line", 16, ids);
  gh_tokenizer_close(t);
  return status;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  static const char vocabulary[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<|startoftext|>\":3,\"<|endoftext|>\":4}";
  gh_error err = {0};
  char *small = check_path(scratch, "small"), *names[2];
  check_ok(gh_folder_make(&err, small)); /* few tokens: every allocation is made to fail */
  names[0] = check_path(small, "vocab.json");
  names[1] = check_path(small, "merges.txt");
  check_write(names[0], vocabulary, strlen(vocabulary));
  check_write(names[1], "a b\n", 4);
  check_allocation_failures(open_and_encode, small);
  check_allocation_failures(open_and_encode, TOKENS "/siglip");
  free(names[0]);
  free(names[1]);
  free(small);
}

static const char *const *arguments;

static void given_lines(void **state) {
  (void)state;
  assert_int_equal(compare_lines(arguments[1], arguments[2], arguments[3]), 0);
}

int main(int count, char **given) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clip_lines),           cmocka_unit_test(siglip_lines),
      cmocka_unit_test(siglip_lines_of_json), cmocka_unit_test(odd_lines),
      cmocka_unit_test(long_words),           cmocka_unit_test(both_forms),
      cmocka_unit_test(invalid_files),        cmocka_unit_test(invalid_settings),
      cmocka_unit_test(classes_of_the_file),  cmocka_unit_test(every_allocation_may_fail),
  };
  const struct CMUnitTest by_hand[] = {cmocka_unit_test(given_lines)};
  arguments = (const char *const *)given;
  return count == 4 ? cmocka_run_group_tests(by_hand, NULL, NULL)
                    : cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
