/* Graphs: gradients that add up, parameters used twice, dead nodes, arena offsets, errors while recording. */
#include "backend/registry.h"
#include "graph/internal.h"
#include "ops/ops.h"
#include "support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
} fixture;

static int setup(void **state) {
  gh_error err = {0};
  fixture *f = calloc(1, sizeof *f);
  assert_int_equal(gh_device_open(&err, "auto", &f->device), GH_OK);
  assert_int_equal(gh_store_create(&err, f->device, &f->store), GH_OK);
  assert_int_equal(gh_graph_create(&err, f->device, &f->graph), GH_OK);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  gh_graph_free(f->graph);
  gh_store_free(f->store);
  gh_device_close(f->device);
  free(f);
  return 0;
}

static gh_tensor *parameter(fixture *f, const char *name, int rank, const int64_t *shape, float start) {
  gh_error err = {0};
  gh_tensor *t = NULL;
  assert_int_equal(gh_store_add(&err, f->store, name, GH_F32, rank, shape, &t), GH_OK);
  assert_int_equal(gh_store_make_trainable(&err, f->store, t), GH_OK);
  int64_t n = gh_tensor_elements(t);
  float *values = calloc((size_t)n, sizeof *values);
  for (int64_t i = 0; i < n; i++) values[i] = start + 0.01f * (float)i;
  assert_int_equal(gh_tensor_write(&err, f->device, t, values), GH_OK);
  free(values);
  return t;
}

static void run(fixture *f) {
  gh_error err = {0};
  if (gh_graph_run(&err, f->graph)) fail_msg("%s", err.text);
}

static void plan(fixture *f) {
  gh_error err = {0};
  if (gh_graph_plan(&err, f->graph)) fail_msg("%s", err.text);
}

static float value_of(fixture *f, const gh_tensor *t, int64_t index) {
  gh_error err = {0};
  float *values = calloc((size_t)gh_tensor_elements(t), sizeof *values);
  if (gh_tensor_read(&err, f->device, t, values)) fail_msg("%s", err.text);
  float v = values[index];
  free(values);
  return v;
}

static gh_tensor *sum_of(gh_graph *g, gh_tensor *x) { /* a scalar: x summed using a row of ones */
  const int64_t n = gh_tensor_elements(x);
  gh_tensor *flat = gh_reshape(g, x, 2, (int64_t[]){1, n});
  const double one = 1;
  gh_tensor *c = gh_apply(g, &gh_op_constant, NULL, 0, &one, 1);
  gh_tensor *ones = gh_repeat(g, gh_reshape(g, c, 1, (int64_t[]){1}), n); /* (n, 1) */
  return gh_reshape(g, gh_linear(g, flat, gh_reshape(g, ones, 2, (int64_t[]){1, n}), NULL), 0, NULL);
}

static void expect(double got, double wanted) {
  if (!(fabs(got - wanted) <= 1e-5 * (1 + fabs(wanted)))) fail_msg("%.9g, expected %.9g", got, wanted);
}

/* loss = sum(p + 2 (p + q)): dp = 3, dq = 2; a second replay adds the same again */
static void gradients_meet_and_add_up(void **state) {
  fixture *f = *state;
  const int64_t n = 37;
  gh_tensor *p = parameter(f, "p", 1, &n, 1), *q = parameter(f, "q", 1, &n, 2);
  gh_tensor *inner = gh_add(f->graph, p, q);
  gh_graph_differentiate(f->graph, sum_of(f->graph, gh_add_scaled(f->graph, p, inner, 2)));
  plan(f);
  for (int replay = 1; replay <= 2; replay++) {
    run(f);
    expect((double)value_of(f, p->grad, 36), 3.0 * replay);
    expect((double)value_of(f, q->grad, 0), 2.0 * replay);
  }
}

/* One weight in two layers: y = (x Wᵀ) Wᵀ. With W = [[a]]: d/da of x a^2 = 2 a x. */
static void a_parameter_used_twice(void **state) {
  fixture *f = *state;
  gh_tensor *w = parameter(f, "w", 2, (int64_t[]){1, 1}, 3), *x = parameter(f, "x", 2, (int64_t[]){1, 1}, 5);
  gh_tensor *y = gh_linear(f->graph, gh_linear(f->graph, x, w, NULL), w, NULL);
  gh_graph_differentiate(f->graph, gh_reshape(f->graph, y, 0, NULL));
  plan(f);
  run(f);
  expect((double)value_of(f, w->grad, 0), 2 * 3 * 5);
  expect((double)value_of(f, x->grad, 0), 9);
}

