/* Cross-entropy over a vocabulary of the real size, against float64 and in both shapes; its gradient takes the logits'
 * memory; what is not a number or out of range shows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/registry.h"
#include "base/random.h"
#include "cl/step.h"
#include "ops/ops.h"
#include "support/check.h"

static gh_error err;

enum { B = 3, N = 11, M = 5, K = 16387, COUNTING = 2 };
#define WEIGHT 0.25

/* x (B, M, K), of which logits of either type are made, and the loss from them. */
typedef struct problem {
  gh_device *device;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *x, *codes, *index, *step, *logits, *loss, *correct;
  float *values; /* (B, M, K) the logits */
  int32_t code[B][N], chosen[B][M];
} problem;

static gh_tensor *add(problem *p, const char *name, gh_dtype dtype, int rank, const int64_t *shape) {
  gh_tensor *t;
  check_ok(gh_store_add(&err, p->store, name, dtype, rank, shape, &t));
  return t;
}

static void send(problem *p) {
  check_ok(gh_tensor_write(&err, p->device, p->x, p->values));
  check_ok(gh_tensor_write(&err, p->device, p->codes, p->code));
  check_ok(gh_tensor_write(&err, p->device, p->index, p->chosen));
}

static void create(problem *p, const char *shape, gh_dtype dtype) {
  const char *id = getenv("GH_TEST_DEVICE");
  const float weight = (float)WEIGHT;
  uint32_t block[STEP_WORDS] = {[STEP_SAMPLES] = COUNTING};
  memcpy(&block[STEP_WEIGHT], &weight, sizeof weight);
  *p = (problem){.values = malloc(sizeof(float) * B * M * K)};
  setenv("GH_KERNEL_SHAPE", shape, 1);
  check_ok(gh_device_open(&err, id ? id : "auto", &p->device));
  check_ok(gh_store_create(&err, p->device, &p->store));
  p->x = add(p, "x", GH_F32, 3, (int64_t[]){B, M, K});
  p->codes = add(p, "codes", GH_I32, 2, (int64_t[]){B, N});
  p->index = add(p, "index", GH_I32, 2, (int64_t[]){B, M});
  p->step = add(p, "step", GH_U32, 1, (int64_t[]){STEP_WORDS});
  check_ok(gh_store_make_trainable(&err, p->store, p->x));
  check_ok(gh_tensor_write(&err, p->device, p->step, block));
  gh_stream_normals((gh_stream){{1, 2}}, 0, 0, B * M * K, p->values);
  if (dtype == GH_BF16) /* rounded, so that the cast changes nothing */
    for (int64_t i = 0; i < B * M * K; i++) p->values[i] = rintf(p->values[i] * 16) / 16;
  for (int b = 0; b < B; b++) {
    for (int n = 0; n < N; n++) p->code[b][n] = (b * 7001 + n * 1499) % K;
    for (int m = 0; m < M; m++) p->chosen[b][m] = m < M - b ? (2 * m + b) % N : -1;
    for (int m = 0; m < 2; m++) p->values[(b * M + m) * K + p->code[b][p->chosen[b][m]]] = 10; /* a right answer */
  }
  check_ok(gh_graph_create(&err, p->device, &p->graph));
  p->logits = dtype == GH_BF16 ? gh_cast(p->graph, p->x, GH_BF16) : gh_add_scaled(p->graph, p->x, p->x, 0);
  p->loss = gh_cross_entropy(p->graph, p->logits, p->codes, p->index, p->step, &p->correct);
  gh_graph_differentiate(p->graph, p->loss);
  gh_graph_keep(p->graph, p->loss);
  gh_graph_keep(p->graph, p->correct);
  check_ok(gh_graph_plan(&err, p->graph));
  send(p);
}

static void destroy(problem *p) {
  gh_graph_free(p->graph);
  gh_store_free(p->store);
  gh_device_close(p->device);
  free(p->values);
}

static void run(problem *p, float *loss, float *correct) {
  check_ok(gh_graph_run(&err, p->graph));
  check_ok(gh_tensor_read(&err, p->device, p->loss, loss));
  check_ok(gh_tensor_read(&err, p->device, p->correct, correct));
}

/* -log softmax of a row's code; adds the gradient times `weight` to it. */
static double row_loss(const float *row, int code, double weight, double *gradient) {
  double sum = 0;
  for (int k = 0; k < K; k++) sum += exp((double)row[k]);
  for (int k = 0; k < K; k++) gradient[k] = weight * (exp((double)row[k]) / sum - (k == code));
  return log(sum) - (double)row[code];
}

