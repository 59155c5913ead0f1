/* Matrix products of narrow numbers, the epilogues, and the chooser's handling of both. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/chooser/internal.h"
#include "base/file.h"
#include "ops/ops.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

/* Storage types of A and B, and of C. */
static const gh_dtype storage[][2] = {{GH_BF16, GH_BF16}, {GH_BF16, GH_F32}, {GH_F16, GH_F16},
                                      {GH_F16, GH_F32},   {GH_F32, GH_BF16}, {GH_F32, GH_F16}};

static gh_gemm_desc stored_as(gh_gemm_desc g, const gh_dtype *dtypes) {
  g.dtype = dtypes[0];
  g.dtype_c = dtypes[1];
  return g;
}

static void run(const gh_gemm_desc *g, const char *provider) {
  gemm_problem one;
  gemm_problem_make(&one, device, g);
  gemm_problem_compute(&one);
  gemm_problem_check(&one, provider);
  gemm_problem_free(&one);
}

static const int64_t shapes[][3] = {
    {1, 1, 1},    {1, 31, 33},  {31, 1, 64},   {33, 64, 31},   {64, 65, 33},   {65, 33, 1},   {31, 97, 65},
    {97, 31, 97}, {64, 64, 64}, {127, 65, 31}, {65, 127, 131}, {2, 300, 40},   {33, 65, 520}, {8, 7, 2},
    {7, 1100, 9}, {300, 5, 70}, {9, 31, 1030}, {131, 137, 7},  {17, 19, 1537}, {16, 8, 16},   {40, 70, 3}};

/* A sanitizer watches the host's code: a third of the shapes for each provider and type, in turn. */
#ifdef __SANITIZE_ADDRESS__
enum { EACH = 3 };
#else
enum { EACH = 1 };
#endif

static void test_every_provider(void **state) {
  (void)state;
  int tried = 0;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    for (size_t t = 0; t < GH_COUNT(storage); t++) {
      gh_gemm_desc small = stored_as(gemm_desc_of(1, 1, 1, 0, 0), storage[t]);
      if (!gh_gemm_supports(p, &small, device)) continue;
      OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
      for (size_t s = t % EACH; s < GH_COUNT(shapes); s += EACH)
        for (int trans = 0; trans < 4; trans++) {
          const int turn = (int)s + trans + (int)t;
          gh_gemm_desc g = gemm_desc_of(shapes[s][0], shapes[s][1], shapes[s][2], trans, turn % GEMM_OPTIONS);
          g = stored_as(g, storage[t]);
          if (turn % 2 && p->fuses & 1u << GH_EPILOGUE_BIAS) g.epilogue = GH_EPILOGUE_BIAS;
          run(&g, p->base.name);
          tried++;
        }
    }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  assert_true(tried > 400 / EACH);
}

