/* The sections of the portability page about single rows: rooflines, peaks, drift, spreads. */
#include "base/text.h"
#include "report/portability_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_ok(const gh_result *row, const char *kind) {
  return gh_result_is(row, GH_RESULT_STATUS, "ok") && gh_result_is(row, GH_RESULT_KIND, kind);
}

#define NAME_SIZE 512

/* Rates by different clocks are not compared. */
static void hardware_of(char *out, size_t size, const gh_result *row) {
  snprintf(out, size, "%s%s", gh_result_text(row, GH_RESULT_HARDWARE),
           gh_result_is(row, GH_RESULT_CLOCK, "processor") ? ", processor time" : "");
}

static bool is_on(const gh_result *row, const char *hardware) {
  char name[NAME_SIZE];
  hardware_of(name, sizeof name, row);
  return !strcmp(name, hardware);
}

static gh_status list_hardware(gh_error *err, const gh_results *rows, gh_strings *out) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < rows->count && !status; i++) {
    char name[NAME_SIZE];
    size_t k = 0;
    if (!is_ok(&rows->items[i], "peak")) continue;
    hardware_of(name, sizeof name, &rows->items[i]);
    while (k < out->count && strcmp(out->items[k], name)) k++;
    if (k == out->count) status = gh_strings_add(err, out, name);
  }
  gh_strings_sort(out);
  return status;
}

/* ---- rooflines ---- */

#define TYPES      3
#define MOST_ROOFS (2 * TYPES)
#define CLOUDS     (2 * TYPES)

static const char *const types[TYPES] = {"f32", "bf16", "f16"};

typedef struct gh_cloud { /* the points of one kind and type */
  const char *kind, *dtype, *label;
  double *x, *y;
  size_t count;
} gh_cloud;

typedef struct gh_roofline {
  gh_cloud clouds[CLOUDS];
  double bandwidth[2], arithmetic[TYPES]; /* of the largest and the smallest working set; by type; 0: none */
  double least, most;                     /* intensity */
  double roof_x[MOST_ROOFS][3], roof_y[MOST_ROOFS][3];
} gh_roofline;

static double intensity(const gh_result *row) {
  return gh_result_number(row, GH_RESULT_FLOP) / gh_result_number(row, GH_RESULT_BYTES);
}

static void find_roofs(const gh_results *rows, const char *hardware, gh_roofline *r) {
  double largest = 0, smallest = INFINITY;
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *row = &rows->items[i];
    if (!is_ok(row, "peak") || !is_on(row, hardware)) continue;
    const double set = gh_result_number(row, GH_RESULT_WORKING_SET);
    if (isnan(set)) continue;
    largest = fmax(largest, set);
    smallest = fmin(smallest, set);
  }
  for (size_t i = 0; i < rows->count; i++) {
    const gh_result *row = &rows->items[i];
    const double set = gh_result_number(row, GH_RESULT_WORKING_SET), rate = gh_result_best_rate(row, GH_RESULT_GBYTES);
    if (!is_on(row, hardware)) continue;
    if (is_ok(row, "peak") && set >= 0.5 * largest) r->bandwidth[0] = fmax(r->bandwidth[0], rate);
    if (is_ok(row, "peak") && set < 2 * smallest && set < 0.5 * largest) r->bandwidth[1] = fmax(r->bandwidth[1], rate);
    if ((!is_ok(row, "peak") && !is_ok(row, "product")) || gh_result_number(row, GH_RESULT_NOMINAL) != 0) continue;
    for (int t = 0; t < TYPES; t++)
      if (gh_result_is(row, GH_RESULT_DTYPE, types[t]))
        r->arithmetic[t] = fmax(r->arithmetic[t], gh_result_best_rate(row, GH_RESULT_GFLOPS));
  }
}

/* What float32 reaches counts for every type: a lower one has no roof of its own. */
static void drop_lower_roofs(gh_roofline *r) {
  for (int t = 1; t < TYPES; t++)
    if (r->arithmetic[t] <= r->arithmetic[0]) r->arithmetic[t] = 0;
}