static void check_numbers(const char *shape, gh_dtype dtype) {
  problem p;
  float loss, correct;
  create(&p, shape, dtype);
  run(&p, &loss, &correct);
  double *gradient = calloc((size_t)B * M * K, sizeof *gradient), want = 0, right = 0, difference = 0, size = 0;
  for (int b = 0; b < COUNTING; b++)
    for (int m = 0; m < M - b; m++) {
      const double weight = WEIGHT / (M - b);
      const int64_t row = b * M + m;
      want += weight * row_loss(p.values + row * K, p.code[b][p.chosen[b][m]], weight, gradient + row * K);
      right += m < 2 ? weight : 0;
    }
  assert_true(fabs((double)loss - want) <= 1e-6 * want);
  assert_true(fabs((double)correct - right) <= 1e-6);
  float *got = malloc(sizeof(float) * B * M * K);
  check_ok(gh_tensor_read(&err, p.device, p.x->grad, got));
  const double most = dtype == GH_BF16 ? 0x1p-8 * (1 + 0x1p-8) : 1e-5; /* of an element */
  for (int64_t i = 0; i < B * M * K; i++) {
    double d = fabs((double)got[i] - gradient[i]);
    assert_true(d <= most * fabs(gradient[i]));
    difference += d * d;
    size += gradient[i] * gradient[i];
  }
  assert_true(sqrt(difference / size) <= most);
  free(got);
  free(gradient);
  destroy(&p);
}

static void test_numbers(void **state) {
  (void)state;
  static const char *const shapes[] = {"gpu", "cpu"};
  for (size_t i = 0; i < (check_has_shape("cpu") ? 2 : 1); i++) {
    check_numbers(shapes[i], GH_F32);
    check_numbers(shapes[i], GH_BF16);
  }
}

static void test_gradient_overwrites_logits(void **state) {
  (void)state;
  for (int dtype = 0; dtype < 2; dtype++) {
    problem p;
    int found = 0;
    create(&p, "gpu", dtype ? GH_BF16 : GH_F32);
    for (int i = 0; i < gh_graph_node_count(p.graph); i++) {
      const gh_node *node = gh_graph_node(p.graph, i);
      if (strcmp(node->op->name, "cross_entropy_backward")) continue;
      found++;
      assert_ptr_equal(gh_tensor_buffer(node->out[0]), gh_tensor_buffer(p.logits));
    }
    assert_int_equal(found, 1);
    destroy(&p);
  }
}

/* Where a number is wrong in a sample that counts, the loss is NaN; elsewhere it is not read. */
static void test_what_is_no_number_shows(void **state) {
  (void)state;
  problem p;
  float loss, correct;
  create(&p, "gpu", GH_F32);
  static const struct {
    int sample, row, index, code; /* a code or an index if it is not 0, else a NaN in the row */
    bool shows;
  } cases[] = {{0, 0, 0, 0, true},  {1, M - 2, 0, 0, true}, {1, M - 1, 0, 0, false}, {2, 0, 0, 0, false},
               {0, 1, N, 0, true},  {0, 1, -2, 0, true},    {1, 0, 0, K, true},      {1, 0, 0, -1, true},
               {2, 0, N, 0, false}, {2, 0, 0, K, false}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    float *logit = &p.values[(cases[i].sample * M + cases[i].row) * K + 77], kept = *logit;
    int32_t *index = &p.chosen[cases[i].sample][cases[i].row], position = *index;
    int32_t *code = &p.code[cases[i].sample][GH_MAX(position, 0)], kept_code = *code;
    if (cases[i].index)
      *index = cases[i].index;
    else if (cases[i].code)
      *code = cases[i].code;
    else
      *logit = NAN;
    send(&p);
    run(&p, &loss, &correct);
    if (isnan(loss) != cases[i].shows) fail_msg("case %d: the loss is %g", (int)i, (double)loss);
    assert_int_equal(isnan(correct), cases[i].shows);
    *logit = kept;
    *index = position;
    *code = kept_code;
  }
  destroy(&p);
}

static void test_wrong_shapes_are_refused(void **state) {
  (void)state;
  problem p;
  create(&p, "gpu", GH_F32);
  gh_tensor *narrow = add(&p, "narrow", GH_I32, 2, (int64_t[]){B, M - 1}),
            *few = add(&p, "few", GH_I32, 2, (int64_t[]){1, M});
  gh_tensor *floats = add(&p, "floats", GH_F32, 2, (int64_t[]){B, N});
  const struct {
    gh_tensor *codes, *index;
    const char *says;
  } cases[] = {{p.codes, narrow, "one index per row of logits"},
               {p.codes, few, "input 2 must be int32, one row per sample"},
               {floats, p.index, "input 1 must be int32"}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_graph *g;
    check_ok(gh_graph_create(&err, p.device, &g));
    assert_null(gh_cross_entropy(g, p.x, cases[i].codes, cases[i].index, p.step, NULL));
    assert_non_null(strstr(gh_graph_error(g)->text, cases[i].says));
    gh_graph_free(g);
  }
  destroy(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_gradient_overwrites_logits),
      cmocka_unit_test(test_what_is_no_number_shows),
      cmocka_unit_test(test_wrong_shapes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
