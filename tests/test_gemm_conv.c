/* Convolutions as products whose B is built from an image: every provider against float64, borders and gaps
 * included. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "backend/registry.h"
#include "support/on_device.h"

static uint32_t seed = 1;
static float uniform(void) {
  seed = seed * 1664525u + 1013904223u;
  return (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-23f;
}

typedef struct shape {
  int64_t batch, channels, height, width, out;
  int64_t side, stride, top, left, out_height, out_width; /* side 0: 3 x 3, stride and border of 1 */
} shape;

static const shape usual[] = {{1, 1, 1, 1, 1, .side = 0},     {2, 5, 7, 9, 3, .side = 0},
                              {1, 33, 13, 17, 65, .side = 0}, {3, 64, 8, 8, 64, .side = 0},
                              {1, 31, 1, 67, 7, .side = 0},   {2, 70, 33, 31, 97, .side = 0},
                              {1, 128, 31, 64, 33, .side = 0}};

/* Without a border, by 2 as in the autoencoder, with one, 1 x 1, larger kernels, borders beyond the kernel; sizes
 * around those of tiles and steps of k. */
static const shape others[] = {
    {2, 5, 9, 11, 3, 3, 1, 0, 0, 7, 9},       {1, 16, 33, 35, 65, 3, 2, 0, 0, 16, 17},
    {2, 7, 16, 12, 129, 3, 2, 0, 0, 8, 6},    {3, 4, 13, 17, 33, 3, 2, 1, 1, 7, 9},
    {2, 65, 9, 15, 64, 1, 2, 0, 0, 5, 8},     {1, 20, 5, 7, 6, 1, 1, 1, 1, 7, 9},
    {1, 3, 21, 23, 31, 5, 1, 2, 2, 21, 23},   {2, 2, 8, 5, 5, 5, 3, 6, 3, 5, 3},
    {1, 8, 40, 1, 4, 3, 1, 1, 1, 40, 1},      {2, 15, 12, 128, 130, 3, 1, 1, 1, 12, 128},
    {1, 3, 17, 19, 128, 3, 1, -1, 2, 13, 21},
};

typedef struct problem {
  shape of;
  gh_gemm_desc desc;
  float *host[4]; /* C, A, B, bias */
  float *before;  /* C, if it is read */
  gh_buffer *prepared;
  int64_t count[4];
  gh_buffer *buffers[4];
} problem;

/* `weights`: the gradient of the weights, a product along the positions. */
static gh_gemm_desc make_desc(const shape *given, bool weights) {
  shape s = *given;
  if (!s.side) s.side = 3, s.stride = s.top = s.left = 1, s.out_height = s.height, s.out_width = s.width;
  const int64_t rows = s.channels * s.side * s.side, positions = s.out_height * s.out_width;
  gh_gemm_desc desc = {.m = s.out, .trans_b = weights, .batch = s.batch, .alpha = 1, .beta = weights};
  desc.n = desc.ldc = weights ? rows : positions;
  desc.k = desc.lda = weights ? positions : rows;
  desc.image.channels = s.channels;
  desc.image.height = s.height;
  desc.image.width = s.width;
  desc.image.side = s.side;
  desc.image.stride = s.stride;
  desc.image.top = s.top;
  desc.image.left = s.left;
  desc.image.out_width = s.out_width;
  desc.stride_a = weights ? s.out * positions : 0;
  desc.stride_b = s.channels * s.height * s.width;
  desc.stride_c = s.out * desc.n;
  return desc;
}

static problem make(const shape *s, bool weights, bool bias) {
  problem p = {.of = *s, .desc = make_desc(s, weights)};
  const gh_gemm_desc *g = &p.desc;
  const int64_t counts[] = {g->batch * g->stride_c, weights ? g->batch * g->stride_a : g->m * g->k,
                            g->batch * g->stride_b, g->m};
  for (int i = 0; i < 4; i++) {
    p.count[i] = counts[i];
    p.host[i] = gh_alloc(&err, (size_t)counts[i], sizeof(float));
    assert_non_null(p.host[i]);
    for (int64_t j = 0; j < counts[i]; j++) p.host[i][j] = i || weights ? uniform() : NAN;
    OK(device->backend->buffer_create(&err, device, counts[i] * 4, &p.buffers[i]));
    OK(device->backend->write(&err, device, p.buffers[i], 0, p.host[i], counts[i] * 4));
  }
  p.before = weights ? gh_alloc(&err, (size_t)counts[0], sizeof(float)) : NULL;
  if (weights) memcpy(p.before, p.host[0], (size_t)counts[0] * sizeof(float));
  OK(device->backend->buffer_create(&err, device, (gh_gemm_prepared_elements(device, g) + 5) * 4, &p.prepared));
  p.desc.image.prepared = p.prepared;
  p.desc.image.prepared_offset = 5;
  if (bias) {
    p.desc.epilogue = GH_EPILOGUE_BIAS;
    p.desc.bias = p.buffers[3];
  }
  return p;
}

