/* The PTX interpreter (tests/cuda_double/ptx.h) itself: instructions checked against answers worked out by hand from
 * the PTX ISA, and detection of the faults that it must detect. Needs no NVRTC. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/cuda/api.h"

static gh_error err;
static const gh_cuda_driver *cu;
static CUcontext context;
static CUstream stream;
static CUdeviceptr memory;

enum { WORDS = 1024 }; /* of `memory` */

#define OK(call) assert_int_equal(call, 0)

static int open_double(void **state) {
  (void)state;
  cu = gh_cuda_driver_get(&err);
  if (!cu) fail_msg("%s", err.text);
  return 0;
}

static int begin(void **state) {
  (void)state;
  OK(cu->cuDevicePrimaryCtxRetain(&context, 0));
  OK(cu->cuCtxSetCurrent(context));
  OK(cu->cuStreamCreate(&stream, GH_CU_STREAM_NON_BLOCKING));
  OK(cu->cuMemAlloc_v2(&memory, 4 * WORDS));
  return 0;
}
static int end(void **state) {
  (void)state;
  cu->cuMemFree_v2(memory);
  cu->cuStreamDestroy_v2(stream);
  OK(cu->cuDevicePrimaryCtxRelease_v2(0));
  return 0;
}

/* ---- kernels ---- */

/* Available to every body: %rd1 is `memory`, %r1 the work-item. */
static const char head[] = "// made by hand\n.version 9.0\n.target sm_80\n.address_size 64\n"
                           ".visible .entry f(\n\t.param .u64 f_param_0\n)\n.maxntid 64, 1, 1\n{\n"
                           "\t.reg .pred %p<9>;\n\t.reg .b16 %rs<9>;\n\t.reg .f32 %f<30>;\n\t.reg .b32 %r<30>;\n"
                           "\t.reg .b64 %rd<30>;\n\t.shared .align 16 .b8 tile[1024];\n"
                           "\t.shared .align 16 .b8 other[16];\n"
                           "\tld.param.u64 %rd1, [f_param_0];\n\tcvta.to.global.u64 %rd1, %rd1;\n"
                           "\tmov.u32 %r1, %tid.x;\n\tmul.wide.u32 %rd2, %r1, 4;\n\tadd.s64 %rd3, %rd1, %rd2;\n"
                           "\tmov.u64 %rd4, tile;\n\tadd.s64 %rd5, %rd4, %rd2;\n\tcvt.u32.u64 %r2, %rd4;\n"
                           "\tshl.b32 %r3, %r1, 4;\n\tadd.s32 %r4, %r2, %r3;\n";

static unsigned load(const char *body, CUmodule *module, char *log, size_t size) {
  unsigned names[] = {GH_CU_JIT_ERROR_LOG, GH_CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)size};
  char text[8192];
  snprintf(text, sizeof text, "%s%s\tret;\n}\n", head, body);
  return cu->cuModuleLoadDataEx(module, text, 2, names, values);
}

static unsigned run_blocks(const char *body, unsigned blocks, unsigned items) {
  CUmodule module;
  CUfunction function;
  char log[400] = "";
  if (load(body, &module, log, sizeof log)) fail_msg("%s", log);
  OK(cu->cuModuleGetFunction(&function, module, "f"));
  void *params[] = {&memory};
  OK(cu->cuLaunchKernel(function, blocks, 1, 1, items, 1, 1, 0, stream, params, NULL));
  unsigned code = cu->cuStreamSynchronize(stream);
  if (!code) OK(cu->cuModuleUnload(module));
  return code;
}

static unsigned run(const char *body, unsigned items) { return run_blocks(body, 1, items); }

static void write_words(const void *from, size_t words) {
  OK(cu->cuMemcpyHtoDAsync_v2(memory, from, 4 * words, stream));
}
static void read_words(void *to, size_t words) {
  OK(cu->cuMemcpyDtoHAsync_v2(to, memory, 4 * words, stream));
  OK(cu->cuStreamSynchronize(stream));
}

/* ---- instructions ---- */

