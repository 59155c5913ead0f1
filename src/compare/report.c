/* The output of a comparison: lines on stdout, and the same in JSON with every tensor. */
#include "compare/internal.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_OPS 8

static gh_status put_number(gh_error *err, gh_json *parent, const char *key, double value) {
  return isfinite(value) ? gh_json_put_double(err, parent, key, value) : gh_json_put_null(err, parent, key);
}

gh_status gh_compare_open_report(gh_error *err, gh_device *const devices[2], const gh_compare_options *options,
                                 gh_json *result) {
  gh_json *list = gh_json_put_array(err, result, "devices");
  if (!list || gh_json_put_double(err, result, "tolerance", options->tolerance)) return err->status;
  for (int i = 0; i < 2; i++) {
    const gh_device_info *info = &devices[i]->info;
    const char *shape = info->shape == GH_SHAPE_CPU ? "cpu" : "gpu";
    gh_json *device = gh_json_put_object(err, list, NULL);
    if (!device || gh_json_put_string(err, device, "id", info->id) ||
        gh_json_put_string(err, device, "name", info->name) ||
        gh_json_put_string(err, device, "platform", info->platform) ||
        gh_json_put_string(err, device, "driver", info->driver) ||
        gh_json_put_string(err, device, "kernel_shape", shape))
      return err->status;
    printf("%c: %s, %s (%s %s), kernels of the %s's shape\n", 'A' + i, info->id, info->name, info->platform,
           info->driver, shape);
  }
  return gh_json_put_array(err, result, "stages") ? GH_OK : err->status;
}

gh_json *gh_compare_begin_stage(gh_error *err, gh_json *result, const gh_loop *l, int64_t steps, bool recompute) {
  gh_json *stages = (gh_json *)gh_json_member(result, "stages"), *stage = gh_json_put_object(err, stages, NULL);
  if (!stage || gh_json_put_int(err, stage, "stage", l->number) ||
      gh_json_put_int(err, stage, "micro_batch", l->micro_batch) || !gh_json_put_array(err, stage, "steps"))
    return NULL;
  printf("\n%s: %lld updates of %lld samples, micro-batch %lld%s; %d trained tensors, %d nodes per step\n", l->label,
         (long long)steps, (long long)l->stage->batch, (long long)l->micro_batch, recompute ? ", recomputing" : "",
         l->update.count, gh_graph_node_count(l->step.graph));
  printf("%5s  %-12s  %-12s  %-8s  %-9s  %-8s  %s\n", "step", "loss A", "loss B", "drift", "gradients", "weights",
         "worst gradient, worst weight");
  return stage;
}

static gh_status put_drift(gh_error *err, gh_json *step, const char *key, const gh_update *update,
                           const gh_drift *drift) {
  gh_json *object = gh_json_put_object(err, step, key), *each = NULL;
  if (!object || put_number(err, object, "total", drift->total) || put_number(err, object, "worst", drift->worst) ||
      gh_json_put_string(err, object, "worst_name", drift->name) ||
      !(each = gh_json_put_object(err, object, "tensors")))
    return err->status;
  gh_status status = GH_OK;
  for (int i = 0; i < update->count && !status; i++)
    status = put_number(err, each, update->parameters[i]->name, drift->each[i]);
  return status;
}

gh_status gh_compare_put_step(gh_error *err, gh_json *stage, const gh_update *update, const gh_compared_step *s) {
  printf("%5lld  %-12.8g  %-12.8g  %-8.1e  %-9.1e  ", (long long)s->step, s->loss[0], s->loss[1], s->loss_drift,
         s->gradients.total);
  if (s->updated)
    printf("%-8.1e  %s %.1e, %s %.1e\n", s->weights.total, s->gradients.name, s->gradients.worst, s->weights.name,
           s->weights.worst);
  else
    printf("%-8s  %s %.1e\n", "-", s->gradients.name, s->gradients.worst);
  gh_json *row = gh_json_put_object(err, (gh_json *)gh_json_member(stage, "steps"), NULL), *losses = NULL;
  if (!row || gh_json_put_int(err, row, "step", s->step) || gh_json_put_int(err, row, "left_out", s->left_out) ||
      !(losses = gh_json_put_array(err, row, "loss")) || put_number(err, losses, NULL, s->loss[0]) ||
      put_number(err, losses, NULL, s->loss[1]) || put_number(err, row, "loss_drift", s->loss_drift) ||
      put_drift(err, row, "gradients", update, &s->gradients))
    return err->status;
  return s->updated ? put_drift(err, row, "weights", update, &s->weights) : GH_OK;
}