static gh_status find_points(gh_error *err, const gh_results *rows, const char *hardware, gh_roofline *r) {
  for (int c = 0; c < CLOUDS; c++) {
    gh_cloud *cloud = &r->clouds[c];
    cloud->x = gh_alloc(err, 2 * rows->count, sizeof *cloud->x);
    if (!cloud->x) return GH_ERROR_MEMORY;
    cloud->y = cloud->x + rows->count;
    for (size_t i = 0; i < rows->count; i++) {
      const gh_result *row = &rows->items[i];
      const double x = intensity(row), y = gh_result_number(row, GH_RESULT_GFLOPS);
      if (!is_ok(row, cloud->kind) || !gh_result_is(row, GH_RESULT_DTYPE, cloud->dtype) || !is_on(row, hardware) ||
          !(x > 0) || !(y > 0))
        continue;
      cloud->x[cloud->count] = x;
      cloud->y[cloud->count++] = y;
      r->least = fmin(r->least, x);
      r->most = fmax(r->most, x);
    }
  }
  return GH_OK;
}

static void draw_chart(gh_page *page, const void *chart) { gh_chart_lines(page, chart); }

static void add_roof(gh_roofline *r, size_t at, double bandwidth, double arithmetic, gh_series *out) {
  const double ridge = fmax(r->least, fmin(r->most, arithmetic / bandwidth));
  const double x[] = {r->least, ridge, r->most};
  for (int i = 0; i < 3; i++) {
    r->roof_x[at][i] = x[i];
    r->roof_y[at][i] = fmin(arithmetic, bandwidth * x[i]);
  }
  *out = (gh_series){.x = r->roof_x[at], .y = r->roof_y[at], .count = 3};
}

static gh_status draw_roofline(gh_error *err, gh_portability *p, size_t number, const char *hardware, gh_roofline *r) {
  static const char *const roofs[MOST_ROOFS] = {"memory, f32", "memory, bf16", "memory, f16",
                                                "cache, f32",  "cache, bf16",  "cache, f16"};
  static const char *const colors[MOST_ROOFS] = {"#1d2733", "#5b6b7b", "#77879a", "#9aa6b2", "#c3ccd6", "#d5dce3"};
  gh_series series[MOST_ROOFS + CLOUDS];
  size_t count = 0;
  char name[32];
  for (int t = 0; t < TYPES; t++) r->most = fmax(r->most, 4 * r->arithmetic[t] / r->bandwidth[0]);
  for (size_t i = 0; i < MOST_ROOFS; i++) {
    if (!(r->bandwidth[i / TYPES] > 0) || !(r->arithmetic[i % TYPES] > 0)) continue;
    add_roof(r, i, r->bandwidth[i / TYPES], r->arithmetic[i % TYPES], &series[count]);
    series[count].label = roofs[i];
    series[count++].color = colors[i];
  }
  for (int c = 0; c < CLOUDS; c++)
    if (r->clouds[c].count)
      series[count++] = (gh_series){.label = r->clouds[c].label,
                                    .color = gh_chart_color((size_t)c),
                                    .x = r->clouds[c].x,
                                    .y = r->clouds[c].y,
                                    .count = r->clouds[c].count,
                                    .points = true};
  const gh_chart chart = {.title = hardware,
                          .x_label = "FLOP per byte",
                          .y_label = "GFLOP/s",
                          .series = series,
                          .count = count,
                          .log_x = true,
                          .log_y = true,
                          .legend_inside = true};
  snprintf(name, sizeof name, "roofline-%zu", number);
  return gh_portability_chart(err, p, name, draw_chart, &chart);
}

gh_status gh_portability_rooflines(gh_error *err, gh_portability *p) {
  static const gh_cloud clouds[CLOUDS] = {{.kind = "product", .dtype = "f32", .label = "products, f32"},
                                          {.kind = "product", .dtype = "bf16", .label = "products, bf16"},
                                          {.kind = "product", .dtype = "f16", .label = "products, f16"},
                                          {.kind = "op", .dtype = "f32", .label = "other ops, f32"},
                                          {.kind = "op", .dtype = "bf16", .label = "other ops, bf16"},
                                          {.kind = "op", .dtype = "f16", .label = "other ops, f16"}};
  gh_strings hardware = {0};
  gh_status status = list_hardware(err, &p->rows, &hardware);
  gh_portability_section(p, "Rooflines",
                         "Measured limits of each piece of hardware, by the fastest repeat. A point is an op in one "
                         "pass; one above the roof of memory finds its data in a cache, and one above the roof of "
                         "arithmetic computes less than is counted (Winograd's convolutions).");
  for (size_t i = 0; i < hardware.count && !status; i++) {
    gh_roofline r = {.least = INFINITY};
    memcpy(r.clouds, clouds, sizeof clouds);
    find_roofs(&p->rows, hardware.items[i], &r);
    drop_lower_roofs(&r);
    status = find_points(err, &p->rows, hardware.items[i], &r);
    if (!status && r.least < INFINITY && r.bandwidth[0] > 0)
      status = draw_roofline(err, p, i + 1, hardware.items[i], &r);
    for (int c = 0; c < CLOUDS; c++) free(r.clouds[c].x);
  }
  gh_portability_close(p);
  gh_strings_free(&hardware);
  return status;
}