static void test_answers(void **state) {
  (void)state;
  /* x and y in %r10 and %r11, %f10 and %f11; the answer in %r20 */
  static const struct {
    const char *body;
    uint32_t x, y, want;
  } cases[] = {
      {"shl.b32 %r20, %r10, %r11;", 1, 31, 0x80000000u},
      {"shl.b32 %r20, %r10, %r11;", 1, 32, 0},
      {"shr.u32 %r20, %r10, %r11;", 0x80000000u, 33, 0},
      {"shr.s32 %r20, %r10, %r11;", 0x80000000u, 33, 0xffffffffu},
      {"mul.hi.u32 %r20, %r10, %r11;", 0xffffffffu, 2, 1},
      {"mul.hi.s32 %r20, %r10, %r11;", 0xffffffffu, 2, 0xffffffffu},
      {"div.s32 %r20, %r10, %r11;", (uint32_t)-7, 2, (uint32_t)-3},
      {"rem.s32 %r20, %r10, %r11;", (uint32_t)-7, 2, (uint32_t)-1},
      {"div.u32 %r20, %r10, %r11;", (uint32_t)-7, 2, 0x7ffffffcu},
      {"prmt.b32 %r20, %r10, %r11, 0x5410;", 0x33221100u, 0x77665544u, 0x55441100u},
      {"prmt.b32 %r20, %r10, %r11, 0x7632;", 0x33221100u, 0x77665544u, 0x77663322u},
      {"prmt.b32 %r20, %r10, %r11, 0x0b08;", 0x83221180u, 0, 0x80ff80ffu}, /* 8: the sign of byte 0, b: of byte 3 */
      {"cvt.u64.u32 %rd10, %r10; cvt.u64.u32 %rd11, %r11; bfi.b64 %rd12, %rd10, %rd11, 8, 4; cvt.u32.u64 %r20, %rd12;",
       0xff, 0x11111111u, 0x11111f11u},
      {"copysign.f32 %f20, %f10, %f11; mov.b32 %r20, %f20;", 0xbf800000u, 0x40000000u, 0xc0000000u},
      {"max.f32 %f20, %f10, %f11; mov.b32 %r20, %f20;", 0x7fc00000u, 0xbf800000u, 0xbf800000u},
      {"max.f32 %f20, %f10, %f11; mov.b32 %r20, %f20;", 0x80000000u, 0, 0},
      {"popc.b32 %r20, %r10;", 0xf0010003u, 0, 7},
      {"mov.b64 %rd10, {%r10, %r11}; popc.b64 %r20, %rd10;", 0x80000001u, 0xffffffffu, 34},
      {"cvt.rn.bf16x2.f32 %r20, %f10, %f11;", 0x3f800000u, 0x40000000u, 0x3f804000u},
      {"cvt.rn.bf16x2.f32 %r20, %f10, %f11;", 0x3f808000u, 0x3f818000u, 0x3f803f82u}, /* ties to even */
      {"cvt.rn.bf16x2.f32 %r20, %f10, %f11;", 0xffc00000u, 0x7f7fffffu, 0x7fff7f80u},
      {"cvt.rzi.s32.f32 %r20, %f10;", 0xbfc00000u, 0, 0xffffffffu},
      {"cvt.rzi.s32.f32 %r20, %f10;", 0x7f000000u, 0, 0x7fffffffu},
      {"cvt.rzi.s32.f32 %r20, %f10;", 0x7fc00000u, 0, 0},
      {"cvt.rni.f32.f32 %f20, %f10; mov.b32 %r20, %f20;", 0x40200000u, 0, 0x40000000u}, /* 2.5 */
      {"ex2.approx.ftz.f32 %f20, %f10; mov.b32 %r20, %f20;", 0xc3000000u, 0, 0},        /* 2^-128 */
      {"ex2.approx.ftz.f32 %f20, %f10; mov.b32 %r20, %f20;", 0xff800000u, 0, 0},
      {"fma.rn.f32 %f20, %f10, %f10, %f11; mov.b32 %r20, %f20;", 0x3f800001u, 0xbf800002u, 0x28800000u},
      {"setp.lt.f32 %p1, %f10, %f11; selp.b32 %r20, 1, 0, %p1;", 0x7fc00000u, 0, 0},
      {"setp.geu.f32 %p1, %f10, %f11; selp.b32 %r20, 1, 0, %p1;", 0x7fc00000u, 0, 1},
      {"setp.ne.f32 %p1, %f10, %f11; selp.b32 %r20, 1, 0, %p1;", 0x7fc00000u, 0, 0},
      {"setp.neu.f32 %p1, %f10, %f11; selp.b32 %r20, 1, 0, %p1;", 0x7fc00000u, 0, 1},
      {"setp.lt.u32 %p1, %r10, %r11; selp.u16 %rs1, -1, 7, %p1; cvt.u32.u16 %r20, %rs1;", 1, 2, 0xffffu},
      {"cvt.u16.u32 %rs1, %r10; setp.eq.s16 %p1, %rs1, -1; selp.b32 %r20, 1, 0, %p1;", 0x1ffffu, 0, 1},
      {"cvt.u16.u32 %rs1, %r10; setp.ne.s16 %p1, %rs1, 0; selp.b32 %r20, 1, 0, %p1;", 0x10000u, 0, 0},
      {"setp.lt.u32 %p1, %r10, %r11; selp.u16 %rs1, -1, 7, %p1; cvt.u32.u16 %r20, %rs1;", 2, 1, 7},
      {"setp.lt.u32 %p1, %r10, %r11; @!%p1 bra $L1; mov.u32 %r20, 7; bra.uni $L2; $L1: mov.u32 %r20, 8; $L2:", 1,
       (uint32_t)-1, 7},
      {"mov.b64 %rd10, 0x123456789; { .reg .b32 t; mov.b64 {t, %r20}, %rd10; } { .reg .b16 t; mov.b32 {t, %rs1}, %r10; "
       "} "
       "cvt.u32.u16 %r10, %rs1; shl.b32 %r20, %r20, 16; or.b32 %r20, %r20, %r10;",
       0xabcd9876u, 0, 0x0001abcdu},
      {"mov.u16 %rs1, 0x8001; shl.b16 %rs2, %rs1, 4; mul.lo.s16 %rs3, %rs1, %rs1; add.s16 %rs2, %rs2, %rs3; "
       "mul.wide.u16 %r20, %rs2, %rs1;",
       0, 0, 0x88011u},
      {"mov.u16 %rs1, -1; cvt.u32.u16 %r20, %rs1;", 0, 0, 0xffffu},
      {"cvt.u16.u32 %rs1, %r10; cvt.u16.u32 %rs2, %r11; mov.b32 %r20, {%rs1, %rs2};", 0x12345678u, 0x9abcdef0u,
       0xdef05678u},
      {"mov.b64 %rd10, {%r10, %r11}; shr.u64 %rd10, %rd10, 16; cvt.u32.u64 %r20, %rd10;", 0x12345678u, 0x9abcdef0u,
       0xdef01234u},
      {"ld.global.s32 %rd10, [%rd1]; shr.s64 %rd11, %rd10, 32; cvt.u32.u64 %r20, %rd11;", (uint32_t)-5, 0, 0xffffffffu},
      {"ld.global.u16 %r20, [%rd1+2];", 0xabcd1234u, 0, 0xabcdu},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char body[1000];
    uint32_t words[] = {cases[i].x, cases[i].y, 0};
    write_words(words, 2);
    snprintf(body, sizeof body,
             "ld.global.u32 %%r10, [%%rd1]; ld.global.u32 %%r11, [%%rd1+4]; ld.global.f32 %%f10, [%%rd1]; "
             "ld.global.f32 %%f11, [%%rd1+4]; %s\nst.global.u32 [%%rd1+8], %%r20;\n",
             cases[i].body);
    OK(run(body, 1));
    read_words(words, 3);
    if (words[2] != cases[i].want) fail_msg("%s: %#x, expected %#x", cases[i].body, words[2], cases[i].want);
  }
}