/* ---- the walk ---- */

void gh_compare_describe(char *text, size_t size, const gh_node_difference *f) {
  const gh_node *node = f->node;
  const char *weight = NULL;
  char shape[64];
  gh_shape_text(shape, sizeof shape, f->tensor->rank, f->tensor->shape);
  for (int i = 0; i < node->inputs && !weight; i++)
    if (node->in[i] && gh_tensor_elements(node->in[i]) > 1 && node->in[i]->lifetime == GH_PERSISTENT &&
        node->in[i]->dtype != GH_U32)
      weight = node->in[i]->name;
  snprintf(text, size, "%s (node %d%s%s, %s of %s%s%s) is off by %.2g; a rounding error in its inputs explains %.2g",
           node->op->name, f->index, node->phase ? " of the " : "", node->phase ? node->phase : "", f->tensor->name,
           shape, weight ? ", reads " : "", weight ? weight : "", f->difference, f->rounding);
}

static int by_worst(const void *x, const void *y) {
  const gh_compared_op *a = x, *b = y;
  return a->worst < b->worst ? 1 : a->worst > b->worst ? -1 : strcmp(a->op->name, b->op->name);
}

static gh_status put_ops(gh_error *err, gh_json *walk, const gh_compared_nodes *w) {
  gh_json *ops = gh_json_put_array(err, walk, "ops");
  if (!ops) return err->status;
  for (int i = 0; i < w->count; i++) {
    gh_json *op = gh_json_put_object(err, ops, NULL);
    if (!op || gh_json_put_string(err, op, "op", w->ops[i].op->name) ||
        gh_json_put_int(err, op, "nodes", w->ops[i].nodes) || put_number(err, op, "worst", w->ops[i].worst) ||
        (w->ops[i].rounding >= 0 && put_number(err, op, "rounding", w->ops[i].rounding)))
      return err->status;
  }
  return GH_OK;
}

static gh_status put_first(gh_error *err, gh_json *walk, const gh_compared_nodes *w) {
  const gh_node_difference *f = &w->first;
  if (!f->node) return gh_json_put_null(err, walk, "first_wrong");
  gh_json *first = gh_json_put_object(err, walk, "first_wrong");
  if (!first || gh_json_put_string(err, first, "op", f->node->op->name) ||
      gh_json_put_int(err, first, "node", f->index) || gh_json_put_string(err, first, "tensor", f->tensor->name) ||
      put_number(err, first, "difference", f->difference) || put_number(err, first, "rounding", f->rounding) ||
      gh_json_put_string(err, first, "text", w->text))
    return err->status;
  return GH_OK;
}

gh_status gh_compare_put_nodes(gh_error *err, gh_json *stage, const gh_compared_step *s, gh_compared_nodes *w) {
  qsort(w->ops, (size_t)w->count, sizeof *w->ops, by_worst);
  if (s->left_out)
    printf("%d tensors are excluded from these drifts: their gradients are only rounding error\n", s->left_out);
  printf("step %lld op by op, with A's inputs on both devices: %d nodes; the ops that differ most:\n",
         (long long)w->step, w->nodes);
  printf("  %-26s %5s  %-8s  %s\n", "op", "nodes", "worst", "change when its inputs move by a rounding error");
  for (int i = 0; i < GH_MIN(w->count, SHOWN_OPS); i++) {
    const gh_compared_op *o = &w->ops[i];
    printf("  %-26s %5d  %-8.1e  ", o->op->name, o->nodes, o->worst);
    if (o->rounding >= 0)
      printf("%.1e\n", o->rounding);
    else
      printf("-\n");
  }
  if (w->first.node) printf("  first wrong: %s\n", w->text);
  gh_json *walk = gh_json_put_object(err, stage, "op_by_op");
  if (!walk || gh_json_put_int(err, walk, "step", w->step) || gh_json_put_int(err, walk, "nodes", w->nodes))
    return err->status;
  gh_status status = put_ops(err, walk, w);
  return status ? status : put_first(err, walk, w);
}
