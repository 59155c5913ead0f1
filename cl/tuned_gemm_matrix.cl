/* Matrix product on a GPU's matrix units: C = alpha op(A) op(B) + beta C [+ bias], row-major; A and B narrow, C as in
 * gemm_storage.h, sums in float32 in the units' own order along all of k.
 *
 *   A work-group of 256 (128 where a wave has 8 lanes) owns TILE x TILE of C. k is walked in steps of DEPTH: while the
 * units work on one step, every work-item loads its 16 numbers of either operand's next step into registers, and then
 * keeps them in the other half of local memory; there is one barrier per step. Local memory holds both operands in
 * pieces of 16 bytes along k (gemm_layout.h). An operand that is stored along its rows is transposed on the way, a pair
 * of k's at a time; or, with UNIT_MMA, as it is read. The waves share the tile as WAVES_DOWN x WAVES_ACROSS rectangles;
 * each is MI x NI units of UM x UN.
 *
 *   TILE   128, or 64 for small shapes
 *   WIDTH  numbers of A, and of B, per load: 8, 4 or 1. It divides the offsets, row lengths and strides of both, and
 * m (n) if A (B) is stored along it. So the loop has no test: rows beyond the edge are loaded as the last one, by
 *          addresses that are made before the loop, and their sums are not stored
 *
 *   IMAGE  set: B is formed from an image (gemm_image.h), the product is a convolution without trans_b. A holds the
 *          weights as conv2d_image_weight writes them: k is a multiple of DEPTH and runs over groups of IMAGE_GROUP
 *          channels, their taps, and the channels of a group. So a work-item loads, of one position, one tap of 16
 *          channels: adjacent ones read adjacent pixels, and the border is one test for all 16
 *
 * The last k % DEPTH of k come one by one, filled up with zeros. Offsets in a step have 32 bits, which bounds the
 * lengths of rows (gemm_matrix.c). For the units and the layout of their lanes, see gemm_matrix_units.h. Local memory:
 * 32 KiB, with block reads 40. */
#include "gemm_image.h"
#include "gemm_layout.h"
#include "gemm_matrix_units.h"
#include "gemm_second.h"

#ifdef SECOND_PAIR
#define FACTOR alpha2
#else
#define FACTOR alpha
#endif
#if defined(UNIT_MMA) || defined(UNIT_DPAS16) || defined(UNIT_DPAS8)
#include "attention_matrix_units.h" /* ldmatrix; block reads */
#endif

#ifndef WAVE
#error "no matrix unit chosen: see gemm_matrix_units.h"
#endif

#ifndef TILE
#define TILE 128
#endif
#ifndef WIDTH
#define WIDTH 8
#endif
#if defined(UNIT_DPAS8) && !defined(IMAGE) && WIDTH == 8 /* narrower loads take more registers */
#define ITEMS GEMM_MATRIX_FEW_ITEMS
#else
#define ITEMS GEMM_MATRIX_ITEMS
#endif
#define SHARES                                                                                                         \
  (GEMM_MATRIX_ITEMS / ITEMS) /* of GEMM_MATRIX_ITEMS, of which each brings the same, a work-item does so many */
#define DEPTH  GEMM_MATRIX_DEPTH(TILE)
#define PIECES (DEPTH / 8) /* of a row, in a step */
#ifdef UNIT_BLOCKS         /* of an operand, in a step; the place of one */
#define STEP                 (TILE * PIECES / 16 * GEMM_EIGHT(PIECES))
#define PLACE_AT(row, piece) GEMM_EIGHT_AT(row, piece, PIECES)
#else
#define STEP                 (TILE * PIECES)
#define PLACE_AT(row, piece) GEMM_PIECE_AT(row, piece, PIECES)
#endif
#define LOADS   (8 / WIDTH) /* of a piece */
#define RAWS    (WIDTH == 1 ? 8 : 4)
#define OFFSETS (WIDTH == 8 ? 2 : LOADS)
#define WAVES   (ITEMS / WAVE)
#ifdef UNIT_BLOCKS /* the same for all lanes, as the compiler must see */
#define WAVE_OF(item) unit_wave(item)
#else
#define WAVE_OF(item) ((item) / WAVE)
#endif
#if WAVES <= 8
#define WAVES_DOWN 2
#else
#define WAVES_DOWN 4
#endif
#if WIDTH == 1 || defined(UNIT_DPAS8)
#define TWO_STEPS false
#else
#define TWO_STEPS true
#endif
#define WAVES_ACROSS (WAVES / WAVES_DOWN)
#define MI           (TILE / WAVES_DOWN / UM)
#define NI           (TILE / WAVES_ACROSS / UN)

