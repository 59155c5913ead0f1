#include "report/report.h"
#include "base/build.h"
#include "base/file.h"
#include "report/pictures.h"

#include <stdlib.h>

/* What was trained: "clip-vit-large-patch14, encoder post-trained with LoRA (continuous denoiser)". */
static char *title_of(gh_error *err, const gh_report_data *d) {
  const char *clip = gh_report_text(d->config, "clip", ""), *kind = gh_report_kind(d);
  const bool lora = gh_json_type_of(gh_json_at(d->config, "stage2.lora")) == GH_JSON_OBJECT;
  const char *what = d->stages[1].count   ? lora ? "encoder post-trained with LoRA" : "encoder post-trained directly"
                     : d->stages[0].count ? "denoiser trained on the encoder's token"
                                          : "a run without updates";
  return gh_format(err, "%s%s%s%s%s%s", gh_path_name(clip), *clip ? ": " : "", what, *kind ? " (" : "", kind,
                   *kind ? " denoiser)" : "");
}

static void subtitle(gh_page *p, const gh_report_data *d) {
  const char *snapshot = gh_report_text(d->best, "snapshot", NULL);
  gh_page_add(p, "<p class=\"sub\">Run ");
  gh_page_text(p, gh_path_name(d->run));
  gh_page_add(p, ", started from ");
  gh_page_text(p, gh_report_text(d->config, "clip", "an unnamed model"));
  if (snapshot) {
    gh_page_add(p, ". Best snapshot: <b>");
    gh_page_text(p, snapshot);
    gh_page_add(p, "</b>, ");
    gh_page_text(p, gh_report_text(d->best, "score", ""));
    gh_page_add(p, " %.2f", gh_report_number(d->best, "value"));
  }
  gh_page_add(p, ".</p>\n");
}

/* Where the run comes from, and when its last update was: the page itself is the same whenever it is written. */
static void origin(gh_page *p, const gh_report_data *d) {
  static const struct {
    const char *key, *before;
  } parts[] = {{"version", "Trained by genhance "},
               {"commit", ", commit "},
               {"device", ", on "},
               {"device_name", ", "},
               {"driver", ", driver "},
               {"host", ", host "},
               {"configuration", ", configuration "}};
  const gh_json *made = gh_json_member(d->config, GH_MADE_BY);
  char when[GH_UTC_SIZE];
  if (!made) return;
  gh_page_add(p, "<p class=\"sub\">");
  for (size_t i = 0; i < GH_COUNT(parts); i++) {
    const char *text = gh_report_text(made, parts[i].key, NULL);
    if (!text) continue;
    gh_page_add(p, "%s", parts[i].before);
    gh_page_text(p, text);
  }
  gh_report_when(d, when);
  if (*when) gh_page_add(p, ". Last update: %s", when);
  gh_page_add(p, ".</p>\n");
}

static gh_status fill(gh_error *err, const gh_report_view *v, const gh_report_options *options) {
  gh_status status = GH_OK;
  char *title = title_of(err, v->data);
  if (!title) return GH_ERROR_MEMORY;
  gh_page_open(v->page, title);
  free(title);
  subtitle(v->page, v->data);
  origin(v->page, v->data);
  gh_report_summary(v);
  gh_report_evaluations(v);
  if (options->pictures) status = gh_report_pictures(err, v, options);
  gh_report_training(v);
  gh_report_cost(v);
  if (options->trace && !status) status = gh_report_profile(err, v, options->trace);
  gh_report_configuration(v);
  gh_page_close(v->page);
  return status;
}

gh_status gh_report_write(gh_error *err, const char *path, const gh_report_options *options, gh_json *result) {
  gh_report_data data = {0};
  gh_page page = {0};
  gh_strings sections = {0};
  const gh_report_view view = {.page = &page, .sections = &sections, .data = &data};
  gh_status status = gh_report_read(err, &data, options->run);
  if (!status) status = fill(err, &view, options);
  if (!status) status = gh_page_write(err, &page, path);
  if (!status) status = gh_json_put_strings(err, result, "sections", &sections);
  gh_strings_free(&sections);
  gh_page_free(&page);
  gh_report_data_free(&data);
  return status;
}
