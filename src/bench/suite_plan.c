/* The tasks of a suite, the most telling first. */
#include "backend/registry.h"
#include "base/array.h"
#include "base/log.h"
#include "bench/ops.h"
#include "bench/suite_internal.h"
#include "models/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ARCHS 64

static const gh_precision precisions[GH_SUITE_TYPES] = {GH_PRECISION_FLOAT32, GH_PRECISION_BFLOAT16,
                                                        GH_PRECISION_FLOAT16};

static gh_dtype type(size_t t) { return gh_precision_storage(precisions[t]); }

/* ---- kinds ---- */

enum { PEAKS, PRODUCT_PEAK, LATENCY, TRANSFERS, STEPS, DRIFT, PRODUCTS, OPS, LOADER, KINDS };

static const gh_task_kind kinds[KINDS + 1] = {
    [PEAKS] = {"peaks", "arithmetic and memory of each device", "GFLOP/s", 4, 0, false, gh_task_peaks},
    [PRODUCT_PEAK] = {"peaks", NULL, "GFLOP/s", 6, 0, true, gh_task_product_peak},
    [LATENCY] = {"latency", "launches", "s", 0.5, 0, false, gh_task_latency},
    [TRANSFERS] = {"transfers", "between host and device", "GB/s", 0.5, 0, false, gh_task_transfers},
    [STEPS] = {"steps", "whole training steps: both stages, every denoiser, three sizes", "images/s", 3, 4, true,
               gh_task_step},
    [DRIFT] = {"drift", "losses and gradients against the first device", "relative", 4, 12, true, gh_task_drift},
    [PRODUCTS] = {"products", "every matrix product, convolution and attention of the encoders and denoisers", "s", 0.5,
                  30, true, gh_task_product},
    [OPS] = {"ops", "every op", "s", 0.5, 6, true, gh_task_op},
    [LOADER] = {"loader", "decoding and cropping pictures", "images/s", 2, 0, false, gh_task_loader},
};

_Static_assert(KINDS <= GH_SUITE_KINDS, "every kind has its own estimate");

const gh_task_kind *gh_suite_kind(int index) { return index < KINDS ? &kinds[index] : NULL; }

const char *gh_suite_part(int index, const char **summary) {
  for (int i = 0; i < KINDS; i++)
    if (kinds[i].summary && !index--) {
      *summary = kinds[i].summary;
      return kinds[i].part;
    }
  return NULL;
}

/* Whether `name` is one of a list separated by commas. */
static bool listed(const char *list, const char *name) {
  const size_t length = strlen(name);
  for (const char *at = list; *at;) {
    const size_t n = strcspn(at, ",");
    if (n == length && !strncmp(at, name, n)) return true;
    at += n + (at[n] == ',');
  }
  return false;
}

static bool wanted(const gh_suite *s, int kind) {
  return !s->options->parts || listed(s->options->parts, kinds[kind].part);
}

static gh_status check_parts(gh_error *err, const char *parts) {
  char known[256] = "";
  size_t used = 0;
  const char *summary, *name;
  for (int i = 0; (name = gh_suite_part(i, &summary)) && used < sizeof known; i++)
    used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name);
  for (const char *at = parts; at && *at;) {
    char one[64];
    const size_t n = strcspn(at, ",");
    bool found = false;
    snprintf(one, sizeof one, "%.*s", (int)GH_MIN(n, sizeof one), at);
    for (int i = 0; (name = gh_suite_part(i, &summary)); i++) found |= !strcmp(name, one);
    if (!found) return gh_fail(err, GH_ERROR_ARGUMENT, "bench suite: --parts has \"%s\"; the parts are %s", one, known);
    at += n + (at[n] == ',');
  }
  return GH_OK;
}

/* ---- adding ---- */

static gh_task *add(gh_error *err, gh_suite *s, int kind, int device, int rank) {
  if (GH_ARRAY_RESERVE(err, s->tasks, s->capacity, s->count, 1)) return NULL;
  gh_task *task = &s->tasks[s->count];
  *task = (gh_task){.kind = &kinds[kind], .device = device, .rank = rank, .order = s->count};
  s->count++;
  return task;
}

