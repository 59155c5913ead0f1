/* An update's requests to the device, counted through the training loop itself: launches, the sends of images and step
 * block, and one read, the loss. Nothing is allocated, bound, compiled, written or waited for. */
#include "backend/registry.h"
#include "support/check.h"
#include "support/run_folder.h"

#include "base/file.h"
#include "base/log.h"
#include "bench/probe.h"
#include "bench/step.h"
#include "method/setup.h"
#include "train/loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH   4
#define MICRO   2
#define UPDATES 3

static gh_error err;

typedef struct trace {
  gh_config config;
  gh_models models;
  gh_lora lora;
  gh_loop loop;
  gh_image_set *images;
} trace;

static void open_loop(trace *t, int stage, char *folder) {
  char *path = check_path(folder, "config.json");
  run_folder_config(folder, GH_FIXTURES "/probe/tiny", stage == 1 ? "stage1.json" : "stage2-only.json");
  run_folder_copy(folder, GH_FIXTURES "/images/exif1.png", "pictures", "a.png");
  run_folder_copy(folder, GH_FIXTURES "/images/exif1.jpg", "pictures", "b.jpg");
  check_ok(gh_config_read(&err, &t->config, path, NULL, 0));
  free(path);
  gh_stage_config *s = &t->config.stages[stage - 1];
  s->batch = BATCH;
  s->steps = UPDATES + 1;
  const char *id = getenv("GH_TEST_DEVICE");
  t->loop = (gh_loop){.label = "trace", .number = stage, .run = folder, .stage = s, .micro_batch = MICRO};
  check_ok(gh_device_open(&err, id ? id : "auto", &t->loop.device));
  check_ok(gh_store_create(&err, t->loop.device, &t->loop.store));
  check_ok(gh_models_open(&err, &t->models, &t->config, NULL, NULL));
  gh_tensor *block = NULL;
  check_ok(gh_step_block(&err, t->loop.store, "step", &block));
  gh_setup_lora(&t->lora, &t->config, &t->models, block);
  gh_step_spec spec = gh_setup_step(&t->config, &t->models, stage, MICRO, stage == 2 ? &t->lora : NULL);
  spec.device = t->loop.device;
  spec.store = t->loop.store;
  check_ok(gh_step_record(&err, &spec, &t->loop.step));
  check_ok(gh_loop_plan(&err, &t->loop));
  char *pictures = check_path(folder, "pictures");
  check_ok(gh_image_set_open(&err, &t->images, "data.images", (const char *[]){pictures}, 1));
  free(pictures);
  t->loop.set = t->images;
  check_ok(gh_loop_load_images(&err, &t->loop, &t->config.data, 0));
}

static void close_loop(trace *t) {
  gh_device *device = t->loop.device;
  gh_loop_free(&t->loop);
  gh_image_set_free(t->images);
  gh_models_close(&t->models);
  gh_config_free(&t->config);
  gh_device_close(device);
}

static void trace_stage(int stage) {
  char *folder = check_folder();
  trace t = {0};
  open_loop(&t, stage, folder);
  gh_device *d = t.loop.device;
  int micro_batches = BATCH / MICRO;
  /* A device with capture enqueues each graph's launches once, and then the graph as one command. */
  const bool captures = d->backend->capture_begin != NULL;
  const int64_t single =
      micro_batches * gh_graph_launch_count(t.loop.step.graph) + gh_graph_launch_count(t.loop.update.graph);
  const int64_t first =
      gh_graph_launch_count(t.loop.step.graph) + micro_batches - 1 + gh_graph_launch_count(t.loop.update.graph);
  for (int update = 0; update <= UPDATES; update++, t.loop.done++) {
    gh_update_result result;
    const gh_counters before = d->counters;
    check_ok(gh_loop_update(&err, &t.loop, &result));
    assert_false(result.bad);
    assert_true(result.loss > 0);
    const gh_counters *now = &d->counters;
    assert_int_equal(now->launches - before.launches, !captures ? single : update ? micro_batches + 1 : first);
    /* the first micro-batch of each is sent during the previous update */
    const int ahead = (update < UPDATES) - (update > 0);
    assert_int_equal(now->sends - before.sends, 2 * (micro_batches + ahead));
    assert_int_equal(now->reads - before.reads, 1);
    assert_int_equal(now->binds - before.binds, captures && !update ? 2 : 0);
    assert_int_equal(now->compilations, before.compilations);
    assert_int_equal(now->writes, before.writes);
    assert_int_equal(now->waits, before.waits);
    assert_int_equal(now->allocations, before.allocations);
  }
  close_loop(&t);
  check_folder_done(folder);
}