#ifdef __CUDACC_RTC__ /* the sums may have all registers: the compiler would rather spill than take more than 128 */
#define MATRIX_KERNEL KERNEL_DENSE(ITEMS, 1, 1, 1)
#else
#define MATRIX_KERNEL UNIT_SUB_GROUP KERNEL_SIZED(ITEMS, 1, 1)
#endif

#undef UNROLL        /* here for every device; some compilers reject a second definition */
#ifdef UNIT_EMULATED /* its barriers must not be duplicated, and compiling the rest would take many times as long */
#define UNROLL _Pragma("nounroll")
#else
#define UNROLL _Pragma("unroll")
#endif
#define FOR(i, n)         UNROLL for (int i = 0; i < (n); i++)
#define FOR_SUMS(i, j, r) FOR(i, MI) FOR(j, NI) FOR(r, C_FLOATS)

/* What a work-item brings of an operand: of one that is stored along k a row and piece in each of two turns h; of one
 * along its rows eight rows from the first on, of two k's. `b`: the operand is B. */
#ifdef UNIT_BLOCKS
#define PIECE_ROW(item, h, b)   ((b) ? GEMM_WORDS_ROW(item, PIECES) : GEMM_PIECE_ROW(item, h, PIECES))
#define PIECE_INDEX(item, h, b) ((b) ? GEMM_WORDS_PIECE(item, h, PIECES) : GEMM_PIECE_INDEX(item, h, PIECES))
#define BLOCK_ROW(item, b)      ((b) ? 8 * GEMM_TURNED_PIECE(item, TILE) : GEMM_BLOCK_ROW(item, PIECES))
#define BLOCK_WORD(item, b)     ((b) ? (item) / (TILE / 8) : GEMM_BLOCK_WORD(item, PIECES))
#define BLOCK_K(item, h, b)     (2 * BLOCK_WORD(item, b) + (h))
#define WORDS_AT(word, column)  GEMM_WORDS_AT(word, column, UN, TILE)
#else
#define PIECE_ROW(item, h, b)   GEMM_PIECE_ROW(item, h, PIECES)
#define PIECE_INDEX(item, h, b) GEMM_PIECE_INDEX(item, h, PIECES)
#ifdef UNIT_MMA
#define BLOCK_ROW(item, b)  (8 * GEMM_TURNED_PIECE(item, TILE))
#define BLOCK_K(item, h, b) GEMM_TURNED_K(item, h, TILE)
#else
#define BLOCK_ROW(item, b)  GEMM_BLOCK_ROW(item, PIECES)
#define BLOCK_WORD(item, b) GEMM_BLOCK_WORD(item, PIECES)
#define BLOCK_K(item, h, b) (2 * GEMM_BLOCK_WORD(item, PIECES) + (h))
#endif
#endif

/* ---- from global memory to registers, and to local memory ---- */

/* The offsets in bytes of a work-item's loads of op(X), from the group's first row and the step's first k on. X is
 * stored (i, k) if `along` k, else (k, i); `left`: its rows from the group's first on. */
inline void offsets_of(uint32 *at, int64 ld, int64 left, bool along, bool b, int item) {
  (void)b;
  FOR(h, OFFSETS) {
    if (along)
      at[h] = 2u * ((uint32)min((int64)PIECE_ROW(item, h % 2, b), left - 1) * (uint32)ld +
                    8u * (uint32)PIECE_INDEX(item, h % 2, b));
    else
      at[h] = 2u * ((uint32)BLOCK_K(item, 0, b) * (uint32)ld +
                    (uint32)min((int64)BLOCK_ROW(item, b) + h % LOADS * WIDTH, left - WIDTH));
  }
}