static gh_status add_title(gh_error *err, gh_task *task, const gh_result_title *title) {
  if (!task) return err->status;
  task->title = *title;
  snprintf(task->shape, sizeof task->shape, "%s", title->shape ? title->shape : "");
  return GH_OK;
}

/* Tasks without sizes: their last row's title. */
static gh_status add_simple(gh_error *err, gh_suite *s, int kind, int device, int rank, const char *row,
                            const char *op) {
  if (!wanted(s, kind)) return GH_OK;
  return add_title(err, add(err, s, kind, device, rank), &(gh_result_title){.kind = row, .op = op});
}

/* Whether an earlier one is the same device with kernels of another shape: peaks are those of both. */
static bool has_sibling(const gh_suite *s, int device) {
  const char *id = s->devices[device].id;
  const size_t n = strcspn(id, "/");
  for (int i = 0; i < device; i++)
    if (strcspn(s->devices[i].id, "/") == n && !strncmp(s->devices[i].id, id, n)) return true;
  return false;
}

static gh_status add_probes(gh_error *err, gh_suite *s) {
  gh_status status = GH_OK;
  for (int d = 0; d < s->device_count && !status; d++) {
    const bool first = !has_sibling(s, d);
    if (first) status = add_simple(err, s, PEAKS, d, 0, "peak", "fma");
    for (size_t t = 0; t < GH_SUITE_TYPES && !status && first && wanted(s, PRODUCT_PEAK); t++) {
      gh_task *task = add(err, s, PRODUCT_PEAK, d, 1);
      status =
          add_title(err, task, &(gh_result_title){.kind = "peak", .op = "product", .dtype = gh_dtype_name(type(t))});
      if (status) break;
      task->storage = type(t);
    }
    if (!status) status = add_simple(err, s, LATENCY, d, 2, "latency", "launch, many at once");
    if (!status) status = add_simple(err, s, TRANSFERS, d, 2, "transfer", "device to host");
  }
  return status ? status : add_simple(err, s, LOADER, GH_SUITE_HOST, 3, "loader", "loader");
}

/* ---- steps and drift ---- */

static gh_status set_step(gh_error *err, gh_suite *s, gh_bench_options *o, const char *arch, const char *denoiser,
                          int stage, gh_precision precision) {
  *o = (gh_bench_options){.arch = arch,
                          .stage = stage,
                          .precision = precision,
                          .batch = s->options->batch,
                          .warmup = 1,
                          .repeats = s->options->repeats,
                          .whole = true};
  char *set = gh_format(err, "denoiser.kind=%s", denoiser);
  gh_status status = set ? gh_strings_add(err, &o->sets, set) : GH_ERROR_MEMORY;
  free(set);
  return status;
}

/* The cost of a step's encoder, to order the architectures. */
static double cost_of(const gh_arch *arch) {
  return (double)gh_arch_parameters(arch) * (double)gh_vision_tokens(&arch->vision);
}

static bool is_tiny(const gh_arch *arch) { return !strncmp(arch->name, "tiny", 4); }

static gh_status find_archs(gh_error *err, const char *list, const gh_arch **out, int *count) {
  *count = 0;
  for (const gh_family *const *f = gh_families; !list && *f; f++)
    for (const gh_arch *a = (*f)->archs; a->name && *count < MOST_ARCHS; a++)
      if (a->published) out[(*count)++] = a;
  for (const char *at = list; at && *at && *count < MOST_ARCHS;) {
    char name[64];
    const size_t n = strcspn(at, ",");
    snprintf(name, sizeof name, "%.*s", (int)GH_MIN(n, sizeof name), at);
    if (gh_arch_find(err, name, &out[(*count)++])) return err->status;
    at += n + (at[n] == ',');
  }
  return GH_OK;
}

