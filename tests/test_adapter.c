/* Training that goes on from an adapter of peft: what it starts from is what the adapter is, what it writes is what it
 * trained, whether it is stopped or not, and what it cannot train is refused. Patterns of names against Python's re. */
#include "support/compare.h"
#include "support/scratch.h"
#include "support/tiny_run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/pattern.h"
#include "encode/encode.h"
#include "method/models.h"
#include "models/adapter.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY     GH_FIXTURES "/probe/tiny"
#define ADAPTERS GH_FIXTURES "/probe/adapters"
#define STEADY   "stage2.optimizer.lr=1e-30" /* too small to change a float32 */

static gh_error err;

static void patterns(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *text;
    bool matches;
  } table[] = {{"abc", "abc", true},
               {"abc", "abcd", false},
               {"", "", true},
               {"a.c", "abc", true},
               {"a\\.c", "abc", false},
               {"a\\.c", "a.c", true},
               {"(.*\\.)?(fc1)$", "layers.0.mlp.fc1", true},
               {"(.*\\.)?(fc1)$", "layers.0.mlp.xfc1", false},
               {"(.*\\.)?(^fc1)$", "mlp.fc1", false},
               {"(.*\\.)?(^fc1)$", "fc1", true},
               {"layers\\.[0-2]\\..*", "layers.2.x", true},
               {"layers\\.[0-2]\\..*", "layers.3.x", false},
               {"[^a-c]+", "xyz", true},
               {"[^a-c]+", "xbz", false},
               {"[]x-]*", "]-x", true},
               {"[\\d.]+", "1.2", true},
               {"\\d+?", "12", true},
               {"\\d+", "", false},
               {"\\D\\w\\W\\S\\s", "aa-- ", true},
               {"(?:q|k|v_)?proj", "v_proj", true},
               {"(?:q|k|v_)?proj", "proj", true},
               {"(?:q|k|v_)?proj", "qkproj", false},
               {"(?:(a|b)*c)*", "abcbbcc", true},
               {"(?:(a|b)*c)*", "abcbb", false},
               {"(((((a*)*)*)*)*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
               {"^(?!.*text_model).*(q|v)_proj$", "vision_model.0.q_proj", true},
               {"^(?!.*text_model).*(q|v)_proj$", "text_model.0.q_proj", false},
               {"(?=.*c)ab.", "abc", true},
               {"(?=.*c)ab.", "abd", false},
               {"a||b", "", true}};
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    bool got = !table[i].matches;
    check_ok(gh_pattern_match(&err, table[i].pattern, table[i].text, &got));
    if (got != table[i].matches) fail_msg("%s against %s: %d", table[i].pattern, table[i].text, got);
  }
  static const char *const refused[] = {
      "(",     "a)", "(?<=a)", "(?P<n>a)", "\\1",      "\\b", "a{2}", "a**",  "*a",      "[a",
      "[b-a]", "[",  "\\",     "+",        "\xc3\xa9", "a*+", "(?",   "(?:a", "[a-\\d]", "((((((((((a))))))))))"};
  for (size_t i = 0; i < GH_COUNT(refused); i++) {
    bool got = true;
    check_fails(gh_pattern_match(&err, refused[i], "a", &got), GH_ERROR_UNSUPPORTED, "is not supported");
    assert_false(got);
  }
  char text[256] = "";
  memset(text, 'a', sizeof text - 1);
  bool got;
  check_fails(gh_pattern_match(&err, ".*", text, &got), GH_ERROR_UNSUPPORTED, "too long");
  text[191] = 0;
  check_ok(gh_pattern_match(&err, "a*", text, &got));
  assert_true(got);
}

/* ---- what a run writes ---- */

static char *latest(const tiny_run *run) {
  char *folder = gh_format(&err, "%s/snapshots/stage2-00000001", run->folder);
  assert_non_null(folder);
  return folder;
}