inline void load(uint32 *to, GLOBAL const char *from) {
#if WIDTH == 8
  const uint4 v = *(GLOBAL const uint4 *)from;
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
#elif WIDTH == 4
  const uint2 v = *(GLOBAL const uint2 *)from;
  to[0] = v.x, to[1] = v.y;
#else
  to[0] = *(GLOBAL const gemm_ab *)from;
#endif
}

/* Loads two pieces along k, or eight rows of two k's. */
inline void fetch(uint32 next[2][RAWS], GLOBAL const char *from, const uint32 *at, int64 ld, bool along) {
  FOR(h, 2) FOR(e, LOADS) {
    uint32 *to = next[h] + e * (RAWS / LOADS);
    if (along)
      load(to, from + at[h] + 2 * e * WIDTH);
    else
      load(to, from + 2 * h * BLOCK_K(0, 1, false) * ld + at[e]);
  }
}

/* The same of the last k's, from k0 on, one by one. Zero beyond the edges. */
inline void fetch_rest(uint32 next[2][RAWS], GLOBAL const gemm_ab *x, int64 ld, int64 i0, int64 end, int64 k0,
                       int64 k_end, bool along, bool b, int item) {
  (void)b;
  FOR(h, 2) FOR(w, RAWS) {
    uint32 word = 0u;
    FOR(p, 8 / RAWS) {
      const int e = w * (8 / RAWS) + p;
      const int64 i = i0 + (along ? PIECE_ROW(item, h, b) : BLOCK_ROW(item, b) + e);
      const int64 k = k0 + (along ? 8 * PIECE_INDEX(item, h, b) + e : BLOCK_K(item, h, b));
      const uint32 value = i < end && k < k_end ? (uint32)x[along ? i * ld + k : k * ld + i] : 0u;
      word |= value << 16 * p;
    }
    next[h][w] = word;
  }
}

inline uint32 pair_of(const uint32 *raw, int e) {
  return WIDTH == 1 ? raw[2 * e % RAWS] | raw[(2 * e + 1) % RAWS] << 16 : raw[e];
}

inline void keep_piece(LOCAL_PTR uint4 *to, const uint32 *raw) {
  uint4 v;
  v.x = pair_of(raw, 0), v.y = pair_of(raw, 1), v.z = pair_of(raw, 2), v.w = pair_of(raw, 3);
  *to = v;
}

#ifndef UNIT_MMA
/* The lower halves of both, or the upper ones. */
inline uint32 zipped(uint32 u, uint32 v, bool upper) {
#ifdef __AMDGCN__
  return __builtin_amdgcn_perm(v, u, upper ? 0x07060302u : 0x05040100u);
#else
  return upper ? u >> 16 | (v & 0xffff0000u) : (u & 0xffffu) | v << 16;
#endif
}

/* Keeps eight rows' words of two k's, a pair of rows at a time. */
inline void keep_block(LOCAL_PTR uint4 *part, uint32 next[2][RAWS], int item) {
  const int row = BLOCK_ROW(item, false), word = BLOCK_WORD(item, false);
/* Two rows that are 64 bytes apart, whose words one instruction writes: the second one first where it lies first. */
#if !defined(UNIT_BLOCKS) && TILE == 128
  const bool turned = row / 8 % 2;
#define SECOND(first, place) ((first) + 16)
#else
  const bool turned = false;
#define SECOND(first, place) (place)
#endif
#define WORD_OF(row) ((LOCAL_PTR uint32 *)(part + PLACE_AT(row, word / 4)) + word % 4)
  FOR(e, 4) {
    const uint32 u = pair_of(next[0], e), v = pair_of(next[1], e);
    LOCAL_PTR uint32 *to = WORD_OF(row + 2 * e + turned), *then = SECOND(to, WORD_OF(row + 2 * e + 1));
    *to = zipped(u, v, turned), *then = zipped(u, v, !turned);
  }
}
#endif

