/* A second product that joins the sums of a first one (gh_gemm_desc.second), by every provider that adds it in one
 * launch and in every storage type, against float64; the others refuse it. */
#include <stdio.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/registry.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

static const gh_dtype storage[][2] = {{GH_F32, GH_F32}, {GH_BF16, GH_BF16}, {GH_BF16, GH_F32}, {GH_F16, GH_F16},
                                      {GH_F16, GH_F32}, {GH_F32, GH_BF16},  {GH_F32, GH_F16}};

/* Edges of tiles and of chunks of k; more rows than are packed at once. */
static const int64_t shapes[][3] = {{1, 1, 1},      {31, 33, 31}, {33, 31, 64},   {64, 65, 33},
                                    {65, 64, 65},   {1, 65, 257}, {67, 1, 512},   {127, 131, 37},
                                    {33, 97, 700},  {64, 64, 64}, {31, 127, 24},  {130, 67, 1030},
                                    {72, 136, 256}, {5, 600, 40}, {1300, 33, 70}, {300, 40, 16}};
static const int64_t ranks[] = {1, 4, 16, 31, 64, 192};

static gh_gemm_desc desc_of(size_t shape, int trans, int turn, const gh_dtype *dtypes) {
  static const double alphas[] = {1, 2, -0.3, 0x1p-10};
  static const int options[] = {0, 1, 2}; /* tight; gaps and beta 1; offsets and an alpha */
  const int64_t *s = shapes[shape];
  gh_gemm_desc g = gemm_desc_of(s[0], s[1], s[2], trans, options[turn % 3]);
  g.dtype = dtypes[0];
  g.dtype_c = dtypes[1];
  if (turn / 3 % 2) g.epilogue = GH_EPILOGUE_BIAS;
  return gemm_desc_with(g, ranks[(size_t)(turn + turn / 6) % GH_COUNT(ranks)], alphas[turn / 2 % 4], turn % 5 ? 0 : 3);
}

static int run(const gh_gemm_provider *p, const gh_gemm_desc *g) {
  gemm_problem one;
  gh_launch *launch;
  bool joins;
  OK(gh_gemm_joins(&err, device, g, &joins));
  if (joins != gh_gemm_has_second(p, g, device)) fail_msg("%s joins: %d", p->base.name, joins);
  gemm_problem_make(&one, device, g);
  if (joins) {
    gemm_problem_compute(&one);
    gemm_problem_check(&one, p->base.name);
  } else {
    assert_int_equal(gh_gemm_bind(&err, device, &one.desc, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                     GH_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, p->base.name));
    assert_null(launch);
  }
  gemm_problem_free(&one);
  return joins;
}

static void test_own_shape(void **state) {
  (void)state;
  int tried = 0;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    for (size_t t = 0; t < GH_COUNT(storage); t++) {
      gh_gemm_desc small = desc_of(0, 0, 0, storage[t]);
      if (!gh_gemm_supports(p, &small, device)) continue;
      OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
      for (size_t s = 0; s < GH_COUNT(shapes); s++) {
        const bool all = shapes[s][0] * shapes[s][1] < 5000 && shapes[s][2] < 300;
        for (int trans = 0; trans < 4; trans++) {
          if (!all && trans != (int)(s + t) % 4) continue;
          const gh_gemm_desc g = desc_of(s, trans, (int)s + 5 * trans + (int)t, storage[t]);
          tried += run(p, &g);
        }
      }
    }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  assert_true(tried > 100);
}

/* A kernel of this shape takes an OpenCL compiler seconds: one transposition for each provider and storage type. */
static void check_gpu_shape(void) {
  static const size_t some[] = {0, 3, 4, 5, 7, 8, 11};
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    for (size_t t = 0; t < GH_COUNT(storage); t++) {
      const int trans = (int)(t + (size_t)p->size[0] / 4) % 4;
      gh_gemm_desc g = desc_of(0, 0, 0, storage[t]);
      if (!gh_gemm_supports(p, &g, device) || !(p->fuses & GH_GEMM_SECOND)) continue;
      OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
      for (size_t i = 0; i < GH_COUNT(some); i++) {
        g = desc_of(some[i], trans, 2 * (int)i + (int)t, storage[t]);
        run(p, &g);
      }
    }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

static void test_gpu_shape(void **state) {
  (void)state;
  gh_device *first = device, *other = first->info.shape == GH_SHAPE_CPU ? open_as("/gpu") : NULL;
  if (!other) return;
  device = other;
  check_gpu_shape();
  gh_device_close(device);
  device = first;
}

/* A factor of 0 leaves the first product alone. */
static void test_factor_of_0(void **state) {
  (void)state;
  gemm_problem one;
  const gh_gemm_desc g = gemm_desc_with(gemm_desc_of(33, 65, 70, 2, 0), 16, 0, 0),
                     plain = gemm_desc_of(33, 65, 70, 2, 0);
  bool itself;
  OK(gh_gemm_joins(&err, device, &g, &itself));
  if (!itself) return;
  gemm_problem_make(&one, device, &g);
  gemm_problem_compute(&one);
  one.desc = plain;
  gemm_problem_check(&one, "any");
  gemm_problem_free(&one);
}

static void test_arguments(void **state) {
  (void)state;
  const gh_gemm_desc good = gemm_desc_with(gemm_desc_of(16, 16, 16, 2, 0), 4, 1, 0);
  gemm_problem one;
  gh_launch *launch;
  char key[160];
  gemm_problem_make(&one, device, &good);
  gh_gemm_key(&good, key, sizeof key);
  assert_string_equal(key, "m=16 n=16 k=16+4 nt batch=1 beta=0 f32");
  struct {
    gh_gemm_desc desc;
    const char *text;
  } bad[6];
  for (size_t i = 0; i < GH_COUNT(bad); i++) bad[i].desc = one.desc;
  bad[0].desc.second.k = -1, bad[0].text = "second product of k -1";
  bad[1].desc.second.lda = 3, bad[1].text = "rows of A2";
  bad[2].desc.second.ldb = 3, bad[2].text = "rows of B2";
  bad[3].desc.second.k = bad[3].desc.second.lda = bad[3].desc.second.ldb = 40, bad[3].text = "A2 ends";
  bad[4].desc.second.a = NULL, bad[4].text = "no buffer for A2";
  bad[5].desc.batch = 2, bad[5].desc.stride_c = 0, bad[5].text = "stride_c";
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    assert_int_equal(gh_gemm_bind(&err, device, &bad[i].desc, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                     GH_ERROR_ARGUMENT);
    if (!strstr(err.text, bad[i].text)) fail_msg("%s does not contain %s", err.text, bad[i].text);
  }
  gemm_problem_free(&one);
}

int main(void) {
  own_cache();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_own_shape, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_gpu_shape, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_factor_of_0, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_arguments, open_device, close_device),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  remove_own_cache();
  return failed;
}
