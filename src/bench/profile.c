#include "bench/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static void shape_text(char *out, size_t size, const gh_node *node) {
  const gh_tensor *t = node->outputs ? node->out[0] : node->in[0]; /* an update has no output */
  size_t used = 0;
  snprintf(out, size, "%s", t && !t->rank ? "scalar" : "");
  for (int i = 0; t && i < t->rank && used < size; i++)
    used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
}

static bool is_row(const gh_profile_row *row, const gh_profile_row *wanted) {
  return !strcmp(row->phase, wanted->phase) && row->op == wanted->op && !strcmp(row->name, wanted->name) &&
         !strcmp(row->shape, wanted->shape);
}

static size_t find_row(const gh_profile *p, const gh_profile_row *wanted) {
  size_t i = 0;
  while (i < p->row_count && !is_row(&p->rows[i], wanted)) i++;
  return i;
}

gh_status gh_profile_add(gh_error *err, gh_profile *p, const gh_launch_note *note, gh_bench_time began,
                         gh_bench_time taken) {
  gh_profile_row wanted = {.phase = note->node->phase ? note->node->phase : "other", .op = note->node->op->name};
  snprintf(wanted.name, sizeof wanted.name, "%s", note->name);
  shape_text(wanted.shape, sizeof wanted.shape, note->node);
  const size_t at = find_row(p, &wanted);
  if (at == p->row_count) {
    if (GH_ARRAY_RESERVE(err, p->rows, p->row_room, p->row_count, 1)) return err->status;
    p->rows[p->row_count++] = wanted;
  }
  if (GH_ARRAY_RESERVE(err, p->events, p->event_room, p->event_count, 1)) return err->status;
  p->events[p->event_count++] = (gh_profile_event){at, began.wall, taken.wall, note->flops};
  gh_profile_row *row = &p->rows[at];
  row->count++;
  row->time.wall += taken.wall;
  row->time.processor += taken.processor;
  row->flops += note->flops;
  return GH_OK;
}

static int longest_first(const void *a, const void *b) {
  const double x = (*(const gh_profile_row *const *)a)->time.processor;
  const double y = (*(const gh_profile_row *const *)b)->time.processor;
  return (x < y) - (x > y);
}

static int longest_by_clock_first(const void *a, const void *b) {
  const double x = (*(const gh_profile_row *const *)a)->time.wall, y = (*(const gh_profile_row *const *)b)->time.wall;
  return (x < y) - (x > y);
}

const gh_profile_row **gh_profile_sorted(gh_error *err, const gh_profile *p, bool by_clock) {
  const gh_profile_row **order = gh_alloc(err, p->row_count, sizeof *order);
  if (!order) return NULL;
  for (size_t i = 0; i < p->row_count; i++) order[i] = &p->rows[i];
  qsort(order, p->row_count, sizeof *order, by_clock ? longest_by_clock_first : longest_first);
  return order;
}

/* ---- the trace ---- */

enum { PHASES = 1, KERNELS }; /* threads of a process: two lines in the viewer */

static gh_json *put_event(gh_error *err, gh_json *list, const char *kind, const char *name, int process, int thread) {
  gh_json *event = gh_json_put_object(err, list, NULL);
  if (!event || gh_json_put_string(err, event, "ph", kind) || gh_json_put_string(err, event, "name", name) ||
      gh_json_put_int(err, event, "pid", process) || gh_json_put_int(err, event, "tid", thread))
    return NULL;
  return event;
}

static gh_status put_name(gh_error *err, gh_json *list, const char *what, int process, int thread, const char *name) {
  gh_json *event = put_event(err, list, "M", what, process, thread);
  gh_json *args = event ? gh_json_put_object(err, event, "args") : NULL;
  return args ? gh_json_put_string(err, args, "name", name) : err->status;
}

/* A span of seconds from the trace's beginning on, in microseconds. */
static gh_json *put_span(gh_error *err, gh_json *list, const char *name, int process, int thread, double began,
                         double seconds) {
  gh_json *event = put_event(err, list, "X", name, process, thread);
  if (!event || gh_json_put_double(err, event, "ts", began * 1e6) ||
      gh_json_put_double(err, event, "dur", seconds * 1e6))
    return NULL;
  return event;
}

static gh_status put_kernel(gh_error *err, gh_json *list, const gh_profile *p, const gh_profile_event *e, int process) {
  const gh_profile_row *row = &p->rows[e->row];
  gh_json *event = put_span(err, list, row->op, process, KERNELS, e->began - p->events[0].began, e->seconds);
  if (!event || gh_json_put_string(err, event, "cat", row->phase)) return err->status;
  gh_json *args = gh_json_put_object(err, event, "args");
  if (!args || gh_json_put_string(err, args, "kernel", row->name) || gh_json_put_string(err, args, "shape", row->shape))
    return err->status;
  if (!(e->flops > 0) || !(e->seconds > 0)) return GH_OK;
  return gh_json_put_double(err, args, "gflops", e->flops / e->seconds * 1e-9);
}

static gh_status put_phases(gh_error *err, gh_json *list, const gh_profile *p, int process) {
  for (size_t first = 0, next; first < p->event_count; first = next) {
    const char *phase = p->rows[p->events[first].row].phase;
    for (next = first + 1; next < p->event_count && !strcmp(p->rows[p->events[next].row].phase, phase);) next++;
    const double began = p->events[first].began, end = p->events[next - 1].began + p->events[next - 1].seconds;
    if (!put_span(err, list, phase, process, PHASES, began - p->events[0].began, end - began)) return err->status;
  }
  return GH_OK;
}

gh_status gh_profile_trace(gh_error *err, const gh_profile *p, int process, const char *title, gh_json *trace) {
  gh_json *list = (gh_json *)gh_json_member(trace, "traceEvents");
  if (!list && !(list = gh_json_put_array(err, trace, "traceEvents"))) return err->status;
  gh_status status = put_name(err, list, "process_name", process, 0, title);
  if (!status) status = put_name(err, list, "thread_name", process, PHASES, "phases");
  if (!status) status = put_name(err, list, "thread_name", process, KERNELS, "kernels");
  if (!status) status = put_phases(err, list, p, process);
  for (size_t i = 0; i < p->event_count && !status; i++) status = put_kernel(err, list, p, &p->events[i], process);
  return status;
}

void gh_profile_free(gh_profile *p) {
  free(p->rows);
  free(p->events);
  *p = (gh_profile){0};
}