/* x + x: both gradients are the same tensor. */
static void a_tensor_added_to_itself(void **state) {
  fixture *f = *state;
  const int64_t n = 5;
  gh_tensor *x = parameter(f, "x", 1, &n, 1);
  gh_graph_differentiate(f->graph, sum_of(f->graph, gh_add(f->graph, x, x)));
  plan(f);
  run(f);
  expect((double)value_of(f, x->grad, 4), 2);
}

static void nothing_is_computed_for_frozen_tensors(void **state) {
  fixture *f = *state;
  gh_error err = {0};
  const int64_t n = 4;
  gh_tensor *frozen = NULL, *p = parameter(f, "p", 1, &n, 1);
  assert_int_equal(gh_store_add(&err, f->store, "frozen", GH_F32, 1, &n, &frozen), GH_OK);
  gh_tensor *unused = gh_activation(f->graph, gh_add(f->graph, frozen, frozen), GH_SILU);
  gh_graph_differentiate(f->graph, sum_of(f->graph, gh_add(f->graph, frozen, p)));
  plan(f);
  assert_null(gh_graph_gradient(f->graph, frozen));
  assert_true(unused->producer->dead);
  assert_null(gh_tensor_buffer(unused));
  run(f);
  expect((double)value_of(f, p->grad, 0), 1);
}

static bool alive_together(const gh_tensor *a, const gh_tensor *b) {
  return a->plan.first <= b->plan.last && b->plan.first <= a->plan.last;
}

static bool overlap(const gh_tensor *a, const gh_tensor *b) {
  return a->plan.arena == b->plan.arena && a->plan.offset < b->plan.offset + gh_tensor_bytes(b) &&
         b->plan.offset < a->plan.offset + gh_tensor_bytes(a);
}

/* A deep graph with residuals: no two simultaneously alive values share memory, and the peak is below the sum. */
static void places_do_not_overlap(void **state) {
  fixture *f = *state;
  gh_tensor *w = parameter(f, "w", 2, (int64_t[]){33, 33}, -0.1f), *x = parameter(f, "x", 2, (int64_t[]){65, 33}, 0);
  gh_tensor *h = x;
  for (int i = 0; i < 6; i++)
    h = gh_add(f->graph, h, gh_activation(f->graph, gh_linear(f->graph, h, w, NULL), GH_GELU_TANH));
  gh_graph_differentiate(f->graph, sum_of(f->graph, h));
  plan(f);
  int64_t total = 0;
  gh_graph *g = f->graph;
  for (int i = 0; i < g->tensors.count; i++) {
    const gh_tensor *a = g->tensors.items[i];
    if (a->source || a->plan.last < 0) continue;
    total += gh_tensor_bytes(a);
    assert_int_equal(a->plan.offset % f->device->info.alignment_bytes, 0);
    for (int k = i + 1; k < g->tensors.count; k++) {
      const gh_tensor *b = g->tensors.items[k];
      if (b->source || b->plan.last < 0 || !alive_together(a, b)) continue;
      assert_false(overlap(a, b));
    }
  }
  assert_true(gh_graph_peak_bytes(g) < total);
  run(f);
  assert_true(isfinite(value_of(f, w->grad, 0)));
}

/* The same network with and without recomputation: the same bits, in less memory. */
static void recomputation_only_changes_memory(void **state) {
  enum { SIZE = 33, LAYERS = 6 };
  int64_t peak[2];
  float gradient[2][SIZE * SIZE];
  for (int again = 0; again < 2; again++) {
    fixture *f = *state;
    gh_error err = {0};
    gh_tensor *w = parameter(f, "w", 2, (int64_t[]){SIZE, SIZE}, -0.1f);
    gh_tensor *h = parameter(f, "x", 2, (int64_t[]){65, SIZE}, 0);
    for (int i = 0; i < LAYERS; i++) {
      gh_graph_segment(f->graph);
      gh_tensor *inner = gh_activation(f->graph, gh_linear(f->graph, h, w, NULL), GH_GELU_ERF);
      h = gh_add(f->graph, h, gh_activation(f->graph, inner, GH_SILU));
    }
    gh_graph_recompute(f->graph, again);
    gh_graph_differentiate(f->graph, sum_of(f->graph, h));
    plan(f);
    peak[again] = gh_graph_peak_bytes(f->graph);
    run(f);
    check_ok(gh_tensor_read(&err, f->device, w->grad, gradient[again]));
    teardown(state);
    setup(state);
  }
  assert_true(peak[1] < peak[0]);
  assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
  assert_true(isfinite(gradient[0][0]) && gradient[0][0] != 0);
}

