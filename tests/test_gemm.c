/* Every GEMM provider against float64, edges and gaps included; the chooser's check, choices and cache. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/gemm_internal.h"
#include "base/file.h"

static char folder[] = "/tmp/genhance-gemm-XXXXXX";
static gh_device *device;
static gh_error err;

#define OK(call) assert_ok((call), #call)
static void assert_ok(gh_status status, const char *what) {
  if (status) fail_msg("%s: %s", what, err.text);
}

static int open_device(void **state) {
  (void)state;
  if (gh_device_open(&err, "auto", &device)) fprintf(stderr, "%s\n", err.text);
  return device ? 0 : -1;
}
static int close_device(void **state) {
  (void)state;
  gh_device_close(device);
  device = NULL;
  return 0;
}

static uint32_t seed = 1;
static float uniform(void) {
  seed = seed * 1664525u + 1013904223u;
  return (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-23f;
}

/* ---- one product, checked ---- */

typedef struct problem {
  gh_gemm_desc desc;
  int64_t floats[3]; /* of the buffers of a, b, c */
  float *a, *b, *c;  /* c: what is there before */
  float *got;
  gh_buffer *buffers[3];
} problem;

static float *random_floats(int64_t n) {
  float *x = gh_alloc(&err, (size_t)n, sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n; i++) x[i] = uniform();
  return x;
}

static bool is_element(const gh_gemm_desc *g, int64_t at) {
  for (int64_t p = 0; p < g->batch; p++) {
    int64_t in = at - g->offset_c - p * g->stride_c;
    if (in >= 0 && in / g->ldc < g->m && in % g->ldc < g->n) return true;
  }
  return false;
}

static void make(problem *p, const gh_gemm_desc *desc) {
  p->desc = *desc;
  const gh_gemm_desc *g = &p->desc;
  const int64_t tail = 37;
  p->floats[0] = g->offset_a + (g->batch - 1) * g->stride_a + (g->trans_a ? g->k : g->m) * g->lda + tail;
  p->floats[1] = g->offset_b + (g->batch - 1) * g->stride_b + (g->trans_b ? g->n : g->k) * g->ldb + tail;
  p->floats[2] = g->offset_c + (g->batch - 1) * g->stride_c + g->m * g->ldc + tail;
  p->a = random_floats(p->floats[0]);
  p->b = random_floats(p->floats[1]);
  p->c = random_floats(p->floats[2]);
  p->got = gh_alloc(&err, (size_t)p->floats[2], sizeof *p->got);
  if (g->beta == 0)
    for (int64_t i = 0; i < p->floats[2]; i++)
      if (is_element(g, i)) p->c[i] = NAN;
  const float *from[3] = {p->a, p->b, p->c};
  for (int i = 0; i < 3; i++) {
    OK(device->backend->buffer_create(&err, device, p->floats[i] * 4, &p->buffers[i]));
    OK(device->backend->write(&err, device, p->buffers[i], 0, from[i], p->floats[i] * 4));
  }
}

static void drop(problem *p) {
  for (int i = 0; i < 3; i++) device->backend->buffer_free(p->buffers[i]);
  free(p->a);
  free(p->b);
  free(p->c);
  free(p->got);
}

static void compute(problem *p) {
  gh_launch *launch;
  OK(device->backend->write(&err, device, p->buffers[2], 0, p->c, p->floats[2] * 4));
  OK(gh_gemm_bind(&err, device, &p->desc, p->buffers[0], p->buffers[1], p->buffers[2], &launch));
  OK(device->backend->enqueue(&err, device, launch));
  OK(device->backend->read(&err, device, p->buffers[2], 0, p->got, p->floats[2] * 4));
  device->backend->launch_free(launch);
}

static void describe(const problem *p, char *text, size_t size) {
  char key[160];
  gh_gemm_key(&p->desc, key, sizeof key);
  snprintf(text, size, "%s alpha %g beta %g lda %lld ldb %lld ldc %lld offset %lld", key, p->desc.alpha, p->desc.beta,
           (long long)p->desc.lda, (long long)p->desc.ldb, (long long)p->desc.ldc, (long long)p->desc.offset_c);
}