static void drop(problem *p) {
  free(p->before);
  device->backend->buffer_free(p->prepared);
  for (int i = 0; i < 4; i++) {
    free(p->host[i]);
    device->backend->buffer_free(p->buffers[i]);
  }
}

/* B's number (row, position) of an image. */
static double pixel(const problem *p, int64_t image, int64_t row, int64_t position) {
  const gh_gemm_desc *g = &p->desc;
  const int64_t side = g->image.side;
  const int64_t y = position / g->image.out_width * g->image.stride + row % (side * side) / side - g->image.top;
  const int64_t x = position % g->image.out_width * g->image.stride + row % side - g->image.left;
  if (y < 0 || y >= g->image.height || x < 0 || x >= g->image.width) return 0;
  return (double)p->host[2][image * g->stride_b + (row / (side * side) * g->image.height + y) * g->image.width + x];
}

/* b: the column of B, in float64 */
static void check_number(const problem *p, const char *provider, int64_t image, int64_t row, int64_t column,
                         const double *b) {
  const gh_gemm_desc *g = &p->desc;
  const int64_t at = image * g->stride_c + row * g->n + column;
  double sum = g->epilogue == GH_EPILOGUE_BIAS ? (double)p->host[3][row] : 0;
  if (p->before) sum += g->beta * (double)p->before[at];
  double squares = sum * sum;
  for (int64_t k = 0; k < g->k; k++) {
    const double product = (double)p->host[1][image * g->stride_a + row * g->lda + k] * b[k];
    sum += product;
    squares += product * product;
  }
  const double got = (double)p->host[0][at];
  double most = (double)FLT_EPSILON * (8 + 4 * sqrt((double)g->k)) * sqrt(squares);
  if (g->dtype_c != GH_F32) most += gh_dtype_rounding(g->dtype_c) * (fabs(sum) + most);
  if (fabs(got - sum) <= most) return;
  char key[160];
  gh_gemm_key(g, key, sizeof key);
  fail_msg("%s: %s: [%lld][%lld][%lld] is %.9g, expected %.9g", provider, key, (long long)image, (long long)row,
           (long long)column, got, sum);
}

static void check_image(const problem *p, const char *provider, int64_t image) {
  const gh_gemm_desc *g = &p->desc;
  double *b = gh_alloc(&err, (size_t)g->k, sizeof *b);
  assert_non_null(b);
  for (int64_t column = 0; column < g->n; column++) {
    for (int64_t k = 0; k < g->k; k++) b[k] = g->trans_b ? pixel(p, image, column, k) : pixel(p, image, k, column);
    for (int64_t row = 0; row < g->m; row++) check_number(p, provider, image, row, column, b);
  }
  free(b);
}

static void compute_and_check(problem *p, const char *provider) {
  gh_launch *launch;
  OK(gh_gemm_prepare(&err, device, &p->desc, p->buffers[1], &launch));
  if (launch) {
    OK(device->backend->enqueue(&err, device, launch));
    OK(device->backend->finish(&err, device));
    device->backend->launch_free(launch);
  }
  OK(gh_gemm_bind(&err, device, &p->desc, p->buffers[1], p->buffers[2], p->buffers[0], &launch));
  OK(device->backend->enqueue(&err, device, launch));
  OK(device->backend->read(&err, device, p->buffers[0], 0, p->host[0], p->count[0] * 4));
  device->backend->launch_free(launch);
  for (int64_t image = 0; image < p->desc.batch; image++) check_image(p, provider, image);
}