/* The tiny one, the cheapest and the dearest; of a given list, all. */
static gh_status find_sizes(gh_error *err, const char *list, const gh_arch **archs, int count, const gh_arch **out,
                            int *sizes) {
  const gh_arch *least = archs[0], *most = archs[0];
  *sizes = 0;
  for (int i = 0; i < count; i++) {
    if (list) out[(*sizes)++] = archs[i];
    if (cost_of(archs[i]) < cost_of(least)) least = archs[i];
    if (cost_of(archs[i]) > cost_of(most)) most = archs[i];
  }
  if (list) return GH_OK;
  gh_status status = gh_arch_find(err, "tiny", &out[(*sizes)++]);
  out[(*sizes)++] = least;
  if (most != least) out[(*sizes)++] = most;
  return status;
}

static gh_status add_step(gh_error *err, gh_suite *s, int kind, int device, int rank, const gh_bench_options *step) {
  gh_task *task = add(err, s, kind, device, rank);
  if (!task) return err->status;
  task->step = *step;
  task->step.sets = (gh_strings){0};
  task->storage = gh_precision_storage(step->precision);
  gh_status status = gh_strings_copy(err, &task->step.sets, &step->sets);
  if (!status) status = gh_collect_step_title(err, step, &task->title, task->shape, sizeof task->shape);
  if (kind != DRIFT || status) return status;
  char shape[sizeof task->shape];
  snprintf(shape, sizeof shape, "%s, %.160s, against %s", task->title.op, task->shape, s->devices[0].id);
  memcpy(task->shape, shape, sizeof shape);
  task->title.kind = "drift";
  task->title.op = "gradient norm";
  return GH_OK;
}

/* One step on every device, and its drift where it is tiny. */
static gh_status add_step_everywhere(gh_error *err, gh_suite *s, const gh_arch *arch, int size, const char *denoiser,
                                     int stage, size_t t) {
  static const int ranks[] = {3, 6, 9}; /* by size */
  gh_bench_options step;
  gh_status status = set_step(err, s, &step, arch->name, denoiser, stage, precisions[t]);
  for (int d = 0; d < s->device_count && !status; d++) {
    if (wanted(s, STEPS)) status = add_step(err, s, STEPS, d, ranks[GH_MIN(size, 2)] + (int)t, &step);
    if (!status && wanted(s, DRIFT) && d && is_tiny(arch)) status = add_step(err, s, DRIFT, d, 4, &step);
  }
  gh_strings_free(&step.sets);
  return status;
}

static gh_status add_steps(gh_error *err, gh_suite *s, const gh_arch **archs, int count) {
  const gh_arch *sizes[MOST_ARCHS + 3];
  int size_count = 0;
  const gh_config_kind *kind;
  gh_status status = find_sizes(err, s->options->archs, archs, count, sizes, &size_count);
  for (int i = 0; i < size_count; i++)
    for (int k = 0; (kind = gh_config_kind_at(k)); k++)
      for (int stage = 2; stage >= 1; stage--)
        for (size_t t = 0; t < GH_SUITE_TYPES && !status; t++)
          status = add_step_everywhere(err, s, sizes[i], is_tiny(sizes[i]) ? 0 : i, kind->name, stage, t);
  return status;
}

/* ---- products and ops ---- */

/* Those of both stages and types. An encoder that cannot be trained with the denoiser has none: it is named, and its
 * steps have rows that say why. */
static gh_status collect_products_of(gh_error *err, gh_suite *s, gh_device *device, const char *arch,
                                     const char *denoiser) {
  gh_status status = GH_OK;
  for (int i = 0; i < 2 * GH_SUITE_TYPES && !status; i++) {
    const int t = i % GH_SUITE_TYPES;
    gh_bench_options step;
    status = set_step(err, s, &step, arch, denoiser, 1 + i / GH_SUITE_TYPES, precisions[t]);
    if (!status) status = gh_products_of_step(err, device, &step, &s->products[t]);
    gh_strings_free(&step.sets);
  }
  if (status != GH_ERROR_CONFIG) return status;
  gh_warn("the products of %s with the %s denoiser are left out: %s", arch, denoiser, err->text);
  return GH_OK;
}

