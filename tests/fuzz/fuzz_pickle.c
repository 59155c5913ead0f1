/* Pickles: whatever was read can be walked, and its texts are readable. */
#include <string.h>

#include "fuzz.h"
#include "io/torch_internal.h"

const char *const fuzz_words[] = {"\x80\x02",
                                  "\x80\x04\x95",
                                  "ctorch._utils\n_rebuild_tensor_v2\n",
                                  "ctorch\nFloatStorage\n",
                                  "ccollections\nOrderedDict\n",
                                  "cargparse\nNamespace\n",
                                  "cposix\nsystem\n",
                                  "X\x07\0\0\0storage",
                                  "\x8c\x05torch",
                                  "\x93\x94",
                                  "\x8a\x08",
                                  "\x8b\xff\xff\xff\x7f",
                                  "\x8d",
                                  "r\xff\xff\xff\x7f",
                                  "j\x01\0\0\0",
                                  "q\x01h\x01",
                                  "(l",
                                  "(d",
                                  "(t",
                                  "]a",
                                  "}(u",
                                  "\x8f(\x90",
                                  ")R",
                                  ")\x81}b",
                                  "I01\n",
                                  "L-5L\n",
                                  "F1.5\n",
                                  "S'a\\x41'\n",
                                  "V\\u00e9\n",
                                  "tQ.",
                                  NULL};

static unsigned sum;

static void walk(const gh_pickle_value *v, int level, int *left) {
  if (level > 12 || --*left < 0) return; /* values may contain themselves */
  FUZZ_CHECK(v->depth <= GH_PICKLE_MAX_DEPTH);
  switch (v->type) {
  case GH_PICKLE_TEXT:
  case GH_PICKLE_BYTES:
  case GH_PICKLE_LONG:
    for (size_t i = 0; i < v->as.text.size; i++) sum += (unsigned char)v->as.text.bytes[i];
    break;
  case GH_PICKLE_GLOBAL:
    FUZZ_CHECK(gh_pickle_global_of(v) && strchr(v->global_name, '.'));
    break;
  case GH_PICKLE_CALL:
    FUZZ_CHECK(v->callable->type == GH_PICKLE_GLOBAL && v->args->type == GH_PICKLE_TUPLE);
    walk(v->args, level + 1, left);
    if (v->state) walk(v->state, level + 1, left);
    break;
  case GH_PICKLE_PERSISTENT:
    walk(v->args, level + 1, left);
    break;
  default:
    break;
  }
  const bool list = v->type == GH_PICKLE_LIST || v->type == GH_PICKLE_TUPLE || v->type == GH_PICKLE_SET ||
                    v->type == GH_PICKLE_DICT || v->type == GH_PICKLE_CALL;
  FUZZ_CHECK(v->type != GH_PICKLE_DICT || v->as.list.count % 2 == 0);
  for (size_t i = 0; list && i < v->as.list.count; i++) walk(v->as.list.items[i], level + 1, left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_pickle *pickle = NULL;
  size_t used = 0;
  int left = 10000;
  const gh_status status = gh_pickle_read(&err, &pickle, "fuzz", data, size, gh_torch_globals, &used);
  FUZZ_CHECK(used <= size);
  if (status) {
    FUZZ_CHECK(err.text[0] && !pickle);
    return 0;
  }
  walk(gh_pickle_root(pickle), 0, &left);
  for (size_t i = 0; i < gh_pickle_persistent_count(pickle); i++) {
    torch_identity id;
    const gh_pickle_value *v = gh_pickle_persistent_at(pickle, i);
    FUZZ_CHECK(v->type == GH_PICKLE_PERSISTENT);
    if (!gh_torch_identify(&err, &id, v, "fuzz"))
      FUZZ_CHECK(id.view_at >= 0 && id.view_elements >= 0 && id.view_elements <= id.elements - id.view_at);
  }
  gh_pickle_free(pickle);
  return 0;
}
