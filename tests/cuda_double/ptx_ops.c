/* Operations of single lanes: arithmetic, by the PTX ISA's "Instruction Set". A row is computed for all 32 lanes, even
 * those that are elsewhere: nothing here may trap. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "cl/bf16.h"
#include "ptx.h"

typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
typedef float f32;

#ifdef __clang__ /* its own word for this warns where it does not help */
#define INDEPENDENT
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* x, y, z, t: a lane's sources. */
#define EACH(D, A, B, C, E, action)                                                                                    \
  D *const dd = d;                                                                                                     \
  const A *const aa = a;                                                                                               \
  const B *const bb = b;                                                                                               \
  const C *const cc = c;                                                                                               \
  const E *const ee = e;                                                                                               \
  INDEPENDENT for (int i = 0; i < PTX_LANES; i++) {                                                                    \
    const A x = aa[i];                                                                                                 \
    const B y = bb[i];                                                                                                 \
    const C z = cc[i];                                                                                                 \
    const E t = ee[i];                                                                                                 \
    (void)x, (void)y, (void)z, (void)t;                                                                                \
    dd[i] = (action);                                                                                                  \
  }
#define ROW(name, D, A, B, C, E, action)                                                                               \
  static void name(void *d, const void *a, const void *b, const void *c, const void *e) { EACH(D, A, B, C, E, action) }
#define ROW1(name, D, A, action)       ROW(name, D, A, u32, u32, u32, action)
#define ROW2(name, D, A, B, action)    ROW(name, D, A, B, u32, u32, action)
#define ROW3(name, D, A, B, C, action) ROW(name, D, A, B, C, u32, action)

/* ---- whole numbers ---- */

ROW2(add_32, u32, u32, u32, x + y)
ROW2(add_64, u64, u64, u64, x + y)
ROW2(sub_32, u32, u32, u32, x - y)
ROW2(sub_64, u64, u64, u64, x - y)
ROW2(mul_lo_32, u32, u32, u32, x *y)
ROW2(mul_lo_64, u64, u64, u64, x *y)
ROW2(mul_hi_u32, u32, u32, u32, (u32)((u64)x *y >> 32))
ROW2(mul_hi_s32, s32, s32, s32, (s32)((s64)x *y >> 32))
ROW2(mul_hi_u64, u64, u64, u64, (u64)((unsigned __int128)x *y >> 64))
ROW2(mul_hi_s64, s64, s64, s64, (s64)((__int128)x *y >> 64))
ROW2(mul_wide_u32, u64, u32, u32, (u64)x *y)
ROW2(mul_wide_s32, s64, s32, s32, (s64)x *y)
ROW3(mad_lo_32, u32, u32, u32, u32, x *y + z)
ROW3(mad_lo_64, u64, u64, u64, u64, x *y + z)
/* A quotient by zero is unspecified; the minimum divided by -1 would trap on the host. */
ROW2(div_u32, u32, u32, u32, y ? x / y : UINT32_MAX)
ROW2(div_s32, s32, s32, s32, y == 0 ? -1 : y == -1 ? (s32)(0u - (u32)x) : x / y)
ROW2(div_u64, u64, u64, u64, y ? x / y : UINT64_MAX)
ROW2(div_s64, s64, s64, s64, y == 0 ? -1 : y == -1 ? (s64)(0u - (u64)x) : x / y)
ROW2(rem_u32, u32, u32, u32, y ? x % y : UINT32_MAX)
ROW2(rem_s32, s32, s32, s32, y == 0 ? -1 : y == -1 ? 0 : x % y)
ROW2(rem_u64, u64, u64, u64, y ? x % y : UINT64_MAX)
ROW2(rem_s64, s64, s64, s64, y == 0 ? -1 : y == -1 ? 0 : x % y)
ROW1(neg_32, u32, u32, 0u - x)
ROW1(neg_64, u64, u64, 0u - x)
ROW1(abs_s32, u32, s32, x < 0 ? 0u - (u32)x : (u32)x)
ROW2(min_s32, s32, s32, s32, x < y ? x : y)
ROW2(max_s32, s32, s32, s32, x > y ? x : y)
ROW2(min_u32, u32, u32, u32, x < y ? x : y)
ROW2(max_u32, u32, u32, u32, x > y ? x : y)
ROW2(min_s64, s64, s64, s64, x < y ? x : y)
ROW2(max_s64, s64, s64, s64, x > y ? x : y)
ROW2(min_u64, u64, u64, u64, x < y ? x : y)
ROW2(max_u64, u64, u64, u64, x > y ? x : y)
ROW2(and_32, u32, u32, u32, x &y)
ROW2(and_64, u64, u64, u64, x &y)
ROW2(or_32, u32, u32, u32, x | y)
ROW2(or_64, u64, u64, u64, x | y)
ROW2(xor_32, u32, u32, u32, x ^ y)
ROW2(xor_64, u64, u64, u64, x ^ y)
ROW1(not_32, u32, u32, ~x)
ROW1(not_64, u64, u64, ~x)
/* Shifts by more than the width act like shifts by the width. */
ROW2(shl_32, u32, u32, u32, y > 31 ? 0 : x << (y & 31))
ROW2(shl_64, u64, u64, u32, y > 63 ? 0 : x << (y & 63))
ROW2(shr_u32, u32, u32, u32, y > 31 ? 0 : x >> (y & 31))
ROW2(shr_s32, s32, s32, u32, x >> (y > 31 ? 31 : y))
ROW2(shr_u64, u64, u64, u32, y > 63 ? 0 : x >> (y & 63))
ROW2(shr_s64, s64, s64, u32, x >> (y > 63 ? 63 : y))