static void check_element(const problem *p, int64_t batch, int64_t i, int64_t j, bool own, const char *provider) {
  const gh_gemm_desc *g = &p->desc;
  const float *a = p->a + g->offset_a + batch * g->stride_a, *b = p->b + g->offset_b + batch * g->stride_b;
  int64_t at = g->offset_c + batch * g->stride_c + i * g->ldc + j;
  float before = g->beta != 0 ? p->c[at] : 0, total = (float)g->beta * before, chain = 0;
  double sum = 0, squares = 0;
  for (int64_t k = 0; k < g->k; k++) {
    float x = g->trans_a ? a[k * g->lda + i] : a[i * g->lda + k];
    float y = g->trans_b ? b[j * g->ldb + k] : b[k * g->ldb + j];
    double product = (double)x * (double)y;
    sum += product;
    squares += product * product;
    if (!own) continue; /* the arithmetic the own kernels promise: chains of 256 */
    chain = fmaf(x, y, chain);
    if ((k + 1) % 256 && k + 1 < g->k) continue;
    total = total + (float)g->alpha * chain;
    chain = 0;
  }
  double want = g->alpha * sum + g->beta * (double)before;
  double most =
      (double)FLT_EPSILON * (8 + 4 * sqrt((double)g->k)) * (g->alpha * sqrt(squares) + fabs(g->beta * (double)before));
  float got = p->got[at];
  char text[300];
  describe(p, text, sizeof text);
  if (!(fabs((double)got - want) <= most))
    fail_msg("%s, %s: C[%lld][%lld][%lld] is %.9g, not %.9g", provider, text, (long long)batch, (long long)i,
             (long long)j, (double)got, want);
  if (own && memcmp(&got, &total, 4))
    fail_msg("%s, %s: C[%lld][%lld][%lld] is %.9g, in the promised order %.9g", provider, text, (long long)batch,
             (long long)i, (long long)j, (double)got, (double)total);
}

static void check(const problem *p, const char *provider) {
  const gh_gemm_desc *g = &p->desc;
  bool own = !strncmp(provider, "own-", 4);
  for (int64_t batch = 0; batch < g->batch; batch++)
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t j = 0; j < g->n; j++) check_element(p, batch, i, j, own, provider);
  for (int64_t at = 0; at < p->floats[2]; at++)
    if (memcmp(&p->got[at], &p->c[at], 4) && !is_element(g, at)) {
      char text[300];
      describe(p, text, sizeof text);
      fail_msg("%s, %s: float %lld, no element of C, was written", provider, text, (long long)at);
    }
}

/* ---- every provider on every kind of shape ---- */

static const int64_t shapes[][3] = {
    {1, 1, 1},      {1, 127, 97},  {127, 1, 64},    {7, 8, 31},     {8, 7, 32},   {8, 32, 16},   {8, 33, 33},
    {31, 32, 33},   {32, 31, 65},  {33, 33, 1},     {33, 65, 7},    {64, 64, 64}, {65, 64, 127}, {64, 97, 8},
    {97, 65, 31},   {127, 127, 8}, {97, 127, 97},   {1, 8, 127},    {7, 97, 64},  {65, 31, 33},  {2, 300, 40},
    {40, 70, 2100}, {9, 1100, 33}, {1300, 33, 700}, {5, 600, 1030},
};
enum { OPTIONS = 6 };

/* Layouts and factors, by turns: tight, gaps between rows, offsets, batches, shared B, interleaved heads. */
static gh_gemm_desc make_desc(const int64_t *shape, int trans, int option) {
  gh_gemm_desc g = {.m = shape[0],
                    .n = shape[1],
                    .k = shape[2],
                    .trans_a = trans & 1,
                    .trans_b = trans & 2,
                    .batch = 1,
                    .alpha = 1,
                    .dtype = GH_F32};
  int64_t gap = option == 1 || option == 4 ? 5 : 0, heads = option == 5 ? 3 : 1;
  int64_t ca = g.trans_a ? g.m : g.k, cb = g.trans_b ? g.k : g.n;
  g.lda = (ca + gap) * heads, g.ldb = (cb + 2 * gap) * heads, g.ldc = (g.n + 3 * gap) * heads;
  if (option == 2 || option == 4) g.offset_a = 3, g.offset_b = 17, g.offset_c = 11;
  if (option == 3 || option == 4) {
    g.batch = 3;
    g.stride_a = (g.trans_a ? g.k : g.m) * g.lda + 2;
    g.stride_b = option == 4 ? 0 : (g.trans_b ? g.n : g.k) * g.ldb;
    g.stride_c = g.m * g.ldc + 1;
  }
  if (option == 5) g.batch = heads, g.stride_a = ca, g.stride_b = cb, g.stride_c = g.n;
  if (option == 1 || option == 3) g.beta = 1;
  if (option == 4) g.alpha = 0.5, g.beta = 0.25;
  if (option == 2) g.alpha = 0.3;
  return g;
}

