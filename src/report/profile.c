/* The section on where a step's time goes: a file of `bench step --trace`, summed by phase and op. */
#include "base/array.h"
#include "report/chart.h"
#include "report/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PARTS 4096 /* a step has about a hundred; the search for one is linear */
#define MOST_ROWS  16   /* shown; the others are one row */
#define MOST_BARS  10

typedef struct part {
  double process; /* the viewer's number of a measured step */
  const char *phase, *op;
  double launches, seconds, flops;
} part;

typedef struct parts {
  part *items;
  size_t count, capacity;
} parts;

static part *find(parts *list, double process, const char *phase, const char *op) {
  for (size_t i = 0; i < list->count; i++) {
    part *p = &list->items[i];
    if (p->process == process && !strcmp(p->op, op) && (!phase || !strcmp(p->phase, phase))) return p;
  }
  return NULL;
}

/* phase NULL: of any. */
static gh_status add(gh_error *err, parts *list, const part *more, bool by_phase) {
  part *p = find(list, more->process, by_phase ? more->phase : NULL, more->op);
  if (!p) {
    if (list->count == MOST_PARTS)
      return gh_fail(err, GH_ERROR_FORMAT, "more than %d combinations of phase and op", MOST_PARTS);
    if (GH_ARRAY_RESERVE(err, list->items, list->capacity, list->count, 1)) return GH_ERROR_MEMORY;
    p = &list->items[list->count++];
    *p = (part){.process = more->process, .phase = more->phase, .op = more->op};
  }
  p->launches += more->launches;
  p->seconds += more->seconds;
  p->flops += more->flops;
  return GH_OK;
}

/* Kernels are spans with a category, their phase. */
static gh_status read_event(gh_error *err, parts *list, const gh_json *event) {
  const char *kind = gh_report_text(event, "ph", ""), *phase = gh_report_text(event, "cat", NULL);
  const double micros = gh_report_number(event, "dur"), gflops = gh_report_number(event, "args.gflops");
  if (strcmp(kind, "X") || !phase) return GH_OK;
  const part one = {.process = gh_report_number(event, "pid"),
                    .phase = phase,
                    .op = gh_report_text(event, "name", ""),
                    .launches = 1,
                    .seconds = micros * 1e-6,
                    .flops = isnan(gflops) ? 0 : gflops * micros * 1e3};
  if (!(micros >= 0) || isnan(one.process)) return gh_fail(err, GH_ERROR_FORMAT, "a kernel without dur or pid");
  return add(err, list, &one, true);
}

static int longest_first(const void *a, const void *b) {
  const part *x = a, *y = b;
  if (x->process != y->process) return x->process < y->process ? -1 : 1;
  return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static const char *name_of(const gh_json *events, double process) {
  for (const gh_json *e = gh_json_first(events); e; e = gh_json_next(e))
    if (!strcmp(gh_report_text(e, "name", ""), "process_name") && gh_report_number(e, "pid") == process)
      return gh_report_text(e, "args.name", "");
  return "";
}

/* ---- the page ---- */

static void row(gh_page *p, const part *it, double total) {
  gh_page_add(p, "<tr><td>");
  gh_page_text(p, it->phase);
  gh_page_add(p, "</td><td>");
  gh_page_text(p, it->op);
  gh_page_add(p, "</td><td>%.0f</td><td>%.4f</td><td>%.1f&nbsp;%%</td>", it->launches, it->seconds,
              100 * it->seconds / total);
  if (it->flops > 0)
    gh_page_add(p, "<td>%.1f</td></tr>\n", it->flops / it->seconds * 1e-9);
  else
    gh_page_add(p, "<td></td></tr>\n");
}

static void table(gh_page *p, const part *items, size_t count, double total) {
  part others = {.phase = "", .op = "all others"};
  gh_page_add(p, "<div class=\"wide\"><table><thead><tr><th>phase</th><th>op</th><th>launches</th><th>seconds</th>"
                 "<th>share</th><th>GFLOP/s</th></tr></thead><tbody>\n");
  for (size_t i = 0; i < count; i++)
    if (i < MOST_ROWS) {
      row(p, &items[i], total);
    } else {
      others.launches += items[i].launches;
      others.seconds += items[i].seconds;
    }
  if (others.launches > 0) row(p, &others, total);
  gh_page_add(p, "</tbody></table></div>\n");
}

static gh_status bars(gh_error *err, gh_page *p, const part *items, size_t count, double total) {
  parts ops = {0};
  const char *names[MOST_BARS];
  double shares[MOST_BARS];
  size_t rows = 0;
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) status = add(err, &ops, &items[i], false);
  if (ops.count) qsort(ops.items, ops.count, sizeof *ops.items, longest_first);
  for (; rows < GH_MIN(ops.count, MOST_BARS); rows++) {
    names[rows] = ops.items[rows].op;
    shares[rows] = 100 * ops.items[rows].seconds / total;
  }
  if (!status)
    gh_chart_bars(p, &(gh_bars){.title = "Time by op",
                                .unit = "per cent of the kernels' time",
                                .names = names,
                                .rows = rows,
                                .labels = {"all phases"},
                                .colors = {gh_chart_color(0)},
                                .values = {shares},
                                .most = shares[0]});
  free(ops.items);
  return status;
}

static gh_status one_step(gh_error *err, gh_page *p, const char *name, const part *items, size_t count) {
  double total = 0;
  for (size_t i = 0; i < count; i++) total += items[i].seconds;
  if (!(total > 0)) return gh_fail(err, GH_ERROR_FORMAT, "the kernels took no time");
  gh_page_add(p, "<h3>");
  gh_page_text(p, name);
  gh_page_add(p, "</h3>\n");
  gh_status status = bars(err, p, items, count, total);
  table(p, items, count, total);
  return status;
}

gh_status gh_report_profile(gh_error *err, const gh_report_view *v, const char *path) {
  gh_json *trace = NULL;
  parts list = {0};
  gh_status status = gh_json_read_file(err, &trace, path, GH_JSON_MAX_BYTES);
  const gh_json *events = gh_json_member(trace, "traceEvents");
  for (const gh_json *e = gh_json_first(events); e && !status; e = gh_json_next(e)) status = read_event(err, &list, e);
  if (!status && !list.count)
    status = gh_fail(err, GH_ERROR_FORMAT, "no kernels; expected a file of bench step --trace");
  if (!status) {
    qsort(list.items, list.count, sizeof *list.items, longest_first);
    gh_report_open(
        v, "Where a step's time goes",
        "Kernels of one update of <code>bench step --trace</code>, each waited for. GFLOP/s: of the kernels that "
        "have a count of operations.");
    for (size_t first = 0, next; first < list.count && !status; first = next) {
      for (next = first + 1; next < list.count && list.items[next].process == list.items[first].process;) next++;
      status = one_step(err, v->page, name_of(events, list.items[first].process), &list.items[first], next - first);
    }
    gh_report_close(v);
  }
  if (status == GH_ERROR_FORMAT && trace) gh_fail_in(err, "%s", path);
  free(list.items);
  gh_json_free(trace);
  return status;
}