/* A rest of k that is shorter than what a kernel sums between two looks at C: its sums must not be added twice. */
static void test_short_rests_of_k(void **state) {
  (void)state;
  static const int64_t lengths[] = {1100, 3136};
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    for (size_t t = 0; t < 4; t++)
      for (size_t i = 0; i < GH_COUNT(lengths); i++) {
        gh_gemm_desc g = stored_as(gemm_desc_of(35, 67, lengths[i], (int)i % 4, 0), storage[t]);
        g.beta = 1;
        if (!gh_gemm_supports(p, &g, device)) continue;
        OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
        run(&g, p->base.name);
      }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* A whole tile and parts of others, with every treatment of the sums: a compiler generates separate code for each unit
 * of a tile and each of these. One step of k, or several and a rest by the widest loads. */
static void test_matrix_units_with_every_option(void **state) {
  (void)state;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++)
    for (size_t t = 0; t < 4 && p->bind == gh_gemm_matrix_bind; t++)
      for (int turn = 0; turn < 4 * GEMM_OPTIONS; turn++) {
        const int option = turn % GEMM_OPTIONS;
        const bool wide = option == 0 || option == 5; /* these leave lengths as they are: a multiple of 8 */
        gh_gemm_desc g = gemm_desc_of(p->size[0] + (wide ? 8 : 3), p->size[0] + (wide ? 16 : 2), wide ? 136 : 35,
                                      turn / GEMM_OPTIONS, option);
        g = stored_as(g, storage[t]);
        if (!gh_gemm_supports(p, &g, device)) continue;
        if ((turn + turn / GEMM_OPTIONS + (int)t) % 2) g.epilogue = GH_EPILOGUE_BIAS;
        OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
        run(&g, p->base.name);
      }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

static void test_bias_of_float32(void **state) {
  (void)state;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    gh_gemm_desc g = gemm_desc_of(1, 1, 1, 0, 0);
    if (!gh_gemm_supports(p, &g, device)) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, p->base.name));
    for (size_t s = 0; s < GH_COUNT(shapes); s++) {
      g = gemm_desc_of(shapes[s][0], shapes[s][1], shapes[s][2], (int)s % 4, (int)s % GEMM_OPTIONS);
      g.epilogue = GH_EPILOGUE_BIAS;
      if (p->fuses & 1u << GH_EPILOGUE_BIAS) {
        run(&g, p->base.name);
        continue;
      }
      gemm_problem one;
      gh_launch *launch;
      gemm_problem_make(&one, device, &g);
      assert_int_equal(gh_gemm_bind(&err, device, &one.desc, one.buffers[0], one.buffers[1], one.buffers[2], &launch),
                       GH_ERROR_UNSUPPORTED);
      assert_non_null(strstr(err.text, p->base.name));
      assert_null(launch);
      gemm_problem_free(&one);
    }
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* A NaN in A affects exactly its row of C, one in B its column; likewise infinity. */
static void test_not_a_number_propagates(void **state) {
  (void)state;
  for (size_t t = 0; t < GH_COUNT(storage); t++)
    for (int trans = 0; trans < 4; trans++) {
      gh_gemm_desc g = stored_as(gemm_desc_of(33, 65, 300, trans, 0), storage[t]);
      gemm_problem one;
      gemm_problem_make(&one, device, &g);
      const int64_t row = 17, column = 31, k = 299;
      one.a[g.trans_a ? k * g.lda + row : row * g.lda + k] = NAN;
      one.b[g.trans_b ? column * g.ldb + k : k * g.ldb + column] = INFINITY;
      gemm_problem_write(&one, 0);
      gemm_problem_write(&one, 1);
      gemm_problem_compute(&one);
      for (int64_t i = 0; i < g.m; i++)
        for (int64_t j = 0; j < g.n; j++) {
          const float got = one.got[i * g.ldc + j];
          if (i == row)
            assert_true(isnan(got));
          else if (j == column)
            assert_true(isinf(got));
          else
            assert_true(isfinite(got));
        }
      gemm_problem_free(&one);
    }
}

static void test_keys(void **state) {
  (void)state;
  static const struct {
    gh_dtype dtypes[2];
    const char *end;
  } expected[] = {{{GH_F32, GH_F32}, " f32"},       {{GH_BF16, GH_BF16}, " bf16"}, {{GH_BF16, GH_F32}, " bf16:f32"},
                  {{GH_F32, GH_BF16}, " f32:bf16"}, {{GH_F16, GH_F16}, " f16"},    {{GH_F16, GH_F32}, " f16:f32"}};
  for (size_t i = 0; i < GH_COUNT(expected); i++) {
    char key[160];
    gh_gemm_desc g = stored_as(gemm_desc_of(3, 4, 5, 0, 0), expected[i].dtypes);
    gh_gemm_key(&g, key, sizeof key);
    if (!gh_ends_with(key, expected[i].end)) fail_msg("%s does not end in %s", key, expected[i].end);
  }
  gh_gemm_desc g = stored_as(gemm_desc_of(3, 4, 5, 0, 0), (gh_dtype[]){GH_BF16, GH_I32});
  gh_launch *launch;
  assert_int_equal(gh_gemm_bind(&err, device, &g, NULL, NULL, NULL, &launch), GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "bf16 in, i32 out"));
  g.dtype_c = GH_F16;
  assert_int_equal(gh_gemm_bind(&err, device, &g, NULL, NULL, NULL, &launch), GH_ERROR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "bf16 in, f16 out"));
}

/* ---- the chooser ---- */

/* Correct except for the last product of every sum, or the last row. */
static gh_status bind_with_less(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                                const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  const gh_gemm_provider *own = gh_gemm_providers;
  while (!gh_gemm_supports(own, g, d)) own++;
  gh_gemm_desc less = *g;
  *(provider->size[0] ? &less.k : &less.m) -= 1;
  return own->bind(e, d, own, &less, a, b, c, out);
}
static bool larger_than_one(const gh_gemm_desc *g, const gh_device *d) { return d && g->m > 1 && g->k > 1; }

static void test_wrong_providers_are_dropped(void **state) {
  (void)state;
  static const gh_gemm_provider shallow = {
      {"shallow", "shallow"}, larger_than_one, bind_with_less, NULL, {1, 0}, 0, 0, false};
  static const gh_gemm_provider low = {{"low", "low"}, larger_than_one, bind_with_less, NULL, {0, 0}, 0, 0, false};
  OK(gh_choice_plant(&err, device, &gh_gemm_kind, &shallow.base));
  OK(gh_choice_plant(&err, device, &gh_gemm_kind, &low.base));
  for (size_t t = 0; t < GH_COUNT(storage); t++)
    for (int large = 0; large < 2; large++) {
      gh_gemm_desc g = stored_as(large ? gemm_desc_of(130, 70, 700, 2, 0) : gemm_desc_of(20, 21, 22, 1, 3), storage[t]);
      run(&g, "chosen");
    }
  assert_true(gh_choice_count(device, &gh_gemm_kind) > 0);
  for (int i = 0; i < gh_choice_count(device, &gh_gemm_kind); i++) {
    const char *key, *provider;
    gh_choice_at(device, &gh_gemm_kind, i, &key, &provider);
    assert_string_not_equal(provider, "shallow");
    assert_string_not_equal(provider, "low");
  }
}