static void test_every_provider(void **state) {
  (void)state;
  int tried = 0;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->name; p++) {
    gh_gemm_desc small = make_desc(shapes[0], 0, 0);
    if (!p->applies(&small, device)) continue;
    OK(gh_gemm_force(&err, device, p->name));
    for (size_t s = 0; s < GH_COUNT(shapes); s++)
      for (int trans = 0; trans < 4; trans++)
        for (int option = 0; option < OPTIONS; option++) {
          /* all options on a third of the shapes; one by turns where a reference costs time */
          bool large = shapes[s][0] * shapes[s][1] * shapes[s][2] > 1000000;
          if ((large || s % 3) && option != (int)(s + (size_t)trans) % OPTIONS) continue;
          gh_gemm_desc g = make_desc(shapes[s], trans, option);
          problem one;
          make(&one, &g);
          compute(&one);
          check(&one, p->name);
          drop(&one);
          tried++;
        }
  }
  OK(gh_gemm_force(&err, device, NULL));
  assert_true(tried > 400);
}

/* ---- the chooser ---- */

static gh_gemm_desc square(int64_t n) {
  return (gh_gemm_desc){
      .m = n, .n = n, .k = n, .trans_b = true, .lda = n, .ldb = n, .ldc = n, .batch = 1, .alpha = 1, .dtype = GH_F32};
}

static const char *choice_of(const gh_gemm_desc *g) {
  char key[160];
  const char *found, *provider;
  gh_gemm_key(g, key, sizeof key);
  for (int i = 0; i < gh_gemm_choice_count(device); i++) {
    gh_gemm_choice(device, i, &found, &provider);
    if (!strcmp(found, key)) return provider;
  }
  return NULL;
}

static void run(const gh_gemm_desc *g) {
  problem one;
  make(&one, g);
  compute(&one);
  check(&one, "chosen");
  drop(&one);
}

/* A provider that is fast and wrong in one corner: it leaves out the last row. */
static bool always(const gh_gemm_desc *g, const gh_device *d) { return g->m > 1 && d != NULL; }
static gh_status bind_without_last_row(gh_error *e, gh_device *d, const gh_gemm_provider *provider,
                                       const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b, gh_buffer *c,
                                       gh_launch **out) {
  (void)provider;
  gh_gemm_desc less = *g;
  less.m--;
  return d->backend->bind_library_gemm(e, d, &less, a, b, c, out);
}
/* One that fails to bind at all. */
static gh_status bind_never(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                            const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)d, (void)g, (void)a, (void)b, (void)c, (void)out;
  return gh_fail(e, GH_ERROR_DEVICE, "%s was planted to fail", provider->name);
}

static void test_wrong_providers_are_dropped(void **state) {
  (void)state;
  static const gh_gemm_provider wrong = {"wrong", "wrong", always, bind_without_last_row, {0}};
  static const gh_gemm_provider broken = {"broken", "broken", always, bind_never, {0}};
  OK(gh_gemm_plant(&err, device, &wrong));
  OK(gh_gemm_plant(&err, device, &broken));
  gh_gemm_desc tiny = square(20), timed = square(130), batched = square(60);
  batched.batch = 9, batched.stride_a = batched.stride_b = batched.stride_c = 3600;
  const gh_gemm_desc *all[] = {&tiny, &timed, &batched};
  for (int i = 0; i < 3; i++) {
    run(all[i]); /* check() would see the missing row */
    assert_non_null(choice_of(all[i]));
    assert_string_not_equal(choice_of(all[i]), "wrong");
    assert_string_not_equal(choice_of(all[i]), "broken");
  }
}

static void test_freeze_and_force(void **state) {
  (void)state;
  gh_gemm_desc g = square(110), other = square(115);
  char key[160];
  gh_gemm_key(&g, key, sizeof key);
  assert_string_equal(key, "m=110 n=110 k=110 nt batch=1 beta=0 f32");
  OK(gh_gemm_freeze(&err, device, key, "clblast"));
  run(&g);
  assert_string_equal(choice_of(&g), "clblast");
  const char *own = device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=64 kc=512" : "own-gpu work=8";
  OK(gh_gemm_force(&err, device, own));
  run(&other);
  assert_string_equal(choice_of(&other), own);
  OK(gh_gemm_force(&err, device, NULL));
  assert_null(choice_of(&other));
  assert_string_equal(choice_of(&g), "clblast");

  assert_int_equal(gh_gemm_freeze(&err, device, key, "magic"), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "clblast"));
  assert_int_equal(gh_gemm_force(&err, device, "magic"), GH_ERROR_ARGUMENT);
  const char *last = "", *provider;
  assert_true(gh_gemm_choice_count(device) >= 1);
  for (int i = 0; i < gh_gemm_choice_count(device); i++) {
    const char *next;
    gh_gemm_choice(device, i, &next, &provider);
    assert_true(strcmp(last, next) < 0);
    last = next;
  }
}

