#include "train/dry_run.h"
#include "backend/chooser/gemm.h"
#include "base/log.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEMM      "gemm "
#define CONV      "conv2d"
#define ATTENTION "attention"

static const char *provider_of(const gh_device *d, const char *shape) {
  char key[sizeof((gh_dry_row *)0)->shape];
  gh_gemm_deciding_key(shape, key, sizeof key);
  for (int i = 0; i < gh_choice_count(d, &gh_gemm_kind); i++) {
    const char *known, *provider;
    gh_choice_at(d, &gh_gemm_kind, i, &known, &provider);
    if (!strcmp(key, known)) return provider;
  }
  return "own kernel";
}

/* The shape of an attention: "577 x 577, 16 heads of 64". */
static void describe_attention(const gh_launch_note *note, gh_dry_row *row) {
  const int64_t *q = note->node->in[0]->shape, *k = note->node->in[1]->shape;
  snprintf(row->shape, sizeof row->shape, "%lld x %lld, %lld heads of %lld", (long long)q[1], (long long)k[1],
           (long long)q[2], (long long)q[3]);
  snprintf(row->by, sizeof row->by, "%.63s", note->name);
}

/* Shape and kernel of a launch that is a matrix product, a convolution or attention; false for the others. */
static bool describe(const gh_device *d, const gh_launch_note *note, gh_dry_row *row) {
  if (!strncmp(note->name, GEMM, strlen(GEMM))) {
    snprintf(row->shape, sizeof row->shape, "%s", note->name + strlen(GEMM));
    snprintf(row->by, sizeof row->by, "%.63s", provider_of(d, row->shape));
    return true;
  }
  if (note->flops == 0) return false;
  if (!strncmp(note->name, ATTENTION, strlen(ATTENTION)) && note->node->op->flops) {
    describe_attention(note, row);
    return true;
  }
  if (strncmp(note->name, CONV, strlen(CONV))) return false;
  char weight[48], output[48]; /* five dimensions at most */
  const gh_tensor *w = note->node->in[1], *y = note->node->out[0];
  gh_shape_text(weight, sizeof weight, w->rank, w->shape);
  gh_shape_text(output, sizeof output, y->rank, y->shape);
  snprintf(row->shape, sizeof row->shape, "%s -> %s", weight, output);
  snprintf(row->by, sizeof row->by, "%.63s", note->name);
  return true;
}

static int by_flops(const void *a, const void *b) {
  const gh_dry_row *x = a, *y = b;
  return x->flops < y->flops ? 1 : x->flops > y->flops ? -1 : strcmp(x->shape, y->shape);
}

/* Distinct products, convolutions and attentions of the step, most arithmetic first. */
static int collect(const gh_device *d, const gh_graph *g, gh_dry_row *rows) {
  int count = 0;
  for (int i = 0; i < gh_graph_launch_count(g); i++) {
    const gh_launch_note note = gh_graph_launch_note(g, i);
    gh_dry_row row = {0};
    if (!describe(d, &note, &row)) continue;
    int at = 0;
    while (at < count && (strcmp(rows[at].shape, row.shape) || strcmp(rows[at].by, row.by))) at++;
    if (at == count) rows[count++] = row;
    rows[at].count++;
    rows[at].flops += note.flops;
  }
  qsort(rows, (size_t)count, sizeof *rows, by_flops);
  return count;
}

static gh_status list(gh_error *err, const gh_loop *l, gh_dry_stage *out) {
  out->launches = gh_graph_launch_count(l->step.graph);
  out->rows = gh_alloc(err, (size_t)out->launches, sizeof *out->rows);
  if (!out->rows) return GH_ERROR_MEMORY;
  out->row_count = collect(l->device, l->step.graph, out->rows);
  return GH_OK;
}

static gh_status run_timed(gh_error *err, const gh_loop *l, gh_graph *g, double *seconds) {
  double began = gh_now();
  gh_status status = gh_graph_run(err, g);
  if (!status) status = l->device->backend->finish(err, l->device);
  *seconds = gh_now() - began;
  return status;
}