static int try(const gh_gemm_provider *provider, const shape *s, bool weights, bool bias) {
  problem p = make(s, weights, bias);
  const bool able = gh_gemm_supports(provider, &p.desc, device);
  if (able) compute_and_check(&p, provider->base.name);
  drop(&p);
  return able;
}

/* Every provider that computes convolutions itself, those of the table and those that only a search tries. */
static void test_every_provider(void **state) {
  (void)state;
  int tried = 0;
  for (int i = 0, searched = 0;; i++) {
    const gh_gemm_provider *provider = searched ? NULL : &gh_gemm_providers[i];
    if (provider && !provider->base.name) searched = i + 1, provider = NULL;
    if (!provider) provider = (const gh_gemm_provider *)gh_gemm_searched(i + 1 - searched);
    if (!provider) break;
    if (!provider->convolves || !strcmp(provider->base.name, GH_GEMM_COLUMNS)) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, provider->base.name));
    for (size_t s = 0; s < GH_COUNT(usual); s++)
      for (int way = 0; way < 3; way++) tried += try(provider, &usual[s], way == 2, way == 1);
    for (size_t s = 0; s < GH_COUNT(others); s++)
      for (int way = 0; way < 3; way++) tried += try(provider, &others[s], way == 2, way == 1);
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  assert_true(tried >= 2 * (int)GH_COUNT(usual));
}

/* The GPU's kernel has the bits of its product of columns: the order of the sums is the same. */
static void test_bits_of_columns(void **state) {
  (void)state;
  if (device->info.shape != GH_SHAPE_GPU) return;
  for (size_t s = 0; s < GH_COUNT(others); s++)
    for (int weights = 0; weights < 2; weights++) {
      problem p = make(&others[s], weights, false);
      gh_gemm_desc product = gh_columns_product(&p.desc);
      gh_launch *launch;
      gh_buffer *columns;
      const int64_t size = p.count[0] * 4;
      float *got = gh_alloc(&err, (size_t)p.count[0], sizeof *got);
      OK(gh_choice_force(&err, device, &gh_gemm_kind, "own-conv-gpu work=8"));
      compute_and_check(&p, "own-conv-gpu work=8");
      if (weights) OK(device->backend->write(&err, device, p.buffers[0], 0, p.before, size));
      OK(device->backend->buffer_create(&err, device, product.batch * product.stride_b * 4, &columns));
      OK(gh_columns_write(&err, device, &p.desc, p.buffers[2], columns, &launch));
      OK(device->backend->enqueue(&err, device, launch));
      device->backend->launch_free(launch);
      OK(gh_choice_force(&err, device, &gh_gemm_kind, "own-gpu work=4"));
      OK(gh_gemm_bind(&err, device, &product, p.buffers[1], columns, p.buffers[0], &launch));
      OK(device->backend->enqueue(&err, device, launch));
      OK(device->backend->read(&err, device, p.buffers[0], 0, got, size));
      assert_memory_equal(got, p.host[0], (size_t)size);
      device->backend->launch_free(launch);
      device->backend->buffer_free(columns);
      free(got);
      drop(&p);
    }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* Not all are timed; those of a GPU are either computed from the image or left to the op. */
static void test_chosen(void **state) {
  (void)state;
  for (size_t s = 0; s < GH_COUNT(usual); s++) {
    problem p = make(&usual[s], false, true);
    char key[160];
    bool itself;
    gh_gemm_key(&p.desc, key, sizeof key);
    assert_non_null(strstr(key, " 3x3 w="));
    OK(gh_gemm_convolves(&err, device, &p.desc, &itself));
    assert_true(itself || device->info.shape == GH_SHAPE_GPU);
    if (itself) compute_and_check(&p, "chosen");
    drop(&p);
  }
}

/* A GPU's other way: it is timed beside the kernels that need no columns, and binding it alone is refused. */
static void test_columns(void **state) {
  (void)state;
  gh_launch *launch;
  bool itself;
  if (device->info.shape != GH_SHAPE_GPU) return;
  for (int weights = 0; weights < 2; weights++) {
    problem p = make(&others[1], weights, false);
    void *trial;
    const gh_gemm_provider *columns = gh_gemm_providers;
    while (strcmp(columns->base.name, GH_GEMM_COLUMNS)) columns++;
    OK(gh_gemm_trial_open(&err, device, &p.desc, true, &trial));
    OK(gh_gemm_trial_run(&err, trial, &columns->base, &launch));
    assert_true(gh_gemm_trial_time(device, trial, &columns->base, launch) > 0);
    device->backend->launch_free(launch);
    gh_gemm_trial_close(trial);
    OK(gh_choice_force(&err, device, &gh_gemm_kind, GH_GEMM_COLUMNS));
    OK(gh_gemm_convolves(&err, device, &p.desc, &itself));
    assert_false(itself);
    assert_int_equal(gh_gemm_bind(&err, device, &p.desc, p.buffers[1], p.buffers[2], p.buffers[0], &launch),
                     GH_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "the op itself forms the columns"));
    OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
    drop(&p);
  }
}

