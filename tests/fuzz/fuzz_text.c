/* User-written text: brace patterns, file names, misspelt words. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "data/braces.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"{00000..00331}",
                                  "{0..9}",
                                  "{a,b}",
                                  "{",
                                  "}",
                                  "..",
                                  ",",
                                  "{,}",
                                  "{1..}",
                                  "{9..1}",
                                  "{18446744073709551615..18446744073709551616}",

                                  "../",
                                  "//",
                                  "\\",
                                  ".tar",
                                  NULL};

enum { MOST_ALLOCATIONS = 64, LONGEST_WORD = 24 };

/* Whether a component between slashes is "..". */
static bool climbs(const char *path) {
  for (const char *part = path; part; part = (part = strchr(part, '/')) ? part + 1 : NULL)
    if (part[0] == '.' && part[1] == '.' && (!part[2] || part[2] == '/')) return true;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const keys[] = {"stage1", "optimizer", "seed", "latent_cache"};
  gh_error err = {0};
  gh_strings paths = {0};
  char *text = calloc(size + LONGEST_WORD + 1, 1);
  FUZZ_CHECK(text);
  memcpy(text, data, size);
  gh_alloc_fail_after(MOST_ALLOCATIONS); /* long expansions take most of the time, and find nothing new */
  if (gh_braces_expand(&err, &paths, text))
    FUZZ_CHECK(err.text[0]);
  else
    FUZZ_CHECK(paths.count >= 1 && paths.count <= GH_BRACES_MAX);
  gh_alloc_fail_after(0);
  gh_strings_free(&paths);
  if (gh_path_stays_inside(text)) FUZZ_CHECK(text[0] && text[0] != '/' && !strchr(text, '\\') && !climbs(text));
  gh_text_show(text);
  FUZZ_CHECK(gh_utf8_valid(text, strlen(text)));
  if (size > LONGEST_WORD) text[LONGEST_WORD] = 0;
  gh_nearest(text, keys, sizeof keys / sizeof *keys);
  FUZZ_CHECK(gh_edit_distance(text, text) == 0);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    FUZZ_CHECK(gh_edit_bound(text, keys[i]) <= gh_edit_distance(text, keys[i]));
  free(text);
  return 0;
}
