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
  char *text = calloc(size + 1, 1);
  FUZZ_CHECK(text);
  memcpy(text, data, size);
  gh_utf8_valid((const char *)data, size);
  if (gh_braces_expand(&err, &paths, text))
    FUZZ_CHECK(err.text[0]);
  else
    FUZZ_CHECK(paths.count >= 1 && paths.count <= GH_BRACES_MAX);
  gh_strings_free(&paths);
  if (gh_path_stays_inside(text)) FUZZ_CHECK(text[0] && text[0] != '/' && !strchr(text, '\\') && !climbs(text));
  gh_nearest(text, keys, sizeof keys / sizeof *keys);
  FUZZ_CHECK(gh_edit_distance(text, text) == 0);
  free(text);
  return 0;
}
