/* Warp-wide operations: matrix products, matrix loads, exchanges. Written from the PTX ISA ("Matrix Fragments for
 * mma.m16n8k16", "ldmatrix", "shfl.sync", "redux.sync") and independent of cl/, which it checks. */
#include <string.h>

#include "base/half.h"
#include "ptx.h"

static float f16_as_float(uint32_t word, int upper) { return gh_f16_to_f32((uint16_t)(upper ? word >> 16 : word)); }
static float bf16_as_float(uint32_t word, int upper) {
  uint32_t u = upper ? word & 0xffff0000u : word << 16;
  float x;
  memcpy(&x, &u, 4);
  return x;
}

/* D = A B + C: A is 16 x 16, B 16 x 8, C and D 16 x 8. A lane's first register holds a0 (lower half) and a1, and so on;
 * likewise b; c0 to c3 take one register each. groupID is lane / 4, threadID_in_group lane % 4. Products of 16-bit
 * numbers are exact; the order of the sum is unspecified: it is computed in float64 and rounded once. */
static bool mma_m16n8k16(ptx_warp *w, const ptx_instr *in, float (*half_as_float)(uint32_t word, int upper)) {
  enum { D = 0, A = 4, B = 8, C = 10 };
  double a[16][16], b[16][8], sum[16][8];
  for (int lane = 0; lane < PTX_LANES; lane++) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 8; i++) {
      const int row = i < 2 || (4 <= i && i < 6) ? group : group + 8;
      const int column = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
      a[row][column] = (double)half_as_float(((uint32_t *)ptx_row_of(w, in, A + i / 2))[lane], i & 1);
    }
    for (int i = 0; i < 4; i++) {
      const int row = i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
      b[row][group] = (double)half_as_float(((uint32_t *)ptx_row_of(w, in, B + i / 2))[lane], i & 1);
    }
    for (int i = 0; i < 4; i++)
      sum[i < 2 ? group : group + 8][thread * 2 + (i & 1)] = (double)((float *)ptx_row_of(w, in, C + i))[lane];
  }
  for (int row = 0; row < 16; row++)
    for (int k = 0; k < 16; k++)
      for (int column = 0; column < 8; column++) sum[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < PTX_LANES; lane++)
    for (int i = 0; i < 4; i++)
      ((float *)ptx_row_of(w, in, D + i))[lane] =
          (float)sum[i < 2 ? lane >> 2 : (lane >> 2) + 8][lane % 4 * 2 + (i & 1)];
  return true;
}

static bool mma_bf16(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  (void)lanes;
  return mma_m16n8k16(w, in, bf16_as_float);
}
static bool mma_f16(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  (void)lanes;
  return mma_m16n8k16(w, in, f16_as_float);
}

/* Four matrices of 8 rows of 8 16-bit numbers. Lanes 0 to 7 supply the addresses of the first matrix's rows, 8 to 15 of
 * the second's, and so on. Register i receives from matrix i: row lane / 4, columns 2 (lane % 4) and the next;
 * transposed: the same of the transposed matrix. */
static bool load_matrices(ptx_warp *w, const ptx_instr *in, bool transposed) {
  uint16_t m[4][8][8];
  const uint32_t *const addresses = ptx_row_of(w, in, 4);
  for (int lane = 0; lane < PTX_LANES; lane++) {
    const void *row = ptx_shared_row(w, in, lane, addresses[lane] + (uint32_t)in->offset[0]);
    if (!row) return false;
    memcpy(m[lane / 8][lane % 8], row, 16);
  }
  for (int i = 0; i < 4; i++)
    for (int lane = 0; lane < PTX_LANES; lane++) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t first = transposed ? m[i][column][row] : m[i][row][column];
      const uint16_t second = transposed ? m[i][column + 1][row] : m[i][row][column + 1];
      ((uint32_t *)ptx_row_of(w, in, i))[lane] = (uint32_t)second << 16 | first;
    }
  return true;
}
static bool ldmatrix(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  (void)lanes;
  return load_matrices(w, in, false);
}
static bool ldmatrix_trans(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  (void)lanes;
  return load_matrices(w, in, true);
}

/* d, a, b, c, membermask. c: the clamp in bits 0 to 4, the mask of segments in bits 8 to 12. */
static bool shfl_bfly(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  uint32_t source[PTX_LANES], *const d = ptx_row_of(w, in, 0);
  const uint32_t *const a = ptx_row_of(w, in, 1), *const b = ptx_row_of(w, in, 2), *const c = ptx_row_of(w, in, 3);
  memcpy(source, a, sizeof source);
  for (int lane = 0; lane < PTX_LANES; lane++) {
    if (!(lanes >> lane & 1)) continue;
    const uint32_t clamp = c[lane] & 31, segment = c[lane] >> 8 & 31, self = (uint32_t)lane;
    const uint32_t most = (self & segment) | (clamp & ~segment);
    uint32_t from = self ^ (b[lane] & 31);
    if (from > most) from = self;
    if (!(lanes >> from & 1)) return ptx_fail(w, in, lane, "lane %u does not take part", from);
    d[lane] = source[from];
  }
  return true;
}

/* d, a, membermask: every lane receives all lanes' bits. */
static bool redux_or(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  uint32_t all = 0, *const d = ptx_row_of(w, in, 0);
  const uint32_t *const a = ptx_row_of(w, in, 1);
  for (int lane = 0; lane < PTX_LANES; lane++) all |= lanes >> lane & 1 ? a[lane] : 0;
  for (int lane = 0; lane < PTX_LANES; lane++)
    if (lanes >> lane & 1) d[lane] = all;
  return true;
}

const ptx_op ptx_warp_ops[] = {
    {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", PTX_TOGETHER, "{4{4{2{4", NULL, mma_bf16},
    {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", PTX_TOGETHER, "{4{4{2{4", NULL, mma_f16},
    {"ldmatrix.sync.aligned.m8n8.x4.shared.b16", PTX_TOGETHER, "{4[", NULL, ldmatrix},
    {"ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", PTX_TOGETHER, "{4[", NULL, ldmatrix_trans},
    {"shfl.sync.bfly.b32", PTX_TOGETHER, "wwwww", NULL, shfl_bfly},
    {"redux.sync.or.b32", PTX_TOGETHER, "www", NULL, redux_or},
    {NULL, PTX_TOGETHER, NULL, NULL, NULL},
};