/* Lanes diverge in three forms of a loop and reconverge: sums of 0 to n - 1 with n the lane. */
static void test_lanes_diverge(void **state) {
  (void)state;
  uint32_t sums[40];
  OK(run("mov.u32 %r10, 0; mov.u32 %r11, 0;\n$L1: setp.ge.u32 %p1, %r10, %r1; @%p1 bra $L2; add.s32 %r11, %r11, %r10; "
         "add.s32 %r10, %r10, 1; bra.uni $L1;\n$L2: shfl.sync.bfly.b32 %r12, %r11, 1, 0x1f, 0xffffffff; "
         "sub.s32 %r11, %r12, %r11; st.global.u32 [%rd3], %r11;\n",
         32));
  read_words(sums, 32);
  for (uint32_t i = 0; i < 32; i++) assert_int_equal((int32_t)sums[i], i % 2 ? -(int32_t)(i - 1) : (int32_t)i);
}

static void test_redux(void **state) {
  (void)state;
  uint32_t all[32];
  OK(run("mov.u32 %r10, 1; shl.b32 %r10, %r10, %r1; setp.eq.s32 %p1, %r1, 5; @%p1 mov.u32 %r10, 0;\n"
         "redux.sync.or.b32 %r11, %r10, 0xffffffff; st.global.u32 [%rd3], %r11;\n",
         32));
  read_words(all, 32);
  for (int i = 0; i < 32; i++) assert_int_equal(all[i], 0xffffffdfu);
}

