/* The report: one self-contained file with the run's results, and no markup from its data. */
#include "support/compare.h"
#include "support/run_folder.h"
#include "support/scratch.h"

#include "base/file.h"
#include "report/chart.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_error err;

static char *read_text(const char *path) {
  char *text = NULL;
  size_t size = 0;
  check_ok(gh_file_read(&err, path, 1 << 28, &text, &size));
  return text;
}

/* A run with a hostile name, three updates per stage and two evaluations. */
static char *make_run(void) {
  char *run = check_path(scratch, "<b>&\"'run"), lines[2048] = "";
  run_folder_config(run, GH_FIXTURES "/probe/tiny", "stage2-only.json");
  for (int stage = 1; stage <= 2; stage++)
    for (int update = 1; update <= 3; update++) {
      size_t at = strlen(lines);
      snprintf(lines + at, sizeof lines - at,
               "{\"stage\":%d,\"update\":%d,\"loss\":%d.25,\"grad_norm\":1,\"lr\":1e-4,\"samples\":4,\"ms\":500,"
               "\"images_per_second\":8}\n",
               stage, update, 4 - update);
    }
  check_put(run, "metrics.jsonl", lines);
  check_put(run, "evaluations.jsonl",
            "{\"stage\":2,\"update\":0,\"scores\":{\"mmvp\":20,\"zeroshot.top1\":75.5,\"<script>\":1},"
            "\"patterns\":{\"<u>\":{\"percent\":20,\"low\":10,\"high\":30}},"
            "\"guard\":{\"watch\":\"zeroshot.top1\",\"change\":0,\"within\":true}}\n"
            "{\"stage\":2,\"update\":2,\"scores\":{\"mmvp\":31.9,\"zeroshot.top1\":75.1},"
            "\"patterns\":{\"<u>\":{\"percent\":40,\"low\":20,\"high\":60}},"
            "\"guard\":{\"watch\":\"zeroshot.top1\",\"change\":-0.4,\"within\":false}}\n");
  check_put(run, "best.json",
            "{\"snapshot\":\"stage2-00000002\",\"update\":2,\"score\":\"mmvp\",\"value\":31.9,\"start\":20}");
  return run;
}

static void files_alone(void **state) {
  (void)state;
  char *run = make_run(), *out = check_path(scratch, "report.html"), *json = check_path(scratch, "report.json");
  check_ok(compare_run(&err, "report", "--run", run, "--out", out, "--pictures", "0", "--json", json, NULL));
  char *page = read_text(out);
  assert_int_equal(strncmp(page, "<!DOCTYPE html>", 15), 0);
  assert_non_null(strstr(page, "</html>"));
  assert_non_null(strstr(page, "&lt;b&gt;&amp;&quot;&#39;run"));
  assert_non_null(strstr(page, "&lt;script&gt;"));
  assert_non_null(strstr(page, "&lt;u&gt;"));
  static const char *const absent[] = {"<b>&",    "<script", "<u>", "http://", "https://",
                                       "src=\"/", "url(",    "nan", "inf"};
  for (size_t i = 0; i < GH_COUNT(absent); i++)
    if (strstr(page, absent[i])) fail_msg("the page has %s: %.60s", absent[i], strstr(page, absent[i]));
  static const char *const there[] = {"20.0 \xE2\x86\x92 31.9", "Stage 1: loss",   "Stage 2: speed",
                                      "stage2-00000002",        "denoiser.hidden", "-0.40"};
  for (size_t i = 0; i < GH_COUNT(there); i++)
    if (!strstr(page, there[i])) fail_msg("the page lacks %s", there[i]);
  free(page);
  page = read_text(json);
  assert_non_null(strstr(page, "Evaluations"));
  free(page);
  free(run);
  free(out);
  free(json);
}