/* A convolution that is too large for a trial is tried on fewer rows of the image; each provider must support that. */
static void test_large(void **state) {
  (void)state;
  const gh_gemm_desc desc = make_desc(&(const shape){2, 128, 224, 224, 128, .side = 0}, false);
  for (const gh_gemm_provider *provider = gh_gemm_providers; provider->base.name; provider++) {
    if (!gh_gemm_supports(provider, &desc, device)) continue; /* columns, too */
    void *trial;
    gh_launch *launch;
    OK(gh_gemm_trial_open(&err, device, &desc, true, &trial));
    OK(gh_gemm_trial_run(&err, trial, &provider->base, &launch));
    device->backend->launch_free(launch);
    gh_gemm_trial_close(trial);
  }
}

/* CPUs with AMX: sizes around those of tiles and of groups of channels, rows shorter than a vector, parts of the output
 * channels; so many channels that a block is narrower than the image. */
static const shape panels[] = {{1, 1, 1, 1, 1, .side = 0},      {2, 5, 7, 9, 3, .side = 0},
                               {1, 33, 13, 17, 65, .side = 0},  {3, 64, 14, 14, 64, .side = 0},
                               {1, 31, 1, 67, 7, .side = 0},    {1, 4, 67, 1, 17, .side = 0},
                               {2, 130, 33, 31, 97, .side = 0}, {1, 32, 9, 225, 600, .side = 0},
                               {2, 1365, 3, 40, 33, .side = 0}, {2, 4096, 3, 40, 33, .side = 0}};

/* The result for as many cores as this, which decides how the work is split. */
static void *compute_panel(problem *p, int cores) {
  const size_t each = gh_dtype_size(p->desc.dtype);
  const int before = device->info.compute_units;
  gh_launch *launch;
  void *got = gh_alloc(&err, (size_t)p->count[0], each);
  assert_non_null(got);
  device->info.compute_units = cores;
  OK(gh_conv_amx_prepare(&err, device, &p->desc, p->buffers[1], &launch));
  OK(device->backend->enqueue(&err, device, launch));
  OK(device->backend->finish(&err, device));
  device->backend->launch_free(launch);
  OK(gh_conv_amx_bind(&err, device, NULL, &p->desc, p->buffers[1], p->buffers[2], p->buffers[0], &launch));
  OK(device->backend->enqueue(&err, device, launch));
  OK(device->backend->read(&err, device, p->buffers[0], 0, got, p->count[0] * (int64_t)each));
  device->backend->launch_free(launch);
  device->info.compute_units = before;
  return got;
}

/* Rounds A, B and the bias to bfloat16, on the device and on the host. */
static void round_inputs(problem *p) {
  for (int i = 1; i < 4; i++) {
    uint16_t *bits = gh_alloc(&err, (size_t)p->count[i], sizeof *bits);
    assert_non_null(bits);
    for (int64_t j = 0; j < p->count[i]; j++) {
      bits[j] = gh_narrow(GH_BF16, p->host[i][j]);
      p->host[i][j] = gh_widen(GH_BF16, bits[j]);
    }
    OK(device->backend->write(&err, device, p->buffers[i], 0, bits, p->count[i] * 2));
    free(bits);
  }
  p->desc.dtype = p->desc.dtype_c = GH_BF16;
}

static problem make_panel(const shape *size, bool bias, bool narrow) {
  problem p = make(size, false, bias);
  if (narrow) round_inputs(&p);
  return p;
}

