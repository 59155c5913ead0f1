#include "bench/products.h"
#include "base/array.h"
#include "bench/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels ---- */

/* "257x1024": all dimensions but the first, which is the batch. */
static void sizes(char *out, size_t size, const gh_product_input *in) {
  gh_shape_text(out, size, GH_MAX(in->rank - 1, 0), in->shape + GH_MIN(in->rank, 1));
}

static int label_linear(char *out, size_t size, const gh_product *p) {
  char x[64];
  sizes(x, sizeof x, &p->in[0]);
  return snprintf(out, size, "%s -> %lld%s", x, (long long)p->in[1].shape[0],
                  p->inputs > 3 && p->in[3].given ? ", adapted" : "");
}

static int label_conv2d(char *out, size_t size, const gh_product *p) {
  char x[64];
  sizes(x, sizeof x, &p->in[0]);
  const int64_t *kernel = p->in[1].shape;
  return snprintf(out, size, "%lldx%lld, %s -> %lld, stride %.0f", (long long)kernel[2], (long long)kernel[3], x,
                  (long long)kernel[0], p->attr[0]);
}

static int label_attention(char *out, size_t size, const gh_product *p) {
  const int64_t *q = p->in[0].shape, *k = p->in[1].shape;
  return snprintf(out, size, "%lld tokens of %lld, %lld heads of %lld%s", (long long)q[1], (long long)k[1],
                  (long long)q[2], (long long)q[3], p->inputs > 3 && p->in[3].given ? ", masked" : "");
}

static int label_matmul(char *out, size_t size, const gh_product *p) {
  char a[64], b[64];
  gh_shape_text(a, sizeof a, p->in[0].rank, p->in[0].shape);
  gh_shape_text(b, sizeof b, p->in[1].rank, p->in[1].shape);
  return snprintf(out, size, "%s by %s", a, b);
}

static const struct {
  const char *op;
  int (*label)(char *out, size_t size, const gh_product *p);
} kinds[] = {
    {"linear", label_linear}, {"conv2d", label_conv2d}, {"attention", label_attention}, {"matmul", label_matmul}};

static int kind_of(const char *op) {
  for (int i = 0; i < (int)GH_COUNT(kinds); i++)
    if (!strcmp(kinds[i].op, op)) return i;
  return -1;
}

bool gh_is_product(const char *op) { return kind_of(op) >= 0; }

static void label(gh_product *p) {
  const bool x = p->in[0].wanted, weight = p->inputs > 1 && p->in[1].given && p->in[1].wanted;
  const int n = kinds[kind_of(p->op->name)].label(p->label, sizeof p->label, p);
  if (n < 0 || n >= (int)sizeof p->label) return;
  snprintf(p->label + n, sizeof p->label - (size_t)n, "%s",
           x && weight ? ""
           : x         ? ", frozen"
           : weight    ? ", first"
                       : ", no gradient");
}

/* ---- collecting ---- */

static void describe(gh_product *out, const gh_node *node) {
  memset(out, 0, sizeof *out); /* padding, too: products are compared as bytes */
  out->op = node->op;
  out->inputs = node->inputs;
  memcpy(out->attr, node->attr, sizeof out->attr);
  for (int i = 0; i < node->inputs; i++) {
    const gh_tensor *t = node->in[i];
    if (!t) continue;
    gh_product_input *in = &out->in[i];
    in->given = true;
    in->rank = t->rank;
    in->dtype = t->dtype;
    in->wanted = gh_wants_grad(t) && t->dtype != GH_I32;
    in->working = t->working ? t->working->dtype : GH_F32;
    memcpy(in->shape, t->shape, (size_t)t->rank * sizeof *t->shape);
    if (gh_dtype_is_narrow(gh_operand_dtype(t))) out->storage = gh_operand_dtype(t);
  }
  out->batch = node->in[0]->rank ? node->in[0]->shape[0] : 1;
}

static bool same(const gh_product *a, const gh_product *b) {
  return a->op == b->op && a->inputs == b->inputs && !memcmp(a->in, b->in, sizeof a->in) &&
         !memcmp(a->attr, b->attr, sizeof a->attr);
}

/* Two that differ in something their labels do not say are told apart by a number. */
static void number_label(gh_products *list, gh_product *added) {
  int twins = 0;
  for (gh_product *p = list->items; p < added; p++) {
    const size_t n = strlen(added->label);
    twins += p->op == added->op && p->storage == added->storage && p->batch == added->batch &&
             !strncmp(p->label, added->label, n) && (!p->label[n] || gh_starts_with(p->label + n, " #"));
  }
  const size_t n = strlen(added->label);
  if (twins) snprintf(added->label + n, sizeof added->label - n, " #%d", twins + 1);
}

static gh_status collect(gh_error *err, void *user, const gh_graph *graph) {
  gh_products *list = user;
  for (int i = 0; i < gh_graph_node_count(graph); i++) {
    const gh_node *node = gh_graph_node(graph, i);
    gh_product one;
    if ((node->phase && !strcmp(node->phase, "backward")) || !gh_is_product(node->op->name)) continue;
    describe(&one, node);
    size_t k = 0;
    while (k < list->count && !same(&list->items[k], &one)) k++;
    if (k == list->count) {
      if (GH_ARRAY_RESERVE(err, list->items, list->capacity, list->count, 1)) return GH_ERROR_MEMORY;
      gh_product *added = &list->items[list->count++];
      *added = one;
      label(added);
      number_label(list, added);
      added->once = node->op->flops ? node->op->flops(node) : 0;
    }
    list->items[k].flops += list->items[k].once;
  }
  return GH_OK;
}