/* Two kernels of one op in two phases, and one of another: sums, shares and rates. */
static void where_the_time_goes(void **state) {
  (void)state;
  static const char trace[] =
      "{\"traceEvents\":[{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"tid\":0,\"args\":{\"name\":\"<i>device\"}}"
      ","
      "{\"ph\":\"X\",\"name\":\"encoder\",\"pid\":1,\"tid\":1,\"ts\":0,\"dur\":9e9},"
      "{\"ph\":\"X\",\"name\":\"<s>op\",\"cat\":\"encoder\",\"pid\":1,\"tid\":2,\"ts\":0,\"dur\":1e6,\"args\":{"
      "\"gflops\":3}},"
      "{\"ph\":\"X\",\"name\":\"<s>op\",\"cat\":\"encoder\",\"pid\":1,\"tid\":2,\"ts\":0,\"dur\":2e6,\"args\":{"
      "\"gflops\":6}},"
      "{\"ph\":\"X\",\"name\":\"<s>op\",\"cat\":\"backward\",\"pid\":1,\"tid\":2,\"ts\":0,\"dur\":3e6},"
      "{\"ph\":\"X\",\"name\":\"add\",\"cat\":\"update\",\"pid\":1,\"tid\":2,\"ts\":0,\"dur\":6e6}]}";
  static const char *const there[] = {
      "&lt;i&gt;device",
      "<td>encoder</td><td>&lt;s&gt;op</td><td>2</td><td>3.0000</td><td>25.0&nbsp;%</td><td>5.0</td>",
      "<td>backward</td><td>&lt;s&gt;op</td><td>1</td><td>3.0000</td><td>25.0&nbsp;%</td><td></td>",
      "&lt;s&gt;op: 50.0"};
  static const struct {
    const char *text, *error;
  } bad[] = {{"{\"traceEvents\":[]}", "no kernels; expected a file of bench step --trace"},
             {"{\"traceEvents\":[{\"ph\":\"X\",\"cat\":\"a\",\"pid\":1}]}", "a kernel without dur or pid"},
             {"{\"traceEvents\":[{\"ph\":\"X\",\"cat\":\"a\",\"pid\":1,\"dur\":0}]}", "the kernels took no time"},
             {"[", "trace.json"}};
  char *run = make_run(), *out = check_path(scratch, "report.html"), *file = check_path(scratch, "trace.json");
  check_put(scratch, "trace.json", trace);
  check_ok(compare_run(&err, "report", "--run", run, "--out", out, "--pictures", "0", "--trace", file, NULL));
  char *page = read_text(out);
  for (size_t i = 0; i < GH_COUNT(there); i++)
    if (!strstr(page, there[i])) fail_msg("the page lacks %s", there[i]);
  free(page);
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    check_put(scratch, "trace.json", bad[i].text);
    check_fails(compare_run(&err, "report", "--run", run, "--out", out, "--pictures", "0", "--trace", file, NULL),
                GH_ERROR_FORMAT, bad[i].error);
  }
  free(run);
  free(out);
  free(file);
}

static size_t count_of(const char *text, const char *piece) {
  size_t n = 0;
  while ((text = strstr(text, piece))) text += strlen(piece), n++;
  return n;
}

static void with_pictures(void **state) {
  (void)state;
  char *run = make_run(), *out = check_path(scratch, "report.html");
  run_folder_copy(run, GH_FIXTURES "/probe/tiny/denoiser.safetensors", "snapshots/stage1-00000010",
                  "denoiser.safetensors");
  check_ok(compare_run(&err, "report", "--run", run, "--out", out, "--pictures", "2", "--images",
                       GH_FIXTURES "/encode/images", NULL));
  char *page = read_text(out);
  assert_int_equal(count_of(page, "<img "), 4); /* before stage 2 has a snapshot: originals and drawings */
  free(page);
  run_folder_copy(run, GH_FIXTURES "/probe/tiny/adapter/adapter_config.json", "snapshots/stage2-00000005",
                  "adapter_config.json");
  run_folder_copy(run, GH_FIXTURES "/probe/tiny/adapter/adapter_model.safetensors", "snapshots/stage2-00000005",
                  "adapter_model.safetensors");
  check_ok(compare_run(&err, "report", "--run", run, "--out", out, "--pictures", "2", "--pool", "9", "--images",
                       GH_FIXTURES "/encode/images", NULL));
  page = read_text(out);
  assert_int_equal(count_of(page, "<img "), 2 * 3 + 5 * (1 + 2 * 4));
  assert_non_null(strstr(page, "Nearest neighbours"));
  free(page);
  /* The page says what cannot be drawn ... */
  check_ok(compare_run(&err, "report", "--run", run, "--out", out, NULL));
  page = read_text(out);
  assert_non_null(strstr(page, "left out: images: no such"));
  free(page);
  /* ... but whatever the user names must exist. */
  check_fails(compare_run(&err, "report", "--run", run, "--out", out, "--images", "/no/such/folder", NULL),
              GH_ERROR_FILE, "--images: /no/such/folder: no such file or folder");
  check_fails(compare_run(&err, "report", "--run", run, "--out", out, "--snapshot", "stage2-00000006", NULL),
              GH_ERROR_FILE, "no snapshot stage2-00000006; did you mean stage2-00000005?");
  check_fails(compare_run(&err, "report", "--run", run, "--out", out, "--device", "opencl:99", NULL), GH_ERROR_ARGUMENT,
              "opencl:99");
  free(run);
  free(out);
}

/* Two runs that differ in a key of the configuration. */
static void side_by_side(void **state) {
  (void)state;
  char *run = make_run(), *other = check_path(scratch, "other"), *out = check_path(scratch, "both.html");
  run_folder_config(other, GH_FIXTURES "/probe/tiny", "stage2-direct.json");
  check_put(other, "metrics.jsonl",
            "{\"stage\":2,\"update\":1,\"loss\":0.5,\"grad_norm\":1,\"lr\":1e-4,\"samples\":4,\"ms\":500,"
            "\"images_per_second\":8,\"resident_bytes\":3221225472}\n");
  check_ok(compare_run(&err, "report", "--run", run, "--run", other, "--out", out, NULL));
  char *page = read_text(out);
  static const char *const there[] = {"2 training runs side by side",
                                      "20.0 \xE2\x86\x92 <b>31.9",
                                      "Stage 2: loss",
                                      "Differences of configuration",
                                      "<td>3.00</td>",
                                      "stage2.lora"};
  for (size_t i = 0; i < GH_COUNT(there); i++)
    if (!strstr(page, there[i])) fail_msg("the page lacks %s", there[i]);
  assert_null(strstr(page, "<script"));
  assert_null(strstr(page, "<td>seed</td>")); /* the same in both */
  free(page);
  check_fails(compare_run(&err, "report", "--run", run, "--run", other, "--out", out, "--pictures", "2", NULL),
              GH_ERROR_ARGUMENT, "--pictures applies to one run");
  free(run);
  free(other);
  free(out);
}

