/* The model card that an export writes: what it says, and that it leaves others' files alone. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define TINY GH_FIXTURES "/probe/tiny"

static gh_error err;

static char *make_run(void) {
  char *run = check_path(scratch, "run"), *clip = check_path(scratch, "base");
  static const char *const files[] = {"config.json", "preprocessor_config.json", "model.safetensors"};
  run_folder_config(run, TINY, "stage2-only.json");
  run_folder_copy(run, TINY "/adapter/adapter_config.json", "snapshots/stage2-00000005", "adapter_config.json");
  run_folder_copy(run, TINY "/adapter/adapter_model.safetensors", "snapshots/stage2-00000005",
                  "adapter_model.safetensors");
  check_ok(gh_folder_make(&err, clip));
  for (size_t i = 0; i < GH_COUNT(files); i++) check_ok(gh_file_copy(&err, TINY "/clip", clip, files[i], i != 1));
  check_put(run, "evaluations.jsonl",
            "{\"stage\":2,\"update\":0,\"scores\":{\"mmvp\":20,\"<b>|x\":1},\"intervals\":{\"mmvp\":{\"low\":14.1,"
            "\"high\":27.5}}}\n"
            "{\"stage\":2,\"update\":5,\"scores\":{\"mmvp\":31.9,\"<b>|x\":2},\"intervals\":{\"mmvp\":{\"low\":24.6,"
            "\"high\":40.1}}}\n{\"stage\":2,\"upd");
  free(clip);
  return run;
}

static char *export_card(const char *run, const char *format) {
  char *out = check_path(scratch, format), *base = check_path(scratch, "base"), *text = NULL;
  size_t size = 0;
  check_ok(compare_run(&err, "export", "--run", run, "--out", out, "--format", format, "--model", base, NULL));
  char *card = check_path(out, "README.md");
  check_ok(gh_file_read(&err, card, 1 << 20, &text, &size));
  free(card);
  free(base);
  free(out);
  return text;
}

static void has(const char *text, const char *const *pieces) {
  for (; *pieces; pieces++)
    if (!strstr(text, *pieces)) fail_msg("no \"%s\" in: %s", *pieces, text);
}

static void says(void **state) {
  (void)state;
  char *run = make_run(), *base = check_path(scratch, "base");
  char *text = export_card(run, "hf");
  assert_int_equal(strncmp(text, "---\nlicense: unknown\nbase_model: \"", 34), 0);
  has(text, (const char *const[]){"base_model_relation: finetune\n", "library_name: transformers\n", "\n# hf\n",
                                  "| mmvp | 20.0 (95 %: 14.1 to 27.5) | 31.9 (95 %: 24.6 to 40.1) |\n",
                                  "| _b__x | 1.0 | 2.0 |\n", "through LoRA of rank 4", "after update 5 of stage 2",
                                  "CLIPModel.from_pretrained", "fill in `license`", "- `images`\n",
                                  "arxiv.org/abs/2503.19480", NULL});
  assert_null(strstr(text, "<b>"));
  free(text);
  check_put(base, "README.md", "---\ntags: [x]\nlicense: apache-2.0 # of the weights\n---\nlicense: other\n");
  text = export_card(run, "peft");
  assert_int_equal(strncmp(text, "---\nlicense: apache-2.0\n", 24), 0);
  has(text, (const char *const[]){"base_model_relation: adapter\n", "library_name: peft\n", "PeftModel",
                                  "That of the base model: apache-2.0.", NULL});
  free(text);
  text = export_card(run, "vision");
  has(text, (const char *const[]){"CLIPVisionModel", "mm_vision_tower", NULL});
  free(text);
  free(base);
  free(run);
}

/* An export replaces its own card, not one that somebody wrote. */
static void replaces(void **state) {
  (void)state;
  char *run = make_run(), *out = check_path(scratch, "hf"), *log = check_path(run, "evaluations.jsonl");
  check_ok(gh_file_remove(&err, log));
  char *text = export_card(run, "hf");
  has(text, (const char *const[]){"This snapshot was not evaluated", NULL});
  free(text);
  check_put(out, "README.md", "mine\n");
  text = export_card(run, "hf");
  assert_string_equal(text, "mine\n");
  free(text);
  free(log);
  free(out);
  free(run);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(says), cmocka_unit_test(replaces)};
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
