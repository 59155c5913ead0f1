/* The matrix-unit kernel without such a device: its index arithmetic around a model of each unit, which replaces the
 * instruction. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chooser/gemm_internal.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

static void run(const gh_gemm_desc *g, const char *provider) {
  gemm_problem one;
  gemm_problem_make(&one, device, g);
  gemm_problem_compute(&one);
  gemm_problem_check(&one, provider);
  gemm_problem_free(&one);
}

/* Sizes: -DTILE and the index in the table below. */
static const char *const units[] = {"-DUNIT_MMA", "-DUNIT_MFMA", "-DUNIT_WMMA", "-DUNIT_DPAS16", "-DUNIT_DPAS8"};

static bool is_narrow(const gh_gemm_desc *g, const gh_device *d) { return d && gh_dtype_is_narrow(g->dtype); }
static gh_status bind_emulated(gh_error *e, gh_device *d, const gh_gemm_provider *provider, const gh_gemm_desc *g,
                               const gh_buffer *a, const gh_buffer *b, gh_buffer *c, gh_launch **out) {
  char all[100];
  snprintf(all, sizeof all, "-DUNIT_EMULATED -DTILE=%d %s", provider->size[0], units[provider->size[1]]);
  return gh_gemm_matrix_bind_as(e, d, all, provider->size[0], g, a, b, c, out);
}

#define EMULATED(tile, unit)                                                                                           \
  {                                                                                                                    \
    {"emulated " #unit " " #tile, "emulated " #unit}, is_narrow, bind_emulated, NULL, {tile, unit},                    \
        1u << GH_EPILOGUE_BIAS | GH_GEMM_SECOND, 0, false                                                              \
  }

/* The kernel's own index arithmetic, with the instruction replaced by its documentation. */
static void test_matrix_units_by_their_documentation(void **state) {
  (void)state;
  static const gh_gemm_provider emulated[] = {EMULATED(64, 0),  EMULATED(64, 1),  EMULATED(64, 2),
                                              EMULATED(64, 3),  EMULATED(64, 4),  EMULATED(128, 0),
                                              EMULATED(128, 1), EMULATED(128, 4), EMULATED(128, 3)};
  /* Loads of 1, 8, 4, 1, 8 and 8 numbers; whole steps and a rest, or only one of them. Options keep these widths. */
  static const struct {
    int64_t size[3];
    int options[4];
  } cases[] = {{{65, 31, 193}, {1, 2, 3, 4}},   {{72, 80, 456}, {0, 5, 0, 5}},  {{76, 68, 196}, {5, 0, 5, 0}},
               {{66, 38, 130}, {0, 3, 5, 3}},   {{48, 72, 200}, {0, 5, 5, 0}},  {{136, 24, 192}, {0, 5, 5, 0}},
               {{136, 144, 232}, {0, 5, 5, 0}}, {{136, 80, 104}, {0, 5, 5, 0}}, {{72, 136, 168}, {0, 5, 5, 0}}};
  static const int opencl_turns[] = {0, 1, 2, 3, -1, -1, 2, 0, -1};
  const bool opencl = !strncmp(device->info.id, "opencl", 6);
  if (device->info.max_group < 256 || device->info.local_bytes < 49152) skip();
  for (size_t p = 0; p < GH_COUNT(emulated); p++) {
    OK(gh_choice_plant(&err, device, &gh_gemm_kind, &emulated[p].base));
    OK(gh_choice_force(&err, device, &gh_gemm_kind, emulated[p].base.name));
    for (int turn = 0; turn < 4; turn++) {
      /* an OpenCL compiler takes many seconds for each: there, one transposition of some */
      if (opencl && turn != opencl_turns[p]) continue;
      const int64_t *size = cases[p].size;
      gh_gemm_desc g = gemm_desc_of(size[0], size[1], p || turn % 2 ? size[2] : 33, turn, cases[p].options[turn]);
      if (turn / 2 == 0) g.alpha = 0.5, g.beta = 0.25;
      g.dtype = (p + (size_t)turn / 2) % 2 ? GH_F16 : GH_BF16;
      g.dtype_c = p % 2 ? g.dtype : GH_F32;
      if (turn % 2) g.epilogue = GH_EPILOGUE_BIAS;
      run(&g, emulated[p].base.name);
    }
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* A second product after the first one's steps, of each unit: several steps of it, whole ones and a rest. */
static void test_second_products(void **state) {
  (void)state;
  static const gh_gemm_provider emulated[] = {EMULATED(64, 0), EMULATED(64, 1), EMULATED(64, 2), EMULATED(64, 3),
                                              EMULATED(64, 4)};
  static const int64_t ranks[] = {16, 4, 31, 128, 80};
  if (device->info.max_group < 256 || device->info.local_bytes < 49152) skip();
  for (size_t p = 0; p < GH_COUNT(emulated); p++) {
    const int trans = (int)(p * 2 % 4);
    gh_gemm_desc g = gemm_desc_of(72, 80, p % 2 ? 192 : 200, trans, 0);
    g.dtype = g.dtype_c = p % 2 ? GH_F16 : GH_BF16;
    if (p) g.epilogue = GH_EPILOGUE_BIAS;
    if (p == 1) g.beta = 0.5;
    g = gemm_desc_with(g, ranks[p], p == 2 ? -0.3 : 2, (int64_t)p % 3);
    OK(gh_choice_plant(&err, device, &gh_gemm_kind, &emulated[p].base));
    OK(gh_choice_force(&err, device, &gh_gemm_kind, emulated[p].base.name));
    run(&g, emulated[p].base.name);
  }
  OK(gh_choice_force(&err, device, &gh_gemm_kind, NULL));
}

/* Matrix units are a GPU's: no device of the CPU's shape is offered the kernel. */
int main(void) {
  setenv("GH_KERNEL_SHAPE", "gpu", 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_matrix_units_by_their_documentation, open_device, close_device),
      cmocka_unit_test_setup_teardown(test_second_products, open_device, close_device)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