gh_status gh_dry_run_measure(gh_error *err, gh_loop *l, gh_dry_stage *out) {
  double first;
  const gh_step_values values = {.update = 1,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .samples = (uint32_t)l->micro_batch,
                                 .weight = 1 / (double)l->stage->batch};
  gh_status status = list(err, l, out);
  if (!status) status = gh_step_write(err, l->device, l->step.block, &values);
  if (!status) status = run_timed(err, l, l->step.graph, &first); /* the first run touches memory and compiles */
  if (!status) status = run_timed(err, l, l->step.graph, &out->step_seconds);
  if (!status) status = run_timed(err, l, l->update.graph, &out->update_seconds);
  out->flops = gh_graph_flops(l->step.graph);
  return status;
}

void gh_dry_run_free(gh_dry_stage *stage) {
  free(stage->rows);
  stage->rows = NULL;
  free(stage->ranks);
  stage->ranks = NULL;
}

/* ---- the verdict ---- */

static int64_t micro_batches(const gh_dry_stage *s) {
  return GH_CEIL_DIV(GH_CEIL_DIV(s->batch, GH_MAX(s->rank_count, 1)), s->micro_batch);
}

static double seconds_per_update(const gh_dry_stage *s) {
  return (double)micro_batches(s) * s->step_seconds + s->update_seconds;
}

static double seconds_of(const gh_dry_stage *s) { return seconds_per_update(s) * (double)s->steps; }

static void print_line(const char *line) {
  char text[GH_ERROR_TEXT_SIZE + 64];
  snprintf(text, sizeof text - 1, "%s", line); /* room for the newline */
  gh_text_show(text);
  strcat(text, "\n");
  gh_print(text);
}

__attribute__((format(printf, 1, 2))) static void print(const char *format, ...) {
  char line[GH_ERROR_TEXT_SIZE + 32];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  print_line(line);
}

/* "35 s", "12 minutes", "9.5 hours", "21 days" */
static void long_text(char *out, size_t size, double seconds) {
  if (seconds < 120)
    snprintf(out, size, "%.3g s", seconds);
  else if (seconds < 7200)
    snprintf(out, size, "%.0f minutes", seconds / 60);
  else if (seconds < 72 * 3600)
    snprintf(out, size, "%.3g hours", seconds / 3600);
  else
    snprintf(out, size, "%.3g days", seconds / 86400);
}

static void print_help(const gh_help *h, int64_t have) {
  char needs[32], work[48] = "", sets[sizeof h->set + 64] = "";
  size_t used = 0;
  gh_bytes_text(needs, sizeof needs, h->peak);
  for (const char *at = h->set; *at && used < sizeof sets;) {
    const int length = (int)strcspn(at, " ");
    used += (size_t)snprintf(sets + used, sizeof sets - used, "%s--set %.*s", used ? " " : "", length, at);
    at += length + (at[length] == ' ');
  }
  if (h->arithmetic > 0 && fabs(h->arithmetic - 1) >= 0.005)
    snprintf(work, sizeof work, "; %.3g times the arithmetic", h->arithmetic);
  print("    %s: needs %s, %s%s", sets, needs,
        h->fits           ? "fits"
        : h->peak <= have ? "but a tensor is still too large in one piece"
                          : "does not fit alone",
        work);
}

/* "5.6 GiB", or "5.6 GiB and 14.8 GiB of the host's memory". */
static void needs_text(char *out, size_t size, const gh_budget *b) {
  char device[32], host[32];
  gh_bytes_text(device, sizeof device, gh_budget_peak(b));
  gh_bytes_text(host, sizeof host, b->host_bytes);
  snprintf(out, size, "%s%s%s%s", device, b->host_bytes ? " and " : "", b->host_bytes ? host : "",
           b->host_bytes ? " of the host's memory" : "");
}

