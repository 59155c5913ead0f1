/* genhance eval retrieval: images from captions, and captions from images. */
#include "cli/eval.h"

#include <stdio.h>

static gh_status put(gh_error *err, gh_json *to, const gh_measure *m) {
  gh_named_share shares[GH_MEASURE_SHARES];
  size_t count = gh_measure_shares(m, shares);
  for (size_t i = 0; i < count; i++)
    if (gh_eval_put_share(err, to, shares[i].name, &shares[i].share)) return err->status;
  return gh_json_put_string(err, to, "interval", "95 %: image@k a bootstrap over images, text@k Wilson");
}

static gh_status put_ranks(gh_error *err, gh_json *to, const gh_measure *m) {
  gh_status status = gh_json_put_ints(err, to, "image_ranks", m->image_ranks, m->retrieval.captions.count);
  return status ? status : gh_json_put_ints(err, to, "text_ranks", m->text_ranks, m->retrieval.images.count);
}

static gh_status show(gh_error *err, const gh_measure *m) {
  gh_named_share shares[GH_MEASURE_SHARES];
  size_t count = gh_measure_shares(m, shares);
  gh_strings cells = {0};
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) status = gh_eval_row(err, &cells, shares[i].name, &shares[i].share);
  if (!status) {
    gh_print_table(gh_eval_heads, GH_EVAL_ALIGN, 4, &cells);
    printf("\n%zu images, %zu captions\n", m->retrieval.images.count, m->retrieval.captions.count);
  }
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_measure_spec spec = {.kind = GH_MEASURE_RETRIEVAL,
                                .data = gh_args_text(args, "data"),
                                .captions = gh_args_text(args, "captions"),
                                .split = gh_args_text(args, "split")};
  gh_measure m = {0};
  gh_status status = gh_eval_measure(err, args, &spec, &m);
  if (!status) status = gh_json_put_int(err, args->result, "captions", (int64_t)m.retrieval.captions.count);
  if (!status) status = put(err, args->result, &m);
  if (!status) status = put_ranks(err, args->result, &m);
  if (!status) status = show(err, &m);
  gh_measure_free(&m);
  return status;
}

static const gh_option options[] = {
    GH_EVAL_OPTIONS,
    {"captions", "FILE", GH_OPTION_TEXT,
     .help =
         "JSON list of {\"image\", \"captions\"}, COCO's captions or Karpathy's file (default DIR/captions.json, else "
         "DIR's only captions_*.json or dataset_*.json)"},
    {"split", "NAME", GH_OPTION_TEXT, .help = "of Karpathy's file: train, val, test, restval (default test)"},
    {0}};

const gh_command gh_command_eval_retrieval = {
    .name = "eval retrieval",
    .summary = "score retrieval of images and captions",
    .details =
        "image@k is the share of captions whose image is among the k nearest. text@k is the share of images that have "
        "one of their captions among the k nearest. Ties go to the entry that the file lists first. Captions of one "
        "image are not independent, so the 95 % interval of image@k is a bootstrap over images; that of text@k is "
        "Wilson's.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