inline void keep(LOCAL_PTR uint4 *part, uint32 next[2][RAWS], bool along, int item) {
  if (along) {
    FOR(h, 2)
    keep_piece(part + PLACE_AT(PIECE_ROW(item, h, false), PIECE_INDEX(item, h, false)), next[h]);
    return;
  }
#ifdef UNIT_MMA
  FOR(h, 2) keep_piece(part + GEMM_TURNED_AT(BLOCK_K(item, h, false), BLOCK_ROW(item, false) / 8, TILE), next[h]);
#else
  keep_block(part, next, item);
#endif
}

#ifdef UNIT_BLOCKS
/* B, in words as the units take them. */
inline void keep_words(LOCAL_PTR uint4 *part, uint32 next[2][RAWS], bool along, int item) {
  if (along) {
    LOCAL_PTR uint32 *to =
        (LOCAL_PTR uint32 *)part + WORDS_AT(4 * PIECE_INDEX(item, 0, true), PIECE_ROW(item, 0, true));
    FOR(h, 2) FOR(e, 4) to[(4 * h + e) * UN] = pair_of(next[h], e);
  } else {
    LOCAL_PTR uint4 *to = part + WORDS_AT(BLOCK_WORD(item, true), BLOCK_ROW(item, true)) / 4;
    FOR(h, 2) {
      const uint32 u0 = pair_of(next[0], 2 * h), v0 = pair_of(next[1], 2 * h);
      const uint32 u1 = pair_of(next[0], 2 * h + 1), v1 = pair_of(next[1], 2 * h + 1);
      uint4 v;
      v.x = zipped(u0, v0, false), v.y = zipped(u0, v0, true), v.z = zipped(u1, v1, false), v.w = zipped(u1, v1, true);
      to[h] = v;
    }
  }
}
#else
#define keep_words keep
#endif

/* ---- how B comes ---- */

#ifdef IMAGE
typedef window16 b_source;
#define B_RAWS                  16
#define B_SHAPE                 , image im
#define B_OF                    window16_of(item, b, im, n0, n, TILE)
#define B_ALONG                 true
#define BIAS_PLACE(row, column) (row)
#define B_NEXT                  window16_advance(&of_b, DEPTH)
#define B_FETCH                 window16_fetch(next_b[0][0], &of_b)
#define B_FETCH_REST(k0)        /* k is a multiple of DEPTH */
#define B_KEEP(part)            keep_b(part, next_b[0][0], of_b.mask, item)

inline void keep_b(LOCAL_PTR uint4 *part, const uint32 *raw, uint32 mask, int item) {
  const int row = item % TILE, piece = item / TILE * 2;
#ifdef UNIT_BLOCKS
  LOCAL_PTR uint32 *to = (LOCAL_PTR uint32 *)part + WORDS_AT(4 * piece, row);
  FOR(e, 8) to[e * UN] = (raw[2 * e] | raw[2 * e + 1] << 16) & mask;
#else
  FOR(h, 2) {
    uint4 v;
    v.x = (raw[8 * h] | raw[8 * h + 1] << 16) & mask;
    v.y = (raw[8 * h + 2] | raw[8 * h + 3] << 16) & mask;
    v.z = (raw[8 * h + 4] | raw[8 * h + 5] << 16) & mask;
    v.w = (raw[8 * h + 6] | raw[8 * h + 7] << 16) & mask;
    part[PLACE_AT(row, piece + h)] = v;
  }
#endif
}
#else
#define B_RAWS RAWS
#define B_SHAPE
#define B_ALONG                 trans_b
#define BIAS_PLACE(row, column) (column)
#define B_NEXT                  from_b += step_b
#define B_FETCH                 FOR(s, SHARES) fetch(next_b[s], from_b, at_b[s], ldb, trans_b)
#define B_FETCH_REST(k0)        FOR(s, SHARES) fetch_rest(next_b[s], b, ldb, n0, n, k0, k, trans_b, true, OF_SHARE(s))
#define B_KEEP(part)            FOR(s, SHARES) keep_words(part, next_b[s], trans_b, OF_SHARE(s))
#endif

/* ---- from local memory to the units ----
 * A fragment holds PARTS instructions' numbers. Where these are two, a lane takes both from one piece: which k's the
 * units multiply together does not matter, as long as they are the same of A and B. */

