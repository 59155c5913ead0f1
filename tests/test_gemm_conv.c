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

/* batch, channels, height, width, output channels */
static const int64_t shapes[][5] = {{1, 1, 1, 1, 1},   {2, 5, 7, 9, 3},     {1, 33, 13, 17, 65}, {3, 64, 8, 8, 64},
                                    {1, 31, 1, 67, 7}, {2, 70, 33, 31, 97}, {1, 128, 31, 64, 33}};

typedef struct problem {
  int64_t batch, channels, height, width, out;
  gh_gemm_desc desc;
  float *host[4]; /* C, A, B, bias */
  gh_buffer *prepared;
  int64_t count[4];
  gh_buffer *buffers[4];
} problem;

static gh_gemm_desc make_desc(const int64_t *s) {
  const int64_t plane = s[2] * s[3], k = s[1] * 9;
  gh_gemm_desc desc = {.m = s[4], .n = plane, .k = k, .lda = k, .ldc = plane, .batch = s[0], .alpha = 1};
  desc.image.channels = s[1];
  desc.image.height = s[2];
  desc.image.width = s[3];
  desc.stride_b = s[1] * plane;
  desc.stride_c = s[4] * plane;
  return desc;
}

static problem make(const int64_t *s, bool bias) {
  problem p = {.batch = s[0], .channels = s[1], .height = s[2], .width = s[3], .out = s[4], .desc = make_desc(s)};
  const int64_t counts[] = {p.batch * p.desc.stride_c, p.out * p.desc.k, p.batch * p.desc.stride_b, p.out};
  for (int i = 0; i < 4; i++) {
    p.count[i] = counts[i];
    p.host[i] = gh_alloc(&err, (size_t)counts[i], sizeof(float));
    assert_non_null(p.host[i]);
    for (int64_t j = 0; j < counts[i]; j++) p.host[i][j] = i ? uniform() : NAN;
    OK(device->backend->buffer_create(&err, device, counts[i] * 4, &p.buffers[i]));
    OK(device->backend->write(&err, device, p.buffers[i], 0, p.host[i], counts[i] * 4));
  }
  OK(device->backend->buffer_create(&err, device, (gh_gemm_prepared_elements(&p.desc) + 5) * 4, &p.prepared));
  p.desc.image.prepared = p.prepared;
  p.desc.image.prepared_offset = 5;
  if (bias) {
    p.desc.epilogue = GH_EPILOGUE_BIAS;
    p.desc.bias = p.buffers[3];
  }
  return p;
}

static void drop(problem *p) {
  device->backend->buffer_free(p->prepared);
  for (int i = 0; i < 4; i++) {
    free(p->host[i]);
    device->backend->buffer_free(p->buffers[i]);
  }
}

static void check_position(const problem *p, const char *provider, int64_t b, int64_t o, int64_t y, int64_t x) {
  double sum = p->desc.epilogue == GH_EPILOGUE_BIAS ? (double)p->host[3][o] : 0, squares = sum * sum;
  for (int64_t c = 0; c < p->channels; c++)
    for (int64_t tap = 0; tap < 9; tap++) {
      const int64_t row = y + tap / 3 - 1, column = x + tap % 3 - 1;
      if (row < 0 || row >= p->height || column < 0 || column >= p->width) continue;
      const double product = (double)p->host[1][(o * p->channels + c) * 9 + tap] *
                             (double)p->host[2][((b * p->channels + c) * p->height + row) * p->width + column];
      sum += product;
      squares += product * product;
    }
  const double got = (double)p->host[0][((b * p->out + o) * p->height + y) * p->width + x];
  const double most = (double)FLT_EPSILON * (8 + 4 * sqrt((double)p->desc.k)) * sqrt(squares);
  if (!(fabs(got - sum) <= most))
    fail_msg("%s: %lldx%lldx%lld to %lld: [%lld][%lld][%lld][%lld] is %.9g, expected %.9g", provider,
             (long long)p->channels, (long long)p->height, (long long)p->width, (long long)p->out, (long long)b,
             (long long)o, (long long)y, (long long)x, got, sum);
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
  for (int64_t b = 0; b < p->batch; b++)
    for (int64_t o = 0; o < p->out; o++)
      for (int64_t y = 0; y < p->height; y++)
        for (int64_t x = 0; x < p->width; x++) check_position(p, provider, b, o, y, x);
}

static void test_every_provider(void **state) {
  (void)state;
  int tried = 0;
  for (const gh_gemm_provider *provider = gh_gemm_providers; provider->base.name; provider++) {
    if (!provider->convolves) continue;
    OK(gh_choice_force(&err, device, &gh_gemm_kind, provider->base.name));
    for (size_t s = 0; s < GH_COUNT(shapes); s++)
      for (int bias = 0; bias < 2; bias++) {
        problem p = make(shapes[s], bias);
        if (gh_gemm_supports(provider, &p.desc, device)) {
          compute_and_check(&p, provider->base.name);
          tried++;
        }
        drop(&p);
      }
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
  if (device->info.shape == GH_SHAPE_CPU) assert_true(tried >= 2 * (int)GH_COUNT(shapes));
}

static void test_chosen(void **state) {
  (void)state;
  if (device->info.shape != GH_SHAPE_CPU) return; /* GPUs compute convolutions by columns */
  for (size_t s = 0; s < GH_COUNT(shapes); s++) {
    problem p = make(shapes[s], true);
    compute_and_check(&p, "chosen");
    char key[160];
    gh_gemm_key(&p.desc, key, sizeof key);
    assert_non_null(strstr(key, " 3x3 w="));
    drop(&p);
  }
}

/* A convolution that is too large for a trial is tried on fewer rows of the image; each provider must support that. */
static void test_large(void **state) {
  (void)state;
  if (device->info.shape != GH_SHAPE_CPU) return;
  const gh_gemm_desc desc = make_desc((const int64_t[]){2, 128, 224, 224, 128});
  for (const gh_gemm_provider *provider = gh_gemm_providers; provider->base.name; provider++) {
    if (!gh_gemm_supports(provider, &desc, device)) continue;
    void *trial;
    gh_launch *launch;
    OK(gh_gemm_trial_open(&err, device, &desc, true, &trial));
    OK(gh_gemm_trial_run(&err, trial, &provider->base, &launch));
    device->backend->launch_free(launch);
    gh_gemm_trial_close(trial);
  }
}

static void test_arguments(void **state) {
  (void)state;
  problem p = make(shapes[1], false);
  gh_launch *launch;
  p.desc.image.height++;
  assert_int_equal(gh_gemm_bind(&err, device, &p.desc, p.buffers[1], p.buffers[2], p.buffers[0], &launch),
                   GH_ERROR_ARGUMENT);
  assert_non_null(strstr(err.text, "do not make"));
  p.desc.image.height--;
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
      cmocka_unit_test(test_every_provider),
      cmocka_unit_test(test_chosen),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_arguments),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gh_device_close(device);
  return failed;
}
