/* The files of a tokenizer, and a line to tokenize. The first byte selects the file that the rest replaces; the line is
 * the end of the input. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fuzz.h"
#include "io/tokenizer.h"

const char *const fuzz_words[] = {
    "\"model\":{",
    "\"type\":\"BPE\"",
    "\"end_of_word_suffix\":\"</w>\"",
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"<|endoftext|>\":4}",
    "\"byte_fallback\":true",
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}]}",
    "\"additional_special_tokens\":[\"dog\",{\"content\":\"cat\"}]",
    "\"padding_side\":\"left\"",
    "\"type\":\"Unigram\"",
    "\"unk_id\":2",
    "\"vocab\":[[\"<unk>\",0],[\"a\",-1.5]]",
    "\"pre_tokenizer\":{\"type\":\"Metaspace\"}",
    "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAABhAA==\"}",
    "\"merges\":[\"a b\",[\"ab\",\"a\"]]",
    "\"added_tokens\":[{\"id\":5,\"content\":\"dog\",\"lstrip\":true,\"normalized\":true}]",
    "\"added_tokens_decoder\":{\"1\":{\"content\":\"</s>\",\"rstrip\":true}}",
    "{\"dog\":5,\"photo of\":6}",
    "\"model_max_length\":16",
    "\"pad_token\":\"!\"",
    "\"legacy\":false",
    "\"do_lower_case\":false",
    "<|startoftext|>",
    "<|endoftext|>",
    "</s>",
    "<unk>",
    "\xe2\x96\x81",
    "\x0a\x05\x0a\x01z\x18\x02",
    "\x12\x02\x18\x01",
    "\x18\x06",
    "a b\n",
    NULL};

enum { LENGTH = 24, LINE = 48 };

static void open_and_cut(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_tokenizer *t = NULL;
  char line[LINE + 1] = {0};
  int32_t ids[LENGTH];
  if (gh_tokenizer_open(&err, &t, fuzz_folder())) return;
  size_t n = size < LINE ? size : LINE;
  memcpy(line, data + size - n, n);
  FUZZ_CHECK(gh_tokenizer_vocabulary(t) > 0);
  for (int fixed = 0; fixed < 2; fixed++) {
    const char *text = fixed ? " A photo\tof caf\xc3\xa9's </s> \xce\x91\xce\xa3 \xf0\x9f\x90\xb6<unk>ab12" : line;
    if (gh_tokenizer_encode(&err, t, text, LENGTH, ids)) {
      FUZZ_CHECK(!gh_utf8_valid(text, strlen(text)) || err.status == GH_ERROR_FORMAT);
      continue;
    }
    for (int i = 0; i < LENGTH; i++) FUZZ_CHECK(ids[i] >= 0 && ids[i] < gh_tokenizer_vocabulary(t));
  }
  gh_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char vocabulary[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<|startoftext|>\":3,\"<|endoftext|>\":4}",
                    merges[] = "a b\n";
  static const char *const names[] = {"tokenizer.json",        "vocab.json",   "merges.txt",
                                      "tokenizer_config.json", "spiece.model", "special_tokens_map.json",
                                      "added_tokens.json"};
  if (!size) return 0;
  const char *name = names[data[0] % (sizeof names / sizeof *names)];
  bool pair = strcmp(name, "spiece.model") && strcmp(name, "tokenizer.json");
  if (pair) fuzz_file("vocab.json", vocabulary, strlen(vocabulary));
  if (pair) fuzz_file("merges.txt", merges, strlen(merges));
  fuzz_file(name, data + 1, size - 1);
  open_and_cut(data + 1, size - 1);
  fuzz_clear();
  return 0;
}
