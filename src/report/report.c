#include "report/report.h"
#include "base/build.h"
#include "base/file.h"
#include "report/pictures.h"
#include "train/made_by.h"

#include <stdlib.h>
#include <time.h>

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
  const time_t last = (time_t)d->time;
  char when[GH_UTC_SIZE] = "";
  struct tm utc;
  if (!made) return;
  gh_page_add(p, "<p class=\"sub\">");
  for (size_t i = 0; i < GH_COUNT(parts); i++) {
    const char *text = NULL;
    gh_error ignored;
    if (gh_json_opt_string(&ignored, made, parts[i].key, &text) || !text) continue;
    gh_page_add(p, "%s", parts[i].before);
    gh_page_text(p, text);
  }
  if (last > 0 && gmtime_r(&last, &utc) && strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc))
    gh_page_add(p, ". Last update: %s", when);
  gh_page_add(p, ".</p>\n");
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
  origin(v->page, v->data);
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