#ifdef UNIT_MFMA
#define PARTS 2
#else
#define PARTS 1
#endif
#define FRAGMENT (16 * PARTS) /* its k's */
#define A_READ   (PARTS * A_WORDS)
#define B_READ   (PARTS * B_WORDS)
#ifdef UNIT_MMA
#define B_TOGETHER 2 /* units whose B is read at once */
typedef unit_tile operand;
#define OPERAND(p) unit_tile_of(p)
#else
#define B_TOGETHER 1
typedef LOCAL_PTR const uint4 *operand;
#define OPERAND(p) (p)
#endif

/* `pieces` further: the part of a place that differs between lanes, so that the rest is a constant. */
inline operand beyond(operand tile, int pieces) {
#ifdef UNIT_MMA
  return unit_beyond(tile, pieces);
#else
  return tile + pieces;
#endif
}

inline void split(uint32 *to, uint4 v) { to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w; }

/* The fragment w of A's rows from row0 + row on. Rows of 16 are alike, so that a lane's place is the same for all, and
 * only a constant is added. */
inline void read_a(uint32 *x, operand tile, int row0, int row, int w, bool along, int lane, UNIT_SCRATCH scratch,
                   int item) {
  (void)along, (void)scratch, (void)item;
  const int own = row0 / 16 * (16 * PIECES), first = row / 16 * (16 * PIECES);
#if defined(UNIT_MMA)
  const int k = lane / 16 * 8 + lane % 8;
  if (along)
    unit_load4(x, beyond(tile, own + GEMM_PIECE_AT(lane % 16, 2 * w + lane / 16, PIECES)), first, false, scratch, item);
  else
    unit_load4(x, beyond(tile, GEMM_TURNED_AT(k, (row0 + row) / 8 + lane / 8 % 2, TILE)), 16 * w * (TILE / 8), true,
               scratch, item);
#elif defined(UNIT_MFMA)
  split(x, beyond(tile, own + GEMM_PIECE_AT(lane % 16, 4 * w + lane / 16, PIECES))[first]);
#elif defined(UNIT_WMMA)
  FOR(h, 2) split(x + 4 * h, beyond(tile, own + GEMM_PIECE_AT(lane % 16, 2 * w + h, PIECES))[first]);
#else
  (void)own, (void)first;
  unit_read_block(x, (LOCAL_PTR const uint32 *)(beyond(tile, PLACE_AT(row0, 0)) + PLACE_AT(row, 2 * w)), lane);
#endif
}

/* The fragments w of B's columns from column0 + column on, of B_TOGETHER units. */
inline void read_b(uint32 y[B_TOGETHER][B_READ], operand tile, int column0, int column, int w, bool along, int lane,
                   UNIT_SCRATCH scratch, int item) {
  (void)along, (void)scratch, (void)item;
  const int own = column0 / 16 * (16 * PIECES), first = column / 16 * (16 * PIECES);
#if defined(UNIT_MMA)
  uint32 both[4];
  if (along)
    unit_load4(both, beyond(tile, own + GEMM_PIECE_AT(lane / 16 * 8 + lane % 8, 2 * w + lane / 8 % 2, PIECES)), first,
               false, scratch, item);
  else
    unit_load4(both, beyond(tile, GEMM_TURNED_AT(lane % 16, (column0 + column) / 8 + lane / 16, TILE)),
               16 * w * (TILE / 8), true, scratch, item);
  FOR(q, 4) y[q / 2][q % 2] = both[q];
#elif defined(UNIT_MFMA)
  split(y[0], beyond(tile, own + GEMM_PIECE_AT(lane % 16, 4 * w + lane / 16, PIECES))[first]);
#elif defined(UNIT_BLOCKS)
  (void)own, (void)first;
  unit_read_words(
      y[0], (LOCAL_PTR const uint32 *)(beyond(tile, WORDS_AT(0, column0) / 4) + WORDS_AT(8 * w, column) / 4), lane);
#else
  FOR(h, 2) split(y[0] + 4 * h, beyond(tile, own + GEMM_PIECE_AT(lane % 16, 2 * w + h, PIECES))[first]);
#endif
}

