/* genhance eval zeroshot: classification by class names. */
#include "cli/eval.h"

#include <stdio.h>

static gh_status put_images(gh_error *err, gh_json *to, const gh_measure *m) {
  const gh_zeroshot_data *d = &m->zeroshot;
  gh_json *list = gh_json_put_array(err, to, "results");
  for (size_t i = 0; list && i < d->images.count; i++) {
    gh_json *o = gh_json_put_object(err, list, NULL);
    if (!o || gh_eval_put_text(err, o, "image", d->images.items[i]) ||
        gh_eval_put_text(err, o, "class", d->classes.items[d->labels[i]]) ||
        gh_eval_put_text(err, o, "predicted", d->classes.items[m->predicted[i]]) ||
        gh_json_put_int(err, o, "rank", m->ranks[i]))
      return err->status;
  }
  return list ? GH_OK : err->status;
}

static gh_status put(gh_error *err, gh_json *to, const gh_measure *m) {
  if (gh_json_put_int(err, to, "classes", (int64_t)m->zeroshot.classes.count) ||
      gh_json_put_int(err, to, "templates", (int64_t)m->zeroshot.templates.count) ||
      gh_eval_put_share(err, to, "top1", &m->zeroshot_score.top1) ||
      gh_eval_put_share(err, to, "top5", &m->zeroshot_score.top5) ||
      gh_json_put_string(err, to, "interval", "Wilson, 95 %"))
    return err->status;
  return put_images(err, to, m);
}

static gh_status show(gh_error *err, const gh_measure *m) {
  gh_strings cells = {0};
  gh_status status = gh_eval_row(err, &cells, "top-1", &m->zeroshot_score.top1);
  if (!status) status = gh_eval_row(err, &cells, "top-5", &m->zeroshot_score.top5);
  if (!status) {
    gh_print_table(gh_eval_heads, GH_EVAL_ALIGN, 4, &cells);
    printf("\n%zu images, %zu classes, %zu template%s\n", m->zeroshot.images.count, m->zeroshot.classes.count,
           m->zeroshot.templates.count, m->zeroshot.templates.count == 1 ? "" : "s");
  }
  gh_strings_free(&cells);
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  const gh_measure_spec spec = {.kind = GH_MEASURE_ZEROSHOT,
                                .data = gh_args_text(args, "data"),
                                .labels = gh_args_text(args, "labels"),
                                .classes = gh_args_text(args, "classes"),
                                .templates = gh_args_text(args, "templates")};
  gh_measure m = {0};
  gh_status status = gh_eval_measure(err, args, &spec, &m);
  if (!status) status = put(err, args->result, &m);
  if (!status) status = show(err, &m);
  gh_measure_free(&m);
  return status;
}

static const gh_option options[] = {
    GH_EVAL_OPTIONS,
    {"templates", "FILE", GH_OPTION_TEXT,
     .help = "one template per line, {} for the class (default DIR/templates.txt, else \"a photo of a {}.\")"},
    {"labels", "FILE", GH_OPTION_TEXT,
     .help =
         "lines IMAGE<tab>CLASS, or ImageNet's LOC_val_solution.csv, val.txt or ground truth (default DIR/labels.tsv, "
         "LOC_val_solution.csv or ILSVRC2012_validation_ground_truth.txt, else one folder per class)"},
    {"classes", "FILE", GH_OPTION_TEXT,
     .help = "lines CLASS<tab>NAME: all candidates, with the name to put into templates; or ImageNet's "
             "map_clsloc.txt, LOC_synset_mapping.txt or synset_words.txt (default the first of them in DIR, else the "
             "images' "
             "classes)"},
    {0}};

const gh_command gh_command_eval_zeroshot = {
    .name = "eval zeroshot",
    .summary = "score zero-shot classification: top-1 and top-5",
    .details =
        "The embedding of a class is the normalised mean of its templates' normalised embeddings. An image belongs to "
        "the nearest class; a tie goes to the class that comes first in bytewise order. Intervals are Wilson's, 95 %.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