/* For 16 bits: the upper half of a row's number stays 0. */
#define HALF(action) ((u32)(action)&0xffffu)
ROW2(add_16, u32, u32, u32, HALF(x + y))
ROW2(sub_16, u32, u32, u32, HALF(x - y))
ROW2(mul_lo_16, u32, u32, u32, HALF(x *y))
ROW2(mul_hi_u16, u32, u32, u32, x *y >> 16)
ROW2(mul_wide_u16, u32, u32, u32, x *y)
ROW2(shl_16, u32, u32, u32, y > 15 ? 0 : HALF(x << (y & 15)))
ROW2(shr_u16, u32, u32, u32, y > 15 ? 0 : x >> (y & 15))

/* Any four of eight bytes; a selector's top bit replicates the sign of that byte eight times. */
static inline u32 permuted(u32 low, u32 high, u32 choice) {
  const u64 bytes = (u64)high << 32 | low;
  u32 out = 0;
  for (int i = 0; i < 4; i++) {
    const u32 nibble = choice >> (4 * i) & 15, byte = (u32)(bytes >> (8 * (nibble & 7))) & 255;
    out |= (nibble & 8 ? (byte & 128 ? 255u : 0u) : byte) << (8 * i);
  }
  return out;
}
ROW3(prmt_32, u32, u32, u32, u32, permuted(x, y, z))

/* Inserts the lowest bits of x into y. */
static inline u64 inserted(u64 x, u64 y, u32 position, u32 length) {
  position &= 255, length &= 255;
  if (position > 63 || !length) return y;
  const u64 ones = (length > 63 ? UINT64_MAX : ((u64)1 << length) - 1) << position;
  return (y & ~ones) | (x << position & ones);
}
ROW(bfi_32, u32, u32, u32, u32, u32, (u32)inserted(x, y, z, t)) /* what goes beyond 32 bits is lost */
ROW(bfi_64, u64, u64, u64, u32, u32, inserted(x, y, z, t))
ROW1(popc_32, u32, u32, (u32)__builtin_popcount(x))
ROW1(popc_64, u32, u64, (u32)__builtin_popcountll(x))

/* ---- numbers with a point ---- */

static inline u32 bits_of(f32 x) {
  u32 u;
  memcpy(&u, &x, 4);
  return u;
}
static inline f32 float_of(u32 u) {
  f32 x;
  memcpy(&x, &u, 4);
  return x;
}