/* A run at a learning rate of nothing writes the adapter that it started from: tensors, ranks and scales. */
static void snapshots_keep_the_adapter(void **state) {
  (void)state;
  static const struct {
    const char *name, *rank, *alpha, *bias, *targets;
  } table[] = {{"rslora", "stage2.lora.rank=4", "stage2.lora.alpha=6", "stage2.lora.bias=none",
                "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\"]"},
               {"both", "stage2.lora.rank=2", "stage2.lora.alpha=3", "stage2.lora.bias=all",
                "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\",\"visual_projection\"]"},
               {"dora", "stage2.lora.rank=4", "stage2.lora.alpha=6", "stage2.lora.bias=lora_only",
                "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\",\"visual_projection\"]"},
               {"saved", "stage2.lora.rank=4", "stage2.lora.alpha=6", "stage2.lora.bias=none",
                "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\"]"},
               {"bare", "stage2.lora.rank=4", "stage2.lora.alpha=6", "stage2.lora.bias=none",
                "stage2.lora.targets=[\"q_proj\",\"fc1\"]"}};
  char *pictures = check_path(scratch, "pictures");
  tiny_pictures(pictures);
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    char *from = check_path(ADAPTERS, table[i].name), *start = gh_format(&err, "stage2.lora.adapter=%s", from);
    const char *const overrides[] = {"stage1.steps=0",
                                     "stage2.steps=1",
                                     "stage2.lora.dropout=0",
                                     STEADY,
                                     start,
                                     table[i].rank,
                                     table[i].alpha,
                                     table[i].bias,
                                     table[i].targets,
                                     "stage2.optimizer.weight_decay=0",
                                     NULL};
    tiny_run run = {0};
    tiny_train(&run, scratch, table[i].name, overrides);
    char *folder = latest(&run);
    gh_adapter got = {0}, want = {0};
    check_ok(gh_adapter_open(&err, &got, folder));
    check_ok(gh_adapter_open(&err, &want, from));
    assert_true(tiny_difference(got.file, want.file) == 0);
    assert_int_equal(got.layers.count, want.layers.count);
    assert_int_equal(got.rslora, want.rslora);
    assert_int_equal(got.dora, want.dora);
    assert_int_equal(got.modules.count, want.modules.count);
    for (size_t k = 0; k < want.modules.count; k++) assert_string_equal(got.modules.items[k], want.modules.items[k]);
    for (size_t k = 0; k < want.layers.count; k++) {
      const char *layer = want.layers.items[k];
      assert_int_equal(gh_adapter_rank(&got, layer), gh_adapter_rank(&want, layer));
      assert_true(gh_adapter_scale(&got, layer) == gh_adapter_scale(&want, layer));
      assert_true(gh_adapter_scale(&got, layer) > 0);
    }
    gh_adapter_close(&got);
    gh_adapter_close(&want);
    tiny_run_free(&run);
    free(folder);
    free(start);
    free(from);
  }
  free(pictures);
}

/* ---- DoRA and whole modules ---- */

typedef struct kind {
  const char *name, *adapter, *targets, *precision;
} kind;

/* Trains scratch/name, from the adapter; `stop`: until the first state. */
static void train_kind(const kind *k, const char *name, bool stop, bool resume, tiny_run *run) {
  char *pictures = check_path(scratch, "pictures"), *output = check_path(scratch, name);
  char *start = gh_format(&err, "stage2.lora.adapter=%s/%s", ADAPTERS, k->adapter);
  const char *const overrides[] = {"stage1.steps=0",
                                   "stage2.steps=4",
                                   "stage2.lora.dropout=0.2",
                                   start,
                                   k->precision,
                                   "stage2.lora.rank=4",
                                   "stage2.lora.alpha=6",
                                   k->targets,
                                   "stage2.optimizer.lr=0.001",
                                   "stage2.lora.bias=lora_only",
                                   NULL};
  gh_config config;
  gh_stage_report reports[2];
  const gh_train_options options = {.quiet = true, .resume = resume};
  tiny_config(&config, pictures, output, overrides);
  gh_stop_request(stop ? SIGTERM : 0);
  gh_status status = gh_train(&err, &config, &options, reports);
  gh_stop_request(0);
  if (status != (stop ? GH_ERROR_STOPPED : GH_OK)) fail_msg("%s, %s: %s", k->name, name, err.text);
  if (!stop) tiny_run_read(run, output);
  gh_config_free(&config);
  free(pictures);
  free(output);
  free(start);
}