/* ---- tables ---- */

typedef struct gh_column {
  gh_result_field field;
  const char *head;
  int digits; /* of a number; -1: a text */
} gh_column;

static void put_rows(gh_portability *p, const gh_column *columns, size_t count, bool (*shown)(const gh_result *row)) {
  gh_page_add(&p->page, "<div class=\"wide\"><table><tr>");
  for (size_t i = 0; i < count; i++) gh_page_add(&p->page, "<th>%s</th>", columns[i].head);
  gh_page_add(&p->page, "</tr>\n");
  for (size_t k = 0; k < p->rows.count; k++) {
    const gh_result *row = &p->rows.items[k];
    if (!shown(row)) continue;
    gh_page_add(&p->page, "<tr>");
    for (size_t i = 0; i < count; i++) {
      const double number = gh_result_number(row, columns[i].field);
      char text[40] = "-";
      if (columns[i].digits >= 0 && !isnan(number)) snprintf(text, sizeof text, "%.*g", columns[i].digits, number);
      gh_portability_cell(&p->page, columns[i].digits < 0 ? gh_result_text(row, columns[i].field) : text);
    }
    gh_page_add(&p->page, "</tr>\n");
  }
  gh_page_add(&p->page, "</table></div>\n");
}

static bool is_limit(const gh_result *row) {
  return is_ok(row, "peak") || is_ok(row, "latency") || is_ok(row, "transfer") || is_ok(row, "loader");
}

void gh_portability_peaks(gh_portability *p) {
  static const gh_column columns[] = {{GH_RESULT_HARDWARE, "hardware", -1}, {GH_RESULT_DEVICE, "device", -1},
                                      {GH_RESULT_PLATFORM, "runtime", -1},  {GH_RESULT_OP, "limit", -1},
                                      {GH_RESULT_SHAPE, "working set", -1}, {GH_RESULT_DTYPE, "type", -1},
                                      {GH_RESULT_PROVIDER, "by", -1},       {GH_RESULT_VALUE, "value", 4},
                                      {GH_RESULT_UNIT, "unit", -1},         {GH_RESULT_SPREAD, "spread", 2}};
  gh_portability_section(p, "Limits",
                         "What was measured of each device: arithmetic, memory by working set, launches, "
                         "transfers, the loader.");
  put_rows(p, columns, GH_COUNT(columns), is_limit);
  gh_portability_close(p);
}

static bool is_drift(const gh_result *row) { return is_ok(row, "drift"); }

void gh_portability_drift(gh_portability *p) {
  static const gh_column columns[] = {{GH_RESULT_SHAPE, "steps", -1},
                                      {GH_RESULT_DEVICE, "device", -1},
                                      {GH_RESULT_PLATFORM, "runtime", -1},
                                      {GH_RESULT_DTYPE, "type", -1},
                                      {GH_RESULT_OP, "of", -1},
                                      {GH_RESULT_VALUE, "largest relative difference", 2}};
  gh_portability_section(p, "Drift",
                         "The same updates on the first device and on this one; only rounding differs. "
                         "`genhance compare` names the op behind a difference.");
  put_rows(p, columns, GH_COUNT(columns), is_drift);
  gh_portability_close(p);
}

static bool is_noisy(const gh_result *row) { return gh_result_number(row, GH_RESULT_NOISY) == 1; }

void gh_portability_noisy(gh_portability *p) {
  static const gh_column columns[] = {{GH_RESULT_OP, "op", -1},         {GH_RESULT_SHAPE, "shape", -1},
                                      {GH_RESULT_PASS, "pass", -1},     {GH_RESULT_DTYPE, "type", -1},
                                      {GH_RESULT_DEVICE, "device", -1}, {GH_RESULT_VALUE, "value", 4},
                                      {GH_RESULT_UNIT, "unit", -1},     {GH_RESULT_SPREAD, "spread", 2}};
  gh_portability_section(p, "Wide spreads",
                         "Rows whose repeats differ by more than a tenth of the median. They count like the "
                         "others; repeat them before relying on them.");
  gh_page_add(&p->page, "<details><summary>The list</summary>");
  put_rows(p, columns, GH_COUNT(columns), is_noisy);
  gh_page_add(&p->page, "</details>\n");
  gh_portability_close(p);
}