static float number_at(const problem *p, const void *results, int64_t i) {
  return p->desc.dtype == GH_F32 ? ((const float *)results)[i] : gh_widen(GH_BF16, ((const uint16_t *)results)[i]);
}

/* Every number against float64, and the same bits however many cores share the work. */
static void test_panels(void **state) {
  (void)state;
  for (size_t s = 0; s < 2 * GH_COUNT(panels); s++) {
    problem p = make_panel(&panels[s / 2], s / 2 % 2, s % 2);
    const bool supported = gh_conv_amx_supports(&p.desc, device);
    assert_int_equal(supported, device->info.amx && device->info.shape == GH_SHAPE_CPU &&
                                    (s % 2 || p.desc.image.channels <= 1365));
    if (!supported) {
      drop(&p);
      continue;
    }
    void *got = compute_panel(&p, 1), *other = compute_panel(&p, 64);
    assert_memory_equal(got, other, (size_t)p.count[0] * gh_dtype_size(p.desc.dtype));
    for (int64_t i = 0; i < p.count[0]; i++) p.host[0][i] = number_at(&p, got, i);
    for (int64_t image = 0; image < p.desc.batch; image++) check_image(&p, "conv2d_amx", image);
    free(got);
    free(other);
    drop(&p);
  }
}

/* An image whose pixels are not numbers stays without effect on its neighbours. */
static void test_neighbours(void **state) {
  (void)state;
  for (int narrow = 0; narrow < 2; narrow++) {
    problem p = make_panel(&panels[3], false, narrow);
    if (gh_conv_amx_supports(&p.desc, device)) {
      const size_t each = gh_dtype_size(p.desc.dtype), size = (size_t)p.desc.stride_c * each;
      const int64_t bytes = p.desc.stride_b * (int64_t)each;
      char *clean = compute_panel(&p, 2), *got;
      uint8_t *nan = gh_alloc(&err, (size_t)bytes, 1);
      assert_non_null(nan);
      memset(nan, 0xff, (size_t)bytes);
      OK(device->backend->write(&err, device, p.buffers[2], bytes, nan, bytes)); /* the second of three */
      got = compute_panel(&p, 2);
      assert_memory_equal(got, clean, size);
      assert_memory_equal(got + 2 * size, clean + 2 * size, size);
      assert_true(isnan(number_at(&p, got, p.desc.stride_c)));
      free(nan);
      free(got);
      free(clean);
    }
    drop(&p);
  }
}

static void test_arguments(void **state) {
  (void)state;
  problem p = make(&usual[1], false, false);
  gh_launch *launch;
  p.desc.image.out_width++;
  assert_int_equal(gh_gemm_bind(&err, device, &p.desc, p.buffers[1], p.buffers[2], p.buffers[0], &launch),
                   GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "do not make"));
  p.desc.image.out_width--;
  p.desc.stride_b++; /* the last image exceeds the buffer */
  assert_int_equal(gh_gemm_bind(&err, device, &p.desc, p.buffers[1], p.buffers[2], p.buffers[0], &launch),
                   GH_ERROR_ARGUMENT);
  p.desc.stride_b--;
  if (device->info.shape == GH_SHAPE_CPU) {
    OK(gh_choice_force(&err, device, &gh_gemm_kind, "own-winograd"));
    p.desc.image.prepared_offset++; /* its last weight would be beyond the buffer */
    assert_int_equal(gh_gemm_prepare(&err, device, &p.desc, p.buffers[1], &launch), GH_ERROR_ARGUMENT);
    p.desc.image.prepared = NULL;
    assert_int_equal(gh_gemm_bind(&err, device, &p.desc, p.buffers[1], p.buffers[2], p.buffers[0], &launch),
                     GH_ERROR_ARGUMENT);
    assert_non_null(strstr(err.text, "prepared weights"));
    OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  }
  drop(&p);
}

int main(void) {
  setenv("GH_CACHE_DIR", "", 1);
  if (gh_device_open(&err, "auto", &device)) {
    fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_provider), cmocka_unit_test(test_bits_of_columns), cmocka_unit_test(test_chosen),
      cmocka_unit_test(test_columns),        cmocka_unit_test(test_large),           cmocka_unit_test(test_panels),
      cmocka_unit_test(test_neighbours),     cmocka_unit_test(test_arguments),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gh_device_close(device);
  return failed;
}