static void print_verdict(const gh_device *device, int number, const gh_dry_stage *s) {
  char needs[96], time[32];
  needs_text(needs, sizeof needs, &s->budget);
  if (s->skipped) {
    print("  stage %d is skipped: stage%d.steps is 0", number, number);
  } else if (!s->planned) {
    print("  stage %d cannot be planned: its models are missing or unusable", number);
  } else if (s->fits) {
    long_text(time, sizeof time, seconds_of(s));
    print("  stage %d fits: %s, micro_batch %lld%s; %lld updates of %lld images take about %s", number, needs,
          (long long)s->micro_batch, s->recompute ? ", recomputing" : "", (long long)s->steps, (long long)s->batch,
          time);
  } else {
    const char *label = strstr(s->refusal, ": "); /* the refusal begins with the stage */
    print("  stage %d does not fit: %s", number, label ? label + 2 : s->refusal);
    for (int i = 0; i < s->help_count; i++) print_help(&s->helps[i], device->info.memory_bytes);
  }
}

/* ---- the details ---- */

static void print_rows(int number, const gh_dry_stage *s) {
  print("stage %d: %d launches per micro-batch; matrix products, convolutions and attention by arithmetic:", number,
        s->launches);
  print("  %9s %6s  %-56s %s", "GFLOP", "times", "shape", "by");
  for (int i = 0; i < s->row_count; i++)
    print("  %9.3f %6d  %-56s %s", s->rows[i].flops * 1e-9, s->rows[i].count, s->rows[i].shape, s->rows[i].by);
}

static void print_ranks(int number, const gh_dry_stage *s) {
  char peak[32], lasting[32], step[32];
  print("stage %d on %d ranks with such devices, without the time on the network:", number, s->rank_count);
  for (int i = 0; i < s->rank_count; i++) {
    const gh_dry_rank *r = &s->ranks[i];
    gh_bytes_text(peak, sizeof peak, gh_budget_peak(&r->budget));
    gh_bytes_text(lasting, sizeof lasting, r->budget.lasting_bytes);
    gh_bytes_text(step, sizeof step, r->budget.step_bytes);
    print(
        "  rank %d: %lld samples, micro_batch %lld%s, updates %lld parameters; %s at the peak (%s persistent, %s in a "
        "step)",
        i, (long long)r->samples, (long long)r->micro_batch, r->recompute ? ", recomputing" : "", (long long)r->kept,
        peak, lasting, step);
  }
}

static void print_details(const gh_device *device, int number, const gh_dry_stage *s, bool verbose) {
  char label[16];
  snprintf(label, sizeof label, "stage %d", number);
  print("%s", "");
  gh_budget_lines(device, label, &s->budget, s->micro_batch, s->recompute, print_line);
  if (s->rank_count) print_ranks(number, s);
  if (verbose) print_rows(number, s);
  const double seconds = seconds_per_update(s);
  char time[32];
  long_text(time, sizeof time, seconds_of(s));
  print("%s: an update of %lld samples, %.4g GFLOP, takes about %.3g s (%lld x %.3g s + %.3g s), %.3g images/s, %.0f "
        "GFLOP/s; %lld updates take %s",
        label, (long long)s->batch, s->flops * 1e-9 * (double)micro_batches(s), seconds, (long long)micro_batches(s),
        s->step_seconds, s->update_seconds, (double)s->batch / seconds, s->flops * 1e-9 / s->step_seconds,
        (long long)s->steps, time);
}

void gh_dry_run_print(const gh_device *device, const gh_dry_stage stages[2], const gh_strings *problems, bool verbose) {
  char memory[32];
  gh_bytes_text(memory, sizeof memory, device->info.memory_bytes);
  print("%s (%s), %s:", device->info.id, device->info.name, memory);
  for (int i = 0; i < 2; i++) print_verdict(device, i + 1, &stages[i]);
  for (size_t i = 0; i < problems->count; i++) print("  input missing or unusable: %s", problems->items[i]);
  for (int i = 0; i < 2; i++)
    if (stages[i].fits) print_details(device, i + 1, &stages[i], verbose);
  if (verbose || (!stages[0].fits && !stages[1].fits)) return;
  print("%s", "");
  print("--verbose lists the kernel of each matrix product");
}