static void test_other_bits_must_be_much_faster(void **state) {
  (void)state;
  static const gh_provider small = {"own-x 4", "own-x"};
  static const gh_provider large = {"own-x 8", "own-x"};
  static const gh_provider library = {"library", "library"};
  assert_true(gh_trial_displaces(&large, 0.9, &small, 1));
  assert_false(gh_trial_displaces(&large, 0.99, &small, 1));
  assert_true(gh_trial_displaces(&library, 0.6, &small, 1));
  assert_false(gh_trial_displaces(&library, 0.7, &small, 1));
}

/* ---- the op that requests an epilogue ---- */

static void read_out(gh_graph *g, const gh_tensor *t, float *out) {
  OK(gh_graph_run(&err, g));
  OK(gh_tensor_read(&err, device, t, out));
}

/* x Wᵀ + b has the bits of x Wᵀ, then + b: fused by our own kernels, or recorded separately for the library. */
static void test_linear_has_the_same_bits(void **state) {
  (void)state;
  const char *own = device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=64 kc=512" : "own-gpu work=4";
  const bool fuses = !strcmp(device->backend->name, "cuda"); /* the library fuses, without a bit-exact guarantee */
  const char *providers[] = {own, fuses ? "cublaslt" : "clblast"};
  enum { M = 37, N = 65, K = 310 };
  static float x[M * K], w[N * K], b[N], fused[M * N], apart[M * N];
  for (int i = 0; i < M * K; i++) x[i] = sinf((float)i);
  for (int i = 0; i < N * K; i++) w[i] = cosf((float)(3 * i));
  for (int i = 0; i < N; i++) b[i] = sinf((float)(7 * i));
  const size_t count = device->backend->library_name(device) ? GH_COUNT(providers) : 1;
  for (size_t p = 0; p < count; p++) {
    gh_store *store;
    gh_graph *g;
    gh_tensor *tx, *tw, *tb;
    int launches[2];
    OK(gh_choice_force(&err, device, &gh_gemm_kind, providers[p]));
    OK(gh_store_create(&err, device, &store));
    OK(gh_store_add(&err, store, "x", GH_F32, 2, (int64_t[]){M, K}, &tx));
    OK(gh_store_add(&err, store, "w", GH_F32, 2, (int64_t[]){N, K}, &tw));
    OK(gh_store_add(&err, store, "b", GH_F32, 1, (int64_t[]){N}, &tb));
    OK(gh_tensor_write(&err, device, tx, x));
    OK(gh_tensor_write(&err, device, tw, w));
    OK(gh_tensor_write(&err, device, tb, b));
    for (int i = 0; i < 2; i++) {
      OK(gh_graph_create(&err, device, &g));
      gh_tensor *y = i ? gh_add(g, gh_linear(g, tx, tw, NULL), tb) : gh_linear(g, tx, tw, tb);
      gh_graph_keep(g, y);
      OK(gh_graph_plan(&err, g));
      read_out(g, y, i ? apart : fused);
      launches[i] = gh_graph_launch_count(g);
      gh_graph_free(g);
    }
    for (int i = 0; i < M * N; i++)
      if (!(fabsf(fused[i] - apart[i]) <= (p && fuses ? 1e-4f : 0)))
        fail_msg("%s: %.9g fused, %.9g separate", providers[p], (double)fused[i], (double)apart[i]);
    assert_int_equal(launches[0], p && !fuses ? 2 : 1);
    assert_int_equal(launches[1], 2);
    gh_store_free(store);
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* GELU after a linear layer, in the library's own launch if possible; the same numbers as separate ops. The GELU's
 * input is available if requested. cuBLASLt only keeps rows that are a multiple of 8, so 20 columns use our kernels;
 * its tanh is for bfloat16. */
static void check_gelu(const char *provider, gh_dtype stored, int64_t n, bool kept, int launches) {
  enum { M = 19, K = 40, MOST = 24 };
  static float x[M * K], w[MOST * K], b[MOST], before[M * MOST], after[M * MOST];
  gh_store *store;
  gh_graph *g;
  gh_tensor *tx, *tw, *tb;
  for (int i = 0; i < M * K; i++) x[i] = sinf((float)i);
  for (int i = 0; i < MOST * K; i++) w[i] = cosf((float)(3 * i));
  for (int i = 0; i < MOST; i++) b[i] = sinf((float)(7 * i));
  OK(gh_choice_force(&err, device, &gh_gemm_kind, provider));
  OK(gh_store_create(&err, device, &store));
  OK(gh_store_add(&err, store, "x", stored, 2, (int64_t[]){M, K}, &tx));
  OK(gh_store_add(&err, store, "w", stored, 2, (int64_t[]){n, K}, &tw));
  OK(gh_store_add(&err, store, "b", GH_F32, 1, &n, &tb));
  if (stored == GH_BF16) OK(gh_store_make_working(&err, store, tb, GH_BF16));
  OK(gh_tensor_write_f32(&err, device, tx, x));
  OK(gh_tensor_write_f32(&err, device, tw, w));
  OK(gh_tensor_write(&err, device, tb, b));
  OK(gh_graph_create(&err, device, &g));
  gh_tensor *y = gh_linear_gelu(g, tx, tw, tb);
  assert_non_null(y);
  gh_tensor *h = kept ? y->producer->out[1] : gh_linear(g, tx, tw, tb); /* a separate product if it is not kept */
  gh_graph_keep(g, y);
  gh_graph_keep(g, h);
  OK(gh_graph_plan(&err, g));
  OK(gh_graph_run(&err, g));
  OK(gh_tensor_read_f32(&err, device, y, after));
  OK(gh_tensor_read_f32(&err, device, h, before));
  assert_int_equal(gh_graph_launch_count(g), launches + !kept);
  double error = 0, all = 0;
  for (int64_t i = 0; i < M * n; i++) {
    double v = (double)before[i], want = 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    error += pow((double)after[i] - want, 2), all += want * want;
  }
  error = sqrt(error / all);
  if (!(error <= (stored == GH_BF16 ? 4e-3 : 1e-6))) fail_msg("%s, %s: %g", provider, gh_dtype_name(stored), error);
  gh_graph_free(g);
  gh_store_free(store);
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

static void test_gelu_of_a_linear(void **state) {
  (void)state;
  const bool library = !strcmp(device->backend->name, "cuda");
  const char *own = device->info.shape == GH_SHAPE_CPU ? "own-cpu nb=64 kc=512" : "own-gpu work=4";
  for (int narrow = 0; narrow < 2; narrow++)
    for (int kept = 0; kept < 2; kept++) {
      check_gelu(own, narrow ? GH_BF16 : GH_F32, 24, kept, 2);
      if (!library) continue;
      check_gelu("cublaslt", narrow ? GH_BF16 : GH_F32, 24, kept, narrow ? 1 : 2);
      check_gelu("cublaslt", narrow ? GH_BF16 : GH_F32, 20, kept, narrow && !kept ? 1 : 2);
    }
}

/* A work-item's sums fit into its private memory for all sizes: 2308 x 1792 once did not. */
static void test_sums_fit(void **state) {
  (void)state;
  int checked = 0;
  for (const gh_gemm_provider *p = gh_gemm_providers; p->base.name; p++) {
    const bool amx = !strncmp(p->base.family, "own-amx", strlen("own-amx"));
    if (!amx && strcmp(p->base.family, "own-cpu")) continue;
    for (int64_t m = 1; m < 5000; m = m * 9 / 8 + 1)
      for (int64_t n = 1; n < 5000; n = n * 17 / 16 + 1)
        for (int cores = 1; cores <= 64; cores *= 2) {
          const gh_device_info cpu = {.compute_units = cores, .vector_lanes = cores % 4 ? 16 : 8};
          gh_gemm_desc g = gemm_desc_of(m, n, 768, 0, 0);
          g.dtype = strcmp(p->base.family, "own-amx") ? GH_BF16 : GH_F32;
          g.dtype_c = GH_BF16;
          gh_gemm_blocks cut = gh_gemm_cpu_blocks(p->size, amx, &g, &cpu);
          if (cut.mt < 1 || cut.nb < 1 || cut.mt * cut.nb > cut.sums)
            fail_msg("%s, %lld x %lld on %d cores: blocks of %lld x %lld", p->base.name, (long long)m, (long long)n,
                     cores, (long long)cut.mt, (long long)cut.nb);
          checked++;
        }
  }
  assert_true(checked > 100000);
}

int main(void) {
  own_cache();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sums_fit),
      cmocka_unit_test_setup_teardown(test_every_provider, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_short_rests_of_k, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_matrix_units_with_every_option, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_bias_of_float32, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_not_a_number_propagates, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_keys, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_wrong_providers_are_dropped, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_other_bits_must_be_much_faster, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_linear_has_the_same_bits, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_gelu_of_a_linear, open_device, close_device),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  remove_own_cache();
  return failed;
}