ROW2(add_f32, f32, f32, f32, x + y)
ROW2(sub_f32, f32, f32, f32, x - y)
ROW2(mul_f32, f32, f32, f32, x *y)
ROW3(fma_f32, f32, f32, f32, f32, __builtin_fmaf(x, y, z))
ROW2(div_f32, f32, f32, f32, x / y)
ROW1(rcp_f32, f32, f32, 1.0f / x)
ROW1(sqrt_f32, f32, f32, sqrtf(x))
ROW1(neg_f32, u32, u32, x ^ 0x80000000u)
ROW1(abs_f32, u32, u32, x & 0x7fffffffu)
/* The sign comes from the first source. */
ROW2(copysign_f32, u32, u32, u32, (x & 0x80000000u) | (y & 0x7fffffffu))

/* A number wins over NaN; +0 is greater than -0. */
static inline f32 greater(f32 x, f32 y) {
  if (x != x || y != y) return x == x ? x : y == y ? y : float_of(0x7fffffffu);
  return x == y ? float_of(bits_of(x) & bits_of(y)) : x > y ? x : y;
}
static inline f32 less(f32 x, f32 y) {
  if (x != x || y != y) return x == x ? x : y == y ? y : float_of(0x7fffffffu);
  return x == y ? float_of(bits_of(x) | bits_of(y)) : x < y ? x : y;
}
ROW2(max_f32, f32, f32, f32, greater(x, y))
ROW2(min_f32, f32, f32, f32, less(x, y))

static inline f32 flushed(f32 x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }
static inline f32 power_of_two(f32 x) { return flushed((f32)exp2((double)flushed(x))); }
ROW1(ex2_f32, f32, f32, power_of_two(x))

/* ---- from one to another ---- */

ROW1(move_32, u32, u32, x)
ROW1(move_64, u64, u64, x)
ROW1(cvt_s64_s32, s64, s32, x)
ROW1(cvt_s64_low, s64, u64, (s32)x)
ROW1(cvt_u64_u32, u64, u32, x)
ROW1(cvt_u64_low, u64, u64, (u32)x)
ROW1(cvt_u32_u64, u32, u64, (u32)x)
ROW1(cvt_u16_u32, u32, u32, x & 0xffffu)
ROW1(cvt_f32_s32, f32, s32, (f32)x)
ROW1(cvt_f32_u32, f32, u32, (f32)x)
ROW1(cvt_f32_s64, f32, s64, (f32)x)
ROW1(cvt_f32_u64, f32, u64, (f32)x)
ROW1(cvt_rni_f32, f32, f32, rintf(x))
/* Saturates beyond the range; NaN becomes 0. */
ROW1(cvt_rzi_u32, u32, f32, x != x || x <= 0 ? 0 : x >= 0x1p32f ? UINT32_MAX : (u32)x)
ROW1(cvt_rzi_s32, s32, f32, x != x ? 0 : x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? INT32_MIN : (s32)x)

static inline u32 bf16_of(f32 x) {
  const u32 u = bits_of(x);
  return x != x ? 0x7fffu : BF16_NEAREST(u);
}
ROW2(cvt_bf16x2, u32, f32, f32, bf16_of(x) << 16 | bf16_of(y)) /* the first source in the upper half */
ROW2(cvt_f16x2, u32, f32, f32, (u32)gh_f32_to_f16(x) << 16 | gh_f32_to_f16(y))
ROW1(cvt_f32_f16, f32, u32, gh_f16_to_f32((uint16_t)x))
ROW1(cvt_f16_f32, u32, f32, gh_f32_to_f16(x))

/* ---- predicates: one bit per lane ---- */

#define BITS(name, value)                                                                                              \
  static void name(void *d, const void *a, const void *b, const void *c, const void *e) {                              \
    const u32 x = *(const u32 *)a, y = *(const u32 *)b;                                                                \
    (void)y, (void)c, (void)e;                                                                                         \
    *(u32 *)d = (value);                                                                                               \
  }
