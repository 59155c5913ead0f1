#include "report/report.h"
#include "base/file.h"
#include "report/pictures.h"

#include <stdlib.h>

static void subtitle(gh_page *p, const gh_report_data *d) {
  gh_error ignored;
  const char *clip = "", *snapshot = NULL, *score = "";
  double value = 0;
  gh_json_opt_string(&ignored, d->config, "clip", &clip);
  gh_json_opt_string(&ignored, d->best, "snapshot", &snapshot);
  gh_json_opt_string(&ignored, d->best, "score", &score);
  gh_json_opt_double(&ignored, d->best, "value", &value);
  gh_page_add(p, "<p class=\"sub\">Post-training of <b>");
  gh_page_text(p, clip);
  gh_page_add(p, "</b>");
  if (snapshot) {
    gh_page_add(p, ". Best snapshot: <b>");
    gh_page_text(p, snapshot);
    gh_page_add(p, "</b>, ");
    gh_page_text(p, score);
    gh_page_add(p, " %.2f", value);
  }
  gh_page_add(p, "</p>\n");
}

static gh_status fill(gh_error *err, const gh_report_view *v, const gh_report_options *options) {
  gh_status status = GH_OK;
  gh_page_open(v->page, gh_path_name(options->run));
  subtitle(v->page, v->data);
  gh_report_summary(v);
  gh_report_evaluations(v);
  if (options->pictures) status = gh_report_pictures(err, v, options);
  gh_report_training(v);
  gh_report_cost(v);
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