gh_status gh_products_of_step(gh_error *err, gh_device *device, const gh_bench_options *options, gh_products *list) {
  return gh_bench_record(err, device, options, collect, list);
}

static int most_telling_first(const void *a, const void *b) {
  const gh_product *x = a, *y = b;
  if (x->flops != y->flops) return x->flops < y->flops ? 1 : -1;
  const int by_op = strcmp(x->op->name, y->op->name);
  return by_op ? by_op : strcmp(x->label, y->label);
}

void gh_products_sort(gh_products *list) {
  if (list->count) qsort(list->items, list->count, sizeof *list->items, most_telling_first);
}

void gh_products_free(gh_products *list) {
  free(list->items);
  *list = (gh_products){0};
}

/* ---- running ---- */

static gh_status add_input(gh_error *err, gh_case *run, const gh_product_input *in, int i, gh_tensor **out) {
  char name[16];
  snprintf(name, sizeof name, "in%d", i);
  const bool whole = in->dtype == GH_I32 || in->dtype == GH_U32;
  gh_status status = GH_OK;
  if (!whole && in->working == GH_F32) {
    status = gh_case_tensor(err, run, name, in->dtype, in->rank, in->shape, 0, out);
  } else { /* integers are a mask: zeros hide nothing; a working copy is filled by the next write */
    status = gh_store_add(err, run->store, name, in->dtype, in->rank, in->shape, out);
    if (!status && in->working != GH_F32) status = gh_store_make_working(err, run->store, *out, in->working);
    if (!status && in->working != GH_F32) status = gh_case_fill(err, run, *out);
  }
  if (!status) (*out)->needs_grad = in->wanted;
  return status;
}

gh_status gh_product_run(gh_error *err, gh_device *device, const gh_product *p, const gh_bench_repeats *how,
                         gh_op_bench *out) {
  gh_case run;
  gh_tensor *in[GH_MAX_INPUTS] = {NULL};
  gh_status status = gh_case_open(err, &run, device);
  for (int i = 0; i < p->inputs && !status; i++)
    if (p->in[i].given) status = add_input(err, &run, &p->in[i], i, &in[i]);
  gh_tensor *result = status ? NULL : gh_apply(run.graph, p->op, in, p->inputs, p->attr, GH_MAX_ATTRS);
  if (!status) status = gh_case_plan(err, &run, result, in, p->inputs);
  if (!status) status = gh_case_time(err, &run, how, out);
  gh_case_close(&run);
  return status ? gh_fail_in(err, "%s, %s", p->op->name, p->label) : GH_OK;
}

/* ---- the peak of a type ---- */

static void square(gh_product *out, int64_t side, gh_dtype storage) {
  memset(out, 0, sizeof *out);
  out->op = gh_op_named("linear");
  out->inputs = 3; /* without a bias */
  out->storage = storage;
  out->batch = 1;
  for (int i = 0; i < 2; i++) {
    out->in[i] = (gh_product_input){.rank = 2, .given = true, .dtype = storage};
    out->in[i].shape[0] = out->in[i].shape[1] = side;
  }
  out->attr[0] = storage; /* the type of the result */
  snprintf(out->label, sizeof out->label, "%lldx%lld -> %lld", (long long)side, (long long)side, (long long)side);
}

#define PEAK_SECONDS 0.01 /* of a product at the rate of multiply-adds in registers */

static int64_t side_for(const gh_results *results) {
  gh_bench_peak peak;
  gh_probe_best(results, &peak);
  const double side = cbrt(0.5 * PEAK_SECONDS * peak.flops);
  return GH_MAX(2, GH_MIN(32, (int64_t)(side / 256) + 1)) * 256;
}

typedef struct gh_squaring {
  gh_dtype storage;
  const gh_bench_repeats *how;
  gh_results *results;
} gh_squaring;

static gh_status time_square(gh_error *err, gh_device *device, void *user) {
  const gh_squaring *s = user;
  gh_product p;
  gh_op_bench times;
  gh_result place;
  square(&p, side_for(s->results), s->storage);
  gh_status status = gh_product_run(err, device, &p, s->how, &times);
  if (!status) status = gh_result_place(err, &place, &device->info, s->how->clock);
  if (status) return status;
  const gh_op_time *t = &times.forward;
  const gh_result_title title = {
      .kind = "peak", .op = "product", .shape = p.label, .dtype = gh_dtype_name(s->storage), .provider = t->provider};
  gh_result *row = gh_result_begin(err, s->results, &place, &title);
  status = row ? GH_OK : err->status;
  if (row) gh_result_work(row, &t->sample, t->flops, 0, 0);
  if (row) gh_result_put(row, GH_RESULT_NOMINAL, t->nominal);
  if (row) status = gh_result_rate(err, row, &t->sample, t->flops * 1e-9, "GFLOP/s");
  gh_result_free(&place);
  return status;
}

gh_status gh_product_peak(gh_error *err, gh_device *device, gh_dtype storage, const gh_bench_repeats *how,
                          gh_results *results) {
  gh_squaring s = {storage, how, results};
  if (!device->info.is_cpu) return time_square(err, device, &s);
  gh_status status = gh_bench_with_shape(err, device, GH_SHAPE_CPU, time_square, &s);
  return status == GH_ERROR_UNSUPPORTED ? time_square(err, device, &s) : status;
}