/* One step of k on the units: sum += as bs. */
inline void multiply(float sum[MI][NI][C_FLOATS], operand as, operand bs, bool along_a, bool along_b,
                     UNIT_SCRATCH scratch, int row0, int column0, int lane, int item) {
  FOR(w, DEPTH / FRAGMENT) {
    uint32 y[NI][B_READ];
    UNROLL for (int j = 0; j < NI; j += B_TOGETHER) read_b(y + j, bs, column0, j * UN, w, along_b, lane, scratch, item);
    FOR(i, MI) {
      uint32 x[A_READ];
      read_a(x, as, row0, i * UM, w, along_a, lane, scratch, item);
      FOR(p, PARTS) FOR(j, NI) unit_multiply(sum[i][j], x + p * A_WORDS, y[j] + p * B_WORDS, scratch, item);
    }
  }
}

#ifdef UNIT_MFMA
/* The fragments of a whole step are read a step before they are multiplied, and numbers are loaded three steps before,
 * so that a wave alone does not wait for either. There are registers for it: other units take more for their operands,
 * or have fewer. */
#define AHEAD
/* One after another: a product, which takes the unit for several cycles, and some others, most of which are done in the
 * first half of a step. The compiler alone would put the products side by side. */
#ifdef IMAGE
#define OTHERS (TILE == 64 ? 8 : 4)
#else
#define OTHERS (TILE == 64 ? 4 : 2)
#endif
#if defined(__AMDGCN__) && __has_builtin(__builtin_amdgcn_sched_group_barrier)
#define IN_ORDER()                __builtin_amdgcn_sched_barrier(0)
#define NEXT_OF(which, how_often) __builtin_amdgcn_sched_group_barrier(which, how_often, 0)
#define INTERLEAVED()                                                                                                  \
  FOR(i, PARTS *(DEPTH / FRAGMENT) * MI * NI) {                                                                        \
    NEXT_OF(0x008, 1);      /* matrix */                                                                               \
    NEXT_OF(0x326, OTHERS); /* vector, scalar, loads, local memory */                                                  \
  }
#else
#define IN_ORDER()
#define INTERLEAVED()
#endif
typedef struct fragments {
  uint32 x[DEPTH / FRAGMENT][MI][A_READ], y[DEPTH / FRAGMENT][NI][B_READ];
} fragments;

inline void hold(fragments *f, operand as, operand bs, bool along_a, bool along_b, UNIT_SCRATCH scratch, int row0,
                 int column0, int lane, int item) {
  FOR(w, DEPTH / FRAGMENT) {
    FOR(j, NI) read_b(&f->y[w][j], bs, column0, j * UN, w, along_b, lane, scratch, item);
    FOR(i, MI) read_a(f->x[w][i], as, row0, i * UM, w, along_a, lane, scratch, item);
  }
}

inline void multiply_held(float sum[MI][NI][C_FLOATS], const fragments *f, UNIT_SCRATCH scratch, int item) {
  FOR(w, DEPTH / FRAGMENT)
  FOR(i, MI)
  FOR(p, PARTS) FOR(j, NI) unit_multiply(sum[i][j], f->x[w][i] + p * A_WORDS, f->y[w][j] + p * B_WORDS, scratch, item);
}
#endif

/* ---- the product ---- */

inline void finish(GLOBAL gemm_c *at, float value, float beta, GLOBAL const gemm_c *bias, int64 place) {
  if (beta != 0.0f) value = value + beta * C_LOAD(at, 0);
  if (bias) value = value + C_LOAD(bias, place);
  C_STORE(at, 0, value);
}

/* gemm's steps, in the words of its variables: load the next whole step, or the last, incomplete one, from k0 on; keep
 * either in a half of local memory (0, STEP); read its fragments from there; multiply. */
#define OF_SHARE(s) (item + (s)*ITEMS)
#define FETCH()                                                                                                        \
  FOR(s, SHARES) fetch(next_a[s], from_a, at_a[s], lda, !trans_a);                                                     \
  B_FETCH;                                                                                                             \
  from_a += step_a;                                                                                                    \
  B_NEXT;
#define FETCH_REST(k0)                                                                                                 \
  FOR(s, SHARES) fetch_rest(next_a[s], a, lda, m0, m, k0, k, !trans_a, false, OF_SHARE(s));                            \
  B_FETCH_REST(k0);
