/* "evaluate" and "guard" of a configuration, as the members of one object. */
#include <string.h>

#include "fuzz.h"
#include "train/evaluate_config.h"

const char *const fuzz_words[] = {"\"evaluate\":[",
                                  "\"guard\":{",
                                  "{\"kind\":\"mmvp\",\"data\":\"a\"}",
                                  "{\"kind\":\"zeroshot\",\"data\":\"a\",\"name\":\"b\"}",
                                  "{\"kind\":\"retrieval\",\"data\":\"a\",\"batch\":4}",
                                  "\"labels\":\"a\"",
                                  "\"classes\":\"a\"",
                                  "\"templates\":\"a\"",
                                  "\"captions\":\"a\"",
                                  "\"watch\":\"zeroshot.top1\"",
                                  "\"best\":\"mmvp\"",
                                  "\"points\":0.5",
                                  "\"action\":\"stop\"",
                                  "\"action\":\"mark\"",
                                  "null",
                                  NULL};

static void check(const gh_evaluate_plan *plan) {
  FUZZ_CHECK(plan->count >= 0 && plan->count <= GH_MAX_MEASURES);
  FUZZ_CHECK(plan->score_count >= plan->count && plan->score_count <= GH_MAX_SCORES);
  for (int i = 0; i < plan->score_count; i++)
    for (int k = 0; k < i; k++) FUZZ_CHECK(plan->scores[i][0] && strcmp(plan->scores[i], plan->scores[k]) != 0);
  if (!plan->count) return;
  FUZZ_CHECK(plan->watch >= 0 && plan->watch < plan->score_count && plan->best >= 0 && plan->best < plan->score_count);
  FUZZ_CHECK(plan->points >= 0 && plan->points <= 100 && plan->batch >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_json *root = NULL, *evaluate, *guard;
  gh_evaluate_plan plan;
  if (gh_json_parse(&err, &root, "fuzz", (const char *)data, size, GH_JSON_MAX_BYTES)) return 0;
  evaluate = (gh_json *)gh_json_member(root, "evaluate");
  guard = (gh_json *)gh_json_member(root, "guard");
  if (gh_json_type_of(evaluate) != GH_JSON_ARRAY) evaluate = NULL; /* the table of keys refuses other types */
  if (gh_json_type_of(guard) != GH_JSON_OBJECT) guard = NULL;
  const gh_config config = {.evaluate = evaluate, .guard = guard};
  if (gh_evaluate_plan_read(&err, &plan, &config))
    FUZZ_CHECK(err.status == GH_ERROR_CONFIG && err.text[0]);
  else
    check(&plan);
  gh_json_free(root);
  return 0;
}