/* ---- JSON ---- */

static gh_status put_rows(gh_error *err, gh_json *into, const gh_dry_row *rows, int count) {
  gh_json *products = gh_json_put_array(err, into, "products");
  for (int i = 0; i < count; i++) {
    gh_json *row = products ? gh_json_put_object(err, products, NULL) : NULL;
    if (!row || gh_json_put_string(err, row, "shape", rows[i].shape) ||
        gh_json_put_string(err, row, "by", rows[i].by) || gh_json_put_int(err, row, "times", rows[i].count) ||
        gh_json_put_double(err, row, "flop", rows[i].flops))
      return err->status;
  }
  return products ? GH_OK : err->status;
}

static gh_status put_helps(gh_error *err, gh_json *into, const gh_dry_stage *s) {
  gh_json *helps = gh_json_put_array(err, into, "would_help");
  for (int i = 0; i < s->help_count; i++) {
    const gh_help *h = &s->helps[i];
    gh_json *o = helps ? gh_json_put_object(err, helps, NULL) : NULL;
    if (!o || gh_json_put_string(err, o, "set", h->set) || gh_json_put_bool(err, o, "fits", h->fits) ||
        gh_json_put_int(err, o, "peak_bytes", h->peak) || gh_json_put_double(err, o, "arithmetic", h->arithmetic))
      return err->status;
  }
  return helps ? GH_OK : err->status;
}

static gh_status put_ranks(gh_error *err, gh_json *into, const gh_dry_stage *s) {
  gh_json *list = gh_json_put_array(err, into, "ranks");
  for (int i = 0; list && i < s->rank_count; i++) {
    const gh_dry_rank *r = &s->ranks[i];
    gh_json *row = gh_json_put_object(err, list, NULL);
    if (!row || gh_json_put_int(err, row, "samples", r->samples) ||
        gh_json_put_int(err, row, "micro_batch", r->micro_batch) ||
        gh_json_put_bool(err, row, "recompute", r->recompute) ||
        gh_json_put_int(err, row, "parameters_updated", r->kept) ||
        gh_json_put_int(err, row, "persistent_bytes", r->budget.lasting_bytes) ||
        gh_json_put_int(err, row, "peak_bytes", gh_budget_peak(&r->budget)))
      return err->status;
  }
  return list ? GH_OK : err->status;
}

static gh_status put_times(gh_error *err, gh_json *into, const gh_dry_stage *s) {
  const double seconds = seconds_per_update(s);
  gh_status status = put_rows(err, into, s->rows, s->row_count);
  if (!status) status = gh_json_put_double(err, into, "update_seconds", seconds);
  if (!status) status = gh_json_put_double(err, into, "update_flop", s->flops * (double)micro_batches(s));
  if (!status) status = gh_json_put_double(err, into, "images_per_second", (double)s->batch / seconds);
  return status ? status : gh_json_put_double(err, into, "hours", seconds_of(s) / 3600);
}

gh_json *gh_dry_run_json(gh_error *err, const gh_dry_stage *s) {
  gh_json *o = gh_budget_json(err, &s->budget, s->micro_batch, s->recompute);
  gh_status status = o ? gh_json_put_bool(err, o, "fits", s->fits) : err->status;
  if (!status && !s->fits) status = gh_json_put_string(err, o, "refusal", s->refusal);
  if (!status) status = put_helps(err, o, s);
  if (!status && s->rank_count) status = put_ranks(err, o, s);
  if (!status && s->fits) status = put_times(err, o, s);
  if (!status) return o;
  gh_json_free(o);
  return NULL;
}
