/* Captions of pictures: a text or a JSON object beside a picture, in a folder or in a shard. A caption is UTF-8. */
#include <string.h>

#include "base/text.h"
#include "data/captions.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"\"caption\":", "{\"caption\": \"a cat\"}",
                                  "\xef\xbb\xbf", "\xff\xfe",
                                  "\n",           "a.json",
                                  "a.txt",        "a.jpg",
                                  "ustar",        NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"set/a.txt", "set/a.json", "s.tar"};
  static const char *const sources[] = {"/fuzz/set", "/fuzz/set", "/fuzz/s.tar"};
  gh_error err = {0};
  gh_image_set *set = NULL;
  gh_strings captions = {0};
  if (!size) return 0;
  const size_t which = data[0] % 3;
  fuzz_file("set/a.jpg", "", 0); /* nothing decodes it */
  fuzz_file(names[which], data + 1, size - 1);
  if (!gh_image_set_open(&err, &set, "images", &sources[which], 1) && !gh_captions_read(&err, &captions, set)) {
    FUZZ_CHECK(captions.count && captions.count == gh_image_set_count(set));
    for (size_t i = 0; i < captions.count; i++) FUZZ_CHECK(gh_utf8_valid(captions.items[i], strlen(captions.items[i])));
  } else {
    FUZZ_CHECK(err.text[0]);
  }
  gh_strings_free(&captions);
  gh_image_set_free(set);
  fuzz_clear();
  return 0;
}