static void test_frozen_provider_of_another_machine(void **state) {
  (void)state;
  gh_gemm_desc g = square(12);
  char key[160];
  gh_gemm_key(&g, key, sizeof key);
  const char *foreign = device->info.shape == GH_SHAPE_CPU ? "own-gpu work=4" : "own-cpu nb=256 kc=512";
  OK(gh_gemm_freeze(&err, device, key, foreign));
  problem one;
  make(&one, &g);
  gh_launch *launch;
  assert_int_equal(gh_gemm_bind(&err, device, &g, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                   GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, foreign));
  drop(&one);
}

/* Two devices stand for two runs: the second takes the first one's choice from the cache, whatever it would choose. */
static void test_choices_are_cached(void **state) {
  (void)state;
  gh_gemm_desc g = square(140);
  run(&g);
  gh_strings files = {0};
  OK(gh_folder_list(&err, &files, folder, false));
  char *path = NULL;
  for (size_t i = 0; i < files.count; i++)
    if (gh_starts_with(files.items[i], "gemm-") && gh_ends_with(files.items[i], ".json"))
      path = gh_path_join(&err, folder, files.items[i]);
  assert_non_null(path);
  char key[160], text[400];
  gh_gemm_key(&g, key, sizeof key);
  snprintf(text, sizeof text, "{\"%s\": \"clblast\"}", key);
  OK(gh_file_write(&err, path, text, strlen(text)));
  gh_device *first = device;
  OK(gh_device_open(&err, device->info.id, &device));
  run(&g);
  assert_string_equal(choice_of(&g), "clblast");
  gh_device_close(device);

  OK(gh_file_write(&err, path, "{\"m=1", 5)); /* broken: chosen anew, and the file is whole again */
  OK(gh_device_open(&err, first->info.id, &device));
  run(&g);
  assert_non_null(choice_of(&g));
  char *bytes;
  size_t size;
  OK(gh_file_read(&err, path, 10000, &bytes, &size));
  assert_non_null(strstr(bytes, key));
  free(bytes);
  gh_device_close(device);
  device = first;
  free(path);
  gh_strings_free(&files);
}

static void test_environment_forces(void **state) {
  (void)state;
  gh_device *first = device;
  gh_gemm_desc g = square(100);
  setenv("GH_GEMM", "clblast", 1);
  OK(gh_device_open(&err, first->info.id, &device));
  run(&g);
  assert_string_equal(choice_of(&g), "clblast");
  gh_device_close(device);
  setenv("GH_GEMM", "nothing", 1);
  OK(gh_device_open(&err, first->info.id, &device));
  assert_int_equal(gh_gemm_force(&err, device, NULL), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "nothing"));
  gh_device_close(device);
  unsetenv("GH_GEMM");
  device = first;
}

static void test_arguments(void **state) {
  (void)state;
  gh_gemm_desc good = square(16);
  problem one;
  make(&one, &good);
  gh_launch *launch;
  struct {
    gh_gemm_desc desc;
    const char *text;
  } bad[9];
  for (size_t i = 0; i < GH_COUNT(bad); i++) bad[i].desc = good;
  bad[0].desc.m = 0, bad[0].text = "0x16x16";
  bad[1].desc.lda = 15, bad[1].text = "A";
  bad[2].desc.ldb = 15, bad[2].text = "B";
  bad[3].desc.ldc = 15, bad[3].text = "C";
  bad[4].desc.offset_c = 40, bad[4].text = "C ends";
  bad[5].desc.offset_a = -1, bad[5].text = "negative";
  bad[6].desc.batch = 2, bad[6].text = "stride of C";
  bad[7].desc.lda = INT64_MAX / 2, bad[7].text = "A ends";
  bad[8].desc.batch = 2, bad[8].desc.stride_c = 256, bad[8].text = "C ends";
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    assert_int_equal(gh_gemm_bind(&err, device, &bad[i].desc, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                     GH_ERROR_ARGUMENT);
    if (!strstr(err.text, bad[i].text)) fail_msg("%s does not name %s", err.text, bad[i].text);
    assert_null(launch);
  }
  drop(&one);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  setenv("GH_CACHE_DIR", folder, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_provider, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_wrong_providers_are_dropped, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_freeze_and_force, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_frozen_provider_of_another_machine, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_choices_are_cached, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_environment_forces, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_arguments, open_device, close_device),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gh_folder_remove(&err, folder);
  return failed;
}