#define KEEP(place)                                                                                                    \
  FOR(s, SHARES) keep(as + (place), next_a[s], !trans_a, OF_SHARE(s));                                                 \
  B_KEEP(bs + (place));
#define HOLD(to, place) hold(to, as + (place), bs + (place), !trans_a, B_ALONG, scratch, row0, column0, lane, item)
/* A step of AHEAD: multiplies `now`; reads the next one's fragments; keeps what was loaded of the second next, and
 * loads the third. */
#define AHEAD_STEP(now, then, place)                                                                                   \
  IN_ORDER();                                                                                                          \
  KEEP(place)                                                                                                          \
  FETCH()                                                                                                              \
  HOLD(then, STEP - (place));                                                                                          \
  multiply_held(sum, now, scratch, item);                                                                              \
  INTERLEAVED()                                                                                                        \
  IN_ORDER();                                                                                                          \
  BARRIER();
#define MULTIPLY(place)                                                                                                \
  multiply(sum, OPERAND(as + (place)), OPERAND(bs + (place)), !trans_a, B_ALONG, scratch, row0, column0, lane, item)

inline void gemm(LOCAL_PTR uint4 *as, LOCAL_PTR uint4 *bs, UNIT_SCRATCH scratch, GLOBAL gemm_c *c,
                 GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n, int64 k, int64 lda, int64 ldb,
                 int64 ldc, float alpha, float beta, GLOBAL const gemm_c *bias, bool trans_a,
                 bool trans_b B_SHAPE SECOND_PARAMETERS) {
  const int item = LOCAL_ID(0), lane = item % WAVE, wave = WAVE_OF(item);
  const int row0 = wave / WAVES_ACROSS * (MI * UM), column0 = wave % WAVES_ACROSS * (NI * UN);
  const int64 m0 = (int64)GROUP(1) * TILE, n0 = (int64)GROUP(0) * TILE;
  const int steps = (int)(k / DEPTH);
  const bool rest = k % DEPTH != 0;
  const int64 step_a = 2 * DEPTH * (trans_a ? lda : 1);
  GLOBAL const char *from_a = (GLOBAL const char *)(a + (trans_a ? m0 : m0 * lda));
#ifdef IMAGE
  b_source of_b = B_OF;
#else
  const int64 step_b = 2 * DEPTH * (trans_b ? 1 : ldb);
  GLOBAL const char *from_b = (GLOBAL const char *)(b + (trans_b ? n0 * ldb : n0));
  uint32 at_b[SHARES][OFFSETS];
  FOR(s, SHARES) offsets_of(at_b[s], ldb, n - n0, trans_b, true, OF_SHARE(s));
#endif
  uint32 at_a[SHARES][OFFSETS], next_a[SHARES][2][RAWS], next_b[SHARES][2][B_RAWS];
  float sum[MI][NI][C_FLOATS];
  FOR_SUMS(i, j, r) sum[i][j][r] = 0.0f;
  FOR(s, SHARES) offsets_of(at_a[s], lda, m - m0, !trans_a, false, OF_SHARE(s));
#ifdef AHEAD
  const int all = steps + rest;
  fragments even, odd;
  UNROLL for (int step = 0; step < 2; step++) {
    if (step >= all) continue;
    if (step < steps) {
      FETCH()
    } else {
      FETCH_REST((int64)steps * DEPTH)
    }
    KEEP(step * STEP)
  }
  if (2 < steps) {
    FETCH()
  } else if (2 < all) {
    FETCH_REST((int64)steps * DEPTH)
  }
  BARRIER();
  HOLD(&even, 0);
  BARRIER();
  int step = 0;
  for (; step + 4 < steps; step += 2) {
    AHEAD_STEP(&even, &odd, 0)
    AHEAD_STEP(&odd, &even, STEP)
  }
  for (; step < all; step++) {
    const int now = step % 2 * STEP;
    if (step + 2 < all) {
      KEEP(now)
    }
    if (step + 3 < steps) {
      FETCH()
    } else if (step + 3 < all) {
      FETCH_REST((int64)steps * DEPTH)
    }
    multiply_held(sum, &even, scratch, item);
    if (step + 1 < all) HOLD(&even, STEP - now);
    BARRIER();
  }
#else
  int now = 0, step = 1; /* the half of local memory that holds the current step: 0 or STEP */
  if (steps) {
    FETCH()
  } else {
    FETCH_REST(0)
  }
  KEEP(0)
  BARRIER();
  /* Two at a time, so that all places in local memory are constants, where registers suffice for it. */
  const bool two = TWO_STEPS;
  for (; two && step + 1 < steps; step += 2) {
    FETCH()
    MULTIPLY(0);
    KEEP(STEP)
    BARRIER();
    FETCH()
    MULTIPLY(STEP);
    KEEP(0)
    BARRIER();
  }
  for (; !two && step < steps; step++) {
    FETCH()
    MULTIPLY(now);
    now = STEP - now;
    KEEP(now)
    BARRIER();
  }
  int left = max(steps - step, 0) + (steps && rest);
  for (; left >= 0; left--, step++) { /* the last one or two, and the rest */
    MULTIPLY(now);
    if (two && step < steps) {
      FETCH()
    } else if (left) {
      FETCH_REST((int64)steps * DEPTH)
    }
    now = STEP - now;
    if (left) {
      KEEP(now)
    }
    BARRIER();
  }
#endif
#ifdef SECOND_PAIR
  const float first = 1.0f / ratio; /* A2 stays as narrow as it is */
  FOR_SUMS(i, j, r) sum[i][j][r] *= first;
  for (int64 k0 = 0; k0 < k2; k0 += DEPTH) {
    FOR(s, SHARES) fetch_rest(next_a[s], a2, lda2, m0, m, k0, k2, !trans_a, false, OF_SHARE(s));
    FOR(s, SHARES) fetch_rest(next_b[s], b2, ldb2, n0, n, k0, k2, trans_b, true, OF_SHARE(s));
    KEEP(0)
    BARRIER();
    MULTIPLY(0);
    BARRIER();
  }
#endif
  FOR_SUMS(i, j, r) {
    const int64 row = m0 + row0 + i * UM + C_ROW(lane, r), column = n0 + column0 + j * UN + C_COLUMN(lane, r);
    if (row < m && column < n)
      finish(c + row * ldc + column, FACTOR * sum[i][j][r], beta, bias, BIAS_PLACE(row, column));
  }
}

