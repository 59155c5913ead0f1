#include "train/dry_run.h"
#include "backend/chooser/gemm.h"
#include "base/log.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEMM      "gemm "
#define CONV      "conv2d"
#define ATTENTION "attention"

typedef struct gh_row_of_plan {
  char shape[112];
  const char *by;
  int count; /* launches per step */
  double flops;
} gh_row_of_plan;

static const char *provider_of(const gh_device *d, const char *key) {
  for (int i = 0; i < gh_choice_count(d, &gh_gemm_kind); i++) {
    const char *known, *provider;
    gh_choice_at(d, &gh_gemm_kind, i, &known, &provider);
    if (!strcmp(key, known)) return provider;
  }
  return "own kernel";
}

/* The shape of an attention: "577 x 577, 16 heads of 64". */
static void describe_attention(const gh_launch_note *note, gh_row_of_plan *row) {
  const int64_t *q = note->node->in[0]->shape, *k = note->node->in[1]->shape;
  snprintf(row->shape, sizeof row->shape, "%lld x %lld, %lld heads of %lld", (long long)q[1], (long long)k[1],
           (long long)q[2], (long long)q[3]);
  row->by = note->name;
}

/* Shape and kernel of a launch that is a matrix product, a convolution or attention; false for the others. */
static bool describe(const gh_device *d, const gh_launch_note *note, gh_row_of_plan *row) {
  if (!strncmp(note->name, GEMM, strlen(GEMM))) {
    snprintf(row->shape, sizeof row->shape, "%s", note->name + strlen(GEMM));
    row->by = provider_of(d, row->shape);
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
  row->by = note->name;
  return true;
}

static int by_flops(const void *a, const void *b) {
  const gh_row_of_plan *x = a, *y = b;
  return x->flops < y->flops ? 1 : x->flops > y->flops ? -1 : strcmp(x->shape, y->shape);
}

/* Distinct products, convolutions and attentions of the step, most arithmetic first. */
static int collect(const gh_device *d, const gh_graph *g, gh_row_of_plan *rows) {
  int count = 0;
  for (int i = 0; i < gh_graph_launch_count(g); i++) {
    const gh_launch_note note = gh_graph_launch_note(g, i);
    gh_row_of_plan row = {0};
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

static gh_status put_rows(gh_error *err, gh_json *into, const gh_row_of_plan *rows, int count) {
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

static void print_rows(const gh_loop *l, int total, const gh_row_of_plan *rows, int count) {
  printf("%s: %d launches per micro-batch; matrix products, convolutions and attention by arithmetic:\n", l->label,
         total);
  printf("  %9s %6s  %-56s %s\n", "GFLOP", "times", "shape", "by");
  for (int i = 0; i < count; i++)
    printf("  %9.3f %6d  %-56s %s\n", rows[i].flops * 1e-9, rows[i].count, rows[i].shape, rows[i].by);
}

static gh_status list(gh_error *err, const gh_loop *l, gh_json *into) {
  int total = gh_graph_launch_count(l->step.graph);
  gh_row_of_plan *rows = gh_alloc(err, (size_t)total, sizeof *rows);
  if (!rows) return GH_ERROR_MEMORY;
  int count = collect(l->device, l->step.graph, rows);
  if (!l->quiet) print_rows(l, total, rows, count);
  gh_status status = put_rows(err, into, rows, count);
  free(rows);
  return status;
}

static gh_status run_timed(gh_error *err, const gh_loop *l, gh_graph *g, double *seconds) {
  double began = gh_now();
  gh_status status = gh_graph_run(err, g);
  if (!status) status = l->device->backend->finish(err, l->device);
  *seconds = gh_now() - began;
  return status;
}

gh_status gh_dry_run_report(gh_error *err, gh_loop *l, gh_json *into) {
  double first, step = 0, update = 0;
  const gh_step_values values = {.update = 1,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .samples = (uint32_t)l->micro_batch,
                                 .weight = 1 / (double)l->stage->batch};
  gh_status status = list(err, l, into);
  if (!status) status = gh_step_write(err, l->device, l->step.block, &values);
  if (!status) status = run_timed(err, l, l->step.graph, &first); /* the first run touches memory and compiles */
  if (!status) status = run_timed(err, l, l->step.graph, &step);
  if (!status) status = run_timed(err, l, l->update.graph, &update);
  if (status) return status;
  int64_t micro_batches = GH_CEIL_DIV(l->stage->batch, l->micro_batch);
  double seconds = (double)micro_batches * step + update, flops = gh_graph_flops(l->step.graph);
  if (!l->quiet)
    printf(
        "%s: an update of %lld samples, %.4g GFLOP, takes about %.3g s (%lld x %.3g s + %.3g s), %.3g images/s, %.0f "
        "GFLOP/s; %lld updates take %.3g hours\n",
        l->label, (long long)l->stage->batch, flops * 1e-9 * (double)micro_batches, seconds, (long long)micro_batches,
        step, update, (double)l->stage->batch / seconds, flops * 1e-9 / step, (long long)l->stage->steps,
        seconds * (double)l->stage->steps / 3600);
  if (gh_json_put_double(err, into, "update_seconds", seconds) ||
      gh_json_put_double(err, into, "update_flop", flops * (double)micro_batches) ||
      gh_json_put_double(err, into, "images_per_second", (double)l->stage->batch / seconds))
    return err->status;
  return GH_OK;
}