/* ---- the warp's matrices: an element's place in the ISA's figures, by row and column ---- */

static uint16_t bf16(int number) { /* few bits: exact */
  float x = (float)number;
  uint32_t u;
  memcpy(&u, &x, 4);
  return (uint16_t)(u >> 16);
}

static void test_mma(void **state) {
  (void)state;
  uint16_t a[32][8] = {0}, b[32][4] = {0};
  uint32_t words[32][6];
  float d[32][4];
  for (int row = 0; row < 16; row++) /* A = 16 row + column */
    for (int column = 0; column < 16; column++)
      a[row % 8 * 4 + column % 8 / 2][column % 2 + (row < 8 ? 0 : 2) + (column < 8 ? 0 : 4)] = bf16(16 * row + column);
  for (int column = 0; column < 8; column++) /* D = twice A's columns 0 to 3 and 9, 11, 13, 15 */
    b[4 * column + (column < 4 ? column : 2 * column - 7) / 2 % 4]
     [(column < 4 ? column % 2 : 1) + (column < 4 ? 0 : 2)] = bf16(2);
  for (int lane = 0; lane < 32; lane++) {
    memcpy(words[lane], a[lane], 16);
    memcpy(words[lane] + 4, b[lane], 8);
  }
  write_words(words, 32 * 6);
  OK(run("mul.wide.u32 %rd10, %r1, 24; add.s64 %rd10, %rd1, %rd10; mov.f32 %f1, 0f3F800000;\n"
         "ld.global.v2.u32 {%r10, %r11}, [%rd10]; ld.global.v2.u32 {%r12, %r13}, [%rd10+8]; "
         "ld.global.v2.u32 {%r14, %r15}, [%rd10+16];\n"
         "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f10, %f11, %f12, %f13}, {%r10, %r11, %r12, %r13}, "
         "{%r14, %r15}, {%f1, %f1, %f1, %f1};\n"
         "mul.wide.u32 %rd10, %r1, 16; add.s64 %rd10, %rd1, %rd10; bar.sync 0;\n"
         "st.global.v4.f32 [%rd10], {%f10, %f11, %f12, %f13};\n",
         32));
  read_words(d, 32 * 4);
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < 8; column++) {
      const int from = column < 4 ? column : 2 * column + 1;
      const float got = d[row % 8 * 4 + column / 2][column % 2 + (row < 8 ? 0 : 2)];
      if (got != (float)(2 * (16 * row + from) + 1)) fail_msg("row %d, column %d: %g", row, column, (double)got);
    }
}

/* Numbers 0 to 255 are stored in four consecutive matrices, whose rows are 16 bytes each. */
static void test_ldmatrix(void **state) {
  (void)state;
  uint16_t numbers[256], got[32][8];
  for (int i = 0; i < 256; i++) numbers[i] = (uint16_t)i;
  for (int turned = 0; turned < 2; turned++) {
    char body[1000];
    write_words(numbers, 128);
    snprintf(body, sizeof body,
             "ld.global.u32 %%r10, [%%rd3]; ld.global.u32 %%r11, [%%rd3+128]; ld.global.u32 %%r12, [%%rd3+256]; "
             "ld.global.u32 %%r13, [%%rd3+384];\n"
             "st.shared.u32 [%%rd5], %%r10; st.shared.u32 [%%rd5+128], %%r11; st.shared.u32 [%%rd5+256], %%r12; "
             "st.shared.u32 [%%rd5+384], %%r13; bar.sync 0;\n"
             "ldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {%%r10, %%r11, %%r12, %%r13}, [%%r4];\n"
             "mul.wide.u32 %%rd10, %%r1, 16; add.s64 %%rd10, %%rd1, %%rd10; "
             "st.global.v4.u32 [%%rd10], {%%r10, %%r11, %%r12, %%r13};\n",
             turned ? ".trans" : "");
    OK(run(body, 32));
    read_words(got, 128);
    for (int matrix = 0; matrix < 4; matrix++)
      for (int row = 0; row < 8; row++)
        for (int column = 0; column < 8; column++) {
          const int r = turned ? column : row, c = turned ? row : column;
          assert_int_equal(got[4 * r + c / 2][2 * matrix + c % 2], 64 * matrix + 8 * row + column);
        }
  }
}