BITS(and_pred, x &y)
BITS(or_pred, x | y)
BITS(xor_pred, x ^ y)
BITS(not_pred, ~x)
BITS(move_pred, x)

#define SELECT(name, T)                                                                                                \
  static void name(void *d, const void *a, const void *b, const void *c, const void *e) {                              \
    const T *const aa = a, *const bb = b;                                                                              \
    const u32 chosen = *(const u32 *)c;                                                                                \
    T *const dd = d;                                                                                                   \
    (void)e;                                                                                                           \
    INDEPENDENT for (int i = 0; i < PTX_LANES; i++) dd[i] = chosen >> i & 1 ? aa[i] : bb[i];                           \
  }
SELECT(select_32, u32)
SELECT(select_64, u64)

#define COMPARE(name, T, condition)                                                                                    \
  static void name(void *d, const void *a, const void *b, const void *c, const void *e) {                              \
    const T *const aa = a, *const bb = b;                                                                              \
    u32 bits = 0;                                                                                                      \
    (void)c, (void)e;                                                                                                  \
    for (int i = 0; i < PTX_LANES; i++) {                                                                              \
      const T x = aa[i], y = bb[i];                                                                                    \
      bits |= (u32)(condition) << i;                                                                                   \
    }                                                                                                                  \
    *(u32 *)d = bits;                                                                                                  \
  }