static void rejections(void **state) {
  (void)state;
  char *out = check_path(scratch, "none.html");
  check_fails(compare_run(&err, "report", "--run", "/no/such/run", "--out", out, NULL), GH_ERROR_FILE,
              "no such folder");
  check_fails(compare_run(&err, "report", "--run", GH_FIXTURES "/text/clip", "--out", out, NULL), GH_ERROR_FILE,
              "not the folder of a run");
  assert_false(gh_path_exists(out));
  free(out);
}

static void odd_numbers(void **state) {
  (void)state;
  gh_page page = {0};
  const double x[] = {1}, y[] = {0.5}, gap[] = {NAN};
  const gh_series one = {.color = "red", .x = x, .y = y, .count = 1}, none = {.color = "red"};
  const gh_series missing = {.color = "red", .x = x, .y = gap, .count = 1};
  /* Values that differ in the last bit, on both axes, and ranges that overflow: their ticks must be finite and few. */
  const double last[] = {2, 2 + 0x1p-51}, huge[] = {-1e308, 1e308}, updates[] = {0x1p62, 0x1p62 + 1024},
               far[] = {0, 1e308};
  const gh_series bit = {.color = "red", .x = updates, .y = last, .count = 2};
  const gh_series blown = {.color = "red", .x = far, .y = huge, .count = 2};
  const gh_series *all[] = {&one, &none, &missing, &bit, &blown};
  for (size_t i = 0; i < GH_COUNT(all); i++) {
    const gh_chart chart = {
        .title = "t", .x_label = "x", .y_label = "y", .series = all[i], .count = 1, .whole_x = i % 2};
    size_t before = page.size;
    gh_chart_lines(&page, &chart);
    assert_true(page.size - before < 8192);
  }
  gh_page_text(&page, "\x01\xff<\xE2\x82\xAC\xC2\x9B\xE2\x80\xAE.");
  assert_int_equal(page.err.status, GH_OK);
  page.text[page.size] = 0;
  assert_null(strstr(page.text, "nan"));
  assert_null(strstr(page.text, "inf"));
  assert_non_null(strstr(page.text, "\xEF\xBF\xBD\xEF\xBF\xBD&lt;\xE2\x82\xAC\xEF\xBF\xBD\xEF\xBF\xBD."));
  gh_page_free(&page);
}

/* What the axes of a drawn chart say. */
static void axes(void **state) {
  (void)state;
  const double x[] = {1, 50, 100}, y[] = {0.42, 1, 2.1}, wide[] = {1e-3, 1, 1e3};
  const gh_series near = {.color = "red", .x = x, .y = y, .count = 3, .label = "<loss>"};
  const gh_series far = {.color = "red", .x = x, .y = wide, .count = 3};
  const struct {
    gh_chart chart;
    const char *there[4], *absent[2];
  } cases[] = {
      {{.series = &near},
       {"update 50\n&lt;loss&gt; 1</title>", "axis begins at 0.4", "class=\"phone\"", ">0</text>"},
       {"<loss>"}},
      {{.series = &near, .log_y = true}, {"logarithmic axis", ">0.2</text>", ">5</text>"}, {">0.4</text>"}},
      {{.series = &far, .log_y = true}, {">0.001</text>", ">10</text>"}, {">5</text>", ">2</text>"}},
      {{.series = &near, .from_zero = true}, {">0</text>"}, {"axis begins"}},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_page page = {0};
    gh_chart chart = cases[i].chart;
    chart.title = "t", chart.x_label = "update", chart.y_label = "y", chart.count = 1, chart.whole_x = true;
    gh_chart_lines(&page, &chart);
    assert_int_equal(page.err.status, GH_OK);
    page.text[page.size] = 0;
    for (int k = 0; k < 4 && cases[i].there[k]; k++)
      if (!strstr(page.text, cases[i].there[k])) fail_msg("chart %zu lacks %s: %s", i, cases[i].there[k], page.text);
    for (int k = 0; k < 2 && cases[i].absent[k]; k++)
      if (strstr(page.text, cases[i].absent[k])) fail_msg("chart %zu has %s", i, cases[i].absent[k]);
    gh_page_free(&page);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files_alone),  cmocka_unit_test(where_the_time_goes), cmocka_unit_test(with_pictures),
      cmocka_unit_test(side_by_side), cmocka_unit_test(rejections),          cmocka_unit_test(axes),
      cmocka_unit_test(odd_numbers),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
