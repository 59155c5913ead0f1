/* What each lane holds of the operands of the matrix units' instructions, as their vendors publish it: an element's
 * lane, register and half. Compared with the places that the kernels use (cl/gemm_matrix_units.h), and with the
 * instruction: the device's own where it has the unit, else its model.
 *
 *   mma    PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type"
 *   mfma   AMD's matrix instruction calculator, v_mfma_f32_16x16x16_bf16_1k; CDNA 3 ISA, "Matrix Arithmetic
 *          Instructions"
 *   wmma   RDNA 3 ISA, "Wave Matrix Multiply Accumulate"; AMD GPUOpen, "How to accelerate AI applications on RDNA 3
 *          using WMMA": lanes 16 to 31 repeat A and B, and have the odd rows of C
 *   dpas   Khronos' registry, cl_intel_subgroup_matrix_multiply_accumulate, for sub-groups of 8 and of 16 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/on_device.h"

enum { K = 16, MOST_LANES = 64, MOST_WORDS = 8, MOST = MOST_LANES * MOST_WORDS };

typedef struct place {
  int lane, word, half; /* half 1: the upper 16 bits */
} place;

typedef struct unit {
  const char *define;
  gh_matrix_unit id;
  int lanes, rows, columns, a_words, b_words, c_floats;
  int copies; /* lanes that hold the same of A and B */
  int halves; /* numbers in a word of A */
  place (*a)(int row, int k), (*b)(int k, int column), (*c)(int row, int column);
} unit;

static place mma_a(int row, int k) { return (place){row % 8 * 4 + k % 8 / 2, row / 8 + 2 * (k / 8), k % 2}; }
static place mma_b(int k, int column) { return (place){column * 4 + k % 8 / 2, k / 8, k % 2}; }
static place mma_c(int row, int column) { return (place){row % 8 * 4 + column / 2, row / 8 * 2 + column % 2, 0}; }

static place mfma_a(int row, int k) { return (place){k / 4 * 16 + row, k % 4 / 2, k % 2}; }
static place mfma_b(int k, int column) { return (place){k / 4 * 16 + column, k % 4 / 2, k % 2}; }
static place mfma_c(int row, int column) { return (place){row / 4 * 16 + column, row % 4, 0}; }

static place wmma_a(int row, int k) { return (place){row, k / 2, k % 2}; }
static place wmma_b(int k, int column) { return (place){column, k / 2, k % 2}; }
static place wmma_c(int row, int column) { return (place){row % 2 * 16 + column, row / 2, 0}; }

static place dpas16_a(int row, int k) { return (place){k, row, 0}; }
static place dpas8_a(int row, int k) { return (place){k / 2, row, k % 2}; }
static place dpas_b(int k, int column) { return (place){column, k / 2, k % 2}; }
static place dpas_c(int row, int column) { return (place){column, row, 0}; }

static const unit units[] = {
    {"-DUNIT_MMA", GH_MATRIX_MMA, 32, 16, 8, 4, 2, 4, 1, 2, mma_a, mma_b, mma_c},
    {"-DUNIT_MFMA", GH_MATRIX_MFMA, 64, 16, 16, 2, 2, 4, 1, 2, mfma_a, mfma_b, mfma_c},
    {"-DUNIT_WMMA", GH_MATRIX_WMMA, 32, 16, 16, 8, 8, 8, 2, 2, wmma_a, wmma_b, wmma_c},
    {"-DUNIT_DPAS16", GH_MATRIX_DPAS16, 16, 8, 16, 8, 8, 8, 1, 1, dpas16_a, dpas_b, dpas_c},
    {"-DUNIT_DPAS8", GH_MATRIX_DPAS8, 8, 8, 8, 8, 8, 8, 1, 2, dpas8_a, dpas_b, dpas_c},
};

static gh_dtype dtype; /* bfloat16 or float16: the places are the same */

/* Whole numbers, so that every order of sums gives the same. */
static float a_of(int row, int k) { return (float)((row * 7 + k * 5) % 17 - 8); }
static float b_of(int k, int column) { return (float)((k * 11 + column * 3) % 13 - 6); }
static float c_of(int row, int column) { return (float)(row * 16 + column); }

typedef struct operands {
  uint32_t a[MOST], b[MOST];
  float c[MOST];
  int32_t places[2 * 3 * MOST];
} operands;

/* Puts a number where each of the lanes that hold it has it. */
static void put(uint32_t *words, const unit *u, int each, place at, float value) {
  for (int copy = 0; copy < u->copies; copy++)
    words[(at.lane + copy * u->lanes / u->copies) * each + at.word] |= (uint32_t)gh_narrow(dtype, value)
                                                                       << 16 * at.half;
}

static void fill(operands *o, const unit *u) {
  memset(o, 0, sizeof *o);
  for (int k = 0; k < K; k++) {
    for (int row = 0; row < u->rows; row++) put(o->a, u, u->a_words, u->a(row, k), a_of(row, k));
    for (int column = 0; column < u->columns; column++) put(o->b, u, u->b_words, u->b(k, column), b_of(k, column));
  }
  for (int row = 0; row < u->rows; row++)
    for (int column = 0; column < u->columns; column++) {
      const place at = u->c(row, column);
      o->c[at.lane * u->c_floats + at.word] = c_of(row, column);
    }
}