/* ---- faults ---- */

/* Runs a kernel whose launch must fail with the text `seen` on stderr. */
static void expect_fault(const char *body, unsigned blocks, unsigned items, const char *seen) {
  char said[1000];
  FILE *file = tmpfile();
  const int before = dup(2);
  if (!file || before < 0) fail_msg("no temporary file");
  fflush(stderr);
  dup2(fileno(file), 2);
  unsigned code = run_blocks(body, blocks, items);
  fflush(stderr);
  dup2(before, 2);
  close(before);
  rewind(file);
  said[fread(said, 1, sizeof said - 1, file)] = 0;
  fclose(file);
  if (code != 719 || !strstr(said, seen)) fail_msg("%s: %u, and no \"%s\" in: %s", body, code, seen, said);
}

static const struct {
  const char *body, *seen;
  unsigned items, blocks;
} faults[] = {
    {"st.shared.u32 [%rd4], %r1;", "a race", 64, 1}, /* all write one word */
    {"st.shared.u32 [%rd5], %r1; ld.shared.u32 %r10, [%rd4+4];", "written by work-item 1 ", 32, 1}, /* of one warp */
    {"st.shared.u32 [%rd5], %r1; ld.shared.u32 %r10, [%rd4+252];", "a race", 64, 1},
    {"st.shared.u32 [%rd5], %r1; bar.sync 0; ld.shared.u32 %r10, [%rd4]; st.shared.u32 [%rd5], %r10;", "a race", 64, 1},
    {"cp.async.cg.shared.global [%r4], [%rd1], 16, 16; cp.async.commit_group; ld.shared.u32 %r10, [%r4];",
     "left to a copy", 1, 1},
    {"cp.async.cg.shared.global [%r4], [%rd1], 16, 16; bar.sync 0; cp.async.wait_all; add.s32 %r5, %r2, 16; "
     "ld.shared.u32 %r10, [%r5];",
     "a race", 32, 1},
    {"ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1+8];", "not a multiple of 16", 1, 1},
    {"ld.shared.v2.f32 {%f1, %f2}, [%rd4+4];", "not a multiple of 8", 1, 1},
    {"cp.async.cg.shared.global [%r4], [%rd1+8], 16, 16;", "global address", 1, 1},
    {"add.s32 %r4, %r4, 8; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r4];",
     "not a multiple of 16", 32, 1},
    {"ld.shared.f32 %f1, [%rd4+1024];", "not in a shared variable", 1, 1},
    {"sub.s64 %rd6, %rd4, %rd2; ld.shared.f32 %f1, [%rd6];", "not in a shared variable", 2, 1},
    {"ld.global.f32 %f1, [%rd1+4096];", "not device memory", 1, 1},
    {"ld.global.f32 %f1, [%rd1+-4];", "not device memory", 1, 1},
    {"setp.eq.s32 %p1, %r1, 5; @%p1 bra $L1; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, "
     "[%r4];\n"
     "$L1:",
     "others never arrive", 32, 1},
    {"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r4];", "others never arrive", 31, 1},
    {"setp.eq.s32 %p1, %r1, 5; @%p1 bra $L1; bar.sync 0;\n$L1:", "not all work-items", 32, 1},
    {"setp.lt.s32 %p1, %r1, 32; @%p1 bra $L1; bar.sync 0; bra.uni $L2;\n$L1: bar.sync 0;\n$L2:", "another barrier", 64,
     1},
    {"shfl.sync.bfly.b32 %r10, %r1, 16, 0x1f, 0xffff;", "does not take part", 16, 1},
    {"mov.u32 %r10, 1;", "maxntid", 65, 1},
    {"st.global.u32 [%rd1], %r1;", "written by work-item 0 ", 32, 1},
    {"st.global.u32 [%rd3], %r1; ld.global.u32 %r10, [%rd1];", "written by work-item 0 ", 64, 1},
    {"st.global.u32 [%rd1], %r1;", "written by another block", 1, 2},
    {"mov.u32 %r10, %ctaid.x; setp.eq.s32 %p1, %r10, 2; ld.global.u32 %r11, [%rd1]; @!%p1 bra $L1; "
     "st.global.u32 [%rd1], %r10;\n$L1:",
     "read by another block", 1, 3},
};

static void test_faults(void **state) {
  for (size_t i = 0; i < GH_COUNT(faults); i++) {
    if (i) begin(state);
    expect_fault(faults[i].body, faults[i].blocks, faults[i].items, faults[i].seen);
    if (i + 1 < GH_COUNT(faults)) end(state);
  }
}

