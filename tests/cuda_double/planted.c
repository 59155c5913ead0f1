/* Errors planted in the tensor-core kernels, one at a time, in the source given to NVRTC: the interpreter of its PTX
 * must detect each, for the right reason. This shows that passing the other tests is meaningful. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/chooser/attention_internal.h"
#include "backend/chooser/gemm_internal.h"
#include "backend/kernel_source.h"
#include "backend/registry.h"
#include "base/file.h"
#include "support/gemm_problem.h"
#include "support/on_device.h"

typedef struct plant {
  const char *source; /* the kernels' source file */
  int size;           /* head size, or tile size */
  const char *from, *to;
  const char *seen; /* expected in the error or in the output of the driver's double */
} plant;

#define GEMM      "tuned_gemm_matrix"
#define ATTENTION "tuned_attention_matrix"
static const plant plants[] = {
    /* no error: passes */
    {GEMM, 64, NULL, NULL, NULL},
    {GEMM, 128, NULL, NULL, NULL},
    {ATTENTION, 72, NULL, NULL, NULL},
    /* registers of A, B and C in another order */
    {GEMM, 64, "\"r\"(a[1]), \"r\"(a[2])", "\"r\"(a[2]), \"r\"(a[1])", "wrong numbers"},
    {GEMM, 64, "\"r\"(b[0]), \"r\"(b[1])", "\"r\"(b[1]), \"r\"(b[0])", "wrong numbers"},
    {GEMM, 64, "\"+f\"(c[1]), \"+f\"(c[2])", "\"+f\"(c[2]), \"+f\"(c[1])", "wrong numbers"},
    /* rows of ldmatrix at wrong places */
    {GEMM, 64, "lane / 16 * 8 + lane % 8, 2 * w + lane / 8 % 2", "lane / 16 * 8 + lane % 8, 2 * w + lane / 16",
     "wrong numbers"},
    /* a barrier removed: before the first step, of a step, before the rest; a step kept where it is being read */
    {GEMM, 64, "KEEP(0)\n  BARRIER();\n  /*", "KEEP(0)\n  /*", "a race"},
    {GEMM, 128, "MULTIPLY(STEP);\n    KEEP(0)\n    BARRIER();\n", "MULTIPLY(STEP);\n    KEEP(0)\n", "a race"},
    {GEMM, 64, "    }\n    BARRIER();\n  }\n#endif\n#ifdef SECOND", "    }\n  }\n#endif\n#ifdef SECOND", "a race"},
    {GEMM, 128, "MULTIPLY(0);\n    KEEP(STEP)", "MULTIPLY(0);\n    KEEP(0)", "a race"},
    /* A's rows, and its k's, at those of others */
    {GEMM, 64, "(row0 + row) / 8 + lane / 8 % 2", "(row0 + row) / 8 + lane / 16", "wrong numbers"},
    {GEMM, 128, "const int k = lane / 16 * 8 + lane % 8;", "const int k = lane % 16;", "wrong numbers"},
    /* half of a tile too small */
    {GEMM, 64, "bs[2 * STEP];", "bs[2 * STEP - 2];", "not in a shared variable"},
    /* copies without a wait, or waited for by a single work-item */
    {ATTENTION, 64, "asm volatile(\"cp.async.wait_all;\"", "asm volatile(\"cp.async.commit_group;\"", "left to a copy"},
    {ATTENTION, 64, "unit_copies_wait();\n  BARRIER();", "unit_copies_wait();", "a race"},
    {ATTENTION, 64, "unit_copies_wait();\n  BARRIER();", "BARRIER();\n  unit_copies_wait();", "a race"},
    /* rows of ldmatrix at wrong places, not transposed, not at a multiple of 16 bytes */
    {ATTENTION, 64, "at = place + (lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2",
     "at = place + (lane / 16 * 8 + lane % 8) * PITCH + lane / 16 % 2", "with the shared kernel"},
    {ATTENTION, 64, "m8n8.x4.trans.shared", "m8n8.x4.shared", "with the shared kernel"},
    {ATTENTION, 64, "const uint32 at = tile + 16 * place;", "const uint32 at = tile + 16 * place + 8;",
     "not a multiple of 16"},
    /* only dk and dv: their own rows, and their barrier */
    {ATTENTION, 80, "at = (row + lane / 8 % 2 * 8 + lane % 8)", "at = (row + lane / 16 * 8 + lane % 8)", "dk: element"},
    {ATTENTION, 64, "unit_copies_wait();\n    BARRIER();", "unit_copies_wait();", "a race"},
    /* another lane's number, swapped halves of a pair, row ends that are not cleared */
    {ATTENTION, 64, "\"f\"(v), \"r\"(across)", "\"f\"(v), \"r\"(across * 4)", "with the shared kernel"},
    {ATTENTION, 64, "\"=r\"(pair) : \"f\"(high), \"f\"(low)", "\"=r\"(pair) : \"f\"(low), \"f\"(high)",
     "with the shared kernel"},
    {ATTENTION, 72, "#if SIZE % 16\n", "#if 0\n", "with the shared kernel"},
    /* units called by part of a wave */
    {ATTENTION, 64, "if (rests_now(row,", "if (lane == 0 || rests_now(row,", "others never arrive"},
};