static void test_stage1(void **state) {
  (void)state;
  trace_stage(1);
}

static void test_stage2(void **state) {
  (void)state;
  trace_stage(2);
}

/* The counters count: they include the set-up. */
static void test_counters_move(void **state) {
  (void)state;
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *d = NULL;
  gh_buffer *buffer = NULL;
  gh_launch *fill = NULL;
  uint32_t word = 7, back = 0;
  check_ok(gh_device_open(&err, id ? id : "auto", &d));
  const gh_backend *backend = d->backend;
  check_ok(backend->buffer_create(&err, d, 4, &buffer));
  check_ok(backend->bind_fill(&err, d, buffer, 0, 4, 5, &fill));
  check_ok(backend->enqueue(&err, d, fill));
  check_ok(backend->finish(&err, d));
  check_ok(backend->write(&err, d, buffer, 0, &word, 4));
  check_ok(backend->read(&err, d, buffer, 0, &back, 4));
  assert_int_equal(back, 7);
  assert_int_equal(d->counters.allocations, 1);
  assert_int_equal(d->counters.binds, 1);
  assert_int_equal(d->counters.launches, 1);
  assert_int_equal(d->counters.waits, 1);
  assert_int_equal(d->counters.writes, 1);
  assert_int_equal(d->counters.reads, 1);
  backend->launch_free(fill);
  backend->buffer_free(buffer);
  gh_device_close(d);
}

/* Sent data may be overwritten at once; sends arrive in order, more of them than staging memory holds. */
static void test_sends(void **state) {
  (void)state;
  enum { WORDS = 5 << 20, SENDS = 20 }; /* 20 MiB each */
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *d = NULL;
  gh_buffer *buffer = NULL, *copy = NULL;
  gh_launch *duplicate = NULL;
  check_ok(gh_device_open(&err, id ? id : "auto", &d));
  const gh_backend *backend = d->backend;
  uint32_t *words = malloc(WORDS * sizeof *words), back[2];
  assert_non_null(words);
  check_ok(backend->buffer_create(&err, d, WORDS * 4, &buffer));
  check_ok(backend->buffer_create(&err, d, WORDS * 4 * 2, &copy));
  check_ok(backend->bind_copy(&err, d, copy, 0, buffer, 0, WORDS * 4, &duplicate));
  for (uint32_t i = 1; i <= SENDS; i++) {
    for (int k = 0; k < WORDS; k++) words[k] = i;
    check_ok(backend->send(&err, d, buffer, 0, words, WORDS * 4));
    memset(words, 0xff, WORDS * sizeof *words);
    check_ok(backend->enqueue(&err, d, duplicate));
    check_ok(backend->send(&err, d, copy, WORDS * 4 + 4 * i, &i, 4));
  }
  check_ok(backend->read(&err, d, copy, WORDS * 4 - 4, back, 4));
  assert_int_equal(back[0], SENDS);
  check_ok(backend->read(&err, d, copy, WORDS * 4 + 4 * SENDS - 4, back, 8));
  assert_int_equal(back[0], SENDS - 1);
  assert_int_equal(back[1], SENDS);
  assert_int_equal(d->counters.sends, 2 * SENDS);
  assert_true((d->counters.allocations - 2 - SENDS) * (32 << 20) <= GH_SENDS_BYTES);
  err = (gh_error){0};
  check_fails(backend->send(&err, d, buffer, WORDS * 4 - 4, words, 8), GH_ERROR_ARGUMENT, "send: 8 bytes");
  backend->launch_free(duplicate);
  backend->buffer_free(copy);
  backend->buffer_free(buffer);
  gh_device_close(d);
  free(words);
}