/* Not faults: the same cases made correct. */
static void test_no_faults(void **state) {
  (void)state;
  uint32_t words[64];
  OK(run(
      "st.shared.u32 [%rd5], %r1; bar.sync 0; ld.shared.u32 %r10, [%rd4+252]; bar.sync 0; st.shared.u32 [%rd5], %r10; "
      "ld.shared.u32 %r11, [%rd5]; st.global.u32 [%rd3], %r11;",
      64));
  read_words(words, 64);
  for (int i = 0; i < 64; i++) assert_int_equal(words[i], 63);
  for (uint32_t i = 0; i < 64; i++) words[i] = i + 1;
  write_words(words, 64);
  /* copies 4 of 16 bytes, the rest is zero */
  OK(run("cp.async.cg.shared.global [%r4], [%rd1], 16, 4; cp.async.wait_all; bar.sync 0; xor.b32 %r10, %r3, 16; "
         "add.s32 %r10, %r10, %r2; ld.shared.v2.f32 {%f1, %f2}, [%r10]; st.global.f32 [%rd3], %f1; "
         "st.global.f32 [%rd3+128], %f2;",
         32));
  read_words(words, 64);
  for (int i = 0; i < 64; i++) assert_int_equal(words[i], i < 32 ? 1 : 0);
  /* blocks read the same word and write halves of one word; within a block a barrier suffices */
  OK(run_blocks("mov.u32 %r10, %ctaid.x; mul.wide.u32 %rd10, %r10, 2; add.s64 %rd10, %rd1, %rd10; "
                "ld.global.u32 %r11, [%rd1+8]; add.s32 %r10, %r10, 5; st.global.u16 [%rd10], %r10;",
                2, 1));
  OK(run(
      "ld.global.u32 %r10, [%rd1]; bar.sync 0; st.global.u32 [%rd3], %r10; bar.sync 0; ld.global.u32 %r11, [%rd1+16];",
      32));
  read_words(words, 32);
  for (int i = 0; i < 32; i++) assert_int_equal(words[i], 0x60005);
}

static void test_rejections(void **state) {
  (void)state;
  static const struct {
    const char *body, *seen;
  } bad[] = {
      {"sin.approx.f32 %f1, %f2;", "line 27: the double does not support sin.approx.f32"},
      {"\n\nadd.sat.s32 %r1, %r2, %r3;", "line 29: the double does not support add.sat.s32"},
      {"ld.local.u32 %r1, [%rd1];", "not support ld.local.u32"},
      {"add.s32 %r1, %r2, %rd3;", "another width"},
      {"add.s32 %r1, %r2;", "expected , at"},
      {"add.s32 %r1, %r30, %r2;", "no register %r30"},
      {"mov.u32 %r1, %clock;", "no register %clock"},
      {"bra $nowhere;", "no label $nowhere"},
      {"ld.param.u64 %rd1, [f_param_1];", "no parameter f_param_1"},
      {".local .align 4 .b8 depot[8];", "unknown: .local"},
      {"mov.b64 {t, %r1}, %rd1;", "no register t"},
      {".shared .align 16 .b8 large[49152];", "more than 49152"},
  };
  for (size_t i = 0; i < GH_COUNT(bad); i++) {
    CUmodule module;
    char log[400] = "";
    assert_int_equal(load(bad[i].body, &module, log, sizeof log), 218);
    if (!strstr(log, bad[i].seen)) fail_msg("%s: no \"%s\" in: %s", bad[i].body, bad[i].seen, log);
  }
}

int main(void) {
  setenv("GH_CUDA_LIBRARIES", GH_CUDA_DOUBLE, 1);
  setenv("GH_DOUBLE_PTX", "none", 1); /* images are PTX */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_answers, begin, end),
      cmocka_unit_test_setup_teardown(test_lanes_diverge, begin, end),
      cmocka_unit_test_setup_teardown(test_redux, begin, end),
      cmocka_unit_test_setup_teardown(test_mma, begin, end),
      cmocka_unit_test_setup_teardown(test_ldmatrix, begin, end),
      cmocka_unit_test_setup_teardown(test_faults, begin, end),
      cmocka_unit_test_setup_teardown(test_no_faults, begin, end),
      cmocka_unit_test_setup_teardown(test_rejections, begin, end),
  };
  return cmocka_run_group_tests(tests, open_double, NULL);
}
