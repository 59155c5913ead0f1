/* genhance eval mmvp: fine-grained perception, as in the paper's Table 1. */
#include "base/log.h"
#include "cli/eval.h"

#include <stdio.h>

static gh_status put_pairs(gh_error *err, gh_json *to, const gh_measure *m) {
  gh_json *list = gh_json_put_array(err, to, "pairs");
  for (int64_t p = 0; list && p < m->mmvp.pairs; p++) {
    const gh_mmvp_pair *pair = &m->pairs[p];
    gh_json *o = gh_json_put_object(err, list, NULL);
    if (!o || gh_json_put_string(err, o, "pattern", gh_mmvp_patterns[p / GH_MMVP_PAIRS_PER_PATTERN]) ||
        gh_json_put_string(err, o, "type", m->mmvp.types.items[2 * p]) ||
        gh_json_put_bool(err, o, "correct", pair->right[0] && pair->right[1]) ||
        gh_json_put_renamed(err, o, "correct", "right"))
      return err->status;
    gh_json *ids = gh_json_put_array(err, o, "ids"), *statements = gh_json_put_array(err, o, "statements");
    gh_json *shares = gh_json_put_array(err, o, "first_image_probability"),
            *right = gh_json_put_array(err, o, "statement_correct");
    for (int s = 0; ids && statements && shares && right && s < 2; s++)
      if (gh_json_put_int(err, ids, NULL, m->mmvp.ids[2 * p + s]) ||
          gh_json_put_string(err, statements, NULL, m->mmvp.statements.items[2 * p + s]) ||
          gh_json_put_double(err, shares, NULL, (double)pair->probability[s]) ||
          gh_json_put_bool(err, right, NULL, pair->right[s]))
        return err->status;
    if (!ids || !statements || !shares || !right ||
        gh_json_put_renamed(err, o, "first_image_probability", "first_image") ||
        gh_json_put_renamed(err, o, "statement_correct", "statement_right"))
      return err->status;
  }
  return list ? GH_OK : err->status;
}

static gh_status put(gh_error *err, gh_json *to, const gh_measure *m) {
  const gh_mmvp_score *score = &m->mmvp_score;
  gh_json *patterns = gh_json_put_object(err, to, "patterns");
  if (!patterns || gh_json_put_double(err, to, "average", 100 * score->average) ||
      gh_eval_put_share(err, to, "all", &score->all))
    return err->status;
  for (int i = 0; i < GH_MMVP_PATTERNS; i++)
    if (score->patterns[i].total && gh_eval_put_share(err, patterns, gh_mmvp_patterns[i], &score->patterns[i]))
      return err->status;
  if (gh_json_put_string(err, to, "interval", "Wilson, 95 %")) return err->status;
  return put_pairs(err, to, m);
}

static gh_status show(gh_error *err, const gh_mmvp_score *score) {
  gh_strings cells = {0};
  gh_status status = GH_OK;
  for (int i = 0; i < GH_MMVP_PATTERNS && !status; i++)
    if (score->patterns[i].total) status = gh_eval_row(err, &cells, gh_mmvp_patterns[i], &score->patterns[i]);
  if (!status) status = gh_eval_row(err, &cells, "all pairs", &score->all);
  if (!status) gh_print_table(gh_eval_heads, GH_EVAL_ALIGN, 4, &cells);
  if (!status) printf("\nMMVP-VLM average %.1f\n", 100 * score->average);
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_measure_spec spec = {.kind = GH_MEASURE_MMVP, .data = gh_args_text(args, "data")};
  gh_measure m = {0};
  gh_status status = gh_eval_measure(err, args, &spec, &m);
  if (!status && m.mmvp.pairs < GH_MMVP_PAIRS)
    gh_warn("%s: %lld pairs instead of MMVP-VLM's %d; each %d pairs in file order form a pattern", spec.data,
            (long long)m.mmvp.pairs, GH_MMVP_PAIRS, GH_MMVP_PAIRS_PER_PATTERN);
  if (!status) status = put(err, args->result, &m);
  if (!status) status = show(err, &m.mmvp_score);
  gh_measure_free(&m);
  return status;
}

static const gh_option options[] = {GH_EVAL_OPTIONS, {0}};

const gh_command gh_command_eval_mmvp = {
    .name = "eval mmvp",
    .summary = "score fine-grained perception on MMVP-VLM",
    .details = "Scores the nine patterns and their average. DIR is the benchmark's folder as published: Questions.csv "
               "and \"MLLM_VLM Images\". Two rows form a pair, "
               "15 pairs form a pattern. A pair is correct if each statement picks its own image of the two; a tie "
               "picks the second image. Intervals are Wilson's, 95 %. --json lists every pair.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