/* Reserved staging memory: that many sends find room before any has arrived, but no more than the bound. */
static void test_reserved_sends(void **state) {
  (void)state;
  enum { SENDS = 7, WORDS = 1000, LARGE = 64 << 20 };
  static uint32_t words[WORDS];
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *d = NULL;
  gh_buffer *buffer = NULL;
  check_ok(gh_device_open(&err, id ? id : "auto", &d));
  const gh_backend *backend = d->backend;
  check_ok(backend->buffer_create(&err, d, sizeof words, &buffer));
  check_ok(backend->reserve_sends(&err, d, sizeof words, SENDS));
  const gh_counters before = d->counters;
  assert_int_equal(before.allocations, 1 + SENDS);
  check_ok(backend->reserve_sends(&err, d, sizeof words - 4, SENDS)); /* the same blocks */
  for (int i = 0; i < SENDS; i++) check_ok(backend->send(&err, d, buffer, 0, words, sizeof words));
  assert_int_equal(d->counters.allocations, before.allocations);
  assert_int_equal(d->counters.waits, before.waits);
  check_ok(backend->finish(&err, d));
  check_ok(backend->reserve_sends(&err, d, LARGE, 100));
  assert_int_equal(d->counters.allocations - before.allocations, GH_SENDS_BYTES / LARGE - 1);
  backend->buffer_free(buffer);
  gh_device_close(d);
}

/* The benchmark's step: every promised field exists, and its phases are the model's. */
static void test_bench(void **state) {
  (void)state;
  static const char *const phases[] = {"encoder", "autoencoder", "denoiser", "backward", "update"};
  char *sets[] = {"denoiser.double_blocks=1", "denoiser.single_blocks=1"};
  const gh_bench_options options = {.arch = "tiny",
                                    .stage = 2,
                                    .batch = 2,
                                    .sets = {.items = sets, .count = GH_COUNT(sets)},
                                    .warmup = 1,
                                    .repeats = 2,
                                    .profile = true};
  const char *id = getenv("GH_TEST_DEVICE");
  gh_device *d = NULL;
  gh_bench_result r;
  gh_bench_peak peak;
  check_ok(gh_device_open(&err, id ? id : "auto", &d));
  check_ok(gh_bench_measure_peak(&err, d, GH_CLOCK_WALL, &peak));
  assert_true(peak.flops > 1e6 && peak.bytes > 1e6);
  check_ok(gh_bench_step(&err, d, &options, &r));
  assert_true(r.median.wall >= r.least && r.least > 0);
  assert_true(gh_budget_peak(&r.budget) == r.budget.lasting_bytes + r.budget.step_bytes && r.budget.step_bytes > 0);
  assert_true(r.resident_bytes > gh_budget_peak(&r.budget) / 2);
  assert_true(isfinite(r.loss) && r.loss > 0);
  assert_int_equal(r.counters.reads, 2);
  assert_int_equal(r.counters.waits + r.counters.writes + r.counters.compilations + r.counters.binds, 0);
  assert_int_equal(r.counters.allocations, 0);
  assert_int_equal(r.phase_count, GH_COUNT(phases));
  double flops = 0, of_rows = 0;
  int64_t launches = 0;
  for (int i = 0; i < r.phase_count; i++) {
    assert_string_equal(r.phases[i].name, phases[i]);
    assert_true(r.phases[i].time.wall > 0);
    flops += r.phases[i].flops;
  }
  for (size_t i = 0; i < r.profile.row_count; i++) {
    of_rows += r.profile.rows[i].flops;
    launches += r.profile.rows[i].count;
  }
  assert_int_equal(r.profile.event_count, launches);
  assert_true(fabs(of_rows - flops) <= 1e-9 * flops);
  assert_true(flops > 0.9 * r.flops && flops <= r.flops * (1 + 1e-9)); /* elementwise ops do not count flops */
  assert_int_equal(d->backend->capture_begin ? 2 * 2 : 2 * launches, r.counters.launches);
  gh_bench_free(&r);
  gh_device_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stage1), cmocka_unit_test(test_stage2),         cmocka_unit_test(test_counters_move),
      cmocka_unit_test(test_sends),  cmocka_unit_test(test_reserved_sends), cmocka_unit_test(test_bench),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
