/* Every GEMM provider against float64, including edges and gaps; the chooser's check, choices and cache. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/registry.h"
#include "base/file.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

static const char *folder;

/* ---- every provider on every kind of shape ---- */

static const int64_t shapes[][3] = {
    {1, 1, 1},      {1, 127, 97},  {127, 1, 64},    {7, 8, 31},     {8, 7, 32},   {8, 32, 16},   {8, 33, 33},
    {31, 32, 33},   {32, 31, 65},  {33, 33, 1},     {33, 65, 7},    {64, 64, 64}, {65, 64, 127}, {64, 97, 8},
    {97, 65, 31},   {127, 127, 8}, {97, 127, 97},   {1, 8, 127},    {7, 97, 64},  {65, 31, 33},  {2, 300, 40},
    {40, 70, 2100}, {9, 1100, 33}, {1300, 33, 700}, {5, 600, 1030},
};
static void test_every_provider(void **state) {
  (void)state;
  int tried = 0;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    gh_gemm_desc small = gemm_desc_of(1, 1, 1, 0, 0);
    if (!gh_gemm_supports(p, &small, device)) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
    for (size_t s = 0; s < GH_COUNT(shapes); s++)
      for (int trans = 0; trans < 4; trans++)
        for (int option = 0; option < GEMM_OPTIONS; option++) {
          /* all options on a third of the shapes; one at a time, in turn, where the reference is slow */
          bool large = shapes[s][0] * shapes[s][1] * shapes[s][2] > 1000000;
          if ((large || s % 3) && option != (int)(s + (size_t)trans) % GEMM_OPTIONS) continue;
          gh_gemm_desc g = gemm_desc_of(shapes[s][0], shapes[s][1], shapes[s][2], trans, option);
          gemm_problem one;
          gemm_problem_make(&one, device, &g);
          gemm_problem_compute(&one);
          gemm_problem_check(&one, p->base.name);
          gemm_problem_free(&one);
          tried++;
        }
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  assert_true(tried > 400);
}

/* ---- as accurate as float32, for all numbers ---- */

/* Root mean square of C's errors, each relative to the magnitude of its products: the provider's, and those of a plain
 * float32 chain. */
static void errors_of(const gemm_problem *p, double *provider, double *chain) {
  const gh_gemm_desc *g = &p->desc;
  double of_provider = 0, of_chain = 0;
  for (int64_t i = 0; i < g->m; i++)
    for (int64_t j = 0; j < g->n; j++) {
      double sum = 0, squares = 0;
      float plain = 0;
      for (int64_t k = 0; k < g->k; k++) {
        const float x = p->a[i * g->lda + k], y = p->b[j * g->ldb + k];
        sum += (double)x * (double)y;
        squares += (double)x * (double)y * (double)x * (double)y;
        plain = fmaf(x, y, plain);
      }
      const double mine = (double)p->got[i * g->ldc + j] - sum, its = (double)plain - sum;
      of_provider += mine * mine / squares;
      of_chain += its * its / squares;
    }
  *provider = sqrt(of_provider);
  *chain = sqrt(of_chain);
}