/* A device of small allocations: several arenas, the same numbers; a tensor larger than an allocation gives an error
 * that names it. */
static void small_arenas(void **state) {
  fixture *f = *state;
  gh_error err = {0};
  f->device->info.max_buffer_bytes = 65536;
  gh_tensor *x = parameter(f, "x", 2, (int64_t[]){100, 150}, 0); /* 60 000 bytes */
  gh_tensor *h = x;
  for (int i = 0; i < 3; i++) h = gh_activation(f->graph, gh_add(f->graph, h, x), GH_SILU);
  gh_graph_differentiate(f->graph, sum_of(f->graph, h));
  plan(f);
  assert_true(f->graph->arenas.count > 1);
  run(f);
  gh_tensor *big = NULL;
  assert_int_equal(gh_store_add(&err, f->store, "big", GH_F32, 1, (int64_t[]){20000}, &big), GH_ERROR_MEMORY);
  assert_non_null(strstr(err.text, "big"));
}

static void the_first_error_is_kept(void **state) {
  fixture *f = *state;
  gh_error err = {0};
  gh_tensor *w = parameter(f, "w", 2, (int64_t[]){7, 8}, 0), *x = parameter(f, "x", 2, (int64_t[]){3, 9}, 0);
  gh_tensor *y = gh_linear(f->graph, x, w, NULL);
  assert_null(y);
  assert_null(gh_add(f->graph, y, y)); /* everything after it silently returns nothing */
  gh_graph_differentiate(f->graph, y);
  assert_int_equal(gh_graph_plan(&err, f->graph), GH_ERROR_CONFIG);
  assert_non_null(strstr(err.text, "linear"));
  assert_non_null(strstr(err.text, "(3,9)"));
}

static void store_rejects_a_name_twice(void **state) {
  fixture *f = *state;
  gh_error err = {0};
  gh_tensor *t = NULL;
  const int64_t n = 3;
  parameter(f, "p", 1, &n, 0);
  assert_int_equal(gh_store_add(&err, f->store, "p", GH_F32, 1, &n, &t), GH_ERROR_ARGUMENT);
  assert_int_equal(gh_store_add(&err, f->store, "none", GH_F32, 1, (int64_t[]){0}, &t), GH_ERROR_ARGUMENT);
  assert_ptr_equal(gh_store_find(f->store, "absent"), NULL);
}

/* Every allocation of a recording fails once: the graph has failed, and nothing was recorded. */
static void out_of_memory(void **state) {
  fixture *f = *state;
  gh_error err = {0};
  gh_tensor *x = parameter(f, "x", 2, (int64_t[]){2, 3}, 1);
  bool failed = true;
  long n = 0;
  while (failed) {
    gh_graph *g = NULL;
    assert_int_equal(gh_graph_create(&err, f->device, &g), GH_OK);
    gh_alloc_fail_after(++n);
    gh_tensor *y = gh_reshape(g, x, 1, (int64_t[]){6});
    gh_alloc_fail_after(0);
    failed = gh_graph_failed(g);
    assert_int_equal(failed, !y);
    if (failed) assert_int_equal(gh_graph_error(g)->status, GH_ERROR_MEMORY);
    gh_graph_free(g);
  }
  assert_true(n > 3); /* node, tensor, name */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(gradients_meet_and_add_up, setup, teardown),
      cmocka_unit_test_setup_teardown(a_parameter_used_twice, setup, teardown),
      cmocka_unit_test_setup_teardown(a_tensor_added_to_itself, setup, teardown),
      cmocka_unit_test_setup_teardown(nothing_is_computed_for_frozen_tensors, setup, teardown),
      cmocka_unit_test_setup_teardown(places_do_not_overlap, setup, teardown),
      cmocka_unit_test_setup_teardown(recomputation_only_changes_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(small_arenas, setup, teardown),
      cmocka_unit_test_setup_teardown(the_first_error_is_kept, setup, teardown),
      cmocka_unit_test_setup_teardown(store_rejects_a_name_twice, setup, teardown),
      cmocka_unit_test_setup_teardown(out_of_memory, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