/* What trains beside the factors has moved, and nothing is lost by stopping. */
static void resumes_to_the_same_bits(void **state) {
  (void)state;
  static const char all[] = "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\",\"visual_projection\"]",
                    inner[] = "stage2.lora.targets=[\"q_proj\",\"fc1\",\"fc2\"]";
  static const kind kinds[] = {{"dora", "dora", all, "precision=float32"},
                               {"dora, mixed", "dora", all, "precision=bfloat16"},
                               {"saved", "saved", inner, "precision=float32"},
                               {"saved, mixed", "saved", inner, "precision=bfloat16"}};
  char *pictures = check_path(scratch, "pictures");
  if (!gh_path_exists(pictures)) tiny_pictures(pictures);
  for (size_t i = 0; i < GH_COUNT(kinds); i++) {
    tiny_run whole = {0}, halves = {0};
    gh_name one = gh_name_make("whole-%zu", i), two = gh_name_make("halves-%zu", i);
    train_kind(&kinds[i], one.text, false, false, &whole);
    train_kind(&kinds[i], two.text, true, false, NULL);
    train_kind(&kinds[i], two.text, false, true, &halves);
    const tiny_stage *a = &whole.stage[1], *b = &halves.stage[1];
    assert_true(tiny_difference(a->adapter, b->adapter) == 0);
    assert_memory_equal(a->loss, b->loss, sizeof a->loss);
    char *from = check_path(ADAPTERS, kinds[i].adapter);
    gh_adapter start = {0};
    check_ok(gh_adapter_open(&err, &start, from));
    for (size_t k = 0; k < gh_safetensors_count(start.file); k++) {
      const gh_st_tensor *was = gh_safetensors_at(start.file, k), *is = gh_safetensors_find(a->adapter, was->name);
      if (!is) fail_msg("%s: %s is not written", kinds[i].name, was->name);
      assert_int_equal(is->bytes, was->bytes);
      if (!memcmp(is->data, was->data, was->bytes)) fail_msg("%s: %s does not train", kinds[i].name, was->name);
    }
    gh_adapter_close(&start);
    free(from);
    tiny_run_free(&whole);
    tiny_run_free(&halves);
  }
  free(pictures);
}

/* ---- what is refused ---- */

static void starts_that_cannot_be(void **state) {
  (void)state;
  static const struct {
    const char *adapter, *overrides[3];
    gh_status status;
    const char *text;
  } table[] = {
      {"only", {"stage2.lora.alpha=2"}, GH_ERROR_CONFIG, "the adapter's r is 5, but stage2.lora.rank is 4"},
      {"rslora", {"stage2.lora.rank=4"}, GH_ERROR_CONFIG, "the adapter's lora_alpha is 6, but stage2.lora.alpha is 4"},
      {"both",
       {"stage2.lora.rank=2", "stage2.lora.alpha=3"},
       GH_ERROR_CONFIG,
       "the adapter's bias is all, but stage2.lora.bias is lora_only"},
      {"only",
       {"stage2.lora.rank=5", "stage2.lora.alpha=2", "stage2.lora.bias=none"},
       GH_ERROR_CONFIG,
       "the adapter's bias is lora_only, but stage2.lora.bias is none"},
      {"only",
       {"stage2.lora.rank=5", "stage2.lora.alpha=2", "stage2.lora.targets=[\"q_proj\",\"visual_projection\"]"},
       GH_ERROR_CONFIG,
       "fc1, which stage2.lora.targets does not name"},
      {"only", {"stage2.lora.rank=5", "stage2.lora.alpha=2"}, GH_ERROR_CONFIG, "k_proj"},
      {"dora", {"stage2.lora.alpha=6"}, GH_ERROR_CONFIG, "k_proj"}};
  char *pictures = check_path(scratch, "pictures"), *output = check_path(scratch, "never");
  for (size_t i = 0; i < GH_COUNT(table); i++) {
    gh_config config;
    gh_stage_report reports[2];
    const gh_train_options options = {.quiet = true};
    char *start = gh_format(&err, "stage2.lora.adapter=%s/%s", ADAPTERS, table[i].adapter);
    const char *overrides[6] = {"stage1.steps=0", start};
    for (int k = 0; k < 3; k++) overrides[k + 2] = table[i].overrides[k];
    tiny_config(&config, pictures, output, overrides);
    check_fails(gh_train(&err, &config, &options, reports), table[i].status, table[i].text);
    assert_false(gh_path_exists(output));
    gh_config_free(&config);
    free(start);
  }
  free(pictures);
  free(output);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(patterns),
      cmocka_unit_test(snapshots_keep_the_adapter),
      cmocka_unit_test(resumes_to_the_same_bits),
      cmocka_unit_test(starts_that_cannot_be),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
