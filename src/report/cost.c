/* The section on speed, memory and energy: planned beside measured. */
#include "report/data.h"

#include <math.h>

#define GIB 1073741824.0
#define MIB 1048576.0

static void cell_bytes(gh_page *p, double bytes) {
  bool small = bytes < GIB;
  if (isnan(bytes))
    gh_page_add(p, "<td></td>");
  else
    gh_page_add(p, "<td>%.*f&nbsp;%s</td>", small ? 0 : 2, bytes / (small ? MIB : GIB), small ? "MiB" : "GiB");
}

/* Three significant digits. */
static void cell_number(gh_page *p, const char *unit, double value) {
  if (!isfinite(value))
    gh_page_add(p, "<td></td>");
  else
    gh_page_add(p, "<td>%.*f%s</td>", value < 0.9995 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0, value, unit);
}

static void cell_duration(gh_page *p, double seconds) {
  if (seconds < 60)
    cell_number(p, "&nbsp;s", seconds);
  else if (seconds < 3600)
    cell_number(p, "&nbsp;min", seconds / 60);
  else
    cell_number(p, "&nbsp;h", seconds / 3600);
}

static void row_of_stage(const gh_report_view *v, int number, bool resident, bool energy) {
  const gh_report_data *d = v->data;
  const gh_curve *c = &d->stages[number - 1];
  const gh_json *info = gh_json_member(d->info, number == 1 ? "stage1" : "stage2");
  double persistent = gh_report_renamed(info, "persistent_bytes", "lasting_bytes");
  double flops = gh_report_renamed(info, "flop_per_micro_batch", "flop_a_micro_batch");
  double micro_batch = gh_report_number(info, "micro_batch"), step = gh_report_number(info, "step_bytes");
  double joules = gh_report_sum(c->joules, c->count);
  if (!c->count) return;
  gh_page_add(v->page, "<tr><td>%d</td>", number);
  cell_number(v->page, "&nbsp;M", gh_report_number(info, "parameters_trained") / 1e6);
  cell_number(v->page, "&nbsp;M", gh_report_number(info, "parameters_frozen") / 1e6);
  gh_page_add(v->page, isnan(micro_batch) ? "<td></td>" : "<td>%.0f</td>", micro_batch);
  cell_bytes(v->page, persistent);
  cell_bytes(v->page, step);
  cell_bytes(v->page, persistent + step);
  if (resident) cell_bytes(v->page, gh_report_most(c->resident, c->count));
  cell_number(v->page, "", flops / 1e9 / micro_batch);
  cell_duration(v->page, gh_report_median(c->seconds, c->count));
  cell_number(v->page, "", gh_report_median(c->speed, c->count));
  cell_number(v->page, "", flops / 1e9 / micro_batch * gh_report_median(c->speed, c->count));
  cell_duration(v->page, gh_report_sum(c->seconds, c->count));
  if (energy) cell_number(v->page, "&nbsp;kJ", joules / 1e3);
  gh_page_add(v->page, "</tr>\n");
}

void gh_report_cost(const gh_report_view *v) {
  const gh_report_data *d = v->data;
  bool resident = false, energy = false;
  if (!d->stages[0].count && !d->stages[1].count) return;
  for (int s = 0; s < 2; s++) {
    resident |= !isnan(gh_report_most(d->stages[s].resident, d->stages[s].count));
    energy |= !isnan(gh_report_sum(d->stages[s].joules, d->stages[s].count));
  }
  gh_report_open(v, "Speed and memory",
                 "Planned for the device: what persists (parameters, gradients, moments), and in addition the peak of "
                 "a step. Measured: the resident memory of the process, which on a CPU includes the device's and on a "
                 "GPU does not; and, where processors or the GPU tell it, their energy. GFLOP/s: of the steps' "
                 "arithmetic; which share of the device's peak its kernels reach is in a "
                 "page with --trace.");
  gh_page_add(v->page,
              "<div class=\"wide\"><table><thead><tr><th>stage</th><th>trained</th><th>frozen</th>"
              "<th>micro-batch</th><th>persistent</th><th>step</th><th>planned</th>%s<th>GFLOP per image</th>"
              "<th>per update</th><th>images/s</th><th>GFLOP/s</th><th>total</th>%s</tr></thead><tbody>\n",
              resident ? "<th>resident</th>" : "", energy ? "<th>energy</th>" : "");
  for (int number = 1; number <= 2; number++) row_of_stage(v, number, resident, energy);
  gh_page_add(v->page, "</tbody></table></div>\n<div class=\"three\">\n");
  for (int number = 1; number <= 2; number++)
    if (d->stages[number - 1].count)
      gh_report_curve(v, number, "speed", "images per second", d->stages[number - 1].speed, GH_SCALE_ZERO);
  gh_page_add(v->page, "</div>\n");
  gh_report_close(v);
}
