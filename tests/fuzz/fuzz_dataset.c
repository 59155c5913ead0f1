/* The lists of evaluations: captions, labels, classes, templates, questions, attributes. The first byte selects the
 * file that the rest becomes. */
#include <stdio.h>
#include <string.h>

#include "eval/attributes.h"
#include "eval/dataset.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"{\"image\":\"a.jpg\",\"captions\":[\"x\"]}",
                                  "{\"image\":\"b.jpg\",\"captions\":[\"y\",\"z\"]}",
                                  "\"file_name\":\"a.jpg\"",
                                  "\"image_id\":1",
                                  "\"images\":[{\"id\":1,",
                                  "\"annotations\":[",
                                  "\"sentences\":[{\"raw\":\"x\"}]",
                                  "\"split\":\"test\"",
                                  "a.jpg\tcat\n",
                                  "b.jpg\tdog\n",
                                  "cat\ta cat\n",
                                  "dog\ta dog\n",
                                  "a photo of a {}.\n",
                                  "{}{}",
                                  "1,Color,\"a, b\"\n",
                                  "2,Color,c\n",
                                  "id,type,statement\n",
                                  "image\tcolour\tturn\n",
                                  "a.jpg\tred\t\n",
                                  "../",
                                  "\t",
                                  "\xef\xbb\xbf",
                                  NULL};

static void put(const char *name) { fuzz_file(name, "x", 1); }

static void check_zeroshot(const gh_zeroshot_data *d) {
  FUZZ_CHECK(d->images.count > 0 && d->classes.count > 0 && d->templates.count > 0);
  FUZZ_CHECK(d->prompts.count == d->classes.count * d->templates.count);
  for (size_t i = 0; i < d->images.count; i++) FUZZ_CHECK(d->labels[i] >= 0 && (size_t)d->labels[i] < d->classes.count);
}

static void check_retrieval(const gh_retrieval_data *d) {
  FUZZ_CHECK(d->images.count > 0 && d->captions.count >= d->images.count);
  for (size_t i = 0; i < d->captions.count; i++) FUZZ_CHECK(d->owner[i] >= 0 && (size_t)d->owner[i] < d->images.count);
}

static void check_attributes(const gh_attribute_data *d) {
  FUZZ_CHECK(d->images.count > 0 && d->count > 0);
  for (size_t a = 0; a < d->count; a++)
    for (size_t i = 0; i < d->images.count; i++)
      FUZZ_CHECK(d->attributes[a].labels[i] < (int64_t)d->attributes[a].values.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"captions.json", "labels.tsv",    "classes.tsv",
                                      "templates.txt", "Questions.csv", "attributes.tsv"};
  gh_error err = {0};
  if (!size) return 0;
  const int which = data[0] % 6;
  put("a.jpg");
  put("cat/b.jpg");
  put("dog/c.png");
  put("MLLM_VLM Images/Color/1.jpg");
  put("MLLM_VLM Images/Color/2.jpg");
  fuzz_file(names[which], data + 1, size - 1);
  if (which == 0) {
    gh_retrieval_data d;
    if (!gh_retrieval_read(&err, &d, fuzz_folder(), NULL, NULL)) check_retrieval(&d), gh_retrieval_free(&d);
  } else if (which == 4) {
    gh_mmvp_data d;
    if (!gh_mmvp_read(&err, &d, fuzz_folder())) {
      FUZZ_CHECK(d.pairs > 0 && d.images.count == (size_t)d.pairs * 2);
      gh_mmvp_free(&d);
    }
  } else if (which == 5) {
    gh_attribute_data d;
    if (!gh_attributes_read(&err, &d, fuzz_folder())) check_attributes(&d);
    gh_attributes_free(&d);
  } else {
    gh_zeroshot_data d;
    const gh_zeroshot_options options = {.folder = fuzz_folder()};
    if (!gh_zeroshot_read(&err, &d, &options)) check_zeroshot(&d), gh_zeroshot_free(&d);
  }
  FUZZ_CHECK(!err.status || err.text[0]);
  fuzz_clear();
  return 0;
}