static void launch(operands *o, const unit *u) {
  const gh_backend *backend = device->backend;
  const bool own = device->info.matrix == u->id;
  char defines[64];
  snprintf(defines, sizeof defines, "%s%s%s", u->define, own ? "" : " -DUNIT_EMULATED",
           dtype == GH_F16 ? " -DAB_F16" : "");
  void *const at[] = {o->c, o->places, o->a, o->b};
  const int64_t bytes[] = {sizeof o->c, sizeof o->places, sizeof o->a, sizeof o->b};
  gh_buffer *buffers[4];
  gh_arg args[4];
  for (int i = 0; i < 4; i++) {
    OK(backend->buffer_create(&err, device, bytes[i], &buffers[i]));
    OK(backend->write(&err, device, buffers[i], 0, at[i], bytes[i]));
    args[i] = gh_arg_buffer(buffers[i]);
  }
  const gh_kernel_id id = {.name = "matrix_lanes", .source = "tuned_matrix_lanes", .defines = defines, .dtype = GH_F32};
  const gh_grid grid = {{1, 1, 1}, {(size_t)u->lanes, 1, 1}};
  gh_launch *bound;
  OK(backend->bind_kernel(&err, device, &id, &grid, args, 4, &bound));
  OK(backend->enqueue(&err, device, bound));
  for (int i = 0; i < 2; i++) OK(backend->read(&err, device, buffers[i], 0, at[i], bytes[i]));
  backend->launch_free(bound);
  for (int i = 0; i < 4; i++) backend->buffer_free(buffers[i]);
}

/* The kernels' place of a word or float of a lane. which: 0 A, 1 B, 2 C. */
static const int32_t *kernel_place(const operands *o, const unit *u, int which, place at) {
  const int before = which == 0 ? 0 : which == 1 ? u->a_words : u->a_words + u->b_words;
  return o->places + 2 * (at.lane * (u->a_words + u->b_words + u->c_floats) + before + at.word);
}

static void check_places(const operands *o, const unit *u) {
  for (int k = 0; k < K; k++) {
    for (int row = 0; row < u->rows; row++)
      for (int copy = 0; copy < u->copies; copy++) {
        place at = u->a(row, k);
        at.lane += copy * u->lanes / u->copies;
        const int32_t *got = kernel_place(o, u, 0, at);
        if (got[0] != row || got[1] != k / 2 || (u->halves == 2 && at.half != k % 2))
          fail_msg("%s: A of lane %d, word %d: row %d, pair %d; published: row %d, pair %d", u->define, at.lane,
                   at.word, got[0], got[1], row, k / 2);
      }
    for (int column = 0; column < u->columns; column++)
      for (int copy = 0; copy < u->copies; copy++) {
        place at = u->b(k, column);
        at.lane += copy * u->lanes / u->copies;
        const int32_t *got = kernel_place(o, u, 1, at);
        if (got[0] != column || got[1] != k / 2 || at.half != k % 2)
          fail_msg("%s: B of lane %d, word %d: column %d, pair %d; published: column %d, pair %d", u->define, at.lane,
                   at.word, got[0], got[1], column, k / 2);
      }
  }
  for (int row = 0; row < u->rows; row++)
    for (int column = 0; column < u->columns; column++) {
      const place at = u->c(row, column);
      const int32_t *got = kernel_place(o, u, 2, at);
      if (got[0] != row || got[1] != column)
        fail_msg("%s: C of lane %d, float %d: row %d, column %d; published: row %d, column %d", u->define, at.lane,
                 at.word, got[0], got[1], row, column);
    }
}

static void check_product(const operands *o, const unit *u) {
  for (int row = 0; row < u->rows; row++)
    for (int column = 0; column < u->columns; column++) {
      const place at = u->c(row, column);
      float want = c_of(row, column);
      for (int k = 0; k < K; k++) want += a_of(row, k) * b_of(k, column);
      const float got = o->c[at.lane * u->c_floats + at.word];
      if (!(fabsf(got - want) <= 0))
        fail_msg("%s: C[%d][%d] is %g, expected %g", u->define, row, column, (double)got, (double)want);
    }
}

static void test_lanes(void **state) {
  (void)state;
  static operands o;
  const bool opencl = !strncmp(device->info.id, "opencl", 6);
  for (size_t i = 0; i < GH_COUNT(units); i++) {
    if (!opencl && units[i].id != device->info.matrix) continue; /* the models are OpenCL's */
    for (int k = 0; k < 2; k++) {
      dtype = k ? GH_F16 : GH_BF16;
      fill(&o, &units[i]);
      launch(&o, &units[i]);
      check_places(&o, &units[i]);
      check_product(&o, &units[i]);
    }
  }
}

int main(void) {
  setenv("GH_KERNEL_SHAPE", "gpu", 1);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lanes)};
  return cmocka_run_group_tests(tests, open_device, close_device);
}