/* Of attention with a mask: another key's bit, hidden rows that are copied, that are scored, that are stored. */
static const plant masked_plants[] = {
    {ATTENTION, 72, NULL, NULL, NULL},
    {ATTENTION, 64, "? 1u << lane : 0u", "? 2u << lane : 0u", "with the shared kernel"},
    {ATTENTION, 64, "!(hidden && hidden >> row & 1)", "!(hidden && hidden >> row & 0)", "with the shared kernel"},
    {ATTENTION, 64, "hide(s, q, hidden, NEVER", "hide(s, q, 0u, NEVER", "with the shared kernel"},
    {ATTENTION, 64, "const bool hidden = is_hidden(mask, n)", "const bool hidden = false", "dk: element"},
};

/* ---- running ---- */

/* Tiles with edges, several steps of k and a rest, A transposed on the way; C is compared with float64. */
static gh_status multiply(gh_device *d, int tile) {
  static const char *const units[] = {"-DUNIT_MMA -DTILE=64", "-DUNIT_MMA -DTILE=128"};
  gh_gemm_desc g = gemm_desc_of(72, 70, 136, 3, 0);
  gemm_problem p;
  gh_launch *launch = NULL;
  bool wrong = false;
  g.dtype = GH_BF16;
  g.dtype_c = GH_F32;
  gemm_problem_make(&p, d, &g);
  gh_status status = gh_gemm_matrix_bind_as(&err, d, units[tile == 128], tile, &p.desc, p.buffers[0], p.buffers[1],
                                            p.buffers[2], &launch);
  if (!status) status = d->backend->enqueue(&err, d, launch);
  if (!status) status = d->backend->read(&err, d, p.buffers[2], 0, p.got, p.elements[2] * 4);
  for (int64_t i = 0; i < g.m * g.n && !status; i++) {
    double sum = 0;
    for (int64_t k = 0; k < g.k; k++) sum += (double)p.a[k * g.lda + i / g.n] * (double)p.b[i % g.n * g.ldb + k];
    wrong = wrong || !(fabs((double)p.got[i / g.n * g.ldc + i % g.n] - sum) <= 1e-5);
  }
  if (wrong) status = gh_fail(&err, GH_ERROR_DEVICE, "wrong numbers");
  d->backend->launch_free(launch);
  gemm_problem_free(&p);
  return status;
}

static gh_status run(gh_device *d, const plant *p, bool masked) {
  return strcmp(p->source, GEMM) ? gh_attention_check(&err, d, GH_BF16, p->size, masked, "-DUNIT_MMA")
                                 : multiply(d, p->size);
}

/* ---- planting ---- */

/* Captures stderr in `said`. */
static gh_status run_apart(const plant *p, bool masked, char *said, size_t size) {
  gh_device *d = NULL;
  FILE *file = tmpfile();
  const int before = dup(2);
  if (!file || before < 0) fail_msg("no temporary file");
  fflush(stderr);
  dup2(fileno(file), 2);
  gh_status status = gh_device_open(&err, "cuda:0", &d);
  if (!status) status = run(d, p, masked);
  if (d) gh_device_close(d);
  fflush(stderr);
  dup2(before, 2);
  close(before);
  rewind(file);
  said[fread(said, 1, size - 1, file)] = 0;
  fclose(file);
  return status;
}

static void check_plant(const plant *p, bool masked) {
  char *source = NULL, said[4096];
  OK(gh_kernel_source(&err, p->source, &source));
  if (p->from && !strstr(source, p->from)) fail_msg("%s no longer contains: %s", p->source, p->from);
  free(source);
  if (p->from) {
    setenv("GH_DOUBLE_EDIT_FOR", "-DUNIT_MMA", 1);
    setenv("GH_DOUBLE_EDIT_FROM", p->from, 1);
    setenv("GH_DOUBLE_EDIT_TO", p->to, 1);
  }
  char folder[] = "/tmp/genhance-cache-XXXXXX"; /* private: a program's cache name ignores its text */
  gh_error unused;
  if (!mkdtemp(folder) || setenv("GH_CACHE_DIR", folder, 1)) fail_msg("no temporary folder");
  const gh_status status = run_apart(p, masked, said, sizeof said);
  gh_folder_remove(&unused, folder);
  unsetenv("GH_DOUBLE_EDIT_FROM");
  if (!p->from && status) fail_msg("%s, %d: %s\n%s", p->source, p->size, err.text, said);
  if (!p->from) return;
  if (!status) fail_msg("%s, %d: not detected: %s", p->source, p->size, p->to);
  if (!strstr(err.text, p->seen) && !strstr(said, p->seen))
    fail_msg("%s, %d, %s: no \"%s\", but: %s\n%s", p->source, p->size, p->to, p->seen, err.text, said);
}

static void test_planted_errors_are_detected(void **state) {
  (void)state;
  for (size_t i = 0; i < GH_COUNT(plants); i++) check_plant(&plants[i], false);
  for (size_t i = 0; i < GH_COUNT(masked_plants); i++) check_plant(&masked_plants[i], true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_planted_errors_are_detected)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