static gh_status collect_products(gh_error *err, gh_suite *s, const gh_arch **archs, int count) {
  const gh_config_kind *kind;
  gh_device *device = NULL;
  gh_status status = gh_suite_open(err, s, 0, &device);
  for (int i = 0; i < count; i++)
    for (int k = 0; (kind = gh_config_kind_at(k)) && !status; k++)
      status = collect_products_of(err, s, device, archs[i]->name, kind->name);
  return status;
}

/* Products by their share of all steps' work: the first few say most. */
static int rank_of_product(size_t place) { return place < 8 ? 4 : place < 24 ? 5 : place < 64 ? 7 : 11; }

static gh_status add_products(gh_error *err, gh_suite *s) {
  gh_status status = GH_OK;
  for (int t = 0; t < GH_SUITE_TYPES; t++) {
    gh_products_sort(&s->products[t]);
    for (size_t i = 0; i < s->products[t].count; i++)
      for (int d = 0; d < s->device_count && !status; d++) {
        const gh_product *p = &s->products[t].items[i];
        const gh_result_title title = {.kind = "product",
                                       .op = p->op->name,
                                       .shape = p->label,
                                       .dtype = gh_dtype_name(p->storage),
                                       .batch = p->batch};
        gh_task *task = add(err, s, PRODUCTS, d, rank_of_product(i) + (precisions[t] == GH_PRECISION_FLOAT16));
        status = add_title(err, task, &title);
        if (status) break;
        task->product = p;
        task->storage = p->storage;
        task->flops = 3 * p->once;
      }
  }
  return status;
}

static gh_status add_ops(gh_error *err, gh_suite *s) {
  gh_status status = GH_OK;
  for (int i = 0; i < gh_op_case_count(); i++)
    for (size_t t = 0; t < GH_SUITE_TYPES; t++)
      for (int d = 0; d < s->device_count && !status && gh_op_case_has(i, type(t)); d++) {
        gh_result_title title = {.dtype = gh_dtype_name(type(t)), .batch = s->options->batch};
        title.op = gh_op_case_name(i, &title.shape);
        title.kind = gh_is_product(title.op) ? "product" : "op";
        gh_task *task = add(err, s, OPS, d, 8);
        status = add_title(err, task, &title);
        if (status) break;
        task->index = i;
        task->storage = type(t);
      }
  return status;
}

/* ---- all ---- */

static int earlier_first(const void *a, const void *b) {
  const gh_task *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return x->order < y->order ? -1 : 1;
}

/* A row's batch and shape identify a product of the table of ops and of a step alike: the second is not run again. */
gh_status gh_suite_plan(gh_error *err, gh_suite *s) {
  const gh_arch *archs[MOST_ARCHS];
  int count = 0;
  gh_status status = check_parts(err, s->options->parts);
  if (!status) status = find_archs(err, s->options->archs, archs, &count);
  if (!status) status = add_probes(err, s);
  if (!status && (wanted(s, STEPS) || wanted(s, DRIFT))) status = add_steps(err, s, archs, count);
  if (!status && wanted(s, PRODUCTS)) status = collect_products(err, s, archs, count);
  if (!status && wanted(s, PRODUCTS)) status = add_products(err, s);
  if (!status && wanted(s, OPS)) status = add_ops(err, s);
  if (!status && s->count) qsort(s->tasks, s->count, sizeof *s->tasks, earlier_first);
  for (size_t i = 0; i < s->count; i++)
    s->tasks[i].title.shape = *s->tasks[i].shape ? s->tasks[i].shape : NULL; /* the array has its final place */
  return status;
}

void gh_suite_free_tasks(gh_suite *s) {
  for (size_t i = 0; i < s->count; i++) gh_strings_free(&s->tasks[i].step.sets);
  free(s->tasks);
  s->tasks = NULL;
  s->count = s->capacity = 0;
  for (int t = 0; t < GH_SUITE_TYPES; t++) gh_products_free(&s->products[t]);
}