#define COMPARE_ORDERS(T)                                                                                              \
  COMPARE(eq_##T, T, x == y)                                                                                           \
  COMPARE(ne_##T, T, x != y)                                                                                           \
  COMPARE(lt_##T, T, x < y)                                                                                            \
  COMPARE(le_##T, T, x <= y)                                                                                           \
  COMPARE(gt_##T, T, x > y)                                                                                            \
  COMPARE(ge_##T, T, x >= y)
COMPARE_ORDERS(s32)
COMPARE_ORDERS(u32)
COMPARE_ORDERS(s64)
COMPARE_ORDERS(u64)
COMPARE(eq_f32, f32, x == y)
COMPARE(ne_f32, f32, x<y || x> y) /* false for a NaN; with u: true */
COMPARE(lt_f32, f32, x < y)
COMPARE(le_f32, f32, x <= y)
COMPARE(gt_f32, f32, x > y)
COMPARE(ge_f32, f32, x >= y)
COMPARE(equ_f32, f32, !(x < y || x > y))
COMPARE(neu_f32, f32, !(x == y))
COMPARE(ltu_f32, f32, !(x >= y))
COMPARE(leu_f32, f32, !(x > y))
COMPARE(gtu_f32, f32, !(x <= y))
COMPARE(geu_f32, f32, !(x < y))
COMPARE(num_f32, f32, x == x && y == y) /* neither is NaN */
COMPARE(nan_f32, f32, x != x || y != y)

/* ---- the table ---- */

#define OP(name, operands, row)                                                                                        \
  { name, PTX_ROW, operands, row, NULL }
#define SETP(T, source)                                                                                                \
  OP("setp.eq." #T, source, eq_##T), OP("setp.ne." #T, source, ne_##T), OP("setp.lt." #T, source, lt_##T),             \
      OP("setp.le." #T, source, le_##T), OP("setp.gt." #T, source, gt_##T), OP("setp.ge." #T, source, ge_##T)
#define SAME(name, operands, row, t1, t2) OP(name t1, operands, row), OP(name t2, operands, row)

const ptx_op ptx_ops[] = {
    SAME("add.", "www", add_32, "s32", "u32"),
    SAME("add.", "lll", add_64, "s64", "u64"),
    SAME("sub.", "www", sub_32, "s32", "u32"),
    SAME("sub.", "lll", sub_64, "s64", "u64"),
    SAME("mul.lo.", "www", mul_lo_32, "s32", "u32"),
    SAME("mul.lo.", "lll", mul_lo_64, "s64", "u64"),
    SAME("mad.lo.", "wwww", mad_lo_32, "s32", "u32"),
    SAME("mad.lo.", "llll", mad_lo_64, "s64", "u64"),
    OP("mul.hi.u32", "www", mul_hi_u32),
    OP("mul.hi.s32", "www", mul_hi_s32),
    OP("mul.hi.u64", "lll", mul_hi_u64),
    OP("mul.hi.s64", "lll", mul_hi_s64),
    OP("mul.wide.u32", "lww", mul_wide_u32),
    OP("mul.wide.s32", "lww", mul_wide_s32),
    OP("div.u32", "www", div_u32),
    OP("div.s32", "www", div_s32),
    OP("div.u64", "lll", div_u64),
    OP("div.s64", "lll", div_s64),
    OP("rem.u32", "www", rem_u32),
    OP("rem.s32", "www", rem_s32),
    OP("rem.u64", "lll", rem_u64),
    OP("rem.s64", "lll", rem_s64),
    OP("neg.s32", "ww", neg_32),
    OP("neg.s64", "ll", neg_64),
    OP("abs.s32", "ww", abs_s32),
    OP("min.s32", "www", min_s32),
    OP("max.s32", "www", max_s32),
    OP("min.u32", "www", min_u32),
    OP("max.u32", "www", max_u32),
    OP("min.s64", "lll", min_s64),
    OP("max.s64", "lll", max_s64),
    OP("min.u64", "lll", min_u64),
    OP("max.u64", "lll", max_u64),
    OP("and.b32", "www", and_32),
    OP("and.b64", "lll", and_64),
    OP("and.pred", "ppp", and_pred),
    OP("or.b32", "www", or_32),
    OP("or.b64", "lll", or_64),
    OP("or.pred", "ppp", or_pred),
    OP("xor.b32", "www", xor_32),
    OP("xor.b64", "lll", xor_64),
    OP("xor.pred", "ppp", xor_pred),
    OP("not.b32", "ww", not_32),
    OP("not.b64", "ll", not_64),
    OP("not.pred", "pp", not_pred),
    OP("shl.b32", "www", shl_32),
    OP("shl.b64", "llw", shl_64),
    OP("shr.u32", "www", shr_u32),
    OP("shr.s32", "www", shr_s32),
    OP("shr.u64", "llw", shr_u64),
    OP("shr.s64", "llw", shr_s64),
    SAME("add.", "hhh", add_16, "s16", "u16"),
    SAME("sub.", "hhh", sub_16, "s16", "u16"),
    SAME("mul.lo.", "hhh", mul_lo_16, "s16", "u16"),
    OP("mul.hi.u16", "hhh", mul_hi_u16),
    OP("mul.wide.u16", "whh", mul_wide_u16),
    OP("and.b16", "hhh", and_32),
    OP("or.b16", "hhh", or_32),
    OP("xor.b16", "hhh", xor_32),
    OP("shl.b16", "hhw", shl_16),
    OP("shr.u16", "hhw", shr_u16),
    OP("prmt.b32", "wwww", prmt_32),
    OP("bfi.b32", "wwwww", bfi_32),
    OP("bfi.b64", "lllww", bfi_64),
    OP("popc.b32", "ww", popc_32),
    OP("popc.b64", "wl", popc_64),

    SAME("add.", "www", add_f32, "rn.f32", "f32"),
    SAME("sub.", "www", sub_f32, "rn.f32", "f32"),
    SAME("mul.", "www", mul_f32, "rn.f32", "f32"),
    OP("fma.rn.f32", "wwww", fma_f32),
    OP("div.rn.f32", "www", div_f32),
    OP("rcp.rn.f32", "ww", rcp_f32),
    OP("sqrt.rn.f32", "ww", sqrt_f32),
    OP("neg.f32", "ww", neg_f32),
    OP("abs.f32", "ww", abs_f32),
    OP("copysign.f32", "www", copysign_f32),
    OP("max.f32", "www", max_f32),
    OP("min.f32", "www", min_f32),
    OP("ex2.approx.ftz.f32", "ww", ex2_f32),

    OP("mov.u16", "hh", move_32),
    OP("mov.b16", "hh", move_32),
    OP("mov.u32", "ww", move_32),
    OP("mov.s32", "ww", move_32),
    OP("mov.b32", "ww", move_32),
    OP("mov.f32", "ww", move_32),
    OP("mov.u64", "ll", move_64),
    OP("mov.s64", "ll", move_64),
    OP("mov.b64", "ll", move_64),
    OP("mov.pred", "pp", move_pred),
    OP("cvta.to.global.u64", "ll", move_64),
    OP("cvt.s64.s32", "lc", cvt_s64_s32), /* 'c': the second row is for a register of 64 bits */
    OP("cvt.s64.s32", "ll", cvt_s64_low),
    OP("cvt.u64.u32", "lc", cvt_u64_u32),
    OP("cvt.u64.u32", "ll", cvt_u64_low),
    OP("cvt.u32.u64", "wl", cvt_u32_u64),
    OP("cvt.u32.u16", "wh", move_32),
    OP("cvt.u64.u16", "lh", cvt_u64_u32),
    OP("cvt.u16.u32", "hw", cvt_u16_u32),
    OP("cvt.rn.f32.s32", "ww", cvt_f32_s32),
    OP("cvt.rn.f32.u32", "ww", cvt_f32_u32),
    OP("cvt.rn.f32.s64", "wl", cvt_f32_s64),
    OP("cvt.rn.f32.u64", "wl", cvt_f32_u64),
    OP("cvt.rni.f32.f32", "ww", cvt_rni_f32),
    OP("cvt.rzi.u32.f32", "ww", cvt_rzi_u32),
    OP("cvt.rzi.s32.f32", "ww", cvt_rzi_s32),
    OP("cvt.rn.bf16x2.f32", "www", cvt_bf16x2),
    OP("cvt.rn.f16x2.f32", "www", cvt_f16x2),
    OP("cvt.f32.f16", "wh", cvt_f32_f16),
    OP("cvt.rn.f16.f32", "hw", cvt_f16_f32),

    OP("selp.b16", "hhhp", select_32),
    OP("selp.u16", "hhhp", select_32),
    OP("selp.s16", "hhhp", select_32),
    OP("selp.b32", "wwwp", select_32),
    OP("selp.u32", "wwwp", select_32),
    OP("selp.s32", "wwwp", select_32),
    OP("selp.f32", "wwwp", select_32),
    OP("selp.b64", "lllp", select_64),
    OP("selp.u64", "lllp", select_64),
    OP("selp.s64", "lllp", select_64),
    SETP(s32, "pww"),
    SETP(u32, "pww"),
    SETP(s64, "pll"),
    SETP(u64, "pll"),
    SETP(f32, "pww"),
    OP("setp.eq.s16", "phh", eq_u32),
    OP("setp.ne.s16", "phh", ne_u32),
    OP("setp.eq.b32", "pww", eq_u32),
    OP("setp.ne.b32", "pww", ne_u32),
    OP("setp.eq.b64", "pll", eq_u64),
    OP("setp.ne.b64", "pll", ne_u64),
    OP("setp.equ.f32", "pww", equ_f32),
    OP("setp.neu.f32", "pww", neu_f32),
    OP("setp.ltu.f32", "pww", ltu_f32),
    OP("setp.leu.f32", "pww", leu_f32),
    OP("setp.gtu.f32", "pww", gtu_f32),
    OP("setp.geu.f32", "pww", geu_f32),
    OP("setp.num.f32", "pww", num_f32),
    OP("setp.nan.f32", "pww", nan_f32),

    {"bra", PTX_BRANCH, "L", NULL, NULL},
    {"bra.uni", PTX_BRANCH, "L", NULL, NULL},
    {"bar.sync", PTX_BARRIER, "0", NULL, NULL},
    {"ret", PTX_END, "", NULL, NULL},
    {NULL, PTX_END, NULL, NULL, NULL},
};