#ifdef IMAGE
#define IMAGE_MORE , IMAGE_PARAMETERS, int32 channels
#define IMAGE_TOO  , image_of_channels(height, width, stride, top, left, out_width, inverse, channels)
#else
#define IMAGE_MORE
#define IMAGE_TOO
#endif

#define GEMM(name, trans_a, trans_b)                                                                                   \
  MATRIX_KERNEL void name(GLOBAL gemm_c *c, GLOBAL const gemm_ab *a, GLOBAL const gemm_ab *b, int64 m, int64 n,        \
                          int64 k, int64 lda, int64 ldb, int64 ldc, int64 offset_a, int64 offset_b, int64 offset_c,    \
                          int64 stride_a, int64 stride_b, int64 stride_c, float alpha, float beta,                     \
                          GLOBAL const gemm_c *bias IMAGE_MORE SECOND_PARAMETERS) {                                    \
    LOCAL uint4 as[2 * STEP], bs[2 * STEP];                                                                            \
    UNIT_DECLARE                                                                                                       \
    const int64 batch = GROUP(2);                                                                                      \
    gemm(as, bs, UNIT_PLACE, c + offset_c + batch * stride_c, a + offset_a + batch * stride_a,                         \
         b + offset_b + batch * stride_b, m, n, k, lda, ldb, ldc, alpha, beta, bias, trans_a,                          \
         trans_b IMAGE_TOO SECOND_ARGUMENTS);                                                                          \
  }

#ifdef IMAGE
GEMM(conv2d_product, false, false)
#else
GEMM(gemm_nn, false, false)
GEMM(gemm_nt, false, true)
GEMM(gemm_tn, true, false)
GEMM(gemm_tt, true, true)
#endif