/* Numbers of all magnitudes with full mantissas expose products of rounded pieces. */
static void test_as_exact_as_float32(void **state) {
  (void)state;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    gh_gemm_desc g = gemm_desc_of(65, 97, 700, 2, 0);
    if (!gh_gemm_supports(p, &g, device)) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
    gemm_problem one;
    gemm_problem_make(&one, device, &g);
    for (int64_t i = 0; i < one.elements[0]; i++) one.a[i] = ldexpf(one.a[i], (int)(i * 7 % 41) - 20);
    for (int64_t i = 0; i < one.elements[1]; i++) one.b[i] = ldexpf(one.b[i], (int)(i * 5 % 41) - 20);
    gemm_problem_write(&one, 0);
    gemm_problem_write(&one, 1);
    gemm_problem_compute(&one);
    double provider, chain;
    errors_of(&one, &provider, &chain);
    if (!(provider <= 1.25 * chain)) fail_msg("%s: error %g, a float32 chain's %g", p->base.name, provider, chain);
    gemm_problem_free(&one);
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* One non-finite number makes its row or column non-finite. */
static void test_not_finite_is_noticed(void **state) {
  (void)state;
  static const uint32_t bits[] = {0x7fffffffu, 0xffffffffu, 0x7f800001u, 0x7fc00000u, 0x7f800000u, 0xff800000u};
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    gh_gemm_desc g = gemm_desc_of(65, 97, 70, 2, 0);
    if (!gh_gemm_supports(p, &g, device)) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
    gemm_problem one;
    gemm_problem_make(&one, device, &g);
    for (size_t pattern = 0; pattern < GH_COUNT(bits); pattern++)
      for (int which = 0; which < 2; which++) {
        float *at = which ? &one.b[64 * g.ldb + 69] : &one.a[33 * g.lda + 31], before = *at;
        memcpy(at, &bits[pattern], 4);
        gemm_problem_write(&one, which);
        gemm_problem_compute(&one);
        for (int64_t i = 0; i < g.m; i++)
          for (int64_t j = 0; j < g.n; j++)
            if (isfinite(one.got[i * g.ldc + j]) == (which ? j == 64 : i == 33))
              fail_msg("%s: %08x in %c, C[%d][%d] is %g", p->base.name, bits[pattern], "AB"[which], (int)i, (int)j,
                       (double)one.got[i * g.ldc + j]);
        *at = before;
        gemm_problem_write(&one, which);
      }
    gemm_problem_free(&one);
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
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
  for (int i = 0; i < gh_choice_count(device, &gh_gemm_kind); i++) {
    gh_choice_at(device, &gh_gemm_kind, i, &found, &provider);
    if (!strcmp(found, key)) return provider;
  }
  return NULL;
}

static void run(const gh_gemm_desc *g) {
  gemm_problem one;
  gemm_problem_make(&one, device, g);
  gemm_problem_compute(&one);
  gemm_problem_check(&one, "chosen");
  gemm_problem_free(&one);
}

/* A fast provider that is wrong in one place: it leaves out the last row. */
static bool always(const gh_gemm_desc *g, const gh_device *d) { return g->m > 1 && d != NULL; }
static gh_status bind_without_last_row(gh_error *e, gh_device *d, const gh_gemm_provider *provider,
                                       const gh_gemm_desc *g, const gh_buffer *a, const gh_buffer *b, gh_buffer *c,
                                       gh_launch **out) {
  (void)provider;
  gh_gemm_desc less = *g;
  less.m--;
  return d->backend->bind_library_gemm(e, d, &less, a, b, c, out);
}
/* A provider that fails to bind. */
static gh_status bind_never(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                            const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  (void)d, (void)g, (void)a, (void)b, (void)c, (void)out;
  return gh_fail(e, GH_ERROR_DEVICE, "%s was planted to fail", provider->base.name);
}

static void test_wrong_providers_are_dropped(void **state) {
  (void)state;
  static const gh_gemm_provider wrong = {{"wrong", "wrong"}, always, bind_without_last_row, NULL, {0}, 0, 0, false};
  static const gh_gemm_provider broken = {{"broken", "broken"}, always, bind_never, NULL, {0}, 0, 0, false};
  OK(gh_choice_plant(&err, device, &gh_gemm_kind, &wrong.base));
  OK(gh_choice_plant(&err, device, &gh_gemm_kind, &broken.base));
  gh_gemm_desc tiny = square(20), timed = square(130), batched = square(60);
  batched.batch = 9, batched.stride_a = batched.stride_b = batched.stride_c = 3600;
  const gh_gemm_desc *all[] = {&tiny, &timed, &batched};
  for (int i = 0; i < 3; i++) {
    run(all[i]); /* the check would detect the missing row */
    assert_non_null(choice_of(all[i]));
    assert_string_not_equal(choice_of(all[i]), "wrong");
    assert_string_not_equal(choice_of(all[i]), "broken");
  }
}

/* The vendor's, on this device; where it has none, a provider of our own that no other test here forces. */
static const char *library(void) {
  if (!strcmp(device->backend->name, "cuda")) return "cublaslt";
  if (device->backend->library_name(device)) return "clblast";
  return device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=256 kc=512" : "own-gpu work=4";
}

static void test_freeze_and_force(void **state) {
  (void)state;
  gh_gemm_desc g = square(110), other = square(115);
  char key[160];
  gh_gemm_key(&g, key, sizeof key);
  assert_string_equal(key, "m=110 n=110 k=110 nt batch=1 beta=0 f32");
  OK(gh_choice_freeze(&err, device, &gh_gemm_kind, key, library()));
  run(&g);
  assert_string_equal(choice_of(&g), library());
  const char *own = device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=64 kc=512" : "own-gpu work=8";
  OK(gh_choice_force(&err, device, &gh_gemm_kind, own));
  run(&other);
  assert_string_equal(choice_of(&other), own);
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  assert_null(choice_of(&other));
  assert_string_equal(choice_of(&g), library());

  assert_int_equal(gh_choice_freeze(&err, device, &gh_gemm_kind, key, "magic"), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, library()));
  assert_int_equal(gh_choice_force(&err, device, &gh_gemm_kind, "magic"), GH_ERROR_ARGUMENT);
  const char *last = "", *provider;
  assert_true(gh_choice_count(device, &gh_gemm_kind) >= 1);
  for (int i = 0; i < gh_choice_count(device, &gh_gemm_kind); i++) {
    const char *next;
    gh_choice_at(device, &gh_gemm_kind, i, &next, &provider);
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
  OK(gh_choice_freeze(&err, device, &gh_gemm_kind, key, foreign));
  gemm_problem one;
  gemm_problem_make(&one, device, &g);
  gh_launch *launch;
  assert_int_equal(gh_gemm_bind(&err, device, &g, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                   GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, foreign));
  gemm_problem_free(&one);
}

/* Two devices represent two runs: the second takes the first one's choice from the cache, whatever it would choose. */
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
  snprintf(text, sizeof text, "{\"%s\": \"%s\"}", key, library());
  OK(gh_file_write(&err, path, text, strlen(text)));
  gh_device *first = device;
  OK(gh_device_open(&err, device->info.id, &device));
  run(&g);
  assert_string_equal(choice_of(&g), library());
  gh_device_close(device);

  OK(gh_file_write(&err, path, "{\"m=1", 5)); /* broken: chooses again, and the file is repaired */
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
  setenv("GH_GEMM", library(), 1);
  OK(gh_device_open(&err, first->info.id, &device));
  run(&g);
  assert_string_equal(choice_of(&g), library());
  gh_device_close(device);
  setenv("GH_GEMM", "nothing", 1);
  OK(gh_device_open(&err, first->info.id, &device));
  assert_int_equal(gh_choice_force(&err, device, &gh_gemm_kind, NULL), GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "nothing"));
  gh_device_close(device);
  unsetenv("GH_GEMM");
  device = first;
}

static void test_arguments(void **state) {
  (void)state;
  gh_gemm_desc good = square(16);
  gemm_problem one;
  gemm_problem_make(&one, device, &good);
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
  bad[6].desc.batch = 2, bad[6].text = "needs stride_c";
  bad[7].desc.lda = INT64_MAX / 2, bad[7].text = "A ends";
  bad[8].desc.batch = 2, bad[8].desc.stride_c = 256, bad[8].text = "C ends";
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    assert_int_equal(gh_gemm_bind(&err, device, &bad[i].desc, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                     GH_ERROR_ARGUMENT);
    if (!strstr(err.text, bad[i].text)) fail_msg("%s does not contain %s", err.text, bad[i].text);
    assert_null(launch);
  }
  gemm_problem_free(&one);
}

int main(void) {
  folder = own_cache();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_provider, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_as_exact_as_float32, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_not_finite_is_noticed, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_wrong_providers_are_dropped, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_freeze_and_force, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_frozen_provider_of_another_machine, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_choices_are_cached, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_environment_forces, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_arguments, open_device, close_device),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  remove_own_cache();
  return failed;
}
